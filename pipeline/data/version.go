package data

// DecodingVersion is raised when an image file that was read before gives other
// pixels than before, by decoding or by resizing: what was recorded of such
// pixels, a teacher's signals, is then of other images. The first version is 0.
const DecodingVersion = 0

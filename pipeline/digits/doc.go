// Package digits draws small photographs of street numbers: 32x32 colour
// images of one digit each, with the neighbouring digits cut off at the sides,
// uneven light, textured walls, occlusions, blur and noise. They take the place
// of the SVHN photographs (Netzer et al. 2011) where nothing can be downloaded.
//
// An image is a function of a seed and an index and of nothing else: the
// arithmetic is in integers, so every platform draws the same bytes. Images are
// [32, 32, 3] in rows of pixels, RGB, 0..255. Every ten consecutive images hold
// each digit once.
//
// The package imports nothing of this module and knows nothing of training.
// The demo, and tests that need real-looking images, import it.
package digits

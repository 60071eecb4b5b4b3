// Package zoo holds student architectures: plain functions over
// student.Builder, found by name with Parse.
//
// Each fits any image size and number of channels and classes, and offers the
// outputs of its groups of blocks as taps group1, group2, group3 and, of
// MobileNetV2, group4.
package zoo

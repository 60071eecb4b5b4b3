//go:build onednn

package onnxdistill_test

// buildTags are those this file was built with.
const buildTags = "onednn"

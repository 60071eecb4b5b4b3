//go:build !amd64

package kernel

// fastest is nil: there is no assembly for this processor.
var fastest *micro[float32]

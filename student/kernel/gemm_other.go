//go:build !amd64

package kernel

// There is no assembly for this processor.
var fastest *micro[float32]

func channelFastest(int) *channelMicro[float32] { return nil }

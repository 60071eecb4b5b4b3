//go:build !amd64

package kernel

var winogradFastest *winogradMicro[float32]

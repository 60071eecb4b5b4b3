//go:build !unix

package pipeline

// peakMemory is not known on this system.
func peakMemory() (peak int64, ok bool) { return 0, false }

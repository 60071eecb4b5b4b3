//go:build unix && !linux

package pipeline

import (
	"runtime"
	"syscall"
)

// peakMemory returns the most bytes of this process that were resident at one
// time.
func peakMemory() (peak int64, ok bool) {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0, false
	}
	peak = int64(used.Maxrss)
	if runtime.GOOS != "darwin" && runtime.GOOS != "ios" {
		peak <<= 10 // only Darwin counts bytes, the others KiB
	}
	return peak, true
}

package pipeline

import (
	"bytes"
	"os"
	"strconv"
)

// peakMemory returns the most bytes of this process that were resident at one
// time.
func peakMemory() (peak int64, ok bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(status) {
		f := bytes.Fields(line) // VmHWM: 123456 kB
		if len(f) == 3 && string(f[0]) == "VmHWM:" && string(f[2]) == "kB" {
			peak, err = strconv.ParseInt(string(f[1]), 10, 64)
			return peak << 10, err == nil
		}
	}
	return 0, false
}

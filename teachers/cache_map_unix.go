//go:build unix

package teachers

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// mapFile makes the first size bytes of a file readable as memory. Pages come
// from the system's file cache, which all processes share.
func mapFile(f *os.File, size int64) ([]byte, error) {
	return unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
}

func unmapFile(b []byte) error { return unix.Munmap(b) }

// occupied is what a file takes on its disk: less than its length where parts
// of it were never written.
func occupied(info os.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(s.Blocks) * 512 // POSIX counts in these, whatever the file system's blocks
	}
	return info.Size()
}

package pipeline

import (
	"errors"
	"syscall"
)

// full reports whether an error says that there is no more room: on the disk, in
// a quota or within a limit on file sizes.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

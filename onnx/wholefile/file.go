//go:build !windows

package wholefile

import "github.com/google/renameio/v2"

// File is a file that has no name yet.
type File = renameio.PendingFile

func newFile(path string) (*File, error) {
	return renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
}

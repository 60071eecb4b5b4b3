//go:build !windows

package teachers

import "github.com/google/renameio/v2"

// pendingFile is a file that appears under its name, whole and synced, when
// CloseAtomicallyReplace is called, and never after Cleanup.
type pendingFile = renameio.PendingFile

func newFile(path string) (*pendingFile, error) {
	return renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
}

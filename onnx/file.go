//go:build !windows

package onnx

import "github.com/google/renameio/v2"

// newFile begins a file that appears under its name, whole and synced, when
// CloseAtomicallyReplace is called, and never after Cleanup.
func newFile(path string) (*renameio.PendingFile, error) {
	return renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
}

package wholefile

// New begins a file that appears at path, whole and synced, when
// CloseAtomicallyReplace is called, and never after Cleanup, which may follow
// in any case. Its folder must exist.
func New(path string) (*File, error) { return newFile(path) }

// Write puts content at path.
func Write(path string, content []byte) error {
	f, err := New(path)
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

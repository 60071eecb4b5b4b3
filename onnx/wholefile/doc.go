// Package wholefile replaces files in one step: whoever reads sees the old
// content or the new, whole, also after a crash or on a full disk.
//
// It also opens files for reading, and refuses pipes, sockets and devices, on which
// a reader could wait for ever.
//
// It is renameio (google/renameio) where that builds, and the closest that
// Windows offers. The package imports nothing of ours; whatever writes a file
// that matters imports it.
package wholefile

// Package lock gives a folder to one process at a time.
//
// The lock is the system's own on a file in the folder, so it ends with its
// holder however that ends, and a copy of the folder is not locked. The file
// says who holds it, for the message that another process gets.
//
// The package imports nothing of ours; pipeline locks run folders with it.
package lock

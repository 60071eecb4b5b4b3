// Package torture does to the program what happens on hard days, and counts what comes
// of it: it kills runs at random moments, starts two on one folder, changes bits of
// every file that is read, and hands it files made to break readers. Each attempt has
// one outcome; the bad ones are a result that is wrong without a word, a panic, a hang
// and memory above a multiple of what good input takes.
//
// A short form runs with the tests, make torture runs the long one. Both print their
// seed; -torture.seed repeats an attempt and -torture.keep keeps the files of bad ones.
//
// All of it is in test files, since it is for the go command to run, and nothing
// imports it.
package torture

//go:build !cgo

package ort

import "errors"

// ErrNoCgo is returned by everything that needs the library when the program
// was built without cgo.
var ErrNoCgo = errors.New("ort: this program was built with CGO_ENABLED=0 and cannot load ONNX Runtime; build it with cgo and a C compiler")

// Session is a model loaded in ONNX Runtime; none can be made without cgo.
type Session struct{}

// Load fails with ErrNoCgo. The places it would have searched are reported.
func Load(explicit string) (Info, error) { return Info{Searched: places(explicit)}, ErrNoCgo }

// NewSession fails with ErrNoCgo.
func NewSession(model []byte, inputs, outputs []string, o Options) (*Session, error) {
	return nil, ErrNoCgo
}

// Run fails with ErrNoCgo.
func (*Session) Run(in, out []Tensor) ([]Tensor, error) { return nil, ErrNoCgo }

// Close does nothing.
func (*Session) Close() error { return nil }

// OpenSessions is zero.
func OpenSessions() int { return 0 }

// Describe fails with ErrNoCgo.
func Describe(model []byte) (inputs, outputs []Value, err error) { return nil, nil, ErrNoCgo }

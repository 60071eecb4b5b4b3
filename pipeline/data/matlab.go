package data

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// A reader for the part of MATLAB's level 5 MAT-file format that data sets are
// published in: real numeric arrays, compressed or not, in either byte order
// ("MAT-File Format", The MathWorks, chapter 1; table and section numbers below
// are of that document).

// matArray is one variable. Elements are in column-major order: the first index
// varies fastest.
type matArray struct {
	name string
	dims []int
	kind uint32 // how the elements are stored, an mi constant
	data []byte // the elements in the file's byte order
	big  bool   // big-endian
}

// Element types (table 1-1).
const (
	miINT8       = 1
	miUINT8      = 2
	miINT16      = 3
	miUINT16     = 4
	miINT32      = 5
	miUINT32     = 6
	miSINGLE     = 7
	miDOUBLE     = 9
	miINT64      = 12
	miUINT64     = 13
	miMATRIX     = 14
	miCOMPRESSED = 15
)

// matSizes is the size of one element of each numeric type.
var matSizes = map[uint32]int{
	miINT8: 1, miUINT8: 1, miINT16: 2, miUINT16: 2, miINT32: 4, miUINT32: 4,
	miSINGLE: 4, miDOUBLE: 8, miINT64: 8, miUINT64: 8,
}

const (
	matHeader   = 128
	matMaxDims  = 32 // NumPy's and thus SciPy's bound
	matMaxNames = 256
)

// parseMAT returns the variables of b that want accepts. Memory for one variable
// is at most limit, and never more than b can hold.
func parseMAT(b []byte, limit int64, want func(name string) bool) ([]matArray, error) {
	if bytes.HasPrefix(b, []byte("MATLAB 7.3")) || bytes.HasPrefix(b, []byte("\x89HDF")) {
		return nil, errors.New("is a MATLAB 7.3 (HDF5) file; save it again with -v7")
	}
	if len(b) < matHeader {
		return nil, fmt.Errorf("has %d bytes; a MATLAB file has a header of %d", len(b), matHeader)
	}
	var order binary.ByteOrder
	switch string(b[126:128]) { // the characters MI as a number in the writer's order
	case "IM":
		order = binary.LittleEndian
	case "MI":
		order = binary.BigEndian
	default:
		return nil, errors.New("is not a MATLAB level 5 file; save it with -v7 or -v6")
	}
	if v := order.Uint16(b[124:]); v != 0x0100 {
		return nil, fmt.Errorf("has MATLAB format version %#04x; 0x0100 is read", v)
	}

	var out []matArray
	for rest := b[matHeader:]; len(rest) > 0; {
		if len(rest) < 8 {
			return nil, errMatShort
		}
		kind, n := order.Uint32(rest), int64(order.Uint32(rest[4:]))
		if n > int64(len(rest)-8) {
			return nil, errMatShort
		}
		body := rest[8 : 8+n]
		rest = rest[8+n:]
		var a *matArray
		var err error
		switch kind {
		case miMATRIX:
			a, err = parseMatrix(&matReader{r: bytes.NewReader(body), order: order, most: min(limit, n)}, want)
		case miCOMPRESSED:
			a, err = parseCompressed(body, order, limit, want)
		default:
			continue // anything else at top level has no name
		}
		if err != nil {
			return nil, err
		}
		if a != nil {
			out = append(out, *a)
		}
	}
	return out, nil
}

var errMatShort = fmt.Errorf("the file was cut short: %w", io.ErrUnexpectedEOF)

// parseCompressed reads a variable inside a zlib stream. Variables that are not
// wanted are inflated no further than their name.
func parseCompressed(b []byte, order binary.ByteOrder, limit int64, want func(string) bool) (*matArray, error) {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("compressed variable: %w", err)
	}
	defer z.Close()
	m := &matReader{r: z, order: order, most: min(limit, int64(len(b))*gzipRatio+1024)}
	var tag [8]byte
	if err := m.full(tag[:]); err != nil {
		return nil, err
	}
	if kind := order.Uint32(tag[:]); kind != miMATRIX {
		return nil, fmt.Errorf("compressed element of type %d; variables are of type %d", kind, miMATRIX)
	}
	return parseMatrix(m, want)
}

// matReader reads the subelements of one variable.
type matReader struct {
	r     io.Reader
	order binary.ByteOrder
	most  int64 // bound on one subelement
}

// full fills b.
func (m *matReader) full(b []byte) error {
	_, err := io.ReadFull(m.r, b)
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return errMatShort
	}
	return err
}

// element reads one subelement: an 8-byte tag, the data, padding to 8 bytes; or a
// "small data element", which has a 4-byte tag and up to 4 bytes of data in the
// tag's other half (figure 1-3).
func (m *matReader) element(most int64) (kind uint32, data []byte, err error) {
	var tag [8]byte
	if err := m.full(tag[:]); err != nil {
		return 0, nil, err
	}
	kind = m.order.Uint32(tag[:4])
	if small := kind >> 16; small != 0 {
		if small > 4 {
			return 0, nil, fmt.Errorf("small data element of %d bytes; at most 4 fit", small)
		}
		return kind & 0xffff, append([]byte(nil), tag[4:4+small]...), nil
	}
	n := int64(m.order.Uint32(tag[4:]))
	if n > min(most, m.most) {
		return 0, nil, fmt.Errorf("element of type %d declares %d bytes; at most %d can follow", kind, n, min(most, m.most))
	}
	data = make([]byte, n)
	if err := m.full(data); err != nil {
		return 0, nil, err
	}
	if pad := -n & 7; pad > 0 {
		// The last element of a file may come without its padding.
		if _, err := io.CopyN(io.Discard, m.r, pad); err != nil && err != io.EOF {
			return 0, nil, err
		}
	}
	return kind, data, nil
}

// parseMatrix reads one variable: flags, dimensions, name, real part. It returns
// nil when want refuses the name.
func parseMatrix(m *matReader, want func(string) bool) (*matArray, error) {
	kind, flags, err := m.element(8)
	if err != nil {
		return nil, err
	}
	if kind != miUINT32 || len(flags) != 8 {
		return nil, fmt.Errorf("variable starts with an element of type %d and %d bytes; array flags are 8 bytes of type %d", kind, len(flags), miUINT32)
	}
	word := m.order.Uint32(flags)
	class, complexed := word&0xff, word&0x0800 != 0

	kind, rawDims, err := m.element(4 * matMaxDims)
	if err != nil {
		return nil, err
	}
	if kind != miINT32 || len(rawDims)%4 != 0 || len(rawDims) < 8 {
		return nil, fmt.Errorf("variable has dimensions of type %d in %d bytes; two or more of type %d are needed", kind, len(rawDims), miINT32)
	}
	a := &matArray{big: m.order == binary.BigEndian}
	total := int64(1)
	for ; len(rawDims) > 0; rawDims = rawDims[4:] {
		d := int64(int32(m.order.Uint32(rawDims)))
		if d < 0 || (d > 0 && total > math.MaxInt32*8/d) {
			return nil, fmt.Errorf("variable declares dimensions %v, %d; that is no array in memory", a.dims, d)
		}
		total *= d
		a.dims = append(a.dims, int(d))
	}

	kind, name, err := m.element(matMaxNames)
	if err != nil {
		return nil, err
	}
	if kind != miINT8 && kind != miUINT8 {
		return nil, fmt.Errorf("variable's name has type %d, not %d", kind, miINT8)
	}
	a.name = string(name)
	if !want(a.name) {
		return nil, nil
	}
	// Classes 6 (double) to 15 (uint64) are numeric arrays (table 1-3).
	if class < 6 || class > 15 || complexed {
		return nil, fmt.Errorf("variable %q is not a real numeric array (class %d)", a.name, class)
	}
	a.kind, a.data, err = m.element(math.MaxInt64)
	if err != nil {
		return nil, fmt.Errorf("variable %q: %w", a.name, err)
	}
	size, ok := matSizes[a.kind]
	if !ok {
		return nil, fmt.Errorf("variable %q has elements of type %d, which is not numeric", a.name, a.kind)
	}
	if int64(len(a.data)) != total*int64(size) {
		return nil, fmt.Errorf("variable %q has %d bytes; %v elements of %d bytes are %d", a.name, len(a.data), a.dims, size, total*int64(size))
	}
	return a, nil
}

// integers returns the elements as whole numbers; other values are an error.
// MATLAB stores whole-numbered doubles in the smallest type that holds them.
func (a *matArray) integers() ([]int64, error) {
	var order binary.ByteOrder = binary.LittleEndian
	if a.big {
		order = binary.BigEndian
	}
	size := matSizes[a.kind]
	out := make([]int64, len(a.data)/size)
	for i := range out {
		b := a.data[i*size:]
		var f float64
		switch a.kind {
		case miINT8:
			out[i] = int64(int8(b[0]))
			continue
		case miUINT8:
			out[i] = int64(b[0])
			continue
		case miINT16:
			out[i] = int64(int16(order.Uint16(b)))
			continue
		case miUINT16:
			out[i] = int64(order.Uint16(b))
			continue
		case miINT32:
			out[i] = int64(int32(order.Uint32(b)))
			continue
		case miUINT32:
			out[i] = int64(order.Uint32(b))
			continue
		case miINT64, miUINT64: // labels beyond 2^63 come out negative and are refused later
			out[i] = int64(order.Uint64(b))
			continue
		case miSINGLE:
			f = float64(math.Float32frombits(order.Uint32(b)))
		case miDOUBLE:
			f = math.Float64frombits(order.Uint64(b))
		}
		if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return nil, fmt.Errorf("variable %q holds %v where a whole number is needed", a.name, f)
		}
		out[i] = int64(f)
	}
	return out, nil
}

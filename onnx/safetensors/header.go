package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// maxHeader bounds the JSON header: the format's own limit.
const maxHeader = 100_000_000

// metadataKey is the header entry that holds the strings and no tensor.
const metadataKey = "__metadata__"

// Header says where the tensors of a file lie, for those who write or read
// them piece by piece.
type Header struct {
	// Metadata is free text by key; nil is none.
	Metadata map[string]string

	// Tensors are in file order, without gap or overlap.
	Tensors []Entry

	// Size is the length of the whole file in bytes.
	Size int64
}

// Entry is a tensor without its elements.
type Entry struct {
	// Name, Type and Shape are those of a Tensor.
	Name  string
	Type  Type
	Shape []int

	// At is the first of the tensor's Bytes in the file, counted from the
	// file's beginning. LayOut fills in both.
	At, Bytes int64
}

// Tensor returns the entry called name.
func (h *Header) Tensor(name string) (Entry, bool) {
	for _, e := range h.Tensors {
		if e.Name == name {
			return e, true
		}
	}
	return Entry{}, false
}

// LayOut decides where tensors lie in a file, elements of eight bytes first and
// then by name, and returns that with the bytes that stand before them: a file
// of these, extended to the header's Size, is whole and holds zeros.
func LayOut(metadata map[string]string, tensors []Entry) (*Header, []byte, error) {
	h, first, err := layOut(metadata, tensors)
	if err != nil {
		return nil, nil, fmt.Errorf("safetensors: %w", err)
	}
	return h, first, nil
}

// entry is a tensor's line in the header.
type entry struct {
	Type    Type  `json:"dtype"`
	Shape   []int `json:"shape"`
	Offsets []int `json:"data_offsets"`
}

func layOut(metadata map[string]string, tensors []Entry) (*Header, []byte, error) {
	h := &Header{Metadata: metadata, Tensors: slices.Clone(tensors)}
	slices.SortFunc(h.Tensors, func(a, b Entry) int {
		// The widest elements go first, so that each tensor is aligned.
		return cmp.Or(cmp.Compare(b.Type.Size(), a.Type.Size()), cmp.Compare(a.Name, b.Name))
	})
	header := make(map[string]any, len(tensors)+1)
	if len(metadata) > 0 {
		for k, v := range metadata {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, nil, fmt.Errorf("metadata %q = %q is not valid UTF-8", k, v)
			}
		}
		header[metadataKey] = metadata
	}
	offset := 0
	for i := range h.Tensors {
		t := &h.Tensors[i]
		switch _, taken := header[t.Name]; {
		case t.Name == metadataKey:
			return nil, nil, fmt.Errorf("the name %q is kept for metadata; rename the tensor", t.Name)
		case taken:
			return nil, nil, fmt.Errorf("two tensors are called %q", t.Name)
		case !utf8.ValidString(t.Name):
			return nil, nil, fmt.Errorf("tensor name %q is not valid UTF-8", t.Name)
		}
		n, err := t.measure()
		if err != nil {
			return nil, nil, err
		}
		if n > maxData-offset {
			return nil, nil, fmt.Errorf("tensor %q of %s %v: with it the file has more bytes than a file can have", t.Name, t.Type, t.Shape)
		}
		e := entry{Type: t.Type, Shape: t.Shape, Offsets: []int{offset, offset + n}}
		if e.Shape == nil {
			e.Shape = []int{} // a scalar's shape is [], and null would be refused
		}
		header[t.Name] = e
		t.At, t.Bytes = int64(offset), int64(n)
		offset += n
	}
	j, err := json.Marshal(header) // sorts the keys
	if err != nil {
		return nil, nil, err
	}
	for len(j)%8 != 0 {
		j = append(j, ' ')
	}
	if len(j) > maxHeader {
		return nil, nil, fmt.Errorf("header of %d bytes; the format allows %d", len(j), maxHeader)
	}
	first := append(binary.LittleEndian.AppendUint64(nil, uint64(len(j))), j...)
	for i := range h.Tensors {
		h.Tensors[i].At += int64(len(first))
	}
	h.Size = int64(len(first) + offset)
	return h, first, nil
}

// ReadHeader reads what stands before the tensors of a file of size bytes, and
// checks that the tensors fill the rest of it.
func ReadHeader(r io.ReaderAt, size int64) (*Header, error) {
	h, err := readHeader(r, size)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return h, nil
}

func readHeader(r io.ReaderAt, size int64) (*Header, error) {
	var length [8]byte
	if size < 8 {
		return nil, fmt.Errorf("%d bytes hold no header length", size)
	}
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, fmt.Errorf("header length: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader {
		return nil, fmt.Errorf("header length %d; the format allows %d", n, maxHeader)
	}
	if n > uint64(size-8) {
		return nil, fmt.Errorf("header length %d, but only %d bytes follow", n, size-8)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil && n > 0 {
		return nil, fmt.Errorf("header: %w", err)
	}
	h, spans, err := parseHeader(text)
	if err != nil {
		return nil, err
	}
	h.Size = size
	begin := 8 + int64(n)
	return h, h.tile(spans, begin, int(min(size-begin, maxData)))
}

// tile brings the tensors into file order and checks that they fill the data:
// no gap, no overlap, nothing left over. spans are their offsets in it.
func (h *Header) tile(spans [][2]int, begin int64, data int) error {
	order := make([]int, len(spans))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(spans[i][0], spans[j][0]), cmp.Compare(spans[i][1], spans[j][1]),
			cmp.Compare(h.Tensors[i].Name, h.Tensors[j].Name))
	})
	sorted, end := make([]Entry, 0, len(order)), 0
	for _, i := range order {
		t, s := h.Tensors[i], spans[i]
		if s[0] != end || s[1] < s[0] {
			return fmt.Errorf("tensor %q lies at bytes %d to %d, where one beginning at %d was expected", t.Name, s[0], s[1], end)
		}
		if s[1] > data {
			return fmt.Errorf("tensor %q ends at byte %d of the data, which has %d; the file is cut short", t.Name, s[1], data)
		}
		n, err := t.measure()
		if err != nil {
			return err
		}
		if n != s[1]-s[0] {
			return fmt.Errorf("tensor %q of %s %v takes %d bytes, got %d", t.Name, t.Type, t.Shape, n, s[1]-s[0])
		}
		t.At, t.Bytes = begin+int64(s[0]), int64(n)
		sorted, end = append(sorted, t), s[1]
	}
	if end != data {
		return fmt.Errorf("%d bytes follow the last tensor", data-end)
	}
	h.Tensors = sorted
	return nil
}

// parseHeader reads the JSON token by token, since decoding it into a map
// would let the last of two tensors of one name win silently.
func parseHeader(b []byte) (*Header, [][2]int, error) {
	bad := func(err error) (*Header, [][2]int, error) {
		return nil, nil, fmt.Errorf("header is not the JSON the format wants: %w", err)
	}
	if !utf8.Valid(b) {
		return bad(errors.New("not valid UTF-8"))
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := open(dec); err != nil {
		return bad(err)
	}
	h, spans, seen := &Header{}, [][2]int(nil), map[string]bool{}
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return bad(err)
		}
		name := k.(string) // an object's keys are strings, or Token fails
		if seen[name] {
			return nil, nil, fmt.Errorf("header has two entries called %q", name)
		}
		seen[name] = true
		if name == metadataKey {
			if h.Metadata, err = parseMetadata(dec); err != nil {
				return bad(fmt.Errorf("%s: %w", metadataKey, err))
			}
			continue
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return bad(fmt.Errorf("tensor %q: %w", name, err))
		}
		var e entry
		strict := json.NewDecoder(bytes.NewReader(raw))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&e); err != nil {
			return bad(fmt.Errorf("tensor %q: %w", name, err))
		}
		if e.Shape == nil || len(e.Offsets) != 2 {
			return bad(fmt.Errorf("tensor %q: shape %v and data_offsets %v; it has a list of dimensions and two offsets", name, e.Shape, e.Offsets))
		}
		h.Tensors = append(h.Tensors, Entry{Name: name, Type: e.Type, Shape: e.Shape})
		spans = append(spans, [2]int(e.Offsets))
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return bad(err)
	}
	if _, err := dec.Token(); err != io.EOF { // spaces may pad, nothing else
		return bad(errors.New("more follows its object"))
	}
	return h, spans, nil
}

func parseMetadata(dec *json.Decoder) (map[string]string, error) {
	if err := open(dec); err != nil {
		return nil, err
	}
	m := map[string]string{}
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := dec.Token()
		if err != nil {
			return nil, err
		}
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%q is %v; metadata are strings", k, v)
		}
		if _, twice := m[k.(string)]; twice {
			return nil, fmt.Errorf("two entries called %q", k)
		}
		m[k.(string)] = s
	}
	_, err := dec.Token()
	return m, err
}

// open consumes the brace that begins an object.
func open(dec *json.Decoder) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("%v where an object should begin", t)
	}
	return nil
}

package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

// maxHeader bounds the JSON header: the format's own limit.
const maxHeader = 100_000_000

// metadataKey is the header entry that holds the strings and no tensor.
const metadataKey = "__metadata__"

// File is the content of a safetensors file.
type File struct {
	// Metadata is free text by key; nil is none.
	Metadata map[string]string

	// Tensors are in file order after reading: elements of eight bytes first,
	// then by name. For writing any order does.
	Tensors []Tensor
}

// Tensor returns the tensor called name.
func (f *File) Tensor(name string) (Tensor, bool) {
	for _, t := range f.Tensors {
		if t.Name == name {
			return t, true
		}
	}
	return Tensor{}, false
}

// Read reads the file at path.
func Read(path string) (*File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	f, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s is not a whole safetensors file: %w", path, err)
	}
	return f, nil
}

// Write writes f to path: beside it first, flushed to disk, then renamed, so
// that path holds the old content or the new, never a part.
func Write(path string, f *File) error {
	p, err := wholefile.New(path)
	if err != nil {
		return fmt.Errorf("safetensors: writing %s: %w", path, err)
	}
	defer p.Cleanup()
	if err := encode(p, f); err != nil {
		return fmt.Errorf("safetensors: writing %s: %w", path, err)
	}
	if err := p.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("safetensors: writing %s: %w", path, err)
	}
	return nil
}

// entry is a tensor's line in the header.
type entry struct {
	Type    Type  `json:"dtype"`
	Shape   []int `json:"shape"`
	Offsets []int `json:"data_offsets"`
}

// Encode writes f to w.
func Encode(w io.Writer, f *File) error {
	if err := encode(w, f); err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	return nil
}

func encode(w io.Writer, f *File) error {
	tensors := slices.Clone(f.Tensors)
	slices.SortFunc(tensors, func(a, b Tensor) int {
		// The widest elements go first, so that each tensor is aligned.
		return cmp.Or(cmp.Compare(b.Type.Size(), a.Type.Size()), cmp.Compare(a.Name, b.Name))
	})
	header := make(map[string]any, len(tensors)+1)
	if len(f.Metadata) > 0 {
		for k, v := range f.Metadata {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return fmt.Errorf("metadata %q = %q is not valid UTF-8", k, v)
			}
		}
		header[metadataKey] = f.Metadata
	}
	offset := 0
	for _, t := range tensors {
		switch _, taken := header[t.Name]; {
		case t.Name == metadataKey:
			return fmt.Errorf("the name %q is kept for metadata; rename the tensor", t.Name)
		case taken:
			return fmt.Errorf("two tensors are called %q", t.Name)
		case !utf8.ValidString(t.Name):
			return fmt.Errorf("tensor name %q is not valid UTF-8", t.Name)
		}
		if err := t.check(); err != nil {
			return err
		}
		e := entry{Type: t.Type, Shape: t.Shape, Offsets: []int{offset, offset + len(t.Data)}}
		if e.Shape == nil {
			e.Shape = []int{} // a scalar's shape is [], and null would be refused
		}
		header[t.Name] = e
		offset += len(t.Data)
	}
	j, err := json.Marshal(header) // sorts the keys
	if err != nil {
		return err
	}
	for len(j)%8 != 0 {
		j = append(j, ' ')
	}
	if len(j) > maxHeader {
		return fmt.Errorf("header of %d bytes; the format allows %d", len(j), maxHeader)
	}
	if _, err := w.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(j))), j...)); err != nil {
		return err
	}
	for _, t := range tensors {
		if _, err := w.Write(t.Data); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// Decode reads a file from b, which the tensors then share.
func Decode(b []byte) (*File, error) {
	f, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return f, nil
}

func decode(b []byte) (*File, error) {
	if len(b) < 8 {
		return nil, fmt.Errorf("%d bytes hold no header length", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	if n > maxHeader {
		return nil, fmt.Errorf("header length %d; the format allows %d", n, maxHeader)
	}
	if n > uint64(len(b)-8) {
		return nil, fmt.Errorf("header length %d, but only %d bytes follow", n, len(b)-8)
	}
	f, spans, err := parseHeader(b[8 : 8+n])
	if err != nil {
		return nil, err
	}
	data := b[8+n:]

	// The tensors must tile the data: no gap, no overlap, nothing left over.
	order := make([]int, len(spans))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(spans[i][0], spans[j][0]), cmp.Compare(spans[i][1], spans[j][1]),
			cmp.Compare(f.Tensors[i].Name, f.Tensors[j].Name))
	})
	sorted, end := make([]Tensor, 0, len(order)), 0
	for _, i := range order {
		t, s := f.Tensors[i], spans[i]
		if s[0] != end || s[1] < s[0] {
			return nil, fmt.Errorf("tensor %q lies at bytes %d to %d, where one beginning at %d was expected", t.Name, s[0], s[1], end)
		}
		if s[1] > len(data) {
			return nil, fmt.Errorf("tensor %q ends at byte %d of the data, which has %d; the file is cut short", t.Name, s[1], len(data))
		}
		t.Data = data[s[0]:s[1]:s[1]]
		if err := t.check(); err != nil {
			return nil, err
		}
		sorted, end = append(sorted, t), s[1]
	}
	if end != len(data) {
		return nil, fmt.Errorf("%d bytes follow the last tensor", len(data)-end)
	}
	f.Tensors = sorted
	return f, nil
}

// parseHeader reads the JSON token by token, since decoding it into a map
// would let the last of two tensors of one name win silently.
func parseHeader(b []byte) (*File, [][2]int, error) {
	bad := func(err error) (*File, [][2]int, error) {
		return nil, nil, fmt.Errorf("header is not the JSON the format wants: %w", err)
	}
	if !utf8.Valid(b) {
		return bad(errors.New("not valid UTF-8"))
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := open(dec); err != nil {
		return bad(err)
	}
	f, spans, seen := &File{}, [][2]int(nil), map[string]bool{}
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
			if f.Metadata, err = parseMetadata(dec); err != nil {
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
		f.Tensors = append(f.Tensors, Tensor{Name: name, Type: e.Type, Shape: e.Shape})
		spans = append(spans, [2]int(e.Offsets))
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return bad(err)
	}
	if _, err := dec.Token(); err != io.EOF { // spaces may pad, nothing else
		return bad(errors.New("more follows its object"))
	}
	return f, spans, nil
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

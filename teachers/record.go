package teachers

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

// A signals file is a safetensors file of one row per recorded image:
//
//	samples    U64 [rows]           identity of the sample
//	logits     F32 [rows, classes]
//	map/<tap>  F32 [rows, H, W]     or [rows, H, W, C] for raw activations
//	views      U32 [rows]           which augmentation of the sample
//
// Its metadata says what the rows depend on, under the keys below: a file is
// good for exactly this teacher, fed and tapped exactly so.
const (
	metaFormat     = "format" // signalsFormat
	metaTeacher    = "teacher"
	metaHash       = "teacher_sha256"
	metaTaps       = "taps" // JSON, as Tap marshals
	metaMap        = "map"
	metaPower      = "power"
	metaPreprocess = "preprocess"
	metaImage      = "image"       // JSON [C, H, W]: what the teacher was fed
	metaClassOrder = "class_order" // JSON, null for one to one
	metaLogits     = "logits"
	metaCommand    = "command" // what records the file again
)

const signalsFormat = "onnxdistill signals 1"

// RecordOptions say what is recorded. Rows has no default.
type RecordOptions struct {
	// Rows is the number of images, samples times views, that will be added.
	Rows int
	// Command is the command line that records the file again; it is quoted in
	// errors about missing samples. "" names Record.
	Command string
	// Extra is kept in the file's metadata beside our own keys: the data's
	// fingerprint, the augmentation, the seed.
	Extra map[string]string
}

// column is one tensor of a signals file.
type column struct {
	name string
	kind safetensors.Type
	row  []int // shape of one row
	at   int64 // first byte in the file
}

// bytes is the size of one row.
func (c column) bytes() int64 {
	n := int64(c.kind.Size())
	for _, d := range c.row {
		n *= int64(d)
	}
	return n
}

// entry is the tensor that holds the column in a file of so many rows.
func (c column) entry(rows int) safetensors.Entry {
	return safetensors.Entry{Name: c.name, Type: c.kind, Shape: append([]int{rows}, c.row...)}
}

// signalColumns lists what a teacher says of an image: logits and a map per
// tap, of one type.
func signalColumns(s Spec, kind safetensors.Type) []column {
	all := []column{{name: "logits", kind: kind, row: []int{s.Classes}}}
	for _, t := range s.Taps {
		row := []int{t.H, t.W}
		if s.Map == MapRaw || t.Gradient {
			row = append(row, t.C)
		}
		all = append(all, column{name: "map/" + t.Name, kind: kind, row: row})
	}
	return all
}

// columns lists the tensors of a signals file.
func columns(s Spec) []column {
	all := append([]column{{name: "samples", kind: safetensors.Uint64}}, signalColumns(s, safetensors.Float32)...)
	return append(all, column{name: "views", kind: safetensors.Uint32})
}

// Recorder writes signals to a file, row by row as they come, without holding
// them in memory. The file appears whole when Commit succeeds.
type Recorder struct {
	path    string
	spec    Spec
	file    *wholefile.File
	columns []column
	rows    int // promised
	samples []uint64
	views   []uint32
	seen    map[rowKey]bool
	scratch []byte
}

type rowKey struct {
	sample uint64
	view   uint32
}

// NewRecorder starts a signals file for the teacher that spec describes.
func NewRecorder(path string, spec Spec, o RecordOptions) (*Recorder, error) {
	if o.Rows < 1 {
		return nil, fmt.Errorf("teachers: recording %d rows; it must be at least one", o.Rows)
	}
	r := &Recorder{path: path, spec: spec, columns: columns(spec), rows: o.Rows, seen: make(map[rowKey]bool, o.Rows)}
	metadata, err := spec.metadata(path, o)
	if err != nil {
		return nil, err
	}
	entries := make([]safetensors.Entry, len(r.columns))
	for i, c := range r.columns {
		entries[i] = c.entry(o.Rows)
	}
	header, first, err := safetensors.LayOut(metadata, entries)
	if err != nil {
		return nil, fmt.Errorf("teachers: recording %d rows to %s: %w", o.Rows, path, err)
	}
	for i := range r.columns {
		e, _ := header.Tensor(r.columns[i].name)
		r.columns[i].at = e.At
	}
	if r.file, err = wholefile.New(path); err != nil {
		return nil, fmt.Errorf("teachers: recording to %s: %w", path, err)
	}
	if _, err := r.file.Write(first); err != nil {
		r.Close()
		return nil, fmt.Errorf("teachers: recording to %s: %w", path, err)
	}
	return r, nil
}

// metadata is what a signals file says of its teacher.
func (s Spec) metadata(path string, o RecordOptions) (map[string]string, error) {
	command := o.Command
	if command == "" {
		command = "call teachers.Record on " + s.Name
	}
	taps := s.Taps
	if taps == nil {
		taps = []Tap{}
	}
	m := map[string]string{
		metaFormat: signalsFormat, metaTeacher: s.Name, metaHash: s.Hash, metaMap: string(s.Map),
		metaPower:      strconv.FormatFloat(s.Power, 'g', -1, 64),
		metaPreprocess: s.Preprocess.String(), metaLogits: string(s.Logits), metaCommand: command,
	}
	for key, v := range map[string]any{metaTaps: taps, metaImage: [3]int{s.C, s.H, s.W}, metaClassOrder: s.ClassOrder} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("teachers: recording to %s: %w", path, err)
		}
		m[key] = string(text)
	}
	for k, v := range o.Extra {
		if _, ok := m[k]; ok {
			return nil, fmt.Errorf("teachers: recording to %s: the metadata key %q is taken", path, k)
		}
		m[k] = v
	}
	return m, nil
}

// Add appends the signals of a batch, whose Samples must be set. A sample and
// view may be added once.
func (r *Recorder) Add(b Batch, s *Signals) error {
	if b.N < 1 || len(b.Samples) != b.N {
		return fmt.Errorf("teachers: recording a batch of %d images with %d sample identities", b.N, len(b.Samples))
	}
	if len(r.samples)+b.N > r.rows {
		return fmt.Errorf("teachers: recording more than the %d rows announced", r.rows)
	}
	if len(s.Logits) != b.N*r.spec.Classes || len(s.Maps) != len(r.spec.Taps) {
		return fmt.Errorf("teachers: recording %d logits and %d maps for %d images; the teacher has %d classes and %d taps",
			len(s.Logits), len(s.Maps), b.N, r.spec.Classes, len(r.spec.Taps))
	}
	for i, m := range s.Maps {
		if want := b.N * int(r.columns[2+i].bytes()/4); len(m.Data) != want || m.Tap != r.spec.Taps[i].Name {
			return fmt.Errorf("teachers: recording %d numbers of tap %q; tap %q has %d for %d images", len(m.Data), m.Tap, r.spec.Taps[i].Name, want, b.N)
		}
	}
	for i, id := range b.Samples {
		k := rowKey{id, b.View}
		if r.seen[k] {
			return fmt.Errorf("teachers: recording %s a second time", b.sample(i))
		}
		r.seen[k] = true
	}
	row := int64(len(r.samples))
	if err := r.put(r.columns[1], row, s.Logits); err != nil {
		return err
	}
	for i, m := range s.Maps {
		if err := r.put(r.columns[2+i], row, m.Data); err != nil {
			return err
		}
	}
	for _, id := range b.Samples {
		r.samples = append(r.samples, id)
		r.views = append(r.views, b.View)
	}
	return nil
}

// put writes rows of a column from the given row on.
func (r *Recorder) put(c column, row int64, data any) error {
	var err error
	if r.scratch, err = binary.Append(r.scratch[:0], binary.LittleEndian, data); err == nil {
		_, err = r.file.WriteAt(r.scratch, c.at+row*c.bytes())
	}
	if err != nil {
		return fmt.Errorf("teachers: recording to %s: %w", r.path, err)
	}
	return nil
}

// Commit finishes the file and puts it in its place. All rows announced must
// have been added.
func (r *Recorder) Commit() error {
	if len(r.samples) != r.rows {
		return fmt.Errorf("teachers: recorded %d rows of the %d announced", len(r.samples), r.rows)
	}
	if err := r.put(r.columns[0], 0, r.samples); err != nil {
		return err
	}
	if err := r.put(r.columns[len(r.columns)-1], 0, r.views); err != nil {
		return err
	}
	if err := r.file.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("teachers: recording to %s: %w", r.path, err)
	}
	return nil
}

// Close drops what was recorded, unless Commit succeeded before.
func (r *Recorder) Close() error { return r.file.Cleanup() }

// Record asks a teacher about all batches and writes what it says.
func Record(path string, t Teacher, batches iter.Seq2[Batch, error], o RecordOptions) error {
	r, err := NewRecorder(path, t.Spec(), o)
	if err != nil {
		return err
	}
	defer r.Close()
	for b, err := range batches {
		if err != nil {
			return fmt.Errorf("teachers: recording to %s: %w", path, err)
		}
		s, err := t.Signals(b)
		if err != nil {
			return err
		}
		if err := r.Add(b, s); err != nil {
			return err
		}
	}
	return r.Commit()
}

var _ Teacher = (*Recorded)(nil)

// Recorded is a teacher that replays a signals file. It looks at a batch's
// Samples and View only, never at its pixels. Signals may be called from many
// goroutines.
type Recorded struct {
	path    string
	spec    Spec
	file    *os.File
	columns []column
	row     map[rowKey]int64
	meta    map[string]string
}

// OpenRecorded opens a signals file. The rows stay on disk until asked for.
func OpenRecorded(path string) (*Recorded, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("teachers: recorded signals: %w", err)
	}
	r := &Recorded{path: path, file: f}
	if err := r.read(); err != nil {
		f.Close()
		return nil, fmt.Errorf("teachers: recorded signals %s: %w; delete it and record again", path, err)
	}
	return r, nil
}

func (r *Recorded) read() error {
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	header, err := safetensors.ReadHeader(r.file, info.Size())
	if err != nil {
		return err
	}
	r.meta = header.Metadata
	samples, _ := header.Tensor("samples")
	logits, _ := header.Tensor("logits")
	if len(samples.Shape) != 1 || len(logits.Shape) != 2 {
		return errors.New("it holds no signals: samples [rows] and logits [rows, classes] are missing")
	}
	if logits.Shape[1] < 1 || logits.Shape[1] > math.MaxInt32 {
		return fmt.Errorf("it has %d classes", logits.Shape[1])
	}
	if r.spec, err = specOf(r.meta, logits.Shape[1]); err != nil {
		return err
	}
	rows := samples.Shape[0]
	r.columns = columns(r.spec)
	if err := locate(r.columns, header, rows); err != nil {
		return err
	}
	// ReadHeader has bounded rows by the file's size.
	ids, views := make([]uint64, rows), make([]uint32, rows)
	for _, part := range []struct {
		column column
		data   any
	}{{r.columns[0], ids}, {r.columns[len(r.columns)-1], views}} {
		section := io.NewSectionReader(r.file, part.column.at, part.column.bytes()*int64(rows))
		if err := binary.Read(bufio.NewReader(section), binary.LittleEndian, part.data); err != nil {
			return err
		}
	}
	r.row = make(map[rowKey]int64, rows)
	for i, id := range ids {
		r.row[rowKey{id, views[i]}] = int64(i)
	}
	return nil
}

// locate finds columns of so many rows in a file.
func locate(columns []column, header *safetensors.Header, rows int) error {
	for i := range columns {
		c := &columns[i]
		e, ok := header.Tensor(c.name)
		if !ok {
			return fmt.Errorf("the tensor %q is missing", c.name)
		}
		if want := c.entry(rows); e.Type != want.Type || !slices.Equal(e.Shape, want.Shape) {
			return fmt.Errorf("the tensor %q is %s %v, want %s %v", c.name, e.Type, e.Shape, want.Type, want.Shape)
		}
		c.at = e.At
	}
	return nil
}

// specOf reads what metadata wrote.
func specOf(meta map[string]string, classes int) (Spec, error) {
	if f := meta[metaFormat]; f != signalsFormat {
		return Spec{}, fmt.Errorf("its format is %q; this program reads %q", f, signalsFormat)
	}
	s := Spec{
		Name: meta[metaTeacher], Hash: meta[metaHash], Classes: classes,
		Map: MapKind(meta[metaMap]), Logits: Logits(meta[metaLogits]),
	}
	var err error
	if s.Power, err = strconv.ParseFloat(meta[metaPower], 64); err != nil {
		return s, fmt.Errorf("its power is %q", meta[metaPower])
	}
	if s.Preprocess, err = preprocess.Parse(meta[metaPreprocess]); err != nil {
		return s, err
	}
	var image [3]int
	for key, v := range map[string]any{metaTaps: &s.Taps, metaImage: &image, metaClassOrder: &s.ClassOrder} {
		if err := json.Unmarshal([]byte(meta[key]), v); err != nil {
			return s, fmt.Errorf("its %s: %w", key, err)
		}
	}
	s.C, s.H, s.W = image[0], image[1], image[2]
	for _, t := range s.Taps {
		if min(t.C, t.H, t.W) < 1 || max(t.C, t.H, t.W) > math.MaxUint16 {
			return s, fmt.Errorf("its tap %q has shape [%d, %d, %d]", t.Name, t.C, t.H, t.W)
		}
	}
	return s, nil
}

// Spec implements Teacher.
func (r *Recorded) Spec() Spec { return r.spec.clone() }

// Metadata returns the Extra that was recorded, and the file's own keys.
func (r *Recorded) Metadata() map[string]string { return r.meta }

// Len is the number of rows: samples times views.
func (r *Recorded) Len() int { return len(r.row) }

// Close implements Teacher.
func (r *Recorded) Close() error {
	if err := r.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Check returns an error when the file was not recorded from the teacher that
// want describes, fed and tapped as it says.
func (r *Recorded) Check(want Spec) error {
	for _, f := range []struct {
		what      string
		got, want any
	}{
		{"teacher (SHA-256)", r.spec.Hash, want.Hash},
		{"image [C, H, W]", [3]int{r.spec.C, r.spec.H, r.spec.W}, [3]int{want.C, want.H, want.W}},
		{"preprocessing", r.spec.Preprocess.String(), want.Preprocess.String()},
		{"source of logits", r.spec.Logits, want.Logits},
		{"classes", r.spec.Classes, want.Classes},
		{"class order", r.spec.ClassOrder, want.ClassOrder},
		{"map", r.spec.Map, want.Map},
		{"power", r.spec.Power, want.Power},
		{"taps", tapNames(r.spec.Taps), tapNames(want.Taps)},
	} {
		if got, want := fmt.Sprint(f.got), fmt.Sprint(f.want); got != want {
			return fmt.Errorf("teachers: recorded signals %s have %s %s, not %s; record again: %s", r.path, f.what, got, want, r.meta[metaCommand])
		}
	}
	return nil
}

func tapNames(taps []Tap) string {
	names := make([]string, len(taps))
	for i, t := range taps {
		names[i] = t.Name
	}
	return quoted(names)
}

// Signals implements Teacher.
func (r *Recorded) Signals(b Batch) (*Signals, error) {
	if b.N < 1 || len(b.Samples) != b.N {
		return nil, fmt.Errorf("teachers: recorded signals are found by sample identity; the batch of %d images has %d", b.N, len(b.Samples))
	}
	rows := make([]int64, b.N)
	for i, id := range b.Samples {
		row, ok := r.row[rowKey{id, b.View}]
		if !ok {
			return nil, fmt.Errorf("teachers: recorded signals %s lack %s; record again: %s", filepath.Base(r.path), b.sample(i), r.meta[metaCommand])
		}
		rows[i] = row
	}
	out := &Signals{}
	var err error
	if out.Logits, err = r.get(r.columns[1], rows); err != nil {
		return nil, err
	}
	for i, t := range r.spec.Taps {
		m := Map{Tap: t.Name, H: t.H, W: t.W, C: t.channels(r.spec.Map)}
		if m.Data, err = r.get(r.columns[2+i], rows); err != nil {
			return nil, err
		}
		out.Maps = append(out.Maps, m)
	}
	return out, nil
}

// get reads rows of a float column.
func (r *Recorded) get(c column, rows []int64) ([]float32, error) {
	size := c.bytes()
	out := make([]float32, 0, int64(len(rows))*size/4)
	buffer := make([]byte, size)
	for _, row := range rows {
		if _, err := r.file.ReadAt(buffer, c.at+row*size); err != nil {
			return nil, fmt.Errorf("teachers: recorded signals %s: %w", r.path, err)
		}
		for k := 0; k < len(buffer); k += 4 {
			out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(buffer[k:])))
		}
	}
	return out, nil
}

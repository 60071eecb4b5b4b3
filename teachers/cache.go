package teachers

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx/rewrite"
	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

// cacheFormat is the version of what lies in a cache folder, and of how views
// are drawn from a seed: a change of either makes another key.
const cacheFormat = "onnxdistill signals cache 1"

// CacheKey is all that recorded signals depend on, besides sample and view.
type CacheKey struct {
	Teacher   Spec
	Output    string    // the model's output with the class scores, where it was named
	Runtime   string    // version of ONNX Runtime, whose kernels may round otherwise than another's
	Data      string    // hash of the data set's content
	Decoding  int       // version of what makes pixels of that content; 0 is the first
	Image     [3]int    // of the samples: H, W, C
	Augment   string    // how views are made; "" where a sample has one view, itself
	Seed      uint64    // of the views; of no effect without Augment
	Precision Precision // "" is Float16
	Samples   []uint64  // identity of each sample of the data set, in its order
	DataName  string    // for people; not part of the key
}

// keyFile is the key.json of a cache folder.
type keyFile struct {
	Key     keyFields `json:"key"`
	Teacher string    `json:"teacher"` // the name its file had
	Data    string    `json:"data"`
}

// keyFields is what the key's hash is taken of, in this order.
type keyFields struct {
	Format     string    `json:"format"`
	SHA256     string    `json:"teacher_sha256"`
	Output     string    `json:"output"`
	Logits     Logits    `json:"logits"`
	Reading    string    `json:"reading,omitempty"` // by which passes, where they changed the teacher's file
	Layout     Layout    `json:"layout"`
	Input      [3]int    `json:"input"` // [C, H, W]
	Preprocess string    `json:"preprocess"`
	Classes    int       `json:"classes"`
	ClassOrder []int     `json:"class_order"` // null for one to one
	Map        MapKind   `json:"map"`
	Power      float64   `json:"power"`
	Taps       []Tap     `json:"taps"`
	Runtime    string    `json:"onnxruntime"`
	Data       string    `json:"data_fingerprint"`
	Decoding   int       `json:"decoding,omitempty"`
	Samples    int       `json:"samples"`
	Image      [3]int    `json:"image"` // [H, W, C]
	Augment    string    `json:"augment"`
	Seed       uint64    `json:"seed"`
	Precision  Precision `json:"precision"`
}

func (k CacheKey) fields() keyFields {
	f := keyFields{
		Format: cacheFormat, SHA256: k.Teacher.Hash, Output: k.Output, Logits: k.Teacher.Logits, Reading: reading(k.Teacher), Layout: k.Teacher.Layout,
		Input:      [3]int{k.Teacher.C, k.Teacher.H, k.Teacher.W},
		Preprocess: k.Teacher.Preprocess.String(), Classes: k.Teacher.Classes, ClassOrder: k.Teacher.ClassOrder,
		Map: k.Teacher.Map, Power: k.Teacher.Power, Taps: slices.Clone(k.Teacher.Taps),
		Runtime: k.Runtime, Data: k.Data, Decoding: k.Decoding, Samples: len(k.Samples), Image: k.Image,
		Augment: k.Augment, Seed: k.Seed, Precision: cmp.Or(k.Precision, Float16),
	}
	for i := range f.Taps {
		f.Taps[i].Suggested = false // it says nothing of the values
	}
	if len(f.ClassOrder) == 0 {
		f.ClassOrder = nil
	}
	if f.Augment == "" {
		f.Seed = 0
	}
	return f
}

// reading names what made the teacher's model of its file; it is empty where the
// file is read as it is. The file and the passes decide what they do, so its words
// for people are no part of the key.
func reading(teacher Spec) string {
	if teacher.Reading == "" {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("rewrite %d %s", rewrite.Version, teacher.ImageShape))
}

// hash is the key in hexadecimal.
func (f keyFields) hash() (string, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("teachers: key of the signals: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// nameLength is how much of a key's hash names its folder.
const nameLength = 16

// Cache keeps what one teacher says of one data set in a folder of its own, to
// be filled bit by bit and by several processes at once. Nothing that goes
// wrong with the folder is an error: what cannot be read is not there, what
// cannot be written is not kept, and either is said once.
//
// Its methods may be called from many goroutines.
type Cache struct {
	plan
	row  map[uint64]int32
	warn func(string)

	mu       sync.Mutex
	shards   map[shardID]*shard // open, of one view
	absent   bool               // there is no folder
	failed   bool               // writing was given up
	unusable map[string]bool    // files that are neither read nor replaced
	told     map[string]bool    // files something was said of
	scratch  []byte             // a row
}

// OpenCache opens the folder of key below root, and makes it where it is
// missing. warn is told, once each, what is wrong with the folder and its
// files; nil drops that. The error is one of the key.
func OpenCache(root string, key CacheKey, warn func(string)) (*Cache, error) {
	fields := key.fields()
	if err := fields.Precision.check(); err != nil {
		return nil, err
	}
	hash, err := fields.hash()
	if err != nil {
		return nil, err
	}
	if warn == nil {
		warn = func(string) {}
	}
	c := &Cache{
		plan: plan{
			folder: filepath.Join(root, hash[:nameLength]), key: hash, precision: fields.Precision,
			columns: signalColumns(key.Teacher, fields.Precision.kind()), samples: key.Samples,
		},
		row: make(map[uint64]int32, len(key.Samples)), warn: warn,
		shards: map[shardID]*shard{}, unusable: map[string]bool{}, told: map[string]bool{},
	}
	for _, col := range c.columns {
		c.rowBytes += int(col.bytes())
	}
	c.scratch = make([]byte, c.rowBytes)
	for i, id := range key.Samples {
		c.row[id] = int32(i)
	}
	if err := c.begin(keyFile{fields, key.Teacher.Name, key.DataName}); err != nil {
		c.fail(err)
		info, err := os.Stat(c.folder)
		c.absent = err != nil || !info.IsDir()
	}
	return c, nil
}

// begin makes the folder and says in it what it is.
func (c *Cache) begin(k keyFile) error {
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if err := os.MkdirAll(c.folder, 0o755); err != nil {
		return err
	}
	path := filepath.Join(c.folder, keyName)
	old, err := wholefile.Read(path)
	if err == nil && string(old) == string(text) {
		now := time.Now()
		os.Chtimes(path, now, now) // when it was last used; of no consequence where that fails
		c.sweep(now)
		return nil
	}
	return wholefile.Write(path, text)
}

const keyName = "key.json"

// sweep removes what killed processes left on its way to become a shard.
func (c *Cache) sweep(now time.Time) {
	left, _ := filepath.Glob(filepath.Join(c.folder, newPattern))
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) > time.Hour {
			os.Remove(path)
		}
	}
}

// Folder is where the signals are.
func (c *Cache) Folder() string { return c.folder }

// Bytes is what the samples take on disk in one view. Disks give files room in
// whole pages, so samples that lie scattered over the data set take more than
// what a row has.
func (c *Cache) Bytes(samples []uint64) int64 {
	const page = 4096
	rows := map[int][]int{} // within their shard, by shard
	for _, id := range samples {
		if row, ok := c.row[id]; ok {
			i := int(row) / shardRows
			rows[i] = append(rows[i], int(row)%shardRows)
		}
	}
	total := int64(0)
	for i, list := range rows {
		slices.Sort(list)
		s, _, first, err := c.layOut(shardID{index: i})
		if err != nil {
			continue // nothing is written there either
		}
		next := (int64(len(first)) + page - 1) / page // the first page not counted yet
		total += next
		for _, col := range s.columns {
			n := col.bytes()
			for _, row := range list {
				from := col.at + int64(row)*n
				end := (from + n + page - 1) / page
				total += max(0, end-max(next, from/page))
				next = max(next, end)
			}
		}
	}
	return total * page
}

// Writable reports whether signals can still be recorded.
func (c *Cache) Writable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.failed
}

// Recorded is how many of the samples are recorded in a view; see Missing.
func (c *Cache) Recorded(samples []uint64, view uint32) int {
	return len(samples) - len(c.Missing(samples, view))
}

// Missing returns the positions in samples of those that are not recorded in a
// view. Rows are told by their checksums without being read; a damaged one
// shows when it is asked for.
func (c *Cache) Missing(samples []uint64, view uint32) []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var missing []int
	sums := map[int][]byte{} // of each shard; nil where there is none
	for i, id := range samples {
		row, ok := c.row[id]
		if !ok {
			missing = append(missing, i)
			continue
		}
		shard := int(row) / shardRows
		if _, ok := sums[shard]; !ok {
			sums[shard] = c.sums(shardID{view, shard})
		}
		if at := 4 * (int(row) % shardRows); sums[shard] == nil || binary.LittleEndian.Uint32(sums[shard][at:]) == 0 {
			missing = append(missing, i)
		}
	}
	return missing
}

// sums is the checksums of a shard; nil where it cannot be read.
func (c *Cache) sums(id shardID) []byte {
	s := c.shard(id, false)
	if s == nil {
		return nil
	}
	b := make([]byte, 4*s.rows)
	if err := s.copy(b, s.sums.at); err != nil {
		c.setAside(s, err)
		return nil
	}
	return b
}

// read fills out, which has room for the batch, with what is recorded and
// returns the batch's other images.
func (c *Cache) read(b Batch, out *Signals) (missing []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range b.Samples {
		if !c.readRow(b, i) {
			missing = append(missing, i)
			continue
		}
		from := c.scratch
		for k, col := range c.columns {
			to := out.column(k)
			n := len(to) / b.N
			c.precision.decode(to[i*n:(i+1)*n], from)
			from = from[col.bytes():]
		}
	}
	return missing
}

// column is the logits, or else a map's numbers: in the order of
// signalColumns.
func (s *Signals) column(k int) []float32 {
	if k == 0 {
		return s.Logits
	}
	return s.Maps[k-1].Data
}

// readRow brings the row of image i to c.scratch and reports whether it is there
// and sound.
func (c *Cache) readRow(b Batch, i int) bool {
	row, ok := c.row[b.Samples[i]]
	if !ok {
		return false
	}
	s := c.shard(shardID{b.View, int(row) / shardRows}, false)
	if s == nil {
		return false
	}
	there, sound, err := s.read(int(row)%shardRows, c.scratch)
	switch {
	case err != nil:
		c.setAside(s, err)
	case there && !sound:
		c.tell(s.path, "recorded signals are damaged: %s: what is recorded of %s does not match its checksum; such images are computed and recorded again", s.path, b.sample(i))
	}
	return err == nil && sound
}

// write records the batch's images that are listed, from signals of all of it.
func (c *Cache) write(b Batch, listed []int, from *Signals) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range listed {
		row, ok := c.row[b.Samples[i]]
		if !ok || c.failed {
			continue
		}
		s := c.shard(shardID{b.View, int(row) / shardRows}, true)
		if s == nil || !s.writable {
			continue
		}
		numbers := c.scratch[:0]
		for k := range c.columns {
			all := from.column(k)
			n := len(all) / b.N
			numbers = c.precision.append(numbers, all[i*n:(i+1)*n])
		}
		if err := s.write(int(row)%shardRows, numbers); err != nil {
			if errors.As(err, new(damage)) {
				c.setAside(s, err)
				continue
			}
			c.fail(err)
		}
	}
}

// shard returns an open shard, or nil where there is none; with create its
// file is made. Shards of other views are closed, as an epoch has one view.
func (c *Cache) shard(id shardID, create bool) *shard {
	if s := c.shards[id]; s != nil {
		return s
	}
	path := c.path(id)
	if c.absent || c.unusable[path] {
		return nil
	}
	for other, s := range c.shards {
		if other.view != id.view {
			s.close()
			delete(c.shards, other)
		}
	}
	s, err := c.open(id)
	if errors.As(err, new(damage)) {
		c.moveAside(path, err)
		s, err = c.open(id) // another process may have made a new one
	}
	if errors.Is(err, fs.ErrNotExist) && create && !c.failed {
		if err = c.create(id); err == nil {
			s, err = c.open(id)
		}
		if err != nil {
			c.fail(err)
			return nil
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		c.unusable[path] = true
		c.tell(path, "recorded signals cannot be read: %v; what is in that file is computed each time", err)
		return nil
	case create && !s.writable:
		c.fail(fmt.Errorf("%s cannot be written", path))
	}
	c.shards[id] = s
	return s
}

// setAside takes a shard out of use that went bad while it was open.
func (c *Cache) setAside(s *shard, why error) {
	s.close()
	delete(c.shards, s.id)
	c.moveAside(s.path, why)
}

// damagedSuffix is appended to the name of a shard that is set aside.
const damagedSuffix = ".damaged"

// moveAside renames a bad shard, so that a new one can take its place.
func (c *Cache) moveAside(path string, why error) {
	if err := os.Rename(path, path+damagedSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.unusable[path] = true
		c.tell(path, "recorded signals are damaged: %v; what is in that file is computed each time, as it cannot be set aside: %v", why, err)
		return
	}
	c.tell(path, "recorded signals are damaged: %v; the file is set aside as %s and recorded again", why, filepath.Base(path)+damagedSuffix)
}

// tell warns of a file once.
func (c *Cache) tell(path, format string, args ...any) {
	if !c.told[path] {
		c.told[path] = true
		c.warn(fmt.Sprintf(format, args...))
	}
}

// fail gives up writing.
func (c *Cache) fail(why error) {
	if c.failed {
		return
	}
	c.failed = true
	what := why.Error()
	if !strings.Contains(what, c.folder) {
		what = c.folder + ": " + what
	}
	c.warn(fmt.Sprintf("signals are no longer recorded: %s; what is not recorded is computed each time", what))
}

// Close closes the files. Signals handed out stay valid; what is asked for
// afterwards opens them again.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range c.shards {
		s.close()
		delete(c.shards, id)
	}
	return nil
}

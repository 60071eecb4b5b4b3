package teachers

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

// CacheInfo describes a folder of recorded signals.
type CacheInfo struct {
	Name      string // of the folder: the beginning of its key's hash
	Folder    string
	Teacher   string    // the teacher's file name
	Data      string    // the data set, as its path was given
	Map       MapKind   // MapNone where logits alone are recorded
	Taps      []string  // values of the teacher's graph
	Gradient  bool      // the gradient with respect to the image is recorded, too
	Augment   string    // how views are made; "" where a sample has one
	Seed      uint64    // of the views
	Precision Precision // of the signals
	Samples   int       // of the data set, of all its splits
	Views     []int     // samples recorded in each view
	Bytes     int64     // on disk
	Used      time.Time // when a run opened it last
}

// Rows is the number of samples recorded, over all views.
func (i CacheInfo) Rows() int {
	n := 0
	for _, v := range i.Views {
		n += v
	}
	return n
}

// Caches lists the folders of recorded signals below root, the one used last
// first. A root that is not there has none.
func Caches(root string) ([]CacheInfo, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("teachers: recorded signals: %w", err)
	}
	var all []CacheInfo
	for _, e := range entries {
		if info, ok := cacheInfo(filepath.Join(root, e.Name())); ok {
			all = append(all, info)
		}
	}
	slices.SortStableFunc(all, func(a, b CacheInfo) int { return b.Used.Compare(a.Used) })
	return all, nil
}

// cacheInfo looks into a folder and reports whether it is one of ours.
func cacheInfo(folder string) (CacheInfo, bool) {
	path := filepath.Join(folder, keyName)
	text, err := wholefile.Read(path)
	if err != nil {
		return CacheInfo{}, false
	}
	var k keyFile
	if err := json.Unmarshal(text, &k); err != nil || !strings.HasPrefix(k.Key.Format, "onnxdistill signals cache") {
		return CacheInfo{}, false
	}
	info := CacheInfo{
		Name: filepath.Base(folder), Folder: folder, Teacher: k.Teacher, Data: k.Data, Map: k.Key.Map,
		Augment: k.Key.Augment, Seed: k.Key.Seed, Precision: k.Key.Precision, Samples: k.Key.Samples,
	}
	for _, t := range k.Key.Taps {
		if t.Gradient {
			info.Gradient = true
			continue
		}
		info.Taps = append(info.Taps, t.Name)
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return info, true
	}
	for _, f := range files {
		stat, err := f.Info()
		if err != nil {
			continue // removed meanwhile
		}
		info.Bytes += occupied(stat)
		if f.Name() == keyName {
			info.Used = stat.ModTime()
		}
		if view, rows, ok := countRows(filepath.Join(folder, f.Name())); ok {
			for len(info.Views) <= view {
				info.Views = append(info.Views, 0)
			}
			info.Views[view] += rows
		}
	}
	return info, true
}

// mostViews bounds the views that are counted, as a foreign file may claim any.
const mostViews = 1 << 20

// countRows returns the view of a shard and the rows in it. Anything else is
// not ok.
func countRows(path string) (view, rows int, ok bool) {
	if filepath.Ext(path) != ".safetensors" {
		return 0, 0, false
	}
	f, err := wholefile.Open(path)
	if err != nil {
		return 0, 0, false
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return 0, 0, false
	}
	h, err := safetensors.ReadHeader(f, stat.Size())
	if err != nil {
		return 0, 0, false
	}
	sums, ok := h.Tensor(checksumColumn.name)
	if view, err = strconv.Atoi(h.Metadata["view"]); err != nil || view < 0 || view > mostViews || !ok || sums.Type != checksumColumn.kind {
		return 0, 0, false
	}
	b := make([]byte, sums.Bytes)
	if _, err := f.ReadAt(b, sums.At); err != nil && len(b) > 0 {
		return 0, 0, false
	}
	for ; len(b) > 0; b = b[4:] {
		if binary.LittleEndian.Uint32(b) != 0 {
			rows++
		}
	}
	return view, rows, true
}

// RemoveCache removes the folder of recorded signals below root whose name is,
// or alone begins with, the given one.
func RemoveCache(root, name string) (CacheInfo, error) {
	all, err := Caches(root)
	if err != nil {
		return CacheInfo{}, err
	}
	var found []CacheInfo
	names := make([]string, len(all))
	for i, info := range all {
		names[i] = info.Name
		if name != "" && strings.HasPrefix(info.Name, name) {
			found = append(found, info)
		}
	}
	if len(found) != 1 {
		if len(all) == 0 {
			names = []string{"none"}
		}
		return CacheInfo{}, fmt.Errorf("teachers: %d folders of recorded signals in %s begin with %q; there are: %s", len(found), root, name, strings.Join(names, ", "))
	}
	// The key goes last, so that what an interruption leaves is still listed.
	files, err := os.ReadDir(found[0].Folder)
	if err != nil {
		return found[0], fmt.Errorf("teachers: %w", err)
	}
	for _, f := range files {
		if f.Name() != keyName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(found[0].Folder, f.Name())))
		}
	}
	if err == nil {
		err = os.RemoveAll(found[0].Folder)
	}
	if err != nil {
		return found[0], fmt.Errorf("teachers: removing recorded signals: %w", err)
	}
	return found[0], nil
}

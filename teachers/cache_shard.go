package teachers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

// shardRows is the number of samples in one file: some 10 MB for a network of
// CIFAR's size, which is little to lose and few files to open.
const shardRows = 4096

// plan is what the shards of one cache folder have in common.
type plan struct {
	folder    string
	key       string // full hash of the CacheKey
	precision Precision
	columns   []column // of the signals, without positions
	rowBytes  int      // of their numbers
	samples   []uint64 // identity of each row, all shards one after the other
}

// The columns of a shard beside the signals'.
var (
	sampleColumn   = column{name: "samples", kind: safetensors.Uint64}
	checksumColumn = column{name: "checksums", kind: safetensors.Uint32}
)

// shardID names a shard within its folder.
type shardID struct {
	view  uint32
	index int // rows from index·shardRows on
}

// shard is one file: shardRows samples in one view. A row is there when its
// checksum is not zero, and sound when that is right.
//
// Rows are written by position, so that a full disk gives an error, and read
// from a memory map.
type shard struct {
	*plan
	id       shardID
	path     string
	rows     int
	columns  []column // of the signals
	sums     column
	file     *os.File
	mem      []byte // nil where files cannot be mapped
	writable bool
}

func (p *plan) path(id shardID) string {
	return filepath.Join(p.folder, fmt.Sprintf("view-%05d-rows-%08d.safetensors", id.view, id.index*shardRows))
}

// layOut returns a shard that is not open, its length, and the bytes it begins
// with: header, identities, and checksums of zero.
func (p *plan) layOut(id shardID) (*shard, int64, []byte, error) {
	s := &shard{plan: p, id: id, path: p.path(id), rows: min(shardRows, len(p.samples)-id.index*shardRows)}
	own := append([]column{sampleColumn, checksumColumn}, p.columns...)
	entries := make([]safetensors.Entry, len(own))
	for i, c := range own {
		entries[i] = c.entry(s.rows)
	}
	header, first, err := safetensors.LayOut(map[string]string{
		"format": cacheFormat, "key": p.key, "view": strconv.FormatUint(uint64(id.view), 10), "first_row": strconv.Itoa(id.index * shardRows),
	}, entries)
	if err != nil {
		return nil, 0, nil, err
	}
	if err := locate(own, header, s.rows); err != nil {
		return nil, 0, nil, err
	}
	s.sums, s.columns = own[1], own[2:]
	// Identities and checksums, the widest types, stand before the signals.
	for _, id := range p.samples[id.index*shardRows:][:s.rows] {
		first = binary.LittleEndian.AppendUint64(first, id)
	}
	first = append(first, make([]byte, 4*s.rows)...)
	return s, header.Size, first, nil
}

// damage is what is wrong with a shard's file.
type damage struct {
	path string
	what error
}

func (d damage) Error() string { return fmt.Sprintf("%s: %v", d.path, d.what) }
func (d damage) Unwrap() error { return d.what }

// open opens a shard's file. A file that is not there gives fs.ErrNotExist, and
// one that is not this shard's, whole, a damage.
func (p *plan) open(id shardID) (*shard, error) {
	writable := true
	info, err := os.Stat(p.path(id))
	if err != nil {
		return nil, err
	}
	if err := wholefile.Regular("it", info); err != nil {
		return nil, damage{p.path(id), err}
	}
	file, err := os.OpenFile(p.path(id), os.O_RDWR, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		writable = false
		file, err = os.Open(p.path(id))
	}
	if err != nil {
		return nil, err
	}
	s, size, first, err := p.layOut(id)
	if err == nil {
		s.file, s.writable = file, writable
		err = s.begin(size, first)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return s, nil
}

// begin checks the open file and maps it.
func (s *shard) begin(size int64, first []byte) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() != size {
		return damage{s.path, fmt.Errorf("it has %d bytes, not %d", info.Size(), size)}
	}
	got := make([]byte, len(first)-4*s.rows) // the checksums may be any
	if _, err := s.file.ReadAt(got, 0); err != nil {
		return damage{s.path, err}
	}
	if !bytes.Equal(got, first[:len(got)]) {
		return damage{s.path, errors.New("its header is not that of these signals")}
	}
	if s.mem, err = mapFile(s.file, size); err != nil {
		s.mem = nil // a file system that cannot map is read by position
	}
	return nil
}

// create makes the file of a shard that has none, with no row in it. It appears
// whole; when another process was first, that one's stays.
func (p *plan) create(id shardID) error {
	s, size, first, err := p.layOut(id)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(p.folder, newPattern)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(first)
	err = errors.Join(err, f.Truncate(size), f.Chmod(0o644), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), s.path); err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	// A file system without links: of two processes, the later one's stays,
	// and the earlier one's rows are recorded again.
	return os.Rename(f.Name(), s.path)
}

// newPattern names files on their way to become shards.
const newPattern = ".new-*"

func (s *shard) close() {
	if s.mem != nil {
		unmapFile(s.mem)
		s.mem = nil
	}
	s.file.Close()
}

// copy copies len(dst) bytes of the file.
func (s *shard) copy(dst []byte, from int64) error {
	if s.mem != nil {
		return s.guard(func() { copy(dst, s.mem[from:]) })
	}
	if _, err := s.file.ReadAt(dst, from); err != nil {
		return damage{s.path, err}
	}
	return nil
}

// guard runs f, which reads mapped memory, and returns an error where that is
// no longer backed by the file, because someone cut it short, or by its disk.
func (s *shard) guard(f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			if _, fault := r.(interface{ Addr() uintptr }); !fault {
				panic(r)
			}
			err = damage{s.path, errors.New("it cannot be read where it was mapped; it may have been cut short meanwhile")}
		}
	}()
	f()
	return nil
}

// sum is a row's checksum: 0 where the row is not there.
func (s *shard) sum(row int) (uint32, error) {
	var b [4]byte
	err := s.copy(b[:], s.sums.at+4*int64(row))
	return binary.LittleEndian.Uint32(b[:]), err
}

// read brings a row's numbers to scratch, of rowBytes, and tells whether the
// row is there and whether it is sound.
func (s *shard) read(row int, scratch []byte) (there, sound bool, err error) {
	want, err := s.sum(row)
	if err != nil || want == 0 {
		return false, false, err
	}
	// Copied before it is checked, as another process may be writing it.
	to := scratch
	for _, c := range s.columns {
		n := c.bytes()
		if err := s.copy(to[:n], c.at+int64(row)*n); err != nil {
			return false, false, err
		}
		to = to[n:]
	}
	return true, s.checksum(row, scratch) == want, nil
}

// write puts a row's numbers in the file, and only then their checksum, so that
// a process killed in between leaves a row that is not there.
func (s *shard) write(row int, numbers []byte) error {
	sum := binary.LittleEndian.AppendUint32(nil, s.checksum(row, numbers))
	at := s.sums.at + 4*int64(row)
	if old, err := s.sum(row); err != nil {
		return err
	} else if old != 0 {
		if _, err := s.file.WriteAt(make([]byte, 4), at); err != nil {
			return err
		}
	}
	for _, c := range s.columns {
		n := c.bytes()
		if _, err := s.file.WriteAt(numbers[:n], c.at+int64(row)*n); err != nil {
			return err
		}
		numbers = numbers[n:]
	}
	_, err := s.file.WriteAt(sum, at)
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is CRC-32C (RFC 3720, appendix B.4) over a row's sample, view and
// numbers; 1 stands for 0, which means that there is no row.
func (s *shard) checksum(row int, numbers []byte) uint32 {
	var head [12]byte
	binary.LittleEndian.PutUint64(head[:], s.samples[s.id.index*shardRows+row])
	binary.LittleEndian.PutUint32(head[8:], s.id.view)
	return max(1, crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, numbers))
}

//go:build unix

package teachers

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestChildMeetsALimit records with a limit on the size of files, which a
// write meets as it meets a full disk.
func TestChildMeetsALimit(t *testing.T) {
	folder := inChild(t)
	signal.Ignore(syscall.SIGXFSZ)
	samples, o := sampleIDs(64), newOracle()
	cached, cache, w := openCached(t, folder, o, samples, Float16)
	first := viewOf(samples[:32], 0)
	signalsOf(t, cached, first)
	s, size, begin, err := cache.layOut(shardID{})
	if err != nil {
		t.Fatal(err)
	}
	var limit uint64
	switch os.Getenv("ONNXDISTILL_TEST_LIMIT") {
	case "rows":
		limit = uint64(size) - uint64(s.columns[2].bytes())*8 // the last rows of the last column
	case "files":
		limit = uint64(len(begin)) // no new shard
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Fatal(err)
	}
	w.want(t)
	all := viewOf(samples, 0)
	for range 2 {
		expect(t, signalsOf(t, cached, all), all, Float16)
	}
	next := viewOf(samples, 1)
	expect(t, signalsOf(t, cached, next), next, Float16)
	expect(t, signalsOf(t, cached, first), first, Float16)
	fmt.Println("warned:", strings.Join(*w, " | "), "asked:", o.asked)
}

func TestAFullDiskIsSaidOnceAndNothingIsLost(t *testing.T) {
	for _, c := range []struct{ name, asked string }{
		// 32 before the limit; then those that are not recorded, again and
		// again; what was recorded is never asked for.
		{"rows", "asked: [32 32 8 64]"},
		{"files", "asked: [32 32 32 64]"},
	} {
		t.Run("no room for "+c.name, func(t *testing.T) {
			folder := t.TempDir()
			out, err := child(t, "TestChildMeetsALimit", folder, "ONNXDISTILL_TEST_LIMIT="+c.name).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			_, said, _ := strings.Cut(string(out), "warned: ")
			said, _, _ = strings.Cut(said, "\n")
			for _, want := range []string{folder, "file too large", "computed each time", c.asked} {
				if !strings.Contains(said, want) {
					t.Errorf("%q is not in %q", want, said)
				}
			}
			if strings.Contains(said, "|") {
				t.Errorf("said more than once: %s", said)
			}
			// What was recorded before serves when there is room again.
			samples, o := sampleIDs(64), newOracle()
			cached, cache, w := openCached(t, folder, o, samples, Float16)
			b := viewOf(samples, 0)
			expect(t, signalsOf(t, cached, b), b, Float16)
			expect(t, signalsOf(t, cached, b), b, Float16)
			if len(o.asked) != 1 || o.asked[0] > 32 || cache.Recorded(samples, 0) != 64 {
				t.Errorf("asked about %v images, %d recorded", o.asked, cache.Recorded(samples, 0))
			}
			w.want(t)
		})
	}
}

// TestATinyDisk fills a disk of 128 KiB, where reading a part of a file that
// was never written would fault.
func TestATinyDisk(t *testing.T) {
	disk := t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk).Run(); err != nil {
		t.Skipf("no small disk can be mounted, which takes root on Linux: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, 0) })
	samples, o := sampleIDs(512), newOracle()
	cached, cache, w := openCached(t, disk, o, samples, Float32)
	for range 2 {
		for view := range uint32(2) {
			for from := 0; from < len(samples); from += 64 {
				b := viewOf(samples[from:from+64], view)
				expect(t, signalsOf(t, cached, b), b, Float32)
			}
		}
	}
	w.want(t, disk, "no space left on device")
	if n := cache.Recorded(samples, 0); n < 200 || n > 400 {
		t.Errorf("%d of 512 rows of 368 bytes recorded in 128 KiB", n)
	}
	if want := 4*512 - cache.Recorded(samples, 0) - cache.Recorded(samples, 1); o.images() != want {
		t.Errorf("asked about %d images in two rounds of two views, want %d", o.images(), want)
	}
	cached.Close()
}

func TestBytesAreWhatTheDiskGives(t *testing.T) {
	samples := sampleIDs(3*shardRows + 50)
	scattered := []uint64{}
	for i := 3; i < len(samples); i += 97 {
		scattered = append(scattered, samples[i])
	}
	for name, ids := range map[string][]uint64{"all": samples, "some": scattered, "one": samples[:1]} {
		t.Run(name, func(t *testing.T) {
			root, o := t.TempDir(), newOracle()
			cached, cache, _ := openCached(t, root, o, samples, Float16)
			for from := 0; from < len(ids); from += 500 {
				signalsOf(t, cached, viewOf(ids[from:min(from+500, len(ids))], 0))
			}
			all, err := Caches(root)
			if err != nil || len(all) != 1 {
				t.Fatal(all, err)
			}
			got, want := cache.Bytes(ids), all[0].Bytes
			// Beside the shards there is key.json; file systems may keep lists of
			// pages in pages of their own.
			if got > want || float64(got) < 0.8*float64(want)-16384 {
				t.Errorf("said to take %d bytes, takes %d", got, want)
			}
		})
	}
}

// TestChildReads asks about what is recorded and what is not, in a folder that
// it may not write.
func TestChildReads(t *testing.T) {
	folder := inChild(t)
	samples, o := sampleIDs(8), newOracle()
	cached, _, w := openCached(t, folder, o, samples, Float16)
	for range 2 {
		for view := range uint32(2) {
			expect(t, signalsOf(t, cached, viewOf(samples, view)), viewOf(samples, view), Float16)
		}
	}
	fmt.Println("warned:", strings.Join(*w, " | "), "asked:", o.asked)
}

func TestAFolderThatCannotBeWrittenIsRead(t *testing.T) {
	folder := openToAll(t)
	samples, o := sampleIDs(8), newOracle()
	cached, cache, _ := openCached(t, folder, o, samples, Float16)
	signalsOf(t, cached, viewOf(samples[:4], 0))
	cached.Close()
	shard := onlyShard(t, cache)
	for path, mode := range map[string]os.FileMode{shard: 0o444, filepath.Join(cache.Folder(), keyName): 0o444, cache.Folder(): 0o555} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(cache.Folder(), 0o755) })
	read := func() string {
		cmd := child(t, "TestChildReads", folder)
		if os.Getuid() == 0 { // whom nothing keeps from writing, so the child is someone else
			binary, err := os.ReadFile(os.Args[0])
			if err != nil {
				t.Fatal(err)
			}
			cmd.Path, cmd.Dir = filepath.Join(openToAll(t), "teachers.test"), "/"
			if err := os.WriteFile(cmd.Path, binary, 0o755); err != nil {
				t.Fatal(err)
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}} // nobody
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		_, said, _ := strings.Cut(string(out), "warned: ")
		said, _, _ = strings.Cut(said, "\n")
		return said
	}
	if said := read(); strings.Contains(said, "|") || !strings.Contains(said, "permission denied") || !strings.Contains(said, "asked: [4 8 4 8]") {
		t.Errorf("said %q; want one warning, four images read and the others asked about", said)
	}
	// A damaged shard cannot be set aside there either.
	if err := os.Truncate(shard, 100); err != nil {
		t.Fatal(err)
	}
	if said := read(); strings.Count(said, "|") != 1 || !strings.Contains(said, "100 bytes") || !strings.Contains(said, "cannot be set aside") || !strings.Contains(said, "asked: [8 8 8 8]") {
		t.Errorf("said %q; want that the shard is damaged and cannot be set aside", said)
	}
}

// openToAll is a temporary folder that every user may enter.
func openToAll(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "onnxdistill-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// Opening a pipe waits for its other end.
func TestPipesInTheCacheAreNotOpened(t *testing.T) {
	folder, samples := t.TempDir(), sampleIDs(8)
	cached, cache, _ := openCached(t, folder, newOracle(), samples, Float16)
	all := viewOf(samples, 0)
	signalsOf(t, cached, all)
	cached.Close()
	shard := cache.path(shardID{})
	for _, path := range []string{shard, filepath.Join(filepath.Dir(shard), keyName)} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := Caches(folder); err != nil || len(list) != 0 {
		t.Errorf("listed %v, %v; want none, as its key is a pipe", list, err)
	}
	again, _, w := openCached(t, folder, newOracle(), samples, Float16)
	expect(t, signalsOf(t, again, all), all, Float16)
	w.want(t, "it is a pipe and no regular file")
}

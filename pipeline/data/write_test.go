package data

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAWrittenFolderReadsBackTheSame(t *testing.T) {
	for _, channels := range []int{1, 3} {
		m := MemorySet{Classes: []string{"0", "1"}, H: 3, W: 4, C: channels}
		fill := func(n, first int) Memory {
			var out Memory
			for i := range n * 12 * channels {
				out.Pixels = append(out.Pixels, uint8(first+7*i))
			}
			for i := range n {
				out.Labels = append(out.Labels, i%2)
			}
			return out
		}
		m.Train, m.Val, m.Test = fill(6, 0), fill(4, 50), fill(2, 99)
		s, err := FromMemory(m)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "new", "set")
		if err := WriteFolder(dir, s); err != nil {
			t.Fatal(err)
		}
		back := mustOpen(t, dir, Options{})
		if back.C != channels {
			t.Errorf("got %d channels, want %d", back.C, channels)
		}
		type pair struct {
			label  int
			pixels string
		}
		content := func(s *Split) map[pair]int {
			out := map[pair]int{}
			px := make([]uint8, s.Size())
			for i := range s.Len() {
				if err := s.Read(i, px); err != nil {
					t.Fatal(err)
				}
				out[pair{s.Label(i), string(px)}]++
			}
			return out
		}
		for i, got := range []*Split{back.Train, back.Val, back.Test} {
			want := []*Split{s.Train, s.Val, s.Test}[i]
			if diff := cmp.Diff(content(want), content(got), cmp.AllowUnexported(pair{})); diff != "" {
				t.Errorf("%s: %s", got.Name(), diff)
			}
		}
		wantError(t, WriteFolder(dir, s), "not empty")
		if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 1 {
			t.Errorf("beside the folder lies %v, %v", left, err)
		}
	}
}

func TestFoldersCannotBeWrittenOutsideTheirRoot(t *testing.T) {
	for _, class := range []string{"..", "../up", "a/b", "/abs", ".hidden", "", "new\nline"} {
		s, err := FromMemory(MemorySet{Classes: []string{class, "b"}, H: 1, W: 1, C: 1, Train: Memory{make([]uint8, 2), []int{0, 1}}})
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, WriteFolder(filepath.Join(t.TempDir(), "x"), s), "cannot be the name of a folder")
	}
}

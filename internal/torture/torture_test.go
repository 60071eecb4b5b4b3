package torture

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

var (
	long = flag.Bool("torture.long", false, "the long form, some minutes")
	seed = flag.Uint64("torture.seed", 1, "of all that is drawn")
	keep = flag.String("torture.keep", "", "folder in which the files of bad attempts are kept")
	only = flag.String("torture.only", "", "only kinds whose name begins with this")
)

// kind is a way to torture the program.
type kind struct {
	name        string
	short, long int // attempts in the two forms
	// try makes attempt i in an empty folder. Of a bad outcome it says what to look at.
	try func(t *testing.T, w *world, rng *rand.Rand, i int, dir string) (outcome, string)
}

// TestTorture makes every attempt of every kind and prints how many came to what.
func TestTorture(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some hundred processes")
	}
	if runtime.GOOS != "linux" {
		t.Skipf("signals, devices and the measure of memory are Linux's; this is %s", runtime.GOOS)
	}
	w := newWorld(t)
	t.Logf("an undisturbed training takes %v and %d MiB; the bound is %d MiB", w.takes, w.memory>>20, w.program.memory>>20)
	var table counts
	for _, k := range kinds() {
		n := k.short
		if *long {
			n = k.long
		}
		if strings.HasPrefix(k.name, *only) {
			w.torture(t, &table, k, n)
		}
	}
	t.Logf("seed %d\n%s", *seed, &table)
}

func kinds() []kind {
	all := []kind{
		{"kill train", 4, 120, killTrain},
		{"kill signals", 1, 30, killSignals},
		{"kill export", 1, 30, killExport},
		{"pairs of seeds", 2, 40, pairOfSeeds},
		{"pairs of resumes", 1, 20, pairOfResumes},
		{"changed run, resumed", 10, 200, changeResumed},
		{"changed run, exported", 6, 120, changeExported},
		{"changed signals", 4, 80, changeSignals},
		{"changed data", 8, 160, changeData},
		{"changed model", 12, 240, changeModel},
	}
	return append(all, kind{"hostile input", len(hostile()), len(hostile()), hostileInput})
}

// torture makes the attempts of a kind, some at a time.
func (w *world) torture(t *testing.T, table *counts, k kind, n int) {
	var wait sync.WaitGroup
	free := make(chan bool, runtime.GOMAXPROCS(0))
	for i := range n {
		free <- true
		wait.Go(func() {
			defer func() { <-free }()
			h := fnv.New64a()
			fmt.Fprintf(h, "%s %d", k.name, i)
			dir := filepath.Join(w.dir, fmt.Sprintf("%s %d", k.name, i))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Error(err)
				return
			}
			came, detail := k.try(t, w, rand.New(rand.NewPCG(*seed, h.Sum64())), i, dir)
			table.add(k.name, came)
			if came.bad() {
				t.Errorf("%s, attempt %d of seed %d: %v: %s", k.name, i, *seed, came, detail)
				if *keep != "" {
					if err := os.CopyFS(filepath.Join(*keep, filepath.Base(dir)), os.DirFS(dir)); err != nil {
						t.Errorf("not all is kept: %v", err)
					}
				}
			}
			os.RemoveAll(dir)
		})
	}
	wait.Wait()
}

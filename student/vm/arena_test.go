package vm

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// abandoned runs a machine that nobody closes and returns the tensor that an
// output is bound to, and whether the memory was given back.
func abandoned(t *testing.T) (gorgonia.Value, *atomic.Int32) {
	g := gorgonia.NewGraph()
	y := must(op.Neg(vector(g, "a", 1, 2, 3)))
	m, err := New(g, gorgonia.Nodes{y})
	if err != nil {
		t.Fatal(err)
	}
	var freed atomic.Int32
	free := m.arenas.lease.free
	m.arenas.lease.free = func() { freed.Add(1); free() }
	run(t, m)
	return y.Value(), &freed
}

func TestMemoryOutlivesTheTensorsOverIt(t *testing.T) {
	v, freed := abandoned(t)
	for range 5 {
		runtime.GC()
		time.Sleep(time.Millisecond) // cleanups run beside
	}
	if freed.Load() != 0 {
		t.Error("the memory of a tensor in use was given back")
	}
	if diff := cmp.Diff([]float32{-1, -2, -3}, floats(t, v)); diff != "" {
		t.Errorf("value (-want +got):\n%s", diff)
	}
	runtime.KeepAlive(v)
	v = nil
	for end := time.Now().Add(10 * time.Second); freed.Load() == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		runtime.GC()
	}
	if n := freed.Load(); n != 1 {
		t.Errorf("memory that nobody can reach was given back %d times, want once", n)
	}
}

func TestCloseGivesMemoryBackOnce(t *testing.T) {
	g := gorgonia.NewGraph()
	m := newMachine(t, g, gorgonia.Nodes{must(op.Neg(vector(g, "a", 1, 2, 3)))})
	freed := 0
	free := m.arenas.lease.free
	m.arenas.lease.free = func() { freed++; free() }
	for range 2 {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if freed != 1 {
		t.Errorf("memory was given back %d times, want once", freed)
	}
}

// A scalar is copied out, so that it may be kept.
func TestScalarsOutliveTheMachine(t *testing.T) {
	g := gorgonia.NewGraph()
	a := vector(g, "a", 1, 2, 3)
	y := must(op.Sum(a))
	m := newMachine(t, g, gorgonia.Nodes{y})
	run(t, m)
	v := y.Value()
	a.Value().Data().([]float32)[0] = 2
	run(t, m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if v != y.Value() || floats(t, v)[0] != 7 {
		t.Errorf("the scalar is %v, the node shows %v, want 7", v, y.Value())
	}
}

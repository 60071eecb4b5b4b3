package importer

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// nested is a model whose function Outer calls Inner twice.
func nested() *onnx.Model {
	return calling(net([]string{"y"}, own("f", "Outer", "x -> y")),
		function("Outer", "a -> b", own("", "Inner", "a -> t"), own("", "Inner", "t -> b")),
		function("Inner", "a -> b", node("Relu", "a -> t"), node("Neg", "t -> b")))
}

func TestReadingReplacesFunctions(t *testing.T) {
	f := function("F", "a -> b", node("Relu", "a -> t"), node("Neg", "t -> b"))
	p := read(t, calling(net([]string{"y"}, own("f", "F", "x -> y")), f))
	if d := cmp.Diff([]string{"Relu: x -> f/t", "Neg: f/t -> y"}, wiring(p)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"calls of the model's own functions, replaced by the functions' nodes: 1"}, p.Notes); d != "" {
		t.Error(d)
	}
	f.Opsets[0].Version = 13
	_, err := Read(calling(net([]string{"y"}, own("f", "F", "x -> y")), f))
	e, ok := errors.AsType[*CallError](err)
	want := `importer: own.F "f" (opset 17): it calls a function of opset 13 from a model of opset 17; both must have the same opset`
	if !ok || !e.Unsupported || e.Domain != "own" || strings.Count(err.Error(), "importer:") != 1 || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

// A constant inside a function is one constant, however often it is called.
func TestFunctionsShareTheirConstants(t *testing.T) {
	const size = 1 << 20
	var nodes []*onnx.Node
	from := "x"
	for i := range 50 {
		to := fmt.Sprint("h", i)
		nodes = append(nodes, own("", "F", from+" -> "+to))
		from = to
	}
	large := onnx.AttrTensor("value", raw("", onnx.Float16, []int64{size / 2}, make([]byte, size)...))
	m := calling(net([]string{from}, nodes...), function("F", "a -> b", node("Constant", "-> w", large), node("Add", "a, w -> b")))
	var p *Program
	n := allocated(func() { p = read(t, m) })
	if len(p.Constants) != 50 || len(p.Calls) != 50 {
		t.Errorf("%d constants, %d calls", len(p.Constants), len(p.Calls))
	}
	if n > 10*size { // twice to widen it, the rest to compare models
		t.Errorf("a constant of %d bytes, used 50 times, takes %d", size, n)
	}
}

package onnx

import (
	"fmt"
	"strings"
	"testing"
)

func TestAttentionIsKnown(t *testing.T) {
	type dims = []int64
	for name, c := range map[string]struct {
		q, k, v dims
		attrs   []*Attr
		want    string
		macs    int64
	}{
		"heads apart":        {dims{1, 4, 3, 5}, dims{1, 2, 6, 5}, dims{1, 2, 6, 7}, nil, "[1 4 3 7]", 4*3*5*6 + 4*3*7*6},
		"heads side by side": {dims{1, 3, 20}, dims{1, 6, 10}, dims{1, 6, 14}, []*Attr{AttrInt("q_num_heads", 4), AttrInt("kv_num_heads", 2)}, "[1 3 28]", 3*20*6 + 3*28*6},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder("net", 23)
			var in []string
			for i, d := range []dims{c.q, c.k, c.v} {
				var shape []Dim
				for _, n := range d {
					shape = append(shape, Fixed(n))
				}
				in = append(in, b.Input(fmt.Sprint("in", i), Float32, shape...))
			}
			b.Output(b.Node("Attention", in, c.attrs...), "y", Float32)
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			if got := shapeString(m.Graph.Outputs[0].Shape); got != strings.ReplaceAll(c.want, " ", ",") && got != c.want {
				t.Errorf("the result is %s, want %s", got, c.want)
			}
			if got, err := MACs(m, nil); err != nil || got != c.macs {
				t.Errorf("%d multiplications, error %v; want %d", got, err, c.macs)
			}
			if err := m.SetBatch("batch"); err != nil {
				t.Fatal(err)
			}
			if got := m.Graph.Outputs[0].Shape[0]; got != Symbol("batch") {
				t.Errorf("the result's batch is %v, want it free", got)
			}
		})
	}
}

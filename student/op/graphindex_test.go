package op

import (
	"reflect"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A graph that is not made as indexNodes knows it takes n² steps to build.
func TestGraphsKnowTheirNodes(t *testing.T) {
	g := gorgonia.NewGraph()
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(2), gorgonia.WithName("x"))
	y := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(2), gorgonia.WithName("y"))
	indexNodes([]*gorgonia.Node{x, y})
	places := reflect.ValueOf(g).Elem().FieldByName("byID")
	if places.Len() != 3 { // x, y and the node to come
		t.Fatalf("the graph knows the places of %d nodes, want 3", places.Len())
	}
	sum, err := Add(x, y)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*gorgonia.Node{x, y, sum} {
		if got := g.Node(n.ID()); got != n {
			t.Errorf("node %d of the graph is %v, want %v", n.ID(), got, n)
		}
	}
	// Places are not ids once a node was removed.
	g.RemoveNode(x)
	z, err := ReLU(y)
	if err != nil {
		t.Fatal(err)
	}
	if got := g.Node(z.ID()); got != z {
		t.Errorf("node %d of the graph is %v, want %v", z.ID(), got, z)
	}
}

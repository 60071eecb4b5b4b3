package op

import (
	"reflect"
	"unsafe"

	"gorgonia.org/gorgonia"
)

// indexNodes enters the operands of the next node, and that node itself, into
// the graph's own index of its nodes.
//
// Gorgonia finds a node by its id through a map, which it fills only after a
// search through all nodes, and it looks up each new node to set its edges. So
// building n nodes takes n² steps, minutes for the 200,000 of a large file. Ids
// count up from 0, so a node's id is its position in a graph from which none was
// removed. The index is private to Gorgonia: this is written for v0.9.18, and a
// graph of another layout is left alone, which costs time and nothing else.
func indexNodes(in []*gorgonia.Node) {
	if len(in) == 0 || in[0].Graph() == nil {
		return // ApplyOp says what is wrong with them
	}
	g := reflect.ValueOf(in[0].Graph()).Elem()
	all, byID, counter := g.FieldByName("all"), g.FieldByName("byID"), g.FieldByName("counter")
	if !all.IsValid() || all.Kind() != reflect.Slice || !counter.IsValid() || !counter.CanUint() ||
		!byID.IsValid() || byID.Type() != reflect.TypeFor[map[int64]int]() || byID.IsNil() {
		return
	}
	next := all.Len()
	if counter.Uint() != uint64(next) {
		return // nodes were removed
	}
	places := *(*map[int64]int)(unsafe.Pointer(byID.UnsafeAddr()))
	places[int64(next)] = next
	for _, x := range in {
		if id := x.ID(); id >= 0 && id < int64(next) {
			places[id] = int(id)
		}
	}
}

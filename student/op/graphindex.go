package op

import (
	"reflect"
	"unsafe"

	"gorgonia.org/gorgonia"
)

// indexNodes tells a graph where its operands in and the node that comes next
// are.
//
// Gorgonia's graph looks nodes up by their ids in a map that it fills only once
// it has found a node by going through all of them, and it looks up each new node
// to set its edges: building n nodes takes n² steps, minutes for the 200,000 of a
// large file. Ids are counted up, so that a node's id is its place in a graph
// from which none was removed. Where the graph is not made as in v0.9.18, of
// which this is written, nothing is told, and building takes longer.
func indexNodes(in []*gorgonia.Node) {
	if len(in) == 0 || in[0].Graph() == nil {
		return // ApplyOp says what is wrong with them
	}
	g := reflect.ValueOf(in[0].Graph()).Elem()
	all, byID, counter := g.FieldByName("all"), g.FieldByName("byID"), g.FieldByName("counter")
	if !all.IsValid() || all.Kind() != reflect.Slice || !counter.IsValid() || !counter.CanUint() ||
		!byID.IsValid() || byID.Type() != reflect.TypeFor[map[int64]int]() {
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

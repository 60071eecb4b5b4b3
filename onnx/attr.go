package onnx

import (
	"fmt"
	"slices"
)

// AttrType says which field of an Attr is meaningful, numbered as in the file
// format.
type AttrType int32

// The kinds of attribute. Sparse tensors and types are carried, not
// interpreted.
const (
	AttrUndefined         AttrType = 0
	AttrTypeFloat         AttrType = 1
	AttrTypeInt           AttrType = 2
	AttrTypeString        AttrType = 3
	AttrTypeTensor        AttrType = 4
	AttrTypeGraph         AttrType = 5
	AttrTypeFloats        AttrType = 6
	AttrTypeInts          AttrType = 7
	AttrTypeStrings       AttrType = 8
	AttrTypeTensors       AttrType = 9
	AttrTypeGraphs        AttrType = 10
	AttrTypeSparseTensor  AttrType = 11
	AttrTypeSparseTensors AttrType = 12
	AttrTypeTypeProto     AttrType = 13
	AttrTypeTypeProtos    AttrType = 14
)

var attrTypeNames = [...]string{
	"undefined", "float", "int", "string", "tensor", "graph", "floats", "ints", "strings", "tensors", "graphs",
	"sparse tensor", "sparse tensors", "type", "types",
}

// String returns the kind's name: "int", "floats".
func (t AttrType) String() string {
	if t < 0 || int(t) >= len(attrTypeNames) {
		return fmt.Sprintf("AttrType(%d)", int32(t))
	}
	return attrTypeNames[t]
}

// Attr is one named attribute of a node. Type says which of the value fields
// counts; the others are zero.
type Attr struct {
	Name, Doc string
	Type      AttrType
	// Ref, inside a function's nodes, names the function's attribute whose
	// value this one takes; the value fields are then empty.
	Ref string

	Float   float32
	Int     int64
	Str     string // bytes in the file; UTF-8 by custom only
	Tensor  *Tensor
	Graph   *Graph
	Floats  []float32
	Ints    []int64
	Strs    []string
	Tensors []*Tensor
	Graphs  []*Graph

	rest []byte // sparse tensors, types and newer fields
}

// AttrFloat makes a float attribute.
func AttrFloat(name string, v float32) *Attr { return &Attr{Name: name, Type: AttrTypeFloat, Float: v} }

// AttrInt makes an int attribute.
func AttrInt(name string, v int64) *Attr { return &Attr{Name: name, Type: AttrTypeInt, Int: v} }

// AttrString makes a string attribute.
func AttrString(name, v string) *Attr { return &Attr{Name: name, Type: AttrTypeString, Str: v} }

// AttrTensor makes a tensor attribute.
func AttrTensor(name string, t *Tensor) *Attr {
	return &Attr{Name: name, Type: AttrTypeTensor, Tensor: t}
}

// AttrGraph makes a subgraph attribute, such as the branches of If.
func AttrGraph(name string, g *Graph) *Attr { return &Attr{Name: name, Type: AttrTypeGraph, Graph: g} }

// AttrFloats makes an attribute of a list of floats.
func AttrFloats(name string, v ...float32) *Attr {
	return &Attr{Name: name, Type: AttrTypeFloats, Floats: slices.Clone(v)}
}

// AttrInts makes an attribute of a list of ints.
func AttrInts(name string, v ...int64) *Attr {
	return &Attr{Name: name, Type: AttrTypeInts, Ints: slices.Clone(v)}
}

// AttrStrings makes an attribute of a list of strings.
func AttrStrings(name string, v ...string) *Attr {
	return &Attr{Name: name, Type: AttrTypeStrings, Strs: slices.Clone(v)}
}

// Attr returns the node's attribute of the given name, or nil.
func (n *Node) Attr(name string) *Attr {
	for _, a := range n.Attrs {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// SetAttr adds a to the node, in place of an attribute of the same name.
func (n *Node) SetAttr(a *Attr) {
	for i := range n.Attrs {
		if n.Attrs[i].Name == a.Name {
			n.Attrs[i] = a
			return
		}
	}
	n.Attrs = append(n.Attrs, a)
}

func (n *Node) attrOf(name string, t AttrType) *Attr {
	if a := n.Attr(name); a != nil && a.Type == t {
		return a
	}
	return nil
}

// Int returns the int attribute of the given name, or def when the node has
// none of that name and kind.
func (n *Node) Int(name string, def int64) int64 {
	if a := n.attrOf(name, AttrTypeInt); a != nil {
		return a.Int
	}
	return def
}

// Float returns the float attribute of the given name, or def when the node
// has none of that name and kind.
func (n *Node) Float(name string, def float32) float32 {
	if a := n.attrOf(name, AttrTypeFloat); a != nil {
		return a.Float
	}
	return def
}

// Str returns the string attribute of the given name, or def when the node has
// none of that name and kind.
func (n *Node) Str(name, def string) string {
	if a := n.attrOf(name, AttrTypeString); a != nil {
		return a.Str
	}
	return def
}

// Ints returns the list of ints of the given name, or nil. The slice is the
// attribute's own.
func (n *Node) Ints(name string) []int64 {
	if a := n.attrOf(name, AttrTypeInts); a != nil {
		return a.Ints
	}
	return nil
}

// Floats returns the list of floats of the given name, or nil. The slice is
// the attribute's own.
func (n *Node) Floats(name string) []float32 {
	if a := n.attrOf(name, AttrTypeFloats); a != nil {
		return a.Floats
	}
	return nil
}

// Tensor returns the tensor attribute of the given name, or nil.
func (n *Node) Tensor(name string) *Tensor {
	if a := n.attrOf(name, AttrTypeTensor); a != nil {
		return a.Tensor
	}
	return nil
}

// graphs yields the subgraphs an attribute holds.
func (a *Attr) graphs() []*Graph {
	switch {
	case a.Graph == nil:
		return a.Graphs
	case len(a.Graphs) == 0:
		return []*Graph{a.Graph}
	}
	return append([]*Graph{a.Graph}, a.Graphs...)
}

func (a *Attr) clone() *Attr {
	if a == nil {
		return nil
	}
	c := *a
	c.Tensor = a.Tensor.Clone()
	c.Graph = a.Graph.Clone()
	c.Floats = slices.Clone(a.Floats)
	c.Ints = slices.Clone(a.Ints)
	c.Strs = slices.Clone(a.Strs)
	c.Tensors = cloneAll(a.Tensors, (*Tensor).Clone)
	c.Graphs = cloneAll(a.Graphs, (*Graph).Clone)
	return &c
}

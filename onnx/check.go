package onnx

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// The newest versions this package knows, of ONNX 1.20 and its successor.
// Newer files may use what it would misread.
const (
	MaxIR    = 13
	MaxOpset = 26
)

// IR versions with which rules came.
const (
	irOpsets       = 3 // opset imports are required
	irInitializers = 4 // initializers need not be inputs too
)

// Check reports the first fault in the structure of a model, one read from a
// file or one made by hand:
//
//   - IR and opset versions lie within what this package knows, every domain a
//     node uses is imported, once;
//   - every name resolves: operands are made before they are used (which rules
//     out cycles), in subgraphs also by the graphs around them; outputs exist;
//   - every value has one producer;
//   - inputs and outputs of the main graph have types, declarations of one
//     value agree, tensors have as much data as their type and dims ask for;
//   - attributes are named once and hold the value their type says;
//   - functions are called without recursion.
//
// It does not ask whether operators exist or take such operands: that needs
// their definitions, which ONNX Runtime has. Compared with the checker of the
// onnx Python package it lets a value of unknown rank pass, and it refuses
// outputs nobody makes, data of the wrong length and a domain imported in two
// versions, on which that checker is silent.
func Check(m *Model) error {
	if m == nil || m.Graph == nil {
		return errors.New("onnx: the model has no graph")
	}
	if m.IRVersion < 1 || m.IRVersion > MaxIR {
		return fmt.Errorf("onnx: the model has IR version %d; this program knows 1 to %d", m.IRVersion, MaxIR)
	}
	c := &checker{ir: m.IRVersion, functions: make(map[functionID]*Function)}
	if m.IRVersion >= irOpsets && len(m.Opsets) == 0 {
		return errors.New("onnx: the model imports no operator set; from IR version 3 on it must import one")
	}
	var err error
	if c.opsets, err = checkOpsets(m.imports()); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	keys := make(map[string]bool)
	for _, kv := range m.Metadata {
		if keys[kv.Key] {
			return fmt.Errorf("onnx: the model's metadata has the key %q twice", kv.Key)
		}
		keys[kv.Key] = true
	}
	if err := c.checkFunctions(m.Functions); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	if err := c.graph(m.Graph, nil); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return nil
}

// imports is the operator sets the model relies on: IR versions 1 and 2 could
// not say and mean the first version.
func (m *Model) imports() []Opset {
	if len(m.Opsets) == 0 && m.IRVersion < irOpsets {
		return []Opset{{Version: 1}}
	}
	return m.Opsets
}

// checkOpsets returns the version of each imported domain.
func checkOpsets(in []Opset) (map[string]int64, error) {
	out := make(map[string]int64)
	for _, o := range in {
		d := CanonicalDomain(o.Domain)
		limit := int64(1) << 31
		if d == "" {
			limit = MaxOpset
		}
		if o.Version < 1 || o.Version > limit {
			return nil, fmt.Errorf("%s is imported in version %d; this program knows 1 to %d", domainName(d), o.Version, limit)
		}
		if have, ok := out[d]; ok && have != o.Version {
			return nil, fmt.Errorf("%s is imported in versions %d and %d; one is allowed", domainName(d), have, o.Version)
		}
		out[d] = o.Version
	}
	return out, nil
}

func domainName(d string) string {
	if d == "" {
		return "the default operator set"
	}
	return fmt.Sprintf("the operator set %q", d)
}

type functionID struct{ domain, name, overload string }

// checker walks a model. Its methods' errors lack the package's name, which
// Check puts in front.
type checker struct {
	ir        int64
	opsets    map[string]int64 // of the graph or function at hand
	functions map[functionID]*Function
	inside    *Function // whose body is looked at; nil in the model's graph
	depth     int
}

// scope is the names one graph has made so far, inside those of its parent.
type scope struct {
	parent *scope
	names  map[string]bool
}

func (s *scope) has(name string) bool {
	for ; s != nil; s = s.parent {
		if s.names[name] {
			return true
		}
	}
	return false
}

func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%s has no name", what)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("%s has the name %q, which is not UTF-8", what, name)
	}
	return nil
}

func (c *checker) graph(g *Graph, parent *scope) error {
	if g == nil {
		return errors.New("a graph is nil")
	}
	if c.depth++; c.depth > maxSubgraphs {
		return fmt.Errorf("graph %q: graphs lie more than %d deep inside each other", g.Name, maxSubgraphs)
	}
	defer func() { c.depth-- }()
	if err := checkName("a graph", g.Name); err != nil {
		return err
	}
	if err := c.graphBody(g, parent); err != nil {
		return fmt.Errorf("graph %q: %w", g.Name, err)
	}
	return nil
}

func (c *checker) graphBody(g *Graph, parent *scope) error {
	s := &scope{parent: parent, names: make(map[string]bool, len(g.Nodes)+len(g.Initializers)+len(g.Inputs))}
	declared := make(map[string]DataType)
	main := parent == nil && c.inside == nil
	for _, v := range g.Inputs {
		if err := c.value(v, "an input", main, declared); err != nil {
			return err
		}
		if s.names[v.Name] {
			return fmt.Errorf("there are two inputs called %q", v.Name)
		}
		s.names[v.Name] = true
	}
	if err := c.initializers(g, s, declared); err != nil {
		return err
	}
	for _, v := range g.Values {
		if err := c.value(v, "a value declaration", false, declared); err != nil {
			return err
		}
	}
	if err := c.nodes(g.Nodes, s); err != nil {
		return err
	}
	outputs := make(map[string]bool, len(g.Outputs))
	for _, v := range g.Outputs {
		if err := c.value(v, "an output", main, declared); err != nil {
			return err
		}
		if outputs[v.Name] {
			return fmt.Errorf("there are two outputs called %q", v.Name)
		}
		outputs[v.Name] = true
		if !s.has(v.Name) {
			return fmt.Errorf("output %q is made by no node, and is neither input nor initializer", v.Name)
		}
	}
	return nil
}

// value checks a declaration: its name, its type where one is needed, and that
// it agrees with others of the same name.
func (c *checker) value(v *Value, what string, typed bool, declared map[string]DataType) error {
	if v == nil {
		return fmt.Errorf("%s is nil", what)
	}
	if err := checkName(what, v.Name); err != nil {
		return err
	}
	if v.Type == Undefined {
		if typed && !v.Other {
			return fmt.Errorf("%s, %q, has no element type", what, v.Name)
		}
		return nil
	}
	if !v.Type.Valid() {
		return fmt.Errorf("%s, %q, has element type %v, which is none of the format's", what, v.Name, v.Type)
	}
	if t, ok := declared[v.Name]; ok && t != v.Type {
		return fmt.Errorf("value %q is declared both %v and %v", v.Name, t, v.Type)
	}
	declared[v.Name] = v.Type
	return nil
}

func (c *checker) initializers(g *Graph, s *scope, declared map[string]DataType) error {
	seen := make(map[string]bool, len(g.Initializers)+len(g.Sparse))
	add := func(name string, t DataType) error {
		if err := checkName("an initializer", name); err != nil {
			return err
		}
		if seen[name] {
			return fmt.Errorf("there are two initializers called %q", name)
		}
		seen[name] = true
		if c.ir < irInitializers && !s.has(name) {
			return fmt.Errorf("initializer %q is no input of the graph; before IR version %d it must be one", name, irInitializers)
		}
		if d, ok := declared[name]; ok && d != t {
			return fmt.Errorf("initializer %q is declared %v as an input and holds %v", name, d, t)
		}
		s.names[name] = true
		return nil
	}
	for _, t := range g.Initializers {
		if err := checkTensor(t); err != nil {
			return err
		}
		if err := add(t.Name, t.Type); err != nil {
			return err
		}
	}
	for _, t := range g.Sparse {
		if err := checkSparse(t); err != nil {
			return err
		}
		if err := add(t.Values.Name, t.Values.Type); err != nil {
			return err
		}
	}
	return nil
}

func checkTensor(t *Tensor) error {
	if t == nil {
		return errors.New("a tensor is nil")
	}
	return t.checkData()
}

// checkSparse compares the parts of a sparse tensor: n values, and as many
// places, each given by one linear index or by an index per axis.
func checkSparse(s *SparseTensor) error {
	if s == nil || s.Values == nil {
		return errors.New("a sparse tensor has no values")
	}
	name := s.Values.Name
	if err := checkTensor(s.Values); err != nil {
		return err
	}
	if len(s.Values.Dims) != 1 {
		return fmt.Errorf("sparse tensor %q: its values have dims %v; they are a list", name, s.Values.Dims)
	}
	if len(s.Dims) == 0 {
		return fmt.Errorf("sparse tensor %q has no axes", name)
	}
	if _, err := elements(s.Dims); err != nil {
		return fmt.Errorf("sparse tensor %q: %w", name, err)
	}
	n := s.Values.Dims[0]
	if s.Indices == nil {
		if n != 0 {
			return fmt.Errorf("sparse tensor %q has %d values and no indices", name, n)
		}
		return nil
	}
	if err := checkTensor(s.Indices); err != nil {
		return err
	}
	d := s.Indices.Dims
	linear := len(d) == 1 && d[0] == n
	perAxis := len(d) == 2 && d[0] == n && d[1] == int64(len(s.Dims))
	if s.Indices.Type != Int64 || !linear && !perAxis {
		return fmt.Errorf("sparse tensor %q of %d values and %d axes has indices of %v %v; it wants int64 [%d] or [%d, %d]",
			name, n, len(s.Dims), s.Indices.Type, d, n, n, len(s.Dims))
	}
	return nil
}

// nodes checks a list of nodes in order, adding what they make to s.
func (c *checker) nodes(nodes []*Node, s *scope) error {
	var later map[string]bool // made by any node, to tell a wrong order from a missing value
	for _, n := range nodes {
		if n == nil {
			return errors.New("a node is nil")
		}
		for _, in := range n.Inputs {
			if in == "" || s.has(in) {
				continue
			}
			if later == nil {
				later = make(map[string]bool)
				for _, n := range nodes {
					if n != nil {
						for _, o := range n.Outputs {
							later[o] = true
						}
					}
				}
			}
			if later[in] {
				return fmt.Errorf("%v uses %q before a node makes it: nodes are out of order, or in a cycle", n, in)
			}
			return fmt.Errorf("%v uses %q, which nothing makes", n, in)
		}
		// Before the node's outputs are known: its subgraphs must not use them.
		if err := c.node(n, s); err != nil {
			return fmt.Errorf("%v: %w", n, err)
		}
		for _, o := range n.Outputs {
			if o == "" {
				continue
			}
			if !utf8.ValidString(o) {
				return fmt.Errorf("%v makes %q, which is not UTF-8", n, o)
			}
			if s.has(o) {
				return fmt.Errorf("%v makes %q, which exists already: every value has one producer", n, o)
			}
			s.names[o] = true
		}
	}
	return nil
}

func (c *checker) node(n *Node, s *scope) error {
	if n.Op == "" {
		return errors.New("it names no operator")
	}
	if len(n.Inputs) == 0 && len(n.Outputs) == 0 {
		return errors.New("it has neither inputs nor outputs")
	}
	if _, ok := c.opsets[CanonicalDomain(n.Domain)]; !ok {
		return fmt.Errorf("%s is not imported", domainName(CanonicalDomain(n.Domain)))
	}
	names := make(map[string]bool, len(n.Attrs))
	for _, a := range n.Attrs {
		if a == nil {
			return errors.New("an attribute is nil")
		}
		if names[a.Name] {
			return fmt.Errorf("attribute %q is given twice", a.Name)
		}
		names[a.Name] = true
		if err := c.attr(a, s); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) attr(a *Attr, s *scope) error {
	if err := checkName("an attribute", a.Name); err != nil {
		return err
	}
	if a.Type <= AttrUndefined || int(a.Type) >= len(attrTypeNames) {
		return fmt.Errorf("attribute %q has type %v, which is none of the format's", a.Name, a.Type)
	}
	for _, f := range []struct {
		of  AttrType
		set bool
	}{
		{AttrTypeFloat, a.Float != 0}, {AttrTypeInt, a.Int != 0}, {AttrTypeString, a.Str != ""},
		{AttrTypeTensor, a.Tensor != nil}, {AttrTypeGraph, a.Graph != nil},
		{AttrTypeFloats, len(a.Floats) > 0}, {AttrTypeInts, len(a.Ints) > 0}, {AttrTypeStrings, len(a.Strs) > 0},
		{AttrTypeTensors, len(a.Tensors) > 0}, {AttrTypeGraphs, len(a.Graphs) > 0},
	} {
		if f.set && a.Ref != "" {
			return fmt.Errorf("attribute %q stands for the function's %q and holds a value of its own", a.Name, a.Ref)
		}
		if f.set && f.of != a.Type {
			return fmt.Errorf("attribute %q of type %v holds a value of type %v", a.Name, a.Type, f.of)
		}
	}
	if a.Ref != "" {
		return c.reference(a)
	}
	if a.Type == AttrTypeTensor && a.Tensor == nil || a.Type == AttrTypeGraph && a.Graph == nil {
		return fmt.Errorf("attribute %q of type %v holds none", a.Name, a.Type)
	}
	for _, t := range a.Tensors {
		if err := checkTensor(t); err != nil {
			return fmt.Errorf("attribute %q: %w", a.Name, err)
		}
	}
	if a.Tensor != nil {
		if err := checkTensor(a.Tensor); err != nil {
			return fmt.Errorf("attribute %q: %w", a.Name, err)
		}
	}
	for _, g := range a.graphs() {
		if err := c.graph(g, s); err != nil {
			return fmt.Errorf("attribute %q: %w", a.Name, err)
		}
	}
	return nil
}

// reference checks an attribute that stands for one of the function's.
func (c *checker) reference(a *Attr) error {
	if c.inside == nil {
		return fmt.Errorf("attribute %q stands for a function's attribute %q, outside any function", a.Name, a.Ref)
	}
	for _, n := range c.inside.AttrNames {
		if n == a.Ref {
			return nil
		}
	}
	for _, d := range c.inside.Attrs {
		if d.Name == a.Ref {
			return nil
		}
	}
	return fmt.Errorf("attribute %q stands for %q, which the function does not have", a.Name, a.Ref)
}

func (f *Function) id() functionID { return functionID{CanonicalDomain(f.Domain), f.Name, f.Overload} }

func (c *checker) checkFunctions(functions []*Function) error {
	for _, f := range functions {
		if f == nil {
			return errors.New("a function is nil")
		}
		if err := checkName("a function", f.Name); err != nil {
			return err
		}
		if c.functions[f.id()] != nil {
			return fmt.Errorf("there are two functions %q of domain %q", f.Name, f.Domain)
		}
		c.functions[f.id()] = f
	}
	for _, f := range functions {
		if err := c.function(f); err != nil {
			return fmt.Errorf("function %q: %w", f.Name, err)
		}
	}
	return c.recursion(functions)
}

func (c *checker) function(f *Function) error {
	in := &checker{ir: c.ir, functions: c.functions, inside: f}
	var err error
	if in.opsets, err = checkOpsets(f.Opsets); err != nil {
		return err
	}
	s := &scope{names: make(map[string]bool)}
	for _, name := range f.Inputs {
		if err := checkName("an input", name); err != nil {
			return err
		}
		if s.names[name] {
			return fmt.Errorf("there are two inputs called %q", name)
		}
		s.names[name] = true
	}
	attrs := make(map[string]bool)
	for _, name := range f.AttrNames {
		if attrs[name] {
			return fmt.Errorf("there are two attributes called %q", name)
		}
		attrs[name] = true
	}
	for _, a := range f.Attrs {
		if a == nil {
			return errors.New("an attribute is nil")
		}
		if attrs[a.Name] {
			return fmt.Errorf("there are two attributes called %q", a.Name)
		}
		attrs[a.Name] = true
		if err := in.attr(a, s); err != nil {
			return err
		}
	}
	if err := in.nodes(f.Nodes, s); err != nil {
		return err
	}
	outputs := make(map[string]bool)
	for _, name := range f.Outputs {
		if outputs[name] {
			return fmt.Errorf("there are two outputs called %q", name)
		}
		outputs[name] = true
		if !s.has(name) {
			return fmt.Errorf("output %q is made by no node and is no input", name)
		}
	}
	return nil
}

// recursion refuses functions that call themselves, directly or not: they have
// no meaning, since a function stands for its body.
func (c *checker) recursion(functions []*Function) error {
	const visiting, done = 1, 2
	state := make(map[*Function]int)
	// An explicit stack: a file may chain as many functions as it likes.
	type frame struct {
		f     *Function
		calls []*Function
	}
	for _, f := range functions {
		if state[f] != 0 {
			continue
		}
		stack := []frame{{f, c.calls(f.Nodes)}}
		state[f] = visiting
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if len(top.calls) == 0 {
				state[top.f] = done
				stack = stack[:len(stack)-1]
				continue
			}
			next := top.calls[0]
			top.calls = top.calls[1:]
			switch state[next] {
			case visiting:
				return fmt.Errorf("function %q calls %q, which calls it in turn", top.f.Name, next.Name)
			case 0:
				state[next] = visiting
				stack = append(stack, frame{next, c.calls(next.Nodes)})
			}
		}
	}
	return nil
}

// calls lists the functions that nodes and their subgraphs call.
func (c *checker) calls(nodes []*Node) []*Function {
	var out []*Function
	for _, n := range nodes {
		if f := c.functions[functionID{CanonicalDomain(n.Domain), n.Op, n.Overload}]; f != nil {
			out = append(out, f)
		}
		for _, a := range n.Attrs {
			for _, g := range a.graphs() {
				out = append(out, c.calls(g.Nodes)...)
			}
		}
	}
	return out
}

package onnx

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/onnxdistill/onnxdistill/onnx/internal/pb"
	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

// maxFile is the size no ONNX file may pass: protobuf readers count bytes in
// a signed 32-bit number.
const maxFile = math.MaxInt32

// maxSubgraphs bounds how deep graphs may lie inside each other. Decode cannot
// make a deeper model; it stops a graph that was made to hold itself.
const maxSubgraphs = 64

// Encode writes the model as the bytes of an ONNX file. The same model gives
// the same bytes. Every tensor whose Data is at hand is written inline, also
// one that was read from an external file; a tensor with a place but no Data
// keeps its reference.
//
// Encode does not Check the model.
func (m *Model) Encode() ([]byte, error) {
	p, err := encodeModel(m)
	if err != nil {
		return nil, fmt.Errorf("onnx: encoding: %w", err)
	}
	if n := pb.Size(p); n > maxFile {
		return nil, fmt.Errorf("onnx: the model takes %d bytes, more than the %d an ONNX file can have; write it with WriteExternal", n, maxFile)
	}
	b, err := pb.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("onnx: encoding: %w", err)
	}
	return b, nil
}

// WriteFile writes the model to path, all tensors inline as Encode does. The
// file appears whole or not at all.
func (m *Model) WriteFile(path string) error {
	b, err := m.Encode()
	if err != nil {
		return err
	}
	return writeFile(path, b)
}

// writeFile writes a file that appears whole or not at all.
func writeFile(path string, b []byte) error {
	f, err := wholefile.New(path)
	if err != nil {
		return fmt.Errorf("onnx: writing the model: %w", err)
	}
	defer f.Cleanup()
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("onnx: writing the model: %w", err)
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("onnx: writing the model: %w", err)
	}
	return nil
}

// encoder holds what encoding needs to know beside the struct at hand.
type encoder struct{ depth int }

// str is the optional string field of s; an empty one is left out.
func str(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func encodeModel(m *Model) (*pb.ModelProto, error) {
	if m == nil || m.Graph == nil {
		return nil, errors.New("the model has no graph")
	}
	var e encoder
	p := &pb.ModelProto{
		IrVersion:       &m.IRVersion,
		ProducerName:    str(m.Producer),
		ProducerVersion: str(m.ProducerVersion),
		Domain:          str(m.Domain),
		DocString:       str(m.Doc),
		OpsetImport:     encodeOpsets(m.Opsets),
		MetadataProps:   encodePairs(m.Metadata),
	}
	if m.ModelVersion != 0 {
		p.ModelVersion = &m.ModelVersion
	}
	var err error
	if p.Graph, err = e.graph(m.Graph); err != nil {
		return nil, err
	}
	for _, f := range m.Functions {
		q, err := e.function(f)
		if err != nil {
			return nil, err
		}
		p.Functions = append(p.Functions, q)
	}
	pb.SetUnknown(p, m.rest)
	return p, nil
}

func encodeOpsets(in []Opset) []*pb.OperatorSetIdProto {
	var out []*pb.OperatorSetIdProto
	for _, o := range in {
		// An empty domain is written out, as other writers do: readers exist
		// that take its absence for a fault.
		out = append(out, &pb.OperatorSetIdProto{Domain: &o.Domain, Version: &o.Version})
	}
	return out
}

func encodePairs(in []KeyValue) []*pb.StringStringEntryProto {
	var out []*pb.StringStringEntryProto
	for _, kv := range in {
		out = append(out, &pb.StringStringEntryProto{Key: &kv.Key, Value: &kv.Value})
	}
	return out
}

func (e *encoder) function(f *Function) (*pb.FunctionProto, error) {
	if f == nil {
		return nil, errors.New("a function is nil")
	}
	p := &pb.FunctionProto{
		Name: str(f.Name), Domain: str(f.Domain), Overload: str(f.Overload), DocString: str(f.Doc),
		Input: f.Inputs, Output: f.Outputs, Attribute: f.AttrNames,
		OpsetImport: encodeOpsets(f.Opsets), MetadataProps: encodePairs(f.Metadata),
	}
	for _, a := range f.Attrs {
		q, err := e.attr(a)
		if err != nil {
			return nil, fmt.Errorf("function %q: %w", f.Name, err)
		}
		p.AttributeProto = append(p.AttributeProto, q)
	}
	for _, n := range f.Nodes {
		q, err := e.node(n)
		if err != nil {
			return nil, fmt.Errorf("function %q: %w", f.Name, err)
		}
		p.Node = append(p.Node, q)
	}
	var err error
	if p.ValueInfo, err = encodeValues(f.Values); err != nil {
		return nil, fmt.Errorf("function %q: %w", f.Name, err)
	}
	pb.SetUnknown(p, f.rest)
	return p, nil
}

func (e *encoder) graph(g *Graph) (*pb.GraphProto, error) {
	if g == nil {
		return nil, errors.New("a graph is nil")
	}
	if e.depth++; e.depth > maxSubgraphs {
		return nil, fmt.Errorf("graph %q: graphs lie more than %d deep inside each other", g.Name, maxSubgraphs)
	}
	defer func() { e.depth-- }()
	p := &pb.GraphProto{Name: str(g.Name), DocString: str(g.Doc), MetadataProps: encodePairs(g.Metadata)}
	err := func() (err error) {
		for _, n := range g.Nodes {
			q, err := e.node(n)
			if err != nil {
				return err
			}
			p.Node = append(p.Node, q)
		}
		if p.Input, err = encodeValues(g.Inputs); err != nil {
			return err
		}
		if p.Output, err = encodeValues(g.Outputs); err != nil {
			return err
		}
		if p.ValueInfo, err = encodeValues(g.Values); err != nil {
			return err
		}
		for _, t := range g.Initializers {
			q, err := encodeTensor(t)
			if err != nil {
				return err
			}
			p.Initializer = append(p.Initializer, q)
		}
		for _, s := range g.Sparse {
			q, err := encodeSparse(s)
			if err != nil {
				return err
			}
			p.SparseInitializer = append(p.SparseInitializer, q)
		}
		return nil
	}()
	if err != nil {
		return nil, fmt.Errorf("graph %q: %w", g.Name, err)
	}
	pb.SetUnknown(p, g.rest)
	return p, nil
}

func (e *encoder) node(n *Node) (*pb.NodeProto, error) {
	if n == nil {
		return nil, errors.New("a node is nil")
	}
	p := &pb.NodeProto{
		Input: n.Inputs, Output: n.Outputs,
		Name: str(n.Name), OpType: str(n.Op), Domain: str(n.Domain), DocString: str(n.Doc), Overload: str(n.Overload),
		MetadataProps: encodePairs(n.Metadata),
	}
	for _, a := range n.Attrs {
		q, err := e.attr(a)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", n, err)
		}
		p.Attribute = append(p.Attribute, q)
	}
	pb.SetUnknown(p, n.rest)
	return p, nil
}

// attr writes the field the attribute's type names, also when it is zero, and
// any other field only when it is not, so that a faulty attribute is still
// faulty when it is read again.
func (e *encoder) attr(a *Attr) (*pb.AttributeProto, error) {
	if a == nil {
		return nil, errors.New("an attribute is nil")
	}
	p := &pb.AttributeProto{
		Name: str(a.Name), DocString: str(a.Doc), RefAttrName: str(a.Ref),
		Floats: a.Floats, Ints: a.Ints,
	}
	if a.Type != AttrUndefined {
		p.Type = new(int32(a.Type))
	}
	own := func(t AttrType) bool { return a.Type == t && a.Ref == "" }
	if own(AttrTypeFloat) || a.Float != 0 {
		p.F = &a.Float
	}
	if own(AttrTypeInt) || a.Int != 0 {
		p.I = &a.Int
	}
	if own(AttrTypeString) || a.Str != "" {
		p.S = []byte(a.Str)
	}
	for _, s := range a.Strs {
		p.Strings = append(p.Strings, []byte(s))
	}
	err := func() (err error) {
		if a.Tensor != nil {
			if p.T, err = encodeTensor(a.Tensor); err != nil {
				return err
			}
		}
		if a.Graph != nil {
			if p.G, err = e.graph(a.Graph); err != nil {
				return err
			}
		}
		for _, t := range a.Tensors {
			q, err := encodeTensor(t)
			if err != nil {
				return err
			}
			p.Tensors = append(p.Tensors, q)
		}
		for _, g := range a.Graphs {
			q, err := e.graph(g)
			if err != nil {
				return err
			}
			p.Graphs = append(p.Graphs, q)
		}
		return nil
	}()
	if err != nil {
		return nil, fmt.Errorf("attribute %q: %w", a.Name, err)
	}
	pb.SetUnknown(p, a.rest)
	return p, nil
}

func encodeValues(in []*Value) ([]*pb.ValueInfoProto, error) {
	var out []*pb.ValueInfoProto
	for _, v := range in {
		if v == nil {
			return nil, errors.New("a value is nil")
		}
		out = append(out, encodeValue(v))
	}
	return out, nil
}

func encodeValue(v *Value) *pb.ValueInfoProto {
	p := &pb.ValueInfoProto{Name: str(v.Name), DocString: str(v.Doc), MetadataProps: encodePairs(v.Metadata)}
	pb.SetUnknown(p, v.rest)
	if v.Type == Undefined && !v.HasShape && !v.Other && !v.bareTensor && v.denotation == "" && len(v.typeRest) == 0 {
		return p
	}
	p.Type = &pb.TypeProto{Denotation: str(v.denotation)}
	pb.SetUnknown(p.Type, v.typeRest)
	if v.Other || v.Type == Undefined && !v.HasShape && !v.bareTensor {
		return p
	}
	t := &pb.TensorTypeProto{ElemType: new(int32(v.Type))}
	pb.SetUnknown(t, v.tensorRest)
	p.Type.TensorType = t
	if !v.HasShape {
		return p
	}
	t.Shape = &pb.TensorShapeProto{}
	pb.SetUnknown(t.Shape, v.shapeRest)
	for i, d := range v.Shape {
		q := &pb.DimensionProto{Denotation: str(d.Denotation)}
		switch {
		case d.Param != "":
			q.Value = &pb.DimensionProto_DimParam{DimParam: d.Param}
		case d.Value >= 0:
			q.Value = &pb.DimensionProto_DimValue{DimValue: d.Value}
		}
		if len(v.dimRest) == len(v.Shape) {
			pb.SetUnknown(q, v.dimRest[i])
		}
		t.Shape.Dim = append(t.Shape.Dim, q)
	}
	return p
}

func encodeSparse(s *SparseTensor) (*pb.SparseTensorProto, error) {
	if s == nil {
		return nil, errors.New("a sparse tensor is nil")
	}
	p := &pb.SparseTensorProto{Dims: s.Dims}
	var err error
	if s.Values != nil {
		if p.Values, err = encodeTensor(s.Values); err != nil {
			return nil, err
		}
	}
	if s.Indices != nil {
		if p.Indices, err = encodeTensor(s.Indices); err != nil {
			return nil, err
		}
	}
	pb.SetUnknown(p, s.rest)
	return p, nil
}

func encodeTensor(t *Tensor) (*pb.TensorProto, error) {
	if t == nil {
		return nil, errors.New("a tensor is nil")
	}
	p := &pb.TensorProto{
		Name: str(t.Name), DocString: str(t.Doc), DataType: new(int32(t.Type)), Dims: t.Dims,
		StringData: t.Strings, MetadataProps: encodePairs(t.Metadata),
	}
	switch {
	case len(t.Data) > 0:
		p.RawData = t.Data
	case t.Data == nil && t.External != nil:
		p.DataLocation = new(int32(1))
		p.ExternalData = encodePairs(t.External.pairs())
	}
	pb.SetUnknown(p, t.rest)
	return p, nil
}

func (x *External) pairs() []KeyValue {
	out := []KeyValue{{"location", x.Location}, {"offset", strconv.FormatInt(x.Offset, 10)}}
	if x.Length != 0 {
		out = append(out, KeyValue{"length", strconv.FormatInt(x.Length, 10)})
	}
	if x.Checksum != "" {
		out = append(out, KeyValue{"checksum", x.Checksum})
	}
	return append(out, x.other...)
}

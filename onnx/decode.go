package onnx

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/onnxdistill/onnxdistill/onnx/internal/pb"
	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

// Decode reads a model from the bytes of an ONNX file. It keeps no reference
// to b. Tensors that lie in external files keep their External place and have
// no Data; ReadFile fetches it.
//
// Memory follows the file: the tensors' bytes once, and up to RecordShare bytes for
// each of its own, and RecordRoom besides, for what the tensors are embedded in. A
// file that takes more is refused before that is made, and so is a name of more
// than MostName bytes.
//
// Decode reports what cannot be represented: bytes that are no ONNX model,
// tensor data in a field its type does not allow. Whether the model makes
// sense is for Check to say.
func Decode(b []byte) (*Model, error) {
	if err := checkRecords(b); err != nil {
		return nil, err
	}
	p, err := pb.Unmarshal(b)
	if err != nil {
		return nil, fmt.Errorf("onnx: not an ONNX model, or cut short: %w", err)
	}
	if p.Graph == nil {
		return nil, errors.New("onnx: not an ONNX model, or an empty one: it has no graph")
	}
	m, err := decodeModel(p)
	if err != nil {
		return nil, fmt.Errorf("onnx: decoding: %w", err)
	}
	return m, nil
}

// Bounds on what Decode reads.
const (
	// RecordShare and RecordRoom bound the memory of nodes, values, attributes and the
	// like. Those of a few nodes with names of a letter take up to 60 times the file's
	// bytes, exporters' longer names far less.
	RecordShare = 96
	RecordRoom  = 64 << 20
	// MostName is the bytes of the longest name. Exporters make names of paths in
	// a program's source, of some hundred bytes.
	MostName = 64 << 10
)

// checkRecords returns an error where the model in a file's bytes would be out of
// proportion to them.
func checkRecords(b []byte) error {
	w := pb.Weigh(b)
	if w.Longest > MostName {
		return fmt.Errorf("onnx: a %s has %d bytes; names of up to %d are read", w.Of, w.Longest, MostName)
	}
	if most := RecordShare*int64(len(b)) + RecordRoom; w.Bytes > most {
		return fmt.Errorf("onnx: the file's %d bytes ask for %s of records, as nodes and values that hold nothing do; at most %s are read", len(b), mebibytes(w.Bytes), mebibytes(most))
	}
	return nil
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// ReadFile reads a model and the external tensor files it refers to, which lie
// in the model's folder or below it. Where the model is a link to a file in
// another folder, as in the caches of model hubs, they may lie beside that file
// too, under their names or under those of links beside the model's.
func ReadFile(path string) (*Model, error) {
	m, _, err := ReadFileSum(path)
	return m, err
}

// FileSum identifies what was read of a model's files.
type FileSum struct {
	// SHA256 is of the file and then of the tensors it keeps in other files, those
	// in attributes and subgraphs too, in the file's order.
	SHA256 [sha256.Size]byte
	Bytes  int64 // of all that
}

// ReadFileSum reads as ReadFile does and identifies the bytes that it read.
func ReadFileSum(path string) (*Model, FileSum, error) {
	b, err := wholefile.Read(path)
	if err != nil {
		return nil, FileSum{}, fmt.Errorf("onnx: %w", err)
	}
	m, err := Decode(b)
	if err != nil {
		return nil, FileSum{}, fmt.Errorf("%s: %w", path, err)
	}
	if err := m.loadExternal(path); err != nil {
		return nil, FileSum{}, fmt.Errorf("%s: %w", path, err)
	}
	h, sum := sha256.New(), FileSum{Bytes: int64(len(b))}
	h.Write(b)
	m.tensors(func(t *Tensor) error {
		if t.External != nil {
			h.Write(t.Data)
			sum.Bytes += int64(len(t.Data))
		}
		return nil
	})
	h.Sum(sum.SHA256[:0])
	return m, sum, nil
}

func decodeModel(p *pb.ModelProto) (*Model, error) {
	m := &Model{
		IRVersion:       p.GetIrVersion(),
		Opsets:          decodeOpsets(p.OpsetImport),
		Producer:        p.GetProducerName(),
		ProducerVersion: p.GetProducerVersion(),
		Domain:          p.GetDomain(),
		ModelVersion:    p.GetModelVersion(),
		Doc:             p.GetDocString(),
		Metadata:        decodePairs(p.MetadataProps),
		rest:            pb.Unknown(p),
	}
	var err error
	if m.Graph, err = decodeGraph(p.Graph); err != nil {
		return nil, err
	}
	m.Functions, err = decodeAll(p.Functions, decodeFunction)
	return m, err
}

// decodeAll decodes a list; the error of an element names it.
func decodeAll[P, T any](in []P, decode func(P) (*T, error)) ([]*T, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out := make([]*T, len(in))
	var err error
	for i, p := range in {
		if out[i], err = decode(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func decodeOpsets(in []*pb.OperatorSetIdProto) []Opset {
	var out []Opset
	for _, o := range in {
		out = append(out, Opset{Domain: o.GetDomain(), Version: o.GetVersion()})
	}
	return out
}

func decodePairs(in []*pb.StringStringEntryProto) []KeyValue {
	var out []KeyValue
	for _, e := range in {
		out = append(out, KeyValue{Key: e.GetKey(), Value: e.GetValue()})
	}
	return out
}

func decodeFunction(p *pb.FunctionProto) (*Function, error) {
	f := &Function{
		Name: p.GetName(), Domain: p.GetDomain(), Overload: p.GetOverload(), Doc: p.GetDocString(),
		Inputs: p.Input, Outputs: p.Output, AttrNames: p.Attribute,
		Opsets: decodeOpsets(p.OpsetImport), Metadata: decodePairs(p.MetadataProps),
		rest: pb.Unknown(p),
	}
	err := func() (err error) {
		if f.Attrs, err = decodeAll(p.AttributeProto, decodeAttr); err != nil {
			return err
		}
		if f.Nodes, err = decodeAll(p.Node, decodeNode); err != nil {
			return err
		}
		f.Values, err = decodeAll(p.ValueInfo, decodeValue)
		return err
	}()
	if err != nil {
		return nil, fmt.Errorf("function %q: %w", f.Name, err)
	}
	return f, nil
}

func decodeGraph(p *pb.GraphProto) (*Graph, error) {
	g := &Graph{Name: p.GetName(), Doc: p.GetDocString(), Metadata: decodePairs(p.MetadataProps), rest: pb.Unknown(p)}
	err := func() (err error) {
		if g.Nodes, err = decodeAll(p.Node, decodeNode); err != nil {
			return err
		}
		for _, l := range []struct {
			in  []*pb.ValueInfoProto
			out *[]*Value
		}{{p.Input, &g.Inputs}, {p.Output, &g.Outputs}, {p.ValueInfo, &g.Values}} {
			if *l.out, err = decodeAll(l.in, decodeValue); err != nil {
				return err
			}
		}
		if g.Initializers, err = decodeAll(p.Initializer, decodeTensor); err != nil {
			return err
		}
		g.Sparse, err = decodeAll(p.SparseInitializer, decodeSparse)
		return err
	}()
	if err != nil {
		return nil, fmt.Errorf("graph %q: %w", g.Name, err)
	}
	return g, nil
}

func decodeNode(p *pb.NodeProto) (*Node, error) {
	n := &Node{
		Name: p.GetName(), Op: p.GetOpType(), Domain: p.GetDomain(), Doc: p.GetDocString(), Overload: p.GetOverload(),
		Inputs: p.Input, Outputs: p.Output, Metadata: decodePairs(p.MetadataProps),
		rest: pb.Unknown(p),
	}
	var err error
	if n.Attrs, err = decodeAll(p.Attribute, decodeAttr); err != nil {
		return nil, fmt.Errorf("%v: %w", n, err)
	}
	return n, nil
}

func decodeAttr(p *pb.AttributeProto) (*Attr, error) {
	a := &Attr{
		Name: p.GetName(), Doc: p.GetDocString(), Type: AttrType(p.GetType()), Ref: p.GetRefAttrName(),
		Float: p.GetF(), Int: p.GetI(), Str: string(p.GetS()), Floats: p.Floats, Ints: p.Ints,
		rest: pb.Unknown(p),
	}
	for _, s := range p.Strings {
		a.Strs = append(a.Strs, string(s))
	}
	if p.Type == nil {
		a.Type = attrTypeOf(p)
	}
	err := func() (err error) {
		if p.T != nil {
			if a.Tensor, err = decodeTensor(p.T); err != nil {
				return err
			}
		}
		if p.G != nil {
			if a.Graph, err = decodeGraph(p.G); err != nil {
				return err
			}
		}
		if a.Tensors, err = decodeAll(p.Tensors, decodeTensor); err != nil {
			return err
		}
		a.Graphs, err = decodeAll(p.Graphs, decodeGraph)
		return err
	}()
	if err != nil {
		return nil, fmt.Errorf("attribute %q: %w", a.Name, err)
	}
	return a, nil
}

// attrTypeOf tells an attribute's kind from the field that is set: files of IR
// version 1 have no type field.
func attrTypeOf(p *pb.AttributeProto) AttrType {
	switch {
	case p.F != nil:
		return AttrTypeFloat
	case p.I != nil:
		return AttrTypeInt
	case p.S != nil:
		return AttrTypeString
	case p.T != nil:
		return AttrTypeTensor
	case p.G != nil:
		return AttrTypeGraph
	case len(p.Floats) > 0:
		return AttrTypeFloats
	case len(p.Ints) > 0:
		return AttrTypeInts
	case len(p.Strings) > 0:
		return AttrTypeStrings
	case len(p.Tensors) > 0:
		return AttrTypeTensors
	case len(p.Graphs) > 0:
		return AttrTypeGraphs
	}
	return AttrUndefined
}

func decodeValue(p *pb.ValueInfoProto) (*Value, error) {
	v := &Value{Name: p.GetName(), Doc: p.GetDocString(), Metadata: decodePairs(p.MetadataProps), rest: pb.Unknown(p)}
	if p.Type == nil {
		return v, nil
	}
	v.denotation, v.typeRest = p.Type.GetDenotation(), pb.Unknown(p.Type)
	t := p.Type.TensorType
	if t == nil {
		v.Other = pb.OtherType(v.typeRest)
		return v, nil
	}
	v.Type, v.tensorRest = DataType(t.GetElemType()), pb.Unknown(t)
	if t.Shape == nil {
		v.bareTensor = v.Type == Undefined
		return v, nil
	}
	v.HasShape, v.shapeRest = true, pb.Unknown(t.Shape)
	for i, d := range t.Shape.Dim {
		dim := Unknown()
		switch x := d.Value.(type) {
		case *pb.DimensionProto_DimValue:
			// Some exporters write -1 for an axis they know nothing of.
			dim.Value = max(x.DimValue, -1)
		case *pb.DimensionProto_DimParam:
			dim.Param = x.DimParam
		}
		dim.Denotation = d.GetDenotation()
		v.Shape = append(v.Shape, dim)
		if r := pb.Unknown(d); len(r) > 0 {
			if v.dimRest == nil {
				v.dimRest = make([][]byte, len(t.Shape.Dim))
			}
			v.dimRest[i] = r
		}
	}
	return v, nil
}

func decodeSparse(p *pb.SparseTensorProto) (*SparseTensor, error) {
	s := &SparseTensor{Dims: p.Dims, rest: pb.Unknown(p)}
	var err error
	if p.Values != nil {
		if s.Values, err = decodeTensor(p.Values); err != nil {
			return nil, err
		}
	}
	if p.Indices != nil {
		s.Indices, err = decodeTensor(p.Indices)
	}
	return s, err
}

func decodeTensor(p *pb.TensorProto) (*Tensor, error) {
	t := &Tensor{
		Name: p.GetName(), Doc: p.GetDocString(), Type: DataType(p.GetDataType()), Dims: p.Dims,
		Metadata: decodePairs(p.MetadataProps), rest: pb.Unknown(p),
	}
	err := decodeData(t, p)
	if err != nil {
		return nil, fmt.Errorf("tensor %q of %v: %w", t.Name, t.Type, err)
	}
	return t, nil
}

// decodeData takes the elements from whichever field holds them and makes them
// raw data. Lengths are left to Check, so that memory use follows the file and
// never the dims.
func decodeData(t *Tensor, p *pb.TensorProto) error {
	type field struct {
		name string
		set  bool
	}
	var found []string
	for _, f := range []field{
		{"raw_data", len(p.RawData) > 0}, {"float_data", len(p.FloatData) > 0}, {"int32_data", len(p.Int32Data) > 0},
		{"int64_data", len(p.Int64Data) > 0}, {"double_data", len(p.DoubleData) > 0},
		{"uint64_data", len(p.Uint64Data) > 0}, {"string_data", len(p.StringData) > 0},
	} {
		if f.set {
			found = append(found, f.name)
		}
	}
	switch l := p.GetDataLocation(); l {
	case 0:
	case 1:
		if len(found) > 0 {
			return fmt.Errorf("its data is said to be external, and it carries %v", found)
		}
		var err error
		t.External, err = decodeExternal(p.ExternalData)
		return err
	default:
		return fmt.Errorf("its data location is %d; the format knows 0 (inside) and 1 (external)", l)
	}
	if len(found) == 0 {
		t.Data = []byte{}
		return nil
	}
	if len(found) > 1 {
		return fmt.Errorf("its data is given more than once, in %v", found)
	}
	if len(p.RawData) > 0 {
		t.Data = p.RawData
		if t.Type == String {
			return errors.New("strings are stored as raw data; the format wants string_data")
		}
		return nil
	}
	want := dataField(t.Type)
	if want != found[0] {
		if want == "" {
			return errors.New("no such element type")
		}
		return fmt.Errorf("its data is in %s; the format wants %s or raw_data", found[0], want)
	}
	switch want {
	case "string_data":
		t.Strings = p.StringData
	case "float_data":
		t.Data = make([]byte, 0, 4*len(p.FloatData))
		for _, v := range p.FloatData {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v))
		}
	case "double_data":
		t.Data = make([]byte, 0, 8*len(p.DoubleData))
		for _, v := range p.DoubleData {
			t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(v))
		}
	case "int64_data":
		t.Data = make([]byte, 0, 8*len(p.Int64Data))
		for _, v := range p.Int64Data {
			t.Data = binary.LittleEndian.AppendUint64(t.Data, uint64(v))
		}
	case "uint64_data":
		for _, v := range p.Uint64Data {
			if t.Type == Uint64 {
				t.Data = binary.LittleEndian.AppendUint64(t.Data, v)
				continue
			}
			if v > math.MaxUint32 {
				return fmt.Errorf("element %d does not fit", v)
			}
			t.Data = binary.LittleEndian.AppendUint32(t.Data, uint32(v))
		}
	case "int32_data":
		return decodeInt32s(t, p.Int32Data)
	}
	return nil
}

// dataField names the typed field that holds elements of type t.
func dataField(t DataType) string {
	switch t {
	case Float32, Complex64:
		return "float_data"
	case Float64, Complex128:
		return "double_data"
	case Int64:
		return "int64_data"
	case Uint32, Uint64:
		return "uint64_data"
	case String:
		return "string_data"
	}
	if t.Valid() {
		return "int32_data"
	}
	return ""
}

// decodeInt32s packs the low bits of each number. A number may be the signed
// or the unsigned reading of those bits, since writers differ.
func decodeInt32s(t *Tensor, in []int32) error {
	width := int(max(t.Type.Bits(), 8)) // 4- and 2-bit types come packed, a byte in each number
	lo, hi := -int64(1)<<(width-1), int64(1)<<width-1
	t.Data = make([]byte, 0, len(in)*width/8)
	for _, v := range in {
		if int64(v) < lo || int64(v) > hi {
			return fmt.Errorf("element %d does not fit", v)
		}
		switch width {
		case 8:
			t.Data = append(t.Data, byte(v))
		case 16:
			t.Data = binary.LittleEndian.AppendUint16(t.Data, uint16(v))
		default:
			t.Data = binary.LittleEndian.AppendUint32(t.Data, uint32(v))
		}
	}
	return nil
}

func decodeExternal(in []*pb.StringStringEntryProto) (*External, error) {
	e := &External{}
	for _, kv := range in {
		key, val := kv.GetKey(), kv.GetValue()
		switch key {
		case "location":
			e.Location = val
		case "checksum":
			e.Checksum = val
		case "offset", "length":
			n, err := strconv.ParseInt(val, 10, 64)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("its external data has %s %q; it must be a number of bytes", key, val)
			}
			if key == "offset" {
				e.Offset = n
			} else {
				e.Length = n
			}
		default:
			e.other = append(e.other, KeyValue{key, val})
		}
	}
	if e.Location == "" {
		return nil, errors.New("its external data has no location")
	}
	return e, nil
}

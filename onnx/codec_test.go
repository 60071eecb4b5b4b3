package onnx

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/onnxdistill/onnxdistill/onnx/internal/pb"
)

func TestModelStringsAreRead(t *testing.T) {
	m := readFixture(t, "conv_net")
	type strings struct {
		Producer, ProducerVersion, Domain, Doc, Graph, GraphDoc string
		ModelVersion, IR, Opset                                 int64
		Metadata                                                []KeyValue
	}
	want := strings{
		"generator", "1.2", "org.example", "all the strings a model has", "g", "a small classifier", 3, 8, 17,
		[]KeyValue{{"classes", "a,b,c,d,e"}, {"mean", "0.5"}},
	}
	got := strings{
		m.Producer, m.ProducerVersion, m.Domain, m.Doc, m.Graph.Name, m.Graph.Doc, m.ModelVersion, m.IRVersion, m.Opset(), m.Metadata,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff([]Dim{Symbol("batch"), Fixed(3), Fixed(8), Fixed(8)}, m.Graph.Inputs[0].Shape); d != "" {
		t.Errorf("input shape (-want +got):\n%s", d)
	}
}

func TestAttributesAreRead(t *testing.T) {
	n := readFixture(t, "attributes").Graph.Nodes[0]
	if got := n.Float("f", 0); got != 1.5 {
		t.Errorf("f = %v", got)
	}
	if a := n.Attr("i"); a == nil || a.Type != AttrTypeInt || a.Int != 0 {
		t.Errorf("i = %+v", a)
	}
	if got := n.Int("missing", 7); got != 7 {
		t.Errorf("a missing int is %d, want the default", got)
	}
	if got := n.Int("f", 7); got != 7 {
		t.Errorf("a float read as int is %d, want the default", got)
	}
	if got := n.Str("s", ""); got != "text" {
		t.Errorf("s = %q", got)
	}
	if d := cmp.Diff([]int64{1, -2}, n.Ints("ints")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]float32{1, 2}, n.Floats("floats")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"a", "b"}, n.Attr("strings").Strs); d != "" {
		t.Error(d)
	}
	if got, err := n.Tensor("t").Float32s(); err != nil || !cmp.Equal(got, []float32{-0.125, 0}) {
		t.Errorf("t = %v %v", got, err)
	}
	if got := n.Attr("tensors").Tensors; len(got) != 2 || got[1].Name != "t2" {
		t.Errorf("tensors = %v", got)
	}
	if got := n.Attr("tp").Type; got != AttrTypeTypeProto {
		t.Errorf("tp has type %v", got)
	}
}

// A model of the specification's field numbers with a field no schema knows in
// every message must come back with all of them.
func TestUnknownFieldsSurvive(t *testing.T) {
	stray := protowire.AppendTag(nil, 1000, protowire.VarintType)
	stray = protowire.AppendVarint(stray, 42)
	var p pb.ModelProto
	for _, name := range []string{"conv_net", "if_captures", "function", "sparse_initializer", "attributes"} {
		b, err := os.ReadFile(filepath.Join(fixtures, name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(b, &p); err != nil {
			t.Fatal(err)
		}
	}
	kinds := make(map[protoreflect.Name]int)
	// Opsets and key-value pairs are plain comparable structs and carry none.
	eachMessage(p.ProtoReflect(), func(m protoreflect.Message) {
		switch name := m.Descriptor().Name(); name {
		case "OperatorSetIdProto", "StringStringEntryProto":
		default:
			m.SetUnknown(append(slices.Clone(m.GetUnknown()), stray...))
			kinds[name]++
		}
	})
	if len(kinds) != 12 {
		t.Errorf("the model has %d kinds of message, want all 12: %v", len(kinds), kinds)
	}
	in, err := proto.Marshal(&p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var q pb.ModelProto
	if err := proto.Unmarshal(out, &q); err != nil {
		t.Fatal(err)
	}
	got := make(map[protoreflect.Name]int)
	eachMessage(q.ProtoReflect(), func(m protoreflect.Message) {
		if bytes.Contains(m.GetUnknown(), stray) {
			got[m.Descriptor().Name()]++
		}
	})
	if d := cmp.Diff(kinds, got); d != "" {
		t.Errorf("messages with the stray field (-want +got):\n%s", d)
	}
}

func eachMessage(m protoreflect.Message, visit func(protoreflect.Message)) {
	visit(m)
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				eachMessage(v.List().Get(i).Message(), visit)
			}
		default:
			eachMessage(v.Message(), visit)
		}
		return true
	})
}

func TestCarriedPartsSurvive(t *testing.T) {
	in, err := os.ReadFile(filepath.Join(fixtures, "carried_parts.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	fields := func(b []byte, path ...protowire.Number) []byte {
		for _, want := range path {
			var found []byte
			for len(b) > 0 {
				num, typ, n := protowire.ConsumeTag(b)
				size := protowire.ConsumeFieldValue(num, typ, b[n:])
				if num == want {
					found, _ = protowire.ConsumeBytes(b[n:])
				}
				b = b[n+size:]
			}
			b = found
		}
		return b
	}
	for what, path := range map[string][]protowire.Number{
		"training info":           {20},
		"quantization annotation": {7, 14},
	} {
		want, got := fields(in, path...), fields(out, path...)
		if len(want) == 0 || !bytes.Equal(want, got) {
			t.Errorf("%s is %x, want %x", what, got, want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	relu, err := os.ReadFile(filepath.Join(fixtures, "relu.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	// nested is subgraph in subgraph, depth times.
	nested := func(depth int) []byte {
		var b []byte
		wrap := func(field protowire.Number) {
			b = append(protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.BytesType), uint64(len(b))), b...)
		}
		for range depth {
			wrap(6) // attribute.g
			wrap(5) // node.attribute
			wrap(1) // graph.node
		}
		wrap(7) // model.graph
		return b
	}
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"an empty file":                 {nil, "it has no graph"},
		"text":                          {[]byte("this is not a model"), "not an ONNX model, or cut short"},
		"a file cut short":              {relu[:len(relu)-3], "cut short"},
		"subgraphs without end":         {nested(1000), "not an ONNX model"},
		"a length beyond the file":      {[]byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0x07}, "cut short"},
		"a length that does not end":    {bytes.Repeat([]byte{0xff}, 20), "cut short"},
		"a wrong wire type for a graph": {[]byte{0x38, 1}, "it has no graph"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(c.in)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := Decode(nested(20)); err != nil {
		t.Errorf("20 subgraphs inside each other: %v", err)
	}
}

func TestEveryPrefixOfAModelIsHandled(t *testing.T) {
	for _, name := range []string{"conv_net", "typed_data", "function", "if_captures"} {
		b, err := os.ReadFile(filepath.Join(fixtures, name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			if m, err := Decode(b[:i]); err == nil {
				Check(m) // must not panic; what it says depends on the cut
			}
		}
	}
}

// A tensor of a thousand million elements in a file of a few bytes.
func TestHugeDimsAllocateNothing(t *testing.T) {
	m := readFixture(t, "relu")
	m.Graph.Initializers = []*Tensor{
		{Name: "w", Type: Float32, Dims: []int64{1000, 1000, 1000}, External: &External{Location: "external.data"}},
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "external.data"), make([]byte, 16), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "m.onnx")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = ReadFile(path)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "reach past the end") {
		t.Errorf("got %v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("reading %d bytes allocated %d", len(b), n)
	}
}

func TestTensorDataIsNotCopiedTwice(t *testing.T) {
	const size = 32 << 20
	m := readFixture(t, "relu")
	m.Graph.Initializers = []*Tensor{{Name: "w", Type: Uint8, Dims: []int64{size}, Data: make([]byte, size)}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b, err := m.Encode()
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > size+size/8 {
		t.Errorf("encoding %d bytes allocated %d", size, n)
	}
	runtime.ReadMemStats(&before)
	_, err = Decode(b)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > size+size/8 {
		t.Errorf("decoding %d bytes allocated %d", size, n)
	}
}

func TestEncodeRefusesAGraphInsideItself(t *testing.T) {
	m := readFixture(t, "relu")
	m.Graph.Nodes[0].SetAttr(AttrGraph("body", m.Graph))
	if _, err := m.Encode(); err == nil || !strings.Contains(err.Error(), "deep inside each other") {
		t.Errorf("got %v", err)
	}
	if err := Check(m); err == nil {
		t.Error("Check lets it pass")
	}
}

func TestHolesAreNamed(t *testing.T) {
	for want, spoil := range map[string]func(*Model){
		"the model has no graph": func(m *Model) { m.Graph = nil },
		"a node is nil":          func(m *Model) { m.Graph.Nodes[0] = nil },
		"an attribute is nil":    func(m *Model) { m.Graph.Nodes[0].Attrs = []*Attr{nil} },
		"a tensor is nil":        func(m *Model) { m.Graph.Initializers[0] = nil },
		"a function is nil":      func(m *Model) { m.Functions = []*Function{nil} },
		"a graph is nil": func(m *Model) {
			m.Graph.Nodes[0].Attrs = []*Attr{{Name: "a", Type: AttrTypeGraphs, Graphs: []*Graph{nil}}}
		},
	} {
		t.Run(want, func(t *testing.T) {
			m := smallModel(t)
			spoil(m)
			if _, err := m.Encode(); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("Encode says %v, want %q", err, want)
			}
			if err := Check(m); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("Check says %v, want %q", err, want)
			}
		})
	}
	if err := Check(nil); err == nil {
		t.Error("Check takes nil")
	}
	m := smallModel(t)
	m.Graph.Inputs = append(m.Graph.Inputs, nil)
	if _, err := m.Encode(); err == nil {
		t.Error("Encode takes a nil input")
	}
	if err := Check(m); err == nil || !strings.HasSuffix(err.Error(), "an input is nil") {
		t.Errorf("Check says %v of a nil input", err)
	}
}

// Files of IR version 1 say what an attribute is by the field they fill.
func TestAttributesWithoutATypeAreRead(t *testing.T) {
	in := &pb.ModelProto{Graph: &pb.GraphProto{Node: []*pb.NodeProto{{Attribute: []*pb.AttributeProto{
		{Name: proto.String("i"), I: proto.Int64(0)},
		{Name: proto.String("fs"), Floats: []float32{1}},
	}}}}}
	b, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	a := m.Graph.Nodes[0].Attrs
	if a[0].Type != AttrTypeInt || a[1].Type != AttrTypeFloats {
		t.Errorf("types are %v and %v", a[0].Type, a[1].Type)
	}
}

func TestWriteFileLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	m := readFixture(t, "relu")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	m.Graph.Nodes = []*Node{nil}
	if err := m.WriteFile(path); err == nil {
		t.Error("a faulty model is written")
	}
	if err := m.WriteExternal(path, 0); err == nil {
		t.Error("a faulty model is written with external data")
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("the folder holds %v (%v), want m.onnx", files, err)
	}
	if _, err := ReadFile(path); err != nil {
		t.Errorf("the good model is gone: %v", err)
	}
	if err := m.WriteFile(filepath.Join(dir, "missing", "m.onnx")); err == nil {
		t.Error("a missing folder is no error")
	}
}

func TestDecodeRefusesTensors(t *testing.T) {
	for name, c := range map[string]struct {
		tensor *pb.TensorProto
		want   string
	}{
		"external and here": {
			&pb.TensorProto{DataType: new(int32(1)), DataLocation: new(int32(1)), FloatData: []float32{1}},
			"its data is said to be external, and it carries [float_data]",
		},
		"external without a place": {
			&pb.TensorProto{DataType: new(int32(1)), DataLocation: new(int32(1))},
			"its external data has no location",
		},
		"external from nowhere": {
			&pb.TensorProto{DataType: new(int32(1)), DataLocation: new(int32(1)), ExternalData: encodePairs([]KeyValue{{"location", "f"}, {"offset", "-1"}})},
			`its external data has offset "-1"; it must be a number of bytes`,
		},
		"external for so long": {
			&pb.TensorProto{DataType: new(int32(1)), DataLocation: new(int32(1)), ExternalData: encodePairs([]KeyValue{{"location", "f"}, {"length", "long"}})},
			`its external data has length "long"; it must be a number of bytes`,
		},
		"elsewhere": {
			&pb.TensorProto{DataType: new(int32(1)), DataLocation: new(int32(7))},
			"its data location is 7; the format knows 0 (inside) and 1 (external)",
		},
		"raw strings": {
			&pb.TensorProto{DataType: new(int32(8)), RawData: []byte{1}},
			"strings are stored as raw data; the format wants string_data",
		},
		"numbers of no type": {
			&pb.TensorProto{DataType: new(int32(99)), FloatData: []float32{1}},
			"no such element type",
		},
		"floats in another field": {
			&pb.TensorProto{DataType: new(int32(1)), DoubleData: []float64{1}},
			"its data is in double_data; the format wants float_data or raw_data",
		},
		"an integer too large": {
			&pb.TensorProto{DataType: new(int32(12)), Uint64Data: []uint64{1 << 32}},
			"element 4294967296 does not fit",
		},
		"a byte too large": {
			&pb.TensorProto{DataType: new(int32(2)), Int32Data: []int32{256}},
			"element 256 does not fit",
		},
		"a byte too small": {
			&pb.TensorProto{DataType: new(int32(3)), Int32Data: []int32{-129}},
			"element -129 does not fit",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.tensor.Name = new("w")
			for place, g := range map[string]*pb.GraphProto{
				"initializer": {Initializer: []*pb.TensorProto{c.tensor}},
				"attribute":   {Node: []*pb.NodeProto{{Attribute: []*pb.AttributeProto{{T: c.tensor}}}}},
				"values":      {SparseInitializer: []*pb.SparseTensorProto{{Values: c.tensor}}},
				"indices":     {SparseInitializer: []*pb.SparseTensorProto{{Indices: c.tensor}}},
			} {
				b, err := pb.Marshal(&pb.ModelProto{Graph: g})
				if err != nil {
					t.Fatal(err)
				}
				_, err = Decode(b)
				if err == nil || !strings.HasSuffix(err.Error(), c.want) || !strings.Contains(err.Error(), `tensor "w"`) {
					t.Errorf("as %s: got %v, want an error with %q", place, err, c.want)
				}
			}
		})
	}
}

func TestEncodeRefusesMoreThanAFileHolds(t *testing.T) {
	if strconv.IntSize < 64 {
		t.Skip("2 GB do not fit into a 32-bit address space")
	}
	m := smallModel(t)
	data := make([]byte, 1<<30) // never written to, so it takes no memory
	for range 2 {
		m.Graph.Initializers = append(m.Graph.Initializers, &Tensor{Name: "big", Type: Uint8, Dims: []int64{1 << 30}, Data: data})
	}
	if _, err := m.Encode(); err == nil || !strings.Contains(err.Error(), "more than the 2147483647 an ONNX file can have; write it with WriteExternal") {
		t.Errorf("got %v", err)
	}
}

func TestAttributesGoThroughAFile(t *testing.T) {
	m := smallModel(t)
	n := m.Graph.Nodes[0]
	body := &Graph{Name: "body", Nodes: []*Node{{Op: "Neg", Inputs: []string{"x"}, Outputs: []string{"n"}}}, Outputs: []*Value{{Name: "n"}}}
	n.Attrs = []*Attr{
		AttrFloat("zero", 0), AttrFloat("float", 1.5), AttrFloats("floats", 1, 2), AttrInt("int", -3), AttrInts("ints", 4, 5),
		AttrString("string", "s"), AttrString("empty", ""), AttrStrings("strings", "a", ""),
		AttrTensor("tensor", Int64s("t", nil, []int64{6})), AttrGraph("graph", body),
		{Name: "graphs", Type: AttrTypeGraphs, Graphs: []*Graph{body, body}},
		{Name: "tensors", Type: AttrTypeTensors, Tensors: []*Tensor{Uint8s("u", []int64{1}, []byte{7})}},
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	got := back.Graph.Nodes[0]
	unexported := cmp.AllowUnexported(Attr{}, Graph{}, Node{}, Value{}, Tensor{})
	if d := cmp.Diff(n.Attrs, got.Attrs, unexported); d != "" {
		t.Errorf("attributes (-want +got):\n%s", d)
	}
	if got.Float("float", 0) != 1.5 || got.Float("int", 9) != 9 || got.Str("string", "") != "s" || got.Str("missing", "d") != "d" ||
		got.Tensor("float") != nil || got.Ints("floats") != nil || got.Floats("ints") != nil {
		t.Error("a getter reads an attribute wrongly, or one of another kind")
	}
}

// Tensors lie not only among the initializers.
func TestExternalTensorsEverywhere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	m := smallModel(t)
	tensor := func(v byte) *Tensor { return Uint8s("t", []int64{2}, []byte{v, v}) }
	body := &Graph{Name: "body", Initializers: []*Tensor{tensor(1)}}
	body.Initializers[0].Name = "inner"
	m.Graph.Nodes[0].Attrs = []*Attr{
		AttrGraph("graph", body), AttrTensor("tensor", tensor(2)),
		{Name: "tensors", Type: AttrTypeTensors, Tensors: []*Tensor{tensor(3)}},
	}
	sparse(m)
	f := function(m)
	f.Nodes[0].Attrs = []*Attr{AttrTensor("tensor", tensor(4))}
	f.Attrs = []*Attr{AttrTensor("default", tensor(5))}
	before, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.WriteExternal(path, 0); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	inside := 0
	raw.tensors(func(t *Tensor) error {
		if len(t.Data) > 0 {
			inside++
		}
		return nil
	})
	if inside != 0 {
		t.Errorf("%d tensors stayed in the file", inside)
	}
	again, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := again.Encode(); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the model changed on its way through two files (%v)", err)
	}
}

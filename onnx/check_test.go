package onnx

import (
	"strconv"
	"testing"
)

// smallModel is a model of two nodes that a case then spoils.
func smallModel(t *testing.T) *Model {
	t.Helper()
	b := NewBuilder("net", 17)
	x := b.Input("x", Float32, Symbol("batch"), Fixed(4))
	w := b.Initializer("w", Float32s("", []int64{4}, []float32{1, 2, 3, 4}))
	b.Output(b.Node("Relu", []string{b.Node("Add", []string{x, w})}), "y", Float32, Symbol("batch"), Fixed(4))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sparse adds a sparse initializer of two values.
func sparse(m *Model) *SparseTensor {
	s := &SparseTensor{
		Values:  Float32s("s", []int64{2}, []float32{1, 2}),
		Indices: Int64s("", []int64{2, 2}, []int64{0, 0, 1, 1}),
		Dims:    []int64{2, 2},
	}
	m.Graph.Sparse = append(m.Graph.Sparse, s)
	return s
}

// function adds a function of one node and one attribute.
func function(m *Model) *Function {
	f := &Function{
		Name: "F", Domain: "f", Inputs: []string{"a"}, Outputs: []string{"b"}, AttrNames: []string{"p"}, Opsets: []Opset{{"", 17}},
		Nodes: []*Node{{Op: "Relu", Inputs: []string{"a"}, Outputs: []string{"b"}}},
	}
	m.Functions = append(m.Functions, f)
	return f
}

func TestCheckTakesWhatTheErrorCasesStartFrom(t *testing.T) {
	m := smallModel(t)
	sparse(m)
	function(m).Nodes[0].Attrs = []*Attr{{Name: "a", Type: AttrTypeInt, Ref: "p"}}
	if err := Check(m); err != nil {
		t.Error(err)
	}
}

// Errors name the place, the rule and what came.
func TestCheckErrors(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Model)
		want  string
	}{
		"an IR version from the future": {
			func(m *Model) { m.IRVersion = 99 },
			"onnx: the model has IR version 99; this program knows 1 to 13",
		},
		"an opset from the future": {
			func(m *Model) { m.Opsets[0].Version = 99 },
			"onnx: the default operator set is imported in version 99; this program knows 1 to 26",
		},
		"no opset": {
			func(m *Model) { m.Opsets = nil },
			"onnx: the model imports no operator set; from IR version 3 on it must import one",
		},
		"a domain in two versions": {
			func(m *Model) { m.Opsets = append(m.Opsets, Opset{"ai.onnx", 13}) },
			"onnx: the default operator set is imported in versions 17 and 13; one is allowed",
		},
		"a value nothing makes": {
			func(m *Model) { m.Graph.Nodes[1].Inputs[0] = "z" },
			`onnx: graph "net": Relu "Relu" uses "z", which nothing makes`,
		},
		"a cycle": {
			func(m *Model) { m.Graph.Nodes[0].Inputs[0] = "y" },
			`onnx: graph "net": Add "Add" uses "y" before a node makes it: nodes are out of order, or in a cycle`,
		},
		"two producers": {
			func(m *Model) { m.Graph.Nodes[1].Outputs[0] = "Add" },
			`onnx: graph "net": Relu "Relu" makes "Add", which exists already: every value has one producer`,
		},
		"a node that overwrites an initializer": {
			func(m *Model) { m.Graph.Nodes[1].Outputs[0] = "w" },
			`onnx: graph "net": Relu "Relu" makes "w", which exists already: every value has one producer`,
		},
		"an output nobody makes": {
			func(m *Model) { m.Graph.Outputs[0].Name = "z" },
			`onnx: graph "net": output "z" is made by no node, and is neither input nor initializer`,
		},
		"an input without a type": {
			func(m *Model) { m.Graph.Inputs[0].Type = Undefined },
			`onnx: graph "net": an input, "x", has no element type`,
		},
		"two declarations that differ": {
			func(m *Model) { m.Graph.Values = []*Value{{Name: "x", Type: Int64}} },
			`onnx: graph "net": value "x" is declared both float32 and int64`,
		},
		"an element type that does not exist": {
			func(m *Model) { m.Graph.Initializers[0].Type = 77 },
			`onnx: graph "net": tensor "w" has element type DataType(77), which is none of the format's`,
		},
		"data of the wrong length": {
			func(m *Model) { m.Graph.Initializers[0].Dims = []int64{5} },
			`onnx: graph "net": tensor "w" of float32 [5] needs 20 bytes, got 16`,
		},
		"a negative axis": {
			func(m *Model) { m.Graph.Initializers[0].Dims = []int64{-4} },
			`onnx: graph "net": tensor "w": dims [-4] hold a negative axis`,
		},
		"more elements than can be counted": {
			func(m *Model) { m.Graph.Initializers[0].Dims = []int64{1 << 62, 1 << 62} },
			`onnx: graph "net": tensor "w": dims [4611686018427387904 4611686018427387904] have more elements than an int64 can count`,
		},
		"more bytes than can be counted": {
			func(m *Model) { m.Graph.Initializers[0].Dims = []int64{1 << 62} },
			`onnx: graph "net": tensor "w": 4611686018427387904 elements of float32 are more bytes than an int64 can count`,
		},
		"overflow hidden behind an empty axis": {
			func(m *Model) { m.Graph.Initializers[0].Dims = []int64{0, 1 << 62, 1 << 62} },
			`onnx: graph "net": tensor "w": dims [0 4611686018427387904 4611686018427387904] have more elements than an int64 can count`,
		},
		"a domain that is not imported": {
			func(m *Model) { m.Graph.Nodes[1].Domain = "com.example" },
			`onnx: graph "net": com.example.Relu "Relu": the operator set "com.example" is not imported`,
		},
		"an attribute twice": {
			func(m *Model) { m.Graph.Nodes[1].Attrs = []*Attr{AttrInt("a", 1), AttrInt("a", 1)} },
			`onnx: graph "net": Relu "Relu": attribute "a" is given twice`,
		},
		"an attribute of two kinds": {
			func(m *Model) {
				m.Graph.Nodes[1].Attrs = []*Attr{{Name: "a", Type: AttrTypeInt, Floats: []float32{1}}}
			},
			`onnx: graph "net": Relu "Relu": attribute "a" of type int holds a value of type floats`,
		},
		"an attribute without its tensor": {
			func(m *Model) { m.Graph.Nodes[1].Attrs = []*Attr{AttrTensor("a", nil)} },
			`onnx: graph "net": Relu "Relu": attribute "a" of type tensor holds none`,
		},
		"a name that is not UTF-8": {
			func(m *Model) { m.Graph.Nodes[1].Outputs = append(m.Graph.Nodes[1].Outputs, "\xff") },
			`onnx: graph "net": Relu "Relu" makes "\xff", which is not UTF-8`,
		},
		"an element type of a value that does not exist": {
			func(m *Model) { m.Graph.Values = []*Value{{Name: "Add", Type: 77}} },
			`onnx: graph "net": a value declaration, "Add", has element type DataType(77), which is none of the format's`,
		},
		"an initializer of another type than its input": {
			func(m *Model) { m.Graph.Inputs = append(m.Graph.Inputs, &Value{Name: "w", Type: Int64}) },
			`onnx: graph "net": initializer "w" is declared int64 as an input and holds float32`,
		},
		"a sparse tensor without values": {
			func(m *Model) { m.Graph.Sparse = []*SparseTensor{{}} },
			`onnx: graph "net": a sparse tensor has no values`,
		},
		"a sparse tensor with a table of values": {
			func(m *Model) { sparse(m).Values.Dims = []int64{2, 1} },
			`onnx: graph "net": sparse tensor "s": its values have dims [2 1]; they are a list`,
		},
		"a sparse tensor without axes": {
			func(m *Model) { sparse(m).Dims = nil },
			`onnx: graph "net": sparse tensor "s" has no axes`,
		},
		"a sparse tensor of impossible size": {
			func(m *Model) { sparse(m).Dims = []int64{-1} },
			`onnx: graph "net": sparse tensor "s": dims [-1] hold a negative axis`,
		},
		"a sparse tensor without indices": {
			func(m *Model) { sparse(m).Indices = nil },
			`onnx: graph "net": sparse tensor "s" has 2 values and no indices`,
		},
		"a sparse tensor of too few indices": {
			func(m *Model) { sparse(m).Indices = Int64s("", []int64{1}, []int64{0}) },
			`onnx: graph "net": sparse tensor "s" of 2 values and 2 axes has indices of int64 [1]; it wants int64 [2] or [2, 2]`,
		},
		"strings that lie outside": {
			func(m *Model) {
				m.Graph.Initializers[0] = &Tensor{Name: "w", Type: String, Dims: []int64{0}, External: &External{Location: "f"}}
			},
			`onnx: graph "net": tensor "w": strings cannot be stored as external data`,
		},
		"too few strings": {
			func(m *Model) {
				m.Graph.Initializers[0] = &Tensor{Name: "w", Type: String, Dims: []int64{2}, Strings: [][]byte{nil}}
			},
			`onnx: graph "net": tensor "w" has dims [2], 2 strings, and carries 1 strings and 0 bytes of raw data`,
		},
		"numbers with strings": {
			func(m *Model) { m.Graph.Initializers[0].Strings = [][]byte{nil} },
			`onnx: graph "net": tensor "w" of float32 carries strings`,
		},
		"external data before the file": {
			func(m *Model) {
				m.Graph.Initializers[0].Data = nil
				m.Graph.Initializers[0].External = &External{Location: "f", Offset: -1}
			},
			`onnx: graph "net": tensor "w" has external data of 0 bytes from byte -1 on`,
		},
		"a reference with a value of its own": {
			func(m *Model) { function(m).Nodes[0].Attrs = []*Attr{{Name: "a", Type: AttrTypeInt, Ref: "p", Int: 1}} },
			`onnx: function "F": Relu making "b": attribute "a" stands for the function's "p" and holds a value of its own`,
		},
		"a reference to nothing": {
			func(m *Model) { function(m).Nodes[0].Attrs = []*Attr{{Name: "a", Type: AttrTypeInt, Ref: "q"}} },
			`onnx: function "F": Relu making "b": attribute "a" stands for "q", which the function does not have`,
		},
		"a function's attribute twice": {
			func(m *Model) { function(m).AttrNames = []string{"p", "p"} },
			`onnx: function "F": there are two attributes called "p"`,
		},
		"a function's attribute with and without default": {
			func(m *Model) { function(m).Attrs = []*Attr{AttrInt("p", 1)} },
			`onnx: function "F": there are two attributes called "p"`,
		},
		"a function's default that is nil": {
			func(m *Model) { function(m).Attrs = []*Attr{nil} },
			`onnx: function "F": an attribute is nil`,
		},
		"a function's output twice": {
			func(m *Model) { function(m).Outputs = []string{"b", "b"} },
			`onnx: function "F": there are two outputs called "b"`,
		},
		"a metadata key twice": {
			func(m *Model) { m.Metadata = []KeyValue{{"k", "1"}, {"k", "2"}} },
			`onnx: the model's metadata has the key "k" twice`,
		},
		"a function that calls itself through another": {
			func(m *Model) {
				m.Opsets = append(m.Opsets, Opset{"f", 1})
				call := func(name, callee string) *Function {
					return &Function{
						Name: name, Domain: "f", Inputs: []string{"a"}, Outputs: []string{"b"}, Opsets: []Opset{{"f", 1}},
						Nodes: []*Node{{Op: callee, Domain: "f", Inputs: []string{"a"}, Outputs: []string{"b"}}},
					}
				}
				m.Functions = []*Function{call("One", "Two"), call("Two", "One")}
			},
			`onnx: function "Two" calls "One", which calls it in turn`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := smallModel(t)
			c.spoil(m)
			err := Check(m)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestCheckTakesAChainOfManyFunctions(t *testing.T) {
	m := smallModel(t)
	m.Opsets = append(m.Opsets, Opset{"f", 1})
	const n = 20000
	functionName := func(i int) string { return "f" + strconv.Itoa(i) }
	for i := range n {
		f := &Function{Name: functionName(i), Domain: "f", Inputs: []string{"a"}, Outputs: []string{"a"}, Opsets: []Opset{{"f", 1}}}
		if i+1 < n {
			f.Nodes = []*Node{{Op: functionName(i + 1), Domain: "f", Inputs: []string{"a"}, Outputs: []string{"b"}}}
		}
		m.Functions = append(m.Functions, f)
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
}

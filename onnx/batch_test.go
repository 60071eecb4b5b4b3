package onnx

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// batchCase is a graph over x of [n 3 8 8] and what becomes of it.
type batchCase struct {
	n      int64 // 0 is 1
	opset  int64 // 0 is 17
	x      []int64
	build  func(b *Builder, x string) string // returns the output value
	shape  string                            // of the output afterwards; empty when refused
	target []int64                           // of the only Reshape afterwards
	err    string
}

func (c batchCase) model(t *testing.T) *Model {
	t.Helper()
	opset := c.opset
	if opset == 0 {
		opset = 17
	}
	b := NewBuilder("net", opset)
	dims := []Dim{Fixed(max(c.n, 1))}
	shape := c.x
	if shape == nil {
		shape = []int64{3, 8, 8}
	}
	for _, d := range shape {
		dims = append(dims, Fixed(d))
	}
	x := b.Input("x", Float32, dims...)
	b.Output(c.build(b, x), "y", Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func list(b *Builder, v ...int64) string {
	return b.Initializer("list", Int64s("", []int64{int64(len(v))}, v))
}

func floats(b *Builder, dims ...int64) string {
	n, err := elements(dims)
	if err != nil {
		panic(err)
	}
	return b.Initializer("weight", Float32s("", dims, make([]float32, n)))
}

func TestSetBatch(t *testing.T) {
	reshape := func(target ...int64) func(*Builder, string) string {
		return func(b *Builder, x string) string { return b.Node("Reshape", []string{x, list(b, target...)}) }
	}
	node := func(op string, attrs ...*Attr) func(*Builder, string) string {
		return func(b *Builder, x string) string { return b.Node(op, []string{x}, attrs...) }
	}
	for name, c := range map[string]batchCase{
		// Reshape
		"a target that fixes the batch copies it":        {build: reshape(1, 192), shape: "[batch 192]", target: []int64{0, 192}},
		"also with an open axis":                         {build: reshape(1, -1), shape: "[batch 192]", target: []int64{0, -1}},
		"also of four":                                   {n: 4, build: reshape(4, 3, 64), shape: "[batch 3 64]", target: []int64{0, 3, 64}},
		"a target that copies the batch stays":           {build: reshape(0, -1), shape: "[batch 192]", target: []int64{0, -1}},
		"a target open at the batch stays":               {build: reshape(-1, 192), shape: "[batch 192]", target: []int64{-1, 192}},
		"also of four, where the count says it is":       {n: 4, build: reshape(-1, 192), shape: "[batch 192]", target: []int64{-1, 192}},
		"an open axis that takes more than the batch":    {build: reshape(-1, 64), err: "the batch is not kept along one axis"},
		"a target that folds the batch away":             {build: reshape(192), err: "its target [192] does not begin with the batch, 1"},
		"a target that folds the batch into another":     {n: 4, build: reshape(12, 64), err: "its target [12 64] does not begin with the batch, 4"},
		"a target that puts an axis before":              {n: 4, build: reshape(1, 4, 192), err: "its target [1 4 192] does not begin with the batch, 4"},
		"a target written as an attribute":               {opset: 1, build: node("Reshape", AttrInts("shape", 1, 192)), shape: "[batch 192]"},
		"a target computed from the operand's own shape": {build: ownShape, shape: "[batch 192]"},
		"a target that is computed": {
			build: func(b *Builder, x string) string {
				return b.Node("Reshape", []string{x, b.Node("NonZero", []string{x})})
			},
			err: "this program does not know what this operator does with a batch",
		},
		"with allowzero the axis is left open": {
			build: func(b *Builder, x string) string {
				return b.Node("Reshape", []string{x, list(b, 1, 192)}, AttrInt("allowzero", 1))
			},
			shape: "[batch 192]", target: []int64{-1, 192},
		},
		"with allowzero and an open axis there is no way": {
			build: func(b *Builder, x string) string {
				return b.Node("Reshape", []string{x, list(b, 1, -1)}, AttrInt("allowzero", 1))
			},
			err: "with allowzero and a -1 already there it cannot be written otherwise",
		},
		"the batch behind another axis": {
			build: func(b *Builder, x string) string {
				return b.Node("Reshape", []string{b.Node("Transpose", []string{x}, AttrInts("perm", 1, 0, 2, 3)), list(b, 3, 1, 64)})
			},
			err: "the batch is axis 1 of its operand, not the first",
		},

		// Operators that keep samples apart
		"a small classifier":               {build: classifier, shape: "[batch 10]"},
		"a transposition":                  {build: node("Transpose", AttrInts("perm", 1, 2, 0, 3)), shape: "[3 8 batch 8]"},
		"a reduction over other axes":      {build: node("ReduceMean", AttrInts("axes", 2, 3), AttrInt("keepdims", 0)), shape: "[batch 3]"},
		"a flattening behind the batch":    {build: node("Flatten"), shape: "[batch 192]"},
		"a softmax over classes":           {build: node("Softmax", AttrInt("axis", 1)), shape: "[batch 3 8 8]"},
		"an old softmax over the rest":     {opset: 11, build: node("Softmax"), shape: "[batch 3 8 8]"},
		"a squeeze beside the batch":       {x: []int64{1, 4}, build: squeezeOf(1), shape: "[batch 4]"},
		"a maximum against a number":       {build: withConstant("Max"), shape: "[batch 3 8 8]"},
		"a constant that stretches":        {build: withConstant("Add", 1, 3, 1, 1), shape: "[batch 3 8 8]"},
		"padding of the picture":           {build: padded(0, 0, 1, 1, 0, 0, 1, 1), shape: "[batch 3 10 10]"},
		"joining channels":                 {build: joined(1), shape: "[batch 6 8 8]"},
		"picking channels":                 {build: gathered(1), shape: "[batch 2 8 8]"},
		"a scale per channel":              {build: quantized(1, 3), shape: "[batch 3 8 8]"},
		"one scale":                        {build: quantized(0, 1), shape: "[batch 3 8 8]"},
		"a matrix product over features":   {build: product2, shape: "[batch 3 8 5]"},
		"an expansion of the one sample":   {build: expanded(1, 3, 8, 8), shape: "[batch 3 8 8]"},
		"constants of the operand's shape": {build: zerosLike, shape: "[batch 3 8 8]"},

		// Operators that do not
		"a reduction over the batch":                {build: node("ReduceMean", AttrInts("axes", 0)), err: `ReduceMean "ReduceMean" of [batch 3 8 8]: the batch is not kept along one axis; the result is [1 3 8 8]`},
		"a reduction over everything":               {build: node("ReduceMean"), err: "the batch is not kept along one axis"},
		"a flattening that takes the rest":          {build: node("Flatten", AttrInt("axis", 2)), err: "the batch is not kept along one axis"},
		"a softmax over the batch":                  {build: node("Softmax", AttrInt("axis", 0)), err: "it works along axis 0, the batch"},
		"an old softmax over all":                   {opset: 11, build: node("Softmax", AttrInt("axis", 0)), err: "it normalizes over the batch"},
		"a normalization over the batch":            {build: node("MeanVarianceNormalization"), err: "it normalizes over the batch"},
		"a squeeze that takes the batch":            {x: []int64{1, 4}, build: squeezeOf(0), err: "the batch is not kept along one axis"},
		"a squeeze of whatever is 1":                {x: []int64{1, 4}, build: node("Squeeze"), err: "the batch is not kept along one axis"},
		"a constant of four samples":                {n: 4, build: withConstant("Add", 4, 3, 1, 1), err: "the batch is not kept along one axis; the result is [4 3 8 8]"},
		"padding of the batch":                      {build: padded(1, 0, 0, 0, 0, 0, 0, 0), err: "the batch is not kept along one axis"},
		"joining batches":                           {build: joined(0), err: "it joins batches into one"},
		"joining constant samples":                  {build: joinedConstant, err: "operand 1, of [1 3 8 8], holds a fixed number of samples"},
		"picking samples":                           {build: gathered(0), err: "it picks samples out of the batch"},
		"a scale per sample":                        {n: 4, build: quantized(0, 4), err: "it has a scale for each sample"},
		"a product of samples":                      {x: []int64{3}, build: pairs, err: "it pairs samples with each other, giving [batch batch]"},
		"a product summed over samples":             {x: []int64{3}, build: sums, err: "it sums over the batch"},
		"a matrix fixed to four rows":               {n: 4, x: []int64{3}, build: biased(4, 5), err: "operand 2 of [4 5] does not stretch over a batch"},
		"a bias for all":                            {n: 4, x: []int64{3}, build: biased(5), shape: "[batch 5]"},
		"the size of everything":                    {build: sized, err: "this program does not know what this operator does with a batch"},
		"an expansion of four samples":              {n: 4, build: expanded(4, 3, 8, 8), err: "the batch is not kept along one axis"},
		"resizing to given lengths":                 {build: resized, err: "the batch is not kept along one axis"},
		"a normalization in training":               {build: training, err: "in training mode it normalizes over the batch"},
		"computing with the batch's length":         {build: timesLength, err: "it computes with operand 1, which holds the length of the batch"},
		"clipping to the batch's length":            {build: clippedToLength, err: "it computes with operand 1, which holds the length of the batch"},
		"a best few of the batch's number":          {build: bestOfLength, err: "it computes with operand 1, which holds the length of the batch"},
		"a normalization of batches by instance":    {build: turned("InstanceNormalization", 3, 3), err: "the batch is axis 1; this operator takes it as the first"},
		"a normalization of batches by group":       {opset: 21, build: turned("GroupNormalization", 3, 3), err: "the batch is axis 1; this operator takes it as the first"},
		"a normalization of batches by response":    {build: turned("LRN"), err: "the batch is axis 1; this operator takes it as the first"},
		"a normalization of batches by channel":     {n: 3, build: turned("BatchNormalization", 3, 3, 3, 3), err: "the batch is axis 1; this operator takes it as the first"},
		"a normalization by layer over all":         {build: node("LayerNormalization", AttrInt("axis", 0)), err: "it normalizes over the batch"},
		"a normalization by size over all":          {opset: 23, build: node("RMSNormalization", AttrInt("axis", 0)), err: "it normalizes over the batch"},
		"a normalization to length over the batch":  {build: node("LpNormalization", AttrInt("axis", 0)), err: "it works along axis 0, the batch"},
		"a log-softmax over the batch":              {build: node("LogSoftmax", AttrInt("axis", 0)), err: "it works along axis 0, the batch"},
		"a hardmax over the batch":                  {build: node("Hardmax", AttrInt("axis", 0)), err: "it works along axis 0, the batch"},
		"a running sum over the batch":              {build: summed(0), err: "it sums along the batch"},
		"a running sum beside it":                   {build: summed(2), shape: "[batch 3 8 8]"},
		"a running sum along who knows what":        {build: summedAlongComputed, err: "the axis it sums along is not known"},
		"a picture convolved with the batch":        {n: 3, build: convolvedWithItself("Conv", 0, 1), err: "operand 1 depends on the batch"},
		"a whole picture convolved with the batch":  {n: 3, build: convolvedWithItself("ConvInteger", 0, 1), err: "operand 1 depends on the batch"},
		"a quantized picture convolved with it":     {n: 3, build: convolvedWithItself("QLinearConv", 0, 3), err: "operand 3 depends on the batch"},
		"a picture spread with the batch":           {n: 3, build: convolvedWithItself("ConvTranspose", 0, 1), err: "operand 1 depends on the batch"},
		"dropping values in training":               {build: dropped(1), err: "in training mode it drops values at random"},
		"dropping nothing":                          {build: dropped(0), shape: "[batch 3 8 8]"},
		"places counted over the batch":             {build: places, err: "its second output counts places over the whole batch"},
		"a pooling of batches":                      {n: 8, build: turnedPool, err: "the batch is axis 1; this operator takes it as the first"},
		"a matrix product over samples":             {n: 3, x: []int64{3}, build: timesItself("MatMul", 1), err: "it sums over the batch"},
		"a whole matrix product over samples":       {n: 3, x: []int64{3}, build: timesItself("MatMulInteger", 1), err: "it sums over the batch"},
		"a quantized matrix product over samples":   {n: 3, x: []int64{3}, build: timesItself("QLinearMatMul", 3), err: "it sums over the batch"},
		"a quantized product with a scale of it":    {n: 3, x: []int64{3}, build: scaledByItself, err: "operand 1 depends on the batch"},
		"resizing a part that depends on the batch": {build: resizedPart, err: "operand 1 depends on the batch"},
		"a scale per sample on the way back":        {n: 4, build: dequantized(0, 4), err: "it has a scale for each sample"},
		"a scale per sample on the way in": {n: 4, build: func(b *Builder, x string) string {
			return toFloat(b, b.Node("QuantizeLinear", []string{x, floats(b, 4)}, AttrInt("axis", 0)))
		}, err: "it has a scale for each sample"},
		"a target that is not known":                 {build: unknownTarget, err: "its target is computed and not known"},
		"scales in a table":                          {build: tableOfScales, err: "how its scale lies along the axes is not known"},
		"a slope per sample":                         {n: 4, build: withConstant("PRelu", 4, 1, 1, 1), err: "its slope does not stretch over a batch"},
		"a slope that depends on the batch":          {build: func(b *Builder, x string) string { return b.Node("PRelu", []string{x, x}) }, err: "operand 1 depends on the batch"},
		"a slope per channel":                        {build: withConstant("PRelu", 3, 1, 1), shape: "[batch 3 8 8]"},
		"an old addition of four samples":            {n: 4, opset: 6, build: withConstant("Add", 4, 3, 8, 8), err: "operand 1 does not carry the batch as operand 0 does"},
		"an old addition of itself":                  {opset: 6, build: func(b *Builder, x string) string { return b.Node("Add", []string{x, x}) }, shape: "[batch 3 8 8]"},
		"an old addition per channel":                {opset: 6, build: oldBias, shape: "[batch 3 8 8]"},
		"joining what lies differently":              {n: 3, x: []int64{3}, build: joinedTurned, err: "its operands carry the batch on different axes"},
		"a target that begins with another length":   {build: otherSymbol, err: "does not begin with the batch"},
		"a target of the batch for something else":   {build: constantToBatch, err: "its target depends on the batch and its operand does not"},
		"a target that is one number":                {x: []int64{1}, build: reshape(), err: "its target is a single number"},
		"a target that copies, where zero is a zero": {build: zeroTarget, err: "its target [0 192] does not begin with the batch, 1"},
		"an operator of another domain": {
			build: func(b *Builder, x string) string { return b.Node("Mystery", []string{x}) },
			err:   "this program does not know what this operator does with a batch",
		},
		"an output apart from the batch": {
			build: func(b *Builder, x string) string { return b.Node("Neg", []string{floats(b, 2)}) },
			err:   "no output carries it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := c.model(t)
			before, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			err = m.SetBatch("batch")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want an error with %q", err, c.err)
				}
				if after, _ := m.Encode(); !bytes.Equal(before, after) {
					t.Error("a refused model was changed")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := Check(m); err != nil {
				t.Error(err)
			}
			if d := m.Graph.Inputs[0].Shape[0]; d != Symbol("batch") {
				t.Errorf("the input's batch is %+v", d)
			}
			if got := shapeString(m.Graph.Outputs[0].Shape); got != c.shape {
				t.Errorf("the output is %s, want %s", got, c.shape)
			}
			if got := shapeString(Infer(m)["y"].Shape); got != c.shape {
				t.Errorf("the output is inferred as %s, want %s", got, c.shape)
			}
			if c.target != nil {
				n := m.Graph.Producer("y")
				got, err := m.Graph.Constant(n.Inputs[1]).Int64s()
				if err != nil || !cmp.Equal(got, c.target) {
					t.Errorf("the target is %v, %v; want %v", got, err, c.target)
				}
			}
			b, err := m.Encode()
			if err != nil || bytes.Contains(b, []byte(marker)) {
				t.Errorf("the working mark is left in the model (%v)", err)
			}
		})
	}
}

func ownShape(b *Builder, x string) string {
	n := b.Node("Gather", []string{b.Node("Shape", []string{x}), b.Initializer("zero", Int64s("", nil, []int64{0}))})
	n = b.Node("Unsqueeze", []string{n, list(b, 0)})
	return b.Node("Reshape", []string{x, b.Node("Concat", []string{n, list(b, -1)}, AttrInt("axis", 0))})
}

func length(b *Builder, x string) string { // of the batch, a list of one
	return b.Node("Shape", []string{x}, AttrInt("end", 1))
}

func ints(b *Builder, x string) string {
	return b.Node("Cast", []string{x}, AttrInt("to", int64(Int64)))
}

func toFloat(b *Builder, x string) string {
	return b.Node("Cast", []string{x}, AttrInt("to", int64(Float32)))
}

func timesLength(b *Builder, x string) string {
	return toFloat(b, b.Node("Mul", []string{ints(b, x), length(b, x)}))
}

func clippedToLength(b *Builder, x string) string {
	return toFloat(b, b.Node("Clip", []string{ints(b, x), length(b, x)}))
}

func bestOfLength(b *Builder, x string) string {
	return b.Nodes("TopK", 2, []string{floats(b, 9), length(b, x)}, AttrInt("axis", 0))[0]
}

// turned puts the batch second before the operator.
func turned(op string, params ...int64) func(*Builder, string) string {
	return func(b *Builder, x string) string {
		in := []string{b.Node("Transpose", []string{x}, AttrInts("perm", 1, 0, 2, 3))}
		for _, n := range params {
			in = append(in, floats(b, n))
		}
		return b.Node(op, in)
	}
}

func turnedPool(b *Builder, x string) string {
	x = b.Node("Transpose", []string{x}, AttrInts("perm", 1, 0, 2, 3))
	return b.Node("MaxPool", []string{x}, AttrInts("kernel_shape", 2, 2))
}

func summed(axis int64) func(*Builder, string) string {
	return func(b *Builder, x string) string {
		return b.Node("CumSum", []string{x, b.Initializer("axis", Int64s("", nil, []int64{axis}))})
	}
}

func summedAlongComputed(b *Builder, x string) string {
	return b.Node("CumSum", []string{x, ints(b, floats(b))})
}

// convolvedWithItself makes the picture its own kernel, the batch its channels.
func convolvedWithItself(op string, at ...int) func(*Builder, string) string {
	return func(b *Builder, x string) string {
		in := make([]string, at[1]+1)
		in[0], in[at[1]] = x, b.Node("Transpose", []string{x}, AttrInts("perm", 1, 0, 2, 3))
		for i := range in {
			if in[i] == "" {
				in[i] = floats(b)
			}
		}
		return toFloat(b, b.Node(op, in))
	}
}

func timesItself(op string, right int) func(*Builder, string) string {
	return func(b *Builder, x string) string {
		in := make([]string, right+1)
		for i := range in {
			in[i] = floats(b)
		}
		in[0], in[right] = x, x
		return toFloat(b, b.Node(op, in))
	}
}

func scaledByItself(b *Builder, x string) string {
	s := b.Node("ReduceMax", []string{x}, AttrInts("axes", 1), AttrInt("keepdims", 0))
	zero := floats(b)
	return toFloat(b, b.Node("QLinearMatMul", []string{x, s, zero, floats(b, 3, 5), zero, zero, zero, zero}))
}

func dropped(train byte) func(*Builder, string) string {
	return func(b *Builder, x string) string {
		mode := b.Initializer("mode", &Tensor{Type: Bool, Data: []byte{train}})
		return b.Node("Dropout", []string{x, floats(b), mode})
	}
}

func places(b *Builder, x string) string {
	return toFloat(b, b.Nodes("MaxPool", 2, []string{x}, AttrInts("kernel_shape", 2, 2))[1])
}

func resizedPart(b *Builder, x string) string {
	ones := b.Initializer("scales", Float32s("", []int64{4}, []float32{1, 1, 1, 1}))
	return b.Node("Resize", []string{x, x, ones})
}

func dequantized(axis, scales int64) func(*Builder, string) string {
	return func(b *Builder, x string) string {
		x = b.Node("Cast", []string{x}, AttrInt("to", int64(Uint8)))
		return b.Node("DequantizeLinear", []string{x, floats(b, scales)}, AttrInt("axis", axis))
	}
}

func tableOfScales(b *Builder, x string) string {
	return b.Node("DequantizeLinear", []string{x, floats(b, 1, 3)})
}

func oldBias(b *Builder, x string) string {
	return b.Node("Add", []string{x, floats(b, 3)}, AttrInt("broadcast", 1), AttrInt("axis", 1))
}

func joinedTurned(b *Builder, x string) string {
	return b.Node("Concat", []string{x, b.Node("Transpose", []string{x})}, AttrInt("axis", 1))
}

func otherSymbol(b *Builder, x string) string {
	n := b.Node("Shape", []string{x}, AttrInt("start", 1), AttrInt("end", 2))
	return b.Node("Reshape", []string{x, b.Node("Concat", []string{n, list(b, -1)}, AttrInt("axis", 0))})
}

func constantToBatch(b *Builder, x string) string {
	return b.Node("Reshape", []string{floats(b, 6), b.Node("Concat", []string{length(b, x), list(b, -1)}, AttrInt("axis", 0))})
}

func unknownTarget(b *Builder, x string) string {
	return b.Node("Reshape", []string{x, ints(b, floats(b, 2))})
}

func zeroTarget(b *Builder, x string) string {
	return b.Node("Reshape", []string{x, list(b, 0, 192)}, AttrInt("allowzero", 1))
}

func classifier(b *Builder, x string) string {
	y := b.Node("Conv", []string{x, floats(b, 4, 3, 3, 3), floats(b, 4)})
	y = b.Node("BatchNormalization", []string{y, floats(b, 4), floats(b, 4), floats(b, 4), floats(b, 4)})
	y = b.Node("MaxPool", []string{b.Node("Relu", []string{y})}, AttrInts("kernel_shape", 2, 2))
	y = b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{y})})
	return b.Node("Gemm", []string{y, floats(b, 4, 10), floats(b, 10)})
}

func squeezeOf(axis int64) func(*Builder, string) string {
	return func(b *Builder, x string) string { return b.Node("Squeeze", []string{x, list(b, axis)}) }
}

func withConstant(op string, dims ...int64) func(*Builder, string) string {
	return func(b *Builder, x string) string { return b.Node(op, []string{x, floats(b, dims...)}) }
}

func padded(pads ...int64) func(*Builder, string) string {
	return func(b *Builder, x string) string { return b.Node("Pad", []string{x, list(b, pads...)}) }
}

func joined(axis int64) func(*Builder, string) string {
	return func(b *Builder, x string) string {
		return b.Node("Concat", []string{x, b.Node("Neg", []string{x})}, AttrInt("axis", axis))
	}
}

func joinedConstant(b *Builder, x string) string {
	return b.Node("Concat", []string{x, floats(b, 1, 3, 8, 8)}, AttrInt("axis", 1))
}

func gathered(axis int64) func(*Builder, string) string {
	return func(b *Builder, x string) string {
		return b.Node("Gather", []string{x, list(b, 0, 0)}, AttrInt("axis", axis))
	}
}

func quantized(axis, scales int64) func(*Builder, string) string {
	return func(b *Builder, x string) string {
		s := floats(b, scales)
		q := b.Node("QuantizeLinear", []string{x, s}, AttrInt("axis", axis))
		return b.Node("DequantizeLinear", []string{q, s}, AttrInt("axis", axis))
	}
}

func product2(b *Builder, x string) string { return b.Node("MatMul", []string{x, floats(b, 8, 5)}) }

func pairs(b *Builder, x string) string {
	return b.Node("Gemm", []string{x, x}, AttrInt("transB", 1))
}

func sums(b *Builder, x string) string {
	return b.Node("Gemm", []string{x, x}, AttrInt("transA", 1))
}

func biased(dims ...int64) func(*Builder, string) string {
	return func(b *Builder, x string) string {
		return b.Node("Gemm", []string{x, floats(b, 3, 5), floats(b, dims...)})
	}
}

func sized(b *Builder, x string) string {
	n := b.Node("Cast", []string{b.Node("Size", []string{x})}, AttrInt("to", int64(Float32)))
	return b.Node("Div", []string{x, n})
}

func expanded(dims ...int64) func(*Builder, string) string {
	return func(b *Builder, x string) string { return b.Node("Expand", []string{x, list(b, dims...)}) }
}

func resized(b *Builder, x string) string {
	return b.Node("Resize", []string{x, "", "", list(b, 1, 3, 16, 16)})
}

func zerosLike(b *Builder, x string) string {
	return b.Node("Add", []string{x, b.Node("ConstantOfShape", []string{b.Node("Shape", []string{x})})})
}

func training(b *Builder, x string) string {
	return b.Node("BatchNormalization", []string{x, floats(b, 3), floats(b, 3), floats(b, 3), floats(b, 3)}, AttrInt("training_mode", 1))
}

// A target that serves two Reshapes, or is an output, must not change under
// the one that does not need it.
func TestSetBatchKeepsSharedTargets(t *testing.T) {
	b := NewBuilder("net", 17)
	x := b.Input("x", Float32, Fixed(1), Fixed(6))
	to := list(b, 1, 6)
	y := b.Node("Reshape", []string{x, to})
	b.Output(y, "y", Float32)
	b.Output(b.Node("Reshape", []string{floats(b, 6), to}), "z", Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetBatch("batch"); err != nil {
		t.Fatal(err)
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
	for value, want := range map[string][]int64{"y": {0, 6}, "z": {1, 6}} {
		got, err := m.Graph.Constant(m.Graph.Producer(value).Inputs[1]).Int64s()
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("the target of %s is %v, %v; want %v", value, got, err, want)
		}
	}
}

func TestSetBatchUpdatesDeclarations(t *testing.T) {
	b := NewBuilder("net", 17)
	x := b.Input("x", Float32, Fixed(1), Fixed(3), Fixed(8), Fixed(8))
	y := b.Node("Transpose", []string{x}, AttrInts("perm", 1, 0, 2, 3))
	b.Output(b.Node("Transpose", []string{y}, AttrInts("perm", 1, 0, 2, 3)), "y", Float32, Fixed(1), Fixed(3), Fixed(8), Fixed(8))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	m.Graph.Values = []*Value{{Name: y, Type: Float32, HasShape: true, Shape: []Dim{Fixed(3), Fixed(1), Fixed(8), Fixed(8)}}}
	if err := m.SetBatch("n"); err != nil {
		t.Fatal(err)
	}
	if got := shapeString(m.Graph.Values[0].Shape); got != "[3 n 8 8]" {
		t.Errorf("the value between is %s, want [3 n 8 8]", got)
	}
}

func TestSetBatchRenames(t *testing.T) {
	for name, c := range map[string]struct {
		batch Dim
	}{
		"a symbol":               {Symbol("N")},
		"an unknown length":      {Unknown()},
		"a zero, which means it": {Fixed(0)},
	} {
		t.Run(name, func(t *testing.T) {
			m := readFixture(t, "conv_net")
			for _, v := range []*Value{m.Graph.Inputs[0], m.Graph.Outputs[0], m.Graph.Values[0]} {
				v.Shape[0] = c.batch
			}
			if err := m.SetBatch("batch"); err != nil {
				t.Fatal(err)
			}
			for _, v := range []*Value{m.Graph.Inputs[0], m.Graph.Outputs[0], m.Graph.Values[0]} {
				if v.Shape[0] != Symbol("batch") {
					t.Errorf("%s is %s", v.Name, shapeString(v.Shape))
				}
			}
		})
	}
}

func TestSetBatchRefusesInputs(t *testing.T) {
	input := func(dims ...Dim) *Value { return &Value{Name: "i", Type: Float32, HasShape: true, Shape: dims} }
	for name, c := range map[string]struct {
		inputs []*Value
		want   string
	}{
		"no inputs":               {nil, "no input has a first axis"},
		"a scalar":                {[]*Value{input()}, "no input has a first axis"},
		"no shape":                {[]*Value{{Name: "i", Type: Float32}}, `input "i" has no shape`},
		"two batches":             {[]*Value{input(Fixed(1)), input(Fixed(2))}, "disagree on the first axis"},
		"a batch and a symbol":    {[]*Value{input(Fixed(1)), input(Symbol("n"))}, "disagree on the first axis"},
		"a name that is in use":   {[]*Value{input(Fixed(1), Symbol("batch"))}, `"batch" already names axis 1`},
		"two different symbols":   {[]*Value{input(Symbol("m")), input(Symbol("n"))}, "disagree on the first axis"},
		"a batch that is nowhere": {[]*Value{input(Fixed(1))}, "no output carries it"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &Model{IRVersion: 8, Opsets: []Opset{{Version: 17}}, Graph: &Graph{Name: "g", Inputs: c.inputs}}
			err := m.SetBatch("batch")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if err := readFixture(t, "relu").SetBatch(""); err == nil || !strings.Contains(err.Error(), "needs a name") {
		t.Errorf("an empty name: %v", err)
	}
}

func TestSetBatchStopsAtSubgraphs(t *testing.T) {
	m := readFixture(t, "if_captures")
	m.Graph.Inputs[0].Shape[0] = Fixed(1)
	m.Graph.Inputs = m.Graph.Inputs[:1]
	m.Graph.Initializers = []*Tensor{{Name: "cond", Type: Bool, Data: []byte{1}}}
	err := m.SetBatch("n")
	if err == nil || !strings.Contains(err.Error(), `If "if" of []: this program does not know`) {
		t.Errorf("got %v", err)
	}
}

// The MLPerf teacher has a fixed batch of 1, a target of [-1 64] and declares
// nothing between its input and output.
func TestSetBatchOnTeachers(t *testing.T) {
	for _, f := range teacherFiles(t) {
		t.Run(filepath.Base(f), func(t *testing.T) {
			m, err := ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.SetBatch("batch"); err != nil {
				t.Fatal(err)
			}
			if err := Check(m); err != nil {
				t.Error(err)
			}
			for _, v := range []*Value{m.Graph.Inputs[0], m.Graph.Outputs[0]} {
				if v.Shape[0] != Symbol("batch") {
					t.Errorf("%s is %s", v.Name, shapeString(v.Shape))
				}
			}
		})
	}
}

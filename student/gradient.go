package student

import (
	"context"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// NoFormError is the error of an operator that cannot be written as ONNX.
type NoFormError = op.NoFormError

// GradientOptions say how a classifier becomes a model of its gradient. The zero
// value suits a file with one output and fixed image sizes.
type GradientOptions struct {
	// Output is the output with the class scores; empty chooses it as in
	// ImportOptions.
	Output string

	// Image is the size of the images where the file leaves it open, as in
	// ImportOptions.
	Image Shape

	// ImageShape says what images an input of fewer axes than four holds, as in
	// ImportOptions.
	ImageShape preprocess.ImageShape

	// Labels and Gradient name the second input and the output; empty means
	// "labels" and "gradient".
	Labels, Gradient string

	// Magnitude gives |J| in place of J: how much each pixel matters, as it is
	// drawn for people.
	Magnitude bool

	// Opset is the version of ONNX's operator set; zero means 17. The
	// derivative of a maximum over windows wants 16 or more.
	Opset int64
}

// GradientModel makes of a frozen classifier another file: the gradient
// J = ∂CE/∂x of each sample's cross-entropy by its image, which gradient-based
// attention transfer compares (Zagoruyko & Komodakis 2017, section 3.2). The
// classifier is imported, its graph is differentiated, and the derivative is
// written with standard operators.
//
// Inputs are `image` float32 [batch, C, H, W], normalised as the classifier
// wants it, whatever order of axes it has itself, and labels float32 [batch,
// classes], one hot or any probabilities. The output is [batch, C, H, W], with
// its signs unless Magnitude is set. The batch is free. m is not changed.
//
// The error is an *UnsupportedError where an operator cannot be imported, and an
// *NoFormError where the derivative of one cannot be written.
func GradientModel(m *onnx.Model, o GradientOptions) (*onnx.Model, error) {
	return GradientContext(context.Background(), m, o)
}

// GradientContext is GradientModel until ctx is cancelled, whose error it returns
// then.
func GradientContext(ctx context.Context, m *onnx.Model, o GradientOptions) (*onnx.Model, error) {
	fail := func(err error) (*onnx.Model, error) { return nil, fmt.Errorf("student: gradient: %w", err) }
	if o.Labels == "" {
		o.Labels = "labels"
	}
	if o.Gradient == "" {
		o.Gradient = "gradient"
	}
	e := ExportOptions{Opset: o.Opset}
	if err := e.check(); err != nil {
		return nil, err
	}
	imported, err := ImportContext(ctx, m, ImportOptions{Image: o.Image, ImageShape: o.ImageShape, Output: o.Output})
	if err != nil {
		return nil, err
	}
	model := imported.Model
	image := model.spec.Image
	dims := []onnx.Dim{onnx.Symbol("batch"), onnx.Fixed(int64(image.C)), onnx.Fixed(int64(image.H)), onnx.Fixed(int64(image.W))}
	// As in Export, two sizes of the batch tell where a form holds one.
	var written [2]*onnx.Model
	var tensors []*onnx.Tensor
	for i, batch := range batchSizes {
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		g, err := model.Graph(batch, Infer)
		if err != nil {
			return nil, err
		}
		labels := gorgonia.NewTensor(g.Expr, tensor.Float32, 2, gorgonia.WithShape(g.Logits.Shape()...), gorgonia.WithName(o.Labels))
		j, err := imageGradient(g, labels)
		if err == nil && o.Magnitude {
			j, err = op.Abs(j)
		}
		if err != nil {
			return fail(err)
		}
		classes := int64(labels.Shape()[1])
		in := []Port{
			{Name: "image", Node: g.Image, Elem: onnx.Float32, Dims: dims},
			{Name: o.Labels, Node: labels, Elem: onnx.Float32, Dims: []onnx.Dim{onnx.Symbol("batch"), onnx.Fixed(classes)}},
		}
		out := []Port{{Name: o.Gradient, Node: j, Elem: onnx.Float32, Dims: dims}}
		if written[i], tensors, err = g.write(e, in, out, true, tensors); err != nil {
			return nil, err
		}
	}
	if err := openBatch(written[0], written[1], "image"); err != nil {
		return fail(err)
	}
	return finish(written[0], model.Name(), e)
}

// imageGradient adds to the graph the gradient of each sample's cross-entropy
// with labels [N, classes] by its image. That by the logits is softmax − labels
// where the labels of a sample add up to 1, so that no sum over the batch is
// taken, whose derivative would know how many samples there are.
func imageGradient(g *Graph, labels *gorgonia.Node) (*gorgonia.Node, error) {
	logp, err := op.LogSoftmax(g.Logits)
	if err != nil {
		return nil, err
	}
	p, err := op.Exp(logp)
	if err != nil {
		return nil, err
	}
	d, err := op.Sub(p, labels)
	if err != nil {
		return nil, err
	}
	j, err := op.Pullback(gorgonia.Nodes{g.Logits}, gorgonia.Nodes{d}, g.Image)
	if err != nil {
		return nil, err
	}
	return j[0], nil
}

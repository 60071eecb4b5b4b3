package student_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
)

func TestGradientModelsSayWhatStandsInTheWay(t *testing.T) {
	b := onnx.NewBuilder("odd", 17)
	x := b.Input("image", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(8), onnx.Fixed(8))
	b.Name("strange")
	y := b.Node("LpNormalization", []string{b.Node("Flatten", []string{x})}, onnx.AttrInt("axis", 1), onnx.AttrInt("p", 1))
	b.Output(y, "logits", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(192))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	_, err = student.GradientModel(m, student.GradientOptions{})
	var unsupported *student.UnsupportedError
	if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), "LpNormalization") {
		t.Errorf("got error %v, want one that names the operator", err)
	}
	if _, err := student.GradientModel(m, student.GradientOptions{Output: "scores"}); err == nil || !strings.Contains(err.Error(), `no output "scores"; its outputs are ["logits"]`) {
		t.Errorf("got error %v, want one that lists the outputs", err)
	}
}

package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// visit calls f for every product of the convolution with the indices of its
// factors in x and w and of its sum in y: the definition, in plain loops.
func (s ConvShape) visit(f func(xi, wi, yi int)) {
	oh, ow := s.Out()
	cg, kg := s.C/s.Groups, s.K/s.Groups
	for n := range s.N {
		for p := range oh {
			for q := range ow {
				for k := range s.K {
					for r := range s.R {
						for t := range s.S {
							i, j := p*s.Stride[0]-s.Pad[0]+r*s.Dilation[0], q*s.Stride[1]-s.Pad[1]+t*s.Dilation[1]
							if i < 0 || i >= s.H || j < 0 || j >= s.W {
								continue
							}
							for c := range cg {
								f(((n*s.H+i)*s.W+j)*s.C+k/kg*cg+c, ((k*s.R+r)*s.S+t)*cg+c, ((n*oh+p)*ow+q)*s.K+k)
							}
						}
					}
				}
			}
		}
	}
}

// summed is a sum of products with the sum of their magnitudes, which bounds
// its rounding error.
type summed struct{ value, magnitude float64 }

func (s *summed) add(a, b float64) {
	s.value += a * b
	s.magnitude += math.Abs(a * b)
}

// rounding is the error allowed to a sum of products, in units of the last
// place of the sum of their magnitudes. A sum in any order stays well below,
// since errors do not all have one sign; a wrong product does not.
const rounding = 16

// compare fails the test where got is not want within rounding.
func compare[T Float](t *testing.T, what string, got []T, want []summed) {
	t.Helper()
	unit := 0x1p-52
	if _, ok := any(T(0)).(float32); ok {
		unit = 0x1p-23
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - w.value); !(d <= rounding*unit*w.magnitude) {
			t.Fatalf("%s[%d] = %v, want %v within %v", what, i, got[i], w.value, rounding*unit*w.magnitude)
		}
	}
}

// checkConv compares the three members of the family with plain loops.
func checkConv[T Float](t *testing.T, m *micro[T], s ConvShape) {
	t.Helper()
	x, w, y := operands[T](s)
	wantY, wantX, wantW := make([]summed, len(y)), make([]summed, len(x)), make([]summed, len(w))
	s.visit(func(xi, wi, yi int) {
		wantY[yi].add(float64(x[xi]), float64(w[wi]))
		wantX[xi].add(float64(y[yi]), float64(w[wi]))
		wantW[wi].add(float64(x[xi]), float64(y[yi]))
	})
	check := func(what string, plan ConvPlan[T], a, b []T, want []summed) {
		t.Helper()
		// Whatever the memory held before must not matter, nor may anything
		// beyond the result be written.
		const guard = 64
		memory := make([]T, guard+len(want)+guard)
		scratch := make([]T, plan.Scratch)
		for i := range memory {
			memory[i] = T(math.NaN())
		}
		for i := range scratch {
			scratch[i] = T(math.NaN())
		}
		got := memory[guard : guard+len(want) : guard+len(want)]
		if err := plan.Run(got, a, b, scratch); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		compare(t, what, got, want)
		for i, v := range memory {
			if (i < guard || i >= guard+len(want)) && v == v {
				t.Fatalf("%s wrote element %d of %d", what, i-guard, len(want))
			}
		}
		again := append([]T(nil), got...)
		if err := plan.Run(got, a, b, scratch); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for i := range got {
			if got[i] != again[i] {
				t.Fatalf("%s[%d] = %v on the second run and %v on the first", what, i, got[i], again[i])
			}
		}
	}
	check("y", convForward(m, s), x, w, wantY)
	check("dx", convBackwardData(m, s), y, w, wantX)
	check("dw", convBackwardWeights(m, s), x, y, wantW)
}

var convShapes = []struct {
	name  string
	shape ConvShape
}{
	{"padded 3x3 with a whole tile of channels", conv3x3(2, 9, 16, 16, 1)},
	{"padded 3x3 with half a tile of channels", conv3x3(2, 9, 8, 8, 1)},
	{"padded 3x3 of three channels", conv3x3(2, 10, 3, 16, 1)},
	{"padded 3x3 with a tile and a half of channels", conv3x3(1, 7, 24, 40, 1)},
	{"padded 3x3 with channels that fill no tile", conv3x3(2, 7, 13, 19, 1)},
	{"stride 2 on an even size", conv3x3(2, 8, 16, 32, 2)},
	{"stride 2 on an odd size", conv3x3(2, 9, 8, 16, 2)},
	{"many small images", conv3x3(70, 2, 5, 6, 1)},
	{"an image too large for one item", conv3x3(1, 70, 16, 5, 1)},
	{"an image too large for one item, stride 3", conv3x3(1, 71, 24, 5, 3)},
	{"a 1x1 kernel", ConvShape{N: 3, H: 5, W: 7, C: 24, K: 17, R: 1, S: 1, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1}},
	{"a 1x1 kernel of many pixels", ConvShape{N: 3, H: 30, W: 31, C: 16, K: 8, R: 1, S: 1, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1}},
	{"a 1x1 kernel with stride 2", ConvShape{N: 3, H: 6, W: 7, C: 16, K: 32, R: 1, S: 1, Stride: [2]int{2, 2}, Dilation: [2]int{1, 1}, Groups: 1}},
	{"a 1x1 kernel with padding", ConvShape{N: 1, H: 3, W: 4, C: 4, K: 4, R: 1, S: 1, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 0, 2, 1}, Groups: 1}},
	{"a dense layer", ConvShape{N: 70, H: 1, W: 1, C: 64, K: 10, R: 1, S: 1, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1}},
	{"a dense layer of one sample", ConvShape{N: 1, H: 1, W: 1, C: 33, K: 130, R: 1, S: 1, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1}},
	{"a dense layer of which an item has some channels", ConvShape{N: 2, H: 1, W: 1, C: 1200, K: 530, R: 1, S: 1, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1}},
	{"dilation", ConvShape{N: 2, H: 9, W: 11, C: 8, K: 16, R: 3, S: 2, Stride: [2]int{1, 1}, Dilation: [2]int{2, 3}, Pad: [4]int{2, 3, 1, 0}, Groups: 1}},
	{"dilation and a stride that share a factor", ConvShape{N: 1, H: 12, W: 13, C: 8, K: 8, R: 3, S: 3, Stride: [2]int{2, 4}, Dilation: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}, Groups: 1}},
	{"a stride larger than the kernel, pixels that reach nothing", ConvShape{N: 2, H: 11, W: 10, C: 3, K: 17, R: 2, S: 1, Stride: [2]int{4, 3}, Dilation: [2]int{1, 1}, Groups: 1}},
	{"an image in the padding only", ConvShape{N: 1, H: 1, W: 1, C: 2, K: 3, R: 1, S: 1, Stride: [2]int{2, 2}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 1}},
	{"two groups", ConvShape{N: 2, H: 6, W: 5, C: 16, K: 32, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 2}},
	{"groups of three channels", ConvShape{N: 2, H: 6, W: 5, C: 9, K: 6, R: 3, S: 3, Stride: [2]int{2, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 3}},
	{"depthwise", ConvShape{N: 2, H: 6, W: 5, C: 19, K: 19, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 19}},
	{"depthwise with stride 2", ConvShape{N: 2, H: 7, W: 8, C: 8, K: 8, R: 3, S: 3, Stride: [2]int{2, 2}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 8}},
	{"depthwise of whole tiles and half a one", ConvShape{N: 2, H: 9, W: 7, C: 40, K: 40, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 40}},
	{"depthwise 5x5 with stride 2 and no padding", ConvShape{N: 3, H: 11, W: 9, C: 16, K: 16, R: 5, S: 5, Stride: [2]int{2, 2}, Dilation: [2]int{1, 1}, Groups: 16}},
	{"depthwise with dilation and a stride of 3", ConvShape{N: 2, H: 11, W: 12, C: 24, K: 24, R: 2, S: 3, Stride: [2]int{3, 3}, Dilation: [2]int{2, 3}, Pad: [4]int{1, 0, 2, 3}, Groups: 24}},
	{"depthwise 1x1", ConvShape{N: 2, H: 5, W: 4, C: 16, K: 16, R: 1, S: 1, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 16}},
	{"depthwise of a large image", ConvShape{N: 1, H: 60, W: 50, C: 32, K: 32, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 32}},
	{"depthwise with a multiplier", ConvShape{N: 1, H: 5, W: 5, C: 3, K: 6, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 3}},
}

func TestConvolution(t *testing.T) {
	for _, c := range convShapes {
		t.Run(c.name, func(t *testing.T) {
			t.Run("float64", func(t *testing.T) { checkConv(t, portable[float64](), c.shape) })
			t.Run("float32", func(t *testing.T) { checkConv(t, portable[float32](), c.shape) })
			if fastest != nil {
				t.Run(fastest.name, func(t *testing.T) { checkConv(t, fastest, c.shape) })
			}
		})
	}
}

// TestConvolutionOfAnyShape tries geometries nobody thought of.
func TestConvolutionOfAnyShape(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		s := ConvShape{Groups: 1 + r.IntN(3)}
		s.N, s.H, s.W = 1+r.IntN(3), 1+r.IntN(9), 1+r.IntN(9)
		s.C, s.K = s.Groups*(1+r.IntN(18)), s.Groups*(1+r.IntN(18))
		if r.IntN(4) == 0 {
			s.Groups = 8 * (1 + r.IntN(4))
			s.C, s.K = s.Groups, s.Groups
		}
		s.R, s.S = 1+r.IntN(4), 1+r.IntN(4)
		s.Stride, s.Dilation = [2]int{1 + r.IntN(3), 1 + r.IntN(3)}, [2]int{1 + r.IntN(3), 1 + r.IntN(3)}
		for i := range s.Pad {
			s.Pad[i] = r.IntN(4)
		}
		if s.H+s.Pad[0]+s.Pad[2] <= s.Dilation[0]*(s.R-1) || s.W+s.Pad[1]+s.Pad[3] <= s.Dilation[1]*(s.S-1) {
			continue
		}
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
			checkConv(t, microFor[float32](), s)
			checkConv(t, portable[float32](), s)
		})
	}
}

// epilogues are all there are.
var epilogues = func() (all []Epilogue) {
	for i := range 8 {
		all = append(all, Epilogue{Bias: i&1 != 0, Add: i&2 != 0, ReLU: i&4 != 0})
	}
	return all
}()

// checkEpilogue compares a convolution with an epilogue with plain loops, both
// with what is added elsewhere and with it in the result's memory.
func checkEpilogue[T Float](t *testing.T, plan EpiloguePlan[T], s ConvShape, e Epilogue) {
	t.Helper()
	x, w, y := operands[T](s)
	var bias, add []T
	want := make([]summed, len(y))
	s.visit(func(xi, wi, yi int) { want[yi].add(float64(x[xi]), float64(w[wi])) })
	if e.Bias {
		bias = make([]T, s.K)
		for k := range bias {
			bias[k] = T(k%7)/4 - 1
		}
	}
	if e.Add {
		add = y
	}
	for i := range want {
		if e.Bias {
			want[i].add(float64(bias[i%s.K]), 1)
		}
		if e.Add {
			want[i].add(float64(add[i]), 1)
		}
		if e.ReLU {
			want[i].value = max(want[i].value, 0)
		}
	}
	got, scratch := make([]T, len(y)), make([]T, plan.Scratch)
	for range 2 {
		for i := range scratch {
			scratch[i] = T(math.NaN())
		}
		for i := range got {
			got[i] = T(math.NaN())
		}
		if e.Add && &add[0] != &y[0] {
			copy(got, y)
			add = got
		}
		if err := plan.Run(got, x, w, bias, add, scratch); err != nil {
			t.Fatalf("%v: %v", e, err)
		}
		compare(t, e.String(), got, want)
		if e.Add {
			add = got // what is added is in the memory of the result
		}
	}
}

func TestConvolutionWithEpilogue(t *testing.T) {
	for _, c := range convShapes {
		t.Run(c.name, func(t *testing.T) {
			for _, e := range epilogues {
				checkEpilogue(t, convForwardEpilogue(portable[float64](), c.shape, e), c.shape, e)
				checkEpilogue(t, convForwardEpilogue(portable[float32](), c.shape, e), c.shape, e)
				checkEpilogue(t, ConvForwardEpilogue[float32](c.shape, e), c.shape, e)
			}
		})
	}
}

func TestConvolutionAllocatesNothing(t *testing.T) {
	for _, s := range []ConvShape{conv3x3(8, 16, 16, 20, 1), conv3x3(8, 16, 3, 16, 2)} {
		x, w, y := operands[float32](s)
		for _, c := range []struct {
			name      string
			plan      ConvPlan[float32]
			dst, a, b []float32
		}{
			{"forward", ConvForward[float32](s), y, x, w},
			{"backward data", ConvBackwardData[float32](s), x, y, w},
			{"backward weights", ConvBackwardWeights[float32](s), w, x, y},
		} {
			dst, scratch := make([]float32, len(c.dst)), make([]float32, c.plan.Scratch)
			if n := testing.AllocsPerRun(20, func() {
				if err := c.plan.Run(dst, c.a, c.b, scratch); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s of %+v allocates %v times in a run, want none", c.name, s, n)
			}
		}
	}
}

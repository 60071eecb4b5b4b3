package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
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

// family is one way to compute the convolution family. Its functions report
// false for a shape that it does not take.
type family[T Float] struct {
	name    string
	forward func(ConvShape, Epilogue) (EpiloguePlan[T], bool)
	data    func(ConvShape) (ConvPlan[T], bool)
	weights func(ConvShape) (ConvPlan[T], bool)
}

// tiles is the family by the register tiles of m.
func tiles[T Float](m *micro[T]) family[T] {
	return family[T]{
		m.name,
		func(s ConvShape, e Epilogue) (EpiloguePlan[T], bool) { return convForwardEpilogue(m, s, e), true },
		func(s ConvShape) (ConvPlan[T], bool) { return convBackwardData(m, s), true },
		func(s ConvShape) (ConvPlan[T], bool) { return convBackwardWeights(m, s), true },
	}
}

// families32 are the ways to compute in float32 that this build has, each for
// all shapes it can do, then what is used for each shape.
var families32 = func() (all []family[float32]) {
	all = append(all, tiles(portable[float32]()))
	if fastest != nil {
		all = append(all, tiles(fastest))
	}
	if _, linked := OneDNN(); linked {
		all = append(all, family[float32]{"onednn", onednnForward, onednnBackwardData, onednnBackwardWeights})
	}
	return append(all, family[float32]{
		"chosen",
		func(s ConvShape, e Epilogue) (EpiloguePlan[float32], bool) {
			return ConvForwardEpilogue[float32](s, e), true
		},
		func(s ConvShape) (ConvPlan[float32], bool) { return ConvBackwardData[float32](s), true },
		func(s ConvShape) (ConvPlan[float32], bool) { return ConvBackwardWeights[float32](s), true },
	})
}()

// checkConv compares the three members of the family with plain loops and
// returns how many of them it takes.
func checkConv[T Float](t *testing.T, f family[T], s ConvShape) (taken int) {
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
	if p, ok := f.forward(s, Epilogue{}); ok {
		check("y", p.plain(), x, w, wantY)
		taken++
	}
	if p, ok := f.data(s); ok {
		check("dx", p, y, w, wantX)
		taken++
	}
	if p, ok := f.weights(s); ok {
		check("dw", p, x, y, wantW)
		taken++
	}
	return taken
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
	{"a batch in pieces with a short last one", conv3x3(11, 6, 16, 16, 1)},
	{"pieces of a strided one with a short last one", conv3x3(9, 7, 24, 40, 2)},
	{"pieces with channels that fill no block", conv3x3(17, 5, 13, 19, 1)},
	{"pieces of a depthwise one with a short last one", ConvShape{N: 11, H: 7, W: 8, C: 48, K: 48, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 48}},
	{"pieces of four groups", ConvShape{N: 17, H: 4, W: 5, C: 32, K: 32, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 4}},
	{"pieces with asymmetric padding and dilation", ConvShape{N: 10, H: 8, W: 6, C: 16, K: 32, R: 3, S: 3, Stride: [2]int{1, 2}, Dilation: [2]int{2, 1}, Pad: [4]int{0, 1, 3, 2}, Groups: 1}},
	{"depthwise with a multiplier", ConvShape{N: 1, H: 5, W: 5, C: 3, K: 6, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 3}},
}

func TestConvolution(t *testing.T) {
	for _, c := range convShapes {
		t.Run(c.name, func(t *testing.T) {
			t.Run("float64", func(t *testing.T) { checkConv(t, tiles(portable[float64]()), c.shape) })
			for _, f := range families32 {
				t.Run(f.name, func(t *testing.T) {
					taken := checkConv(t, f, c.shape)
					if taken < 3 && (f.name != "onednn" || c.shape.C%8 == 0 && c.shape.K%8 == 0) {
						t.Errorf("%d of 3 members were there", taken)
					}
				})
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
			for _, f := range families32 {
				checkConv(t, f, s)
			}
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

// checkEpilogue compares a convolution with an epilogue with sums of products,
// both with what is added elsewhere and with it in the result's memory.
func checkEpilogue[T Float](t *testing.T, f family[T], s ConvShape, e Epilogue, sums []summed) {
	t.Helper()
	plan, ok := f.forward(s, e)
	if !ok {
		return
	}
	x, w, y := operands[T](s)
	var bias, add []T
	if e.Bias {
		bias = make([]T, s.K)
		for k := range bias {
			bias[k] = T(k%7)/4 - 1
		}
	}
	if e.Add {
		add = y
	}
	want := append([]summed(nil), sums...)
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
	for _, inPlace := range []bool{false, true} {
		for i := range scratch {
			scratch[i] = T(math.NaN())
		}
		for i := range got {
			got[i] = T(math.NaN())
		}
		if inPlace && e.Add {
			copy(got, y)
			add = got
		}
		if err := plan.Run(got, x, w, bias, add, scratch); err != nil {
			t.Fatalf("%s, %v: %v", f.name, e, err)
		}
		compare(t, f.name+", "+e.String(), got, want)
	}
}

func TestConvolutionWithEpilogue(t *testing.T) {
	for _, c := range convShapes {
		t.Run(c.name, func(t *testing.T) {
			x, w, y := operands[float64](c.shape)
			sums := make([]summed, len(y))
			c.shape.visit(func(xi, wi, yi int) { sums[yi].add(x[xi], w[wi]) })
			checkEpilogue(t, tiles(portable[float64]()), c.shape, Epilogue{Bias: true, Add: true, ReLU: true}, sums)
			for _, e := range epilogues {
				// Without the first family, plain Go, which has the last one's
				// epilogue and would take most of the time.
				for _, f := range families32[1:] {
					checkEpilogue(t, f, c.shape, e, sums)
				}
			}
		})
	}
}

// TestConvolutionShowsNaN: a broken activation must not be hidden by a ReLU.
func TestConvolutionShowsNaN(t *testing.T) {
	for _, s := range []ConvShape{conv3x3(8, 8, 16, 16, 1), conv3x3(1, 3, 3, 5, 1)} {
		x, w, y := operands[float32](s)
		x[0] = float32(math.NaN())
		for _, f := range families32 {
			for _, e := range epilogues {
				plan, ok := f.forward(s, e)
				if !ok {
					continue
				}
				bias, add := make([]float32, s.K), make([]float32, len(y))
				if err := plan.Run(y, x, w, bias, add, make([]float32, plan.Scratch)); err != nil {
					t.Fatal(err)
				}
				if y[0] == y[0] {
					t.Errorf("%s, %v: the result at a NaN of the image is %v, want NaN", f.name, e, y[0])
				}
			}
		}
	}
}

// TestConvolutionSeesWrittenWeights: weights that changed in place since the
// last run must be used as they are.
func TestConvolutionSeesWrittenWeights(t *testing.T) {
	s := conv3x3(16, 8, 16, 16, 1)
	x, w, y := operands[float32](s)
	for _, f := range families32 {
		forward, _ := f.forward(s, Epilogue{})
		data, _ := f.data(s)
		for _, c := range []struct {
			name      string
			plan      ConvPlan[float32]
			images, g []float32
		}{{"forward", forward.plain(), y, x}, {"data", data, x, y}} {
			before, after, again := make([]float32, len(c.images)), make([]float32, len(c.images)), make([]float32, len(c.images))
			scratch := make([]float32, c.plan.Scratch)
			// One weight, the last, is what a comparison by samples misses.
			last := &w[len(w)-1]
			old := *last
			for _, r := range []struct {
				dst    []float32
				weight float32
			}{{before, old}, {after, old + 1}, {again, old}} {
				*last = r.weight
				if err := c.plan.Run(r.dst, c.g, w, scratch); err != nil {
					t.Fatal(err)
				}
			}
			if slices.Equal(before, after) {
				t.Errorf("%s, %s: a weight changed and the result did not", f.name, c.name)
			}
			if !slices.Equal(before, again) {
				t.Errorf("%s, %s: the weight is as before and the result is not", f.name, c.name)
			}
		}
	}
}

// TestConvolutionsAtOnce runs plans of one shape, which share oneDNN's
// primitives, in several goroutines.
func TestConvolutionsAtOnce(t *testing.T) {
	s := conv3x3(19, 8, 16, 24, 1)
	x, w, y := operands[float32](s)
	for _, f := range families32 {
		t.Run(f.name, func(t *testing.T) {
			var all sync.WaitGroup
			for member := range 3 {
				var want []float32
				for g := range 4 {
					run := func() []float32 {
						var plan ConvPlan[float32]
						dst, a, b := y, x, w
						switch member {
						case 0:
							p, _ := f.forward(s, Epilogue{})
							plan = p.plain()
						case 1:
							dst, a, b = x, y, w
							plan, _ = f.data(s)
						case 2:
							dst, a, b = w, x, y
							plan, _ = f.weights(s)
						}
						got := make([]float32, len(dst))
						scratch := make([]float32, plan.Scratch)
						for range 5 {
							if err := plan.Run(got, a, b, scratch); err != nil {
								t.Error(err)
							}
						}
						return got
					}
					if g == 0 {
						want = run()
						continue
					}
					all.Go(func() {
						if !slices.Equal(run(), want) {
							t.Errorf("member %d computed something else beside others", member)
						}
					})
				}
			}
			all.Wait()
		})
	}
}

func TestConvolutionRefusesWrongLengths(t *testing.T) {
	s := conv3x3(8, 16, 16, 16, 1)
	x, w, y := operands[float32](s)
	forward, data, weights := ConvForward[float32](s), ConvBackwardData[float32](s), ConvBackwardWeights[float32](s)
	full := ConvForwardEpilogue[float32](s, Epilogue{Bias: true, Add: true})
	scratch := make([]float32, max(forward.Scratch, data.Scratch, weights.Scratch, full.Scratch))
	bias := make([]float32, s.K)
	short := func(v []float32) []float32 { return v[:len(v)-1] }
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"a short result", "elements of result, got", forward.Run(short(y), x, w, scratch)},
		{"short images", "elements of images, got", forward.Run(y, short(x), w, scratch)},
		{"short weights", "elements of weights, got", forward.Run(y, x, short(w), scratch)},
		{"weights that are too long", "elements of weights, got", forward.Run(y, x, x, scratch)},
		{"no scratch", "elements of scratch, got 0", forward.Run(y, x, w, nil)},
		{"no bias", "16 elements of bias, got 0", full.Run(y, x, w, nil, y, scratch)},
		{"no addend", "elements of addend, got 0", full.Run(y, x, w, bias, nil, scratch)},
		{"a short derivative", "elements of result's derivative, got", data.Run(x, short(y), w, scratch)},
		{"a short derivative by the weights", "elements of weights' derivative, got", weights.Run(short(w), x, y, scratch)},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) || !strings.HasPrefix(c.err.Error(), "kernel: convolution") {
			t.Errorf("%s: the error is %v, want one with %q", c.name, c.err, c.want)
		}
	}
	if err := full.Run(y, x, w, bias, y, scratch); err != nil {
		t.Errorf("with all operands: %v", err)
	}
}

func TestConvolutionAllocatesNothing(t *testing.T) {
	for _, s := range []ConvShape{conv3x3(9, 16, 16, 24, 1), conv3x3(9, 16, 3, 16, 2)} {
		x, w, y := operands[float32](s)
		for _, f := range families32 {
			forward, _ := f.forward(s, Epilogue{Bias: true, Add: true, ReLU: true})
			plain, _ := f.forward(s, Epilogue{})
			data, _ := f.data(s)
			weights, _ := f.weights(s)
			scratch := make([]float32, max(forward.Scratch, plain.Scratch, data.Scratch, weights.Scratch))
			dst, bias := make([]float32, max(len(x), len(w), len(y))), make([]float32, s.K)
			for _, c := range []struct {
				name string
				run  func() error
			}{
				{"forward", func() error { return plain.Run(dst[:len(y)], x, w, nil, nil, scratch) }},
				{"forward with an epilogue", func() error { return forward.Run(dst[:len(y)], x, w, bias, y, scratch) }},
				{"backward data", func() error { return data.Run(dst[:len(x)], y, w, scratch) }},
				{"backward weights", func() error { return weights.Run(dst[:len(w)], x, y, scratch) }},
			} {
				if n := testing.AllocsPerRun(20, func() {
					if err := c.run(); err != nil {
						t.Fatal(err)
					}
				}); n != 0 {
					t.Errorf("%s of %+v by %s allocates %v times in a run, want none", c.name, s, f.name, n)
				}
			}
		}
	}
}

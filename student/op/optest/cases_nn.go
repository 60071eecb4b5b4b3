package optest

import (
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// nnCases are the cases of the network operators: convolution, dense, batch
// normalisation and pooling.
func nnCases() []Case {
	var c []Case
	c = append(c, convCases()...)
	c = append(c, denseCases()...)
	c = append(c, batchNormCases()...)
	c = append(c, poolCases()...)
	return c
}

// trainingForm is why operators of training have no ONNX form.
const trainingForm = "it belongs to training"

func convCases() []Case {
	conv := func(name string, x, w tensor.Shape, cfg op.ConvConfig) Case {
		return Case{
			Name:   "Conv2D " + name,
			Inputs: []Input{{Shape: x, Samples: true}, {Shape: w}},
			Build:  func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Conv2D(in[0], in[1], cfg) },
			Reference: func(in [][]float64) []float64 {
				return convolve(in[0], in[1], x, w, cfg)
			},
		}
	}
	shape := func(d ...int) tensor.Shape { return d }
	return []Case{
		conv("3x3 with an image's padding", shape(2, 5, 6, 3), shape(4, 3, 3, 3), op.ConvConfig{Pad: [4]int{1, 1, 1, 1}}),
		conv("3x3 without padding", shape(1, 5, 4, 2), shape(3, 3, 3, 2), op.ConvConfig{}),
		conv("3x3 with stride 2 on odd sizes", shape(2, 7, 5, 2), shape(3, 3, 3, 2), op.ConvConfig{Stride: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}}),
		conv("3x3 with stride 2 on even sizes, which leaves a row unseen", shape(1, 6, 6, 2), shape(2, 3, 3, 2), op.ConvConfig{Stride: [2]int{2, 2}}),
		conv("with strides that differ", shape(1, 7, 8, 2), shape(2, 3, 2, 2), op.ConvConfig{Stride: [2]int{3, 2}, Pad: [4]int{1, 0, 1, 0}}),
		conv("with padding that differs on every side", shape(1, 4, 5, 2), shape(2, 3, 3, 2), op.ConvConfig{Pad: [4]int{2, 0, 1, 3}}),
		conv("with dilation", shape(1, 8, 7, 2), shape(2, 3, 2, 2), op.ConvConfig{Dilation: [2]int{2, 3}, Pad: [4]int{2, 1, 2, 1}}),
		conv("with dilation and stride", shape(1, 9, 9, 2), shape(2, 3, 3, 2), op.ConvConfig{Dilation: [2]int{2, 2}, Stride: [2]int{3, 2}, Pad: [4]int{1, 2, 3, 0}}),
		conv("in two groups", shape(2, 4, 4, 4), shape(6, 3, 3, 2), op.ConvConfig{Groups: 2, Pad: [4]int{1, 1, 1, 1}}),
		conv("depthwise", shape(2, 5, 5, 3), shape(3, 3, 3, 1), op.ConvConfig{Groups: 3, Pad: [4]int{1, 1, 1, 1}}),
		conv("depthwise with stride 2 and dilation", shape(1, 9, 8, 5), shape(5, 3, 3, 1), op.ConvConfig{Groups: 5, Stride: [2]int{2, 2}, Dilation: [2]int{2, 1}, Pad: [4]int{2, 1, 2, 1}}),
		conv("depthwise with a multiplier", shape(1, 4, 5, 2), shape(6, 3, 3, 1), op.ConvConfig{Groups: 2, Pad: [4]int{1, 1, 1, 1}}),
		conv("1x1", shape(2, 3, 4, 5), shape(6, 1, 1, 5), op.ConvConfig{}),
		conv("1x1 with stride 2", shape(2, 5, 4, 3), shape(4, 1, 1, 3), op.ConvConfig{Stride: [2]int{2, 2}}),
		conv("1x1 with padding", shape(1, 3, 3, 2), shape(2, 1, 1, 2), op.ConvConfig{Pad: [4]int{1, 0, 0, 2}}),
		conv("with a stride larger than the kernel", shape(1, 8, 7, 2), shape(2, 2, 2, 2), op.ConvConfig{Stride: [2]int{3, 4}}),
		conv("of an image of one pixel", shape(2, 1, 1, 3), shape(2, 3, 3, 3), op.ConvConfig{Pad: [4]int{1, 1, 1, 1}}),
		conv("5x3 on an image smaller than the kernel", shape(1, 3, 2, 2), shape(2, 5, 3, 2), op.ConvConfig{Pad: [4]int{2, 1, 2, 1}}),
		conv("with more channels than a tile", shape(1, 4, 5, 17), shape(35, 3, 3, 17), op.ConvConfig{Pad: [4]int{1, 1, 1, 1}}),
		conv("with the channels of a thin network", shape(2, 6, 6, 8), shape(16, 3, 3, 8), op.ConvConfig{Stride: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}}),
		conv("in groups of eight", shape(1, 4, 6, 16), shape(16, 3, 3, 8), op.ConvConfig{Groups: 2, Pad: [4]int{1, 1, 1, 1}}),
	}
}

// convolve is Conv2D's equation in loops.
func convolve(x, w []float64, xs, ws tensor.Shape, cfg op.ConvConfig) []float64 {
	at := func(s [2]int, i int) int { return max(s[i], 1) }
	groups := max(cfg.Groups, 1)
	n, h, wd, c := xs[0], xs[1], xs[2], xs[3]
	k, r, s, cg := ws[0], ws[1], ws[2], ws[3]
	oh := (h+cfg.Pad[0]+cfg.Pad[2]-at(cfg.Dilation, 0)*(r-1)-1)/at(cfg.Stride, 0) + 1
	ow := (wd+cfg.Pad[1]+cfg.Pad[3]-at(cfg.Dilation, 1)*(s-1)-1)/at(cfg.Stride, 1) + 1
	var y []float64
	for b := range n {
		for p := range oh {
			for q := range ow {
				for o := range k {
					first := o / (k / groups) * cg
					sum := 0.0
					for i := range r {
						for j := range s {
							row := p*at(cfg.Stride, 0) - cfg.Pad[0] + i*at(cfg.Dilation, 0)
							col := q*at(cfg.Stride, 1) - cfg.Pad[1] + j*at(cfg.Dilation, 1)
							if row < 0 || row >= h || col < 0 || col >= wd {
								continue
							}
							for d := range cg {
								sum += x[((b*h+row)*wd+col)*c+first+d] * w[((o*r+i)*s+j)*cg+d]
							}
						}
					}
					y = append(y, sum)
				}
			}
		}
	}
	return y
}

func denseCases() []Case {
	dense := func(name string, n, in, out int) Case {
		return Case{
			Name:   "Dense " + name,
			Inputs: []Input{{Shape: tensor.Shape{n, in}, Samples: true}, {Shape: tensor.Shape{out, in}}},
			Build:  func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Dense(in[0], in[1]) },
			Reference: func(v [][]float64) []float64 {
				var y []float64
				for i := range n {
					for o := range out {
						sum := 0.0
						for k := range in {
							sum += v[0][i*in+k] * v[1][o*in+k]
						}
						y = append(y, sum)
					}
				}
				return y
			},
		}
	}
	bias := func(name string, s ...int) Case {
		c := s[len(s)-1]
		return Case{
			Name:   "AddBias " + name,
			Inputs: []Input{{Shape: s, Samples: true}, {Shape: tensor.Shape{c}}},
			Build:  func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.AddBias(in[0], in[1]) },
			Reference: func(v [][]float64) []float64 {
				y := append([]float64(nil), v[0]...)
				for i := range y {
					y[i] += v[1][i%c]
				}
				return y
			},
		}
	}
	return []Case{
		dense("of a small batch", 3, 4, 5),
		dense("of one sample", 1, 7, 3),
		dense("with one output", 4, 3, 1),
		dense("with one input", 4, 1, 3),
		dense("with more units than a tile", 5, 19, 34),
		bias("to rows", 3, 4),
		bias("to images", 2, 3, 2, 5),
	}
}

func batchNormCases() []Case {
	const eps = 1e-2 // large enough to matter in the checks
	norm := func(name string, s ...int) Case {
		c := tensor.Shape{s[len(s)-1]}
		return Case{
			Name:   "BatchNorm " + name,
			Inputs: []Input{{Shape: s}, {Shape: c}, {Shape: c}},
			Build: func(in gorgonia.Nodes) (*gorgonia.Node, error) {
				stats, err := op.BatchStats(in[0])
				if err != nil {
					return nil, err
				}
				return op.BatchNorm(in[0], stats, in[1], in[2], eps)
			},
			Reference: func(in [][]float64) []float64 { return normalise(in[0], moments(in[0], c[0]), in[1], in[2], eps) },
			NoForm:    trainingForm,
		}
	}
	return []Case{
		norm("of images", 2, 3, 2, 3),
		norm("of rows", 5, 2),
		norm("of more values than one piece", 1, 9, 10, 100),
		{
			Name:      "BatchStats of images",
			Inputs:    []Input{{Shape: tensor.Shape{2, 3, 2, 3}}},
			Build:     func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.BatchStats(in[0]) },
			Reference: func(in [][]float64) []float64 { return moments(in[0], 3) },
			NoForm:    trainingForm,
		},
		{
			Name:      "BatchStats of values far from zero",
			Inputs:    []Input{{Shape: tensor.Shape{4, 3, 2, 3}, Low: 30, High: 31}},
			Build:     func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.BatchStats(in[0]) },
			Reference: func(in [][]float64) []float64 { return moments(in[0], 3) },
			NoForm:    trainingForm,
		},
		{
			Name: "BatchNormInference of images",
			Inputs: []Input{
				{Shape: tensor.Shape{2, 3, 2, 3}, Samples: true}, {Shape: tensor.Shape{2, 3}, Low: 0.5, High: 2, Fixed: true},
				{Shape: tensor.Shape{3}}, {Shape: tensor.Shape{3}},
			},
			Build: func(in gorgonia.Nodes) (*gorgonia.Node, error) {
				return op.BatchNormInference(in[0], in[1], in[2], in[3], eps)
			},
			Reference: func(in [][]float64) []float64 { return normalise(in[0], in[1], in[2], in[3], eps) },
		},
		{
			Name:   "RunningStats after a batch",
			Inputs: []Input{{Shape: tensor.Shape{2, 3}, Fixed: true}, {Shape: tensor.Shape{2, 3}, Fixed: true}},
			Build: func(in gorgonia.Nodes) (*gorgonia.Node, error) {
				return op.RunningStats(in[0], in[1], 0.1, 8)
			},
			Reference: func(in [][]float64) []float64 {
				y := make([]float64, 6)
				for i := range y {
					b := in[1][i]
					if i >= 3 {
						b *= 8.0 / 7
					}
					y[i] = 0.9*in[0][i] + 0.1*b
				}
				return y
			},
			NoGradient: "it updates a running value",
			NoForm:     trainingForm,
		},
	}
}

// moments returns the mean and biased variance [2, c] of the columns of x.
func moments(x []float64, c int) []float64 {
	s := make([]float64, 2*c)
	m := float64(len(x) / c)
	for i, v := range x {
		s[i%c] += v / m
	}
	for i, v := range x {
		s[c+i%c] += (v - s[i%c]) * (v - s[i%c]) / m
	}
	return s
}

func normalise(x, stats, scale, shift []float64, eps float64) []float64 {
	c := len(scale)
	y := make([]float64, len(x))
	for i, v := range x {
		k := i % c
		y[i] = (v-stats[k])/math.Sqrt(stats[c+k]+eps)*scale[k] + shift[k]
	}
	return y
}

func poolCases() []Case {
	pool := func(max bool, name string, s tensor.Shape, cfg op.PoolConfig) Case {
		if max {
			return Case{
				Name: "MaxPool " + name,
				// Distinct values far apart, so that a small step never changes which
				// is largest.
				Inputs:    []Input{{Shape: s, Values: shuffled(s.TotalSize()), Samples: true}},
				Build:     func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.MaxPool(in[0], cfg) },
				Reference: func(in [][]float64) []float64 { return pooled(in[0], s, cfg, true) },
			}
		}
		return Case{
			Name:      "AveragePool " + name,
			Inputs:    []Input{{Shape: s, Samples: true}},
			Build:     func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.AveragePool(in[0], cfg) },
			Reference: func(in [][]float64) []float64 { return pooled(in[0], s, cfg, false) },
		}
	}
	var cases []Case
	for _, max := range []bool{true, false} {
		cases = append(cases,
			pool(max, "2x2", tensor.Shape{2, 4, 6, 3}, op.PoolConfig{Kernel: [2]int{2, 2}}),
			pool(max, "2x2 on odd sizes, which drops a row and a column", tensor.Shape{1, 5, 7, 2}, op.PoolConfig{Kernel: [2]int{2, 2}}),
			pool(max, "2x2 on odd sizes, rounding up", tensor.Shape{1, 5, 7, 2}, op.PoolConfig{Kernel: [2]int{2, 2}, Ceil: true}),
			pool(max, "with overlapping windows and padding", tensor.Shape{2, 6, 5, 2}, op.PoolConfig{Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}}),
			pool(max, "with padding that differs on every side", tensor.Shape{1, 4, 5, 2}, op.PoolConfig{Kernel: [2]int{3, 3}, Stride: [2]int{1, 2}, Pad: [4]int{2, 0, 1, 2}}),
			pool(max, "rounding up with padding", tensor.Shape{1, 6, 8, 2}, op.PoolConfig{Kernel: [2]int{3, 3}, Stride: [2]int{2, 3}, Pad: [4]int{1, 1, 1, 1}, Ceil: true}),
			pool(max, "rounding up where the last window would lie in the padding", tensor.Shape{1, 4, 4, 1}, op.PoolConfig{Kernel: [2]int{2, 2}, Stride: [2]int{3, 3}, Pad: [4]int{1, 1, 1, 1}, Ceil: true}),
			pool(max, "with a stride larger than the window", tensor.Shape{1, 7, 8, 2}, op.PoolConfig{Kernel: [2]int{2, 1}, Stride: [2]int{3, 3}}),
			pool(max, "of one pixel", tensor.Shape{2, 1, 1, 3}, op.PoolConfig{Kernel: [2]int{1, 1}}),
		)
	}
	return append(cases,
		pool(false, "counting padding", tensor.Shape{1, 5, 6, 2}, op.PoolConfig{Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}, CountIncludePad: true}),
		pool(false, "counting padding that differs on every side", tensor.Shape{1, 4, 5, 2}, op.PoolConfig{Kernel: [2]int{3, 3}, Stride: [2]int{1, 2}, Pad: [4]int{2, 0, 1, 2}, CountIncludePad: true}),
		pool(false, "counting padding and rounding up", tensor.Shape{1, 6, 8, 2}, op.PoolConfig{Kernel: [2]int{3, 3}, Stride: [2]int{2, 3}, Pad: [4]int{1, 1, 1, 1}, CountIncludePad: true, Ceil: true}),
		globalAverage("of images", 2, 3, 4, 5),
		globalAverage("of one pixel", 2, 1, 1, 3),
	)
}

func globalAverage(name string, n, h, w, c int) Case {
	return Case{
		Name:   "GlobalAveragePool " + name,
		Inputs: []Input{{Shape: tensor.Shape{n, h, w, c}, Samples: true}},
		Build:  func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.GlobalAveragePool(in[0]) },
		Reference: func(in [][]float64) []float64 {
			y := make([]float64, n*c)
			for i, v := range in[0] {
				y[i/(h*w*c)*c+i%c] += v / float64(h*w)
			}
			return y
		},
	}
}

// shuffled returns 0, 0.1, ... in a fixed mixed order.
func shuffled(n int) []float64 {
	step := 7
	for gcd(step, n) != 1 {
		step++
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(i*step%n)/10 - 1
	}
	return x
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// pooled is PyTorch's description of its pooling layers in loops.
func pooled(x []float64, s tensor.Shape, cfg op.PoolConfig, largest bool) []float64 {
	var out [2]int
	for i := range 2 {
		if cfg.Stride[i] == 0 {
			cfg.Stride[i] = cfg.Kernel[i]
		}
		room := float64(s[i+1]+cfg.Pad[i]+cfg.Pad[i+2]-cfg.Kernel[i]) / float64(cfg.Stride[i])
		out[i] = int(math.Floor(room)) + 1
		if cfg.Ceil {
			out[i] = int(math.Ceil(room)) + 1
			if (out[i]-1)*cfg.Stride[i] >= s[i+1]+cfg.Pad[i] {
				out[i]--
			}
		}
	}
	var y []float64
	for n := range s[0] {
		for p := range out[0] {
			for q := range out[1] {
				for c := range s[3] {
					sum, best, count := 0.0, math.Inf(-1), 0
					for i := range cfg.Kernel[0] {
						for j := range cfg.Kernel[1] {
							row, col := p*cfg.Stride[0]-cfg.Pad[0]+i, q*cfg.Stride[1]-cfg.Pad[1]+j
							inside := row >= 0 && row < s[1] && col >= 0 && col < s[2]
							if inside {
								v := x[((n*s[1]+row)*s[2]+col)*s[3]+c]
								sum, best = sum+v, math.Max(best, v)
							}
							if inside || cfg.CountIncludePad && row < s[1]+cfg.Pad[2] && col < s[2]+cfg.Pad[3] {
								count++
							}
						}
					}
					if largest {
						y = append(y, best)
					} else {
						y = append(y, sum/float64(count))
					}
				}
			}
		}
	}
	return y
}

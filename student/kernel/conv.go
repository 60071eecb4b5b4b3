package kernel

// ConvShape is the geometry of a two-dimensional convolution of images
// [N, H, W, C] with weights [K, R, S, C/Groups].
type ConvShape struct {
	N, H, W, C int    // images
	K, R, S    int    // output channels, kernel height and width
	Stride     [2]int // vertical, horizontal; at least 1
	Dilation   [2]int // at least 1
	Pad        [4]int // zeros added at top, left, bottom, right
	Groups     int    // divides C and K; at least 1
}

// Out returns the height and width of the output [N, OH, OW, K].
func (s ConvShape) Out() (oh, ow int) {
	oh = (s.H+s.Pad[0]+s.Pad[2]-s.Dilation[0]*(s.R-1)-1)/s.Stride[0] + 1
	ow = (s.W+s.Pad[1]+s.Pad[3]-s.Dilation[1]*(s.S-1)-1)/s.Stride[1] + 1
	return oh, ow
}

// ConvPlan is a convolution, or one of its two derivatives, ready to run.
// Run computes dst from a and b and may use Scratch elements of scratch, whose
// content is undefined before and after.
type ConvPlan[T Float] struct {
	Scratch int
	Run     func(dst, a, b, scratch []T) error
}

// ConvForward plans y[N,OH,OW,K] from a = x[N,H,W,C] and b = w[K,R,S,C/Groups].
func ConvForward[T Float](s ConvShape) ConvPlan[T] {
	oh, ow := s.Out()
	var y, x, w []T
	job := NewJob(s.N, func(_, n int) {
		clear(y[n*oh*ow*s.K : (n+1)*oh*ow*s.K])
		s.visit(n, func(xi, wi, yi int) { y[yi] += x[xi] * w[wi] })
	})
	return ConvPlan[T]{Run: func(dst, a, b, _ []T) error {
		y, x, w = dst, a, b
		return job.Run()
	}}
}

// ConvBackwardData plans dx[N,H,W,C] from a = dy[N,OH,OW,K] and
// b = w[K,R,S,C/Groups].
func ConvBackwardData[T Float](s ConvShape) ConvPlan[T] {
	var dx, dy, w []T
	job := NewJob(s.N, func(_, n int) {
		clear(dx[n*s.H*s.W*s.C : (n+1)*s.H*s.W*s.C])
		s.visit(n, func(xi, wi, yi int) { dx[xi] += dy[yi] * w[wi] })
	})
	return ConvPlan[T]{Run: func(dst, a, b, _ []T) error {
		dx, dy, w = dst, a, b
		return job.Run()
	}}
}

// ConvBackwardWeights plans dw[K,R,S,C/Groups] from a = x[N,H,W,C] and
// b = dy[N,OH,OW,K].
func ConvBackwardWeights[T Float](s ConvShape) ConvPlan[T] {
	return ConvPlan[T]{Run: func(dst, a, b, _ []T) error {
		clear(dst)
		for n := range s.N {
			s.visit(n, func(xi, wi, yi int) { dst[wi] += a[xi] * b[yi] })
		}
		return nil
	}}
}

// visit calls f for every product of image n's convolution with the indices of
// its factors in x and w and of its sum in y.
func (s ConvShape) visit(n int, f func(xi, wi, yi int)) {
	oh, ow := s.Out()
	cg, kg := s.C/s.Groups, s.K/s.Groups
	for p := range oh {
		for q := range ow {
			for k := range s.K {
				yi := ((n*oh+p)*ow+q)*s.K + k
				for r := range s.R {
					i := p*s.Stride[0] - s.Pad[0] + r*s.Dilation[0]
					if i < 0 || i >= s.H {
						continue
					}
					for t := range s.S {
						j := q*s.Stride[1] - s.Pad[1] + t*s.Dilation[1]
						if j < 0 || j >= s.W {
							continue
						}
						xi := ((n*s.H+i)*s.W+j)*s.C + k/kg*cg
						wi := ((k*s.R+r)*s.S + t) * cg
						for c := range cg {
							f(xi+c, wi+c, yi)
						}
					}
				}
			}
		}
	}
}

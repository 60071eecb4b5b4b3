package teachers

import (
	"fmt"
	"image"
	"runtime"
	"sync"

	"golang.org/x/image/draw"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
)

// feeder turns a data set's images into a model's input: size, channels,
// normalisation, axis order. It may be used from many goroutines.
type feeder struct {
	h, w, c    int
	layout     Layout
	normalizer *preprocess.Normalizer // for models that take floats
	bgr        bool                   // for models that take bytes

	mu      sync.Mutex
	scalers map[[2]int]draw.Scaler // by the size of the source
}

// floats fills dst, one image after another, with b's images i to j.
func (f *feeder) floats(dst []float32, b Batch, i, j int) error {
	size := f.h * f.w * f.c
	return f.each(b, i, j, func(k int, pixels []uint8) error {
		out := dst[(k-i)*size : (k-i+1)*size]
		if f.layout == NHWC {
			return f.normalizer.NHWC(out, pixels)
		}
		return f.normalizer.NCHW(out, pixels, f.h, f.w)
	})
}

// bytes is floats for models that take bytes.
func (f *feeder) bytes(dst []uint8, b Batch, i, j int) error {
	size, plane := f.h*f.w*f.c, f.h*f.w
	return f.each(b, i, j, func(k int, pixels []uint8) error {
		out := dst[(k-i)*size : (k-i+1)*size]
		for c := range f.c {
			from := c
			if f.bgr {
				from = f.c - 1 - c
			}
			for p := range plane {
				to := p*f.c + c
				if f.layout == NCHW {
					to = c*plane + p
				}
				out[to] = pixels[p*f.c+from]
			}
		}
		return nil
	})
}

// each calls use with the pixels of images i to j, brought to the model's size
// and channels. It works on several images at a time; the results do not
// depend on how many.
func (f *feeder) each(b Batch, i, j int, use func(k int, pixels []uint8) error) error {
	n := j - i
	workers := min(runtime.GOMAXPROCS(0), n)
	errs := make([]error, workers)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			resize := f.resizer(b.H, b.W)
			size := b.H * b.W * b.C
			var scratch []uint8
			for k := i + w*n/workers; k < i+(w+1)*n/workers; k++ {
				pixels := b.Pixels[k*size : (k+1)*size]
				if b.C != f.c {
					scratch = changeChannels(scratch, pixels, b.C)
					pixels = scratch
				}
				if resize != nil {
					pixels = resize(pixels)
				}
				if err := use(k, pixels); err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("teachers: feeding images: %w", err)
		}
	}
	return nil
}

// changeChannels turns greyscale into colour by repeating it, and colour into
// greyscale by ITU-R BT.601 luma with the integer weights Pillow uses.
func changeChannels(dst, pixels []uint8, from int) []uint8 {
	dst = dst[:0]
	if from == 1 {
		for _, v := range pixels {
			dst = append(dst, v, v, v)
		}
		return dst
	}
	for i := 0; i+2 < len(pixels); i += 3 {
		r, g, b := uint32(pixels[i]), uint32(pixels[i+1]), uint32(pixels[i+2])
		dst = append(dst, uint8((r*19595+g*38470+b*7471+0x8000)>>16))
	}
	return dst
}

// resizer returns a function that resizes images of h by w to the model's size
// by a bilinear filter, which covers all source pixels when it shrinks. It is
// nil when the sizes agree. The function reuses its memory: one per goroutine.
func (f *feeder) resizer(h, w int) func(pixels []uint8) []uint8 {
	if h == f.h && w == f.w {
		return nil
	}
	f.mu.Lock()
	scaler, ok := f.scalers[[2]int{h, w}]
	if !ok {
		scaler = draw.BiLinear.NewScaler(f.w, f.h, w, h)
		if f.scalers == nil {
			f.scalers = map[[2]int]draw.Scaler{}
		}
		f.scalers[[2]int{h, w}] = scaler
	}
	f.mu.Unlock()
	src, dst := image.NewRGBA(image.Rect(0, 0, w, h)), image.NewRGBA(image.Rect(0, 0, f.w, f.h))
	out := make([]uint8, f.h*f.w*f.c)
	return func(pixels []uint8) []uint8 {
		for p := range h * w {
			px := src.Pix[4*p : 4*p+4]
			px[0], px[1], px[2], px[3] = pixels[p*f.c], pixels[p*f.c+f.c/2], pixels[p*f.c+f.c-1], 255
		}
		scaler.Scale(dst, dst.Bounds(), src, src.Bounds(), draw.Src, nil)
		for p := range f.h * f.w {
			copy(out[p*f.c:(p+1)*f.c], dst.Pix[4*p:4*p+f.c])
		}
		return out
	}
}

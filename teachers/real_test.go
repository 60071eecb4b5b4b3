package teachers

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"image"
	"image/draw"
	_ "image/jpeg" // the format of the data set
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/teachers/internal/ort"
)

// shared is where files too large for the repository may lie, beside it.
const shared = "../../shared/data"

// sharedFile skips the test when the file is not there.
func sharedFile(t testing.TB, name string) string {
	t.Helper()
	p := filepath.Join(shared, name)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("real data is not here: %v", err)
	}
	return p
}

// cifarTest reads the first each images of every class of test/.
func cifarTest(t testing.TB, each int) (b Batch, labels []int) {
	t.Helper()
	f, err := os.Open(sharedFile(t, "cifar10.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	byClass := map[string][][]uint8{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		folder, class := path.Split(path.Dir(path.Clean(h.Name)))
		if path.Base(folder) != "test" || path.Ext(h.Name) != ".jpg" || len(byClass[class]) == each {
			continue
		}
		picture, _, err := image.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		rgba := image.NewRGBA(image.Rect(0, 0, 32, 32))
		draw.Draw(rgba, rgba.Bounds(), picture, picture.Bounds().Min, draw.Src)
		var pixels []uint8
		for i := 0; i < len(rgba.Pix); i += 4 {
			pixels = append(pixels, rgba.Pix[i:i+3]...)
		}
		byClass[class] = append(byClass[class], pixels)
	}
	var names []string
	for name := range byClass {
		names = append(names, name)
	}
	slices.Sort(names)
	b = Batch{H: 32, W: 32, C: 3}
	for label, name := range names {
		for _, pixels := range byClass[name] {
			b.Pixels = append(b.Pixels, pixels...)
			b.Samples = append(b.Samples, uint64(b.N))
			b.N++
			labels = append(labels, label)
		}
	}
	if len(names) != 10 || b.N != 10*each {
		t.Fatalf("found %d classes and %d images", len(names), b.N)
	}
	return b, labels
}

func TestRealTeachers(t *testing.T) {
	if testing.Short() {
		t.Skip("reads an archive of 60,000 images")
	}
	b, labels := cifarTest(t, 30)
	for _, c := range []struct {
		name, file string
		o          Options
		layout     Layout
		logits     Logits
		taps       []Tap
		top1       float64 // on all 10,000 images
	}{
		{"WRN-16-2 by PyTorch", "teachers/wrn16_2_cifar10.onnx", Options{Preprocess: cifar(t)}, NCHW, LogitsOutput, []Tap{
			{Name: "/m/g2/g2.0/Relu_output_0", C: 32, H: 32, W: 32}, {Name: "/m/g3/g3.0/Relu_output_0", C: 64, H: 16, W: 16}, {Name: "/m/Relu_output_0", C: 128, H: 8, W: 8},
		}, 0.874},
		{"MLPerf Tiny ResNet-8 by tf2onnx", "teachers/resnet8_mlperf_cifar10.onnx", Options{Preprocess: preprocess.Spec{Scale: 1}}, NHWC, LogitsBeforeSoftmax, []Tap{
			{Name: "Relu__10:0", C: 16, H: 32, W: 32}, {Name: "Relu__15:0", C: 32, H: 16, W: 16}, {Name: "Relu__20:0", C: 64, H: 8, W: 8},
		}, 0.755},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openTeacher(t, sharedFile(t, c.file), c.o)
			spec := s.Spec()
			for i := range c.taps {
				c.taps[i].Layout, c.taps[i].Suggested = NCHW, true
			}
			if d := cmp.Diff(c.taps, spec.Taps); d != "" {
				t.Errorf("taps -want +got:\n%s", d)
			}
			if spec.Layout != c.layout || spec.Logits != c.logits || spec.Batch != 0 {
				t.Errorf("layout %s, logits from %q, batch %d", spec.Layout, spec.Logits, spec.Batch)
			}
			signals := signalsOf(t, s, b)
			right := 0
			for i, label := range labels {
				row := signals.Logits[i*10 : (i+1)*10]
				if slices.Index(row, slices.Max(row)) == label {
					right++
				}
			}
			// Three standard errors of a share measured on 300 images are at
			// most 8.7 points.
			got := float64(right) / float64(b.N)
			t.Logf("top-1 %.3f on %d images; %.3f on all", got, b.N, c.top1)
			if got < c.top1-0.087 || got > c.top1+0.087 {
				t.Errorf("top-1 is %.3f, want about %.3f", got, c.top1)
			}
		})
	}
}

// BenchmarkSignals times Signals, feeding and all, against ONNX Runtime's
// forward pass of the same file as it is, fed ready numbers by a session of the
// same settings. The two take turns, so that what else the machine does falls
// on both; ratio is median over median, plain-ms the plain pass's median.
// Run it with -benchtime 40x or more.
//
// What was tried for WRN-16-2's sum^2 maps, batch 128, two cores of Zen 4 with
// AVX-512, ONNX Runtime 1.30.0; median of the pairs' quotients, forward passes
// alone:
//
//	ReduceSumSquare, maps after the network            1.06 to 1.08
//	ReduceSumSquare, each map right after its tap      1.03 to 1.04
//	Mul and ReduceSum, right after                     1.03 to 1.04
//	Mul and Conv with 16 channels of ones, and Slice   1.02 to 1.03
//	Mul and Conv with one channel of ones              1.01 to 1.03
//
// The three taps are 29 MB. In the last form Mul takes 1.7 ms of about 135,
// Conv 1.7, and putting the sums in order and normalising them 0.6: passes over
// memory at some 30 GB/s, so that only fewer passes could be faster.
// ReduceSumSquare took 8 to 13 ms, and 3.8 more went to putting its operands in
// order.
func BenchmarkSignals(b *testing.B) {
	const wrn, resnet = "teachers/wrn16_2_cifar10.onnx", "teachers/resnet8_mlperf_cifar10.onnx"
	batch := images(128, 32, 32, 3)
	for _, c := range []struct {
		name, file string
		o          Options
	}{
		{"WRN-16-2, logits", wrn, Options{Map: MapNone}},
		{"WRN-16-2, sum^2 maps", wrn, Options{Map: MapSumPow}},
		{"WRN-16-2, sum maps", wrn, Options{Map: MapSum}},
		{"WRN-16-2, max^2 maps", wrn, Options{Map: MapMaxPow}},
		{"ResNet-8, logits", resnet, Options{Map: MapNone}},
		{"ResNet-8, sum^2 maps", resnet, Options{Map: MapSumPow}},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := sharedFile(b, c.file)
			s := openTeacher(b, path, c.o)
			plain := plainForward(b, path, s.Spec(), batch.N)
			turns := [2]func() error{plain, func() error { _, err := s.Signals(batch); return err }}
			var took [2][]float64 // milliseconds
			for i := 0; b.Loop(); i++ {
				for k := range turns {
					k ^= i & 1
					start := time.Now()
					if err := turns[k](); err != nil {
						b.Fatal(err)
					}
					took[k] = append(took[k], time.Since(start).Seconds()*1e3)
				}
			}
			for _, t := range took {
				slices.Sort(t)
			}
			median := func(t []float64) float64 { return (t[(len(t)-1)/2] + t[len(t)/2]) / 2 }
			b.ReportMetric(median(took[0]), "plain-ms")
			b.ReportMetric(median(took[1]), "signals-ms")
			b.ReportMetric(median(took[1])/median(took[0]), "ratio")
		})
	}
}

// plainForward loads a file as it is, but for a batch that it fixes, and
// returns what runs it once on noise, after two runs.
func plainForward(b *testing.B, path string, spec Spec, n int) func() error {
	b.Helper()
	m, err := onnx.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	image, scores := m.Graph.DataInputs()[0].Name, m.Graph.Outputs[0].Name
	if err := m.SetBatch("batch"); err != nil {
		b.Fatal(err)
	}
	model, err := m.Encode()
	if err != nil {
		b.Fatal(err)
	}
	session, err := ort.NewSession(model, []string{image}, []string{scores}, ort.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { session.Close() })
	in := ort.Tensor{Type: onnx.Float32, Dims: spec.Layout.dims(n, spec.H, spec.W, spec.C)}
	r := rand.New(rand.NewPCG(1, 2))
	for range n * spec.H * spec.W * spec.C {
		in.F32 = append(in.F32, float32(r.NormFloat64()))
	}
	out := ort.Tensor{Type: onnx.Float32, Dims: []int64{int64(n), int64(spec.Classes)}, F32: make([]float32, n*spec.Classes)}
	forward := func() error {
		_, err := session.Run([]ort.Tensor{in}, []ort.Tensor{out})
		return err
	}
	for range 2 {
		if err := forward(); err != nil {
			b.Fatal(err)
		}
	}
	return forward
}

// What a teacher says of an image must not depend on which others are asked
// about with it, or a student would depend on what is recorded already.
func TestSignalsDoNotDependOnBatchMates(t *testing.T) {
	for _, name := range []string{fixture("cnn_opset13.onnx"), fixture("nhwc_softmax.onnx"), "../pipeline/digits/teacher.onnx", "wrn16_2_cifar10.onnx", "resnet8_mlperf_cifar10.onnx"} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			path := name
			if filepath.Base(name) == name {
				path = sharedFile(t, filepath.Join("teachers", name))
			}
			const n = 128
			all := images(n, 32, 32, 3)
			r := rand.New(rand.NewPCG(4, 9))
			for i := range all.Pixels {
				all.Pixels[i] = uint8(r.Uint32())
			}
			s := openTeacher(t, path, Options{DataSize: [2]int{32, 32}})
			c, err := NewCached(s, s.Spec(), nil, Float32, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := signalsOf(t, c, all)
			for _, size := range []int{1, 2, 3, 7, 16, 50, 127} {
				listed := r.Perm(n)[:size]
				got := signalsOf(t, c, all.pick(listed))
				for k := range len(want.Maps) + 1 {
					w, g := want.column(k), got.column(k)
					each := len(w) / n
					for j, i := range listed {
						if !slices.Equal(w[i*each:(i+1)*each], g[j*each:(j+1)*each]) {
							t.Fatalf("asked about %d images: image %d has other signals than among %d", size, i, n)
						}
					}
				}
			}
		})
	}
}

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

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
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

// BenchmarkSignals compares the plain forward pass with three attention maps
// computed in the graph.
func BenchmarkSignals(b *testing.B) {
	batch := images(128, 32, 32, 3)
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"logits", Options{Map: MapNone}},
		{"logits and sum^2 maps", Options{Map: MapSumPow}},
		{"logits and sum maps", Options{Map: MapSum}},
		{"logits and max^2 maps", Options{Map: MapMaxPow}},
		{"logits and raw activations", Options{Map: MapRaw}},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := sharedFile(b, "teachers/wrn16_2_cifar10.onnx")
			s := openTeacher(b, path, c.o)
			signalsOf(b, s, batch)
			for b.Loop() {
				if _, err := s.Signals(batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(batch.N)*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

// What a teacher says of an image must not depend on which others are asked
// about with it, or a student would depend on what is recorded already.
func TestSignalsDoNotDependOnBatchMates(t *testing.T) {
	for _, name := range []string{fixture("cnn_opset13.onnx"), fixture("nhwc_softmax.onnx"), "../testdata/demo/teacher.onnx", "wrn16_2_cifar10.onnx", "resnet8_mlperf_cifar10.onnx"} {
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

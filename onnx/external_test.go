package onnx

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var wantExternal = []float32{-0.25, -0.125, 0, 0.125} // testdata/gen/onnx_models.py, weight("w", 4)

func TestExternalDataIsRead(t *testing.T) {
	m := readFixture(t, "external")
	got, err := m.Graph.Initializer("w").Float32s()
	if err != nil || !cmp.Equal(got, wantExternal) {
		t.Errorf("w = %v, %v; want %v", got, err, wantExternal)
	}
	if x := m.Graph.Initializer("w").External; x == nil || x.Location != "external.data" || x.Offset != 4096 || x.Length != 16 {
		t.Errorf("its place is %+v", x)
	}
}

func TestExternalDataIsWrittenInline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inline.onnx") // no data file there
	if err := readFixture(t, "external").WriteFile(path); err != nil {
		t.Fatal(err)
	}
	m, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Graph.Initializer("w").Float32s()
	if err != nil || !cmp.Equal(got, wantExternal) {
		t.Errorf("w = %v, %v", got, err)
	}
	if m.Graph.Initializer("w").External != nil {
		t.Error("it still claims to lie outside")
	}
}

func TestExternalDataNotReadIsKept(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(fixtures, "external.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
	if _, err := m.Graph.Initializer("w").Float32s(); err == nil || !strings.Contains(err.Error(), "open the model with ReadFile") {
		t.Errorf("reading elements that are not there: %v", err)
	}
	out, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(out)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m.Graph.Initializer("w").External, back.Graph.Initializer("w").External, cmp.AllowUnexported(External{})); d != "" {
		t.Error(d)
	}
}

func TestWriteExternal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	m := readFixture(t, "conv_net")
	before, _ := m.Encode()
	const minimum = 80 // of w (432 bytes), b (16), v (80), d (20)
	if err := m.WriteExternal(path, minimum); err != nil {
		t.Fatal(err)
	}
	if after, _ := m.Encode(); !bytes.Equal(before, after) {
		t.Error("writing changed the model")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	for name, outside := range map[string]bool{"w": true, "b": false, "v": true, "d": false} {
		x := raw.Graph.Initializer(name)
		if (x.External != nil) != outside {
			t.Errorf("%s lies outside: %v, want %v", name, x.External != nil, outside)
		}
		if outside && (x.External.Location != "m.onnx.data" || x.External.Offset%externalAlign != 0) {
			t.Errorf("%s lies at %+v", name, x.External)
		}
	}
	again, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := again.Encode(); !bytes.Equal(before, after) {
		t.Error("the model changed on its way through two files")
	}
}

func TestExternalDataIsRefused(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "model")
	if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(top, "secret")
	for _, f := range []string{secret, filepath.Join(dir, "data")} {
		if err := os.WriteFile(f, make([]byte, 16), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(secret, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		x    External
		want string
	}{
		"a path upwards":           {External{Location: "../secret", Length: 16}, "must lie in the model's folder"},
		"a winding path":           {External{Location: "folder/../../secret", Length: 16}, "must lie in the model's folder"},
		"an absolute path":         {External{Location: secret, Length: 16}, "must lie in the model's folder"},
		"a link that leads out":    {External{Location: "link", Length: 16}, "must lie in the model's folder"},
		"a file that is missing":   {External{Location: "nothing", Length: 16}, "no such file"},
		"a folder":                 {External{Location: "folder", Length: 16}, "no regular file"},
		"an offset past the end":   {External{Location: "data", Offset: 17, Length: 16}, "reach past the end"},
		"data past the end":        {External{Location: "data", Offset: 4, Length: 16}, "reach past the end"},
		"an offset that overflows": {External{Location: "data", Offset: 1<<63 - 1, Length: 16}, "reach past the end"},
		"another length":           {External{Location: "data", Length: 12}, "is said to have 12"},
	} {
		t.Run(name, func(t *testing.T) {
			m := readFixture(t, "relu")
			m.Graph.Initializers = []*Tensor{{Name: "w", Type: Float32, Dims: []int64{4}, External: &c.x}}
			path := filepath.Join(dir, "m.onnx")
			if err := m.WriteFile(path); err != nil {
				t.Fatal(err)
			}
			_, err := ReadFile(path)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	t.Run("and taken when all is well", func(t *testing.T) {
		m := readFixture(t, "relu")
		m.Graph.Initializers = []*Tensor{{Name: "w", Type: Float32, Dims: []int64{2}, External: &External{Location: "data", Offset: 8}}}
		path := filepath.Join(dir, "m.onnx")
		if err := m.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		m, err := ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(m.Graph.Initializers[0].Data); n != 8 {
			t.Errorf("read %d bytes, want 8", n)
		}
	})
}

// The caches of model hubs hold links in one folder to files of other names in
// another.
func TestExternalDataBehindLinks(t *testing.T) {
	top := t.TempDir()
	blobs, snapshot := filepath.Join(top, "blobs"), filepath.Join(top, "snapshots", "r1")
	elsewhere := filepath.Join(top, "elsewhere")
	for _, dir := range []string{blobs, snapshot, elsewhere} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	want := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	for _, file := range []string{filepath.Join(blobs, "bbb"), filepath.Join(blobs, "plain.data"), filepath.Join(elsewhere, "secret"), filepath.Join(elsewhere, "bbb")} {
		if err := os.WriteFile(file, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		filepath.Join(snapshot, "linked.data"): "../../blobs/bbb",
		filepath.Join(snapshot, "out.data"):    "../../elsewhere/secret",
		filepath.Join(snapshot, "namesake"):    "../../elsewhere/bbb",
		filepath.Join(blobs, "away.data"):      "../elsewhere/secret",
	} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	for location, allowed := range map[string]bool{
		"linked.data":               true,  // a link beside the model's, to beside its file
		"plain.data":                true,  // beside the model's file
		"out.data":                  false, // a link to somewhere else
		"namesake":                  false, // the same, to a name that is beside the file too
		"away.data":                 false, // a link beside the file, to somewhere else
		"../../blobs/bbb":           false,
		"../elsewhere/secret":       false,
		filepath.Join(blobs, "bbb"): false,
	} {
		t.Run(location, func(t *testing.T) {
			m := readFixture(t, "relu")
			m.Graph.Initializers = []*Tensor{{Name: "w", Type: Float32, Dims: []int64{2}, External: &External{Location: location}}}
			if err := m.WriteFile(filepath.Join(blobs, "aaa")); err != nil {
				t.Fatal(err)
			}
			link := filepath.Join(snapshot, "model.onnx")
			os.Remove(link)
			if err := os.Symlink("../../blobs/aaa", link); err != nil {
				t.Fatal(err)
			}
			m, err := ReadFile(link)
			switch {
			case !allowed && (err == nil || !strings.Contains(err.Error(), "must lie in the model's folder")):
				t.Errorf("got %v", err)
			case allowed && err != nil:
				t.Error(err)
			case allowed && !bytes.Equal(m.Graph.Initializers[0].Data, want):
				t.Errorf("read %v", m.Graph.Initializers[0].Data)
			}
		})
	}
}

// The sum covers every tensor that lies outside, wherever in the model it is.
func TestFileSumCoversExternalData(t *testing.T) {
	dir := t.TempDir()
	outside := func(name string) *Tensor {
		return &Tensor{Name: name, Type: Float32, Dims: []int64{2}, External: &External{Location: name}}
	}
	inner := readFixture(t, "relu").Graph
	inner.Initializers = []*Tensor{outside("subgraph")}
	m := readFixture(t, "relu")
	m.Graph.Initializers = []*Tensor{outside("initializer")}
	m.Graph.Nodes = append(m.Graph.Nodes, &Node{Op: "Constant", Outputs: []string{"c"}, Attrs: []*Attr{AttrTensor("value", outside("attribute"))}},
		&Node{Op: "Loop", Inputs: []string{"", ""}, Outputs: []string{"l"}, Attrs: []*Attr{AttrGraph("body", inner)}})
	path := filepath.Join(dir, "m.onnx")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	names := []string{"initializer", "attribute", "subgraph"}
	sums := map[FileSum]string{}
	for _, changed := range append([]string{""}, names...) {
		for _, name := range names {
			data := make([]byte, 8)
			if name == changed {
				data[3] = 1
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, sum, err := ReadFileSum(path)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := sums[sum]; ok {
			t.Errorf("a change of %q has the sum of a change of %q", changed, other)
		}
		sums[sum] = changed
		if info, _ := os.Stat(path); sum.Bytes != info.Size()+24 {
			t.Errorf("%d bytes were read of a file of %d and 24 of tensors", sum.Bytes, info.Size())
		}
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/digits"
)

// hostile begins a line of its own, changes a terminal's title and colour, empties
// its screen and turns the direction of writing.
const hostile = "a\nforged\x1b]0;title\x07\x1b[2J\u009b31m\u202eb"

// raw returns the first character of a text that a terminal would obey.
func raw(text string) string {
	for i, r := range text {
		if r == utf8.RuneError || isControl(r) && r != '\n' && r != '\t' {
			return text[max(0, i-40):min(len(text), i+20)]
		}
	}
	return ""
}

func TestVisible(t *testing.T) {
	for _, c := range []struct{ name, in, want, line string }{
		{"plain text of any script", "naïve 猫 🐈 x\n\ty", "naïve 猫 🐈 x\n\ty", `naïve 猫 🐈 x\n\ty`},
		{"control characters of ASCII", "\x1b[2J\x07\r\x7f", `\x1b[2J\x07\r\x7f`, `\x1b[2J\x07\r\x7f`},
		{"control characters of Latin-1", "\u009b31m", `\u009b31m`, `\u009b31m`},
		{"bytes that are no UTF-8", "a\x9b31m\xff", `a\x9b31m\xff`, `a\x9b31m\xff`},
		{"directions of writing and other lines", "\u202e\u2066\u200f\u061c\u2028", `\u202e\u2066\u200f\u061c\u2028`, `\u202e\u2066\u200f\u061c\u2028`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			n, err := visible{&out}.Write([]byte(c.in))
			if err != nil || n != len(c.in) || out.String() != c.want {
				t.Errorf("Write gives %d, %v and %q, want %d and %q", n, err, &out, len(c.in), c.want)
			}
			if got := oneLine(c.in); got != c.line {
				t.Errorf("oneLine gives %q, want %q", got, c.line)
			}
		})
	}
}

// TestTerminalIsNotCommanded gives every command files whose names and contents are
// hostile, good ones and such as are refused.
func TestTerminalIsNotCommanded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), hostile)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("this system has no such names: %v", err)
	}
	model := hostileModel(t, filepath.Join(dir, "teacher"+hostile+".onnx"))
	images := filepath.Join(dir, "images"+hostile)
	if err := data.WriteFolder(images, drawSet(t, digits.Names(), 80)); err != nil {
		t.Fatal(err)
	}
	classes := hostileClasses(t, filepath.Join(dir, "classes"))
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	broken := write("broken"+hostile+".onnx", hostile)
	// A model that ONNX Runtime refuses, whose words come with the names in it.
	refused := hostileModel(t, filepath.Join(dir, "refused.onnx"), func(m *onnx.Model) { m.Graph.Nodes[1].Op += hostile })
	config := write("config.yaml", "teacher:\n  pa"+hostile+": x\n")
	run, cache := filepath.Join(dir, "run"), filepath.Join(dir, "cache")
	student := filepath.Join(run, "student.onnx")
	training := []string{"--teacher", model, "--teacher-preprocess", "unit", "--data", images, "--student", "wrn-10-0.25", "--cache", cache}
	for _, c := range []struct {
		name  string
		args  []string
		fails bool
	}{
		{"inspect", []string{"inspect", model}, false},
		{"inspect as JSON", []string{"inspect", "--json", model}, false},
		{"inspect of no model", []string{"inspect", broken}, true},
		{"inspect of a refused model", []string{"inspect", refused}, false},
		{"inspect with an unknown output", []string{"inspect", "--output", hostile, model}, false},
		{"signals", append([]string{"signals", "--epochs", "1"}, training...), false},
		{"signals list", []string{"signals", "list", "--cache", cache}, false},
		{"signals rm", []string{"signals", "rm", "--cache", cache, hostile}, true},
		{"train", append([]string{"train", "--epochs", "1", "--batch", "20", "--out", run}, training...), false},
		{"train with a hostile configuration", []string{"train", "--config", config}, true},
		{"train with an unknown tap", append([]string{"train", "--taps", hostile, "--out", run + "2"}, training...), true},
		{"train with a refused teacher", []string{"train", "--teacher", refused, "--data", images, "--out", run + "3"}, true},
		{"train from a refused file", []string{"train", "--student", refused, "--data", images, "--out", run + "4"}, true},
		{"train on missing data", []string{"train", "--data", hostile, "--out", run + "5"}, true},
		{"train on classes of hostile names", []string{"train", "--data", classes, "--out", run + "6"}, true},
		{"resume of nothing", []string{"train", "--resume", "--out", hostile}, true},
		{"eval", []string{"eval", "--data", images, student}, false},
		{"eval as JSON", []string{"eval", "--json", "--data", images, student}, false},
		{"eval of a refused model", []string{"eval", "--data", images, refused}, true},
		{"verify", []string{"verify", "--data", images, student, student}, false},
		{"verify of a refused model", []string{"verify", "--data", images, student, refused}, true},
		{"export", []string{"export", "--out", filepath.Join(dir, "again"+hostile+".onnx"), run}, false},
		{"export of nothing", []string{"export", hostile}, true},
		{"demo with a missing teacher", []string{"demo", "--teacher", hostile}, true},
		{"doctor with another library", []string{"doctor", "--onnxruntime", broken}, true},
		{"completion of another shell", []string{"completion", hostile}, true},
		{"an unknown command", []string{hostile}, true},
		{"an unknown flag", []string{"train", "--" + hostile}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, errOut, err := distill(t, c.args...)
			if c.fails != (err != nil) {
				t.Errorf("fails with %v, want failure %v\n%s%s", err, c.fails, out, errOut)
			}
			failure := ""
			if err != nil {
				var text bytes.Buffer
				report(visible{&text}, err)
				failure = text.String()
			}
			for _, text := range []string{out, errOut, failure} {
				if at := raw(text); at != "" {
					t.Errorf("a terminal would obey %q", at)
				}
				if strings.Contains("\n"+text, "\nforged") {
					t.Errorf("a name begins a line:\n%s", text)
				}
			}
			if strings.HasSuffix(c.name, "as JSON") && !json.Valid([]byte(out)) {
				t.Errorf("no JSON any more:\n%s", out)
			}
		})
	}
}

// hostileModel writes the demo's teacher with hostile names in it.
func hostileModel(t *testing.T, path string, edits ...func(*onnx.Model)) string {
	t.Helper()
	m, err := onnx.ReadFile(teacher)
	if err != nil {
		t.Fatal(err)
	}
	m.Producer, m.Graph.Name = hostile+"\r\n", hostile
	for _, n := range m.Graph.Nodes {
		n.Name += hostile
	}
	for _, n := range m.Graph.Nodes[:len(m.Graph.Nodes)-1] {
		if err := m.Rename(n.Outputs[0], n.Outputs[0]+hostile+"\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for _, edit := range edits {
		edit(m)
	}
	file, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// hostileClasses writes a folder of class folders with hostile names.
func hostileClasses(t *testing.T, dir string) string {
	t.Helper()
	if err := data.WriteFolder(dir, drawSet(t, digits.Names(), 80)); err != nil {
		t.Fatal(err)
	}
	for _, split := range []string{"train", "val", "test"} {
		for _, class := range digits.Names() {
			folder := filepath.Join(dir, split, class)
			if err := os.Rename(folder, folder+hostile); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

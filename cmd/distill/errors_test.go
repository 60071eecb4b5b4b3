package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// editedTeacher writes the demo's teacher with a change to it.
func editedTeacher(t *testing.T, change func(m *onnx.Model)) string {
	t.Helper()
	m, err := onnx.ReadFile(teacher)
	if err != nil {
		t.Fatal(err)
	}
	change(m)
	path := filepath.Join(t.TempDir(), "edited.onnx")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every command is run into what it may have to complain of. Each flag that a
// complaint names is one of that command, or stands behind another command's
// name.
func TestComplaintsNameFlagsThatExist(t *testing.T) {
	images, out := drawImages(t), filepath.Join(t.TempDir(), "out")
	outputs := editedTeacher(t, func(m *onnx.Model) {
		extra := *m.Graph.Outputs[0]
		extra.Name = "second"
		m.Graph.Nodes = append(m.Graph.Nodes, &onnx.Node{Op: "Identity", Inputs: []string{m.Graph.Outputs[0].Name}, Outputs: []string{"second"}})
		m.Graph.Outputs = append(m.Graph.Outputs, &extra)
	})
	renamed := editedTeacher(t, func(m *onnx.Model) { m.SetMeta("classes", `["a","b","c","d","e","f","g","h","i","j"]`) })
	open := editedTeacher(t, func(m *onnx.Model) {
		for i := range m.Graph.Inputs[0].Shape {
			m.Graph.Inputs[0].Shape[i] = onnx.Symbol("any")
		}
		m.Graph.Values = nil
	})
	train := []string{"train", "--data", images, "--out", out, "--epochs", "1", "--teacher", teacher}
	with := func(args []string, more ...string) []string { return append(append([]string{}, args...), more...) }
	flag := regexp.MustCompile(`(distill [a-z]+ .*)?--([a-z][a-z-]*)`)
	named := 0
	for name, args := range map[string][]string{
		"train: several outputs":                 {"train", "--data", images, "--out", out, "--teacher", outputs},
		"train: other classes":                   {"train", "--data", images, "--out", out, "--teacher", renamed},
		"train: classes picked badly":            with(train, "--teacher-classes", "1,2"),
		"train: taps that cannot be paired":      with(train, "--size", "8", "--student-taps", "group3"),
		"train: taps of another number":          with(train, "--taps", "/group1/group1.0/Add_output_0", "--student-taps", "group1", "--student-taps", "group2"),
		"train: a student of another size":       with(train, "--student", "../../testdata/networks/vgg11_bn.onnx"),
		"train: gradients of another size":       with(train, "--size", "16", "--gradient-beta", "1"),
		"train: a rate too high":                 with(train, "--lr", "1e12", "--schedule", "constant", "--batch", "8"),
		"train: a dark teacher":                  with(train, "--teacher-preprocess", "scale=1e-7", "--batch", "80", "--student", "wrn-10-0.25", "--beta", "0"),
		"signals: several outputs":               {"signals", "--data", images, "--teacher", outputs},
		"signals: other classes":                 {"signals", "--data", images, "--teacher", renamed},
		"signals: classes picked badly":          {"signals", "--data", images, "--teacher", teacher, "--teacher-classes", "1,2"},
		"signals: new views in each epoch":       {"signals", "--data", images, "--teacher", teacher, "--views", "0"},
		"signals: a student of another size":     {"signals", "--data", images, "--teacher", teacher, "--student", "../../testdata/networks/vgg11_bn.onnx"},
		"eval: several outputs":                  {"eval", "--data", images, outputs},
		"eval: other classes":                    {"eval", "--data", images, renamed},
		"eval: classes picked badly":             {"eval", "--data", images, "--model-classes", "1,2", teacher},
		"eval: a dark model":                     {"eval", "--data", images, "--preprocess", "scale=1e-7", teacher},
		"eval: no images":                        {"eval", "--data", filepath.Join(images, "none"), teacher},
		"verify: several outputs":                {"verify", "--data", images, outputs, outputs},
		"verify: nobody knows the preprocessing": {"verify", "--data", images, "../../testdata/teachers/cnn_opset13.onnx", "../../testdata/teachers/cnn_opset17.onnx"},
		"inspect: several outputs":               {"inspect", outputs},
		"inspect: an open size":                  {"inspect", open},
		"inspect: no taps":                       {"inspect", "../../testdata/networks/vgg11_bn.onnx"},
		"export: no run":                         {"export", filepath.Join(images, "none")},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := distill(t, args...)
			text := stdout + stderr
			if err != nil {
				text += err.Error()
			}
			command := newApp(nil, nil).Command(args[0])
			for _, line := range strings.Split(text, "\n") {
				for _, found := range flag.FindAllStringSubmatch(line, -1) {
					named++
					if of := commandIn(found[1], command); flagCalled(of, found[2]) == "" {
						t.Errorf("distill %s has no flag --%s, which it names: %s", of.Name, found[2], line)
					}
				}
				if setting := regexp.MustCompile(`\b(teacher|Options|ImportOptions)\.[A-Za-z]+`).FindString(strings.ReplaceAll(line, "teacher.onnx", "")); setting != "" && !strings.HasPrefix(line, "config: ") { // which is about the keys themselves
					for _, name := range settings[setting] {
						if flagCalled(command, name) != "" {
							t.Errorf("%s is not named by its flag: %s", setting, line)
						}
					}
				}
			}
		})
	}
	if named < 12 {
		t.Errorf("only %d flags were named: the complaints did not come up", named)
	}
}

// commandIn is the command that a text names, as "distill train ", or else the
// one at hand.
func commandIn(text string, at *cli.Command) *cli.Command {
	words := strings.Fields(text)
	if len(words) < 2 {
		return at
	}
	if c := newApp(nil, nil).Command(words[1]); c != nil {
		return c
	}
	return at
}

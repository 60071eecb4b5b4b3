package main

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFlagsMayFollowArguments(t *testing.T) {
	for typed, want := range map[string]string{
		"distill":                                                "distill",
		"distill --version":                                      "distill --version",
		"distill --version inspect":                              "distill --version inspect",
		"distill inspect a.onnx --json":                          "distill inspect --json a.onnx",
		"distill inspect a.onnx --model-size 32":                 "distill inspect --model-size 32 a.onnx",
		"distill inspect a.onnx --model-size=32":                 "distill inspect --model-size=32 a.onnx",
		"distill inspect a.onnx --model-size":                    "distill inspect --model-size a.onnx",
		"distill inspect -h":                                     "distill inspect -h",
		"distill inspect --json -- -a.onnx":                      "distill inspect --json -- -a.onnx",
		"distill inspect -":                                      "distill inspect -",
		"distill inspect a.onnx --jsn":                           "distill inspect --jsn a.onnx",
		"distill verify a.onnx b.onnx --data D --tolerance 1e-4": "distill verify --data D --tolerance 1e-4 a.onnx b.onnx",
		"distill verify a.onnx --json b.onnx --samples 5":        "distill verify --json --samples 5 a.onnx b.onnx",
		"distill signals rm KEY --cache DIR":                     "distill signals rm --cache DIR KEY",
		"distill signals --data D":                               "distill signals --data D",
		"distill eval a.onnx --generate-bash-completion":         "distill eval a.onnx --generate-bash-completion",
		"distill nonsense --json a":                              "distill nonsense --json a",
	} {
		got := parseLine(newApp(io.Discard, io.Discard), strings.Fields(typed)).args()
		if d := cmp.Diff(strings.Fields(want), got); d != "" {
			t.Errorf("%s (-want +got):\n%s", typed, d)
		}
	}
}

func TestFlagsGoByTheirFormerNames(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	for typed, want := range map[string]string{
		"distill inspect --size 32 --output=y --layout NCHW a.onnx":             "distill inspect --model-size 32 --model-output=y --model-layout NCHW a.onnx",
		"distill inspect a.onnx -teacher-size=32 --teacher-output y":            "distill inspect -model-size=32 --model-output y a.onnx",
		"distill eval --data D --size 32 --classes 1,0 --output y a.onnx":       "distill eval --data D --size 32 --model-classes 1,0 --model-output y a.onnx",
		"distill eval --data D --teacher-layout NHWC --teacher-output y a.onnx": "distill eval --data D --model-layout NHWC --model-output y a.onnx",
		"distill verify a.onnx b.onnx --output y --output-b z --layout NHWC":    "distill verify --model-output y --model-output-b z --model-layout NHWC a.onnx b.onnx",
	} {
		got := parseLine(app, strings.Fields(typed))
		if d := cmp.Diff(strings.Fields(want), got.args()); d != "" {
			t.Errorf("%s (-want +got):\n%s", typed, d)
		}
		for _, f := range got.flags {
			if f.flag == nil {
				t.Errorf("%s: the command has no flag %s", typed, f.words[0])
			}
		}
	}
	for command, names := range formerNames {
		c := app.Command(command)
		for former, present := range names {
			if c == nil || flagCalled(c, present) != present || flagCalled(c, former) != "" {
				t.Errorf("%s: --%s stands for --%s; the first must be no flag's name, the second one's", command, former, present)
			}
		}
	}
}

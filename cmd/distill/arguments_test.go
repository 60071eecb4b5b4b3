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
		"distill inspect a.onnx --size 32":                       "distill inspect --size 32 a.onnx",
		"distill inspect a.onnx --size=32":                       "distill inspect --size=32 a.onnx",
		"distill inspect a.onnx --size":                          "distill inspect --size a.onnx",
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
		got := flagsFirst(newApp(io.Discard, io.Discard), strings.Fields(typed))
		if d := cmp.Diff(strings.Fields(want), got); d != "" {
			t.Errorf("%s (-want +got):\n%s", typed, d)
		}
	}
}

package repocheck

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeRuntime is a library that answers as ONNX Runtime does when asked for its
// API. NEWEST is the last API version it has.
const fakeRuntime = `
#include <stdint.h>
static const void *api(uint32_t version) { return version <= NEWEST ? "" : 0; }
static const char *name(void) { return "1." TEXT(NEWEST) ".0"; }
static const struct { const void *(*api)(uint32_t); const char *(*name)(void); } base = {api, name};
const void *OrtGetApiBase(void) { return &base; }
`

// buildFake compiles fakeRuntime into file.
func buildFake(t *testing.T, file, newest string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("cc", "-shared", "-fPIC", "-DNEWEST="+newest, "-DQ(x)=#x", "-DTEXT(x)=Q(x)", "-x", "c", "-o", file, "-")
	c.Stdin = strings.NewReader(fakeRuntime)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", file, err, out)
	}
}

// script writes an executable shell script.
func script(t *testing.T, file, body string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
}

// archive packs a library as ONNX Runtime's releases do, or none where newest is
// empty, and returns the variables that name it and its checksum.
func archive(t *testing.T, home, top, newest string) []string {
	t.Helper()
	library := filepath.Join(home, "built.so")
	if newest != "" {
		buildFake(t, library, newest)
	}
	file := filepath.Join(home, "archive.tgz")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	packed := gzip.NewWriter(io.MultiWriter(out, sum))
	w := tar.NewWriter(packed)
	body, err := os.ReadFile(library)
	if newest != "" && err != nil {
		t.Fatal(err)
	}
	entries := []tar.Header{{Name: top + "/README.md", Mode: 0o644}}
	if newest != "" {
		entries = append(entries,
			tar.Header{Name: top + "/lib/libonnxruntime.so.1", Typeflag: tar.TypeSymlink, Linkname: "libonnxruntime.so.1.30.0"},
			tar.Header{Name: top + "/lib/libonnxruntime.so.1.30.0", Mode: 0o644, Size: int64(len(body))},
			tar.Header{Name: top + "/lib/libonnxruntime_providers_shared.so", Mode: 0o644})
	}
	for _, h := range entries {
		err := w.WriteHeader(&h)
		if err == nil && h.Size > 0 {
			_, err = w.Write(body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), packed.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return []string{"ONNXRUNTIME_ARCHIVE=file://" + file, fmt.Sprintf("ONNXRUNTIME_SHA256=%x", sum.Sum(nil))}
}

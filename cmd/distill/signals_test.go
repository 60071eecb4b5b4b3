package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestSignalsAreRecordedListedReplayedAndRemoved(t *testing.T) {
	images, dir := drawImages(t), t.TempDir()
	cache := filepath.Join(dir, "signals")
	must := func(args ...string) string {
		t.Helper()
		out, errOut, err := distill(t, args...)
		if err != nil {
			t.Fatalf("distill %s: %v\n%s%s", strings.Join(args, " "), err, out, errOut)
		}
		// Three epochs of 80 images teach nothing, and the program says so.
		if n := strings.Count(errOut, "warning:"); n > strings.Count(errOut, "warning: the student has learned nothing") {
			t.Errorf("distill %s: %s", strings.Join(args, " "), errOut)
		}
		return out
	}
	wants := func(out string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("%q is not said:\n%s", w, out)
			}
		}
	}
	with := []string{"--teacher", teacher, "--data", images, "--student", "wrn-10-0.5", "--flip=false", "--views", "2", "--cache", cache}
	train := func(run string, more ...string) string {
		args := append([]string{"train", "--out", filepath.Join(dir, run), "--epochs", "3", "--batch", "20"}, with...)
		return must(append(args, more...)...)
	}
	wants(must("signals", "list", "--cache", cache), "no signals are recorded in "+cache)
	wants(must(append([]string{"signals"}, with...)...), "0 of 2 views recorded", "all 160 are recorded in "+cache)
	wants(train("replayed"), "2 of 2 views recorded, so the teacher is not asked again", cache)

	list := must("signals", "list", "--cache", cache)
	wants(list, "teacher.onnx", images, "logits and 3 maps (sum^p), float16", "2 of seed 1, pad 4 reflect", "160", cache)
	key := regexp.MustCompile(`(?m)^[0-9a-f]{16}`).FindString(list)

	// Another precision is another set; exact signals make the student that
	// needs no cache.
	train("exact", "--cache-precision", "float32")
	args := append([]string{"train", "--out", filepath.Join(dir, "plain"), "--epochs", "3", "--batch", "20", "--no-cache"}, with[:len(with)-2]...)
	if out := must(args...); strings.Contains(out, "views recorded") {
		t.Errorf("--no-cache speaks of a cache:\n%s", out)
	}
	student := func(run string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, run, "student.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Equal(student("exact"), student("plain")) {
		t.Error("--cache-precision float32 and --no-cache give two students")
	}
	if bytes.Equal(student("replayed"), student("plain")) {
		t.Error("signals of half precision give the student of exact ones")
	}
	// From a run's record, in another folder.
	other := filepath.Join(dir, "other")
	wants(must("signals", "--config", filepath.Join(dir, "plain", "config.yaml"), "--cache", other), "all 160", "float32", other)

	if out := must("signals", "rm", "--cache", cache, key[:6]); !strings.Contains(out, "removed "+key+": teacher.onnx on "+images) {
		t.Errorf("rm says %q", out)
	}
	if list := must("signals", "list", "--cache", cache); strings.Contains(list, key) || !strings.Contains(list, "float32") {
		t.Errorf("after rm:\n%s", list)
	}
	if _, _, err := distill(t, "signals", "rm", "--cache", cache, "zz"); err == nil || exitCode(err) != exitFailed {
		t.Errorf("removing what is not there: %v", err)
	}
	must("signals", "rm", "--cache", cache, "--all")
	wants(must("signals", "list", "--cache", cache), "no signals")
}

func TestSignalsAreRecordedInTheUsersCacheFolder(t *testing.T) {
	images, dir := drawImages(t), t.TempDir()
	saved := userCacheDir
	t.Cleanup(func() { userCacheDir = saved })
	userCacheDir = func() (string, error) { return dir, nil }
	args := func(run string, more ...string) []string {
		return append([]string{"train", "--teacher", teacher, "--data", images, "--student", "wrn-10-0.5", "--epochs", "1", "--batch", "40",
			"--out", filepath.Join(t.TempDir(), run)}, more...)
	}
	out, _, err := distill(t, args("first")...)
	if want := filepath.Join(dir, "onnxdistill", "signals"); err != nil || !strings.Contains(out, want) {
		t.Errorf("%v; %s is not named in\n%s", err, want, out)
	}
	if out, _, err := distill(t, "signals", "list"); err != nil || !strings.Contains(out, "teacher.onnx") {
		t.Errorf("%v\n%s", err, out)
	}
	// A service may have no home.
	userCacheDir = func() (string, error) { return "", errors.New("$HOME is not defined") }
	out, errOut, err := distill(t, args("homeless")...)
	if err != nil || !strings.Contains(errOut, "$HOME is not defined") || !strings.Contains(errOut, "--cache") || strings.Contains(out, "views recorded") {
		t.Errorf("%v\n%s%s", err, out, errOut)
	}
	if _, _, err := distill(t, "signals", "list"); err == nil || !strings.Contains(err.Error(), "--cache") {
		t.Errorf("got %v", err)
	}
	// Nor does a student alone need one.
	_, errOut, err = distill(t, "train", "--data", images, "--student", "wrn-10-0.5", "--epochs", "1", "--batch", "40", "--out", filepath.Join(t.TempDir(), "alone"))
	if err != nil || strings.Contains(errOut, "HOME") {
		t.Errorf("%v\n%s", err, errOut)
	}
}

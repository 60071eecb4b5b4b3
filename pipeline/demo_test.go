package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The demonstration puts new runs and images in the place of its earlier ones, and
// removes nothing else.
func TestDemoRemovesOnlyItsOwn(t *testing.T) {
	if testing.Short() {
		t.Skip("draws and trains three times")
	}
	c := DefaultDemo()
	c.Out, c.Images, c.Tests, c.Epochs, c.Student = filepath.Join(t.TempDir(), "demo"), 100, 20, 1, "wrn-10-0.25"
	demo := func() error {
		_, err := Demo(t.Context(), c, Options{})
		return err
	}
	if err := demo(); err != nil {
		t.Fatal(err)
	}
	thesis := filepath.Join(c.Out, "alone", "thesis.txt")
	write := func(path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("years of work"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(thesis)
	if err := demo(); err != nil {
		t.Fatal(err)
	}
	if string(read(t, thesis)) != "years of work" {
		t.Error("the demo removed a file that it did not write")
	}

	mine := filepath.Join(c.Pictures(), "train", "3", "mine.png")
	write(mine)
	if err := demo(); err == nil || !strings.Contains(err.Error(), mine) {
		t.Errorf("got %v, want that %s is in the way", err, mine)
	}
	if string(read(t, mine)) != "years of work" {
		t.Error("the demo removed an image that it did not draw")
	}
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}

	// A run of another's in the demo's place.
	other := c.folder("distilled")
	if err := os.RemoveAll(string(other)); err != nil {
		t.Fatal(err)
	}
	if _, err := Train(t.Context(), smallRun(t), other, Options{}); err != nil {
		t.Fatal(err)
	}
	before := read(t, other.Student())
	if err := demo(); err == nil || !strings.Contains(err.Error(), "is not the demo's") {
		t.Errorf("got %v, want that a run is in the way", err)
	}
	if got := read(t, other.Student()); string(got) != string(before) {
		t.Error("the demo replaced another's run")
	}
}

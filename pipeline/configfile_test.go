package pipeline

import (
	"runtime"
	"strings"
	"testing"
)

func TestConfigurationsThatAreNoneAreRefused(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		last := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [*" + last + strings.Repeat(", *"+last, 8) + "]\n"
	}
	for _, c := range []struct{ name, text, want string }{
		{"a broken number of epochs", "training:\n  epochs: 6.9", "training.epochs is a whole number, got 6.9"},
		{"a broken seed", "training:\n  seed: 1.5", "training.seed is a whole number, got 1.5"},
		{"a broken number below", "training:\n  augment:\n    pad: 0.5", "training.augment.pad is a whole number, got 0.5"},
		{"a broken number in a list", "teacher:\n  classes: [0, 1.5]", "teacher.classes is a whole number, got 1.5"},
		{"a broken opset", "export:\n  opset: 17.2", "export.opset is a whole number, got 17.2"},
		{"an alias", "teacher:\n  path: &x a\ndata:\n  path: *x", "line 2 has &, by which YAML repeats"},
		{"aliases that stand for a billion values", bomb, "by which YAML repeats"},
		{"a merge", "teacher:\n  <<: {path: a}", "by which YAML repeats"},
		{"200,000 brackets", strings.Repeat("[", 200_000), "no configuration has more than 32768"},
		{"brackets within the length", "teacher: " + strings.Repeat("[", 30_000), "nests more than 32 deep"},
		{"brackets line by line", strings.Repeat("[\n", 15_000), "nests more than 32 deep"},
		{"lists in lists", strings.Repeat("- ", 15_000), "nests more than 32 deep"},
		{"keys of keys", strings.Repeat("? ", 15_000), "nests more than 32 deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := ParseConfig([]byte(c.text))
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %.200v, want %q", err, c.want)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
				t.Errorf("refusing %d bytes took %d MiB", len(c.text), took>>20)
			}
		})
	}
	for _, text := range []string{
		"training:\n  epochs: 6\n  learning_rate: 1\n  momentum: 0.5",
		"data:\n  path: \"a &b *c [d\"\nteacher:\n  taps: [\"[[[[\", '*x']",
	} {
		if _, err := ParseConfig([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNamesReadAsTheyWereWritten(t *testing.T) {
	c := Default()
	c.Data.Path = "a\x1b[2J\u202eb\tc \"d\" \\ é"
	b, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseConfig(b); err != nil || got.Data.Path != c.Data.Path {
		t.Errorf("%q was read as %q, %v", c.Data.Path, got.Data.Path, err)
	}
}

package pipeline

import (
	"path/filepath"
	"strings"
	"testing"
)

// A network without maps teaches by its logits, unless attention is asked for.
func TestATeacherWithoutMapsTeachesByItsLogits(t *testing.T) {
	p := newPalette(3, 10)
	set := p.set(t, 30)
	c := Default()
	c.Data.Path = "memory"
	c.Teacher.Path, c.Teacher.Preprocess = p.teacher(t, spec(t, "unit"), nil, 1), "unit"
	c.Student.Architecture, c.Training.Epochs, c.Training.Batch, c.Training.Augment.Pad = "wrn-10-0.25", 1, 3, 0
	r := &transcript{}
	folder, _ := runStudent(t, c, Options{Data: set, Reporter: r})
	if line := r.line(t, "taps"); !strings.Contains(line, "no feature map") || !strings.Contains(line, "logits alone") {
		t.Error(line)
	}
	if saved, err := ReadConfig(filepath.Join(string(folder), "config.yaml")); err != nil || saved.Loss.Attention.Beta != 0 {
		t.Errorf("the run folder has beta %v, %v", saved.Loss.Attention.Beta, err)
	}
	for name, ask := range map[string]func(*Config, *Options){
		"another weight": func(c *Config, _ *Options) { c.Loss.Attention.Beta = 500 },
		"asked for":      func(_ *Config, o *Options) { o.Attention = true },
	} {
		c, o := c, Options{Data: set}
		ask(&c, &o)
		_, err := Train(t.Context(), c, Folder(filepath.Join(t.TempDir(), "run")), o)
		if err == nil || !strings.Contains(err.Error(), "no feature map") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

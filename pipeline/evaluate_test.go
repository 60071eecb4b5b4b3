package pipeline

import (
	"strings"
	"testing"
)

func TestSameClasses(t *testing.T) {
	data := []string{"cat", "dog", "frog"}
	for _, c := range []struct {
		name, metadata string
		same           bool
	}{
		{"no metadata says nothing", "", true},
		{"the same names", `["cat","dog","frog"]`, true},
		{"another order", `["dog","cat","frog"]`, false},
		{"a class less", `["cat","dog"]`, false},
		{"a class more", `["cat","dog","frog","newt"]`, false},
		{"a key of another program is not ours to judge", "cat;dog", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := sameClasses(c.metadata, data)
			if (err == nil) != c.same {
				t.Errorf("got %v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), "cat, dog, frog") || !strings.Contains(err.Error(), "--classes")) {
				t.Errorf("%v names neither the data's classes nor the flag", err)
			}
		})
	}
}

func TestEvaluateRefusesAnUnknownSplit(t *testing.T) {
	_, o := tinyRun(t)
	_, err := Evaluate(t.Context(), EvaluateConfig{Model: TeacherConfig{Path: demoTeacher}, Split: "tset"}, o)
	if err == nil || !strings.Contains(err.Error(), "test, val, train, all") {
		t.Errorf("got %v", err)
	}
}

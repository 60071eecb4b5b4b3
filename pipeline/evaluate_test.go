package pipeline

import (
	"strings"
	"testing"
)

func TestEvaluateRefusesAnUnknownSplit(t *testing.T) {
	_, o := tinyRun(t)
	_, err := Evaluate(t.Context(), EvaluateConfig{Model: TeacherConfig{Path: demoTeacher}, Split: "tset"}, o)
	if err == nil || !strings.Contains(err.Error(), "test, val, train, all") {
		t.Errorf("got %v", err)
	}
}

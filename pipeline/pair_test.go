package pipeline

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPairByResolution(t *testing.T) {
	student := []tap{{"group1", [2]int{32, 32}}, {"group2", [2]int{16, 16}}, {"group3", [2]int{8, 8}}}
	same := func(s, t string, n int) TapPair { return TapPair{s, t, [2]int{n, n}, [2]int{n, n}} }
	for _, c := range []struct {
		name     string
		teachers []tap
		input    [2]int
		want     []TapPair
	}{
		{
			"equal resolutions pair, the last of each",
			[]tap{{"a", [2]int{32, 32}}, {"b", [2]int{32, 32}}, {"c", [2]int{16, 16}}, {"d", [2]int{8, 8}}}, [2]int{32, 32},
			[]TapPair{same("group1", "b", 32), same("group2", "c", 16), same("group3", "d", 8)},
		},
		{
			"a teacher of larger images pairs by its share of the input",
			[]tap{{"layer1", [2]int{112, 112}}, {"layer2", [2]int{56, 56}}}, [2]int{224, 224},
			[]TapPair{{"group2", "layer1", [2]int{16, 16}, [2]int{112, 112}}, {"group3", "layer2", [2]int{8, 8}, [2]int{56, 56}}},
		},
		{"an odd size still finds its partner", []tap{{"x", [2]int{7, 7}}}, [2]int{28, 28}, []TapPair{{"group3", "x", [2]int{8, 8}, [2]int{7, 7}}}},
		{"a map rounded up at an odd size is near enough", []tap{{"x", [2]int{8, 8}}}, [2]int{28, 28}, []TapPair{same("group3", "x", 8)}},
		{"a map rounded down as well", []tap{{"x", [2]int{7, 7}}}, [2]int{32, 32}, []TapPair{{"group3", "x", [2]int{8, 8}, [2]int{7, 7}}}},
		{"no common resolution pairs nothing", []tap{{"x", [2]int{2, 2}}}, [2]int{32, 32}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, pairByResolution(student, c.teachers, [2]int{32, 32}, c.input)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestPairNamedWantsAsManyOnEachSide(t *testing.T) {
	_, err := pairNamed([]tap{{name: "group1"}}, []tap{{name: "a"}, {name: "b"}})
	if err == nil || !strings.Contains(err.Error(), "1 student taps (group1) for 2 teacher taps (a, b)") {
		t.Errorf("got %v", err)
	}
}

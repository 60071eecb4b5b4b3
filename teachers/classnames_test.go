package teachers

import (
	"slices"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

func TestClassNames(t *testing.T) {
	pets := []string{"cat", "dog", "hen"}
	tests := []struct {
		name, key, value string
		want             []string
	}{
		{"our own export's list", "classes", `["cat","dog","hen"]`, pets},
		{"Ultralytics' dictionary, as Python prints it", "names", `{0: 'cat', 1: 'dog', 2: 'hen'}`, pets},
		{"a dictionary out of order", "names", `{2: "hen", 0: 'cat', 1: 'dog',}`, pets},
		{"Transformers' map", "id2label", `{"0": "cat", "2": "hen", "1": "dog"}`, pets},
		{"a list as Python prints it", "Class_Names", `['cat', 'dog', "hen"]`, pets},
		{"a tuple", "labels", `('cat', 'dog', 'hen')`, pets},
		{"a name with a quote, a comma and a brace", "names", `{0: "cat's, big}", 1: 'a \'dog\''}`, []string{"cat's, big}", "a 'dog'"}},
		{"separated by commas", "labels", "cat, dog, hen", pets},
		{"one on each line", "labels", "cat\ndog\r\nhen\n", pets},
		{"a number is missing", "names", `{0: 'cat', 2: 'hen'}`, nil},
		{"no text in quotes", "names", `[cat, dog]`, nil},
		{"numbers are no names", "classes", `[1,2]`, nil},
		{"one name", "labels", "yes", nil},
		{"no end", "names", `{0: 'cat', 1: 'dog'`, nil},
		{"another key", "author", "cat, dog", nil},
		{"nothing", "names", " ", nil},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			m := &onnx.Model{Metadata: []onnx.KeyValue{{Key: "names", Value: "17"}, {Key: c.key, Value: c.value}}}
			got, key := ClassNames(m)
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if c.want != nil && key != c.key {
				t.Errorf("found under %q, want %q", key, c.key)
			}
		})
	}
}

package repocheck

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
)

// TestReadmeNamesWhatExists keeps the README's links and make targets from
// pointing at what has been renamed.
func TestReadmeNamesWhatExists(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(string(readme), -1)
	for _, link := range links {
		if strings.Contains(link[1], "://") {
			continue
		}
		if _, err := os.Stat(link[1]); err != nil {
			t.Errorf("README links to %s: %v", link[1], err)
		}
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile("(?m)^(?:`)?make ([a-z-]+)").FindAllStringSubmatch(string(readme), -1)
	for _, target := range targets {
		if !strings.Contains(string(makefile), "\n"+target[1]+":") {
			t.Errorf("README says make %s, which the Makefile does not know", target[1])
		}
	}
	if len(links) < 5 || len(targets) < 5 {
		t.Errorf("found %d links and %d make targets in README.md; has its form changed?", len(links), len(targets))
	}
}

// TestImportPageListsTheOperators holds the list in docs/IMPORT.md against the one
// that the import itself gives when it refuses a file.
func TestImportPageListsTheOperators(t *testing.T) {
	b := onnx.NewBuilder("odd", 17)
	x := b.Input("image", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(4))
	b.Output(b.Node("Det", []string{x}), "logits", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	_, err = student.ImportNet(m, student.NetOptions{})
	if err == nil {
		t.Fatal("Det is imported; take another operator that is not")
	}
	_, list, found := strings.Cut(err.Error(), "the operators that can are ")
	if !found {
		t.Fatalf("the error does not list the operators: %v", err)
	}
	page, err := os.ReadFile("docs/IMPORT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "<!-- operators -->\n")
	block, _, _ := strings.Cut(rest, "\n<!-- end of operators -->")
	if got := strings.Join(strings.Fields(block), " "); got != strings.Join(strings.Fields(list), " ") {
		t.Errorf("docs/IMPORT.md lists\n%s\nthe import knows\n%s", got, list)
	}
}

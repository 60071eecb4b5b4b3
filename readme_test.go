package onnxdistill_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
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

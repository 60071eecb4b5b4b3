package repocheck

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestMain runs the checks in the module's root, where the paths that pages,
// scripts and programs name begin.
func TestMain(m *testing.M) {
	if err := os.Chdir(filepath.Join("..", "..")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestRootHoldsNoGoFile keeps the root for what a visitor looks for first.
func TestRootHoldsNoGoFile(t *testing.T) {
	if _, err := os.Stat("go.mod"); err != nil {
		t.Fatalf("the checks do not run in the module's root: %v", err)
	}
	found, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		t.Errorf("Go files in the module's root: %q; every one has a package to go to", found)
	}
}

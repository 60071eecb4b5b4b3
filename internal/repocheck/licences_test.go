package repocheck

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of docs/LICENCES.md")

// licences has, for each kind of licence, words that its texts have, with all white
// space as one blank. BSD-3-Clause has those of BSD-2-Clause too.
var licences = []struct {
	name  string
	words *regexp.Regexp
}{
	{"Apache-2.0", regexp.MustCompile("Apache License,? Version 2.0")},
	{"MIT", regexp.MustCompile("Permission is hereby granted, free of charge")},
	{"BSD-3-Clause", regexp.MustCompile("endorse or promote products derived from")},
	{"BSD-2-Clause", regexp.MustCompile("Redistribution and use in source and binary forms")},
}

// TestLicencesOfWhatIsLinked holds docs/LICENCES.md against the modules that the
// program is linked from, with and without oneDNN, and the licences in their sources.
func TestLicencesOfWhatIsLinked(t *testing.T) {
	linked := map[string]string{} // module to its folder
	for _, tags := range []string{"", "onednn"} {
		list := exec.Command("go", "list", "-deps", "-tags", tags, "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}", "./cmd/distill")
		out, err := list.Output()
		if err != nil {
			t.Fatalf("%v: %v", list, err)
		}
		for line := range strings.Lines(string(out)) {
			module, folder, _ := strings.Cut(strings.TrimSpace(line), "\t")
			if module != "" {
				linked[module] = folder
			}
		}
	}
	if len(linked) == 0 {
		t.Fatal("the program is linked from no module")
	}
	var table strings.Builder
	table.WriteString("| module | licence |\n|---|---|\n")
	for _, module := range slices.Sorted(maps.Keys(linked)) {
		fmt.Fprintf(&table, "| [%s](https://pkg.go.dev/%s?tab=licenses) | %s |\n", module, module, licence(t, module, linked[module]))
	}

	const page, from, to = "docs/LICENCES.md", "<!-- modules -->\n", "<!-- end of modules -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), from)
	got, after, ends := strings.Cut(rest, to)
	if !found || !ends {
		t.Fatalf("%s has no table between %q and %q", page, from, to)
	}
	if got == table.String() {
		return
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+from+table.String()+to+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s is not the table of what is linked; go test ./internal/repocheck -run Licences -update writes\n%s", page, &table)
}

// licence reads which licences a module and the code within it are under.
func licence(t *testing.T, module, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "LICEN[CS]E*"))
	if err != nil || len(files) == 0 {
		t.Errorf("%s has no licence: %v", module, err)
		return ""
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.Join(strings.Fields(string(text)), " ")
	var found []string
	for _, l := range licences {
		if l.words.MatchString(plain) && !(l.name == "BSD-2-Clause" && slices.Contains(found, "BSD-3-Clause")) {
			found = append(found, l.name)
		}
	}
	if len(found) == 0 {
		t.Errorf("%s: %s is no licence known here; may it be linked?", module, files[0])
	}
	return strings.Join(found, ", ")
}

package repocheck

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/onnxdistill/onnxdistill"

// arrow is one package's row in the table of arrows.
type arrow struct {
	from  string
	to    []string // what it may import
	tests []string // what its tests may import besides that, and besides all that is reachable from it
}

// arrows states what each package may import of this module. Arrows point down
// the page only: a package names packages of the rows below it. teachers and
// student do not know each other; pipeline introduces them.
var arrows = []arrow{
	// For the go command to run: these checks, the comparisons with peers, and the
	// suites of others.
	{from: "internal/repocheck", tests: []string{"student", "onnx"}},
	{from: "internal/bench", tests: []string{
		"pipeline", "pipeline/data", "pipeline/engine", "teachers",
		"student", "student/kernel", "student/op", "student/optim", "student/vm", "student/zoo",
		"onnx/preprocess", "onnx/wholefile",
	}},
	{from: "internal/torture", tests: []string{"onnx"}},
	{from: "internal/conformance", tests: []string{
		"pipeline", "pipeline/data", "pipeline/engine", "pipeline/loss", "teachers",
		"student", "student/importer", "student/importer/importertest", "student/op/optest", "student/optim", "student/vm",
		"onnx", "onnx/preprocess",
	}},

	// Flags are parsed into the types of the packages they set up; inspect and
	// doctor show what teachers and student found.
	{from: "cmd/distill", to: []string{"pipeline", "teachers", "student", "student/zoo", "onnx/preprocess"}},

	{from: "pipeline", to: []string{
		"pipeline/data", "pipeline/digits", "pipeline/engine", "pipeline/lock", "pipeline/loss",
		"teachers", "student", "student/optim", "student/vm", "student/zoo",
		"onnx", "onnx/preprocess", "onnx/rewrite", "onnx/safetensors", "onnx/wholefile",
	}},
	{from: "pipeline/loss", to: []string{"student/op"}, tests: []string{"student/op/optest", "student/vm"}},
	{from: "pipeline/data"},
	// Its drawings are shown to the demo's teacher.
	{from: "pipeline/digits", tests: []string{"teachers"}},
	{from: "pipeline/engine"},
	{from: "pipeline/lock"},

	{from: "teachers", to: []string{"teachers/internal/ort", "onnx", "onnx/preprocess", "onnx/rewrite", "onnx/safetensors", "onnx/wholefile"}},
	{from: "teachers/internal/ort", to: []string{"onnx"}},

	{from: "student/zoo", to: []string{"student"}, tests: []string{"student/optim", "student/vm"}},
	{from: "student", to: []string{"student/importer", "student/op", "student/kernel", "onnx", "onnx/preprocess", "onnx/rewrite", "onnx/safetensors"}, tests: []string{"student/importer/importertest", "student/op/optest", "student/vm", "student/zoo"}},
	// Pieces of files for tests; as optest, in no "to".
	{from: "student/importer/importertest", to: []string{"onnx"}},
	{from: "student/importer", to: []string{"onnx", "onnx/rewrite"}, tests: []string{"onnx/onnxtest"}},
	{from: "student/vm", to: []string{"student/op", "student/kernel"}, tests: []string{"student/op/optest", "student/optim"}},
	// Cases for tests; no program may import it, so it is in no "to".
	{from: "student/op/optest", to: []string{"student/op", "student/kernel", "onnx"}, tests: []string{"student/vm"}},
	{from: "student/op", to: []string{"student/kernel", "onnx"}, tests: []string{"student/op/optest"}},
	{from: "student/kernel", to: []string{"student/kernel/internal/onednn"}},
	{from: "student/kernel/internal/onednn"},
	{from: "student/optim"},

	{from: "onnx/rewrite", to: []string{"onnx", "onnx/preprocess"}, tests: []string{"onnx/onnxtest"}},
	// Small models for tests; as optest, in no "to".
	{from: "onnx/onnxtest", to: []string{"onnx"}},
	{from: "onnx/preprocess", to: []string{"onnx"}},
	{from: "onnx", to: []string{"onnx/internal/pb", "onnx/wholefile"}},
	{from: "onnx/safetensors", to: []string{"onnx/wholefile"}},
	{from: "onnx/wholefile"},
	{from: "onnx/internal/pb"},
}

// only states who may import a dependency that is heavy, or that shapes the
// code around it.
var only = []struct {
	dependency string // an import path, or the beginning of one
	importers  []string
	tests      []string // packages whose tests may import it besides
}{
	{dependency: "github.com/yalue/onnxruntime_go", importers: []string{"teachers/internal/ort"}},
	{dependency: "google.golang.org/protobuf", importers: []string{"onnx/internal/pb"}, tests: []string{"onnx"}},
	{dependency: "github.com/google/pprof", importers: []string{"student/vm"}},
	{dependency: "github.com/google/renameio", importers: []string{"onnx/wholefile"}},
	{dependency: "github.com/urfave/cli", importers: []string{"cmd/distill"}},
	{dependency: "github.com/schollz/progressbar", importers: []string{"cmd/distill"}},
	{dependency: "golang.org/x/term", importers: []string{"cmd/distill"}},
	{dependency: "github.com/goccy/go-yaml", importers: []string{"pipeline"}},
	// Its own tests are run against our import of models.
	{dependency: "github.com/owulveryck/onnx-go", importers: []string{"student/importer"}, tests: []string{"internal/conformance", "student"}},
	{dependency: "github.com/nlpodyssey/safetensors", tests: []string{"onnx/safetensors", "teachers"}},
	{dependency: "golang.org/x/image", importers: []string{"pipeline/data", "pipeline/digits", "teachers"}},
	{dependency: "gorgonia.org", importers: []string{
		"pipeline", "pipeline/loss",
		"student", "student/importer", "student/op", "student/op/optest", "student/optim", "student/vm", "student/zoo",
	}, tests: []string{"internal/bench", "internal/conformance"}}, // it is a peer in the table of benchmarks
}

// drawers are names that say nothing of what is inside.
var drawers = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "lib", "base"}

// exit is the one function that may end the process.
const exit = "cmd/distill main"

// source is one Go file of the module.
type source struct {
	pkg  string // folder, relative to the module's root
	name string // file name
	file *ast.File
	test bool
}

// readSources parses every Go file of the module, whatever its build tags: an
// arrow behind a tag is an arrow too. testdata holds programs of its own.
func readSources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != "." && (base == "testdata" || base == "bin" || base[0] == '.' || base[0] == '_') {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{
			pkg:  filepath.ToSlash(filepath.Dir(name)),
			name: base,
			file: file,
			test: strings.HasSuffix(base, "_test.go"),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no Go file found")
	}
	return all
}

// imports returns the import paths of a file.
func (s source) imports(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, i := range s.file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	return paths
}

// reachable returns the packages that from can come to by arrows.
func reachable(from string) map[string]bool {
	seen := map[string]bool{}
	var visit func(string)
	visit = func(p string) {
		for _, a := range arrows {
			if a.from != p {
				continue
			}
			for _, q := range a.to {
				if !seen[q] {
					seen[q] = true
					visit(q)
				}
			}
		}
	}
	visit(from)
	return seen
}

func TestArrowsPointDown(t *testing.T) {
	row := map[string]int{}
	for i, a := range arrows {
		if _, twice := row[a.from]; twice {
			t.Errorf("%s has two rows", a.from)
		}
		row[a.from] = i
	}
	for i, a := range arrows {
		for _, to := range a.to {
			if j, ok := row[to]; !ok {
				t.Errorf("%s -> %s: the target has no row", a.from, to)
			} else if j <= i {
				t.Errorf("%s -> %s points up", a.from, to)
			}
		}
	}
	up, down := reachable("teachers"), reachable("student")
	for p := range up {
		if strings.HasPrefix(p, "student") {
			t.Errorf("teachers reaches %s", p)
		}
	}
	for p := range down {
		if strings.HasPrefix(p, "teachers") {
			t.Errorf("student reaches %s", p)
		}
	}
}

func TestImportsFollowTheArrows(t *testing.T) {
	exists := map[string]bool{}
	for _, s := range readSources(t) {
		exists[s.pkg] = true
		i := slices.IndexFunc(arrows, func(a arrow) bool { return a.from == s.pkg })
		if i < 0 {
			t.Errorf("%s has no row in the table of arrows", s.pkg)
			continue
		}
		below := reachable(s.pkg)
		for _, p := range s.imports(t) {
			to, ours := strings.CutPrefix(p, module+"/")
			switch {
			case !ours:
			case slices.Contains(arrows[i].to, to):
			case s.test && (to == s.pkg || below[to] || slices.Contains(arrows[i].tests, to)):
			default:
				t.Errorf("%s imports %s; the table allows %s -> %v", path.Join(s.pkg, s.name), to, s.pkg, arrows[i].to)
			}
		}
	}
	for _, a := range arrows {
		if !exists[a.from] {
			t.Errorf("the table has a row for %s, which does not exist", a.from)
		}
	}
}

func TestDependenciesHaveTheirImporters(t *testing.T) {
	used := map[string]bool{}
	for _, s := range readSources(t) {
		for _, p := range s.imports(t) {
			for _, d := range only {
				if p != d.dependency && !strings.HasPrefix(p, d.dependency+"/") {
					continue
				}
				used[d.dependency] = true
				if !slices.Contains(d.importers, s.pkg) && !(s.test && slices.Contains(d.tests, s.pkg)) {
					t.Errorf("%s imports %s; only %v may", path.Join(s.pkg, s.name), p, d.importers)
				}
			}
		}
	}
	for _, d := range only {
		if !used[d.dependency] {
			t.Errorf("nothing imports %s; take its row out, and its line in go.mod", d.dependency)
		}
	}
}

// TestProgramKeepsToItself: the program starts no other, loads no plugin and speaks
// to no machine. What it needs is linked, or is ONNX Runtime.
func TestProgramKeepsToItself(t *testing.T) {
	for _, s := range readSources(t) {
		if s.test {
			continue
		}
		for _, p := range s.imports(t) {
			if p == "os/exec" || p == "plugin" || p == "net" || strings.HasPrefix(p, "net/") && p != "net/url" {
				t.Errorf("%s imports %s", path.Join(s.pkg, s.name), p)
			}
		}
	}
}

func TestNoFolderIsADrawer(t *testing.T) {
	for _, s := range readSources(t) {
		for _, part := range strings.Split(s.pkg, "/") {
			if slices.Contains(drawers, part) {
				t.Errorf("folder %s: %q says nothing of what is inside; name it for its one subject", s.pkg, part)
			}
		}
		if name := strings.TrimSuffix(strings.TrimSuffix(s.name, ".go"), "_test"); slices.Contains(drawers, name) {
			t.Errorf("file %s: %q says nothing of what is inside; name it for its one subject", path.Join(s.pkg, s.name), name)
		}
	}
}

func TestEveryPackageHasADocComment(t *testing.T) {
	documented := map[string][]string{} // package to the files with a comment
	for _, s := range readSources(t) {
		if s.test {
			continue
		}
		files := documented[s.pkg]
		if s.file.Doc != nil {
			files = append(files, s.name)
		}
		documented[s.pkg] = files
	}
	for pkg, files := range documented {
		want := "doc.go"
		if strings.HasPrefix(pkg, "cmd/") {
			want = "main.go" // a command's comment is about its use
		}
		if !slices.Equal(files, []string{want}) {
			t.Errorf("package %s is described in %v, want it in %s alone", pkg, files, want)
		}
	}
}

// TestOnlyMainExits keeps every other function testable: an error that matters
// is returned.
func TestOnlyMainExits(t *testing.T) {
	var exits []string
	for _, s := range readSources(t) {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			function := "a declaration"
			if f, ok := d.(*ast.FuncDecl); ok {
				function = f.Name.Name
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok && ends(sel) {
					exits = append(exits, s.pkg+" "+function)
				}
				return true
			})
		}
	}
	if !slices.Equal(exits, []string{exit}) {
		t.Errorf("the process is ended in %q, want one place, %q", exits, exit)
	}
}

// ends reports whether a selector names a function that ends the process.
func ends(sel *ast.SelectorExpr) bool {
	pkg, ok := sel.X.(*ast.Ident)
	if !ok {
		return false
	}
	name := sel.Sel.Name
	switch pkg.Name {
	case "os", "syscall", "runtime":
		return name == "Exit" || name == "Goexit"
	case "log":
		return strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Panic")
	case "cli":
		return name == "HandleExitCoder"
	}
	return false
}

// flagged are the places that may name flags: of a run's folder, which train
// alone makes, and of the configuration, which is train's own; and of what has
// one name in all commands.
var flagged = []string{
	"pipeline/checkpoint.go", "pipeline/config.go", "pipeline/export.go", "pipeline/folder.go", "pipeline/pipeline.go", "pipeline/run.go",
	"pipeline/teacher.go", // a file that changed under a run
	"teachers/internal/ort/library.go",
	"pipeline/data/archive.go", // tar's
}

// TestPackagesNameNoFlags: a package that several commands reach names its own
// options or the keys of config.yaml in messages, and the command at hand says
// which of its flags that is. See cmd/distill/settings.go.
func TestPackagesNameNoFlags(t *testing.T) {
	flag := regexp.MustCompile(`(^|[\s(\x60"])--[a-z][a-z-]*`)
	for _, s := range readSources(t) {
		file := path.Join(s.pkg, s.name)
		if s.test || s.pkg == "." || strings.HasPrefix(s.pkg, "cmd/") || slices.Contains(flagged, file) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if text, err := strconv.Unquote(l.Value); err == nil && flag.MatchString(text) {
					t.Errorf("%s names a flag in %q", file, text)
				}
			}
			return true
		})
	}
}

// TestSetupAndProgramAgree compares what scripts/setup fetches with what the
// program looks for: a shell script cannot import the constants.
func TestSetupAndProgramAgree(t *testing.T) {
	setup, err := os.ReadFile("scripts/setup")
	if err != nil {
		t.Fatal(err)
	}
	constants := map[string]string{}
	for _, s := range readSources(t) {
		if s.pkg != "teachers/internal/ort" || s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Names) == 1 && len(v.Values) == 1 {
				if l, ok := v.Values[0].(*ast.BasicLit); ok {
					constants[v.Names[0].Name], _ = strconv.Unquote(l.Value)
				}
			}
			return true
		})
	}
	// "1.24" is the release that brought version 24 of the API.
	_, api, _ := strings.Cut(constants["Oldest"], ".")
	for _, want := range []string{
		"release=" + cmp.Or(constants["Release"], "?"),
		"api=" + cmp.Or(api, "?"),
		fmt.Sprintf("${%s:-}", cmp.Or(constants["Variable"], "?")),
	} {
		if !strings.Contains(string(setup), want) {
			t.Errorf("scripts/setup has no %q, which teachers/internal/ort stands by", want)
		}
	}
}

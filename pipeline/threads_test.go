package pipeline

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// threadsVariable makes TestTheStudentDoesNotDependOnTheNumberOfThreads train with
// that many and print the student's hash, for the test that started it as another
// process: kernels count their workers once.
const threadsVariable = "PIPELINE_TEST_THREADS"

func TestTheStudentDoesNotDependOnTheNumberOfThreads(t *testing.T) {
	if n, err := strconv.Atoi(os.Getenv(threadsVariable)); err == nil {
		processors = func() int { return n }
		c, o := tinyRun(t)
		c.Resources.Threads = n
		_, final := runStudent(t, c, o)
		fmt.Printf("%d threads: %s\n", runtime.GOMAXPROCS(0), final.StudentSHA256)
		return
	}
	students := map[string]string{}
	for _, threads := range []string{"1", "2", "3"} {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), threadsVariable+"="+threads)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("with %s threads: %v\n%s", threads, err, out)
		}
		_, rest, ok := strings.Cut(string(out), threads+" threads: ")
		if !ok {
			t.Fatalf("with %s threads the output has no hash:\n%s", threads, out)
		}
		hash, _, _ := strings.Cut(rest, "\n")
		students[hash] += " " + threads
	}
	if len(students) != 1 {
		t.Errorf("students by number of threads: %v", students)
	}
}

// The number of threads in a configuration reaches the kernels and ONNX Runtime,
// in a run that is trained and one that is taken up, up to the processors there
// are.
func TestThreadsOfTheConfigurationAreUsed(t *testing.T) {
	was := processors
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { processors = was; runtime.GOMAXPROCS(before) })
	processors = func() int { return 5 }
	c := smallRun(t)
	c.Resources.Threads = 4
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	interrupt(t, c, folder, 4)
	if n := runtime.GOMAXPROCS(0); n != 4 {
		t.Errorf("training uses %d threads, want 4", n)
	}
	runtime.GOMAXPROCS(1)
	if _, err := Resume(t.Context(), copyRun(t, folder), Options{}); err != nil {
		t.Fatal(err)
	}
	if n := runtime.GOMAXPROCS(0); n != 4 {
		t.Errorf("the run that is taken up uses %d threads, want 4", n)
	}
	r := &transcript{}
	if _, err := Resume(t.Context(), folder, Options{Reporter: r, Resources: ResourcesConfig{Threads: 64}}); err != nil {
		t.Fatal(err)
	}
	if n := runtime.GOMAXPROCS(0); n != 5 {
		t.Errorf("of 64 threads %d are used, want as many as there are processors, 5", n)
	}
	if got := r.line(t, "threads"); !strings.Contains(got, "64 asked for, 5 used") {
		t.Errorf("the bound is told as %q", got)
	}
	u := newRun(c, Options{Resources: ResourcesConfig{}})
	if set, err := noise(&Origin{Classes: []string{"a", "b"}, Image: [3]int{8, 6, 3}}); err != nil {
		t.Fatal(err)
	} else if o := u.config.Teacher.session(set, u.config.Resources); o.Threads != 4 {
		t.Errorf("ONNX Runtime is given %d threads, want 4", o.Threads)
	}
}

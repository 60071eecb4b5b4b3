package bench

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// fact is a line of the table's head.
type fact struct{ name, value string }

// describe says where and with what the table was measured. load is the
// machine's load before the first row.
func describe(load string, now time.Time) []fact {
	ort, torch := "not found", "not found"
	if info, err := teachers.Runtime(""); err == nil {
		ort = info.Version
	}
	if p, err := findPyTorch(); err == nil {
		torch = fmt.Sprintf("%s, oneDNN %s", p.version, p.oneDNN)
	}
	date := now.Format(time.DateOnly)
	if testing.Short() {
		date += ", with -short: too few steps for the figures to mean anything"
	}
	return []fact{
		{"machine", fmt.Sprintf("%s, %d cores, %s", processor(), runtime.NumCPU(), system())},
		{"load", load},
		{"Go", runtime.Version()},
		{"kernels", student.Kernels()},
		{"ONNX Runtime", ort},
		{"PyTorch", torch},
		{"revision", revision()},
		{"date", date},
	}
}

// processor is the name of the processor, as far as the system tells.
func processor() string {
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(b); m != nil {
			return string(m[1])
		}
	}
	if out, err := exec.Command("sysctl", "-n", "machdep.cpu.brand_string").Output(); err == nil {
		return strings.TrimSpace(string(out))
	}
	return runtime.GOARCH
}

// system is the operating system and the processor's family.
func system() string {
	name := runtime.GOOS
	if b, err := os.ReadFile("/etc/os-release"); err == nil {
		if m := regexp.MustCompile(`(?m)^PRETTY_NAME="?(.*?)"?$`).FindSubmatch(b); m != nil {
			name = string(m[1])
		}
	}
	return name + ", " + runtime.GOARCH
}

// load is how many processes wanted a core in the last minute, which should be
// none but this one.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "not known"
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one + " at the start"
}

func revision() string {
	out, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		return "not known"
	}
	return strings.TrimSpace(string(out))
}

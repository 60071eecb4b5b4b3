//go:build cgo && linux

package ort

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// quietVariable has the test binary load the library, run a model, and stay for the
// time it holds.
const quietVariable = "ORT_TEST_QUIET"

// uploadAfter is how long the process is watched. ONNX Runtime 1.30's telemetry
// writes a device id into the user's cache folder when it is loaded, and looks up
// its host 9 s later.
const uploadAfter = 12 * time.Second

// trapSource is put before the C library. It writes down every name that is
// looked up and every socket that could leave the machine, and refuses both.
const trapSource = `
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void note(const char *what, const char *which) {
	int file = open(getenv("TRAP_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (file < 0)
		return;
	char line[300];
	strcpy(line, what);
	strncat(line, which ? which : "?", 200);
	strcat(line, "\n");
	if (write(file, line, strlen(line)) < 0)
		abort();
	close(file);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
	note("getaddrinfo ", node);
	return EAI_FAIL;
}
struct hostent *gethostbyname(const char *name) { note("gethostbyname ", name); return 0; }
struct hostent *gethostbyname2(const char *name, int family) { note("gethostbyname2 ", name); return 0; }
int socket(int domain, int type, int protocol) {
	if (domain == AF_INET || domain == AF_INET6)
		note("socket", "");
	errno = EACCES;
	return -1;
}
`

// stayQuiet is the process that TestLoadLeavesTheMachineAlone watches.
func stayQuiet(wait time.Duration) error {
	if _, err := Load(""); err != nil {
		return err
	}
	b := onnx.NewBuilder("identity", 17)
	x := b.Input("x", onnx.Float32, onnx.Fixed(1))
	b.Output(b.Node("Identity", []string{x}), "y", onnx.Float32, onnx.Fixed(1))
	m, err := b.Model()
	if err != nil {
		return err
	}
	file, err := m.Encode()
	if err != nil {
		return err
	}
	s, err := NewSession(file, []string{"x"}, []string{"y"}, Options{Threads: 1})
	if err != nil {
		return err
	}
	if _, err := s.Run([]Tensor{{Type: onnx.Float32, Dims: []int64{1}, F32: []float32{1}}}, []Tensor{{}}); err != nil {
		return err
	}
	time.Sleep(wait)
	return s.Close()
}

// TestLoadLeavesTheMachineAlone loads ONNX Runtime in a home that has never seen it.
func TestLoadLeavesTheMachineAlone(t *testing.T) {
	t.Parallel() // it sleeps
	wait := uploadAfter
	if testing.Short() {
		wait = 0 // what is written to the home is there at once
	}
	info, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	home, dir := t.TempDir(), t.TempDir()
	log, trap := filepath.Join(dir, "looked-up"), filepath.Join(dir, "trap.so")
	build := exec.Command("cc", "-shared", "-fPIC", "-x", "c", "-o", trap, "-")
	build.Stdin = strings.NewReader(trapSource)
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("no C compiler to build the trap with: %v: %s", err, out)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "XDG_") || strings.HasPrefix(v, "ORT_DISABLE_TELEMETRY=")
	})
	cmd.Env = append(cmd.Env, quietVariable+"="+wait.String(), "HOME="+home, Variable+"="+info.Path, "LD_PRELOAD="+trap, "TRAP_LOG="+log)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the process that loads the library died: %v: %s", err, out)
	}
	if asked, err := os.ReadFile(log); err == nil {
		t.Errorf("the library looked for other machines:\n%s", asked)
	}
	err = filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != home {
			t.Errorf("the library wrote %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestLoadTurnsTelemetryOffFirst has a library look at its environment when it is
// mapped, before anything in it is called.
func TestLoadTurnsTelemetryOffFirst(t *testing.T) {
	dir := t.TempDir()
	lib, saw := filepath.Join(dir, "lib.so"), filepath.Join(dir, "saw")
	build := exec.Command("cc", "-shared", "-fPIC", "-x", "c", "-o", lib, "-")
	build.Stdin = strings.NewReader(`
		#include <stdio.h>
		#include <stdlib.h>
		__attribute__((constructor)) static void look(void) {
			FILE *f = fopen("` + saw + `", "w");
			const char *value = getenv("ORT_DISABLE_TELEMETRY");
			fputs(value ? value : "nothing", f);
			fclose(f);
		}`)
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("no C compiler to build a library with: %v: %s", err, out)
	}
	for _, given := range []string{"", "0"} {
		try(t, lib, "ORT_DISABLE_TELEMETRY="+given)
		if got, err := os.ReadFile(saw); err != nil || string(got) != "1" {
			t.Errorf("with ORT_DISABLE_TELEMETRY=%q in the environment the library sees %q, %v; want 1", given, got, err)
		}
	}
}

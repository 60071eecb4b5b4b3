package lock

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// folderVariable makes TestMain hold a folder until its standard input ends, for
// the tests that started it as another process.
const folderVariable = "LOCK_TEST_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(folderVariable); folder != "" {
		if _, err := Acquire(folder); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		bufio.NewReader(os.Stdin).ReadString('\n')
		os.Exit(0) // without Release, as if it were killed
	}
	os.Exit(m.Run())
}

// hold starts a process that holds a folder, and returns what ends it.
func hold(t *testing.T, folder string) (pid int, end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), folderVariable+"="+folder)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q", line)
	}
	end = sync.OnceFunc(func() { in.Close(); cmd.Wait() })
	t.Cleanup(end)
	return cmd.Process.Pid, end
}

func TestAFolderInUseNamesItsHolder(t *testing.T) {
	folder := t.TempDir()
	pid, end := hold(t, folder)
	_, err := Acquire(folder)
	var held *HeldError
	if !errors.As(err, &held) || held.Holder.PID != pid {
		t.Fatalf("got %v, want a HeldError that names process %d", err, pid)
	}
	host, _ := os.Hostname()
	for _, want := range []string{folder, fmt.Sprint(pid), host, "since 20", os.Args[0]} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}

	// A copy made in the meantime is not locked, and nobody was killed in it.
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	l, err := Acquire(copied)
	if err != nil {
		t.Fatal(err)
	}
	if h, was := l.Abandoned(copied); was {
		t.Errorf("the copy was abandoned by %v", h)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}

	end()
	if l, err = Acquire(folder); err != nil {
		t.Fatalf("after its holder has died: %v", err)
	}
	if h, was := l.Abandoned(folder); !was || h.PID != pid {
		t.Errorf("it was abandoned by %v, want process %d", h, pid)
	}
	if err := errors.Join(l.Release(), l.Release()); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(folder); len(left) != 0 {
		t.Errorf("releasing left %v behind", left)
	}
}

func TestOneProcessDoesNotHoldAFolderTwice(t *testing.T) {
	folder := t.TempDir()
	l, err := Acquire(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if _, err := Acquire(folder); !errors.As(err, new(*HeldError)) {
		t.Errorf("got %v", err)
	}
}

// Whoever gets the folder has it alone, also while others release it.
func TestHoldersExcludeEachOther(t *testing.T) {
	folder := t.TempDir()
	var inside atomic.Int32
	var group sync.WaitGroup
	taken := make([]int, 8)
	for i := range taken {
		group.Go(func() {
			for range 100 {
				l, err := Acquire(folder)
				if errors.As(err, new(*HeldError)) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d hold the folder at once", n)
				}
				taken[i]++
				inside.Add(-1)
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	all := 0
	for _, n := range taken {
		all += n
	}
	if all == 0 {
		t.Error("nobody ever held the folder")
	}
}

func TestAFolderThatIsNotThereIsAnError(t *testing.T) {
	if _, err := Acquire(filepath.Join(t.TempDir(), "none")); err == nil || errors.As(err, new(*HeldError)) {
		t.Errorf("got %v", err)
	}
}

func TestTextOfALockFileIsHarmless(t *testing.T) {
	h := Holder{PID: 1, Host: "a\x1b[2J", Command: strings.Repeat("x", 300)}
	if s := h.String(); strings.ContainsRune(s, 0x1b) || len(s) > 300 {
		t.Errorf("%q", s)
	}
}

package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
	"github.com/onnxdistill/onnxdistill/pipeline/lock"
)

// Folder is a run folder: everything one training run reads and writes.
type Folder string

// Config is the resolved Config.
func (f Folder) Config() string { return f.file("config.yaml") }

// Architecture is the file whose network is the student's, as it was when the
// run began; there is none for a student from the zoo.
func (f Folder) Architecture() string { return f.file("architecture.onnx") }

// Metrics is an EpochMetrics per line and, of a finished run, a FinalMetrics.
func (f Folder) Metrics() string { return f.file("metrics.jsonl") }

// Checkpoint is parameters, optimiser and loop state after the last epoch, or
// the step at which the run was interrupted.
func (f Folder) Checkpoint() string { return f.file("checkpoint.safetensors") }

// Best is the parameters after the epoch that validated best.
func (f Folder) Best() string { return f.file("best.safetensors") }

// Student is the same parameters, exported and verified.
func (f Folder) Student() string { return f.file("student.onnx") }

func (f Folder) file(name string) string { return filepath.Join(string(f), name) }

// files are all that a run writes into its folder.
func (f Folder) files() []string {
	return []string{f.Config(), f.Architecture(), f.Metrics(), f.Checkpoint(), f.Best(), f.Student()}
}

// holding is a run folder that is this process's alone.
type holding struct {
	folder Folder
	lock   *lock.Lock
	made   bool // by hold
}

// hold takes the folder for this process alone, makes it where it is missing and
// sweeps out what writes that were cut short have left in it.
func (f Folder) hold(r Reporter) (*holding, error) {
	h := &holding{folder: f}
	_, err := os.Stat(string(f))
	h.made = errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(string(f), 0o755); err != nil {
		return nil, fmt.Errorf("pipeline: run folder: %w", err)
	}
	if h.lock, err = lock.Acquire(string(f)); err != nil {
		return nil, fmt.Errorf("pipeline: %w", err)
	}
	if before, was := h.lock.Abandoned(string(f)); was {
		say(r, "the run in %s was left unfinished by %v, which has ended", f, before)
	}
	return h, f.sweep()
}

// holdFor takes the folder where path is its student.onnx, and nothing where path
// lies elsewhere. A run's other files are not to be written.
func (f Folder) holdFor(path string, r Reporter) (*holding, error) {
	for _, file := range append(f.files(), f.file(lock.Name)) {
		if !samePath(path, file) {
			continue
		}
		if file == f.Student() {
			return f.hold(r)
		}
		return nil, fmt.Errorf("pipeline: %s is a file of the run itself; choose another name", path)
	}
	return new(holding), nil
}

// samePath reports whether two paths name one file, whether it is there or not.
func samePath(a, b string) bool {
	if filepath.Base(a) != filepath.Base(b) {
		return false
	}
	x, errX := os.Stat(filepath.Dir(a))
	y, errY := os.Stat(filepath.Dir(b))
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// release gives the folder back; one that was made and stayed empty is removed.
func (h *holding) release() {
	if h.lock == nil {
		return
	}
	h.lock.Release() // a lock file that cannot be removed locks nothing
	if h.made {
		os.Remove(string(h.folder)) // which fails where the run has begun
	}
}

// The beginnings of the names of the folders in which exported students are tried,
// and the demo's images drawn.
const (
	verifyFolder = ".verify-"
	drawnFolder  = ".drawn-"
)

// sweep removes what a killed process leaves of files that it was writing: those
// of a run's names behind a dot and before a number, and folders of exports.
func (f Folder) sweep() error {
	entries, err := os.ReadDir(string(f))
	if err != nil {
		return fmt.Errorf("pipeline: run folder: %w", err)
	}
	for _, e := range entries {
		if !f.leftover(e.Name()) {
			continue
		}
		if err := os.RemoveAll(f.file(e.Name())); err != nil {
			return fmt.Errorf("pipeline: run folder: %w", err)
		}
	}
	return nil
}

// candidateName is the file in a verifyFolder.
const candidateName = "student.onnx"

// trialAge is after how long a verifyFolder outside a run folder is one that a
// killed export has left: no student takes that long to try.
const trialAge = 24 * time.Hour

// sweepTrials removes what killed exports have left in a folder that is not known
// to be this process's alone. What cannot be removed stays.
func sweepTrials(folder string, now time.Time) {
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), verifyFolder)
		info, err := e.Info()
		if !ok || !isNumber(rest) || err != nil || !info.IsDir() || now.Sub(info.ModTime()) < trialAge {
			continue
		}
		path := filepath.Join(folder, e.Name())
		os.Remove(filepath.Join(path, candidateName))
		os.Remove(path) // which fails where there is more in it
	}
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func (f Folder) leftover(name string) bool {
	for _, folder := range []string{verifyFolder, drawnFolder} {
		if rest, ok := strings.CutPrefix(name, folder); ok {
			return isNumber(rest)
		}
	}
	for _, file := range f.files() {
		if rest, ok := strings.CutPrefix(name, "."+filepath.Base(file)); ok && isNumber(rest) {
			return true
		}
	}
	return false
}

// free returns an error unless a run may begin in the folder: it holds none, or
// one that never came to a checkpoint, or any run that may be overwritten. Files
// that no run wrote are never given up.
func (f Folder) free(overwrite bool) error {
	if !f.isRun() {
		for _, file := range f.files() {
			if _, err := os.Lstat(file); err == nil {
				return fmt.Errorf("pipeline: %s has a file %s and no config.yaml, so it is not a run folder; move the file away, or choose another folder", f, filepath.Base(file))
			}
		}
		return nil
	}
	if _, err := ReadConfig(f.Config()); err != nil {
		return fmt.Errorf("pipeline: %s has a config.yaml that is not from a run; choose another folder: %w", f, err)
	}
	if overwrite || !f.begun() {
		return nil
	}
	return fmt.Errorf("pipeline: %s holds a run already; go on with distill train --resume --out %s, begin anew with Options.Overwrite, or choose another folder", f, f)
}

// Numbered returns the first of the folder itself, the folder with -2 after its
// name, with -3 and so on in which a new run may begin: no run has learned
// anything there, and no other process uses it.
func (f Folder) Numbered() Folder {
	for n := 1; ; n++ {
		g := f
		if n > 1 {
			g = Folder(fmt.Sprintf("%s-%d", f, n))
		}
		if _, err := os.Lstat(string(g)); errors.Is(err, fs.ErrNotExist) {
			return g
		}
		if l, err := lock.Acquire(string(g)); err == nil {
			err := g.free(false)
			l.Release()
			if err == nil {
				return g
			}
		} else if !errors.As(err, new(*lock.HeldError)) {
			return g // and let the run say what is wrong with it
		}
	}
}

// isRun reports whether a run has begun in the folder.
func (f Folder) isRun() bool {
	_, err := os.Stat(f.Config())
	return !errors.Is(err, fs.ErrNotExist)
}

// begun reports whether there is anything in the folder that a run has learned.
// Metrics of one epoch without a checkpoint are those of a run that was killed
// between writing one and the other.
func (f Folder) begun() bool {
	if _, err := os.Lstat(f.Checkpoint()); !errors.Is(err, fs.ErrNotExist) {
		return true
	}
	epochs, final, err := f.readMetrics()
	return err != nil || final != nil || len(epochs) > 1
}

// clear removes what a run has written, but not its configuration.
func (f Folder) clear() error {
	for _, file := range []string{f.Student(), f.Checkpoint(), f.Best(), f.Metrics()} {
		if err := remove(file); err != nil {
			return err
		}
	}
	return nil
}

// remove removes a file of an earlier run that may be there.
func remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pipeline: removing an earlier run: %w", err)
	}
	return nil
}

// begin begins a run in place of one that may be there: it saves the
// configuration and, where the student's network is from a file, that.
func (f Folder) begin(c Config, architecture *onnx.Model) error {
	if err := f.clear(); err != nil {
		return err
	}
	if err := remove(f.Architecture()); err != nil { // before there is a configuration that it does not belong to
		return err
	}
	// The configuration says that the folder is a run's, so it comes first.
	if err := f.writeConfig(c); err != nil {
		return err
	}
	if architecture == nil {
		return nil
	}
	if err := architecture.WriteFile(f.Architecture()); err != nil {
		return fmt.Errorf("pipeline: run folder: %w", err)
	}
	return nil
}

// settingsComment begins the line in config.yaml that identifies its settings.
const settingsComment = "# settings "

func (f Folder) writeConfig(c Config) error {
	b, err := c.YAML()
	if err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	// The settings are those that will be read: YAML does not keep every character
	// that a name may have.
	if c, err = ParseConfig(b); err != nil {
		return fmt.Errorf("pipeline: %s would not be readable: %w", f.Config(), err)
	}
	hash, err := c.settingsHash()
	if err != nil {
		return err
	}
	return writeFile(f.Config(), append(b, settingsComment+hash+"\n"...))
}

// readConfig reads the configuration of the run, which must be the one it began
// with, paths and resources apart.
func (f Folder) readConfig() (Config, error) {
	b, err := readConfigFile(f.Config())
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("pipeline: %s is not a run folder: it has no config.yaml; name the folder given to distill train --out", f)
	}
	if err != nil {
		return Config{}, err
	}
	c, err := ParseConfig(b)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", f.Config(), err)
	}
	return c, f.checkSettings(c, b)
}

// move writes down where data and teacher lie when that is not where they were.
func (f Folder) move(was, is Config) error {
	if was.Data.Path == is.Data.Path && was.Teacher.Path == is.Teacher.Path {
		return nil
	}
	was.Data.Path, was.Teacher.Path = is.Data.Path, is.Teacher.Path
	return f.writeConfig(was)
}

// finished returns the result of a run that is finished, and else nil. It is an
// error when student.onnx is not the file that the run ended with.
func (f Folder) finished() (*FinalMetrics, error) {
	_, final, err := f.readMetrics()
	if err != nil || final == nil {
		return nil, err
	}
	b, err := wholefile.Read(f.Student())
	if err == nil && contentHash(b) != final.StudentSHA256 {
		err = fmt.Errorf("%s is not the file that the run ended with", f.Student())
	}
	if err != nil {
		return nil, fmt.Errorf("pipeline: %w; write it again with: distill export --overwrite --out %s %s", err, f.Student(), f)
	}
	return final, nil
}

// writeFile replaces path by b in one step: a reader sees the old file or the
// new one, also after a crash.
func writeFile(path string, b []byte) error {
	if err := wholefile.Write(path, b); err != nil {
		return fmt.Errorf("pipeline: writing %s: %w", path, err)
	}
	return nil
}

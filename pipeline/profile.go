package pipeline

import (
	"bytes"
	"context"
	"fmt"

	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
	"github.com/onnxdistill/onnxdistill/student/vm"
)

// pprofSuffix makes the name of the profile for pprof out of the table's.
const pprofSuffix = ".pb.gz"

// machineOptions are those of the machine that trains.
func (u *run) machineOptions() []vm.Option {
	if u.options.Profile == "" {
		return nil
	}
	return []vm.Option{vm.WithProfile()}
}

// tryProfile writes a profile of nothing, so that a file that cannot be written
// is found out before the run.
func (u *run) tryProfile(context.Context) error {
	if u.options.Profile == "" {
		return nil
	}
	return u.writeProfile(&vm.Profile{})
}

// writeProfile writes where the time of the steps went.
func (u *run) writeProfile(p *vm.Profile) error {
	var table, pprof bytes.Buffer
	if err := p.WriteTable(&table); err != nil {
		return fmt.Errorf("pipeline: profile: %w", err)
	}
	if err := p.WritePprof(&pprof); err != nil {
		return fmt.Errorf("pipeline: profile: %w", err)
	}
	path := u.options.Profile
	if err := wholefile.Write(path, table.Bytes()); err != nil {
		return fmt.Errorf("pipeline: profile: %w", err)
	}
	if err := wholefile.Write(path+pprofSuffix, pprof.Bytes()); err != nil {
		return fmt.Errorf("pipeline: profile: %w", err)
	}
	return nil
}

// account says at the end of a run, be it whole or not, what was measured on
// the way: the profile, and the memory in use.
func (u *run) account() {
	if u.options.Profile != "" {
		if err := u.writeProfile(u.learner.Profile()); err != nil {
			warn(u.reporter, "%v", err)
		} else {
			say(u.reporter, "profile  %s, and %s for go tool pprof", u.options.Profile, u.options.Profile+pprofSuffix)
		}
	}
	if u.options.Verbose {
		if peak, ok := peakMemory(); ok {
			say(u.reporter, "memory   at most %.1f MiB of this process were resident", float64(peak)/(1<<20))
		}
	}
}

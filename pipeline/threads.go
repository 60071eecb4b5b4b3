package pipeline

import "runtime"

// processors is replaced by tests that have more threads than the machine.
var processors = runtime.NumCPU

// bindThreads makes the number of threads that the configuration names the one
// that the student's kernels, which count GOMAXPROCS when they start, and ONNX
// Runtime use. More than there are processors would wait for one another: 64
// threads on two cores took 20 s for what two did in one.
func (u *run) bindThreads() {
	n := &u.config.Resources.Threads
	if most := processors(); *n > most {
		say(u.reporter, "threads  %d asked for, %d used, as many as there are processors", *n, most)
		*n = most
	}
	if *n > 0 {
		runtime.GOMAXPROCS(*n)
	}
}

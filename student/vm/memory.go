package vm

import "fmt"

// Memory says what a machine's plan holds and does.
type Memory struct {
	// Planned is the bytes of the machine's arenas: all values and scratch
	// memory, without inputs, constants and what stock operators allocate.
	Planned int64

	// Unshared is the bytes that a buffer for each value and each scratch
	// memory would take.
	Unshared int64

	// Least is the most bytes alive at one step: no plan of the same steps is
	// smaller.
	Least int64

	// Run is the number of operator nodes that a run computes; Pruned is the
	// number of the graph's operator nodes that no output needs.
	Run, Pruned int

	// Fused is how many of Run are computed on the way to another, in its pass
	// over memory.
	Fused int

	// InPlace is how many of Run overwrite an operand.
	InPlace int

	// Foreign is how many of Run are stock operators run through Do, which
	// copies and allocates.
	Foreign int
}

// String describes m on one line.
func (m Memory) String() string {
	s := fmt.Sprintf("%.1f MiB planned (%.1f MiB without reuse, at least %.1f MiB), %d nodes run, %d pruned, %d fused, %d in place",
		mib(m.Planned), mib(m.Unshared), mib(m.Least), m.Run, m.Pruned, m.Fused, m.InPlace)
	if m.Foreign > 0 {
		s += fmt.Sprintf(", %d stock operators", m.Foreign)
	}
	return s
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

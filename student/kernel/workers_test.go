package kernel

import (
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// hashVariable makes TestResultsDoNotDependOnTheNumberOfWorkers print the hash
// of its results, for the test that started it as another process.
const hashVariable = "KERNEL_TEST_PRINT_HASH"

// TestResultsDoNotDependOnTheNumberOfWorkers runs sums over many items in
// processes of one to seven workers and compares them bit for bit. The workers
// are made once in a process, hence the processes.
func TestResultsDoNotDependOnTheNumberOfWorkers(t *testing.T) {
	if os.Getenv(hashVariable) != "" {
		fmt.Printf("%d workers: %x\n", Workers(), resultsHash(t))
		return
	}
	results := map[string]string{}
	for _, workers := range []string{"1", "2", "3", "7"} {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "GOMAXPROCS="+workers, hashVariable+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("with %s workers: %v\n%s", workers, err, out)
		}
		_, rest, ok := strings.Cut(string(out), workers+" workers: ")
		if !ok {
			t.Fatalf("with %s workers the output has no hash:\n%s", workers, out)
		}
		hash, _, _ := strings.Cut(rest, "\n")
		results[hash] += " " + workers
	}
	if len(results) != 1 {
		t.Errorf("results by number of workers: %v", results)
	}
}

// resultsHash runs what sums over items and returns the hash of the results.
func resultsHash(t *testing.T) uint64 {
	h := fnv.New64a()
	run := func(dst []float32, f func() error) {
		if err := f(); err != nil {
			t.Fatal(err)
		}
		for _, v := range dst {
			fmt.Fprintf(h, "%08x", math.Float32bits(v))
		}
	}
	for _, s := range []ConvShape{
		conv3x3(20, 12, 16, 24, 1), conv3x3(37, 16, 24, 24, 2), conv3x3(3, 30, 3, 17, 2), conv3x3(1, 40, 16, 16, 1),
		{N: 70, H: 1, W: 1, C: 64, K: 100, R: 1, S: 1, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1},
		{N: 9, H: 14, W: 14, C: 32, K: 32, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 32},
	} {
		x, w, y := operands[float32](s)
		for _, c := range []struct {
			plan      ConvPlan[float32]
			dst, a, b []float32
		}{
			{ConvForward[float32](s), make([]float32, len(y)), x, w},
			{ConvBackwardData[float32](s), make([]float32, len(x)), y, w},
			{ConvBackwardWeights[float32](s), make([]float32, len(w)), x, y},
		} {
			scratch := make([]float32, c.plan.Scratch)
			run(c.dst, func() error { return c.plan.Run(c.dst, c.a, c.b, scratch) })
		}
	}
	for _, s := range []MatMulShape{{Batch: 1, M: 130, K: 70, N: 50}, {Batch: 5, M: 40, K: 33, N: 21, TransA: true}, {Batch: 3, M: 7, K: 300, N: 90, TransB: true}} {
		a, b, y := filled[float32](s.Batch*s.M*s.K, -1, 1, 1), filled[float32](s.Batch*s.K*s.N, -1, 1, 2), make([]float32, s.Batch*s.M*s.N)
		n, f := MatMul[float32](s)
		scratch := make([]float32, n)
		run(y, func() error { return f(y, a, b, scratch) })
	}
	const rows, eps = 20000, 1e-5
	for _, c := range []int{12, 16} {
		x, dy, v := filled[float32](rows*c, -1, 1, 1), filled[float32](rows*c, -1, 1, 2), filled[float32](c, 0.5, 1, 3)
		stats, sums, y := make([]float32, 2*c), make([]float32, 2*c), make([]float32, rows*c)
		p, q := BatchNormTrain[float32](rows, c, eps, true), BatchNormTrainBack[float32](rows, c, eps, true)
		scratch := make([]float32, max(p.Scratch, q.Scratch))
		run(y, func() error { return p.Run(y, stats, x, v, v, nil, scratch) })
		run(stats, func() error { return nil })
		run(y, func() error { return q.Run(y, sums, x, stats, v, v, dy, nil, scratch) })
		run(sums, func() error { return nil })
	}
	shape, x := []int{50, 700, 12}, filled[float32](50*700*12, -1, 1, 6)
	for _, c := range []struct {
		summed []bool
		sums   int
	}{{[]bool{true, true, false}, 12}, {[]bool{false, true, false}, 50 * 12}, {[]bool{true, false, true}, 700}, {[]bool{true, true, true}, 1}} {
		y := make([]float32, c.sums)
		n, f := SumAxes[float32](shape, c.summed)
		run(y, func() error { return f(y, x, make([]float32, n)) })
	}
	dy := filled[float32](len(x), -1, 1, 7)
	for _, axes := range [][]int{{0}, {1}, {2}, {0, 2}} {
		y := make([]float32, len(x))
		n, f := PerGroup2(GroupsAlong(shape, axes), NormBackGroup[float32](eps))
		run(y, func() error { return f(y, dy, x, make([]float32, n)) })
	}
	return h.Sum64()
}

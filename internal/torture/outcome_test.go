package torture

import (
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"
)

// outcome is what came of one attempt.
type outcome int

const (
	ok       outcome = iota // the result is the one of an undisturbed run
	refused                 // an error that says what is wrong, and a non-zero exit code
	wrong                   // another result, with exit code 0, or a failure without a word
	panicked                // a panic, or the end by a signal that nobody sent
	hung                    // above hangAfter
	fat                     // above memoryMultiple
	outcomes                // how many there are
)

var outcomeNames = [outcomes]string{"ok", "clean error", "silent wrong", "panic", "hang", "memory"}

func (o outcome) String() string { return outcomeNames[o] }

func (o outcome) bad() bool { return o > refused }

// counts are the outcomes by kind of attempt, for several goroutines.
type counts struct {
	sync.Mutex
	kinds []string // in the order of their first attempt
	of    map[string]*[outcomes]int
}

func (c *counts) add(kind string, o outcome) {
	c.Lock()
	defer c.Unlock()
	if c.of == nil {
		c.of = map[string]*[outcomes]int{}
	}
	if c.of[kind] == nil {
		c.kinds = append(c.kinds, kind)
		c.of[kind] = new([outcomes]int)
	}
	c.of[kind][o]++
}

// String is a table with a row for each kind and their sum.
func (c *counts) String() string {
	c.Lock()
	defer c.Unlock()
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, of [outcomes]int) {
		all := 0
		for _, n := range of {
			all += n
		}
		fmt.Fprintf(t, "%s\t%d", name, all)
		for _, n := range of {
			fmt.Fprintf(t, "\t%d", n)
		}
		fmt.Fprintln(t, "\t")
	}
	fmt.Fprintf(t, "\tattempts\t%s\t\n", strings.Join(outcomeNames[:], "\t"))
	sum := [outcomes]int{}
	for _, kind := range c.kinds {
		row(kind, *c.of[kind])
		for i, n := range c.of[kind] {
			sum[i] += n
		}
	}
	row("all", sum)
	t.Flush()
	return b.String()
}

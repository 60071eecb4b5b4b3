package teachers

import (
	"fmt"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
)

// column is one tensor of a shard.
type column struct {
	name string
	kind safetensors.Type
	row  []int // shape of one row
	at   int64 // first byte in the file
}

// bytes is the size of one row.
func (c column) bytes() int64 {
	n := int64(c.kind.Size())
	for _, d := range c.row {
		n *= int64(d)
	}
	return n
}

// entry is the tensor that holds the column in a file of so many rows.
func (c column) entry(rows int) safetensors.Entry {
	return safetensors.Entry{Name: c.name, Type: c.kind, Shape: append([]int{rows}, c.row...)}
}

// signalColumns lists what a teacher says of an image: logits and a map per
// tap, of one type.
func signalColumns(s Spec, kind safetensors.Type) []column {
	all := []column{{name: "logits", kind: kind, row: []int{s.Classes}}}
	for _, t := range s.Taps {
		row := []int{t.H, t.W}
		if t.Gradient {
			row = append(row, t.C)
		}
		all = append(all, column{name: "map/" + t.Name, kind: kind, row: row})
	}
	return all
}

// locate finds columns of so many rows in a file.
func locate(columns []column, header *safetensors.Header, rows int) error {
	for i := range columns {
		c := &columns[i]
		e, ok := header.Tensor(c.name)
		if !ok {
			return fmt.Errorf("the tensor %q is missing", c.name)
		}
		if want := c.entry(rows); e.Type != want.Type || !slices.Equal(e.Shape, want.Shape) {
			return fmt.Errorf("the tensor %q is %s %v, want %s %v", c.name, e.Type, e.Shape, want.Type, want.Shape)
		}
		c.at = e.At
	}
	return nil
}

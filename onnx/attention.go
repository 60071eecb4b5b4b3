package onnx

import (
	"errors"
	"fmt"
	"slices"
)

// What is known of Attention, of opset 23 on: queries, keys and values are
// [batch, heads, tokens, size], or [batch, tokens, heads·size] with the numbers of
// heads as attributes.

// attention infers the first output, which is as the queries with the values'
// size.
func attention(c call) []known {
	q, v := c.arg(0), c.arg(2)
	out := known{typ: q.typ}
	if !q.ranked || !v.ranked || len(q.shape) != len(v.shape) {
		return []known{out}
	}
	out.ranked, out.shape = true, slices.Clone(q.shape)
	last := len(q.shape) - 1
	switch width, fixed := v.shape[last].Fixed(); {
	case len(q.shape) == 4:
		out.shape[last] = bare(v.shape[last])
	case len(q.shape) == 3 && fixed && c.n.Int("kv_num_heads", 0) > 0:
		out.shape[last] = Fixed(width / c.n.Int("kv_num_heads", 0) * c.n.Int("q_num_heads", 0))
	case len(q.shape) == 3:
		out.shape[last] = Unknown()
	default:
		return []known{{typ: q.typ}}
	}
	return []known{out}
}

// attentionBatch: each sample looks at its own tokens. A mask has no axis of the
// batch, or one of one element.
func attentionBatch(c call) error {
	for i := range 3 {
		if a := c.arg(i).batchAxis(); a != 0 {
			return fmt.Errorf("operand %d does not have the batch as its first axis", i)
		}
	}
	if m := c.arg(3); c.has(3) && m.batchAxis() < 0 && (!m.ranked || len(m.shape) == 4 && m.shape[0] != Fixed(1)) {
		return errors.New("its mask is for one length of the batch")
	}
	for i := 4; i < len(c.n.Inputs); i++ {
		if c.has(i) {
			return errors.New("it has a cache")
		}
	}
	return nil
}

// attentionCost: each query is multiplied by each key, and each of the results by
// a value.
func attentionCost(n *Node, size func(string) ([]int64, error)) (int64, error) {
	q, err := operand(n, 0, 3, size)
	if err != nil {
		return 0, err
	}
	k, err := operand(n, 1, 3, size)
	if err != nil {
		return 0, err
	}
	out, err := result(n, 3, size)
	if err != nil {
		return 0, err
	}
	tokens := k[len(k)-2]
	scores, err := elements(append(slices.Clone(q), tokens))
	if err != nil {
		return 0, err
	}
	sums, err := elements(append(slices.Clone(out), tokens))
	if err != nil || scores > 1<<62 || sums > 1<<62 {
		return 0, errors.Join(err, errors.New("more than an int64 can count"))
	}
	return scores + sums, nil
}

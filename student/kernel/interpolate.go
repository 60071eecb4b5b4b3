package kernel

import "slices"

// Sparse is a matrix of few elements, by rows: those of row i are Index and
// Weight from Start[i] to Start[i+1]-1, in ascending order of their columns.
type Sparse struct {
	Rows, Cols int
	Start      []int // Rows + 1 of them
	Index      []int // column
	Weight     []float64
}

// Transposed returns the transposed matrix.
func (m Sparse) Transposed() Sparse {
	t := Sparse{Rows: m.Cols, Cols: m.Rows, Start: make([]int, m.Cols+1),
		Index: make([]int, len(m.Index)), Weight: make([]float64, len(m.Weight))}
	for _, c := range m.Index {
		t.Start[c+1]++
	}
	for c := range m.Cols {
		t.Start[c+1] += t.Start[c]
	}
	next := slices.Clone(t.Start)
	for r := range m.Rows {
		for k := m.Start[r]; k < m.Start[r+1]; k++ {
			c := m.Index[k]
			t.Index[next[c]], t.Weight[next[c]] = r, m.Weight[k]
			next[c]++
		}
	}
	return t
}

// AtMostOne reports whether each row holds nothing, or a single 1.
func (m Sparse) AtMostOne() bool {
	for r := range m.Rows {
		n := m.Start[r+1] - m.Start[r]
		if n > 1 || n == 1 && m.Weight[m.Start[r]] != 1 {
			return false
		}
	}
	return true
}

// Picks reports whether each row holds a single 1: multiplying by m then picks
// elements, with repetition.
func (m Sparse) Picks() bool { return m.AtMostOne() && len(m.Index) == m.Rows }

// Identity reports whether m is the identity.
func (m Sparse) Identity() bool {
	if m.Rows != m.Cols || !m.Picks() {
		return false
	}
	for r, c := range m.Index {
		if r != c {
			return false
		}
	}
	return true
}

// Interpolate plans dst[outer, m.Rows, inner] = m applied along the middle axis
// of x[outer, m.Cols, inner]. Summands are added in the order of their columns.
func Interpolate[T Float](outer, inner int, m Sparse) (run func(dst, x []T) error) {
	weight := make([]T, len(m.Weight))
	for i, w := range m.Weight {
		weight[i] = T(w)
	}
	picks := m.Picks()
	// A unit is one row of the result, or a part of a long one.
	part := min(inner, grain)
	parts := (inner + part - 1) / part
	cost := part * max(1, len(m.Index)/max(m.Rows, 1))
	var d, s []T
	loop := NewLoop(outer*m.Rows*parts, max(1, grain/cost), func(i, j int) {
		row, from := i/parts, i%parts*part
		o, r := row/m.Rows, row%m.Rows
		for ; i < j; i++ {
			to := min(inner, from+part)
			dst := d[row*inner+from : row*inner+to]
			x := s[o*m.Cols*inner : (o+1)*m.Cols*inner]
			switch k, end := m.Start[r], m.Start[r+1]; {
			case inner == 1 && picks:
				dst[0] = x[m.Index[k]]
			case inner == 1:
				var sum T
				for ; k < end; k++ {
					sum += weight[k] * x[m.Index[k]]
				}
				dst[0] = sum
			case picks:
				copy(dst, x[m.Index[k]*inner+from:])
			default:
				combine(dst, x[from:], inner, m.Index[k:end], weight[k:end])
			}
			if from = to; from == inner {
				from = 0
				row++
				if r++; r == m.Rows {
					o, r = o+1, 0
				}
			}
		}
	})
	return func(dst, x []T) error {
		d, s = dst, x
		err := loop.Run()
		d, s = nil, nil
		return err
	}
}

// combine computes dst = Σ weight[k] · x[index[k]·pitch:].
func combine[T Float](dst, x []T, pitch int, index []int, weight []T) {
	switch len(index) {
	case 0:
		clear(dst)
		return
	case 1:
		a, u := x[index[0]*pitch:][:len(dst)], weight[0]
		for i := range dst {
			dst[i] = u * a[i]
		}
		return
	}
	a, b := x[index[0]*pitch:][:len(dst)], x[index[1]*pitch:][:len(dst)]
	u, v := weight[0], weight[1]
	for i := range dst {
		dst[i] = u*a[i] + v*b[i]
	}
	for k := 2; k < len(index); k++ {
		a, u := x[index[k]*pitch:][:len(dst)], weight[k]
		for i := range dst {
			dst[i] += u * a[i]
		}
	}
}

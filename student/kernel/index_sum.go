package kernel

// SumAxes plans dst = the sums of x, of the given shape, over the axes marked
// in summed. Run needs scratch elements of scratch memory.
//
// Axes are summed from the last to the first. Along each, pieces of a fixed
// length are summed first and their sums then in order, so the result does not
// depend on the number of workers and the rounding error grows with the piece
// and the number of pieces, not with their product. Sums along the last axis
// are taken in float64.
func SumAxes[T Float](shape []int, summed []bool) (scratch int, run func(dst, x, scratch []T) error) {
	type step struct {
		size, scratch int // of the result, and of the work
		run           func(dst, x, scratch []T) error
	}
	var steps []step
	sizes, marks := mergedSums(shape, summed)
	for k := len(sizes) - 1; k >= 0; k-- {
		if !marks[k] {
			continue
		}
		outer, inner := 1, 1
		for i, n := range sizes {
			switch {
			case i < k:
				outer *= n
			case i > k && !marks[i]:
				inner *= n
			}
		}
		s := step{size: outer * inner}
		s.scratch, s.run = sumAxis[T](outer, sizes[k], inner)
		steps = append(steps, s)
	}
	if steps == nil {
		n := 1
		for _, d := range shape {
			n *= d
		}
		same := Unary(n, Copy[T])
		return 0, func(dst, x, _ []T) error { return same(dst, x) }
	}
	// The results of all steps but the last, then the work of the largest.
	between, work := 0, 0
	for i, s := range steps {
		work = max(work, s.scratch)
		if i < len(steps)-1 {
			between += s.size
		}
	}
	return between + work, func(dst, x, scratch []T) error {
		rest := scratch[between:]
		for i, s := range steps {
			to := dst
			if i < len(steps)-1 {
				to, scratch = scratch[:s.size], scratch[s.size:]
			}
			if err := s.run(to, x, rest); err != nil {
				return err
			}
			x = to
		}
		return nil
	}
}

// mergedSums takes neighbours that are both summed or both kept together and
// leaves axes of one element out.
func mergedSums(shape []int, summed []bool) (sizes []int, marks []bool) {
	for k, n := range shape {
		if n == 1 {
			continue
		}
		if last := len(sizes) - 1; last >= 0 && marks[last] == summed[k] {
			sizes[last] *= n
			continue
		}
		sizes, marks = append(sizes, n), append(marks, summed[k])
	}
	return sizes, marks
}

const (
	sumPiece = 256     // rows that are summed one after the other
	sumSpan  = 1 << 12 // elements of a row whose sums stay in the cache
)

// sumAxis plans dst[outer, inner] = the sum of x[outer, r, inner] over r.
func sumAxis[T Float](outer, r, inner int) (scratch int, run func(dst, x, scratch []T) error) {
	if inner == 1 {
		return sumLast[T](outer, r)
	}
	blocks := (r + sumPiece - 1) / sumPiece
	if blocks == 1 {
		whole := sumBlocks[T](outer, r, inner, r)
		return 0, func(dst, x, _ []T) error { return whole(dst, x) }
	}
	parts, total := sumBlocks[T](outer, r, inner, sumPiece), sumBlocks[T](outer, blocks, inner, blocks)
	return outer * blocks * inner, func(dst, x, scratch []T) error {
		scratch = scratch[:outer*blocks*inner]
		if err := parts(scratch, x); err != nil {
			return err
		}
		return total(dst, scratch)
	}
}

// sumBlocks plans dst[outer, blocks, inner] = the sums of x[outer, r, inner]
// over each block of so many rows; the last may be shorter.
func sumBlocks[T Float](outer, r, inner, block int) (run func(dst, x []T) error) {
	blocks, spans := (r+block-1)/block, (inner+sumSpan-1)/sumSpan
	cost := min(block, r) * min(sumSpan, inner)
	var d, s []T
	loop := NewLoop(outer*blocks*spans, max(1, grain/cost), func(i, j int) {
		for ; i < j; i++ {
			from := i % spans * sumSpan
			b := i / spans // block of all blocks
			row := b / blocks * r
			first, end := row+b%blocks*block, row+min(r, (b%blocks+1)*block)
			dst := d[b*inner+from : b*inner+min(inner, from+sumSpan)]
			copy(dst, s[first*inner+from:])
			for first++; first < end; first++ {
				Add(dst, dst, s[first*inner+from:])
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

// sumLast plans dst[rows] = the sums of the rows of x[rows, n].
func sumLast[T Float](rows, n int) (scratch int, run func(dst, x, scratch []T) error) {
	parts := (n + grain - 1) / grain
	if parts == 1 {
		sums := SumRows[T](rows, n)
		return 0, func(dst, x, _ []T) error { return sums(dst, x) }
	}
	var d, s []T
	loop := NewJob(rows*parts, func(_, i int) {
		from := i % parts * grain
		row := s[i/parts*n : (i/parts+1)*n]
		d[i] = Sum(row[from:min(n, from+grain)])
	})
	total := SumRows[T](rows, parts)
	return rows * parts, func(dst, x, scratch []T) error {
		d, s = scratch[:rows*parts], x
		err := loop.Run()
		d, s = nil, nil
		if err != nil {
			return err
		}
		return total(dst, scratch[:rows*parts])
	}
}

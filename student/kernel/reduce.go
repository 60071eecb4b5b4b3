package kernel

import "math"

// Sum returns the sum of x's elements, added up in float64.
func Sum[T Float](x []T) T {
	// Four running sums break the chain of dependent additions.
	var s [4]float64
	n := len(x) &^ 3
	for i := 0; i < n; i += 4 {
		s[0] += float64(x[i])
		s[1] += float64(x[i+1])
		s[2] += float64(x[i+2])
		s[3] += float64(x[i+3])
	}
	for _, v := range x[n:] {
		s[0] += float64(v)
	}
	return T(s[0] + s[1] + (s[2] + s[3]))
}

// Fill plans dst[i] = x[0] over n elements.
func Fill[T Float](n int) (run func(dst, x []T) error) {
	var d []T
	var v T
	loop := NewLoop(n, grain, func(i, j int) {
		for k := range d[i:j] {
			d[i+k] = v
		}
	})
	return func(dst, x []T) error {
		d, v = dst, x[0]
		err := loop.Run()
		d = nil
		return err
	}
}

// PerRow plans a function from rows of xd elements of x to rows of dd elements
// of dst. f is called once for a range of rows and may split it.
func PerRow[T Float](rows, dd, xd int, f func(dst, x []T)) (run func(dst, x []T) error) {
	var d, a []T
	loop := NewLoop(rows, rowGrain(max(dd, xd)), func(i, j int) { f(d[i*dd:j*dd], a[i*xd:j*xd]) })
	return func(dst, x []T) error {
		d, a = dst, x
		err := loop.Run()
		d, a = nil, nil
		return err
	}
}

// PerRow2 is PerRow of two operands, with rows of ad and bd elements.
func PerRow2[T Float](rows, dd, ad, bd int, f func(dst, a, b []T)) (run func(dst, a, b []T) error) {
	var d, l, r []T
	loop := NewLoop(rows, rowGrain(max(dd, ad, bd)), func(i, j int) {
		f(d[i*dd:j*dd], l[i*ad:j*ad], r[i*bd:j*bd])
	})
	return func(dst, a, b []T) error {
		d, l, r = dst, a, b
		err := loop.Run()
		d, l, r = nil, nil, nil
		return err
	}
}

// SumRows plans dst[rows] = the sum of each row of x[rows, d].
func SumRows[T Float](rows, d int) (run func(dst, x []T) error) {
	return PerRow(rows, 1, d, func(dst, x []T) {
		for i := range dst {
			dst[i] = Sum(x[i*d : (i+1)*d])
		}
	})
}

// SpreadRows plans dst[rows, d] = x[rows], each element repeated over its row.
func SpreadRows[T Float](rows, d int) (run func(dst, x []T) error) {
	return PerRow(rows, d, 1, func(dst, x []T) {
		for i, v := range x {
			row := dst[i*d : (i+1)*d]
			for k := range row {
				row[k] = v
			}
		}
	})
}

// SumChannels plans dst[c] = the sum of x[rows, c] over its rows. Run needs
// scratch elements of scratch memory.
//
// Rows are summed in blocks of a fixed length and the blocks' sums in order, so
// the result does not depend on the number of workers and the rounding error
// grows with the block and the number of blocks, not with their product.
func SumChannels[T Float](rows, c int) (scratch int, run func(dst, x, scratch []T) error) {
	const block = 256
	blocks := (rows + block - 1) / block
	var parts, a []T
	loop := NewLoop(rows, block, func(i, j int) {
		part := parts[i/block*c : (i/block+1)*c]
		copy(part, a[i*c:])
		for i++; i < j; i++ {
			Add(part, part, a[i*c:])
		}
	})
	return blocks * c, func(dst, x, scratch []T) error {
		parts, a = scratch, x
		err := loop.Run()
		parts, a = nil, nil
		clear(dst)
		for i := range blocks {
			Add(dst, dst, scratch[i*c:])
		}
		return err
	}
}

// SpreadChannels plans dst[rows, c] = x[c], repeated for each row.
func SpreadChannels[T Float](rows, c int) (run func(dst, x []T) error) {
	var d, a []T
	loop := NewLoop(rows, rowGrain(c), func(i, j int) {
		for ; i < j; i++ {
			copy(d[i*c:(i+1)*c], a)
		}
	})
	return func(dst, x []T) error {
		d, a = dst, x[:c]
		err := loop.Run()
		d, a = nil, nil
		return err
	}
}

// NormRows plans dst[rows] = max(‖x‖₂, least) of each row of x[rows, d].
func NormRows[T Float](rows, d int, least float64) (run func(dst, x []T) error) {
	return PerRow(rows, 1, d, func(dst, x []T) {
		for i := range dst {
			dst[i] = T(max(norm(x[i*d:(i+1)*d]), least))
		}
	})
}

// L2Normalize plans dst = x / max(‖x‖₂, least) for each row of x[rows, d].
func L2Normalize[T Float](rows, d int, least float64) (run func(dst, x []T) error) {
	return PerRow(rows, d, d, func(dst, x []T) {
		for ; len(x) > 0; dst, x = dst[d:], x[d:] {
			// Dividing, not multiplying by 1/m, keeps a row that is scaled by a
			// power of two exactly the same.
			m := T(max(norm(x[:d]), least))
			for k, v := range x[:d] {
				dst[k] = v / m
			}
		}
	})
}

func norm[T Float](x []T) float64 {
	var s float64
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return math.Sqrt(s)
}

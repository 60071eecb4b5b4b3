package kernel

import "math"

// channelFastest returns the arithmetic in assembly for c channels of float32,
// nil where the processor lacks the instructions or c is no multiple of the
// eight channels that are taken at once.
func channelFastest(c int) *channelMicro[float32] {
	if fastest == nil || c%8 != 0 {
		return nil
	}
	return &channelAVX2
}

var channelAVX2 = channelMicro[float32]{
	sum: func(dst, x, pivot []float32, rows, c int) {
		clear(dst[:c])
		sumRows(&dst[0], &x[:rows*c][0], &pivot[:c][0], rows, c)
	},
	square: func(dst, x, mean []float32, rows, c int) {
		clear(dst[:c])
		squareRows(&dst[0], &x[:rows*c][0], &mean[:c][0], rows, c)
	},
	products: func(sums, x, dy, table []float32, gate bool, rows, c int) {
		clear(sums[:2*c])
		productRows(&sums[0], &x[:rows*c][0], &dy[:rows*c][0], &table[:affineTable*c][0], open(gate), rows, c)
	},
	affine: func(y, x, add, table []float32, relu bool, rows, c int) {
		// max(t, floor) + zero is t itself, minus zero included, or its positive
		// part without a minus zero.
		floor, zero := float32(math.Inf(-1)), float32(math.Copysign(0, -1))
		if relu {
			floor, zero = 0, 0
		}
		affineRows(&y[:rows*c][0], &x[:rows*c][0], first(add, rows*c), &table[:affineTable*c][0], floor, zero, rows, c)
	},
	back: func(dx, x, dy, add, table []float32, gate bool, rows, c int) {
		backRows(&dx[:rows*c][0], &x[:rows*c][0], &dy[:rows*c][0], first(add, rows*c), &table[:backTable*c][0], open(gate), rows, c)
	},
}

// open returns the bits that a gate lets through anyway.
func open(gate bool) uint32 {
	if gate {
		return 0
	}
	return math.MaxUint32
}

// first returns the address of n elements, nil where there are none.
func first(x []float32, n int) *float32 {
	if x == nil {
		return nil
	}
	return &x[:n][0]
}

//go:noescape
func sumRows(dst, x, pivot *float32, rows, c int)

//go:noescape
func squareRows(dst, x, mean *float32, rows, c int)

//go:noescape
func productRows(sums, x, dy, table *float32, open uint32, rows, c int)

//go:noescape
func affineRows(y, x, add, table *float32, floor, zero float32, rows, c int)

//go:noescape
func backRows(dx, x, dy, add, table *float32, open uint32, rows, c int)

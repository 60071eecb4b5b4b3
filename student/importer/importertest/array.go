package importertest

import "slices"

// Array is a value as a file has it: its axes and, row-major, its elements.
type Array struct {
	Dims []int
	Data []float64
}

// Tabulate makes an array element by element.
func Tabulate(dims []int, f func(at []int) float64) Array {
	a := Array{Dims: dims}
	at := make([]int, len(dims))
	for range elements(dims) {
		a.Data = append(a.Data, f(at))
		for i := len(at) - 1; i >= 0; i-- {
			if at[i]++; at[i] < dims[i] {
				break
			}
			at[i] = 0
		}
	}
	return a
}

func elements(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// At returns one element.
func (a Array) At(i ...int) float64 {
	k := 0
	for j, d := range a.Dims {
		k = k*d + i[j]
	}
	return a.Data[k]
}

// Stretched returns one element of a, stretched by NumPy's rule to more axes.
func (a Array) Stretched(i []int) float64 {
	at := slices.Clone(i[len(i)-len(a.Dims):])
	for j, d := range a.Dims {
		if d == 1 {
			at[j] = 0
		}
	}
	return a.At(at...)
}

// Each returns f of every element.
func (a Array) Each(f func(x float64) float64) Array {
	b := Array{Dims: a.Dims}
	for _, x := range a.Data {
		b.Data = append(b.Data, f(x))
	}
	return b
}

// NHWC returns a value of four axes, NCHW, with the channels last, and any other
// as it is: as a graph of package student holds it.
func (a Array) NHWC() Array {
	if len(a.Dims) != 4 {
		return a
	}
	d := a.Dims
	return Tabulate([]int{d[0], d[2], d[3], d[1]}, func(i []int) float64 { return a.At(i[0], i[3], i[1], i[2]) })
}

// NCHW is the inverse of NHWC.
func (a Array) NCHW() Array {
	if len(a.Dims) != 4 {
		return a
	}
	d := a.Dims
	return Tabulate([]int{d[0], d[3], d[1], d[2]}, func(i []int) float64 { return a.At(i[0], i[2], i[3], i[1]) })
}

package kernel

import (
	"math"
	"unsafe"
)

// winogradFastest is the float32 arithmetic in assembly, nil where the processor
// lacks the instructions.
var winogradFastest = func() *winogradMicro[float32] {
	if fastest == nil {
		return nil
	}
	return &winogradMicro[float32]{
		name: "avx2", tiles: 6, widths: [2]int{16, 8},
		input: winogradInputAVX2, weights: winogradWeightsAVX2, product: winogradProductAVX2, output: winogradOutputAVX2,
		spread: winogradSpreadAVX2, outer: winogradOuterAVX2, fold: winogradFoldAVX2,
	}
}()

func winogradInputAVX2(v []float32, plane int, x, zero []float32, rows *[winogradWindow]int, columns []uint8, c int) {
	winogradInput8(&v[0], &x[0], &zero[0], &rows[0], &columns[0], len(columns), plane, c)
}

func winogradWeightsAVX2(u []float32, plane int, taps []float32, n int) {
	winogradWeights8(&u[0], &taps[0], plane, n)
}

func winogradProductAVX2(m []float32, mPlane int, v []float32, vPlane int, u []float32, tiles, c, k int, near, next []float32) {
	wide := k / 16
	if wide > 0 {
		fetches := winogradPlanes * wide * (tiles / 6) * (c / 4)
		winogradProduct16(&m[0], &v[0], &u[0], tiles/6, wide, c, k, mPlane, vPlane,
			unsafe.SliceData(near), unsafe.SliceData(next), 4*len(near)/fetches, 4*len(next)/fetches)
	}
	if k%16 != 0 {
		winogradProduct8(&m[wide*16], &v[0], &u[wide*16*c], tiles/6, c, k, mPlane, vPlane)
	}
}

func winogradOutputAVX2(y []float32, row int, m []float32, plane, rows int, columns []uint8, k int, bias, add []float32, e Epilogue) {
	var plus *float32
	if e.Add {
		plus = &add[0]
	}
	least := float32(math.Inf(-1))
	if e.ReLU {
		least = 0
	}
	end := 0
	if e != (Epilogue{}) {
		end = 1
	}
	winogradOutput8(&y[0], &m[0], &columns[0], len(columns), rows, row, plane, k, end, &bias[0], plus, least)
}

func winogradSpreadAVX2(d []float32, plane int, y, zero []float32, rows *[winogradWindow]int, columns []uint8, k, step int) {
	winogradSpread8(&d[0], &y[0], &zero[0], &rows[0], &columns[0], len(columns), plane, k, step)
}

func winogradOuterAVX2(s []float32, plane int, d []float32, dPlane int, v []float32, vPlane, tiles, c, k int, more bool, near, next []float32) {
	add := 0
	if more {
		add = 1
	}
	wide := c / 16
	if wide > 0 {
		fetches := max(winogradPlanes*(k/4)*wide*(tiles/4), 1)
		winogradOuter16(&s[0], &d[0], &v[0], tiles, c, k, plane, dPlane, vPlane, add,
			unsafe.SliceData(near), unsafe.SliceData(next), 4*len(near)/fetches, 4*len(next)/fetches)
	}
	if c%16 != 0 {
		winogradOuter8(&s[wide*16], &d[0], &v[wide*16], tiles, c, k, plane, dPlane, vPlane, add)
	}
}

func winogradFoldAVX2(w []float32, step int, s []float32, plane, n int) {
	winogradFold8(&w[0], &s[0], step, plane, n)
}

//go:noescape
func winogradInput8(v, x, zero *float32, rows *int, columns *uint8, tiles, plane, c int)

//go:noescape
func winogradWeights8(u, taps *float32, plane, n int)

//go:noescape
func winogradProduct16(m, v, u *float32, blocks, panels, c, k, mPlane, vPlane int, near, next *float32, nearStep, nextStep int)

//go:noescape
func winogradProduct8(m, v, u *float32, blocks, c, k, mPlane, vPlane int)

//go:noescape
func winogradOutput8(y, m *float32, columns *uint8, tiles, rows, row, plane, k, end int, bias, add *float32, least float32)

//go:noescape
func winogradSpread8(v, y, zero *float32, rows *int, columns *uint8, tiles, plane, k, step int)

//go:noescape
func winogradOuter16(s, d, v *float32, tiles, c, k, plane, dPlane, vPlane, add int, near, next *float32, nearStep, nextStep int)

//go:noescape
func winogradOuter8(s, d, v *float32, tiles, c, k, plane, dPlane, vPlane, add int)

//go:noescape
func winogradFold8(w, s *float32, step, plane, n int)

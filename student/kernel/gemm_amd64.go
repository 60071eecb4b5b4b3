package kernel

import "golang.org/x/sys/cpu"

// fastest is the float32 arithmetic in assembly, nil where the processor lacks
// AVX2 or FMA (before Haswell, 2013, and Excavator, 2015).
var fastest = func() *micro[float32] {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		return nil
	}
	return &micro[float32]{
		name:   "avx2",
		pixels: 6, widths: [2]int{16, 8}, tile: tileAVX2,
		units: 4, columns: [2]int{24, 16}, rank: rankAVX2,
		each: eachAVX2, eachRank: eachRankAVX2,
	}
}()

func tileAVX2(width int, dst, src, b []float32, srcOff, dstOff, runs []int, runLen int) {
	f := tile6x16
	if width == 8 {
		f = tile6x8
	}
	f(&dst[0], &src[0], &b[0], &srcOff[0], &dstOff[0], &runs[0], len(runs), runLen, len(srcOff)/6)
}

func rankAVX2(columns int, dst, x, dy []float32, dyOff, dstOff []int, rows []rankRow, cols, xStep, dyStep int) {
	f := rank4x24
	if columns == 16 {
		f = rank4x16
	}
	f(&dst[0], &x[0], &dy[0], &dyOff[0], &dstOff[0], &rows[0].x, len(rows), cols, xStep, dyStep, len(dyOff)/4)
}

func eachAVX2(width int, dst, src, b []float32, srcOff, dstOff, taps []int) {
	f := each6x16
	if width == 8 {
		f = each6x8
	}
	f(&dst[0], &src[0], &b[0], &srcOff[0], &dstOff[0], &taps[0], len(taps), len(srcOff)/6)
}

func eachRankAVX2(width int, dst, x, dy []float32, tapOff, dstOff []int, rows []rankRow, cols, xStep, dyStep int) {
	f := eachRank4x16
	if width == 8 {
		f = eachRank4x8
	}
	f(&dst[0], &x[0], &dy[0], &tapOff[0], &dstOff[0], &rows[0].x, len(rows), cols, xStep, dyStep, len(tapOff)/4)
}

//go:noescape
func tile6x16(dst, src, b *float32, srcOff, dstOff, runs *int, nRuns, runLen, tiles int)

//go:noescape
func tile6x8(dst, src, b *float32, srcOff, dstOff, runs *int, nRuns, runLen, tiles int)

//go:noescape
func rank4x24(dst, x, dy *float32, dyOff, dstOff, rows *int, nRows, cols, xStep, dyStep, tiles int)

//go:noescape
func rank4x16(dst, x, dy *float32, dyOff, dstOff, rows *int, nRows, cols, xStep, dyStep, tiles int)

//go:noescape
func each6x16(dst, src, b *float32, srcOff, dstOff, runs *int, nRuns, tiles int)

//go:noescape
func each6x8(dst, src, b *float32, srcOff, dstOff, runs *int, nRuns, tiles int)

//go:noescape
func eachRank4x16(dst, x, dy *float32, tapOff, dstOff, rows *int, nRows, cols, xStep, dyStep, tiles int)

//go:noescape
func eachRank4x8(dst, x, dy *float32, tapOff, dstOff, rows *int, nRows, cols, xStep, dyStep, tiles int)

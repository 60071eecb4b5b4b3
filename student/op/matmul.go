package op

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// MatMul returns the products of the matrices in the last two axes of a
// [..., M, K] and b [..., K, N], as [..., M, N]. Both have rank 2 or more and the
// same leading axes; nothing is broadcast.
func MatMul(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checked("MatMul", a, b); err != nil {
		return nil, err
	}
	as, bs := a.Shape(), b.Shape()
	r := len(as)
	if r < 2 || len(bs) != r || !exactly(as[:r-2], bs[:r-2]) || as[r-1] != bs[r-2] {
		return nil, fmt.Errorf("op: MatMul wants factors [...,M,K] and [...,K,N] with the same leading axes, got %v and %v", as, bs)
	}
	if as.TotalSize() == 0 || bs.TotalSize() == 0 {
		return nil, fmt.Errorf("op: MatMul wants at least one element, got factors %v and %v", as, bs)
	}
	return matMul(false, false, a, b)
}

// matMul is MatMul of matrices of which one may be transposed. The three ways
// are closed under differentiation: with g the gradient,
//
//	a·b    g·bᵀ and aᵀ·g
//	a·bᵀ   g·b  and gᵀ·a
//	aᵀ·b   b·gᵀ and a·g
func matMul(transA, transB bool, a, b *gorgonia.Node) (*gorgonia.Node, error) {
	as, bs := a.Shape(), b.Shape()
	r := len(as)
	s := kernel.MatMulShape{Batch: 1, M: as[r-2], K: as[r-1], N: bs[r-1], TransA: transA, TransB: transB}
	if transA {
		s.M, s.K = s.K, s.M
	}
	if transB {
		s.N = bs[r-2]
	}
	for _, d := range as[:r-2] {
		s.Batch *= d
	}
	out := append(as[:r-2].Clone(), s.M, s.N)
	name := "MatMul"
	attrs := ""
	switch {
	case transA:
		attrs = "transposed=left"
	case transB:
		attrs = "transposed=right"
	}
	return apply(&formula{
		core:  newCore(name, attrs, out, a, b),
		flops: 2 * int64(s.MACs()),
		value: typed(planMatMul[float32](s), planMatMul[float64](s)),
		slope: slope2(func(a, b, _, g *gorgonia.Node) (da, db *gorgonia.Node, err error) {
			var s steps
			switch {
			case transA:
				da, db = s.take(matMul(false, true, b, g)), s.take(matMul(false, false, a, g))
			case transB:
				da, db = s.take(matMul(false, false, g, b)), s.take(matMul(true, false, g, a))
			default:
				da, db = s.take(matMul(false, true, g, b)), s.take(matMul(true, false, a, g))
			}
			return da, db, s.err
		}),
		emit: func(f form) string { return f.matMul(r, transA, transB) },
	}, a, b)
}

func planMatMul[T kernel.Float](s kernel.MatMulShape) func() Plan {
	return func() Plan {
		scratch, run := kernel.MatMul[T](s)
		return Plan{Scratch: scratch, Run: func(dst kernel.Buffer, src []kernel.Buffer, scratch kernel.Buffer) error {
			return run(kernel.Of[T](dst), kernel.Of[T](src[0]), kernel.Of[T](src[1]), kernel.Of[T](scratch))
		}}
	}
}

// matMul appends the product of operands of the given rank. A file has the axes
// of rank 4 in another order, [a₀, a₃, a₁, a₂], in which the last two are not
// those of the matrices, so they are brought there and the result back.
func (f form) matMul(rank int, transA, transB bool) string {
	if rank == 2 && (transA || transB) {
		return f.over("Gemm", onnx.AttrInt("transA", flag(transA)), onnx.AttrInt("transB", flag(transB)))
	}
	a, b := f.matrices(f.in[0], rank, transA), f.matrices(f.in[1], rank, transB)
	y := f.node("MatMul", []string{a, b})
	if rank == 4 {
		return f.toNCHW(y)
	}
	return y
}

// matrices returns x with the axes of its matrices last, and swapped where
// transposed is true.
func (f form) matrices(x string, rank int, transposed bool) string {
	switch {
	case rank == 4 && transposed:
		return f.node("Transpose", []string{x}, onnx.AttrInts("perm", 0, 2, 1, 3))
	case rank == 4:
		return f.toNHWC(x)
	case !transposed:
		return x
	}
	perm := make([]int64, rank)
	for i := range perm {
		perm[i] = int64(i)
	}
	perm[rank-2], perm[rank-1] = perm[rank-1], perm[rank-2]
	return f.node("Transpose", []string{x}, onnx.AttrInts("perm", perm...))
}

// flag is a boolean attribute's value.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

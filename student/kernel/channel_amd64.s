#include "textflag.h"

// Passes over x[rows, c] for float32 on AVX2 and FMA, c a multiple of eight.
//
// Memory is read in its order: four rows at a time, and of these eight channels
// after the other. What belongs to the channels, sums included, stands in the
// first cache level and is fetched once for four rows. The pass that ends at a
// piece of x fetches the one after it, which memory would else be idle for.

// ROWLENGTH makes R8 one row and R9 three rows long, in bytes.
#define ROWLENGTH(c) \
	MOVQ c, R8;            \
	SHLQ $2, R8;           \
	LEAQ (R8)(R8*2), R9

// ADDFOUR adds a, b, c and d to the sum at memory.
#define ADDFOUR(a, b, c, d, at) \
	VADDPS  b, a, a;   \
	VADDPS  d, c, c;   \
	VADDPS  c, a, a;   \
	VADDPS  at, a, a;  \
	VMOVUPS a, at

// ADDTWO adds a and b to the sum at memory.
#define ADDTWO(a, b, at) \
	VADDPS  b, a, a;   \
	VADDPS  at, a, a;  \
	VMOVUPS a, at

#define ADDONE(a, at) \
	VADDPS  at, a, a;  \
	VMOVUPS a, at

// CENTRED takes the mean in Y15 from a row.
#define CENTRED(row, t) \
	VMOVUPS row, t;    \
	VSUBPS  Y15, t, t

// GATED reads dy where (x−mean)·a + shift is above zero or the gate is open:
// x−mean in t, a in Y14, shift in Y13, zero in Y12, the open gate's bits in Y11.
#define GATED(t, dy, g) \
	VMOVAPS     t, g;            \
	VFMADD213PS Y13, Y14, g;     \
	VCMPPS      $0x1E, Y12, g, g; \
	VORPS       Y11, g, g;       \
	VANDPS      dy, g, g

// AFFINE writes the larger of Y12 and (x−mean)·a + shift, plus Y11.
#define AFFINE(t) \
	VSUBPS      Y15, t, t;    \
	VFMADD213PS Y13, Y14, t

#define FLOOR(t, y) \
	VMAXPS  t, Y12, t;   \
	VADDPS  Y11, t, t;   \
	VMOVUPS t, y

// BACK makes g, a gated dy, into dy·a − d − (x−mean)·b: d in Y9, b in Y10.
#define BACK(t, g) \
	VFMSUB213PS  Y9, Y14, g;  \
	VFNMADD231PS t, Y10, g

// func sumRows(dst, x, pivot *float32, rows, c int)
TEXT ·sumRows(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ pivot+16(FP), DX
	MOVQ rows+24(FP), CX
	ROWLENGTH(c+32(FP))
	SUBQ $4, CX
	JLT  tail

four:
	XORQ AX, AX

fours:
	VMOVUPS (DX)(AX*1), Y15
	CENTRED((SI), Y0)
	CENTRED((SI)(R8*1), Y1)
	CENTRED((SI)(R8*2), Y2)
	CENTRED((SI)(R9*1), Y3)
	ADDFOUR(Y0, Y1, Y2, Y3, (DI)(AX*1))
	ADDQ    $32, SI
	ADDQ    $32, AX
	CMPQ    AX, R8
	JLT     fours
	ADDQ    R9, SI
	SUBQ    $4, CX
	JGE     four

tail:
	ADDQ $4, CX
	JZ   end

one:
	XORQ AX, AX

ones:
	VMOVUPS (DX)(AX*1), Y15
	CENTRED((SI), Y0)
	ADDONE(Y0, (DI)(AX*1))
	ADDQ    $32, SI
	ADDQ    $32, AX
	CMPQ    AX, R8
	JLT     ones
	DECQ    CX
	JNZ     one

end:
	VZEROUPPER
	RET

// func squareRows(dst, x, mean *float32, rows, c int)
TEXT ·squareRows(SB), NOSPLIT, $0-40
	MOVQ  dst+0(FP), DI
	MOVQ  x+8(FP), SI
	MOVQ  mean+16(FP), DX
	MOVQ  rows+24(FP), CX
	ROWLENGTH(c+32(FP))
	MOVQ  CX, R10
	IMULQ R8, R10
	ADDQ  SI, R10           // the next piece
	SUBQ  $4, CX
	JLT   tail

four:
	XORQ AX, AX

fours:
	VMOVUPS     (DX)(AX*1), Y15
	CENTRED((SI), Y0)
	CENTRED((SI)(R8*1), Y1)
	CENTRED((SI)(R8*2), Y2)
	CENTRED((SI)(R9*1), Y3)
	PREFETCHT0  (R10)
	PREFETCHT0  64(R10)
	VMULPS      Y0, Y0, Y0
	VMULPS      Y2, Y2, Y2
	VFMADD231PS Y1, Y1, Y0
	VFMADD231PS Y3, Y3, Y2
	ADDTWO(Y0, Y2, (DI)(AX*1))
	ADDQ        $128, R10
	ADDQ        $32, SI
	ADDQ        $32, AX
	CMPQ        AX, R8
	JLT         fours
	ADDQ        R9, SI
	SUBQ        $4, CX
	JGE         four

tail:
	ADDQ $4, CX
	JZ   end

one:
	XORQ AX, AX

ones:
	VMOVUPS (DX)(AX*1), Y15
	CENTRED((SI), Y0)
	VMULPS  Y0, Y0, Y0
	ADDONE(Y0, (DI)(AX*1))
	ADDQ    $32, SI
	ADDQ    $32, AX
	CMPQ    AX, R8
	JLT     ones
	DECQ    CX
	JNZ     one

end:
	VZEROUPPER
	RET

// func productRows(sums, x, dy, table *float32, open uint32, rows, c int)
TEXT ·productRows(SB), NOSPLIT, $0-56
	MOVQ         sums+0(FP), BX
	MOVQ         x+8(FP), SI
	MOVQ         dy+16(FP), DI
	MOVQ         table+24(FP), DX
	VBROADCASTSS open+32(FP), Y11
	VXORPS       Y12, Y12, Y12
	MOVQ         rows+40(FP), CX
	ROWLENGTH(c+48(FP))
	LEAQ         (BX)(R8*1), R10
	LEAQ         (DX)(R8*1), R11
	LEAQ         (DX)(R8*2), R12
	SUBQ         $4, CX
	JLT          tail

four:
	XORQ AX, AX

fours:
	VMOVUPS     (DX)(AX*1), Y15
	VMOVUPS     (R11)(AX*1), Y14
	VMOVUPS     (R12)(AX*1), Y13
	CENTRED((SI), Y0)
	CENTRED((SI)(R8*1), Y1)
	CENTRED((SI)(R8*2), Y2)
	CENTRED((SI)(R9*1), Y3)
	GATED(Y0, (DI), Y4)
	GATED(Y1, (DI)(R8*1), Y5)
	GATED(Y2, (DI)(R8*2), Y6)
	GATED(Y3, (DI)(R9*1), Y7)
	VMULPS      Y4, Y0, Y0
	VMULPS      Y6, Y2, Y2
	VFMADD231PS Y5, Y1, Y0
	VFMADD231PS Y7, Y3, Y2
	ADDFOUR(Y4, Y5, Y6, Y7, (BX)(AX*1))
	ADDTWO(Y0, Y2, (R10)(AX*1))
	ADDQ        $32, SI
	ADDQ        $32, DI
	ADDQ        $32, AX
	CMPQ        AX, R8
	JLT         fours
	ADDQ        R9, SI
	ADDQ        R9, DI
	SUBQ        $4, CX
	JGE         four

tail:
	ADDQ $4, CX
	JZ   end

one:
	XORQ AX, AX

ones:
	VMOVUPS (DX)(AX*1), Y15
	VMOVUPS (R11)(AX*1), Y14
	VMOVUPS (R12)(AX*1), Y13
	CENTRED((SI), Y0)
	GATED(Y0, (DI), Y4)
	VMULPS  Y4, Y0, Y0
	ADDONE(Y4, (BX)(AX*1))
	ADDONE(Y0, (R10)(AX*1))
	ADDQ    $32, SI
	ADDQ    $32, DI
	ADDQ    $32, AX
	CMPQ    AX, R8
	JLT     ones
	DECQ    CX
	JNZ     one

end:
	VZEROUPPER
	RET

// func affineRows(y, x, add, table *float32, floor, zero float32, rows, c int)
TEXT ·affineRows(SB), NOSPLIT, $0-56
	MOVQ         y+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         add+16(FP), BX
	MOVQ         table+24(FP), DX
	VBROADCASTSS floor+32(FP), Y12
	VBROADCASTSS zero+36(FP), Y11
	MOVQ         rows+40(FP), CX
	ROWLENGTH(c+48(FP))
	LEAQ         (DX)(R8*1), R11
	LEAQ         (DX)(R8*2), R12
	SUBQ         $4, CX
	JLT          tail

four:
	XORQ AX, AX

fours:
	VMOVUPS (DX)(AX*1), Y15
	VMOVUPS (R11)(AX*1), Y14
	VMOVUPS (R12)(AX*1), Y13
	VMOVUPS (SI), Y0
	VMOVUPS (SI)(R8*1), Y1
	VMOVUPS (SI)(R8*2), Y2
	VMOVUPS (SI)(R9*1), Y3
	AFFINE(Y0)
	AFFINE(Y1)
	AFFINE(Y2)
	AFFINE(Y3)
	TESTQ   BX, BX
	JZ      write
	VADDPS  (BX), Y0, Y0
	VADDPS  (BX)(R8*1), Y1, Y1
	VADDPS  (BX)(R8*2), Y2, Y2
	VADDPS  (BX)(R9*1), Y3, Y3
	ADDQ    $32, BX

write:
	FLOOR(Y0, (DI))
	FLOOR(Y1, (DI)(R8*1))
	FLOOR(Y2, (DI)(R8*2))
	FLOOR(Y3, (DI)(R9*1))
	ADDQ  $32, SI
	ADDQ  $32, DI
	ADDQ  $32, AX
	CMPQ  AX, R8
	JLT   fours
	ADDQ  R9, SI
	ADDQ  R9, DI
	TESTQ BX, BX
	JZ    next
	ADDQ  R9, BX

next:
	SUBQ $4, CX
	JGE  four

tail:
	ADDQ $4, CX
	JZ   end

one:
	XORQ AX, AX

ones:
	VMOVUPS (DX)(AX*1), Y15
	VMOVUPS (R11)(AX*1), Y14
	VMOVUPS (R12)(AX*1), Y13
	VMOVUPS (SI), Y0
	AFFINE(Y0)
	TESTQ   BX, BX
	JZ      writeOne
	VADDPS  (BX), Y0, Y0
	ADDQ    $32, BX

writeOne:
	FLOOR(Y0, (DI))
	ADDQ $32, SI
	ADDQ $32, DI
	ADDQ $32, AX
	CMPQ AX, R8
	JLT  ones
	DECQ CX
	JNZ  one

end:
	VZEROUPPER
	RET

// func backRows(dx, x, dy, add, table *float32, open uint32, rows, c int)
TEXT ·backRows(SB), NOSPLIT, $0-64
	MOVQ         dx+0(FP), DX
	MOVQ         x+8(FP), SI
	MOVQ         dy+16(FP), DI
	MOVQ         add+24(FP), BX
	MOVQ         table+32(FP), R10
	VBROADCASTSS open+40(FP), Y11
	VXORPS       Y12, Y12, Y12
	MOVQ         rows+48(FP), CX
	ROWLENGTH(c+56(FP))
	LEAQ         (R10)(R9*1), R11 // b, and one row on, d
	LEAQ         (R10)(R8*1), R12 // a, and one row on, shift
	SUBQ         $4, CX
	JLT          tail

four:
	XORQ AX, AX

fours:
	VMOVUPS (R10)(AX*1), Y15
	VMOVUPS (R12)(AX*1), Y14
	LEAQ    (R12)(AX*1), R13
	VMOVUPS (R13)(R8*1), Y13
	LEAQ    (R11)(AX*1), R13
	VMOVUPS (R13), Y10
	VMOVUPS (R13)(R8*1), Y9
	CENTRED((SI), Y0)
	CENTRED((SI)(R8*1), Y1)
	CENTRED((SI)(R8*2), Y2)
	CENTRED((SI)(R9*1), Y3)
	GATED(Y0, (DI), Y4)
	GATED(Y1, (DI)(R8*1), Y5)
	GATED(Y2, (DI)(R8*2), Y6)
	GATED(Y3, (DI)(R9*1), Y7)
	BACK(Y0, Y4)
	BACK(Y1, Y5)
	BACK(Y2, Y6)
	BACK(Y3, Y7)
	TESTQ   BX, BX
	JZ      write
	VADDPS  (BX), Y4, Y4
	VADDPS  (BX)(R8*1), Y5, Y5
	VADDPS  (BX)(R8*2), Y6, Y6
	VADDPS  (BX)(R9*1), Y7, Y7
	ADDQ    $32, BX

write:
	VMOVUPS Y4, (DX)
	VMOVUPS Y5, (DX)(R8*1)
	VMOVUPS Y6, (DX)(R8*2)
	VMOVUPS Y7, (DX)(R9*1)
	ADDQ    $32, SI
	ADDQ    $32, DI
	ADDQ    $32, DX
	ADDQ    $32, AX
	CMPQ    AX, R8
	JLT     fours
	ADDQ    R9, SI
	ADDQ    R9, DI
	ADDQ    R9, DX
	TESTQ   BX, BX
	JZ      next
	ADDQ    R9, BX

next:
	SUBQ $4, CX
	JGE  four

tail:
	ADDQ $4, CX
	JZ   end

one:
	XORQ AX, AX

ones:
	VMOVUPS (R10)(AX*1), Y15
	VMOVUPS (R12)(AX*1), Y14
	LEAQ    (R12)(AX*1), R13
	VMOVUPS (R13)(R8*1), Y13
	LEAQ    (R11)(AX*1), R13
	VMOVUPS (R13), Y10
	VMOVUPS (R13)(R8*1), Y9
	CENTRED((SI), Y0)
	GATED(Y0, (DI), Y4)
	BACK(Y0, Y4)
	TESTQ   BX, BX
	JZ      writeOne
	VADDPS  (BX), Y4, Y4
	ADDQ    $32, BX

writeOne:
	VMOVUPS Y4, (DX)
	ADDQ    $32, SI
	ADDQ    $32, DI
	ADDQ    $32, DX
	ADDQ    $32, AX
	CMPQ    AX, R8
	JLT     ones
	DECQ    CX
	JNZ     one

end:
	VZEROUPPER
	RET

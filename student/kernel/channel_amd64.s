#include "textflag.h"

// Passes over eight neighbouring channels of x[rows, ld] for float32 on AVX2 and
// FMA. Several rows are taken at a time so that no sum waits for itself.

// ROWLENGTH makes R8 one row and R9 three rows long, in bytes.
#define ROWLENGTH(ld) \
	MOVQ ld, R8;           \
	SHLQ $2, R8;           \
	LEAQ (R8)(R8*2), R9

#define ZERO4(a, b, c, d) \
	VXORPS a, a, a; \
	VXORPS b, b, b; \
	VXORPS c, c, c; \
	VXORPS d, d, d

#define OFFSET(row, t, acc) \
	VMOVUPS row, t;      \
	VSUBPS  Y15, t, t;   \
	VADDPS  t, acc, acc

#define SQUARE(row, t, acc) \
	VMOVUPS     row, t;     \
	VSUBPS      Y15, t, t;  \
	VFMADD231PS t, t, acc

#define PRODUCT(x, dy, t, g, plain, centred) \
	VMOVUPS     x, t;           \
	VMOVUPS     dy, g;          \
	VSUBPS      Y15, t, t;      \
	VADDPS      g, plain, plain; \
	VFMADD231PS g, t, centred

#define AFFINE(x, y, t) \
	VMOVUPS     x, t;         \
	VSUBPS      Y15, t, t;    \
	VFMADD213PS Y13, Y14, t;  \
	VMOVUPS     t, y

#define BACK(x, dy, dx, t, g) \
	VMOVUPS      x, t;         \
	VMOVUPS      dy, g;        \
	VSUBPS       Y15, t, t;    \
	VFMSUB213PS  Y12, Y14, g;  \
	VFNMADD231PS t, Y13, g;    \
	VMOVUPS      g, dx

// func sum8(dst, x, pivot *float32, rows, ld int)
TEXT ·sum8(SB), NOSPLIT, $0-40
	MOVQ    x+8(FP), SI
	MOVQ    pivot+16(FP), AX
	VMOVUPS (AX), Y15
	MOVQ    rows+24(FP), CX
	ROWLENGTH(ld+32(FP))
	ZERO4(Y0, Y1, Y2, Y3)
	ZERO4(Y4, Y5, Y6, Y7)
	SUBQ    $8, CX
	JLT     tail

loop:
	LEAQ (SI)(R8*4), DI
	OFFSET((SI), Y8, Y0)
	OFFSET((SI)(R8*1), Y9, Y1)
	OFFSET((SI)(R8*2), Y10, Y2)
	OFFSET((SI)(R9*1), Y11, Y3)
	OFFSET((DI), Y8, Y4)
	OFFSET((DI)(R8*1), Y9, Y5)
	OFFSET((DI)(R8*2), Y10, Y6)
	OFFSET((DI)(R9*1), Y11, Y7)
	LEAQ (DI)(R8*4), SI
	SUBQ $8, CX
	JGE  loop

tail:
	ADDQ $8, CX
	JZ   end

one:
	OFFSET((SI), Y8, Y0)
	ADDQ R8, SI
	DECQ CX
	JNZ  one

end:
	VADDPS  Y1, Y0, Y0
	VADDPS  Y3, Y2, Y2
	VADDPS  Y5, Y4, Y4
	VADDPS  Y7, Y6, Y6
	VADDPS  Y2, Y0, Y0
	VADDPS  Y6, Y4, Y4
	VADDPS  Y4, Y0, Y0
	MOVQ    dst+0(FP), DI
	VMOVUPS Y0, (DI)
	VZEROUPPER
	RET

// func square8(dst, x, mean *float32, rows, ld int)
TEXT ·square8(SB), NOSPLIT, $0-40
	MOVQ    x+8(FP), SI
	MOVQ    mean+16(FP), AX
	VMOVUPS (AX), Y15
	MOVQ    rows+24(FP), CX
	ROWLENGTH(ld+32(FP))
	ZERO4(Y0, Y1, Y2, Y3)
	ZERO4(Y4, Y5, Y6, Y7)
	SUBQ    $8, CX
	JLT     tail

loop:
	LEAQ (SI)(R8*4), DI
	SQUARE((SI), Y8, Y0)
	SQUARE((SI)(R8*1), Y9, Y1)
	SQUARE((SI)(R8*2), Y10, Y2)
	SQUARE((SI)(R9*1), Y11, Y3)
	SQUARE((DI), Y8, Y4)
	SQUARE((DI)(R8*1), Y9, Y5)
	SQUARE((DI)(R8*2), Y10, Y6)
	SQUARE((DI)(R9*1), Y11, Y7)
	LEAQ (DI)(R8*4), SI
	SUBQ $8, CX
	JGE  loop

tail:
	ADDQ $8, CX
	JZ   end

one:
	SQUARE((SI), Y8, Y0)
	ADDQ R8, SI
	DECQ CX
	JNZ  one

end:
	VADDPS  Y1, Y0, Y0
	VADDPS  Y3, Y2, Y2
	VADDPS  Y5, Y4, Y4
	VADDPS  Y7, Y6, Y6
	VADDPS  Y2, Y0, Y0
	VADDPS  Y6, Y4, Y4
	VADDPS  Y4, Y0, Y0
	MOVQ    dst+0(FP), DI
	VMOVUPS Y0, (DI)
	VZEROUPPER
	RET

// func products8(plain, centred, x, dy, mean *float32, rows, ld int)
TEXT ·products8(SB), NOSPLIT, $0-56
	MOVQ    x+16(FP), SI
	MOVQ    dy+24(FP), DI
	MOVQ    mean+32(FP), AX
	VMOVUPS (AX), Y15
	MOVQ    rows+40(FP), CX
	ROWLENGTH(ld+48(FP))
	ZERO4(Y0, Y1, Y2, Y3)
	ZERO4(Y4, Y5, Y6, Y7)
	SUBQ    $4, CX
	JLT     tail

loop:
	PRODUCT((SI), (DI), Y8, Y9, Y0, Y4)
	PRODUCT((SI)(R8*1), (DI)(R8*1), Y10, Y11, Y1, Y5)
	PRODUCT((SI)(R8*2), (DI)(R8*2), Y12, Y13, Y2, Y6)
	PRODUCT((SI)(R9*1), (DI)(R9*1), Y8, Y9, Y3, Y7)
	LEAQ (SI)(R8*4), SI
	LEAQ (DI)(R8*4), DI
	SUBQ $4, CX
	JGE  loop

tail:
	ADDQ $4, CX
	JZ   end

one:
	PRODUCT((SI), (DI), Y8, Y9, Y0, Y4)
	ADDQ R8, SI
	ADDQ R8, DI
	DECQ CX
	JNZ  one

end:
	VADDPS  Y1, Y0, Y0
	VADDPS  Y3, Y2, Y2
	VADDPS  Y2, Y0, Y0
	VADDPS  Y5, Y4, Y4
	VADDPS  Y7, Y6, Y6
	VADDPS  Y6, Y4, Y4
	MOVQ    plain+0(FP), DI
	VMOVUPS Y0, (DI)
	MOVQ    centred+8(FP), DI
	VMOVUPS Y4, (DI)
	VZEROUPPER
	RET

// func affine8(y, x, mean, a, b *float32, rows, ld int)
TEXT ·affine8(SB), NOSPLIT, $0-56
	MOVQ    y+0(FP), DI
	MOVQ    x+8(FP), SI
	MOVQ    mean+16(FP), AX
	VMOVUPS (AX), Y15
	MOVQ    a+24(FP), AX
	VMOVUPS (AX), Y14
	MOVQ    b+32(FP), AX
	VMOVUPS (AX), Y13
	MOVQ    rows+40(FP), CX
	ROWLENGTH(ld+48(FP))
	SUBQ    $4, CX
	JLT     tail

loop:
	AFFINE((SI), (DI), Y0)
	AFFINE((SI)(R8*1), (DI)(R8*1), Y1)
	AFFINE((SI)(R8*2), (DI)(R8*2), Y2)
	AFFINE((SI)(R9*1), (DI)(R9*1), Y3)
	LEAQ (SI)(R8*4), SI
	LEAQ (DI)(R8*4), DI
	SUBQ $4, CX
	JGE  loop

tail:
	ADDQ $4, CX
	JZ   end

one:
	AFFINE((SI), (DI), Y0)
	ADDQ R8, SI
	ADDQ R8, DI
	DECQ CX
	JNZ  one

end:
	VZEROUPPER
	RET

// func back8(dx, x, dy, mean, a, b, d *float32, rows, ld int)
TEXT ·back8(SB), NOSPLIT, $0-72
	MOVQ    dx+0(FP), DX
	MOVQ    x+8(FP), SI
	MOVQ    dy+16(FP), DI
	MOVQ    mean+24(FP), AX
	VMOVUPS (AX), Y15
	MOVQ    a+32(FP), AX
	VMOVUPS (AX), Y14
	MOVQ    b+40(FP), AX
	VMOVUPS (AX), Y13
	MOVQ    d+48(FP), AX
	VMOVUPS (AX), Y12
	MOVQ    rows+56(FP), CX
	ROWLENGTH(ld+64(FP))
	SUBQ    $4, CX
	JLT     tail

loop:
	BACK((SI), (DI), (DX), Y0, Y1)
	BACK((SI)(R8*1), (DI)(R8*1), (DX)(R8*1), Y2, Y3)
	BACK((SI)(R8*2), (DI)(R8*2), (DX)(R8*2), Y4, Y5)
	BACK((SI)(R9*1), (DI)(R9*1), (DX)(R9*1), Y6, Y7)
	LEAQ (SI)(R8*4), SI
	LEAQ (DI)(R8*4), DI
	LEAQ (DX)(R8*4), DX
	SUBQ $4, CX
	JGE  loop

tail:
	ADDQ $4, CX
	JZ   end

one:
	BACK((SI), (DI), (DX), Y0, Y1)
	ADDQ R8, SI
	ADDQ R8, DI
	ADDQ R8, DX
	DECQ CX
	JNZ  one

end:
	VZEROUPPER
	RET

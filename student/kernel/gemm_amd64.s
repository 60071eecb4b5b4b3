#include "textflag.h"

// The inner loops of the convolutions for float32 on AVX2 and FMA.

// Y2 holds the broadcast element of the source, Y0 and Y1 the panel's row.
#define STEP2(ptr, disp, lo, hi) \
	VBROADCASTSS disp(ptr)(DI*4), Y2; \
	VFMADD231PS  Y0, Y2, lo;          \
	VFMADD231PS  Y1, Y2, hi

#define DEPTH16(disp, panel) \
	VMOVUPS panel(BX), Y0;      \
	VMOVUPS (panel+32)(BX), Y1; \
	STEP2(R8, disp, Y4, Y5);    \
	STEP2(R9, disp, Y6, Y7);    \
	STEP2(R10, disp, Y8, Y9);   \
	STEP2(R11, disp, Y10, Y11); \
	STEP2(R12, disp, Y12, Y13); \
	STEP2(R13, disp, Y14, Y15)

// POINTERS loads the six rows of the tile: R8 to R13 = src + srcOff[0..5].
#define POINTERS \
	MOVQ src+8(FP), SI;     \
	MOVQ srcOff+24(FP), AX; \
	MOVQ 0(AX), R8;         \
	MOVQ 8(AX), R9;         \
	MOVQ 16(AX), R10;       \
	MOVQ 24(AX), R11;       \
	MOVQ 32(AX), R12;       \
	MOVQ 40(AX), R13;       \
	LEAQ (SI)(R8*4), R8;    \
	LEAQ (SI)(R9*4), R9;    \
	LEAQ (SI)(R10*4), R10;  \
	LEAQ (SI)(R11*4), R11;  \
	LEAQ (SI)(R12*4), R12;  \
	LEAQ (SI)(R13*4), R13;  \
	MOVQ b+16(FP), BX;      \
	MOVQ runs+40(FP), DX;   \
	MOVQ nRuns+48(FP), R15; \
	VXORPS Y4, Y4, Y4;      \
	VXORPS Y5, Y5, Y5;      \
	VXORPS Y6, Y6, Y6;      \
	VXORPS Y7, Y7, Y7;      \
	VXORPS Y8, Y8, Y8;      \
	VXORPS Y9, Y9, Y9;      \
	VXORPS Y10, Y10, Y10;   \
	VXORPS Y11, Y11, Y11;   \
	VXORPS Y12, Y12, Y12;   \
	VXORPS Y13, Y13, Y13;   \
	VXORPS Y14, Y14, Y14;   \
	VXORPS Y15, Y15, Y15

// Depthwise: one channel of the result for one of the source.
#define EACH2(ptr, lo, hi) \
	VFMADD231PS (ptr)(DI*4), Y0, lo;   \
	VFMADD231PS 32(ptr)(DI*4), Y1, hi

#define STORE2(ptr, lo, hi) \
	VMOVUPS lo, (DI)(ptr*4);   \
	VMOVUPS hi, 32(DI)(ptr*4)

// Eight columns leave six sums, too few to hide the latency of a fused
// multiply-add; so even and odd depths are summed apart.
#define STEP1(ptr, even, odd) \
	VBROADCASTSS (ptr)(DI*4), Y2;  \
	VFMADD231PS  Y0, Y2, even;     \
	VBROADCASTSS 4(ptr)(DI*4), Y3; \
	VFMADD231PS  Y1, Y3, odd

#define LAST1(ptr, even) \
	VBROADCASTSS (ptr)(DI*4), Y2; \
	VFMADD231PS  Y0, Y2, even

// GRADIENTS loads the operands of a rank update: SI = x, R8 to R11 = dy +
// dyOff[0..3], the table of rows in AX with its length in R15, the steps in R12
// and R13.
#define GRADIENTS \
	MOVQ x+8(FP), SI;       \
	MOVQ dy+16(FP), DI;     \
	MOVQ dyOff+24(FP), AX;  \
	MOVQ 0(AX), R8;         \
	MOVQ 8(AX), R9;         \
	MOVQ 16(AX), R10;       \
	MOVQ 24(AX), R11;       \
	LEAQ (DI)(R8*4), R8;    \
	LEAQ (DI)(R9*4), R9;    \
	LEAQ (DI)(R10*4), R10;  \
	LEAQ (DI)(R11*4), R11;  \
	MOVQ rows+40(FP), AX;   \
	MOVQ nRows+48(FP), R15; \
	MOVQ xStep+64(FP), R12; \
	MOVQ dyStep+72(FP), R13; \
	VXORPS Y4, Y4, Y4;      \
	VXORPS Y5, Y5, Y5;      \
	VXORPS Y6, Y6, Y6;      \
	VXORPS Y7, Y7, Y7;      \
	VXORPS Y8, Y8, Y8;      \
	VXORPS Y9, Y9, Y9;      \
	VXORPS Y10, Y10, Y10;   \
	VXORPS Y11, Y11, Y11;   \
	VXORPS Y12, Y12, Y12;   \
	VXORPS Y13, Y13, Y13;   \
	VXORPS Y14, Y14, Y14;   \
	VXORPS Y15, Y15, Y15

// TAPS loads the operands of a depthwise rank update: SI = dy, R8 to R11 = x +
// tapOff[0..3], the rest as in GRADIENTS.
#define TAPS \
	MOVQ x+8(FP), DI;       \
	MOVQ dy+16(FP), SI;     \
	MOVQ tapOff+24(FP), AX; \
	MOVQ 0(AX), R8;         \
	MOVQ 8(AX), R9;         \
	MOVQ 16(AX), R10;       \
	MOVQ 24(AX), R11;       \
	LEAQ (DI)(R8*4), R8;    \
	LEAQ (DI)(R9*4), R9;    \
	LEAQ (DI)(R10*4), R10;  \
	LEAQ (DI)(R11*4), R11;  \
	MOVQ rows+40(FP), AX;   \
	MOVQ nRows+48(FP), R15; \
	MOVQ xStep+64(FP), R12; \
	MOVQ dyStep+72(FP), R13; \
	VXORPS Y4, Y4, Y4;      \
	VXORPS Y5, Y5, Y5;      \
	VXORPS Y6, Y6, Y6;      \
	VXORPS Y7, Y7, Y7;      \
	VXORPS Y8, Y8, Y8;      \
	VXORPS Y9, Y9, Y9;      \
	VXORPS Y10, Y10, Y10;   \
	VXORPS Y11, Y11, Y11

#define RESULTS \
	MOVQ dst+0(FP), DI;     \
	MOVQ dstOff+32(FP), AX; \
	MOVQ 0(AX), R8;         \
	MOVQ 8(AX), R9;         \
	MOVQ 16(AX), R10;       \
	MOVQ 24(AX), R11;       \
	LEAQ (DI)(R8*4), R8;    \
	LEAQ (DI)(R9*4), R9;    \
	LEAQ (DI)(R10*4), R10;  \
	LEAQ (DI)(R11*4), R11

#define ADDTO(disp, ptr, acc) \
	VADDPS  disp(ptr), acc, acc; \
	VMOVUPS acc, disp(ptr)

#define RANK3(ptr, a, b, c) \
	VBROADCASTSS (ptr)(BX*4), Y3; \
	VFMADD231PS  Y0, Y3, a;       \
	VFMADD231PS  Y1, Y3, b;       \
	VFMADD231PS  Y2, Y3, c

#define RANK2(ptr, a, b) \
	VBROADCASTSS (ptr)(BX*4), Y3; \
	VFMADD231PS  Y0, Y3, a;       \
	VFMADD231PS  Y1, Y3, b

// func tile6x16(dst, src, b *float32, srcOff, dstOff, runs *int, nRuns, runLen, tiles int)
TEXT ·tile6x16(SB), NOSPLIT, $0-72
tile16:
	POINTERS

run16:
	DECQ R15
	JLT  store16
	MOVQ (DX), DI
	ADDQ $8, DX
	MOVQ runLen+56(FP), CX
	SHRQ $1, CX
	JZ   odd16

pair16:
	DEPTH16(0, 0)
	DEPTH16(4, 64)
	ADDQ $2, DI
	ADDQ $128, BX
	DECQ CX
	JNZ  pair16

odd16:
	TESTQ $1, runLen+56(FP)
	JZ    run16
	DEPTH16(0, 0)
	ADDQ  $64, BX
	JMP   run16

store16:
	MOVQ    dst+0(FP), DI
	MOVQ    dstOff+32(FP), AX
	MOVQ    0(AX), R8
	MOVQ    8(AX), R9
	MOVQ    16(AX), R10
	MOVQ    24(AX), R11
	MOVQ    32(AX), R12
	MOVQ    40(AX), R13
	VMOVUPS Y4, (DI)(R8*4)
	VMOVUPS Y5, 32(DI)(R8*4)
	VMOVUPS Y6, (DI)(R9*4)
	VMOVUPS Y7, 32(DI)(R9*4)
	VMOVUPS Y8, (DI)(R10*4)
	VMOVUPS Y9, 32(DI)(R10*4)
	VMOVUPS Y10, (DI)(R11*4)
	VMOVUPS Y11, 32(DI)(R11*4)
	VMOVUPS Y12, (DI)(R12*4)
	VMOVUPS Y13, 32(DI)(R12*4)
	VMOVUPS Y14, (DI)(R13*4)
	VMOVUPS Y15, 32(DI)(R13*4)
	ADDQ    $48, srcOff+24(FP)
	ADDQ    $48, dstOff+32(FP)
	DECQ    tiles+64(FP)
	JNZ     tile16
	VZEROUPPER
	RET

// func tile6x8(dst, src, b *float32, srcOff, dstOff, runs *int, nRuns, runLen, tiles int)
TEXT ·tile6x8(SB), NOSPLIT, $0-72
tile8:
	POINTERS

run8:
	DECQ R15
	JLT  store8
	MOVQ (DX), DI
	ADDQ $8, DX
	MOVQ runLen+56(FP), CX
	SHRQ $1, CX
	JZ   odd8

pair8:
	VMOVUPS (BX), Y0
	VMOVUPS 32(BX), Y1
	STEP1(R8, Y4, Y5)
	STEP1(R9, Y6, Y7)
	STEP1(R10, Y8, Y9)
	STEP1(R11, Y10, Y11)
	STEP1(R12, Y12, Y13)
	STEP1(R13, Y14, Y15)
	ADDQ    $2, DI
	ADDQ    $64, BX
	DECQ    CX
	JNZ     pair8

odd8:
	TESTQ   $1, runLen+56(FP)
	JZ      run8
	VMOVUPS (BX), Y0
	LAST1(R8, Y4)
	LAST1(R9, Y6)
	LAST1(R10, Y8)
	LAST1(R11, Y10)
	LAST1(R12, Y12)
	LAST1(R13, Y14)
	ADDQ    $32, BX
	JMP     run8

store8:
	MOVQ    dst+0(FP), DI
	MOVQ    dstOff+32(FP), AX
	MOVQ    0(AX), R8
	MOVQ    8(AX), R9
	MOVQ    16(AX), R10
	MOVQ    24(AX), R11
	MOVQ    32(AX), R12
	MOVQ    40(AX), R13
	VADDPS  Y5, Y4, Y4
	VADDPS  Y7, Y6, Y6
	VADDPS  Y9, Y8, Y8
	VADDPS  Y11, Y10, Y10
	VADDPS  Y13, Y12, Y12
	VADDPS  Y15, Y14, Y14
	VMOVUPS Y4, (DI)(R8*4)
	VMOVUPS Y6, (DI)(R9*4)
	VMOVUPS Y8, (DI)(R10*4)
	VMOVUPS Y10, (DI)(R11*4)
	VMOVUPS Y12, (DI)(R12*4)
	VMOVUPS Y14, (DI)(R13*4)
	ADDQ    $48, srcOff+24(FP)
	ADDQ    $48, dstOff+32(FP)
	DECQ    tiles+64(FP)
	JNZ     tile8
	VZEROUPPER
	RET

// func rank4x24(dst, x, dy *float32, dyOff, dstOff, rows *int, nRows, cols, xStep, dyStep, tiles int)
TEXT ·rank4x24(SB), NOSPLIT, $0-88
tile24:
	GRADIENTS

row24:
	DECQ R15
	JLT  store24
	MOVQ (AX), DX
	MOVQ 8(AX), BX
	ADDQ $16, AX
	MOVQ cols+56(FP), CX

col24:
	VMOVUPS (SI)(DX*4), Y0
	VMOVUPS 32(SI)(DX*4), Y1
	VMOVUPS 64(SI)(DX*4), Y2
	RANK3(R8, Y4, Y5, Y6)
	RANK3(R9, Y7, Y8, Y9)
	RANK3(R10, Y10, Y11, Y12)
	RANK3(R11, Y13, Y14, Y15)
	ADDQ    R12, DX
	ADDQ    R13, BX
	DECQ    CX
	JNZ     col24
	JMP     row24

store24:
	RESULTS
	ADDTO(0, R8, Y4)
	ADDTO(32, R8, Y5)
	ADDTO(64, R8, Y6)
	ADDTO(0, R9, Y7)
	ADDTO(32, R9, Y8)
	ADDTO(64, R9, Y9)
	ADDTO(0, R10, Y10)
	ADDTO(32, R10, Y11)
	ADDTO(64, R10, Y12)
	ADDTO(0, R11, Y13)
	ADDTO(32, R11, Y14)
	ADDTO(64, R11, Y15)
	ADDQ $32, dyOff+24(FP)
	ADDQ $32, dstOff+32(FP)
	DECQ tiles+80(FP)
	JNZ  tile24
	VZEROUPPER
	RET

// func rank4x16(dst, x, dy *float32, dyOff, dstOff, rows *int, nRows, cols, xStep, dyStep, tiles int)
TEXT ·rank4x16(SB), NOSPLIT, $0-88
tile16:
	GRADIENTS

row16:
	DECQ R15
	JLT  store16
	MOVQ (AX), DX
	MOVQ 8(AX), BX
	ADDQ $16, AX
	MOVQ cols+56(FP), CX

col16:
	VMOVUPS (SI)(DX*4), Y0
	VMOVUPS 32(SI)(DX*4), Y1
	RANK2(R8, Y4, Y5)
	RANK2(R9, Y6, Y7)
	RANK2(R10, Y8, Y9)
	RANK2(R11, Y10, Y11)
	ADDQ    R12, DX
	ADDQ    R13, BX
	DECQ    CX
	JNZ     col16
	JMP     row16

store16:
	RESULTS
	ADDTO(0, R8, Y4)
	ADDTO(32, R8, Y5)
	ADDTO(0, R9, Y6)
	ADDTO(32, R9, Y7)
	ADDTO(0, R10, Y8)
	ADDTO(32, R10, Y9)
	ADDTO(0, R11, Y10)
	ADDTO(32, R11, Y11)
	ADDQ $32, dyOff+24(FP)
	ADDQ $32, dstOff+32(FP)
	DECQ tiles+80(FP)
	JNZ  tile16
	VZEROUPPER
	RET

// func each6x16(dst, src, b *float32, srcOff, dstOff, runs *int, nRuns, tiles int)
TEXT ·each6x16(SB), NOSPLIT, $0-64
each16:
	POINTERS

tap16:
	VMOVUPS (BX), Y0
	VMOVUPS 32(BX), Y1
	ADDQ    $64, BX
	MOVQ    (DX), DI
	ADDQ    $8, DX
	EACH2(R8, Y4, Y5)
	EACH2(R9, Y6, Y7)
	EACH2(R10, Y8, Y9)
	EACH2(R11, Y10, Y11)
	EACH2(R12, Y12, Y13)
	EACH2(R13, Y14, Y15)
	DECQ    R15
	JNZ     tap16

	MOVQ dst+0(FP), DI
	MOVQ dstOff+32(FP), AX
	MOVQ 0(AX), R8
	MOVQ 8(AX), R9
	MOVQ 16(AX), R10
	MOVQ 24(AX), R11
	MOVQ 32(AX), R12
	MOVQ 40(AX), R13
	STORE2(R8, Y4, Y5)
	STORE2(R9, Y6, Y7)
	STORE2(R10, Y8, Y9)
	STORE2(R11, Y10, Y11)
	STORE2(R12, Y12, Y13)
	STORE2(R13, Y14, Y15)
	ADDQ $48, srcOff+24(FP)
	ADDQ $48, dstOff+32(FP)
	DECQ tiles+56(FP)
	JNZ  each16
	VZEROUPPER
	RET

// func each6x8(dst, src, b *float32, srcOff, dstOff, runs *int, nRuns, tiles int)
TEXT ·each6x8(SB), NOSPLIT, $0-64
each8:
	POINTERS

tap8:
	VMOVUPS     (BX), Y0
	ADDQ        $32, BX
	MOVQ        (DX), DI
	ADDQ        $8, DX
	VFMADD231PS (R8)(DI*4), Y0, Y4
	VFMADD231PS (R9)(DI*4), Y0, Y6
	VFMADD231PS (R10)(DI*4), Y0, Y8
	VFMADD231PS (R11)(DI*4), Y0, Y10
	VFMADD231PS (R12)(DI*4), Y0, Y12
	VFMADD231PS (R13)(DI*4), Y0, Y14
	DECQ        R15
	JNZ         tap8

	MOVQ    dst+0(FP), DI
	MOVQ    dstOff+32(FP), AX
	MOVQ    0(AX), R8
	MOVQ    8(AX), R9
	MOVQ    16(AX), R10
	MOVQ    24(AX), R11
	MOVQ    32(AX), R12
	MOVQ    40(AX), R13
	VMOVUPS Y4, (DI)(R8*4)
	VMOVUPS Y6, (DI)(R9*4)
	VMOVUPS Y8, (DI)(R10*4)
	VMOVUPS Y10, (DI)(R11*4)
	VMOVUPS Y12, (DI)(R12*4)
	VMOVUPS Y14, (DI)(R13*4)
	ADDQ    $48, srcOff+24(FP)
	ADDQ    $48, dstOff+32(FP)
	DECQ    tiles+56(FP)
	JNZ     each8
	VZEROUPPER
	RET

// func eachRank4x16(dst, x, dy *float32, tapOff, dstOff, rows *int, nRows, cols, xStep, dyStep, tiles int)
TEXT ·eachRank4x16(SB), NOSPLIT, $0-88
tiles16:
	TAPS

line16:
	DECQ R15
	JLT  sums16
	MOVQ (AX), DX
	MOVQ 8(AX), BX
	ADDQ $16, AX
	MOVQ cols+56(FP), CX

pixel16:
	VMOVUPS     (SI)(BX*4), Y0
	VMOVUPS     32(SI)(BX*4), Y1
	VFMADD231PS (R8)(DX*4), Y0, Y4
	VFMADD231PS 32(R8)(DX*4), Y1, Y5
	VFMADD231PS (R9)(DX*4), Y0, Y6
	VFMADD231PS 32(R9)(DX*4), Y1, Y7
	VFMADD231PS (R10)(DX*4), Y0, Y8
	VFMADD231PS 32(R10)(DX*4), Y1, Y9
	VFMADD231PS (R11)(DX*4), Y0, Y10
	VFMADD231PS 32(R11)(DX*4), Y1, Y11
	ADDQ        R12, DX
	ADDQ        R13, BX
	DECQ        CX
	JNZ         pixel16
	JMP         line16

sums16:
	RESULTS
	ADDTO(0, R8, Y4)
	ADDTO(32, R8, Y5)
	ADDTO(0, R9, Y6)
	ADDTO(32, R9, Y7)
	ADDTO(0, R10, Y8)
	ADDTO(32, R10, Y9)
	ADDTO(0, R11, Y10)
	ADDTO(32, R11, Y11)
	ADDQ $32, tapOff+24(FP)
	ADDQ $32, dstOff+32(FP)
	DECQ tiles+80(FP)
	JNZ  tiles16
	VZEROUPPER
	RET

// func eachRank4x8(dst, x, dy *float32, tapOff, dstOff, rows *int, nRows, cols, xStep, dyStep, tiles int)
TEXT ·eachRank4x8(SB), NOSPLIT, $0-88
tiles8:
	TAPS

line8:
	DECQ R15
	JLT  sums8
	MOVQ (AX), DX
	MOVQ 8(AX), BX
	ADDQ $16, AX
	MOVQ cols+56(FP), CX

pixel8:
	VMOVUPS     (SI)(BX*4), Y0
	VFMADD231PS (R8)(DX*4), Y0, Y4
	VFMADD231PS (R9)(DX*4), Y0, Y6
	VFMADD231PS (R10)(DX*4), Y0, Y8
	VFMADD231PS (R11)(DX*4), Y0, Y10
	ADDQ        R12, DX
	ADDQ        R13, BX
	DECQ        CX
	JNZ         pixel8
	JMP         line8

sums8:
	RESULTS
	ADDTO(0, R8, Y4)
	ADDTO(0, R9, Y6)
	ADDTO(0, R10, Y8)
	ADDTO(0, R11, Y10)
	ADDQ $32, tapOff+24(FP)
	ADDQ $32, dstOff+32(FP)
	DECQ tiles+80(FP)
	JNZ  tiles8
	VZEROUPPER
	RET

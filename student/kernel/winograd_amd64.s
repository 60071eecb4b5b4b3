#include "textflag.h"

// The constants of winograd.go, eight times each.
#define EIGHT(name, value) \
	DATA  name<>+0(SB)/4, $(value);  \
	DATA  name<>+4(SB)/4, $(value);  \
	DATA  name<>+8(SB)/4, $(value);  \
	DATA  name<>+12(SB)/4, $(value); \
	DATA  name<>+16(SB)/4, $(value); \
	DATA  name<>+20(SB)/4, $(value); \
	DATA  name<>+24(SB)/4, $(value); \
	DATA  name<>+28(SB)/4, $(value); \
	GLOBL name<>(SB), RODATA|NOPTR, $32

EIGHT(wa, 0.625)
EIGHT(wb, 1.5)
EIGHT(wa2, 0.390625)
EIGHT(wb2, 2.25)
EIGHT(wa3, 0.244140625)
EIGHT(wb3, 3.375)
EIGHT(was, 2.640625)
EIGHT(wap, 0.87890625)
EIGHT(wg0, 1.1377777777777778)
EIGHT(wga, -0.6884033613445378)
EIGHT(wgb, 0.1195144724556489)
EIGHT(wga1, -0.43025210084033613)
EIGHT(wgb1, 0.17927170868347339)
EIGHT(wga2, -0.2689075630252101)
EIGHT(wgb2, 0.2689075630252101)

// ENDS computes elements 0 and 5 of Bᵀ d down a column, d at d0 to d5, where the
// column is in the image; Y14 and Y15 hold was and wap.
#define ENDS(bit, d0, d1, d2, d3, d4, d5, t0, t5) \
	VXORPS       t0, t0, t0;    \
	VXORPS       t5, t5, t5;    \
	TESTB        $bit, (SI);    \
	JEQ          7(PC);         \
	VMOVUPS      d4, t0;        \
	VMOVUPS      d5, t5;        \
	VFNMADD231PS d2, Y14, t0;   \
	VFNMADD231PS d3, Y14, t5;   \
	VFMADD231PS  d0, Y15, t0;   \
	VFMADD231PS  d1, Y15, t5

// PAIR computes elements 1 and 2, or 3 and 4; Y14 and Y15 hold wb2 and wa, or
// wa2 and wb.
#define PAIR(bit, d1, d2, d3, d4, s, t) \
	VXORPS       s, s, s;       \
	VXORPS       t, t, t;       \
	TESTB        $bit, (SI);    \
	JEQ          8(PC);         \
	VMOVUPS      d4, s;         \
	VMOVUPS      d3, Y13;       \
	VFNMADD231PS d2, Y14, s;    \
	VFNMADD231PS d1, Y14, Y13;  \
	VMOVAPS      s, t;          \
	VFMADD231PS  Y13, Y15, s;   \
	VFNMADD231PS Y13, Y15, t

// ALONG computes Bᵀ d of a row and stores it to six planes from DI on. It uses
// Y12 to Y14 and spoils the row.
#define ALONG(d0, d1, d2, d3, d4, d5) \
	VMOVAPS      d4, Y12;                \
	VFNMADD231PS was<>(SB), d2, Y12;     \
	VFMADD231PS  wap<>(SB), d0, Y12;     \
	VMOVUPS      Y12, (DI);              \
	VFNMADD231PS was<>(SB), d3, d5;      \
	VFMADD231PS  wap<>(SB), d1, d5;      \
	VMOVUPS      d5, (DI)(R14*1);        \
	VMOVAPS      d4, Y12;                \
	VMOVAPS      d3, Y13;                \
	VFNMADD231PS wb2<>(SB), d2, Y12;     \
	VFNMADD231PS wb2<>(SB), d1, Y13;     \
	VMOVAPS      Y12, Y14;               \
	VFMADD231PS  wa<>(SB), Y13, Y12;     \
	VFNMADD231PS wa<>(SB), Y13, Y14;     \
	VMOVUPS      Y12, (DI)(DX*1);        \
	VMOVUPS      Y14, (DI)(DX*2);        \
	VFNMADD231PS wa2<>(SB), d2, d4;      \
	VFNMADD231PS wa2<>(SB), d1, d3;      \
	VMOVAPS      d4, Y12;                \
	VFMADD231PS  wb<>(SB), d3, d4;       \
	VFNMADD231PS wb<>(SB), d3, Y12;      \
	VMOVUPS      d4, (DI)(R15*1);        \
	VMOVUPS      Y12, (DI)(DX*4)

#define ROW(at, reg) \
	MOVQ    at(DI), reg;       \
	LEAQ    (BX)(reg*4), SI;   \
	CMPQ    reg, CX;           \
	MOVQ    AX, reg;           \
	CMOVQNE SI, reg

#define ZERO12 \
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

#define TIMES2(v, lo, hi, t) \
	VBROADCASTSS v, t;       \
	VFMADD231PS  Y0, t, lo;  \
	VFMADD231PS  Y1, t, hi

#define DEPTH(at, panel) \
	VMOVUPS panel(BX), Y0;              \
	VMOVUPS (panel+32)(BX), Y1;         \
	TIMES2(at(SI), Y4, Y5, Y2);         \
	TIMES2(at(SI)(AX*1), Y6, Y7, Y3);   \
	TIMES2(at(SI)(AX*2), Y8, Y9, Y2);   \
	TIMES2(at(SI)(R8*1), Y10, Y11, Y3); \
	TIMES2(at(SI)(AX*4), Y12, Y13, Y2); \
	TIMES2(at(SI)(R9*1), Y14, Y15, Y3)

// FETCH fetches the line at R14 to the second cache level, and that at R13 to be
// written: PREFETCHW (R13), which the assembler does not know.
#define FETCH \
	PREFETCHT1 (R14); \
	BYTE $0x41; BYTE $0x0F; BYTE $0x0D; BYTE $0x4D; BYTE $0x00

// SUMS computes elements 0 and 2 of Aᵀ m down a column from DI on, and DIFFERENCES
// elements 1 and 3. They go on to the next column. Y14 and Y15 hold wa2 and wb2,
// or wa and wb.
#define SUMS(y0, y2) \
	VMOVUPS     (DI)(AX*1), Y12;      \
	VADDPS      (DI)(AX*2), Y12, Y12; \
	VMOVUPS     (DI)(BX*1), Y13;      \
	VADDPS      (DI)(AX*4), Y13, Y13; \
	VADDPS      (DI), Y12, y0;        \
	VADDPS      Y13, y0, y0;          \
	VMULPS      Y14, Y12, y2;         \
	VFMADD231PS Y15, Y13, y2;         \
	ADDQ        DX, DI

#define DIFFERENCES(y1, y3) \
	VMOVUPS     (DI)(AX*1), Y12;      \
	VSUBPS      (DI)(AX*2), Y12, Y12; \
	VMOVUPS     (DI)(BX*1), Y13;      \
	VSUBPS      (DI)(AX*4), Y13, Y13; \
	VMOVUPS     (DI)(CX*1), y3;       \
	VMULPS      Y14, Y12, y1;         \
	VFMADD231PS Y15, Y13, y1;         \
	VFMADD231PS wa3<>(SB), Y12, y3;   \
	VFMADD231PS wb3<>(SB), Y13, y3;   \
	ADDQ        DX, DI

// ACROSS computes Aᵀ m of a row to d0, d2, d1 and d5, in this order.
#define ACROSS(d0, d1, d2, d3, d4, d5) \
	VSUBPS      d2, d1, Y12;         \
	VADDPS      d2, d1, d1;          \
	VSUBPS      d4, d3, Y13;         \
	VADDPS      d4, d3, d3;          \
	VADDPS      d1, d0, d0;          \
	VADDPS      d3, d0, d0;          \
	VMULPS      wa2<>(SB), d1, d1;   \
	VFMADD231PS wb2<>(SB), d3, d1;   \
	VMULPS      wa<>(SB), Y12, d2;   \
	VFMADD231PS wb<>(SB), Y13, d2;   \
	VFMADD231PS wa3<>(SB), Y12, d5;  \
	VFMADD231PS wb3<>(SB), Y13, d5

// PIXELS stores a row of up to four pixels from SI on; R13 is their number.
#define PIXELS(y0, y1, y2, y3) \
	VMOVUPS y0, (SI);         \
	CMPB    R13, $2;          \
	JLT     7(PC);            \
	VMOVUPS y1, (SI)(R11*1);  \
	JEQ     5(PC);            \
	VMOVUPS y2, (SI)(R11*2);  \
	TESTB   $4, R13;          \
	JEQ     2(PC);            \
	VMOVUPS y3, (SI)(R12*1)

// EPILOGUE adds the bias and what lies where the pixels will, and takes the larger
// of that and least; of a NaN and a number VMAXPS takes what is its first operand
// here. It uses Y12 and DI.
#define EPILOGUE(y0, y1, y2, y3) \
	CMPQ         end+64(FP), $0;     \
	JEQ          27(PC);             \
	MOVQ         bias+72(FP), DI;    \
	VMOVUPS      (DI), Y12;          \
	VADDPS       Y12, y0, y0;        \
	VADDPS       Y12, y1, y1;        \
	VADDPS       Y12, y2, y2;        \
	VADDPS       Y12, y3, y3;        \
	MOVQ         add+80(FP), DI;     \
	TESTQ        DI, DI;             \
	JEQ          13(PC);             \
	ADDQ         SI, DI;             \
	SUBQ         start-8(SP), DI;    \
	VADDPS       (DI), y0, y0;       \
	CMPB         R13, $2;            \
	JLT          8(PC);              \
	VADDPS       (DI)(R11*1), y1, y1; \
	CMPB         R13, $2;            \
	JEQ          5(PC);              \
	VADDPS       (DI)(R11*2), y2, y2; \
	TESTB        $4, R13;            \
	JEQ          2(PC);              \
	VADDPS       (DI)(R12*1), y3, y3; \
	VBROADCASTSS least+88(FP), Y12;  \
	VMAXPS       y0, Y12, y0;        \
	VMAXPS       y1, Y12, y1;        \
	VMAXPS       y2, Y12, y2;        \
	VMAXPS       y3, Y12, y3

// WEIGHTS2 computes elements 1 and 2, or 3 and 4, of G g down a column; Y14, Y13
// and Y12 hold the factors of g0, g1 and g2. Y11 is spoilt.
#define WEIGHTS2(g0, g1, g2, s, t) \
	VMULPS       g0, Y14, s;    \
	VMULPS       g1, Y13, Y11;  \
	VFMADD231PS  g2, Y12, s;    \
	VSUBPS       Y11, s, t;     \
	VADDPS       Y11, s, s

// SPREAD3 computes G g of a row and stores it to six planes from DI on, using Y8
// to Y11.
#define SPREAD3(g0, g1, g2) \
	VMULPS      wg0<>(SB), g0, Y8;    \
	VMOVUPS     Y8, (DI);             \
	VMOVUPS     g2, (DI)(R14*1);      \
	VMULPS      wga<>(SB), g0, Y8;    \
	VMULPS      wga1<>(SB), g1, Y9;   \
	VMULPS      wgb<>(SB), g0, Y10;   \
	VMULPS      wgb1<>(SB), g1, Y11;  \
	VFMADD231PS wga2<>(SB), g2, Y8;   \
	VFMADD231PS wgb2<>(SB), g2, Y10;  \
	VADDPS      Y9, Y8, g0;           \
	VSUBPS      Y9, Y8, Y8;           \
	VADDPS      Y11, Y10, g1;         \
	VSUBPS      Y11, Y10, Y10;        \
	VMOVUPS     g0, (DI)(DX*1);       \
	VMOVUPS     Y8, (DI)(DX*2);       \
	VMOVUPS     g1, (DI)(R15*1);      \
	VMOVUPS     Y10, (DI)(DX*4)

// COLUMN4 computes elements 1 and 2, or 3 and 4, of A d down a column of four,
// where the column is in the result; Y14 and Y15 hold wa2 and wa, or wb2 and wb.
#define COLUMN4(bit, d0, d1, d2, d3, s, t) \
	VXORPS       s, s, s;       \
	VXORPS       t, t, t;       \
	TESTB        $bit, (SI);    \
	JEQ          8(PC);         \
	VMOVUPS      d0, s;         \
	VMOVUPS      d1, Y13;       \
	VFMADD231PS  d2, Y14, s;    \
	VFMADD231PS  d3, Y14, Y13;  \
	VMOVAPS      s, t;          \
	VFMADD231PS  Y13, Y15, s;   \
	VFNMADD231PS Y13, Y15, t

// COPY4 loads a column's first and last element.
#define COPY4(bit, d0, d3, s, t) \
	VXORPS  s, s, s;     \
	VXORPS  t, t, t;     \
	TESTB   $bit, (SI);  \
	JEQ     3(PC);       \
	VMOVUPS d0, s;       \
	VMOVUPS d3, t

// SPREAD4 computes A d of a row and stores it to six planes from DI on, using
// Y8 to Y10.
#define SPREAD4(d0, d1, d2, d3) \
	VMOVUPS      d0, (DI);             \
	VMOVUPS      d3, (DI)(R14*1);      \
	VMOVAPS      d0, Y8;               \
	VMOVAPS      d1, Y9;               \
	VFMADD231PS  wa2<>(SB), d2, Y8;    \
	VFMADD231PS  wa2<>(SB), d3, Y9;    \
	VMOVAPS      Y8, Y10;              \
	VFMADD231PS  wa<>(SB), Y9, Y8;     \
	VFNMADD231PS wa<>(SB), Y9, Y10;    \
	VMOVUPS      Y8, (DI)(DX*1);       \
	VMOVUPS      Y10, (DI)(DX*2);      \
	VFMADD231PS  wb2<>(SB), d2, d0;    \
	VFMADD231PS  wb2<>(SB), d3, d1;    \
	VMOVAPS      d0, Y10;              \
	VFMADD231PS  wb<>(SB), d1, d0;     \
	VFNMADD231PS wb<>(SB), d1, Y10;    \
	VMOVUPS      d0, (DI)(R15*1);      \
	VMOVUPS      Y10, (DI)(DX*4)

// OUTER adds the products of 4 elements at SI with 16 at DI, and goes on to the
// next tile.
#define OUTER \
	VMOVUPS      (DI), Y0;        \
	VMOVUPS      32(DI), Y1;      \
	TIMES2((SI), Y4, Y5, Y2);     \
	TIMES2(4(SI), Y6, Y7, Y3);    \
	TIMES2(8(SI), Y8, Y9, Y2);    \
	TIMES2(12(SI), Y10, Y11, Y3); \
	ADDQ         DX, SI;          \
	ADDQ         AX, DI

// DOWN computes element 0, 1 or 2 of Gᵀ m down a column from DI on, and goes on
// to the next column. The last two factors are in Y14 and Y15.
#define DOWN0(t) \
	VMOVUPS     (DI)(AX*1), t;        \
	VADDPS      (DI)(AX*2), t, t;     \
	VMOVUPS     (DI)(BX*1), Y13;      \
	VADDPS      (DI)(AX*4), Y13, Y13; \
	VMULPS      Y14, t, t;            \
	VFMADD231PS Y15, Y13, t;          \
	VFMADD231PS (DI), Y12, t;         \
	ADDQ        DX, DI

#define DOWN1(t) \
	VMOVUPS     (DI)(AX*1), t;        \
	VSUBPS      (DI)(AX*2), t, t;     \
	VMOVUPS     (DI)(BX*1), Y13;      \
	VSUBPS      (DI)(AX*4), Y13, Y13; \
	VMULPS      Y14, t, t;            \
	VFMADD231PS Y15, Y13, t;          \
	ADDQ        DX, DI

#define DOWN2(t) \
	VMOVUPS     (DI)(AX*1), t;        \
	VADDPS      (DI)(AX*2), t, t;     \
	VMOVUPS     (DI)(BX*1), Y13;      \
	VADDPS      (DI)(AX*4), Y13, Y13; \
	VMULPS      Y14, t, t;            \
	VFMADD231PS Y15, Y13, t;          \
	VADDPS      (DI)(CX*1), t, t;     \
	ADDQ        DX, DI

// FOLD computes Gᵀ m of the row in Y0 to Y5 and stores its three elements from
// R8 on, which goes on to the next row.
#define FOLD \
	VSUBPS      Y2, Y1, Y6;            \
	VADDPS      Y2, Y1, Y1;            \
	VSUBPS      Y4, Y3, Y7;            \
	VADDPS      Y4, Y3, Y3;            \
	VMULPS      wga<>(SB), Y1, Y8;     \
	VFMADD231PS wgb<>(SB), Y3, Y8;     \
	VFMADD231PS wg0<>(SB), Y0, Y8;     \
	VMOVUPS     Y8, (R8);              \
	VMULPS      wga1<>(SB), Y6, Y8;    \
	VFMADD231PS wgb1<>(SB), Y7, Y8;    \
	VMOVUPS     Y8, (R8)(R11*1);       \
	VFMADD231PS wga2<>(SB), Y1, Y5;    \
	VFMADD231PS wgb2<>(SB), Y3, Y5;    \
	VMOVUPS     Y5, (R8)(R11*2);       \
	ADDQ        R12, R8

// func winogradInput8(v, x, zero *float32, rows *int, columns *uint8, tiles, plane, c int)
TEXT ·winogradInput8(SB), NOSPLIT, $8-64
	MOVQ plane+48(FP), DX
	SHLQ $2, DX
	LEAQ (DX)(DX*2), R15
	LEAQ (DX)(DX*4), R14

input:
	// The rows of the window, or zeros.
	MOVQ rows+24(FP), DI
	MOVQ x+8(FP), BX
	MOVQ zero+16(FP), AX
	MOVQ $(-1<<62), CX
	ROW(0, R8)
	ROW(8, R9)
	ROW(16, R10)
	ROW(24, R11)
	ROW(32, R12)
	ROW(40, R13)
	MOVQ c+56(FP), AX
	MOVQ AX, left-8(SP)
	SHLQ $2, AX
	LEAQ (AX)(AX*2), BX
	LEAQ (AX)(AX*4), CX
	MOVQ columns+32(FP), SI
	MOVQ v+0(FP), DI

channels:
	LEAQ (DI)(R15*2), DI
	VMOVUPS wb2<>(SB), Y14
	VMOVUPS wa<>(SB), Y15
	PAIR(1, (R9), (R10), (R11), (R12), Y0, Y6)
	PAIR(2, (R9)(AX*1), (R10)(AX*1), (R11)(AX*1), (R12)(AX*1), Y1, Y7)
	PAIR(4, (R9)(AX*2), (R10)(AX*2), (R11)(AX*2), (R12)(AX*2), Y2, Y8)
	PAIR(8, (R9)(BX*1), (R10)(BX*1), (R11)(BX*1), (R12)(BX*1), Y3, Y9)
	PAIR(16, (R9)(AX*4), (R10)(AX*4), (R11)(AX*4), (R12)(AX*4), Y4, Y10)
	PAIR(32, (R9)(CX*1), (R10)(CX*1), (R11)(CX*1), (R12)(CX*1), Y5, Y11)
	ALONG(Y0, Y1, Y2, Y3, Y4, Y5)
	LEAQ (DI)(R15*2), DI
	ALONG(Y6, Y7, Y8, Y9, Y10, Y11)

	VMOVUPS wa2<>(SB), Y14
	VMOVUPS wb<>(SB), Y15
	LEAQ (DI)(R15*2), DI
	PAIR(1, (R9), (R10), (R11), (R12), Y0, Y6)
	PAIR(2, (R9)(AX*1), (R10)(AX*1), (R11)(AX*1), (R12)(AX*1), Y1, Y7)
	PAIR(4, (R9)(AX*2), (R10)(AX*2), (R11)(AX*2), (R12)(AX*2), Y2, Y8)
	PAIR(8, (R9)(BX*1), (R10)(BX*1), (R11)(BX*1), (R12)(BX*1), Y3, Y9)
	PAIR(16, (R9)(AX*4), (R10)(AX*4), (R11)(AX*4), (R12)(AX*4), Y4, Y10)
	PAIR(32, (R9)(CX*1), (R10)(CX*1), (R11)(CX*1), (R12)(CX*1), Y5, Y11)
	ALONG(Y0, Y1, Y2, Y3, Y4, Y5)
	LEAQ (DI)(R15*2), DI
	ALONG(Y6, Y7, Y8, Y9, Y10, Y11)

	VMOVUPS was<>(SB), Y14
	VMOVUPS wap<>(SB), Y15
	ENDS(1, (R8), (R9), (R10), (R11), (R12), (R13), Y0, Y6)
	ENDS(2, (R8)(AX*1), (R9)(AX*1), (R10)(AX*1), (R11)(AX*1), (R12)(AX*1), (R13)(AX*1), Y1, Y7)
	ENDS(4, (R8)(AX*2), (R9)(AX*2), (R10)(AX*2), (R11)(AX*2), (R12)(AX*2), (R13)(AX*2), Y2, Y8)
	ENDS(8, (R8)(BX*1), (R9)(BX*1), (R10)(BX*1), (R11)(BX*1), (R12)(BX*1), (R13)(BX*1), Y3, Y9)
	ENDS(16, (R8)(AX*4), (R9)(AX*4), (R10)(AX*4), (R11)(AX*4), (R12)(AX*4), (R13)(AX*4), Y4, Y10)
	ENDS(32, (R8)(CX*1), (R9)(CX*1), (R10)(CX*1), (R11)(CX*1), (R12)(CX*1), (R13)(CX*1), Y5, Y11)
	LEAQ (DI)(R15*2), DI
	ALONG(Y6, Y7, Y8, Y9, Y10, Y11)
	MOVQ v+0(FP), DI
	ALONG(Y0, Y1, Y2, Y3, Y4, Y5)

	ADDQ $32, R8
	ADDQ $32, R9
	ADDQ $32, R10
	ADDQ $32, R11
	ADDQ $32, R12
	ADDQ $32, R13
	ADDQ $32, v+0(FP)
	MOVQ v+0(FP), DI
	SUBQ $8, left-8(SP)
	JNZ  channels

	SHLQ $2, AX
	ADDQ AX, x+8(FP)
	INCQ columns+32(FP)
	DECQ tiles+40(FP)
	JNZ  input
	VZEROUPPER
	RET

// func winogradProduct16(m, v, u *float32, blocks, panels, c, k, mPlane, vPlane int, near, next *float32, nearStep, nextStep int)
TEXT ·winogradProduct16(SB), NOSPLIT, $24-104
	MOVQ c+40(FP), AX
	SHLQ $2, AX
	LEAQ (AX)(AX*2), R8
	LEAQ (AX)(AX*4), R9
	MOVQ k+48(FP), DX
	SHLQ $2, DX
	LEAQ (DX)(DX*2), R10
	LEAQ (DX)(DX*4), R11
	MOVQ u+16(FP), R12      // the panel
	MOVQ $36, planes-8(SP)
	MOVQ near+72(FP), R13
	MOVQ next+80(FP), R14

plane16:
	MOVQ panels+32(FP), CX
	MOVQ CX, left-16(SP)
	MOVQ m+0(FP), DI
	MOVQ DI, column-24(SP)

panel16:
	MOVQ blocks+24(FP), R15
	MOVQ v+8(FP), SI
	MOVQ column-24(SP), DI

block16:
	ZERO12
	MOVQ R12, BX
	MOVQ c+40(FP), CX
	SHRQ $2, CX

depth16:
	DEPTH(0, 0)
	DEPTH(4, 64)
	DEPTH(8, 128)
	DEPTH(12, 192)
	FETCH
	ADDQ nearStep+88(FP), R13
	ADDQ nextStep+96(FP), R14
	ADDQ $16, SI
	ADDQ $256, BX
	DECQ CX
	JNZ  depth16

	VMOVUPS Y4, (DI)
	VMOVUPS Y5, 32(DI)
	VMOVUPS Y6, (DI)(DX*1)
	VMOVUPS Y7, 32(DI)(DX*1)
	VMOVUPS Y8, (DI)(DX*2)
	VMOVUPS Y9, 32(DI)(DX*2)
	VMOVUPS Y10, (DI)(R10*1)
	VMOVUPS Y11, 32(DI)(R10*1)
	VMOVUPS Y12, (DI)(DX*4)
	VMOVUPS Y13, 32(DI)(DX*4)
	VMOVUPS Y14, (DI)(R11*1)
	VMOVUPS Y15, 32(DI)(R11*1)
	ADDQ R9, SI
	LEAQ (DI)(R10*2), DI
	DECQ R15
	JNZ  block16

	MOVQ BX, R12
	ADDQ $64, column-24(SP)
	DECQ left-16(SP)
	JNZ  panel16

	// Past the panel of eight, where there is one.
	MOVQ  k+48(FP), CX
	ANDQ  $8, CX
	IMULQ AX, CX
	ADDQ  CX, R12
	MOVQ  mPlane+56(FP), CX
	SHLQ  $2, CX
	ADDQ  CX, m+0(FP)
	MOVQ  vPlane+64(FP), CX
	SHLQ  $2, CX
	ADDQ  CX, v+8(FP)
	DECQ  planes-8(SP)
	JNZ   plane16
	VZEROUPPER
	RET

// func winogradProduct8(m, v, u *float32, blocks, c, k, mPlane, vPlane int)
TEXT ·winogradProduct8(SB), NOSPLIT, $8-64
	MOVQ c+32(FP), AX
	SHLQ $2, AX
	LEAQ (AX)(AX*2), R8
	LEAQ (AX)(AX*4), R9
	MOVQ k+40(FP), DX
	SHLQ $2, DX
	LEAQ (DX)(DX*2), R10
	LEAQ (DX)(DX*4), R11
	MOVQ AX, R13
	IMULQ k+40(FP), R13     // a plane of u
	MOVQ u+16(FP), R12
	MOVQ $36, planes-8(SP)

plane8:
	MOVQ blocks+24(FP), R15
	MOVQ v+8(FP), SI
	MOVQ m+0(FP), DI

block8:
	ZERO12
	MOVQ R12, BX
	MOVQ c+32(FP), CX
	SHRQ $1, CX

depth8:
	VMOVUPS      (BX), Y0
	VMOVUPS      32(BX), Y1
	VBROADCASTSS (SI), Y2
	VBROADCASTSS 4(SI), Y3
	VFMADD231PS  Y0, Y2, Y4
	VFMADD231PS  Y1, Y3, Y5
	VBROADCASTSS (SI)(AX*1), Y2
	VBROADCASTSS 4(SI)(AX*1), Y3
	VFMADD231PS  Y0, Y2, Y6
	VFMADD231PS  Y1, Y3, Y7
	VBROADCASTSS (SI)(AX*2), Y2
	VBROADCASTSS 4(SI)(AX*2), Y3
	VFMADD231PS  Y0, Y2, Y8
	VFMADD231PS  Y1, Y3, Y9
	VBROADCASTSS (SI)(R8*1), Y2
	VBROADCASTSS 4(SI)(R8*1), Y3
	VFMADD231PS  Y0, Y2, Y10
	VFMADD231PS  Y1, Y3, Y11
	VBROADCASTSS (SI)(AX*4), Y2
	VBROADCASTSS 4(SI)(AX*4), Y3
	VFMADD231PS  Y0, Y2, Y12
	VFMADD231PS  Y1, Y3, Y13
	VBROADCASTSS (SI)(R9*1), Y2
	VBROADCASTSS 4(SI)(R9*1), Y3
	VFMADD231PS  Y0, Y2, Y14
	VFMADD231PS  Y1, Y3, Y15
	ADDQ $8, SI
	ADDQ $64, BX
	DECQ CX
	JNZ  depth8

	VADDPS  Y5, Y4, Y4
	VADDPS  Y7, Y6, Y6
	VADDPS  Y9, Y8, Y8
	VADDPS  Y11, Y10, Y10
	VADDPS  Y13, Y12, Y12
	VADDPS  Y15, Y14, Y14
	VMOVUPS Y4, (DI)
	VMOVUPS Y6, (DI)(DX*1)
	VMOVUPS Y8, (DI)(DX*2)
	VMOVUPS Y10, (DI)(R10*1)
	VMOVUPS Y12, (DI)(DX*4)
	VMOVUPS Y14, (DI)(R11*1)
	ADDQ R9, SI
	LEAQ (DI)(R10*2), DI
	DECQ R15
	JNZ  block8

	ADDQ  R13, R12
	MOVQ  mPlane+48(FP), CX
	SHLQ  $2, CX
	ADDQ  CX, m+0(FP)
	MOVQ  vPlane+56(FP), CX
	SHLQ  $2, CX
	ADDQ  CX, v+8(FP)
	DECQ  planes-8(SP)
	JNZ   plane8
	VZEROUPPER
	RET

// func winogradOutput8(y, m *float32, columns *uint8, tiles, rows, row, plane, k, end int, bias, add *float32, least float32)
TEXT ·winogradOutput8(SB), NOSPLIT, $8-92
	MOVQ plane+48(FP), DX
	SHLQ $2, DX
	LEAQ (DX)(DX*2), AX
	SHLQ $1, AX             // a row of planes
	LEAQ (AX)(AX*2), BX
	LEAQ (AX)(AX*4), CX
	MOVQ row+40(FP), R9
	SHLQ $2, R9
	MOVQ k+56(FP), R11
	SHLQ $2, R11
	LEAQ (R11)(R11*2), R12
	MOVQ rows+32(FP), R10

	MOVQ y+0(FP), DI
	MOVQ DI, start-8(SP)

output:
	MOVQ    columns+16(FP), DI
	MOVBLZX (DI), R13
	MOVQ    k+56(FP), R14
	MOVQ    y+0(FP), R8
	MOVQ    m+8(FP), R15

lanes:
	MOVQ    R15, DI
	VMOVUPS wa2<>(SB), Y14
	VMOVUPS wb2<>(SB), Y15
	SUMS(Y0, Y6)
	SUMS(Y1, Y7)
	SUMS(Y2, Y8)
	SUMS(Y3, Y9)
	SUMS(Y4, Y10)
	SUMS(Y5, Y11)
	MOVQ R8, SI
	ACROSS(Y0, Y1, Y2, Y3, Y4, Y5)
	EPILOGUE(Y0, Y2, Y1, Y5)
	PIXELS(Y0, Y2, Y1, Y5)
	CMPQ R10, $3
	JLT  odd
	LEAQ (R8)(R9*2), SI
	ACROSS(Y6, Y7, Y8, Y9, Y10, Y11)
	EPILOGUE(Y6, Y8, Y7, Y11)
	PIXELS(Y6, Y8, Y7, Y11)

odd:
	CMPQ    R10, $2
	JLT     next
	MOVQ    R15, DI
	VMOVUPS wa<>(SB), Y14
	VMOVUPS wb<>(SB), Y15
	DIFFERENCES(Y0, Y6)
	DIFFERENCES(Y1, Y7)
	DIFFERENCES(Y2, Y8)
	DIFFERENCES(Y3, Y9)
	DIFFERENCES(Y4, Y10)
	DIFFERENCES(Y5, Y11)
	LEAQ (R8)(R9*1), SI
	ACROSS(Y0, Y1, Y2, Y3, Y4, Y5)
	EPILOGUE(Y0, Y2, Y1, Y5)
	PIXELS(Y0, Y2, Y1, Y5)
	CMPQ R10, $4
	JLT  next
	LEAQ (SI)(R9*2), SI
	ACROSS(Y6, Y7, Y8, Y9, Y10, Y11)
	EPILOGUE(Y6, Y8, Y7, Y11)
	PIXELS(Y6, Y8, Y7, Y11)

next:
	ADDQ $32, bias+72(FP)
	ADDQ $32, R8
	ADDQ $32, R15
	SUBQ $8, R14
	JNZ  lanes

	SUBQ R11, bias+72(FP)
	MOVQ R15, m+8(FP)
	LEAQ (R8)(R12*1), R8
	MOVQ R8, y+0(FP)
	INCQ columns+16(FP)
	DECQ tiles+24(FP)
	JNZ  output
	VZEROUPPER
	RET

// func winogradWeights8(u, taps *float32, plane, n int)
TEXT ·winogradWeights8(SB), NOSPLIT, $0-32
	MOVQ u+0(FP), AX
	MOVQ taps+8(FP), R8
	MOVQ plane+16(FP), DX
	SHLQ $2, DX
	LEAQ (DX)(DX*2), R15
	LEAQ (DX)(DX*4), R14
	MOVQ n+24(FP), CX
	MOVQ CX, BX
	SHLQ $2, BX             // from a tap to the next
	LEAQ (BX)(BX*2), R11    // to the next row
	LEAQ (R8)(R11*1), R9
	LEAQ (R9)(R11*1), R10

weights:
	MOVQ    AX, DI
	VMOVUPS wg0<>(SB), Y3
	VMULPS  (R8), Y3, Y0
	VMULPS  (R8)(BX*1), Y3, Y1
	VMULPS  (R8)(BX*2), Y3, Y2
	SPREAD3(Y0, Y1, Y2)

	VMOVUPS wga<>(SB), Y14
	VMOVUPS wga1<>(SB), Y13
	VMOVUPS wga2<>(SB), Y12
	WEIGHTS2((R8), (R9), (R10), Y0, Y3)
	WEIGHTS2((R8)(BX*1), (R9)(BX*1), (R10)(BX*1), Y1, Y4)
	WEIGHTS2((R8)(BX*2), (R9)(BX*2), (R10)(BX*2), Y2, Y5)
	LEAQ (DI)(R15*2), DI
	SPREAD3(Y0, Y1, Y2)
	LEAQ (DI)(R15*2), DI
	SPREAD3(Y3, Y4, Y5)

	VMOVUPS wgb<>(SB), Y14
	VMOVUPS wgb1<>(SB), Y13
	VMOVUPS wgb2<>(SB), Y12
	WEIGHTS2((R8), (R9), (R10), Y0, Y3)
	WEIGHTS2((R8)(BX*1), (R9)(BX*1), (R10)(BX*1), Y1, Y4)
	WEIGHTS2((R8)(BX*2), (R9)(BX*2), (R10)(BX*2), Y2, Y5)
	LEAQ (DI)(R15*2), DI
	SPREAD3(Y0, Y1, Y2)
	LEAQ (DI)(R15*2), DI
	SPREAD3(Y3, Y4, Y5)

	VMOVUPS (R10), Y0
	VMOVUPS (R10)(BX*1), Y1
	VMOVUPS (R10)(BX*2), Y2
	LEAQ (DI)(R15*2), DI
	SPREAD3(Y0, Y1, Y2)

	ADDQ $32, R8
	ADDQ $32, R9
	ADDQ $32, R10
	ADDQ $32, AX
	SUBQ $8, CX
	JNZ  weights
	VZEROUPPER
	RET

// func winogradSpread8(v, y, zero *float32, rows *int, columns *uint8, tiles, plane, k, step int)
TEXT ·winogradSpread8(SB), NOSPLIT, $0-72
	MOVQ plane+48(FP), DX
	SHLQ $2, DX
	LEAQ (DX)(DX*2), R15
	LEAQ (DX)(DX*4), R14

spread:
	MOVQ rows+24(FP), DI
	MOVQ y+8(FP), BX
	MOVQ zero+16(FP), AX
	MOVQ $(-1<<62), CX
	ROW(0, R8)
	ROW(8, R9)
	ROW(16, R10)
	ROW(24, R11)
	MOVQ k+56(FP), CX
	MOVQ step+64(FP), AX
	SHLQ $2, AX
	LEAQ (AX)(AX*2), BX
	MOVQ columns+32(FP), SI
	MOVQ v+0(FP), R12

spread8:
	MOVQ R12, DI
	COPY4(1, (R8), (R11), Y0, Y4)
	COPY4(2, (R8)(AX*1), (R11)(AX*1), Y1, Y5)
	COPY4(4, (R8)(AX*2), (R11)(AX*2), Y2, Y6)
	COPY4(8, (R8)(BX*1), (R11)(BX*1), Y3, Y7)
	SPREAD4(Y0, Y1, Y2, Y3)
	LEAQ (DI)(R15*8), DI
	LEAQ (DI)(R15*2), DI
	SPREAD4(Y4, Y5, Y6, Y7)

	VMOVUPS wa2<>(SB), Y14
	VMOVUPS wa<>(SB), Y15
	LEAQ (R12)(R15*2), DI
	COLUMN4(1, (R8), (R9), (R10), (R11), Y0, Y4)
	COLUMN4(2, (R8)(AX*1), (R9)(AX*1), (R10)(AX*1), (R11)(AX*1), Y1, Y5)
	COLUMN4(4, (R8)(AX*2), (R9)(AX*2), (R10)(AX*2), (R11)(AX*2), Y2, Y6)
	COLUMN4(8, (R8)(BX*1), (R9)(BX*1), (R10)(BX*1), (R11)(BX*1), Y3, Y7)
	SPREAD4(Y0, Y1, Y2, Y3)
	LEAQ (DI)(R15*2), DI
	SPREAD4(Y4, Y5, Y6, Y7)

	VMOVUPS wb2<>(SB), Y14
	VMOVUPS wb<>(SB), Y15
	LEAQ (DI)(R15*2), DI
	COLUMN4(1, (R8), (R9), (R10), (R11), Y0, Y4)
	COLUMN4(2, (R8)(AX*1), (R9)(AX*1), (R10)(AX*1), (R11)(AX*1), Y1, Y5)
	COLUMN4(4, (R8)(AX*2), (R9)(AX*2), (R10)(AX*2), (R11)(AX*2), Y2, Y6)
	COLUMN4(8, (R8)(BX*1), (R9)(BX*1), (R10)(BX*1), (R11)(BX*1), Y3, Y7)
	SPREAD4(Y0, Y1, Y2, Y3)
	LEAQ (DI)(R15*2), DI
	SPREAD4(Y4, Y5, Y6, Y7)

	ADDQ $32, R8
	ADDQ $32, R9
	ADDQ $32, R10
	ADDQ $32, R11
	ADDQ $32, R12
	SUBQ $8, CX
	JNZ  spread8

	MOVQ R12, v+0(FP)
	SHLQ $2, AX
	ADDQ AX, y+8(FP)
	INCQ columns+32(FP)
	DECQ tiles+40(FP)
	JNZ  spread
	VZEROUPPER
	RET

// func winogradOuter16(s, d, v *float32, tiles, c, k, plane, dPlane, vPlane, add int, near, next *float32, nearStep, nextStep int)
TEXT ·winogradOuter16(SB), NOSPLIT, $8-112
	MOVQ c+32(FP), AX
	SHLQ $2, AX             // a row of s, and of v
	LEAQ (AX)(AX*2), R9
	MOVQ k+40(FP), DX
	SHLQ $2, DX             // a row of d
	MOVQ near+80(FP), R13
	MOVQ next+88(FP), R14
	MOVQ $36, planes-8(SP)

outerPlane:
	MOVQ s+0(FP), R8
	MOVQ d+8(FP), R10
	MOVQ k+40(FP), R11      // rows left

outerRows:
	MOVQ v+16(FP), R12
	MOVQ c+32(FP), R15      // columns left

outerColumns:
	CMPQ R15, $16
	JLT  outerNext
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
	VXORPS Y10, Y10, Y10
	VXORPS Y11, Y11, Y11
	MOVQ R10, SI
	MOVQ R12, DI
	MOVQ tiles+24(FP), CX
	SUBQ $4, CX
	JLT  outerTail

outer4:
	OUTER
	OUTER
	OUTER
	OUTER
	FETCH
	ADDQ nearStep+96(FP), R13
	ADDQ nextStep+104(FP), R14
	SUBQ $4, CX
	JGE  outer4

outerTail:
	ADDQ $4, CX
	JEQ  outerSums

outer1:
	OUTER
	DECQ CX
	JNZ  outer1

outerSums:
	CMPQ add+72(FP), $0
	JEQ  outerStore
	VADDPS (R8), Y4, Y4
	VADDPS 32(R8), Y5, Y5
	VADDPS (R8)(AX*1), Y6, Y6
	VADDPS 32(R8)(AX*1), Y7, Y7
	VADDPS (R8)(AX*2), Y8, Y8
	VADDPS 32(R8)(AX*2), Y9, Y9
	VADDPS (R8)(R9*1), Y10, Y10
	VADDPS 32(R8)(R9*1), Y11, Y11

outerStore:
	VMOVUPS Y4, (R8)
	VMOVUPS Y5, 32(R8)
	VMOVUPS Y6, (R8)(AX*1)
	VMOVUPS Y7, 32(R8)(AX*1)
	VMOVUPS Y8, (R8)(AX*2)
	VMOVUPS Y9, 32(R8)(AX*2)
	VMOVUPS Y10, (R8)(R9*1)
	VMOVUPS Y11, 32(R8)(R9*1)
	ADDQ $64, R8
	ADDQ $64, R12
	SUBQ $16, R15
	JMP  outerColumns

outerNext:
	LEAQ (R8)(R15*4), R8
	ADDQ R9, R8
	ADDQ $16, R10
	SUBQ $4, R11
	JNZ  outerRows

	MOVQ plane+48(FP), CX
	SHLQ $2, CX
	ADDQ CX, s+0(FP)
	MOVQ dPlane+56(FP), CX
	SHLQ $2, CX
	ADDQ CX, d+8(FP)
	MOVQ vPlane+64(FP), CX
	SHLQ $2, CX
	ADDQ CX, v+16(FP)
	DECQ planes-8(SP)
	JNZ  outerPlane
	VZEROUPPER
	RET

// func winogradOuter8(s, d, v *float32, tiles, c, k, plane, dPlane, vPlane, add int)
TEXT ·winogradOuter8(SB), NOSPLIT, $8-80
	MOVQ c+32(FP), AX
	SHLQ $2, AX
	LEAQ (AX)(AX*2), R9
	MOVQ k+40(FP), DX
	SHLQ $2, DX
	MOVQ $36, planes-8(SP)

plane8:
	MOVQ s+0(FP), R8
	MOVQ d+8(FP), R10
	MOVQ k+40(FP), R11

rows8:
	LEAQ (R8)(AX*4), R12
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
	VXORPS Y10, Y10, Y10
	VXORPS Y11, Y11, Y11
	MOVQ R10, SI
	MOVQ v+16(FP), DI
	MOVQ tiles+24(FP), CX

tile8:
	VMOVUPS      (DI), Y0
	VBROADCASTSS (SI), Y2
	VBROADCASTSS 4(SI), Y3
	VFMADD231PS  Y0, Y2, Y4
	VFMADD231PS  Y0, Y3, Y5
	VBROADCASTSS 8(SI), Y2
	VBROADCASTSS 12(SI), Y3
	VFMADD231PS  Y0, Y2, Y6
	VFMADD231PS  Y0, Y3, Y7
	VBROADCASTSS 16(SI), Y2
	VBROADCASTSS 20(SI), Y3
	VFMADD231PS  Y0, Y2, Y8
	VFMADD231PS  Y0, Y3, Y9
	VBROADCASTSS 24(SI), Y2
	VBROADCASTSS 28(SI), Y3
	VFMADD231PS  Y0, Y2, Y10
	VFMADD231PS  Y0, Y3, Y11
	ADDQ DX, SI
	ADDQ AX, DI
	DECQ CX
	JNZ  tile8

	CMPQ add+72(FP), $0
	JEQ  store8
	VADDPS (R8), Y4, Y4
	VADDPS (R8)(AX*1), Y5, Y5
	VADDPS (R8)(AX*2), Y6, Y6
	VADDPS (R8)(R9*1), Y7, Y7
	VADDPS (R12), Y8, Y8
	VADDPS (R12)(AX*1), Y9, Y9
	VADDPS (R12)(AX*2), Y10, Y10
	VADDPS (R12)(R9*1), Y11, Y11

store8:
	VMOVUPS Y4, (R8)
	VMOVUPS Y5, (R8)(AX*1)
	VMOVUPS Y6, (R8)(AX*2)
	VMOVUPS Y7, (R8)(R9*1)
	VMOVUPS Y8, (R12)
	VMOVUPS Y9, (R12)(AX*1)
	VMOVUPS Y10, (R12)(AX*2)
	VMOVUPS Y11, (R12)(R9*1)
	LEAQ (R12)(AX*4), R8
	ADDQ $32, R10
	SUBQ $8, R11
	JNZ  rows8

	MOVQ plane+48(FP), CX
	SHLQ $2, CX
	ADDQ CX, s+0(FP)
	MOVQ dPlane+56(FP), CX
	SHLQ $2, CX
	ADDQ CX, d+8(FP)
	MOVQ vPlane+64(FP), CX
	SHLQ $2, CX
	ADDQ CX, v+16(FP)
	DECQ planes-8(SP)
	JNZ  plane8
	VZEROUPPER
	RET

// func winogradFold8(w, s *float32, step, plane, n int)
TEXT ·winogradFold8(SB), NOSPLIT, $0-40
	MOVQ w+0(FP), R9
	MOVQ s+8(FP), R10
	MOVQ step+16(FP), R11
	SHLQ $2, R11
	LEAQ (R11)(R11*2), R12
	MOVQ plane+24(FP), DX
	SHLQ $2, DX
	LEAQ (DX)(DX*2), AX
	SHLQ $1, AX
	LEAQ (AX)(AX*2), BX
	LEAQ (AX)(AX*4), CX
	MOVQ n+32(FP), R13

fold:
	MOVQ    R9, R8
	MOVQ    R10, DI
	VMOVUPS wg0<>(SB), Y12
	VMOVUPS wga<>(SB), Y14
	VMOVUPS wgb<>(SB), Y15
	DOWN0(Y0)
	DOWN0(Y1)
	DOWN0(Y2)
	DOWN0(Y3)
	DOWN0(Y4)
	DOWN0(Y5)
	FOLD
	MOVQ    R10, DI
	VMOVUPS wga1<>(SB), Y14
	VMOVUPS wgb1<>(SB), Y15
	DOWN1(Y0)
	DOWN1(Y1)
	DOWN1(Y2)
	DOWN1(Y3)
	DOWN1(Y4)
	DOWN1(Y5)
	FOLD
	MOVQ    R10, DI
	VMOVUPS wga2<>(SB), Y14
	VMOVUPS wgb2<>(SB), Y15
	DOWN2(Y0)
	DOWN2(Y1)
	DOWN2(Y2)
	DOWN2(Y3)
	DOWN2(Y4)
	DOWN2(Y5)
	FOLD
	ADDQ $32, R9
	ADDQ $32, R10
	SUBQ $8, R13
	JNZ  fold
	VZEROUPPER
	RET

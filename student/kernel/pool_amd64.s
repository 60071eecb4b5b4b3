#include "textflag.h"

// Loops over the windows of pooling for float32 on AVX2, eight channels at a
// time. A window is rows x cols pixels of c channels, rows one below the other
// being ld elements apart; n channels are computed, a multiple of eight.

// In all functions R8 and R9 are the rows and columns, CX the channels left.
// STRIDES makes of R10, ld, what leads from the end of a row to the next, and of
// R11, c, what leads from pixel to pixel, in bytes.
#define STRIDES \
	SHLQ  $2, R10; \
	SHLQ  $2, R11; \
	MOVQ  R11, AX; \
	IMULQ R9, AX;  \
	SUBQ  AX, R10

// TAKE sets Y2 where Y1 takes the place of the largest element yet, Y0: where it
// is larger, and where it is the first NaN.
#define TAKE \
	VCMPPS  $0x1E, Y0, Y1, Y2; \
	VCMPPS  $0x03, Y1, Y1, Y3; \
	VCMPPS  $0x03, Y0, Y0, Y4; \
	VANDNPS Y3, Y4, Y3;        \
	VORPS   Y3, Y2, Y2

// func windowMax8(y, x *float32, rows, cols, ld, c, n int)
TEXT ·windowMax8(SB), NOSPLIT, $0-56
	MOVQ y+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ rows+16(FP), R8
	MOVQ cols+24(FP), R9
	MOVQ ld+32(FP), R10
	MOVQ c+40(FP), R11
	MOVQ n+48(FP), CX
	STRIDES

channels:
	VMOVUPS (SI), Y0
	MOVQ    SI, AX
	MOVQ    R8, R12

row:
	MOVQ R9, R13

column:
	VMOVUPS   (AX), Y1
	TAKE
	VBLENDVPS Y2, Y1, Y0, Y0
	ADDQ      R11, AX
	DECQ      R13
	JNZ       column
	ADDQ      R10, AX
	DECQ      R12
	JNZ       row

	VMOVUPS Y0, (DI)
	ADDQ    $32, DI
	ADDQ    $32, SI
	SUBQ    $8, CX
	JNZ     channels
	VZEROUPPER
	RET

// func windowScatter8(dx, x, dy *float32, rows, cols, ld, c, n int)
TEXT ·windowScatter8(SB), NOSPLIT, $0-64
	MOVQ     dx+0(FP), DI
	MOVQ     x+8(FP), SI
	MOVQ     dy+16(FP), DX
	MOVQ rows+24(FP), R8
	MOVQ cols+32(FP), R9
	MOVQ ld+40(FP), R10
	MOVQ c+48(FP), R11
	MOVQ n+56(FP), CX
	STRIDES
	VPCMPEQD Y7, Y7, Y7 // -1

channels:
	// Y6 is the number of the pixel with the largest element, Y5 of that at AX.
	VMOVUPS (SI), Y0
	VPXOR   Y5, Y5, Y5
	VPXOR   Y6, Y6, Y6
	MOVQ    SI, AX
	MOVQ    R8, R12

row:
	MOVQ R9, R13

column:
	VMOVUPS   (AX), Y1
	TAKE
	VBLENDVPS Y2, Y1, Y0, Y0
	VBLENDVPS Y2, Y5, Y6, Y6
	VPSUBD    Y7, Y5, Y5
	ADDQ      R11, AX
	DECQ      R13
	JNZ       column
	ADDQ      R10, AX
	DECQ      R12
	JNZ       row

	VMOVUPS (DX), Y8
	VPXOR   Y5, Y5, Y5
	MOVQ    DI, AX
	MOVQ    R8, R12

rowAgain:
	MOVQ R9, R13

columnAgain:
	VPCMPEQD Y5, Y6, Y2
	VANDPS   Y8, Y2, Y2
	VADDPS   (AX), Y2, Y2
	VMOVUPS  Y2, (AX)
	VPSUBD   Y7, Y5, Y5
	ADDQ     R11, AX
	DECQ     R13
	JNZ      columnAgain
	ADDQ     R10, AX
	DECQ     R12
	JNZ      rowAgain

	ADDQ $32, DI
	ADDQ $32, SI
	ADDQ $32, DX
	SUBQ $8, CX
	JNZ  channels
	VZEROUPPER
	RET

// func windowSum8(y, x *float32, rows, cols, ld, c, n int, f float32)
TEXT ·windowSum8(SB), NOSPLIT, $0-60
	MOVQ         y+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ rows+16(FP), R8
	MOVQ cols+24(FP), R9
	MOVQ ld+32(FP), R10
	MOVQ c+40(FP), R11
	MOVQ n+48(FP), CX
	STRIDES
	VBROADCASTSS f+56(FP), Y15

sixteens:
	CMPQ   CX, $16
	JLT    eight
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	MOVQ   SI, AX
	MOVQ   R8, R12

row:
	MOVQ R9, R13

column:
	VADDPS (AX), Y0, Y0
	VADDPS 32(AX), Y1, Y1
	ADDQ   R11, AX
	DECQ   R13
	JNZ    column
	ADDQ   R10, AX
	DECQ   R12
	JNZ    row

	VMULPS  Y15, Y0, Y0
	VMULPS  Y15, Y1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	ADDQ    $64, DI
	ADDQ    $64, SI
	SUBQ    $16, CX
	JMP     sixteens

eight:
	TESTQ  CX, CX
	JZ     end
	VXORPS Y0, Y0, Y0
	MOVQ   SI, AX
	MOVQ   R8, R12

lastRow:
	MOVQ R9, R13

lastColumn:
	VADDPS (AX), Y0, Y0
	ADDQ   R11, AX
	DECQ   R13
	JNZ    lastColumn
	ADDQ   R10, AX
	DECQ   R12
	JNZ    lastRow

	VMULPS  Y15, Y0, Y0
	VMOVUPS Y0, (DI)

end:
	VZEROUPPER
	RET

// func windowSpread8(dx, dy *float32, rows, cols, ld, c, n int, f float32)
TEXT ·windowSpread8(SB), NOSPLIT, $0-60
	MOVQ         dx+0(FP), DI
	MOVQ         dy+8(FP), SI
	MOVQ rows+16(FP), R8
	MOVQ cols+24(FP), R9
	MOVQ ld+32(FP), R10
	MOVQ c+40(FP), R11
	MOVQ n+48(FP), CX
	STRIDES
	VBROADCASTSS f+56(FP), Y15

channels:
	VMULPS (SI), Y15, Y0
	MOVQ   DI, AX
	MOVQ   R8, R12

row:
	MOVQ R9, R13

column:
	VADDPS  (AX), Y0, Y1
	VMOVUPS Y1, (AX)
	ADDQ    R11, AX
	DECQ    R13
	JNZ     column
	ADDQ    R10, AX
	DECQ    R12
	JNZ     row

	ADDQ $32, DI
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ  channels
	VZEROUPPER
	RET

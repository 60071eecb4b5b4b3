#include "textflag.h"

// Elementwise loops for float32 on AVX2, over multiples of eight elements.

#define RELU(at, t) \
	VMOVUPS at(SI)(AX*4), t; \
	VMAXPS  t, Y15, t;       \
	VADDPS  Y15, t, t;       \
	VMOVUPS t, at(DI)(AX*4)

#define GATE(at, t, m) \
	VMOVUPS at(SI)(AX*4), t;     \
	VCMPPS  $0x1E, Y15, t, m;    \
	VANDPS  at(DX)(AX*4), m, m;  \
	VMOVUPS m, at(DI)(AX*4)

#define SUM(at, t) \
	VMOVUPS at(SI)(AX*4), t;    \
	VADDPS  at(DX)(AX*4), t, t; \
	VMOVUPS t, at(DI)(AX*4)

#define PRODUCT(at, t) \
	VMOVUPS at(SI)(AX*4), t;    \
	VMULPS  at(DX)(AX*4), t, t; \
	VMOVUPS t, at(DI)(AX*4)

// func relu8(dst, x *float32, n int)
TEXT ·relu8(SB), NOSPLIT, $0-24
	MOVQ   dst+0(FP), DI
	MOVQ   x+8(FP), SI
	MOVQ   n+16(FP), CX
	VXORPS Y15, Y15, Y15
	XORQ   AX, AX
	SUBQ   $32, CX
	JLT    eights

loop:
	RELU(0, Y0)
	RELU(32, Y1)
	RELU(64, Y2)
	RELU(96, Y3)
	ADDQ $32, AX
	SUBQ $32, CX
	JGE  loop

eights:
	ADDQ $32, CX
	JZ   end

eight:
	RELU(0, Y0)
	ADDQ $8, AX
	SUBQ $8, CX
	JNZ  eight

end:
	VZEROUPPER
	RET

// func gate8(dst, x, dy *float32, n int)
TEXT ·gate8(SB), NOSPLIT, $0-32
	MOVQ   dst+0(FP), DI
	MOVQ   x+8(FP), SI
	MOVQ   dy+16(FP), DX
	MOVQ   n+24(FP), CX
	VXORPS Y15, Y15, Y15
	XORQ   AX, AX
	SUBQ   $32, CX
	JLT    eights

loop:
	GATE(0, Y0, Y4)
	GATE(32, Y1, Y5)
	GATE(64, Y2, Y6)
	GATE(96, Y3, Y7)
	ADDQ $32, AX
	SUBQ $32, CX
	JGE  loop

eights:
	ADDQ $32, CX
	JZ   end

eight:
	GATE(0, Y0, Y4)
	ADDQ $8, AX
	SUBQ $8, CX
	JNZ  eight

end:
	VZEROUPPER
	RET

// func add8(dst, a, b *float32, n int)
TEXT ·add8(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	MOVQ n+24(FP), CX
	XORQ AX, AX
	SUBQ $32, CX
	JLT  eights

loop:
	SUM(0, Y0)
	SUM(32, Y1)
	SUM(64, Y2)
	SUM(96, Y3)
	ADDQ $32, AX
	SUBQ $32, CX
	JGE  loop

eights:
	ADDQ $32, CX
	JZ   end

eight:
	SUM(0, Y0)
	ADDQ $8, AX
	SUBQ $8, CX
	JNZ  eight

end:
	VZEROUPPER
	RET

// func mul8(dst, a, b *float32, n int)
TEXT ·mul8(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	MOVQ n+24(FP), CX
	XORQ AX, AX
	SUBQ $32, CX
	JLT  eights

loop:
	PRODUCT(0, Y0)
	PRODUCT(32, Y1)
	PRODUCT(64, Y2)
	PRODUCT(96, Y3)
	ADDQ $32, AX
	SUBQ $32, CX
	JGE  loop

eights:
	ADDQ $32, CX
	JZ   end

eight:
	PRODUCT(0, Y0)
	ADDQ $8, AX
	SUBQ $8, CX
	JNZ  eight

end:
	VZEROUPPER
	RET

// func squares8(dst, x *float32, rows, c int, k float32)
TEXT ·squares8(SB), NOSPLIT, $0-36
	MOVQ  dst+0(FP), DI
	MOVQ  x+8(FP), SI
	MOVQ  rows+16(FP), CX
	MOVQ  c+24(FP), R8
	VMOVSS k+32(FP), X15

row:
	VXORPS Y0, Y0, Y0
	MOVQ   R8, AX

eight:
	VMOVUPS     (SI), Y1
	VFMADD231PS Y1, Y1, Y0
	ADDQ        $32, SI
	SUBQ        $8, AX
	JNZ         eight
	VEXTRACTF128 $1, Y0, X1
	VADDPS      X1, X0, X0
	VHADDPS     X0, X0, X0
	VHADDPS     X0, X0, X0
	VMULSS      X15, X0, X0
	VMOVSS      X0, (DI)
	ADDQ        $4, DI
	DECQ        CX
	JNZ         row
	VZEROUPPER
	RET

// func spread8(dst, x, weights, add *float32, rows, c int, k float32)
TEXT ·spread8(SB), NOSPLIT, $0-52
	MOVQ         dst+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         weights+16(FP), DX
	MOVQ         add+24(FP), BX
	MOVQ         rows+32(FP), CX
	MOVQ         c+40(FP), R8
	SHLQ         $2, R8
	VBROADCASTSS k+48(FP), Y15

row:
	VBROADCASTSS (DX), Y0
	VMULPS       Y15, Y0, Y0
	XORQ         AX, AX
	TESTQ        BX, BX
	JNZ          sum

eight:
	VMULPS  (SI)(AX*1), Y0, Y1
	VMOVUPS Y1, (DI)(AX*1)
	ADDQ    $32, AX
	CMPQ    AX, R8
	JLT     eight
	JMP     next

sum:
	VMULPS  (SI)(AX*1), Y0, Y1
	VADDPS  (BX)(AX*1), Y1, Y1
	VMOVUPS Y1, (DI)(AX*1)
	ADDQ    $32, AX
	CMPQ    AX, R8
	JLT     sum
	ADDQ    R8, BX

next:
	ADDQ R8, SI
	ADDQ R8, DI
	ADDQ $4, DX
	DECQ CX
	JNZ  row
	VZEROUPPER
	RET

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

// Primitives with the layouts of their operands, ready to run.

#ifndef ONEDNN_OP_H
#define ONEDNN_OP_H

#include <stddef.h>
#include <stdint.h>

#define OPERANDS 11 // at most, scratchpad included

// op is a primitive. It does not change once it is made, so several threads may
// run it at once.
typedef struct op op;

// geometry is that of a convolution of images n × h × w × c with weights
// k × r × s × c/groups; pad is top, left, bottom, right.
typedef struct {
	int64_t n, h, w, c, k, r, s, stride[2], dilation[2], pad[4], groups;
} geometry;

enum { MEMBER_FORWARD, MEMBER_DATA, MEMBER_WEIGHTS };

// failure says which call failed and with which status; call is NULL where none
// did.
typedef struct {
	const char *call;
	int status;
} failure;

// The functions that make an op. threads is how many threads of oneDNN's own
// run it, 0 for as many as it wants. Operands, in this order:
//
//	conv_new  MEMBER_FORWARD  y, x, w, scratchpad, bias (absent without)
//	          MEMBER_DATA     dx, dy, w, scratchpad
//	          MEMBER_WEIGHTS  dw, x, dy, scratchpad
//	norm_new  forward         y, x, scale, shift, mean, variance, workspace, scratchpad
//	          back            dx, dscale, dshift, x, dy, scale, shift, mean, variance, workspace, scratchpad
//	pack_new                  packed weights, plain weights, scratchpad
//	unpack_new                plain weights, packed weights, scratchpad
//
// A convolution's weights are in the layout that oneDNN picks, or in that of
// like, which may be NULL. Plain weights are k × r × s × c/groups.
failure conv_new(op **o, const geometry *g, int member, int bias, int add, const op *like, int threads);
failure norm_new(op **o, int64_t n, int64_t h, int64_t w, int64_t c, float epsilon, int relu, int back, int threads);
failure pack_new(op **o, const geometry *g, const op *conv, int threads);
failure unpack_new(op **o, const geometry *g, const op *conv, int threads);

// op_run runs o over the operands and returns when it is done. Operands that o
// does not have are not looked at.
failure op_run(const op *o, void *p0, void *p1, void *p2, void *p3, void *p4);

// op_time runs o over memory of its own, runs times and once before, and gives
// the shortest time in seconds.
failure op_time(const op *o, int runs, double *seconds);

void op_free(op *o);

// op_size is the size of an operand in bytes, 0 where o does not have it.
size_t op_size(const op *o, int operand);

// op_name is oneDNN's name of the implementation, as long as the program lives.
const char *op_name(const op *o);

const char *status_name(int status);
const char *isa_name(void);
void library_version(int *major, int *minor, int *patch);

// aligned_block returns zeroed memory that begins at a multiple of 64 bytes,
// for free(); NULL where there is none. Large blocks are in huge pages where the
// system has them.
void *aligned_block(size_t bytes);

#endif

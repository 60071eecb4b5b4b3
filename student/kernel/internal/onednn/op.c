//go:build onednn && cgo

#define _GNU_SOURCE
#include "op.h"
#include "api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct op {
	dnnl_primitive_t primitive;
	const char *name;
	int threads;
	int count; // of operands
	struct {
		int arg; // DNNL_ARG_...; 0 for an operand that o does not have
		layout layout;
		size_t size;
	} operand[OPERANDS];
};

#define TRY(call) \
	do { \
		dnnl_status_t status_ = (call); \
		if (status_ != dnnl_success) { \
			f = (failure){#call, status_}; \
			goto end; \
		} \
	} while (0)

static dnnl_engine_t engine;
static dnnl_status_t engine_status;
static void (*set_threads)(int);
static int (*get_threads)(void);
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void) {
	engine_status = dnnl_engine_create(&engine, dnnl_cpu, 0);
	// oneDNN may be built without OpenMP. Then there is nothing to set.
	set_threads = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
	get_threads = (int (*)(void))dlsym(RTLD_DEFAULT, "omp_get_num_procs");
}

// use says how many threads OpenMP gives to what the calling thread runs from
// now on. It is the thread's own setting.
static void use(int threads) {
	if (set_threads == NULL) return;
	if (threads == 0 && get_threads != NULL) threads = get_threads();
	if (threads > 0) set_threads(threads);
}

// operand adds an operand to o; none where l is NULL or of no size.
static dnnl_status_t operand(op *o, int arg, const_layout l) {
	int i = o->count++;
	size_t size = l == NULL ? 0 : dnnl_memory_desc_get_size(l);
	if (size == 0) return dnnl_success;
	o->operand[i].arg = arg;
	o->operand[i].size = size;
	return layout_copy(&o->operand[i].layout, l);
}

// query adds an operand with the layout that the primitive wants.
static dnnl_status_t query(op *o, int arg, const_dnnl_primitive_desc_t pd, dnnl_query_t what, int index) {
	return operand(o, arg, dnnl_primitive_desc_query_md(pd, what, index));
}

// finish makes the primitive.
static dnnl_status_t finish(op *o, const_dnnl_primitive_desc_t pd) {
	const char *name = "";
	dnnl_status_t s = dnnl_primitive_create(&o->primitive, pd);
	if (s == dnnl_success) s = dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
	if (s == dnnl_success && (o->name = strdup(name)) == NULL) s = dnnl_out_of_memory;
	return s;
}

void op_free(op *o) {
	if (o == NULL) return;
	for (int i = 0; i < o->count; i++) layout_free(o->operand[i].layout);
	if (o->primitive != NULL) dnnl_primitive_destroy(o->primitive);
	free((void *)o->name);
	free(o);
}

// attributes makes the attributes of all our primitives: the scratchpad is the
// caller's, and with add what the result's memory holds is added to the result.
static dnnl_status_t attributes(dnnl_primitive_attr_t *attr, int add) {
	dnnl_post_ops_t ops = NULL;
	dnnl_status_t s = dnnl_primitive_attr_create(attr);
	if (s == dnnl_success) s = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
	if (s == dnnl_success) s = dnnl_post_ops_create(&ops);
	if (s == dnnl_success && add) s = after_add(ops);
	if (s == dnnl_success) s = dnnl_primitive_attr_set_post_ops(*attr, ops);
	if (ops != NULL) dnnl_post_ops_destroy(ops);
	return s;
}

// weights makes the layout of the weights of g, plain or oneDNN's choice.
static dnnl_status_t weights(layout *l, const geometry *g, int plain) {
	int64_t in = g->c / g->groups;
	if (g->groups == 1) {
		dnnl_dims_t size = {g->k, in, g->r, g->s};
		return layout_new(l, 4, size, plain ? dnnl_ohwi : dnnl_format_tag_any);
	}
	dnnl_dims_t size = {g->groups, g->k / g->groups, in, g->r, g->s};
	return layout_new(l, 5, size, plain ? dnnl_gohwi : dnnl_format_tag_any);
}

failure conv_new(op **out, const geometry *g, int member, int bias, int add, const op *like, int threads) {
	failure f = {0};
	layout x = NULL, w = NULL, b = NULL, y = NULL;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t hint = NULL, pd = NULL;
	op *o = calloc(1, sizeof *o);
	if (o == NULL) return (failure){"calloc", dnnl_out_of_memory};
	o->threads = threads;

	pthread_once(&once, start);
	TRY(engine_status);
	use(threads);
	int64_t oh = (g->h + g->pad[0] + g->pad[2] - g->dilation[0] * (g->r - 1) - 1) / g->stride[0] + 1;
	int64_t ow = (g->w + g->pad[1] + g->pad[3] - g->dilation[1] * (g->s - 1) - 1) / g->stride[1] + 1;
	dnnl_dims_t xs = {g->n, g->c, g->h, g->w}, ys = {g->n, g->k, oh, ow}, bs = {g->k};
	TRY(layout_new(&x, 4, xs, dnnl_nhwc));
	TRY(layout_new(&y, 4, ys, dnnl_nhwc));
	if (bias) TRY(layout_new(&b, 1, bs, dnnl_a));
	if (like == NULL) TRY(weights(&w, g, 0));
	else TRY(layout_copy(&w, like->operand[member == MEMBER_WEIGHTS ? 0 : 2].layout));

	struct conv c = {.x = x, .w = w, .bias = b, .y = y};
	for (int i = 0; i < 2; i++) {
		c.stride[i] = g->stride[i];
		c.gap[i] = g->dilation[i] - 1;
		c.before[i] = g->pad[i];
		c.after[i] = g->pad[2 + i];
	}
	TRY(attributes(&attr, add));
	if (member == MEMBER_FORWARD) {
		TRY(conv_forward(&pd, engine, &c, attr));
	} else {
		// The hint's layouts are the derivative's.
		TRY(conv_forward(&hint, engine, &c, NULL));
		if (member == MEMBER_DATA) TRY(conv_back_data(&pd, engine, &c, hint, attr));
		else TRY(conv_back_weights(&pd, engine, &c, hint, attr));
	}
	switch (member) {
	case MEMBER_FORWARD:
		TRY(query(o, DNNL_ARG_DST, pd, dnnl_query_dst_md, 0));
		TRY(query(o, DNNL_ARG_SRC, pd, dnnl_query_src_md, 0));
		TRY(query(o, DNNL_ARG_WEIGHTS, pd, dnnl_query_weights_md, 0));
		break;
	case MEMBER_DATA:
		TRY(query(o, DNNL_ARG_DIFF_SRC, pd, dnnl_query_diff_src_md, 0));
		TRY(query(o, DNNL_ARG_DIFF_DST, pd, dnnl_query_diff_dst_md, 0));
		TRY(query(o, DNNL_ARG_WEIGHTS, pd, dnnl_query_weights_md, 0));
		break;
	case MEMBER_WEIGHTS:
		TRY(query(o, DNNL_ARG_DIFF_WEIGHTS, pd, dnnl_query_diff_weights_md, 0));
		TRY(query(o, DNNL_ARG_SRC, pd, dnnl_query_src_md, 0));
		TRY(query(o, DNNL_ARG_DIFF_DST, pd, dnnl_query_diff_dst_md, 0));
		break;
	}
	TRY(query(o, DNNL_ARG_SCRATCHPAD, pd, dnnl_query_scratchpad_md, 0));
	TRY(operand(o, DNNL_ARG_BIAS, b));
	TRY(finish(o, pd));
	*out = o;
	o = NULL;
end:
	layout_free(x);
	layout_free(w);
	layout_free(b);
	layout_free(y);
	if (attr != NULL) dnnl_primitive_attr_destroy(attr);
	if (hint != NULL) dnnl_primitive_desc_destroy(hint);
	if (pd != NULL) dnnl_primitive_desc_destroy(pd);
	op_free(o);
	return f;
}

// reorder makes an op that copies an operand from one layout to another.
static failure reorder(op **out, const_layout to, const_layout from, int threads) {
	failure f = {0};
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t pd = NULL;
	op *o = calloc(1, sizeof *o);
	if (o == NULL) return (failure){"calloc", dnnl_out_of_memory};
	o->threads = threads;
	use(threads);
	TRY(attributes(&attr, 0));
	TRY(dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, attr));
	TRY(operand(o, DNNL_ARG_TO, to));
	TRY(operand(o, DNNL_ARG_FROM, from));
	TRY(query(o, DNNL_ARG_SCRATCHPAD, pd, dnnl_query_scratchpad_md, 0));
	TRY(finish(o, pd));
	*out = o;
	o = NULL;
end:
	if (attr != NULL) dnnl_primitive_attr_destroy(attr);
	if (pd != NULL) dnnl_primitive_desc_destroy(pd);
	op_free(o);
	return f;
}

failure pack_new(op **o, const geometry *g, const op *conv, int threads) {
	layout plain = NULL;
	failure f = {0};
	TRY(weights(&plain, g, 1));
	f = reorder(o, conv->operand[2].layout, plain, threads);
end:
	layout_free(plain);
	return f;
}

failure unpack_new(op **o, const geometry *g, const op *conv, int threads) {
	layout plain = NULL;
	failure f = {0};
	TRY(weights(&plain, g, 1));
	f = reorder(o, plain, conv->operand[0].layout, threads);
end:
	layout_free(plain);
	return f;
}

failure norm_new(op **out, int64_t n, int64_t h, int64_t w, int64_t c, float epsilon, int relu, int back, int threads) {
	failure f = {0};
	layout x = NULL, channels = NULL;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t pd = NULL, hint = NULL;
	op *o = calloc(1, sizeof *o);
	if (o == NULL) return (failure){"calloc", dnnl_out_of_memory};
	o->threads = threads;

	pthread_once(&once, start);
	TRY(engine_status);
	use(threads);
	dnnl_dims_t xs = {n, c, h, w}, cs = {c};
	TRY(layout_new(&x, 4, xs, dnnl_nhwc));
	TRY(layout_new(&channels, 1, cs, dnnl_a));
	TRY(attributes(&attr, 0));
	if (!back) {
		TRY(norm_forward(&pd, engine, x, epsilon, relu, attr));
		TRY(operand(o, DNNL_ARG_DST, x));
		TRY(operand(o, DNNL_ARG_SRC, x));
		TRY(operand(o, DNNL_ARG_SCALE, channels));
		TRY(operand(o, DNNL_ARG_SHIFT, channels));
	} else {
		TRY(norm_forward(&hint, engine, x, epsilon, relu, attr));
		TRY(norm_back(&pd, engine, x, epsilon, relu, hint, attr));
		TRY(operand(o, DNNL_ARG_DIFF_SRC, x));
		TRY(operand(o, DNNL_ARG_DIFF_SCALE, channels));
		TRY(operand(o, DNNL_ARG_DIFF_SHIFT, channels));
		TRY(operand(o, DNNL_ARG_SRC, x));
		TRY(operand(o, DNNL_ARG_DIFF_DST, x));
		TRY(operand(o, DNNL_ARG_SCALE, channels));
		// The derivative does not depend on it, but 2.6 counts it.
		TRY(operand(o, DNNL_ARG_SHIFT, channels));
	}
	TRY(operand(o, DNNL_ARG_MEAN, channels));
	TRY(operand(o, DNNL_ARG_VARIANCE, channels));
	TRY(query(o, DNNL_ARG_WORKSPACE, pd, dnnl_query_workspace_md, 0));
	TRY(query(o, DNNL_ARG_SCRATCHPAD, pd, dnnl_query_scratchpad_md, 0));
	TRY(finish(o, pd));
	*out = o;
	o = NULL;
end:
	layout_free(x);
	layout_free(channels);
	if (attr != NULL) dnnl_primitive_attr_destroy(attr);
	if (hint != NULL) dnnl_primitive_desc_destroy(hint);
	if (pd != NULL) dnnl_primitive_desc_destroy(pd);
	op_free(o);
	return f;
}

// run runs o over its operands' memory.
static failure run(const op *o, void *const *memory) {
	failure f = {0};
	dnnl_stream_t stream = NULL;
	dnnl_memory_t object[OPERANDS] = {0};
	dnnl_exec_arg_t args[OPERANDS];
	int count = 0;
	use(o->threads);
	TRY(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
	for (int i = 0; i < o->count; i++) {
		if (o->operand[i].arg == 0) continue;
		TRY(dnnl_memory_create(&object[i], o->operand[i].layout, engine, memory[i]));
		args[count++] = (dnnl_exec_arg_t){o->operand[i].arg, object[i]};
	}
	TRY(dnnl_primitive_execute(o->primitive, stream, count, args));
	TRY(dnnl_stream_wait(stream));
end:
	for (int i = 0; i < o->count; i++) {
		if (object[i] != NULL) dnnl_memory_destroy(object[i]);
	}
	if (stream != NULL) dnnl_stream_destroy(stream);
	return f;
}

failure op_run(const op *o, void *p0, void *p1, void *p2, void *p3, void *p4) {
	void *memory[OPERANDS] = {p0, p1, p2, p3, p4};
	return run(o, memory);
}

failure op_time(const op *o, int runs, double *seconds) {
	failure f = {0};
	void *memory[OPERANDS] = {0};
	for (int i = 0; i < o->count; i++) {
		if (o->operand[i].arg == 0) continue;
		if ((memory[i] = aligned_block(o->operand[i].size)) == NULL) {
			f = (failure){"aligned_block", dnnl_out_of_memory};
			goto end;
		}
		// Neither zeros nor denormal numbers, which have speeds of their own. A
		// workspace is of bytes, any of which will do.
		float *v = memory[i];
		for (size_t j = 0; j < o->operand[i].size / sizeof *v; j++) v[j] = 0.5f + (float)(j % 7) / 8;
	}
	for (int i = 0; i <= runs; i++) {
		struct timespec from, to;
		clock_gettime(CLOCK_MONOTONIC, &from);
		f = run(o, memory);
		clock_gettime(CLOCK_MONOTONIC, &to);
		if (f.call != NULL) goto end;
		double t = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
		if (i <= 1 || t < *seconds) *seconds = t;
	}
end:
	for (int i = 0; i < o->count; i++) free(memory[i]);
	return f;
}

size_t op_size(const op *o, int operand) { return operand < o->count ? o->operand[operand].size : 0; }

const char *op_name(const op *o) { return o->name; }

const char *status_name(int status) { return dnnl_status2str((dnnl_status_t)status); }

void library_version(int *major, int *minor, int *patch) {
	const dnnl_version_t *v = dnnl_version();
	*major = v->major;
	*minor = v->minor;
	*patch = v->patch;
}

const char *isa_name(void) {
#if defined(__x86_64__) || defined(_M_X64)
	// The values are sets of bits, in both versions: AVX2 0x7, AVX-512 core 0x27.
	int isa = (int)dnnl_get_effective_cpu_isa();
	if ((isa & 0x27) == 0x27) return "AVX-512";
	if ((isa & 0x7) == 0x7) return "AVX2";
	return "SSE4.1";
#elif defined(__aarch64__)
	return "arm64";
#else
	return "plain C++";
#endif
}

#define CACHE_LINE ((size_t)64)
#define HUGE_PAGE ((size_t)2 << 20) // of x86-64, and of arm64 with pages of 4 KiB

void *aligned_block(size_t bytes) {
	size_t unit = bytes < HUGE_PAGE ? CACHE_LINE : HUGE_PAGE;
	if (bytes > SIZE_MAX - unit) return NULL;
	bytes = (bytes + unit - 1) / unit * unit;
	void *p = NULL;
	if (posix_memalign(&p, unit, bytes) != 0) return NULL;
#ifdef MADV_HUGEPAGE
	// Only advice: where it is refused the pages are small, and a training step of
	// a WRN-16-1 takes some 3 % longer.
	if (unit == HUGE_PAGE) (void)madvise(p, bytes, MADV_HUGEPAGE);
#endif
	memset(p, 0, bytes);
	return p;
}

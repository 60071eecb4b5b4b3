// What differs between versions 2 and 3 of oneDNN's C API.

#ifndef ONEDNN_API_H
#define ONEDNN_API_H

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

#if DNNL_VERSION_MAJOR != 2 && DNNL_VERSION_MAJOR != 3
#error "onnxdistill knows versions 2 and 3 of oneDNN's C API; build without the tag onednn"
#endif

// layout is how a tensor lies in memory: oneDNN's memory descriptor, made by
// layout_new or layout_copy and freed by layout_free.
#if DNNL_VERSION_MAJOR == 2
typedef dnnl_memory_desc_t *layout;
typedef const dnnl_memory_desc_t *const_layout;
#else
typedef dnnl_memory_desc_t layout;
typedef const_dnnl_memory_desc_t const_layout;
#endif

dnnl_status_t layout_new(layout *l, int dims, const dnnl_dims_t size, dnnl_format_tag_t tag);
dnnl_status_t layout_copy(layout *l, const_layout from);
void layout_free(layout l);

// conv is what all members of the convolution family are described by. bias is
// NULL where there is none.
struct conv {
	const_layout x, w, bias, y;
	dnnl_dims_t stride, gap, before, after; // gap is dilation less 1
};

dnnl_status_t conv_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const struct conv *c, const_dnnl_primitive_attr_t attr);
dnnl_status_t conv_back_data(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const struct conv *c, const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr);
dnnl_status_t conv_back_weights(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const struct conv *c, const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr);

// Batch normalisation in training, of x with scale and shift; with relu fused.
dnnl_status_t norm_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const_layout x, float epsilon, int relu, const_dnnl_primitive_attr_t attr);
dnnl_status_t norm_back(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const_layout x, float epsilon, int relu, const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr);

// after_add makes a convolution add what its result's memory holds.
dnnl_status_t after_add(dnnl_post_ops_t ops);

#endif

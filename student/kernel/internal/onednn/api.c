//go:build onednn && cgo

#include "api.h"

#include <stdlib.h>

#if DNNL_VERSION_MAJOR == 2

dnnl_status_t layout_new(layout *l, int dims, const dnnl_dims_t size, dnnl_format_tag_t tag) {
	*l = malloc(sizeof **l);
	if (*l == NULL) return dnnl_out_of_memory;
	return dnnl_memory_desc_init_by_tag(*l, dims, size, dnnl_f32, tag);
}

dnnl_status_t layout_copy(layout *l, const_layout from) {
	*l = malloc(sizeof **l);
	if (*l == NULL) return dnnl_out_of_memory;
	**l = *from;
	return dnnl_success;
}

void layout_free(layout l) { free(l); }

dnnl_status_t conv_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const struct conv *c, const_dnnl_primitive_attr_t attr) {
	dnnl_convolution_desc_t d;
	dnnl_status_t s = dnnl_dilated_convolution_forward_desc_init(&d, dnnl_forward_training, dnnl_convolution_direct,
		c->x, c->w, c->bias, c->y, c->stride, c->gap, c->before, c->after);
	return s != dnnl_success ? s : dnnl_primitive_desc_create(pd, &d, attr, e, NULL);
}

dnnl_status_t conv_back_data(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const struct conv *c, const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr) {
	dnnl_convolution_desc_t d;
	dnnl_status_t s = dnnl_dilated_convolution_backward_data_desc_init(&d, dnnl_convolution_direct,
		c->x, c->w, c->y, c->stride, c->gap, c->before, c->after);
	return s != dnnl_success ? s : dnnl_primitive_desc_create(pd, &d, attr, e, hint);
}

dnnl_status_t conv_back_weights(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const struct conv *c, const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr) {
	dnnl_convolution_desc_t d;
	dnnl_status_t s = dnnl_dilated_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct,
		c->x, c->w, NULL, c->y, c->stride, c->gap, c->before, c->after);
	return s != dnnl_success ? s : dnnl_primitive_desc_create(pd, &d, attr, e, hint);
}

dnnl_status_t norm_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const_layout x, float epsilon, int relu, const_dnnl_primitive_attr_t attr) {
	dnnl_batch_normalization_desc_t d;
	unsigned flags = dnnl_use_scale | dnnl_use_shift | (relu ? dnnl_fuse_norm_relu : 0);
	dnnl_status_t s = dnnl_batch_normalization_forward_desc_init(&d, dnnl_forward_training, x, epsilon, flags);
	return s != dnnl_success ? s : dnnl_primitive_desc_create(pd, &d, attr, e, NULL);
}

dnnl_status_t norm_back(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const_layout x, float epsilon, int relu, const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr) {
	dnnl_batch_normalization_desc_t d;
	unsigned flags = dnnl_use_scale | dnnl_use_shift | (relu ? dnnl_fuse_norm_relu : 0);
	dnnl_status_t s = dnnl_batch_normalization_backward_desc_init(&d, dnnl_backward, x, x, epsilon, flags);
	return s != dnnl_success ? s : dnnl_primitive_desc_create(pd, &d, attr, e, hint);
}

dnnl_status_t after_add(dnnl_post_ops_t ops) { return dnnl_post_ops_append_sum(ops, 1); }

#else

dnnl_status_t layout_new(layout *l, int dims, const dnnl_dims_t size, dnnl_format_tag_t tag) {
	return dnnl_memory_desc_create_with_tag(l, dims, size, dnnl_f32, tag);
}

dnnl_status_t layout_copy(layout *l, const_layout from) { return dnnl_memory_desc_clone(l, from); }

void layout_free(layout l) {
	if (l != NULL) dnnl_memory_desc_destroy(l);
}

dnnl_status_t conv_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const struct conv *c, const_dnnl_primitive_attr_t attr) {
	return dnnl_convolution_forward_primitive_desc_create(pd, e, dnnl_forward_training, dnnl_convolution_direct,
		c->x, c->w, c->bias, c->y, c->stride, c->gap, c->before, c->after, attr);
}

dnnl_status_t conv_back_data(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const struct conv *c, const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr) {
	return dnnl_convolution_backward_data_primitive_desc_create(pd, e, dnnl_convolution_direct,
		c->x, c->w, c->y, c->stride, c->gap, c->before, c->after, hint, attr);
}

dnnl_status_t conv_back_weights(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const struct conv *c, const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr) {
	return dnnl_convolution_backward_weights_primitive_desc_create(pd, e, dnnl_convolution_direct,
		c->x, c->w, NULL, c->y, c->stride, c->gap, c->before, c->after, hint, attr);
}

dnnl_status_t norm_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const_layout x, float epsilon, int relu, const_dnnl_primitive_attr_t attr) {
	unsigned flags = dnnl_use_scale | dnnl_use_shift | (relu ? dnnl_fuse_norm_relu : 0);
	return dnnl_batch_normalization_forward_primitive_desc_create(pd, e, dnnl_forward_training, x, x, epsilon, flags, attr);
}

dnnl_status_t norm_back(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const_layout x, float epsilon, int relu, const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr) {
	unsigned flags = dnnl_use_scale | dnnl_use_shift | (relu ? dnnl_fuse_norm_relu : 0);
	return dnnl_batch_normalization_backward_primitive_desc_create(pd, e, dnnl_backward, x, x, x, epsilon, flags, hint, attr);
}

dnnl_status_t after_add(dnnl_post_ops_t ops) { return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef); }

#endif

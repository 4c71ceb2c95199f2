/* Gates between mixes for one instruction set: SUFFIX and TARGET come from logic_each_isa.h. */
#include "logic_tile_body.h"

TARGET BNN_INLINE void OP(mixed_forward)(const bnn_mixed_job *job, bnn_columns at,
                                         const size_t width) {
    const size_t k = job->k, second = job->outputs * k;
    float *y = job->y + at.first;
    for (size_t g = 0; g < job->outputs; g++) {
        const int32_t *candidate = job->candidates + k * g;
        const float *weight = job->weights + k * g, *c = job->coefficients + 4 * g;
        VEC a[MOST], b[MOST];
        OP(expect_row)(y, job->batch, g, job->outputs, width);
        OP(mix_rows)(at.tile, candidate, weight, k, width, a);
        OP(mix_rows)(at.tile, candidate + second, weight + second, k, width, b);
        VEC c0 = OP(same)(c[0]), c1 = OP(same)(c[1]), c2 = OP(same)(c[2]), c3 = OP(same)(c[3]);
        BNN_UNROLL for (size_t j = 0; j < width / LANES; j++)
            a[j] = OP(fma)(b[j], OP(fma)(c3, a[j], c2), OP(fma)(c1, a[j], c0));
        OP(store_columns)(y + g * job->batch, at.columns, width, a);
    }
}

/* What input `row` of a gate reads: a mix or, with wires, one row. */
TARGET BNN_INLINE void OP(read_input)(const bnn_mixed_job *job, const float *tile, size_t row,
                                      const size_t width, VEC *to) {
    if (job->wires)
        OP(load_columns)(tile + (size_t)job->wires[row] * width, width, width, to);
    else
        OP(mix_rows)(tile, job->candidates + row * job->k, job->weights + row * job->k, job->k,
                     width, to);
}

/* The gradients of that input, added to the rows of the tile that it reads. */
TARGET BNN_INLINE void OP(scatter_input)(const bnn_mixed_job *job, float *tile, size_t row,
                                         const size_t width, const VEC *grad) {
    static const float one = 1.0f;
    if (job->wires)
        OP(scatter_rows)(tile, job->wires + row, &one, 1, width, grad);
    else
        OP(scatter_rows)(tile, job->candidates + row * job->k, job->weights + row * job->k, job->k,
                         width, grad);
}

/* The mixes are computed again: their rows are then near when the gradients need them. */
TARGET BNN_INLINE void OP(mixed_backward)(const bnn_mixed_job *job, bnn_columns at, float *dx,
                                          float *dmixed, const size_t width) {
    const size_t k = job->k, second = job->outputs * k;
    const float *all = job->grad + at.first;
    OP(lane_sums) to_a, to_b, dcoefficients;
    OP(begin_sums)(&to_a, job->dweights, job->add);
    OP(begin_sums)(&to_b, job->dweights + second, job->add);
    OP(begin_sums)(&dcoefficients, job->dcoefficients, job->add);
    for (size_t g = 0; g < job->outputs; g++) {
        const int32_t *candidate = job->candidates + k * g;
        const float *c = job->coefficients + 4 * g;
        VEC a[MOST], b[MOST], grad[MOST], sums[4];
        OP(expect_row)(all, job->batch, g, job->outputs, width);
        OP(read_input)(job, at.tile, g, width, a);
        OP(read_input)(job, at.tile, job->outputs + g, width, b);
        OP(load_columns)(all + g * job->batch, at.columns, width, grad);
        VEC c1 = OP(same)(c[1]), c2 = OP(same)(c[2]), c3 = OP(same)(c[3]);
        BNN_UNROLL for (size_t i = 0; i < 4; i++) sums[i] = OP(same)(0.0f);
        BNN_UNROLL for (size_t j = 0; j < width / LANES; j++) {
            VEC with_a = OP(mul)(grad[j], a[j]), slope = OP(fma)(c3, b[j], c1);
            sums[0] = OP(add)(sums[0], grad[j]);
            sums[1] = OP(add)(sums[1], with_a);
            sums[2] = OP(fma)(grad[j], b[j], sums[2]);
            sums[3] = OP(fma)(with_a, b[j], sums[3]);
            b[j] = OP(mul)(grad[j], OP(fma)(c3, a[j], c2)); /* from here on gradients */
            a[j] = OP(mul)(grad[j], slope);
        }
        BNN_UNROLL for (size_t i = 0; i < 4; i++) OP(push_sum)(&dcoefficients, sums[i]);
        OP(dot_rows)(at.tile, candidate, k, width, a, &to_a);
        OP(dot_rows)(at.tile, candidate + second, k, width, b, &to_b);
        if (dmixed) {
            OP(store_columns)(dmixed + g * width, width, width, a);
            OP(store_columns)(dmixed + (job->outputs + g) * width, width, width, b);
        }
        if (!dx) continue;
        OP(scatter_input)(job, dx, g, width, a);
        OP(scatter_input)(job, dx, job->outputs + g, width, b);
    }
    if (to_a.filled) OP(flush_sums)(&to_a);
    if (to_b.filled) OP(flush_sums)(&to_b);
    if (dcoefficients.filled) OP(flush_sums)(&dcoefficients);
}

TARGET BNN_INLINE void OP(mixed_scatter)(const bnn_mixed_job *job, bnn_columns at,
                                         const float *dmixed, const size_t width) {
    const size_t rows = 2 * job->outputs;
    for (size_t r = 0; r < rows; r++) {
        VEC grad[MOST];
        OP(expect_row)(dmixed, width, r, rows, width);
        OP(load_columns)(dmixed + r * width, width, width, grad);
        OP(scatter_input)(job, at.tile, r, width, grad);
    }
}

TARGET void OP(bnn_mixed_forward)(const bnn_mixed_job *job, bnn_columns at) {
    BNN_EACH_WIDTH(at.width, OP(mixed_forward), job, at);
}

TARGET void OP(bnn_mixed_backward)(const bnn_mixed_job *job, bnn_columns at, float *dx,
                                   float *dmixed) {
    BNN_EACH_WIDTH(at.width, OP(mixed_backward), job, at, dx, dmixed);
}

TARGET void OP(bnn_mixed_scatter)(const bnn_mixed_job *job, bnn_columns at, const float *dmixed) {
    BNN_EACH_WIDTH(at.width, OP(mixed_scatter), job, at, dmixed);
}

TARGET void OP(bnn_choice_backward)(const bnn_choice_job *job) { choice_rows(job); }

#undef VEC
#undef LANES
#undef MOST
#undef OP

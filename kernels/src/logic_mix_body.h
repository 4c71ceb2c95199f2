/* Sparse mixing for one instruction set: SUFFIX and TARGET come from logic_each_isa.h. */
#include "logic_tile_body.h"

TARGET BNN_INLINE void OP(mix_forward)(const bnn_mix_job *job, bnn_columns at,
                                       const size_t width) {
    float *y = job->y + at.first;
    for (size_t r = 0; r < job->rows; r++) {
        VEC sum[MOST];
        OP(expect_row)(y, job->batch, r, job->rows, width);
        OP(mix_rows)(at.tile, job->candidates + r * job->k, job->weights + r * job->k, job->k,
                     width, sum);
        OP(store_columns)(y + r * job->batch, at.columns, width, sum);
    }
}

TARGET BNN_INLINE void OP(mix_inputs)(const bnn_mix_job *job, bnn_columns at,
                                      const size_t width) {
    const float *all = job->grad + at.first;
    for (size_t r = 0; r < job->rows; r++) {
        VEC grad[MOST];
        OP(expect_row)(all, job->batch, r, job->rows, width);
        OP(load_columns)(all + r * job->batch, at.columns, width, grad);
        OP(scatter_rows)(at.tile, job->candidates + r * job->k, job->weights + r * job->k, job->k,
                         width, grad);
    }
}

TARGET BNN_INLINE void OP(mix_weights)(const bnn_mix_job *job, bnn_columns at, size_t row,
                                       size_t row_end, const size_t width) {
    const float *all = job->grad + at.first;
    OP(lane_sums) sums;
    OP(begin_sums)(&sums, job->dweights + row * job->k, at.first != 0);
    for (size_t r = row; r < row_end; r++) {
        VEC grad[MOST];
        OP(expect_row)(all, job->batch, r, job->rows, width);
        OP(load_columns)(all + r * job->batch, at.columns, width, grad);
        OP(dot_rows)(at.tile, job->candidates + r * job->k, job->k, width, grad, &sums);
    }
    if (sums.filled) OP(flush_sums)(&sums);
}

TARGET void OP(bnn_mix_forward)(const bnn_mix_job *job, bnn_columns at) {
    BNN_EACH_WIDTH(at.width, OP(mix_forward), job, at);
}

TARGET void OP(bnn_mix_inputs)(const bnn_mix_job *job, bnn_columns at) {
    BNN_EACH_WIDTH(at.width, OP(mix_inputs), job, at);
}

TARGET void OP(bnn_mix_weights)(const bnn_mix_job *job, bnn_columns at, size_t row,
                                size_t row_end) {
    BNN_EACH_WIDTH(at.width, OP(mix_weights), job, at, row, row_end);
}

#undef VEC
#undef LANES
#undef MOST
#undef OP

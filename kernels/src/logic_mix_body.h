/* Sparse mixing for one instruction set: SUFFIX and TARGET are defined by the includer. */
#define VEC LOGIC_JOIN(vec, SUFFIX)
#define LANES ((size_t)LOGIC_JOIN(lanes, SUFFIX))
#define MOST (64 / LANES) /* vectors of the widest tile */
#define OP(NAME) LOGIC_JOIN(NAME, SUFFIX)

/* Columns of a row of grad, as many as the tile is wide; those beyond n are 0. */
TARGET BNN_INLINE void OP(load_columns)(const float *row, size_t n, size_t width, VEC *to) {
    if (n == width) {
        BNN_UNROLL for (size_t j = 0; j < width / LANES; j++) to[j] = OP(load)(row + j * LANES);
        return;
    }
    for (size_t j = 0; j < width / LANES; j++) {
        size_t left = n > j * LANES ? n - j * LANES : 0;
        to[j] = left >= LANES ? OP(load)(row + j * LANES)
                              : OP(load_part)(row + (left ? j * LANES : 0), left);
    }
}

TARGET BNN_INLINE void OP(store_columns)(float *row, size_t n, size_t width, const VEC *from) {
    if (n == width) {
        BNN_UNROLL for (size_t j = 0; j < width / LANES; j++) OP(store)(row + j * LANES, from[j]);
        return;
    }
    for (size_t j = 0; j < width / LANES && j * LANES < n; j++) {
        if (n - j * LANES >= LANES)
            OP(store)(row + j * LANES, from[j]);
        else
            OP(store_part)(row + j * LANES, from[j], n - j * LANES);
    }
}

TARGET BNN_INLINE void OP(mix_forward)(const bnn_mix_job *job, bnn_columns at,
                                       const size_t width) {
    const int32_t *candidate = job->candidates;
    const float *weight = job->weights;
    for (size_t r = 0; r < job->rows; r++, candidate += job->k, weight += job->k) {
        VEC sums[MOST];
        BNN_UNROLL for (size_t j = 0; j < width / LANES; j++) sums[j] = OP(same)(0.0f);
        for (size_t i = 0; i < job->k; i++) {
            const float *x = at.tile + (size_t)candidate[i] * width;
            VEC w = OP(same)(weight[i]);
            BNN_UNROLL for (size_t j = 0; j < width / LANES; j++)
                sums[j] = OP(fma)(w, OP(load)(x + j * LANES), sums[j]);
        }
        OP(store_columns)(job->y + r * job->batch + at.first, at.columns, width, sums);
    }
}

TARGET BNN_INLINE void OP(mix_inputs)(const bnn_mix_job *job, bnn_columns at,
                                      const size_t width) {
    const int32_t *candidate = job->candidates;
    const float *weight = job->weights;
    for (size_t r = 0; r < job->rows; r++, candidate += job->k, weight += job->k) {
        VEC grad[MOST];
        OP(load_columns)(job->grad + r * job->batch + at.first, at.columns, width, grad);
        for (size_t i = 0; i < job->k; i++) {
            float *x = at.tile + (size_t)candidate[i] * width;
            VEC w = OP(same)(weight[i]);
            BNN_UNROLL for (size_t j = 0; j < width / LANES; j++)
                OP(store)(x + j * LANES, OP(fma)(w, grad[j], OP(load)(x + j * LANES)));
        }
    }
}

TARGET BNN_INLINE void OP(mix_weights)(const bnn_mix_job *job, bnn_columns at, size_t row,
                                       size_t row_end, const size_t width) {
    const int32_t *candidate = job->candidates + row * job->k;
    float *out = job->dweights + row * job->k;
    float partial[LANES * LANES];
    size_t filled = 0;
    for (size_t r = row; r < row_end; r++, candidate += job->k) {
        VEC grad[MOST];
        OP(load_columns)(job->grad + r * job->batch + at.first, at.columns, width, grad);
        for (size_t i = 0; i < job->k; i++) {
            const float *x = at.tile + (size_t)candidate[i] * width;
            VEC sum = OP(mul)(grad[0], OP(load)(x));
            BNN_UNROLL for (size_t j = 1; j < width / LANES; j++)
                sum = OP(fma)(grad[j], OP(load)(x + j * LANES), sum);
            OP(store)(partial + filled * LANES, sum);
            const int last = r + 1 == row_end && i + 1 == job->k;
            if (++filled < LANES && !last) continue;
            VEC total = OP(sums)(partial);
            if (filled == LANES) {
                OP(store)(out, at.first ? OP(add)(OP(load)(out), total) : total);
            } else {
                if (at.first) total = OP(add)(OP(load_part)(out, filled), total);
                OP(store_part)(out, total, filled);
            }
            out += filled;
            filled = 0;
        }
    }
}

TARGET void OP(bnn_mix_forward)(const bnn_mix_job *job, bnn_columns at) {
    if (at.width == 64)
        OP(mix_forward)(job, at, 64);
    else if (at.width == 32)
        OP(mix_forward)(job, at, 32);
    else
        OP(mix_forward)(job, at, 16);
}

TARGET void OP(bnn_mix_inputs)(const bnn_mix_job *job, bnn_columns at) {
    if (at.width == 64)
        OP(mix_inputs)(job, at, 64);
    else if (at.width == 32)
        OP(mix_inputs)(job, at, 32);
    else
        OP(mix_inputs)(job, at, 16);
}

TARGET void OP(bnn_mix_weights)(const bnn_mix_job *job, bnn_columns at, size_t row,
                                size_t row_end) {
    if (at.width == 64)
        OP(mix_weights)(job, at, row, row_end, 64);
    else if (at.width == 32)
        OP(mix_weights)(job, at, row, row_end, 32);
    else
        OP(mix_weights)(job, at, row, row_end, 16);
}

#undef VEC
#undef LANES
#undef MOST
#undef OP

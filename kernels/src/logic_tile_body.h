/* Rows of a tile for one instruction set: SUFFIX and TARGET come from logic_each_isa.h. */
#define VEC LOGIC_JOIN(vec, SUFFIX)
#define LANES ((size_t)LOGIC_JOIN(lanes, SUFFIX))
#define MOST (BNN_WIDEST_TILE / LANES)
#define OP(NAME) LOGIC_JOIN(NAME, SUFFIX)

/* n columns of a row, as many as the tile is wide; those beyond n are 0. */
TARGET BNN_INLINE void OP(load_columns)(const float *row, size_t n, const size_t width, VEC *to) {
    if (n == width) {
        BNN_UNROLL for (size_t j = 0; j < width / LANES; j++) to[j] = OP(load)(row + j * LANES);
        return;
    }
    BNN_UNROLL for (size_t j = 0; j < width / LANES; j++) {
        const size_t at = bnn_min(j * LANES, n), left = n - at;
        to[j] = left >= LANES ? OP(load)(row + at) : OP(load_part)(row + at, left);
    }
}

TARGET BNN_INLINE void OP(store_columns)(float *row, size_t n, const size_t width,
                                         const VEC *from) {
    BNN_UNROLL for (size_t j = 0; j < width / LANES; j++) {
        const size_t at = n == width ? j * LANES : bnn_min(j * LANES, n), left = n - at;
        if (left >= LANES)
            OP(store)(row + at, from[j]);
        else
            OP(store_part)(row + at, from[j], left);
    }
}

/* Vectors whose lanes are to be summed, and where the next LANES sums go. The sums are written
 * when the columns are the first ones, else added to what is there. */
typedef struct {
    float waiting[LANES * LANES];
    size_t filled;
    float *out;
    int add;
} OP(lane_sums);

BNN_INLINE void OP(begin_sums)(OP(lane_sums) * sums, float *out, int add) {
    sums->filled = 0;
    sums->out = out;
    sums->add = add;
}

TARGET BNN_INLINE void OP(flush_sums)(OP(lane_sums) * sums) {
    VEC total = OP(sums)(sums->waiting);
    if (sums->filled == LANES) {
        OP(store)(sums->out, sums->add ? OP(add)(OP(load)(sums->out), total) : total);
    } else {
        if (sums->add) total = OP(add)(OP(load_part)(sums->out, sums->filled), total);
        OP(store_part)(sums->out, total, sums->filled);
    }
    sums->out += sums->filled;
    sums->filled = 0;
}

TARGET BNN_INLINE void OP(push_sum)(OP(lane_sums) * sums, VEC vector) {
    OP(store)(sums->waiting + sums->filled * LANES, vector);
    if (++sums->filled == LANES) OP(flush_sums)(sums);
}

/* The sum over k candidates of weight times row of the tile. */
TARGET BNN_INLINE void OP(mix_rows)(const float *tile, const int32_t *candidate,
                                    const float *weight, size_t k, const size_t width, VEC *sum) {
    BNN_UNROLL for (size_t j = 0; j < width / LANES; j++) sum[j] = OP(same)(0.0f);
    for (size_t i = 0; i < k; i++) {
        const float *x = tile + (size_t)candidate[i] * width;
        VEC w = OP(same)(weight[i]);
        BNN_UNROLL for (size_t j = 0; j < width / LANES; j++)
            sum[j] = OP(fma)(w, OP(load)(x + j * LANES), sum[j]);
    }
}

/* The gradients of the k weights of a row. */
TARGET BNN_INLINE void OP(dot_rows)(const float *tile, const int32_t *candidate, size_t k,
                                    const size_t width, const VEC *grad, OP(lane_sums) * sums) {
    for (size_t i = 0; i < k; i++) {
        const float *x = tile + (size_t)candidate[i] * width;
        VEC sum = OP(mul)(grad[0], OP(load)(x));
        BNN_UNROLL for (size_t j = 1; j < width / LANES; j++)
            sum = OP(fma)(grad[j], OP(load)(x + j * LANES), sum);
        OP(push_sum)(sums, sum);
    }
}

/* The gradients of the k candidates of a row, added to their rows of the tile. */
TARGET BNN_INLINE void OP(scatter_rows)(float *tile, const int32_t *candidate,
                                        const float *weight, size_t k, const size_t width,
                                        const VEC *grad) {
    for (size_t i = 0; i < k; i++) {
        float *x = tile + (size_t)candidate[i] * width;
        VEC w = OP(same)(weight[i]);
        BNN_UNROLL for (size_t j = 0; j < width / LANES; j++)
            OP(store)(x + j * LANES, OP(fma)(w, grad[j], OP(load)(x + j * LANES)));
    }
}

/* Brings a row that is used a little later near: the next ones are far apart in memory. */
TARGET BNN_INLINE void OP(expect_row)(const float *rows, size_t stride, size_t row, size_t n_rows,
                                      const size_t width) {
    const float *at = rows + bnn_min(row + BNN_ROWS_AHEAD, n_rows - 1) * stride;
    BNN_UNROLL for (size_t j = 0; j < width; j += 16) BNN_PREFETCH(at + j);
}

/* The gate layer for one instruction set: SUFFIX and TARGET come from logic_each_isa.h. */
#define VEC LOGIC_JOIN(vec, SUFFIX)
#define LANES ((size_t)LOGIC_JOIN(lanes, SUFFIX))
#define GROUP (LANES < 4 ? 1 : LANES / 4) /* gates whose sums fill whole vectors */
#define OP(NAME) LOGIC_JOIN(NAME, SUFFIX)

TARGET BNN_INLINE void OP(gate)(const float *a, const float *b, const float *c, float *y,
                                size_t columns) {
    VEC c0 = OP(same)(c[0]), c1 = OP(same)(c[1]), c2 = OP(same)(c[2]), c3 = OP(same)(c[3]);
    size_t j = 0;
    for (; j + LANES <= columns; j += LANES) {
        VEC x = OP(load)(a + j);
        VEC factor = OP(fma)(c3, x, c2), rest = OP(fma)(c1, x, c0);
        OP(store)(y + j, OP(fma)(OP(load)(b + j), factor, rest));
    }
    if (j < columns) {
        VEC x = OP(load_part)(a + j, columns - j), z = OP(load_part)(b + j, columns - j);
        VEC factor = OP(fma)(c3, x, c2), rest = OP(fma)(c1, x, c0);
        OP(store_part)(y + j, OP(fma)(z, factor, rest), columns - j);
    }
}

/* Brings the rows of a gate near that is worked on a little later: nothing else foretells them. */
TARGET BNN_INLINE void OP(expect_gate)(const bnn_gates_job *job, const float *rows, size_t g,
                                       size_t columns) {
    g = bnn_min(g + BNN_GATES_AHEAD, job->outputs - 1);
    const float *a = rows + (size_t)job->a[g] * job->batch;
    const float *b = rows + (size_t)job->b[g] * job->batch;
    BNN_UNROLL for (size_t j = 0; j < columns; j += 16) {
        BNN_PREFETCH(a + j);
        BNN_PREFETCH(b + j);
    }
}

TARGET BNN_INLINE void OP(gates_forward)(const bnn_gates_job *job, size_t first,
                                         size_t columns) {
    const float *x = job->x + first;
    for (size_t g = 0; g < job->outputs; g++) {
        OP(expect_gate)(job, x, g, columns);
        OP(gate)(x + (size_t)job->a[g] * job->batch, x + (size_t)job->b[g] * job->batch,
                 job->coefficients + 4 * g, job->y + g * job->batch + first, columns);
    }
}

TARGET void OP(bnn_gates_forward)(const bnn_gates_job *job, bnn_columns at) {
    if (at.columns == BNN_GATE_COLUMNS)
        OP(gates_forward)(job, at.first, BNN_GATE_COLUMNS);
    else
        OP(gates_forward)(job, at.first, at.columns);
}

/* One vector of columns, n of them: the four products with the gradient are added to sums, the
 * gradients of the inputs to da and db, which may be the same row. */
TARGET BNN_INLINE void OP(gate_columns)(const float *a, const float *b, const float *grad,
                                        const VEC *c, VEC *sums, float *da, float *db, size_t n) {
    const int whole = n == LANES;
    VEC x = whole ? OP(load)(a) : OP(load_part)(a, n);
    VEC z = whole ? OP(load)(b) : OP(load_part)(b, n);
    VEC g = whole ? OP(load)(grad) : OP(load_part)(grad, n);
    VEC gx = OP(mul)(g, x);
    sums[0] = OP(add)(sums[0], g);
    sums[1] = OP(add)(sums[1], gx);
    sums[2] = OP(fma)(g, z, sums[2]);
    sums[3] = OP(fma)(gx, z, sums[3]);
    if (!da) return;
    VEC to_a = OP(fma)(c[2], z, c[0]), to_b = OP(fma)(c[2], x, c[1]);
    if (whole) {
        OP(store)(da, OP(fma)(g, to_a, OP(load)(da)));
        OP(store)(db, OP(fma)(g, to_b, OP(load)(db)));
    } else {
        OP(store_part)(da, OP(fma)(g, to_a, OP(load_part)(da, n)), n);
        OP(store_part)(db, OP(fma)(g, to_b, OP(load_part)(db, n)), n);
    }
}

TARGET BNN_INLINE void OP(gates_backward)(const bnn_gates_job *job, size_t first, size_t columns,
                                          float *dc, const int with_dx) {
    const float *x = job->x + first;
    float *dx = with_dx ? job->dx + first : NULL;
    float partial[4 * GROUP * LANES];
    if (with_dx)
        for (size_t i = 0; i < job->inputs; i++)
            memset(dx + i * job->batch, 0, columns * sizeof *dx);
    for (size_t g = 0; g < job->outputs; g++) {
        const size_t a = (size_t)job->a[g] * job->batch, b = (size_t)job->b[g] * job->batch;
        const float *grad = job->grad + g * job->batch + first, *given = job->coefficients + 4 * g;
        OP(expect_gate)(job, x, g, columns);
        if (with_dx) OP(expect_gate)(job, dx, g, columns);
        VEC c[3] = {OP(same)(given[1]), OP(same)(given[2]), OP(same)(given[3])};
        VEC sums[4] = {OP(same)(0), OP(same)(0), OP(same)(0), OP(same)(0)};
        size_t j = 0;
        for (; j + LANES <= columns; j += LANES)
            OP(gate_columns)(x + a + j, x + b + j, grad + j, c, sums, with_dx ? dx + a + j : NULL,
                             with_dx ? dx + b + j : NULL, LANES);
        if (j < columns)
            OP(gate_columns)(x + a + j, x + b + j, grad + j, c, sums, with_dx ? dx + a + j : NULL,
                             with_dx ? dx + b + j : NULL, columns - j);
        float *here = partial + 4 * LANES * (g % GROUP);
        BNN_UNROLL for (size_t i = 0; i < 4; i++) OP(store)(here + i * LANES, sums[i]);
        if (g % GROUP + 1 < GROUP && g < job->outputs - 1) continue;
        const size_t done = 4 * (g % GROUP + 1);
        for (size_t i = 0; i < done; i += LANES) {
            VEC total = OP(sums)(partial + i * LANES);
            float *to = dc + 4 * (g - g % GROUP) + i;
            if (done - i >= LANES)
                OP(store)(to, total);
            else
                OP(store_part)(to, total, done - i);
        }
    }
}

TARGET void OP(bnn_gates_backward)(const bnn_gates_job *job, bnn_columns at, float *dc) {
    if (at.columns == BNN_GATE_COLUMNS && job->dx)
        OP(gates_backward)(job, at.first, BNN_GATE_COLUMNS, dc, 1);
    else if (at.columns == BNN_GATE_COLUMNS)
        OP(gates_backward)(job, at.first, BNN_GATE_COLUMNS, dc, 0);
    else
        OP(gates_backward)(job, at.first, at.columns, dc, job->dx != NULL);
}

#undef VEC
#undef LANES
#undef GROUP
#undef OP

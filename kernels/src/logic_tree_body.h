/* Trees of gates for one instruction set: SUFFIX and TARGET come from logic_each_isa.h. */
#include "logic_tile_body.h"
#define WHERE LOGIC_JOIN(lanes_where, SUFFIX)

/* The rows that a gate reads: leaves, or the values of gates before it. */
typedef struct {
    const float *a, *b;
} OP(gate_rows);

BNN_INLINE OP(gate_rows) OP(rows_of)(const bnn_tree *tree, size_t g, const float *const *leaves,
                                     const float *values, const size_t width) {
    const size_t lowest = tree->leaves / 2;
    if (g < lowest) return (OP(gate_rows)){leaves[2 * g], leaves[2 * g + 1]};
    const float *a = values + 2 * (g - lowest) * width;
    return (OP(gate_rows)){a, a + width};
}

/* The values of the gates g < end. */
TARGET BNN_INLINE void OP(tree_gates)(const bnn_tree *tree, const float *const *leaves,
                                      size_t end, const size_t width, float *values) {
    for (size_t g = 0; g < end; g++) {
        OP(gate_rows) row = OP(rows_of)(tree, g, leaves, values, width);
        const float *c = tree->coefficients[g];
        VEC c0 = OP(same)(c[0]), c1 = OP(same)(c[1]), c2 = OP(same)(c[2]), c3 = OP(same)(c[3]);
        BNN_UNROLL for (size_t j = 0; j < width; j += LANES) {
            VEC a = OP(load)(row.a + j);
            VEC factor = OP(fma)(c3, a, c2), rest = OP(fma)(c1, a, c0);
            OP(store)(values + g * width + j, OP(fma)(OP(load)(row.b + j), factor, rest));
        }
    }
}

/* A gate on rows that are in registers; a becomes its value. */
TARGET BNN_INLINE void OP(join)(const float *c, VEC *a, const VEC *b, const size_t width) {
    VEC c0 = OP(same)(c[0]), c1 = OP(same)(c[1]), c2 = OP(same)(c[2]), c3 = OP(same)(c[3]);
    BNN_UNROLL for (size_t j = 0; j < width / LANES; j++)
        a[j] = OP(fma)(b[j], OP(fma)(c3, a[j], c2), OP(fma)(c1, a[j], c0));
}

TARGET BNN_INLINE void OP(load_row)(const float *row, VEC *to, const size_t width) {
    BNN_UNROLL for (size_t j = 0; j < width / LANES; j++) to[j] = OP(load)(row + j * LANES);
}

/* The values of node i, counted from the first one with so many levels below it. */
TARGET BNN_INLINE void OP(node1)(const bnn_tree *tree, const float *window, size_t i, VEC *y,
                                 const size_t width) {
    VEC b[MOST];
    OP(load_row)(window + tree->at[2 * i], y, width);
    OP(load_row)(window + tree->at[2 * i + 1], b, width);
    OP(join)(tree->coefficients[i], y, b, width);
}

TARGET BNN_INLINE void OP(node2)(const bnn_tree *tree, const float *window, size_t i, VEC *y,
                                 const size_t width) {
    VEC b[MOST];
    OP(node1)(tree, window, 2 * i, y, width);
    OP(node1)(tree, window, 2 * i + 1, b, width);
    OP(join)(tree->coefficients[tree->leaves / 2 + i], y, b, width);
}

TARGET BNN_INLINE void OP(node3)(const bnn_tree *tree, const float *window, size_t i, VEC *y,
                                 const size_t width) {
    VEC b[MOST];
    OP(node2)(tree, window, 2 * i, y, width);
    OP(node2)(tree, window, 2 * i + 1, b, width);
    OP(join)(tree->coefficients[tree->leaves / 4 * 3 + i], y, b, width);
}

/* The value of a tree's root; of deep trees what lies above three levels goes through memory. */
TARGET BNN_INLINE void OP(tree_root)(const bnn_tree *tree, const float *window, VEC *y,
                                     const size_t width) {
    if (tree->leaves == 2) {
        OP(node1)(tree, window, 0, y, width);
    } else if (tree->leaves == 4) {
        OP(node2)(tree, window, 0, y, width);
    } else if (tree->leaves == 8) {
        OP(node3)(tree, window, 0, y, width);
    } else {
        float values[BNN_TREE_LEAVES / 8 * BNN_WIDEST_TILE];
        size_t nodes = tree->leaves / 8, g = tree->leaves - nodes;
        for (size_t i = 0; i < nodes; i++) {
            OP(node3)(tree, window, i, y, width);
            OP(store_columns)(values + i * width, width, width, y);
        }
        for (; nodes > 1; nodes /= 2)
            for (size_t i = 0; i < nodes / 2; i++, g++) {
                VEC b[MOST];
                OP(load_row)(values + 2 * i * width, y, width);
                OP(load_row)(values + (2 * i + 1) * width, b, width);
                OP(join)(tree->coefficients[g], y, b, width);
                OP(store_columns)(values + i * width, width, width, y);
            }
        OP(load_row)(values, y, width);
    }
}

/* The largest root of the neighbours that are pooled, and which of them it was. */
TARGET BNN_INLINE void OP(tree_place)(const bnn_trees_job *job, bnn_columns at,
                                      const bnn_tree *tree, size_t place, VEC *best, VEC *won,
                                      const size_t width) {
    const size_t parts = job->trees->pool * job->trees->pool;
    OP(tree_root)(tree, at.tile + bnn_window_at(job, place, 0, width), best, width);
    BNN_UNROLL for (size_t j = 0; j < width / LANES; j++) won[j] = OP(same)(0.0f);
    for (size_t part = 1; part < parts; part++) {
        VEC value[MOST], here = OP(same)((float)part);
        OP(tree_root)(tree, at.tile + bnn_window_at(job, place, part, width), value, width);
        BNN_UNROLL for (size_t j = 0; j < width / LANES; j++) {
            WHERE larger = OP(above)(value[j], best[j]);
            best[j] = OP(choose)(larger, value[j], best[j]);
            won[j] = OP(choose)(larger, here, won[j]);
        }
    }
}

TARGET BNN_INLINE void OP(trees_forward)(const bnn_trees_job *job, bnn_columns at,
                                         const size_t width) {
    const size_t places = job->places_y * job->places_x, batch = job->trees->batch;
    for (size_t t = 0; t < job->trees->outputs; t++) {
        bnn_tree tree = bnn_tree_at(job, t, width);
        for (size_t place = 0; place < places; place++) {
            const size_t to = (t * places + place) * batch + at.first;
            VEC best[MOST], won[MOST];
            OP(tree_place)(job, at, &tree, place, best, won, width);
            OP(store_columns)(job->y + to, at.columns, width, best);
            for (size_t j = 0; job->won && j < at.columns; j += LANES)
                OP(store_bytes)(job->won + to + j, won[j / LANES], bnn_min(LANES, at.columns - j));
        }
    }
}

/* The leaves of the winning window, which differs from column to column. */
TARGET BNN_INLINE void OP(choose_leaves)(const bnn_tree *tree, const float *tile,
                                         const size_t *windows, const size_t parts,
                                         const VEC *won, float *chosen, const size_t width) {
    BNN_UNROLL for (size_t j = 0; j < width / LANES; j++)
        for (size_t i = 0; i < tree->leaves; i++) {
            const float *leaf = tile + tree->at[i] + j * LANES;
            VEC value = OP(load)(leaf + windows[0]);
            BNN_UNROLL for (size_t part = 1; part < parts; part++) {
                WHERE here = OP(equal)(won[j], OP(same)((float)part));
                value = OP(choose)(here, OP(load)(leaf + windows[part]), value);
            }
            OP(store)(chosen + i * width + j * LANES, value);
        }
}

/* The gradient of a leaf, added to the pixel of the winning window. */
TARGET BNN_INLINE void OP(add_to_leaf)(float *leaf, const size_t *windows, size_t parts,
                                       VEC won, VEC grad) {
    for (size_t part = 0; part < parts; part++) {
        WHERE here = OP(equal)(won, OP(same)((float)part));
        float *to = leaf + windows[part];
        OP(store)(to, OP(add)(OP(load)(to), OP(choose)(here, grad, OP(same)(0.0f))));
    }
}

/* The gradients of all gates of a tree at one place: those of the coefficients are added to sums,
 * [gates][4] vectors. grads holds those of the gates' values, the root's to begin with. */
TARGET BNN_INLINE void OP(tree_gradients)(const bnn_tree *tree, const float *const *leaves,
                                          const float *values, float *grads, float *sums,
                                          float *dx, const size_t *windows, size_t parts,
                                          const VEC *won, const size_t width) {
    const size_t lowest = tree->leaves / 2;
    for (size_t g = tree->gates; g-- > 0;) {
        OP(gate_rows) row = OP(rows_of)(tree, g, leaves, values, width);
        const float *given = tree->coefficients[g], *grad_row = grads + g * width;
        float *to = sums + 4 * g * LANES;
        VEC c1 = OP(same)(given[1]), c2 = OP(same)(given[2]), c3 = OP(same)(given[3]);
        VEC sum[4];
        BNN_UNROLL for (size_t i = 0; i < 4; i++) sum[i] = OP(load)(to + i * LANES);
        BNN_UNROLL for (size_t j = 0; j < width; j += LANES) {
            VEC a = OP(load)(row.a + j), b = OP(load)(row.b + j), grad = OP(load)(grad_row + j);
            VEC with_a = OP(mul)(grad, a);
            sum[0] = OP(add)(sum[0], grad);
            sum[1] = OP(add)(sum[1], with_a);
            sum[2] = OP(fma)(grad, b, sum[2]);
            sum[3] = OP(fma)(with_a, b, sum[3]);
            if (g < lowest && !dx) continue;
            VEC to_a = OP(mul)(grad, OP(fma)(c3, b, c1));
            VEC to_b = OP(mul)(grad, OP(fma)(c3, a, c2));
            if (g >= lowest) {
                float *inputs = grads + 2 * (g - lowest) * width + j;
                OP(store)(inputs, to_a);
                OP(store)(inputs + width, to_b);
            } else {
                OP(add_to_leaf)(dx + tree->at[2 * g] + j, windows, parts, won[j / LANES], to_a);
                OP(add_to_leaf)(dx + tree->at[2 * g + 1] + j, windows, parts, won[j / LANES],
                                to_b);
            }
        }
        BNN_UNROLL for (size_t i = 0; i < 4; i++) OP(store)(to + i * LANES, sum[i]);
    }
}

/* Sums over the lanes, for a number of vectors that LANES need not divide. */
TARGET BNN_INLINE void OP(sum_lanes)(const float *vectors, size_t n, float *out) {
    for (size_t i = 0; i < n; i += LANES) {
        VEC total = OP(sums)(vectors + i * LANES);
        OP(store_part)(out + i, total, bnn_min(LANES, n - i));
    }
}

TARGET BNN_INLINE void OP(tree_backward)(const bnn_trees_job *job, bnn_columns at, size_t t,
                                         float *dx, float *dcoefficients, const size_t width) {
    const size_t places = job->places_y * job->places_x, batch = job->trees->batch;
    const size_t parts = job->trees->pool * job->trees->pool;
    bnn_tree tree = bnn_tree_at(job, t, width);
    float values[BNN_TREE_GATES * BNN_WIDEST_TILE], grads[BNN_TREE_GATES * BNN_WIDEST_TILE];
    float chosen[BNN_TREE_LEAVES * BNN_WIDEST_TILE];
    float sums[(4 * BNN_TREE_LEAVES + LANES) * LANES], total[4 * BNN_TREE_GATES];
    const float *leaves[BNN_TREE_LEAVES];
    size_t windows[BNN_TREE_POOL * BNN_TREE_POOL];
    memset(sums, 0, sizeof sums);
    for (size_t i = 0; i < tree.leaves; i++) leaves[i] = chosen + i * width;
    for (size_t place = 0; place < places; place++) {
        const size_t from = (t * places + place) * batch + at.first;
        VEC won[MOST], grad[MOST];
        for (size_t part = 0; part < parts; part++)
            windows[part] = bnn_window_at(job, place, part, width);
        BNN_UNROLL for (size_t j = 0; j < width / LANES; j++) {
            const size_t first = bnn_min(j * LANES, at.columns);
            won[j] = OP(same)(0.0f);
            if (parts > 1)
                won[j] = OP(load_bytes)(job->winners + from + first,
                                        bnn_min(LANES, at.columns - first));
        }
        if (parts == 4) /* the usual pool: its conditions stay in registers */
            OP(choose_leaves)(&tree, at.tile, windows, 4, won, chosen, width);
        else if (parts > 1)
            OP(choose_leaves)(&tree, at.tile, windows, parts, won, chosen, width);
        else
            for (size_t i = 0; i < tree.leaves; i++)
                leaves[i] = at.tile + windows[0] + tree.at[i];
        OP(tree_gates)(&tree, leaves, tree.gates - 1, width, values);
        OP(load_columns)(job->grad + from, at.columns, width, grad);
        OP(store_columns)(grads + (tree.gates - 1) * width, width, width, grad);
        OP(tree_gradients)(&tree, leaves, values, grads, sums, dx, windows, parts, won, width);
    }
    OP(sum_lanes)(sums, 4 * tree.gates, total);
    bnn_tree_put(job, t, total, dcoefficients);
}

TARGET BNN_INLINE void OP(trees_backward)(const bnn_trees_job *job, bnn_columns at, float *dx,
                                          float *dcoefficients, const size_t width) {
    for (size_t t = 0; t < job->trees->outputs; t++)
        OP(tree_backward)(job, at, t, dx, dcoefficients, width);
}

TARGET void OP(bnn_trees_forward)(const bnn_trees_job *job, bnn_columns at) {
    BNN_EACH_WIDTH(at.width, OP(trees_forward), job, at);
}

TARGET void OP(bnn_trees_backward)(const bnn_trees_job *job, bnn_columns at, float *dx,
                                   float *dcoefficients) {
    BNN_EACH_WIDTH(at.width, OP(trees_backward), job, at, dx, dcoefficients);
}

#undef WHERE
#undef VEC
#undef LANES
#undef MOST
#undef OP

/* Trees of gates slid over images: what their kernels share. */
#ifndef BNN_LOGIC_TREE_H
#define BNN_LOGIC_TREE_H

#include "logic.h"

#define BNN_TREE_LEAVES ((size_t)1 << BNN_TREE_DEPTH)
#define BNN_TREE_GATES (BNN_TREE_LEAVES - 1)

typedef struct {
    const bnn_trees *trees;
    size_t places_y, places_x; /* of the output */
    size_t line;               /* pixels of a line of the padded image */
    const float *x, *coefficients;
    float *y;                  /* forward */
    uint8_t *won;              /* forward; may be NULL */
    const uint8_t *winners;    /* backward; NULL without pooling */
    const float *grad;         /* backward */
} bnn_trees_job;

/* One tree with its gates level after level: gate g >= leaves / 2 reads the gates
 * 2 (g - leaves / 2) and the one after it, the gates before those read the leaves 2 g, 2 g + 1. */
typedef struct {
    size_t leaves, gates;
    size_t at[BNN_TREE_LEAVES]; /* floats from a window's first pixel to the leaf's, in a tile */
    float coefficients[BNN_TREE_GATES][4];
} bnn_tree;

/* In both directions a tile holds the columns of all pixels of the padded image. */
struct bnn_trees_isa {
    void (*forward)(const bnn_trees_job *job, bnn_columns at);
    /* dcoefficients is written, in the order of the coefficients; the gradients of the pixels are
     * added to the tile dx unless it is NULL. */
    void (*backward)(const bnn_trees_job *job, bnn_columns at, float *dx, float *dcoefficients);
};

#define BNN_DECLARE_TREES(SUFFIX)                                               \
    void bnn_trees_forward_##SUFFIX(const bnn_trees_job *job, bnn_columns at);  \
    void bnn_trees_backward_##SUFFIX(const bnn_trees_job *job, bnn_columns at,  \
                                     float *dx, float *dcoefficients);

BNN_DECLARE_TREES(ref)
BNN_DECLARE_TREES(scalar)
#if BNN_X86
BNN_DECLARE_TREES(avx2)
BNN_DECLARE_TREES(avx512)
#endif
#if BNN_NEON
BNN_DECLARE_TREES(neon)
#endif

/* Gather what belongs to one tree, for tiles of this width. */
bnn_tree bnn_tree_at(const bnn_trees_job *job, size_t tree, size_t width);
/* Write the gradients of one tree's coefficients, [gates][4], to their places. */
void bnn_tree_put(const bnn_trees_job *job, size_t tree, const float *from, float *dcoefficients);

/* Floats from the start of a tile to the first pixel of window `part` of an output's pool. */
BNN_INLINE size_t bnn_window_at(const bnn_trees_job *job, size_t place, size_t part,
                                size_t width) {
    const size_t pool = job->trees->pool;
    size_t y = place / job->places_x * pool + part / pool;
    size_t x = place % job->places_x * pool + part % pool;
    return (y * job->line + x) * width;
}

#endif

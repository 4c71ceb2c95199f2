/* What the kernels of logic-gate layers share. Activations are feature-major: x[feature][batch]. */
#ifndef BNN_LOGIC_H
#define BNN_LOGIC_H

#include "bnn_isa.h"

/* y[g] = (c0 + c1 x[a]) + x[b] (c2 + c3 x[a]) for every gate g and every column. */
typedef struct {
    const float *x;
    size_t inputs, outputs, batch;
    const int32_t *a, *b;      /* [outputs] */
    const float *coefficients; /* [outputs][4] */
    float *y;                  /* forward */
    const float *grad;         /* backward */
    float *dx;                 /* may be NULL */
} bnn_gates_job;

/* A gate layer whose inputs are the mixes of rows g and outputs + g of candidates and weights:
 * mix[r] = sum over i of weights[r][i] x[candidates[r][i]]. With wires, which only the backward
 * passes know, the mix is x[wires[r]] instead, and weights is NULL. */
typedef struct {
    const float *x;
    size_t inputs, outputs, k, batch;
    const int32_t *candidates; /* [2][outputs][k] */
    const float *weights;      /* [2][outputs][k] */
    const int32_t *wires;      /* [2][outputs], or NULL */
    const float *coefficients; /* [outputs][4] */
    float *y;                  /* forward */
    const float *grad;         /* backward */
    float *dweights, *dcoefficients;
    int add; /* to the gradients of the weights and coefficients, instead of writing them */
} bnn_mixed_job;

/* Rows of gradients of weights = softmax(sharpness * logits), to become those of the logits:
 * sharpness * weights * (grad - sum over the row of weights * grad). */
typedef struct {
    const float *logits; /* [rows][k] */
    float *grad;         /* [rows][k] */
    size_t rows, k;
    float sharpness;
} bnn_choice_job;

/* Columns [first, first + columns) of the batch. A tile holds them for all inputs, side by side:
 * tile[inputs][width], the columns that are missing in the last one 0. */
typedef struct {
    size_t first, columns, width;
    float *tile;
} bnn_columns;

/* The batch is cut into blocks of so many columns; the last one may have fewer. */
BNN_INLINE size_t bnn_blocks_for(size_t batch, size_t width) { return (batch + width - 1) / width; }

BNN_INLINE bnn_columns bnn_columns_of(size_t block, size_t width, size_t batch, float *tile) {
    size_t first = block * width;
    return (bnn_columns){first, bnn_min(batch - first, width), width, tile};
}

/* No sum depends on how many threads share the work: see logic_layer.c and logic_mixed.c. */
struct bnn_logic_isa {
    void (*gates_forward)(const bnn_gates_job *job, bnn_columns at);
    /* dc[outputs][4] is written; the columns of job->dx are written unless it is NULL. */
    void (*gates_backward)(const bnn_gates_job *job, bnn_columns at, float *dc);
    void (*mixed_forward)(const bnn_mixed_job *job, bnn_columns at);
    /* The gradients of x are added to the tile dx, those of the mixes are written to
     * dmixed[2][outputs][width]; either may be NULL. */
    void (*mixed_backward)(const bnn_mixed_job *job, bnn_columns at, float *dx, float *dmixed);
    /* Adds the gradients of the mixes to the tile, as those of its rows. */
    void (*mixed_scatter)(const bnn_mixed_job *job, bnn_columns at, const float *dmixed);
    void (*choice_backward)(const bnn_choice_job *job);
};

#define BNN_DECLARE_LOGIC(SUFFIX)                                                          \
    void bnn_gates_forward_##SUFFIX(const bnn_gates_job *job, bnn_columns at);             \
    void bnn_gates_backward_##SUFFIX(const bnn_gates_job *job, bnn_columns at, float *dc); \
    void bnn_mixed_forward_##SUFFIX(const bnn_mixed_job *job, bnn_columns at);             \
    void bnn_mixed_backward_##SUFFIX(const bnn_mixed_job *job, bnn_columns at, float *dx,  \
                                     float *dmixed);                                       \
    void bnn_mixed_scatter_##SUFFIX(const bnn_mixed_job *job, bnn_columns at,              \
                                    const float *dmixed);                                  \
    void bnn_choice_backward_##SUFFIX(const bnn_choice_job *job);

BNN_DECLARE_LOGIC(ref)
BNN_DECLARE_LOGIC(scalar)
#if BNN_X86
BNN_DECLARE_LOGIC(avx2)
BNN_DECLARE_LOGIC(avx512)
#endif
#if BNN_NEON
BNN_DECLARE_LOGIC(neon)
#endif

#define BNN_GATE_COLUMNS 64 /* columns of a block; fixed, so that sums never depend on threads */
#define BNN_TILE_FLOATS ((size_t)1 << 18) /* 1 MiB: half of a second-level cache, or all of it */
#define BNN_GATES_AHEAD 8   /* gates between asking for their rows and using them */
#define BNN_WIDEST_TILE 64  /* columns; the others are 32 and 16 */
#define BNN_ROWS_AHEAD 16   /* rows between asking for memory and using it */

#if defined(__GNUC__)
#define BNN_PREFETCH(ADDRESS) __builtin_prefetch(ADDRESS)
#else
#define BNN_PREFETCH(ADDRESS) ((void)(ADDRESS))
#endif

/* Calls F with the width as a constant, so that its vectors stay in registers. */
#define BNN_EACH_WIDTH(WIDTH, F, ...) \
    do {                              \
        if ((WIDTH) == 64)            \
            F(__VA_ARGS__, 64);       \
        else if ((WIDTH) == 32)       \
            F(__VA_ARGS__, 32);       \
        else                          \
            F(__VA_ARGS__, 16);       \
    } while (0)

/* The width of the tiles for so many rows and columns; it decides the order of the sums. */
size_t bnn_tile_width(size_t inputs, size_t batch);
/* Columns of x into the tile, the missing ones 0, and back. */
void bnn_tile_load(const float *x, size_t rows, size_t batch, bnn_columns at);
void bnn_tile_store(float *x, size_t rows, size_t batch, bnn_columns at);

/* a * b * c floats from the start of a cache line on, uninitialized; NULL when there is no memory
 * for them or the product overflows. */
float *bnn_allocate_floats(size_t a, size_t b, size_t c);
void bnn_free_floats(float *floats);

#endif

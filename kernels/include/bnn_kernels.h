/* Kernels on packed signs.
 *
 * A value is one bit, 1 <=> value < 0; element i of a row is bit i % 64 of word i / 64; pad bits
 * are 0. The dot product of two rows of n signs is n - 2 * popcount(a ^ b).
 *
 * Every function reads caller memory at any alignment, keeps no state and, unless it has an
 * argument threads, is single-threaded. The functions that need scratch memory return 0, or -1 when it could not be allocated.
 */
#ifndef BNN_KERNELS_H
#define BNN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Raised with every change of this header, in native/kernels.py too: compiled kernels of another
 * version are refused. */
#define BNN_ABI 5

#define BNN_PANEL_LANES 32 /* outputs side by side in one panel of xor weights */
#define BNN_MASK_LANES 64  /* outputs side by side in one panel of masks or codes */

/* One instruction set: ref, scalar, avx2, avx512, neon. */
typedef struct bnn_isa bnn_isa;

/* NULL when the name is unknown, not compiled in, or not supported by this CPU. */
const bnn_isa *bnn_isa_find(const char *name);
const bnn_isa *bnn_isa_best(void);
const char *bnn_isa_name(const bnn_isa *isa);

/* x (rows, n) -> out (rows, ceil(n / 64)); NaN and -0.0 give bit 0. */
void bnn_signs_pack(const bnn_isa *isa, const float *x, size_t rows, size_t n, uint64_t *out);

/* weights (outputs, words) -> panels [ceil(outputs / 32)][words][32], missing outputs 0. */
void bnn_panels_pack(const uint64_t *weights, size_t outputs, size_t words, uint64_t *panels);

/* weights (outputs, taps * ceil(bits / 64)) -> masks [ceil(outputs / 64)][taps * bits]:
 * bit j of a mask is the weight bit of output j, pad bits of the taps left out. */
void bnn_masks_pack(const uint64_t *weights, size_t outputs, size_t taps, size_t bits,
                    uint64_t *masks);

/* The same bits as codes [ceil(outputs / 64)][ceil(taps * bits / 32)][64]: bit i of a code is the
 * weight bit at position i of its 32; positions beyond the last are 0. */
void bnn_codes_pack(const uint64_t *weights, size_t outputs, size_t taps, size_t bits,
                    uint32_t *codes);

/* Whether sums of floats for so many outputs are read from codes (1) or from masks (0). */
int bnn_sign_reads_codes(const bnn_isa *isa, size_t outputs);

/* a (rows, words), panels -> out (rows, outputs) = n_bits - 2 * popcount(a ^ b). */
void bnn_gemm_xor(const bnn_isa *isa, const uint64_t *a, size_t rows, size_t words,
                  const uint64_t *panels, size_t outputs, int32_t n_bits, int32_t *out);

/* The same, out (rows, ceil(outputs / 64)): bit 1 <=> dot < thresholds[output]. */
void bnn_gemm_threshold(const bnn_isa *isa, const uint64_t *a, size_t rows, size_t words,
                        const uint64_t *panels, size_t outputs, int32_t n_bits,
                        const int32_t *thresholds, uint64_t *out);

/* x (rows, k), weights -> out (rows, outputs) = sum of +x or -x. Of masks and codes only the one
 * that bnn_sign_reads_codes names is read; the other may be NULL. */
void bnn_gemm_sign(const bnn_isa *isa, const float *x, size_t rows, size_t k,
                   const uint64_t *masks, const uint32_t *codes, size_t outputs, float *out);

/* NHWC input, zero padding: a padded position adds 0 to the dot product. */
typedef struct {
    size_t batch, height, width, channels, outputs;
    size_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
} bnn_conv_shape;

/* a (batch, height, width, ceil(channels / 64)) -> out (batch, out_h, out_w, outputs). */
int bnn_conv_xor(const bnn_isa *isa, const bnn_conv_shape *shape, const uint64_t *a,
                 const uint64_t *panels, int32_t *out);
int bnn_conv_threshold(const bnn_isa *isa, const bnn_conv_shape *shape, const uint64_t *a,
                       const uint64_t *panels, const int32_t *thresholds, uint64_t *out);
/* x (batch, height, width, channels) -> out (batch, out_h, out_w, outputs). */
int bnn_conv_sign(const bnn_isa *isa, const bnn_conv_shape *shape, const float *x,
                  const uint64_t *masks, const uint32_t *codes, float *out);

/* Layers of relaxed gates. Activations are feature-major, x (inputs, batch); gate g has the rows
 * a[g] and b[g] of x as inputs, which must exist, and four coefficients:
 * y = (c0 + c1 A) + B (c2 + c3 A). Results are the same for every number of threads. */
void bnn_gates_forward(const bnn_isa *isa, const float *x, size_t inputs, size_t batch,
                       const int32_t *a, const int32_t *b, const float *coefficients,
                       size_t outputs, float *y, size_t threads);

/* From grad (outputs, batch) the gradients dx (inputs, batch), unless dx is NULL, and
 * dcoefficients (outputs, 4). */
int bnn_gates_backward(const bnn_isa *isa, const float *x, size_t inputs, size_t batch,
                       const int32_t *a, const int32_t *b, const float *coefficients,
                       size_t outputs, const float *grad, float *dx, float *dcoefficients,
                       size_t threads);

/* A layer of gates whose inputs are mixes, each the sum over i < k of weights[i] times row
 * candidates[i] of x: candidates and weights are (2, outputs, k), first those of A and then those
 * of B. Results are the same for every number of threads. */
int bnn_mixed_forward(const bnn_isa *isa, const float *x, size_t inputs, size_t batch,
                      const int32_t *candidates, const float *weights, const float *coefficients,
                      size_t outputs, size_t k, float *y, size_t threads);

/* From grad (outputs, batch) the gradients dx (inputs, batch), unless dx is NULL,
 * dweights (2, outputs, k) and dcoefficients (outputs, 4). */
int bnn_mixed_backward(const bnn_isa *isa, const float *x, size_t inputs, size_t batch,
                       const int32_t *candidates, const float *weights,
                       const float *coefficients, size_t outputs, size_t k, const float *grad,
                       float *dx, float *dweights, float *dcoefficients, size_t threads);

/* The first of the largest logits of each row of candidates (rows, k) -> wires (rows). */
void bnn_wires_choose(const int32_t *candidates, const float *logits, size_t rows, size_t k,
                      int32_t *wires);
/* A layer of gates that read wires (2, outputs), each chosen among its candidates: gradients as if
 * input s of gate g were the sum over i of weights[i] times row candidates[s][g][i] with all weight
 * on its wire, and these weights softmax(sharpness * logits[s][g]). */
int bnn_chosen_backward(const bnn_isa *isa, const float *x, size_t inputs, size_t batch,
                        const int32_t *candidates, const float *logits, const int32_t *wires,
                        const float *coefficients, size_t outputs, size_t k, float sharpness,
                        const float *grad, float *dx, float *dlogits, float *dcoefficients,
                        size_t threads);

#define BNN_TREE_DEPTH 6 /* most levels of a tree */
#define BNN_TREE_POOL 15 /* largest side of a pooled window */

/* Trees of 2^depth - 1 relaxed gates slid over images, and of each pool * pool neighbours the
 * largest. A leaf is a place of the window, (channel * kernel + line) * kernel + column, which must
 * exist; outside the image all is 0. Pooling must divide the places: height + 2 padding - kernel
 * + 1 lines of them, and as many columns for the width.
 * x (channels, height, width, batch); coefficients are [level][output][gate][4], the level of the
 * leaves first; y (outputs, lines / pool, columns / pool, batch). */
typedef struct {
    size_t channels, height, width, batch;
    size_t outputs, depth, kernel, padding, pool;
    const int32_t *leaves; /* (outputs, 2^depth) */
} bnn_trees;

/* winners, shaped as y and NULL if it is of no use: which of the neighbours, counted line by line,
 * was the largest, the first of equals. Results are the same for every number of threads. */
int bnn_trees_forward(const bnn_isa *isa, const bnn_trees *trees, const float *x,
                      const float *coefficients, float *y, uint8_t *winners, size_t threads);

/* From grad, shaped as y, the gradients dcoefficients and, unless dx is NULL, dx. The gradient goes
 * to the winners, which may be NULL where nothing is pooled. */
int bnn_trees_backward(const bnn_isa *isa, const bnn_trees *trees, const float *x,
                       const float *coefficients, const uint8_t *winners, const float *grad,
                       float *dx, float *dcoefficients, size_t threads);

/* A network of two-input gates and the truth table that it shall compute. Signals: the inputs,
 * then the gates in order; a[g], b[g] < inputs + g; the last gates are the outputs. entries is 4
 * (logits of the truth table's bits f00, f10, f01, f11, through a sigmoid) or 16 (logits of the
 * truth tables 0..15, through a softmax). At least one row, gate and output; outputs <= gates. */
typedef struct {
    size_t inputs, gates, outputs, rows, entries;
    const int32_t *a, *b;  /* (gates) */
    const uint64_t *x, *y; /* (inputs, words), (outputs, words): bit r of a signal is its row r */
} bnn_table;

/* AdamW; the gradient is clipped by value. */
typedef struct {
    float lr, beta1, beta2, epsilon, decay, clip;
} bnn_adamw;

/* Take steps on all rows at once; logits and moments (gates, entries) are updated in place, done
 * counts the steps before. loss: mean of squares over rows and outputs, before the last step. */
int bnn_table_train(const bnn_isa *isa, const bnn_table *table, const bnn_adamw *how,
                    uint64_t done, size_t steps, float *logits, float *m, float *v,
                    double *loss);

/* logits -> gradient (gates, entries) of the loss, and the loss. */
int bnn_table_gradient(const bnn_isa *isa, const bnn_table *table, const float *logits,
                       float *gradient, double *loss);

/* Count the wrong bits, over rows and outputs, of the gates that the logits have chosen: entries
 * above 0, or the first of the largest logits. */
int bnn_table_errors(const bnn_table *table, const float *logits, uint64_t *errors);

/* A network of two-input gates as a program for passes of 512 samples. A signal is held in a slot
 * of BNN_LOGIC_WORDS words, which serves several signals one after the other. */
#define BNN_LOGIC_SAMPLES 512
#define BNN_LOGIC_WORDS 8
#define BNN_LOGIC_PLANES 25 /* bits of the largest count, 2^24 */

/* Consecutive gates with one truth table, bit a + 2b: 0x8, 0x2, 0xe, 0x6 or the complement. */
typedef struct {
    uint32_t table, count;
} bnn_logic_run;

typedef struct {
    /* Inputs: bit i of used[block] makes pixel[offsets[block] + i] > thresholds[64 * block + i] the
     * next slot, from slot 0. A block reads `span` <= 64 bytes of an image. */
    size_t blocks, inputs;
    const uint32_t *offsets;
    const uint8_t *thresholds;
    const uint64_t *used;
    size_t span;
    /* Gates, run after run: the slots out, a, b of each, in the one of the arrays that is not
     * NULL. They are computed in this order, and out may be a or b. */
    size_t runs;
    const bnn_logic_run *run;
    const uint16_t *narrow;
    const uint32_t *wide;
    /* Counts: group k is biases[k] + the true signals in the slots counted[ends[k - 1]] ..
     * counted[ends[k] - 1]; `planes` bits hold any of these sums. */
    size_t groups;
    const uint32_t *ends;
    const uint32_t *counted;
    const int32_t *biases;
    int planes;
} bnn_logic_program;

/* images (n, stride) -> counts (n, groups); values is scratch for all slots of the program. */
void bnn_logic_count(const bnn_isa *isa, const bnn_logic_program *program, const uint8_t *images,
                     size_t n, size_t stride, uint64_t *values, int32_t *counts);

/* The gates alone: inputs (passes, inputs, 8) -> outputs (passes, counted signals, 8). */
void bnn_logic_evaluate(const bnn_isa *isa, const bnn_logic_program *program,
                        const uint64_t *inputs, size_t passes, uint64_t *values,
                        uint64_t *outputs);

/* So many two-input operations on 512 bits in registers alone: the limit of the processor. What it
 * gives means nothing. */
uint64_t bnn_logic_spin(const bnn_isa *isa, size_t operations);

/* A circuit of two-input gates: gate i has the truth table op[i], bit a + 2b, and drives signal
 * 2 + inputs + i. Signals: 0 = false, 1 = true, then the inputs, then the gates; a gate reads
 * signals before its own. */
typedef struct {
    size_t inputs, gates, outputs;
    const uint8_t *op;    /* (gates) */
    const int32_t *a, *b; /* (gates) */
    const int32_t *ends;  /* (outputs) */
} bnn_circuit;

/* inputs (circuit inputs, words) -> out (n_wanted, words), the signals `wanted`. */
int bnn_circuit_simulate(const bnn_isa *isa, const bnn_circuit *circuit, const uint64_t *inputs,
                         size_t words, const int32_t *wanted, size_t n_wanted, uint64_t *out);

/* A walk over circuits equal to a given one on all rows of its truth table. */
typedef struct bnn_resub bnn_resub;

#define BNN_RESUB_INPUTS 12   /* most inputs */
#define BNN_RESUB_GATES 16384 /* most gates at the start */

/* shifts 0: the cost is the number of gates, inverters at outputs included. 1 and 2, for the 9
 * inputs of a 3 x 3 neighbourhood, row by row: gates of which one is the other shifted by rows (1),
 * or by rows and columns (2), cost as one. NULL without memory or beyond the limits. */
bnn_resub *bnn_resub_create(const bnn_isa *isa, const bnn_circuit *circuit, uint64_t seed,
                            double temperature, int shifts);
void bnn_resub_free(bnn_resub *state);

/* The walk depends on the seed and the number of steps alone. 0, or -1 if the circuit has lost its
 * function, which is an error of this code. */
int bnn_resub_step(bnn_resub *state, uint64_t steps);

/* The cost of the best circuit so far: the gates that it is asked to have few of. */
uint64_t bnn_resub_cost(const bnn_resub *state);

/* The best circuit so far: its number of gates, the gates, and for each output the literal
 * 2 * signal + complement. */
size_t bnn_resub_gates(const bnn_resub *state);
void bnn_resub_best(const bnn_resub *state, uint8_t *op, int32_t *a, int32_t *b, uint32_t *ends);

#endif

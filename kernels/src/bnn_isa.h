/* What the kernel families share: target macros, the table of one instruction set, jobs. */
#ifndef BNN_ISA_H
#define BNN_ISA_H

#include <string.h>

#include "bnn_kernels.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "packed words are little-endian; build without the kernels on this machine"
#endif

#if defined(__GNUC__) && defined(__x86_64__)
#define BNN_X86 1
#include <immintrin.h>
#define BNN_AVX2 __attribute__((target("avx2,fma")))
#define BNN_AVX512 \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,fma")))
#else
#define BNN_X86 0
#endif

#if defined(__GNUC__) && defined(__aarch64__)
#define BNN_NEON 1
#include <arm_neon.h>
#else
#define BNN_NEON 0
#endif

#if defined(__GNUC__)
#define BNN_INLINE static inline __attribute__((always_inline))
#define BNN_UNROLL _Pragma("GCC unroll 8")
#else
#define BNN_INLINE static inline
#define BNN_UNROLL
#endif

/* Rows of packed words against one panel of 32 outputs. */
typedef struct {
    const uint64_t *a;
    size_t stride, rows;   /* words from row to row, number of rows */
    const uint64_t *panel; /* [words][32] */
    size_t words;
    /* For the dot product the value that 2 * popcount is taken from; for thresholds the
     * popcount above which the bit is 1. 32 values for each class of rows. */
    const int32_t *lane;
    size_t lane_stride;      /* values from class to class */
    const uint32_t *classes; /* class of each row; NULL: all are class 0 */
    size_t lanes;            /* outputs that exist, 1..32 */
} bnn_xor_job;

/* Rows of floats against one panel of 64 outputs. */
typedef struct {
    const float *x;
    size_t stride, rows; /* floats from row to row, number of rows */
    const uint64_t *masks;
    size_t k;
    int accumulate; /* add to what out holds */
    size_t lanes;   /* outputs that exist, 1..64 */
} bnn_sign_job;

typedef struct bnn_logic_isa bnn_logic_isa;     /* logic.h */
typedef struct bnn_trees_isa bnn_trees_isa;     /* logic_tree.h */
typedef struct bnn_circuit_isa bnn_circuit_isa; /* circuit.h */

/* A network under training on a truth table; see logic_table.c. */
struct bnn_table_job;

struct bnn_isa {
    const char *name;
    const bnn_logic_isa *logic;
    const bnn_trees_isa *trees;
    const bnn_circuit_isa *circuit;
    void (*signs_pack)(const float *x, size_t n, uint64_t *out); /* one row */
    void (*xor_dot)(const bnn_xor_job *job, int32_t *out, size_t stride);
    void (*xor_threshold)(const bnn_xor_job *job, uint8_t *out, size_t stride); /* bytes */
    void (*sign_dot)(const bnn_sign_job *job, float *out, size_t stride);
    /* The whole product from codes, or NULL. */
    void (*sign_rows)(const float *x, size_t rows, size_t k, const uint32_t *codes,
                      size_t outputs, float *out);
    /* One step on all rows; how NULL: only loss and gradient. */
    void (*table_step)(struct bnn_table_job *job, const bnn_adamw *how);
    /* One pass of n <= 512 samples: pixels -> input slots, gates, signals -> counts. */
    void (*logic_pack)(const bnn_logic_program *program, const uint8_t *images, size_t n,
                       size_t stride, uint64_t *values);
    void (*logic_gates)(const bnn_logic_program *program, uint64_t *values);
    void (*logic_sum)(const bnn_logic_program *program, const uint64_t *values, size_t n,
                      int32_t *counts);
    uint64_t (*logic_spin)(size_t operations);
};

#define BNN_DECLARE(SUFFIX)                                                               \
    extern const bnn_circuit_isa bnn_circuit_##SUFFIX;                                    \
    void bnn_signs_pack_##SUFFIX(const float *x, size_t n, uint64_t *out);                \
    void bnn_xor_dot_##SUFFIX(const bnn_xor_job *job, int32_t *out, size_t stride);       \
    void bnn_xor_threshold_##SUFFIX(const bnn_xor_job *job, uint8_t *out, size_t stride); \
    void bnn_sign_dot_##SUFFIX(const bnn_sign_job *job, float *out, size_t stride);       \
    void bnn_table_step_##SUFFIX(struct bnn_table_job *job, const bnn_adamw *how);        \
    void bnn_logic_pack_##SUFFIX(const bnn_logic_program *program, const uint8_t *images, \
                                 size_t n, size_t stride, uint64_t *values);              \
    void bnn_logic_gates_##SUFFIX(const bnn_logic_program *program, uint64_t *values);    \
    void bnn_logic_sum_##SUFFIX(const bnn_logic_program *program, const uint64_t *values, \
                                size_t n, int32_t *counts);                               \
    uint64_t bnn_logic_spin_##SUFFIX(size_t operations);

BNN_DECLARE(ref)
BNN_DECLARE(scalar)
#if BNN_X86
BNN_DECLARE(avx2)
BNN_DECLARE(avx512)
void bnn_sign_rows_avx512(const float *x, size_t rows, size_t k, const uint32_t *codes,
                          size_t outputs, float *out);
#endif
#if BNN_NEON
BNN_DECLARE(neon)
#endif

/* All panels for a block of rows; job->panel and job->lane point at the first panel. */
void bnn_panels_dot(const bnn_isa *isa, bnn_xor_job job, size_t outputs, int32_t *out);
void bnn_panels_threshold(const bnn_isa *isa, bnn_xor_job job, size_t outputs, uint64_t *out);

BNN_INLINE uint64_t bnn_load64(const void *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

BNN_INLINE float bnn_load_float(const void *p) {
    float v;
    memcpy(&v, p, sizeof v);
    return v;
}

BNN_INLINE int32_t bnn_load_i32(const void *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

BNN_INLINE size_t bnn_min(size_t a, size_t b) { return a < b ? a : b; }
BNN_INLINE size_t bnn_words_for(size_t n_bits) { return (n_bits + 63) / 64; }

BNN_INLINE const int32_t *bnn_job_lane(const bnn_xor_job *job, size_t row) {
    return job->lane + (job->classes ? job->classes[row] * job->lane_stride : 0);
}

/* offset - 2 * count < threshold  <=>  count > floor((offset - threshold) / 2), as int32. */
BNN_INLINE int32_t bnn_limit_for(int64_t offset, int32_t threshold) {
    int64_t v = offset - threshold;
    v = (v - (v & 1)) / 2;
    return v > INT32_MAX ? INT32_MAX : v < -1 ? -1 : (int32_t)v;
}

#endif

/* Sums of +x or -x: rows of floats against panels of 64 outputs.
 *
 * A mask holds one weight bit of 64 outputs, so the lanes are outputs. Every path here adds in
 * the same order, blocks of BNN_SIGN_BLOCK positions and then the blocks, so all agree bit for
 * bit. For many outputs AVX-512 takes sign_table.c instead.
 */
#include "bnn_isa.h"

#define BNN_SIGN_BLOCK 512 /* also bounds the rounding error of a long sum */
#define BNN_SIGN_ROWS 96   /* rows of one block of positions that stay in cache */

/* -- plain C ------------------------------------------------------------------------------ */

void bnn_sign_dot_ref(const bnn_sign_job *job, float *out, size_t stride) {
    for (size_t row = 0; row < job->rows; row++)
        for (size_t lane = 0; lane < job->lanes; lane++) {
            float sum = 0.0f;
            for (size_t k = 0; k < job->k; k++) {
                float x = bnn_load_float(job->x + row * job->stride + k);
                sum += job->masks[k] >> lane & 1 ? -x : x;
            }
            float *cell = out + row * stride + lane;
            *cell = job->accumulate ? *cell + sum : sum;
        }
}

void bnn_sign_dot_scalar(const bnn_sign_job *job, float *out, size_t stride) {
    for (size_t row = 0; row < job->rows; row++) {
        float sums[BNN_MASK_LANES] = {0};
        for (size_t k = 0; k < job->k; k++) {
            float x = bnn_load_float(job->x + row * job->stride + k);
            uint32_t x_bits;
            memcpy(&x_bits, &x, sizeof x);
            uint64_t mask = job->masks[k];
            for (size_t lane = 0; lane < BNN_MASK_LANES; lane++) {
                uint32_t bits = x_bits ^ (uint32_t)(mask >> lane & 1) << 31;
                float signed_x;
                memcpy(&signed_x, &bits, sizeof bits);
                sums[lane] += signed_x;
            }
        }
        float *cells = out + row * stride;
        for (size_t lane = 0; lane < job->lanes; lane++)
            cells[lane] = job->accumulate ? cells[lane] + sums[lane] : sums[lane];
    }
}

/* Calls TILE with the row count as a constant, so that its accumulators stay in registers. */
#define BNN_EACH_SIGN_TILE(TILE, MOST, JOB, OUT, STRIDE, VECTORS, FIRST)                       \
    do {                                                                                       \
        size_t row = 0;                                                                        \
        for (; row + (MOST) <= (JOB)->rows; row += (MOST))                                     \
            TILE(JOB, row, MOST, VECTORS, FIRST, OUT, STRIDE);                                 \
        for (; row + 2 <= (JOB)->rows; row += 2) TILE(JOB, row, 2, VECTORS, FIRST, OUT, STRIDE); \
        if (row < (JOB)->rows) TILE(JOB, row, 1, VECTORS, FIRST, OUT, STRIDE);                 \
    } while (0)

#if BNN_X86
/* -- AVX2: 4 rows by 16 outputs ------------------------------------------------------------- */

BNN_AVX2 BNN_INLINE void tile_avx2(const bnn_sign_job *job, size_t row, const int rows,
                                   const int vectors, size_t first, float *out, size_t stride) {
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i shift = _mm256_sub_epi32(_mm256_set1_epi32(31), index);
    const float *x = job->x + row * job->stride;
    __m256 sums[4][2];
    BNN_UNROLL for (int i = 0; i < rows; i++) {
        BNN_UNROLL for (int j = 0; j < vectors; j++) sums[i][j] = _mm256_setzero_ps();
    }
    for (size_t k = 0; k < job->k; k++) {
        uint64_t mask = job->masks[k] >> first;
        __m256 weight[2];
        BNN_UNROLL for (int j = 0; j < vectors; j++) {
            __m256i byte = _mm256_set1_epi32((int)(mask >> (8 * j) & 255));
            __m256 top = _mm256_castsi256_ps(_mm256_sllv_epi32(byte, shift));
            weight[j] = _mm256_or_ps(_mm256_and_ps(top, sign), one);
        }
        BNN_UNROLL for (int i = 0; i < rows; i++) {
            __m256 v = _mm256_set1_ps(bnn_load_float(x + (size_t)i * job->stride + k));
            BNN_UNROLL for (int j = 0; j < vectors; j++)
                sums[i][j] = _mm256_fmadd_ps(v, weight[j], sums[i][j]);
        }
    }
    BNN_UNROLL for (int i = 0; i < rows; i++) {
        BNN_UNROLL for (int j = 0; j < vectors; j++) {
            float *cells = out + (row + (size_t)i) * stride + first + 8 * (size_t)j;
            int left = (int)job->lanes - (int)first - 8 * j;
            __m256i present = _mm256_cmpgt_epi32(_mm256_set1_epi32(left), index);
            __m256 sum = sums[i][j];
            if (job->accumulate) sum = _mm256_add_ps(_mm256_maskload_ps(cells, present), sum);
            _mm256_maskstore_ps(cells, present, sum);
        }
    }
}

BNN_AVX2 void bnn_sign_dot_avx2(const bnn_sign_job *job, float *out, size_t stride) {
    for (size_t first = 0; first < job->lanes; first += 16) {
        if (job->lanes - first > 8)
            BNN_EACH_SIGN_TILE(tile_avx2, 4, job, out, stride, 2, first);
        else
            BNN_EACH_SIGN_TILE(tile_avx2, 4, job, out, stride, 1, first);
    }
}

/* -- AVX-512: 6 rows by 64 outputs ---------------------------------------------------------- */

BNN_AVX512 BNN_INLINE void tile_avx512(const bnn_sign_job *job, size_t row, const int rows,
                                       const int vectors, size_t first, float *out,
                                       size_t stride) {
    const __m512 plus = _mm512_set1_ps(1.0f), minus = _mm512_set1_ps(-1.0f);
    const float *x = job->x + row * job->stride;
    __m512 sums[6][4];
    BNN_UNROLL for (int i = 0; i < rows; i++) {
        BNN_UNROLL for (int j = 0; j < vectors; j++) sums[i][j] = _mm512_setzero_ps();
    }
    for (size_t k = 0; k < job->k; k++) {
        uint64_t mask = job->masks[k] >> first;
        __m512 weight[4];
        BNN_UNROLL for (int j = 0; j < vectors; j++)
            weight[j] = _mm512_mask_blend_ps((__mmask16)(mask >> (16 * j)), plus, minus);
        BNN_UNROLL for (int i = 0; i < rows; i++) {
            __m512 v = _mm512_set1_ps(bnn_load_float(x + (size_t)i * job->stride + k));
            BNN_UNROLL for (int j = 0; j < vectors; j++)
                sums[i][j] = _mm512_fmadd_ps(v, weight[j], sums[i][j]);
        }
    }
    const size_t lanes = job->lanes - first;
    const uint64_t present = lanes >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << lanes) - 1;
    BNN_UNROLL for (int i = 0; i < rows; i++) {
        BNN_UNROLL for (int j = 0; j < vectors; j++) {
            float *cells = out + (row + (size_t)i) * stride + first + 16 * (size_t)j;
            __mmask16 here = (__mmask16)(present >> (16 * j));
            __m512 sum = sums[i][j];
            if (job->accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(here, cells), sum);
            _mm512_mask_storeu_ps(cells, here, sum);
        }
    }
}

BNN_AVX512 void bnn_sign_dot_avx512(const bnn_sign_job *job, float *out, size_t stride) {
    if (job->lanes > 32)
        BNN_EACH_SIGN_TILE(tile_avx512, 6, job, out, stride, 4, 0);
    else if (job->lanes > 16)
        BNN_EACH_SIGN_TILE(tile_avx512, 6, job, out, stride, 2, 0);
    else
        BNN_EACH_SIGN_TILE(tile_avx512, 6, job, out, stride, 1, 0);
}
#endif

#if BNN_NEON
/* -- NEON: 4 rows by 16 outputs ------------------------------------------------------------- */

BNN_INLINE void tile_neon(const bnn_sign_job *job, size_t row, const int rows, const int vectors,
                          size_t first, float *out, size_t stride) {
    static const int32_t shifts[4] = {31, 30, 29, 28};
    const int32x4_t shift = vld1q_s32(shifts);
    const uint32x4_t sign = vdupq_n_u32(0x80000000u), one = vdupq_n_u32(0x3f800000u);
    const float *x = job->x + row * job->stride;
    float32x4_t sums[4][4];
    BNN_UNROLL for (int i = 0; i < rows; i++) {
        BNN_UNROLL for (int j = 0; j < vectors; j++) sums[i][j] = vdupq_n_f32(0.0f);
    }
    for (size_t k = 0; k < job->k; k++) {
        uint64_t mask = job->masks[k] >> first;
        float32x4_t weight[4];
        BNN_UNROLL for (int j = 0; j < vectors; j++) {
            uint32x4_t nibble = vdupq_n_u32((uint32_t)(mask >> (4 * j) & 15));
            uint32x4_t top = vandq_u32(vshlq_u32(nibble, shift), sign);
            weight[j] = vreinterpretq_f32_u32(vorrq_u32(top, one));
        }
        BNN_UNROLL for (int i = 0; i < rows; i++) {
            float32x4_t v = vdupq_n_f32(bnn_load_float(x + (size_t)i * job->stride + k));
            BNN_UNROLL for (int j = 0; j < vectors; j++)
                sums[i][j] = vfmaq_f32(sums[i][j], v, weight[j]);
        }
    }
    BNN_UNROLL for (int i = 0; i < rows; i++) {
        float *cells = out + (row + (size_t)i) * stride + first;
        float found[16];
        BNN_UNROLL for (int j = 0; j < vectors; j++) vst1q_f32(found + 4 * j, sums[i][j]);
        size_t lanes = bnn_min(4 * (size_t)vectors, job->lanes - first);
        for (size_t lane = 0; lane < lanes; lane++)
            cells[lane] = job->accumulate ? cells[lane] + found[lane] : found[lane];
    }
}

void bnn_sign_dot_neon(const bnn_sign_job *job, float *out, size_t stride) {
    for (size_t first = 0; first < job->lanes; first += 16)
        BNN_EACH_SIGN_TILE(tile_neon, 4, job, out, stride, 4, first);
}
#endif

/* -- driver --------------------------------------------------------------------------------- */

int bnn_sign_reads_codes(const bnn_isa *isa, size_t outputs) {
    return isa->sign_rows && outputs > 32; /* fewer outputs do not repay the tables */
}

void bnn_gemm_sign(const bnn_isa *isa, const float *x, size_t rows, size_t k,
                   const uint64_t *masks, const uint32_t *codes, size_t outputs, float *out) {
    if (bnn_sign_reads_codes(isa, outputs)) {
        isa->sign_rows(x, rows, k, codes, outputs, out);
        return;
    }
    for (size_t row = 0; row < rows; row += BNN_SIGN_ROWS)
        for (size_t first = 0; first < outputs; first += BNN_MASK_LANES)
            for (size_t start = 0; start < k; start += BNN_SIGN_BLOCK) {
                bnn_sign_job job = {x + row * k + start,
                                    k,
                                    bnn_min(BNN_SIGN_ROWS, rows - row),
                                    masks + first / BNN_MASK_LANES * k + start,
                                    bnn_min(BNN_SIGN_BLOCK, k - start),
                                    start > 0,
                                    bnn_min(BNN_MASK_LANES, outputs - first)};
                isa->sign_dot(&job, out + row * outputs + first, outputs);
            }
}

/* Dot products of packed signs: rows against panels of 32 outputs, int32 or thresholded.
 *
 * The lanes of a panel are outputs, so no vector is ever summed across, and a row needs no
 * repacking: each of its words is broadcast.
 */
#include "bnn_isa.h"

/* -- plain C ------------------------------------------------------------------------------ */

BNN_INLINE int32_t popcount_ref(uint64_t v) {
    int32_t count = 0;
    for (; v; v &= v - 1) count++;
    return count;
}

BNN_INLINE int32_t popcount_scalar(uint64_t v) {
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (int32_t)(v * 0x0101010101010101u >> 56);
}

BNN_INLINE int32_t lane_count(const bnn_xor_job *job, size_t row, size_t lane,
                              int32_t (*popcount)(uint64_t)) {
    int32_t count = 0;
    for (size_t k = 0; k < job->words; k++)
        count += popcount(bnn_load64(job->a + row * job->stride + k) ^
                          job->panel[k * BNN_PANEL_LANES + lane]);
    return count;
}

BNN_INLINE void dot_plain(const bnn_xor_job *job, int32_t *out, size_t stride,
                          int32_t (*popcount)(uint64_t)) {
    for (size_t row = 0; row < job->rows; row++)
        for (size_t lane = 0; lane < job->lanes; lane++)
            out[row * stride + lane] =
                bnn_job_lane(job, row)[lane] - 2 * lane_count(job, row, lane, popcount);
}

BNN_INLINE void threshold_plain(const bnn_xor_job *job, uint8_t *out, size_t stride,
                                int32_t (*popcount)(uint64_t)) {
    for (size_t row = 0; row < job->rows; row++) {
        uint32_t bits = 0;
        for (size_t lane = 0; lane < job->lanes; lane++)
            bits |= (uint32_t)(lane_count(job, row, lane, popcount) > bnn_job_lane(job, row)[lane])
                    << lane;
        memcpy(out + row * stride, &bits, sizeof bits);
    }
}

void bnn_xor_dot_ref(const bnn_xor_job *job, int32_t *out, size_t stride) {
    dot_plain(job, out, stride, popcount_ref);
}

void bnn_xor_threshold_ref(const bnn_xor_job *job, uint8_t *out, size_t stride) {
    threshold_plain(job, out, stride, popcount_ref);
}

void bnn_xor_dot_scalar(const bnn_xor_job *job, int32_t *out, size_t stride) {
    dot_plain(job, out, stride, popcount_scalar);
}

void bnn_xor_threshold_scalar(const bnn_xor_job *job, uint8_t *out, size_t stride) {
    threshold_plain(job, out, stride, popcount_scalar);
}

/* Calls TILE with the row count as a constant, so that its accumulators stay in registers. */
#define BNN_EACH_ROW_TILE(TILE, MOST, JOB, OUT, STRIDE, AS_BITS)                              \
    do {                                                                                      \
        size_t row = 0;                                                                       \
        for (; row + (MOST) <= (JOB)->rows; row += (MOST))                                    \
            TILE(JOB, row, MOST, AS_BITS, OUT, STRIDE);                                       \
        for (; row + 2 <= (JOB)->rows; row += 2) TILE(JOB, row, 2, AS_BITS, OUT, STRIDE);     \
        if (row < (JOB)->rows) TILE(JOB, row, 1, AS_BITS, OUT, STRIDE);                       \
    } while (0)

#if BNN_X86
/* -- AVX2: bytes counted by table, 8 outputs at a time -------------------------------------- */

BNN_AVX2 BNN_INLINE __m256i byte_counts_avx2(__m256i v) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                           2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble));
    __m256i high =
        _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
    return _mm256_add_epi8(low, high);
}

/* Two vectors of 4 counts as 64 bits -> one vector of 8 counts as 32 bits. */
BNN_AVX2 BNN_INLINE __m256i narrow_avx2(__m256i first, __m256i second) {
    __m256 mixed = _mm256_shuffle_ps(_mm256_castsi256_ps(first), _mm256_castsi256_ps(second),
                                     _MM_SHUFFLE(2, 0, 2, 0));
    return _mm256_permute4x64_epi64(_mm256_castps_si256(mixed), _MM_SHUFFLE(3, 1, 2, 0));
}

/* Counts of `rows` rows against outputs 8 * eighth .. 8 * eighth + 7 of the panel. */
BNN_AVX2 BNN_INLINE void counts_avx2(const bnn_xor_job *job, size_t row, const int rows,
                                     size_t eighth, __m256i counts[4]) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i sums[4][2], bytes[4][2];
    BNN_UNROLL for (int i = 0; i < rows; i++) sums[i][0] = sums[i][1] = zero;
    for (size_t k = 0; k < job->words;) {
        size_t end = bnn_min(job->words, k + 31); /* 31 * 8 fits a byte */
        BNN_UNROLL for (int i = 0; i < rows; i++) bytes[i][0] = bytes[i][1] = zero;
        for (; k < end; k++) {
            const uint64_t *b = job->panel + k * BNN_PANEL_LANES + 8 * eighth;
            __m256i b0 = _mm256_loadu_si256((const __m256i *)b);
            __m256i b1 = _mm256_loadu_si256((const __m256i *)(b + 4));
            BNN_UNROLL for (int i = 0; i < rows; i++) {
                uint64_t word = bnn_load64(job->a + (row + (size_t)i) * job->stride + k);
                __m256i a = _mm256_set1_epi64x((long long)word);
                bytes[i][0] = _mm256_add_epi8(bytes[i][0], byte_counts_avx2(_mm256_xor_si256(a, b0)));
                bytes[i][1] = _mm256_add_epi8(bytes[i][1], byte_counts_avx2(_mm256_xor_si256(a, b1)));
            }
        }
        BNN_UNROLL for (int i = 0; i < rows; i++) {
            sums[i][0] = _mm256_add_epi64(sums[i][0], _mm256_sad_epu8(bytes[i][0], zero));
            sums[i][1] = _mm256_add_epi64(sums[i][1], _mm256_sad_epu8(bytes[i][1], zero));
        }
    }
    BNN_UNROLL for (int i = 0; i < rows; i++) counts[i] = narrow_avx2(sums[i][0], sums[i][1]);
}

BNN_AVX2 BNN_INLINE void dot_store_avx2(__m256i dot, int32_t *out, size_t lanes) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i present = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)bnn_min(lanes, 8)), index);
    _mm256_maskstore_epi32(out, present, dot);
}

BNN_AVX2 BNN_INLINE void tile_avx2(const bnn_xor_job *job, size_t row, const int rows,
                                   const int as_bits, void *out, size_t stride) {
    uint32_t bits[4] = {0, 0, 0, 0};
    for (size_t eighth = 0; 8 * eighth < job->lanes; eighth++) {
        __m256i counts[4];
        counts_avx2(job, row, rows, eighth, counts);
        BNN_UNROLL for (int i = 0; i < rows; i++) {
            size_t r = row + (size_t)i;
            const int32_t *lane = bnn_job_lane(job, r) + 8 * eighth;
            __m256i bound = _mm256_loadu_si256((const __m256i *)lane);
            if (as_bits) {
                __m256 above = _mm256_castsi256_ps(_mm256_cmpgt_epi32(counts[i], bound));
                bits[i] |= (uint32_t)_mm256_movemask_ps(above) << (8 * eighth);
            } else {
                __m256i dot = _mm256_sub_epi32(bound, _mm256_add_epi32(counts[i], counts[i]));
                dot_store_avx2(dot, (int32_t *)out + r * stride + 8 * eighth,
                               job->lanes - 8 * eighth);
            }
        }
    }
    if (as_bits)
        for (int i = 0; i < rows; i++)
            memcpy((uint8_t *)out + (row + (size_t)i) * stride, &bits[i], sizeof bits[i]);
}

BNN_AVX2 void bnn_xor_dot_avx2(const bnn_xor_job *job, int32_t *out, size_t stride) {
    BNN_EACH_ROW_TILE(tile_avx2, 3, job, out, stride, 0);
}

BNN_AVX2 void bnn_xor_threshold_avx2(const bnn_xor_job *job, uint8_t *out, size_t stride) {
    BNN_EACH_ROW_TILE(tile_avx2, 3, job, out, stride, 1);
}

/* -- AVX-512 VPOPCNTDQ: 4 rows by 32 outputs in 16 accumulators ----------------------------- */

BNN_AVX512 BNN_INLINE void tile_avx512(const bnn_xor_job *job, size_t row, const int rows,
                                       const int as_bits, void *out, size_t stride) {
    const uint64_t *a = job->a + row * job->stride;
    __m512i sums[4][4];
    BNN_UNROLL for (int i = 0; i < rows; i++) {
        BNN_UNROLL for (int j = 0; j < 4; j++) sums[i][j] = _mm512_setzero_si512();
    }
    for (size_t k = 0; k < job->words; k++) {
        const uint64_t *b = job->panel + k * BNN_PANEL_LANES;
        __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 8);
        __m512i b2 = _mm512_loadu_si512(b + 16), b3 = _mm512_loadu_si512(b + 24);
        BNN_UNROLL for (int i = 0; i < rows; i++) {
            __m512i w = _mm512_set1_epi64((long long)bnn_load64(a + (size_t)i * job->stride + k));
            sums[i][0] = _mm512_add_epi64(sums[i][0], _mm512_popcnt_epi64(_mm512_xor_si512(w, b0)));
            sums[i][1] = _mm512_add_epi64(sums[i][1], _mm512_popcnt_epi64(_mm512_xor_si512(w, b1)));
            sums[i][2] = _mm512_add_epi64(sums[i][2], _mm512_popcnt_epi64(_mm512_xor_si512(w, b2)));
            sums[i][3] = _mm512_add_epi64(sums[i][3], _mm512_popcnt_epi64(_mm512_xor_si512(w, b3)));
        }
    }
    const uint32_t present = (uint32_t)(((uint64_t)1 << job->lanes) - 1);
    BNN_UNROLL for (int i = 0; i < rows; i++) {
        size_t r = row + (size_t)i;
        const int32_t *lane = bnn_job_lane(job, r);
        uint32_t bits = 0;
        BNN_UNROLL for (int j = 0; j < 4; j++) {
            __m256i count = _mm512_cvtepi64_epi32(sums[i][j]);
            __m256i bound = _mm256_loadu_si256((const __m256i *)(lane + 8 * j));
            if (as_bits) {
                bits |= (uint32_t)_mm256_cmpgt_epi32_mask(count, bound) << (8 * j);
            } else {
                __m256i dot = _mm256_sub_epi32(bound, _mm256_add_epi32(count, count));
                _mm256_mask_storeu_epi32((int32_t *)out + r * stride + 8 * j,
                                         (__mmask8)(present >> (8 * j)), dot);
            }
        }
        if (as_bits) memcpy((uint8_t *)out + r * stride, &bits, sizeof bits);
    }
}

BNN_AVX512 void bnn_xor_dot_avx512(const bnn_xor_job *job, int32_t *out, size_t stride) {
    BNN_EACH_ROW_TILE(tile_avx512, 4, job, out, stride, 0);
}

BNN_AVX512 void bnn_xor_threshold_avx512(const bnn_xor_job *job, uint8_t *out, size_t stride) {
    BNN_EACH_ROW_TILE(tile_avx512, 4, job, out, stride, 1);
}
#endif

#if BNN_NEON
/* -- NEON: bytes counted by vcnt, 8 outputs at a time --------------------------------------- */

BNN_INLINE void tile_neon(const bnn_xor_job *job, size_t row, const int rows, const int as_bits,
                          void *out, size_t stride) {
    uint32_t bits[4] = {0, 0, 0, 0};
    for (size_t first = 0; first < job->lanes; first += 8) {
        uint64x2_t sums[4][4];
        uint8x16_t bytes[4][4];
        BNN_UNROLL for (int i = 0; i < rows; i++) {
            BNN_UNROLL for (int j = 0; j < 4; j++) sums[i][j] = vdupq_n_u64(0);
        }
        for (size_t k = 0; k < job->words;) {
            size_t end = bnn_min(job->words, k + 31); /* 31 * 8 fits a byte */
            BNN_UNROLL for (int i = 0; i < rows; i++) {
                BNN_UNROLL for (int j = 0; j < 4; j++) bytes[i][j] = vdupq_n_u8(0);
            }
            for (; k < end; k++) {
                const uint64_t *b = job->panel + k * BNN_PANEL_LANES + first;
                BNN_UNROLL for (int i = 0; i < rows; i++) {
                    uint64_t word = bnn_load64(job->a + (row + (size_t)i) * job->stride + k);
                    uint64x2_t w = vdupq_n_u64(word);
                    BNN_UNROLL for (int j = 0; j < 4; j++) {
                        uint64x2_t differ = veorq_u64(w, vld1q_u64(b + 2 * j));
                        bytes[i][j] =
                            vaddq_u8(bytes[i][j], vcntq_u8(vreinterpretq_u8_u64(differ)));
                    }
                }
            }
            BNN_UNROLL for (int i = 0; i < rows; i++) {
                BNN_UNROLL for (int j = 0; j < 4; j++)
                    sums[i][j] = vpadalq_u32(sums[i][j], vpaddlq_u16(vpaddlq_u8(bytes[i][j])));
            }
        }
        BNN_UNROLL for (int i = 0; i < rows; i++) {
            size_t r = row + (size_t)i;
            const int32_t *lane = bnn_job_lane(job, r) + first;
            int32_t counts[8];
            BNN_UNROLL for (int j = 0; j < 4; j++)
                vst1_s32(counts + 2 * j, vreinterpret_s32_u32(vmovn_u64(sums[i][j])));
            for (size_t j = 0; j < bnn_min(8, job->lanes - first); j++) {
                if (as_bits)
                    bits[i] |= (uint32_t)(counts[j] > lane[j]) << (first + j);
                else
                    ((int32_t *)out)[r * stride + first + j] = lane[j] - 2 * counts[j];
            }
        }
    }
    if (as_bits)
        for (int i = 0; i < rows; i++)
            memcpy((uint8_t *)out + (row + (size_t)i) * stride, &bits[i], sizeof bits[i]);
}

void bnn_xor_dot_neon(const bnn_xor_job *job, int32_t *out, size_t stride) {
    BNN_EACH_ROW_TILE(tile_neon, 4, job, out, stride, 0);
}

void bnn_xor_threshold_neon(const bnn_xor_job *job, uint8_t *out, size_t stride) {
    BNN_EACH_ROW_TILE(tile_neon, 4, job, out, stride, 1);
}
#endif

/* -- drivers -------------------------------------------------------------------------------- */

void bnn_panels_dot(const bnn_isa *isa, bnn_xor_job job, size_t outputs, int32_t *out) {
    size_t panel_words = job.words * BNN_PANEL_LANES;
    for (size_t first = 0; first < outputs; first += BNN_PANEL_LANES) {
        job.lanes = bnn_min(BNN_PANEL_LANES, outputs - first);
        isa->xor_dot(&job, out + first, outputs);
        job.panel += panel_words;
        job.lane += BNN_PANEL_LANES;
    }
}

/* With an odd number of panels, half of the last word of each row has no panel: make it 0. */
static void clear_last_words(uint64_t *out, size_t rows, size_t outputs) {
    size_t words = bnn_words_for(outputs);
    if ((outputs + BNN_PANEL_LANES - 1) / BNN_PANEL_LANES % 2 == 0) return;
    for (size_t row = 0; row < rows; row++) out[row * words + words - 1] = 0;
}

void bnn_panels_threshold(const bnn_isa *isa, bnn_xor_job job, size_t outputs, uint64_t *out) {
    size_t panel_words = job.words * BNN_PANEL_LANES;
    size_t out_words = bnn_words_for(outputs);
    clear_last_words(out, job.rows, outputs);
    for (size_t first = 0; first < outputs; first += BNN_PANEL_LANES) {
        job.lanes = bnn_min(BNN_PANEL_LANES, outputs - first);
        isa->xor_threshold(&job, (uint8_t *)out + first / 8, out_words * sizeof *out);
        job.panel += panel_words;
        job.lane += BNN_PANEL_LANES;
    }
}

/* Rows whose words take up to 256 KiB, so that they stay in cache while all panels pass. */
static size_t block_rows(size_t words) {
    size_t rows = ((size_t)1 << 15) / (words ? words : 1);
    return rows < 4 ? 4 : rows - rows % 4;
}

void bnn_gemm_xor(const bnn_isa *isa, const uint64_t *a, size_t rows, size_t words,
                  const uint64_t *panels, size_t outputs, int32_t n_bits, int32_t *out) {
    int32_t offset[BNN_PANEL_LANES];
    for (size_t i = 0; i < BNN_PANEL_LANES; i++) offset[i] = n_bits;
    size_t step = block_rows(words);
    for (size_t row = 0; row < rows; row += step) {
        bnn_xor_job job = {a + row * words, words,  bnn_min(step, rows - row), panels, words,
                           offset,          0,      NULL,                      0};
        for (size_t first = 0; first < outputs; first += BNN_PANEL_LANES) {
            job.panel = panels + first * words;
            job.lanes = bnn_min(BNN_PANEL_LANES, outputs - first);
            isa->xor_dot(&job, out + row * outputs + first, outputs);
        }
    }
}

void bnn_gemm_threshold(const bnn_isa *isa, const uint64_t *a, size_t rows, size_t words,
                        const uint64_t *panels, size_t outputs, int32_t n_bits,
                        const int32_t *thresholds, uint64_t *out) {
    size_t step = block_rows(words), out_words = bnn_words_for(outputs);
    for (size_t row = 0; row < rows; row += step) {
        int32_t limit[BNN_PANEL_LANES];
        bnn_xor_job job = {a + row * words, words, bnn_min(step, rows - row), panels, words,
                           limit,           0,     NULL,                      0};
        uint64_t *block = out + row * out_words;
        clear_last_words(block, job.rows, outputs);
        for (size_t first = 0; first < outputs; first += BNN_PANEL_LANES) {
            job.panel = panels + first * words;
            job.lanes = bnn_min(BNN_PANEL_LANES, outputs - first);
            for (size_t i = 0; i < BNN_PANEL_LANES; i++)
                limit[i] = i < job.lanes
                               ? bnn_limit_for(n_bits, bnn_load_i32(thresholds + first + i))
                               : INT32_MAX;
            isa->xor_threshold(&job, (uint8_t *)block + first / 8, out_words * sizeof *out);
        }
    }
}

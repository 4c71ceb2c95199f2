/* Pack signs of floats into words, and weights into the layouts that the kernels read. */
#include "bnn_isa.h"

/* The words of x[first..n), one comparison at a time. */
BNN_INLINE void signs_pack_tail(const float *x, size_t first, size_t n, uint64_t *out) {
    for (size_t i = first; i < n; i += 64) {
        uint64_t word = 0;
        size_t count = bnn_min(64, n - i);
        for (size_t j = 0; j < count; j++)
            word |= (uint64_t)(bnn_load_float(x + i + j) < 0.0f) << j;
        out[i / 64] = word;
    }
}

void bnn_signs_pack_ref(const float *x, size_t n, uint64_t *out) {
    memset(out, 0, bnn_words_for(n) * sizeof *out);
    for (size_t i = 0; i < n; i++)
        if (bnn_load_float(x + i) < 0.0f) out[i / 64] |= (uint64_t)1 << (i % 64);
}

void bnn_signs_pack_scalar(const float *x, size_t n, uint64_t *out) {
    signs_pack_tail(x, 0, n, out);
}

#if BNN_X86
BNN_AVX2 static inline uint64_t negatives_avx2(const float *x) {
    const __m256 zero = _mm256_setzero_ps();
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i is_less[4];
    for (int i = 0; i < 4; i++)
        is_less[i] =
            _mm256_castps_si256(_mm256_cmp_ps(_mm256_loadu_ps(x + 8 * i), zero, _CMP_LT_OQ));
    __m256i low = _mm256_packs_epi32(is_less[0], is_less[1]);
    __m256i high = _mm256_packs_epi32(is_less[2], is_less[3]);
    __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
    return (uint32_t)_mm256_movemask_epi8(bytes);
}

BNN_AVX2 void bnn_signs_pack_avx2(const float *x, size_t n, uint64_t *out) {
    size_t whole = n - n % 64;
    for (size_t i = 0; i < whole; i += 64)
        out[i / 64] = negatives_avx2(x + i) | negatives_avx2(x + i + 32) << 32;
    signs_pack_tail(x, whole, n, out);
}

BNN_AVX512 static inline uint64_t negatives_avx512(const float *x, __mmask16 present) {
    __m512 v = _mm512_maskz_loadu_ps(present, x);
    return _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LT_OQ);
}

BNN_AVX512 void bnn_signs_pack_avx512(const float *x, size_t n, uint64_t *out) {
    size_t whole = n - n % 64;
    for (size_t i = 0; i < whole; i += 64)
        out[i / 64] = negatives_avx512(x + i, 0xffff) | negatives_avx512(x + i + 16, 0xffff) << 16 |
                      negatives_avx512(x + i + 32, 0xffff) << 32 |
                      negatives_avx512(x + i + 48, 0xffff) << 48;
    if (whole == n) return;
    uint64_t word = 0;
    for (size_t i = whole; i < n; i += 16) {
        size_t count = bnn_min(16, n - i);
        word |= negatives_avx512(x + i, (__mmask16)((1u << count) - 1)) << (i - whole);
    }
    out[whole / 64] = word;
}
#endif

#if BNN_NEON
void bnn_signs_pack_neon(const float *x, size_t n, uint64_t *out) {
    static const uint32_t bits[4] = {1, 2, 4, 8};
    const uint32x4_t weights = vld1q_u32(bits);
    size_t whole = n - n % 64;
    for (size_t i = 0; i < whole; i += 64) {
        uint64_t word = 0;
        for (size_t j = 0; j < 64; j += 4) {
            uint32x4_t is_less = vcltzq_f32(vld1q_f32(x + i + j));
            word |= (uint64_t)vaddvq_u32(vandq_u32(is_less, weights)) << j;
        }
        out[i / 64] = word;
    }
    signs_pack_tail(x, whole, n, out);
}
#endif

void bnn_signs_pack(const bnn_isa *isa, const float *x, size_t rows, size_t n, uint64_t *out) {
    for (size_t row = 0; row < rows; row++)
        isa->signs_pack(x + row * n, n, out + row * bnn_words_for(n));
}

void bnn_panels_pack(const uint64_t *weights, size_t outputs, size_t words, uint64_t *panels) {
    for (size_t first = 0; first < outputs; first += BNN_PANEL_LANES) {
        uint64_t *panel = panels + first * words;
        memset(panel, 0, words * BNN_PANEL_LANES * sizeof *panel);
        size_t lanes = bnn_min(BNN_PANEL_LANES, outputs - first);
        for (size_t lane = 0; lane < lanes; lane++)
            for (size_t k = 0; k < words; k++)
                panel[k * BNN_PANEL_LANES + lane] = bnn_load64(weights + (first + lane) * words + k);
    }
}

void bnn_masks_pack(const uint64_t *weights, size_t outputs, size_t taps, size_t bits,
                    uint64_t *masks) {
    size_t tap_words = bnn_words_for(bits);
    size_t k_count = taps * bits;
    for (size_t first = 0; first < outputs; first += BNN_MASK_LANES) {
        uint64_t *panel = masks + first / BNN_MASK_LANES * k_count;
        memset(panel, 0, k_count * sizeof *panel);
        size_t lanes = bnn_min(BNN_MASK_LANES, outputs - first);
        for (size_t lane = 0; lane < lanes; lane++) {
            const uint64_t *row = weights + (first + lane) * taps * tap_words;
            for (size_t tap = 0; tap < taps; tap++)
                for (size_t bit = 0; bit < bits; bit++) {
                    uint64_t word = bnn_load64(row + tap * tap_words + bit / 64);
                    panel[tap * bits + bit] |= (word >> (bit % 64) & 1) << lane;
                }
        }
    }
}

void bnn_codes_pack(const uint64_t *weights, size_t outputs, size_t taps, size_t bits,
                    uint32_t *codes) {
    size_t tap_words = bnn_words_for(bits);
    size_t groups = (taps * bits + 31) / 32;
    for (size_t first = 0; first < outputs; first += BNN_MASK_LANES) {
        uint32_t *panel = codes + first * groups;
        memset(panel, 0, groups * BNN_MASK_LANES * sizeof *panel);
        size_t lanes = bnn_min(BNN_MASK_LANES, outputs - first);
        for (size_t lane = 0; lane < lanes; lane++) {
            const uint64_t *row = weights + (first + lane) * taps * tap_words;
            for (size_t at = 0; at < taps * bits; at++) {
                uint64_t word = bnn_load64(row + at / bits * tap_words + at % bits / 64);
                uint32_t bit = (uint32_t)(word >> (at % bits % 64) & 1);
                panel[at / 32 * BNN_MASK_LANES + lane] |= bit << (at % 32);
            }
        }
    }
}

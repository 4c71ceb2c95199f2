/* Vectors of floats of each instruction set, under names that end in its suffix. */
#ifndef BNN_LOGIC_VECTOR_H
#define BNN_LOGIC_VECTOR_H

#include "logic.h"

#define LOGIC_JOIN_(NAME, SUFFIX) NAME##_##SUFFIX
#define LOGIC_JOIN(NAME, SUFFIX) LOGIC_JOIN_(NAME, SUFFIX)

/* sums: out[i] = sum of the lanes of from[i][LANES], for LANES rows that lie at from. */

/* -- any machine: four lanes where the compiler knows vectors -------------------------------- */

#if defined(__GNUC__)
typedef float vec_scalar __attribute__((vector_size(16), aligned(4), may_alias));
enum { lanes_scalar = 4 };
#else
typedef float vec_scalar;
enum { lanes_scalar = 1 };
#endif

BNN_INLINE vec_scalar load_scalar(const float *p) {
    vec_scalar v;
    memcpy(&v, p, sizeof v);
    return v;
}
BNN_INLINE void store_scalar(float *p, vec_scalar v) { memcpy(p, &v, sizeof v); }
BNN_INLINE vec_scalar load_part_scalar(const float *p, size_t n) {
    float all[lanes_scalar] = {0};
    for (size_t i = 0; i < n; i++) all[i] = p[i];
    return load_scalar(all);
}
BNN_INLINE void store_part_scalar(float *p, vec_scalar v, size_t n) {
    float all[lanes_scalar];
    store_scalar(all, v);
    for (size_t i = 0; i < n; i++) p[i] = all[i];
}
BNN_INLINE vec_scalar same_scalar(float value) {
    float all[lanes_scalar];
    for (size_t i = 0; i < lanes_scalar; i++) all[i] = value;
    return load_scalar(all);
}
BNN_INLINE vec_scalar fma_scalar(vec_scalar a, vec_scalar b, vec_scalar c) { return a * b + c; }
BNN_INLINE vec_scalar mul_scalar(vec_scalar a, vec_scalar b) { return a * b; }
BNN_INLINE vec_scalar add_scalar(vec_scalar a, vec_scalar b) { return a + b; }
BNN_INLINE vec_scalar sums_scalar(const float *from) {
    float all[lanes_scalar];
    for (size_t i = 0; i < lanes_scalar; i++) {
        float sum = 0.0f;
        for (size_t j = 0; j < lanes_scalar; j++) sum += from[lanes_scalar * i + j];
        all[i] = sum;
    }
    return load_scalar(all);
}

#if BNN_X86
/* -- AVX2 ----------------------------------------------------------------------------------- */

typedef __m256 vec_avx2;
enum { lanes_avx2 = 8 };

BNN_AVX2 BNN_INLINE __m256i mask_avx2(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
BNN_AVX2 BNN_INLINE __m256 load_avx2(const float *p) { return _mm256_loadu_ps(p); }
BNN_AVX2 BNN_INLINE void store_avx2(float *p, __m256 v) { _mm256_storeu_ps(p, v); }
BNN_AVX2 BNN_INLINE __m256 load_part_avx2(const float *p, size_t n) {
    return _mm256_maskload_ps(p, mask_avx2(n));
}
BNN_AVX2 BNN_INLINE void store_part_avx2(float *p, __m256 v, size_t n) {
    _mm256_maskstore_ps(p, mask_avx2(n), v);
}
BNN_AVX2 BNN_INLINE __m256 same_avx2(float value) { return _mm256_set1_ps(value); }
BNN_AVX2 BNN_INLINE __m256 fma_avx2(__m256 a, __m256 b, __m256 c) {
    return _mm256_fmadd_ps(a, b, c);
}
BNN_AVX2 BNN_INLINE __m256 mul_avx2(__m256 a, __m256 b) { return _mm256_mul_ps(a, b); }
BNN_AVX2 BNN_INLINE __m256 add_avx2(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }

/* Each step adds halves of two vectors into one: lane l of the last one is the sum of row l. */
BNN_AVX2 BNN_INLINE __m256 halves_avx2(__m256 a, __m256 b) {
    return _mm256_add_ps(_mm256_blend_ps(a, b, 0xF0), _mm256_permute2f128_ps(a, b, 0x21));
}
BNN_AVX2 BNN_INLINE __m256 pairs_avx2(__m256 a, __m256 b) {
    return _mm256_add_ps(_mm256_blend_ps(a, b, 0xCC), _mm256_shuffle_ps(a, b, 0x4E));
}
BNN_AVX2 BNN_INLINE __m256 neighbours_avx2(__m256 a, __m256 b) {
    __m256 crossed = _mm256_permute_ps(_mm256_blend_ps(a, b, 0x55), 0xB1);
    return _mm256_add_ps(_mm256_blend_ps(a, b, 0xAA), crossed);
}
BNN_AVX2 BNN_INLINE __m256 sums_avx2(const float *from) {
    __m256 four[4];
    BNN_UNROLL for (int i = 0; i < 4; i++)
        four[i] = halves_avx2(load_avx2(from + 8 * i), load_avx2(from + 8 * (i + 4)));
    return neighbours_avx2(pairs_avx2(four[0], four[2]), pairs_avx2(four[1], four[3]));
}

/* -- AVX-512 -------------------------------------------------------------------------------- */

typedef __m512 vec_avx512;
enum { lanes_avx512 = 16 };

BNN_AVX512 BNN_INLINE __mmask16 mask_avx512(size_t n) { return (__mmask16)((1u << n) - 1); }
BNN_AVX512 BNN_INLINE __m512 load_avx512(const float *p) { return _mm512_loadu_ps(p); }
BNN_AVX512 BNN_INLINE void store_avx512(float *p, __m512 v) { _mm512_storeu_ps(p, v); }
BNN_AVX512 BNN_INLINE __m512 load_part_avx512(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps(mask_avx512(n), p);
}
BNN_AVX512 BNN_INLINE void store_part_avx512(float *p, __m512 v, size_t n) {
    _mm512_mask_storeu_ps(p, mask_avx512(n), v);
}
BNN_AVX512 BNN_INLINE __m512 same_avx512(float value) { return _mm512_set1_ps(value); }
BNN_AVX512 BNN_INLINE __m512 fma_avx512(__m512 a, __m512 b, __m512 c) {
    return _mm512_fmadd_ps(a, b, c);
}
BNN_AVX512 BNN_INLINE __m512 mul_avx512(__m512 a, __m512 b) { return _mm512_mul_ps(a, b); }
BNN_AVX512 BNN_INLINE __m512 add_avx512(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }

BNN_AVX512 BNN_INLINE __m512 halves_avx512(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_mask_blend_ps(0xFF00, a, b), _mm512_shuffle_f32x4(a, b, 0x4E));
}
BNN_AVX512 BNN_INLINE __m512 quarters_avx512(__m512 a, __m512 b) {
    __m512 crossed = _mm512_mask_blend_ps(0x0F0F, a, b);
    return _mm512_add_ps(_mm512_mask_blend_ps(0xF0F0, a, b),
                         _mm512_shuffle_f32x4(crossed, crossed, 0xB1));
}
BNN_AVX512 BNN_INLINE __m512 pairs_avx512(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_mask_blend_ps(0xCCCC, a, b), _mm512_shuffle_ps(a, b, 0x4E));
}
BNN_AVX512 BNN_INLINE __m512 neighbours_avx512(__m512 a, __m512 b) {
    __m512 crossed = _mm512_permute_ps(_mm512_mask_blend_ps(0x5555, a, b), 0xB1);
    return _mm512_add_ps(_mm512_mask_blend_ps(0xAAAA, a, b), crossed);
}
BNN_AVX512 BNN_INLINE __m512 sums_avx512(const float *from) {
    __m512 eight[8];
    BNN_UNROLL for (int i = 0; i < 8; i++)
        eight[i] = halves_avx512(load_avx512(from + 16 * i), load_avx512(from + 16 * (i + 8)));
    BNN_UNROLL for (int i = 0; i < 4; i++) eight[i] = quarters_avx512(eight[i], eight[i + 4]);
    return neighbours_avx512(pairs_avx512(eight[0], eight[2]), pairs_avx512(eight[1], eight[3]));
}
#endif

#if BNN_NEON
/* -- NEON ----------------------------------------------------------------------------------- */

typedef float32x4_t vec_neon;
enum { lanes_neon = 4 };

BNN_INLINE float32x4_t load_neon(const float *p) { return vld1q_f32(p); }
BNN_INLINE void store_neon(float *p, float32x4_t v) { vst1q_f32(p, v); }
BNN_INLINE float32x4_t load_part_neon(const float *p, size_t n) {
    float all[4] = {0};
    for (size_t i = 0; i < n; i++) all[i] = p[i];
    return vld1q_f32(all);
}
BNN_INLINE void store_part_neon(float *p, float32x4_t v, size_t n) {
    float all[4];
    vst1q_f32(all, v);
    for (size_t i = 0; i < n; i++) p[i] = all[i];
}
BNN_INLINE float32x4_t same_neon(float value) { return vdupq_n_f32(value); }
BNN_INLINE float32x4_t fma_neon(float32x4_t a, float32x4_t b, float32x4_t c) {
    return vfmaq_f32(c, a, b);
}
BNN_INLINE float32x4_t mul_neon(float32x4_t a, float32x4_t b) { return vmulq_f32(a, b); }
BNN_INLINE float32x4_t add_neon(float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); }
BNN_INLINE float32x4_t sums_neon(const float *from) {
    float32x4_t low = vpaddq_f32(vld1q_f32(from), vld1q_f32(from + 4));
    return vpaddq_f32(low, vpaddq_f32(vld1q_f32(from + 8), vld1q_f32(from + 12)));
}
#endif

#endif

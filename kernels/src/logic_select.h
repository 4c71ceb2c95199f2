/* Comparing and choosing lanes, and lanes as bytes, under names that end in the suffix of their
 * instruction set. */
#ifndef BNN_LOGIC_SELECT_H
#define BNN_LOGIC_SELECT_H

#include "logic_vector.h"

/* above: a > b; equal: a == b; choose: yes where the lane's condition holds, else no.
 * load_bytes, store_bytes: n lanes as integers 0..255; lanes beyond n are 0. */

#define BNN_BYTES_BY_LANE(SUFFIX, TARGET)                                                    \
    TARGET BNN_INLINE LOGIC_JOIN(vec, SUFFIX)                                                \
        LOGIC_JOIN(load_bytes, SUFFIX)(const uint8_t *p, size_t n) {                         \
        float all[LOGIC_JOIN(lanes, SUFFIX)] = {0};                                          \
        for (size_t i = 0; i < n; i++) all[i] = (float)p[i];                                 \
        return LOGIC_JOIN(load, SUFFIX)(all);                                                \
    }                                                                                        \
    TARGET BNN_INLINE void LOGIC_JOIN(store_bytes, SUFFIX)(                                  \
        uint8_t *p, LOGIC_JOIN(vec, SUFFIX) v, size_t n) {                                   \
        float all[LOGIC_JOIN(lanes, SUFFIX)];                                                \
        LOGIC_JOIN(store, SUFFIX)(all, v);                                                   \
        for (size_t i = 0; i < n; i++) p[i] = (uint8_t)all[i];                               \
    }

/* -- any machine ---------------------------------------------------------------------------- */

#if defined(__GNUC__)
typedef int32_t lanes_where_scalar __attribute__((vector_size(16)));

BNN_INLINE lanes_where_scalar above_scalar(vec_scalar a, vec_scalar b) {
    return (lanes_where_scalar)(a > b);
}
BNN_INLINE lanes_where_scalar equal_scalar(vec_scalar a, vec_scalar b) {
    return (lanes_where_scalar)(a == b);
}
BNN_INLINE vec_scalar choose_scalar(lanes_where_scalar where, vec_scalar yes, vec_scalar no) {
    return (vec_scalar)((where & (lanes_where_scalar)yes) | (~where & (lanes_where_scalar)no));
}
#else
typedef int lanes_where_scalar;

BNN_INLINE int above_scalar(float a, float b) { return a > b; }
BNN_INLINE int equal_scalar(float a, float b) { return a == b; }
BNN_INLINE float choose_scalar(int where, float yes, float no) { return where ? yes : no; }
#endif
BNN_BYTES_BY_LANE(scalar, )

#if BNN_X86
/* -- AVX2 ----------------------------------------------------------------------------------- */

typedef __m256 lanes_where_avx2;

BNN_AVX2 BNN_INLINE __m256 above_avx2(__m256 a, __m256 b) {
    return _mm256_cmp_ps(a, b, _CMP_GT_OQ);
}
BNN_AVX2 BNN_INLINE __m256 equal_avx2(__m256 a, __m256 b) {
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}
BNN_AVX2 BNN_INLINE __m256 choose_avx2(__m256 where, __m256 yes, __m256 no) {
    return _mm256_blendv_ps(no, yes, where);
}
BNN_BYTES_BY_LANE(avx2, BNN_AVX2)

/* -- AVX-512 -------------------------------------------------------------------------------- */

typedef __mmask16 lanes_where_avx512;

BNN_AVX512 BNN_INLINE __mmask16 above_avx512(__m512 a, __m512 b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
BNN_AVX512 BNN_INLINE __mmask16 equal_avx512(__m512 a, __m512 b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
BNN_AVX512 BNN_INLINE __m512 choose_avx512(__mmask16 where, __m512 yes, __m512 no) {
    return _mm512_mask_blend_ps(where, no, yes);
}
BNN_AVX512 BNN_INLINE __m512 load_bytes_avx512(const uint8_t *p, size_t n) {
    __m128i bytes = _mm_maskz_loadu_epi8(mask_avx512(n), p);
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}
BNN_AVX512 BNN_INLINE void store_bytes_avx512(uint8_t *p, __m512 v, size_t n) {
    _mm_mask_storeu_epi8(p, mask_avx512(n), _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(v)));
}
#endif

#if BNN_NEON
/* -- NEON ----------------------------------------------------------------------------------- */

typedef uint32x4_t lanes_where_neon;

BNN_INLINE uint32x4_t above_neon(float32x4_t a, float32x4_t b) { return vcgtq_f32(a, b); }
BNN_INLINE uint32x4_t equal_neon(float32x4_t a, float32x4_t b) { return vceqq_f32(a, b); }
BNN_INLINE float32x4_t choose_neon(uint32x4_t where, float32x4_t yes, float32x4_t no) {
    return vbslq_f32(where, yes, no);
}
BNN_BYTES_BY_LANE(neon, )
#endif

#endif

#if BNN_WIDTH == 512 && defined(__AVX512F__)
#include <immintrin.h>
#define BNN_AND_NOT(A, B) ((bnn_word)_mm512_andnot_si512((__m512i)(B), (__m512i)(A)))
#else
#define BNN_AND_NOT(A, B) ((A) & ~(B))
#endif
#if defined(__GNUC__)
#define BNN_PART static __attribute__((noinline)) void
#else
#define BNN_PART static void
#endif

/* TABLE has the value for bits A, B, C of a case at A + 2 B + 4 C. */
#if BNN_WIDTH == 512 && defined(__AVX512F__)
#include <immintrin.h>
#define BNN_LUT3(TABLE, C, B, A, PORTABLE) \
    ((bnn_word)_mm512_ternarylogic_epi64((__m512i)(C), (__m512i)(B), (__m512i)(A), TABLE))
#else
#define BNN_LUT3(TABLE, C, B, A, PORTABLE) PORTABLE
#endif

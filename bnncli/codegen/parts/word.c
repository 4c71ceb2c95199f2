#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef BNN_WIDTH
#define BNN_WIDTH 64
#endif
#if BNN_WIDTH == 64
typedef uint64_t bnn_word;
#define BNN_FALSE ((bnn_word)0)
#elif defined(__GNUC__) && (BNN_WIDTH == 128 || BNN_WIDTH == 256 || BNN_WIDTH == 512)
/* Of any alignment, and another view of the same uint64_t. */
typedef uint64_t bnn_word __attribute__((vector_size(BNN_WIDTH / 8), aligned(8), may_alias));
#define BNN_FALSE ((bnn_word){0})
#else
#error "BNN_WIDTH is 64, or with GCC or Clang 128, 256 or 512"
#endif
#define BNN_TRUE (~BNN_FALSE)
#define BNN_LANES (BNN_WIDTH / 64) /* uint64_t in a word */

/* full adder: 3 inputs, 2 outputs, 5 live gates of two inputs, depth 3
 *
 * Build: cc -std=c99 -O2 -c FILE.c
 * -DBNN_WIDTH=128, 256 or 512 computes so many cases at once in vectors of GCC or Clang (add
 * -mavx2 or -mavx512f, or -march=native); -DBNN_MAIN adds a main that reads standard input.
 *
 * void full_adder(const bnn_word in[], bnn_word out[]): BNN_WIDTH cases; bit k of in[i] is input
 *     i of case k, bit k of out[j] its output j; in and out do not overlap
 * int full_adder_words(const uint64_t *in, uint64_t *out, size_t words): 64 * words cases
 */
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

enum { FULL_ADDER_INPUTS = 3, FULL_ADDER_OUTPUTS = 2 };

/* TABLE has the value for bits A, B, C of a case at A + 2 B + 4 C. */
#if BNN_WIDTH == 512 && defined(__AVX512F__)
#include <immintrin.h>
#define BNN_LUT3(TABLE, C, B, A, PORTABLE) \
    ((bnn_word)_mm512_ternarylogic_epi64((__m512i)(C), (__m512i)(B), (__m512i)(A), TABLE))
#else
#define BNN_LUT3(TABLE, C, B, A, PORTABLE) PORTABLE
#endif

/* 2 functions of up to three inputs for 5 gates of two. */
void full_adder(const bnn_word in[], bnn_word out[]) {
    const bnn_word a = in[0];
    const bnn_word b = in[1];
    const bnn_word carry = in[2];
    const bnn_word g0 = BNN_LUT3(0x96, carry, b, a, (carry ^ (a ^ b)));
    const bnn_word g1 = BNN_LUT3(0xe8, carry, b, a, ((a & b) | (carry & (a ^ b))));
    out[0] = g0;
    out[1] = g1;
    (void)in, (void)out;
}

#define FULL_ADDER_SLOTS 0
void full_adder_run(const bnn_word *in, bnn_word *out, bnn_word *slots) {
    (void)slots;
    full_adder(in, out);
}

/* -- any number of cases ---------------------------------------------------------------------- */

/* Words of memory that full_adder_run needs. */
const size_t full_adder_slots = FULL_ADDER_SLOTS;

/* Buffers for one pass, each on a cache line. */
typedef struct {
    bnn_word *in, *out, *slots;
    void *block;
} full_adder_buffers;

static int full_adder_open(full_adder_buffers *buffers) {
    const size_t line = 64;
    const size_t in = (FULL_ADDER_INPUTS * sizeof(bnn_word) + line - 1) / line * line;
    const size_t out = (FULL_ADDER_OUTPUTS * sizeof(bnn_word) + line - 1) / line * line;
    unsigned char *block = malloc(in + out + FULL_ADDER_SLOTS * sizeof(bnn_word) + line);
    if (!block) return -1;
    buffers->block = block;
    block += (line - (uintptr_t)block % line) % line;
    buffers->in = (bnn_word *)(void *)block;
    buffers->out = (bnn_word *)(void *)(block + in);
    buffers->slots = (bnn_word *)(void *)(block + in + out);
    return 0;
}

/* Input i of case k is bit k % 64 of in[i * words + k / 64], output j likewise.
 * Gives 0, or -1 without memory. */
int full_adder_words(const uint64_t *in, uint64_t *out, size_t words) {
    full_adder_buffers buffers;
    if (full_adder_open(&buffers)) return -1;
    memset(buffers.in, 0, FULL_ADDER_INPUTS * sizeof(bnn_word));
    for (size_t first = 0; first < words; first += BNN_LANES) {
        const size_t left = words - first, here = 8 * (left < BNN_LANES ? left : BNN_LANES);
        for (size_t i = 0; i != FULL_ADDER_INPUTS; i++)
            memcpy(buffers.in + i, in + i * words + first, here);
        full_adder_run(buffers.in, buffers.out, buffers.slots);
        for (size_t j = 0; j != FULL_ADDER_OUTPUTS; j++)
            memcpy(out + j * words + first, buffers.out + j, here);
    }
    free(buffers.block);
    return 0;
}

#ifdef BNN_MAIN
#include <stdio.h>

/* Reads cases, a line of FULL_ADDER_INPUTS digits 0 or 1 each, and prints FULL_ADDER_OUTPUTS digits. */
int main(void) {
    static uint64_t in[FULL_ADDER_INPUTS + 1], out[FULL_ADDER_OUTPUTS + 1];
    const size_t inputs = FULL_ADDER_INPUTS;
    size_t i = 0;
    for (int c = getchar(); c != EOF; c = getchar()) {
        if (c == '0' || c == '1') {
            if (i++ < inputs) {
                in[i - 1] = c == '1';
                continue;
            }
        } else if (c == '\n' && i == inputs) {
            if (full_adder_words(in, out, 1)) return 1;
            for (size_t j = 0; j != FULL_ADDER_OUTPUTS; j++) putchar(out[j] & 1 ? '1' : '0');
            putchar('\n');
            i = 0;
            continue;
        }
        fprintf(stderr, "expected lines of %lu digits 0 or 1\n", (unsigned long)inputs);
        return 1;
    }
    return i != 0;
}
#endif

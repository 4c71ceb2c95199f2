/* images: 20 inputs, 25 outputs, 29 live gates of two inputs, depth 6
 * Inputs are thresholds of images of 77 bytes.
 * Outputs are summed to scores of 3 classes.
 * drawn at random
 *
 * Build: cc -std=c99 -O2 -c FILE.c
 * -DBNN_WIDTH=128, 256 or 512 computes so many cases at once in vectors of GCC or Clang (add
 * -mavx2 or -mavx512f, or -march=native); -DBNN_MAIN adds a main that reads standard input.
 *
 * void images_circuit(const bnn_word in[], bnn_word out[]): BNN_WIDTH cases; bit k of in[i] is input
 *     i of case k, bit k of out[j] its output j; in and out do not overlap
 * int images_circuit_words(const uint64_t *in, uint64_t *out, size_t words): 64 * words cases
 * int images_circuit_classify(const uint8_t *images, size_t n, int32_t *classes): n classes
 * int images_circuit_scores(const uint8_t *images, size_t n, int32_t *scores): n rows of scores
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

enum { IMAGES_CIRCUIT_INPUTS = 20, IMAGES_CIRCUIT_OUTPUTS = 25 };

void images_circuit(const bnn_word in[], bnn_word out[]) {
    const bnn_word i0 = in[0];
    const bnn_word i1 = in[1];
    const bnn_word i3 = in[3];
    const bnn_word i4 = in[4];
    const bnn_word i5 = in[5];
    const bnn_word i6 = in[6];
    const bnn_word i8 = in[8];
    const bnn_word i9 = in[9];
    const bnn_word i10 = in[10];
    const bnn_word i12 = in[12];
    const bnn_word i14 = in[14];
    const bnn_word i15 = in[15];
    const bnn_word i16 = in[16];
    const bnn_word i18 = in[18];
    const bnn_word i19 = in[19];
    const bnn_word g0 = ~i0;
    const bnn_word g1 = i10 & ~i5;
    const bnn_word g2 = i6 & i5;
    const bnn_word g3 = i16 & g0;
    const bnn_word g4 = ~i3 & i19;
    const bnn_word g5 = ~(i18 ^ i15);
    const bnn_word g6 = ~g5;
    const bnn_word g7 = ~(g2 ^ g3);
    const bnn_word g8 = i3 | i12;
    const bnn_word g9 = g2 & ~g4;
    const bnn_word g10 = g7 | i18;
    const bnn_word g11 = ~BNN_FALSE | i1;
    const bnn_word g12 = i8 | g8;
    const bnn_word g13 = g9 ^ g9;
    const bnn_word g14 = g8 & g11;
    const bnn_word g15 = i12 ^ BNN_TRUE;
    const bnn_word g16 = ~g12;
    const bnn_word g17 = ~g3;
    const bnn_word g18 = ~BNN_TRUE | BNN_FALSE;
    const bnn_word g19 = g13 ^ BNN_TRUE;
    const bnn_word g20 = ~i10 | g14;
    const bnn_word g21 = ~i6 | g18;
    const bnn_word g22 = ~(i9 & i19);
    const bnn_word g23 = g21 | ~BNN_TRUE;
    out[0] = BNN_TRUE;
    out[1] = i10;
    out[2] = g20;
    out[3] = i12;
    out[4] = g6;
    out[5] = g23;
    out[6] = i0;
    out[7] = i19;
    out[8] = g11;
    out[9] = i12;
    out[10] = g10;
    out[11] = i15;
    out[12] = g1;
    out[13] = i4;
    out[14] = BNN_TRUE;
    out[15] = g17;
    out[16] = g22;
    out[17] = g19;
    out[18] = i0;
    out[19] = i14;
    out[20] = g15;
    out[21] = i12;
    out[22] = g15;
    out[23] = g4;
    out[24] = g16;
    (void)in, (void)out;
}

#define IMAGES_CIRCUIT_SLOTS 0
void images_circuit_run(const bnn_word *in, bnn_word *out, bnn_word *slots) {
    (void)slots;
    images_circuit(in, out);
}

/* -- any number of cases ---------------------------------------------------------------------- */

/* Words of memory that images_circuit_run needs. */
const size_t images_circuit_slots = IMAGES_CIRCUIT_SLOTS;

/* Buffers for one pass, each on a cache line. */
typedef struct {
    bnn_word *in, *out, *slots;
    void *block;
} images_circuit_buffers;

static int images_circuit_open(images_circuit_buffers *buffers) {
    const size_t line = 64;
    const size_t in = (IMAGES_CIRCUIT_INPUTS * sizeof(bnn_word) + line - 1) / line * line;
    const size_t out = (IMAGES_CIRCUIT_OUTPUTS * sizeof(bnn_word) + line - 1) / line * line;
    unsigned char *block = malloc(in + out + IMAGES_CIRCUIT_SLOTS * sizeof(bnn_word) + line);
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
int images_circuit_words(const uint64_t *in, uint64_t *out, size_t words) {
    images_circuit_buffers buffers;
    if (images_circuit_open(&buffers)) return -1;
    memset(buffers.in, 0, IMAGES_CIRCUIT_INPUTS * sizeof(bnn_word));
    for (size_t first = 0; first < words; first += BNN_LANES) {
        const size_t left = words - first, here = 8 * (left < BNN_LANES ? left : BNN_LANES);
        for (size_t i = 0; i != IMAGES_CIRCUIT_INPUTS; i++)
            memcpy(buffers.in + i, in + i * words + first, here);
        images_circuit_run(buffers.in, buffers.out, buffers.slots);
        for (size_t j = 0; j != IMAGES_CIRCUIT_OUTPUTS; j++)
            memcpy(out + j * words + first, buffers.out + j, here);
    }
    free(buffers.block);
    return 0;
}

enum {
    IMAGES_CIRCUIT_CLASSES = 3,
    IMAGES_CIRCUIT_CLASS_PLANES = 3,
    IMAGES_CIRCUIT_COUNT_PLANES = 3,
    IMAGES_CIRCUIT_SCORE_PLANES = 9
};

/* score = bias + sum over terms of (-1)^negative * 2^shift * outputs that are 1 */
typedef struct {
    uint32_t first, count, shift, negative;
} images_circuit_term;
static const images_circuit_term images_circuit_terms[] = {{0, 3, 0, 0}, {3, 1, 1, 0}, {4, 2, 2, 0}, {6, 3, 0, 1}, {9, 2, 1, 1}, {11, 1, 2, 1}, {12, 2, 0, 0}, {14, 2, 1, 0}, {16, 1, 2, 0}, {17, 2, 0, 1}, {19, 1, 1, 1}, {20, 2, 2, 1}, {22, 1, 0, 0}, {23, 2, 1, 0}, {25, 1, 0, 1}, {26, 1, 1, 1}, {27, 1, 2, 1}};
static const uint32_t images_circuit_first[] = {
    0, 6, 12, 17,
};
static const int32_t images_circuit_bias[] = {
    3, -200, 0,
};
static const uint32_t images_circuit_counted[] = {
    0, 6, 18, 18, 0, 6, 4, 7, 20, 4, 20, 7, 2, 5, 10, 21,
    5, 13, 14, 14, 11, 17, 15, 15, 16, 3, 24, 3,
};

/* -- class sums ------------------------------------------------------------------------------- */

/* Adds a, b and c in every bit: *low gets the sum, *high the carry. */
static inline void images_circuit_full_add(bnn_word *high, bnn_word *low, const bnn_word *a,
                                   const bnn_word *b, const bnn_word *c) {
    const bnn_word x = *a, y = *b, z = *c, odd = x ^ y;
    *high = (x & y) | (odd & z);
    *low = odd ^ z;
}

/* Counts outputs into planes, lowest bit first: carry-save, eight at a time. */
static void images_circuit_count(const bnn_word out[], const uint32_t *which, size_t count,
                         bnn_word planes[]) {
    bnn_word ones = BNN_FALSE, twos = BNN_FALSE, fours = BNN_FALSE;
    for (size_t p = 0; p < IMAGES_CIRCUIT_COUNT_PLANES; p++) planes[p] = BNN_FALSE;
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        bnn_word two[2], four[2], carry;
        for (size_t j = 0; j < 2; j++) {
            const uint32_t *at = which + i + 4 * j;
            images_circuit_full_add(two, &ones, &ones, out + at[0], out + at[1]);
            images_circuit_full_add(two + 1, &ones, &ones, out + at[2], out + at[3]);
            images_circuit_full_add(four + j, &twos, &twos, two, two + 1);
        }
        images_circuit_full_add(&carry, &fours, &fours, four, four + 1);
        for (size_t p = 3; p < IMAGES_CIRCUIT_COUNT_PLANES; p++) {
            const bnn_word next = planes[p] & carry;
            planes[p] ^= carry;
            carry = next;
        }
    }
    planes[0] = ones;
    planes[1] = twos;
    planes[2] = fours;
    for (; i < count; i++) {
        bnn_word carry = out[which[i]];
        for (size_t p = 0; p < IMAGES_CIRCUIT_COUNT_PLANES; p++) {
            const bnn_word next = planes[p] & carry;
            planes[p] ^= carry;
            carry = next;
        }
    }
}

/* Adds a term's count, shifted and perhaps negated, to a score in two's complement. */
static void images_circuit_add(bnn_word score[], const bnn_word count[], const images_circuit_term *term) {
    const bnn_word flip = term->negative ? BNN_TRUE : BNN_FALSE;
    bnn_word carry = flip;
    for (size_t p = 0; p < IMAGES_CIRCUIT_SCORE_PLANES; p++) {
        bnn_word bits = flip;
        if (p >= term->shift && p - term->shift < IMAGES_CIRCUIT_COUNT_PLANES)
            bits ^= count[p - term->shift];
        images_circuit_full_add(&carry, score + p, score + p, &bits, &carry);
    }
}

/* The score of a class as planes of bits, the last of them the sign. */
static void images_circuit_score(const bnn_word out[], size_t k, bnn_word score[]) {
    bnn_word count[IMAGES_CIRCUIT_COUNT_PLANES];
    for (size_t p = 0; p < IMAGES_CIRCUIT_SCORE_PLANES; p++)
        score[p] = (uint32_t)images_circuit_bias[k] >> p & 1 ? BNN_TRUE : BNN_FALSE;
    for (size_t t = images_circuit_first[k]; t < images_circuit_first[k + 1]; t++) {
        images_circuit_count(out, images_circuit_counted + images_circuit_terms[t].first, images_circuit_terms[t].count, count);
        images_circuit_add(score, count, images_circuit_terms + t);
    }
}

/* Eight bytes as rows of 8 x 8 bits, transposed. */
static inline uint64_t images_circuit_transpose(uint64_t x) {
    uint64_t swap = (x ^ x >> 7) & 0x00aa00aa00aa00aau;
    x ^= swap ^ swap << 7;
    swap = (x ^ x >> 14) & 0x0000cccc0000ccccu;
    x ^= swap ^ swap << 14;
    swap = (x ^ x >> 28) & 0x00000000f0f0f0f0u;
    return x ^ swap ^ swap << 28;
}

/* Planes of bits, the last of them the sign, to numbers: to[i * stride] for case i < n. */
static void images_circuit_numbers(const bnn_word planes[], size_t n_planes, size_t n, int32_t *to,
                           size_t stride) {
    for (size_t first = 0; first < n; first += 8) {
        uint32_t number[8] = {0};
        for (size_t low = 0; low < 32; low += 8) {
            uint64_t rows = 0;
            for (size_t p = 0; p < 8; p++) {
                uint64_t lane;
                const size_t from = low + p < n_planes ? low + p : n_planes - 1;
                memcpy(&lane, (const unsigned char *)(planes + from) + first / 64 * 8, sizeof lane);
                rows |= (lane >> first % 64 & 255) << 8 * p;
            }
            rows = images_circuit_transpose(rows);
            for (size_t i = 0; i < 8; i++) number[i] |= (uint32_t)(rows >> 8 * i & 255) << low;
        }
        for (size_t i = 0; i < 8 && first + i < n; i++)
            memcpy(to + (first + i) * stride, number + i, sizeof number[i]);
    }
}

/* The scores of n cases, n at most BNN_WIDTH: scores[i * IMAGES_CIRCUIT_CLASSES + k] for case i. */
void images_circuit_scores_of(const bnn_word out[], size_t n, int32_t *scores) {
    bnn_word score[IMAGES_CIRCUIT_SCORE_PLANES];
    for (size_t k = 0; k < IMAGES_CIRCUIT_CLASSES; k++) {
        images_circuit_score(out, k, score);
        images_circuit_numbers(score, IMAGES_CIRCUIT_SCORE_PLANES, n, scores + k, IMAGES_CIRCUIT_CLASSES);
    }
}

/* The class of the highest score, the first of several, of n cases, n at most BNN_WIDTH. */
void images_circuit_classes_of(const bnn_word out[], size_t n, int32_t *classes) {
    bnn_word best[IMAGES_CIRCUIT_SCORE_PLANES], score[IMAGES_CIRCUIT_SCORE_PLANES], winner[IMAGES_CIRCUIT_CLASS_PLANES];
    images_circuit_score(out, 0, best);
    for (size_t p = 0; p < IMAGES_CIRCUIT_CLASS_PLANES; p++) winner[p] = BNN_FALSE;
    for (size_t k = 1; k < IMAGES_CIRCUIT_CLASSES; k++) {
        images_circuit_score(out, k, score);
        /* Signed: where the signs differ, the one that is not negative is greater. */
        bnn_word greater = BNN_FALSE;
        for (size_t p = 0; p + 1 < IMAGES_CIRCUIT_SCORE_PLANES; p++)
            greater = (score[p] & ~best[p]) | (~(score[p] ^ best[p]) & greater);
        const bnn_word sign = score[IMAGES_CIRCUIT_SCORE_PLANES - 1], other = best[IMAGES_CIRCUIT_SCORE_PLANES - 1];
        greater = (~sign & other) | (~(sign ^ other) & greater);
        for (size_t p = 0; p < IMAGES_CIRCUIT_SCORE_PLANES; p++) best[p] ^= (best[p] ^ score[p]) & greater;
        for (size_t p = 0; p < IMAGES_CIRCUIT_CLASS_PLANES; p++) {
            const bnn_word bit = k >> p & 1 ? BNN_TRUE : BNN_FALSE;
            winner[p] ^= (winner[p] ^ bit) & greater;
        }
    }
    images_circuit_numbers(winner, IMAGES_CIRCUIT_CLASS_PLANES, n, classes, 1);
}

/* Bytes side by side; a comparison gives 0 or 255. */
#if BNN_WIDTH == 64
typedef uint8_t bnn_bytes;
#define BNN_NO_BYTES 0
#define BNN_LOAD(BYTES) (*(BYTES))
#define BNN_ABOVE(X, T) ((uint8_t)-((X) > (T)))
#else
typedef uint8_t bnn_bytes __attribute__((vector_size(BNN_WIDTH / 8), aligned(1), may_alias));
#define BNN_NO_BYTES ((bnn_bytes){0})
#define BNN_LOAD(BYTES) (*(const bnn_bytes *)(BYTES))
#define BNN_ABOVE(X, T) ((bnn_bytes)((X) > (T)))
#endif

enum { IMAGES_CIRCUIT_PIXELS = 77, IMAGES_CIRCUIT_ROW = 128 };
enum { IMAGES_CIRCUIT_PLANES = 2 };

/* Comparison c is of byte c % IMAGES_CIRCUIT_ROW; input i is comparison images_circuit_column[i]. */
static const uint8_t images_circuit_threshold[IMAGES_CIRCUIT_PLANES * IMAGES_CIRCUIT_ROW] = {
    255, 255, 255, 255, 255, 255, 201, 255, 255, 255, 255, 255, 255, 237, 255, 255,
    118, 255, 255, 255, 255, 238, 255, 255, 255, 255, 255, 255, 94, 255, 255, 255,
    255, 255, 246, 255, 255, 255, 255, 122, 255, 155, 255, 255, 146, 255, 251, 255,
    187, 255, 255, 255, 150, 255, 255, 86, 255, 255, 255, 255, 255, 248, 255, 255,
    255, 255, 255, 15, 255, 255, 255, 255, 230, 255, 35, 110, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 45, 255, 255, 255, 255, 229, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
};
static const uint32_t images_circuit_column[] = {
    55, 72, 67, 39, 200, 75, 74, 6, 34, 46, 21, 28, 48, 61, 44, 13,
    52, 195, 16, 41,
};
#define IMAGES_CIRCUIT_ABOVE(C, PIXELS) \
    BNN_ABOVE(BNN_LOAD(PIXELS), BNN_LOAD(images_circuit_threshold + (C)))

/* -- images ----------------------------------------------------------------------------------- */

/* Eight images: bit j of comparison[c] says whether image j is above threshold c. */
static void images_circuit_compare(const uint8_t *images, size_t n, uint8_t *comparison) {
    uint8_t rows[8][IMAGES_CIRCUIT_ROW];
    memset(rows, 0, sizeof rows);
    for (size_t j = 0; j < n; j++) memcpy(rows[j], images + j * IMAGES_CIRCUIT_PIXELS, IMAGES_CIRCUIT_PIXELS);
    for (size_t plane = 0; plane < IMAGES_CIRCUIT_PLANES; plane++)
        for (size_t p = 0; p < IMAGES_CIRCUIT_ROW; p += sizeof(bnn_bytes)) {
            bnn_bytes above = BNN_NO_BYTES;
            for (unsigned j = 0; j < 8; j++)
                above |= IMAGES_CIRCUIT_ABOVE(plane * IMAGES_CIRCUIT_ROW + p, rows[j] + p) & (uint8_t)(1u << j);
            memcpy(comparison + plane * IMAGES_CIRCUIT_ROW + p, &above, sizeof above);
        }
}

/* The inputs of the circuit from n images of IMAGES_CIRCUIT_PIXELS bytes, n at most BNN_WIDTH; the bits of
 * absent images are of no meaning. */
void images_circuit_pack(const uint8_t *images, size_t n, bnn_word in[]) {
    uint8_t comparison[8][IMAGES_CIRCUIT_PLANES * IMAGES_CIRCUIT_ROW];
    for (size_t lane = 0; lane < BNN_LANES; lane++) {
        for (size_t eighth = 0; eighth < 8; eighth++) {
            const size_t first = 64 * lane + 8 * eighth, left = n > first ? n - first : 0;
            images_circuit_compare(left ? images + first * IMAGES_CIRCUIT_PIXELS : images, left < 8 ? left : 8,
                           comparison[eighth]);
        }
        for (size_t i = 0; i != IMAGES_CIRCUIT_INPUTS; i++) {
            uint64_t word = 0;
            for (unsigned eighth = 0; eighth < 8; eighth++)
                word |= (uint64_t)comparison[eighth][images_circuit_column[i]] << 8 * eighth;
            memcpy((unsigned char *)(in + i) + 8 * lane, &word, sizeof word);
        }
    }
}

/* For each of n images of IMAGES_CIRCUIT_PIXELS bytes: IMAGES_CIRCUIT_CLASSES values. Gives 0, or -1 without memory. */
int images_circuit_scores(const uint8_t *images, size_t n, int32_t *values) {
    images_circuit_buffers buffers;
    if (images_circuit_open(&buffers)) return -1;
    for (size_t first = 0; first < n; first += BNN_WIDTH) {
        const size_t here = n - first < BNN_WIDTH ? n - first : BNN_WIDTH;
        images_circuit_pack(images + first * IMAGES_CIRCUIT_PIXELS, here, buffers.in);
        images_circuit_run(buffers.in, buffers.out, buffers.slots);
        images_circuit_scores_of(buffers.out, here, values + first * IMAGES_CIRCUIT_CLASSES);
    }
    free(buffers.block);
    return 0;
}

/* For each of n images of IMAGES_CIRCUIT_PIXELS bytes: 1 values. Gives 0, or -1 without memory. */
int images_circuit_classify(const uint8_t *images, size_t n, int32_t *values) {
    images_circuit_buffers buffers;
    if (images_circuit_open(&buffers)) return -1;
    for (size_t first = 0; first < n; first += BNN_WIDTH) {
        const size_t here = n - first < BNN_WIDTH ? n - first : BNN_WIDTH;
        images_circuit_pack(images + first * IMAGES_CIRCUIT_PIXELS, here, buffers.in);
        images_circuit_run(buffers.in, buffers.out, buffers.slots);
        images_circuit_classes_of(buffers.out, here, values + first * 1);
    }
    free(buffers.block);
    return 0;
}

#ifdef BNN_MAIN
#include <stdio.h>

/* Reads images of IMAGES_CIRCUIT_PIXELS bytes each; prints a line of 1 numbers for each. */
int main(void) {
    static uint8_t images[BNN_WIDTH * IMAGES_CIRCUIT_PIXELS];
    static int32_t values[BNN_WIDTH * 1];
    for (size_t n; (n = fread(images, IMAGES_CIRCUIT_PIXELS, BNN_WIDTH, stdin)) > 0;) {
        if (images_circuit_classify(images, n, values)) return 1;
        for (size_t i = 0; i < n * 1; i++)
            printf("%d%c", values[i], (i + 1) % 1 ? ' ' : '\n');
    }
    return ferror(stdin) != 0;
}
#endif

/* Game of Life: a cellular automaton of bits
 *
 * Rule B3/S23.
 * 28 gates a cell; with work shared between cells
 * 21 operations a word, 5 of them on one row
 *
 *     gcc gate.c -O3 -Wall -Wextra -o gate
 *     ./gate                      in the terminal
 *     ./gate --bench              as fast as possible
 *     ./gate --check              against the rule applied cell by cell
 *
 * -DBNN_WIDTH=128, 256 or 512 steps with vectors of so many bits (gcc or clang).
 */
#define _POSIX_C_SOURCE 200112L
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHANNELS = 1, TRANSPOSED = 0 };
enum { ROW_WARM_UP = 2, COLUMN_WARM_UP = 0, KEPT_COLUMNS = 0 };

/* The rule of one cell (of 64, one in each bit): its next state from its neighbourhood,
 *     nw n ne
 *      w c e
 *     sw s se
 * in 28 gates of two inputs. */
static void rule(const uint64_t *around, uint64_t *next) {
    const uint64_t nw = around[0];
    const uint64_t n = around[1];
    const uint64_t ne = around[2];
    const uint64_t w = around[3];
    const uint64_t c = around[4];
    const uint64_t e = around[5];
    const uint64_t sw = around[6];
    const uint64_t s = around[7];
    const uint64_t se = around[8];
    const uint64_t g0 = nw ^ ne;
    const uint64_t g1 = n ^ g0;
    const uint64_t g2 = nw & ne;
    const uint64_t g3 = n & g0;
    const uint64_t g4 = g2 | g3;
    const uint64_t g5 = sw ^ se;
    const uint64_t g6 = s ^ g5;
    const uint64_t g7 = sw & se;
    const uint64_t g8 = s & g5;
    const uint64_t g9 = g7 | g8;
    const uint64_t g10 = w ^ e;
    const uint64_t g11 = g1 ^ g6;
    const uint64_t g12 = g10 ^ g11;
    const uint64_t g13 = g1 & g6;
    const uint64_t g14 = g10 & g11;
    const uint64_t g15 = g13 | g14;
    const uint64_t g16 = g4 ^ g9;
    const uint64_t g17 = g4 & g9;
    const uint64_t g18 = w & e;
    const uint64_t g19 = g15 ^ g18;
    const uint64_t g20 = g15 & g18;
    const uint64_t g21 = g16 ^ g19;
    const uint64_t g22 = g17 | g20;
    const uint64_t g23 = g16 & g19;
    const uint64_t g24 = g22 | g23;
    const uint64_t g25 = c | g12;
    const uint64_t g26 = g21 & ~g24;
    const uint64_t g27 = g25 & g26;
    next[0] = g27;
}

/* The rule of a column, in operations on vectors. A gate that is a neighbour's gate too is
 * computed once: r2_1 was computed for the row above, r2_2 for the one above that. */
WIDE static void step_column(const board *b, long x) {
    const vec *restrict left_0 = b->left[0];
    const vec *restrict middle_0 = b->middle[0];
    const vec *restrict right_0 = b->right[0];
    vec *restrict next_0 = b->next[0];
    vec r0_1 = {0}, r1_1 = {0}, r1_2 = {0}, r2_1 = {0}, r4_1 = {0}, r4_2 = {0};
    (void)x;
    const long rows = b->rows;
#pragma GCC unroll 4
    for (long y = -ROW_WARM_UP; y < rows; y++) {
#ifdef LUT3
        const vec r0 = right_0[y + 1] ^ left_0[y + 1];
        const vec r1 = middle_0[y + 1] ^ r0;
        const vec r2 = right_0[y + 1] & left_0[y + 1];
        const vec r4 = LUT3(0xe8, middle_0[y + 1], left_0[y + 1], right_0[y + 1]);
        const vec r6 = LUT3(0x96, r1, r0_1, r1_2);
        const vec r9 = LUT3(0xe8, r1, r0_1, r1_2);
        const vec r10 = r4_2 ^ r4;
        const vec r12 = r2_1 ^ r9;
        const vec r13 = r2_1 & r9;
        const vec r15 = LUT3(0xf8, r13, r4, r4_2);
        const vec r19 = LUT3(0x06, r15, r12, r10);
        const vec r20 = LUT3(0xe0, r19, r6, middle_0[y]);
#else
        const vec r0 = right_0[y + 1] ^ left_0[y + 1];
        const vec r1 = middle_0[y + 1] ^ r0;
        const vec r2 = right_0[y + 1] & left_0[y + 1];
        const vec r3 = middle_0[y + 1] & r0;
        const vec r4 = r2 | r3;
        const vec r5 = r1 ^ r1_2;
        const vec r6 = r0_1 ^ r5;
        const vec r7 = r1 & r1_2;
        const vec r8 = r0_1 & r5;
        const vec r9 = r7 | r8;
        const vec r10 = r4 ^ r4_2;
        const vec r11 = r4 & r4_2;
        const vec r12 = r2_1 ^ r9;
        const vec r13 = r2_1 & r9;
        const vec r14 = r10 ^ r12;
        const vec r15 = r11 | r13;
        const vec r16 = r10 & r12;
        const vec r17 = r15 | r16;
        const vec r18 = middle_0[y] | r6;
        const vec r19 = r14 & ~r17;
        const vec r20 = r18 & r19;
#endif
        next_0[y] = r20;
        r4_2 = r4_1;
        r4_1 = r4;
        r2_1 = r2;
        r1_2 = r1_1;
        r1_1 = r1;
        r0_1 = r0;
    }
}


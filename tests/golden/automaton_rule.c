/* Game of Life: a cellular automaton of bits
 *
 * Rule B3/S23.
 * 28 gates a cell; with work shared between cells
 * 21 operations a word, 5 of them on one row.
 *
 *     gcc gate.c -O3 -Wall -Wextra -o gate
 *     ./gate                      in the terminal
 *     ./gate --bench              as fast as possible
 *     ./gate --check              against the rule applied cell by cell
 *
 * -DBNN_WIDTH=128, 256 or 512 steps with vectors of so many bits (gcc or clang).
 */
/* The rule of one cell (of 64, one in each bit): its next state from its neighbourhood,
 *     nw n ne
 *      w c e
 *     sw s se
 * in 28 gates of two inputs. */
enum { CHANNELS = 1 };

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

/* The row that a gate keeps for row y of the board, one of as many as are read. */
static vec *kept_row(const board *b, long first, long count, long y) {
    return (vec *)(b->kept + (first + (y + 4) % count) * row_words(b) + LANES);
}


/* The rule of a row, for all its cells at once, in operations on vectors. A gate that
 * is a neighbour's gate too is computed once: r2_0[x - 1] is that of the cells to the
 * left, and r2_1[x] was computed for the row above, r2_2[x] for the one above that. */
enum { WARM_UP = 2, KEPT_ROWS = 10 };

WIDE static inline void pass_0(long columns, const vec *restrict here_0,
        const vec *restrict below_0, const vec *restrict r0_1, const vec *restrict r1_2,
        const vec *restrict r2_1, const vec *restrict r4_2, vec *restrict r0_0, vec *restrict r1_0,
        vec *restrict r2_0, vec *restrict r4_0, vec *restrict next0) {
    for (long x = 0; x < columns; x++) {
        const vec r0 = below_0[x + 1] ^ below_0[x - 1];
        r0_0[x] = r0;
        const vec r1 = below_0[x] ^ r0;
        r1_0[x] = r1;
        const vec r2 = below_0[x + 1] & below_0[x - 1];
        r2_0[x] = r2;
        const vec r3 = below_0[x] & r0;
        const vec r4 = r2 | r3;
        r4_0[x] = r4;
        const vec r5 = r1 ^ r1_2[x];
        const vec r6 = r0_1[x] ^ r5;
        const vec r7 = r1 & r1_2[x];
        const vec r8 = r0_1[x] & r5;
        const vec r9 = r7 | r8;
        const vec r10 = r4 ^ r4_2[x];
        const vec r11 = r4 & r4_2[x];
        const vec r12 = r2_1[x] ^ r9;
        const vec r13 = r2_1[x] & r9;
        const vec r14 = r10 ^ r12;
        const vec r15 = r11 | r13;
        const vec r16 = r10 & r12;
        const vec r17 = r15 | r16;
        const vec r18 = here_0[x] | r6;
        const vec r19 = r14 & ~r17;
        const vec r20 = r18 & r19;
        next0[x] = r20;
    }
}

WIDE static void step_row(const board *b, long y) {
    const vec *const here_0 = row_of(b, b->cells, 0, y);
    const vec *const below_0 = row_of(b, b->cells, 0, y + 1);
    const vec *const r0_1 = kept_row(b, 0, 2, y - 1);
    const vec *const r1_2 = kept_row(b, 2, 3, y - 2);
    const vec *const r2_1 = kept_row(b, 5, 2, y - 1);
    const vec *const r4_2 = kept_row(b, 7, 3, y - 2);
    vec *const r0_0 = kept_row(b, 0, 2, y);
    vec *const r1_0 = kept_row(b, 2, 3, y);
    vec *const r2_0 = kept_row(b, 5, 2, y);
    vec *const r4_0 = kept_row(b, 7, 3, y);
    vec *const next0 = row_of(b, b->next, 0, y);
    pass_0(b->columns, here_0, below_0, r0_1, r1_2, r2_1, r4_2, r0_0, r1_0, r2_0, r4_0, next0);
    close_row(b, next0);
}


/* How a board lies in memory
 * --------------------------
 * A vector holds LANES words of 64 bits. The board is cut into stripes of equally many columns, one
 * for each bit of a word, and into bands of equally many rows, one for each word of a vector:
 *
 *     cell (y, x)  is in the vector (y mod rows, x mod columns),
 *                  there in word y / rows, there in bit x / columns.
 *
 * So the neighbours of all cells of a vector are the cells of the neighbouring vectors, and no bit
 * is ever shifted, except at the edges of stripes and bands: a column of vectors has one more above
 * and below (and two above that, which are only scratch), a board one more column at each side.
 * A board whose width has no factor 64, or whose height has no factor LANES, gets as many stripes
 * and bands as divide them, and is slower accordingly. If TRANSPOSED, rows and columns of cells
 * change places: the rule shares more work along columns. */

#ifndef BNN_WIDTH
#define BNN_WIDTH 64
#endif
#if BNN_WIDTH == 64
typedef uint64_t vec;
#elif BNN_WIDTH == 128 || BNN_WIDTH == 256 || BNN_WIDTH == 512
typedef uint64_t vec __attribute__((vector_size(BNN_WIDTH / 8), may_alias));
#else
#error "BNN_WIDTH: expected 64, 128, 256 or 512"
#endif

/* Wide vectors are compiled for processors that have them, whatever the compiler's options. */
#if BNN_WIDTH == 512 && defined(__x86_64__)
#include <immintrin.h>
#define WIDE __attribute__((target("avx512f")))
/* One instruction for any table of three inputs: bit 4a + 2b + c of it is the result. */
#define LUT3(table, a, b, c) \
    (vec) _mm512_ternarylogic_epi64((__m512i)(a), (__m512i)(b), (__m512i)(c), table)
#elif BNN_WIDTH == 256 && defined(__x86_64__)
#define WIDE __attribute__((target("avx2")))
#else
#define WIDE
#endif

enum { LANES = BNN_WIDTH / 64, ROWS_ABOVE = 3, ROWS_BELOW = 1, COLUMNS_BEFORE = 3 };
enum { MAX_SIDE = 65536 };

typedef struct {
    long height, width;   /* in cells */
    long stripes, bands;  /* used bits of a word, used words of a vector */
    long rows, columns;   /* of vectors */
    void *memory;         /* everything below */
    vec **column;         /* the board: all columns of vectors of a channel, then of the next */
    long way;             /* of the sweep over columns, 1 to the right or -1 to the left */
    /* What a step reads around a column, as it was before, what it writes, and a free column: */
    const vec *left[CHANNELS], *middle[CHANNELS], *right[CHANNELS];
    vec *next[CHANNELS], *spare[CHANNELS];
    vec **kept; /* columns of gates that later columns read */
} board;

/* The columns of a channel, each given by its vector of row 0. */
static vec **columns_of(const board *b, long channel) {
    return b->column + channel * (COLUMNS_BEFORE + b->columns + 1) + COLUMNS_BEFORE;
}

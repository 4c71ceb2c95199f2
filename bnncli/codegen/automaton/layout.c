/* How a board lies in memory
 * --------------------------
 * A vector holds LANES words of 64 bits. The board is cut into stripes of equally many columns, one
 * for each bit of a word, and into bands of equally many rows, one for each word of a vector:
 *
 *     cell (y, x)  is in the vector (y mod rows, x mod columns),
 *                  there in word y / rows, there in bit x / columns.
 *
 * So the neighbours of all cells of a vector are the cells of the neighbouring vectors, and no bit
 * is ever shifted, except at the edges of stripes and bands: each row of vectors has one more at
 * both ends, each board one more row above and below (and two above that, which are only scratch).
 * A board whose width has no factor 64, or whose height has no factor LANES, gets as many stripes
 * and bands as divide them, and is slower accordingly. */

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
#define WIDE __attribute__((target("avx512f")))
#elif BNN_WIDTH == 256 && defined(__x86_64__)
#define WIDE __attribute__((target("avx2")))
#else
#define WIDE
#endif

enum { LANES = BNN_WIDTH / 64, ROWS_ABOVE = 3, ROWS_BELOW = 1, MAX_SIDE = 65536 };

typedef struct {
    long height, width;  /* in cells */
    long stripes, bands; /* used bits of a word, used words of a vector */
    long rows, columns;  /* of vectors */
    uint64_t *memory;    /* what was allocated; below it is aligned */
    uint64_t *cells;     /* the board, a plane for each channel */
    uint64_t *next;      /* the board that is being computed */
    uint64_t *kept;      /* rows of gates that later rows and columns read */
} board;

static long row_words(const board *b) { return (b->columns + 2) * LANES; }

static long plane_words(const board *b) {
    return (ROWS_ABOVE + b->rows + ROWS_BELOW) * row_words(b);
}

/* The vector at column 0 of a row of a plane. */
static vec *row_of(const board *b, uint64_t *planes, long channel, long y) {
    return (vec *)(planes + channel * plane_words(b) + (ROWS_ABOVE + y) * row_words(b) + LANES);
}

/* Fill the vectors at both ends of a row from the other end: stripes continue in their neighbours,
 * the last one in the first. */
WIDE static void close_row(const board *b, vec *row) {
    const int last = (int)b->stripes - 1;
    const uint64_t used = ~(uint64_t)0 >> (63 - last);
    row[-1] = row[b->columns - 1] << 1 | (row[b->columns - 1] & used) >> last;
    row[b->columns] = (row[0] & used) >> 1 | row[0] << last;
}

/* Copy a row past the edge of the board: each band continues in its neighbour. */
WIDE static void copy_row(const board *b, const uint64_t *from, uint64_t *to, long turn) {
    for (long i = 0; i < row_words(b); i += LANES)
        for (long band = 0; band < b->bands; band++)
            to[i + band] = from[i + (band + turn) % b->bands];
}

/* Compute the next board, row by row. */
WIDE static void board_step(board *b) {
    for (long channel = 0; channel < CHANNELS; channel++) {
        uint64_t *top = (uint64_t *)row_of(b, b->cells, channel, 0) - LANES;
        uint64_t *bottom = (uint64_t *)row_of(b, b->cells, channel, b->rows - 1) - LANES;
        copy_row(b, bottom, top - row_words(b), b->bands - 1);
        copy_row(b, top, bottom + row_words(b), 1);
    }
    for (long y = -WARM_UP; y < b->rows; y++) step_row(b, y);
    uint64_t *done = b->next;
    b->next = b->cells;
    b->cells = done;
}

static long common_divisor(long a, long b) { return b ? common_divisor(b, a % b) : a; }

/* Make a dead board; give 0 where there is no memory for it. */
static int board_make(board *b, long height, long width) {
    *b = (board){.height = height, .width = width};
    b->stripes = common_divisor(width, 64);
    b->bands = common_divisor(height, LANES);
    b->rows = height / b->bands;
    b->columns = width / b->stripes;
    const uint64_t planes = (uint64_t)plane_words(b) * CHANNELS;
    const uint64_t words = 2 * planes + (uint64_t)row_words(b) * KEPT_ROWS + 8;
    if (words > SIZE_MAX / sizeof(uint64_t)) return 0;
    b->memory = calloc((size_t)words, sizeof(uint64_t));
    if (!b->memory) return 0;
    b->cells = (uint64_t *)(((uintptr_t)b->memory + 63) & ~(uintptr_t)63);
    b->next = b->cells + planes;
    b->kept = b->next + planes;
    return 1;
}

static void board_free(board *b) { free(b->memory); }

static uint64_t *word_of(const board *b, long channel, long y, long x) {
    uint64_t *row = (uint64_t *)row_of(b, b->cells, channel, y % b->rows);
    return row + x % b->columns * LANES + y / b->rows;
}

static int board_get(const board *b, long channel, long y, long x) {
    return (int)(*word_of(b, channel, y, x) >> (x / b->columns) & 1);
}

static void board_set(board *b, long channel, long y, long x, int alive) {
    const uint64_t bit = (uint64_t)1 << (x / b->columns);
    uint64_t *word = word_of(b, channel, y, x);
    *word = alive ? *word | bit : *word & ~bit;
}

/* Close all rows, after cells were set. */
WIDE static void board_close(board *b) {
    for (long channel = 0; channel < CHANNELS; channel++)
        for (long y = 0; y < b->rows; y++) close_row(b, row_of(b, b->cells, channel, y));
}

/* Whether this processor has vectors of BNN_WIDTH bits. */
static int width_runs(void) {
#if BNN_WIDTH == 512 && defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") != 0;
#elif BNN_WIDTH == 256 && defined(__x86_64__)
    return __builtin_cpu_supports("avx2") != 0;
#else
    return 1;
#endif
}

/* Continue a column past its ends: each band goes on in its neighbour, the last in the first. */
WIDE static void close_column(const board *b, vec *column) {
    uint64_t *above = (uint64_t *)(column - 1), *below = (uint64_t *)(column + b->rows);
    const uint64_t *first = (uint64_t *)column, *last = below - LANES;
    const long end = b->bands - 1;
    above[0] = last[end];
    below[end] = first[0];
    for (long band = 0; band < end; band++) {
        above[band + 1] = last[band];
        below[band] = first[band + 1];
    }
}

/* Make the columns beyond both sides of the board: each stripe goes on in its neighbour. */
WIDE static void close_sides(const board *b, vec **column) {
    const vec *restrict first = column[0], *restrict last = column[b->columns - 1];
    vec *restrict left = column[-1], *restrict right = column[b->columns];
    const int turn = (int)b->stripes - 1;
    const uint64_t used = ~(uint64_t)0 >> (63 - turn);
    const long rows = b->rows;
    for (long y = -1; turn == 63 && y <= rows; y++) {
        left[y] = last[y] << 1 | last[y] >> 63;
        right[y] = first[y] >> 1 | first[y] << 63;
    }
    for (long y = -1; turn < 63 && y <= rows; y++) {
        left[y] = last[y] << 1 | (last[y] & used) >> turn;
        right[y] = (first[y] & used) >> 1 | first[y] << turn;
    }
}

/* Compute the next board. A new column takes the place of an old one that is read no more, and the
 * way changes with each step, so that a step begins with columns that are still in the cache. */
WIDE static void board_step(board *b) {
    const long way = b->way, start = way > 0 ? -COLUMN_WARM_UP : b->columns - 1;
    const long end = way > 0 ? b->columns : -1, first = way > 0 ? 0 : start;
    vec *behind[CHANNELS]; /* the column before the one that is computed, as it was */
    for (long channel = 0; channel < CHANNELS; channel++) {
        close_sides(b, columns_of(b, channel));
        behind[channel] = columns_of(b, channel)[start - way];
    }
    for (long x = start; x != end; x += way) {
        for (long channel = 0; channel < CHANNELS; channel++) {
            vec **column = columns_of(b, channel) + x;
            b->left[channel] = way > 0 ? behind[channel] : column[-1];
            b->middle[channel] = column[0];
            b->right[channel] = way > 0 ? column[1] : behind[channel];
        }
        step_column(b, x);
        for (long channel = 0; channel < CHANNELS; channel++) {
            vec **column = columns_of(b, channel) + x, *here = column[0];
            if (x >= 0) {
                column[0] = b->next[channel];
                close_column(b, column[0]);
                b->next[channel] = x == first ? b->spare[channel] : behind[channel];
            }
            behind[channel] = here;
        }
    }
    for (long channel = 0; channel < CHANNELS; channel++) b->spare[channel] = behind[channel];
    b->way = COLUMN_WARM_UP ? 1 : -way;
}

static long common_divisor(long a, long b) { return b ? common_divisor(b, a % b) : a; }

/* Make a dead board; give 0 where there is no memory for it. */
static int board_make(board *b, long height, long width) {
    const long down = TRANSPOSED ? width : height, across = TRANSPOSED ? height : width;
    *b = (board){.height = height, .width = width};
    b->stripes = common_divisor(across, 64);
    b->bands = common_divisor(down, LANES);
    b->way = 1;
    b->rows = down / b->bands;
    b->columns = across / b->stripes;
    const uint64_t on_board = CHANNELS * (uint64_t)(COLUMNS_BEFORE + b->columns + 1);
    const uint64_t n_columns = on_board + 2 * CHANNELS + KEPT_COLUMNS;
    const uint64_t size = (uint64_t)(ROWS_ABOVE + b->rows + ROWS_BELOW) * sizeof(vec);
    const uint64_t total = 64 + n_columns * (size + sizeof(vec *));
    if (total > SIZE_MAX) return 0;
    b->memory = calloc((size_t)total, 1);
    if (!b->memory) return 0;
    char *free_column = (char *)(((uintptr_t)b->memory + 63) & ~(uintptr_t)63);
    b->column = (vec **)(void *)(free_column + n_columns * size);
    for (uint64_t i = 0; i < n_columns; i++, free_column += size)
        b->column[i] = (vec *)(void *)free_column + ROWS_ABOVE;
    for (uint64_t i = 0; i < CHANNELS; i++) {
        b->next[i] = b->column[on_board + 2 * i];
        b->spare[i] = b->column[on_board + 2 * i + 1];
    }
    b->kept = b->column + on_board + 2 * CHANNELS;
    return 1;
}

static void board_free(board *b) { free(b->memory); }

static uint64_t *word_of(const board *b, long channel, long y, long x) {
    uint64_t *column = (uint64_t *)columns_of(b, channel)[x % b->columns];
    return column + y % b->rows * LANES + y / b->rows;
}

static int board_get(const board *b, long channel, long row, long column) {
    const long y = TRANSPOSED ? column : row, x = TRANSPOSED ? row : column;
    return (int)(*word_of(b, channel, y, x) >> (x / b->columns) & 1);
}

static void board_set(board *b, long channel, long row, long column, int alive) {
    const long y = TRANSPOSED ? column : row, x = TRANSPOSED ? row : column;
    const uint64_t bit = (uint64_t)1 << (x / b->columns);
    uint64_t *word = word_of(b, channel, y, x);
    *word = alive ? *word | bit : *word & ~bit;
}

/* Close all columns, after cells were set. */
static void board_close(board *b) {
    for (long channel = 0; channel < CHANNELS; channel++)
        for (long x = 0; x < b->columns; x++) close_column(b, columns_of(b, channel)[x]);
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

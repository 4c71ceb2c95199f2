/* What is called from outside. */

long stepper_lanes(void);
int stepper_runs(void);
board *stepper_make(long height, long width);
void stepper_free(board *b);
void stepper_copy(board *b, uint64_t *words, int out);
void stepper_step(board *b, long steps);

/* Words of a vector. */
long stepper_lanes(void) { return LANES; }

int stepper_runs(void) { return width_runs(); }

/* Make a dead board, or NULL without memory. */
board *stepper_make(long height, long width) {
    board *b = malloc(sizeof *b);
    if (b && !board_make(b, height, width)) {
        free(b);
        return NULL;
    }
    return b;
}

void stepper_free(board *b) {
    board_free(b);
    free(b);
}

/* Copy the cells in or out: words (channels, columns, rows, LANES), without the edges. */
void stepper_copy(board *b, uint64_t *words, int out) {
    const size_t size = (size_t)b->rows * sizeof(vec);
    for (long channel = 0; channel < CHANNELS; channel++)
        for (long x = 0; x < b->columns; x++, words += b->rows * LANES) {
            vec *column = columns_of(b, channel)[x];
            if (out) memcpy(words, column, size);
            else memcpy(column, words, size);
        }
    if (!out) board_close(b);
}

void stepper_step(board *b, long steps) {
    for (long i = 0; i < steps; i++) board_step(b);
}

/* A torus of words stepped the usual way: for each word nine words, shifted so that each bit lies
 * over its neighbour, then the rule on them. The rule stands before this text. */

void usual_run(uint64_t *board, uint64_t *next, long height, long words, long steps);

static void usual_step(const uint64_t *board, uint64_t *next, long height, long words) {
    for (long y = 0; y < height; y++) {
        const uint64_t *rows[3] = {board + (y + height - 1) % height * words, board + y * words,
                                   board + (y + 1) % height * words};
        for (long x = 0; x < words; x++) {
            const long left = x ? x - 1 : words - 1, right = x + 1 < words ? x + 1 : 0;
            uint64_t around[9];
            for (int i = 0; i < 3; i++) {
                const uint64_t *row = rows[i], word = row[x];
                around[3 * i] = word << 1 | row[left] >> 63;
                around[3 * i + 1] = word;
                around[3 * i + 2] = word >> 1 | row[right] << 63;
            }
            next[y * words + x] = rule(around);
        }
    }
}

/* Step an even number of times. */
void usual_run(uint64_t *board, uint64_t *next, long height, long words, long steps) {
    for (long i = 0; i < steps; i += 2) {
        usual_step(board, next, height, words);
        usual_step(next, board, height, words);
    }
}

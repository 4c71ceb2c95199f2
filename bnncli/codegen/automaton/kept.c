/* The row that a gate keeps for row y of the board, one of as many as are read. */
static vec *kept_row(const board *b, long first, long count, long y) {
    return (vec *)(b->kept + (first + (y + 4) % count) * row_words(b) + LANES);
}


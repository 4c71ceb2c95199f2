/* The column that a gate keeps for column x of the board, one of as many as are read. */
static vec *kept_column(const board *b, long first, long count, long x) {
    return b->kept[first + (x + 4) % count];
}


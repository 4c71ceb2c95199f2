/* Columns of all rows laid side by side, so that rows that are read in many places stay near. */
#include "logic.h"

/* Narrow tiles spend more on addresses and on sums over lanes than they save in cache. */
size_t bnn_tile_width(size_t inputs, size_t batch) {
    if (batch <= 16) return 16;
    return batch <= 32 || inputs * BNN_WIDEST_TILE > BNN_TILE_FLOATS ? 32 : BNN_WIDEST_TILE;
}

BNN_INLINE void copy_rows(const float *x, size_t rows, size_t batch, float *tile, size_t width,
                          const size_t columns) {
    for (size_t i = 0; i < rows; i++) {
        const float *ahead = x + bnn_min(i + BNN_ROWS_AHEAD, rows - 1) * batch;
        for (size_t j = 0; j < columns; j += 16) BNN_PREFETCH(ahead + j);
        memcpy(tile + i * width, x + i * batch, columns * sizeof *tile);
        memset(tile + i * width + columns, 0, (width - columns) * sizeof *tile);
    }
}

void bnn_tile_load(const float *x, size_t rows, size_t batch, bnn_columns at) {
    x += at.first;
    if (at.columns == at.width && at.width == 64)
        copy_rows(x, rows, batch, at.tile, 64, 64);
    else if (at.columns == at.width && at.width == 32)
        copy_rows(x, rows, batch, at.tile, 32, 32);
    else
        copy_rows(x, rows, batch, at.tile, at.width, at.columns);
}

BNN_INLINE void copy_back(float *x, size_t rows, size_t batch, const float *tile, size_t width,
                          const size_t columns) {
    for (size_t i = 0; i < rows; i++) {
        const float *ahead = x + bnn_min(i + BNN_ROWS_AHEAD, rows - 1) * batch;
        for (size_t j = 0; j < columns; j += 16) BNN_PREFETCH(ahead + j);
        memcpy(x + i * batch, tile + i * width, columns * sizeof *tile);
    }
}

void bnn_tile_store(float *x, size_t rows, size_t batch, bnn_columns at) {
    x += at.first;
    if (at.columns == at.width && at.width == 64)
        copy_back(x, rows, batch, at.tile, 64, 64);
    else if (at.columns == at.width && at.width == 32)
        copy_back(x, rows, batch, at.tile, 32, 32);
    else
        copy_back(x, rows, batch, at.tile, at.width, at.columns);
}

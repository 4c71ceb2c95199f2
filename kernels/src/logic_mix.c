/* Weighted sums of a few rows each: the wiring of a gate layer while it is learned.
 *
 * Every row of x is read in many places, so the columns of all rows that are worked on at a time
 * are first laid side by side in a tile that stays in the second-level cache. Sums over
 * candidates and scattered gradients take one tile each; the gradients of the weights take the
 * tiles in order and split the rows, so no result depends on the number of threads.
 */
#include "logic.h"
#include "logic_vector.h"
#include "pool.h"

/* -- plain C -------------------------------------------------------------------------------- */

void bnn_mix_forward_ref(const bnn_mix_job *job, bnn_columns at) {
    for (size_t r = 0; r < job->rows; r++)
        for (size_t j = 0; j < at.columns; j++) {
            float sum = 0.0f;
            for (size_t i = r * job->k; i < (r + 1) * job->k; i++)
                sum += job->weights[i] * at.tile[(size_t)job->candidates[i] * at.width + j];
            job->y[r * job->batch + at.first + j] = sum;
        }
}

void bnn_mix_weights_ref(const bnn_mix_job *job, bnn_columns at, size_t row, size_t row_end) {
    for (size_t r = row; r < row_end; r++)
        for (size_t i = r * job->k; i < (r + 1) * job->k; i++) {
            const float *x = at.tile + (size_t)job->candidates[i] * at.width;
            float sum = 0.0f;
            for (size_t j = 0; j < at.columns; j++)
                sum += job->grad[r * job->batch + at.first + j] * x[j];
            job->dweights[i] = at.first ? job->dweights[i] + sum : sum;
        }
}

void bnn_mix_inputs_ref(const bnn_mix_job *job, bnn_columns at) {
    for (size_t r = 0; r < job->rows; r++)
        for (size_t i = r * job->k; i < (r + 1) * job->k; i++) {
            float *x = at.tile + (size_t)job->candidates[i] * at.width;
            for (size_t j = 0; j < at.columns; j++)
                x[j] += job->weights[i] * job->grad[r * job->batch + at.first + j];
        }
}

/* -- each instruction set ------------------------------------------------------------------- */

#define BODY "logic_mix_body.h"
#include "logic_each_isa.h"

/* -- the whole batch ------------------------------------------------------------------------ */

#define ROW_CHUNK 256      /* rows that a thread takes at a time; fixed, though sums ignore it */

typedef struct {
    const bnn_logic_isa *isa;
    const bnn_mix_job *job;
    size_t width;
    float *tiles; /* one for each thread */
    float *dx;
    bnn_columns at; /* the tile whose rows are shared out */
} mix_work;

static size_t threads_for(const bnn_mix_job *job, size_t threads, size_t blocks) {
    return job->rows * job->k * job->batch < BNN_MIX_ALONE_BELOW ? 1 : bnn_min(threads, blocks);
}

static bnn_columns tile_at(const mix_work *work, size_t block, size_t slot) {
    float *tile = work->tiles + slot * work->job->inputs * work->width;
    return bnn_columns_of(block, work->width, work->job->batch, tile);
}

static void forward_tile(void *context, size_t block, size_t slot) {
    const mix_work *work = context;
    bnn_columns at = tile_at(work, block, slot);
    bnn_tile_load(work->job->x, work->job->inputs, work->job->batch, at);
    work->isa->mix_forward(work->job, at);
}

static void inputs_tile(void *context, size_t block, size_t slot) {
    const mix_work *work = context;
    bnn_columns at = tile_at(work, block, slot);
    memset(at.tile, 0, work->job->inputs * at.width * sizeof *at.tile);
    work->isa->mix_inputs(work->job, at);
    bnn_tile_store(work->dx, work->job->inputs, work->job->batch, at);
}

static void weights_chunk(void *context, size_t block, size_t slot) {
    const mix_work *work = context;
    (void)slot;
    size_t row = block * ROW_CHUNK;
    work->isa->mix_weights(work->job, work->at, row, bnn_min(row + ROW_CHUNK, work->job->rows));
}

int bnn_mix_forward(const bnn_isa *isa, const float *x, size_t inputs, size_t batch,
                    const int32_t *candidates, const float *weights, size_t rows, size_t k,
                    float *y, size_t threads) {
    bnn_mix_job job = {x, inputs, rows, k, batch, candidates, weights, y, NULL, NULL};
    mix_work work = {.isa = isa->logic, .job = &job, .width = bnn_tile_width(inputs, batch)};
    size_t blocks = bnn_blocks_for(batch, work.width);
    threads = threads_for(&job, threads, blocks);
    work.tiles = bnn_allocate_floats(threads, inputs, work.width);
    if (!work.tiles) return -1;
    bnn_pool_run(forward_tile, &work, blocks, threads);
    bnn_free_floats(work.tiles);
    return 0;
}

int bnn_mix_backward(const bnn_isa *isa, const float *x, size_t inputs, size_t batch,
                     const int32_t *candidates, const float *weights, size_t rows, size_t k,
                     const float *grad, float *dx, float *dweights, size_t threads) {
    bnn_mix_job job = {x, inputs, rows, k, batch, candidates, weights, NULL, grad, dweights};
    mix_work work = {.isa = isa->logic, .job = &job, .width = bnn_tile_width(inputs, batch), .dx = dx};
    size_t blocks = bnn_blocks_for(batch, work.width);
    size_t chunks = bnn_blocks_for(rows, ROW_CHUNK);
    size_t tile_threads = threads_for(&job, threads, blocks);
    size_t row_threads = threads_for(&job, threads, chunks);
    work.tiles = bnn_allocate_floats(tile_threads, inputs, work.width);
    if (!work.tiles) return -1;
    for (size_t block = 0; block < blocks; block++) {
        work.at = tile_at(&work, block, 0);
        bnn_tile_load(x, inputs, batch, work.at);
        bnn_pool_run(weights_chunk, &work, chunks, row_threads);
    }
    if (dx) bnn_pool_run(inputs_tile, &work, blocks, tile_threads);
    bnn_free_floats(work.tiles);
    return 0;
}

/* Layers of gates whose two inputs are mixes, as while the wiring is learned: the mixes exist only
 * in registers.
 *
 * Every row of x is read in many places, so the columns of all rows that are worked on at a time
 * are first laid side by side in a tile that stays in the second-level cache. Threads take one
 * tile each. Gradients of weights and coefficients are
 * sums over tiles: with several threads each tile of a round gets memory of its own, which is
 * added up in the order of the tiles, as one thread does it directly.
 */
#include "logic.h"
#include "logic_exp.h"
#include "logic_vector.h"
#include "pool.h"

/* -- any instruction set: the compiler makes vectors of these -------------------------------- */

#define CHOICE_PIECE 64 /* weights of a row at a time */

/* The row's weights times their common sum, which is added to *total. */
BNN_INLINE void choice_weights(const float *logits, float top, float sharpness, size_t n,
                               float *weights, float *total) {
    for (size_t i = 0; i < n; i++) weights[i] = exp_near(sharpness * (logits[i] - top));
    for (size_t i = 0; i < n; i++) *total += weights[i];
}

BNN_INLINE void choice_rows(const bnn_choice_job *job) {
    const size_t k = job->k;
    float weights[CHOICE_PIECE];
    for (size_t r = 0; r < job->rows; r++) {
        const float *logits = job->logits + r * k;
        float *grad = job->grad + r * k, top = logits[0], total = 0.0f, mean = 0.0f;
        for (size_t i = 1; i < k; i++) top = logits[i] > top ? logits[i] : top;
        for (size_t first = 0; first < k; first += CHOICE_PIECE) {
            const size_t n = bnn_min(k - first, CHOICE_PIECE);
            choice_weights(logits + first, top, job->sharpness, n, weights, &total);
            for (size_t i = 0; i < n; i++) mean += weights[i] * grad[first + i];
        }
        mean /= total;
        const float scale = job->sharpness / total;
        for (size_t first = 0; first < k; first += CHOICE_PIECE) {
            const size_t n = bnn_min(k - first, CHOICE_PIECE);
            float again = 0.0f;
            if (k > CHOICE_PIECE)
                choice_weights(logits + first, top, job->sharpness, n, weights, &again);
            for (size_t i = 0; i < n; i++)
                grad[first + i] = scale * weights[i] * (grad[first + i] - mean);
        }
    }
}

/* -- plain C -------------------------------------------------------------------------------- */

BNN_INLINE float mix_at(const bnn_mixed_job *job, bnn_columns at, size_t row, size_t column) {
    float sum = 0.0f;
    if (job->wires) return at.tile[(size_t)job->wires[row] * at.width + column];
    for (size_t i = row * job->k; i < (row + 1) * job->k; i++)
        sum += job->weights[i] * at.tile[(size_t)job->candidates[i] * at.width + column];
    return sum;
}

void bnn_mixed_forward_ref(const bnn_mixed_job *job, bnn_columns at) {
    for (size_t g = 0; g < job->outputs; g++)
        for (size_t j = 0; j < at.columns; j++) {
            const float *c = job->coefficients + 4 * g;
            float a = mix_at(job, at, g, j), b = mix_at(job, at, job->outputs + g, j);
            job->y[g * job->batch + at.first + j] = (c[0] + c[1] * a) + b * (c[2] + c[3] * a);
        }
}

static void scatter_ref(const bnn_mixed_job *job, float *tile, size_t width, size_t row,
                        const float *grad) {
    const size_t k = job->wires ? 1 : job->k;
    for (size_t i = row * k; i < (row + 1) * k; i++) {
        float *x = tile + (size_t)(job->wires ? job->wires : job->candidates)[i] * width;
        const float weight = job->wires ? 1.0f : job->weights[i];
        for (size_t j = 0; j < width; j++) x[j] += weight * grad[j];
    }
}

void bnn_mixed_backward_ref(const bnn_mixed_job *job, bnn_columns at, float *dx, float *dmixed) {
    const size_t k = job->k;
    for (size_t g = 0; g < job->outputs; g++) {
        const float *c = job->coefficients + 4 * g;
        float sums[4] = {0}, to[2][BNN_WIDEST_TILE] = {{0}};
        for (size_t j = 0; j < at.columns; j++) {
            float a = mix_at(job, at, g, j), b = mix_at(job, at, job->outputs + g, j);
            float grad = job->grad[g * job->batch + at.first + j];
            sums[0] += grad;
            sums[1] += grad * a;
            sums[2] += grad * b;
            sums[3] += grad * a * b;
            to[0][j] = grad * (c[1] + c[3] * b);
            to[1][j] = grad * (c[2] + c[3] * a);
        }
        for (size_t i = 0; i < 4; i++) {
            float *cell = job->dcoefficients + 4 * g + i;
            *cell = job->add ? *cell + sums[i] : sums[i];
        }
        for (size_t i = 0; i < 2 * k; i++) {
            size_t at_weight = (i / k * job->outputs + g) * k + i % k;
            size_t row = (size_t)job->candidates[at_weight] * at.width;
            float sum = 0.0f;
            for (size_t j = 0; j < at.columns; j++) sum += to[i / k][j] * at.tile[row + j];
            float *cell = job->dweights + at_weight;
            *cell = job->add ? *cell + sum : sum;
        }
        for (size_t i = 0; dx && i < 2; i++) scatter_ref(job, dx, at.width, i * job->outputs + g, to[i]);
        for (size_t i = 0; dmixed && i < 2; i++)
            memcpy(dmixed + (i * job->outputs + g) * at.width, to[i], at.width * sizeof **to);
    }
}

void bnn_mixed_scatter_ref(const bnn_mixed_job *job, bnn_columns at, const float *dmixed) {
    for (size_t row = 0; row < 2 * job->outputs; row++)
        scatter_ref(job, at.tile, at.width, row, dmixed + row * at.width);
}

void bnn_choice_backward_ref(const bnn_choice_job *job) { choice_rows(job); }

/* -- each instruction set ------------------------------------------------------------------- */

#define BODY "logic_mixed_body.h"
#include "logic_each_isa.h"

/* -- the whole batch ------------------------------------------------------------------------ */

#define ALONE_BELOW 524288 /* products that are not worth waking a thread */

typedef struct {
    const bnn_logic_isa *isa;
    const bnn_mixed_job *job;
    size_t width, first_block; /* of the round */
    float *tiles;              /* one for each thread, and behind it for the gradients of x: */
    size_t more;               /* floats of another tile, or of the mixes when */
    int apart;                 /* x and dx take turns */
    float *dx;
    float *partial; /* gradients of every tile of a round but its first one */
} mixed_work;

static size_t gradients(const bnn_mixed_job *job) { return job->outputs * (2 * job->k + 4); }

static void forward_tile(void *context, size_t block, size_t slot) {
    const mixed_work *work = context;
    const bnn_mixed_job *job = work->job;
    float *tile = work->tiles + slot * job->inputs * work->width;
    bnn_columns at = bnn_columns_of(block, work->width, job->batch, tile);
    bnn_tile_load(job->x, job->inputs, job->batch, at);
    work->isa->mixed_forward(job, at);
}

/* Where the tiles of x and dx do not both stay near, dx waits until x is done with. */
static void backward_tile(void *context, size_t index, size_t slot) {
    const mixed_work *work = context;
    bnn_mixed_job job = *work->job;
    const size_t floats = job.inputs * work->width;
    float *tile = work->tiles + slot * (floats + work->more), *more = tile + floats;
    bnn_columns at = bnn_columns_of(work->first_block + index, work->width, job.batch, tile);
    if (index) {
        job.dweights = work->partial + (index - 1) * gradients(&job);
        job.dcoefficients = job.dweights + 2 * job.outputs * job.k;
    }
    job.add = index == 0 && work->first_block != 0;
    bnn_tile_load(job.x, job.inputs, job.batch, at);
    if (!work->dx) {
        work->isa->mixed_backward(&job, at, NULL, NULL);
        return;
    }
    if (work->apart) {
        work->isa->mixed_backward(&job, at, NULL, more);
        memset(tile, 0, floats * sizeof *tile);
        work->isa->mixed_scatter(&job, at, more);
    } else {
        memset(more, 0, floats * sizeof *more);
        work->isa->mixed_backward(&job, at, more, NULL);
        at.tile = more;
    }
    bnn_tile_store(work->dx, job.inputs, job.batch, at);
}

static void add_up(const mixed_work *work, size_t tiles) {
    const bnn_mixed_job *job = work->job;
    const size_t weights = 2 * job->outputs * job->k, coefficients = 4 * job->outputs;
    for (size_t index = 1; index < tiles; index++) {
        const float *more = work->partial + (index - 1) * gradients(job);
        for (size_t i = 0; i < weights; i++) job->dweights[i] += more[i];
        for (size_t i = 0; i < coefficients; i++) job->dcoefficients[i] += more[weights + i];
    }
}

static size_t threads_for(const bnn_mixed_job *job, size_t threads, size_t blocks) {
    return 2 * job->outputs * job->k * job->batch < ALONE_BELOW ? 1 : bnn_min(threads, blocks);
}

int bnn_mixed_forward(const bnn_isa *isa, const float *x, size_t inputs, size_t batch,
                      const int32_t *candidates, const float *weights, const float *coefficients,
                      size_t outputs, size_t k, float *y, size_t threads) {
    bnn_mixed_job job = {.x = x, .inputs = inputs, .outputs = outputs, .k = k, .batch = batch,
                         .candidates = candidates, .weights = weights,
                         .coefficients = coefficients, .y = y};
    mixed_work work = {.isa = isa->logic, .job = &job, .width = bnn_tile_width(inputs, batch)};
    size_t blocks = bnn_blocks_for(batch, work.width);
    threads = threads_for(&job, threads, blocks);
    work.tiles = bnn_allocate_floats(threads, inputs, work.width);
    if (!work.tiles) return -1;
    bnn_pool_run(forward_tile, &work, blocks, threads);
    bnn_free_floats(work.tiles);
    return 0;
}

static int backward(const bnn_isa *isa, const bnn_mixed_job *job, float *dx, size_t threads) {
    const size_t inputs = job->inputs;
    mixed_work work = {.isa = isa->logic, .job = job,
                       .width = bnn_tile_width(inputs, job->batch), .dx = dx};
    size_t blocks = bnn_blocks_for(job->batch, work.width);
    threads = threads_for(job, threads, blocks);
    work.apart = 2 * inputs * work.width > BNN_TILE_FLOATS;
    if (dx) work.more = (work.apart ? 2 * job->outputs : inputs) * work.width;
    work.tiles = bnn_allocate_floats(threads, 1, inputs * work.width + work.more);
    work.partial = bnn_allocate_floats(threads - 1, 1, gradients(job));
    int status = work.tiles && work.partial ? 0 : -1;
    for (size_t first = 0; status == 0 && first < blocks; first += threads) {
        size_t tiles = bnn_min(threads, blocks - first);
        work.first_block = first;
        bnn_pool_run(backward_tile, &work, tiles, threads);
        add_up(&work, tiles);
    }
    bnn_free_floats(work.partial);
    bnn_free_floats(work.tiles);
    return status;
}

int bnn_mixed_backward(const bnn_isa *isa, const float *x, size_t inputs, size_t batch,
                       const int32_t *candidates, const float *weights,
                       const float *coefficients, size_t outputs, size_t k, const float *grad,
                       float *dx, float *dweights, float *dcoefficients, size_t threads) {
    bnn_mixed_job job = {.x = x, .inputs = inputs, .outputs = outputs, .k = k, .batch = batch,
                         .candidates = candidates, .weights = weights,
                         .coefficients = coefficients, .grad = grad, .dweights = dweights,
                         .dcoefficients = dcoefficients};
    return backward(isa, &job, dx, threads);
}

/* -- inputs chosen among candidates --------------------------------------------------------- */

void bnn_wires_choose(const int32_t *candidates, const float *logits, size_t rows, size_t k,
                      int32_t *wires) {
    for (size_t r = 0; r < rows; r++) {
        const float *row = logits + r * k;
        size_t best = 0;
        for (size_t i = 1; i < k; i++) best = row[i] > row[best] ? i : best;
        wires[r] = candidates[r * k + best];
    }
}

#define CHOICE_ROWS 512 /* of a block, which one thread takes */

typedef struct {
    const bnn_logic_isa *isa;
    bnn_choice_job all;
} choice_work;

static void choice_block(void *context, size_t block, size_t slot) {
    const choice_work *work = context;
    bnn_choice_job job = work->all;
    size_t first = block * CHOICE_ROWS;
    (void)slot;
    job.rows = bnn_min(job.rows - first, CHOICE_ROWS);
    job.logits += first * job.k;
    job.grad += first * job.k;
    work->isa->choice_backward(&job);
}

int bnn_chosen_backward(const bnn_isa *isa, const float *x, size_t inputs, size_t batch,
                        const int32_t *candidates, const float *logits, const int32_t *wires,
                        const float *coefficients, size_t outputs, size_t k, float sharpness,
                        const float *grad, float *dx, float *dlogits, float *dcoefficients,
                        size_t threads) {
    bnn_mixed_job job = {.x = x, .inputs = inputs, .outputs = outputs, .k = k, .batch = batch,
                         .candidates = candidates, .wires = wires, .coefficients = coefficients,
                         .grad = grad, .dweights = dlogits, .dcoefficients = dcoefficients};
    choice_work work = {isa->logic, {.logits = logits, .grad = dlogits, .rows = 2 * outputs,
                                     .k = k, .sharpness = sharpness}};
    if (backward(isa, &job, dx, threads) != 0) return -1;
    size_t blocks = bnn_blocks_for(2 * outputs, CHOICE_ROWS);
    bnn_pool_run(choice_block, &work, blocks, bnn_min(threads, blocks));
    return 0;
}

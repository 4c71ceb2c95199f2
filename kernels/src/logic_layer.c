/* Layers of relaxed two-input gates, forward and backward.
 *
 * The batch is cut into blocks of columns: the scatter of the input gradients then never meets
 * another thread, and the blocks do not depend on the number of threads, so neither do the sums.
 */
#include "logic.h"
#include "logic_vector.h"
#include "pool.h"

/* -- plain C -------------------------------------------------------------------------------- */

void bnn_gates_forward_ref(const bnn_gates_job *job, bnn_columns at) {
    for (size_t g = 0; g < job->outputs; g++) {
        const float *c = job->coefficients + 4 * g;
        for (size_t j = at.first; j < at.first + at.columns; j++) {
            float a = job->x[(size_t)job->a[g] * job->batch + j];
            float b = job->x[(size_t)job->b[g] * job->batch + j];
            job->y[g * job->batch + j] = (c[0] + c[1] * a) + b * (c[2] + c[3] * a);
        }
    }
}

void bnn_gates_backward_ref(const bnn_gates_job *job, bnn_columns at, float *dc) {
    for (size_t i = 0; job->dx && i < job->inputs; i++)
        memset(job->dx + i * job->batch + at.first, 0, at.columns * sizeof *job->dx);
    for (size_t g = 0; g < job->outputs; g++) {
        const float *c = job->coefficients + 4 * g;
        const size_t row_a = (size_t)job->a[g] * job->batch, row_b = (size_t)job->b[g] * job->batch;
        float sums[4] = {0};
        for (size_t j = at.first; j < at.first + at.columns; j++) {
            float a = job->x[row_a + j], b = job->x[row_b + j];
            float grad = job->grad[g * job->batch + j];
            sums[0] += grad;
            sums[1] += grad * a;
            sums[2] += grad * b;
            sums[3] += grad * a * b;
            if (!job->dx) continue;
            job->dx[row_a + j] += grad * (c[1] + c[3] * b);
            job->dx[row_b + j] += grad * (c[2] + c[3] * a);
        }
        memcpy(dc + 4 * g, sums, sizeof sums);
    }
}

/* -- each instruction set ------------------------------------------------------------------- */

#define BODY "logic_layer_body.h"
#include "logic_each_isa.h"

/* -- the whole batch ------------------------------------------------------------------------ */

#define ALONE_BELOW 65536 /* gates times columns that are not worth waking a thread */

typedef struct {
    const bnn_logic_isa *isa;
    const bnn_gates_job *job;
    float *dc, *more_dc; /* of the first block, and of each one after it */
} layer_work;

static bnn_columns block_at(const bnn_gates_job *job, size_t block) {
    return bnn_columns_of(block, BNN_GATE_COLUMNS, job->batch, NULL);
}

static size_t threads_for(const bnn_gates_job *job, size_t threads) {
    return job->outputs * job->batch < ALONE_BELOW ? 1 : threads;
}

static void forward_block(void *context, size_t block, size_t slot) {
    const layer_work *work = context;
    (void)slot;
    work->isa->gates_forward(work->job, block_at(work->job, block));
}

static void backward_block(void *context, size_t block, size_t slot) {
    const layer_work *work = context;
    (void)slot;
    float *dc = block ? work->more_dc + (block - 1) * 4 * work->job->outputs : work->dc;
    work->isa->gates_backward(work->job, block_at(work->job, block), dc);
}

void bnn_gates_forward(const bnn_isa *isa, const float *x, size_t inputs, size_t batch,
                       const int32_t *a, const int32_t *b, const float *coefficients,
                       size_t outputs, float *y, size_t threads) {
    bnn_gates_job job = {x, inputs, outputs, batch, a, b, coefficients, y, NULL, NULL};
    layer_work work = {isa->logic, &job, NULL, NULL};
    size_t blocks = bnn_blocks_for(batch, BNN_GATE_COLUMNS);
    bnn_pool_run(forward_block, &work, blocks, threads_for(&job, threads));
}

int bnn_gates_backward(const bnn_isa *isa, const float *x, size_t inputs, size_t batch,
                       const int32_t *a, const int32_t *b, const float *coefficients,
                       size_t outputs, const float *grad, float *dx, float *dcoefficients,
                       size_t threads) {
    bnn_gates_job job = {x, inputs, outputs, batch, a, b, coefficients, NULL, grad, dx};
    size_t blocks = bnn_blocks_for(batch, BNN_GATE_COLUMNS);
    layer_work work = {isa->logic, &job, dcoefficients, NULL};
    if (blocks > 1) {
        work.more_dc = bnn_allocate_floats(blocks - 1, 4, outputs);
        if (!work.more_dc) return -1;
    }
    bnn_pool_run(backward_block, &work, blocks, threads_for(&job, threads));
    for (size_t block = 1; block < blocks; block++) {
        const float *more = work.more_dc + (block - 1) * 4 * outputs;
        for (size_t i = 0; i < 4 * outputs; i++) dcoefficients[i] += more[i];
    }
    bnn_free_floats(work.more_dc);
    return 0;
}

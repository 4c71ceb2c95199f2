/* Trees of gates slid over images, forward and backward, with the OR of their neighbours.
 *
 * No windows are laid out: a leaf is a row of batch values at some distance from the window's first
 * pixel. The padded image of a block of columns is copied into a tile, so that windows over the
 * border need no care. Backward only the largest of the pooled windows counts, which one for each
 * column: its leaves are chosen lane by lane and the tree computed once. Threads take one block
 * each; sums over blocks are added in their order.
 */
#include "logic_tree.h"
#include "logic_select.h"
#include "pool.h"

/* -- one tree ------------------------------------------------------------------------------- */

/* Where the coefficients of gate g of a tree begin: they are in the order [level][tree][gate]. */
static size_t gate_at(const bnn_trees *trees, size_t tree, size_t g) {
    size_t level = (size_t)1 << (trees->depth - 1), before = 0;
    for (; g >= level; level /= 2) {
        g -= level;
        before += trees->outputs * level;
    }
    return 4 * (before + tree * level + g);
}

bnn_tree bnn_tree_at(const bnn_trees_job *job, size_t tree, size_t width) {
    const bnn_trees *trees = job->trees;
    const size_t area = trees->kernel * trees->kernel;
    bnn_tree found;
    found.leaves = (size_t)1 << trees->depth;
    found.gates = found.leaves - 1;
    for (size_t i = 0; i < found.leaves; i++) {
        const size_t leaf = (size_t)trees->leaves[tree * found.leaves + i];
        size_t y = leaf % area / trees->kernel, x = leaf % trees->kernel;
        size_t lines = leaf / area * (trees->height + 2 * trees->padding) + y;
        found.at[i] = (lines * job->line + x) * width;
    }
    for (size_t g = 0; g < found.gates; g++)
        memcpy(found.coefficients[g], job->coefficients + gate_at(trees, tree, g),
               sizeof found.coefficients[g]);
    return found;
}

void bnn_tree_put(const bnn_trees_job *job, size_t tree, const float *from,
                  float *dcoefficients) {
    const size_t gates = ((size_t)1 << job->trees->depth) - 1;
    for (size_t g = 0; g < gates; g++)
        memcpy(dcoefficients + gate_at(job->trees, tree, g), from + 4 * g, 4 * sizeof *from);
}

/* -- plain C -------------------------------------------------------------------------------- */

/* Nodes are the leaves and behind them the gates: gate g reads nodes 2 g and 2 g + 1. */
static float tree_value(const bnn_tree *tree, const float *window, float *nodes) {
    for (size_t i = 0; i < tree->leaves; i++) nodes[i] = window[tree->at[i]];
    for (size_t g = 0; g < tree->gates; g++) {
        const float *c = tree->coefficients[g], a = nodes[2 * g], b = nodes[2 * g + 1];
        nodes[tree->leaves + g] = (c[0] + c[1] * a) + b * (c[2] + c[3] * a);
    }
    return nodes[tree->leaves + tree->gates - 1];
}

void bnn_trees_forward_ref(const bnn_trees_job *job, bnn_columns at) {
    const size_t places = job->places_y * job->places_x, pool = job->trees->pool;
    float nodes[2 * BNN_TREE_LEAVES];
    for (size_t t = 0; t < job->trees->outputs; t++) {
        bnn_tree tree = bnn_tree_at(job, t, at.width);
        for (size_t i = 0; i < places * at.columns; i++) {
            const size_t place = i / at.columns, column = i % at.columns;
            const size_t to = (t * places + place) * job->trees->batch + at.first + column;
            size_t won = 0;
            for (size_t part = 0; part < pool * pool; part++) {
                size_t window = bnn_window_at(job, place, part, at.width);
                float value = tree_value(&tree, at.tile + window + column, nodes);
                if (part && !(value > job->y[to])) continue;
                job->y[to] = value;
                won = part;
            }
            if (job->won) job->won[to] = (uint8_t)won;
        }
    }
}

void bnn_trees_backward_ref(const bnn_trees_job *job, bnn_columns at, float *dx,
                            float *dcoefficients) {
    const size_t places = job->places_y * job->places_x;
    for (size_t t = 0; t < job->trees->outputs; t++) {
        bnn_tree tree = bnn_tree_at(job, t, at.width);
        float nodes[2 * BNN_TREE_LEAVES], grads[2 * BNN_TREE_LEAVES];
        float sums[BNN_TREE_GATES][4] = {{0}};
        for (size_t i = 0; i < places * at.columns; i++) {
            const size_t place = i / at.columns, column = i % at.columns;
            const size_t from = (t * places + place) * job->trees->batch + at.first + column;
            const size_t part = job->winners ? job->winners[from] : 0;
            const size_t window = bnn_window_at(job, place, part, at.width) + column;
            tree_value(&tree, at.tile + window, nodes);
            grads[tree.leaves + tree.gates - 1] = job->grad[from];
            for (size_t g = tree.gates; g-- > 0;) {
                const float *c = tree.coefficients[g], grad = grads[tree.leaves + g];
                const float a = nodes[2 * g], b = nodes[2 * g + 1];
                sums[g][0] += grad;
                sums[g][1] += grad * a;
                sums[g][2] += grad * b;
                sums[g][3] += grad * a * b;
                grads[2 * g] = grad * (c[1] + c[3] * b);
                grads[2 * g + 1] = grad * (c[2] + c[3] * a);
            }
            for (size_t leaf = 0; dx && leaf < tree.leaves; leaf++)
                dx[window + tree.at[leaf]] += grads[leaf];
        }
        bnn_tree_put(job, t, *sums, dcoefficients);
    }
}

/* -- each instruction set ------------------------------------------------------------------- */

#define BODY "logic_tree_body.h"
#include "logic_each_isa.h"

/* -- the whole batch ------------------------------------------------------------------------ */

#define ALONE_BELOW 131072 /* gates times columns that are not worth waking a thread */

typedef struct {
    const bnn_trees_isa *isa;
    const bnn_trees_job *job;
    size_t width, floats; /* of a tile */
    float *tiles;         /* for each thread one, or two with the gradients of x */
    float *dx;
    float *dcoefficients, *more; /* of the first block, and of each one after it */
} trees_work;

static size_t n_coefficients(const bnn_trees *trees) {
    return 4 * trees->outputs * (((size_t)1 << trees->depth) - 1);
}

static bnn_trees_job job_of(const bnn_trees *trees, const float *x, const float *coefficients) {
    const size_t lost = trees->kernel - 1, more = 2 * trees->padding;
    return (bnn_trees_job){.trees = trees,
                           .places_y = (trees->height + more - lost) / trees->pool,
                           .places_x = (trees->width + more - lost) / trees->pool,
                           .line = trees->width + more,
                           .x = x,
                           .coefficients = coefficients};
}

/* The image's own line in a tile of the padded image. */
static float *line_at(const bnn_trees_job *job, size_t line, bnn_columns at) {
    const bnn_trees *trees = job->trees;
    const size_t p = trees->padding, channel = line / trees->height;
    const size_t above = channel * (trees->height + 2 * p) + line % trees->height + p;
    return at.tile + (above * job->line + p) * at.width;
}

static void load_image(const bnn_trees_job *job, bnn_columns at, size_t floats) {
    const bnn_trees *trees = job->trees;
    if (trees->padding) memset(at.tile, 0, floats * sizeof *at.tile);
    for (size_t i = 0; i < trees->channels * trees->height; i++) {
        bnn_columns line = {at.first, at.columns, at.width, line_at(job, i, at)};
        bnn_tile_load(job->x + i * trees->width * trees->batch, trees->width, trees->batch, line);
    }
}

static void store_image(const bnn_trees_job *job, bnn_columns at, float *dx) {
    const bnn_trees *trees = job->trees;
    for (size_t i = 0; i < trees->channels * trees->height; i++) {
        bnn_columns line = {at.first, at.columns, at.width, line_at(job, i, at)};
        bnn_tile_store(dx + i * trees->width * trees->batch, trees->width, trees->batch, line);
    }
}

static void forward_block(void *context, size_t block, size_t slot) {
    const trees_work *work = context;
    float *tile = work->tiles + slot * work->floats;
    bnn_columns at = bnn_columns_of(block, work->width, work->job->trees->batch, tile);
    load_image(work->job, at, work->floats);
    work->isa->forward(work->job, at);
}

static void backward_block(void *context, size_t block, size_t slot) {
    const trees_work *work = context;
    const bnn_trees *trees = work->job->trees;
    float *tile = work->tiles + slot * (work->dx ? 2 : 1) * work->floats;
    float *dx = work->dx ? tile + work->floats : NULL;
    float *sums = block ? work->more + (block - 1) * n_coefficients(trees) : work->dcoefficients;
    bnn_columns at = bnn_columns_of(block, work->width, trees->batch, tile);
    load_image(work->job, at, work->floats);
    if (dx) memset(dx, 0, work->floats * sizeof *dx);
    work->isa->backward(work->job, at, dx, sums);
    if (!dx) return;
    at.tile = dx;
    store_image(work->job, at, work->dx);
}

static size_t threads_for(const bnn_trees_job *job, size_t threads, size_t blocks) {
    const size_t windows = job->places_y * job->places_x * job->trees->pool * job->trees->pool;
    const size_t gates = n_coefficients(job->trees) / 4;
    return gates * windows * job->trees->batch < ALONE_BELOW ? 1 : bnn_min(threads, blocks);
}

static trees_work work_of(const bnn_isa *isa, const bnn_trees_job *job) {
    const bnn_trees *trees = job->trees;
    size_t pixels = trees->channels * (trees->height + 2 * trees->padding) * job->line;
    size_t width = bnn_tile_width(pixels, trees->batch);
    return (trees_work){.isa = isa->trees, .job = job, .width = width, .floats = pixels * width};
}

int bnn_trees_forward(const bnn_isa *isa, const bnn_trees *trees, const float *x,
                      const float *coefficients, float *y, uint8_t *winners, size_t threads) {
    bnn_trees_job job = job_of(trees, x, coefficients);
    trees_work work = work_of(isa, &job);
    size_t blocks = bnn_blocks_for(trees->batch, work.width);
    job.y = y;
    job.won = winners;
    threads = threads_for(&job, threads, blocks);
    work.tiles = bnn_allocate_floats(threads, 1, work.floats);
    if (!work.tiles) return -1;
    bnn_pool_run(forward_block, &work, blocks, threads);
    bnn_free_floats(work.tiles);
    return 0;
}

int bnn_trees_backward(const bnn_isa *isa, const bnn_trees *trees, const float *x,
                       const float *coefficients, const uint8_t *winners, const float *grad,
                       float *dx, float *dcoefficients, size_t threads) {
    bnn_trees_job job = job_of(trees, x, coefficients);
    trees_work work = work_of(isa, &job);
    const size_t blocks = bnn_blocks_for(trees->batch, work.width);
    const size_t count = n_coefficients(trees);
    job.winners = winners;
    job.grad = grad;
    work.dx = dx;
    work.dcoefficients = dcoefficients;
    threads = threads_for(&job, threads, blocks);
    work.tiles = bnn_allocate_floats(threads, dx ? 2 : 1, work.floats);
    work.more = bnn_allocate_floats(blocks - 1, 1, count);
    int status = work.tiles && work.more ? 0 : -1;
    if (status == 0) bnn_pool_run(backward_block, &work, blocks, threads);
    for (size_t block = 1; status == 0 && block < blocks; block++)
        for (size_t i = 0; i < count; i++) dcoefficients[i] += work.more[(block - 1) * count + i];
    bnn_free_floats(work.more);
    bnn_free_floats(work.tiles);
    return status;
}

/* Random trees of gates slid over images through every instruction set of this machine and 1 to 3
 * threads, in buffers of exactly the right size, against plain C on one. Gates and pixels are bits
 * and gradients small whole numbers, so that every sum is exact in any order, and neighbours tie.
 * Usage: fuzz_trees CASES SEED. */
#include "fuzzing.h"

#define MOST_THREADS 3

typedef struct {
    bnn_trees trees;
    size_t pixels, values, gates;
    float *x, *coefficients, *grad;
} layer;

static layer random_layer(void) {
    layer l = {.trees = {.channels = between(1, 3), .outputs = between(1, 3),
                         .depth = between(1, BNN_TREE_DEPTH), .kernel = between(1, 3),
                         .padding = between(0, 2), .batch = between(1, 70),
                         .pool = between(1, 3)}};
    bnn_trees *t = &l.trees;
    if (between(0, 4) == 0) /* for several threads */
        t->outputs = 9, t->depth = 4, t->pool = 2, t->batch = between(130, 150);
    else if (between(0, 9) == 0)
        t->pool = BNN_TREE_POOL, t->depth = 1, t->batch = between(1, 4);
    size_t lines = between(1, 2), columns = between(1, 2);
    const size_t lost = t->kernel - 1;
    while (lines * t->pool + lost <= 2 * t->padding || columns * t->pool + lost <= 2 * t->padding)
        t->padding--;
    t->height = lines * t->pool + lost - 2 * t->padding;
    t->width = columns * t->pool + lost - 2 * t->padding;
    l.pixels = t->channels * t->height * t->width * t->batch;
    l.values = t->outputs * lines * columns * t->batch;
    l.gates = t->outputs * (((size_t)1 << t->depth) - 1);
    const size_t places = t->channels * t->kernel * t->kernel, count = t->outputs << t->depth;
    int32_t *leaves = allocate(count * sizeof *leaves);
    for (size_t i = 0; i < count; i++) leaves[i] = (int32_t)between(0, places - 1);
    t->leaves = leaves;
    l.x = allocate(l.pixels * sizeof *l.x);
    l.grad = allocate(l.values * sizeof *l.grad);
    l.coefficients = allocate(4 * l.gates * sizeof *l.coefficients);
    for (size_t i = 0; i < l.pixels; i++) l.x[i] = (float)between(0, 1);
    for (size_t i = 0; i < l.values; i++) l.grad[i] = (float)((int)between(0, 4) - 2);
    for (size_t g = 0; g < l.gates; g++) {
        float f[4], *c = l.coefficients + 4 * g;
        for (int i = 0; i < 4; i++) f[i] = (float)between(0, 1);
        c[0] = f[0], c[1] = f[1] - f[0], c[2] = f[2] - f[0], c[3] = f[3] - f[2] - f[1] + f[0];
    }
    return l;
}

typedef struct {
    float *y, *dx, *dcoefficients;
    uint8_t *winners;
} results;

static results run(const bnn_isa *isa, const layer *l, int with_dx, size_t threads) {
    results r = {allocate(l->values * sizeof(float)),
                 with_dx ? allocate(l->pixels * sizeof(float)) : NULL,
                 allocate(4 * l->gates * sizeof(float)),
                 l->trees.pool > 1 ? allocate(l->values) : NULL};
    for (size_t i = 0; with_dx && i < l->pixels; i++) r.dx[i] = 1e9f; /* what is not written shows */
    for (size_t i = 0; i < 4 * l->gates; i++) r.dcoefficients[i] = 1e9f;
    if (bnn_trees_forward(isa, &l->trees, l->x, l->coefficients, r.y, r.winners, threads)) exit(3);
    if (bnn_trees_backward(isa, &l->trees, l->x, l->coefficients, r.winners, l->grad, r.dx,
                           r.dcoefficients, threads))
        exit(3);
    return r;
}

static void results_free(results *r) {
    free(r->y), free(r->dx), free(r->dcoefficients), free(r->winners);
}

static void compare(const char *what, const char *isa, const float *got, const float *wanted,
                    size_t count) {
    for (size_t i = 0; i < count; i++)
        if (got[i] != wanted[i]) fail(what, isa, i);
}

static void check(long number) {
    layer l = random_layer();
    const int with_dx = (int)between(0, 1);
    results wanted = run(bnn_isa_find("ref"), &l, with_dx, 1);
    (void)number;
    for (size_t j = 0; j < N_ISAS; j++) {
        const bnn_isa *isa = bnn_isa_find(isa_names[j]);
        for (size_t threads = 1; isa && threads <= MOST_THREADS; threads++) {
            results got = run(isa, &l, with_dx, threads);
            compare("tree", isa->name, got.y, wanted.y, l.values);
            compare("gradient of coefficients", isa->name, got.dcoefficients,
                    wanted.dcoefficients, 4 * l.gates);
            if (with_dx) compare("gradient of x", isa->name, got.dx, wanted.dx, l.pixels);
            if (got.winners && memcmp(got.winners, wanted.winners, l.values))
                fail("winners", isa->name, 0);
            results_free(&got);
        }
    }
    results_free(&wanted);
    free((void *)l.trees.leaves), free(l.x), free(l.grad), free(l.coefficients);
}

int main(int argc, char **argv) { return fuzz(argc, argv, check); }

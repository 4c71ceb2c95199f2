/* Random layers of relaxed gates through every instruction set of this machine and 1 to 3 threads,
 * in buffers of exactly the right size, against plain C on one. Operands are small whole numbers,
 * so that every sum is exact in any order. Usage: fuzz_logic_layers CASES SEED. */
#include "fuzzing.h"

#define MOST_THREADS 3
#define N_PASSES 5
#define N_RESULTS 3

static float *random_floats(size_t count) {
    float *out = allocate(count * sizeof *out);
    for (size_t i = 0; i < count; i++) out[i] = (float)((int)between(0, 4) - 2);
    return out;
}

static int32_t *random_rows(size_t count, size_t rows) {
    int32_t *out = allocate(count * sizeof *out);
    for (size_t i = 0; i < count; i++) out[i] = (int32_t)between(0, rows - 1);
    return out;
}

/* -- one random layer ------------------------------------------------------------------------ */

typedef struct {
    size_t inputs, outputs, k, batch;
    int32_t *a, *b, *candidates; /* [outputs], [outputs], [2][outputs][k] */
    float *x, *weights, *coefficients, *grad;
} layer;

static layer random_layer(void) {
    layer l;
    int is_shared = between(0, 3) == 0; /* large enough for several threads */
    l.inputs = between(0, 9) ? between(1, 60) : between(1, 2) * 4500;
    l.outputs = is_shared ? between(500, 700) : between(1, 40);
    l.k = is_shared ? between(5, 7) : between(1, 20);
    l.batch = is_shared ? between(140, 220) : between(1, 140);
    l.a = random_rows(l.outputs, l.inputs);
    l.b = random_rows(l.outputs, l.inputs);
    l.candidates = random_rows(2 * l.outputs * l.k, l.inputs);
    l.x = random_floats(l.inputs * l.batch);
    l.weights = random_floats(2 * l.outputs * l.k);
    l.coefficients = random_floats(4 * l.outputs);
    l.grad = random_floats(l.outputs * l.batch);
    return l;
}

static void layer_free(layer *l) {
    free(l->a), free(l->b), free(l->candidates), free(l->x), free(l->weights);
    free(l->coefficients), free(l->grad);
}

/* -- one pass: results in buffers of their own ------------------------------------------------- */

typedef struct {
    size_t count;
    float *values;
} result;

static result fresh(size_t count) {
    result r = {count, allocate(count * sizeof(float))};
    for (size_t i = 0; i < count; i++) r.values[i] = 1e9f; /* whatever is not written shows */
    return r;
}

static const char *const pass_names[N_PASSES] = {"gates_forward", "gates_backward",
                                                 "mixed_forward", "mixed_backward",
                                                 "chosen_backward"};

static int run_chosen(const bnn_isa *isa, const layer *l, float *to_x, result *out,
                      size_t threads) {
    int32_t *wires = allocate(2 * l->outputs * sizeof *wires);
    bnn_wires_choose(l->candidates, l->weights, 2 * l->outputs, l->k, wires);
    int status = bnn_chosen_backward(isa, l->x, l->inputs, l->batch, l->candidates, l->weights,
                                     wires, l->coefficients, l->outputs, l->k, 0.01f, l->grad,
                                     to_x, out[2].values, out[1].values, threads);
    free(wires);
    return status;
}

static int run_pass(const bnn_isa *isa, const layer *l, int pass, int with_dx, size_t threads,
                    result *out) {
    const size_t n = l->outputs;
    int forward = pass == 0 || pass == 2;
    out[0] = fresh(forward ? n * l->batch : 0);
    out[1] = fresh(forward ? 0 : 4 * n);
    out[2] = fresh(pass >= 3 ? 2 * n * l->k : 0);
    result dx = fresh(!forward && with_dx ? l->inputs * l->batch : 0);
    float *to_x = dx.count ? dx.values : NULL;
    int status = 0;
    if (pass == 0)
        bnn_gates_forward(isa, l->x, l->inputs, l->batch, l->a, l->b, l->coefficients, n,
                          out[0].values, threads);
    else if (pass == 1)
        status = bnn_gates_backward(isa, l->x, l->inputs, l->batch, l->a, l->b, l->coefficients, n,
                                    l->grad, to_x, out[1].values, threads);
    else if (pass == 2)
        status = bnn_mixed_forward(isa, l->x, l->inputs, l->batch, l->candidates, l->weights,
                                   l->coefficients, n, l->k, out[0].values, threads);
    else if (pass == 3)
        status = bnn_mixed_backward(isa, l->x, l->inputs, l->batch, l->candidates, l->weights,
                                    l->coefficients, n, l->k, l->grad, to_x, out[2].values,
                                    out[1].values, threads);
    else
        status = run_chosen(isa, l, to_x, out, threads);
    if (!forward) {
        free(out[0].values);
        out[0] = dx;
    } else {
        free(dx.values);
    }
    return status;
}

/* Relative to the largest value, as sums of many products may pass the exact whole numbers. */
static void compare(const char *what, const char *isa, size_t threads, const result *got,
                    const result *wanted) {
    float largest = 1.0f;
    for (size_t i = 0; i < wanted->count; i++) {
        float size = wanted->values[i] < 0 ? -wanted->values[i] : wanted->values[i];
        largest = size > largest ? size : largest;
    }
    for (size_t i = 0; i < wanted->count; i++) {
        float apart = (got->values[i] - wanted->values[i]) / largest;
        if (apart > 1e-6f || apart < -1e-6f) {
            char pass[64];
            snprintf(pass, sizeof pass, "%s with %zu threads", what, threads);
            fail(pass, isa, i);
        }
    }
}

static void check_pass(const layer *l, int pass, int with_dx) {
    result wanted[N_RESULTS];
    if (run_pass(bnn_isa_find("ref"), l, pass, with_dx, 1, wanted)) exit(3);
    for (size_t j = 0; j < N_ISAS; j++) {
        const bnn_isa *isa = bnn_isa_find(isa_names[j]);
        for (size_t threads = 1; isa && threads <= MOST_THREADS; threads++) {
            result got[N_RESULTS];
            if (run_pass(isa, l, pass, with_dx, threads, got)) exit(3);
            for (size_t r = 0; r < N_RESULTS; r++) {
                compare(pass_names[pass], isa->name, threads, &got[r], &wanted[r]);
                free(got[r].values);
            }
        }
    }
    for (size_t r = 0; r < N_RESULTS; r++) free(wanted[r].values);
}

static void check(long number) {
    layer l = random_layer();
    (void)number;
    for (int pass = 0; pass < N_PASSES; pass++) check_pass(&l, pass, (int)between(0, 1));
    layer_free(&l);
}

int main(int argc, char **argv) { return fuzz(argc, argv, check); }

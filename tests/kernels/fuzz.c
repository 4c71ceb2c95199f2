/* Random shapes through every instruction set of this machine, in buffers of exactly the right
 * size, against sums taken one element at a time. Usage: fuzz CASES SEED. */
#include "fuzzing.h"

static void *random_signs(size_t rows, size_t bits) {
    size_t words = bnn_words_for(bits);
    uint64_t *out = allocate(rows * words * sizeof *out);
    uint64_t fill = between(0, 9); /* now and then all equal, where the sums are largest */
    for (size_t i = 0; i < rows * words; i++) {
        uint64_t word = fill == 0 ? 0 : fill == 1 ? ~(uint64_t)0 : next();
        out[i] = i % words == words - 1 && bits % 64 ? word & (((uint64_t)1 << bits % 64) - 1) : word;
    }
    return out;
}

static float *random_floats(size_t count) {
    float *out = allocate(count * sizeof *out);
    for (size_t i = 0; i < count; i++) /* whole numbers: their sums are exact */
        out[i] = (float)((int)between(0, 200) - 100);
    return out;
}

static int32_t *random_thresholds(size_t count) {
    int32_t *out = allocate(count * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        uint64_t kind = between(0, 9);
        out[i] = kind == 0 ? INT32_MIN : kind == 1 ? INT32_MAX : (int32_t)between(0, 60) - 30;
    }
    return out;
}

static int bit_at(const uint64_t *words, size_t i) { return (int)(words[i / 64] >> i % 64 & 1); }

static void check_bits(const char *isa, const uint64_t *got, const int64_t *dots, size_t rows,
                       size_t n, const int32_t *thresholds) {
    size_t words = bnn_words_for(n);
    for (size_t i = 0; i < rows * words * 64; i++) {
        size_t row = i / (words * 64), col = i % (words * 64);
        int expected = col < n && dots[row * n + col] < thresholds[col];
        if (bit_at(got + row * words, col) != expected) fail("threshold", isa, i);
    }
}

static void check_pack(const bnn_isa *isa) {
    size_t rows = between(1, 3), n = between(1, 300), words = bnn_words_for(n);
    float *x = random_floats(rows * n);
    uint64_t *out = allocate(rows * words * sizeof *out);
    bnn_signs_pack(isa, x, rows, n, out);
    for (size_t i = 0; i < rows * words * 64; i++) {
        size_t row = i / (words * 64), col = i % (words * 64);
        if (bit_at(out + row * words, col) != (col < n && x[row * n + col] < 0)) fail("pack", isa->name, i);
    }
    free(x);
    free(out);
}

/* One convolution; a matrix product is one of 1x1 on a row of pixels. */
typedef struct {
    bnn_conv_shape s;
    size_t taps, tap_words, pixels, out_h, out_w;
    uint64_t *a, *weights, *panels, *masks;
    uint32_t *codes;
    float *x;
    int32_t *thresholds;
    int64_t *dots, *sums; /* expected */
} task;

static void expect_pixel(const task *t, size_t image, size_t oy, size_t ox, size_t o) {
    const bnn_conv_shape *s = &t->s;
    int64_t dot = 0, sum = 0;
    for (size_t tap = 0; tap < t->taps; tap++) {
        size_t iy = oy * s->stride_h + tap / s->kernel_w, ix = ox * s->stride_w + tap % s->kernel_w;
        if (iy < s->pad_h || ix < s->pad_w || iy - s->pad_h >= s->height || ix - s->pad_w >= s->width)
            continue;
        size_t at = (image * s->height + iy - s->pad_h) * s->width + ix - s->pad_w;
        const uint64_t *w = t->weights + (o * t->taps + tap) * t->tap_words;
        for (size_t c = 0; c < s->channels; c++) {
            int64_t sign = bit_at(w, c) ? -1 : 1;
            dot += bit_at(t->a + at * t->tap_words, c) ? -sign : sign;
            sum += sign * (int64_t)t->x[at * s->channels + c];
        }
    }
    size_t cell = ((image * t->out_h + oy) * t->out_w + ox) * s->outputs + o;
    t->dots[cell] = dot;
    t->sums[cell] = sum;
}

static void task_init(task *t, int is_gemm) {
    bnn_conv_shape *s = &t->s;
    size_t k_h = is_gemm ? 1 : between(1, 4), k_w = is_gemm ? 1 : between(1, 4);
    size_t p_h = is_gemm ? 0 : between(0, 5), p_w = is_gemm ? 0 : between(0, 3);
    *s = (bnn_conv_shape){between(1, 2), between(k_h, 7), between(k_w, 7), between(1, is_gemm ? 700 : 140),
                          between(1, is_gemm ? 140 : 70), k_h, k_w, is_gemm ? 1 : between(1, 3),
                          is_gemm ? 1 : between(1, 3), p_h, p_w};
    t->taps = k_h * k_w;
    t->tap_words = bnn_words_for(s->channels);
    t->out_h = (s->height + 2 * p_h - k_h) / s->stride_h + 1;
    t->out_w = (s->width + 2 * p_w - k_w) / s->stride_w + 1;
    t->pixels = s->batch * t->out_h * t->out_w;
    size_t positions = s->batch * s->height * s->width, words = t->taps * t->tap_words;
    t->a = random_signs(positions, s->channels);
    t->x = random_floats(positions * s->channels);
    t->weights = random_signs(s->outputs * t->taps, s->channels);
    t->thresholds = random_thresholds(s->outputs);
    t->panels = allocate((s->outputs + 31) / 32 * 32 * words * sizeof *t->panels);
    t->masks = allocate((s->outputs + 63) / 64 * t->taps * s->channels * sizeof *t->masks);
    t->codes = allocate((s->outputs + 63) / 64 * 64 * ((t->taps * s->channels + 31) / 32) * 4);
    bnn_codes_pack(t->weights, s->outputs, t->taps, s->channels, t->codes);
    bnn_panels_pack(t->weights, s->outputs, words, t->panels);
    bnn_masks_pack(t->weights, s->outputs, t->taps, s->channels, t->masks);
    t->dots = allocate(t->pixels * s->outputs * sizeof *t->dots);
    t->sums = allocate(t->pixels * s->outputs * sizeof *t->sums);
    for (size_t pixel = 0; pixel < t->pixels; pixel++)
        for (size_t o = 0; o < s->outputs; o++)
            expect_pixel(t, pixel / (t->out_h * t->out_w), pixel / t->out_w % t->out_h, pixel % t->out_w, o);
}

static void task_free(task *t) {
    free(t->a);
    free(t->x);
    free(t->weights);
    free(t->thresholds);
    free(t->panels);
    free(t->masks);
    free(t->codes);
    free(t->dots);
    free(t->sums);
}

static void task_check(const task *t, const bnn_isa *isa, int is_gemm) {
    const bnn_conv_shape *s = &t->s;
    size_t cells = t->pixels * s->outputs;
    int32_t *dots = allocate(cells * sizeof *dots);
    float *sums = allocate(cells * sizeof *sums);
    uint64_t *bits = allocate(t->pixels * bnn_words_for(s->outputs) * sizeof *bits);
    if (is_gemm) {
        int32_t n_bits = (int32_t)s->channels;
        bnn_gemm_xor(isa, t->a, t->pixels, t->tap_words, t->panels, s->outputs, n_bits, dots);
        bnn_gemm_threshold(isa, t->a, t->pixels, t->tap_words, t->panels, s->outputs, n_bits,
                           t->thresholds, bits);
        bnn_gemm_sign(isa, t->x, t->pixels, s->channels, t->masks, t->codes, s->outputs,
                      sums);
    } else if (bnn_conv_xor(isa, s, t->a, t->panels, dots) ||
               bnn_conv_threshold(isa, s, t->a, t->panels, t->thresholds, bits) ||
               bnn_conv_sign(isa, s, t->x, t->masks, t->codes, sums)) {
        exit(3);
    }
    for (size_t i = 0; i < cells; i++) {
        if (dots[i] != t->dots[i]) fail(is_gemm ? "gemm_xor" : "conv_xor", isa->name, i);
        if (sums[i] != (float)t->sums[i]) fail(is_gemm ? "gemm_sign" : "conv_sign", isa->name, i);
    }
    check_bits(isa->name, bits, t->dots, t->pixels, s->outputs, t->thresholds);
    free(dots);
    free(sums);
    free(bits);
}

/* A random network on random rows: training by gradient steps against the reference kernel. */
static void check_table(const bnn_isa *isa) {
    size_t inputs = between(1, 9), gates = between(1, 40), outputs = between(1, gates < 3 ? gates : 3);
    size_t rows = between(1, 300), entries = next() % 2 ? 4 : 16, n = gates * entries;
    int32_t *a = allocate(gates * sizeof *a), *b = allocate(gates * sizeof *b);
    float *logits = random_floats(n), *got = allocate(n * sizeof *got), *wanted = allocate(n * sizeof *wanted);
    uint64_t *x = random_signs(inputs, rows), *y = random_signs(outputs, rows), errors;
    for (size_t g = 0; g < gates; g++) {
        a[g] = (int32_t)between(0, inputs + g - 1);
        b[g] = (int32_t)between(0, inputs + g - 1);
    }
    for (size_t i = 0; i < n; i++) logits[i] *= 0.02f;
    bnn_table table = {inputs, gates, outputs, rows, entries, a, b, x, y};
    bnn_adamw how = {0.1f, 0.9f, 0.99f, 1.0f, 0.01f, 100.0f};
    double loss, loss_ref;
    if (bnn_table_gradient(isa, &table, logits, got, &loss) ||
        bnn_table_gradient(bnn_isa_find("ref"), &table, logits, wanted, &loss_ref))
        exit(3);
    if (loss - loss_ref > 1e-5 || loss_ref - loss > 1e-5) fail("table_loss", isa->name, rows);
    for (size_t i = 0; i < n; i++)
        if (got[i] - wanted[i] > 1e-5f || wanted[i] - got[i] > 1e-5f) fail("table_gradient", isa->name, i);
    memset(got, 0, n * sizeof *got);
    memset(wanted, 0, n * sizeof *wanted);
    if (bnn_table_train(isa, &table, &how, 0, 3, logits, got, wanted, &loss)) exit(3);
    if (bnn_table_errors(&table, logits, &errors)) exit(3);
    if (errors > rows * outputs) fail("table_errors", isa->name, rows);
    free(a), free(b), free(logits), free(got), free(wanted), free(x), free(y);
}

static void check(long number) {
    task t;
    int is_gemm = number % 2 == 0;
    task_init(&t, is_gemm);
    for (size_t j = 0; j < N_ISAS; j++) {
        const bnn_isa *isa = bnn_isa_find(isa_names[j]);
        if (!isa) continue;
        task_check(&t, isa, is_gemm);
        check_pack(isa);
        check_table(isa);
    }
    task_free(&t);
}

int main(int argc, char **argv) { return fuzz(argc, argv, check); }

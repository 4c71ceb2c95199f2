/* Train a whole network of relaxed two-input gates on every row of a truth table at once.
 *
 * A gate's four entries f00, f10, f01, f11 lie in [0, 1]; its output is
 * y = c0 + c1 a + b (c2 + c3 a) with c0 = f00, c1 = f10 - f00, c2 = f01 - f00,
 * c3 = f11 - f10 - f01 + f00. Rows are worked off in blocks whose values and deltas stay in the
 * cache: signals by rows, forward through the gates, back again, the four sums of each gate kept
 * apart for VEC rows so that they are added up once a step.
 */
#include <math.h>
#include <stdlib.h>

#include "logic_exp.h"
#include "bnn_isa.h"

#define VEC 8          /* rows side by side in one vector */
#define BLOCK_LANES 128 /* rows in one block */
#define ALIGNMENT 64

/* One training call: the problem copied to aligned memory, its state and its scratch. */
struct bnn_table_job {
    size_t inputs, gates, outputs, rows, entries, lanes, blocks;
    const int32_t *a, *b; /* (gates) signals */
    float *logits, *m, *v;          /* (gates, entries) */
    float *chances, *gradient;      /* (gates, entries): softmax or sigmoid; dloss/dlogits */
    float *coefficients;            /* (gates, 4) */
    float *given;                   /* [blocks][inputs][lanes] */
    float *wanted;                  /* [blocks][outputs][lanes] */
    float *values, *deltas;         /* [inputs + gates][lanes] of one block */
    float *sums;                    /* [gates][4][VEC]: sums of d, d a, d b, d a b */
    double loss;                    /* mean of squares before the update */
    float correct1, correct2;       /* 1 / (1 - beta^t) */
};

/* chances[g] = softmax(logits[g]), entry i of the gate = sum of those whose table has bit i. */
BNN_INLINE void softmax_entries(const float *logits, float *chances, float *entries) {
    float largest = logits[0], total = 0.0f;
    for (int k = 1; k < 16; k++) largest = logits[k] > largest ? logits[k] : largest;
    for (int k = 0; k < 16; k++) chances[k] = exp_near(logits[k] - largest);
    for (int k = 0; k < 16; k++) total += chances[k];
    for (int k = 0; k < 16; k++) chances[k] /= total;
    for (int i = 0; i < 4; i++) {
        entries[i] = 0.0f;
        for (int k = 0; k < 16; k++) entries[i] += k >> i & 1 ? chances[k] : 0.0f;
    }
}

BNN_INLINE void coefficients_fill(struct bnn_table_job *job) {
    if (job->entries == 4)
        for (size_t i = 0; i < 4 * job->gates; i++)
            job->chances[i] = 1.0f / (1.0f + exp_near(-job->logits[i]));
    for (size_t g = 0; g < job->gates; g++) {
        float softened[4], *f = softened, *c = job->coefficients + 4 * g;
        if (job->entries == 4)
            f = job->chances + 4 * g;
        else
            softmax_entries(job->logits + 16 * g, job->chances + 16 * g, f);
        c[0] = f[0];
        c[1] = f[1] - f[0];
        c[2] = f[2] - f[0];
        c[3] = f[3] - f[1] - f[2] + f[0];
    }
}

/* Output deltas of one block; rows beyond the last get none. */
BNN_INLINE void deltas_fill(struct bnn_table_job *job, size_t block) {
    const size_t lanes = job->lanes, first = job->inputs + job->gates - job->outputs;
    const size_t rows = bnn_min(lanes, job->rows - block * lanes);
    const float scale = 2.0f / ((float)job->rows * (float)job->outputs);
    memset(job->deltas, 0, (job->inputs + job->gates) * lanes * sizeof *job->deltas);
    for (size_t o = 0; o < job->outputs; o++) {
        const float *y = job->values + (first + o) * lanes;
        const float *wanted = job->wanted + (block * job->outputs + o) * lanes;
        float *delta = job->deltas + (first + o) * lanes;
        for (size_t j = 0; j < rows; j++) {
            float error = y[j] - wanted[j];
            delta[j] = scale * error;
            job->loss += (double)error * error;
        }
    }
}

BNN_INLINE void given_copy(struct bnn_table_job *job, size_t block) {
    const size_t n = job->inputs * job->lanes;
    memcpy(job->values, job->given + block * n, n * sizeof *job->values);
}

/* dloss/dlogits from the four sums of each gate. */
BNN_INLINE void gradient_fill(struct bnn_table_job *job) {
    for (size_t g = 0; g < job->gates; g++) {
        const float *sums = job->sums + 4 * VEC * g;
        float s[4];
        for (int i = 0; i < 4; i++) {
            s[i] = 0.0f;
            for (int l = 0; l < VEC; l++) s[i] += sums[VEC * i + l];
        }
        const float d[4] = {s[0] - s[1] - s[2] + s[3], s[1] - s[3], s[2] - s[3], s[3]};
        const float *p = job->chances + job->entries * g;
        float *out = job->gradient + job->entries * g;
        if (job->entries == 4) {
            for (int i = 0; i < 4; i++) out[i] = d[i] * p[i] * (1.0f - p[i]);
            continue;
        }
        float along[16], mean = 0.0f;
        for (int k = 0; k < 16; k++) {
            along[k] = 0.0f;
            for (int i = 0; i < 4; i++) along[k] += k >> i & 1 ? d[i] : 0.0f;
            mean += p[k] * along[k];
        }
        for (int k = 0; k < 16; k++) out[k] = p[k] * (along[k] - mean);
    }
}

/* AdamW with the gradient clipped by value. */
BNN_INLINE void logits_update(struct bnn_table_job *job, const bnn_adamw *how) {
    const bnn_adamw h = *how;
    const float correct1 = job->correct1, correct2 = job->correct2;
    float *restrict w = job->logits, *restrict m = job->m, *restrict v = job->v;
    const float *restrict gradient = job->gradient;
    for (size_t i = 0; i < job->gates * job->entries; i++) {
        float g = gradient[i];
        g = g > h.clip ? h.clip : g;
        g = g < -h.clip ? -h.clip : g;
        m[i] = h.beta1 * m[i] + (1.0f - h.beta1) * g;
        v[i] = h.beta2 * v[i] + (1.0f - h.beta2) * g * g;
        float step = m[i] * correct1 / (sqrtf(v[i] * correct2) + h.epsilon);
        w[i] -= h.lr * (step + h.decay * w[i]);
    }
}

/* Forward and back through the gates, one row and one gate at a time. */
static void block_ref(struct bnn_table_job *job, size_t block) {
    const size_t lanes = job->lanes;
    given_copy(job, block);
    for (size_t g = 0; g < job->gates; g++) {
        const float *c = job->coefficients + 4 * g;
        const float *a = job->values + (size_t)job->a[g] * lanes;
        const float *b = job->values + (size_t)job->b[g] * lanes;
        float *y = job->values + (job->inputs + g) * lanes;
        for (size_t j = 0; j < lanes; j++) y[j] = (c[0] + c[1] * a[j]) + b[j] * (c[2] + c[3] * a[j]);
    }
    deltas_fill(job, block);
    for (size_t g = job->gates; g-- > 0;) {
        const float *c = job->coefficients + 4 * g;
        const float *a = job->values + (size_t)job->a[g] * lanes;
        const float *b = job->values + (size_t)job->b[g] * lanes;
        float *da = job->deltas + (size_t)job->a[g] * lanes;
        float *db = job->deltas + (size_t)job->b[g] * lanes;
        const float *d = job->deltas + (job->inputs + g) * lanes;
        float *sums = job->sums + 4 * VEC * g;
        for (size_t j = 0; j < lanes; j++) {
            sums[j % VEC] += d[j];
            sums[VEC + j % VEC] += d[j] * a[j];
            sums[2 * VEC + j % VEC] += d[j] * b[j];
            sums[3 * VEC + j % VEC] += d[j] * a[j] * b[j];
            da[j] += d[j] * (c[1] + c[3] * b[j]);
            db[j] += d[j] * (c[2] + c[3] * a[j]);
        }
    }
}

#if defined(__GNUC__)
typedef float vec __attribute__((vector_size(VEC * sizeof(float)), may_alias));

/* The same with VEC rows at a time. */
BNN_INLINE void block_vectors(struct bnn_table_job *job, size_t block) {
    const size_t n = job->lanes / VEC;
    vec *values = (vec *)job->values, *deltas = (vec *)job->deltas, *sums = (vec *)job->sums;
    given_copy(job, block);
    for (size_t g = 0; g < job->gates; g++) {
        const float *c = job->coefficients + 4 * g;
        const vec *a = values + (size_t)job->a[g] * n, *b = values + (size_t)job->b[g] * n;
        const float c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3];
        vec *y = values + (job->inputs + g) * n;
        for (size_t j = 0; j < n; j++) y[j] = (c0 + c1 * a[j]) + b[j] * (c2 + c3 * a[j]);
    }
    deltas_fill(job, block);
    for (size_t g = job->gates; g-- > 0;) {
        const float *c = job->coefficients + 4 * g;
        const vec *a = values + (size_t)job->a[g] * n, *b = values + (size_t)job->b[g] * n;
        const vec *d = deltas + (job->inputs + g) * n;
        vec *da = deltas + (size_t)job->a[g] * n, *db = deltas + (size_t)job->b[g] * n;
        const float c1 = c[1], c2 = c[2], c3 = c[3];
        vec s0 = sums[4 * g], s1 = sums[4 * g + 1], s2 = sums[4 * g + 2], s3 = sums[4 * g + 3];
        for (size_t j = 0; j < n; j++) {
            const vec dj = d[j], aj = a[j], bj = b[j], along = dj * aj;
            s0 += dj;
            s1 += along;
            s2 += dj * bj;
            s3 += along * bj;
            da[j] += dj * (c1 + c3 * bj);
            db[j] += dj * (c2 + c3 * aj); /* after da: they may be the same signal */
        }
        sums[4 * g] = s0, sums[4 * g + 1] = s1, sums[4 * g + 2] = s2, sums[4 * g + 3] = s3;
    }
}
#else
#define block_vectors block_ref
#endif

/* Loss and gradient of all rows; with how given, also the update. */
#define STEP(SUFFIX, ATTRIBUTE, BLOCK)                                                        \
    ATTRIBUTE void bnn_table_step_##SUFFIX(struct bnn_table_job *job, const bnn_adamw *how) { \
        coefficients_fill(job);                                                               \
        memset(job->sums, 0, 4 * VEC * job->gates * sizeof *job->sums);                       \
        job->loss = 0.0;                                                                      \
        for (size_t block = 0; block < job->blocks; block++) BLOCK(job, block);               \
        job->loss /= (double)job->rows * (double)job->outputs;                                \
        gradient_fill(job);                                                                   \
        if (how) logits_update(job, how);                                                     \
    }

STEP(ref, , block_ref)
STEP(scalar, , block_vectors)
#if BNN_X86
STEP(avx2, BNN_AVX2, block_vectors)
STEP(avx512, BNN_AVX512, block_vectors)
#endif
#if BNN_NEON
STEP(neon, , block_vectors)
#endif

/* Aligned parts of one allocation: first their sizes are added up, then they are handed out. */
typedef struct {
    unsigned char *base;
    size_t used;
    int overflow;
} arena;

static void *take(arena *from, size_t count, size_t size) {
    size_t limit = SIZE_MAX / 2 - ALIGNMENT;
    if (size && count > limit / size) {
        from->overflow = 1;
        return NULL;
    }
    size_t bytes = (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (bytes > limit - from->used) {
        from->overflow = 1;
        return NULL;
    }
    void *part = from->base ? from->base + from->used : NULL;
    from->used += bytes;
    return part;
}

static void parts_take(arena *from, struct bnn_table_job *job, int32_t **a, int32_t **b) {
    const size_t logits = job->gates * job->entries, signals = job->inputs + job->gates;
    *a = take(from, job->gates, sizeof **a);
    *b = take(from, job->gates, sizeof **b);
    float **by_logit[] = {&job->logits, &job->m, &job->v, &job->chances, &job->gradient};
    for (size_t i = 0; i < sizeof by_logit / sizeof *by_logit; i++)
        *by_logit[i] = take(from, logits, sizeof(float));
    job->coefficients = take(from, job->gates, 4 * sizeof(float));
    job->given = take(from, job->blocks * job->lanes, job->inputs * sizeof(float));
    job->wanted = take(from, job->blocks * job->lanes, job->outputs * sizeof(float));
    job->values = take(from, signals, job->lanes * sizeof(float));
    job->deltas = take(from, signals, job->lanes * sizeof(float));
    job->sums = take(from, job->gates, 4 * VEC * sizeof(float));
}

/* Bits (signals, words) -> floats [blocks][signals][lanes]; rows beyond the last are 0. */
static void bits_spread(const struct bnn_table_job *job, const uint64_t *bits, size_t signals,
                        float *out) {
    const size_t words = bnn_words_for(job->rows), lanes = job->lanes;
    memset(out, 0, job->blocks * signals * lanes * sizeof *out);
    for (size_t s = 0; s < signals; s++)
        for (size_t r = 0; r < job->rows; r++) {
            uint64_t word = bnn_load64(bits + s * words + r / 64);
            out[(r / lanes * signals + s) * lanes + r % lanes] = (float)(word >> r % 64 & 1);
        }
}

/* Fill the job from the caller's memory; NULL when there is no memory for it. */
static void *job_open(struct bnn_table_job *job, const bnn_table *table, const float *logits) {
    memset(job, 0, sizeof *job);
    job->inputs = table->inputs, job->gates = table->gates, job->outputs = table->outputs;
    job->rows = table->rows, job->entries = table->entries;
    job->lanes = bnn_min(BLOCK_LANES, (table->rows + VEC - 1) / VEC * VEC);
    job->blocks = (table->rows + job->lanes - 1) / job->lanes;
    if (table->gates > SIZE_MAX / 1024 || table->inputs > SIZE_MAX / 1024 ||
        table->rows > SIZE_MAX / 1024)
        return NULL;
    arena space = {NULL, 0, 0};
    int32_t *a, *b;
    parts_take(&space, job, &a, &b);
    unsigned char *memory = space.overflow ? NULL : malloc(space.used + ALIGNMENT);
    if (!memory) return NULL;
    space.base = memory + (ALIGNMENT - (uintptr_t)memory % ALIGNMENT);
    space.used = 0;
    parts_take(&space, job, &a, &b);
    memcpy(a, table->a, table->gates * sizeof *a);
    memcpy(b, table->b, table->gates * sizeof *b);
    job->a = a, job->b = b;
    memcpy(job->logits, logits, table->gates * table->entries * sizeof *logits);
    bits_spread(job, table->x, table->inputs, job->given);
    bits_spread(job, table->y, table->outputs, job->wanted);
    return memory;
}

int bnn_table_gradient(const bnn_isa *isa, const bnn_table *table, const float *logits,
                       float *gradient, double *loss) {
    struct bnn_table_job job;
    void *memory = job_open(&job, table, logits);
    if (!memory) return -1;
    isa->table_step(&job, NULL);
    memcpy(gradient, job.gradient, table->gates * table->entries * sizeof *gradient);
    memcpy(loss, &job.loss, sizeof *loss);
    free(memory);
    return 0;
}

int bnn_table_train(const bnn_isa *isa, const bnn_table *table, const bnn_adamw *how,
                    uint64_t done, size_t steps, float *logits, float *m, float *v,
                    double *loss) {
    struct bnn_table_job job;
    void *memory = job_open(&job, table, logits);
    if (!memory) return -1;
    const size_t bytes = table->gates * table->entries * sizeof *logits;
    memcpy(job.m, m, bytes);
    memcpy(job.v, v, bytes);
    for (size_t i = 1; i <= steps; i++) {
        const double t = (double)done + (double)i;
        job.correct1 = (float)(1.0 / (1.0 - pow((double)how->beta1, t)));
        job.correct2 = (float)(1.0 / (1.0 - pow((double)how->beta2, t)));
        isa->table_step(&job, how);
    }
    memcpy(logits, job.logits, bytes);
    memcpy(m, job.m, bytes);
    memcpy(v, job.v, bytes);
    memcpy(loss, &job.loss, sizeof *loss);
    free(memory);
    return 0;
}

/* The truth table that a gate's logits have chosen. */
static unsigned chosen_table(const float *logits, size_t entries) {
    unsigned best = 0;
    if (entries == 4) {
        for (unsigned i = 0; i < 4; i++) best |= (unsigned)(bnn_load_float(logits + i) > 0.0f) << i;
        return best;
    }
    for (unsigned k = 1; k < 16; k++)
        if (bnn_load_float(logits + k) > bnn_load_float(logits + best)) best = k;
    return best;
}

int bnn_table_errors(const bnn_table *table, const float *logits, uint64_t *errors) {
    const size_t words = bnn_words_for(table->rows), signals = table->inputs + table->gates;
    if (words && signals > SIZE_MAX / sizeof(uint64_t) / words) return -1;
    uint64_t *values = malloc(signals * words * sizeof *values);
    if (!values) return -1;
    memcpy(values, table->x, table->inputs * words * sizeof *values);
    for (size_t g = 0; g < table->gates; g++) {
        unsigned chosen = chosen_table(logits + table->entries * g, table->entries);
        uint64_t f[4];
        for (int i = 0; i < 4; i++) f[i] = (uint64_t)0 - (chosen >> i & 1);
        const uint64_t *a = values + (size_t)bnn_load_i32(table->a + g) * words;
        const uint64_t *b = values + (size_t)bnn_load_i32(table->b + g) * words;
        uint64_t *y = values + (table->inputs + g) * words;
        for (size_t w = 0; w < words; w++)
            y[w] = (~b[w] & ((~a[w] & f[0]) | (a[w] & f[1]))) | (b[w] & ((~a[w] & f[2]) | (a[w] & f[3])));
    }
    uint64_t count = 0;
    for (size_t o = 0; o < table->outputs; o++)
        for (size_t w = 0; w < words; w++) {
            uint64_t y = values[(signals - table->outputs + o) * words + w];
            uint64_t differs = y ^ bnn_load64(table->y + o * words + w);
            if (w == words - 1 && table->rows % 64) differs &= ((uint64_t)1 << table->rows % 64) - 1;
            for (; differs; differs &= differs - 1) count++;
        }
    memcpy(errors, &count, sizeof *errors);
    free(values);
    return 0;
}

/* Random programs of gate networks through every instruction set of this machine, in buffers of
 * exactly the right size, against plain C. Usage: fuzz_logic_eval CASES SEED. */
#include "fuzzing.h"

static void *random_bytes(size_t bytes) {
    uint8_t *out = allocate(bytes);
    for (size_t i = 0; i < bytes; i++) out[i] = (uint8_t)next();
    return out;
}

/* -- one random program --------------------------------------------------------------------- */

static size_t n_slots, pixels, images;

static void random_inputs(bnn_logic_program *p) {
    p->blocks = between(0, 11);
    p->span = pixels < 64 ? pixels : 64;
    uint32_t *offsets = allocate(p->blocks * sizeof *offsets);
    uint64_t *used = allocate(p->blocks * sizeof *used);
    p->inputs = 0;
    for (size_t b = 0; b < p->blocks; b++) {
        offsets[b] = (uint32_t)between(0, pixels - p->span);
        used[b] = between(0, 3) ? next() : ~(uint64_t)0;
        if (p->span < 64) used[b] &= ((uint64_t)1 << p->span) - 1;
        for (int i = 0; i < 64; i++) p->inputs += used[b] >> i & 1;
    }
    p->offsets = offsets;
    p->used = used;
    p->thresholds = random_bytes(64 * p->blocks);
}

static void random_gates(bnn_logic_program *p) {
    static const uint32_t tables[] = {0x8, 0x2, 0xe, 0x6, 0x7, 0xd, 0x1, 0x9};
    p->runs = between(0, 20);
    bnn_logic_run *run = allocate(p->runs * sizeof *run);
    size_t gates = 0;
    for (size_t r = 0; r < p->runs; r++) {
        run[r] = (bnn_logic_run){tables[between(0, 7)], (uint32_t)between(0, 9)};
        gates += run[r].count;
    }
    uint16_t *narrow = allocate(3 * gates * sizeof *narrow);
    uint32_t *wide = allocate(3 * gates * sizeof *wide);
    for (size_t i = 0; i < 3 * gates; i++) wide[i] = narrow[i] = (uint16_t)between(0, n_slots - 1);
    int use_wide = (int)between(0, 1);
    p->run = run;
    p->narrow = use_wide ? NULL : narrow;
    p->wide = use_wide ? wide : NULL;
    free(use_wide ? (void *)narrow : (void *)wide);
}

static void random_groups(bnn_logic_program *p) {
    p->groups = between(1, 11);
    uint32_t *ends = allocate(p->groups * sizeof *ends);
    int32_t *biases = allocate(p->groups * sizeof *biases);
    uint32_t end = 0;
    size_t most = 1;
    for (size_t g = 0; g < p->groups; g++) {
        size_t size = between(0, 9) ? between(0, 40) : between(0, 900);
        if (size > most) most = size;
        ends[g] = end += (uint32_t)size;
        biases[g] = (int32_t)between(0, 5);
    }
    uint32_t *counted = allocate(end * sizeof *counted);
    for (size_t i = 0; i < end; i++) counted[i] = (uint32_t)between(0, n_slots - 1);
    for (p->planes = 1; most >> p->planes; p->planes++) {}
    if (between(0, 4) == 0) p->planes = (int)between(17, BNN_LOGIC_PLANES); /* 32 bits a count */
    p->ends = ends;
    p->biases = biases;
    p->counted = counted;
}

static void free_program(const bnn_logic_program *p) {
    const void *arrays[] = {p->offsets, p->thresholds, p->used, p->run,     p->narrow,
                            p->wide,    p->ends,       p->counted, p->biases};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free((void *)arrays[i]);
}

/* -- comparison ------------------------------------------------------------------------------- */

static void check(long number) {
    bnn_logic_program p = {0};
    (void)number;
    pixels = between(1, 200);
    images = between(0, 3) ? between(1, BNN_LOGIC_SAMPLES) : BNN_LOGIC_SAMPLES;
    random_inputs(&p);
    n_slots = p.inputs + between(1, 30);
    random_gates(&p);
    random_groups(&p);
    uint8_t *pixel_bytes = random_bytes(images * pixels);
    size_t values_bytes = n_slots * BNN_LOGIC_WORDS * sizeof(uint64_t);
    size_t counts_bytes = images * p.groups * sizeof(int32_t);
    uint64_t *start = random_bytes(values_bytes), *values[N_ISAS] = {NULL};
    int32_t *counts[N_ISAS] = {NULL};
    for (size_t i = 0; i < N_ISAS; i++) {
        const bnn_isa *isa = bnn_isa_find(isa_names[i]);
        if (!isa) continue;
        values[i] = allocate(values_bytes);
        counts[i] = allocate(counts_bytes);
        memcpy(values[i], start, values_bytes);
        isa->logic_pack(&p, pixel_bytes, images, pixels, values[i]);
        isa->logic_gates(&p, values[i]);
        isa->logic_sum(&p, values[i], images, counts[i]);
        if (memcmp(values[i], values[0], values_bytes)) fail("slots", isa->name, images);
        if (memcmp(counts[i], counts[0], counts_bytes)) fail("counts", isa->name, images);
    }
    for (size_t i = 0; i < N_ISAS; i++) free(values[i]), free(counts[i]);
    free(start);
    free(pixel_bytes);
    free_program(&p);
}

int main(int argc, char **argv) { return fuzz(argc, argv, check); }

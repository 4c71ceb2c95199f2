/* Walks over equal circuits: their costs, beginning and end. See circuit_resub_step.c. */
#include "circuit_resub.h"

#include <stdlib.h>

int64_t circuit_resub_cost(bnn_resub *s, const circuit_net *net) {
    int64_t size = (int64_t)circuit_size(&s->scratch, net);
    if (s->shifts == CIRCUIT_NO_SHIFT) return GATE * size;
    int64_t kinds = (int64_t)circuit_shared(&s->shared, net, s->shifts);
    return SHARED_GATE * (kinds + size - (int64_t)net->gates) + ANY_GATE * size;
}

/* What is asked for is few shared gates, and among such circuits few gates; the walk itself does
 * better if gates beside the shared ones cost something too. */
int64_t circuit_resub_rank(bnn_resub *s, const circuit_net *net, int64_t cost) {
    if (s->shifts == CIRCUIT_NO_SHIFT) return cost / GATE * RANK;
    int64_t size = (int64_t)circuit_size(&s->scratch, net);
    return (cost - ANY_GATE * size) / SHARED_GATE * RANK + size;
}

void circuit_resub_fill(bnn_resub *s, const circuit_net *net, uint64_t *values) {
    s->isa->fill(net->op, net->a, net->b, net->gates, circuit_first_gate(net), values, s->words);
}

int circuit_resub_is_right(const bnn_resub *s, const circuit_net *net, const uint64_t *values) {
    for (size_t q = 0; q < net->outputs; q++) {
        const uint64_t *value = values + (net->ends[q] >> 1) * s->words;
        uint64_t turn = 0 - (uint64_t)(net->ends[q] & 1);
        for (size_t w = 0; w < s->words; w++)
            if ((value[w] ^ turn) != s->target[q * s->words + w]) return 0;
    }
    return 1;
}

/* Input i is bit i of the row; tables of fewer rows are repeated. */
static void write_inputs(bnn_resub *s, size_t inputs) {
    memset(s->values, 0, s->words * sizeof *s->values);
    memset(circuit_at(s->values, 1, s->words), 0xff, s->words * sizeof *s->values);
    for (size_t i = 0; i < inputs; i++) {
        uint64_t *value = circuit_at(s->values, CIRCUIT_FIRST_INPUT + i, s->words);
        memset(value, 0, s->words * sizeof *value);
        for (size_t row = 0; row < s->rows; row++)
            value[row / 64] |= (uint64_t)(row >> i & 1) << row % 64;
    }
}

static void read_outputs(bnn_resub *s, const circuit_net *net, uint64_t *out) {
    for (size_t q = 0; q < net->outputs; q++) {
        const uint64_t *value = circuit_at(s->values, net->ends[q] >> 1, s->words);
        uint64_t turn = 0 - (uint64_t)(net->ends[q] & 1);
        for (size_t w = 0; w < s->words; w++) out[q * s->words + w] = value[w] ^ turn;
    }
}

/* Cleans the given gates up by structure, then by value, into s->current. */
static int begin_with(bnn_resub *s, const bnn_circuit *circuit) {
    circuit_net *given = &s->trial;
    given->gates = circuit->gates;
    memcpy(given->op, circuit->op, circuit->gates * sizeof *given->op);
    memcpy(given->a, circuit->a, circuit->gates * sizeof *given->a);
    memcpy(given->b, circuit->b, circuit->gates * sizeof *given->b);
    for (size_t q = 0; q < circuit->outputs; q++) {
        int32_t signal = circuit->ends[q];
        given->ends[q] = signal == 1 ? 1 : 2 * (uint32_t)signal;
    }
    circuit_resub_fill(s, given, s->values);
    read_outputs(s, given, s->target);
    circuit_tidy(&s->scratch, given, &s->next);
    circuit_resub_fill(s, &s->next, s->values);
    if (circuit_merge_equal(&s->next, s->values, s->words)) return -1;
    circuit_tidy(&s->scratch, &s->next, &s->current);
    circuit_resub_fill(s, &s->current, s->values);
    circuit_net_copy(&s->best, &s->current);
    s->cost = s->best_cost = circuit_resub_cost(s, &s->current);
    s->best_rank = circuit_resub_rank(s, &s->current, s->cost);
    return 0;
}

static int allocate(bnn_resub *s, const bnn_circuit *circuit) {
    const size_t capacity = s->limit + MAX_EXTRA;
    const size_t signals = CIRCUIT_FIRST_INPUT + circuit->inputs + capacity, words = s->words;
    const size_t divisors = MAX_DIVISORS + (s->shifts ? MAX_EXTRA : MAX_NEW);
    circuit_net *nets[] = {&s->current, &s->best, &s->next, &s->trial};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        if (circuit_net_make(nets[i], circuit->inputs, circuit->outputs, capacity)) return -1;
    if (circuit_scratch_make(&s->scratch, circuit->inputs, capacity)) return -1;
    if (s->shifts && circuit_shifts_make(&s->shared, capacity)) return -1;
    s->values = circuit_words(signals, words);
    s->flipped = circuit_words(signals, words);
    s->target = circuit_words(circuit->outputs, words);
    s->on = circuit_words(1, words);
    s->off = circuit_words(1, words);
    s->value = circuit_words(divisors, words);
    s->fault = circuit_words(divisors, words);
    s->touched = malloc(signals);
    s->signal = malloc((signals + divisors) * sizeof *s->signal);
    s->found = malloc((divisors + 1) * sizeof *s->found);
    return s->values && s->flipped && s->target && s->on && s->off && s->value && s->fault &&
                   s->touched && s->signal && s->found
               ? 0
               : -1;
}

bnn_resub *bnn_resub_create(const bnn_isa *isa, const bnn_circuit *circuit, uint64_t seed,
                            double temperature, int shifts) {
    if (circuit->inputs > BNN_RESUB_INPUTS || circuit->gates > BNN_RESUB_GATES) return NULL;
    if (shifts && circuit->inputs != 9) return NULL;
    bnn_resub *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->isa = isa->circuit;
    s->shifts = shifts;
    s->temperature = temperature;
    s->random = seed;
    s->limit = circuit->gates > 300 ? circuit->gates : 300;
    s->words = CIRCUIT_WORDS;
    while (64 * s->words < (size_t)1 << circuit->inputs) s->words *= 2;
    s->rows = 64 * s->words;
    if (allocate(s, circuit) == 0) {
        write_inputs(s, circuit->inputs);
        memcpy(s->flipped, s->values,
               (CIRCUIT_FIRST_INPUT + circuit->inputs) * s->words * sizeof *s->values);
        if (begin_with(s, circuit) == 0) return s;
    }
    bnn_resub_free(s);
    return NULL;
}

void bnn_resub_free(bnn_resub *s) {
    if (!s) return;
    circuit_net *nets[] = {&s->current, &s->best, &s->next, &s->trial};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) circuit_net_free(nets[i]);
    circuit_scratch_free(&s->scratch);
    circuit_shifts_free(&s->shared);
    uint64_t *rows[] = {s->values, s->flipped, s->target, s->on, s->off, s->value, s->fault};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) circuit_free_words(rows[i]);
    free(s->touched);
    free(s->signal);
    free(s->found);
    free(s);
}

uint64_t bnn_resub_cost(const bnn_resub *s) { return (uint64_t)(s->best_rank / RANK); }

size_t bnn_resub_gates(const bnn_resub *s) { return s->best.gates; }

void bnn_resub_best(const bnn_resub *s, uint8_t *op, int32_t *a, int32_t *b, uint32_t *ends) {
    const circuit_net *net = &s->best;
    memcpy(op, net->op, net->gates * sizeof *op);
    memcpy(a, net->a, net->gates * sizeof *a);
    memcpy(b, net->b, net->gates * sizeof *b);
    memcpy(ends, net->ends, net->outputs * sizeof *ends);
}

int bnn_resub_step(bnn_resub *s, uint64_t steps) {
    for (uint64_t i = 0; i < steps; i++)
        if (circuit_resub_step(s)) return -1;
    return 0;
}

/* Minimization of circuits on all rows of their truth table: don't-care resubstitution as a random
 * walk at a constant temperature.
 *
 * A step takes a gate and finds its care set: the rows where an output changes if the gate is
 * flipped. Other signals, pairs of them under any truth table, and pairs with a new gate that agree
 * with it there can take its place; of some such replacements, each cleaned up, the cheapest is the
 * next circuit, or if it costs more, is so with probability exp(-growth / temperature). As the
 * cheapest of several is rarely dear, temperatures above 1 leave small circuits small and local
 * minima soon; a walk that has strayed far from its best begins there again.
 *
 * Where cells share their work, shifted copies of gates may be read too, and in half of the steps
 * the gates that are shifts of the replaced one are replaced with it. */
#include "circuit.h"

#include <math.h>
#include <stdlib.h>

#define MAX_DIVISORS 256 /* signals that a step considers */
#define MAX_NEW 48       /* new gates that a step considers */
#define MAX_COPIES 12    /* shifted cones that a step considers */
#define MAX_EXTRA 512    /* gates that a step can add, and room for them */
#define MAX_INSTANCES 9  /* shifts of a gate that are replaced with it */
#define MAX_OPTIONS 24   /* replacements kept of all that fit */
#define MAX_TRIED 8      /* replacements of which the cost is computed */
#define PATIENCE 60000   /* steps after which a walk far from the best begins there again */
#define FAR 4            /* gates more than the best */

/* Cost of a gate, of one shared by cells, of a gate beside these; and one gate's rank. */
enum { GATE = 100, SHARED_GATE = 100, ANY_GATE = 4, RANK = 1 << 20 };

/* op(first, second) in place of a gate; signals, or -1 - i for new gate i. */
typedef struct {
    int32_t first, second;
    uint8_t op;
} replacement;

/* Another gate of the kind of the one in question, and by how much it is shifted. */
typedef struct {
    uint32_t gate;
    int8_t y, x;
} instance;

struct bnn_resub {
    const bnn_circuit_isa *isa;
    size_t words, rows, limit; /* of a signal, of the table; gates that the walk may hold */
    int shifts;                /* BNN_SHIFTS_* */
    double temperature;
    uint64_t random, steps, since;
    circuit_net current, best, next, trial;
    circuit_scratch scratch;
    circuit_shifts shared;
    int64_t cost, best_cost, best_rank; /* of the walk; of what is asked for */
    uint64_t *values, *flipped, *target, *on, *off;
    uint8_t *touched;
    /* Divisors of the gate in question: signals, then new gates. */
    int32_t *signal;
    uint64_t *value, *fault;
    size_t n_divisors, n_base;
    replacement created[MAX_NEW];
    circuit_pair *found;
    replacement option[MAX_OPTIONS];
    size_t n_options, n_seen;
    instance other[MAX_INSTANCES];
    size_t n_others;
};

static uint64_t draw(bnn_resub *s) { /* splitmix64 */
    uint64_t z = s->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t below(bnn_resub *s, size_t n) { return (size_t)((draw(s) >> 32) * n >> 32); }

static double uniform(bnn_resub *s) { return (double)(draw(s) >> 11) * 0x1p-53; }

static uint64_t *at(uint64_t *values, size_t signal, size_t words) { return values + signal * words; }

/* -- beginning and end ------------------------------------------------------------------------------ */

static int64_t cost_of(bnn_resub *s, const circuit_net *net) {
    int64_t size = (int64_t)circuit_size(&s->scratch, net);
    if (s->shifts == CIRCUIT_NO_SHIFT) return GATE * size;
    int64_t kinds = (int64_t)circuit_shared(&s->shared, net, s->shifts);
    return SHARED_GATE * (kinds + size - (int64_t)net->gates) + ANY_GATE * size;
}

/* What is asked for is few shared gates, and among such circuits few gates; the walk itself does
 * better if gates beside the shared ones cost something too. */
static int64_t rank_of(bnn_resub *s, const circuit_net *net, int64_t cost) {
    if (s->shifts == CIRCUIT_NO_SHIFT) return cost / GATE * RANK;
    int64_t size = (int64_t)circuit_size(&s->scratch, net);
    return (cost - ANY_GATE * size) / SHARED_GATE * RANK + size;
}

static void evaluate(bnn_resub *s, const circuit_net *net, uint64_t *values) {
    s->isa->fill(net->op, net->a, net->b, net->gates, circuit_first_gate(net), values, s->words);
}

/* Input i is bit i of the row; tables of fewer rows are repeated. */
static void write_inputs(bnn_resub *s, size_t inputs) {
    memset(s->values, 0, s->words * sizeof *s->values);
    memset(at(s->values, 1, s->words), 0xff, s->words * sizeof *s->values);
    for (size_t i = 0; i < inputs; i++) {
        uint64_t *value = at(s->values, CIRCUIT_FIRST_INPUT + i, s->words);
        memset(value, 0, s->words * sizeof *value);
        for (size_t row = 0; row < s->rows; row++)
            value[row / 64] |= (uint64_t)(row >> i & 1) << row % 64;
    }
}

static void read_outputs(bnn_resub *s, const circuit_net *net, uint64_t *out) {
    for (size_t q = 0; q < net->outputs; q++) {
        const uint64_t *value = at(s->values, net->ends[q] >> 1, s->words);
        uint64_t turn = 0 - (uint64_t)(net->ends[q] & 1);
        for (size_t w = 0; w < s->words; w++) out[q * s->words + w] = value[w] ^ turn;
    }
}

static int is_right(const bnn_resub *s, const circuit_net *net, const uint64_t *values) {
    for (size_t q = 0; q < net->outputs; q++) {
        const uint64_t *value = values + (net->ends[q] >> 1) * s->words;
        uint64_t turn = 0 - (uint64_t)(net->ends[q] & 1);
        for (size_t w = 0; w < s->words; w++)
            if ((value[w] ^ turn) != s->target[q * s->words + w]) return 0;
    }
    return 1;
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
    evaluate(s, given, s->values);
    read_outputs(s, given, s->target);
    circuit_tidy(&s->scratch, given, &s->next);
    evaluate(s, &s->next, s->values);
    if (circuit_merge_equal(&s->next, s->values, s->words)) return -1;
    circuit_tidy(&s->scratch, &s->next, &s->current);
    evaluate(s, &s->current, s->values);
    circuit_net_copy(&s->best, &s->current);
    s->cost = s->best_cost = cost_of(s, &s->current);
    s->best_rank = rank_of(s, &s->current, s->cost);
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

/* -- one step ------------------------------------------------------------------------------------ */

/* Splits the rows on which signal x matters by its value there. */
static void find_care(bnn_resub *s, size_t x) {
    const circuit_net *net = &s->current;
    const size_t words = s->words;
    s->isa->flip(net->op, net->a, net->b, net->gates, circuit_first_gate(net), x, s->values,
                 s->flipped, s->touched, words);
    memset(s->on, 0, words * sizeof *s->on);
    for (size_t q = 0; q < net->outputs; q++) {
        size_t signal = net->ends[q] >> 1;
        if (!s->touched[signal]) continue;
        const uint64_t *value = at(s->values, signal, words);
        const uint64_t *other = at(s->flipped, signal, words);
        for (size_t w = 0; w < words; w++) s->on[w] |= value[w] ^ other[w];
    }
    const uint64_t *value = at(s->values, x, words);
    for (size_t w = 0; w < words; w++) {
        s->off[w] = s->on[w] & ~value[w];
        s->on[w] &= value[w];
    }
}

/* A row of a set at or after a random one, or -1 if there is none. */
static int64_t random_row(bnn_resub *s, const uint64_t *set) {
    const size_t words = s->words;
    size_t start = below(s, 64 * words), word = start / 64;
    uint64_t bits = set[word] >> start % 64 << start % 64;
    for (size_t k = 0; k <= words; k++) {
        if (bits) {
            unsigned bit = 0;
            while (!(bits >> bit & 1)) bit++;
            return (int64_t)(64 * word + bit);
        }
        word = (word + 1) % words;
        bits = set[word];
    }
    return -1;
}

static void add_divisor(bnn_resub *s, int32_t signal, const uint64_t *value) {
    s->signal[s->n_divisors] = signal;
    memcpy(at(s->value, s->n_divisors, s->words), value, s->words * sizeof *value);
    s->n_divisors++;
}

/* All signals that gate x does not reach, or a random choice of many. */
static void choose_divisors(bnn_resub *s) {
    const circuit_net *net = &s->current;
    const size_t signals = circuit_first_gate(net) + net->gates;
    size_t n = 0;
    for (size_t i = CIRCUIT_FIRST_INPUT; i < signals; i++) {
        s->signal[n] = (int32_t)i;
        n += !s->touched[i];
    }
    size_t kept = bnn_min(n, MAX_DIVISORS);
    for (size_t k = 0; n > kept && k < kept; k++) {
        size_t other = k + below(s, n - k);
        int32_t signal = s->signal[other];
        s->signal[other] = s->signal[k];
        s->signal[k] = signal;
    }
    s->n_divisors = 0;
    for (size_t k = 0; k < kept; k++)
        add_divisor(s, s->signal[k], at(s->values, (size_t)s->signal[k], s->words));
    s->n_base = kept;
}

static void add_new_gates(bnn_resub *s) {
    static const uint8_t ops[] = {0x8, 0x2, 0x4, 0x1, 0x6};
    for (int i = 0; i < MAX_NEW && s->n_base > 1; i++) {
        int32_t a = (int32_t)below(s, s->n_base), b = (int32_t)below(s, s->n_base);
        uint8_t op = ops[below(s, sizeof ops)];
        s->isa->fill(&op, &a, &b, 1, s->n_divisors, s->value, s->words);
        s->created[i] = (replacement){s->signal[a], s->signal[b], op};
        s->signal[s->n_divisors++] = -1 - i;
    }
}

/* Appends shifted cones to the current circuit; they are dead unless a replacement reads them. */
static void add_copies(bnn_resub *s) {
    circuit_net *net = &s->current;
    const size_t first = circuit_first_gate(net), gates = net->gates;
    for (int k = 0; k < MAX_COPIES; k++) {
        size_t signal = first + below(s, gates), before = net->gates;
        int y = (int)below(s, 3) - 1, x = s->shifts == CIRCUIT_CELLS ? (int)below(s, 3) - 1 : 0;
        if ((!y && !x) || !circuit_copy_shifted(&s->shared, net, signal, y, x)) continue;
        if (s->n_divisors + net->gates - before > MAX_DIVISORS + MAX_EXTRA) {
            net->gates = before;
            continue;
        }
        s->isa->fill(net->op + before, net->a + before, net->b + before, net->gates - before,
                     first + before, s->values, s->words);
        for (size_t i = before; i < net->gates; i++)
            add_divisor(s, (int32_t)(first + i), at(s->values, first + i, s->words));
    }
}

static void add_option(bnn_resub *s, int32_t first, int32_t second, uint8_t op) {
    size_t at_most = s->n_seen++;
    size_t k = at_most < MAX_OPTIONS ? s->n_options++ : below(s, s->n_seen);
    if (k < MAX_OPTIONS) s->option[k] = (replacement){first, second, op};
}

static int disjoint(const uint64_t *x, const uint64_t *y, size_t words) {
    uint64_t common = 0;
    for (size_t w = 0; w < words; w++) common |= x[w] & y[w];
    return common == 0;
}

/* Divisors that agree with the gate or its complement wherever it matters. */
static void find_single(bnn_resub *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const uint64_t *fault = at(s->fault, i, s->words), *value = at(s->value, i, s->words);
        if (!disjoint(fault, fault, s->words)) continue;
        uint64_t wrong = 0, right = 0;
        for (size_t w = 0; w < s->words; w++) {
            wrong |= (s->on[w] & ~value[w]) | (s->off[w] & value[w]);
            right |= (s->on[w] & value[w]) | (s->off[w] & ~value[w]);
        }
        if (wrong && right) continue;
        add_option(s, s->signal[i], s->signal[i], wrong ? 5 : 10);
    }
}

static void find_pairs(bnn_resub *s, size_t x, size_t second_from, size_t first_to) {
    const circuit_net *net = &s->current;
    const circuit_divisors divisors = {s->words, s->on, s->off, s->value, s->fault};
    const size_t gate = x - circuit_first_gate(net);
    for (size_t j = second_from; j < s->n_divisors; j++) {
        size_t n = s->isa->pairs(&divisors, j, 0, bnn_min(j, first_to), s->found);
        for (size_t k = 0; k < n; k++) {
            int32_t first = s->signal[s->found[k].first], second = s->signal[j];
            if (first == net->a[gate] && second == net->b[gate]) continue;
            add_option(s, first, second, s->found[k].table);
        }
    }
}

/* What can take the place of gate x. */
static void find_options(bnn_resub *s, size_t x) {
    s->n_options = s->n_seen = 0;
    find_care(s, x);
    int64_t one = random_row(s, s->on), zero = random_row(s, s->off);
    if (one < 0 || zero < 0) {
        add_option(s, 0, 0, one < 0 ? 0 : 15);
        return;
    }
    choose_divisors(s);
    size_t mode = below(s, s->shifts ? 6 : 4);
    if (mode == 3) add_new_gates(s);
    if (mode > 3) add_copies(s);
    const circuit_divisors divisors = {s->words, s->on, s->off, s->value, s->fault};
    s->isa->faults(&divisors, s->n_divisors, (size_t)one, (size_t)zero, s->fault);
    find_single(s, mode == 3 ? s->n_base : s->n_divisors);
    if (mode == 3)
        find_pairs(s, x, s->n_base, s->n_base);
    else
        find_pairs(s, x, mode == 4 ? s->n_base : 1, s->n_divisors);
}

static int32_t append_new(bnn_resub *s, int32_t signal) {
    circuit_net *net = &s->current;
    if (signal >= 0) return signal;
    const replacement *gate = &s->created[-1 - signal];
    net->op[net->gates] = gate->op;
    net->a[net->gates] = gate->first;
    net->b[net->gates] = gate->second;
    return (int32_t)(circuit_first_gate(net) + net->gates++);
}

/* Lists the gates that are shifts of gate x. */
static void find_instances(bnn_resub *s, size_t x) {
    const circuit_net *net = &s->current;
    const circuit_shifts *shifts = &s->shared;
    const size_t first = circuit_first_gate(net);
    circuit_shared(&s->shared, net, s->shifts);
    s->n_others = 0;
    for (size_t i = first; i < first + net->gates && s->n_others < MAX_INSTANCES; i++)
        if (i != x && shifts->kind[i] == shifts->kind[x])
            s->other[s->n_others++] =
                (instance){(uint32_t)(i - first), (int8_t)(shifts->y[i] - shifts->y[x]),
                           (int8_t)(shifts->x[i] - shifts->x[x])};
}

static void set_gate(circuit_net *net, size_t gate, uint8_t op, int32_t a, int32_t b) {
    net->op[gate] = op;
    net->a[gate] = a;
    net->b[gate] = b;
}

/* Replaces the shifts of a gate by shifts of its replacement, which may not lie in the window. */
static int replace_others(bnn_resub *s, const replacement *option) {
    circuit_net *net = &s->current;
    replacement moved[MAX_INSTANCES];
    for (size_t k = 0; k < s->n_others; k++) {
        int y = s->other[k].y, x = s->other[k].x;
        size_t first = circuit_copy_shifted(&s->shared, net, (size_t)option->first, y, x);
        size_t second = circuit_copy_shifted(&s->shared, net, (size_t)option->second, y, x);
        if (!first || !second) return -1;
        moved[k] = (replacement){(int32_t)first, (int32_t)second, option->op};
    }
    for (size_t k = 0; k < s->n_others; k++)
        set_gate(net, s->other[k].gate, moved[k].op, moved[k].first, moved[k].second);
    return 0;
}

/* The current circuit with gate x replaced, and the others of its kind, cleaned up, in s->trial.
 * Gives 0, or -1 if that is another function or not to be had. */
static int replace(bnn_resub *s, size_t x, const replacement *option) {
    circuit_net *net = &s->current;
    const size_t gate = x - circuit_first_gate(net), gates = net->gates;
    replacement before[MAX_INSTANCES + 1];
    for (size_t k = 0; k <= s->n_others; k++) {
        size_t i = k < s->n_others ? s->other[k].gate : gate;
        before[k] = (replacement){net->a[i], net->b[i], net->op[i]};
    }
    int32_t first = append_new(s, option->first), second = append_new(s, option->second);
    const replacement here = {first, second, option->op};
    int status = s->n_others ? replace_others(s, &here) : 0;
    if (!status) {
        set_gate(net, gate, here.op, first, second);
        circuit_tidy(&s->scratch, net, &s->trial);
    }
    for (size_t k = 0; k <= s->n_others; k++) {
        size_t i = k < s->n_others ? s->other[k].gate : gate;
        set_gate(net, i, before[k].op, before[k].first, before[k].second);
    }
    net->gates = gates;
    if (status || s->trial.gates > s->limit) return -1;
    if (!s->n_others) return 0;
    evaluate(s, &s->trial, s->flipped);
    return is_right(s, &s->trial, s->flipped) ? 0 : -1;
}

static void exchange(circuit_net *x, circuit_net *y) {
    circuit_net other = *x;
    *x = *y;
    *y = other;
}

/* Puts the cheapest of some options into s->next; gives its cost, or -1 if there is none. */
static int64_t try_options(bnn_resub *s, size_t x) {
    int64_t cheapest = -1;
    size_t ties = 0, tried = bnn_min(s->n_options, MAX_TRIED);
    for (size_t k = 0; k < tried; k++) {
        size_t other = k + below(s, s->n_options - k);
        replacement option = s->option[other];
        s->option[other] = s->option[k];
        if (replace(s, x, &option)) continue;
        int64_t cost = cost_of(s, &s->trial);
        if (cheapest >= 0 && cost > cheapest) continue;
        ties = cost == cheapest ? ties + 1 : 1;
        if (ties > 1 && below(s, ties)) continue;
        cheapest = cost;
        exchange(&s->next, &s->trial);
    }
    return cheapest;
}

static int step(bnn_resub *s) {
    circuit_net *net = &s->current;
    s->steps++;
    if (++s->since >= PATIENCE) {
        s->since = 0;
        if (s->cost > s->best_cost + FAR * GATE) {
            circuit_net_copy(net, &s->best);
            s->cost = s->best_cost;
            evaluate(s, net, s->values);
        }
    }
    if (!net->gates) return 0;
    const size_t gates = net->gates, x = circuit_first_gate(net) + below(s, gates);
    find_options(s, x);
    s->n_others = 0;
    if (s->shifts && s->n_options && s->option[0].first && below(s, 2)) find_instances(s, x);
    int64_t cost = try_options(s, x), growth = cost - s->cost;
    net->gates = gates; /* without the copies */
    if (cost < 0) return 0;
    if (growth > 0 && uniform(s) >= exp((double)-growth / (GATE * s->temperature))) return 0;
    exchange(net, &s->next);
    s->cost = cost;
    evaluate(s, net, s->values);
    int64_t rank = rank_of(s, net, cost);
    if (rank >= s->best_rank) return 0;
    if (!is_right(s, net, s->values)) return -1;
    circuit_net_copy(&s->best, net);
    s->best_cost = cost;
    s->best_rank = rank;
    return 0;
}

int bnn_resub_step(bnn_resub *s, uint64_t steps) {
    for (uint64_t i = 0; i < steps; i++)
        if (step(s)) return -1;
    return 0;
}

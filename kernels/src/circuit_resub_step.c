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
 * Where cells share their work, shifted copies of gates may be read too. */
#include "circuit_resub.h"

#include <math.h>

#define MAX_COPIES 12  /* shifted cones that a step considers */
#define MAX_TRIED 8    /* replacements of which the cost is computed */
#define PATIENCE 60000 /* steps after which a walk far from the best begins there again */
#define FAR 4          /* gates more than the best */

static uint64_t draw(bnn_resub *s) { /* splitmix64 */
    uint64_t z = s->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t below(bnn_resub *s, size_t n) { return (size_t)((draw(s) >> 32) * n >> 32); }

static double uniform(bnn_resub *s) { return (double)(draw(s) >> 11) * 0x1p-53; }

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
        const uint64_t *value = circuit_at(s->values, signal, words);
        const uint64_t *other = circuit_at(s->flipped, signal, words);
        for (size_t w = 0; w < words; w++) s->on[w] |= value[w] ^ other[w];
    }
    const uint64_t *value = circuit_at(s->values, x, words);
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
    memcpy(circuit_at(s->value, s->n_divisors, s->words), value, s->words * sizeof *value);
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
        add_divisor(s, s->signal[k], circuit_at(s->values, (size_t)s->signal[k], s->words));
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
            add_divisor(s, (int32_t)(first + i), circuit_at(s->values, first + i, s->words));
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
        const uint64_t *fault = circuit_at(s->fault, i, s->words), *value = circuit_at(s->value, i, s->words);
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

/* The current circuit with gate x replaced, cleaned up, in s->trial; -1 if it is too large. */
static int replace(bnn_resub *s, size_t x, const replacement *option) {
    circuit_net *net = &s->current;
    const size_t gate = x - circuit_first_gate(net), gates = net->gates;
    const replacement before = {net->a[gate], net->b[gate], net->op[gate]};
    int32_t first = append_new(s, option->first), second = append_new(s, option->second);
    net->op[gate] = option->op;
    net->a[gate] = first;
    net->b[gate] = second;
    circuit_tidy(&s->scratch, net, &s->trial);
    net->op[gate] = before.op;
    net->a[gate] = before.first;
    net->b[gate] = before.second;
    net->gates = gates;
    return s->trial.gates > s->limit ? -1 : 0;
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
        int64_t cost = circuit_resub_cost(s, &s->trial);
        if (cheapest >= 0 && cost > cheapest) continue;
        ties = cost == cheapest ? ties + 1 : 1;
        if (ties > 1 && below(s, ties)) continue;
        cheapest = cost;
        exchange(&s->next, &s->trial);
    }
    return cheapest;
}

int circuit_resub_step(bnn_resub *s) {
    circuit_net *net = &s->current;
    s->steps++;
    if (++s->since >= PATIENCE) {
        s->since = 0;
        if (s->cost > s->best_cost + FAR * GATE) {
            circuit_net_copy(net, &s->best);
            s->cost = s->best_cost;
            circuit_resub_fill(s, net, s->values);
        }
    }
    if (!net->gates) return 0;
    const size_t gates = net->gates, x = circuit_first_gate(net) + below(s, gates);
    find_options(s, x);
    int64_t cost = try_options(s, x), growth = cost - s->cost;
    net->gates = gates; /* without the copies */
    if (cost < 0) return 0;
    if (growth > 0 && uniform(s) >= exp((double)-growth / (GATE * s->temperature))) return 0;
    exchange(net, &s->next);
    s->cost = cost;
    circuit_resub_fill(s, net, s->values);
    int64_t rank = circuit_resub_rank(s, net, cost);
    if (rank >= s->best_rank) return 0;
    if (!circuit_resub_is_right(s, net, s->values)) return -1;
    circuit_net_copy(&s->best, net);
    s->best_cost = cost;
    s->best_rank = rank;
    return 0;
}

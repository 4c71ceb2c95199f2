/* The state of a walk over equal circuits, and what its two files call of each other. */
#ifndef BNN_CIRCUIT_RESUB_H
#define BNN_CIRCUIT_RESUB_H

#include "circuit.h"

#define MAX_DIVISORS 256 /* signals that a step considers */
#define MAX_NEW 48       /* new gates that a step considers */
#define MAX_EXTRA 512    /* gates that a step can add, and room for them */
#define MAX_OPTIONS 24   /* replacements kept of all that fit */

/* Cost of a gate, of one shared by cells, of a gate beside these; and one gate's rank. */
enum { GATE = 100, SHARED_GATE = 100, ANY_GATE = 4, RANK = 1 << 20 };

/* op(first, second) in place of a gate; signals, or -1 - i for new gate i. */
typedef struct {
    int32_t first, second;
    uint8_t op;
} replacement;

struct bnn_resub {
    const bnn_circuit_isa *isa;
    size_t words, rows, limit; /* of a signal, of the table; gates that the walk may hold */
    int shifts;                /* CIRCUIT_NO_SHIFT, ROWS or CELLS */
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
};

BNN_INLINE uint64_t *circuit_at(uint64_t *values, size_t signal, size_t words) {
    return values + signal * words;
}

/* The cost that decides what the walk takes, and the rank by which its best circuit is chosen. */
int64_t circuit_resub_cost(bnn_resub *s, const circuit_net *net);
int64_t circuit_resub_rank(bnn_resub *s, const circuit_net *net, int64_t cost);

/* Computes the gates of a circuit from the inputs in `values`; whether its outputs are right. */
void circuit_resub_fill(bnn_resub *s, const circuit_net *net, uint64_t *values);
int circuit_resub_is_right(const bnn_resub *s, const circuit_net *net, const uint64_t *values);

/* Takes one step; 0, or -1 if the circuit has lost its function. */
int circuit_resub_step(bnn_resub *s);

#endif

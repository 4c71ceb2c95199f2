/* Circuits of two-input gates on all rows of a truth table, 512 rows a vector.
 *
 * Signals are numbered 0 = false, 1 = true, then the inputs, then the gates. A literal is
 * 2 * signal + 1 if complemented, so the literals 0 and 1 are the constants. */
#ifndef BNN_CIRCUIT_H
#define BNN_CIRCUIT_H

#include "logic.h"

#define CIRCUIT_WORDS 8       /* words of a vector of 512 rows */
#define CIRCUIT_FIRST_INPUT 2 /* the signal after the constants */

/* Divisors of a gate: signals that may be read in its place, and where each of them fails.
 * The rows on which the gate matters are `on` where it is 1 and `off` where it is 0. */
typedef struct {
    size_t words; /* of a signal, a multiple of CIRCUIT_WORDS */
    const uint64_t *on, *off;
    const uint64_t *values; /* (divisors, words) */
    const uint64_t *faults; /* (divisors, words), see bnn_circuit_isa.faults */
} circuit_divisors;

/* A gate of two divisors, `first` < the one that it was asked for. */
typedef struct {
    uint32_t first;
    uint8_t table;
} circuit_pair;

struct bnn_circuit_isa {
    /* values[first + i] = op[i] of values[a[i]], values[b[i]]; a signal has `words` words. */
    void (*fill)(const uint8_t *op, const int32_t *a, const int32_t *b, size_t gates, size_t first,
                 uint64_t *values, size_t words);
    /* Flips signal x: marks in touched (signals) those that read it, directly or not, and computes
     * them. Only touched signals are written to flipped. */
    void (*flip)(const uint8_t *op, const int32_t *a, const int32_t *b, size_t gates, size_t first,
                 size_t x, const uint64_t *values, uint64_t *flipped, uint8_t *touched,
                 size_t words);
    /* faults: the rows on which a divisor has the value that it has in a row of the other kind:
     * off rows like row one of `on`, on rows like row zero of `off`. A gate can tell on from off
     * only where the faults of its inputs are disjoint. */
    void (*faults)(const circuit_divisors *divisors, size_t n, size_t one, size_t zero,
                   uint64_t *faults);
    /* The gates of divisor `second` and each of from .. to - 1 that are right on all rows of the
     * divisors; at most `to - from` pairs. Gives their number. */
    size_t (*pairs)(const circuit_divisors *divisors, size_t second, size_t from, size_t to,
                    circuit_pair *found);
};

/* -- one circuit under change ------------------------------------------------------------------ */

/* Gates in an order in which they can be computed, with room for `capacity` of them. After
 * circuit_tidy every gate combines two signals, f(0, 0) = 0, and no two are the same. */
typedef struct {
    size_t inputs, gates, outputs, capacity;
    uint8_t *op;
    int32_t *a, *b;
    uint32_t *ends; /* literals (outputs) */
} circuit_net;

/* What circuit_tidy needs besides its operands. */
typedef struct {
    size_t capacity;   /* gates */
    uint8_t *state;    /* by signal */
    uint32_t *literal; /* by signal */
    uint32_t *stack, *order;
    uint16_t *slots; /* hash table of gates, by structure */
    uint8_t *live;
} circuit_scratch;

/* Words of vectors, each on its own cache line; free with bnn_free_floats. */
BNN_INLINE uint64_t *circuit_words(size_t signals, size_t words) {
    return (uint64_t *)(void *)bnn_allocate_floats(signals, words, 2);
}
BNN_INLINE void circuit_free_words(uint64_t *words) { bnn_free_floats((float *)(void *)words); }
BNN_INLINE size_t circuit_first_gate(const circuit_net *net) {
    return CIRCUIT_FIRST_INPUT + net->inputs;
}
BNN_INLINE int circuit_invert_a(int op) { return (op & 5) << 1 | (op & 10) >> 1; }
BNN_INLINE int circuit_invert_b(int op) { return (op & 3) << 2 | (op & 12) >> 2; }
BNN_INLINE int circuit_swap(int op) { return (op & 9) | (op & 2) << 1 | (op & 4) >> 1; }
BNN_INLINE int circuit_reads_a(int op) { return ((op >> 1 ^ op) & 5) != 0; }
BNN_INLINE int circuit_reads_b(int op) { return ((op >> 2 ^ op) & 3) != 0; }

/* 0, or -1 without memory: then nothing is to be freed but by the functions below. */
int circuit_net_make(circuit_net *net, size_t inputs, size_t outputs, size_t capacity);
void circuit_net_free(circuit_net *net);
void circuit_net_copy(circuit_net *to, const circuit_net *from);
int circuit_scratch_make(circuit_scratch *scratch, size_t inputs, size_t capacity);
void circuit_scratch_free(circuit_scratch *scratch);

/* Copies what the outputs of `from` need: constants are folded, wires and inverters absorbed, equal
 * gates made one. The gates of `from` may be in any order without a loop. */
void circuit_tidy(circuit_scratch *scratch, const circuit_net *from, circuit_net *to);

/* Two-input gates with the inverters that complemented outputs need. */
size_t circuit_size(circuit_scratch *scratch, const circuit_net *net);

/* Makes gates of equal values wires to the first of them. */
int circuit_merge_equal(circuit_net *net, const uint64_t *values, size_t words);

/* -- work shared between neighbouring cells ----------------------------------------------------- */

/* Shifts by which a signal of one cell is one of another: none, to other rows, to any cell. */
enum { CIRCUIT_NO_SHIFT, CIRCUIT_ROWS, CIRCUIT_CELLS };

typedef struct {
    size_t capacity;
    int32_t *kind; /* class by signal */
    int8_t *y, *x; /* position by signal, relative to the class */
    int32_t (*key)[4];
    uint16_t *slots;
    int32_t *copy; /* by signal: its shifted copy, 0 if not made, -1 if it leaves the window */
    uint32_t *stack;
} circuit_shifts;

int circuit_shifts_make(circuit_shifts *shifts, size_t capacity);
void circuit_shifts_free(circuit_shifts *shifts);

/* Counts the gates of a 3 x 3 neighbourhood, where gates that are shifts of each other count once. */
size_t circuit_shared(circuit_shifts *shifts, const circuit_net *net, int how);

/* Appends what computes `signal` shifted by (y, x); gives its copy, or 0 if an input would lie
 * outside the neighbourhood or there is no room (then net is as it was). */
size_t circuit_copy_shifted(circuit_shifts *shifts, circuit_net *net, size_t signal, int y, int x);

#endif

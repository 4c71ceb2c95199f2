/* Random circuits through every instruction set of this machine, in buffers of exactly the right
 * size: simulation against the plain form, walks against each other and against their start.
 * Usage: fuzz_circuit CASES SEED. */
#include "fuzzing.h"

/* -- one random circuit ---------------------------------------------------------------------- */

static uint8_t *op;
static int32_t *a, *b, *ends;

static bnn_circuit random_circuit(size_t inputs, size_t gates, size_t outputs) {
    op = allocate(gates);
    a = allocate(gates * sizeof *a);
    b = allocate(gates * sizeof *b);
    ends = allocate(outputs * sizeof *ends);
    for (size_t i = 0; i < gates; i++) {
        op[i] = (uint8_t)between(0, 15);
        a[i] = (int32_t)between(0, 1 + inputs + i);
        b[i] = (int32_t)between(0, 1 + inputs + i);
    }
    for (size_t q = 0; q < outputs; q++) ends[q] = (int32_t)between(0, 1 + inputs + gates);
    return (bnn_circuit){inputs, gates, outputs, op, a, b, ends};
}

static void free_circuit(void) {
    free(op);
    free(a);
    free(b);
    free(ends);
}

/* -- simulation ---------------------------------------------------------------------------------- */

static void simulate(const bnn_circuit *circuit, const int32_t *wanted, size_t n) {
    const size_t words = between(0, 20);
    uint64_t *inputs = allocate(circuit->inputs * words * sizeof *inputs), *plain = NULL;
    for (size_t i = 0; i < circuit->inputs * words; i++) inputs[i] = next();
    for (size_t i = 0; i < N_ISAS; i++) {
        const bnn_isa *isa = bnn_isa_find(isa_names[i]);
        if (!isa) continue;
        uint64_t *out = allocate(n * words * sizeof *out);
        if (bnn_circuit_simulate(isa, circuit, inputs, words, wanted, n, out)) exit(3);
        if (plain && words && memcmp(out, plain, n * words * sizeof *out))
            fail("outputs", bnn_isa_name(isa), words);
        if (plain)
            free(out);
        else
            plain = out;
    }
    free(plain);
    free(inputs);
}

/* -- walks ------------------------------------------------------------------------------------- */

static int value_of(const bnn_circuit *circuit, uint8_t *values, int32_t signal, size_t row) {
    const size_t first = 2 + circuit->inputs;
    for (size_t s = 0; s < first + circuit->gates; s++) {
        if (s < 2)
            values[s] = (uint8_t)s;
        else if (s < first)
            values[s] = row >> (s - 2) & 1;
        else
            values[s] = circuit->op[s - first] >>
                            (values[circuit->a[s - first]] + 2 * values[circuit->b[s - first]]) &
                        1;
    }
    return values[signal];
}

/* The best of a walk has its start's outputs, on rows drawn at random. */
static void compare(const bnn_resub *walk, const bnn_circuit *start, const char *isa) {
    const size_t gates = bnn_resub_gates(walk);
    uint8_t *best_op = allocate(gates), *values = allocate(2 + start->inputs + start->gates + gates);
    int32_t *best_a = allocate(gates * sizeof *a), *best_b = allocate(gates * sizeof *b);
    uint32_t *literals = allocate(start->outputs * sizeof *literals);
    bnn_resub_best(walk, best_op, best_a, best_b, literals);
    bnn_circuit best = {start->inputs, gates, 0, best_op, best_a, best_b, NULL};
    for (size_t k = 0; k < 50 * start->outputs; k++) {
        size_t row = between(0, ((size_t)1 << start->inputs) - 1), q = k % start->outputs;
        int found = value_of(&best, values, (int32_t)(literals[q] >> 1), row) ^ (int)(literals[q] & 1);
        if (found != value_of(start, values, start->ends[q], row)) fail("function", isa, row);
    }
    free(literals);
    free(best_b);
    free(best_a);
    free(values);
    free(best_op);
}

static void walk(const bnn_circuit *circuit, size_t steps) {
    const int shifts = circuit->inputs == 9 ? (int)between(0, 2) : 0;
    const double temperature = (double)between(1, 20) / 10;
    const uint64_t seed = next();
    uint64_t cost = 0;
    size_t gates = 0, first = 1;
    for (size_t i = 0; i < N_ISAS; i++) {
        const bnn_isa *isa = bnn_isa_find(isa_names[i]);
        if (!isa) continue;
        bnn_resub *state = bnn_resub_create(isa, circuit, seed, temperature, shifts);
        if (!state) exit(3);
        if (bnn_resub_step(state, steps)) fail("walk", bnn_isa_name(isa), steps);
        if (!first && (cost != bnn_resub_cost(state) || gates != bnn_resub_gates(state)))
            fail("best", bnn_isa_name(isa), steps);
        compare(state, circuit, bnn_isa_name(isa));
        first = 0;
        cost = bnn_resub_cost(state);
        gates = bnn_resub_gates(state);
        bnn_resub_free(state);
    }
}

static void check(long number) {
    const size_t inputs = number % 3 == 0 ? 9 : number % 5 == 0 ? between(10, 12) : between(0, 9);
    const size_t gates = number % 9 == 0 ? between(300, 500) : between(0, 60);
    const size_t outputs = between(1, 6);
    bnn_circuit circuit = random_circuit(inputs, gates, outputs);
    simulate(&circuit, ends, outputs);
    walk(&circuit, gates > 100 || inputs > 9 ? 3 : 30);
    free_circuit();
}

int main(int argc, char **argv) { return fuzz(argc, argv, check); }

/* Circuits under change: copies, the clean-up after each change, sizes. */
#include "circuit.h"

#include <stdlib.h>

#define NO_SLOT UINT16_MAX

/* -- memory --------------------------------------------------------------------------------------- */

int circuit_net_make(circuit_net *net, size_t inputs, size_t outputs, size_t capacity) {
    *net = (circuit_net){.inputs = inputs, .outputs = outputs, .capacity = capacity};
    net->op = malloc(capacity + 1);
    net->a = malloc((capacity + 1) * sizeof *net->a);
    net->b = malloc((capacity + 1) * sizeof *net->b);
    net->ends = malloc((outputs + 1) * sizeof *net->ends);
    return net->op && net->a && net->b && net->ends ? 0 : -1;
}

void circuit_net_free(circuit_net *net) {
    free(net->op);
    free(net->a);
    free(net->b);
    free(net->ends);
}

void circuit_net_copy(circuit_net *to, const circuit_net *from) {
    to->gates = from->gates;
    memcpy(to->op, from->op, from->gates * sizeof *to->op);
    memcpy(to->a, from->a, from->gates * sizeof *to->a);
    memcpy(to->b, from->b, from->gates * sizeof *to->b);
    memcpy(to->ends, from->ends, from->outputs * sizeof *to->ends);
}

/* Slots for n gates: a power of two, at most half full. */
static size_t slots_for(size_t n) {
    size_t slots = 64;
    while (slots < 2 * n) slots *= 2;
    return slots;
}

int circuit_scratch_make(circuit_scratch *scratch, size_t inputs, size_t capacity) {
    const size_t signals = CIRCUIT_FIRST_INPUT + inputs + capacity;
    *scratch = (circuit_scratch){.capacity = capacity};
    scratch->state = malloc(signals);
    scratch->live = malloc(signals);
    scratch->literal = malloc(signals * sizeof *scratch->literal);
    scratch->stack = malloc((2 * capacity + 2) * sizeof *scratch->stack);
    scratch->order = malloc((capacity + 1) * sizeof *scratch->order);
    scratch->slots = malloc(slots_for(capacity) * sizeof *scratch->slots);
    return scratch->state && scratch->live && scratch->literal && scratch->stack &&
                   scratch->order && scratch->slots
               ? 0
               : -1;
}

void circuit_scratch_free(circuit_scratch *scratch) {
    free(scratch->state);
    free(scratch->live);
    free(scratch->literal);
    free(scratch->stack);
    free(scratch->order);
    free(scratch->slots);
}

/* -- clean-up --------------------------------------------------------------------------------------- */

enum { UNSEEN, OPEN, DONE };

/* Lists the gates below a signal that are not listed yet, each after those that it reads. */
static size_t list_below(circuit_scratch *s, const circuit_net *net, size_t signal, size_t listed) {
    const size_t first = circuit_first_gate(net);
    size_t top = 0;
    if (signal >= first && s->state[signal] == UNSEEN) s->stack[top++] = (uint32_t)signal;
    while (top) {
        size_t x = s->stack[top - 1], i = x - first;
        if (s->state[x] == UNSEEN) {
            size_t a = (size_t)net->a[i], b = (size_t)net->b[i];
            s->state[x] = OPEN;
            if (a >= first && s->state[a] == UNSEEN && circuit_reads_a(net->op[i]))
                s->stack[top++] = (uint32_t)a;
            if (b >= first && s->state[b] == UNSEEN && circuit_reads_b(net->op[i]))
                s->stack[top++] = (uint32_t)b;
            continue;
        }
        if (s->state[x] == OPEN) {
            s->state[x] = DONE;
            s->order[listed++] = (uint32_t)x;
        }
        top--;
    }
    return listed;
}

/* The literal of op(x, y): an old one where it can be, else that of a new gate. */
static uint32_t add_gate(circuit_scratch *s, circuit_net *net, size_t slots, int op, uint32_t x,
                         uint32_t y) {
    int32_t a = (int32_t)(x >> 1), b = (int32_t)(y >> 1);
    if (x & 1) op = circuit_invert_a(op);
    if (y & 1) op = circuit_invert_b(op);
    if (!a) op = (op & 5) | (op & 5) << 1;
    if (!b) op = (op & 3) | (op & 3) << 2;
    if (a == b) op = (op & 1) * 5 | (op >> 3) * 10;
    uint32_t complement = op & 1;
    if (complement) op ^= 15;
    if (op == 0) return complement;
    if (op == 10) return 2 * (uint32_t)a + complement;
    if (op == 12) return 2 * (uint32_t)b + complement;
    if (a > b) {
        int32_t swapped = a;
        a = b;
        b = swapped;
        op = circuit_swap(op);
    }
    uint32_t hash = (uint32_t)a * 0x9e3779b1u ^ (uint32_t)b * 0x85ebca6bu ^ (uint32_t)op * 0xc2b2ae35u;
    size_t slot = (hash ^ hash >> 15) & (slots - 1);
    for (; s->slots[slot] != NO_SLOT; slot = (slot + 1) & (slots - 1)) {
        size_t i = s->slots[slot];
        if (net->op[i] == op && net->a[i] == a && net->b[i] == b)
            return 2 * (uint32_t)(circuit_first_gate(net) + i) + complement;
    }
    s->slots[slot] = (uint16_t)net->gates;
    net->op[net->gates] = (uint8_t)op;
    net->a[net->gates] = a;
    net->b[net->gates] = b;
    return 2 * (uint32_t)(circuit_first_gate(net) + net->gates++) + complement;
}

/* Drops the gates that no output needs; hashing leaves some behind. */
static void drop_dead(circuit_scratch *s, circuit_net *net) {
    const size_t first = circuit_first_gate(net);
    memset(s->live, 0, first + net->gates);
    for (size_t q = 0; q < net->outputs; q++) s->live[net->ends[q] >> 1] = 1;
    for (size_t i = net->gates; i--;)
        if (s->live[first + i]) s->live[net->a[i]] = s->live[net->b[i]] = 1;
    for (size_t i = 0; i < first; i++) s->literal[i] = 2 * (uint32_t)i;
    size_t kept = 0;
    for (size_t i = 0; i < net->gates; i++) {
        if (!s->live[first + i]) continue;
        net->op[kept] = net->op[i];
        net->a[kept] = (int32_t)(s->literal[net->a[i]] >> 1);
        net->b[kept] = (int32_t)(s->literal[net->b[i]] >> 1);
        s->literal[first + i] = 2 * (uint32_t)(first + kept++);
    }
    net->gates = kept;
    for (size_t q = 0; q < net->outputs; q++)
        net->ends[q] = s->literal[net->ends[q] >> 1] | (net->ends[q] & 1);
}

void circuit_tidy(circuit_scratch *scratch, const circuit_net *from, circuit_net *to) {
    const size_t first = circuit_first_gate(from), slots = slots_for(from->gates);
    size_t listed = 0;
    memset(scratch->state, UNSEEN, first + from->gates);
    for (size_t q = 0; q < from->outputs; q++)
        listed = list_below(scratch, from, from->ends[q] >> 1, listed);
    memset(scratch->slots, 0xff, slots * sizeof *scratch->slots);
    to->gates = 0;
    for (size_t i = 0; i < first; i++) scratch->literal[i] = 2 * (uint32_t)i;
    scratch->literal[1] = 1;
    for (size_t k = 0; k < listed; k++) {
        size_t x = scratch->order[k], i = x - first;
        int op = from->op[i];
        /* An input without influence may be one that was not listed. */
        uint32_t a = circuit_reads_a(op) ? scratch->literal[from->a[i]] : 0;
        uint32_t b = circuit_reads_b(op) ? scratch->literal[from->b[i]] : 0;
        scratch->literal[x] = add_gate(scratch, to, slots, op, a, b);
    }
    for (size_t q = 0; q < from->outputs; q++)
        to->ends[q] = scratch->literal[from->ends[q] >> 1] ^ (from->ends[q] & 1);
    drop_dead(scratch, to);
}

/* -- sizes and equal gates ---------------------------------------------------------------------- */

size_t circuit_size(circuit_scratch *scratch, const circuit_net *net) {
    const size_t first = circuit_first_gate(net);
    enum { STRAIGHT = 1, TURNED = 2 };
    size_t inverters = 0;
    for (size_t q = 0; q < net->outputs; q++) scratch->live[net->ends[q] >> 1] = 0;
    for (size_t q = 0; q < net->outputs; q++)
        scratch->live[net->ends[q] >> 1] |= net->ends[q] & 1 ? TURNED : STRAIGHT;
    for (size_t q = 0; q < net->outputs; q++) {
        size_t signal = net->ends[q] >> 1;
        int need = scratch->live[signal];
        /* A gate that is wanted complemented only is turned round itself. */
        inverters += signal && need & TURNED && (signal < first || need & STRAIGHT);
        scratch->live[signal] = 0;
    }
    return net->gates + inverters;
}

int circuit_merge_equal(circuit_net *net, const uint64_t *values, size_t words) {
    const size_t first = circuit_first_gate(net), signals = first + net->gates;
    size_t slots = slots_for(signals);
    uint32_t *slot = calloc(slots, sizeof *slot);
    if (!slot) return -1;
    for (size_t s = 0; s < signals; s++) {
        if (s == 1) continue; /* tidy gates are 0 on row 0 */
        const uint64_t *value = values + s * words;
        uint64_t hash = 0;
        for (size_t w = 0; w < words; w++) hash = (hash ^ value[w]) * 0x9e3779b97f4a7c15u;
        size_t at = (hash >> 32) & (slots - 1);
        while (slot[at] && memcmp(values + (slot[at] - 1) * words, value, words * sizeof *value))
            at = (at + 1) & (slots - 1);
        if (!slot[at]) {
            slot[at] = (uint32_t)s + 1;
        } else if (s >= first) {
            net->op[s - first] = 10;
            net->a[s - first] = net->b[s - first] = (int32_t)(slot[at] - 1);
        }
    }
    free(slot);
    return 0;
}

/* Work shared between the cells of an automaton: gates that are shifts of each other count once. */
#include "circuit.h"

#include <stdlib.h>

#define SIDE 3 /* cells of a neighbourhood in a row, and rows */
#define NO_SLOT UINT16_MAX

int circuit_shifts_make(circuit_shifts *shifts, size_t capacity) {
    const size_t signals = CIRCUIT_FIRST_INPUT + SIDE * SIDE + capacity;
    size_t slots = 64;
    while (slots < 2 * capacity) slots *= 2;
    *shifts = (circuit_shifts){.capacity = capacity};
    shifts->kind = malloc(signals * sizeof *shifts->kind);
    shifts->y = malloc(signals);
    shifts->x = malloc(signals);
    shifts->key = malloc((capacity + 1) * sizeof *shifts->key);
    shifts->slots = malloc(slots * sizeof *shifts->slots);
    shifts->copy = malloc(signals * sizeof *shifts->copy);
    shifts->stack = malloc((2 * signals + 2) * sizeof *shifts->stack);
    return shifts->kind && shifts->y && shifts->x && shifts->key && shifts->slots &&
                   shifts->copy && shifts->stack
               ? 0
               : -1;
}

void circuit_shifts_free(circuit_shifts *shifts) {
    free(shifts->kind);
    free(shifts->y);
    free(shifts->x);
    free(shifts->key);
    free(shifts->slots);
    free(shifts->copy);
    free(shifts->stack);
}

/* -- classes ------------------------------------------------------------------------------------ */

/* Input i lies in row i / 3 and column i % 3. Inputs are one kind if any shift is free, one kind
 * for each column if only rows are. Without shifts every input is its own. */
static void place_inputs(circuit_shifts *shifts, int how) {
    for (int i = 0; i < SIDE * SIDE; i++) {
        size_t s = CIRCUIT_FIRST_INPUT + (size_t)i;
        shifts->kind[s] = how == CIRCUIT_CELLS ? 0 : how == CIRCUIT_ROWS ? i % SIDE : i;
        shifts->y[s] = how == CIRCUIT_NO_SHIFT ? 0 : (int8_t)(i / SIDE);
        shifts->x[s] = how == CIRCUIT_CELLS ? (int8_t)(i % SIDE) : 0;
    }
}

/* A gate by the kinds of its inputs, its table and where the second lies from the first. */
static void key_of(const circuit_shifts *shifts, int op, int32_t a, int32_t b, int32_t key[4]) {
    int dy = shifts->y[b] - shifts->y[a], dx = shifts->x[b] - shifts->x[a];
    key[0] = shifts->kind[a];
    key[1] = shifts->kind[b];
    key[2] = op;
    key[3] = (dy + 8) * 32 + dx + 8;
}

static int key_below(const int32_t x[4], const int32_t y[4]) {
    for (int i = 0; i < 4; i++)
        if (x[i] != y[i]) return x[i] < y[i];
    return 0;
}

size_t circuit_shared(circuit_shifts *shifts, const circuit_net *net, int how) {
    const size_t first = circuit_first_gate(net);
    size_t slots = 64, kinds = 0;
    while (slots < 2 * net->gates) slots *= 2;
    memset(shifts->slots, 0xff, slots * sizeof *shifts->slots);
    place_inputs(shifts, how);
    for (size_t i = 0; i < net->gates; i++) {
        int32_t key[4], swapped[4], anchor = net->a[i];
        key_of(shifts, net->op[i], net->a[i], net->b[i], key);
        key_of(shifts, circuit_swap(net->op[i]), net->b[i], net->a[i], swapped);
        if (key_below(swapped, key)) {
            memcpy(key, swapped, sizeof key);
            anchor = net->b[i];
        }
        uint32_t hash = (uint32_t)key[0] * 0x9e3779b1u ^ (uint32_t)key[1] * 0x85ebca6bu ^
                        (uint32_t)key[2] * 0xc2b2ae35u ^ (uint32_t)key[3] * 0x27d4eb2fu;
        size_t slot = (hash ^ hash >> 15) & (slots - 1);
        while (shifts->slots[slot] != NO_SLOT &&
               memcmp(shifts->key[shifts->slots[slot]], key, sizeof key))
            slot = (slot + 1) & (slots - 1);
        if (shifts->slots[slot] == NO_SLOT) {
            memcpy(shifts->key[kinds], key, sizeof key);
            shifts->slots[slot] = (uint16_t)kinds++;
        }
        shifts->kind[first + i] = SIDE * SIDE + shifts->slots[slot];
        shifts->y[first + i] = shifts->y[anchor];
        shifts->x[first + i] = shifts->x[anchor];
    }
    return kinds;
}

/* -- shifted copies ------------------------------------------------------------------------------- */

enum { NOT_MADE = 0, OUTSIDE = -1 };

static int32_t shifted_input(size_t signal, int y, int x) {
    int i = (int)(signal - CIRCUIT_FIRST_INPUT), row = i / SIDE + y, column = i % SIDE + x;
    if (row < 0 || row >= SIDE || column < 0 || column >= SIDE) return OUTSIDE;
    return (int32_t)CIRCUIT_FIRST_INPUT + row * SIDE + column;
}

size_t circuit_copy_shifted(circuit_shifts *shifts, circuit_net *net, size_t signal, int y, int x) {
    const size_t first = circuit_first_gate(net), before = net->gates;
    int32_t *copy = shifts->copy;
    size_t top = 0;
    for (size_t s = CIRCUIT_FIRST_INPUT; s < first; s++) copy[s] = shifted_input(s, y, x);
    for (size_t s = first; s <= signal; s++) copy[s] = NOT_MADE;
    shifts->stack[top++] = (uint32_t)signal;
    while (top) {
        size_t s = shifts->stack[top - 1], i = s - first;
        if (copy[s] == OUTSIDE) break;
        if (copy[s] != NOT_MADE) {
            top--;
            continue;
        }
        int32_t a = copy[net->a[i]], b = copy[net->b[i]];
        if (a == OUTSIDE || b == OUTSIDE || net->gates == net->capacity) break;
        if (a == NOT_MADE) shifts->stack[top++] = (uint32_t)net->a[i];
        if (b == NOT_MADE) shifts->stack[top++] = (uint32_t)net->b[i];
        if (a == NOT_MADE || b == NOT_MADE) continue;
        net->op[net->gates] = net->op[i];
        net->a[net->gates] = a;
        net->b[net->gates] = b;
        copy[s] = (int32_t)(first + net->gates++);
        top--;
    }
    if (top) net->gates = before;
    return top ? 0 : (size_t)copy[signal];
}

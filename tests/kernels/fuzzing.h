/* What the fuzzers share: seeded random numbers, the instruction sets, the loop over cases. */
#ifndef FUZZING_H
#define FUZZING_H

#include <stdio.h>
#include <stdlib.h>

#include "bnn_isa.h"

static const char *const isa_names[] = {"ref", "scalar", "avx2", "avx512", "neon"};
#define N_ISAS (sizeof isa_names / sizeof *isa_names)

static uint64_t state;

static uint64_t next(void) { /* splitmix64 */
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t between(size_t low, size_t high) { return low + next() % (high - low + 1); }

static void *allocate(size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    if (!p) exit(3);
    return p;
}

static void fail(const char *what, const char *isa, size_t at) {
    printf("%s %s differs at %zu\n", isa, what, at);
    exit(1);
}

/* Checks random cases, as many as the first argument says, from the seed that the second one is. */
static int fuzz(int argc, char **argv, void (*check)(long number)) {
    long cases = argc > 1 ? atol(argv[1]) : 100;
    state = argc > 2 ? (uint64_t)atol(argv[2]) : 0;
    for (long i = 0; i < cases; i++) check(i);
    printf("%ld cases:", cases);
    for (size_t i = 0; i < N_ISAS; i++)
        if (bnn_isa_find(isa_names[i])) printf(" %s", isa_names[i]);
    printf("\n");
    return 0;
}

#endif

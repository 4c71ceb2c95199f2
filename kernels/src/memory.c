/* Scratch memory. */
#include <stdlib.h>

#include "logic.h"

#define CACHE_LINE 64

/* The pointer that malloc gave lies in front of the floats. */
float *bnn_allocate_floats(size_t a, size_t b, size_t c) {
    const size_t most = (SIZE_MAX - CACHE_LINE - sizeof(void *)) / sizeof(float);
    if (b && c && (b > most / c || a > most / (b * c))) return NULL;
    char *given = malloc(a * b * c * sizeof(float) + CACHE_LINE + sizeof(void *));
    if (!given) return NULL;
    char *start = given + sizeof(void *);
    start += (CACHE_LINE - (uintptr_t)start % CACHE_LINE) % CACHE_LINE;
    memcpy(start - sizeof(void *), &given, sizeof(void *));
    return (float *)start;
}

void bnn_free_floats(float *floats) {
    void *given = NULL;
    if (floats) memcpy(&given, (char *)floats - sizeof(void *), sizeof(void *));
    free(given);
}

/* Scratch memory. */
#include <stdlib.h>

#include "logic.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#define CACHE_LINE 64

/* Activations of some MB are freed and allocated again in every step. By default glibc gives them
 * back to the system each time, and every page of the next ones has to be cleared. */
void bnn_memory_keep(void) {
#if defined(__GLIBC__)
    if (getenv("MALLOC_TRIM_THRESHOLD_") || getenv("MALLOC_MMAP_THRESHOLD_")) return;
    mallopt(M_MMAP_THRESHOLD, 1 << 25);
    mallopt(M_TRIM_THRESHOLD, 1 << 29);
#endif
}

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

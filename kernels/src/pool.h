/* Threads that share the blocks of one piece of work with the thread that asks. */
#ifndef BNN_POOL_H
#define BNN_POOL_H

#include <stddef.h>

/* Works on one block. slot < n_threads names the thread, for scratch memory of its own. */
typedef void (*bnn_pool_fn)(void *context, size_t block, size_t slot);

/* Calls fn once for each of n_blocks, in any order, on at most n_threads threads, the caller
 * among them, and returns when all calls have returned. While another thread of the process has
 * the pool, and where there are no POSIX threads, the caller does everything itself, in order. */
void bnn_pool_run(bnn_pool_fn fn, void *context, size_t n_blocks, size_t n_threads);

#endif

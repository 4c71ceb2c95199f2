/* The pool: workers sleep on a condition, blocks are taken from a counter, nothing spins long. */
#define _POSIX_C_SOURCE 200809L

#include "pool.h"

static void run_alone(bnn_pool_fn fn, void *context, size_t n_blocks) {
    for (size_t block = 0; block < n_blocks; block++) fn(context, block, 0);
}

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

/* How a thread rounds, and whether it takes subnormal numbers for 0. Workers compute as the caller
 * does: a result must not depend on who computed it. */
#if defined(__GNUC__) && defined(__x86_64__)
typedef unsigned float_mode;
static float_mode current_mode(void) { return __builtin_ia32_stmxcsr(); }
static void set_mode(float_mode mode) { __builtin_ia32_ldmxcsr(mode); }
#elif defined(__GNUC__) && defined(__aarch64__)
typedef uint64_t float_mode;
static float_mode current_mode(void) {
    float_mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static void set_mode(float_mode mode) { __asm__ volatile("msr fpcr, %0" ::"r"(mode)); }
#else
typedef int float_mode;
static float_mode current_mode(void) { return 0; }
static void set_mode(float_mode mode) { (void)mode; }
#endif

#define MAX_WORKERS 255
#define SPINS 200 /* a few microseconds of looking before a thread sleeps */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    size_t n_workers;
    /* The piece of work, written under the lock while no worker is inside. */
    bnn_pool_fn fn;
    void *context;
    size_t n_blocks;
    float_mode mode;
    size_t seats; /* workers that may still join it */
    size_t slots; /* slots given out, the caller's included */
    atomic_size_t inside;
    atomic_size_t next_block;
    atomic_size_t generation;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

static atomic_flag busy = ATOMIC_FLAG_INIT;

static void take_blocks(bnn_pool_fn fn, void *context, size_t n_blocks, size_t slot) {
    for (;;) {
        size_t block = atomic_fetch_add_explicit(&pool.next_block, 1, memory_order_relaxed);
        if (block >= n_blocks) return;
        fn(context, block, slot);
    }
}

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void *worker(void *unused) {
    size_t seen = 0;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (pool.seats == 0) {
            seen = atomic_load(&pool.generation);
            pthread_mutex_unlock(&pool.lock);
            for (int i = 0; i < SPINS && atomic_load(&pool.generation) == seen; i++) pause_briefly();
            pthread_mutex_lock(&pool.lock);
            if (pool.seats == 0 && atomic_load(&pool.generation) == seen)
                pthread_cond_wait(&pool.wake, &pool.lock);
        }
        pool.seats--;
        size_t slot = pool.slots++;
        atomic_fetch_add(&pool.inside, 1);
        bnn_pool_fn fn = pool.fn;
        void *context = pool.context;
        size_t n_blocks = pool.n_blocks;
        float_mode mode = pool.mode;
        pthread_mutex_unlock(&pool.lock);
        set_mode(mode);
        take_blocks(fn, context, n_blocks, slot);
        pthread_mutex_lock(&pool.lock);
        if (atomic_fetch_sub(&pool.inside, 1) == 1) pthread_cond_signal(&pool.done);
    }
    return unused;
}

/* Threads do not survive a fork: the child starts with an empty pool. */
static void forget_workers(void) {
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pthread_cond_init(&pool.done, NULL);
    pool.n_workers = pool.seats = 0;
    atomic_store(&pool.inside, 0);
    atomic_flag_clear(&busy);
}

/* Called with the lock held. Fewer workers than wanted are no error: the caller does the rest. */
static void hire(size_t wanted) {
    static int fork_is_watched;
    if (!fork_is_watched) fork_is_watched = pthread_atfork(NULL, NULL, forget_workers) == 0;
    if (!fork_is_watched) return;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals belong to the program's threads */
    while (pool.n_workers < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, NULL) != 0) break;
        pthread_detach(thread);
        pool.n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void offer(bnn_pool_fn fn, void *context, size_t n_blocks, size_t seats) {
    pthread_mutex_lock(&pool.lock);
    if (pool.n_workers < seats) hire(seats);
    pool.fn = fn;
    pool.context = context;
    pool.n_blocks = n_blocks;
    pool.mode = current_mode();
    pool.slots = 1;
    pool.seats = seats;
    atomic_store(&pool.next_block, 0);
    atomic_fetch_add(&pool.generation, 1);
    if (seats == 1)
        pthread_cond_signal(&pool.wake);
    else
        pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
}

static void withdraw(void) {
    pthread_mutex_lock(&pool.lock);
    pool.seats = 0; /* a worker that wakes up now finds nothing to do */
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < SPINS && atomic_load(&pool.inside) != 0; i++) pause_briefly();
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&pool.inside) != 0) pthread_cond_wait(&pool.done, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

void bnn_pool_run(bnn_pool_fn fn, void *context, size_t n_blocks, size_t n_threads) {
    size_t seats = (n_threads < n_blocks ? n_threads : n_blocks);
    seats = seats > MAX_WORKERS ? MAX_WORKERS : seats ? seats - 1 : 0;
    if (seats == 0 || atomic_flag_test_and_set(&busy)) {
        run_alone(fn, context, n_blocks);
        return;
    }
    offer(fn, context, n_blocks, seats);
    take_blocks(fn, context, n_blocks, 0);
    withdraw();
    atomic_flag_clear(&busy);
}
#else
void bnn_pool_run(bnn_pool_fn fn, void *context, size_t n_blocks, size_t n_threads) {
    (void)n_threads;
    run_alone(fn, context, n_blocks);
}
#endif

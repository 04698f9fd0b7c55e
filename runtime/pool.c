/* The caller opens a job, takes part in it, closes it, and waits until nobody is inside. A worker enters by counting
   itself inside and then looking whether a job is open; the caller closes it and then looks who is inside: both in
   sequentially consistent order, so that one of them always sees the other. No result depends on any worker coming. */
#include "pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Between two kernels a thread waits awake for about so long: a sleep and a wake-up cost ten microseconds each. */
enum { SPIN_NANOSECONDS = 100000, CHUNKS_A_THREAD = 4, CACHE_LINE = 64 };

struct neo_pool {
  neo_body body;
  void *data;
  int64_t items, chunk;
  int32_t threads;
  pid_t process;
  pthread_t *workers;
  _Alignas(CACHE_LINE) atomic_llong next;
  _Alignas(CACHE_LINE) atomic_uint ticket; /* one more for each job; workers sleep on it */
  atomic_int open, stop, sleepers;
  _Alignas(CACHE_LINE) atomic_uint inside; /* workers in a job; the caller sleeps on it */
  atomic_int waiting;
  _Alignas(CACHE_LINE) atomic_flag busy;
};

static void futex_wait(atomic_uint *word, unsigned seen) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, 0, 0, 0);
}

static void futex_wake(atomic_uint *word, int count) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, 0, 0, 0); }

static void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* Whether `word` became `value` (is: 1) or something else (is: 0) while it was worth staying awake. */
static int spin(atomic_uint *word, unsigned value, int is) {
  int64_t end = 0;
  for (;;) {
    for (int i = 0; i < 32; i++) {
      if ((atomic_load(word) == value) == is) return 1;
      pause_cpu();
    }
    int64_t time = now();
    if (!end) end = time + SPIN_NANOSECONDS;
    if (time > end) return 0;
  }
}

static void take_chunks(struct neo_pool *pool) {
  for (;;) {
    int64_t lo = atomic_fetch_add(&pool->next, pool->chunk);
    if (lo >= pool->items) return;
    int64_t hi = pool->items - lo > pool->chunk ? lo + pool->chunk : pool->items;
    pool->body(lo, hi, pool->data);
  }
}

static void *worker(void *argument) {
  struct neo_pool *pool = argument;
  unsigned seen = 0;
  for (;;) {
    if (!spin(&pool->ticket, seen, 0)) {
      atomic_fetch_add(&pool->sleepers, 1);
      while (atomic_load(&pool->ticket) == seen) futex_wait(&pool->ticket, seen);
      atomic_fetch_sub(&pool->sleepers, 1);
    }
    seen = atomic_load(&pool->ticket);
    if (atomic_load(&pool->stop)) return 0;
    atomic_fetch_add(&pool->inside, 1);
    if (atomic_load(&pool->open)) take_chunks(pool);
    if (atomic_fetch_sub(&pool->inside, 1) == 1 && atomic_load(&pool->waiting)) futex_wake(&pool->inside, 1);
  }
}

struct neo_pool *neo_pool_create(int32_t threads) {
  if (threads < 1) threads = 1;
  struct neo_pool *pool = aligned_alloc(CACHE_LINE, sizeof *pool);
  pthread_t *workers = malloc((size_t)threads * sizeof *workers);
  if (!pool || !workers) {
    free(pool);
    free(workers);
    return 0;
  }
  *pool = (struct neo_pool){.threads = 1, .workers = workers, .process = getpid()};
  atomic_flag_clear(&pool->busy);
  /* Signals are for the program's own threads. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (pool->threads < threads && !pthread_create(&workers[pool->threads - 1], 0, worker, pool)) pool->threads++;
  pthread_sigmask(SIG_SETMASK, &before, 0);
  return pool;
}

void neo_pool_destroy(struct neo_pool *pool) {
  if (!pool || neo_pool_stale(pool)) return;
  atomic_store(&pool->stop, 1);
  atomic_fetch_add(&pool->ticket, 1);
  futex_wake(&pool->ticket, pool->threads);
  for (int32_t i = 0; i < pool->threads - 1; i++) pthread_join(pool->workers[i], 0);
  free(pool->workers);
  free(pool);
}

int32_t neo_pool_threads(const struct neo_pool *pool) { return pool->threads; }

int32_t neo_pool_stale(const struct neo_pool *pool) { return pool->process != getpid(); }

void neo_pool_run(struct neo_pool *pool, int64_t items, neo_body body, void *data) {
  if (items <= 0) return;
  /* A loop inside a body finds the pool busy, and runs inline. */
  if (items == 1 || pool->threads == 1 || atomic_flag_test_and_set(&pool->busy)) {
    body(0, items, data);
    return;
  }
  int64_t shares = (int64_t)pool->threads * CHUNKS_A_THREAD;
  pool->body = body;
  pool->data = data;
  pool->items = items;
  pool->chunk = items / shares + (items % shares != 0);
  atomic_store(&pool->next, 0);
  atomic_store(&pool->open, 1);
  atomic_fetch_add(&pool->ticket, 1);
  if (atomic_load(&pool->sleepers)) futex_wake(&pool->ticket, pool->threads - 1);
  take_chunks(pool);
  atomic_store(&pool->open, 0);
  if (!spin(&pool->inside, 0, 1)) {
    atomic_store(&pool->waiting, 1);
    for (unsigned count; (count = atomic_load(&pool->inside));) futex_wait(&pool->inside, count);
    atomic_store(&pool->waiting, 0);
  }
  atomic_flag_clear(&pool->busy);
}

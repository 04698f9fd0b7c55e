#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum { MAX_THREADS = 256, SPINS = 4000, CHUNKS_A_THREAD = 4 };

struct neo_pool {
  int32_t threads;
  pthread_t workers[MAX_THREADS];
  pthread_mutex_t lock;
  pthread_cond_t wake;
  bool stop;
  /* The job at hand. Workers see it through `round`, which is raised after the other fields are set. */
  neo_body body;
  void *data;
  int64_t items, chunk;
  atomic_uint round;
  atomic_llong next;
  atomic_int busy;
};

/* A body that starts a parallel loop of its own runs it inline: the pool has one job at a time. */
static _Thread_local bool inside;

static void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

static void work(struct neo_pool *pool) {
  inside = true;
  for (;;) {
    int64_t lo = atomic_fetch_add_explicit(&pool->next, pool->chunk, memory_order_relaxed);
    if (lo >= pool->items) break;
    int64_t hi = lo + pool->chunk < pool->items ? lo + pool->chunk : pool->items;
    pool->body(lo, hi, pool->data);
  }
  inside = false;
}

static void *worker(void *argument) {
  struct neo_pool *pool = argument;
  unsigned seen = 0;
  for (;;) {
    unsigned round = atomic_load_explicit(&pool->round, memory_order_acquire);
    for (int spin = 0; round == seen && spin < SPINS; spin++) {
      pause_cpu();
      round = atomic_load_explicit(&pool->round, memory_order_acquire);
    }
    if (round == seen) {
      pthread_mutex_lock(&pool->lock);
      while ((round = atomic_load_explicit(&pool->round, memory_order_acquire)) == seen && !pool->stop)
        pthread_cond_wait(&pool->wake, &pool->lock);
      bool stop = pool->stop;
      pthread_mutex_unlock(&pool->lock);
      if (stop) return 0;
    }
    seen = round;
    work(pool);
    atomic_fetch_sub_explicit(&pool->busy, 1, memory_order_release);
  }
}

struct neo_pool *neo_pool_create(int32_t threads) {
  struct neo_pool *pool = calloc(1, sizeof *pool);
  if (!pool) return 0;
  if (threads < 1) threads = 1;
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  pthread_mutex_init(&pool->lock, 0);
  pthread_cond_init(&pool->wake, 0);
  pool->threads = 1;
  for (int32_t i = 0; i < threads - 1; i++) {
    if (pthread_create(&pool->workers[i], 0, worker, pool)) break;
    pool->threads++;
  }
  return pool;
}

void neo_pool_destroy(struct neo_pool *pool) {
  if (!pool) return;
  pthread_mutex_lock(&pool->lock);
  pool->stop = true;
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
  for (int32_t i = 0; i < pool->threads - 1; i++) pthread_join(pool->workers[i], 0);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->lock);
  free(pool);
}

int32_t neo_pool_threads(const struct neo_pool *pool) { return pool->threads; }

void neo_pool_run(struct neo_pool *pool, int64_t items, neo_body body, void *data) {
  if (items <= 0) return;
  if (items == 1 || pool->threads == 1 || inside) {
    body(0, items, data);
    return;
  }
  int64_t chunk = items / ((int64_t)pool->threads * CHUNKS_A_THREAD);
  pool->chunk = chunk < 1 ? 1 : chunk;
  pool->body = body;
  pool->data = data;
  pool->items = items;
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  atomic_store_explicit(&pool->busy, pool->threads - 1, memory_order_relaxed);
  pthread_mutex_lock(&pool->lock);
  atomic_fetch_add_explicit(&pool->round, 1, memory_order_release);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
  work(pool);
  while (atomic_load_explicit(&pool->busy, memory_order_acquire)) pause_cpu();
}

/* The caller opens a job, takes part in it, closes it, and waits until nobody is inside. A worker enters by counting
   itself inside and then looking whether a job is open; the caller closes it and then looks who is inside: both in
   sequentially consistent order, so that one of them always sees the other. No result depends on any worker coming. */
#include "pool.h"

#ifdef __wasm__

/* No threads: loops run where they are called. */
struct neo_pool {
  struct neo_allocator allocator;
};

struct neo_pool *neo_pool_create(const struct neo_allocator *allocator, int32_t threads) {
  (void)threads;
  struct neo_pool *pool = allocator->allocate(allocator->context, sizeof *pool, NEO_ALIGNMENT);
  if (pool) pool->allocator = *allocator;
  return pool;
}

void neo_pool_destroy(struct neo_pool *pool) {
  if (!pool) return;
  struct neo_allocator allocator = pool->allocator;
  allocator.release(allocator.context, pool, sizeof *pool);
}

int32_t neo_pool_threads(const struct neo_pool *pool) {
  (void)pool;
  return 1;
}

int32_t neo_pool_stale(const struct neo_pool *pool) {
  (void)pool;
  return 0;
}

int32_t neo_pool_pin(struct neo_pool *pool, const int32_t *cpus, int32_t count) {
  (void)pool;
  (void)cpus;
  return count;
}

void neo_pool_spin(struct neo_pool *pool, int64_t nanoseconds) {
  (void)pool;
  (void)nanoseconds;
}

void neo_pool_begin(struct neo_pool *pool) { (void)pool; }

void neo_pool_end(struct neo_pool *pool) { (void)pool; }

void neo_pool_run(struct neo_pool *pool, int64_t items, neo_body body, void *data) {
  (void)pool;
  if (items > 0) body(0, items, data);
}

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "wait.h"

/* Nanoseconds. A thread that waits awake gives its turns away after POLITE; where one took LOST it shares its CPU with
   somebody, and sleeps: a sleeper that is woken comes before who runs, a thread that waits its turn does not. */
enum { POLITE = 20000, LOST = 50000, SHORT_SPIN = 100000 };

enum { MOST_CHUNKS_A_THREAD = 16, MOST_CHUNKS = UINT16_MAX, CACHE_LINE = 64 };

/* Kernels keep small scratch memory on the stack, and some C libraries give a thread 128 KB. */
#define STACK_BYTES ((size_t)2 << 20)

/* How many CPUs can be told apart. */
#define MOST_CPUS 65536

/* Chunks of a loop that are set aside for a thread: the first in the low half, the end in the high half. */
struct share {
  _Alignas(CACHE_LINE) atomic_uint chunks;
};

struct neo_pool {
  neo_body body;
  void *data;
  int64_t items, chunk; /* items of a chunk */
  int32_t threads, capacity;
  pid_t process;
  struct neo_allocator allocator;
  pthread_t *workers;
  struct share *shares; /* one a thread, the caller's first */
  atomic_int named;     /* workers that have a number */
  int64_t spin, ended;  /* how long threads wait awake at most; when the last run ended */
  int close, shared;    /* whether this run followed close on the last; whether it had a loop for several threads */
  _Alignas(CACHE_LINE) atomic_uint ticket; /* one more for each job; workers sleep on it */
  atomic_int open, stop, sleepers;
  _Alignas(CACHE_LINE) atomic_llong patience; /* how long threads wait awake now */
  _Alignas(CACHE_LINE) atomic_uint inside; /* workers in a job; the caller sleeps on it */
  atomic_int waiting;
  _Alignas(CACHE_LINE) atomic_flag busy;
};

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
static int spin(struct neo_pool *pool, atomic_uint *word, unsigned value, int is) {
  int64_t began = 0, before = 0;
  for (;;) {
    for (int i = 0; i < 32; i++) {
      if ((atomic_load(word) == value) == is) return 1;
      pause_cpu();
    }
    int64_t time = now();
    if (!began) began = before = time;
    if (time - began >= atomic_load_explicit(&pool->patience, memory_order_relaxed) || time - before > LOST) return 0;
    if (time - began > POLITE) sched_yield();
    before = time;
  }
}

static unsigned packed(unsigned first, unsigned end) { return end << 16 | first; }

/* Do half of the chunks that are left of a share, from its front or from its back; 0 where none is left. */
static int take_half(struct neo_pool *pool, struct share *share, int from_front) {
  unsigned left = atomic_load(&share->chunks);
  for (;;) {
    unsigned first = left & UINT16_MAX, end = left >> 16, half = (end - first + 1) / 2;
    if (first >= end) return 0;
    unsigned after = from_front ? packed(first + half, end) : packed(first, end - half);
    if (!atomic_compare_exchange_weak(&share->chunks, &left, after)) continue;
    int64_t lo = from_front ? first : end - half, hi = lo + half;
    lo *= pool->chunk;
    hi *= pool->chunk;
    pool->body(lo, hi < pool->items ? hi : pool->items, pool->data);
    return 1;
  }
}

/* Affinity scheduling (Markatos and LeBlanc, IEEE TPDS 1994): a thread begins with the same share of every loop, so
   that it finds in its cache what it wrote in the loop before; done with that, it helps the others from behind. */
static void take_chunks(struct neo_pool *pool, int32_t thread) {
  while (take_half(pool, &pool->shares[thread], 1)) continue;
  for (int32_t i = 1; i < pool->threads; i++)
    while (take_half(pool, &pool->shares[(thread + i) % pool->threads], 0)) continue;
}

static void *worker(void *argument) {
  struct neo_pool *pool = argument;
  int32_t thread = atomic_fetch_add(&pool->named, 1) + 1;
  unsigned seen = 0;
  for (;;) {
    if (!spin(pool, &pool->ticket, seen, 0)) {
      atomic_fetch_add(&pool->sleepers, 1);
      while (atomic_load(&pool->ticket) == seen) wait_while(&pool->ticket, seen);
      atomic_fetch_sub(&pool->sleepers, 1);
    }
    seen = atomic_load(&pool->ticket);
    if (atomic_load(&pool->stop)) return 0;
    atomic_fetch_add(&pool->inside, 1);
    if (atomic_load(&pool->open)) take_chunks(pool, thread);
    if (atomic_fetch_sub(&pool->inside, 1) == 1 && atomic_load(&pool->waiting)) wake(&pool->inside, 1);
  }
}

/* Start workers up to the capacity; as many as the system gives. */
static void start(struct neo_pool *pool) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes)) return;
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  /* Signals are for the program's own threads. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (pool->threads < pool->capacity &&
         !pthread_create(&pool->workers[pool->threads - 1], &attributes, worker, pool))
    pool->threads++;
  pthread_sigmask(SIG_SETMASK, &before, 0);
  pthread_attr_destroy(&attributes);
}

struct neo_pool *neo_pool_create(const struct neo_allocator *allocator, int32_t threads) {
  if (threads < 1) threads = 1;
  int64_t worker_bytes = (int64_t)threads * (int64_t)sizeof(pthread_t);
  int64_t share_bytes = (int64_t)threads * (int64_t)sizeof(struct share);
  struct neo_pool *pool = neo_allocate(allocator, sizeof *pool);
  pthread_t *workers = neo_allocate(allocator, worker_bytes);
  struct share *shares = neo_allocate(allocator, share_bytes);
  if (!pool || !workers || !shares) {
    neo_free(allocator, pool, sizeof *pool);
    neo_free(allocator, workers, worker_bytes);
    neo_free(allocator, shares, share_bytes);
    return 0;
  }
  *pool = (struct neo_pool){.threads = 1,
                            .capacity = threads,
                            .workers = workers,
                            .shares = shares,
                            .process = getpid(),
                            .allocator = *allocator};
  atomic_flag_clear(&pool->busy);
  neo_pool_spin(pool, NEO_SPIN);
  start(pool);
  return pool;
}

void neo_pool_destroy(struct neo_pool *pool) {
  if (!pool || neo_pool_stale(pool)) return;
  atomic_store(&pool->stop, 1);
  atomic_fetch_add(&pool->ticket, 1);
  wake(&pool->ticket, pool->threads);
  for (int32_t i = 0; i < pool->threads - 1; i++) pthread_join(pool->workers[i], 0);
  struct neo_allocator allocator = pool->allocator;
  neo_free(&allocator, pool->workers, (int64_t)pool->capacity * (int64_t)sizeof(pthread_t));
  neo_free(&allocator, pool->shares, (int64_t)pool->capacity * (int64_t)sizeof(struct share));
  neo_free(&allocator, pool, sizeof *pool);
}

#if defined(__linux__) && !defined(__ANDROID__)
int32_t neo_pool_pin(struct neo_pool *pool, const int32_t *cpus, int32_t count) {
  /* The kernel takes a mask of any length: CPU_SETSIZE is not the limit. */
  const size_t bits = 8 * sizeof(unsigned long), words = MOST_CPUS / bits;
  const int64_t bytes = (int64_t)(words * sizeof(unsigned long));
  unsigned long *mask = neo_allocate(&pool->allocator, bytes);
  int32_t wrong = !mask;
  for (int32_t i = 1; !wrong && i < pool->threads; i++) {
    for (size_t word = 0; word < words; word++) mask[word] = count ? 0 : ~0ul;
    int32_t cpu = count ? cpus[i % count] : 0;
    wrong = cpu < 0 || cpu >= MOST_CPUS;
    if (count && !wrong) mask[(size_t)cpu / bits] = 1ul << (size_t)cpu % bits;
    wrong = wrong || pthread_setaffinity_np(pool->workers[i - 1], (size_t)bytes, (const cpu_set_t *)mask);
  }
  neo_free(&pool->allocator, mask, bytes);
  return wrong;
}
#else
int32_t neo_pool_pin(struct neo_pool *pool, const int32_t *cpus, int32_t count) {
  (void)pool;
  (void)cpus;
  return count;
}
#endif

int32_t neo_pool_threads(const struct neo_pool *pool) { return pool->threads; }

int32_t neo_pool_stale(const struct neo_pool *pool) { return pool->process != getpid(); }

static void call_workers(struct neo_pool *pool) {
  atomic_fetch_add(&pool->ticket, 1);
  if (atomic_load(&pool->sleepers)) wake(&pool->ticket, pool->threads - 1);
}

static void set_patience(struct neo_pool *pool, int64_t nanoseconds) {
  if (nanoseconds > pool->spin) nanoseconds = pool->spin;
  atomic_store_explicit(&pool->patience, nanoseconds, memory_order_relaxed);
}

void neo_pool_spin(struct neo_pool *pool, int64_t nanoseconds) {
  pool->spin = nanoseconds;
  set_patience(pool, SHORT_SPIN);
}

void neo_pool_begin(struct neo_pool *pool) {
  if (pool->threads == 1) return;
  pool->close = now() - pool->ended < pool->spin;
  set_patience(pool, pool->spin);
  /* Who sleeps wakes up while the first kernels run, if there will be something to share. */
  if (pool->shared && atomic_load(&pool->sleepers)) call_workers(pool);
  pool->shared = 0;
}

void neo_pool_end(struct neo_pool *pool) {
  if (pool->threads == 1) return;
  if (!pool->close) set_patience(pool, SHORT_SPIN);
  pool->ended = now();
}

void neo_pool_run(struct neo_pool *pool, int64_t items, neo_body body, void *data) {
  if (items <= 0) return;
  /* A loop inside a body finds the pool busy, and runs inline. */
  if (items == 1 || pool->threads == 1 || atomic_flag_test_and_set(&pool->busy)) {
    body(0, items, data);
    return;
  }
  int64_t most = (int64_t)pool->threads * MOST_CHUNKS_A_THREAD;
  if (most > MOST_CHUNKS) most = MOST_CHUNKS;
  pool->body = body;
  pool->data = data;
  pool->items = items;
  pool->chunk = items / most + (items % most != 0);
  int64_t chunks = items / pool->chunk + (items % pool->chunk != 0);
  for (int32_t i = 0; i < pool->threads; i++) {
    unsigned first = (unsigned)(i * chunks / pool->threads), end = (unsigned)((i + 1) * chunks / pool->threads);
    atomic_store(&pool->shares[i].chunks, packed(first, end));
  }
  pool->shared = 1;
  atomic_store(&pool->open, 1);
  call_workers(pool);
  take_chunks(pool, 0);
  atomic_store(&pool->open, 0);
  if (!spin(pool, &pool->inside, 0, 1)) {
    atomic_store(&pool->waiting, 1);
    for (unsigned count; (count = atomic_load(&pool->inside));) wait_while(&pool->inside, count);
    atomic_store(&pool->waiting, 0);
  }
  atomic_flag_clear(&pool->busy);
}

#endif

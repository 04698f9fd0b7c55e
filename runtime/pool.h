/* The threads of a session, which share the items of one loop at a time. */
#ifndef NEO_POOL_H
#define NEO_POOL_H

#include <stdint.h>

#include "neo.h"

typedef void (*neo_body)(int64_t lo, int64_t hi, void *data);
struct neo_pool;

/* A pool of `threads`, the caller's included; of fewer where no more start. Null without memory. */
struct neo_pool *neo_pool_create(const struct neo_allocator *allocator, int32_t threads);

/* Ends the threads; of a pool that is stale, nothing. */
void neo_pool_destroy(struct neo_pool *pool);
int32_t neo_pool_threads(const struct neo_pool *pool);

/* Whether the process forked since the pool was made, so that its threads are elsewhere. */
int32_t neo_pool_stale(const struct neo_pool *pool);

/* Keep thread n on cpus[n % count], from thread 1 on; anywhere for a count of 0. Not 0 where the system cannot. */
int32_t neo_pool_pin(struct neo_pool *pool, const int32_t *cpus, int32_t count);

/* How long a thread without work stays awake at most (neo_set_spin). Not during a run. */
void neo_pool_spin(struct neo_pool *pool, int64_t nanoseconds);

/* A run begins, or ends: threads wait awake within runs, and after one where the last but one was close. */
void neo_pool_begin(struct neo_pool *pool);
void neo_pool_end(struct neo_pool *pool);

/* Call `body` on ranges that cover 0 to `items`; returns when all are done. */
void neo_pool_run(struct neo_pool *pool, int64_t items, neo_body body, void *data);

#endif

/* Memory from the caller's allocator, or the C library. */
#ifndef NEO_MEMORY_H
#define NEO_MEMORY_H

#include <stdint.h>

#include "neo.h"

/* The allocator of `options`, or the C library's. */
struct neo_allocator neo_allocator_of(const struct neo_options *options);

/* 64-byte aligned; null without memory and for sizes that cannot be. */
void *neo_allocate(const struct neo_allocator *allocator, int64_t bytes);

/* The same, zeroed. */
void *neo_allocate_zeroed(const struct neo_allocator *allocator, int64_t bytes);

/* `bytes` are those of the allocation. Null is nothing. */
void neo_free(const struct neo_allocator *allocator, void *pointer, int64_t bytes);

#endif

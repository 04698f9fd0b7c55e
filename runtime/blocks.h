/* The memory of a runtime's models. */
#ifndef NEO_BLOCKS_H
#define NEO_BLOCKS_H

#include <stdint.h>

#include "neo.h"

struct neo_blocks;

struct neo_blocks *neo_blocks_create(const struct neo_allocator *allocator);

/* What is handed out outlives it. */
void neo_blocks_destroy(struct neo_blocks *blocks);

/* 64-byte aligned; null without memory or for bytes < 0. Given back by neo_release. */
void *neo_blocks_get(struct neo_blocks *blocks, int64_t bytes);

/* Take back all that was got and not handed out. */
void neo_blocks_reclaim(struct neo_blocks *blocks);
void neo_blocks_hand_out(void *pointer);

#endif

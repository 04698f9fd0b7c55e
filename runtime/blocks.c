/* Aligned memory that is kept for the next run, so that a steady state does not reach malloc. */
#include "blocks.h"

#include <stddef.h>

#include "lock.h"
#include "memory.h"

/* What is kept: so many blocks, and twice the most that was ever in use at once. */
#define MOST_KEPT 256
#define SLACK (INT64_C(1) << 20)

struct block {
  struct neo_blocks *home;
  struct block *before, *after; /* in the list of used or of kept blocks; null, null when handed out */
  int64_t bytes;
  _Alignas(NEO_ALIGNMENT) uint8_t data[];
};

struct list {
  struct block *first, *last;
};

struct neo_blocks {
  neo_lock lock;
  struct neo_allocator allocator;
  struct list used, kept; /* kept: the oldest first */
  int64_t kept_count, kept_bytes, live_bytes, live_count, peak_bytes;
  int closed;
};

static void append(struct list *list, struct block *block) {
  block->before = list->last;
  block->after = 0;
  *(list->last ? &list->last->after : &list->first) = block;
  list->last = block;
}

static void detach(struct list *list, struct block *block) {
  *(block->before ? &block->before->after : &list->first) = block->after;
  *(block->after ? &block->after->before : &list->last) = block->before;
  block->before = block->after = 0;
}

static struct block *block_of(void *pointer) {
  return (struct block *)((uint8_t *)pointer - offsetof(struct block, data));
}

static void drop_oldest(struct neo_blocks *blocks) {
  struct block *block = blocks->kept.first;
  detach(&blocks->kept, block);
  blocks->kept_count--;
  blocks->kept_bytes -= block->bytes;
  neo_free(&blocks->allocator, block, (int64_t)sizeof *block + block->bytes);
}

struct neo_blocks *neo_blocks_create(const struct neo_allocator *allocator) {
  struct neo_blocks *blocks = neo_allocate_zeroed(allocator, sizeof *blocks);
  if (!blocks) return 0;
  neo_lock_init(&blocks->lock);
  blocks->allocator = *allocator;
  return blocks;
}

static struct block *find_kept(struct neo_blocks *blocks, int64_t bytes) {
  struct block *best = 0;
  for (struct block *block = blocks->kept.last; block; block = block->before) {
    if (block->bytes < bytes || block->bytes / 2 > bytes) continue;
    if (!best || block->bytes < best->bytes) best = block;
    if (best->bytes == bytes) break;
  }
  return best;
}

void *neo_blocks_get(struct neo_blocks *blocks, int64_t bytes) {
  if (bytes < 0 || bytes > INT64_MAX / 4) return 0;
  bytes = bytes ? (bytes + NEO_ALIGNMENT - 1) / NEO_ALIGNMENT * NEO_ALIGNMENT : NEO_ALIGNMENT;
  neo_lock_take(&blocks->lock);
  struct block *block = find_kept(blocks, bytes);
  if (block) {
    detach(&blocks->kept, block);
    blocks->kept_count--;
    blocks->kept_bytes -= block->bytes;
  } else if ((block = neo_allocate(&blocks->allocator, (int64_t)sizeof *block + bytes))) {
    block->home = blocks;
    block->bytes = bytes;
  }
  if (block) {
    append(&blocks->used, block);
    blocks->live_count++;
    blocks->live_bytes += block->bytes;
    if (blocks->live_bytes > blocks->peak_bytes) blocks->peak_bytes = blocks->live_bytes;
  }
  neo_lock_give(&blocks->lock);
  return block ? block->data : 0;
}

/* With the lock held: give a block that is in no list back. */
static void keep(struct neo_blocks *blocks, struct block *block) {
  blocks->live_count--;
  blocks->live_bytes -= block->bytes;
  append(&blocks->kept, block);
  blocks->kept_count++;
  blocks->kept_bytes += block->bytes;
  while (blocks->kept_count > MOST_KEPT || blocks->kept_bytes > 2 * blocks->peak_bytes + SLACK) drop_oldest(blocks);
}

static void unlock_or_end(struct neo_blocks *blocks) {
  if (blocks->closed)
    while (blocks->kept.first) drop_oldest(blocks);
  int over = blocks->closed && !blocks->live_count;
  neo_lock_give(&blocks->lock);
  if (over) {
    struct neo_allocator allocator = blocks->allocator;
    neo_lock_destroy(&blocks->lock);
    neo_free(&allocator, blocks, sizeof *blocks);
  }
}

static int in_list(const struct list *list, const struct block *block) {
  return block->before || block->after || list->first == block;
}

void neo_release(void *pointer) {
  if (!pointer) return;
  struct block *block = block_of(pointer);
  struct neo_blocks *blocks = block->home;
  neo_lock_take(&blocks->lock);
  if (in_list(&blocks->used, block)) detach(&blocks->used, block);
  keep(blocks, block);
  unlock_or_end(blocks);
}

void neo_blocks_hand_out(void *pointer) {
  struct block *block = block_of(pointer);
  neo_lock_take(&block->home->lock);
  detach(&block->home->used, block);
  neo_lock_give(&block->home->lock);
}

void neo_blocks_reclaim(struct neo_blocks *blocks) {
  neo_lock_take(&blocks->lock);
  for (struct block *block; (block = blocks->used.first);) {
    detach(&blocks->used, block);
    keep(blocks, block);
  }
  neo_lock_give(&blocks->lock);
}

void neo_blocks_destroy(struct neo_blocks *blocks) {
  if (!blocks) return;
  neo_blocks_reclaim(blocks);
  neo_lock_take(&blocks->lock);
  blocks->closed = 1;
  unlock_or_end(blocks);
}

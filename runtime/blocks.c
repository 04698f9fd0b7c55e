/* Aligned memory that is kept for the next run, so that a steady state does not reach malloc. */
#include "blocks.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "neo.h"

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
  pthread_mutex_t lock;
  struct list used, kept; /* kept: the oldest first */
  int64_t kept_count, kept_bytes, live_bytes, live_count, peak_bytes, mallocs;
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
  free(block);
}

struct neo_blocks *neo_blocks_create(void) {
  struct neo_blocks *blocks = calloc(1, sizeof *blocks);
  if (blocks) pthread_mutex_init(&blocks->lock, 0);
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
  pthread_mutex_lock(&blocks->lock);
  struct block *block = find_kept(blocks, bytes);
  if (block) {
    detach(&blocks->kept, block);
    blocks->kept_count--;
    blocks->kept_bytes -= block->bytes;
  } else if ((block = aligned_alloc(NEO_ALIGNMENT, sizeof *block + bytes))) {
    blocks->mallocs++;
    block->home = blocks;
    block->bytes = bytes;
  }
  if (block) {
    append(&blocks->used, block);
    blocks->live_count++;
    blocks->live_bytes += block->bytes;
    if (blocks->live_bytes > blocks->peak_bytes) blocks->peak_bytes = blocks->live_bytes;
  }
  pthread_mutex_unlock(&blocks->lock);
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
  pthread_mutex_unlock(&blocks->lock);
  if (over) {
    pthread_mutex_destroy(&blocks->lock);
    free(blocks);
  }
}

static int in_list(const struct list *list, const struct block *block) {
  return block->before || block->after || list->first == block;
}

void neo_release(void *pointer) {
  if (!pointer) return;
  struct block *block = block_of(pointer);
  struct neo_blocks *blocks = block->home;
  pthread_mutex_lock(&blocks->lock);
  if (in_list(&blocks->used, block)) detach(&blocks->used, block);
  keep(blocks, block);
  unlock_or_end(blocks);
}

void neo_blocks_hand_out(void *pointer) {
  struct block *block = block_of(pointer);
  pthread_mutex_lock(&block->home->lock);
  detach(&block->home->used, block);
  pthread_mutex_unlock(&block->home->lock);
}

void neo_blocks_reclaim(struct neo_blocks *blocks) {
  pthread_mutex_lock(&blocks->lock);
  for (struct block *block; (block = blocks->used.first);) {
    detach(&blocks->used, block);
    keep(blocks, block);
  }
  pthread_mutex_unlock(&blocks->lock);
}

void neo_blocks_destroy(struct neo_blocks *blocks) {
  if (!blocks) return;
  neo_blocks_reclaim(blocks);
  pthread_mutex_lock(&blocks->lock);
  blocks->closed = 1;
  unlock_or_end(blocks);
}

int64_t neo_blocks_mallocs(const struct neo_blocks *blocks) { return blocks->mallocs; }

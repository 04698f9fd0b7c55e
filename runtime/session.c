#include "neo.h"

#include <stdlib.h>
#include <string.h>

#include "pool.h"

enum { FREE_BLOCKS = 64, HEADER = NEO_ALIGNMENT };

struct output {
  void *memory;
  int64_t capacity, rank, dims[NEO_MAX_RANK];
  int32_t element_bytes, written;
};

struct neo_runtime {
  struct neo_pool *pool;
  void *blocks[FREE_BLOCKS];
  struct output *outputs;
  int32_t count, status;
};

int32_t neo_abi_version(void) { return NEO_ABI_VERSION; }

/* The block's size stands in front of it, so that a freed block can be used again for a request of its size. */
void *neo_aligned_alloc(int64_t bytes) {
  if (bytes < 0 || bytes > INT64_MAX - 2 * HEADER) return 0;
  int64_t size = HEADER + (bytes + NEO_ALIGNMENT - 1) / NEO_ALIGNMENT * NEO_ALIGNMENT;
  char *base = aligned_alloc(NEO_ALIGNMENT, (size_t)size);
  if (!base) return 0;
  memcpy(base, &size, sizeof size);
  return base + HEADER;
}

void neo_aligned_free(void *pointer) {
  if (pointer) free((char *)pointer - HEADER);
}

static int64_t block_bytes(const void *pointer) {
  int64_t size;
  memcpy(&size, (const char *)pointer - HEADER, sizeof size);
  return size - HEADER;
}

static void *take(void *argument, int64_t bytes) {
  neo_runtime *runtime = argument;
  int best = -1;
  for (int i = 0; i < FREE_BLOCKS; i++) {
    if (!runtime->blocks[i]) continue;
    int64_t have = block_bytes(runtime->blocks[i]);
    if (have >= bytes && have <= 2 * bytes + 4096 && (best < 0 || have < block_bytes(runtime->blocks[best]))) best = i;
  }
  if (best >= 0) {
    void *block = runtime->blocks[best];
    runtime->blocks[best] = 0;
    return block;
  }
  void *block = neo_aligned_alloc(bytes);
  if (!block) {
    /* Compiled code does not check for null; there is no way on but to stop, with a word of why. */
    runtime->status = NEO_NO_MEMORY;
    abort();
  }
  return block;
}

static void give(void *argument, void *pointer) {
  neo_runtime *runtime = argument;
  for (int i = 0; i < FREE_BLOCKS; i++) {
    if (!runtime->blocks[i]) {
      runtime->blocks[i] = pointer;
      return;
    }
  }
  neo_aligned_free(pointer);
}

static void parallel_for(void *argument, int64_t items, neo_body body, void *data) {
  neo_pool_run(((neo_runtime *)argument)->pool, items, body, data);
}

static void *output(void *argument, int64_t index, int64_t rank, const int64_t *dims) {
  neo_runtime *runtime = argument;
  struct output *out = &runtime->outputs[index];
  int64_t bytes = out->element_bytes;
  for (int64_t i = 0; i < rank; i++) {
    out->dims[i] = dims[i];
    bytes *= dims[i];
  }
  out->rank = rank;
  out->written = 1;
  if (!out->memory || out->capacity < bytes) {
    neo_aligned_free(out->memory);
    out->memory = neo_aligned_alloc(bytes);
    if (!out->memory) abort();
    out->capacity = bytes;
  }
  return out->memory;
}

neo_runtime *neo_runtime_create(int32_t threads) {
  neo_runtime *runtime = calloc(1, sizeof *runtime);
  if (!runtime) return 0;
  runtime->pool = neo_pool_create(threads);
  if (!runtime->pool) {
    free(runtime);
    return 0;
  }
  return runtime;
}

static void drop_outputs(neo_runtime *runtime) {
  for (int32_t i = 0; i < runtime->count; i++) neo_aligned_free(runtime->outputs[i].memory);
  free(runtime->outputs);
  runtime->outputs = 0;
  runtime->count = 0;
}

void neo_runtime_destroy(neo_runtime *runtime) {
  if (!runtime) return;
  neo_pool_destroy(runtime->pool);
  for (int i = 0; i < FREE_BLOCKS; i++) neo_aligned_free(runtime->blocks[i]);
  drop_outputs(runtime);
  free(runtime);
}

int32_t neo_runtime_set_threads(neo_runtime *runtime, int32_t threads) {
  struct neo_pool *pool = neo_pool_create(threads);
  if (!pool) return NEO_NO_MEMORY;
  neo_pool_destroy(runtime->pool);
  runtime->pool = pool;
  return NEO_OK;
}

int32_t neo_runtime_set_outputs(neo_runtime *runtime, int32_t count, const int32_t *element_bytes) {
  if (count < 0) return NEO_BAD_ARGUMENT;
  drop_outputs(runtime);
  runtime->outputs = calloc(count ? (size_t)count : 1, sizeof *runtime->outputs);
  if (!runtime->outputs) return NEO_NO_MEMORY;
  runtime->count = count;
  for (int32_t i = 0; i < count; i++) runtime->outputs[i].element_bytes = element_bytes[i];
  return NEO_OK;
}

int32_t neo_run(neo_runtime *runtime, neo_entry entry, struct neo_call *call) {
  for (int32_t i = 0; i < runtime->count; i++) runtime->outputs[i].written = 0;
  call->runtime = runtime;
  call->parallel_for = parallel_for;
  call->alloc = take;
  call->free = give;
  call->output = output;
  runtime->status = NEO_OK;
  int32_t status = entry(call);
  return status ? status : runtime->status;
}

const void *neo_runtime_output(const neo_runtime *runtime, int32_t index, int64_t *rank, const int64_t **dims) {
  if (index < 0 || index >= runtime->count || !runtime->outputs[index].written) return 0;
  *rank = runtime->outputs[index].rank;
  *dims = runtime->outputs[index].dims;
  return runtime->outputs[index].memory;
}

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "blocks.h"
#include "neo.h"
#include "pool.h"

#define HUGE_PAGE (INT64_C(2) << 20)

struct output {
  void *memory; /* null: not written in this run, or taken */
  int64_t rank, dims[NEO_MAX_RANK];
  int64_t element_bytes;
};

struct neo_runtime {
  struct neo_pool *pool;
  struct neo_blocks *blocks;
  struct output *outputs;
  int32_t count, status;
  struct neo_event *events; /* null: loops are not noted */
  int64_t capacity, traced;
  jmp_buf failed;
  char error[256];
};

int32_t neo_abi_version(void) { return NEO_ABI_VERSION; }

void *neo_aligned_alloc(int64_t bytes) {
  if (bytes < 0 || bytes > INT64_MAX - HUGE_PAGE) return 0;
  int64_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : NEO_ALIGNMENT;
  int64_t size = bytes ? (bytes + align - 1) / align * align : align;
  void *memory = aligned_alloc((size_t)align, (size_t)size);
  if (memory && align == HUGE_PAGE) madvise(memory, (size_t)size, MADV_HUGEPAGE);
  return memory;
}

void neo_aligned_free(void *pointer) { free(pointer); }

/* Compiled code has nothing to unwind and its memory is taken back after the run: a failed callback leaves it at once,
   for it does not look at what the callback returns. */
_Noreturn static void fail(neo_runtime *runtime, int32_t status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(runtime->error, sizeof runtime->error, format, arguments);
  va_end(arguments);
  runtime->status = status;
  longjmp(runtime->failed, 1);
}

static void *take(void *argument, int64_t bytes) {
  neo_runtime *runtime = argument;
  void *memory = neo_blocks_get(runtime->blocks, bytes);
  if (!memory) fail(runtime, NEO_NO_MEMORY, "there is no memory for an intermediate of %lld bytes", (long long)bytes);
  return memory;
}

static void give(void *argument, void *pointer) {
  (void)argument;
  neo_release(pointer);
}

static void parallel_for(void *argument, int64_t items, neo_body body, void *data) {
  neo_pool_run(((neo_runtime *)argument)->pool, items, body, data);
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void traced_parallel_for(void *argument, int64_t items, neo_body body, void *data) {
  neo_runtime *runtime = argument;
  int64_t number = __atomic_fetch_add(&runtime->traced, 1, __ATOMIC_RELAXED), begin = now();
  neo_pool_run(runtime->pool, items, body, data);
  if (number < runtime->capacity) runtime->events[number] = (struct neo_event){begin, now(), items};
}

static void *output(void *argument, int64_t index, int64_t rank, const int64_t *dims) {
  neo_runtime *runtime = argument;
  long long number = (long long)index;
  if (index < 0 || index >= runtime->count || rank < 0 || rank > NEO_MAX_RANK)
    fail(runtime, NEO_BAD_ARGUMENT, "the model wrote output %lld of rank %lld", number, (long long)rank);
  struct output *out = &runtime->outputs[index];
  int64_t bytes = out->element_bytes;
  for (int64_t i = 0; i < rank; i++) {
    if (dims[i] < 0)
      fail(runtime, NEO_BAD_ARGUMENT, "output %lld would have extent %lld in dimension %lld", number,
           (long long)dims[i], (long long)i);
    if (__builtin_mul_overflow(bytes, dims[i], &bytes))
      fail(runtime, NEO_NO_MEMORY, "output %lld would have more bytes than can be counted", number);
  }
  neo_release(out->memory);
  out->memory = neo_blocks_get(runtime->blocks, bytes);
  if (!out->memory)
    fail(runtime, NEO_NO_MEMORY, "there is no memory for output %lld of %lld bytes", number, (long long)bytes);
  out->rank = rank;
  memcpy(out->dims, dims, (size_t)rank * sizeof *dims);
  return out->memory;
}

neo_runtime *neo_runtime_create(int32_t threads) {
  neo_runtime *runtime = calloc(1, sizeof *runtime);
  if (!runtime) return 0;
  runtime->pool = neo_pool_create(threads);
  runtime->blocks = neo_blocks_create();
  if (runtime->pool && runtime->blocks) return runtime;
  neo_runtime_destroy(runtime);
  return 0;
}

static void drop_outputs(neo_runtime *runtime) {
  for (int32_t i = 0; i < runtime->count; i++) {
    neo_release(runtime->outputs[i].memory);
    runtime->outputs[i].memory = 0;
  }
}

void neo_runtime_destroy(neo_runtime *runtime) {
  if (!runtime) return;
  neo_pool_destroy(runtime->pool);
  drop_outputs(runtime);
  neo_blocks_destroy(runtime->blocks);
  free(runtime->outputs);
  free(runtime);
}

int32_t neo_runtime_set_threads(neo_runtime *runtime, int32_t threads) {
  struct neo_pool *pool = neo_pool_create(threads);
  if (pool) {
    neo_pool_destroy(runtime->pool);
    runtime->pool = pool;
  }
  return neo_pool_threads(runtime->pool);
}

int32_t neo_runtime_set_outputs(neo_runtime *runtime, int32_t count, const int32_t *element_bytes) {
  if (count < 0) return NEO_BAD_ARGUMENT;
  struct output *outputs = calloc(count ? (size_t)count : 1, sizeof *outputs);
  if (!outputs) return NEO_NO_MEMORY;
  drop_outputs(runtime);
  free(runtime->outputs);
  runtime->outputs = outputs;
  runtime->count = count;
  for (int32_t i = 0; i < count; i++) outputs[i].element_bytes = element_bytes[i];
  return NEO_OK;
}

int32_t neo_run(neo_runtime *runtime, neo_entry entry, struct neo_call *call) {
  if (neo_pool_stale(runtime->pool)) {
    struct neo_pool *pool = neo_pool_create(neo_pool_threads(runtime->pool));
    if (!pool) return NEO_NO_MEMORY;
    runtime->pool = pool;
  }
  drop_outputs(runtime);
  call->runtime = runtime;
  call->parallel_for = runtime->events ? traced_parallel_for : parallel_for;
  runtime->traced = 0;
  call->alloc = take;
  call->free = give;
  call->output = output;
  runtime->status = NEO_OK;
  runtime->error[0] = 0;
  if (!setjmp(runtime->failed)) runtime->status = entry(call);
  for (int32_t i = 0; i < runtime->count; i++) {
    struct output *out = &runtime->outputs[i];
    if (out->memory && runtime->status == NEO_OK)
      neo_blocks_hand_out(out->memory);
    else
      out->memory = 0;
  }
  neo_blocks_reclaim(runtime->blocks);
  return runtime->status;
}

const char *neo_runtime_error(const neo_runtime *runtime) { return runtime->error; }

void *neo_runtime_take_output(neo_runtime *runtime, int32_t index, int64_t *rank, int64_t dims[NEO_MAX_RANK]) {
  if (index < 0 || index >= runtime->count) return 0;
  struct output *out = &runtime->outputs[index];
  void *memory = out->memory;
  out->memory = 0;
  *rank = out->rank;
  memcpy(dims, out->dims, sizeof out->dims);
  return memory;
}

void neo_runtime_trace(neo_runtime *runtime, struct neo_event *events, int64_t capacity) {
  runtime->events = events;
  runtime->capacity = capacity;
}

int64_t neo_runtime_traced(const neo_runtime *runtime) { return runtime->traced; }

int64_t neo_runtime_mallocs(const neo_runtime *runtime) { return neo_blocks_mallocs(runtime->blocks); }

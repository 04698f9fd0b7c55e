/* The runtime of compiled models: threads, memory, and the call structure of the ABI. C11, libc, POSIX threads, futex. */
#ifndef NEO_H
#define NEO_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NEO_ABI_VERSION 1
#define NEO_ALIGNMENT 64
#define NEO_MAX_RANK 32

/* What a model returns and what neo_run returns. */
enum neo_status {
  NEO_OK = 0,
  NEO_NO_MEMORY = 1,
  NEO_BAD_ARGUMENT = 2,  /* an output whose index, rank or extents cannot be */
  NEO_DIMS_DISAGREE = 3, /* a dimension contradicts another */
};

/* What a compiled model's one entry point takes; docs/levels.md describes every field. A model keeps nothing of it.
   alloc, free and output are called on the thread that called the model, never inside the body of a parallel_for;
   where they cannot give memory they do not return: the run is over. */
struct neo_call {
  void *const *inputs;
  const int64_t *const *in_dims;
  void *const *outputs;
  const uint8_t *weights;
  uint8_t *arena;
  void *runtime;
  void (*parallel_for)(void *runtime, int64_t items, void (*body)(int64_t lo, int64_t hi, void *data), void *data);
  void *(*alloc)(void *runtime, int64_t bytes);
  void (*free)(void *runtime, void *pointer);
  void *(*output)(void *runtime, int64_t index, int64_t rank, const int64_t *dims);
};

typedef int32_t (*neo_entry)(struct neo_call *call);

enum neo_dtype {
  NEO_BOOL = 1,
  NEO_INT8,
  NEO_INT16,
  NEO_INT32,
  NEO_INT64,
  NEO_UINT8,
  NEO_UINT16,
  NEO_UINT32,
  NEO_UINT64,
  NEO_FLOAT16,
  NEO_FLOAT32,
  NEO_FLOAT64,
  NEO_BFLOAT16,
  NEO_FLOAT8_E4M3FN,
  NEO_FLOAT8_E5M2,
  NEO_FLOAT8_E4M3FNUZ,
  NEO_FLOAT8_E5M2FNUZ,
  NEO_COMPLEX64,
  NEO_COMPLEX128,
};

/* An input or an output. */
struct neo_spec {
  const char *name;
  int32_t dtype, rank;
  const int64_t *dims; /* `rank` extents; negative where the extent is known at run time only */
};

/* A compiled model. */
struct neo_program {
  int32_t abi; /* NEO_ABI_VERSION of its compiler */
  int32_t input_count, output_count;
  const struct neo_spec *inputs, *outputs;
  int64_t arena_bytes, weight_bytes;
  const uint8_t *weights;
  neo_entry entry;
  const char *target; /* what it was compiled for */
};

/* The name of a dtype (that of numpy or ml_dtypes), and the bytes of an element; null and 0 where there is no such. */
const char *neo_dtype_name(int32_t dtype);
int32_t neo_dtype_bytes(int32_t dtype);

typedef struct neo_runtime neo_runtime;

/* The version of this header that the library was built from. */
int32_t neo_abi_version(void);

/* A runtime of `threads` threads, the caller's included. One model runs on it at a time. Null without memory. */
neo_runtime *neo_runtime_create(int32_t threads);
void neo_runtime_destroy(neo_runtime *runtime);

/* Change the number of threads; not while a model runs. The number that there are now: fewer where no more start. */
int32_t neo_runtime_set_threads(neo_runtime *runtime, int32_t threads);

/* Bytes of an element of each output, for outputs whose shape is known only after the run. */
int32_t neo_runtime_set_outputs(neo_runtime *runtime, int32_t count, const int32_t *element_bytes);

/* Run a model: fills in the callbacks of `call` and calls `entry`. Whatever the model allocated and did not free is
   taken back, also after a failure. */
int32_t neo_run(neo_runtime *runtime, neo_entry entry, struct neo_call *call);

/* Why the last run failed, as far as the runtime knows; else "". */
const char *neo_runtime_error(const neo_runtime *runtime);

/* A dynamic output of the last run and its extents; null if it was not written, or taken before. The memory is the
   caller's, until neo_release; this may be after the runtime's end, and on any thread. */
void *neo_runtime_take_output(neo_runtime *runtime, int32_t index, int64_t *rank, int64_t dims[NEO_MAX_RANK]);
void neo_release(void *pointer);

/* How often the runtime asked malloc for a model's memory; a steady state adds none. */
int64_t neo_runtime_mallocs(const neo_runtime *runtime);

/* One parallel_for of a run: nanoseconds of CLOCK_MONOTONIC, and how many items it had. */
struct neo_event {
  int64_t begin, end, items;
};

/* Note the first `capacity` loops of every run from now on in `events`, which the caller keeps; null notes none. Not
   while a model runs. A run that notes nothing pays nothing for it. */
void neo_runtime_trace(neo_runtime *runtime, struct neo_event *events, int64_t capacity);

/* How many loops the last run that was noted had; more than `capacity` where not all of them were kept. */
int64_t neo_runtime_traced(const neo_runtime *runtime);

/* 64-byte aligned memory, in huge pages where it is large. */
void *neo_aligned_alloc(int64_t bytes);
void neo_aligned_free(void *pointer);

#ifdef __cplusplus
}
#endif
#endif

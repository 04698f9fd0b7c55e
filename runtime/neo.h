/* The runtime of compiled models. C11, libc and threads.

     neo_model *model;
     neo_session *session;
     if (neo_open("model.neo", 0, &model) || neo_session_create(model, 1, &session)) puts(neo_error());
     neo_set_input_named(session, "x", x, 0, 0);
     if (neo_run(session)) puts(neo_error());
     const float *y = neo_output(session, 0, 0);

   A model is shared: any number of sessions, on any threads, run one model, whose weights lie in memory once. A session
   belongs to one thread at a time. Functions that return int32_t return NEO_OK or another `enum neo_status`; neo_error
   then says more, on the same thread. */
#ifndef NEO_H
#define NEO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Goes up with every change of what stands here that a program built before would misread. */
#define NEO_ABI_VERSION 2
#define NEO_ALIGNMENT 64
#define NEO_MAX_RANK 32

#if defined(__GNUC__) && !defined(NEO_API)
#define NEO_API __attribute__((visibility("default")))
#elif !defined(NEO_API)
#define NEO_API
#endif

enum neo_status {
  NEO_OK = 0,
  NEO_NO_MEMORY = 1,
  NEO_BAD_ARGUMENT = 2,  /* an index, a name, a shape or a state that cannot be */
  NEO_DIMS_DISAGREE = 3, /* a dimension contradicts another */
  NEO_CANNOT_READ = 4,   /* the operating system does not give the file */
  NEO_DAMAGED = 5,       /* the file is not as it was written, or none of ours */
  NEO_UNSUPPORTED = 6,   /* the file, or the caller, is of another version */
  NEO_WRONG_MACHINE = 7, /* the code is for another machine */
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

/* A compiled model: what a file holds, or what the compiler defines in an object (`neo-compile --emit obj`). */
struct neo_program {
  int32_t abi; /* NEO_ABI_VERSION of its compiler */
  int32_t input_count, output_count, step_count;
  const struct neo_spec *inputs, *outputs;
  int64_t arena_bytes, weight_bytes;
  const uint8_t *weights;
  neo_entry entry;
  const char *target;        /* what it was compiled for */
  const char *const *steps;  /* the name of the kernel that each step of a run calls */
  const char *manifest;      /* everything that the file says of the model, as JSON; "" without a file */
  int64_t manifest_bytes;
};

/* The version of this header that the library was built from: compare it with NEO_ABI_VERSION. */
NEO_API int32_t neo_abi_version(void);

/* The name of a dtype (that of numpy or ml_dtypes), and the bytes of an element; null and 0 where there is no such. */
NEO_API const char *neo_dtype_name(int32_t dtype);
NEO_API int32_t neo_dtype_bytes(int32_t dtype);

/* Why the last call on this thread that failed did; "" before the first. Never null. */
NEO_API const char *neo_error(void);

/* Where memory comes from. `allocate` gives `bytes` at an alignment that is a power of two, or null; `release` takes
   the same pointer and bytes. Called from any thread. Threads and mapped files come from the system nevertheless. */
struct neo_allocator {
  void *context;
  void *(*allocate)(void *context, size_t bytes, size_t alignment);
  void (*release)(void *context, void *pointer, size_t bytes);
};

enum neo_open_flags {
  NEO_DIGEST_CHECKED = 1, /* the caller has compared the file's digest: it is not computed once more */
};

struct neo_options {
  int32_t abi;   /* NEO_ABI_VERSION */
  int32_t flags; /* of enum neo_open_flags */
  struct neo_allocator allocator; /* all null: the C library */
};

typedef struct neo_model neo_model;
typedef struct neo_session neo_session;

/* Open a `.neo` file: it is mapped, its digest compared, everything it says checked, its code loaded. `options` may be
   null. The file may be unlinked or replaced by renaming afterwards, but not overwritten in place. */
NEO_API int32_t neo_open(const char *path, const struct neo_options *options, neo_model **model);

/* The same of a file in memory, which must start at a multiple of 64 and stay as it is until the model's end. */
NEO_API int32_t neo_open_memory(const void *bytes, int64_t size, const struct neo_options *options, neo_model **model);

/* The same of a program that is linked to the caller. */
NEO_API int32_t neo_open_program(const struct neo_program *program, const struct neo_options *options,
                                 neo_model **model);

/* Close a model; it goes when its last session does. Null is no model. */
NEO_API void neo_close(neo_model *model);

/* What the model is; lives as long as it. */
NEO_API const struct neo_program *neo_describe(const neo_model *model);

/* The index of an input or output of that name, or -1. */
NEO_API int32_t neo_input_index(const neo_model *model, const char *name);
NEO_API int32_t neo_output_index(const neo_model *model, const char *name);

/* A session runs a model on `threads` threads, the caller's included; on fewer where no more start. */
NEO_API int32_t neo_session_create(neo_model *model, int32_t threads, neo_session **session);
NEO_API void neo_session_destroy(neo_session *session);

/* Change the number of threads, between runs. */
NEO_API int32_t neo_set_threads(neo_session *session, int32_t threads);
NEO_API int32_t neo_threads(const neo_session *session);

/* How long, in nanoseconds, a thread without work stays awake at most; between runs only where they come within that time
   of each other, else for 0.1 ms. 0: it sleeps at once, which costs each loop the time that the system takes to wake
   it up. NEO_SPIN by default. Between runs. */
#define NEO_SPIN INT64_C(1000000)
NEO_API int32_t neo_set_spin(neo_session *session, int64_t nanoseconds);
NEO_API int64_t neo_spin(const neo_session *session);

/* Keep the session's own threads, number 1 onwards, on `cpus[number % count]` each; `cpus[0]` is meant for the
   caller's thread, which is left alone. A count of 0 sets them free. NEO_UNSUPPORTED where the system cannot. */
NEO_API int32_t neo_set_affinity(neo_session *session, const int32_t *cpus, int32_t count);

enum neo_input_flags {
  NEO_COPY = 1, /* copy the data now; else it must stay until the run is over */
};

/* The data of an input, in C order, for the runs from now on. `dims` are its extents, which must fit the model; they
   may be null where the model knows them all. Any address will do; kernels are fastest on multiples of 64. */
NEO_API int32_t neo_set_input(neo_session *session, int32_t index, const void *data, const int64_t *dims,
                              int32_t flags);
NEO_API int32_t neo_set_input_named(neo_session *session, const char *name, const void *data, const int64_t *dims,
                                    int32_t flags);

/* Where the runs from now on write an output whose extents are all known: `bytes` must be its size. Null: to memory of
   the session again. It must not overlap an input. Multiples of 64 are fastest. */
NEO_API int32_t neo_set_output(neo_session *session, int32_t index, void *data, int64_t bytes);

/* Run the model on the inputs that were set. Whatever the model allocated is taken back, also after a failure, and the
   session can run again. With static shapes no run after the first allocates. */
NEO_API int32_t neo_run(neo_session *session);

/* An output of the last run, and its extents (`dims` has room for its rank, or is null); null if there is none. Valid
   until the next run, or the session's end. */
NEO_API const void *neo_output(const neo_session *session, int32_t index, int64_t *dims);

/* Run on tables of one pointer an input or output, and forget them: for bindings, one call a run. `dims` holds the
   extents of each input, null where the model knows them all; an output is null where its extents are dynamic. */
NEO_API int32_t neo_run_on(neo_session *session, void *const *inputs, const int64_t *const *dims, void *const *outputs);

/* Take a dynamic output of the last run: its memory is the caller's until neo_release, which may come after the
   session's end and on any thread. Null if there is none, or it was taken. */
NEO_API void *neo_take_output(neo_session *session, int32_t index, int64_t *dims);
NEO_API void neo_release(void *pointer);

/* A step of a run: the call of one kernel. Times are nanoseconds of the monotonic clock. */
struct neo_event {
  const char *kernel; /* "" where the model does not say */
  int64_t step, items, begin, end;
};

/* Have `hook` called after each step of the runs from now on; null: no more. It must not touch the session. */
typedef void (*neo_hook)(void *context, const struct neo_event *event);
NEO_API int32_t neo_set_hook(neo_session *session, neo_hook hook, void *context);

/* A hook that notes steps: its context is a `struct neo_recording`. `count` may exceed `capacity`: the rest is lost. */
struct neo_recording {
  struct neo_event *events;
  int64_t capacity, count;
};
NEO_API void neo_record(void *recording, const struct neo_event *event);

#ifdef __cplusplus
}
#endif
#endif

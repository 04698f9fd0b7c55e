/* One run at a time of a model: inputs and outputs, the callbacks of `struct neo_call`, what went wrong. */
#ifndef __wasm__
#include <setjmp.h>
#endif
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "blocks.h"
#include "error.h"
#include "memory.h"
#include "model.h"
#include "pool.h"

#define MOST_THREADS 1024

struct input {
  void *copy; /* null: the data is the caller's */
  int64_t copy_bytes;
  int64_t *dims;
  int given;
};

struct output {
  int64_t *dims;
  int64_t bytes; /* negative where its extents are dynamic */
  void *own;     /* memory of the session for an output that the caller gave none for */
  void *memory;  /* of a dynamic output: what the last run wrote; null when taken */
};

struct neo_session {
  struct neo_model *model;
  struct neo_pool *pool;
  struct neo_blocks *blocks;
  struct input *in;
  struct output *out;
  void **inputs, **outputs;       /* what neo_set_input and neo_set_output gave */
  const int64_t **in_dims;
  void **targets;                 /* where the outputs of neo_run go */
  void *const *written;           /* where the last run wrote them; null: there was none, or it failed */
  int64_t bytes;                  /* of this structure and its tables */
  uint8_t *arena;
  int32_t *cpus;
  int32_t cpu_count, running, status;
  neo_hook hook;
  void *hook_context;
  int64_t step;
#ifndef __wasm__
  jmp_buf failed;
#endif
};

static const struct neo_program *program_of(const neo_session *session) { return session->model->program; }

/* `dims` as text: (2, ?). */
static const char *shape(char *text, size_t size, int64_t rank, const int64_t *dims) {
  size_t at = (size_t)snprintf(text, size, "(");
  for (int64_t i = 0; i < rank && at < size; i++) {
    const char *comma = i ? ", " : "";
    at += dims[i] < 0 ? (size_t)snprintf(text + at, size - at, "%s?", comma)
                      : (size_t)snprintf(text + at, size - at, "%s%lld", comma, (long long)dims[i]);
  }
  if (at < size) snprintf(text + at, size - at, ")");
  return text;
}

/* Bytes of an array; -1 where an extent is dynamic or they cannot be counted. */
static int64_t bytes_of(const struct neo_spec *spec, const int64_t *dims) {
  int64_t bytes = neo_dtype_bytes(spec->dtype);
  for (int32_t i = 0; i < spec->rank; i++)
    if (dims[i] < 0 || __builtin_mul_overflow(bytes, dims[i], &bytes)) return -1;
  return bytes;
}

static int is_static(const struct neo_spec *spec) {
  for (int32_t i = 0; i < spec->rank; i++)
    if (spec->dims[i] < 0) return 0;
  return 1;
}

static int fits(const struct neo_spec *spec, const int64_t *dims) {
  for (int32_t i = 0; i < spec->rank; i++)
    if (dims[i] < 0 || (spec->dims[i] >= 0 && spec->dims[i] != dims[i])) return 0;
  return 1;
}

/* The callbacks. */

/* Compiled code has nothing to unwind and its memory is taken back after the run: a failed callback leaves it at once,
   for it does not look at what the callback returns. */
_Noreturn static void leave(neo_session *session, int32_t status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  session->status = neo_fail_list(status, format, arguments);
  va_end(arguments);
#ifdef __wasm__
  fprintf(stderr, "error: %s\n", neo_error());
  exit(1);
#else
  longjmp(session->failed, 1);
#endif
}

static void *take(void *argument, int64_t bytes) {
  neo_session *session = argument;
  void *memory = neo_blocks_get(session->blocks, bytes);
  if (!memory) leave(session, NEO_NO_MEMORY, "there is no memory for an intermediate of %lld bytes", (long long)bytes);
  return memory;
}

static void give(void *argument, void *pointer) {
  (void)argument;
  neo_release(pointer);
}

static void parallel_for(void *argument, int64_t items, neo_body body, void *data) {
  neo_pool_run(((neo_session *)argument)->pool, items, body, data);
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void watched_parallel_for(void *argument, int64_t items, neo_body body, void *data) {
  neo_session *session = argument;
  const struct neo_program *program = program_of(session);
  struct neo_event event = {.items = items, .begin = now()};
  event.step = __atomic_fetch_add(&session->step, 1, __ATOMIC_RELAXED);
  neo_pool_run(session->pool, items, body, data);
  event.end = now();
  event.kernel = event.step < program->step_count ? program->steps[event.step] : "";
  session->hook(session->hook_context, &event);
}

static void *output(void *argument, int64_t index, int64_t rank, const int64_t *dims) {
  neo_session *session = argument;
  const struct neo_program *program = program_of(session);
  long long number = (long long)index;
  if (index < 0 || index >= program->output_count || rank < 0 || rank > NEO_MAX_RANK)
    leave(session, NEO_BAD_ARGUMENT, "the model wrote output %lld of rank %lld", number, (long long)rank);
  const struct neo_spec *spec = &program->outputs[index];
  struct output *out = &session->out[index];
  for (int64_t i = 0; i < rank; i++)
    if (dims[i] < 0)
      leave(session, NEO_BAD_ARGUMENT, "output '%.100s' would have extent %lld in dimension %lld", spec->name,
            (long long)dims[i], (long long)i);
  if (rank != spec->rank || !fits(spec, dims)) {
    char has[128], wants[128];
    leave(session, NEO_BAD_ARGUMENT, "output '%.100s' came with shape %s, the model says %s", spec->name,
          shape(has, sizeof has, rank, dims), shape(wants, sizeof wants, spec->rank, spec->dims));
  }
  int64_t bytes = bytes_of(spec, dims);
  if (bytes < 0)
    leave(session, NEO_NO_MEMORY, "output '%.100s' would have more bytes than can be counted", spec->name);
  neo_release(out->memory);
  out->memory = neo_blocks_get(session->blocks, bytes);
  if (!out->memory)
    leave(session, NEO_NO_MEMORY, "there is no memory for output '%.100s' of %lld bytes", spec->name,
          (long long)bytes);
  memcpy(out->dims, dims, (size_t)rank * sizeof *dims);
  return out->memory;
}

/* Sessions. */

/* The tables that follow the structure, laid out at `at` if it is not null; the bytes of all. */
static int64_t lay_out(neo_session *session, const struct neo_program *program) {
  int64_t in = program->input_count, out = program->output_count, extents = 0;
  for (int64_t i = 0; i < in; i++) extents += program->inputs[i].rank;
  for (int64_t i = 0; i < out; i++) extents += program->outputs[i].rank;
  int64_t pointers = 2 * in + 2 * out;
  if (session) {
    int64_t *dims = (int64_t *)(session + 1);
    session->in = (struct input *)(dims + extents);
    session->out = (struct output *)(session->in + in);
    session->inputs = (void **)(session->out + out);
    session->in_dims = (const int64_t **)(session->inputs + in);
    session->outputs = (void **)(session->in_dims + in);
    session->targets = session->outputs + out;
    for (int64_t i = 0; i < in; dims += program->inputs[i++].rank) {
      session->in[i].dims = dims;
      session->in_dims[i] = dims;
    }
    for (int64_t i = 0; i < out; dims += program->outputs[i++].rank) {
      const struct neo_spec *spec = &program->outputs[i];
      session->out[i].dims = dims;
      session->out[i].bytes = is_static(spec) ? bytes_of(spec, spec->dims) : -1;
      if (spec->rank) memcpy(dims, spec->dims, (size_t)spec->rank * sizeof *dims);
    }
  }
  return (int64_t)sizeof *session + extents * 8 + in * (int64_t)sizeof(struct input) +
         out * (int64_t)sizeof(struct output) + pointers * (int64_t)sizeof(void *);
}

static int32_t checked_threads(int32_t threads) {
  if (threads >= 1 && threads <= MOST_THREADS) return NEO_OK;
  return neo_fail(NEO_BAD_ARGUMENT, "a session runs on 1 to %d threads, not %d", MOST_THREADS, (int)threads);
}

int32_t neo_session_create(neo_model *model, int32_t threads, neo_session **made) {
  *made = 0;
  const struct neo_program *program = model->program;
  if (checked_threads(threads)) return NEO_BAD_ARGUMENT;
  int64_t bytes = lay_out(0, program);
  neo_session *session = neo_allocate_zeroed(&model->allocator, bytes);
  if (!session) return neo_fail(NEO_NO_MEMORY, "there is no memory for a session");
  session->bytes = bytes;
  session->model = model;
  neo_model_keep(model);
  lay_out(session, program);
  session->arena = neo_allocate(&model->allocator, program->arena_bytes);
  session->blocks = neo_blocks_create(&model->allocator);
  session->pool = neo_pool_create(&model->allocator, threads);
  if (session->arena && session->blocks && session->pool) {
    *made = session;
    return NEO_OK;
  }
  int32_t status = session->arena ? neo_fail(NEO_NO_MEMORY, "there is no memory for a session")
                                  : neo_fail(NEO_NO_MEMORY, "there is no memory for an arena of %lld bytes",
                                             (long long)program->arena_bytes);
  neo_session_destroy(session);
  return status;
}

static void drop_outputs(neo_session *session) {
  for (int32_t i = 0; i < program_of(session)->output_count; i++) {
    neo_release(session->out[i].memory);
    session->out[i].memory = 0;
  }
}

void neo_session_destroy(neo_session *session) {
  if (!session) return;
  struct neo_model *model = session->model;
  struct neo_allocator allocator = model->allocator;
  const struct neo_program *program = model->program;
  neo_pool_destroy(session->pool);
  drop_outputs(session);
  neo_blocks_destroy(session->blocks);
  for (int32_t i = 0; i < program->input_count; i++) neo_free(&allocator, session->in[i].copy, session->in[i].copy_bytes);
  for (int32_t i = 0; i < program->output_count; i++) neo_free(&allocator, session->out[i].own, session->out[i].bytes);
  neo_free(&allocator, session->arena, program->arena_bytes);
  neo_free(&allocator, session->cpus, session->cpu_count * (int64_t)sizeof *session->cpus);
  neo_free(&allocator, session, session->bytes);
  neo_close(model);
}

static int32_t replace_pool(neo_session *session, int32_t threads) {
  struct neo_pool *pool = neo_pool_create(&session->model->allocator, threads);
  if (!pool) return neo_fail(NEO_NO_MEMORY, "there is no memory for %d threads", (int)threads);
  neo_pool_destroy(session->pool);
  session->pool = pool;
  if (session->cpu_count) neo_pool_pin(pool, session->cpus, session->cpu_count);
  return NEO_OK;
}

int32_t neo_set_threads(neo_session *session, int32_t threads) {
  return checked_threads(threads) ? NEO_BAD_ARGUMENT : replace_pool(session, threads);
}

int32_t neo_threads(const neo_session *session) { return neo_pool_threads(session->pool); }

int32_t neo_set_affinity(neo_session *session, const int32_t *cpus, int32_t count) {
  struct neo_allocator *allocator = &session->model->allocator;
  if (count < 0 || count > MOST_THREADS) return neo_fail(NEO_BAD_ARGUMENT, "%d CPUs cannot be chosen", (int)count);
  int64_t bytes = count * (int64_t)sizeof *cpus;
  int32_t *kept = count ? neo_allocate(allocator, bytes) : 0;
  if (count && !kept) return neo_fail(NEO_NO_MEMORY, "there is no memory for a list of CPUs");
  if (count) memcpy(kept, cpus, (size_t)bytes);
  neo_free(allocator, session->cpus, session->cpu_count * (int64_t)sizeof *session->cpus);
  session->cpus = kept;
  session->cpu_count = count;
  if (neo_pool_pin(session->pool, kept, count))
    return neo_fail(NEO_UNSUPPORTED, "the system does not let threads run on these CPUs only");
  return NEO_OK;
}

int32_t neo_set_hook(neo_session *session, neo_hook hook, void *context) {
  session->hook = hook;
  session->hook_context = context;
  return NEO_OK;
}

void neo_record(void *recording, const struct neo_event *event) {
  struct neo_recording *into = recording;
  int64_t at = __atomic_fetch_add(&into->count, 1, __ATOMIC_RELAXED);
  if (at < into->capacity) into->events[at] = *event;
}

/* Inputs and outputs. */

static int32_t wrong_shape(const struct neo_spec *spec, const int64_t *dims) {
  char has[128], wants[128];
  return neo_fail(NEO_BAD_ARGUMENT, "input '%.100s' has shape %s, the model takes %s", spec->name,
                  shape(has, sizeof has, spec->rank, dims), shape(wants, sizeof wants, spec->rank, spec->dims));
}

int32_t neo_set_input(neo_session *session, int32_t index, const void *data, const int64_t *dims, int32_t flags) {
  const struct neo_program *program = program_of(session);
  if (index < 0 || index >= program->input_count)
    return neo_fail(NEO_BAD_ARGUMENT, "the model has %d inputs, none of them is number %d", (int)program->input_count,
                    (int)index);
  const struct neo_spec *spec = &program->inputs[index];
  struct input *in = &session->in[index];
  if (!dims && !is_static(spec))
    return neo_fail(NEO_BAD_ARGUMENT, "input '%.100s' has dynamic extents, which must be given", spec->name);
  if (!dims) dims = spec->dims;
  if (!fits(spec, dims)) return wrong_shape(spec, dims);
  int64_t bytes = bytes_of(spec, dims);
  if (bytes < 0) return neo_fail(NEO_BAD_ARGUMENT, "input '%.100s' has more bytes than can be counted", spec->name);
  if (!data && bytes) return neo_fail(NEO_BAD_ARGUMENT, "input '%.100s' has no data", spec->name);
  if (flags & NEO_COPY) {
    if (!in->copy || in->copy_bytes < bytes) {
      void *copy = neo_allocate(&session->model->allocator, bytes);
      if (!copy)
        return neo_fail(NEO_NO_MEMORY, "there is no memory for input '%.100s' of %lld bytes", spec->name,
                        (long long)bytes);
      neo_free(&session->model->allocator, in->copy, in->copy_bytes);
      in->copy = copy;
      in->copy_bytes = bytes;
    }
    if (bytes) memcpy(in->copy, data, (size_t)bytes);
    data = in->copy;
  }
  in->given = 1;
  if (spec->rank) memcpy(in->dims, dims, (size_t)spec->rank * sizeof *dims);
  session->inputs[index] = (void *)(uintptr_t)data;
  return NEO_OK;
}

int32_t neo_set_input_named(neo_session *session, const char *name, const void *data, const int64_t *dims,
                            int32_t flags) {
  int32_t index = neo_input_index(session->model, name);
  if (index < 0) return neo_fail(NEO_BAD_ARGUMENT, "the model has no input '%.100s'", name);
  return neo_set_input(session, index, data, dims, flags);
}

int32_t neo_set_output(neo_session *session, int32_t index, void *data, int64_t bytes) {
  const struct neo_program *program = program_of(session);
  if (index < 0 || index >= program->output_count)
    return neo_fail(NEO_BAD_ARGUMENT, "the model has %d outputs, none of them is number %d",
                    (int)program->output_count, (int)index);
  const char *name = program->outputs[index].name;
  int64_t wanted = session->out[index].bytes;
  if (data && wanted < 0)
    return neo_fail(NEO_BAD_ARGUMENT, "output '%.100s' has dynamic extents: the runtime makes its memory", name);
  if (data && bytes != wanted)
    return neo_fail(NEO_BAD_ARGUMENT, "output '%.100s' has %lld bytes, not %lld", name, (long long)wanted,
                    (long long)bytes);
  session->outputs[index] = data;
  return NEO_OK;
}

/* Running. */

static int32_t begin(neo_session *session) {
  if (__atomic_exchange_n(&session->running, 1, __ATOMIC_ACQUIRE))
    return neo_fail(NEO_BAD_ARGUMENT, "the session is running on another thread; create one for each");
  session->written = 0;
  drop_outputs(session);
  int32_t status = neo_pool_stale(session->pool) ? replace_pool(session, neo_pool_threads(session->pool)) : NEO_OK;
  if (status) __atomic_store_n(&session->running, 0, __ATOMIC_RELEASE);
  return status;
}

static int32_t enter(neo_session *session, struct neo_call *call) {
  session->status = NEO_OK;
#ifdef __wasm__
  int32_t status = program_of(session)->entry(call);
#else
  if (setjmp(session->failed)) return session->status;
  int32_t status = program_of(session)->entry(call);
#endif
  if (status == NEO_DIMS_DISAGREE) return neo_fail(status, "a dimension contradicts another");
  if (status == NEO_WRONG_MACHINE)
    return neo_fail(status, "the model needs the tile registers of AMX, which this CPU or its system refuses");
  return status ? neo_fail(status, "the model returned code %d", (int)status) : NEO_OK;
}

static int32_t finish(neo_session *session, int32_t status, void *const *outputs) {
  const struct neo_program *program = program_of(session);
  for (int32_t i = 0; i < program->output_count; i++) {
    struct output *out = &session->out[i];
    if (out->memory && status == NEO_OK)
      neo_blocks_hand_out(out->memory);
    else
      out->memory = 0;
    if (status == NEO_OK && out->bytes < 0 && !out->memory)
      status = neo_fail(NEO_BAD_ARGUMENT, "the model did not write its output '%.100s'", program->outputs[i].name);
  }
  neo_blocks_reclaim(session->blocks);
  if (status == NEO_OK) session->written = outputs;
  __atomic_store_n(&session->running, 0, __ATOMIC_RELEASE);
  return status;
}

static int32_t run(neo_session *session, void *const *inputs, const int64_t *const *dims, void *const *outputs) {
  session->step = 0;
  struct neo_call call = {
      .inputs = inputs,
      .in_dims = dims,
      .outputs = outputs,
      .weights = program_of(session)->weights,
      .arena = session->arena,
      .runtime = session,
      .parallel_for = session->hook ? watched_parallel_for : parallel_for,
      .alloc = take,
      .free = give,
      .output = output,
  };
  return finish(session, enter(session, &call), outputs);
}

static int32_t find_targets(neo_session *session) {
  const struct neo_program *program = program_of(session);
  for (int32_t i = 0; i < program->input_count; i++)
    if (!session->in[i].given)
      return neo_fail(NEO_BAD_ARGUMENT, "input '%.100s' was not set", program->inputs[i].name);
  for (int32_t i = 0; i < program->output_count; i++) {
    struct output *out = &session->out[i];
    if (!session->outputs[i] && out->bytes >= 0 && !out->own &&
        !(out->own = neo_allocate(&session->model->allocator, out->bytes)))
      return neo_fail(NEO_NO_MEMORY, "there is no memory for output '%.100s' of %lld bytes", program->outputs[i].name,
                      (long long)out->bytes);
    session->targets[i] = session->outputs[i] ? session->outputs[i] : out->own;
  }
  return NEO_OK;
}

int32_t neo_run(neo_session *session) {
  int32_t status = begin(session);
  if (status) return status;
  status = find_targets(session);
  if (status) return finish(session, status, 0);
  return run(session, session->inputs, session->in_dims, session->targets);
}

int32_t neo_run_on(neo_session *session, void *const *inputs, const int64_t *const *dims, void *const *outputs) {
  const struct neo_program *program = program_of(session);
  int32_t status = begin(session);
  if (status) return status;
  for (int32_t i = 0; !status && i < program->input_count; i++) {
    const struct neo_spec *spec = &program->inputs[i];
    if (dims[i] ? !fits(spec, dims[i]) : !is_static(spec))
      status = dims[i] ? wrong_shape(spec, dims[i])
                       : neo_fail(NEO_BAD_ARGUMENT, "input '%.100s' has dynamic extents, which must be given", spec->name);
  }
  for (int32_t i = 0; !status && i < program->output_count; i++)
    if (!outputs[i] && session->out[i].bytes > 0)
      status = neo_fail(NEO_BAD_ARGUMENT, "output '%.100s' has no memory", program->outputs[i].name);
  if (status) return finish(session, status, 0);
  status = run(session, inputs, dims, outputs);
  if (!status) session->written = session->targets;
  for (int32_t i = 0; !status && i < program->output_count; i++) session->targets[i] = 0;
  return status;
}

static int has_output(const neo_session *session, int32_t index) {
  return session->written && index >= 0 && index < program_of(session)->output_count;
}

static void tell_dims(const neo_session *session, int32_t index, int64_t *dims) {
  int32_t rank = program_of(session)->outputs[index].rank;
  if (dims && rank) memcpy(dims, session->out[index].dims, (size_t)rank * sizeof *dims);
}

const void *neo_output(const neo_session *session, int32_t index, int64_t *dims) {
  if (!has_output(session, index)) return 0;
  tell_dims(session, index, dims);
  return session->out[index].bytes < 0 ? session->out[index].memory : session->written[index];
}

void *neo_take_output(neo_session *session, int32_t index, int64_t *dims) {
  if (!has_output(session, index) || session->out[index].bytes >= 0) return 0;
  void *memory = session->out[index].memory;
  if (memory) tell_dims(session, index, dims);
  session->out[index].memory = 0;
  return memory;
}

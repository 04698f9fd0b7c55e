/* One run at a time of a model: the callbacks of `struct neo_call`, and what went wrong. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "memory.h"
#include "session.h"

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
  const struct neo_program *program = session->model->program;
  struct neo_event event = {.items = items, .begin = now()};
  event.step = __atomic_fetch_add(&session->step, 1, __ATOMIC_RELAXED);
  neo_pool_run(session->pool, items, body, data);
  event.end = now();
  event.kernel = event.step < program->step_count ? program->steps[event.step] : "";
  session->hook(session->hook_context, &event);
}

static void *output(void *argument, int64_t index, int64_t rank, const int64_t *dims) {
  neo_session *session = argument;
  const struct neo_program *program = session->model->program;
  long long number = (long long)index;
  if (index < 0 || index >= program->output_count || rank < 0 || rank > NEO_MAX_RANK)
    leave(session, NEO_BAD_ARGUMENT, "the model wrote output %lld of rank %lld", number, (long long)rank);
  const struct neo_spec *spec = &program->outputs[index];
  struct neo_output_state *out = &session->out[index];
  for (int64_t i = 0; i < rank; i++)
    if (dims[i] < 0)
      leave(session, NEO_BAD_ARGUMENT, "output '%.100s' would have extent %lld in dimension %lld", spec->name,
            (long long)dims[i], (long long)i);
  if (rank != spec->rank || !neo_fits(spec, dims)) {
    char has[128], wants[128];
    leave(session, NEO_BAD_ARGUMENT, "output '%.100s' came with shape %s, the model says %s", spec->name,
          neo_shape_text(has, sizeof has, rank, dims), neo_shape_text(wants, sizeof wants, spec->rank, spec->dims));
  }
  int64_t bytes = neo_array_bytes(spec, dims);
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

static int32_t begin(neo_session *session) {
  if (__atomic_exchange_n(&session->running, 1, __ATOMIC_ACQUIRE))
    return neo_fail(NEO_BAD_ARGUMENT, "the session is running on another thread; create one for each");
  session->written = 0;
  neo_drop_outputs(session);
  int32_t status = neo_pool_stale(session->pool) ? neo_replace_pool(session, neo_pool_threads(session->pool)) : NEO_OK;
  if (status)
    __atomic_store_n(&session->running, 0, __ATOMIC_RELEASE);
  else
    neo_pool_begin(session->pool);
  return status;
}

static int32_t enter(neo_session *session, struct neo_call *call) {
  session->status = NEO_OK;
#ifdef __wasm__
  int32_t status = session->model->program->entry(call);
#else
  if (setjmp(session->failed)) return session->status;
  int32_t status = session->model->program->entry(call);
#endif
  if (status == NEO_DIMS_DISAGREE) return neo_fail(status, "a dimension contradicts another");
  if (status == NEO_WRONG_MACHINE)
    return neo_fail(status, "the model needs the tile registers of AMX, which this CPU or its system refuses");
  return status ? neo_fail(status, "the model returned code %d", (int)status) : NEO_OK;
}

static int32_t finish(neo_session *session, int32_t status, void *const *outputs) {
  const struct neo_program *program = session->model->program;
  for (int32_t i = 0; i < program->output_count; i++) {
    struct neo_output_state *out = &session->out[i];
    if (out->memory && status == NEO_OK)
      neo_blocks_hand_out(out->memory);
    else
      out->memory = 0;
    if (status == NEO_OK && out->bytes < 0 && !out->memory)
      status = neo_fail(NEO_BAD_ARGUMENT, "the model did not write its output '%.100s'", program->outputs[i].name);
  }
  neo_blocks_reclaim(session->blocks);
  if (status == NEO_OK) session->written = outputs;
  neo_pool_end(session->pool);
  __atomic_store_n(&session->running, 0, __ATOMIC_RELEASE);
  return status;
}

static int32_t run(neo_session *session, void *const *inputs, const int64_t *const *dims, void *const *outputs) {
  session->step = 0;
  struct neo_call call = {
      .inputs = inputs,
      .in_dims = dims,
      .outputs = outputs,
      .weights = session->model->program->weights,
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
  const struct neo_program *program = session->model->program;
  for (int32_t i = 0; i < program->input_count; i++)
    if (!session->in[i].given)
      return neo_fail(NEO_BAD_ARGUMENT, "input '%.100s' was not set", program->inputs[i].name);
  for (int32_t i = 0; i < program->output_count; i++) {
    struct neo_output_state *out = &session->out[i];
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
  const struct neo_program *program = session->model->program;
  int32_t status = begin(session);
  if (status) return status;
  for (int32_t i = 0; !status && i < program->input_count; i++) {
    const struct neo_spec *spec = &program->inputs[i];
    if (dims[i] ? !neo_fits(spec, dims[i]) : !neo_is_static(spec))
      status = dims[i] ? neo_wrong_shape(spec, dims[i])
                       : neo_fail(NEO_BAD_ARGUMENT, "input '%.100s' has dynamic extents, which must be given",
                                  spec->name);
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

/* Sessions: their memory, their threads, who watches them. */
#include <string.h>

#include "error.h"
#include "memory.h"
#include "session.h"

#define MOST_THREADS 1024

/* The tables that follow the structure, laid out at `at` if it is not null; the bytes of all. */
static int64_t lay_out(neo_session *session, const struct neo_program *program) {
  int64_t in = program->input_count, out = program->output_count, extents = 0;
  for (int64_t i = 0; i < in; i++) extents += program->inputs[i].rank;
  for (int64_t i = 0; i < out; i++) extents += program->outputs[i].rank;
  int64_t pointers = 2 * in + 2 * out;
  if (session) {
    int64_t *dims = (int64_t *)(session + 1);
    session->in = (struct neo_input_state *)(dims + extents);
    session->out = (struct neo_output_state *)(session->in + in);
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
      session->out[i].bytes = neo_is_static(spec) ? neo_array_bytes(spec, spec->dims) : -1;
      if (spec->rank) memcpy(dims, spec->dims, (size_t)spec->rank * sizeof *dims);
    }
  }
  return (int64_t)sizeof *session + extents * 8 + in * (int64_t)sizeof(struct neo_input_state) +
         out * (int64_t)sizeof(struct neo_output_state) + pointers * (int64_t)sizeof(void *);
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
  session->spin = NEO_SPIN;
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

void neo_drop_outputs(neo_session *session) {
  for (int32_t i = 0; i < session->model->program->output_count; i++) {
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
  neo_drop_outputs(session);
  neo_blocks_destroy(session->blocks);
  for (int32_t i = 0; i < program->input_count; i++)
    neo_free(&allocator, session->in[i].copy, session->in[i].copy_bytes);
  for (int32_t i = 0; i < program->output_count; i++) neo_free(&allocator, session->out[i].own, session->out[i].bytes);
  neo_free(&allocator, session->arena, program->arena_bytes);
  neo_free(&allocator, session->cpus, session->cpu_count * (int64_t)sizeof *session->cpus);
  neo_free(&allocator, session, session->bytes);
  neo_close(model);
}

int32_t neo_replace_pool(neo_session *session, int32_t threads) {
  struct neo_pool *pool = neo_pool_create(&session->model->allocator, threads);
  if (!pool) return neo_fail(NEO_NO_MEMORY, "there is no memory for %d threads", (int)threads);
  neo_pool_destroy(session->pool);
  session->pool = pool;
  neo_pool_spin(pool, session->spin);
  if (session->cpu_count) neo_pool_pin(pool, session->cpus, session->cpu_count);
  return NEO_OK;
}

int32_t neo_set_threads(neo_session *session, int32_t threads) {
  return checked_threads(threads) ? NEO_BAD_ARGUMENT : neo_replace_pool(session, threads);
}

int32_t neo_threads(const neo_session *session) { return neo_pool_threads(session->pool); }

int32_t neo_set_spin(neo_session *session, int64_t nanoseconds) {
  if (nanoseconds < 0) return neo_fail(NEO_BAD_ARGUMENT, "threads cannot stay awake for less than 0 ns");
  session->spin = nanoseconds;
  neo_pool_spin(session->pool, nanoseconds);
  return NEO_OK;
}

int64_t neo_spin(const neo_session *session) { return session->spin; }

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

/* Shapes, and the inputs and outputs of a session. */
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "memory.h"
#include "session.h"

const char *neo_shape_text(char *text, size_t size, int64_t rank, const int64_t *dims) {
  size_t at = (size_t)snprintf(text, size, "(");
  for (int64_t i = 0; i < rank && at < size; i++) {
    const char *comma = i ? ", " : "";
    at += dims[i] < 0 ? (size_t)snprintf(text + at, size - at, "%s?", comma)
                      : (size_t)snprintf(text + at, size - at, "%s%lld", comma, (long long)dims[i]);
  }
  if (at < size) snprintf(text + at, size - at, ")");
  return text;
}

int64_t neo_array_bytes(const struct neo_spec *spec, const int64_t *dims) {
  int64_t bytes = neo_dtype_bytes(spec->dtype);
  for (int32_t i = 0; i < spec->rank; i++)
    if (dims[i] < 0 || __builtin_mul_overflow(bytes, dims[i], &bytes)) return -1;
  return bytes;
}

int neo_is_static(const struct neo_spec *spec) {
  for (int32_t i = 0; i < spec->rank; i++)
    if (spec->dims[i] < 0) return 0;
  return 1;
}

int neo_fits(const struct neo_spec *spec, const int64_t *dims) {
  for (int32_t i = 0; i < spec->rank; i++)
    if (dims[i] < 0 || (spec->dims[i] >= 0 && spec->dims[i] != dims[i])) return 0;
  return 1;
}

int32_t neo_wrong_shape(const struct neo_spec *spec, const int64_t *dims) {
  char has[128], wants[128];
  return neo_fail(NEO_BAD_ARGUMENT, "input '%.100s' has shape %s, the model takes %s", spec->name,
                  neo_shape_text(has, sizeof has, spec->rank, dims),
                  neo_shape_text(wants, sizeof wants, spec->rank, spec->dims));
}

int32_t neo_set_input(neo_session *session, int32_t index, const void *data, const int64_t *dims, int32_t flags) {
  const struct neo_program *program = session->model->program;
  if (index < 0 || index >= program->input_count)
    return neo_fail(NEO_BAD_ARGUMENT, "the model has %d inputs, none of them is number %d", (int)program->input_count,
                    (int)index);
  const struct neo_spec *spec = &program->inputs[index];
  struct neo_input_state *in = &session->in[index];
  if (!dims && !neo_is_static(spec))
    return neo_fail(NEO_BAD_ARGUMENT, "input '%.100s' has dynamic extents, which must be given", spec->name);
  if (!dims) dims = spec->dims;
  if (!neo_fits(spec, dims)) return neo_wrong_shape(spec, dims);
  int64_t bytes = neo_array_bytes(spec, dims);
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
  const struct neo_program *program = session->model->program;
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

static int has_output(const neo_session *session, int32_t index) {
  return session->written && index >= 0 && index < session->model->program->output_count;
}

static void tell_dims(const neo_session *session, int32_t index, int64_t *dims) {
  int32_t rank = session->model->program->outputs[index].rank;
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

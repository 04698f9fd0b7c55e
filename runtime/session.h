/* What is behind neo_session, and what its files share. */
#ifndef NEO_SESSION_H
#define NEO_SESSION_H

#ifndef __wasm__
#include <setjmp.h>
#endif

#include "blocks.h"
#include "model.h"
#include "pool.h"

struct neo_input_state {
  void *copy; /* null: the data is the caller's */
  int64_t copy_bytes;
  int64_t *dims;
  int given;
};

struct neo_output_state {
  int64_t *dims;
  int64_t bytes; /* negative where its extents are dynamic */
  void *own;     /* memory of the session for an output that the caller gave none for */
  void *memory;  /* of a dynamic output: what the last run wrote; null when taken */
};

struct neo_session {
  struct neo_model *model;
  struct neo_pool *pool;
  struct neo_blocks *blocks;
  struct neo_input_state *in;
  struct neo_output_state *out;
  void **inputs, **outputs;       /* what neo_set_input and neo_set_output gave */
  const int64_t **in_dims;
  void **targets;                 /* where the outputs of neo_run go */
  void *const *written;           /* where the last run wrote them; null: there was none, or it failed */
  int64_t bytes;                  /* of this structure and its tables */
  uint8_t *arena;
  int32_t *cpus;
  int64_t spin;                   /* nanoseconds */
  int32_t cpu_count, running, status;
  neo_hook hook;
  void *hook_context;
  int64_t step;
#ifndef __wasm__
  jmp_buf failed;
#endif
};

/* `dims` as text: (2, ?). */
const char *neo_shape_text(char *text, size_t size, int64_t rank, const int64_t *dims);

/* Bytes of an array; -1 where an extent is dynamic or they cannot be counted. */
int64_t neo_array_bytes(const struct neo_spec *spec, const int64_t *dims);

int neo_is_static(const struct neo_spec *spec);

/* Whether extents are those of `spec`, where it has any. */
int neo_fits(const struct neo_spec *spec, const int64_t *dims);

/* The error of an input whose shape does not fit. */
int32_t neo_wrong_shape(const struct neo_spec *spec, const int64_t *dims);

/* Give back what the last run wrote to memory of its own. */
void neo_drop_outputs(neo_session *session);

/* Other threads for a session, on the CPUs that were chosen. */
int32_t neo_replace_pool(neo_session *session, int32_t threads);

#endif

#include "model.h"

#include <string.h>

#include "error.h"
#include "memory.h"

int32_t neo_abi_version(void) { return NEO_ABI_VERSION; }

int32_t neo_model_init(struct neo_model *model, const struct neo_options *options) {
  if (options && options->abi != NEO_ABI_VERSION)
    return neo_fail(NEO_UNSUPPORTED, "the caller is built for version %d of neo.h, this runtime has version %d",
                    (int)options->abi, NEO_ABI_VERSION);
  if (options && !options->allocator.allocate != !options->allocator.release)
    return neo_fail(NEO_BAD_ARGUMENT, "an allocator needs both allocate and release");
  *model = (struct neo_model){.references = 1, .allocator = neo_allocator_of(options)};
  return NEO_OK;
}

void neo_model_keep(struct neo_model *model) { __atomic_fetch_add(&model->references, 1, __ATOMIC_RELAXED); }

void neo_close(neo_model *model) {
  if (model && __atomic_fetch_sub(&model->references, 1, __ATOMIC_ACQ_REL) == 1) model->dispose(model);
}

static void dispose(struct neo_model *model) {
  struct neo_allocator allocator = model->allocator;
  neo_free(&allocator, model, sizeof *model);
}

int32_t neo_open_program(const struct neo_program *program, const struct neo_options *options, neo_model **model) {
  *model = 0;
  struct neo_model made;
  int32_t status = neo_model_init(&made, options);
  if (status) return status;
  if (program->abi != NEO_ABI_VERSION)
    return neo_fail(NEO_UNSUPPORTED, "the program has version %d of the ABI, this runtime version %d; compile it again",
                    (int)program->abi, NEO_ABI_VERSION);
  struct neo_model *kept = neo_allocate(&made.allocator, sizeof *kept);
  if (!kept) return neo_fail(NEO_NO_MEMORY, "there is no memory for a model");
  *kept = made;
  kept->program = program;
  kept->dispose = dispose;
  *model = kept;
  return NEO_OK;
}

const struct neo_program *neo_describe(const neo_model *model) { return model->program; }

static int32_t index_of(const struct neo_spec *specs, int32_t count, const char *name) {
  for (int32_t i = 0; i < count; i++)
    if (!strcmp(specs[i].name, name)) return i;
  return -1;
}

int32_t neo_input_index(const neo_model *model, const char *name) {
  return index_of(model->program->inputs, model->program->input_count, name);
}

int32_t neo_output_index(const neo_model *model, const char *name) {
  return index_of(model->program->outputs, model->program->output_count, name);
}

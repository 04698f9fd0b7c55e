/* What is behind neo_model. */
#ifndef NEO_MODEL_H
#define NEO_MODEL_H

#include "neo.h"

struct neo_model {
  const struct neo_program *program;
  struct neo_allocator allocator;
  void (*dispose)(struct neo_model *model); /* gives back all, the model itself included */
  int references;                           /* atomic */
};

/* Fill in a model of one reference. NEO_UNSUPPORTED where the caller's `options` are of another version. */
int32_t neo_model_init(struct neo_model *model, const struct neo_options *options);

void neo_model_keep(struct neo_model *model);

#endif

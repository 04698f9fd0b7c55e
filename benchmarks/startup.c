/* Opens a `.neo` file, runs it once on zeros, says the most memory that it held, and ends: a cold start from C. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "neo.h"

int main(int argc, char **argv) {
  neo_model *model;
  neo_session *session;
  if (argc != 2 || neo_open(argv[1], 0, &model) || neo_session_create(model, 1, &session)) return puts(neo_error()), 1;
  const struct neo_program *program = neo_describe(model);
  for (int32_t i = 0; i < program->input_count; i++) {
    const struct neo_spec *spec = &program->inputs[i];
    size_t bytes = (size_t)neo_dtype_bytes(spec->dtype);
    for (int32_t d = 0; d < spec->rank; d++) bytes *= (size_t)spec->dims[d];
    void *zeros = calloc(bytes, 1);
    if (!zeros || neo_set_input(session, i, zeros, 0, 0)) return puts(neo_error()), 1;
  }
  if (neo_run(session)) return puts(neo_error()), 1;
  char line[128];
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status))
    if (!strncmp(line, "VmHWM:", 6)) fputs(line, stdout);
  return 0;
}

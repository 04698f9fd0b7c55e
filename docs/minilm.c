/* How alike two sentences are: `minilm minilm.neo 101,7592,2088,102 101,7632,2045,102`, of the numbers of their tokens. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "neo.h"

static void embed(neo_session *session, char *text, float mean[384]) {
  int64_t ids[512], mask[512], dims[3] = {1, 0};
  for (char *at = text; *at && dims[1] < 512; at += *at == ',') {
    mask[dims[1]] = 1;
    ids[dims[1]++] = strtol(at, &at, 10);
  }
  neo_set_input_named(session, "input_ids", ids, dims, 0);
  neo_set_input_named(session, "attention_mask", mask, dims, 0);
  if (neo_run(session)) exit(puts(neo_error()));
  const float *states = neo_output(session, 0, dims);
  for (int i = 0; i < 384; i++) {
    mean[i] = 0;
    for (int64_t token = 0; token < dims[1]; token++) mean[i] += states[384 * token + i] / (float)dims[1];
  }
}

int main(int argc, char **argv) {
  neo_model *model;
  neo_session *session;
  float a[384], b[384], product = 0, squares_a = 0, squares_b = 0;
  if (argc != 4) return puts("usage: minilm MODEL.neo TOKENS TOKENS"), 1;
  if (neo_open(argv[1], 0, &model) || neo_session_create(model, 1, &session)) return puts(neo_error()), 1;
  embed(session, argv[2], a);
  embed(session, argv[3], b);
  for (int i = 0; i < 384; i++) {
    product += a[i] * b[i];
    squares_a += a[i] * a[i];
    squares_b += b[i] * b[i];
  }
  printf("%.4f\n", product / sqrtf(squares_a * squares_b));
}

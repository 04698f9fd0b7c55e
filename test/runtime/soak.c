/* One model, many threads, each in a session of its own, every output the same to the last bit, and memory flat:
   `soak MODEL.neo THREADS RUNS`, RUNS being those of all threads together. Static shapes only. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "neo.h"

enum { MOST_THREADS = 64 };
static neo_model *model;
static atomic_llong left;
static void **inputs, **expected;

static void must(int good) {
  if (good) return;
  fprintf(stderr, "failed: %s\n", neo_error());
  exit(1);
}

static size_t bytes_of(const struct neo_spec *spec) {
  size_t bytes = (size_t)neo_dtype_bytes(spec->dtype);
  for (int32_t i = 0; i < spec->rank; i++) {
    must(spec->dims[i] >= 0);
    bytes *= (size_t)spec->dims[i];
  }
  return bytes;
}

static neo_session *ready(void) {
  neo_session *session;
  must(!neo_session_create(model, 1, &session));
  for (int32_t i = 0; i < neo_describe(model)->input_count; i++) must(!neo_set_input(session, i, inputs[i], 0, 0));
  return session;
}

static void *work(void *argument) {
  const struct neo_program *program = neo_describe(model);
  neo_session *session = ready();
  (void)argument;
  while (atomic_fetch_sub(&left, 1) > 0) {
    must(!neo_run(session));
    for (int32_t i = 0; i < program->output_count; i++)
      must(!memcmp(neo_output(session, i, 0), expected[i], bytes_of(&program->outputs[i])));
  }
  neo_session_destroy(session);
  return 0;
}

static long resident_pages(void) {
  long size, resident;
  FILE *file = fopen("/proc/self/statm", "r");
  must(file && fscanf(file, "%ld %ld", &size, &resident) == 2);
  fclose(file);
  return resident;
}

static void round_of(int threads, long long runs) {
  pthread_t ids[MOST_THREADS];
  atomic_store(&left, runs);
  for (int i = 0; i < threads; i++) must(!pthread_create(&ids[i], 0, work, 0));
  for (int i = 0; i < threads; i++) must(!pthread_join(ids[i], 0));
}

int main(int argc, char **argv) {
  must(argc == 4 && !neo_open(argv[1], 0, &model));
  int threads = atoi(argv[2]);
  long long runs = atoll(argv[3]);
  const struct neo_program *program = neo_describe(model);
  must(threads >= 1 && threads <= MOST_THREADS);
  inputs = calloc((size_t)program->input_count + 1, sizeof *inputs);
  expected = calloc((size_t)program->output_count + 1, sizeof *expected);
  must(inputs && expected);
  for (int32_t i = 0; i < program->input_count; i++) {
    size_t bytes = bytes_of(&program->inputs[i]);
    must((inputs[i] = calloc(bytes, 1)) != 0);
    if (program->inputs[i].dtype == NEO_FLOAT32)
      for (size_t at = 0; at < bytes / 4; at++) ((float *)inputs[i])[at] = (float)((at * 7919) % 2003) / 1000 - 1;
  }
  neo_session *session = ready();
  must(!neo_run(session));
  for (int32_t i = 0; i < program->output_count; i++) {
    size_t bytes = bytes_of(&program->outputs[i]);
    must((expected[i] = malloc(bytes)) != 0);
    memcpy(expected[i], neo_output(session, i, 0), bytes);
  }
  neo_session_destroy(session);
  round_of(threads, runs / 10);
  long before = resident_pages();
  round_of(threads, runs);
  long after = resident_pages();
  printf("%d threads, %lld runs: all alike; %ld resident pages before, %ld after\n", threads, runs, before, after);
  must(after <= before + 64);
  neo_close(model);
  return 0;
}

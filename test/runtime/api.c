/* The C API, called in every way that matters: `api add.neo dynamic.neo parallel.neo THREADS RUNS`. The files are those
   of test/unit/programs.py. Run under the sanitizers by test/unit/test_c_api.py. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "neo.h"
#include "pool.h"

#define CHECK(condition)                                                                         \
  do {                                                                                           \
    if (!(condition)) {                                                                          \
      fprintf(stderr, "%s:%d: %s; neo_error: %s\n", __FILE__, __LINE__, #condition, neo_error()); \
      exit(1);                                                                                   \
    }                                                                                            \
  } while (0)

#define SAYS(part) CHECK(strstr(neo_error(), part))

enum { ITEMS = 1000 };
static const char *add_path, *dynamic_path, *parallel_path;
static const float x[6] = {0, 1, 2, 3, 4, 5}, sums[6] = {0, 11, 22, 33, 44, 55};

/* An allocator that counts, checks what it is given back, and fails when it is told to. */

struct counter {
  atomic_llong allocations, live, peak, left; /* left: allocations until one fails */
};

static void *allocate(void *context, size_t bytes, size_t alignment) {
  struct counter *counter = context;
  if (atomic_fetch_sub(&counter->left, 1) <= 0) return 0;
  size_t header = alignment < 64 ? 64 : alignment;
  char *memory = aligned_alloc(header, (header + bytes + header - 1) / header * header);
  if (!memory) return 0;
  atomic_fetch_add(&counter->allocations, 1);
  long long live = atomic_fetch_add(&counter->live, (long long)bytes) + (long long)bytes;
  if (live > atomic_load(&counter->peak)) atomic_store(&counter->peak, live);
  memcpy(memory, &bytes, sizeof bytes);
  memcpy(memory + sizeof bytes, &header, sizeof header);
  return memory + header;
}

static void release(void *context, void *pointer, size_t bytes) {
  struct counter *counter = context;
  size_t told, header = 64;
  memcpy(&told, (char *)pointer - header, sizeof told);
  CHECK(told == bytes);
  atomic_fetch_sub(&counter->live, (long long)bytes);
  free((char *)pointer - header);
}

static struct neo_options counting(struct counter *counter, long long left) {
  atomic_store(&counter->allocations, 0);
  atomic_store(&counter->live, 0);
  atomic_store(&counter->peak, 0);
  atomic_store(&counter->left, left);
  return (struct neo_options){.abi = NEO_ABI_VERSION, .allocator = {counter, allocate, release}};
}

static void *contents(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  CHECK(file && !fseek(file, 0, SEEK_END));
  *size = (size_t)ftell(file);
  void *bytes = aligned_alloc(64, (*size + 63) / 64 * 64);
  rewind(file);
  CHECK(bytes && fread(bytes, 1, *size, file) == *size);
  fclose(file);
  return bytes;
}

/* Tests. */

static void opening(void) {
  neo_model *model;
  size_t size;
  char *bytes = contents(add_path, &size);
  CHECK(neo_abi_version() == NEO_ABI_VERSION);
  CHECK(neo_open("/nowhere/a.neo", 0, &model) == NEO_CANNOT_READ && !model);
  SAYS("/nowhere/a.neo cannot be read: No such file");
  CHECK(neo_open("/tmp", 0, &model) == NEO_CANNOT_READ);
  SAYS("no regular file");
  struct neo_options options = {.abi = NEO_ABI_VERSION + 1};
  CHECK(neo_open(add_path, &options, &model) == NEO_UNSUPPORTED);
  options = (struct neo_options){.abi = NEO_ABI_VERSION, .allocator = {0, allocate, 0}};
  CHECK(neo_open(add_path, &options, &model) == NEO_BAD_ARGUMENT);
  CHECK(neo_open_memory(bytes + 1, (int64_t)size - 1, 0, &model) == NEO_BAD_ARGUMENT);
  /* Any byte that is changed, or missing, is found. */
  for (size_t at = 0; at < size; at++) {
    bytes[at] ^= 1;
    CHECK(neo_open_memory(bytes, (int64_t)size, 0, &model) == NEO_DAMAGED && !model);
    bytes[at] ^= 1;
  }
  for (size_t left = 0; left < size; left++)
    CHECK(neo_open_memory(bytes, (int64_t)left, 0, &model) == NEO_DAMAGED);
  CHECK(!neo_open_memory(bytes, (int64_t)size, 0, &model));
  neo_close(model);
  neo_close(0);
  free(bytes);
}

static void describing(void) {
  neo_model *model;
  CHECK(!neo_open(dynamic_path, 0, &model));
  const struct neo_program *program = neo_describe(model);
  CHECK(program->input_count == 1 && program->output_count == 2);
  CHECK(!strcmp(program->inputs[0].name, "x") && program->inputs[0].dtype == NEO_FLOAT32);
  CHECK(program->inputs[0].rank == 1 && program->inputs[0].dims[0] == -1);
  CHECK(program->outputs[1].rank == 2 && program->outputs[1].dims[0] == 2 && program->outputs[1].dims[1] == -1);
  CHECK(neo_input_index(model, "x") == 0 && neo_output_index(model, "y") == 1 && neo_input_index(model, "y") == -1);
  CHECK(program->manifest_bytes > 100 && program->manifest[0] == '{' && program->target[0]);
  CHECK(!strcmp(neo_dtype_name(NEO_BFLOAT16), "bfloat16") && neo_dtype_bytes(NEO_COMPLEX128) == 16);
  CHECK(!neo_dtype_name(0) && !neo_dtype_name(-1) && !neo_dtype_name(1000) && !neo_dtype_bytes(99));
  neo_close(model);
}

static void running(void) {
  neo_model *model;
  neo_session *session;
  float own[6], copied[6];
  const int64_t good[] = {2, 3}, bad[] = {3, 2}, negative[] = {2, -3};
  CHECK(!neo_open(add_path, 0, &model));
  CHECK(neo_session_create(model, 0, &session) == NEO_BAD_ARGUMENT && !session);
  CHECK(neo_session_create(model, 1025, &session) == NEO_BAD_ARGUMENT);
  CHECK(!neo_session_create(model, 1, &session));
  neo_close(model); /* The session keeps it. */
  CHECK(neo_run(session) == NEO_BAD_ARGUMENT);
  SAYS("input 'x' was not set");
  CHECK(!neo_output(session, 0, 0));
  CHECK(neo_set_input(session, 1, x, 0, 0) == NEO_BAD_ARGUMENT && neo_set_input(session, -1, x, 0, 0));
  CHECK(neo_set_input_named(session, "z", x, 0, 0) == NEO_BAD_ARGUMENT);
  CHECK(neo_set_input(session, 0, x, bad, 0) == NEO_BAD_ARGUMENT);
  SAYS("input 'x' has shape (3, 2), the model takes (2, 3)");
  CHECK(neo_set_input(session, 0, x, negative, 0) == NEO_BAD_ARGUMENT);
  CHECK(neo_set_input(session, 0, 0, 0, 0) == NEO_BAD_ARGUMENT);
  CHECK(!neo_set_input_named(session, "x", x, good, 0) && !neo_run(session));
  int64_t dims[2];
  CHECK(!memcmp(neo_output(session, 0, dims), sums, sizeof sums) && dims[0] == 2 && dims[1] == 3);
  CHECK(!neo_output(session, 1, 0) && !neo_output(session, -1, 0) && !neo_take_output(session, 0, 0));
  memcpy(copied, x, sizeof x);
  CHECK(!neo_set_input(session, 0, copied, 0, NEO_COPY));
  memset(copied, 0, sizeof copied);
  CHECK(neo_set_output(session, 0, own, 20) == NEO_BAD_ARGUMENT && neo_set_output(session, 2, own, 24));
  CHECK(!neo_set_output(session, 0, own, sizeof own) && !neo_run(session));
  CHECK(!memcmp(own, sums, sizeof sums) && neo_output(session, 0, 0) == own);
  memset(own, 0, sizeof own);
  CHECK(!neo_set_output(session, 0, 0, 0) && !neo_run(session) && own[1] == 0);
  CHECK(!memcmp(neo_output(session, 0, 0), sums, sizeof sums));
  void *in[] = {(void *)(uintptr_t)x}, *out[] = {own};
  const int64_t *no_dims[] = {0}, *bad_dims[] = {bad};
  CHECK(!neo_run_on(session, in, no_dims, out) && !memcmp(own, sums, sizeof sums));
  CHECK(neo_run_on(session, in, bad_dims, out) == NEO_BAD_ARGUMENT);
  out[0] = 0;
  CHECK(neo_run_on(session, in, no_dims, out) == NEO_BAD_ARGUMENT);
  neo_session_destroy(session);
  neo_session_destroy(0);
}

static void dynamic_shapes(void) {
  neo_model *model;
  neo_session *session;
  CHECK(!neo_open(dynamic_path, 0, &model) && !neo_session_create(model, 2, &session));
  neo_close(model);
  CHECK(neo_set_input(session, 0, x, 0, 0) == NEO_BAD_ARGUMENT);
  SAYS("dynamic extents");
  CHECK(neo_set_output(session, 1, (void *)(uintptr_t)x, 4) == NEO_BAD_ARGUMENT);
  float *taken = 0;
  for (int64_t n = 0; n <= 6; n++) {
    int64_t dims[2] = {-7, -7};
    CHECK(!neo_set_input(session, 0, x, &n, n % 2 ? NEO_COPY : 0) && !neo_run(session));
    CHECK(*(const int64_t *)neo_output(session, 0, 0) == n);
    const float *y = neo_output(session, 1, dims);
    CHECK(y && dims[0] == 2 && dims[1] == n && !memcmp(y + n, x, (size_t)n * 4));
    neo_release(taken);
    taken = neo_take_output(session, 1, dims);
    CHECK(taken == y && !neo_take_output(session, 1, dims) && !neo_output(session, 1, dims));
  }
  neo_session_destroy(session);
  CHECK(!memcmp(taken + 6, x, sizeof x));
  neo_release(taken);
  neo_release(0);
}

struct seen {
  int count;
  int64_t items;
};

static void look(void *context, const struct neo_event *event) {
  struct seen *seen = context;
  CHECK(event->step == seen->count++ && event->end >= event->begin && !strcmp(event->kernel, "fill"));
  seen->items += event->items;
}

static void profiling(void) {
  neo_model *model;
  neo_session *session;
  static int64_t in[ITEMS];
  struct seen seen = {0};
  struct neo_event events[2];
  struct neo_recording recording = {events, 2, 0};
  CHECK(!neo_open(parallel_path, 0, &model) && !neo_session_create(model, 3, &session));
  neo_close(model);
  CHECK(neo_threads(session) == 3 && !neo_set_input(session, 0, in, 0, 0));
  CHECK(!neo_set_hook(session, look, &seen) && !neo_run(session) && seen.count == 3 && seen.items == ITEMS + 1);
  CHECK(!neo_set_hook(session, neo_record, &recording) && !neo_run(session));
  CHECK(recording.count == 3 && events[0].items == ITEMS && events[1].items == 0 && !strcmp(events[1].kernel, "fill"));
  CHECK(!neo_set_hook(session, 0, 0));
  int32_t cpu = 0, none = 1 << 20;
  CHECK(!neo_set_affinity(session, &cpu, 1) && !neo_run(session));
  CHECK(neo_set_affinity(session, &none, 1) == NEO_UNSUPPORTED && neo_set_affinity(session, 0, -1));
  CHECK(!neo_set_affinity(session, 0, 0) && !neo_set_threads(session, 2) && neo_threads(session) == 2);
  CHECK(neo_spin(session) == NEO_SPIN && neo_set_spin(session, -1) == NEO_BAD_ARGUMENT);
  for (int64_t spin = 0; spin <= NEO_SPIN; spin += NEO_SPIN / 2) {
    CHECK(!neo_set_spin(session, spin) && !neo_set_threads(session, 3) && neo_spin(session) == spin);
    for (int i = 0; i < 20; i++) CHECK(!neo_run(session));
  }
  CHECK(neo_set_threads(session, 0) == NEO_BAD_ARGUMENT && !neo_run(session));
  CHECK(((const int64_t *)neo_output(session, 0, 0))[ITEMS - 1] == ITEMS);
  neo_session_destroy(session);
}

/* Loops of a pool, one after the other and within each other: each item once, and all before the loop returns. */

struct job {
  struct neo_pool *pool;
  int64_t items;
  int done[256], inner[256];
};

static void inner_body(int64_t lo, int64_t hi, void *data) {
  for (int64_t i = lo; i < hi; i++) __atomic_fetch_add((int *)data, 1, __ATOMIC_RELAXED);
}

static void outer_body(int64_t lo, int64_t hi, void *data) {
  struct job *job = data;
  for (int64_t i = lo; i < hi; i++) {
    job->done[i]++;
    neo_pool_run(job->pool, 3, inner_body, &job->inner[i]);
  }
}

static void pooling(void) {
  struct neo_allocator allocator = neo_allocator_of(0);
  for (int32_t threads = 1; threads <= 4; threads += 3) {
    struct neo_pool *pool = neo_pool_create(&allocator, threads);
    for (int64_t number = 0; number < 3000; number++) {
      if (number % 100 == 0) neo_pool_spin(pool, number % 300 * 1000);
      if (number % 5 == 0) neo_pool_begin(pool);
      struct job job = {pool, number % 256, {0}, {0}};
      neo_pool_run(pool, job.items, outer_body, &job);
      for (int64_t i = 0; i < 256; i++) CHECK(job.done[i] == (i < job.items) && job.inner[i] == 3 * job.done[i]);
      if (number % 5 == 4) neo_pool_end(pool);
      if (number % 500 == 0) usleep(300); /* Let them fall asleep. */
    }
    neo_pool_destroy(pool);
  }
}

/* With static shapes, no run after the first allocates; all comes back; memory is the arena and little more. */
static void allocating(void) {
  struct counter counter;
  struct neo_options options = counting(&counter, 1 << 30);
  neo_model *model;
  neo_session *session;
  static int64_t in[ITEMS];
  CHECK(!neo_open(parallel_path, &options, &model) && !neo_session_create(model, 2, &session));
  CHECK(!neo_set_input(session, 0, in, 0, NEO_COPY) && !neo_run(session));
  long long before = atomic_load(&counter.allocations);
  for (int i = 0; i < 100; i++) CHECK(!neo_set_input(session, 0, in, 0, NEO_COPY) && !neo_run(session));
  CHECK(atomic_load(&counter.allocations) == before);
  CHECK(atomic_load(&counter.peak) <= neo_describe(model)->arena_bytes + (1 << 20));
  neo_session_destroy(session);
  neo_close(model);
  CHECK(atomic_load(&counter.live) == 0);
}

static int32_t whole_life(const struct neo_options *options, const char *path) {
  neo_model *model;
  neo_session *session = 0;
  const int64_t dims = 6;
  static int64_t in[ITEMS];
  int32_t status = neo_open(path, options, &model);
  if (status) return status;
  status = neo_session_create(model, 2, &session);
  if (!status) status = neo_set_input(session, 0, in, path == dynamic_path ? &dims : 0, NEO_COPY);
  if (!status) status = neo_run(session);
  neo_session_destroy(session);
  neo_close(model);
  return status;
}

/* Wherever memory ends, there is an error and nothing is lost. */
static void running_out_of_memory(void) {
  const char *paths[] = {add_path, dynamic_path, parallel_path};
  for (int i = 0; i < 3; i++) {
    int32_t status = NEO_NO_MEMORY;
    long long left = 0;
    for (; status; left++) {
      struct counter counter;
      struct neo_options options = counting(&counter, left);
      status = whole_life(&options, paths[i]);
      CHECK(status == NEO_OK || status == NEO_NO_MEMORY);
      CHECK(atomic_load(&counter.live) == 0);
    }
    CHECK(left > 5);
  }
}

/* Many threads run one model, each in a session of its own. */

static neo_model *shared;
static int runs;

static void *work(void *argument) {
  neo_session *session;
  int64_t in[ITEMS], expected[ITEMS];
  (void)argument;
  CHECK(!neo_session_create(shared, 1, &session));
  for (int i = 0; i < ITEMS; i++) {
    in[i] = i * 7;
    expected[i] = in[i] + i + 1 + !i;
  }
  CHECK(!neo_set_input(session, 0, in, 0, 0));
  for (int i = 0; i < runs; i++) {
    CHECK(!neo_run(session));
    CHECK(!memcmp(neo_output(session, 0, 0), expected, sizeof expected));
  }
  neo_session_destroy(session);
  return 0;
}

static long resident_pages(void) {
  long size, resident;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file && fscanf(file, "%ld %ld", &size, &resident) == 2);
  fclose(file);
  return resident;
}

static void many_threads(int count) {
  pthread_t threads[64];
  long pages = 0;
  CHECK(count <= 64 && !neo_open(parallel_path, 0, &shared));
  /* The first round fills what is kept; the second shows that nothing is added to it. */
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < count; i++) CHECK(!pthread_create(&threads[i], 0, work, 0));
    for (int i = 0; i < count; i++) CHECK(!pthread_join(threads[i], 0));
    long now = resident_pages();
    if (round) printf("%d threads, %d runs each: %ld pages, then %ld\n", count, runs, pages, now);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    CHECK(!round || now <= pages + 64);
#endif
    pages = now;
  }
  neo_close(shared);
}

int main(int argc, char **argv) {
  CHECK(argc == 6);
  add_path = argv[1];
  dynamic_path = argv[2];
  parallel_path = argv[3];
  runs = atoi(argv[5]);
  opening();
  describing();
  running();
  dynamic_shapes();
  profiling();
  pooling();
  allocating();
  running_out_of_memory();
  many_threads(atoi(argv[4]));
  puts("all is well");
  return 0;
}

/* Compiled trees called from C, in turn: Neo's programs, tl2cgen's `predict`, lleaves' `forest_root`.

   forest ROWS COUNT FEATURES REPEATS BURST [neo NAME FILE.neo | tl2cgen NAME LIBRARY | lleaves NAME LIBRARY] …

   ROWS holds COUNT rows of float32. Each way is called for one row after the other, BURST rows a sample, on the same row
   BURST times, and on all rows at once; a line a way and kind: `NAME KIND best median first-result`, in nanoseconds a
   call. Rows are in the form that each takes before the clock starts: `union Entry` for tl2cgen, double for lleaves. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "neo.h"

union entry {
  int missing;
  float value;
};

struct way {
  const char *name;
  neo_session *session;
  int64_t dims[2]; /* of a Neo program; the number of rows is negative where it is open */
  int dtype;
  void (*predict)(union entry *, int, float *);
  void (*forest_root)(double *, double *, int, int);
  void *rows, *results;
  double *samples[3];
};

static int count, features, repeats, burst;

static void *must(void *pointer, const char *what) {
  if (pointer) return pointer;
  fprintf(stderr, "forest: %s: %s\n", what, dlerror());
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Run a way on `number` rows from `first`. */
static void run(struct way *way, int first, int number) {
  if (way->session) {
    size_t size = way->dtype == NEO_FLOAT64 ? 8 : 4;
    const void *inputs[] = {(char *)way->rows + (size_t)first * (size_t)features * size};
    void *outputs[] = {way->results};
    int64_t extents[] = {number, features};
    const int64_t *dims[] = {extents};
    if (way->dims[0] >= 0) {
      dims[0] = 0;
      for (int i = 0; i < number; i++) {
        const void *one[] = {(char *)inputs[0] + (size_t)i * (size_t)features * size};
        void *to[] = {(char *)way->results + (size_t)i * size};
        if (neo_run_on(way->session, (void *const *)one, dims, to)) puts(neo_error()), exit(1);
      }
    } else {
      outputs[0] = 0;
      if (neo_run_on(way->session, (void *const *)inputs, dims, outputs)) puts(neo_error()), exit(1);
      neo_output(way->session, 0, extents);
    }
  } else if (way->predict) {
    for (int i = 0; i < number; i++) {
      ((float *)way->results)[i] = 0; /* it adds to what is there */
      way->predict((union entry *)way->rows + (size_t)(first + i) * (size_t)features, 1, (float *)way->results + i);
    }
  } else {
    way->forest_root((double *)way->rows + (size_t)first * (size_t)features, way->results, 0, number);
  }
}

static double first_result(struct way *way) {
  run(way, 0, 1);
  if (way->session && way->dims[0] < 0) {
    const void *made = neo_output(way->session, 0, 0);
    return way->dtype == NEO_FLOAT64 ? *(const double *)made : *(const float *)made;
  }
  return way->forest_root || (way->session && way->dtype == NEO_FLOAT64) ? *(double *)way->results
                                                                          : *(float *)way->results;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void open_way(struct way *way, const char *kind, const char *file, const float *rows) {
  size_t numbers = (size_t)count * (size_t)features;
  way->results = calloc((size_t)count + 1, 8);
  if (!strcmp(kind, "neo")) {
    neo_model *model;
    if (neo_open(file, 0, &model) || neo_session_create(model, 1, &way->session)) puts(neo_error()), exit(1);
    const struct neo_spec *input = neo_describe(model)->inputs;
    memcpy(way->dims, input->dims, sizeof way->dims);
    way->dtype = input->dtype;
  } else {
    void *library = must(dlopen(file, RTLD_NOW | RTLD_LOCAL), file);
    if (!strcmp(kind, "tl2cgen")) {
      way->predict = (void (*)(union entry *, int, float *))must(dlsym(library, "predict"), "predict");
    } else {
      way->forest_root = (void (*)(double *, double *, int, int))must(dlsym(library, "forest_root"), "forest_root");
    }
  }
  int wide = way->forest_root || way->dtype == NEO_FLOAT64;
  way->rows = malloc(numbers * (wide ? 8 : 4));
  for (size_t i = 0; i < numbers; i++) {
    if (wide)
      ((double *)way->rows)[i] = rows[i];
    else if (way->predict && rows[i] != rows[i])
      ((union entry *)way->rows)[i].missing = -1;
    else
      ((float *)way->rows)[i] = rows[i];
  }
  for (int kind_ = 0; kind_ < 3; kind_++) way->samples[kind_] = malloc((size_t)repeats * sizeof(double));
}

int main(int argc, char **argv) {
  static const char *kinds[] = {"another-row", "same-row", "all-rows"};
  if (argc < 9 || argc % 3) return fprintf(stderr, "forest: see the top of forest.c\n"), 1;
  count = atoi(argv[2]), features = atoi(argv[3]), repeats = atoi(argv[4]), burst = atoi(argv[5]);
  float *rows = must(malloc((size_t)count * (size_t)features * 4), "memory");
  FILE *file = must(fopen(argv[1], "rb"), argv[1]);
  if (fread(rows, 4, (size_t)count * (size_t)features, file) != (size_t)count * (size_t)features) return 1;
  int ways = (argc - 6) / 3;
  struct way *way = must(calloc((size_t)ways, sizeof *way), "memory");
  for (int w = 0; w < ways; w++) {
    way[w].name = argv[7 + 3 * w];
    open_way(&way[w], argv[6 + 3 * w], argv[8 + 3 * w], rows);
    for (int i = 0; i < 3; i++) run(&way[w], 0, count < 100 ? count : 100);
  }
  for (int r = 0; r < repeats; r++) {
    for (int kind = 0; kind < 3; kind++) {
      for (int w = 0; w < ways; w++) {
        double begin = now();
        if (kind == 2) {
          run(&way[w], 0, count);
        } else {
          for (int i = 0; i < burst; i++) run(&way[w], kind ? 0 : (r * burst + i) % count, 1);
        }
        way[w].samples[kind][r] = (now() - begin) / (kind == 2 ? 1 : burst);
      }
    }
  }
  for (int w = 0; w < ways; w++) {
    double result = first_result(&way[w]);
    for (int kind = 0; kind < 3; kind++) {
      qsort(way[w].samples[kind], (size_t)repeats, sizeof(double), compare);
      printf("%s %s %.1f %.1f %.9g\n", way[w].name, kinds[kind], way[w].samples[kind][0],
             way[w].samples[kind][repeats / 2], result);
    }
  }
  return 0;
}

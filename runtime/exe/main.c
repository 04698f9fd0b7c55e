/* A compiled model as a program: reads its inputs from files, runs once, writes its outputs to files. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "npy.h"

extern const struct neo_program neo_embedded;

#define MOST_THREADS 1024

struct options {
  const char *folder;
  int32_t threads, repeat;
  int raw;
  const char **files; /* one an input */
};

_Noreturn static void die(int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fflush(stdout);
  fputs("error: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(code);
}

static void print_shape(FILE *file, int32_t rank, const int64_t *dims) {
  if (!rank) fputs("scalar", file);
  for (int32_t i = 0; i < rank; i++)
    if (dims[i] < 0)
      fputs(i ? "x?" : "?", file);
    else
      fprintf(file, "%s%lld", i ? "x" : "", (long long)dims[i]);
}

static void print_spec(FILE *file, const char *kind, const struct neo_spec *spec) {
  fprintf(file, "  %s %s: %s ", kind, spec->name, neo_dtype_name(spec->dtype));
  print_shape(file, spec->rank, spec->dims);
  fputc('\n', file);
}

static void help(FILE *file, const char *name) {
  const struct neo_program *program = &neo_embedded;
  fprintf(file,
          "usage: %s --input NAME=FILE … [--output DIR] [--raw] [--threads N] [--repeat N]\n\n"
          "Runs a model compiled by Neo for %s.\n\n"
          "  --input NAME=FILE  a .npy file, or one of nothing but the elements (C order, little endian);\n"
          "                     such a file of an input with dynamic extents is named as NAME=FILE:1x128\n"
          "  --output DIR       write each output to DIR/NAME.npy\n"
          "  --raw              to DIR/NAME.raw instead, the elements alone\n"
          "  --threads N        threads to run on (default: 1)\n"
          "  --repeat N         run N times and print the median time\n\n",
          name, program->target);
  for (int32_t i = 0; i < program->input_count; i++) print_spec(file, "input", &program->inputs[i]);
  for (int32_t i = 0; i < program->output_count; i++) print_spec(file, "output", &program->outputs[i]);
}

static int32_t number(const char *option, const char *text, long most) {
  char *end;
  errno = 0;
  long value = text ? strtol(text, &end, 10) : 0;
  if (!text || !*text || *end || errno || value < 1 || value > most)
    die(2, "%s needs a number from 1 to %ld", option, most);
  return (int32_t)value;
}

static void take_input(struct options *options, const char *text) {
  const char *file = text ? strchr(text, '=') : 0;
  if (!file) die(2, "--input needs NAME=FILE");
  for (int32_t i = 0; i < neo_embedded.input_count; i++) {
    const char *name = neo_embedded.inputs[i].name;
    if (strlen(name) == (size_t)(file - text) && !strncmp(name, text, (size_t)(file - text))) {
      options->files[i] = file + 1;
      return;
    }
  }
  die(2, "the model has no input '%.*s'; --help lists its inputs", (int)(file - text), text);
}

static struct options parse(int argc, char **argv) {
  struct options options = {.threads = 1, .repeat = 1};
  options.files = calloc((size_t)neo_embedded.input_count + 1, sizeof *options.files);
  if (!options.files) die(1, "there is not enough memory");
  for (int i = 1; i < argc; i++) {
    const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : 0;
    if (!strcmp(option, "--help") || !strcmp(option, "-h")) {
      help(stdout, argv[0]);
      exit(0);
    } else if (!strcmp(option, "--raw")) {
      options.raw = 1;
      continue;
    } else if (!strcmp(option, "--input")) {
      take_input(&options, value);
    } else if (!strcmp(option, "--output")) {
      if (!value) die(2, "--output needs a folder");
      options.folder = value;
    } else if (!strcmp(option, "--threads")) {
      options.threads = number(option, value, MOST_THREADS);
    } else if (!strcmp(option, "--repeat")) {
      options.repeat = number(option, value, 1000000000);
    } else {
      die(2, "there is no option '%s'; --help lists them", option);
    }
    i++;
  }
  return options;
}

static int ends_in_npy(const char *path) {
  size_t length = strlen(path);
  return length >= 4 && !strcmp(path + length - 4, ".npy");
}

/* The dims at the end of `file`, which is cut before them. */
static void dims_of(const char *name, char *file, struct array *array) {
  char *at = strrchr(file, ':');
  if (!at) die(1, "input %s: a raw file of an input with dynamic extents needs its shape, as in %s:1x128", name, file);
  *at = 0;
  for (int32_t i = 0; i < array->rank; i++) {
    char *end;
    errno = 0;
    int64_t extent = strtoll(at + 1, &end, 10);
    if (end == at + 1 || errno || extent < 0 || *end != (i + 1 < array->rank ? 'x' : 0) ||
        (array->dims[i] >= 0 && array->dims[i] != extent))
      die(1, "input %s: the shape behind %s does not fit the model; --help lists its inputs", name, file);
    array->dims[i] = extent;
    at = end;
  }
}

static void read_input(const struct neo_spec *spec, const char *file, struct array *array) {
  if (!file) die(2, "input %s is missing: name it by --input %s=FILE", spec->name, spec->name);
  *array = (struct array){.dtype = spec->dtype, .rank = spec->rank};
  int dynamic = 0;
  for (int32_t i = 0; i < spec->rank; i++) {
    array->dims[i] = spec->dims[i];
    dynamic |= spec->dims[i] < 0;
  }
  char *path = strdup(file);
  if (!path) die(1, "there is not enough memory");
  int npy = ends_in_npy(path);
  if (!npy && dynamic) dims_of(spec->name, path, array);
  const char *wrong = npy ? npy_read(path, array) : raw_read(path, array);
  if (wrong) die(1, "input %s: %s: %s", spec->name, path, wrong);
  free(path);
}

/* The file name of an output, in memory of its own. Names come from the model: none may lead out of the folder. */
static char *file_name(int32_t index) {
  const char *name = neo_embedded.outputs[index].name;
  char *safe = malloc(strlen(name) + 32);
  if (!safe) die(1, "there is not enough memory");
  size_t length = 0;
  for (const char *at = name; *at; at++) {
    int plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') ||
                *at == '_' || *at == '-' || (*at == '.' && length);
    safe[length++] = plain ? *at : '_';
  }
  safe[length] = 0;
  if (!length) snprintf(safe, 32, "output_%d", (int)index);
  return safe;
}

static void write_output(const struct options *options, char *const *names, int32_t index, const struct array *array) {
  const struct neo_spec *spec = &neo_embedded.outputs[index];
  printf("%s: %s ", spec->name, neo_dtype_name(spec->dtype));
  print_shape(stdout, array->rank, array->dims);
  if (options->folder) {
    char path[4096], number[16] = "";
    for (int32_t i = 0; i < index; i++)
      if (!strcmp(names[i], names[index])) snprintf(number, sizeof number, "_%d", (int)index);
    const char *suffix = options->raw ? "raw" : "npy";
    if (snprintf(path, sizeof path, "%s/%s%s.%s", options->folder, names[index], number, suffix) >= (int)sizeof path)
      die(1, "the path of output %s is too long", spec->name);
    const char *wrong = options->raw ? raw_write(path, array) : npy_write(path, array);
    if (wrong) die(1, "%s cannot be written: %s", path, wrong);
    printf(" -> %s", path);
  }
  putchar('\n');
}

static double seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  const struct neo_program *program = &neo_embedded;
  struct options options = parse(argc, argv);
  int32_t inputs = program->input_count, outputs = program->output_count;
  double *times = calloc((size_t)options.repeat, sizeof *times);
  char **names = calloc((size_t)outputs + 1, sizeof *names);
  neo_model *model;
  neo_session *session;
  if (!times || !names) die(1, "there is not enough memory");
  if (neo_open_program(program, 0, &model) || neo_session_create(model, options.threads, &session))
    die(1, "%s", neo_error());
  for (int32_t i = 0; i < inputs; i++) {
    struct array array;
    read_input(&program->inputs[i], options.files[i], &array);
    if (neo_set_input(session, i, array.data, array.dims, 0)) die(1, "%s", neo_error());
  }
  for (int32_t i = 0; i < options.repeat; i++) {
    double start = seconds();
    if (neo_run(session)) die(1, "the model failed: %s", neo_error());
    times[i] = seconds() - start;
  }
  for (int32_t i = 0; i < outputs; i++) names[i] = file_name(i);
  for (int32_t i = 0; i < outputs; i++) {
    struct array array = {.dtype = program->outputs[i].dtype, .rank = program->outputs[i].rank};
    array.data = (void *)(uintptr_t)neo_output(session, i, array.dims);
    write_output(&options, names, i, &array);
  }
  if (options.repeat > 1) {
    qsort(times, (size_t)options.repeat, sizeof *times, compare);
    printf("median of %d runs: %.3f ms\n", (int)options.repeat, times[options.repeat / 2] * 1e3);
  }
  return 0;
}

#include "manifest.h"

#include <string.h>

#include "error.h"
#include "json.h"
#include "memory.h"

#define FORMAT 1
#define MOST_BYTES (INT64_C(1) << 42)
#define MOST_SPECS 65536
#define MOST_TEXT 1000
#define MOST_ITEMS 1000000

enum field {
  FORMAT_, NEO, INPUTS, OUTPUTS, TARGET, ARENA, WEIGHTS, ENTRY, KERNELS, PARTS, STEPS, BUFFERS, PIPELINES, VARIANTS, LABELS,
  PRECISION, FIELDS
};

static const struct {
  const char *name;
  int optional;
} fields[FIELDS] = {
    [FORMAT_] = {"format", 0}, [NEO] = {"neo", 0},
    [INPUTS] = {"inputs", 0}, [OUTPUTS] = {"outputs", 0},
    [TARGET] = {"target", 0}, [ARENA] = {"arena_bytes", 0},
    [WEIGHTS] = {"weight_bytes", 0}, [ENTRY] = {"entry", 0},
    [KERNELS] = {"kernels", 0}, [PARTS] = {"parts", 0},
    [STEPS] = {"steps", 1}, [BUFFERS] = {"buffers", 1},
    [PIPELINES] = {"pipelines", 1}, [VARIANTS] = {"variants", 1},
    [LABELS] = {"labels", 1},
    [PRECISION] = {"precision", 1},
};

/* Everything is read twice: first without memory, to learn how much it takes, then into it. */
struct reader {
  struct neo_json at[FIELDS]; /* the values, `at` null where there is none */
  char *memory;               /* null the first time */
  int64_t used;
};

static int32_t wrong(const char *where, const char *what) {
  return neo_fail(NEO_DAMAGED, "manifest.json: %s %s; compile the model again", where, what);
}

/* Room for a table or a text; null the first time. */
static void *carve(struct reader *reader, int64_t bytes) {
  void *place = reader->memory ? reader->memory + reader->used : 0;
  reader->used += (bytes + 7) / 8 * 8;
  return place;
}

static int text(struct reader *reader, struct neo_json *json, size_t most, const char **result) {
  struct neo_json before = *json;
  size_t bytes;
  if (!neo_json_string(json, 0, &bytes) || bytes > most) return 0;
  char *place = carve(reader, (int64_t)bytes + 1);
  if (place) neo_json_string(&before, place, &bytes);
  *result = place ? place : "";
  return 1;
}

static int read_texts(struct reader *reader, struct neo_json *json, const char *const **table, int32_t *count) {
  int64_t index = 0, items = neo_json_count(*json);
  if (items < 0 || items > MOST_ITEMS || !neo_json_enter(json, '[')) return 0;
  const char **places = carve(reader, items * (int64_t)sizeof *places), *found = "";
  while (neo_json_next(json, '[', &index) > 0) {
    if (!text(reader, json, MOST_TEXT, &found)) return 0;
    if (places) places[index - 1] = found;
  }
  *table = places;
  *count = (int32_t)items;
  return 1;
}

static int32_t dtype_named(const char *name) {
  int32_t dtype = 1;
  for (; neo_dtype_name(dtype); dtype++)
    if (!strcmp(neo_dtype_name(dtype), name)) return dtype;
  return 0;
}

static int shape(struct reader *reader, struct neo_json *json, struct neo_spec *spec) {
  int64_t index = 0, rank = neo_json_count(*json), bytes = 1;
  if (rank < 0 || rank > NEO_MAX_RANK || !neo_json_enter(json, '[')) return 0;
  int64_t *dims = carve(reader, rank * (int64_t)sizeof *dims);
  while (neo_json_next(json, '[', &index) > 0) {
    int64_t extent = -1;
    if (!neo_json_null(json)) {
      if (!neo_json_integer(json, &extent) || extent < 0 || extent > MOST_BYTES) return 0;
      if (__builtin_mul_overflow(bytes, extent, &bytes)) return 0;
    }
    if (dims) dims[index - 1] = extent;
  }
  spec->rank = (int32_t)rank;
  spec->dims = dims;
  return bytes <= MOST_BYTES;
}

static int read_spec(struct reader *reader, struct neo_json *json, struct neo_spec *spec) {
  int64_t index = 0;
  int seen = 0, more;
  if (!neo_json_enter(json, '{')) return 0;
  while ((more = neo_json_next(json, '{', &index)) > 0) {
    char key[8], dtype[24];
    size_t bytes;
    if (!neo_json_key(json, key, sizeof key)) return 0;
    int field = !strcmp(key, "name") ? 1 : !strcmp(key, "dtype") ? 2 : !strcmp(key, "shape") ? 4 : 0;
    if (!field || seen & field) return 0;
    seen |= field;
    if (field == 1 && !text(reader, json, MOST_TEXT, &spec->name)) return 0;
    if (field == 2) {
      struct neo_json before = *json;
      if (!neo_json_string(json, 0, &bytes) || bytes >= sizeof dtype) return 0;
      neo_json_string(&before, dtype, &bytes);
      if (!(spec->dtype = dtype_named(dtype))) return 0;
    }
    if (field == 4 && !shape(reader, json, spec)) return 0;
  }
  if (more < 0 || seen != 7) return 0;
  int64_t bytes = neo_dtype_bytes(spec->dtype);
  for (int32_t i = 0; spec->dims && i < spec->rank; i++)
    if (spec->dims[i] >= 0 && (__builtin_mul_overflow(bytes, spec->dims[i], &bytes) || bytes > MOST_BYTES)) return 0;
  return 1;
}

static int read_specs(struct reader *reader, enum field field, const struct neo_spec **specs, int32_t *count) {
  struct neo_json json = reader->at[field];
  int64_t index = 0, items = neo_json_count(json);
  if (items < 0 || items > MOST_SPECS || !neo_json_enter(&json, '[')) return 0;
  struct neo_spec *places = carve(reader, items * (int64_t)sizeof *places);
  while (neo_json_next(&json, '[', &index) > 0) {
    struct neo_spec spec = {0};
    if (!read_spec(reader, &json, &spec)) return 0;
    if (places) places[index - 1] = spec;
  }
  *specs = places;
  *count = (int32_t)items;
  return 1;
}

static int read_target(struct reader *reader, struct neo_json *json, struct neo_variant *variant) {
  int64_t index = 0;
  int seen = 0, more;
  if (!neo_json_enter(json, '{')) return 0;
  while ((more = neo_json_next(json, '{', &index)) > 0) {
    char key[16];
    const char *ignored;
    const char *const *features;
    int32_t count;
    if (!neo_json_key(json, key, sizeof key)) return 0;
    int field = !strcmp(key, "name") ? 1 : !strcmp(key, "triple") ? 2 : !strcmp(key, "cpu") ? 4
              : !strcmp(key, "features") ? 8 : !strcmp(key, "needs") ? 16 : 0;
    if (!field || seen & field) return 0;
    seen |= field;
    int fine = field == 1   ? text(reader, json, MOST_TEXT, &variant->target)
               : field == 2 ? text(reader, json, MOST_TEXT, &variant->triple)
               : field == 4 ? text(reader, json, MOST_TEXT, &ignored)
               : field == 8 ? read_texts(reader, json, &features, &count)
                            : read_texts(reader, json, &variant->needs, &variant->needs_count);
    if (!fine) return 0;
  }
  return more == 0 && seen == 31;
}

static int read_variants(struct reader *reader, struct neo_manifest *manifest) {
  struct neo_json json = reader->at[VARIANTS];
  if (!json.at) return 1;
  int64_t index = 0, items = neo_json_count(json);
  if (items < 0 || items > NEO_MOST_ENTRIES || !neo_json_enter(&json, '[')) return 0;
  struct neo_variant *places = carve(reader, items * (int64_t)sizeof *places);
  while (neo_json_next(&json, '[', &index) > 0) {
    struct neo_variant variant = {0};
    if (!read_target(reader, &json, &variant)) return 0;
    if (places) places[index - 1] = variant;
  }
  manifest->variants = places;
  manifest->variant_count = (int32_t)items;
  return 1;
}

/* The names of the kernels, and which of them each step of a run calls. */
static int read_steps(struct reader *reader, struct neo_program *program) {
  struct neo_json json = reader->at[KERNELS];
  int64_t index = 0, kernels = neo_json_count(json);
  if (kernels < 0 || kernels > MOST_ITEMS || !neo_json_enter(&json, '[')) return 0;
  const char **names = carve(reader, kernels * (int64_t)sizeof *names);
  while (neo_json_next(&json, '[', &index) > 0) {
    const char *name = "";
    int64_t item = 0;
    int more;
    if (!neo_json_enter(&json, '{')) return 0;
    while ((more = neo_json_next(&json, '{', &item)) > 0) {
      char key[32];
      if (!neo_json_key(&json, key, sizeof key)) return 0;
      if (strcmp(key, "name") ? !neo_json_skip(&json) : !text(reader, &json, MOST_TEXT, &name)) return 0;
    }
    if (more < 0) return 0;
    if (names) names[index - 1] = name;
  }
  if (!reader->at[STEPS].at) return 1;
  json = reader->at[STEPS];
  int64_t steps = neo_json_count(json);
  if (steps < 0 || steps > MOST_ITEMS || !neo_json_enter(&json, '[')) return 0;
  const char **table = carve(reader, steps * (int64_t)sizeof *table);
  index = 0;
  while (neo_json_next(&json, '[', &index) > 0) {
    int64_t kernel;
    if (!neo_json_integer(&json, &kernel) || kernel < 0 || kernel >= kernels) return 0;
    if (table) table[index - 1] = names[kernel];
  }
  program->steps = table;
  program->step_count = (int32_t)steps;
  return 1;
}

static int is_entry(const char *name) {
  size_t length = strlen(name);
  if (!length || length > 100) return 0;
  for (size_t i = 0; i < length; i++) {
    char c = name[i];
    int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(i && c >= '0' && c <= '9')) return 0;
  }
  return 1;
}

static int number(struct reader *reader, enum field field, int64_t *value) {
  struct neo_json json = reader->at[field];
  return neo_json_integer(&json, value) && json.at == json.end && *value >= 0 && *value <= MOST_BYTES;
}

/* All but the parts, into memory if there is some. */
static int32_t read_all(struct reader *reader, struct neo_manifest *manifest, struct neo_program *program) {
  struct neo_json entry = reader->at[ENTRY], target = reader->at[TARGET];
  reader->used = 0;
  if (!number(reader, ARENA, &program->arena_bytes)) return wrong("arena_bytes", "cannot be");
  if (!number(reader, WEIGHTS, &program->weight_bytes)) return wrong("weight_bytes", "cannot be");
  if (!read_specs(reader, INPUTS, &program->inputs, &program->input_count)) return wrong("inputs", "cannot be read");
  if (!read_specs(reader, OUTPUTS, &program->outputs, &program->output_count))
    return wrong("outputs", "cannot be read");
  if (!read_target(reader, &target, &manifest->base)) return wrong("target", "cannot be read");
  program->target = manifest->base.target;
  if (!read_variants(reader, manifest)) return wrong("variants", "cannot be read");
  if (!text(reader, &entry, MOST_TEXT, &manifest->entry) || (reader->memory && !is_entry(manifest->entry)))
    return wrong("entry", "is no name of a C function");
  if (!read_steps(reader, program)) return wrong("kernels or steps", "cannot be read");
  return NEO_OK;
}

static int read_part(struct neo_json *json, int64_t *size, char digest[65]) {
  int64_t index = 0;
  int seen = 0, more;
  if (!neo_json_enter(json, '{')) return 0;
  while ((more = neo_json_next(json, '{', &index)) > 0) {
    char key[8];
    size_t bytes;
    if (!neo_json_key(json, key, sizeof key)) return 0;
    int field = !strcmp(key, "size") ? 1 : !strcmp(key, "sha256") ? 2 : 0;
    if (!field || seen & field) return 0;
    seen |= field;
    if (field == 1 && !neo_json_integer(json, size)) return 0;
    if (field == 2) {
      struct neo_json before = *json;
      if (!neo_json_string(json, 0, &bytes) || bytes != 64) return 0;
      neo_json_string(&before, digest, &bytes);
    }
  }
  return more == 0 && seen == 3;
}

/* The entries of the file are the parts and the manifest, with the sizes that it says. */
static int32_t check_parts(struct reader *reader, const struct neo_entry_place *entries, int32_t count,
                           const struct neo_program *program) {
  struct neo_json json = reader->at[PARTS];
  int64_t index = 0, size = 0;
  int more = -1;
  if (!neo_json_enter(&json, '{')) return wrong("parts", "cannot be read");
  while ((more = neo_json_next(&json, '{', &index)) > 0) {
    char name[128], digest[65];
    if (!neo_json_key(&json, name, sizeof name) || !read_part(&json, &size, digest))
      return wrong("parts", "cannot be read");
    const struct neo_entry_place *entry = neo_zip_find(entries, count, name);
    if (!entry || entry->size != size || !strcmp(name, "manifest.json"))
      return wrong("parts", "are not the entries of the file");
    if (!strcmp(name, "weights.bin") && size != program->weight_bytes)
      return wrong("weight_bytes", "is not the size of weights.bin");
  }
  /* Keys may repeat in a forged file, so that a count alone would not do: these two are what is used. */
  if (more < 0 || index != count - 1 || !neo_zip_find(entries, count, "code.so") ||
      !neo_zip_find(entries, count, "weights.bin"))
    return wrong("parts", "are not the entries of the file");
  return NEO_OK;
}

/* Find the fields of the manifest, whose syntax is checked to its end. */
static int32_t find_fields(struct reader *reader, struct neo_json json) {
  int64_t index = 0, format;
  int more, unknown = 0;
  if (!neo_json_enter(&json, '{')) return wrong("it", "is no object");
  while ((more = neo_json_next(&json, '{', &index)) > 0) {
    char key[32];
    int field = 0;
    if (!neo_json_key(&json, key, sizeof key)) return wrong("it", "is not JSON, or has a field that is not known");
    while (field < FIELDS && strcmp(fields[field].name, key)) field++;
    if (field < FIELDS && reader->at[field].at) return wrong(fields[field].name, "stands twice");
    struct neo_json value = json;
    if (!neo_json_skip(&json)) return wrong("it", "is not JSON");
    /* A newer format may have other fields: its number is looked at before they are. */
    unknown |= field == FIELDS;
    if (field == FIELDS) continue;
    value.end = json.at;
    reader->at[field] = value;
    if (field == FORMAT_) {
      if (!neo_json_integer(&value, &format)) return wrong("format", "is no number");
      if (format != FORMAT)
        return neo_fail(NEO_UNSUPPORTED, "the file has format %lld, this runtime reads format %d; compile the model again",
                        (long long)format, FORMAT);
    }
  }
  while (json.at < json.end && strchr(" \n\r\t", *json.at) && *json.at) json.at++;
  if (more < 0 || json.at != json.end) return wrong("it", "is not JSON");
  if (unknown) return wrong("it", "has a field that this format does not know");
  for (int i = 0; i < FIELDS; i++)
    if (!reader->at[i].at && !fields[i].optional) return wrong(fields[i].name, "is missing");
  return NEO_OK;
}

int32_t neo_manifest_read(const char *json, int64_t bytes, const struct neo_entry_place *entries, int32_t entry_count,
                          const struct neo_allocator *allocator, struct neo_manifest *manifest,
                          struct neo_program *program) {
  struct reader reader = {0};
  *manifest = (struct neo_manifest){0};
  int32_t status = find_fields(&reader, (struct neo_json){json, json + bytes});
  if (!status) status = read_all(&reader, manifest, program);
  if (!status) status = check_parts(&reader, entries, entry_count, program);
  if (status) return status;
  manifest->parts = reader.at[PARTS];
  manifest->memory_bytes = reader.used;
  manifest->memory = reader.memory = neo_allocate(allocator, reader.used);
  if (!reader.memory) return neo_fail(NEO_NO_MEMORY, "there is no memory for the manifest");
  status = read_all(&reader, manifest, program);
  if (status) neo_free(allocator, manifest->memory, manifest->memory_bytes);
  return status;
}

int neo_manifest_digest(const struct neo_manifest *manifest, const char *part, char digest[65]) {
  struct neo_json json = manifest->parts;
  int64_t index = 0, size;
  if (!neo_json_enter(&json, '{')) return 0;
  while (neo_json_next(&json, '{', &index) > 0) {
    char name[128];
    if (!neo_json_key(&json, name, sizeof name) || !read_part(&json, &size, digest)) return 0;
    if (!strcmp(name, part)) return 1;
  }
  return 0;
}

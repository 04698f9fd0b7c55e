/* What an attacker chooses, for libFuzzer: the first byte says what the rest is. `z`: a file, whose digest is not
   looked at, so that changes get past it. `m`: a manifest. `c`: code. `j`: JSON. Nothing of it is run. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "code.h"
#include "json.h"
#include "manifest.h"
#include "memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_file(const uint8_t *bytes, size_t size) {
  struct neo_options options = {.abi = NEO_ABI_VERSION, .flags = NEO_DIGEST_CHECKED};
  neo_model *model;
  neo_session *session;
  if (neo_open_memory(bytes, (int64_t)size, &options, &model)) return;
  const struct neo_program *program = neo_describe(model);
  for (int32_t i = 0; i < program->input_count; i++) neo_input_index(model, program->inputs[i].name);
  if (program->arena_bytes < 1 << 20 && !neo_session_create(model, 1, &session)) neo_session_destroy(session);
  neo_close(model);
}

static void read_manifest(const uint8_t *bytes, size_t size) {
  static const struct neo_entry_place entries[] = {
      {"code.so", 7, 0, 100}, {"weights.bin", 11, 128, 24}, {"manifest.json", 13, 192, 1000}};
  struct neo_allocator allocator = neo_allocator_of(0);
  struct neo_manifest manifest;
  struct neo_program program = {0};
  if (!neo_manifest_read((const char *)bytes, (int64_t)size, entries, 3, &allocator, &manifest, &program))
    neo_free(&allocator, manifest.memory, manifest.memory_bytes);
}

static void load_code(const uint8_t *bytes, size_t size) {
  struct neo_code code;
  neo_entry entry;
  if (!neo_code_load(bytes, (int64_t)size, "neo_main", &code, &entry)) neo_code_unload(&code);
}

static void read_json(const uint8_t *bytes, size_t size) {
  struct neo_json json = {(const char *)bytes, (const char *)bytes + size}, text = json, number = json;
  size_t length;
  int64_t value;
  neo_json_skip(&json);
  neo_json_count(text);
  neo_json_integer(&number, &value);
  struct neo_json again = text;
  if (!neo_json_string(&text, 0, &length)) return;
  char *decoded = malloc(length + 1);
  if (decoded) neo_json_string(&again, decoded, &length);
  free(decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  void *copy;
  if (size < 1) return 0;
  /* A copy of just its size, so that one byte too far is found. */
  if (posix_memalign(&copy, 64, size - 1 ? size - 1 : 1)) return 0;
  memcpy(copy, data + 1, size - 1);
  switch (data[0]) {
    case 'z': open_file(copy, size - 1); break;
    case 'm': read_manifest(copy, size - 1); break;
    case 'c': load_code(copy, size - 1); break;
    default: read_json(copy, size - 1); break;
  }
  free(copy);
  return 0;
}

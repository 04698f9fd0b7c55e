/* Opening a `.neo` file. */
#include <stdio.h>
#include <string.h>

#include "code.h"
#include "error.h"
#include "machine.h"
#include "manifest.h"
#include "memory.h"
#include "model.h"
#include "sha256.h"
#include "zip.h"

#if defined(__linux__) || defined(__APPLE__)
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#define HAS_FILES 1
#endif

struct opened {
  struct neo_model base;
  struct neo_program program;
  struct neo_code code;
  const uint8_t *bytes;
  int64_t size;
  int mapped;
  void *texts;
  int64_t texts_bytes;
};

static void unmap(const uint8_t *bytes, int64_t size) {
#ifdef HAS_FILES
  munmap((void *)(uintptr_t)bytes, (size_t)size);
#else
  (void)bytes;
  (void)size;
#endif
}

static void dispose(struct neo_model *model) {
  struct opened *opened = (struct opened *)model;
  struct neo_allocator allocator = model->allocator;
  neo_code_unload(&opened->code);
  neo_free(&allocator, opened->texts, opened->texts_bytes);
  neo_free(&allocator, (void *)(uintptr_t)opened->program.manifest, opened->program.manifest_bytes);
  if (opened->mapped) unmap(opened->bytes, opened->size);
  neo_free(&allocator, opened, sizeof *opened);
}

/* Load the code from a copy of its own that has the digest of the manifest: what runs is what was checked, even if
   somebody writes to the file meanwhile. */
static int32_t load_code(struct opened *opened, const struct neo_entry_place *entries, int32_t count, const char *part,
                         const struct neo_manifest *manifest) {
  struct neo_allocator *allocator = &opened->base.allocator;
  const struct neo_entry_place *place = neo_zip_find(entries, count, part);
  char wanted[65];
  if (!place || !neo_manifest_digest(manifest, part, wanted))
    return neo_fail(NEO_DAMAGED, "the .neo file is damaged: it has no %.120s", part);
  uint8_t *copy = neo_allocate(allocator, place->size), digest[32];
  if (!copy) return neo_fail(NEO_NO_MEMORY, "there is no memory for %lld bytes of code", (long long)place->size);
  if (place->size) memcpy(copy, opened->bytes + place->start, (size_t)place->size);
  neo_sha256(copy, (size_t)place->size, digest);
  int32_t status = NEO_OK;
  for (int i = 0; i < 32 && !status; i++)
    if (wanted[2 * i] != "0123456789abcdef"[digest[i] >> 4] || wanted[2 * i + 1] != "0123456789abcdef"[digest[i] & 15])
      status = neo_fail(NEO_DAMAGED, "the .neo file is damaged: the sha-256 of %.120s is not that of the manifest", part);
  if (!status) status = neo_code_load(copy, place->size, manifest->entry, &opened->code, &opened->program.entry);
  neo_free(allocator, copy, place->size);
  return status;
}

/* The part with the best code that this machine runs, and what it is for; an error if it runs none. */
static int32_t choose_code(const struct neo_manifest *manifest, char part[128], const char **target) {
  for (int32_t i = 0; i < manifest->variant_count; i++) {
    const struct neo_variant *variant = &manifest->variants[i];
    if (!neo_machine_runs(variant->triple, variant->needs, variant->needs_count)) continue;
    *target = variant->target;
    if (snprintf(part, 128, "code-%s.so", variant->target) < 128) return NEO_OK;
  }
  strcpy(part, "code.so");
  const struct neo_variant *base = &manifest->base;
  *target = base->target;
  return neo_machine_check(base->triple, base->target, base->needs, base->needs_count);
}

static int32_t fill(struct opened *opened, int32_t flags) {
  struct neo_entry_place entries[NEO_MOST_ENTRIES];
  struct neo_manifest manifest;
  int32_t count = 0;
  int32_t status = neo_zip_read(opened->bytes, opened->size, entries, &count);
  if (!status && !(flags & NEO_DIGEST_CHECKED)) status = neo_zip_check_digest(opened->bytes, opened->size);
  if (status) return status;
  const struct neo_entry_place *text = neo_zip_find(entries, count, "manifest.json");
  if (!text) return neo_fail(NEO_DAMAGED, "the .neo file is damaged: it has no manifest.json");
  struct neo_program *program = &opened->program;
  /* It is read more than once, and must be the same each time, whoever writes to the file. */
  char *copy = neo_allocate(&opened->base.allocator, text->size);
  if (!copy) return neo_fail(NEO_NO_MEMORY, "there is no memory for a manifest of %lld bytes", (long long)text->size);
  if (text->size) memcpy(copy, opened->bytes + text->start, (size_t)text->size);
  program->manifest = copy;
  program->manifest_bytes = text->size;
  status = neo_manifest_read(copy, text->size, entries, count, &opened->base.allocator, &manifest, program);
  if (status) return status;
  opened->texts = manifest.memory;
  opened->texts_bytes = manifest.memory_bytes;
  char part[128];
  status = choose_code(&manifest, part, &program->target);
  if (status) return status;
  const struct neo_entry_place *weights = neo_zip_find(entries, count, "weights.bin");
  program->weights = opened->bytes + weights->start;
  if ((uintptr_t)program->weights % NEO_ALIGNMENT)
    return neo_fail(NEO_DAMAGED, "the .neo file is damaged: weights.bin does not start at a multiple of %d",
                    NEO_ALIGNMENT);
  return load_code(opened, entries, count, part, &manifest);
}

static int32_t open_bytes(const uint8_t *bytes, int64_t size, int mapped, const struct neo_options *options,
                          neo_model **model) {
  struct neo_model base;
  int32_t status = neo_model_init(&base, options);
  struct opened *opened = status ? 0 : neo_allocate_zeroed(&base.allocator, sizeof *opened);
  if (!opened) {
    if (mapped) unmap(bytes, size);
    return status ? status : neo_fail(NEO_NO_MEMORY, "there is no memory for a model");
  }
  opened->base = base;
  opened->base.program = &opened->program;
  opened->base.dispose = dispose;
  opened->bytes = bytes;
  opened->size = size;
  opened->mapped = mapped;
  opened->program.abi = NEO_ABI_VERSION;
  status = fill(opened, options ? options->flags : 0);
  if (status)
    dispose(&opened->base);
  else
    *model = &opened->base;
  return status;
}

int32_t neo_open_memory(const void *bytes, int64_t size, const struct neo_options *options, neo_model **model) {
  *model = 0;
  if ((uintptr_t)bytes % NEO_ALIGNMENT)
    return neo_fail(NEO_BAD_ARGUMENT, "the bytes of the file do not start at a multiple of %d", NEO_ALIGNMENT);
  return open_bytes(bytes, size, 0, options, model);
}

#ifdef HAS_FILES

int32_t neo_open(const char *path, const struct neo_options *options, neo_model **model) {
  struct stat about;
  *model = 0;
  /* O_NONBLOCK: opening a named pipe must not wait for its writer. */
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return neo_fail(NEO_CANNOT_READ, "%.300s cannot be read: %s", path, strerror(errno));
  void *bytes = MAP_FAILED;
  int32_t status = NEO_OK;
  if (fstat(descriptor, &about))
    status = neo_fail(NEO_CANNOT_READ, "%.300s cannot be read: %s", path, strerror(errno));
  else if (!S_ISREG(about.st_mode))
    status = neo_fail(NEO_CANNOT_READ, "%.300s is no regular file", path);
  else if (about.st_size == 0)
    status = neo_fail(NEO_DAMAGED, "%.300s is empty", path);
  else if ((uint64_t)about.st_size > SIZE_MAX / 2 ||
           (bytes = mmap(0, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0)) == MAP_FAILED)
    status = neo_fail(NEO_CANNOT_READ, "%.300s cannot be mapped: %s", path, strerror(errno));
  close(descriptor);
  if (status) return status;
  return open_bytes(bytes, (int64_t)about.st_size, 1, options, model);
}

#else

int32_t neo_open(const char *path, const struct neo_options *options, neo_model **model) {
  (void)options;
  *model = 0;
  return neo_fail(NEO_UNSUPPORTED, "%.300s: this system has no files to map; link the model to the program", path);
}

#endif

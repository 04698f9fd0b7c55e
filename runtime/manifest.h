/* The manifest of a `.neo` file, `manifest.json` (docs/neo-file.md). */
#ifndef NEO_MANIFEST_H
#define NEO_MANIFEST_H

#include "json.h"
#include "neo.h"
#include "zip.h"

/* A machine that there is code for. */
struct neo_variant {
  const char *target, *triple;
  const char *const *needs; /* the CPU features without which the code cannot run */
  int32_t needs_count;
};

struct neo_manifest {
  const char *entry;
  struct neo_variant base;            /* what code.so is for */
  const struct neo_variant *variants; /* what code-TARGET.so are for, best first */
  int32_t variant_count;
  struct neo_json parts;
  void *memory; /* all texts and tables, those of the program too */
  int64_t memory_bytes;
};

/* Read it from `text`, and check it against its schema and the entries of the file. Fills in `manifest` and what it
   says of `program`. A status; on NEO_OK `manifest->memory` is to be freed. */
int32_t neo_manifest_read(const char *text, int64_t bytes, const struct neo_entry_place *entries, int32_t entry_count,
                          const struct neo_allocator *allocator, struct neo_manifest *manifest,
                          struct neo_program *program);

/* The sha-256 of a part, in digits. Whether there is such a part. */
int neo_manifest_digest(const struct neo_manifest *manifest, const char *part, char digest[65]);

#endif

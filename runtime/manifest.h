/* The manifest of a `.neo` file, `manifest.json` (docs/neo-file.md). */
#ifndef NEO_MANIFEST_H
#define NEO_MANIFEST_H

#include "neo.h"
#include "zip.h"

struct neo_manifest {
  const char *triple, *entry;
  const char *const *needs; /* the CPU features without which the code cannot run */
  int32_t needs_count;
  char code_sha256[65];
  void *memory; /* all texts and tables, those of the program too */
  int64_t memory_bytes;
};

/* Read it from `text`, and check it against its schema and the entries of the file. Fills in `manifest` and what it
   says of `program`. A status; on NEO_OK `manifest->memory` is to be freed. */
int32_t neo_manifest_read(const char *text, int64_t bytes, const struct neo_entry_place *entries, int32_t entry_count,
                          const struct neo_allocator *allocator, struct neo_manifest *manifest,
                          struct neo_program *program);

#endif

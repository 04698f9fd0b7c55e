/* The code of a model: a shared library in memory, made runnable without the system's loader. */
#ifndef NEO_CODE_H
#define NEO_CODE_H

#include <stddef.h>
#include <stdint.h>

#include "neo.h"

struct neo_code {
  void *memory;
  size_t bytes;
};

/* Copy the library's segments to memory of their own, relocate them, protect them, and find the function `entry`.
   The library must be what `neomlir.codegen.link` makes: nothing to initialise, no thread-local data, nothing that is
   both writable and executable, and no functions from elsewhere but those of imports.c. `image` is not trusted: a
   status tells what is wrong with it. */
int32_t neo_code_load(const uint8_t *image, int64_t size, const char *entry, struct neo_code *code,
                      neo_entry *function);

void neo_code_unload(struct neo_code *code);

/* A function of the C library that compiled code may call, or null. */
void *neo_import(const char *name);

#endif

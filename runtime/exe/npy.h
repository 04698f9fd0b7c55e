/* Arrays in `.npy` files (numpy.lib.format) and in raw files: C order, little endian. */
#ifndef NEO_NPY_H
#define NEO_NPY_H

#include <stdint.h>

#include "../neo.h"

struct array {
  int32_t dtype; /* 0: of the same size as any, as in a raw file */
  int32_t rank;
  int64_t dims[NEO_MAX_RANK];
  void *data;
};

/* Bytes of an array of that shape; -1 where they cannot be counted. */
int64_t array_bytes(int32_t dtype, int32_t rank, const int64_t *dims);

/* Read an array. `array` says what dtype, rank and dims are wanted, extents < 0 being free; on return it has those of
   the file. Null, or what is wrong. */
const char *npy_read(const char *path, struct array *array);

/* Read an array whose dims are all known from a file of nothing but its elements. Null, or what is wrong. */
const char *raw_read(const char *path, struct array *array);

/* Null, or what is wrong. */
const char *npy_write(const char *path, const struct array *array);
const char *raw_write(const char *path, const struct array *array);

#endif

#include "npy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_HEADER 4096

static const struct {
  int32_t dtype;
  const char *descr;
} descrs[] = {
    {NEO_BOOL, "|b1"},       {NEO_INT8, "|i1"},         {NEO_INT16, "<i2"},       {NEO_INT32, "<i4"},
    {NEO_INT64, "<i8"},      {NEO_UINT8, "|u1"},        {NEO_UINT16, "<u2"},      {NEO_UINT32, "<u4"},
    {NEO_UINT64, "<u8"},     {NEO_FLOAT16, "<f2"},      {NEO_FLOAT32, "<f4"},     {NEO_FLOAT64, "<f8"},
    {NEO_COMPLEX64, "<c8"},  {NEO_COMPLEX128, "<c16"},  {NEO_BFLOAT16, "<V2"},    {NEO_FLOAT8_E4M3FN, "<V1"},
    {NEO_FLOAT8_E5M2, "<V1"}, {NEO_FLOAT8_E4M3FNUZ, "<V1"}, {NEO_FLOAT8_E5M2FNUZ, "<V1"},
};

static const char *descr_of(int32_t dtype) {
  for (size_t i = 0; i < sizeof descrs / sizeof *descrs; i++)
    if (descrs[i].dtype == dtype) return descrs[i].descr;
  return 0;
}

int64_t array_bytes(int32_t dtype, int32_t rank, const int64_t *dims) {
  int64_t bytes = neo_dtype_bytes(dtype);
  for (int32_t i = 0; i < rank; i++)
    if (dims[i] < 0 || __builtin_mul_overflow(bytes, dims[i], &bytes)) return -1;
  return bytes > INT64_MAX / 4 || (uint64_t)bytes > SIZE_MAX / 4 ? -1 : bytes;
}

static const char *read_elements(FILE *file, struct array *array) {
  int64_t bytes = array_bytes(array->dtype, array->rank, array->dims);
  if (bytes < 0) return "is larger than memory";
  array->data = malloc(bytes ? (size_t)bytes : 1);
  if (!array->data) return "is larger than memory";
  if (fread(array->data, 1, (size_t)bytes, file) != (size_t)bytes) return "is too short for its shape";
  return fgetc(file) == EOF ? 0 : "is too long for its shape";
}

/* What follows `key` in the dictionary of a header. */
static const char *value_of(const char *header, const char *key) {
  const char *at = strstr(header, key);
  if (!at) return 0;
  at += strlen(key);
  while (*at == ' ' || *at == ':') at++;
  return at;
}

static const char *parse_shape(const char *text, struct array *array) {
  int32_t rank = 0;
  if (*text++ != '(') return "has a header without a shape";
  for (;;) {
    while (*text == ' ' || *text == ',') text++;
    if (*text == ')') break;
    if (*text < '0' || *text > '9' || rank == NEO_MAX_RANK) return "has a shape that cannot be read";
    char *end;
    errno = 0;
    int64_t extent = strtoll(text, &end, 10);
    if (errno) return "has a shape that cannot be read";
    if (rank >= array->rank) return "has more dimensions than the model takes";
    if (array->dims[rank] >= 0 && array->dims[rank] != extent) return "has another shape than the model takes";
    array->dims[rank++] = extent;
    text = end;
  }
  return rank == array->rank ? 0 : "has fewer dimensions than the model takes";
}

static int same_dtype(const char *descr, const char *wanted) {
  size_t length = strlen(wanted);
  if (*descr++ != '\'' || strlen(descr) <= length || descr[length] != '\'') return 0;
  /* Bytes have no order, and numpy has more than one letter for floats of 8 bits. */
  int byte = wanted[2] == '1' && length == 3;
  if (!strchr(byte ? "<>|=" : "<|", *descr)) return 0;
  return descr[2] == wanted[2] && (descr[1] == wanted[1] || (wanted[1] == 'V' && byte && descr[1] == 'f')) &&
         !strncmp(descr + 2, wanted + 2, length - 2);
}

static const char *read_npy(FILE *file, struct array *array) {
  unsigned char start[12];
  char header[MOST_HEADER + 1];
  if (fread(start, 1, 10, file) != 10 || memcmp(start, "\x93NUMPY", 6)) return "is no .npy file";
  size_t size = start[8] | (size_t)start[9] << 8;
  if (start[6] > 1) {
    if (fread(start + 10, 1, 2, file) != 2) return "is no .npy file";
    size |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
  }
  if (size > MOST_HEADER || fread(header, 1, size, file) != size) return "has a header that cannot be read";
  header[size] = 0;
  const char *descr = value_of(header, "'descr'"), *order = value_of(header, "'fortran_order'");
  const char *shape = value_of(header, "'shape'"), *wanted = descr_of(array->dtype);
  if (!descr || !order || !shape) return "has a header that cannot be read";
  if (!same_dtype(descr, wanted)) return "has another dtype than the model takes";
  if (strncmp(order, "False", 5)) return "is in Fortran order; save numpy.ascontiguousarray of it";
  const char *wrong = parse_shape(shape, array);
  return wrong ? wrong : read_elements(file, array);
}

const char *npy_read(const char *path, struct array *array) {
  FILE *file = fopen(path, "rb");
  if (!file) return strerror(errno);
  const char *wrong = read_npy(file, array);
  fclose(file);
  return wrong;
}

const char *raw_read(const char *path, struct array *array) {
  FILE *file = fopen(path, "rb");
  if (!file) return strerror(errno);
  const char *wrong = read_elements(file, array);
  fclose(file);
  return wrong;
}

static const char *write_all(const char *path, const char *header, size_t header_bytes, const struct array *array) {
  FILE *file = fopen(path, "wb");
  if (!file) return strerror(errno);
  size_t bytes = (size_t)array_bytes(array->dtype, array->rank, array->dims);
  int bad = fwrite(header, 1, header_bytes, file) != header_bytes || fwrite(array->data, 1, bytes, file) != bytes;
  bad |= fclose(file);
  if (bad) {
    const char *why = strerror(errno);
    remove(path);
    return why;
  }
  return 0;
}

const char *npy_write(const char *path, const struct array *array) {
  char header[1024];
  int at = snprintf(header + 10, sizeof header - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                    descr_of(array->dtype)) + 10;
  for (int32_t i = 0; i < array->rank; i++)
    at += snprintf(header + at, sizeof header - (size_t)at, "%lld,%s", (long long)array->dims[i],
                   i + 1 < array->rank ? " " : "");
  at += snprintf(header + at, sizeof header - (size_t)at, "), }");
  while ((at + 1) % 64) header[at++] = ' ';
  header[at++] = '\n';
  memcpy(header, "\x93NUMPY\1\0", 8);
  header[8] = (char)((at - 10) & 255);
  header[9] = (char)((at - 10) >> 8);
  return write_all(path, header, (size_t)at, array);
}

const char *raw_write(const char *path, const struct array *array) { return write_all(path, "", 0, array); }

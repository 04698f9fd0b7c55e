#include "neo.h"

static const struct {
  const char *name;
  int32_t bytes;
} dtypes[] = {
    [NEO_BOOL] = {"bool", 1},
    [NEO_INT8] = {"int8", 1},
    [NEO_INT16] = {"int16", 2},
    [NEO_INT32] = {"int32", 4},
    [NEO_INT64] = {"int64", 8},
    [NEO_UINT8] = {"uint8", 1},
    [NEO_UINT16] = {"uint16", 2},
    [NEO_UINT32] = {"uint32", 4},
    [NEO_UINT64] = {"uint64", 8},
    [NEO_FLOAT16] = {"float16", 2},
    [NEO_FLOAT32] = {"float32", 4},
    [NEO_FLOAT64] = {"float64", 8},
    [NEO_BFLOAT16] = {"bfloat16", 2},
    [NEO_FLOAT8_E4M3FN] = {"float8_e4m3fn", 1},
    [NEO_FLOAT8_E5M2] = {"float8_e5m2", 1},
    [NEO_FLOAT8_E4M3FNUZ] = {"float8_e4m3fnuz", 1},
    [NEO_FLOAT8_E5M2FNUZ] = {"float8_e5m2fnuz", 1},
    [NEO_COMPLEX64] = {"complex64", 8},
    [NEO_COMPLEX128] = {"complex128", 16},
};

static int known(int32_t dtype) { return dtype > 0 && dtype < (int32_t)(sizeof dtypes / sizeof *dtypes); }

const char *neo_dtype_name(int32_t dtype) { return known(dtype) ? dtypes[dtype].name : 0; }

int32_t neo_dtype_bytes(int32_t dtype) { return known(dtype) ? dtypes[dtype].bytes : 0; }

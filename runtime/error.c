#include "error.h"

#include <stdio.h>

#include "neo.h"

#ifdef __wasm__
#define PER_THREAD
#else
#define PER_THREAD _Thread_local
#endif

static PER_THREAD char text[512];

int32_t neo_fail_list(int32_t status, const char *format, va_list arguments) {
  vsnprintf(text, sizeof text, format, arguments);
  return status;
}

int32_t neo_fail(int32_t status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  neo_fail_list(status, format, arguments);
  va_end(arguments);
  return status;
}

const char *neo_error(void) { return text; }

/* The text of the last error of each thread. */
#ifndef NEO_ERROR_H
#define NEO_ERROR_H

#include <stdarg.h>
#include <stdint.h>

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
/* Sets the text and returns `status`. */
int32_t neo_fail(int32_t status, const char *format, ...);

int32_t neo_fail_list(int32_t status, const char *format, va_list arguments);

#endif

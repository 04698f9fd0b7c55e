/* What compiled code may call: memory, and the functions of libm that the compiler makes calls of. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "code.h"

/* There code is linked to the program, never loaded. */
#ifndef __wasm__

#define BOTH(name) ONE(name) ONE(name##f)

#define IMPORTS                                                                                                     \
  BOTH(acos) BOTH(acosh) BOTH(asin) BOTH(asinh) BOTH(atan) BOTH(atan2) BOTH(atanh) BOTH(cbrt) BOTH(ceil) BOTH(copysign) \
  BOTH(cos) BOTH(cosh) BOTH(erf) BOTH(erfc) BOTH(exp) BOTH(exp2) BOTH(expm1) BOTH(fabs) BOTH(floor) BOTH(fma) BOTH(fmax) \
  BOTH(fmin) BOTH(fmod) BOTH(ldexp) BOTH(log) BOTH(log10) BOTH(log1p) BOTH(log2) BOTH(nearbyint) BOTH(pow)              \
  BOTH(remainder) BOTH(rint) BOTH(round) BOTH(sin) BOTH(sinh) BOTH(sqrt) BOTH(tan) BOTH(tanh) BOTH(trunc)               \
  ONE(aligned_alloc) ONE(free) ONE(malloc) ONE(memcmp) ONE(memcpy) ONE(memmove) ONE(memset)

/* What the compiler calls for numbers that the CPU has no instructions for; there where the C compiler's own library
   is. */
#define HELPERS                                                                                                \
  ONE(__extendhfsf2) ONE(__truncsfhf2) ONE(__truncdfhf2) ONE(__truncsfbf2) ONE(__truncdfbf2) ONE(__divti3)     \
  ONE(__modti3) ONE(__udivti3) ONE(__umodti3) ONE(__multi3) ONE(__fixsfti) ONE(__fixdfti) ONE(__floattisf)     \
  ONE(__floattidf) ONE(roundeven) ONE(roundevenf) ONE(sincos) ONE(sincosf) ONE(exp10) ONE(exp10f)

#define ONE(name) extern __attribute__((weak)) char helper_##name[] __asm__(#name);
HELPERS
#undef ONE

struct import {
  const char *name;
  void *address;
};

void *neo_import(const char *name) {
#define ONE(name) {#name, (void *)name},
  static const struct import imports[] = {IMPORTS};
#undef ONE
#define ONE(name) {#name, helper_##name},
  const struct import helpers[] = {HELPERS};
#undef ONE
  for (size_t i = 0; i < sizeof imports / sizeof *imports; i++)
    if (!strcmp(imports[i].name, name)) return imports[i].address;
  for (size_t i = 0; i < sizeof helpers / sizeof *helpers; i++)
    if (!strcmp(helpers[i].name, name)) return helpers[i].address;
  return 0;
}

#endif

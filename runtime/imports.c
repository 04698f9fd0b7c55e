/* What compiled code may call: memory, and the functions of libm that the compiler makes calls of. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "code.h"

/* There code is linked to the program, never loaded. */
#ifndef __wasm__

/* In a static program every function that is named here takes room, and models in double precision are rare: their
   functions are there in shared libraries, and in programs that are built with NEO_DOUBLES. */
#if defined(NEO_DOUBLES) || (defined(__PIC__) && !defined(__PIE__))
#define DOUBLE(name) ONE(name)
#define WEAK_DOUBLE(name) WEAK(name)
#else
#define DOUBLE(name)
#define WEAK_DOUBLE(name)
#endif
#define BOTH(name) DOUBLE(name) ONE(name##f)

#define IMPORTS                                                                                                \
  BOTH(acos) BOTH(acosh) BOTH(asin) BOTH(asinh) BOTH(atan) BOTH(atan2) BOTH(atanh) BOTH(cbrt) BOTH(ceil)       \
  BOTH(copysign) BOTH(cos) BOTH(cosh) BOTH(erf) BOTH(erfc) BOTH(exp) BOTH(exp2) BOTH(expm1) BOTH(fabs)         \
  BOTH(floor) BOTH(fma) BOTH(fmax) BOTH(fmin) BOTH(fmod) BOTH(ldexp) BOTH(log) BOTH(log10) BOTH(log1p)         \
  BOTH(log2) BOTH(nearbyint) BOTH(pow) BOTH(remainder) BOTH(rint) BOTH(round) BOTH(sin) BOTH(sinh) BOTH(sqrt)  \
  BOTH(tan) BOTH(tanh) BOTH(trunc) ONE(aligned_alloc) ONE(free) ONE(malloc) ONE(memcmp) ONE(memcpy)            \
  ONE(memmove) ONE(memset) HELPERS

/* What the compiler calls for numbers that the CPU has no instructions for; there where the C compiler's own library
   is. */
#define HELPERS                                                                                                \
  WEAK(__extendhfsf2) WEAK(__truncsfhf2) WEAK(__truncdfhf2) WEAK(__truncsfbf2) WEAK(__truncdfbf2)              \
  WEAK(__divti3) WEAK(__modti3) WEAK(__udivti3) WEAK(__umodti3) WEAK(__multi3) WEAK(__fixsfti)                 \
  WEAK(__fixdfti) WEAK(__floattisf) WEAK(__floattidf) WEAK(roundevenf) WEAK(sincosf) WEAK_DOUBLE(roundeven)    \
  WEAK_DOUBLE(sincos)

#define ONE(name)
#define WEAK(name) extern __attribute__((weak)) char weak_##name[] __asm__(#name);
IMPORTS
#undef ONE
#undef WEAK

#define ONE(name) {#name, (void *)name},
#define WEAK(name) {#name, weak_##name},

void *neo_import(const char *name) {
  static const struct {
    const char *name;
    void *address;
  } imports[] = {IMPORTS};
  for (size_t i = 0; i < sizeof imports / sizeof *imports; i++)
    if (!strcmp(imports[i].name, name)) return imports[i].address;
  return 0;
}


#endif

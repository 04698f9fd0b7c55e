/* What the machine can run. */
#ifndef NEO_MACHINE_H
#define NEO_MACHINE_H

#include <stdint.h>

/* NEO_OK if code of that triple, which needs those features (LLVM's names), runs here; else a status. */
int32_t neo_machine_check(const char *triple, const char *target, const char *const *needs, int32_t count);

/* Whether it does. */
int neo_machine_runs(const char *triple, const char *const *needs, int32_t count);

/* Whether the CPU and the system have a feature; -1 where this runtime cannot tell. `zvl256b` is RISC-V's vectors of
   at least 256 bits. */
int neo_machine_has(const char *feature);

#endif

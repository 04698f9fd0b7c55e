#include "machine.h"

#include <string.h>

#include "error.h"
#include "neo.h"

#if defined(__x86_64__)
#define ARCHITECTURE "x86_64"
#elif defined(__aarch64__)
#define ARCHITECTURE "aarch64"
#elif defined(__arm__)
#define ARCHITECTURE "arm"
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE "riscv64"
#else
#define ARCHITECTURE "none"
#endif

#if defined(__x86_64__)

#include <cpuid.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum state { ANY, AVX = 6, AVX512 = 0xe6, AMX = 0x60006 }; /* bits of XCR0 */
enum leaf { ONE, SEVEN, SEVEN1, HIGH1, HIGH8, LEAVES };

static const struct {
  const char *name;
  unsigned char leaf, reg, bit; /* registers: 0 eax, 1 ebx, 2 ecx, 3 edx */
  int state;
} features[] = {
    {"cx16", ONE, 2, 13, ANY},           {"sse3", ONE, 2, 0, ANY},          {"ssse3", ONE, 2, 9, ANY},
    {"sse4.1", ONE, 2, 19, ANY},         {"sse4.2", ONE, 2, 20, ANY},       {"popcnt", ONE, 2, 23, ANY},
    {"pclmul", ONE, 2, 1, ANY},          {"aes", ONE, 2, 25, ANY},          {"movbe", ONE, 2, 22, ANY},
    {"f16c", ONE, 2, 29, AVX},           {"fma", ONE, 2, 12, AVX},          {"avx", ONE, 2, 28, AVX},
    {"avx2", SEVEN, 1, 5, AVX},          {"bmi", SEVEN, 1, 3, ANY},         {"bmi2", SEVEN, 1, 8, ANY},
    {"adx", SEVEN, 1, 19, ANY},          {"sha", SEVEN, 1, 29, ANY},        {"gfni", SEVEN, 2, 8, ANY},
    {"vaes", SEVEN, 2, 9, AVX},          {"vpclmulqdq", SEVEN, 2, 10, AVX}, {"avx512f", SEVEN, 1, 16, AVX512},
    {"avx512dq", SEVEN, 1, 17, AVX512},  {"avx512ifma", SEVEN, 1, 21, AVX512}, {"avx512cd", SEVEN, 1, 28, AVX512},
    {"avx512bw", SEVEN, 1, 30, AVX512},  {"avx512vl", SEVEN, 1, 31, AVX512}, {"avx512vbmi", SEVEN, 2, 1, AVX512},
    {"avx512vbmi2", SEVEN, 2, 6, AVX512}, {"avx512vnni", SEVEN, 2, 11, AVX512}, {"avx512bitalg", SEVEN, 2, 12, AVX512},
    {"avx512vpopcntdq", SEVEN, 2, 14, AVX512}, {"avx512vp2intersect", SEVEN, 3, 8, AVX512},
    {"avx512fp16", SEVEN, 3, 23, AVX512}, {"amx-bf16", SEVEN, 3, 22, AMX},  {"amx-tile", SEVEN, 3, 24, AMX},
    {"amx-int8", SEVEN, 3, 25, AMX},     {"avxvnni", SEVEN1, 0, 4, AVX},    {"avx512bf16", SEVEN1, 0, 5, AVX512},
    {"avxifma", SEVEN1, 0, 23, AVX},     {"amx-fp16", SEVEN1, 0, 21, AMX},  {"avxvnniint8", SEVEN1, 3, 4, AVX},
    {"avxneconvert", SEVEN1, 3, 5, AVX}, {"avxvnniint16", SEVEN1, 3, 10, AVX}, {"lzcnt", HIGH1, 2, 5, ANY},
    {"sse4a", HIGH1, 2, 6, ANY},         {"clzero", HIGH8, 1, 0, ANY},
};

static unsigned long long enabled_state(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return 0;
  __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return a | (unsigned long long)d << 32;
}

static int look_up(unsigned leaf, unsigned subleaf, unsigned registers[4]) {
  return __get_cpuid_count(leaf, subleaf, &registers[0], &registers[1], &registers[2], &registers[3]);
}

/* Whether the system lets this process use state that it hands out on demand: the tile registers. Asking again is free. */
static int may_use(int state) {
  if (state != AMX) return 1;
#if defined(__linux__)
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
  return !syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA);
#else
  return 0;
#endif
}

int neo_machine_has(const char *feature) {
  static const unsigned leaves[LEAVES][2] = {{1, 0}, {7, 0}, {7, 1}, {0x80000001, 0}, {0x80000008, 0}};
  for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
    if (strcmp(features[i].name, feature)) continue;
    unsigned registers[4];
    const unsigned *leaf = leaves[features[i].leaf];
    if (leaf[1] && (!look_up(leaf[0], 0, registers) || registers[0] < leaf[1])) return 0;
    if (!look_up(leaf[0], leaf[1], registers) || !(registers[features[i].reg] >> features[i].bit & 1)) return 0;
    if ((enabled_state() & (unsigned long long)features[i].state) != (unsigned long long)features[i].state) return 0;
    return may_use(features[i].state);
  }
  return -1;
}

#elif defined(__linux__) && (defined(__aarch64__) || defined(__arm__) || defined(__riscv))

#include <stdlib.h>
#include <sys/auxv.h>

static const struct {
  const char *name;
  unsigned char word, bit; /* of AT_HWCAP, AT_HWCAP2 */
} features[] = {
#if defined(__aarch64__)
    {"fp-armv8", 0, 0}, {"neon", 0, 1},     {"aes", 0, 3},      {"sha2", 0, 6},  {"crc", 0, 7},    {"lse", 0, 8},
    {"fullfp16", 0, 10}, {"rdm", 0, 12},    {"jsconv", 0, 13},  {"complxnum", 0, 14}, {"rcpc", 0, 15}, {"sha3", 0, 17},
    {"dotprod", 0, 20}, {"sve", 0, 22},     {"fp16fml", 0, 23}, {"sve2", 1, 1},  {"f32mm", 1, 10}, {"f64mm", 1, 11},
    {"i8mm", 1, 13},    {"bf16", 1, 14},    {"sme", 1, 23},
#elif defined(__arm__)
    {"neon", 0, 12}, {"vfp3", 0, 13}, {"vfp4", 0, 16}, {"hwdiv-arm", 0, 17}, {"hwdiv", 0, 18},
#else
    {"m", 0, 'm' - 'a'}, {"a", 0, 0}, {"f", 0, 'f' - 'a'}, {"d", 0, 'd' - 'a'}, {"c", 0, 2}, {"v", 0, 'v' - 'a'},
#endif
};

#if defined(__riscv)

/* Whether vectors are at least as wide as `zvlNNNb` says; -1 where a feature is no such. */
static int has_width(const char *feature) {
  char *end;
  if (strncmp(feature, "zvl", 3) || feature[3] < '1' || feature[3] > '9') return -1;
  unsigned long bits = strtoul(feature + 3, &end, 10), bytes;
  if (strcmp(end, "b")) return -1;
  if (!(getauxval(AT_HWCAP) >> ('v' - 'a') & 1)) return 0;
  __asm__(".option push\n.option arch, +v\ncsrr %0, vlenb\n.option pop" : "=r"(bytes));
  return 8 * bytes >= bits;
}

#else

static int has_width(const char *feature) {
  (void)feature;
  return -1;
}

#endif

int neo_machine_has(const char *feature) {
  for (size_t i = 0; i < sizeof features / sizeof *features; i++)
    if (!strcmp(features[i].name, feature))
      return (int)(getauxval(features[i].word ? AT_HWCAP2 : AT_HWCAP) >> features[i].bit & 1);
  return has_width(feature);
}

#else

int neo_machine_has(const char *feature) {
  (void)feature;
  return -1;
}

#endif

static int is_own(const char *triple) {
  size_t length = strcspn(triple, "-");
  const char *architecture = !strncmp(triple, "arm64", length) && length == 5 ? "aarch64" : triple;
  if (!strcmp(ARCHITECTURE, "arm")) return !strncmp(triple, "armv7", 5) || !strncmp(triple, "arm-", 4);
  return !strncmp(architecture, ARCHITECTURE "-", architecture == triple ? length + 1 : 7);
}

int neo_machine_runs(const char *triple, const char *const *needs, int32_t count) {
  int fine = is_own(triple) && strstr(triple, "linux");
  for (int32_t i = 0; fine && i < count; i++) fine = neo_machine_has(needs[i]) == 1;
  return fine;
}

int32_t neo_machine_check(const char *triple, const char *target, const char *const *needs, int32_t count) {
  const char *here = ARCHITECTURE;
  if (!is_own(triple) || !strstr(triple, "linux"))
    return neo_fail(NEO_WRONG_MACHINE,
                    "the model is compiled for %.60s (%.60s), but this machine is %s; compile it for this one", target,
                    triple, here);
  for (int32_t i = 0; i < count; i++) {
    int has = neo_machine_has(needs[i]);
    if (has < 1)
      return neo_fail(NEO_WRONG_MACHINE,
                      "the model is compiled for %.60s, which needs feature %.60s that this machine %s; compile it for "
                      "this one",
                      target, needs[i], has ? "may lack" : "lacks");
  }
  return NEO_OK;
}

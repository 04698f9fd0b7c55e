#include "memory.h"

#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#define HUGE_PAGE ((size_t)2 << 20)

static void *from_libc(void *context, size_t bytes, size_t alignment) {
  (void)context;
  void *memory = 0;
  /* Large memory in huge pages; what does not fill one stays in small pages. */
  int huge = bytes >= HUGE_PAGE;
  if (posix_memalign(&memory, huge ? HUGE_PAGE : alignment, bytes)) return 0;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (huge) madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
  return memory;
}

static void to_libc(void *context, void *pointer, size_t bytes) {
  (void)context;
  (void)bytes;
  free(pointer);
}

struct neo_allocator neo_allocator_of(const struct neo_options *options) {
  if (options && options->allocator.allocate && options->allocator.release) return options->allocator;
  return (struct neo_allocator){0, from_libc, to_libc};
}

static size_t rounded(int64_t bytes) {
  size_t size = (size_t)bytes;
  return size ? (size + NEO_ALIGNMENT - 1) / NEO_ALIGNMENT * NEO_ALIGNMENT : NEO_ALIGNMENT;
}

void *neo_allocate(const struct neo_allocator *allocator, int64_t bytes) {
  if (bytes < 0 || (uint64_t)bytes > SIZE_MAX / 4) return 0;
  return allocator->allocate(allocator->context, rounded(bytes), NEO_ALIGNMENT);
}

void *neo_allocate_zeroed(const struct neo_allocator *allocator, int64_t bytes) {
  void *memory = neo_allocate(allocator, bytes);
  if (memory) memset(memory, 0, (size_t)bytes);
  return memory;
}

void neo_free(const struct neo_allocator *allocator, void *pointer, int64_t bytes) {
  if (pointer) allocator->release(allocator->context, pointer, rounded(bytes));
}

#include "zip.h"

#include <string.h>

#include "error.h"
#include "neo.h"
#include "sha256.h"

/* APPNOTE.TXT 6.3.10 of PKWARE. */
enum {
  LOCAL_BYTES = 30,
  CENTRAL_BYTES = 46,
  END_BYTES = 22,
  END64_BYTES = 56,
  LOCATOR64_BYTES = 20,
  UTF8_FLAG = 0x800,
  ZIP64_TAG = 1,
};
#define MASKED 0xffffffffu
#define ZIP64_LIMIT 0x7fffffff
static const char mark[] = "neo sha256:";

static uint16_t u16(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }

static uint32_t u32(const uint8_t *at) { return u16(at) | (uint32_t)u16(at + 2) << 16; }

static uint64_t u64(const uint8_t *at) { return u32(at) | (uint64_t)u32(at + 4) << 32; }

static int32_t damaged(const char *what) {
  return neo_fail(NEO_DAMAGED, "the .neo file is damaged or not one: %s; copy it again or compile the model again", what);
}

int32_t neo_zip_check_digest(const uint8_t *bytes, int64_t size) {
  const uint8_t *told = bytes + size - NEO_COMMENT_BYTES + strlen(mark);
  uint8_t digest[32];
  neo_sha256(bytes, (size_t)(size - NEO_COMMENT_BYTES), digest);
  for (int i = 0; i < 32; i++)
    if (told[2 * i] != "0123456789abcdef"[digest[i] >> 4] || told[2 * i + 1] != "0123456789abcdef"[digest[i] & 15])
      return damaged("its bytes are not those that were written");
  return NEO_OK;
}

/* The ZIP64 field among the extra fields: how many numbers it holds, 0 if there is none. */
static int wide_numbers(const uint8_t *extra, size_t bytes, uint64_t numbers[3]) {
  for (size_t at = 0; at + 4 <= bytes;) {
    size_t length = u16(extra + at + 2);
    if (length > bytes - at - 4) return 0;
    if (u16(extra + at) == ZIP64_TAG) {
      size_t count = length / 8 < 3 ? length / 8 : 3;
      for (size_t i = 0; i < count; i++) numbers[i] = u64(extra + at + 4 + 8 * i);
      return (int)count;
    }
    at += 4 + length;
  }
  return 0;
}

/* Replace each masked number by the next of the field. */
static int unmask(const uint8_t *extra, size_t bytes, uint64_t **masked, int count) {
  uint64_t numbers[3];
  int found = wide_numbers(extra, bytes, numbers), next = 0;
  for (int i = 0; i < count; i++) {
    if (*masked[i] != MASKED) continue;
    if (next == found) return 0;
    *masked[i] = numbers[next++];
  }
  return 1;
}

/* The entry whose own header stands at `offset`, if that says what the directory's record says. */
static int32_t local(const uint8_t *bytes, uint64_t limit, const uint8_t *record, uint64_t offset, uint64_t size,
                     struct neo_entry_place *entry) {
  if (offset > limit || limit - offset < LOCAL_BYTES) return damaged("an entry starts behind the end of the data");
  const uint8_t *header = bytes + offset;
  uint64_t packed = u32(header + 18), plain = u32(header + 22);
  size_t name_bytes = u16(header + 26), extra_bytes = u16(header + 28);
  uint64_t left = limit - offset - LOCAL_BYTES;
  if (name_bytes + extra_bytes > left || size > left - name_bytes - extra_bytes)
    return damaged("an entry claims more bytes than the file has");
  /* Here the field has the size before compression first. */
  uint64_t *masked[] = {&plain, &packed};
  if (!unmask(header + LOCAL_BYTES + name_bytes, extra_bytes, masked, 2)) return damaged("an entry has no sizes");
  int alike = u32(header) == 0x04034b50 && u16(header + 6) == u16(record + 8) && !u16(header + 8) &&
              u32(header + 14) == u32(record + 16) && packed == size && plain == size &&
              name_bytes == u16(record + 28) &&
              !memcmp(header + LOCAL_BYTES, record + CENTRAL_BYTES, name_bytes);
  if (!alike) return damaged("an entry is described in two ways");
  entry->name = (const char *)header + LOCAL_BYTES;
  entry->name_bytes = (int32_t)name_bytes;
  entry->start = (int64_t)(offset + LOCAL_BYTES + name_bytes + extra_bytes);
  entry->size = (int64_t)size;
  return NEO_OK;
}

/* The record of the directory at `record`, of which `left` bytes are there; its bytes in `taken`. */
static int32_t central(const uint8_t *bytes, uint64_t directory, const uint8_t *record, uint64_t left, uint64_t wanted,
                       struct neo_entry_place *entry, uint64_t *taken) {
  if (left < CENTRAL_BYTES || u32(record) != 0x02014b50) return damaged("its directory cannot be read");
  size_t name_bytes = u16(record + 28), extra_bytes = u16(record + 30), comment_bytes = u16(record + 32);
  *taken = CENTRAL_BYTES + name_bytes + extra_bytes + comment_bytes;
  if (*taken > left) return damaged("its directory cannot be read");
  uint64_t packed = u32(record + 20), size = u32(record + 24), offset = u32(record + 42);
  uint64_t *masked[] = {&size, &packed, &offset};
  if (!unmask(record + CENTRAL_BYTES + name_bytes, extra_bytes, masked, 3)) return damaged("an entry has no sizes");
  if (u16(record + 10) || packed != size) return damaged("an entry is compressed");
  if (u16(record + 8) & ~UTF8_FLAG || !name_bytes || u16(record + 34)) return damaged("an entry is no plain file");
  if (offset != wanted) return damaged("its entries do not follow each other");
  return local(bytes, directory, record, offset, size, entry);
}

/* Where the directory starts and how many entries it has, by the records at the end of the file. */
static int32_t find_directory(const uint8_t *bytes, uint64_t size, uint64_t *directory, uint64_t *tail,
                              uint64_t *count) {
  if (size < END_BYTES + NEO_COMMENT_BYTES) return damaged("it is too short");
  uint64_t at = size - NEO_COMMENT_BYTES - END_BYTES;
  const uint8_t *end = bytes + at;
  if (memcmp(end + END_BYTES, mark, strlen(mark)))
    return damaged("its end is not that of a .neo file, it is truncated or of another kind");
  if (u32(end) != 0x06054b50 || u16(end + 4) || u16(end + 6) || u16(end + 8) != u16(end + 10) ||
      u16(end + 20) != NEO_COMMENT_BYTES)
    return damaged("its end record does not fit its directory");
  uint64_t bytes_of_directory = u32(end + 12);
  *count = u16(end + 10);
  *directory = u32(end + 16);
  *tail = at;
  if (*directory == MASKED || (at >= END64_BYTES + LOCATOR64_BYTES && u32(end - LOCATOR64_BYTES) == 0x07064b50)) {
    if (at < END64_BYTES + LOCATOR64_BYTES) return damaged("its end record does not fit its directory");
    *tail = at - LOCATOR64_BYTES - END64_BYTES;
    const uint8_t *end64 = bytes + *tail, *locator = end - LOCATOR64_BYTES;
    if (u32(end64) != 0x06064b50 || u32(locator) != 0x07064b50 || u64(locator + 8) != *tail || u32(end64 + 16) ||
        u32(end64 + 20) || u64(end64 + 32) != *count || u64(end64 + 40) != bytes_of_directory ||
        (*directory != MASKED && u64(end64 + 48) != *directory))
      return damaged("its end record does not fit its directory");
    *directory = u64(end64 + 48);
    if (*directory <= ZIP64_LIMIT) return damaged("its end record does not fit its directory");
  }
  if (*directory > *tail || bytes_of_directory != *tail - *directory)
    return damaged("its end record does not fit its directory");
  return NEO_OK;
}

int32_t neo_zip_read(const uint8_t *bytes, int64_t size, struct neo_entry_place entries[NEO_MOST_ENTRIES],
                     int32_t *count) {
  uint64_t directory = 0, tail = 0, wanted = 0, end = 0;
  int32_t status = find_directory(bytes, (uint64_t)size, &directory, &tail, &wanted);
  if (status) return status;
  if (wanted > NEO_MOST_ENTRIES) return damaged("it has more entries than any");
  uint64_t at = directory, taken = 0;
  for (*count = 0; (uint64_t)*count < wanted; ++*count, at += taken) {
    struct neo_entry_place *entry = &entries[*count];
    status = central(bytes, directory, bytes + at, tail - at, end, entry, &taken);
    if (status) return status;
    end = (uint64_t)(entry->start + entry->size);
    for (int32_t i = 0; i < *count; i++)
      if (entries[i].name_bytes == entry->name_bytes &&
          !memcmp(entries[i].name, entry->name, (size_t)entry->name_bytes))
        return damaged("it has two entries of one name");
  }
  if (at != tail || end != directory) return damaged("there is something between its entries and its directory");
  return NEO_OK;
}

const struct neo_entry_place *neo_zip_find(const struct neo_entry_place *entries, int32_t count, const char *name) {
  for (int32_t i = 0; i < count; i++)
    if (strlen(name) == (size_t)entries[i].name_bytes && !memcmp(entries[i].name, name, strlen(name)))
      return &entries[i];
  return 0;
}

/* The entries of a `.neo` file, which is an uncompressed ZIP (docs/neo-file.md). */
#ifndef NEO_ZIP_H
#define NEO_ZIP_H

#include <stdint.h>

#define NEO_MOST_ENTRIES 64
#define NEO_COMMENT_BYTES 75 /* "neo sha256:" and 64 digits */

struct neo_entry_place {
  const char *name; /* not ended by 0 */
  int32_t name_bytes;
  int64_t start, size; /* of its data, in bytes from the start of the file */
};

/* Find the entries of the file of `size` bytes; everything is inside it, follows each other from the first byte to the
   directory, and is told alike in both places. A status; `count` entries of `entries`, in their order. */
int32_t neo_zip_read(const uint8_t *bytes, int64_t size, struct neo_entry_place entries[NEO_MOST_ENTRIES],
                     int32_t *count);

/* The digest of everything before the comment is that of the comment. */
int32_t neo_zip_check_digest(const uint8_t *bytes, int64_t size);

/* The entry of that name, or null. */
const struct neo_entry_place *neo_zip_find(const struct neo_entry_place *entries, int32_t count, const char *name);

#endif

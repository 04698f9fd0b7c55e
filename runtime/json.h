/* A cursor over JSON text (RFC 8259) in ASCII. Every function moves it behind what it read, or gives 0 and leaves it
   where the text is wrong. */
#ifndef NEO_JSON_H
#define NEO_JSON_H

#include <stddef.h>
#include <stdint.h>

struct neo_json {
  const char *at, *end;
};

/* Skip one value of any kind, of at most 64 levels. */
int neo_json_skip(struct neo_json *json);

/* A string, decoded as UTF-8 to `text` with a 0 behind it where `text` is not null; its bytes without that. */
int neo_json_string(struct neo_json *json, char *text, size_t *bytes);

/* An integer. */
int neo_json_integer(struct neo_json *json, int64_t *value);

/* `null`, without moving where there is something else. */
int neo_json_null(struct neo_json *json);

/* Whether an array (`[`) or object (`{`) starts here, which is then entered. */
int neo_json_enter(struct neo_json *json, char bracket);

/* With `*index` going up from 0: whether there is another item before the closing bracket, which is then left behind.
   -1 where the text is wrong. */
int neo_json_next(struct neo_json *json, char bracket, int64_t *index);

/* The key of an object's item, and the colon. */
int neo_json_key(struct neo_json *json, char *key, size_t room);

/* The items of the array that starts here, which is not moved behind; -1 where it is none. */
int64_t neo_json_count(struct neo_json json);

#endif

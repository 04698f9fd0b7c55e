#include "json.h"

#include <string.h>

#define MOST_LEVELS 64

static void skip_blanks(struct neo_json *json) {
  while (json->at < json->end && (*json->at == ' ' || *json->at == '\n' || *json->at == '\t' || *json->at == '\r'))
    json->at++;
}

/* The next character that is no blank; 0 at the end. */
static char peek(struct neo_json *json) {
  skip_blanks(json);
  return json->at < json->end ? *json->at : 0;
}

static int accept(struct neo_json *json, char wanted) {
  if (peek(json) != wanted) return 0;
  json->at++;
  return 1;
}

static int accept_word(struct neo_json *json, const char *word) {
  size_t length = strlen(word);
  skip_blanks(json);
  if ((size_t)(json->end - json->at) < length || memcmp(json->at, word, length)) return 0;
  json->at += length;
  return 1;
}

static int hex4(struct neo_json *json, uint32_t *value) {
  if (json->end - json->at < 4) return 0;
  *value = 0;
  for (int i = 0; i < 4; i++) {
    char c = *json->at++;
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return 0;
    *value = *value << 4 | (uint32_t)digit;
  }
  return 1;
}

/* What follows a backslash and `u`, as a code point. A zero would end the text of a C program early. */
static int code_point(struct neo_json *json, uint32_t *point) {
  uint32_t low;
  if (!hex4(json, point) || !*point || (*point >= 0xdc00 && *point <= 0xdfff)) return 0;
  if (*point < 0xd800 || *point > 0xdbff) return 1;
  if (json->end - json->at < 2 || json->at[0] != '\\' || json->at[1] != 'u') return 0;
  json->at += 2;
  if (!hex4(json, &low) || low < 0xdc00 || low > 0xdfff) return 0;
  *point = 0x10000 + ((*point - 0xd800) << 10 | (low - 0xdc00));
  return 1;
}

static size_t as_utf8(uint32_t point, unsigned char out[4]) {
  if (point < 0x80) {
    out[0] = (unsigned char)point;
    return 1;
  }
  size_t more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  static const unsigned char marks[] = {0, 0xc0, 0xe0, 0xf0};
  for (size_t i = more; i; i--, point >>= 6) out[i] = (unsigned char)(0x80 | (point & 0x3f));
  out[0] = (unsigned char)(marks[more] | point);
  return more + 1;
}

int neo_json_string(struct neo_json *json, char *text, size_t *bytes) {
  static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  size_t length = 0;
  if (!accept(json, '"')) return 0;
  while (json->at < json->end) {
    unsigned char c = (unsigned char)*json->at++, utf8[4] = {c};
    size_t count = 1;
    if (c == '"') {
      if (text) text[length] = 0;
      *bytes = length;
      return 1;
    }
    if (c < 0x20 || c > 0x7e) return 0;
    if (c == '\\') {
      if (json->at == json->end) return 0;
      char kind = *json->at++;
      const char *found = kind ? strchr(escapes, kind) : 0;
      uint32_t point;
      if (kind == 'u') {
        if (!code_point(json, &point)) return 0;
        count = as_utf8(point, utf8);
      } else if (found) {
        utf8[0] = (unsigned char)meanings[found - escapes];
      } else {
        return 0;
      }
    }
    if (text) memcpy(text + length, utf8, count);
    length += count;
  }
  return 0;
}

static int digits(struct neo_json *json) {
  const char *start = json->at;
  while (json->at < json->end && *json->at >= '0' && *json->at <= '9') json->at++;
  return json->at > start;
}

static int skip_number(struct neo_json *json) {
  if (peek(json) == '-') json->at++;
  const char *start = json->at;
  if (!digits(json) || (*start == '0' && json->at > start + 1)) return 0;
  if (json->at < json->end && *json->at == '.') {
    json->at++;
    if (!digits(json)) return 0;
  }
  if (json->at < json->end && (*json->at == 'e' || *json->at == 'E')) {
    json->at++;
    if (json->at < json->end && (*json->at == '+' || *json->at == '-')) json->at++;
    if (!digits(json)) return 0;
  }
  return 1;
}

int neo_json_integer(struct neo_json *json, int64_t *value) {
  int minus = peek(json) == '-';
  if (minus) json->at++;
  const char *start = json->at;
  if (!digits(json) || (*start == '0' && json->at > start + 1)) return 0;
  if (json->at < json->end && strchr(".eE", *json->at) && *json->at) return 0;
  int64_t sum = 0;
  for (const char *at = start; at < json->at; at++)
    if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_sub_overflow(sum, *at - '0', &sum)) return 0;
  if (!minus && sum == INT64_MIN) return 0;
  *value = minus ? sum : -sum;
  return 1;
}

int neo_json_null(struct neo_json *json) { return accept_word(json, "null"); }

int neo_json_enter(struct neo_json *json, char bracket) { return accept(json, bracket); }

int neo_json_next(struct neo_json *json, char bracket, int64_t *index) {
  if (accept(json, bracket == '[' ? ']' : '}')) return 0;
  if ((*index)++ && !accept(json, ',')) return -1;
  return peek(json) ? 1 : -1;
}

int neo_json_key(struct neo_json *json, char *key, size_t room) {
  struct neo_json before = *json;
  size_t bytes;
  if (!neo_json_string(json, 0, &bytes) || bytes >= room) return 0;
  neo_json_string(&before, key, &bytes);
  return accept(json, ':');
}

static int skip(struct neo_json *json, int level) {
  char first = peek(json);
  size_t bytes;
  if (first == '"') return neo_json_string(json, 0, &bytes);
  if (first == '-' || (first >= '0' && first <= '9')) return skip_number(json);
  if (first != '[' && first != '{')
    return accept_word(json, "null") || accept_word(json, "true") || accept_word(json, "false");
  if (level == MOST_LEVELS) return 0;
  json->at++;
  int64_t index = 0;
  for (int more; (more = neo_json_next(json, first, &index));) {
    if (more < 0) return 0;
    if (first == '{' && (!neo_json_string(json, 0, &bytes) || !accept(json, ':'))) return 0;
    if (!skip(json, level + 1)) return 0;
  }
  return 1;
}

int neo_json_skip(struct neo_json *json) { return skip(json, 0); }

int64_t neo_json_count(struct neo_json json) {
  int64_t index = 0;
  if (!neo_json_enter(&json, '[')) return -1;
  for (int more; (more = neo_json_next(&json, '[', &index));)
    if (more < 0 || !neo_json_skip(&json)) return -1;
  return index;
}

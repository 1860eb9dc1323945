/*
 * str.h - text: slices, bounded copies, numbers, and what may stand in a name.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/compiler.h"
#include "base/error.h"

/* Bytes that somebody else owns; not NUL-terminated. */
struct str {
    const char *data;
    size_t length;
};

#define STR_LITERAL(text) ((struct str){(text), sizeof(text) - 1})
struct str str_of(const char *text);
bool str_equal(struct str a, struct str b);
bool str_equal_text(struct str a, const char *text);

/* Copies a C string; false (and an empty target) when it does not fit. size > 0. */
bool str_copy(char *target, size_t size, const char *source);
bool str_has_prefix(const char *text, const char *prefix);
bool str_has_suffix(const char *text, const char *suffix);

/* The whole text as a decimal number within [minimum, maximum]; false otherwise. */
bool str_to_i64(const char *text, int64_t minimum, int64_t maximum, int64_t *ret);
/* A duration such as 500ms, 10s, 5m, 12h, 30d, or plain seconds; false otherwise. Microseconds. */
bool str_to_duration_us(const char *text, int64_t *ret_us);
/* A size such as 64kB, 10MB, 1GB (PostgreSQL's units, of 1024), or plain bytes; false otherwise. */
bool str_to_size(const char *text, int64_t *ret_bytes);

/* True when the bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool str_is_utf8(const char *bytes, size_t length);

/*
 * Slugs of tenants and names of services and clusters: 1 to 63 of a-z, 0-9, '-' and '_', beginning
 * with a letter or digit. `what` names the thing in the error ("tenant slug"). ERROR_INVALID.
 */
int str_check_slug(const char *what, const char *slug, struct error *err);
/* Display names: 1 to 200 bytes of UTF-8 without control characters. ERROR_INVALID. */
int str_check_display_name(const char *what, const char *name, struct error *err);

/* Writes 2 * length characters and a NUL. */
void str_hex(const void *bytes, size_t length, char *ret_text);

#endif

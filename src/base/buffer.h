/*
 * buffer.h - a growable run of bytes that is always made with a maximum.
 *
 * Contents are kept NUL-terminated beyond `length`, so that text may be read as a C string.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdarg.h>

#include "base/compiler.h"

struct buffer {
    char *data;      /* NULL until something is added */
    size_t length;   /* bytes in use */
    size_t capacity; /* bytes allocated, the NUL's place included */
    size_t maximum;  /* length never exceeds this */
    bool failed;     /* something did not fit; kept until buffer_reset */
};

void buffer_init(struct buffer *buffer, size_t maximum);
#define BUFFER_INIT(max) ((struct buffer){.maximum = (max)})
/* Frees the memory; the buffer may be used again with the same maximum. */
void buffer_free(struct buffer *buffer);
#define _cleanup_buffer_ _cleanup_(buffer_free)
/* Empties it and keeps the memory. */
void buffer_reset(struct buffer *buffer);

/*
 * All of these return 0, or -ERROR_LIMIT when the maximum would be passed; then the buffer is
 * unchanged but for `failed`, so that a run of appends may be checked once, at its end.
 */
int buffer_append(struct buffer *buffer, const void *bytes, size_t length);
int buffer_append_string(struct buffer *buffer, const char *text);
int buffer_append_byte(struct buffer *buffer, uint8_t byte);
int buffer_printf(struct buffer *buffer, const char *format, ...) reeve_printf(2, 3);
int buffer_vprintf(struct buffer *buffer, const char *format, va_list arguments) reeve_printf(2, 0);
/* Text from elsewhere, with control characters (C0 but for newlines that are kept, DEL, and C1 in
 * UTF-8) as \x.., so that a terminal does not obey it. Check `failed`. */
void buffer_append_escaped(struct buffer *buffer, const char *text, bool keep_lines);
/* Makes room for `length` more bytes and returns where they go (NULL past the maximum). */
char *buffer_reserve(struct buffer *buffer, size_t length);
/* Counts bytes written to the place that buffer_reserve gave. */
void buffer_commit(struct buffer *buffer, size_t length);
/* Removes bytes from the front. */
void buffer_consume(struct buffer *buffer, size_t length);
/* The text, never NULL. */
const char *buffer_string(const struct buffer *buffer);
/* Hands the memory over as a NUL-terminated string (free with free) and empties the buffer. */
char *buffer_take(struct buffer *buffer);

#endif

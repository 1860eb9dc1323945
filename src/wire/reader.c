#include "wire/message.h"

#include <endian.h>

struct wire_reader wire_reader_of(const char *body, size_t length)
{
    if (!body) /* so that no arithmetic is done on NULL */
        return (struct wire_reader){"", "", length > 0};
    return (struct wire_reader){body, body + length, false};
}

size_t wire_reader_left(const struct wire_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* The next bytes, or NULL; a failure leaves nothing, so every later read fails as well. */
static const char *take(struct wire_reader *reader, size_t length)
{
    if (reader->failed || length > wire_reader_left(reader)) {
        reader->failed = true;
        reader->at = reader->end;
        return NULL;
    }
    const char *bytes = reader->at;
    reader->at += length;
    return bytes;
}

uint8_t wire_read_u8(struct wire_reader *reader)
{
    const char *bytes = take(reader, 1);
    return bytes ? (uint8_t)bytes[0] : 0;
}

int16_t wire_read_i16(struct wire_reader *reader)
{
    uint16_t value = 0;
    const char *bytes = take(reader, sizeof(value));
    if (bytes)
        memcpy(&value, bytes, sizeof(value));
    return (int16_t)be16toh(value);
}

int32_t wire_read_i32(struct wire_reader *reader)
{
    uint32_t value = 0;
    const char *bytes = take(reader, sizeof(value));
    if (bytes)
        memcpy(&value, bytes, sizeof(value));
    return (int32_t)be32toh(value);
}

const char *wire_read_cstring(struct wire_reader *reader)
{
    size_t left = wire_reader_left(reader);
    size_t length = strnlen(reader->at, left);
    /* Without a terminator one byte more than there is is asked for, which fails. */
    const char *text = take(reader, length + 1);
    return text ? text : "";
}

struct str wire_read_bytes(struct wire_reader *reader, size_t length)
{
    const char *bytes = take(reader, length);
    return bytes ? (struct str){bytes, length} : (struct str){"", 0};
}

static void keep_first(const char **field, const char *text)
{
    if (!*field)
        *field = text;
}

void wire_error_read(const char *body, size_t length, struct wire_error_fields *ret)
{
    struct wire_error_fields fields = {0};
    const char *localized_severity = NULL;
    struct wire_reader reader = wire_reader_of(body, length);
    for (;;) {
        char code = (char)wire_read_u8(&reader);
        const char *text = code ? wire_read_cstring(&reader) : NULL;
        if (!code || reader.failed)
            break;
        if (code == 'V')
            keep_first(&fields.severity, text);
        else if (code == 'S')
            keep_first(&localized_severity, text);
        else if (code == 'C')
            keep_first(&fields.sqlstate, text);
        else if (code == 'M')
            keep_first(&fields.message, text);
        else if (code == 'D')
            keep_first(&fields.detail, text);
        else if (code == 'H')
            keep_first(&fields.hint, text);
        else if (code == 'W')
            keep_first(&fields.context, text);
    }
    /* S is translated by lc_messages; V, since PostgreSQL 9.6, never is. */
    if (!fields.severity)
        fields.severity = localized_severity;
    *ret = fields;
}

#include "pg/result.h"

#include <inttypes.h>
#include <libpq-fe.h>

#include "base/buffer.h"
#include "base/str.h"

enum { ARRAY_TEXT_MAX = 1 << 28 };

struct pg_result *pg_result_free(struct pg_result *result)
{
    PQclear(result);
    return NULL;
}

size_t pg_rows(const struct pg_result *result)
{
    return (size_t)PQntuples(result);
}

size_t pg_columns(const struct pg_result *result)
{
    return (size_t)PQnfields(result);
}

int64_t pg_affected(const struct pg_result *result)
{
    int64_t count = 0;
    /* libpq does not write to the result here; its prototype only says so. */
    if (!str_to_i64(PQcmdTuples((PGresult *)(uintptr_t)result), 0, INT64_MAX, &count))
        return 0;
    return count;
}

bool pg_is_null(const struct pg_result *result, size_t row, size_t column)
{
    if (row >= pg_rows(result) || column >= pg_columns(result))
        return true;
    return PQgetisnull(result, (int)row, (int)column) != 0;
}

const char *pg_text(const struct pg_result *result, size_t row, size_t column)
{
    return pg_is_null(result, row, column) ? NULL : PQgetvalue(result, (int)row, (int)column);
}

const char *pg_text_copy(const struct pg_result *result, size_t row, size_t column,
                         struct arena *arena)
{
    const char *text = pg_text(result, row, column);
    return text ? arena_strdup(arena, text) : NULL;
}

int64_t pg_i64(const struct pg_result *result, size_t row, size_t column)
{
    const char *text = pg_text(result, row, column);
    int64_t value = 0;
    if (!text || !str_to_i64(text, INT64_MIN, INT64_MAX, &value))
        return 0;
    return value;
}

bool pg_bool(const struct pg_result *result, size_t row, size_t column)
{
    const char *text = pg_text(result, row, column);
    return text && text[0] == 't';
}

static int nibble(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return -1;
}

static int decode(const char *text, uint8_t *ret_bytes, size_t length, struct error *err)
{
    for (size_t i = 0; i < length; i++) {
        int high = nibble(text[2 * i]);
        int low = high < 0 ? -1 : nibble(text[2 * i + 1]);
        if (low < 0)
            return error_set(err, ERROR_INVALID, "the server's value is not a bytea");
        ret_bytes[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

/* The digits of a bytea in hexadecimal form and how many bytes they are. */
static int find_digits(const struct pg_result *result, size_t row, size_t column,
                       const char **ret_digits, size_t *ret_length, struct error *err)
{
    const char *text = pg_text(result, row, column);
    if (!text)
        text = "\\x";
    size_t digits = strlen(text);
    if (!str_has_prefix(text, "\\x") || digits % 2 != 0)
        return error_set(err, ERROR_INVALID, "the server's value is not a bytea");
    *ret_digits = text + 2;
    *ret_length = (digits - 2) / 2;
    return 0;
}

int pg_bytea(const struct pg_result *result, size_t row, size_t column, void *ret_bytes,
             size_t size, size_t *ret_length, struct error *err)
{
    const char *digits = NULL;
    size_t length = 0;
    int r = find_digits(result, row, column, &digits, &length, err);
    if (r < 0)
        return r;
    if (length > size)
        return error_set(err, ERROR_LIMIT, "a bytea of %zu bytes is longer than %zu", length, size);
    r = decode(digits, ret_bytes, length, err);
    if (r == 0)
        *ret_length = length;
    return r;
}

int pg_bytea_copy(const struct pg_result *result, size_t row, size_t column, struct arena *arena,
                  const uint8_t **ret_bytes, size_t *ret_length, struct error *err)
{
    const char *digits = NULL;
    size_t length = 0;
    int r = find_digits(result, row, column, &digits, &length, err);
    if (r < 0)
        return r;
    uint8_t *bytes = arena_alloc(arena, length + 1);
    r = decode(digits, bytes, length, err);
    if (r == 0) {
        *ret_bytes = bytes;
        *ret_length = length;
    }
    return r;
}

const char *pg_from_i64(struct arena *arena, int64_t value)
{
    return arena_printf(arena, "%" PRId64, value);
}

const char *pg_from_bool(bool value)
{
    return value ? "t" : "f";
}

const char *pg_from_bytes(struct arena *arena, const void *bytes, size_t length)
{
    char *text = arena_alloc(arena, 2 * length + 3);
    text[0] = '\\';
    text[1] = 'x';
    str_hex(bytes, length, text + 2);
    return text;
}

const char *pg_from_i64_array(struct arena *arena, const int64_t *values, size_t count)
{
    enum { LONGEST = 21 }; /* a number and its comma */
    size_t size = count * LONGEST + 3;
    char *text = arena_alloc(arena, size);
    size_t length = 1;
    text[0] = '{';
    for (size_t i = 0; i < count; i++)
        length +=
            (size_t)snprintf(text + length, size - length, "%s%" PRId64, i ? "," : "", values[i]);
    snprintf(text + length, size - length, "}");
    return text;
}

static void append_element(struct buffer *buffer, const char *text)
{
    buffer_append_byte(buffer, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buffer_append_byte(buffer, '\\');
        buffer_append_byte(buffer, (uint8_t)*text);
    }
    buffer_append_byte(buffer, '"');
}

const char *pg_from_text_array(struct arena *arena, const char *const *values, size_t count)
{
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(ARRAY_TEXT_MAX);
    buffer_append_byte(&buffer, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_append_byte(&buffer, ',');
        append_element(&buffer, values[i]);
    }
    buffer_append_byte(&buffer, '}');
    return arena_strdup(arena, buffer_string(&buffer));
}

const char *pg_from_column(struct arena *arena, const struct pg_result *result, size_t column)
{
    size_t count = pg_rows(result);
    const char **values = arena_zalloc(arena, (count + 1) * sizeof(*values));
    for (size_t i = 0; i < count; i++)
        values[i] = pg_text(result, i, column);
    return pg_from_text_array(arena, values, count);
}

/* One element at *at into `target`; false when the text is malformed. Moves *at behind it. */
static bool take_element(const char **at, char *target)
{
    const char *c = *at;
    bool quoted = *c == '"';
    if (quoted)
        c++;
    while (*c && (quoted ? *c != '"' : *c != ',' && *c != '}')) {
        if (*c == '\\' && c[1])
            c++;
        *target++ = *c++;
    }
    *target = '\0';
    if (quoted && *c++ != '"')
        return false;
    *at = c;
    return *c == ',' || *c == '}';
}

int pg_text_array(const struct pg_result *result, size_t row, size_t column, struct arena *arena,
                  const char *const **ret, size_t *ret_count, struct error *err)
{
    const char *text = pg_text(result, row, column);
    const char *at = text ? text : "{}";
    size_t size = strlen(at);
    size_t count = 0;
    /* As many elements as commas and one, and none longer than what is left. */
    size_t most = 1;
    for (const char *c = at; *c; c++)
        most += *c == ',';
    const char **elements = arena_alloc(arena, most * sizeof(*elements));
    if (*at != '{')
        return error_set(err, ERROR_INVALID, "the server's value is not an array");
    if (str_equal_text(str_of(at), "{}"))
        at++;
    else
        do {
            at++;
            char *element = arena_alloc(arena, size + 1);
            if (count == most || !take_element(&at, element))
                return error_set(err, ERROR_INVALID, "the server's value is not an array of text");
            elements[count++] = element;
        } while (*at == ',');
    *ret = elements;
    *ret_count = count;
    return 0;
}

#include "base/buffer.h"

#include "base/error.h"
#include "base/failpoint.h"

void buffer_init(struct buffer *buffer, size_t maximum)
{
    *buffer = BUFFER_INIT(maximum);
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = BUFFER_INIT(buffer->maximum);
}

void buffer_reset(struct buffer *buffer)
{
    buffer->length = 0;
    buffer->failed = false;
    if (buffer->data)
        buffer->data[0] = '\0';
}

char *buffer_reserve(struct buffer *buffer, size_t length)
{
    /* No object is larger, so that no sum below can overflow. */
    const size_t largest = PTRDIFF_MAX - 1;
    size_t maximum = buffer->maximum < largest ? buffer->maximum : largest;
    if (length > maximum - buffer->length) {
        buffer->failed = true;
        return NULL;
    }
    size_t needed = buffer->length + length + 1;
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 64;
        while (capacity < needed)
            capacity *= 2;
        if (capacity > maximum + 1)
            capacity = maximum + 1;
        buffer->data = xrealloc(buffer->data, capacity);
        buffer->capacity = capacity;
        buffer->data[buffer->length] = '\0'; /* nothing may come to the place that is given */
    }
    return buffer->data + buffer->length;
}

void buffer_commit(struct buffer *buffer, size_t length)
{
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
}

int buffer_append(struct buffer *buffer, const void *bytes, size_t length)
{
    char *place = buffer_reserve(buffer, length);
    if (!place)
        return -ERROR_LIMIT;
    if (length > 0)
        memcpy(place, bytes, length);
    buffer_commit(buffer, length);
    return 0;
}

int buffer_append_string(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, text, strlen(text));
}

int buffer_append_byte(struct buffer *buffer, uint8_t byte)
{
    return buffer_append(buffer, &byte, 1);
}

int buffer_vprintf(struct buffer *buffer, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *place = length < 0 ? NULL : buffer_reserve(buffer, (size_t)length);
    if (!place) {
        buffer->failed = true;
        return -ERROR_LIMIT;
    }
    vsnprintf(place, (size_t)length + 1, format, arguments);
    buffer_commit(buffer, (size_t)length);
    return 0;
}

int buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = buffer_vprintf(buffer, format, arguments);
    va_end(arguments);
    return result;
}

void buffer_consume(struct buffer *buffer, size_t length)
{
    if (length >= buffer->length) {
        buffer->length = 0;
    } else {
        memmove(buffer->data, buffer->data + length, buffer->length - length);
        buffer->length -= length;
    }
    if (buffer->data)
        buffer->data[buffer->length] = '\0';
}

const char *buffer_string(const struct buffer *buffer)
{
    return buffer->data ? buffer->data : "";
}

char *buffer_take(struct buffer *buffer)
{
    char *text = buffer->data ? buffer->data : xstrdup("");
    *buffer = BUFFER_INIT(buffer->maximum);
    return text;
}

void buffer_append_escaped(struct buffer *buffer, const char *text, bool keep_lines)
{
    if (mutation("base.escape")) {
        buffer_append_string(buffer, text);
        return;
    }
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '\n' && !keep_lines)
            buffer_append_string(buffer, "\\n");
        else if (c == '\n')
            buffer_append_byte(buffer, c);
        else if (c < 0x20 || c == 0x7F)
            buffer_printf(buffer, "\\x%02x", c);
        else if (c == 0xC2 && ((unsigned char)text[1] & 0xE0) == 0x80)
            buffer_printf(buffer, "\\xc2\\x%02x", (unsigned char)*++text); /* C1 */
        else
            buffer_append_byte(buffer, c);
    }
}

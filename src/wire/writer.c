#include "wire/message.h"

#include <endian.h>

#include "wire/sqlstate.h"

size_t wire_begin(struct buffer *out, char type)
{
    size_t mark = out->length;
    buffer_append_byte(out, (uint8_t)type);
    wire_put_i32(out, 0); /* the length's place */
    return mark;
}

/* Takes back what was written of a message, so that the buffer holds whole messages alone. */
static void abandon(struct buffer *out, size_t mark)
{
    out->failed = true;
    if (out->length > mark) {
        out->length = mark;
        out->data[mark] = '\0';
    }
}

void wire_end(struct buffer *out, size_t mark)
{
    if (out->failed || out->length - mark - 1 > WIRE_MAX_MESSAGE) {
        abandon(out, mark);
        return;
    }
    uint32_t length = htobe32((uint32_t)(out->length - mark - 1));
    memcpy(out->data + mark + 1, &length, sizeof(length));
}

void wire_put_i16(struct buffer *out, int16_t value)
{
    uint16_t bytes = htobe16((uint16_t)value);
    buffer_append(out, &bytes, sizeof(bytes));
}

void wire_put_i32(struct buffer *out, int32_t value)
{
    uint32_t bytes = htobe32((uint32_t)value);
    buffer_append(out, &bytes, sizeof(bytes));
}

void wire_put_cstring(struct buffer *out, const char *text)
{
    buffer_append(out, text, strlen(text) + 1);
}

void wire_put_empty(struct buffer *out, char type)
{
    wire_end(out, wire_begin(out, type));
}

void wire_put_ready_for_query(struct buffer *out, char status)
{
    size_t mark = wire_begin(out, 'Z');
    buffer_append_byte(out, (uint8_t)status);
    wire_end(out, mark);
}

void wire_put_parameter_status(struct buffer *out, const char *name, const char *value)
{
    size_t mark = wire_begin(out, 'S');
    wire_put_cstring(out, name);
    wire_put_cstring(out, value);
    wire_end(out, mark);
}

void wire_put_backend_key_data(struct buffer *out, int32_t pid, const void *secret, size_t length)
{
    size_t mark = wire_begin(out, 'K');
    wire_put_i32(out, pid);
    buffer_append(out, secret, length);
    wire_end(out, mark);
}

static void put_text(struct buffer *out, char type, const char *text)
{
    size_t mark = wire_begin(out, type);
    wire_put_cstring(out, text);
    wire_end(out, mark);
}

void wire_put_command_complete(struct buffer *out, const char *tag)
{
    put_text(out, 'C', tag);
}

static void put_field(struct buffer *out, char code, const char *text)
{
    buffer_append_byte(out, (uint8_t)code);
    wire_put_cstring(out, text);
}

static void put_fields(struct buffer *out, char type, const struct wire_error_fields *fields)
{
    size_t mark = wire_begin(out, type);
    put_field(out, 'S', fields->severity);
    put_field(out, 'V', fields->severity);
    put_field(out, 'C', fields->sqlstate ? fields->sqlstate : SQLSTATE_INTERNAL_ERROR);
    put_field(out, 'M', fields->message ? fields->message : "");
    if (fields->detail && *fields->detail)
        put_field(out, 'D', fields->detail);
    if (fields->hint && *fields->hint)
        put_field(out, 'H', fields->hint);
    buffer_append_byte(out, 0);
    wire_end(out, mark);
}

/* NULL is taken for severity, sqlstate and message as well: a server's error, passed on, may lack
 * any of them. */
void wire_put_error(struct buffer *out, const char *severity, const char *sqlstate,
                    const char *message, const char *detail, const char *hint)
{
    put_fields(out, 'E',
               &(struct wire_error_fields){.severity = severity ? severity : "ERROR",
                                           .sqlstate = sqlstate,
                                           .message = message,
                                           .detail = detail,
                                           .hint = hint});
}

void wire_put_notice(struct buffer *out, const char *severity, const char *sqlstate,
                     const char *message, const char *hint)
{
    put_fields(out, 'N',
               &(struct wire_error_fields){.severity = severity ? severity : "NOTICE",
                                           .sqlstate = sqlstate,
                                           .message = message,
                                           .hint = hint});
}

void wire_put_authentication(struct buffer *out, int32_t kind, const void *data, size_t length)
{
    size_t mark = wire_begin(out, 'R');
    wire_put_i32(out, kind);
    buffer_append(out, data, length);
    wire_end(out, mark);
}

/* The manual speaks of the minor version; servers send, and libpq reads, the whole one. */
void wire_put_negotiate_version(struct buffer *out, uint32_t version,
                                const struct wire_startup *startup)
{
    int32_t count = 0;
    for (size_t i = 0; i < startup->parameter_count; i++)
        count += str_has_prefix(startup->parameters[i].name, "_pq_.");

    size_t mark = wire_begin(out, 'v');
    wire_put_i32(out, (int32_t)version);
    wire_put_i32(out, count);
    for (size_t i = 0; i < startup->parameter_count; i++) {
        if (str_has_prefix(startup->parameters[i].name, "_pq_."))
            wire_put_cstring(out, startup->parameters[i].name);
    }
    wire_end(out, mark);
}

void wire_put_query(struct buffer *out, const char *sql)
{
    put_text(out, 'Q', sql);
}

void wire_put_parse(struct buffer *out, const char *name, const char *sql, const void *type_oids,
                    size_t type_count)
{
    size_t mark = wire_begin(out, 'P');
    wire_put_cstring(out, name);
    wire_put_cstring(out, sql);
    if (type_count > UINT16_MAX) {
        abandon(out, mark);
        return;
    }
    wire_put_i16(out, (int16_t)(uint16_t)type_count);
    buffer_append(out, type_oids, type_count * 4);
    wire_end(out, mark);
}

void wire_put_close_statement(struct buffer *out, const char *name)
{
    size_t mark = wire_begin(out, 'C');
    buffer_append_byte(out, 'S');
    wire_put_cstring(out, name);
    wire_end(out, mark);
}

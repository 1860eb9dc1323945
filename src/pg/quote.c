#include "pg/quote.h"

#include "base/error.h"
#include "base/failpoint.h"

/* Whoever needs more than this passes a buffer of their own. */
enum { QUOTED_MAX = 16 << 20 };

/* Text with every `quote` doubled, and backslashes too when `escape`, between quotes. */
static int append_quoted(struct buffer *buffer, const char *text, char quote, bool escape)
{
    buffer_append_byte(buffer, (uint8_t)quote);
    while (*text) {
        size_t plain = strcspn(text, escape ? "'\\" : quote == '"' ? "\"" : "'");
        buffer_append(buffer, text, plain);
        text += plain;
        if (!*text)
            break;
        if (!mutation("pg.quote"))
            buffer_append_byte(buffer, (uint8_t)*text);
        buffer_append_byte(buffer, (uint8_t)*text++);
    }
    buffer_append_byte(buffer, (uint8_t)quote);
    return buffer->failed ? -ERROR_LIMIT : 0;
}

int pg_quote_identifier(struct buffer *buffer, const char *name)
{
    return append_quoted(buffer, name, '"', false);
}

int pg_quote_qualified(struct buffer *buffer, const char *schema, const char *name)
{
    pg_quote_identifier(buffer, schema);
    buffer_append_byte(buffer, '.');
    return pg_quote_identifier(buffer, name);
}

int pg_quote_literal(struct buffer *buffer, const char *text)
{
    if (!text)
        return buffer_append_string(buffer, "NULL");
    bool escape = strchr(text, '\\') != NULL;
    /* The blank keeps the E apart from a word in front of it. */
    if (escape)
        buffer_append_string(buffer, " E");
    return append_quoted(buffer, text, '\'', escape);
}

const char *pg_identifier(struct arena *arena, const char *name)
{
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(QUOTED_MAX);
    pg_quote_identifier(&buffer, name);
    return arena_strdup(arena, buffer_string(&buffer));
}

const char *pg_qualified(struct arena *arena, const char *schema, const char *name)
{
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(QUOTED_MAX);
    pg_quote_qualified(&buffer, schema, name);
    return arena_strdup(arena, buffer_string(&buffer));
}

const char *pg_literal(struct arena *arena, const char *text)
{
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(QUOTED_MAX);
    pg_quote_literal(&buffer, text);
    return arena_strdup(arena, buffer_string(&buffer));
}

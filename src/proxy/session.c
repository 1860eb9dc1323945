/*
 * session.c - a client's session settings, carried from backend to backend.
 *
 * In front of a client's first message on a backend whose settings are other than its own, one
 * simple query resets everything and sets the client's. The client's messages wait until the server
 * has answered: what stands behind a query that fails runs all the same. (Under the guard enter.c
 * does this, and nothing waits.) After a transaction that may have changed settings, another asks
 * which are in force, and they are the client's from then on.
 *
 * What changes settings is found by the words of a text, ParameterStatus and command tags. The
 * server does not list settings with a dot that nobody has defined ("app.user"): their names are
 * taken from the client's own texts and parameters. After a text that may have set anything the
 * session is reset before another client of the tenant gets it (`settings_of`). What escapes all
 * this (a function that calls set_config by itself, a name spelled with escapes) stays in the
 * backend for the same tenant's next client; under login enforcement no backend ever meets another
 * tenant.
 */
#include <ctype.h>
#include <strings.h>

#include "base/log.h"
#include "proxy/backend.h"
#include "wire/sqlstate.h"

enum { CUSTOM_NAMES_MAX = 32, RETRIES_MAX = 3 };

#define LISTENING " " /* among captured settings: no setting has this name */

bool session_setting_allowed(const char *name)
{
    static const char *const refused[] = {
        "role",
        "session_authorization",
        "is_superuser",
        "replication",
        "transaction_isolation",
        "transaction_read_only",
        "transaction_deferrable",
        "session_replication_role",
    };
    if (mutation("proxy.settings"))
        return true;
    for (size_t i = 0; i < array_size(refused); i++) {
        if (strcasecmp(name, refused[i]) == 0)
            return false;
    }
    size_t length = strlen(name);
    bool good = length > 0 && length <= PAIRS_MAX_NAME;
    for (size_t i = 0; good && i < length; i++)
        good =
            isalnum((unsigned char)name[i]) || name[i] == '_' || name[i] == '.' || name[i] == '$';
    return good;
}

/* One code point of text that is known to be UTF-8. */
static uint32_t next_code_point(const char **at)
{
    const unsigned char *byte = (const unsigned char *)*at;
    int more = *byte >= 0xF0 ? 3 : *byte >= 0xE0 ? 2 : *byte >= 0xC0 ? 1 : 0;
    uint32_t value = more == 0 ? *byte : *byte & (0x3Fu >> more);
    for (int i = 1; i <= more; i++)
        value = value << 6 | (byte[i] & 0x3Fu);
    *at += more + 1;
    return value;
}

/* An escape string: it means the same whatever standard_conforming_strings and client_encoding are.
 */
static void put_literal(struct buffer *out, const char *text)
{
    buffer_append_string(out, "E'");
    while (*text) {
        uint32_t point = next_code_point(&text);
        /* Octal for quotes too: the client before may have set backslash_quote. */
        if (point < 0x20 || point == 0x7F || point == '\'' || point == '\\')
            buffer_printf(out, "\\%03o", point);
        else if (point < 0x80)
            buffer_append_byte(out, (uint8_t)point);
        else
            buffer_printf(out, "\\U%08X", point);
    }
    buffer_append_string(out, "'");
}

/* A query of our own, whose answer is not the client's. It takes the server's unnamed statement
 * away. */
static void ask(struct backend *backend, const char *sql, enum expect_action action)
{
    struct buffer *out = &backend->worker->scratch;
    wire_put_query(out, sql);
    stream_write(backend->stream, buffer_string(out), out->length);
    stream_flush(backend->stream);
    buffer_reset(out);
    expect_push(&backend->expected, &(struct expect){.kind = EXPECT_QUERY, .action = action});
    statement_unref(backend->unnamed);
    backend->unnamed = NULL;
    backend->unnamed_client = 0;
}

bool session_is_unsettled(const struct backend *backend)
{
    const struct expect *last = expect_last(&backend->expected);
    return last && (last->action == EXPECT_SETTINGS || last->action == EXPECT_CAPTURE);
}

void session_enter(struct backend *backend, struct client *client)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(8 * PAIRS_MAX_BYTES);
    if (backend->settings->count > 0 || backend->settings_of != 0)
        buffer_append_string(&sql, "RESET ROLE; RESET ALL; ");
    backend->settings_of = 0;
    const struct pairs *settings = client->settings;
    for (size_t i = 0; i < settings->count; i++) {
        buffer_append_string(&sql,
                             i == 0 ? "SELECT pg_catalog.set_config(" : ", pg_catalog.set_config(");
        put_literal(&sql, settings->items[i].name);
        buffer_append_string(&sql, ", ");
        put_literal(&sql, settings->items[i].value);
        buffer_append_string(&sql, ", false)");
    }
    pairs_replace(&backend->settings, pairs_ref(client->settings));
    ask(backend, buffer_string(&sql), EXPECT_SETTINGS);
}

void session_checked(struct backend *backend)
{
    struct client *client = backend->client;
    client->checking_settings = false;
    client->settings_retries = 0;
    pool_remember(backend->pool, client->read_only, client->settings, backend->parameters);
    pairs_replace(&client->parameters, pairs_ref(backend->parameters));
    login_finish(client);
    backend_transaction_ended(backend);
}

void session_entered(struct backend *backend)
{
    if (backend->client)
        backend->client->settings_retries = 0;
    backend_tell_parameters(backend);
}

/* Not the settings' fault: the time limit of the session before, or a cancel request that came
 * late. Nothing of the client's was sent yet, so another backend will do. */
static bool may_retry(struct client *client, const struct wire_error_fields *fields)
{
    return fields->sqlstate && strcmp(fields->sqlstate, SQLSTATE_QUERY_CANCELED) == 0 &&
           client->settings_retries++ < RETRIES_MAX;
}

void session_refused(struct backend *backend, const struct wire_error_fields *fields)
{
    struct client *client = backend->client;
    backend_unlink(backend);
    backend->tainted = true;
    if (client && may_retry(client, fields)) {
        client_set_state(client, CLIENT_IDLE);
        backend_close(backend);
        pool_checkout(client);
        return;
    }
    if (client) {
        client_fail(client, fields->sqlstate ? fields->sqlstate : "XX000",
                    fields->message ? fields->message : "the session's settings were refused",
                    fields->hint);
    }
    backend_close(backend);
}

/* ---- capturing ---- */

void session_capture(struct backend *backend)
{
    struct client *client = backend->client;
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(64 * 1024);
    /* The client's own statement_timeout must not end this: it is noted in a query that takes no
     * time, and taken out of force. The row without a name says what it is without the client. */
    buffer_append_string(&sql, "SELECT 'statement_timeout', "
                               "pg_catalog.current_setting('statement_timeout');"
                               " SET LOCAL statement_timeout = 0;"
                               " SELECT name, setting FROM pg_catalog.pg_settings"
                               " WHERE source = 'session' AND name <> 'statement_timeout'"
                               " UNION ALL SELECT '',"
                               " pg_catalog.set_config('statement_timeout', reset_val, true)"
                               " FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'"
                               " UNION ALL SELECT 'role', pg_catalog.current_setting('role')"
                               " WHERE pg_catalog.current_setting('role') <> 'none'");
    if (client->listens)
        buffer_append_string(&sql,
                             " UNION ALL SELECT '" LISTENING "', ''"
                             " WHERE EXISTS (SELECT FROM pg_catalog.pg_listening_channels())");
    list_for_each (link, &client->custom_names) {
        const char *name = list_entry(link, struct custom_name, link)->name;
        buffer_append_string(&sql, " UNION ALL SELECT ");
        put_literal(&sql, name);
        buffer_append_string(&sql, ", pg_catalog.current_setting(");
        put_literal(&sql, name);
        buffer_append_string(&sql, ", true) WHERE pg_catalog.current_setting(");
        put_literal(&sql, name);
        buffer_append_string(&sql, ", true) <> ''");
    }
    backend->settings_dirty = false;
    backend->captured_count = 0;
    backend->captured_listening = false;
    backend->capture_overflow = false;
    ask(backend, buffer_string(&sql), EXPECT_CAPTURE);
}

void session_free_captured(struct backend *backend)
{
    for (size_t i = 0; i < backend->captured_count; i++) {
        free((char *)backend->captured[i].name);
        free((char *)backend->captured[i].value);
    }
    backend->captured_count = 0;
}

static char *read_column(struct wire_reader *reader)
{
    int32_t length = wire_read_i32(reader);
    struct str value = wire_read_bytes(reader, length > 0 ? (size_t)length : 0);
    if (reader->failed || memchr(value.data ? value.data : "", '\0', value.length) ||
        !str_is_utf8(value.data, value.length))
        return NULL;
    return xstrndup(value.data, value.length);
}

void session_capture_failed(struct backend *backend, const struct wire_error_fields *fields)
{
    backend->capture_again = fields->sqlstate &&
                             strcmp(fields->sqlstate, SQLSTATE_QUERY_CANCELED) == 0 &&
                             backend->capture_retries++ < RETRIES_MAX;
    backend->capture_overflow = true;
}

/* The first row is the statement_timeout, the one without a name what it would be if the client had
 * not set it. */
static void take_timeout(struct backend *backend, const char *unset)
{
    struct pair *first = backend->captured;
    if (backend->captured_count == 0 || strcmp(first->value, unset) != 0)
        return;
    free((char *)first->name);
    free((char *)first->value);
    *first = backend->captured[--backend->captured_count];
}

void session_captured_row(struct backend *backend, const char *body, size_t length)
{
    struct wire_reader reader = wire_reader_of(body, length);
    int16_t columns = wire_read_i16(&reader);
    char *name = columns == 2 ? read_column(&reader) : NULL;
    char *value = name ? read_column(&reader) : NULL;
    if (value && *name == '\0') {
        take_timeout(backend, value);
        free(name);
        free(value);
        return;
    }
    if (value && strcmp(name, LISTENING) == 0) {
        backend->captured_listening = true;
        free(name);
        free(value);
        return;
    }
    if (!value || backend->captured_count == PAIRS_MAX) {
        backend->capture_overflow = true;
        free(name);
        free(value);
        return;
    }
    backend->captured[backend->captured_count++] = (struct pair){name, value};
}

void session_captured(struct backend *backend)
{
    struct client *client = backend->client;
    struct pairs *settings =
        backend->capture_overflow
            ? NULL
            : pairs_make(&backend->worker->pairs, backend->captured, backend->captured_count);
    session_free_captured(backend);
    if (backend->capture_again) {
        backend->capture_again = false;
        backend->settings_dirty = true;
        return;
    }
    backend->capture_retries = 0;
    if (!settings) {
        /* More than can be carried: the session stays with the client. */
        backend->tainted = true;
        if (client)
            client->pinned = true;
        return;
    }
    if (client) {
        pairs_replace(&client->settings, pairs_ref(settings));
        client->listens &= backend->captured_listening;
    }
    pairs_replace(&backend->settings, settings);
}

/* ---- settings with a dot: pg_settings does not show them ---- */

/* What cannot be noted could not be carried: then the session stays with the client. */
static void note_name(struct client *client, const char *name, size_t length)
{
    list_for_each (link, &client->custom_names) {
        const char *known = list_entry(link, struct custom_name, link)->name;
        if (strlen(known) == length && strncasecmp(known, name, length) == 0)
            return;
    }
    if (client->custom_name_count == CUSTOM_NAMES_MAX || length > PAIRS_MAX_NAME) {
        client->pinned = true;
        return;
    }
    struct custom_name *noted = xmalloc(sizeof(*noted) + length + 1);
    memcpy(noted->name, name, length);
    noted->name[length] = '\0';
    list_append(&client->custom_names, &noted->link);
    client->custom_name_count++;
}

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

void session_note_names(struct client *client, const char *text, size_t length)
{
    const char *end = text + length;
    const char *next = text; /* never moves back: the text is gone through once */
    const char *dot;
    while ((dot = memchr(next, '.', (size_t)(end - next))) != NULL) {
        const char *first = dot;
        next = dot + 1;
        while (first > text && is_name_byte(first[-1]))
            first--;
        if (first == dot || isdigit((unsigned char)*first))
            continue;
        while (next < end && (is_name_byte(*next) || *next == '.'))
            next++;
        const char *last = next;
        while (last > dot && last[-1] == '.')
            last--;
        if (last > dot)
            note_name(client, first, (size_t)(last - first));
    }
}

void session_free_names(struct client *client)
{
    list_for_each_safe (link, &client->custom_names)
        free(list_entry(link, struct custom_name, link));
    list_init(&client->custom_names);
    client->custom_name_count = 0;
}

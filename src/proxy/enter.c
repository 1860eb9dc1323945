/*
 * enter.c - a shared backend becomes one tenant's, in front of its client's first message.
 *
 * Three messages and no round trip (guard/session.c says why they are these): an empty Flush, which
 * leaves the tenant before and cannot fail; Close of the unnamed statement; a FunctionCall of
 * reeve.enter. The client's messages follow at once. When entering fails, the server has run them
 * as nobody, or ended; both connections are closed and nothing of it is passed on.
 *
 * A backend that served the same place last, with the same settings, is not entered again.
 */
#include <arpa/inet.h>

#include "base/log.h"
#include "proxy/backend.h"
#include "proxy/place.h"
#include "proxy/prepare.h"
#include "wire/sqlstate.h"

/* ---- which places it has been on ---- */

static size_t touched_slot(const struct backend *backend, int64_t placement_id)
{
    size_t at = (size_t)hash_u64((uint64_t)placement_id) & (backend->touched_size - 1);
    while (backend->touched[at] != 0 && backend->touched[at] != placement_id)
        at = (at + 1) & (backend->touched_size - 1);
    return at;
}

bool backend_has_touched(const struct backend *backend, const struct place *place)
{
    return backend->touched_size > 0 &&
           backend->touched[touched_slot(backend, place->placement_id)] != 0;
}

static void grow_touched(struct backend *backend)
{
    int64_t *old = backend->touched;
    size_t old_size = backend->touched_size;
    backend->touched_size = old_size ? 2 * old_size : 16;
    backend->touched = xcalloc(backend->touched_size, sizeof(*backend->touched));
    for (size_t i = 0; i < old_size; i++) {
        if (old[i] != 0)
            backend->touched[touched_slot(backend, old[i])] = old[i];
    }
    free(old);
}

/* How many it may have been on: max_schemas, or up to a quarter less. */
static size_t schemas_maximum(const struct backend *backend)
{
    size_t maximum =
        (size_t)atomic_load_explicit(&backend->worker->proxy->max_schemas, memory_order_relaxed);
    return maximum - (size_t)(backend->chance % (maximum / 4 + 1));
}

bool backend_is_worn(const struct backend *backend)
{
    return backend->touched_count >= schemas_maximum(backend);
}

/* A server process keeps what it has read of every schema's tables as long as it lives. */
static void touch(struct backend *backend, const struct place *place)
{
    if (place->shared_tables || backend_has_touched(backend, place))
        return;
    if (2 * backend->touched_count >= backend->touched_size)
        grow_touched(backend);
    backend->touched[touched_slot(backend, place->placement_id)] = place->placement_id;
    backend->touched_count++;
}

/* ---- the message ---- */

static void put_argument(struct buffer *out, const void *bytes, size_t length)
{
    wire_put_i32(out, (int32_t)length);
    buffer_append(out, bytes, length);
}

static void put_i64_argument(struct buffer *out, int64_t value)
{
    uint32_t halves[] = {htonl((uint32_t)((uint64_t)value >> 32)), htonl((uint32_t)value)};
    put_argument(out, halves, sizeof(halves));
}

static void put_name(struct buffer *out, const char *text)
{
    buffer_append(out, text, strlen(text) + 1);
}

/* reeve.enter(key, tenant_id, flags, names): see guard/session.c. */
static void put_enter(struct buffer *out, const struct backend *backend, const struct place *place,
                      const struct pairs *settings)
{
    size_t mark = wire_begin(out, 'F');
    wire_put_i32(out, (int32_t)backend->connection.enter_function);
    wire_put_i16(out, 1);
    wire_put_i16(out, 1); /* all arguments are binary */
    wire_put_i16(out, 4);
    put_argument(out, backend->connection.guard_key, sizeof(backend->connection.guard_key));
    put_i64_argument(out, place->tenant_id);
    wire_put_i32(out, 4);
    wire_put_i32(out, (place->read_only ? 1 : 0) | (place->shared_tables ? 2 : 0));
    size_t length_at = out->length;
    wire_put_i32(out, 0);
    put_name(out, place->tenant);
    put_name(out, place->entry.role);
    put_name(out, place->entry.search_path);
    for (size_t i = 0; i < settings->count; i++) {
        put_name(out, settings->items[i].name);
        put_name(out, settings->items[i].value);
    }
    if (!out->failed) {
        uint32_t length = htonl((uint32_t)(out->length - length_at - 4));
        memcpy(out->data + length_at, &length, sizeof(length));
    }
    wire_put_i16(out, 1); /* a binary result: nothing */
    wire_end(out, mark);
}

static void send_enter(struct backend *backend, struct client *client, struct pairs *settings)
{
    struct place *place = client->place;
    struct buffer *out = &backend->worker->scratch;
    touch(backend, place);
    wire_put_empty(out, 'H');
    stream_write(backend->stream, buffer_string(out), out->length);
    buffer_reset(out);
    prepare_leave(backend);
    wire_put_close_statement(out, "");
    put_enter(out, backend, place, settings);
    stream_write(backend->stream, buffer_string(out), out->length);
    buffer_reset(out);
    expect_push(&backend->expected, &(struct expect){.kind = EXPECT_CLOSE, .action = EXPECT_ENTER});
    expect_push(&backend->expected,
                &(struct expect){.kind = EXPECT_FUNCTION_CALL, .action = EXPECT_ENTER});
    backend_set_place(backend, place);
    backend->settings_of = 0;
    statement_unref(backend->unnamed);
    backend->unnamed = NULL;
    backend->unnamed_client = client->serial;
    backend->unnamed_streamed = false;
    pairs_replace(&backend->settings, pairs_ref(settings));
    backend->batch_open = backend->reply_due = false;
    backend->pristine = true;
    if (settings == client->settings)
        prepare_entered(backend, client);
}

/* ---- entering ---- */

static bool is_entered(const struct backend *backend, const struct client *client,
                       const struct pairs *settings)
{
    const struct place *place = client->place;
    return backend->wanted_count == 0 && backend->place == place &&
           backend->entered_epoch == place->epoch && backend->settings == settings &&
           (backend->settings_of == 0 || backend->settings_of == client->serial);
}

void backend_enter(struct backend *backend, struct client *client)
{
    backend->must_enter = false;
    /* Settings that are still to be tried must not end the backend. */
    bool try = client->checking_settings;
    struct pairs *settings = try ? backend->worker->no_pairs : client->settings;
    bool entered =
        is_entered(backend, client, settings) || (backend->place && mutation("proxy.enter"));
    if (!entered)
        send_enter(backend, client, settings);
    if (try && client->settings->count > 0)
        session_enter(backend, client);
    else if (entered && try)
        session_checked(backend);
    else if (entered)
        backend_tell_parameters(backend);
}

void backend_enter_refused(struct backend *backend, const struct wire_error_fields *fields)
{
    struct client *client = backend->client;
    log_error("a session could not be entered tenant=%s placement=%lld: %s",
              client ? client->tenant : "-", client ? (long long)client->place->placement_id : 0LL,
              fields->message ? fields->message : "no message");
    backend_unlink(backend);
    backend->tainted = true;
    if (client) {
        client_fail(client, SQLSTATE_CONNECTION_FAILURE, "the server could not take the session",
                    "try again");
    }
    backend_close(backend);
}

#include "proxy/prepare.h"

#include <strings.h>

#include "proxy/place.h"

/* ---- what a Flush would be good for: see take_flush in from_client.c ---- */

void backend_note_sent(struct backend *backend, char type)
{
    if (type == 'P' || type == 'B' || type == 'D' || type == 'E')
        backend->batch_open = true;
    else if (type == 'C' || type == 'H')
        backend->reply_due = type == 'C';
    else if (type == 'Q' || type == 'F' || (type == 'S' && backend->copy != COPY_IN))
        backend->batch_open = backend->reply_due = false;
}

static void send(struct backend *backend)
{
    struct buffer *out = &backend->worker->scratch;
    backend_note_sent(backend, out->data[0]); /* one message, or several of a kind */
    stream_write(backend->stream, buffer_string(out), out->length);
    buffer_reset(out);
}

void prepare_send(struct client *client)
{
    send(client->backend);
}

/* ---- stores ---- */

/* Without what has no bearing on what a text means. */
static struct pairs *meaning_of(const struct pairs *settings)
{
    struct pair items[PAIRS_MAX];
    size_t count_ = 0;
    for (size_t i = 0; i < settings->count; i++) {
        if (strcasecmp(settings->items[i].name, "application_name") != 0)
            items[count_++] = settings->items[i];
    }
    return pairs_make(settings->store, items, count_);
}

/* Whether both are of the same place, or of the same places, whatever the settings. */
static bool same_places(const struct statement_store *store, const struct statement_store *other)
{
    return store->scope.id == other->scope.id && store->scope.shared == other->scope.shared &&
           store->scope.read_only == other->scope.read_only;
}

struct statement_store *prepare_store(struct client *client)
{
    struct place *place = client->place;
    if (!client->settings || (client->settings->count == 0 && !place->store->scope.shared))
        return place->store;
    if (client->store && client->store_settings == client->settings &&
        same_places(client->store, place->store))
        return client->store;
    struct pairs *meaning = meaning_of(client->settings);
    struct statement_scope scope = place->store->scope;
    scope.settings = meaning->count > 0 || scope.shared ? meaning : NULL;
    struct statement_store *store = statement_store_get(&client->worker->statements, &scope);
    pairs_unref(meaning);
    statement_store_unref(client->store);
    client->store = store;
    pairs_replace(&client->store_settings, pairs_ref(client->settings));
    return store;
}

static struct statement *intern_in(struct backend *backend, const struct statement_scope *scope,
                                   const struct statement *statement)
{
    struct statement_store *store = statement_store_get(&backend->worker->statements, scope);
    struct statement *copy = statement_intern(store, statement->definition, statement->length);
    statement_store_unref(store); /* the statement has it */
    return copy;
}

/* One that nobody else has, on this backend and until it is entered again. */
static struct statement *copy_for_turn(struct backend *backend, struct statement *statement)
{
    const struct statement_scope scope = {.id = (int64_t)backend->turn, .turn = true};
    struct statement *copy = intern_in(backend, &scope, statement);
    if (!copy->stands_for)
        copy->stands_for = statement_ref(statement);
    return copy;
}

/* One that no other client has. */
static struct statement *copy_for_client(struct client *client, const struct statement *statement)
{
    const struct statement_scope scope = {.id = (int64_t)client->serial, .client = true};
    return intern_in(client->backend, &scope, statement);
}

/* ---- LISTEN ---- */

/* A statement that fails in the server, so that the error is in its place in pipeline and
 * transaction. */
static const char listen_refused[] = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '0A000',"
                                     " MESSAGE = 'LISTEN is not supported in transaction pooling',"
                                     " HINT = 'channels of a database without the guard are "
                                     "everybody''s: a tenant with enforcement guard, or"
                                     " with a database of its own, can listen'; END $$";

/* ---- sending ---- */

static void put_definition(struct backend *backend, const char *name,
                           const struct statement *statement)
{
    const struct client *client = backend->client;
    struct buffer *out = &backend->worker->scratch;
    size_t mark = wire_begin(out, 'P');
    wire_put_cstring(out, name);
    size_t sent = 0;
    if ((statement->flags & TEXT_LISTENS) && !(client && client->place->may_listen)) {
        sent = strlen(statement->definition);
        buffer_append(out, statement->definition, text_before_listen(statement->definition, sent));
        buffer_append_string(out, listen_refused);
    }
    buffer_append(out, statement->definition + sent, statement->length - sent);
    wire_end(out, mark);
    send(backend);
}

static void send_close(struct backend *backend, struct statement *statement)
{
    char server_name[STATEMENT_SERVER_NAME_SIZE];
    statement_server_name(statement, server_name);
    wire_put_close_statement(&backend->worker->scratch, server_name);
    send(backend);
    expect_push(
        &backend->expected,
        &(struct expect){.kind = EXPECT_CLOSE, .action = EXPECT_SWALLOW, .statement = statement});
}

static void send_parse(struct backend *backend, struct statement *statement,
                       struct client_statement *name, enum expect_action action)
{
    char server_name[STATEMENT_SERVER_NAME_SIZE];
    if (backend_statements_stale(&backend->statements, statement))
        send_close(backend, statement);
    statement_server_name(statement, server_name);
    put_definition(backend, server_name, statement);
    expect_push(&backend->expected,
                &(struct expect){
                    .kind = EXPECT_PARSE, .action = action, .statement = statement, .name = name});
    backend_statements_add(&backend->statements, statement);
    size_t maximum =
        (size_t)atomic_load_explicit(&backend->worker->proxy->max_prepared, memory_order_relaxed);
    struct statement *evicted = backend_statements_evict(&backend->statements, maximum);
    if (!evicted)
        return;
    send_close(backend, evicted);
    statement_unref(evicted);
}

void prepare_apart(struct backend *backend, struct statement *statement)
{
    send_parse(backend, statement, NULL, EXPECT_PRIVATE);
    wire_put_empty(&backend->worker->scratch, 'S');
    send(backend);
    expect_push(&backend->expected,
                &(struct expect){.kind = EXPECT_SYNC, .action = EXPECT_PRIVATE});
}

/* ---- placeholders ---- */

enum { INT4_TYPE = 23 };

/* An empty text with so many parameters that they tell it from the others; the caller's. */
static struct statement *placeholder(struct backend *backend, size_t number)
{
    const struct statement_scope scope = {.placeholders = true};
    struct statement_store *store = statement_store_get(&backend->worker->statements, &scope);
    struct buffer definition = BUFFER_INIT(1 + 2 + 4 * TEXT_DEALLOCATES_MAX);
    buffer_append_byte(&definition, '\0');
    wire_put_i16(&definition, (int16_t)number);
    for (size_t i = 0; i < number; i++)
        wire_put_i32(&definition, INT4_TYPE);
    struct statement *found =
        statement_intern(store, buffer_string(&definition), definition.length);
    statement_store_unref(store); /* the statement has it */
    buffer_free(&definition);
    return found;
}

static struct statement *prepare_placeholder(struct client *client, size_t number, bool apart)
{
    struct backend *backend = client->backend;
    struct statement *found = placeholder(backend, number);
    if (!backend_statements_touch(&backend->statements, found)) {
        if (apart)
            prepare_apart(backend, found);
        else
            send_parse(backend, found, NULL, EXPECT_SWALLOW);
    }
    statement_unref(found); /* the backend has it */
    return found;
}

void prepare_placeholder_gone(struct backend *backend, size_t number)
{
    struct statement *found = placeholder(backend, number);
    backend_statements_drop(&backend->statements, found);
    statement_unref(found);
}

/* ---- texts that cannot be sent as they are ---- */

/* Writes the text with placeholders for the names that it deallocates, which `names` are. What
 * looks like a name of the proxy's own is nobody's. */
static void put_deallocating(struct client *client, struct buffer *out, const char *text,
                             size_t length, const struct client_names *names, bool apart)
{
    struct text_deallocate found = {0};
    size_t written = 0;
    size_t next = 0;
    while (text_next_deallocate(text, length, &found)) {
        char server_name[STATEMENT_SERVER_NAME_SIZE] = "\"?reeve_\"";
        bool known =
            names && next < names->count && strcmp(names->items[next]->name, found.name) == 0;
        if (known)
            statement_server_name(prepare_placeholder(client, next++, apart), server_name);
        else if (!str_has_prefix(found.name, "reeve_"))
            continue;
        buffer_append(out, text + written, found.start - written);
        buffer_append_string(out, server_name);
        written = found.end;
    }
    buffer_append(out, text + written, length - written);
}

bool prepare_replacement(struct client *client, unsigned flags, const char *text, size_t length,
                         bool apart, struct buffer *out, struct client_names **ret_names)
{
    *ret_names = NULL;
    if (client->place->may_listen)
        flags &= ~(unsigned)TEXT_LISTENS;
    if (!(flags & (TEXT_LISTENS | TEXT_DEALLOCATES)))
        return false;
    if (flags & TEXT_LISTENS)
        length = text_before_listen(text, length);
    *ret_names = client_names_deallocated(&client->statements, text, length);
    put_deallocating(client, out, text, length, *ret_names, apart);
    if (flags & TEXT_LISTENS)
        buffer_append_string(out, listen_refused); /* what follows it never runs */
    buffer_append_byte(out, '\0');
    return true;
}

bool prepare_unnamed_replacement(struct client *client)
{
    const struct statement *statement = client->unnamed;
    _cleanup_buffer_ struct buffer instead = BUFFER_INIT(PREPARE_REPLACEMENT_MAX);
    struct client_names *names;
    size_t text_length = strlen(statement->definition);
    if (!prepare_replacement(client, statement->flags, statement->definition, text_length, false,
                             &instead, &names))
        return false;
    client_names_free(names); /* those count that it has when it is executed */
    struct buffer *out = &client->worker->scratch;
    size_t mark = wire_begin(out, 'P');
    wire_put_cstring(out, "");
    buffer_append(out, buffer_string(&instead), instead.length);
    buffer_append(out, statement->definition + text_length + 1,
                  statement->length - text_length - 1);
    wire_end(out, mark);
    send(client->backend);
    return true;
}

/* ---- which statement ---- */

void backend_want(struct backend *backend, struct statement *statement)
{
    for (size_t i = 0; i < backend->wanted_count; i++) {
        if (backend->wanted[i] == statement)
            return;
    }
    if (backend->wanted_count < array_size(backend->wanted))
        backend->wanted[backend->wanted_count++] = statement_ref(statement);
}

/* Whether the session may be other than the store's settings say, without anybody knowing how. */
static bool meaning_in_doubt(const struct backend *backend, const struct statement_store *store)
{
    return store->scope.shared ? !backend->pristine : backend->settings_dirty;
}

/* What stands for the statement on this backend; a reference of the caller's. */
static struct statement *choose(struct client *client, struct statement *statement)
{
    struct backend *backend = client->backend;
    struct statement_store *store = prepare_store(client);
    struct statement *common =
        statement->store == store
            ? statement_ref(statement)
            : statement_intern(store, statement->definition, statement->length);
    if (!meaning_in_doubt(backend, store) || backend_statements_has(&backend->statements, common))
        return common;
    struct statement *copy =
        store->scope.shared ? copy_for_turn(backend, common) : copy_for_client(client, common);
    statement_unref(common);
    return copy;
}

static struct statement *prepare(struct client *client, struct statement *statement,
                                 struct client_statement *name, enum expect_action action,
                                 bool *ret_sent)
{
    struct backend *backend = client->backend;
    *ret_sent = false;
    if (backend_statements_touch(&backend->statements, statement))
        return statement;
    struct statement *used = choose(client, statement);
    if (!backend_statements_touch(&backend->statements, used)) {
        send_parse(backend, used, name, action);
        *ret_sent = true;
    }
    statement_unref(used); /* the backend has it */
    return used;
}

struct statement *prepare_ensure(struct client *client, struct statement *statement)
{
    bool sent;
    return prepare(client, statement, NULL, EXPECT_SWALLOW, &sent);
}

struct statement *prepare_parse(struct client *client, struct statement *statement,
                                struct client_statement *name)
{
    bool sent;
    struct statement *used = prepare(client, statement, name, EXPECT_FORWARD, &sent);
    return sent ? used : NULL;
}

void prepare_probe(struct client *client, struct statement *statement,
                   struct client_statement *name)
{
    static const char probe[] = "reeve_probe";
    struct backend *backend = client->backend;
    put_definition(backend, probe, statement);
    expect_push(&backend->expected, &(struct expect){.kind = EXPECT_PARSE, .name = name});
    wire_put_close_statement(&backend->worker->scratch, probe);
    send(backend);
    expect_push(&backend->expected,
                &(struct expect){.kind = EXPECT_CLOSE, .action = EXPECT_SWALLOW});
}

void prepare_unnamed(struct client *client)
{
    struct backend *backend = client->backend;
    if (backend->unnamed_client == client->serial && backend->unnamed == client->unnamed)
        return;
    if (client->unnamed) {
        if (!prepare_unnamed_replacement(client))
            put_definition(backend, "", client->unnamed);
        expect_push(&backend->expected,
                    &(struct expect){.kind = EXPECT_PARSE, .action = EXPECT_SWALLOW});
    } else {
        wire_put_close_statement(&backend->worker->scratch, "");
        send(backend);
        expect_push(&backend->expected,
                    &(struct expect){.kind = EXPECT_CLOSE, .action = EXPECT_SWALLOW});
    }
    statement_unref(backend->unnamed);
    backend->unnamed = client->unnamed ? statement_ref(client->unnamed) : NULL;
    backend->unnamed_client = client->serial;
    backend->unnamed_streamed = false;
}

/* ---- turns ---- */

void prepare_leave(struct backend *backend)
{
    struct statement *copy;
    while ((copy = backend_statements_take_turn(&backend->statements)) != NULL) {
        send_close(backend, copy);
        statement_unref(copy);
    }
    backend->turn = ++backend->worker->next_turn;
}

void prepare_entered(struct backend *backend, struct client *client)
{
    const struct statement_store *store = prepare_store(client);
    for (size_t i = 0; i < backend->wanted_count; i++) {
        struct statement *wanted = backend->wanted[i];
        /* One for other settings is not parsed under these: it will be wanted again. */
        if (wanted->store == store && !backend_statements_touch(&backend->statements, wanted))
            prepare_apart(backend, wanted);
        statement_unref(wanted);
    }
    backend->wanted_count = 0;
}

void prepare_free(struct backend *backend)
{
    for (size_t i = 0; i < backend->wanted_count; i++)
        statement_unref(backend->wanted[i]);
    backend->wanted_count = 0;
}

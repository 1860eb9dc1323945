/*
 * from_client.c - messages of a client that is logged in, on their way to its backend.
 *
 * What must be known is read, the rest is passed on: large messages stream through. For every
 * message that the server will answer an entry is pushed to the backend's queue of expected
 * replies, in the same order.
 */
#include <arpa/inet.h>

#include "base/log.h"
#include "base/time.h"
#include "proxy/backend.h"
#include "proxy/place.h"
#include "proxy/prepare.h"
#include "proxy/usage.h"
#include "wire/sqlstate.h"

enum {
    GATHER_MAX = 16 * 1024 * 1024, /* a named Parse larger than this is refused */
    QUEUE_FULL = EXPECT_MAX - 16,
    LARGE_STATEMENT = 64 * 1024,
    LARGE_STATEMENTS_MAX =
        64 * 1024 * 1024,      /* bytes of texts of a client that prepares large ones */
    PIPELINE_US = 5 * TIME_MS, /* after which it makes way for who waits */
    PIPELINE_DEPTH = 64,       /* messages of it that are passed on ahead of their answers */
    NOTED_MAX = 4096,          /* bytes of parameters that are searched for names of settings */
};

/* A message, or as much of it as has come. */
struct message {
    char type;
    size_t body_length;
    const char *body;
    size_t available;  /* bytes of the body that are here */
    const char *start; /* of the header, in front of the body */
    bool whole;
};

/* Results of the functions below: */
enum { GONE = -1, TAKEN = 0, MORE = 1 };

static bool push(struct client *client, struct expect entry)
{
    return expect_push(&client->backend->expected, &entry);
}

/* Passes the message on as it is; what has not come yet follows as it comes. */
static int forward(struct client *client, const struct message *message)
{
    backend_note_sent(client->backend, message->type);
    stream_queue(client->backend->stream, message->start, WIRE_HEADER_SIZE + message->available);
    client->forward_left = message->body_length - message->available;
    client->in_message = client->forward_left > 0;
    return TAKEN;
}

static int drop(struct client *client, const struct message *message)
{
    client->drop_left = message->body_length - message->available;
    client->in_message = client->drop_left > 0;
    return TAKEN;
}

static int violation(struct client *client, const char *text)
{
    log_info("protocol violation tenant=%s: %s", client->tenant, text);
    client_fail(client, SQLSTATE_PROTOCOL_VIOLATION, text, NULL);
    return GONE;
}

/* Nothing more can be taken before the server has answered what it was sent. */
static int wait_for_answers(struct client *client)
{
    stream_flush(client->backend->stream);
    stream_pause_read(client->stream);
    return MORE;
}

/* ---- what a text does to the session ---- */

static void apply_flags(struct client *client, unsigned flags)
{
    struct backend *backend = client->backend;
    if (flags & TEXT_CHANGES_SETTINGS) {
        backend->settings_dirty = true;
        backend->settings_of = client->serial;
    }
    if (flags & TEXT_PINS)
        client->pinned = true;
}

/* Whatever runs may change the session in ways that nobody sees; beginning a transaction does not.
 */
static void note_run(struct client *client, unsigned flags)
{
    if (!(flags & TEXT_BEGINS) && !mutation("proxy.pristine"))
        client->backend->pristine = false;
}

/* `statement`, or NULL, is the unnamed one from here on, with the caller's reference. Gives back
 * the one before, for the entry of the message that does this. */
static struct statement *replace_unnamed(struct client *client, struct statement *statement)
{
    struct backend *backend = client->backend;
    struct statement *before = client->unnamed;
    client->unnamed = statement;
    statement_unref(backend->unnamed);
    backend->unnamed = statement ? statement_ref(statement) : NULL;
    backend->unnamed_client = client->serial;
    backend->unnamed_streamed = false;
    return before;
}

static void push_replacing(struct client *client, struct expect entry, struct statement *before)
{
    entry.takes_unnamed = true;
    entry.unnamed = before;
    push(client, entry);
    statement_unref(before);
}

/* ---- prepared statements ---- */

/* ---- message by message ---- */

static int take_query(struct client *client, const struct message *message)
{
    if (!message->whole && message->body_length + WIRE_HEADER_SIZE <= STREAM_READ_SIZE)
        return MORE;
    const char *text = message->body;
    size_t length = strnlen(text, message->available);
    unsigned flags = text_flags(text, length);
    if ((flags & TEXT_DEALLOCATES) && expect_names_in_doubt(&client->backend->expected))
        return wait_for_answers(client);
    _cleanup_buffer_ struct buffer instead = BUFFER_INIT(PREPARE_REPLACEMENT_MAX);
    struct client_names *names = NULL;
    /* A Sync of ours in the middle of a pipeline would end what an error in it has skipped. */
    bool apart = !client->backend->unsynced && expect_empty(&client->backend->expected);
    bool replaced =
        message->whole && prepare_replacement(client, flags, text, length, apart, &instead, &names);
    if (flags & TEXT_CHANGES_SETTINGS)
        session_note_names(client, text, length);
    apply_flags(client, flags);
    note_run(client, message->whole ? flags : 0);
    usage_count(client->worker, client->place, PROXY_USE_QUERIES, 1);
    struct expect entry = {
        .kind = EXPECT_QUERY, .flags = flags & TEXT_CHANGES_NAMES, .names = names};
    push_replacing(client, entry, replace_unnamed(client, NULL));
    if (!replaced)
        return forward(client, message);
    wire_put_query(&client->worker->scratch, buffer_string(&instead));
    prepare_send(client);
    return TAKEN;
}

static int take_unnamed_parse(struct client *client, const struct message *message)
{
    struct expect entry = {.kind = EXPECT_PARSE};
    if (!message->whole) {
        push_replacing(client, entry, replace_unnamed(client, NULL));
        client->backend->unnamed_streamed = true;
        return forward(client, message);
    }
    const char *definition = message->body + 1;
    size_t length = message->body_length - 1;
    if (!statement_definition_check(definition, length))
        return violation(client, "invalid Parse message");
    struct statement *statement = statement_intern(prepare_store(client), definition, length);
    if (statement->flags & TEXT_CHANGES_SETTINGS)
        session_note_names(client, definition, strlen(definition));
    struct statement *before = replace_unnamed(client, statement);
    bool replaced = prepare_unnamed_replacement(client);
    push_replacing(client, entry, before);
    return replaced ? TAKEN : forward(client, message);
}

static void add_length(struct hash_node *node, void *argument)
{
    *(size_t *)argument += container_of(node, struct client_statement, node)->statement->length;
}

/* Small ones are bounded by their number. */
static bool too_many_bytes(struct client *client, size_t length)
{
    size_t total = length;
    if (length <= LARGE_STATEMENT || mutation("proxy.large_statements"))
        return false;
    hash_table_each(&client->statements, add_length, &total);
    return total > LARGE_STATEMENTS_MAX;
}

static int take_named_parse(struct client *client, const struct message *message,
                            const char *definition)
{
    const char *name = message->body;
    size_t length = message->body_length - (size_t)(definition - message->body);
    if (!statement_definition_check(definition, length))
        return violation(client, "invalid Parse message");
    struct client_statement *known = client_statement_find(&client->statements, name);
    if (known) {
        char server_name[STATEMENT_SERVER_NAME_SIZE];
        statement_server_name(prepare_ensure(client, known->statement), server_name);
        /* For the error alone: that of the text, which comes first, unless it is large. */
        struct buffer *out = &client->worker->scratch;
        size_t mark = wire_begin(out, 'P');
        wire_put_cstring(out, server_name);
        if (length <= LARGE_STATEMENT)
            buffer_append(out, definition, length);
        else
            buffer_append(out, "SELECT 1\0\0", sizeof("SELECT 1\0\0"));
        wire_end(out, mark);
        prepare_send(client);
        push(client,
             (struct expect){.kind = EXPECT_PARSE, .action = EXPECT_DUPLICATE, .name = known});
        return TAKEN;
    }
    int maximum = atomic_load_explicit(&client->worker->proxy->max_prepared, memory_order_relaxed);
    if (client->statements.count >= (size_t)maximum || too_many_bytes(client, length)) {
        client_fail(client, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED,
                    "this connection has too many prepared statements",
                    "close those that are not needed, or ask for a higher max_prepared");
        return GONE;
    }
    struct statement *statement = statement_intern(prepare_store(client), definition, length);
    if (statement->flags & TEXT_CHANGES_SETTINGS)
        session_note_names(client, definition, strlen(definition));
    known = client_statement_add(&client->statements, name, statement);
    if (!prepare_parse(client, statement, known)) {
        /* Where the transaction may have failed, the server refuses what it has parsed before. */
        if (client->backend->status == 'E' || !expect_empty(&client->backend->expected))
            prepare_probe(client, statement, known);
        else
            push(client,
                 (struct expect){.kind = EXPECT_PARSE, .action = EXPECT_FAKE, .name = known});
    }
    statement_unref(statement);
    return TAKEN;
}

static int take_parse(struct client *client, const struct message *message)
{
    const char *end = memchr(message->body, '\0', message->available);
    bool fits = message->body_length + WIRE_HEADER_SIZE <= STREAM_READ_SIZE;
    if (!end || (size_t)(end - message->body) > STATEMENT_NAME_MAX) {
        if (message->available > STATEMENT_NAME_MAX || message->whole)
            return violation(client, "the name of a prepared statement is too long");
        return MORE;
    }
    usage_count(client->worker, client->place, PROXY_USE_QUERIES, 1);
    bool unnamed = end == message->body;
    if (message->whole || (unnamed && !fits))
        return unnamed ? take_unnamed_parse(client, message)
                       : take_named_parse(client, message, end + 1);
    if (!fits && message->body_length > GATHER_MAX && !mutation("proxy.gather"))
        return violation(client, "the text of a prepared statement is too long");
    return MORE;
}

/* What the server is to be asked for in place of a name that the client has not prepared: nothing
 * that could be a name of the proxy's. */
static void put_unknown_name(struct buffer *out, const char *name)
{
    if (str_has_prefix(name, "reeve_"))
        buffer_append_byte(out, '?');
    wire_put_cstring(out, name);
}

/* The statement as the backend knows it; NULL: a name that the client has not prepared. */
static void put_statement_name(struct client *client, const char *name,
                               const struct statement *used)
{
    struct buffer *out = &client->worker->scratch;
    char server_name[STATEMENT_SERVER_NAME_SIZE];
    if (!used) {
        put_unknown_name(out, name);
        return;
    }
    statement_server_name(used, server_name);
    wire_put_cstring(out, server_name);
}

/* Parameters may name the setting that set_config is to set. */
static void note_parameters(struct client *client, const char *bytes, const char *end)
{
    size_t length = (size_t)(end - bytes);
    if (client->portal_flags & TEXT_CHANGES_SETTINGS)
        session_note_names(client, bytes, length < NOTED_MAX ? length : NOTED_MAX);
}

static int take_bind(struct client *client, const struct message *message)
{
    const char *end = message->body + message->available;
    const char *portal_end = memchr(message->body, '\0', message->available);
    const char *name = portal_end ? portal_end + 1 : end;
    const char *name_end = name < end ? memchr(name, '\0', (size_t)(end - name)) : NULL;
    if (!name_end || name_end - message->body > 2 * STATEMENT_NAME_MAX) {
        if (message->available > 2 * STATEMENT_NAME_MAX || message->whole)
            return violation(client, "invalid Bind message");
        return MORE;
    }
    if (*name == '\0') {
        if (expect_unnamed_in_doubt(&client->backend->expected))
            return wait_for_answers(client);
        prepare_unnamed(client);
        client->portal_flags = client->unnamed ? client->unnamed->flags : 0;
        note_run(client, client->portal_flags);
        note_parameters(client, name_end + 1, end);
        push(client, (struct expect){.kind = EXPECT_BIND});
        return forward(client, message);
    }
    struct client_statement *known = client_statement_find(&client->statements, name);
    struct statement *used = known ? prepare_ensure(client, known->statement) : NULL;
    client->portal_flags = known ? known->statement->flags : 0;
    note_run(client, client->portal_flags);
    note_parameters(client, name_end + 1, end);

    /* The header and the names anew; the rest as it is. */
    struct buffer *out = &client->worker->scratch;
    size_t rest = message->body_length - (size_t)(name_end + 1 - message->body);
    size_t mark = wire_begin(out, 'B');
    wire_put_cstring(out, message->body);
    put_statement_name(client, name, used);
    wire_end(out, mark);
    uint32_t total = htonl((uint32_t)(out->length - 1 + rest));
    memcpy(out->data + 1, &total, sizeof(total)); /* it is alone in the buffer */
    prepare_send(client);
    size_t here = (size_t)(end - (name_end + 1));
    stream_queue(client->backend->stream, name_end + 1, here);
    client->forward_left = rest - here;
    client->in_message = client->forward_left > 0;
    push(client, (struct expect){.kind = EXPECT_BIND, .statement = used, .name = known});
    return TAKEN;
}

/* Describe and Close: what ('S' or 'P') and a name. */
static int take_describe(struct client *client, const struct message *message)
{
    if (!message->whole)
        return message->body_length > STATEMENT_NAME_MAX + 2
                   ? violation(client, "invalid Describe or Close message")
                   : MORE;
    const char *name = message->body + 1;
    char what = message->body_length >= 2 ? message->body[0] : '\0';
    if ((what != 'S' && what != 'P') ||
        strnlen(name, message->body_length - 1) != message->body_length - 2)
        return violation(client, "invalid Describe or Close message");
    bool closes = message->type == 'C';
    if (what == 'P' || *name == '\0') {
        struct expect entry = {.kind = closes        ? EXPECT_CLOSE
                                       : what == 'S' ? EXPECT_DESCRIBE_STATEMENT
                                                     : EXPECT_DESCRIBE_PORTAL};
        if (what == 'S' && closes) {
            push_replacing(client, entry, replace_unnamed(client, NULL));
            return forward(client, message);
        }
        if (what == 'S' && expect_unnamed_in_doubt(&client->backend->expected))
            return wait_for_answers(client);
        if (what == 'S')
            prepare_unnamed(client);
        push(client, entry);
        return forward(client, message);
    }
    struct client_statement *known = client_statement_find(&client->statements, name);
    if (closes) {
        push(client, (struct expect){.kind = EXPECT_CLOSE, .action = EXPECT_FAKE, .name = known});
        if (known)
            client_statement_remove(&client->statements, known);
        return TAKEN;
    }
    struct statement *used = known ? prepare_ensure(client, known->statement) : NULL;
    struct buffer *out = &client->worker->scratch;
    size_t mark = wire_begin(out, 'D');
    buffer_append_byte(out, 'S');
    put_statement_name(client, name, used);
    wire_end(out, mark);
    prepare_send(client);
    push(client, (struct expect){.kind = EXPECT_DESCRIBE_STATEMENT, .statement = used});
    return TAKEN;
}

static int take_execute(struct client *client, const struct message *message)
{
    unsigned flags = client->portal_flags;
    client->backend->copy_data_sent = client->backend->copy_sync_late = false;
    const struct statement *unnamed = client->unnamed;
    struct client_names *names = NULL;
    if ((flags & TEXT_DEALLOCATES) && unnamed)
        names = client_names_deallocated(&client->statements, unnamed->definition,
                                         strlen(unnamed->definition));
    apply_flags(client, flags);
    push(client, (struct expect){
                     .kind = EXPECT_EXECUTE, .flags = flags & TEXT_CHANGES_NAMES, .names = names});
    return forward(client, message);
}

static bool copy_possible(struct backend *backend)
{
    if (backend->copy != COPY_NONE)
        return true;
    for (size_t i = 0; i < backend->expected.count; i++) {
        enum expect_kind kind = expect_at(&backend->expected, i)->kind;
        if (kind == EXPECT_EXECUTE || kind == EXPECT_QUERY)
            return true;
        if (i == 64)
            return true;
    }
    return false;
}

static int take_copy(struct client *client, const struct message *message)
{
    struct backend *backend = client->backend;
    if (!copy_possible(backend))
        return drop(client, message); /* left over from a COPY that failed */
    backend->copy_data_sent = message->type == 'd';
    if (message->type != 'd') {
        if (backend->copy == COPY_IN)
            backend->copy = COPY_IN_ENDED;
        else /* of a COPY that is to come: there may be several in one query */
            push(client, (struct expect){.kind = EXPECT_COPY_END});
    }
    return forward(client, message);
}

/* A Flush that would find nothing to flush has a meaning of the guard's own: it is not passed on,
 * nor is one in COPY data, which the server ignores unless it has refused them. In a batch, and in
 * front of an answer, it has its usual one. */
static int take_flush(struct client *client, const struct message *message)
{
    struct backend *backend = client->backend;
    if (message->body_length != 0)
        return violation(client, "invalid Flush message");
    backend_answer_fakes(backend);
    backend->flushed = !expect_empty(&backend->expected);
    bool useless = (!backend->batch_open && !backend->reply_due) || backend->copy == COPY_IN ||
                   backend->copy_syncs > 0 || backend->doubtful;
    if (useless && !mutation("proxy.flush"))
        return drop(client, message);
    return forward(client, message);
}

static int take_by_type(struct client *client, const struct message *message)
{
    struct backend *backend = client->backend;
    if (client->skip_till_sync && message->type != 'S' && strchr("QPBDCEHFdcf", message->type))
        return drop(client, message);
    deadline_heard(backend, message->type);
    client->first_due = false;
    if (backend->copy == COPY_IN && !strchr("dcfSH", message->type))
        return violation(client, "unexpected message during COPY from stdin");
    switch (message->type) {
    case 'Q':
        return take_query(client, message);
    case 'P':
        return take_parse(client, message);
    case 'B':
        return take_bind(client, message);
    case 'D':
    case 'C':
        return take_describe(client, message);
    case 'E':
        return take_execute(client, message);
    case 'S':
        if (message->body_length != 0)
            return violation(client, "invalid Sync message");
        client->skip_till_sync = false;
        backend->copy_sync_late |= backend->copy_data_sent;
        /* The server ignores Sync while it copies in. */
        if (backend->copy != COPY_IN)
            push(client, (struct expect){.kind = EXPECT_SYNC});
        else
            backend->copy_syncs++;
        return forward(client, message);
    case 'H':
        return take_flush(client, message);
    case 'F':
        backend->settings_dirty = true;
        note_run(client, 0);
        push(client, (struct expect){.kind = EXPECT_FUNCTION_CALL});
        return forward(client, message);
    case 'd':
    case 'c':
    case 'f':
        return take_copy(client, message);
    default:
        return violation(client, "invalid frontend message type");
    }
}

static int take_message(struct client *client, const struct message *message)
{
    bool skipped = client->skip_till_sync && message->type != 'S';
    int result = take_by_type(client, message);
    if (result != TAKEN || skipped)
        return result;
    struct backend *backend = client->backend;
    if (strchr("PBDCE", message->type))
        backend->unsynced = true;
    else if (strchr("QF", message->type) || (message->type == 'S' && backend->copy != COPY_IN))
        backend->unsynced = false;
    return TAKEN;
}

/* ---- the loop ---- */

/* Bytes of a message whose header is behind us. */
static size_t pass_on(struct client *client, const char *bytes, size_t length)
{
    size_t *left = client->forward_left > 0 ? &client->forward_left : &client->drop_left;
    size_t taken = length < *left ? length : *left;
    if (left == &client->forward_left && client->backend) {
        deadline_heard_part(client->backend, taken);
        stream_queue(client->backend->stream, bytes, taken);
    }
    *left -= taken;
    client->in_message = *left > 0;
    return taken;
}

/* A message that is larger than a read and must be seen whole. */
static int take_gathered(struct client *client)
{
    struct buffer whole = client->gather;
    client->gather = BUFFER_INIT(whole.maximum);
    struct message message = {.type = whole.data[0],
                              .body_length = whole.length - WIRE_HEADER_SIZE,
                              .body = whole.data + WIRE_HEADER_SIZE,
                              .available = whole.length - WIRE_HEADER_SIZE,
                              .start = whole.data,
                              .whole = true};
    int result = take_message(client, &message);
    if (result != GONE)
        stream_flush(client->backend->stream);
    buffer_free(&whole);
    return result;
}

static size_t gather(struct client *client, const char *bytes, size_t length)
{
    struct wire_frame frame;
    if (wire_frame_read(client->gather.data, client->gather.length, &frame, NULL) <= 0)
        return 0;
    size_t wanted = WIRE_HEADER_SIZE + frame.body_length - client->gather.length;
    size_t taken = length < wanted ? length : wanted;
    buffer_append(&client->gather, bytes, taken);
    return taken;
}

static bool gathered(const struct client *client)
{
    struct wire_frame frame;
    return wire_frame_read(client->gather.data, client->gather.length, &frame, NULL) == 1 &&
           client->gather.length == WIRE_HEADER_SIZE + frame.body_length;
}

/* Makes sure of a backend that is the client's. False: nothing more can be taken now. */
static bool have_backend(struct client *client)
{
    if (client->state == CLIENT_IDLE && !pool_checkout(client))
        return false;
    if (client->state != CLIENT_ACTIVE)
        return false;
    if (client->backend->must_enter)
        backend_enter(client->backend, client);
    if (!session_is_unsettled(client->backend) && !backend_may_be_hit(client->backend))
        return true;
    stream_pause_read(client->stream); /* it is read on when the server has answered */
    return false;
}

/* What a name in this message stands for is not known before the server has answered more. */
static bool must_wait_for_names(struct client *client, char type)
{
    struct backend *backend = client->backend;
    const struct expect_queue *expected = &backend->expected;
    bool changing = strchr("PBDCQ", type) != NULL && expect_names_changing(expected) &&
                    backend->copy != COPY_IN; /* there the answer waits for the client */
    if (!changing) {
        backend->nudged = false;
        return strchr("PBDC", type) != NULL && expect_names_in_doubt(expected);
    }
    if (backend->unsynced && !backend->nudged) {
        wire_put_empty(&client->worker->scratch, 'H');
        prepare_send(client);
        backend->nudged = true;
    }
    return true;
}

/* ---- what was cancelled before it had a backend ---- */

static void tell_refused(struct client *client, bool error, bool ready)
{
    struct buffer *out = &client->worker->scratch;
    if (error)
        wire_put_error(out, "ERROR", SQLSTATE_QUERY_CANCELED,
                       "canceling statement due to user request", NULL, NULL);
    if (ready)
        wire_put_ready_for_query(out, 'I');
    stream_write(client->stream, buffer_string(out), out->length);
    stream_flush(client->stream);
    buffer_reset(out);
}

/* A Query drops the unnamed statement, and so does a Parse of another, before either can fail. */
static void forget_unnamed_refused(struct client *client, const struct message *message)
{
    bool parses_unnamed =
        message->type == 'P' && message->body_length > 0 && *message->body == '\0';
    if (message->type != 'Q' && !parses_unnamed)
        return;
    statement_unref(client->unnamed);
    client->unnamed = NULL;
}

static int refuse(struct client *client, const struct message *message)
{
    bool told = client->refusal == REFUSE_TILL_SYNC;
    if (message->type == '\0' || !strchr("QFSPBDCEH", message->type))
        return violation(client, "invalid frontend message type");
    if (!told)
        forget_unnamed_refused(client, message);
    if (message->type == 'S' || (!told && strchr("QF", message->type))) {
        client->refusal = REFUSE_NOTHING;
        tell_refused(client, message->type != 'S', true);
    } else if (!told && message->type != 'H') {
        client->refusal = REFUSE_TILL_SYNC;
        tell_refused(client, true, false);
    }
    return drop(client, message);
}

void client_refuse_waiting(struct client *client)
{
    pool_stop_waiting(client);
    client_set_state(client, CLIENT_IDLE);
    client->refusal = REFUSE_NEXT;
    client_resume(client);
}

/* Somebody waits for what the client has had for a while. */
static bool is_in_the_way(const struct client *client)
{
    const struct backend *backend = client->backend;
    return (backend->pool->queue.count > 0 || backend_slot_is_owed(backend)) &&
           engine_now_us(client->worker->engine) - backend->linked_us >= PIPELINE_US;
}

/*
 * Whether its next message has to wait for answers. Whoever pipelines without end would otherwise
 * never come to the end of a transaction with nothing under way, which is where a server connection
 * goes to another; and what was passed on cannot be called back, so it is never much. Only where an
 * answer to all that was sent is due: what the server waits for is passed on.
 */
static bool must_wait_for_answers(const struct client *client)
{
    const struct backend *backend = client->backend;
    if (expect_empty(&backend->expected) || backend->unsynced || backend->copy == COPY_IN ||
        client_keeps_backend(client) || client->skip_till_sync || mutation("proxy.pipeline"))
        return false;
    return backend->expected.count >= PIPELINE_DEPTH || client->place->queue.closed ||
           is_in_the_way(client);
}

static int take_frame(struct client *client, const char *bytes, size_t length, size_t *ret_taken)
{
    struct wire_frame frame;
    struct error err = {0};
    int result = wire_frame_read(bytes, length, &frame, &err);
    if (result == 0)
        return MORE;
    if (result < 0)
        return violation(client, err.message);
    if (frame.type == 'X') {
        client_close(client);
        return GONE;
    }
    if (client->state == CLIENT_IDLE && frame.type != '\0' && strchr("dcf", frame.type)) {
        /* Left over from a COPY that failed: no reason to take a backend. */
        struct message left_over = {.body_length = frame.body_length};
        *ret_taken = WIRE_HEADER_SIZE;
        return drop(client, &left_over);
    }
    if (client->refusal != REFUSE_NOTHING) {
        struct message refused = {
            .type = frame.type, .body_length = frame.body_length, .body = bytes + WIRE_HEADER_SIZE};
        if (frame.type == 'P' && frame.body_length > 0 && length == WIRE_HEADER_SIZE)
            return MORE; /* whether it has a name */
        *ret_taken = WIRE_HEADER_SIZE;
        return refuse(client, &refused);
    }
    if (!have_backend(client))
        return MORE;
    if (client->backend->expected.count >= QUEUE_FULL)
        backend_answer_fakes(
            client->backend); /* else nothing might be left that brings an answer */
    if (stream_pending(client->backend->stream) > OUTPUT_HIGH_WATER)
        stream_flush(client->backend->stream);
    if (client->backend->expected.count >= QUEUE_FULL ||
        stream_pending(client->backend->stream) > OUTPUT_HIGH_WATER ||
        must_wait_for_names(client, frame.type) || must_wait_for_answers(client))
        return wait_for_answers(client); /* or until it has read */
    size_t here = length - WIRE_HEADER_SIZE;
    struct message message = {.type = frame.type,
                              .body_length = frame.body_length,
                              .body = bytes + WIRE_HEADER_SIZE,
                              .available = here < frame.body_length ? here : frame.body_length,
                              .start = bytes,
                              .whole = here >= frame.body_length};
    result = take_message(client, &message);
    if (result == MORE && frame.type == 'P' && message.available > STATEMENT_NAME_MAX &&
        message.body_length + WIRE_HEADER_SIZE > STREAM_READ_SIZE) {
        buffer_init(&client->gather, WIRE_HEADER_SIZE + frame.body_length);
        buffer_append(&client->gather, bytes, WIRE_HEADER_SIZE + message.available);
        result = TAKEN;
    }
    if (result == TAKEN)
        *ret_taken = WIRE_HEADER_SIZE + message.available;
    return result;
}

size_t client_received(struct client *client, const char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        if (client->in_message) {
            at += pass_on(client, bytes + at, length - at);
            continue;
        }
        if (client->gather.length > 0) {
            at += gather(client, bytes + at, length - at);
            if (!gathered(client))
                continue;
            if (take_gathered(client) == GONE) /* it keeps its backend while it gathers */
                return length;
            continue;
        }
        size_t taken = 0;
        int result = take_frame(client, bytes + at, length - at, &taken);
        if (result == GONE)
            return length;
        at += taken;
        if (result == MORE)
            break;
    }
    struct backend *backend = client->backend;
    usage_count(client->worker, client->place, PROXY_USE_BYTES_IN, (int64_t)at);
    if (!backend)
        return at;
    stream_flush(backend->stream);
    if (stream_pending(backend->stream) > OUTPUT_HIGH_WATER ||
        stream_pending(client->stream) > OUTPUT_HIGH_WATER)
        stream_pause_read(client->stream);
    /* Nothing was asked of it (the end of COPY data that the server did not want, a Flush). */
    if (expect_empty(&backend->expected) && backend->status == 'I')
        backend_transaction_ended(backend);
    return at;
}

void client_messages_free(struct client *client)
{
    client_statements_clear(&client->statements);
    hash_table_free(&client->statements);
    statement_unref(client->unnamed);
    client->unnamed = NULL;
    statement_store_unref(client->store);
    pairs_unref(client->store_settings);
    buffer_free(&client->gather);
    session_free_names(client);
}

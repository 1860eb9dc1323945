/*
 * from_server.c - messages of a backend, on their way to its client.
 *
 * Every message is matched with the head of the queue of expected replies; one that does not fit
 * means that we and the server are out of step, and ends both connections. Runs of messages that
 * are passed on unchanged go out as one piece.
 */
#include "base/log.h"
#include "proxy/answer.h"
#include "proxy/backend.h"
#include "proxy/notification.h"
#include "proxy/place.h"
#include "proxy/prepare.h"
#include "proxy/usage.h"
#include "wire/sqlstate.h"

enum {
    INSPECT_MAX = 16 * 1024, /* errors, notices and rows of our own are seen whole up to this */
};

enum verdict {
    PASS,     /* to the client */
    KEEP,     /* not to the client */
    REPLACED, /* something else was written in its place */
    BROKEN,   /* out of step, or the backend is gone: touch nothing */
};

struct reply {
    char type;
    size_t body_length;
    const char *body;
    size_t available;
};

static enum verdict out_of_step(struct backend *backend, const char *what, char type)
{
    struct client *client = backend->client;
    log_error("out of step with the server (%s, message '%c') tenant=%s", what,
              type >= 0x20 && type < 0x7F ? type : '?', backend_tenant(backend));
    backend_unlink(backend);
    if (client) {
        client_fail(client, SQLSTATE_PROTOCOL_VIOLATION, "lost synchronization with the server",
                    NULL);
    }
    backend_close(backend);
    return BROKEN;
}

static void to_client(struct backend *backend)
{
    struct buffer *out = &backend->worker->scratch;
    if (backend->client)
        stream_write(backend->client->stream, buffer_string(out), out->length);
    buffer_reset(out);
}

/* ---- the proxy's own answers ---- */

void backend_answer_fakes(struct backend *backend)
{
    struct expect *head;
    while ((head = expect_first(&backend->expected)) != NULL) {
        if (head->action == EXPECT_FAKE) {
            wire_put_empty(&backend->worker->scratch, head->kind == EXPECT_PARSE ? '1' : '3');
            to_client(backend);
        } else if (head->kind != EXPECT_COPY_END) {
            break;
        }
        expect_pop(&backend->expected);
    }
    if (backend->client)
        stream_flush(backend->client->stream);
}

/* Of a COPY that was refused: its command has been answered without one. */
static void drop_copy_ends(struct backend *backend)
{
    const struct expect *head;
    while ((head = expect_first(&backend->expected)) != NULL && head->kind == EXPECT_COPY_END)
        expect_pop(&backend->expected);
}

static struct expect *next_expected(struct backend *backend)
{
    struct expect *head = expect_first(&backend->expected);
    if (unlikely(head && (head->action == EXPECT_FAKE || head->kind == EXPECT_COPY_END))) {
        backend_answer_fakes(backend);
        head = expect_first(&backend->expected);
    }
    return head;
}

/* ---- errors ---- */

/* What was assumed when the message was sent did not come true. */
static void undo(struct backend *backend, struct expect *entry)
{
    struct client *client = backend->client;
    if (entry->kind == EXPECT_PARSE && entry->statement)
        backend_statements_drop(&backend->statements, entry->statement);
    else if (entry->kind == EXPECT_CLOSE && entry->statement)
        backend_statements_add(&backend->statements, entry->statement);
    if (!client || !entry->name)
        return;
    if (entry->kind == EXPECT_PARSE && entry->action != EXPECT_DUPLICATE)
        client_statement_remove(&client->statements, entry->name);
    else if (entry->kind == EXPECT_CLOSE)
        client_statement_restore(&client->statements, entry->name);
}

/* The unnamed statement before the messages that were skipped is the client's still; a Parse that
 * failed has dropped it. What is behind them counts from there. */
static void restore_unnamed(struct backend *backend, size_t skipped)
{
    struct expect_queue *expected = &backend->expected;
    struct statement *before = NULL;
    size_t first = 0;
    while (first < skipped && !expect_at(expected, first)->takes_unnamed)
        first++;
    if (first == skipped || !backend->client)
        return;
    if (first > 0 && expect_at(expected, first)->unnamed)
        before = statement_ref(expect_at(expected, first)->unnamed);
    struct statement **holder = &backend->client->unnamed;
    for (size_t i = skipped; i < expected->count; i++) {
        if (expect_at(expected, i)->takes_unnamed) {
            holder = &expect_at(expected, i)->unnamed;
            break;
        }
    }
    statement_unref(*holder);
    *holder = before;
}

/* The server reads on only from Sync. The last is undone first: a name may have been closed and
 * taken again. */
static void discard_till_sync(struct backend *backend)
{
    struct expect_queue *expected = &backend->expected;
    size_t discarded = 0;
    while (discarded < expected->count && expect_at(expected, discarded)->kind != EXPECT_SYNC)
        discarded++;
    for (size_t i = discarded; i > 0; i--)
        undo(backend, expect_at(expected, i - 1));
    restore_unnamed(backend, discarded);
    for (; discarded > 0; discarded--)
        expect_pop(expected);
    /* A Parse of the unnamed statement may have been among them. A statement that was streamed
     * through cannot be prepared again, and is taken to have come behind the Sync. */
    if (!backend->unnamed_streamed)
        backend->unnamed_client = 0;
    if (!expect_empty(expected))
        return;
    backend->unsynced = true;
    if (backend->client)
        backend->client->skip_till_sync = true;
}

static enum verdict fatal_from_server(struct backend *backend,
                                      const struct wire_error_fields *fields)
{
    backend->tainted = true;
    if (!backend->client) {
        log_info("the server closes an idle connection: %s",
                 fields->message ? fields->message : "no message");
        return KEEP;
    }
    backend->told_fatal = true;
    return PASS;
}

/* ON CONFLICT that no longer matches: the known price of one shape in every isolation. */
static enum verdict add_conflict_hint(struct backend *backend,
                                      const struct wire_error_fields *fields)
{
    wire_put_error(
        &backend->worker->scratch, fields->severity, fields->sqlstate, fields->message,
        fields->detail,
        "keys of this service have tenant_id as well: name the constraint (ON CONFLICT ON "
        "CONSTRAINT name) or the whole key (ON CONFLICT (tenant_id, ...))");
    to_client(backend);
    return REPLACED;
}

static enum verdict tell_duplicate(struct backend *backend, const struct client_statement *name)
{
    char message[STATEMENT_NAME_MAX + 64];
    snprintf(message, sizeof(message), "prepared statement \"%s\" already exists", name->name);
    wire_put_error(&backend->worker->scratch, "ERROR", SQLSTATE_DUPLICATE_PREPARED_STATEMENT,
                   message, NULL, NULL);
    to_client(backend);
    return REPLACED;
}

/* The server calls a statement by the name that it has on this backend. */
static enum verdict tell_own_name(struct backend *backend, const struct wire_error_fields *fields,
                                  const struct expect *used)
{
    char server_name[STATEMENT_SERVER_NAME_SIZE];
    statement_server_name(used->statement, server_name);
    const char *found = strstr(fields->message, server_name);
    if (!found)
        return PASS;
    _cleanup_buffer_ struct buffer message =
        BUFFER_INIT(strlen(fields->message) + STATEMENT_NAME_MAX + 1);
    buffer_append(&message, fields->message, (size_t)(found - fields->message));
    buffer_append_string(&message, used->name->name);
    wire_put_cstring(&message, found + strlen(server_name));
    wire_put_error(&backend->worker->scratch, fields->severity, fields->sqlstate,
                   buffer_string(&message), fields->detail, fields->hint);
    to_client(backend);
    return REPLACED;
}

/* Whether the server had begun to read: "COPY thing, line 1, column ...", or a header that is none.
 */
static bool is_in_copy_data(const struct wire_error_fields *fields)
{
    return (fields->context && str_has_prefix(fields->context, "COPY ")) ||
           (fields->sqlstate && strcmp(fields->sqlstate, SQLSTATE_BAD_COPY_FILE_FORMAT) == 0);
}

static enum verdict take_error(struct backend *backend, const struct reply *reply)
{
    struct wire_error_fields fields;
    wire_error_read(reply->body, reply->available, &fields);
    const struct expect *entering = expect_first(&backend->expected);
    if (entering && entering->action == EXPECT_ENTER) {
        backend_enter_refused(backend, &fields);
        return BROKEN;
    }
    if (fields.severity && strcmp(fields.severity, "ERROR") != 0)
        return fatal_from_server(backend, &fields);
    struct expect *head = next_expected(backend);
    if (!head)
        return out_of_step(backend, "an error that nothing was waiting for", reply->type);
    head->answered = true;
    enum verdict verdict = PASS;
    if (head->action == EXPECT_SETTINGS) {
        session_refused(backend, &fields);
        return BROKEN;
    }
    if (head->action == EXPECT_CAPTURE) {
        session_capture_failed(backend, &fields);
        return KEEP;
    }
    if (head->action == EXPECT_PRIVATE)
        verdict = KEEP;
    else if (head->action == EXPECT_DUPLICATE && head->name && fields.sqlstate &&
             strcmp(fields.sqlstate, SQLSTATE_DUPLICATE_PREPARED_STATEMENT) == 0)
        verdict = tell_duplicate(backend, head->name);
    else if (head->kind == EXPECT_BIND && head->name && fields.sqlstate && fields.message &&
             reply->available == reply->body_length &&
             strcmp(fields.sqlstate, SQLSTATE_PROTOCOL_VIOLATION) == 0)
        verdict = tell_own_name(backend, &fields, head);
    else if (fields.sqlstate && strcmp(fields.sqlstate, SQLSTATE_INVALID_COLUMN_REFERENCE) == 0 &&
             reply->available == reply->body_length && !fields.hint && fields.message &&
             strstr(fields.message, "ON CONFLICT"))
        verdict = add_conflict_hint(backend, &fields);
    if (head->statement && fields.sqlstate &&
        (head->kind == EXPECT_BIND || head->kind == EXPECT_DESCRIBE_STATEMENT) &&
        strcmp(fields.sqlstate, SQLSTATE_FEATURE_NOT_SUPPORTED) == 0)
        backend_statements_set_stale(&backend->statements, head->statement);
    backend->copy = COPY_NONE;
    /* Nobody knows which of them the server read before it failed, and which it answers yet; where
     * all are in front of data that it has read, it has ignored them. */
    if (backend->copy_syncs > 0 && (backend->copy_sync_late || !is_in_copy_data(&fields)))
        backend->doubtful = backend->tainted = true;
    backend->copy_syncs = 0;
    if (head->kind != EXPECT_QUERY && head->kind != EXPECT_FUNCTION_CALL &&
        head->kind != EXPECT_SYNC)
        discard_till_sync(backend);
    return verdict;
}

/* ---- ends of things ---- */

/* What was sent since is in the queue. */
static void forget_statements(struct backend *backend)
{
    backend_statements_clear(&backend->statements);
    for (size_t i = 0; i < backend->expected.count; i++) {
        struct expect *entry = expect_at(&backend->expected, i);
        if (entry->kind == EXPECT_PARSE && entry->statement)
            backend_statements_add(&backend->statements, entry->statement);
    }
}

/* DISCARD ALL and DEALLOCATE ALL. The guard keeps the server's statements for others. Whatever
 * names something waits until this is answered, so nothing was sent since. */
static void forget_names(struct backend *backend)
{
    if (backend->client)
        client_statements_clear(&backend->client->statements);
    backend->settings_dirty = true;
    if (!pool_is_guarded(backend->pool))
        forget_statements(backend);
}

/* DEALLOCATE of a name: the next of those that the text has. */
static void forget_name(struct backend *backend)
{
    struct expect *head = expect_first(&backend->expected);
    struct client_names *names = head->names;
    if (!names || names->done == names->count)
        return;
    if (!pool_is_guarded(backend->pool))
        prepare_placeholder_gone(backend, names->done);
    struct client_statement *name = names->items[names->done++];
    if (backend->client)
        client_statement_remove(&backend->client->statements, name);
}

/* Whether it does when the transaction has ended, the server is asked. */
static void note_listening(struct backend *backend)
{
    struct client *client = backend->client;
    if (client && client->place->may_listen)
        client->listens = backend->settings_dirty = true;
    else
        backend->tainted = true;
}

static void note_tag(struct backend *backend, const struct reply *reply)
{
    /* Tags that say that the session is not as it was. Most begin with other letters. */
    const char *tag = reply->body;
    if (reply->available < 3)
        return;
    switch (tag[0]) {
    case 'S':
        if (strncmp(tag, "SET", 3) == 0)
            backend->settings_dirty = true;
        break;
    case 'R':
        if (strncmp(tag, "RESET", reply->available) == 0)
            backend->settings_dirty = true;
        break;
    case 'D':
        if (strncmp(tag, "DISCARD ALL", reply->available) == 0 ||
            strncmp(tag, "DEALLOCATE ALL", reply->available) == 0)
            forget_names(backend); /* also when the text did not begin with it */
        else if (strncmp(tag, "DEALLOCATE", reply->available) == 0)
            forget_name(backend);
        else if (strncmp(tag, "DO", reply->available) == 0)
            backend->settings_dirty = true;
        break;
    case 'P':
        if (strncmp(tag, "PREPARE", reply->available) == 0 && backend->client)
            backend->client->pinned = true;
        break;
    case 'L':
        if (strncmp(tag, "LISTEN", reply->available) == 0)
            note_listening(backend);
        else if (strncmp(tag, "LOAD", reply->available) == 0)
            backend->tainted = true;
        break;
    case 'U': /* it may be rolled back, and be of one channel among others: the server is asked */
        if (strncmp(tag, "UNLISTEN", reply->available) == 0 && backend->client)
            backend->settings_dirty |= backend->client->listens;
        break;
    default:
        break;
    }
}

static enum verdict verdict_of(const struct expect *entry)
{
    return entry->action == EXPECT_FORWARD || entry->action == EXPECT_DUPLICATE ? PASS : KEEP;
}

static enum verdict complete(struct backend *backend, const struct reply *reply,
                             enum expect_kind kind)
{
    struct expect *head = next_expected(backend);
    if (!head || head->kind != kind)
        return out_of_step(backend, "unexpected completion", reply->type);
    enum verdict verdict = verdict_of(head);
    if (kind == EXPECT_PARSE && head->statement && head->statement->stands_for)
        backend_want(backend, head->statement->stands_for);
    expect_pop(&backend->expected);
    return verdict;
}

/* Something in the middle of a reply. */
static enum verdict middle(struct backend *backend, const struct reply *reply)
{
    struct expect *head = next_expected(backend);
    if (!head)
        return out_of_step(backend, "a message that nothing was waiting for", reply->type);
    head->answered = true;
    return verdict_of(head);
}

static enum verdict take_command_complete(struct backend *backend, const struct reply *reply)
{
    struct expect *head = next_expected(backend);
    if (!head || (head->kind != EXPECT_EXECUTE && head->kind != EXPECT_QUERY))
        return out_of_step(backend, "unexpected completion", reply->type);
    enum verdict verdict = verdict_of(head);
    head->answered = true;
    backend->copy = COPY_NONE;
    backend->copy_syncs = 0; /* all of them were ignored */
    if (verdict == PASS && reply->type == 'C')
        note_tag(backend, reply);
    if (head->kind == EXPECT_EXECUTE) { /* a query's end is its ReadyForQuery */
        backend->deadline.answered++;
        expect_pop(&backend->expected);
    }
    return verdict;
}

static enum verdict take_row_description(struct backend *backend, const struct reply *reply)
{
    struct expect *head = next_expected(backend);
    if (head && (head->kind == EXPECT_DESCRIBE_PORTAL || head->kind == EXPECT_DESCRIBE_STATEMENT))
        return complete(backend, reply, head->kind);
    return middle(backend, reply);
}

/* Whether a ReadyForQuery comes of the last message; the end of COPY data is none that counts. */
static bool ends_batch(struct expect_queue *expected)
{
    size_t last = expected->count - 1;
    while (expect_at(expected, last)->kind == EXPECT_COPY_END) /* the COPY is in front of it */
        last--;
    enum expect_kind kind = expect_at(expected, last)->kind;
    return kind == EXPECT_SYNC || kind == EXPECT_QUERY || kind == EXPECT_FUNCTION_CALL;
}

/* The server takes CopyData now, and ignores a Sync that was sent before the client ended its data.
 * Anything else that was sent in between is an error to it. */
static enum verdict take_copy_in(struct backend *backend, const struct reply *reply)
{
    struct expect_queue *expected = &backend->expected;
    struct expect *head = next_expected(backend);
    if (!head || (head->kind != EXPECT_EXECUTE && head->kind != EXPECT_QUERY))
        return out_of_step(backend, "unexpected COPY", reply->type);
    backend->copy = COPY_IN;
    size_t end = 1;
    while (end < expected->count && (expect_at(expected, end)->kind == EXPECT_SYNC ||
                                     expect_at(expected, end)->action == EXPECT_FAKE))
        end++;
    if (end < expected->count && expect_at(expected, end)->kind == EXPECT_COPY_END) {
        expect_remove(expected, end);
        backend->copy = COPY_IN_ENDED;
    }
    size_t before = expected->count;
    expect_remove_kind(expected, 1, end, EXPECT_SYNC);
    backend->copy_syncs += (unsigned)(before - expected->count);
    backend->unsynced = !ends_batch(expected);
    return PASS;
}

/* The answer to a Sync that was sent in the middle of a COPY which failed. */
static enum verdict take_doubtful_ready(struct backend *backend, const struct reply *reply)
{
    backend->status = reply->body[0];
    backend->unsynced = false;
    if (backend->client)
        backend->client->skip_till_sync = false;
    return PASS;
}

/* Whether a ReadyForQuery can be the end of what is expected now. */
static bool may_be_ready(const struct expect *head)
{
    return head &&
           (head->kind == EXPECT_SYNC ||
            (head->answered && (head->kind == EXPECT_QUERY || head->kind == EXPECT_FUNCTION_CALL)));
}

static bool settings_follow(struct backend *backend)
{
    const struct expect *head = expect_first(&backend->expected);
    return head && head->action == EXPECT_SETTINGS;
}

static void query_ended(struct backend *backend)
{
    cancel_is_over(backend->client);
    if (backend->status != 'I')
        return;
    usage_count(backend->worker, backend_clients_place(backend), PROXY_USE_TRANSACTIONS, 1);
    if (backend->client)
        rate_count_transaction(backend->client->place);
}

static enum verdict take_ready(struct backend *backend, const struct reply *reply)
{
    struct expect *head = next_expected(backend);
    if (backend->doubtful && reply->body_length == 1 && !may_be_ready(head))
        return take_doubtful_ready(backend, reply);
    if (!head || reply->body_length != 1 ||
        (head->kind != EXPECT_SYNC && head->kind != EXPECT_QUERY &&
         head->kind != EXPECT_FUNCTION_CALL))
        return out_of_step(backend, "unexpected ReadyForQuery", reply->type);
    backend->status = reply->body[0];
    backend->copy = COPY_NONE;
    backend->deadline.answered++;
    if (backend->status == 'I')
        backend->deadline.transactions++;
    enum expect_action action = head->action;
    expect_pop(&backend->expected);
    if (expect_empty(&backend->expected)) /* whatever was sent has had its end */
        backend->batch_open = backend->reply_due = false;
    if (action == EXPECT_CAPTURE)
        session_captured(backend);
    else if (action == EXPECT_SETTINGS || (action == EXPECT_ENTER && !settings_follow(backend)))
        backend->entered = true; /* the loop goes on with session_entered */
    else if (action == EXPECT_FORWARD)
        query_ended(backend);
    return action == EXPECT_FORWARD ? PASS : KEEP;
}

static enum verdict take_parameter(struct backend *backend, const struct reply *reply)
{
    struct wire_reader reader = wire_reader_of(reply->body, reply->available);
    const char *name = wire_read_cstring(&reader);
    const char *value = wire_read_cstring(&reader);
    if (reader.failed || reply->available < reply->body_length)
        return out_of_step(backend, "a malformed ParameterStatus", reply->type);
    if (strcmp(name, "session_authorization") == 0)
        return KEEP;
    struct pairs *with = pairs_with(backend->parameters, name, value);
    if (!with) {
        backend->tainted = true;
        return PASS;
    }
    struct client *client = backend->client;
    pairs_replace(&backend->parameters, with);
    struct expect *head = expect_first(&backend->expected);
    if (!client || (head && (head->action == EXPECT_SETTINGS || head->action == EXPECT_ENTER)))
        return KEEP; /* told when all of them are in force */
    pairs_replace(&client->parameters, pairs_ref(with));
    backend->settings_dirty = true; /* a function may have set it */
    next_expected(backend);         /* answers of ours that come before it */
    return PASS;
}

static enum verdict take_notice(struct backend *backend)
{
    const struct expect *head = next_expected(backend);
    return head && verdict_of(head) == PASS ? PASS : KEEP;
}

static enum verdict take_notification(struct backend *backend, const struct reply *reply)
{
    const struct client *client = backend->client;
    if (mutation("proxy.notify"))
        return PASS;
    if (!client || !client->listens || reply->available < reply->body_length)
        return KEEP;
    if (!pool_is_guarded(backend->pool))
        return PASS; /* nobody else is in its database */
    if (!notification_write_own(client->place->tenant_id, reply->body, reply->body_length,
                                &backend->worker->scratch))
        return KEEP;
    to_client(backend);
    return REPLACED;
}

static enum verdict take_reply(struct backend *backend, const struct reply *reply)
{
    switch (reply->type) {
    case 'D': {
        enum verdict verdict = middle(backend, reply);
        if (verdict == KEEP && expect_first(&backend->expected)->action == EXPECT_CAPTURE)
            session_captured_row(backend, reply->body, reply->available);
        return verdict;
    }
    case 'C':
    case 'I':
    case 's':
        return take_command_complete(backend, reply);
    case 'Z':
        return take_ready(backend, reply);
    case '1':
        return complete(backend, reply, EXPECT_PARSE);
    case '2':
        return complete(backend, reply, EXPECT_BIND);
    case '3':
        return complete(backend, reply, EXPECT_CLOSE);
    case 'T':
    case 'n':
        return take_row_description(backend, reply);
    case 't':
    case 'V':
    case 'H':
    case 'd':
    case 'c':
        return middle(backend, reply);
    case 'G':
        return take_copy_in(backend, reply);
    case 'E': {
        enum verdict verdict = take_error(backend, reply);
        if ((verdict == PASS || verdict == REPLACED) && backend->client)
            usage_count(backend->worker, backend->client->place, PROXY_USE_ERRORS, 1);
        return verdict;
    }
    case 'N':
        return take_notice(backend);
    case 'S':
        return take_parameter(backend, reply);
    case 'A':
        return take_notification(backend, reply);
    default:
        return out_of_step(backend, "an unknown message", reply->type);
    }
}

/* ---- the loop ---- */

/* Whether all of a message's body must be here before it is looked at. */
static bool inspect_whole(const struct backend *backend, const struct wire_frame *frame)
{
    if (frame->body_length > INSPECT_MAX)
        return false;
    switch (frame->type) {
    case 'C':
    case 'Z':
    case 'S':
    case 'E':
    case 'A':
        return true;
    case 'D':
        return backend->expected.count > 0 &&
               expect_at((struct expect_queue *)&backend->expected, 0)->action == EXPECT_CAPTURE;
    default:
        return false;
    }
}

struct run {
    const char *start; /* of the messages that are passed on as they are */
    size_t length;
    int64_t most; /* bytes of one answer */
};

static void queue_run(struct backend *backend, struct run *run)
{
    if (run->length > 0 && backend->client)
        stream_queue(backend->client->stream, run->start, run->length);
    run->length = 0;
}

/* Everything that the client is to get of these bytes is queued: send it before its state changes.
 */
static void flush_run(struct backend *backend, struct run *run)
{
    queue_run(backend, run);
    if (backend->client)
        stream_flush(backend->client->stream);
}

static void extend_run(struct run *run, const char *bytes, size_t length)
{
    if (run->length == 0)
        run->start = bytes;
    run->length += length;
}

static size_t continue_message(struct backend *backend, struct run *run, const char *bytes,
                               size_t length)
{
    size_t *left = backend->forward_left > 0 ? &backend->forward_left : &backend->drop_left;
    size_t taken = length < *left ? length : *left;
    if (left == &backend->forward_left)
        extend_run(run, bytes, taken);
    *left -= taken;
    return taken;
}

/* One message. Returns the bytes taken: 0 when more must come first, -1 when the backend is gone.
 */
static ssize_t take_one(struct backend *backend, struct run *run, const char *bytes, size_t length)
{
    struct wire_frame frame;
    int result = wire_frame_read(bytes, length, &frame, NULL);
    if (result == 0)
        return 0;
    if (result < 0) {
        flush_run(backend, run);
        out_of_step(backend, "a malformed header", '?');
        return -1;
    }
    size_t here = length - WIRE_HEADER_SIZE;
    if (here < frame.body_length && inspect_whole(backend, &frame))
        return 0;
    struct reply reply = {.type = frame.type,
                          .body_length = frame.body_length,
                          .body = bytes + WIRE_HEADER_SIZE,
                          .available = here < frame.body_length ? here : frame.body_length};
    struct expect *head = expect_first(&backend->expected);
    bool plain = head && head->action == EXPECT_FORWARD && frame.type != 'E' && frame.type != 'A';
    if (!plain)
        queue_run(backend, run); /* something of our own may come between */
    enum verdict verdict = take_reply(backend, &reply);
    if (verdict == BROKEN)
        return -1;
    if (verdict == PASS && head && unlikely(answer_is_too_large(backend, &frame, run->most)) &&
        backend->client) {
        queue_run(backend, run);
        answer_end(backend);
        return -1;
    }
    size_t whole = WIRE_HEADER_SIZE + reply.available;
    if (verdict == PASS)
        extend_run(run, bytes, whole);
    size_t left = reply.body_length - reply.available;
    backend->forward_left = verdict == PASS ? left : 0;
    backend->drop_left = verdict == PASS ? 0 : left;
    if (verdict != PASS)
        queue_run(backend, run);
    return (ssize_t)whole;
}

/* The client's settings are in force: it hears of them before anything else that is under way.
 * Returns whether the client waits for this with its first message. */
static bool tell_entered(struct backend *backend, struct run *run)
{
    flush_run(backend, run);
    backend->entered = false;
    if (backend->client && backend->client->checking_settings)
        return false; /* the end of its transaction is the end of its login: see finish_turn */
    session_entered(backend);
    return !pool_is_guarded(backend->pool);
}

static void ease_pressure(struct backend *backend)
{
    struct client *client = backend->client;
    if (!client)
        return;
    /* They may be all that is left of a queue that is full, and nothing else would take them out.
     */
    if (backend->expected.count >= EXPECT_MAX / 2)
        backend_answer_fakes(backend);
    if (stream_pending(client->stream) > OUTPUT_HIGH_WATER)
        stream_pause_read(backend->stream);
    if (client->state == CLIENT_ACTIVE && backend->expected.count < EXPECT_MAX / 2 &&
        stream_pending(backend->stream) <= OUTPUT_HIGH_WATER &&
        stream_pending(client->stream) <= OUTPUT_HIGH_WATER)
        client_resume(client);
}

/* The backend may be gone, or another client's, when this returns. A client whose first message is
 * due keeps it: it could be given to whoever has waited longer, time and again. */
static void finish_turn(struct backend *backend, bool first_due)
{
    if (backend->state == BACKEND_IDLE && backend->tainted) {
        backend_evict(backend); /* the server has said that it ends: nobody is to get it now */
        return;
    }
    drop_copy_ends(backend);
    if (backend->flushed) {
        backend_answer_fakes(backend);
        backend->flushed = !expect_empty(&backend->expected);
    }
    ease_pressure(backend);
    if (!first_due && expect_empty(&backend->expected))
        cancel_is_over(backend->client);
    if (first_due || !expect_empty(&backend->expected) || backend->status != 'I' ||
        !backend->client || backend->forward_left > 0 || backend->drop_left > 0 ||
        backend->told_fatal)
        return;
    if (backend->client->checking_settings)
        session_checked(backend);
    else
        backend_transaction_ended(backend);
}

size_t backend_received(struct backend *backend, const char *bytes, size_t length)
{
    struct run run = {NULL, 0, answer_most(backend)};
    size_t at = 0;
    bool first_due = false;
    while (at < length) {
        if (backend->forward_left > 0 || backend->drop_left > 0) {
            at += continue_message(backend, &run, bytes + at, length - at);
            continue;
        }
        ssize_t taken = take_one(backend, &run, bytes + at, length - at);
        if (taken < 0)
            return length;
        if (taken == 0)
            break;
        at += (size_t)taken;
        if (backend->entered)
            first_due = tell_entered(backend, &run);
    }
    flush_run(backend, &run);
    usage_count(backend->worker, backend_clients_place(backend), PROXY_USE_BYTES_OUT, (int64_t)at);
    finish_turn(backend, first_due);
    return at;
}

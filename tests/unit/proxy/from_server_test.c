/* Replies against the queue of expected ones: what an error undoes, COPY, the proxy's own answers,
 * sizes, notifications. Longer than 800 lines, as all of it needs the one client on one backend. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/backend.h"
#include "proxy/place.h"
#include "proxy/prepare.h"
#include "wire/sqlstate.h"

/* ---- what from_server.c calls ---- */

static struct buffer told = {.maximum = 1024 * 1024}; /* what the client gets */
static int closed, evictions, ended, too_large;

void stream_write(struct stream *stream, const char *bytes, size_t length)
{
    (void)stream;
    buffer_append(&told, bytes, length);
}

void stream_queue(struct stream *stream, const char *bytes, size_t length)
{
    stream_write(stream, bytes, length);
}

void stream_flush(struct stream *stream)
{
    (void)stream;
}

size_t stream_pending(const struct stream *stream)
{
    (void)stream;
    return 0;
}

void stream_pause_read(struct stream *stream)
{
    (void)stream;
}

void rate_count_transaction(struct place *place)
{
    (void)place;
}

void client_resume(struct client *client)
{
    (void)client;
}

void client_fail(struct client *client, const char *sqlstate, const char *message, const char *hint)
{
    (void)client;
    if (strcmp(sqlstate, SQLSTATE_PROTOCOL_VIOLATION) == 0) {
        assert_string_equal(message, "lost synchronization with the server");
        return;
    }
    assert_string_equal(sqlstate, SQLSTATE_PROGRAM_LIMIT_EXCEEDED);
    assert_non_null(strstr(message, "max_result_size (100 bytes)"));
    assert_non_null(strstr(hint, "FETCH"));
    too_large++;
}

void backend_evict(struct backend *backend_)
{
    (void)backend_;
    evictions++;
}

void backend_unlink(struct backend *backend)
{
    if (backend->client)
        backend->client->backend = NULL;
    backend->client = NULL;
}

void backend_close(struct backend *backend)
{
    (void)backend;
    closed++;
}

void backend_transaction_ended(struct backend *backend)
{
    (void)backend;
    ended++;
}

void session_captured_row(struct backend *backend, const char *body, size_t length)
{
    (void)backend;
    (void)body;
    (void)length;
}

void session_capture_failed(struct backend *backend, const struct wire_error_fields *fields)
{
    (void)backend;
    (void)fields;
}

void session_captured(struct backend *backend)
{
    (void)backend;
}

void session_checked(struct backend *backend)
{
    (void)backend;
}

void session_entered(struct backend *backend)
{
    (void)backend;
}

void backend_enter_refused(struct backend *backend_, const struct wire_error_fields *fields)
{
    (void)backend_;
    (void)fields;
}

void prepare_placeholder_gone(struct backend *backend_, size_t number)
{
    (void)backend_;
    (void)number;
}

void backend_want(struct backend *backend_, struct statement *statement)
{
    (void)backend_;
    (void)statement;
}

const char *backend_tenant(const struct backend *backend_)
{
    (void)backend_;
    return "acme";
}

void session_refused(struct backend *backend, const struct wire_error_fields *fields)
{
    (void)backend;
    (void)fields;
}

/* ---- a client on a backend ---- */

static struct worker worker;
static struct hash_table stores;
static struct statement_store *store;
static struct pool pool;
static struct backend backend;
static struct client client;
static struct place place;

static int set_up(void **state)
{
    (void)state;
    memset(&worker, 0, sizeof(worker));
    memset(&backend, 0, sizeof(backend));
    memset(&client, 0, sizeof(client));
    memset(&place, 0, sizeof(place));
    client.place = &place;
    hash_table_init(&stores);
    store = statement_store_get(&stores, &(struct statement_scope){.id = 1});
    buffer_init(&worker.scratch, 1024 * 1024);
    backend.worker = &worker;
    pool.key.placement_id = 1; /* not shared */
    backend.pool = &pool;
    backend.client = &client;
    backend.status = 'I';
    expect_init(&backend.expected);
    backend_statements_init(&backend.statements);
    client.backend = &backend;
    client.state = CLIENT_ACTIVE;
    client.serial = 5;
    list_init(&client.cancelling);
    backend.unnamed_client = client.serial;
    hash_table_init(&client.statements);
    closed = evictions = ended = too_large = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    expect_free(&backend.expected);
    backend_statements_free(&backend.statements);
    client_statements_clear(&client.statements);
    hash_table_free(&client.statements);
    assert_int_equal(store->statements.count, 0);
    statement_store_unref(store);
    hash_table_free(&stores);
    buffer_free(&worker.scratch);
    buffer_free(&told);
    return 0;
}

static struct statement *prepare(const char *text)
{
    _cleanup_free_ char *definition = xcalloc(1, strlen(text) + 3);
    memcpy(definition, text, strlen(text) + 1);
    struct statement *statement = statement_intern(store, definition, strlen(text) + 3);
    backend_statements_add(&backend.statements, statement);
    return statement;
}

static void push(struct expect entry)
{
    assert_true(expect_push(&backend.expected, &entry));
}

static void push_kind(enum expect_kind kind)
{
    push((struct expect){.kind = kind});
}

/* Some messages, each with its type and body, in one read. */
static void receive(const char *bytes, size_t length)
{
    _cleanup_free_ char *exact = xmalloc(length);
    memcpy(exact, bytes, length);
    assert_int_equal(backend_received(&backend, exact, length), length);
}

#define RECEIVE(bytes) receive(bytes, sizeof(bytes) - 1)
#define PARSE_COMPLETE "1\0\0\0\4"
#define BIND_COMPLETE "2\0\0\0\4"
#define CLOSE_COMPLETE "3\0\0\0\4"
#define COPY_IN_RESPONSE "G\0\0\0\7\0\0\0"
#define COPIED "C\0\0\0\12COPY0\0"
#define READY(status) "Z\0\0\0\5" status

static void receive_error(const char *sqlstate)
{
    _cleanup_buffer_ struct buffer message = BUFFER_INIT(1024);
    wire_put_error(&message, "ERROR", sqlstate, "no", NULL, NULL);
    receive(message.data, message.length);
}

static void check_told(const char *types)
{
    char got[64];
    size_t count_ = 0;
    struct wire_frame frame;
    for (size_t at = 0; at < told.length; at += WIRE_HEADER_SIZE + frame.body_length) {
        assert_int_equal(wire_frame_read(told.data + at, told.length - at, &frame, NULL), 1);
        assert_true(count_ + 1 < sizeof(got));
        got[count_++] = frame.type;
    }
    got[count_] = '\0';
    assert_string_equal(got, types);
    buffer_reset(&told);
}

/* ---- errors ---- */

/* What is behind the error in the pipeline was never looked at by the server. */
static void test_an_error_undoes_what_was_assumed(void **state)
{
    (void)state;
    struct statement *statement = prepare("SELECT 1");
    struct client_statement *name = client_statement_add(&client.statements, "a", statement);
    push_kind(EXPECT_BIND);
    push((struct expect){.kind = EXPECT_PARSE, .statement = statement, .name = name});
    push_kind(EXPECT_EXECUTE);
    push_kind(EXPECT_SYNC);
    push_kind(EXPECT_BIND);
    statement_unref(statement);
    receive_error("42601");
    assert_null(client_statement_find(&client.statements, "a"));
    assert_int_equal(backend.statements.table.count, 0);
    assert_int_equal(backend.expected.count, 2);
    assert_false(client.skip_till_sync);
    RECEIVE(READY("I"));
    check_told("EZ");
    assert_int_equal(ended, 0); /* the second Bind is under way */
    assert_int_equal(closed, 0);
}

static void test_an_error_without_a_sync_yet(void **state)
{
    (void)state;
    push_kind(EXPECT_PARSE);
    push_kind(EXPECT_BIND);
    receive_error("42601");
    assert_true(expect_empty(&backend.expected));
    assert_true(client.skip_till_sync);
}

/* Close a; Parse a: both were skipped, so the client has its first "a" still. */
static void test_a_name_that_was_closed_and_taken_again(void **state)
{
    (void)state;
    struct statement *first = prepare("SELECT 1");
    struct statement *second = prepare("SELECT 2");
    struct client_statement *old = client_statement_add(&client.statements, "a", first);
    push_kind(EXPECT_BIND);
    push((struct expect){.kind = EXPECT_CLOSE, .action = EXPECT_FAKE, .name = old});
    client_statement_remove(&client.statements, old);
    struct client_statement *new = client_statement_add(&client.statements, "a", second);
    push((struct expect){.kind = EXPECT_PARSE, .statement = second, .name = new});
    push_kind(EXPECT_SYNC);
    receive_error("42601");
    assert_ptr_equal(client_statement_find(&client.statements, "a"), old);
    assert_int_equal(client.statements.count, 1);
    assert_false(backend_statements_touch(&backend.statements, second));
    statement_unref(first);
    statement_unref(second);
}

/* A Close of the proxy's own was skipped: the backend has the statement still, and to prepare it
 * under its name would be an error. */
static void test_an_evicted_statement_is_still_there(void **state)
{
    (void)state;
    struct statement *evicted = prepare("SELECT 1");
    struct statement *statement = prepare("SELECT 2");
    backend_statements_drop(&backend.statements, evicted);
    push_kind(EXPECT_BIND);
    push((struct expect){.kind = EXPECT_PARSE, .action = EXPECT_SWALLOW, .statement = statement});
    push((struct expect){.kind = EXPECT_CLOSE, .action = EXPECT_SWALLOW, .statement = evicted});
    push_kind(EXPECT_SYNC);
    receive_error("42601");
    assert_true(backend_statements_touch(&backend.statements, evicted));
    assert_false(backend_statements_touch(&backend.statements, statement));

    /* It was needed again in the same pipeline. */
    backend_statements_drop(&backend.statements, evicted);
    RECEIVE(READY("I"));
    push_kind(EXPECT_BIND);
    push((struct expect){.kind = EXPECT_CLOSE, .action = EXPECT_SWALLOW, .statement = evicted});
    push((struct expect){.kind = EXPECT_PARSE, .action = EXPECT_SWALLOW, .statement = evicted});
    backend_statements_add(&backend.statements, evicted);
    push_kind(EXPECT_SYNC);
    receive_error("42601");
    assert_true(backend_statements_touch(&backend.statements, evicted));
    statement_unref(evicted);
    statement_unref(statement);
}

/* What a text deallocates is gone when the server says so, and not before. */
static void test_names_go_with_the_tag(void **state)
{
    (void)state;
    static const unsigned flags[] = {TEXT_DISCARDS, TEXT_DEALLOCATES};
    static const struct {
        const char *bytes;
        size_t length;
    } tags[] = {{"C\0\0\0\x13"
                 "DEALLOCATE ALL",
                 20},
                {"C\0\0\0\x0f"
                 "DEALLOCATE",
                 16}};
    for (size_t i = 0; i < array_size(flags); i++) {
        struct statement *statement = prepare("SELECT 1");
        struct client_statement *name = client_statement_add(&client.statements, "mine", statement);
        for (int refused = 1; refused >= 0; refused--) {
            push((struct expect){
                .kind = EXPECT_QUERY,
                .flags = flags[i],
                .names = client_names_deallocated(&client.statements, "DEALLOCATE mine", 15)});
            assert_true(expect_names_changing(&backend.expected));
            if (refused)
                receive_error("25P02");
            else
                receive(tags[i].bytes, tags[i].length);
            RECEIVE(READY("I"));
            assert_false(expect_names_changing(&backend.expected));
            if (refused)
                assert_ptr_equal(client_statement_find(&client.statements, "mine"), name);
            else
                assert_null(client_statement_find(&client.statements, "mine"));
            assert_false(backend.tainted);
        }
        statement_unref(statement);
    }
}

/* Whose unnamed statement the backend has is not known after a pipeline was skipped. */
static void test_the_unnamed_statement_after_an_error(void **state)
{
    (void)state;
    push_kind(EXPECT_BIND);
    push_kind(EXPECT_PARSE);
    push_kind(EXPECT_SYNC);
    receive_error("42601");
    assert_int_equal(backend.unnamed_client, 0);
    RECEIVE(READY("I"));

    /* One that was streamed through cannot be sent again. */
    backend.unnamed_client = client.serial;
    backend.unnamed_streamed = true;
    push_kind(EXPECT_BIND);
    push_kind(EXPECT_SYNC);
    receive_error("42601");
    assert_int_equal(backend.unnamed_client, client.serial);
}

/* ---- answers of the proxy's own ---- */

static void test_fakes_come_in_their_place(void **state)
{
    (void)state;
    push((struct expect){.kind = EXPECT_PARSE, .action = EXPECT_FAKE});
    push_kind(EXPECT_BIND);
    push((struct expect){.kind = EXPECT_CLOSE, .action = EXPECT_FAKE});
    push((struct expect){.kind = EXPECT_CLOSE, .action = EXPECT_SWALLOW});
    push((struct expect){.kind = EXPECT_PARSE, .action = EXPECT_FAKE});
    push_kind(EXPECT_SYNC);
    RECEIVE(BIND_COMPLETE CLOSE_COMPLETE READY("I"));
    check_told("1231Z");
    assert_int_equal(ended, 1);
    assert_int_equal(closed, 0);
}

static void test_out_of_step(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } replies[] = {{PARSE_COMPLETE, 5},  {BIND_COMPLETE, 5},    {READY("I"), 6},
                   {"Z\0\0\0\4", 5},     {COPY_IN_RESPONSE, 8}, {"?\0\0\0\4", 5},
                   {"D\0\0\0\6\0\0", 7}, {COPIED, 11},          {"D\0\0\0\3", 5},
                   {"t\0\0\0\6\0\0", 7}};
    for (size_t i = 0; i < array_size(replies); i++) {
        closed = 0;
        receive(replies[i].bytes, replies[i].length);
        assert_int_equal(closed, 1);
        assert_null(backend.client);
        assert_null(client.backend);
        backend.client = &client;
        client.backend = &backend;
    }
}

/* ---- COPY ---- */

static void check_kinds(const enum expect_kind *kinds, size_t count_)
{
    assert_int_equal(backend.expected.count, count_);
    for (size_t i = 0; i < count_; i++)
        assert_int_equal(expect_at(&backend.expected, i)->kind, kinds[i]);
}

#define EXPECTED(...)                                                                              \
    check_kinds((const enum expect_kind[]){__VA_ARGS__},                                           \
                sizeof((const enum expect_kind[]){__VA_ARGS__}) / sizeof(enum expect_kind))

/* The server ignores Sync till the data end; the one behind them counts. */
static void test_syncs_while_the_server_copies_in(void **state)
{
    (void)state;
    static const enum expect_kind heads[] = {EXPECT_EXECUTE, EXPECT_QUERY};
    for (size_t i = 0; i < array_size(heads); i++) {
        push_kind(heads[i]);
        push_kind(EXPECT_SYNC);
        push((struct expect){.kind = EXPECT_CLOSE, .action = EXPECT_FAKE});
        push_kind(EXPECT_SYNC);
        push_kind(EXPECT_COPY_END);
        push_kind(EXPECT_SYNC);
        RECEIVE(COPY_IN_RESPONSE);
        EXPECTED(heads[i], EXPECT_CLOSE, EXPECT_SYNC);
        assert_int_equal(backend.copy, COPY_IN_ENDED);
        RECEIVE(COPIED);
        assert_int_equal(backend.copy, COPY_NONE);
        if (heads[i] == EXPECT_QUERY)
            RECEIVE(READY("I"));
        RECEIVE(READY("I"));
        assert_true(expect_empty(&backend.expected));
        check_told(heads[i] == EXPECT_QUERY ? "GCZ3Z" : "GC3Z");
    }
    assert_int_equal(closed, 0);
}

static void test_a_copy_whose_data_are_still_to_come(void **state)
{
    (void)state;
    push_kind(EXPECT_EXECUTE);
    push_kind(EXPECT_SYNC);
    push_kind(EXPECT_SYNC);
    RECEIVE(COPY_IN_RESPONSE);
    EXPECTED(EXPECT_EXECUTE);
    assert_int_equal(backend.copy, COPY_IN);
    assert_int_equal(ended, 0);
}

/* Another message is an error to a server that copies in, and the Sync behind it is not ignored. */
static void test_a_message_in_the_middle_of_a_copy(void **state)
{
    (void)state;
    push_kind(EXPECT_EXECUTE);
    push_kind(EXPECT_SYNC);
    push_kind(EXPECT_PARSE);
    push_kind(EXPECT_SYNC);
    RECEIVE(COPY_IN_RESPONSE);
    EXPECTED(EXPECT_EXECUTE, EXPECT_PARSE, EXPECT_SYNC);
    assert_int_equal(backend.copy, COPY_IN);
    receive_error("08P01");
    RECEIVE(READY("I"));
    check_told("GEZ");
    assert_true(expect_empty(&backend.expected));
    assert_int_equal(closed, 0);
}

/* Two COPY in one text: each takes the end of its own data. */
static void test_two_copies_in_one_query(void **state)
{
    (void)state;
    push_kind(EXPECT_QUERY);
    push_kind(EXPECT_COPY_END);
    push_kind(EXPECT_COPY_END);
    RECEIVE(COPY_IN_RESPONSE);
    EXPECTED(EXPECT_QUERY, EXPECT_COPY_END);
    RECEIVE(COPIED COPY_IN_RESPONSE);
    EXPECTED(EXPECT_QUERY);
    RECEIVE(COPIED READY("I"));
    assert_true(expect_empty(&backend.expected));
    assert_int_equal(ended, 1);
}

/* A COPY that failed before it began: the end of its data is nobody's. */
static void test_the_end_of_data_that_nobody_wants(void **state)
{
    (void)state;
    push_kind(EXPECT_QUERY);
    push_kind(EXPECT_COPY_END);
    receive_error("42P01");
    RECEIVE(READY("I"));
    push_kind(EXPECT_QUERY);
    RECEIVE(COPIED READY("I"));
    assert_true(expect_empty(&backend.expected));
    check_told("EZCZ");
}

/* The end of data that nobody wants, behind a COPY that works. */
static void test_a_copy_in_front_of_one_that_fails(void **state)
{
    (void)state;
    push_kind(EXPECT_QUERY);
    push_kind(EXPECT_COPY_END);
    push_kind(EXPECT_QUERY);
    push_kind(EXPECT_COPY_END);
    RECEIVE(COPY_IN_RESPONSE);
    assert_false(backend.unsynced);
    RECEIVE(COPIED READY("I"));
    receive_error("42501");
    RECEIVE(READY("I"));
    assert_true(expect_empty(&backend.expected));
    assert_int_equal(ended, 1);
    check_told("GCZEZ");
}

/* ---- what arrives in pieces ---- */

static void test_every_cut_gives_the_same(void **state)
{
    (void)state;
    static const char bytes[] = PARSE_COMPLETE BIND_COMPLETE "T\0\0\0\6\0\0"
                                                             "D\0\0\0\14\0\1\0\0\0\2xy"
                                                             "C\0\0\0\15SELECT 1\0" READY("T");
    size_t length = sizeof(bytes) - 1;
    for (size_t cut = 0; cut <= length; cut++) {
        push_kind(EXPECT_PARSE);
        push_kind(EXPECT_BIND);
        push_kind(EXPECT_DESCRIBE_PORTAL);
        push_kind(EXPECT_EXECUTE);
        push_kind(EXPECT_SYNC);
        _cleanup_free_ char *first = xmalloc(cut);
        memcpy(first, bytes, cut);
        size_t taken = backend_received(&backend, first, cut);
        assert_true(taken <= cut);
        receive(bytes + taken, length - taken);
        assert_true(expect_empty(&backend.expected));
        assert_int_equal(backend.status, 'T');
        assert_int_equal(told.length, length);
        assert_memory_equal(told.data, bytes, length);
        buffer_reset(&told);
    }
    assert_int_equal(closed, 0);
    assert_int_equal(ended, 0);
}

/* ---- settings in place ---- */

/* The client waits with its first message, and keeps the backend for it. */
static void test_settings_in_place_end_nothing(void **state)
{
    (void)state;
    push((struct expect){.kind = EXPECT_QUERY, .action = EXPECT_SETTINGS});
    RECEIVE("C\0\0\0\12RESET\0" READY("I"));
    assert_true(expect_empty(&backend.expected));
    assert_int_equal(ended, 0);
    push_kind(EXPECT_QUERY);
    RECEIVE(COPIED READY("I"));
    assert_int_equal(ended, 1);
    check_told("CZ");
}

/* The socket is closed later: nobody may be given it until then. */
static void test_an_idle_server_that_says_it_ends(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer message = BUFFER_INIT(1024);
    wire_put_error(&message, "FATAL", "57P01", "terminating", NULL, NULL);
    backend.client = NULL;
    backend.state = BACKEND_IDLE;
    receive(message.data, message.length);
    assert_int_equal(evictions, 1);
    assert_true(backend.tainted);
}

/* ---- how large an answer may be ---- */

/* 30 and 10 bytes. */
#define ROW "D\0\0\0\35\0\1\0\0\0\23nineteen characters"
#define DONE "C\0\0\0\11DONE\0"

static void test_an_answer_that_is_as_large_as_it_may_be(void **state)
{
    (void)state;
    place.limits.values[ROUTE_LIMIT_RESULT_SIZE] = 100;
    for (int i = 0; i < 3; i++) {
        push_kind(EXPECT_QUERY);
        RECEIVE(ROW ROW ROW DONE READY("T"));
        check_told("DDDCZ");
    }
    assert_int_equal(too_large, 0);
}

/* Several answers in one read, and one in several: each counts for itself. */
static void test_answers_do_not_add_up(void **state)
{
    (void)state;
    place.limits.values[ROUTE_LIMIT_RESULT_SIZE] = 100;
    push_kind(EXPECT_QUERY);
    push_kind(EXPECT_QUERY);
    RECEIVE(ROW ROW DONE READY("T") ROW ROW);
    RECEIVE(ROW DONE READY("T"));
    check_told("DDCZDDDCZ");
    assert_int_equal(too_large, 0);
}

static void test_an_answer_that_is_too_large(void **state)
{
    (void)state;
    place.limits.values[ROUTE_LIMIT_RESULT_SIZE] = 100;
    push_kind(EXPECT_QUERY);
    RECEIVE(ROW ROW);
    RECEIVE(ROW ROW);
    check_told("DDD");
    assert_int_equal(too_large, 1);
}

/* Of a message that would be too much the client gets nothing, however little of it is there. */
static void test_a_row_that_is_too_large(void **state)
{
    (void)state;
    place.limits.values[ROUTE_LIMIT_RESULT_SIZE] = 100;
    push_kind(EXPECT_QUERY);
    RECEIVE(ROW "D\0\1\0\0\0");
    check_told("D");
    assert_int_equal(too_large, 1);
}

/* ---- notifications ---- */

#define NOTIFICATION(length, channel) "A\0\0\0" length "\0\0\1\2" channel "\0payload\0"

static void listen_in(bool shared, bool listens)
{
    pool.key.placement_id = shared ? 0 : 1;
    client.place = &place;
    place.tenant_id = 0x2a;
    client.listens = listens;
}

static void test_a_notification_of_its_own_database(void **state)
{
    (void)state;
    listen_in(false, true);
    RECEIVE(NOTIFICATION("\25", "news"));
    assert_int_equal(told.length, 22);
    assert_memory_equal(told.data, NOTIFICATION("\25", "news"), 22);
    check_told("A");
    listen_in(false, false);
    RECEIVE(NOTIFICATION("\25", "news"));
    check_told("");
}

static void test_notifications_where_channels_are_shared(void **state)
{
    (void)state;
    listen_in(true, true);
    RECEIVE(NOTIFICATION("\30", "2a:news"));
    assert_int_equal(told.length, 22);
    assert_memory_equal(told.data, NOTIFICATION("\25", "news"), 22);
    check_told("A");
    RECEIVE(NOTIFICATION("\24", "2a:")); /* an empty name, which the guard does not let happen */
    check_told("A");
    RECEIVE(NOTIFICATION("\30", "2b:news"));
    RECEIVE(NOTIFICATION("\31", "2a0:news"));
    RECEIVE(NOTIFICATION("\27", "2:news"));
    RECEIVE(NOTIFICATION("\30", "2A:news"));
    RECEIVE(NOTIFICATION("\25", "news"));
    RECEIVE(NOTIFICATION("\23", "2a"));
    RECEIVE(NOTIFICATION("\21", ""));
    check_told("");
    backend.client = NULL;
    RECEIVE(NOTIFICATION("\30", "2a:news"));
    backend.client = &client;
    listen_in(true, false);
    RECEIVE(NOTIFICATION("\30", "2a:news"));
    check_told("");
    assert_int_equal(closed, 0);
}

static void test_notifications_that_are_malformed(void **state)
{
    (void)state;
    listen_in(true, true);
    RECEIVE("A\0\0\0\4");
    RECEIVE("A\0\0\0\6\0\0");
    RECEIVE("A\0\0\0\10\0\0\1\2");
    RECEIVE("A\0\0\0\17\0\0\1\0022a:news");
    RECEIVE("A\0\0\0\20\0\0\1\0022a:news\0");
    RECEIVE("A\0\0\0\22\0\0\1\0022a:news\0pa");
    check_told("");
    _cleanup_free_ char *large = xcalloc(1, 20000);
    memcpy(large, NOTIFICATION("\30", "2a:news"), 25);
    large[3] = 0x4e; /* of a length that the server never sends, in pieces */
    large[4] = 0;
    receive(large, 100);
    receive(large + 100, 1 + 0x4e00 - 100);
    check_told("");
    RECEIVE(NOTIFICATION("\30", "2a:news"));
    check_told("A");
}

/* In front of what comes behind it, and whole, wherever it is cut. */
static void test_a_notification_in_its_place(void **state)
{
    (void)state;
    static const char bytes[] = COPIED NOTIFICATION("\30", "2a:news") READY("I");
    size_t length = sizeof(bytes) - 1;
    listen_in(true, true);
    for (size_t cut = 0; cut <= length; cut++) {
        push_kind(EXPECT_QUERY);
        _cleanup_free_ char *first = xmalloc(cut);
        memcpy(first, bytes, cut);
        size_t taken = backend_received(&backend, first, cut);
        receive(bytes + taken, length - taken);
        assert_int_equal(told.length, length - 3);
        check_told("CAZ");
    }
}

#define TAG(length, text) "C\0\0\0" length text "\0"

static void test_tags_that_say_that_it_listens(void **state)
{
    (void)state;
    static const struct {
        const char *tag;
        size_t length;
        bool may_listen, listens, then_listens, then_dirty, then_tainted;
    } cases[] = {
        {TAG("\13", "LISTEN"), 12, true, false, true, true, false},
        {TAG("\13", "LISTEN"), 12, false, false, false, false, true},
        {TAG("\15", "UNLISTEN"), 14, true, true, true, true, false},
        {TAG("\15", "UNLISTEN"), 14, true, false, false, false, false},
        {TAG("\11", "LOAD"), 10, true, false, false, false, true},
        {TAG("\13", "NOTIFY"), 12, true, false, false, false, false},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        listen_in(true, cases[i].listens);
        place.may_listen = cases[i].may_listen;
        backend.settings_dirty = backend.tainted = false;
        push_kind(EXPECT_QUERY);
        receive(cases[i].tag, cases[i].length);
        RECEIVE(READY("T"));
        assert_int_equal(client.listens, cases[i].then_listens);
        assert_int_equal(backend.settings_dirty, cases[i].then_dirty);
        assert_int_equal(backend.tainted, cases[i].then_tainted);
        check_told("CZ");
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_an_error_undoes_what_was_assumed),
        TEST(test_an_error_without_a_sync_yet),
        TEST(test_a_name_that_was_closed_and_taken_again),
        TEST(test_an_evicted_statement_is_still_there),
        TEST(test_names_go_with_the_tag),
        TEST(test_an_idle_server_that_says_it_ends),
        TEST(test_the_unnamed_statement_after_an_error),
        TEST(test_fakes_come_in_their_place),
        TEST(test_out_of_step),
        TEST(test_syncs_while_the_server_copies_in),
        TEST(test_a_copy_whose_data_are_still_to_come),
        TEST(test_a_message_in_the_middle_of_a_copy),
        TEST(test_two_copies_in_one_query),
        TEST(test_the_end_of_data_that_nobody_wants),
        TEST(test_a_copy_in_front_of_one_that_fails),
        TEST(test_every_cut_gives_the_same),
        TEST(test_settings_in_place_end_nothing),
        TEST(test_an_answer_that_is_as_large_as_it_may_be),
        TEST(test_answers_do_not_add_up),
        TEST(test_an_answer_that_is_too_large),
        TEST(test_a_row_that_is_too_large),
        TEST(test_a_notification_of_its_own_database),
        TEST(test_notifications_where_channels_are_shared),
        TEST(test_notifications_that_are_malformed),
        TEST(test_a_notification_in_its_place),
        TEST(test_tags_that_say_that_it_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A client's settings: which names may be set, which are noted, what is put into SQL and gathered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/backend.h"

/* ---- what session.c calls ---- */

static struct buffer sent = {.maximum = 1024 * 1024};

void stream_write(struct stream *stream, const char *bytes, size_t length)
{
    (void)stream;
    buffer_append(&sent, bytes, length);
}

void stream_flush(struct stream *stream)
{
    (void)stream;
}

void pool_remember(struct pool *pool, bool read_only, struct pairs *settings,
                   struct pairs *parameters)
{
    (void)pool;
    (void)read_only;
    (void)settings;
    (void)parameters;
}

void login_finish(struct client *client)
{
    (void)client;
}

void backend_transaction_ended(struct backend *backend)
{
    (void)backend;
}

void backend_tell_parameters(struct backend *backend)
{
    (void)backend;
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
}

static int failed, checked_out;

void client_set_state(struct client *client, enum client_state state)
{
    client->state = state;
}

bool pool_checkout(struct client *client)
{
    assert_int_equal(client->state, CLIENT_IDLE);
    assert_null(client->backend);
    checked_out++;
    return true;
}

void client_fail(struct client *client, const char *sqlstate, const char *message, const char *hint)
{
    (void)client;
    (void)sqlstate;
    (void)message;
    (void)hint;
    failed++;
}

/* ---- a client on a backend ---- */

static struct worker worker;
static struct backend backend;
static struct client client;

static int set_up(void **state)
{
    (void)state;
    memset(&worker, 0, sizeof(worker));
    memset(&backend, 0, sizeof(backend));
    memset(&client, 0, sizeof(client));
    failed = checked_out = 0;
    pairs_store_init(&worker.pairs);
    buffer_init(&worker.scratch, 1024 * 1024);
    backend.worker = &worker;
    backend.client = &client;
    backend.settings = pairs_make(&worker.pairs, NULL, 0);
    expect_init(&backend.expected);
    list_init(&client.custom_names);
    client.backend = &backend;
    client.settings = pairs_ref(backend.settings);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    session_free_names(&client);
    session_free_captured(&backend);
    pairs_unref(backend.settings);
    pairs_unref(client.settings);
    assert_int_equal(worker.pairs.sets.count, 0);
    pairs_store_free(&worker.pairs);
    expect_free(&backend.expected);
    buffer_free(&worker.scratch);
    buffer_free(&sent);
    return 0;
}

static char *copy_exactly(const char *bytes, size_t length)
{
    char *exact = xmalloc(length); /* so that ASan sees a read behind it */
    memcpy(exact, bytes, length);
    return exact;
}

/* ---- names ---- */

static void test_settings_that_are_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {"role",
                                          "ROLE",
                                          "session_authorization",
                                          "is_superuser",
                                          "replication",
                                          "Session_Replication_Role",
                                          "transaction_read_only",
                                          "",
                                          "a b",
                                          "a-b",
                                          "a;b",
                                          "a'b",
                                          "a\"b",
                                          "a\\b",
                                          "a\nb",
                                          "\xc3\xa4",
                                          "a\x80"};
    static const char *const allowed[] = {
        "application_name", "DateStyle", "app.tenant", "a$1", "roles", "TimeZone"};
    char longest[PAIRS_MAX_NAME + 2];
    for (size_t i = 0; i < array_size(refused); i++)
        assert_false(session_setting_allowed(refused[i]));
    for (size_t i = 0; i < array_size(allowed); i++)
        assert_true(session_setting_allowed(allowed[i]));
    memset(longest, 'a', sizeof(longest));
    longest[PAIRS_MAX_NAME + 1] = '\0';
    assert_false(session_setting_allowed(longest));
    longest[PAIRS_MAX_NAME] = '\0';
    assert_true(session_setting_allowed(longest));
}

/* The names that were noted, each with a blank behind it. */
static void check_noted(const char *text, const char *wanted)
{
    char noted[512] = "";
    size_t used = 0;
    size_t length = strlen(text);
    _cleanup_free_ char *exact = copy_exactly(text, length);
    session_note_names(&client, exact, length);
    list_for_each (link, &client.custom_names)
        used += (size_t)snprintf(noted + used, sizeof(noted) - used, "%s ",
                                 list_entry(link, struct custom_name, link)->name);
    assert_string_equal(noted, wanted);
    session_free_names(&client);
}

static void test_names_with_a_dot_are_noted(void **state)
{
    (void)state;
    check_noted("", "");
    check_noted("set x = 1", "");
    check_noted("set a.b = 1", "a.b ");
    check_noted("a.b", "a.b ");
    check_noted("set a.b.c = 1", "a.b.c ");
    check_noted("select set_config('app.tenant', 'x', false)", "app.tenant ");
    check_noted("set \"app.Tenant\" = 1; set _a.b_1 = 2", "app.Tenant _a.b_1 ");
    check_noted("set a.b = 1; set A.B = 2; set a.bc = 3", "a.b a.bc ");
    check_noted("set a.b = 1.5", "a.b ");
    check_noted("set a.b = 1.x", "a.b ");
    check_noted("1.a.b", "a.b ");
    check_noted("see a.b. And c.", "a.b ");
    check_noted(". .. ... .a a. a.. ..a", "");
    check_noted("..a.b", "a.b ");
    check_noted("(a.b)(c.d)", "a.b c.d ");
    assert_false(client.pinned);
}

static void test_more_names_than_can_be_carried(void **state)
{
    (void)state;
    char text[32];
    for (int i = 0; i < 32; i++) {
        snprintf(text, sizeof(text), "set a.b%d = 1", i);
        session_note_names(&client, text, strlen(text));
    }
    assert_int_equal(client.custom_name_count, 32);
    session_note_names(&client, "set A.B7 = 1", 12); /* is noted */
    assert_false(client.pinned);
    session_note_names(&client, "set a.b32 = 1", 13);
    assert_int_equal(client.custom_name_count, 32);
    assert_true(client.pinned);
}

static void test_a_name_that_is_too_long(void **state)
{
    (void)state;
    char text[PAIRS_MAX_NAME + 1];
    memset(text, 'a', sizeof(text));
    text[1] = '.';
    session_note_names(&client, text, PAIRS_MAX_NAME);
    assert_int_equal(client.custom_name_count, 1);
    assert_false(client.pinned);
    session_note_names(&client, text, PAIRS_MAX_NAME + 1);
    assert_int_equal(client.custom_name_count, 1);
    assert_true(client.pinned);
}

/* In a quadratic scan these take hours. */
static void test_hostile_texts_take_linear_time(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a.", ".", "a", "1.", "a..", "1.a", "a. ", ".a.1"};
    enum { SIZE = 4 * 1024 * 1024 };
    _cleanup_free_ char *text = xmalloc(SIZE);
    for (size_t i = 0; i < array_size(pieces); i++) {
        size_t length = strlen(pieces[i]);
        for (size_t at = 0; at < SIZE; at++)
            text[at] = pieces[i][at % length];
        session_note_names(&client, text, SIZE);
        text[SIZE - 1] = '.';
        session_note_names(&client, text, SIZE);
    }
}

/* ---- SQL ---- */

static void use_settings(const struct pair *items, size_t count)
{
    pairs_replace(&client.settings, pairs_make(&worker.pairs, items, count));
}

static void check_sent(const char *sql)
{
    assert_true(sent.length > WIRE_HEADER_SIZE);
    assert_int_equal(sent.data[0], 'Q');
    assert_string_equal(sent.data + WIRE_HEADER_SIZE, sql);
    assert_int_equal(sent.length, WIRE_HEADER_SIZE + strlen(sql) + 1);
    buffer_reset(&sent);
}

static void test_settings_are_put_in_force(void **state)
{
    (void)state;
    use_settings((const struct pair[]){{"a.b", "it's \\ \"x\""}, {"c", "\xc3\xa4\n$1"}}, 2);
    session_enter(&backend, &client);
    check_sent("SELECT pg_catalog.set_config(E'a.b', E'it\\047s \\134 \"x\"', false), "
               "pg_catalog.set_config(E'c', E'\\U000000E4\\012$1', false)");
    assert_ptr_equal(backend.settings, client.settings);
    assert_int_equal(expect_first(&backend.expected)->action, EXPECT_SETTINGS);
    assert_int_equal(expect_first(&backend.expected)->kind, EXPECT_QUERY);
    use_settings(NULL, 0);
    session_enter(&backend, &client);
    check_sent("RESET ROLE; RESET ALL; ");
    assert_int_equal(backend.settings->count, 0);
}

/* The largest set fits, whatever its bytes: nothing is cut off in the middle of a literal. */
static void test_the_largest_settings_fit(void **state)
{
    (void)state;
    static const char *const fill[] = {"x", "'", "\x01", "\xc3\xa4", "\xf0\x9f\x98\x80", "\x7f"};
    for (size_t i = 0; i < array_size(fill); i++) {
        size_t length = strlen(fill[i]);
        size_t size = (PAIRS_MAX_BYTES - 3) / length * length;
        _cleanup_free_ char *value = xcalloc(1, size + 1);
        for (size_t at = 0; at < size; at++)
            value[at] = fill[i][at % length];
        use_settings(&(struct pair){"a", value}, 1);
        session_enter(&backend, &client);
        assert_true(sent.length > size);
        assert_memory_equal(sent.data + sent.length - 10, "', false)", 10);
        buffer_reset(&sent);
        expect_pop(&backend.expected);
    }
}

static void test_capture_asks_for_the_names(void **state)
{
    (void)state;
    session_note_names(&client, "set a.b = 1", 11);
    session_capture(&backend);
    assert_non_null(strstr(sent.data + WIRE_HEADER_SIZE,
                           " UNION ALL SELECT E'a.b', pg_catalog.current_setting(E'a.b', true)"
                           " WHERE pg_catalog.current_setting(E'a.b', true) <> ''"));
    assert_int_equal(expect_first(&backend.expected)->action, EXPECT_CAPTURE);
    assert_false(backend.settings_dirty);
}

/* What is at fault is the session before, not the settings; but not for ever. */
static void test_refused_for_a_time_limit(void **state)
{
    (void)state;
    const struct wire_error_fields canceled = {.sqlstate = "57014", .message = "too late"};
    for (int i = 1; i <= 3; i++) {
        session_refused(&backend, &canceled);
        assert_int_equal(checked_out, i);
        assert_int_equal(failed, 0);
        backend.client = &client;
        client.backend = &backend;
    }
    session_refused(&backend, &canceled);
    assert_int_equal(checked_out, 3);
    assert_int_equal(failed, 1);
}

static void test_refused_for_what_they_are(void **state)
{
    (void)state;
    session_refused(&backend, &(struct wire_error_fields){.sqlstate = "22023"});
    assert_int_equal(checked_out, 0);
    assert_int_equal(failed, 1);
    assert_true(backend.tainted);
}

/* What a client sends waits until its settings are in force, and until they are known. */
static void test_entering_and_capturing_are_waited_for(void **state)
{
    (void)state;
    assert_false(session_is_unsettled(&backend));
    backend.unnamed_client = 1;
    session_enter(&backend, &client);
    assert_int_equal(backend.unnamed_client, 0); /* a simple query drops the unnamed statement */
    assert_true(session_is_unsettled(&backend));
    expect_pop(&backend.expected);
    assert_false(session_is_unsettled(&backend));
    session_capture(&backend);
    assert_true(session_is_unsettled(&backend));
    expect_pop(&backend.expected);
    buffer_reset(&sent);
}

/* ---- rows ---- */

/* A DataRow's body. */
static void row(const char *bytes, size_t length)
{
    _cleanup_free_ char *exact = copy_exactly(bytes, length);
    session_captured_row(&backend, exact, length);
}

static void test_rows_become_the_settings(void **state)
{
    (void)state;
    row("\0\2\0\0\0\1a\0\0\0\2xy", 13);
    row("\0\2\0\0\0\3b.c\0\0\0\0", 13);
    session_captured(&backend);
    assert_false(client.pinned);
    assert_ptr_equal(client.settings, backend.settings);
    assert_int_equal(client.settings->count, 2);
    assert_string_equal(pairs_get(client.settings, "a"), "xy");
    assert_string_equal(pairs_get(client.settings, "b.c"), "");
    assert_int_equal(backend.captured_count, 0);
}

/* The row is there as long as the client listens to something. */
static void test_whether_it_listens(void **state)
{
    (void)state;
    session_capture(&backend);
    assert_null(strstr(sent.data + WIRE_HEADER_SIZE, "pg_listening_channels"));
    session_captured(&backend);
    assert_false(client.listens);
    buffer_reset(&sent);
    for (int listens = 1; listens >= 0; listens--) {
        client.listens = true;
        session_capture(&backend);
        assert_non_null(strstr(sent.data + WIRE_HEADER_SIZE, "pg_listening_channels"));
        row("\0\2\0\0\0\1a\0\0\0\2xy", 13);
        if (listens)
            row("\0\2\0\0\0\1 \0\0\0\0", 11);
        session_captured(&backend);
        assert_int_equal(client.listens, listens);
        assert_int_equal(client.settings->count, 1);
        buffer_reset(&sent);
    }
    client.listens = true; /* what is not known stays as it was */
    session_capture(&backend);
    row("", 0);
    session_captured(&backend);
    assert_true(client.listens);
}

static void test_rows_that_cannot_be_carried(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } rows[] = {
        {"", 0},
        {"\0\2", 2},
        {"\0\1\0\0\0\1a", 7},
        {"\0\3\0\0\0\1a\0\0\0\1x\0\0\0\1y", 17},
        {"\0\2\0\0\0\1a\0\0\0\2x", 12}, /* cut off */
        {"\0\2\x7f\xff\xff\xff"
         "a\0\0\0\1x",
         12},                              /* a length beyond the end */
        {"\0\2\0\0\0\1a\0\0\0\2x\0", 13},  /* a NUL in the value */
        {"\0\2\0\0\0\1a\0\0\0\1\xe4", 12}, /* not UTF-8 */
    };
    for (size_t i = 0; i < array_size(rows); i++) {
        client.pinned = backend.tainted = backend.capture_overflow = false;
        row("\0\2\0\0\0\1b\0\0\0\1y", 12);
        row(rows[i].bytes, rows[i].length);
        session_captured(&backend);
        assert_true(client.pinned);
        assert_true(backend.tainted);
        assert_int_equal(client.settings->count, 0);
        assert_int_equal(backend.captured_count, 0);
    }
}

#define TIMEOUT_ROW(value) "\0\2\0\0\0\x11statement_timeout\0\0\0\1" value

static void test_the_timeout_that_capturing_hides(void **state)
{
    (void)state;
    row(TIMEOUT_ROW("5"), sizeof(TIMEOUT_ROW("5")) - 1);
    row("\0\2\0\0\0\1a\0\0\0\1x", 12);
    row("\0\2\0\0\0\0\0\0\0\1"
        "0",
        11);
    session_captured(&backend);
    assert_int_equal(client.settings->count, 2);
    assert_string_equal(pairs_get(client.settings, "statement_timeout"), "5");
    row(TIMEOUT_ROW("0"), sizeof(TIMEOUT_ROW("0")) - 1);
    row("\0\2\0\0\0\0\0\0\0\1"
        "0",
        11);
    session_captured(&backend);
    assert_int_equal(client.settings->count, 0);
}

static void test_a_capture_that_is_cancelled_is_repeated(void **state)
{
    (void)state;
    const struct wire_error_fields canceled = {.sqlstate = "57014"};
    for (int i = 0; i < 3; i++) {
        session_capture(&backend);
        expect_pop(&backend.expected);
        session_capture_failed(&backend, &canceled);
        session_captured(&backend);
        assert_true(backend.settings_dirty);
        assert_false(client.pinned);
    }
    session_capture(&backend);
    expect_pop(&backend.expected);
    session_capture_failed(&backend, &canceled);
    session_captured(&backend);
    assert_true(client.pinned);
    buffer_reset(&sent);
}

static void test_too_many_rows(void **state)
{
    (void)state;
    for (int i = 0; i <= PAIRS_MAX; i++) {
        char body[] = "\0\2\0\0\0\3nnn\0\0\0\1v";
        body[6] = (char)('a' + i / 26);
        body[7] = (char)('a' + i % 26);
        assert_false(backend.capture_overflow);
        row(body, 14);
    }
    assert_true(backend.capture_overflow);
    session_captured(&backend);
    assert_true(client.pinned);
}

/* A backend that is closed in the middle of a capture frees its rows: LeakSanitizer looks. */
static void test_rows_of_a_capture_that_does_not_end(void **state)
{
    (void)state;
    row("\0\2\0\0\0\1a\0\0\0\2xy", 13);
    assert_int_equal(backend.captured_count, 1);
    session_free_captured(&backend);
    assert_int_equal(backend.captured_count, 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_settings_that_are_refused),
        TEST(test_names_with_a_dot_are_noted),
        TEST(test_more_names_than_can_be_carried),
        TEST(test_a_name_that_is_too_long),
        TEST(test_hostile_texts_take_linear_time),
        TEST(test_settings_are_put_in_force),
        TEST(test_the_largest_settings_fit),
        TEST(test_capture_asks_for_the_names),
        TEST(test_rows_become_the_settings),
        TEST(test_whether_it_listens),
        TEST(test_rows_that_cannot_be_carried),
        TEST(test_too_many_rows),
        TEST(test_rows_of_a_capture_that_does_not_end),
        TEST(test_refused_for_a_time_limit),
        TEST(test_refused_for_what_they_are),
        TEST(test_entering_and_capturing_are_waited_for),
        TEST(test_the_timeout_that_capturing_hides),
        TEST(test_a_capture_that_is_cancelled_is_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

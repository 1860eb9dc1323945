/* Statements and names, counted; what a backend has prepared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/statement.h"

static char *copy_exactly(const char *bytes, size_t length)
{
    char *exact = xmalloc(length); /* so that ASan sees a read behind it */
    memcpy(exact, bytes, length);
    return exact;
}

/* ---- definitions ---- */

static bool check_definition(const char *bytes, size_t length)
{
    _cleanup_free_ char *exact = copy_exactly(bytes, length);
    return statement_definition_check(exact, length);
}

static void test_good_definitions(void **state)
{
    (void)state;
    assert_true(check_definition("\0\0\0", 3));
    assert_true(check_definition("SELECT 1\0\0\0", 11));
    assert_true(check_definition("x\0\0\1\0\0\0\x17", 8));
    assert_true(check_definition("x\0\0\2\0\0\0\x17\0\0\0\0", 12));
    /* The count is unsigned: 65535 types are as many as there can be. */
    size_t length = 3 + 4 * 65535;
    _cleanup_free_ char *bytes = xcalloc(1, length);
    bytes[1] = bytes[2] = '\xff';
    assert_true(check_definition(bytes, length));
    assert_false(check_definition(bytes, length - 1));
    bytes[1] = '\x80';
    bytes[2] = '\0';
    assert_true(check_definition(bytes, 3 + 4 * 32768));
}

static void test_bad_definitions(void **state)
{
    (void)state;
    static const char bytes[] = "x\0\0\2\0\0\0\x17\0\0\0\x17\0";
    assert_true(check_definition(bytes, 12));
    for (size_t length = 0; length < sizeof(bytes); length++)
        assert_true(check_definition(bytes, length) == (length == 12));
    assert_false(check_definition("SELECT 1", 8));
    assert_false(check_definition("", 0));
    assert_false(check_definition("\0", 1));
    assert_false(check_definition("\0\0", 2));
    assert_false(check_definition("x\0\0\0\0", 5));
    assert_false(check_definition("x\0\1\0", 4));
    assert_false(check_definition("x\0\xff\xff\0\0\0\0", 8));
    assert_false(check_definition("\xff\xff\xff\xff", 4));
}

/* ---- interned statements ---- */

static struct hash_table stores;
static struct statement_store *store;

static int set_up(void **state)
{
    (void)state;
    hash_table_init(&stores);
    store = statement_store_get(&stores, &(struct statement_scope){.id = 1});
    return 0;
}

/* Every test gives its references back. */
static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(store->statements.count, 0);
    statement_store_unref(store);
    assert_int_equal(stores.count, 0);
    hash_table_free(&stores);
    return 0;
}

static struct statement *intern(const char *text)
{
    _cleanup_free_ char *definition = xcalloc(1, strlen(text) + 3);
    memcpy(definition, text, strlen(text) + 1);
    return statement_intern(store, definition, strlen(text) + 3);
}

static void test_equal_definitions_are_one_statement(void **state)
{
    (void)state;
    struct statement *statement = intern("SELECT 1");
    assert_int_equal(statement->references, 1);
    assert_int_equal(statement->length, 11);
    assert_string_equal(statement->definition, "SELECT 1");
    assert_ptr_equal(intern("SELECT 1"), statement);
    assert_ptr_equal(statement_ref(statement), statement);
    assert_int_equal(statement->references, 3);
    struct statement *others[] = {intern("SELECT 2"),
                                  intern("SELECT 1 "),
                                  intern("select 1"),
                                  intern(""),
                                  statement_intern(store, "SELECT 1\0\0\1\0\0\0\x17", 15),
                                  statement_intern(store, "SELECT 1\0\0\1\0\0\0\x19", 15)};
    assert_int_equal(store->statements.count, 1 + array_size(others));
    for (size_t i = 0; i < array_size(others); i++) {
        assert_ptr_not_equal(others[i], statement);
        for (size_t k = 0; k < i; k++) {
            assert_ptr_not_equal(others[i], others[k]);
            assert_true(others[i]->id != others[k]->id);
        }
    }
    for (size_t i = 0; i < array_size(others); i++)
        statement_unref(others[i]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store->statements.count, 1);
        statement_unref(statement);
    }
    statement_unref(NULL);
}

static void test_flags_are_of_the_text_alone(void **state)
{
    (void)state;
    struct statement *listens = intern("LISTEN x");
    /* ";set" as a type's number is no text. */
    struct statement *typed = statement_intern(store, "x\0\0\1;set", 8);
    assert_int_equal(listens->flags, TEXT_LISTENS);
    assert_int_equal(typed->flags, 0);
    statement_unref(listens);
    statement_unref(typed);
}

/* A backend may know an id long after the statement is gone: it is never used again. */
static void test_ids_are_never_used_again(void **state)
{
    (void)state;
    char first_name[STATEMENT_SERVER_NAME_SIZE];
    char second_name[STATEMENT_SERVER_NAME_SIZE];
    struct statement *statement = intern("SELECT 1");
    statement_server_name(statement, first_name);
    assert_int_equal(strlen(first_name), strlen("reeve_") + 16);
    statement_unref(statement);
    statement = intern("SELECT 1");
    statement_server_name(statement, second_name);
    assert_string_not_equal(first_name, second_name);
    statement_unref(statement);
}

static void test_the_longest_server_name_fits(void **state)
{
    (void)state;
    char name[STATEMENT_SERVER_NAME_SIZE];
    struct statement *statement = intern("SELECT 1");
    statement->id = UINT64_MAX;
    statement_server_name(statement, name);
    assert_string_equal(name, "reeve_ffffffffffffffff");
    statement_unref(statement);
}

static void test_many_statements(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static struct statement *statements[COUNT];
    char text[32];
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof(text), "SELECT %d", i);
        statements[i] = intern(text);
    }
    assert_int_equal(store->statements.count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof(text), "SELECT %d", i);
        struct statement *same = intern(text);
        assert_ptr_equal(same, statements[i]);
        statement_unref(same);
    }
    for (int i = 0; i < COUNT; i++)
        statement_unref(statements[i]);
}

/* ---- a client's names ---- */

static void test_names_are_found(void **state)
{
    (void)state;
    struct hash_table names;
    hash_table_init(&names);
    struct statement *one = intern("SELECT 1");
    struct statement *two = intern("SELECT 2");
    assert_null(client_statement_find(&names, "a"));
    struct client_statement *a = client_statement_add(&names, "a", one);
    struct client_statement *upper = client_statement_add(&names, "A", two);
    struct client_statement *same = client_statement_add(&names, "b", one);
    assert_ptr_equal(client_statement_find(&names, "a"), a);
    assert_ptr_equal(client_statement_find(&names, "A"), upper);
    assert_ptr_equal(client_statement_find(&names, "b"), same);
    assert_null(client_statement_find(&names, "ab"));
    assert_null(client_statement_find(&names, ""));
    assert_ptr_equal(a->statement, one);
    assert_int_equal(a->references, 1);
    assert_true(a->in_table);
    assert_int_equal(one->references, 3);
    client_statement_remove(&names, a);
    assert_null(client_statement_find(&names, "a"));
    assert_int_equal(one->references, 2);
    client_statements_clear(&names);
    assert_int_equal(names.count, 0);
    assert_null(client_statement_find(&names, "b"));
    assert_int_equal(one->references, 1);
    assert_int_equal(two->references, 1);
    client_statement_unref(NULL);
    hash_table_free(&names);
    statement_unref(one);
    statement_unref(two);
}

/* What an expected reply does that may have to undo a Close. */
static void test_a_name_is_restored(void **state)
{
    (void)state;
    struct hash_table names;
    hash_table_init(&names);
    struct statement *statement = intern("SELECT 1");
    struct client_statement *name = client_statement_add(&names, "a", statement);
    statement_unref(statement);
    name->references++; /* the reply's */
    client_statement_remove(&names, name);
    client_statement_remove(&names, name); /* once is enough */
    assert_false(name->in_table);
    assert_int_equal(name->references, 1);
    client_statement_restore(&names, name);
    client_statement_restore(&names, name);
    assert_ptr_equal(client_statement_find(&names, "a"), name);
    assert_int_equal(name->references, 2);
    assert_int_equal(names.count, 1);
    client_statement_unref(name);
    client_statements_clear(&names);
    hash_table_free(&names);
}

static void test_a_name_that_was_taken_is_not_restored(void **state)
{
    (void)state;
    struct hash_table names;
    hash_table_init(&names);
    struct statement *one = intern("SELECT 1");
    struct statement *two = intern("SELECT 2");
    struct client_statement *first = client_statement_add(&names, "a", one);
    first->references++;
    client_statement_remove(&names, first);
    struct client_statement *second = client_statement_add(&names, "a", two);
    client_statement_restore(&names, first);
    assert_ptr_equal(client_statement_find(&names, "a"), second);
    assert_false(first->in_table);
    assert_int_equal(names.count, 1);
    assert_int_equal(first->references, 1);
    client_statement_unref(first);
    assert_int_equal(one->references, 1);
    client_statements_clear(&names);
    hash_table_free(&names);
    statement_unref(one);
    statement_unref(two);
}

static void test_names_that_are_cleared_live_on_with_their_references(void **state)
{
    (void)state;
    struct hash_table names;
    char text[16];
    hash_table_init(&names);
    struct statement *statement = intern("SELECT 1");
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof(text), "s%d", i);
        client_statement_add(&names, text, statement);
    }
    assert_int_equal(statement->references, 501);
    struct client_statement *kept = client_statement_find(&names, "s250");
    assert_non_null(kept);
    kept->references++;
    client_statements_clear(&names);
    assert_int_equal(names.count, 0);
    assert_int_equal(statement->references, 2);
    assert_false(kept->in_table);
    assert_string_equal(kept->name, "s250");
    client_statement_unref(kept);
    statement_unref(statement);
    hash_table_free(&names);
}

/* ---- what a backend has prepared ---- */

struct prepared {
    struct backend_statements statements;
    struct statement *texts[4];
};

static void prepare(struct prepared *prepared)
{
    static const char *const texts[] = {"SELECT 0", "SELECT 1", "SELECT 2", "SELECT 3"};
    backend_statements_init(&prepared->statements);
    for (size_t i = 0; i < array_size(texts); i++) {
        prepared->texts[i] = intern(texts[i]);
        backend_statements_add(&prepared->statements, prepared->texts[i]);
    }
}

static void forget(struct prepared *prepared)
{
    backend_statements_free(&prepared->statements);
    for (size_t i = 0; i < array_size(prepared->texts); i++) {
        assert_int_equal(prepared->texts[i]->references, 1);
        statement_unref(prepared->texts[i]);
    }
}

static void check_evicted(struct prepared *prepared, size_t maximum, const struct statement *wanted)
{
    struct statement *evicted = backend_statements_evict(&prepared->statements, maximum);
    assert_ptr_equal(evicted, wanted);
    if (evicted)
        assert_false(backend_statements_touch(&prepared->statements, evicted));
    statement_unref(evicted);
}

static void test_touch_and_add(void **state)
{
    (void)state;
    struct prepared prepared;
    prepare(&prepared);
    struct statement *other = intern("SELECT 4");
    assert_int_equal(prepared.texts[0]->references, 2);
    assert_true(backend_statements_touch(&prepared.statements, prepared.texts[0]));
    assert_false(backend_statements_touch(&prepared.statements, other));
    backend_statements_add(&prepared.statements, prepared.texts[0]); /* it is there */
    assert_int_equal(prepared.texts[0]->references, 2);
    assert_int_equal(prepared.statements.table.count, 4);
    statement_unref(other);
    forget(&prepared);
}

static void test_the_least_recently_used_is_evicted(void **state)
{
    (void)state;
    struct prepared prepared;
    prepare(&prepared);
    check_evicted(&prepared, 5, NULL);
    check_evicted(&prepared, 4, NULL);
    backend_statements_touch(&prepared.statements, prepared.texts[0]);
    backend_statements_add(&prepared.statements, prepared.texts[2]);
    check_evicted(&prepared, 3, prepared.texts[1]); /* left: 3 0 2 */
    check_evicted(&prepared, 3, NULL);
    backend_statements_add(&prepared.statements, prepared.texts[1]);
    check_evicted(&prepared, 2, prepared.texts[3]);
    check_evicted(&prepared, 2, prepared.texts[0]);
    check_evicted(&prepared, 0, prepared.texts[2]);
    check_evicted(&prepared, 0, prepared.texts[1]);
    check_evicted(&prepared, 0, NULL);
    forget(&prepared);
}

/* Its plan does not fit any more: it is to be prepared anew, and then it is as good as new. */
static void test_stale(void **state)
{
    (void)state;
    struct prepared prepared;
    prepare(&prepared);
    struct statement *other = intern("SELECT 4");
    backend_statements_set_stale(&prepared.statements, prepared.texts[1]);
    backend_statements_set_stale(&prepared.statements, other); /* is not prepared */
    assert_true(backend_statements_stale(&prepared.statements, prepared.texts[1]));
    assert_false(backend_statements_stale(&prepared.statements, prepared.texts[0]));
    assert_false(backend_statements_stale(&prepared.statements, other));
    assert_false(backend_statements_touch(&prepared.statements, prepared.texts[1]));
    backend_statements_add(&prepared.statements, prepared.texts[1]);
    assert_int_equal(prepared.statements.table.count, 4);
    assert_int_equal(prepared.texts[1]->references, 2);
    assert_false(backend_statements_stale(&prepared.statements, prepared.texts[1]));
    assert_true(backend_statements_touch(&prepared.statements, prepared.texts[1]));
    check_evicted(&prepared, 3, prepared.texts[0]);
    statement_unref(other);
    forget(&prepared);
}

static void test_the_evicted_statement_is_the_caller_s(void **state)
{
    (void)state;
    struct backend_statements statements;
    backend_statements_init(&statements);
    struct statement *statement = intern("SELECT 1");
    backend_statements_add(&statements, statement);
    statement_unref(statement); /* the backend's is the last */
    struct statement *evicted = backend_statements_evict(&statements, 0);
    assert_ptr_equal(evicted, statement);
    assert_int_equal(evicted->references, 1);
    assert_string_equal(evicted->definition, "SELECT 1");
    statement_unref(evicted);
    backend_statements_free(&statements);
}

static void test_drop_and_clear(void **state)
{
    (void)state;
    struct prepared prepared;
    prepare(&prepared);
    backend_statements_drop(&prepared.statements, prepared.texts[2]);
    backend_statements_drop(&prepared.statements, prepared.texts[2]);
    assert_false(backend_statements_touch(&prepared.statements, prepared.texts[2]));
    assert_int_equal(prepared.texts[2]->references, 1);
    assert_int_equal(prepared.statements.table.count, 3);
    backend_statements_clear(&prepared.statements);
    backend_statements_clear(&prepared.statements);
    assert_int_equal(prepared.statements.table.count, 0);
    assert_true(list_empty(&prepared.statements.lru));
    for (size_t i = 0; i < array_size(prepared.texts); i++)
        assert_false(backend_statements_touch(&prepared.statements, prepared.texts[i]));
    backend_statements_add(&prepared.statements, prepared.texts[3]);
    assert_true(backend_statements_touch(&prepared.statements, prepared.texts[3]));
    forget(&prepared);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_good_definitions),
        TEST(test_bad_definitions),
        TEST(test_equal_definitions_are_one_statement),
        TEST(test_flags_are_of_the_text_alone),
        TEST(test_ids_are_never_used_again),
        TEST(test_the_longest_server_name_fits),
        TEST(test_many_statements),
        TEST(test_names_are_found),
        TEST(test_a_name_is_restored),
        TEST(test_a_name_that_was_taken_is_not_restored),
        TEST(test_names_that_are_cleared_live_on_with_their_references),
        TEST(test_touch_and_add),
        TEST(test_the_least_recently_used_is_evicted),
        TEST(test_stale),
        TEST(test_the_evicted_statement_is_the_caller_s),
        TEST(test_drop_and_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

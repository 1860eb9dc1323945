/* ErrorResponse and NoticeResponse, as servers and as nobody would send them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/message.h"

#define READ(literal, fields) wire_error_read((literal), sizeof(literal) - 1, (fields))

static void test_a_server_s_error(void **state)
{
    (void)state;
    struct wire_error_fields fields;
    READ("SFEHLER\0VERROR\0C42P01\0Mrelation \"x\" does not exist\0Dd\0Hh\0P15\0Fparse.c\0\0",
         &fields);
    assert_string_equal(fields.severity, "ERROR"); /* not the translated one */
    assert_string_equal(fields.sqlstate, "42P01");
    assert_string_equal(fields.message, "relation \"x\" does not exist");
    assert_string_equal(fields.detail, "d");
    assert_string_equal(fields.hint, "h");
}

static void test_severity_of_old_servers(void **state)
{
    (void)state;
    struct wire_error_fields fields;
    READ("SFATAL\0Mno\0\0", &fields);
    assert_string_equal(fields.severity, "FATAL");
    assert_string_equal(fields.message, "no");
    assert_null(fields.sqlstate);
    assert_null(fields.detail);
    assert_null(fields.hint);
}

static void test_unknown_and_repeated_fields(void **state)
{
    (void)state;
    struct wire_error_fields fields;
    READ("?what\0\xffodd\0C08006\0C00000\0Mfirst\0Msecond\0\0Mthird\0", &fields);
    assert_string_equal(fields.sqlstate, "08006");
    assert_string_equal(fields.message, "first");
    assert_null(fields.severity);
}

/* Every prefix of a message gives whole fields or none. */
static void test_cut_off_anywhere(void **state)
{
    (void)state;
    static const char body[] = "VERROR\0C42601\0Msyntax\0Ddetail\0Hhint\0";
    for (size_t length = 0; length <= sizeof(body); length++) {
        _cleanup_free_ char *exact = xmalloc(length);
        memcpy(exact, body, length);
        struct wire_error_fields fields;
        wire_error_read(exact, length, &fields);
        assert_int_equal(fields.severity != NULL, length >= 7);
        assert_int_equal(fields.sqlstate != NULL, length >= 14);
        assert_int_equal(fields.message != NULL, length >= 22);
        assert_int_equal(fields.detail != NULL, length >= 30);
        assert_int_equal(fields.hint != NULL, length >= 36);
        if (fields.message)
            assert_string_equal(fields.message, "syntax");
    }
}

static void test_no_body(void **state)
{
    (void)state;
    struct wire_error_fields fields = {"x", "x", "x", "x", "x", "x"};
    wire_error_read(NULL, 0, &fields);
    assert_null(fields.severity);
    assert_null(fields.sqlstate);
    assert_null(fields.message);
    assert_null(fields.detail);
    assert_null(fields.hint);
    assert_null(fields.context);
}

static void test_context(void **state)
{
    (void)state;
    struct wire_error_fields fields;
    READ("SERROR\0C22P04\0WCOPY thing, line 1\0\0", &fields);
    assert_string_equal(fields.context, "COPY thing, line 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_server_s_error),
        cmocka_unit_test(test_severity_of_old_servers),
        cmocka_unit_test(test_unknown_and_repeated_fields),
        cmocka_unit_test(test_cut_off_anywhere),
        cmocka_unit_test(test_no_body),
        cmocka_unit_test(test_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

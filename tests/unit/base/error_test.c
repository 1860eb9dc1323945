/* The table of errors, and texts that are too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>

#include "base/error.h"
#include "base/str.h"

static void test_the_table(void **state)
{
    (void)state;
    for (int code = 1; code < ERROR_CODE_COUNT; code++) {
        const struct error_info *info = error_info(code);
        assert_int_equal(info->code, code);
        assert_ptr_equal(error_info(-code), info);
        assert_true(strlen(info->name) > 0);
        assert_null(strstr(info->name, "ERROR"));
        assert_int_equal(strlen(info->sqlstate), SQLSTATE_SIZE - 1);
        assert_int_equal(strspn(info->sqlstate, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"), 5);
        assert_in_range(info->http_status, 400, 599);
        assert_in_range(info->exit_code, 1, 130);
        assert_true(strlen(info->meaning) > 0);
        for (int other = 1; other < code; other++)
            assert_string_not_equal(info->name, error_info(other)->name);
    }
}

static void test_rows_of_the_table(void **state)
{
    (void)state;
    assert_string_equal(error_info(ERROR_NOT_FOUND)->name, "NOT_FOUND");
    assert_string_equal(error_info(-ERROR_NOT_FOUND)->sqlstate, "42704");
    assert_int_equal(error_info(ERROR_NOT_FOUND)->http_status, 404);
    assert_int_equal(error_info(ERROR_USAGE)->exit_code, 2);
    assert_int_equal(error_info(ERROR_NONE)->exit_code, 0);
}

static void test_unknown_codes_are_internal(void **state)
{
    (void)state;
    static const int codes[] = {ERROR_CODE_COUNT, -ERROR_CODE_COUNT, INT_MAX, -INT_MAX, INT_MIN};
    for (size_t i = 0; i < array_size(codes); i++)
        assert_ptr_equal(error_info(codes[i]), error_info(ERROR_INTERNAL));
}

static void test_set(void **state)
{
    (void)state;
    struct error err;
    memset(&err, 0x5a, sizeof(err));
    assert_int_equal(error_set(&err, ERROR_EXISTS, "tenant \"%s\" exists", "acme"), -ERROR_EXISTS);
    assert_int_equal(err.code, -ERROR_EXISTS);
    assert_string_equal(err.sqlstate, "42710");
    assert_string_equal(err.message, "tenant \"acme\" exists");
    assert_string_equal(err.detail, "");
    assert_string_equal(err.hint, "");
}

static void test_additions(void **state)
{
    (void)state;
    struct error err;
    error_set(&err, ERROR_SERVER, "no");
    error_detail(&err, "%d rows", 3);
    error_hint(&err, "try %s", "again");
    error_sqlstate(&err, "40001");
    error_prefix(&err, "migration %d", 7);
    assert_string_equal(err.message, "migration 7: no");
    assert_string_equal(err.detail, "3 rows");
    assert_string_equal(err.hint, "try again");
    assert_string_equal(err.sqlstate, "40001");
    assert_int_equal(err.code, -ERROR_SERVER);

    error_set(&err, ERROR_AUTH, "anew");
    assert_string_equal(err.detail, "");
    assert_string_equal(err.hint, "");
    assert_string_equal(err.sqlstate, "28P01");

    error_clear(&err);
    assert_int_equal(err.code, 0);
    assert_string_equal(err.message, "");
    assert_string_equal(err.sqlstate, "");
}

static void test_odd_sqlstates_are_ignored(void **state)
{
    (void)state;
    struct error err;
    error_set(&err, ERROR_SERVER, "no");
    error_sqlstate(&err, NULL);
    error_sqlstate(&err, "");
    error_sqlstate(&err, "4200");
    error_sqlstate(&err, "420000");
    assert_string_equal(err.sqlstate, "58000");
}

static void test_null_is_fine(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, ERROR_LIMIT, "x"), -ERROR_LIMIT);
    assert_int_equal(error_errno(NULL, ENOENT, "x"), -ERROR_IO);
    error_detail(NULL, "x");
    error_hint(NULL, "x");
    error_sqlstate(NULL, "00000");
    error_prefix(NULL, "x");
    error_clear(NULL);
}

static void test_errno(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(error_errno(&err, ENOENT, "cannot open %s", "/x"), -ERROR_IO);
    assert_string_equal(err.message, "cannot open /x: No such file or directory");
    assert_string_equal(err.sqlstate, "58030");
}

/* A text of `ascii` bytes and then characters of `width` bytes, longer than a message. */
static void long_text(char text[2 * ERROR_TEXT_MAX], size_t ascii, size_t width)
{
    static const char *const characters[] = {"", "a", "\xc3\xa9", "\xe2\x82\xac",
                                             "\xf0\x9f\x98\x80"};
    memset(text, 'a', ascii);
    size_t length = ascii;
    for (; length + width < 2 * ERROR_TEXT_MAX; length += width)
        memcpy(text + length, characters[width], width);
    text[length] = '\0';
}

static void is_whole(const char *message, const char *of)
{
    size_t length = strlen(message);
    assert_in_range(length, ERROR_TEXT_MAX - 8, ERROR_TEXT_MAX - 1);
    assert_true(str_is_utf8(message, length));
    assert_memory_equal(message, of, length);
}

static void test_long_texts_end_at_a_character(void **state)
{
    (void)state;
    char text[2 * ERROR_TEXT_MAX];
    struct error err;
    for (size_t width = 1; width <= 4; width++) {
        for (size_t ascii = 0; ascii < 8; ascii++) {
            long_text(text, ascii, width);
            error_set(&err, ERROR_INVALID, "%s", text);
            error_detail(&err, "%s", text);
            error_hint(&err, "%s", text);
            is_whole(err.message, text);
            is_whole(err.detail, text);
            is_whole(err.hint, text);
        }
    }
}

static void test_a_long_text_that_is_not_utf8(void **state)
{
    (void)state;
    char text[2 * ERROR_TEXT_MAX];
    memset(text, 0x80, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct error err;
    error_set(&err, ERROR_INVALID, "%s", text);
    assert_int_equal(strlen(err.message), ERROR_TEXT_MAX - 1);
}

static void test_long_prefixes(void **state)
{
    (void)state;
    char text[2 * ERROR_TEXT_MAX];
    struct error err;
    for (size_t ascii = 0; ascii < 4; ascii++) {
        long_text(text, ascii, 3);
        error_set(&err, ERROR_INVALID, "%s", text);
        error_prefix(&err, "in");
        assert_true(str_has_prefix(err.message, "in: "));
        is_whole(err.message + 4, text);
        assert_true(strlen(err.message) < ERROR_TEXT_MAX);

        error_set(&err, ERROR_INVALID, "short");
        error_prefix(&err, "%s", text);
        assert_true(strlen(err.message) < ERROR_TEXT_MAX);
        assert_true(str_is_utf8(err.message, strlen(err.message)));
    }
}

static void test_errno_behind_a_long_text(void **state)
{
    (void)state;
    char text[2 * ERROR_TEXT_MAX];
    struct error err;
    long_text(text, 0, 1);
    assert_int_equal(error_errno(&err, EACCES, "%s", text), -ERROR_IO);
    is_whole(err.message, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table),
        cmocka_unit_test(test_rows_of_the_table),
        cmocka_unit_test(test_unknown_codes_are_internal),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_additions),
        cmocka_unit_test(test_odd_sqlstates_are_ignored),
        cmocka_unit_test(test_null_is_fine),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_long_texts_end_at_a_character),
        cmocka_unit_test(test_a_long_text_that_is_not_utf8),
        cmocka_unit_test(test_long_prefixes),
        cmocka_unit_test(test_errno_behind_a_long_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

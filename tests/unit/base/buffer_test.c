/* Buffers: their maximum holds, and what did not fit changes nothing but `failed`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/error.h"

static void test_appends(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(1000);
    assert_string_equal(buffer_string(&buffer), "");
    assert_int_equal(buffer_append(&buffer, "ab", 2), 0);
    assert_int_equal(buffer_append_string(&buffer, "cd"), 0);
    assert_int_equal(buffer_append_byte(&buffer, 'e'), 0);
    assert_int_equal(buffer_printf(&buffer, "%d%s", 42, "!"), 0);
    assert_int_equal(buffer_append(&buffer, NULL, 0), 0);
    assert_int_equal(buffer_printf(&buffer, "%s", ""), 0);
    assert_string_equal(buffer_string(&buffer), "abcde42!");
    assert_int_equal(buffer.length, 8);
    assert_false(buffer.failed);
}

static void test_every_byte_up_to_the_maximum(void **state)
{
    (void)state;
    for (size_t maximum = 0; maximum < 300; maximum += 7) {
        _cleanup_buffer_ struct buffer buffer;
        buffer_init(&buffer, maximum);
        for (size_t i = 0; i < maximum; i++)
            assert_int_equal(buffer_append_byte(&buffer, (uint8_t)('a' + i % 26)), 0);
        assert_int_equal(buffer.length, maximum);
        assert_false(buffer.failed);
        assert_int_equal(strlen(buffer_string(&buffer)), maximum);
        assert_true(buffer.capacity <= maximum + 1);
        assert_int_equal(buffer_append_byte(&buffer, 'x'), -ERROR_LIMIT);
        assert_true(buffer.failed);
        assert_int_equal(buffer.length, maximum);
    }
}

static void test_what_does_not_fit(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(5);
    buffer_append_string(&buffer, "abc");
    assert_int_equal(buffer_append_string(&buffer, "def"), -ERROR_LIMIT);
    assert_int_equal(buffer_printf(&buffer, "%s", "def"), -ERROR_LIMIT);
    assert_int_equal(buffer_append(&buffer, "", SIZE_MAX), -ERROR_LIMIT);
    assert_null(buffer_reserve(&buffer, SIZE_MAX));
    assert_null(buffer_reserve(&buffer, 3));
    assert_string_equal(buffer_string(&buffer), "abc");
    assert_true(buffer.failed);
    /* What fits is still taken, and `failed` stays. */
    assert_int_equal(buffer_printf(&buffer, "%s", "de"), 0);
    assert_string_equal(buffer_string(&buffer), "abcde");
    assert_true(buffer.failed);
    buffer_reset(&buffer);
    assert_false(buffer.failed);
    assert_string_equal(buffer_string(&buffer), "");
    assert_int_equal(buffer_append_string(&buffer, "12345"), 0);
}

static void test_reserve_and_commit(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(1000);
    char *place = buffer_reserve(&buffer, 500);
    assert_non_null(place);
    memset(place, 'r', 500);
    buffer_commit(&buffer, 3);
    assert_string_equal(buffer_string(&buffer), "rrr");
    assert_int_equal(buffer.length, 3);
}

/* Text is whole at any time, also when nothing came to the place that was reserved. */
static void test_reserved_and_not_used(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(1000);
    assert_non_null(buffer_reserve(&buffer, 100));
    assert_int_equal(buffer.data[0], 0);
    assert_string_equal(buffer_string(&buffer), "");
    _cleanup_free_ char *text = buffer_take(&buffer);
    assert_string_equal(text, "");
}

static void test_no_maximum_to_speak_of(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(SIZE_MAX);
    assert_int_equal(buffer_append_string(&buffer, "abc"), 0);
    assert_string_equal(buffer_string(&buffer), "abc");
    assert_true(buffer.capacity >= 4);
    assert_null(buffer_reserve(&buffer, SIZE_MAX));
    assert_null(buffer_reserve(&buffer, SIZE_MAX - 3));
    assert_null(buffer_reserve(&buffer, SIZE_MAX / 2));
    assert_string_equal(buffer_string(&buffer), "abc");
}

static void test_consume(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(100);
    buffer_consume(&buffer, 5);
    assert_int_equal(buffer.length, 0);
    buffer_append_string(&buffer, "abcdef");
    buffer_consume(&buffer, 0);
    assert_string_equal(buffer_string(&buffer), "abcdef");
    buffer_consume(&buffer, 2);
    assert_string_equal(buffer_string(&buffer), "cdef");
    buffer_consume(&buffer, 4);
    assert_string_equal(buffer_string(&buffer), "");
    buffer_append_string(&buffer, "gh");
    buffer_consume(&buffer, 100);
    assert_int_equal(buffer.length, 0);
    assert_string_equal(buffer_string(&buffer), "");
}

static void test_take(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(100);
    _cleanup_free_ char *empty = buffer_take(&buffer);
    assert_string_equal(empty, "");
    buffer_append_string(&buffer, "text");
    _cleanup_free_ char *text = buffer_take(&buffer);
    assert_string_equal(text, "text");
    assert_int_equal(buffer.length, 0);
    assert_int_equal(buffer.maximum, 100);
    buffer_append_string(&buffer, "more");
    assert_string_equal(text, "text");
}

static void test_free_keeps_the_maximum(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_INIT(3);
    buffer_append_string(&buffer, "abcd");
    buffer_free(&buffer);
    assert_false(buffer.failed);
    assert_int_equal(buffer_append_string(&buffer, "abc"), 0);
    assert_int_equal(buffer_append_byte(&buffer, 'd'), -ERROR_LIMIT);
    buffer_free(&buffer);
}

static void test_escaped(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(200);
    buffer_append_escaped(&buffer, "a\nb\x1b[m\x7f\xc2\x9b\xc2\xa0\xc3\xa4", false);
    assert_string_equal(buffer_string(&buffer), "a\\nb\\x1b[m\\x7f\\xc2\\x9b\xc2\xa0\xc3\xa4");
    buffer_reset(&buffer);
    buffer_append_escaped(&buffer, "a\nb\xc2", true);
    assert_string_equal(buffer_string(&buffer), "a\nb\xc2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends),
        cmocka_unit_test(test_every_byte_up_to_the_maximum),
        cmocka_unit_test(test_what_does_not_fit),
        cmocka_unit_test(test_reserve_and_commit),
        cmocka_unit_test(test_reserved_and_not_used),
        cmocka_unit_test(test_no_maximum_to_speak_of),
        cmocka_unit_test(test_consume),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_free_keeps_the_maximum),
        cmocka_unit_test(test_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Bodies: nothing is read behind the end, and a failure stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/message.h"

/* A reader over a copy that ends where the bytes do, so that ASan sees a read behind them. */
struct exact {
    char *copy;
    struct wire_reader reader;
};

static struct exact exactly(const char *bytes, size_t length)
{
    char *copy = xmalloc(length);
    memcpy(copy, bytes, length);
    return (struct exact){copy, wire_reader_of(copy, length)};
}

static void free_exact(struct exact *exact)
{
    free(exact->copy);
}
#define _cleanup_exact_ _cleanup_(free_exact)
#define EXACTLY(literal) exactly((literal), sizeof(literal) - 1)

static void test_numbers(void **state)
{
    (void)state;
    _cleanup_exact_ struct exact of = EXACTLY("\xfe\x01\x02\xff\xfe\x7f\xff\xff\xff\x80\0\0\0");
    assert_int_equal(wire_read_u8(&of.reader), 0xfe);
    assert_int_equal(wire_read_i16(&of.reader), 0x102);
    assert_int_equal(wire_read_i16(&of.reader), -2);
    assert_int_equal(wire_read_i32(&of.reader), INT32_MAX);
    assert_int_equal(wire_reader_left(&of.reader), 4);
    assert_int_equal(wire_read_i32(&of.reader), INT32_MIN);
    assert_int_equal(wire_reader_left(&of.reader), 0);
    assert_false(of.reader.failed);
}

static void test_strings_and_bytes(void **state)
{
    (void)state;
    _cleanup_exact_ struct exact of = EXACTLY("one\0\0ab\0c");
    const char *one = wire_read_cstring(&of.reader);
    assert_string_equal(one, "one");
    assert_ptr_equal(one, of.copy);
    assert_string_equal(wire_read_cstring(&of.reader), "");
    assert_false(of.reader.failed);
    struct str bytes = wire_read_bytes(&of.reader, 4);
    assert_int_equal(bytes.length, 4);
    assert_memory_equal(bytes.data, "ab\0c", 4);
    assert_int_equal(wire_read_bytes(&of.reader, 0).length, 0);
    assert_false(of.reader.failed);
}

static void test_a_string_without_end(void **state)
{
    (void)state;
    _cleanup_exact_ struct exact of = EXACTLY("abc");
    assert_string_equal(wire_read_cstring(&of.reader), "");
    assert_true(of.reader.failed);
    assert_int_equal(wire_reader_left(&of.reader), 0);
}

static void test_numbers_that_do_not_fit(void **state)
{
    (void)state;
    for (size_t length = 0; length < 4; length++) {
        _cleanup_exact_ struct exact of = exactly("\1\1\1\1", length);
        assert_int_equal(wire_read_i32(&of.reader), 0);
        assert_true(of.reader.failed);
    }
    _cleanup_exact_ struct exact one = EXACTLY("\1");
    assert_int_equal(wire_read_i16(&one.reader), 0);
    assert_true(one.reader.failed);
    _cleanup_exact_ struct exact none = EXACTLY("");
    assert_int_equal(wire_read_u8(&none.reader), 0);
    assert_true(none.reader.failed);
}

static void test_lengths_from_the_wire(void **state)
{
    (void)state;
    _cleanup_exact_ struct exact of = EXACTLY("abcd");
    struct str bytes = wire_read_bytes(&of.reader, (size_t)-1);
    assert_true(of.reader.failed);
    assert_int_equal(bytes.length, 0);
    assert_non_null(bytes.data);
}

/* After a failure nothing is given any more, even where it would have fitted. */
static void test_failure_stays(void **state)
{
    (void)state;
    _cleanup_exact_ struct exact of = EXACTLY("\1a\0\1\1\1\1");
    assert_int_equal(wire_read_u8(&of.reader), 1);
    assert_int_equal(wire_read_bytes(&of.reader, 7).length, 0);
    assert_true(of.reader.failed);
    assert_int_equal(wire_read_u8(&of.reader), 0);
    assert_int_equal(wire_read_i16(&of.reader), 0);
    assert_int_equal(wire_read_i32(&of.reader), 0);
    assert_string_equal(wire_read_cstring(&of.reader), "");
    assert_int_equal(wire_read_bytes(&of.reader, 0).length, 0);
    assert_int_equal(wire_reader_left(&of.reader), 0);
    assert_true(of.reader.failed);
}

static void test_no_body(void **state)
{
    (void)state;
    struct wire_reader reader = wire_reader_of(NULL, 0);
    assert_int_equal(wire_reader_left(&reader), 0);
    assert_false(reader.failed);
    assert_string_equal(wire_read_cstring(&reader), "");
    assert_true(reader.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings_and_bytes),
        cmocka_unit_test(test_a_string_without_end),
        cmocka_unit_test(test_numbers_that_do_not_fit),
        cmocka_unit_test(test_lengths_from_the_wire),
        cmocka_unit_test(test_failure_stays),
        cmocka_unit_test(test_no_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Message headers: type and length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/message.h"

static int read_frame(const char *bytes, size_t length, struct wire_frame *ret, struct error *err)
{
    _cleanup_free_ char *exact = xmalloc(length); /* so that ASan sees a read behind it */
    memcpy(exact, bytes, length);
    return wire_frame_read(exact, length, ret, err);
}

static void test_reads_type_and_length(void **state)
{
    (void)state;
    struct wire_frame frame;
    assert_int_equal(read_frame("Q\0\0\0\4", 5, &frame, NULL), 1);
    assert_int_equal(frame.type, 'Q');
    assert_int_equal(frame.body_length, 0);
    assert_int_equal(read_frame("d\0\1\2\7more", 9, &frame, NULL), 1);
    assert_int_equal(frame.type, 'd');
    assert_int_equal(frame.body_length, 0x10203);
}

static void test_waits_for_the_whole_header(void **state)
{
    (void)state;
    struct wire_frame frame = {'x', 77};
    for (size_t length = 0; length < WIRE_HEADER_SIZE; length++)
        assert_int_equal(read_frame("Q\xff\xff\xff\xff", length, &frame, NULL), 0);
    assert_int_equal(frame.type, 'x');
    assert_int_equal(frame.body_length, 77);
}

static void test_refuses_impossible_lengths(void **state)
{
    (void)state;
    static const char *const bad[] = {"Q\0\0\0\0",         "Q\0\0\0\3",   "Q\x40\0\0\0",
                                      "Q\x7f\xff\xff\xff", "Q\x80\0\0\0", "Q\xff\xff\xff\xff"};
    for (size_t i = 0; i < array_size(bad); i++) {
        struct wire_frame frame = {'x', 77};
        struct error err = {0};
        assert_int_equal(read_frame(bad[i], 5, &frame, &err), -ERROR_PROTOCOL);
        assert_string_equal(err.sqlstate, "08P01");
        assert_string_equal(err.message, "invalid message length");
        assert_int_equal(frame.type, 'x');
        assert_int_equal(frame.body_length, 77);
    }
}

static void test_takes_the_longest_message(void **state)
{
    (void)state;
    struct wire_frame frame;
    assert_int_equal(read_frame("Q\x3f\xff\xff\xff", 5, &frame, NULL), 1);
    assert_int_equal(frame.body_length, WIRE_MAX_MESSAGE - 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_type_and_length),
        cmocka_unit_test(test_waits_for_the_whole_header),
        cmocka_unit_test(test_refuses_impossible_lengths),
        cmocka_unit_test(test_takes_the_longest_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

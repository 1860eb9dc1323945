/* Written messages, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/message.h"

static struct buffer out;

static int empty_buffer(void **state)
{
    (void)state;
    buffer_init(&out, 4096);
    return 0;
}

static int free_buffer(void **state)
{
    (void)state;
    buffer_free(&out);
    return 0;
}

#define WRITTEN(literal) written((literal), sizeof(literal) - 1)
static void written(const char *bytes, size_t length)
{
    assert_false(out.failed);
    assert_int_equal(out.length, length);
    assert_memory_equal(out.data, bytes, length);
    buffer_reset(&out);
}

static void test_small_messages(void **state)
{
    (void)state;
    wire_put_empty(&out, '1');
    WRITTEN("1\0\0\0\4");
    wire_put_ready_for_query(&out, 'T');
    WRITTEN("Z\0\0\0\5T");
    wire_put_parameter_status(&out, "TimeZone", "UTC");
    WRITTEN("S\0\0\0\x11TimeZone\0UTC\0");
    wire_put_backend_key_data(&out, 0x01020304, "\xff\0\xff\0", 4);
    WRITTEN("K\0\0\0\x0c\1\2\3\4\xff\0\xff\0");
    wire_put_command_complete(&out, "DEALLOCATE ALL");
    WRITTEN("C\0\0\0\x13"
            "DEALLOCATE ALL\0");
    wire_put_query(&out, "");
    WRITTEN("Q\0\0\0\5\0");
    wire_put_close_statement(&out, "s1");
    WRITTEN("C\0\0\0\x08Ss1\0");
}

static void test_authentication(void **state)
{
    (void)state;
    wire_put_authentication(&out, 0, NULL, 0);
    WRITTEN("R\0\0\0\x08\0\0\0\0");
    wire_put_authentication(&out, 10, "SCRAM-SHA-256\0", 15);
    WRITTEN("R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0");
}

static void test_parse(void **state)
{
    (void)state;
    wire_put_parse(&out, "", "select 1", NULL, 0);
    WRITTEN("P\0\0\0\x10\0select 1\0\0\0");
    wire_put_parse(&out, "p", "select $1", "\0\0\0\x17\0\0\0\x19", 2);
    WRITTEN("P\0\0\0\x1ap\0select $1\0\0\2\0\0\0\x17\0\0\0\x19");
}

static void test_parse_with_too_many_types(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer large = BUFFER_INIT(1 << 20);
    _cleanup_free_ char *oids = xcalloc(UINT16_MAX + 1, 4);
    wire_put_parse(&large, "", "", oids, UINT16_MAX);
    assert_false(large.failed);
    assert_memory_equal(large.data + 7, "\xff\xff", 2);
    size_t length = large.length;
    wire_put_parse(&large, "", "", oids, UINT16_MAX + 1);
    assert_true(large.failed);
    assert_int_equal(large.length, length);
}

static void test_errors(void **state)
{
    (void)state;
    wire_put_error(&out, "FATAL", "57P01", "bye", "why", "try again");
    WRITTEN("E\0\0\0\x2fSFATAL\0VFATAL\0C57P01\0Mbye\0Dwhy\0Htry again\0\0");
    wire_put_error(&out, "ERROR", "42P05", "no", NULL, "");
    WRITTEN("E\0\0\0\x1eSERROR\0VERROR\0C42P05\0Mno\0\0");
    wire_put_notice(&out, "WARNING", "01000", "hm", NULL);
    WRITTEN("N\0\0\0\x22SWARNING\0VWARNING\0C01000\0Mhm\0\0");
    wire_put_notice(&out, "NOTICE", "00000", "hm", "h");
    WRITTEN("N\0\0\0\x23SNOTICE\0VNOTICE\0C00000\0Mhm\0Hh\0\0");
}

/* An error of a server that left fields out may be passed on as it was read. */
static void test_errors_without_fields(void **state)
{
    (void)state;
    wire_put_error(&out, NULL, NULL, NULL, NULL, NULL);
    WRITTEN("E\0\0\0\x1cSERROR\0VERROR\0CXX000\0M\0\0");
}

static void test_errors_are_read_back(void **state)
{
    (void)state;
    wire_put_error(&out, "ERROR", "42P10", "m", "d", "h");
    struct wire_error_fields fields;
    wire_error_read(out.data + WIRE_HEADER_SIZE, out.length - WIRE_HEADER_SIZE, &fields);
    assert_string_equal(fields.severity, "ERROR");
    assert_string_equal(fields.sqlstate, "42P10");
    assert_string_equal(fields.message, "m");
    assert_string_equal(fields.detail, "d");
    assert_string_equal(fields.hint, "h");
}

static void test_version_negotiation(void **state)
{
    (void)state;
    struct wire_startup startup = {.parameter_count = 3,
                                   .parameters = {{"_pq_.b", "1"}, {"user", "x"}, {"_pq_.a", ""}}};
    wire_put_negotiate_version(&out, WIRE_PROTOCOL_3_0, &startup);
    WRITTEN("v\0\0\0\x1a\0\3\0\0\0\0\0\2_pq_.b\0_pq_.a\0");
    startup.parameter_count = 0;
    wire_put_negotiate_version(&out, WIRE_PROTOCOL_3_2, &startup);
    WRITTEN("v\0\0\0\x0c\0\3\0\2\0\0\0\0");
}

static void test_messages_in_a_row(void **state)
{
    (void)state;
    size_t mark = wire_begin(&out, 'D');
    wire_put_i16(&out, 1);
    wire_put_i32(&out, -1);
    wire_end(&out, mark);
    wire_put_ready_for_query(&out, 'I');
    WRITTEN("D\0\0\0\x0a\0\1\xff\xff\xff\xffZ\0\0\0\5I");
}

/* Whatever the room, the buffer holds whole messages alone, and says that one is missing. */
static void test_buffers_too_small(void **state)
{
    (void)state;
    for (size_t maximum = 0; maximum < 37; maximum++) {
        _cleanup_buffer_ struct buffer small = BUFFER_INIT(maximum);
        wire_put_empty(&small, 'S');
        bool first = maximum >= 5;
        assert_int_equal(small.failed, !first);
        wire_put_error(&small, "ERROR", "XX000", "oh", NULL, NULL);
        assert_int_equal(small.failed, maximum < 36);
        assert_int_equal(small.length, maximum >= 36 ? 36 : first ? 5 : 0);
        if (first)
            assert_memory_equal(small.data, "S\0\0\0\4", 5);
        /* A short message behind one that was dropped does not slip in. */
        size_t length = small.length;
        wire_put_empty(&small, 'H');
        assert_int_equal(small.length, length);
        assert_true(small.failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_small_messages, empty_buffer, free_buffer),
        cmocka_unit_test_setup_teardown(test_authentication, empty_buffer, free_buffer),
        cmocka_unit_test_setup_teardown(test_parse, empty_buffer, free_buffer),
        cmocka_unit_test(test_parse_with_too_many_types),
        cmocka_unit_test_setup_teardown(test_errors, empty_buffer, free_buffer),
        cmocka_unit_test_setup_teardown(test_errors_without_fields, empty_buffer, free_buffer),
        cmocka_unit_test_setup_teardown(test_errors_are_read_back, empty_buffer, free_buffer),
        cmocka_unit_test_setup_teardown(test_version_negotiation, empty_buffer, free_buffer),
        cmocka_unit_test_setup_teardown(test_messages_in_a_row, empty_buffer, free_buffer),
        cmocka_unit_test(test_buffers_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Startup packets: what PostgreSQL takes, and every way to get one wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/message.h"

#define PARAMETERS(literal) (literal), sizeof(literal) - 1
#define TOO_LARGE_FOR_ANY 20000

/* A packet of the right length with that code and rest, in memory that ends where it does. */
static char *make_packet(int32_t code, const void *rest, size_t length, size_t *ret_size)
{
    _cleanup_buffer_ struct buffer whole = BUFFER_INIT(TOO_LARGE_FOR_ANY);
    wire_put_i32(&whole, (int32_t)(8 + length));
    wire_put_i32(&whole, code);
    buffer_append(&whole, rest, length);
    assert_false(whole.failed);
    char *exact = xmalloc(whole.length);
    memcpy(exact, whole.data, whole.length);
    *ret_size = whole.length;
    return exact;
}

/* The packet must live as long as what was read: the caller frees it. */
static char *read_packet(int32_t code, const void *rest, size_t length, struct wire_startup *ret)
{
    size_t size;
    char *packet = make_packet(code, rest, length, &size);
    struct error err = {0};
    if (wire_startup_read(packet, size, ret, &err) != 0)
        fail_msg("%s", err.message);
    return packet;
}

static void refused(int32_t code, const void *rest, size_t length, const char *message,
                    const char *sqlstate)
{
    size_t size;
    _cleanup_free_ char *packet = make_packet(code, rest, length, &size);
    struct wire_startup startup, before;
    memset(&startup, 0x5a, sizeof(startup));
    memcpy(&before, &startup, sizeof(before));
    struct error err = {0};
    assert_int_equal(wire_startup_read(packet, size, &startup, &err), -ERROR_PROTOCOL);
    assert_string_equal(err.message, message);
    assert_string_equal(err.sqlstate, sqlstate);
    assert_memory_equal(&startup, &before, sizeof(before));
}

static void test_size(void **state)
{
    (void)state;
    size_t size = 77;
    assert_int_equal(wire_startup_size("\0\0\0", 3, &size, NULL), 0);
    assert_int_equal(size, 0);
    assert_int_equal(wire_startup_size("\0\0\0\x08", 4, &size, NULL), 0);
    assert_int_equal(size, 8);
    assert_int_equal(wire_startup_size("\0\0\x27\x10zz", 6, &size, NULL), 0);
    assert_int_equal(size, WIRE_MAX_STARTUP);
    static const char *const bad[] = {
        "\0\0\0\0",   "\0\0\0\7",         "\0\0\x27\x11", "\x7f\xff\xff\xff",
        "\x80\0\0\0", "\xff\xff\xff\xff", "GET ",         "\x16\x03\x01\2"};
    for (size_t i = 0; i < array_size(bad); i++) {
        struct error err = {0};
        size = 77;
        assert_int_equal(wire_startup_size(bad[i], 4, &size, &err), -ERROR_PROTOCOL);
        assert_string_equal(err.message, "invalid length of startup packet");
        assert_int_equal(size, 77);
    }
}

static void test_parameters(void **state)
{
    (void)state;
    struct wire_startup startup;
    _cleanup_free_ reeve_unused char *packet =
        read_packet(WIRE_PROTOCOL_3_0,
                    PARAMETERS("user\0acme\0database\0orders\0application_name\0\0\0"), &startup);
    assert_int_equal(startup.kind, WIRE_STARTUP);
    assert_int_equal(startup.version, WIRE_PROTOCOL_3_0);
    assert_int_equal(startup.parameter_count, 3);
    assert_string_equal(wire_startup_get(&startup, "user"), "acme");
    assert_string_equal(wire_startup_get(&startup, "database"), "orders");
    assert_string_equal(wire_startup_get(&startup, "application_name"), "");
    assert_null(wire_startup_get(&startup, "User"));
    assert_null(wire_startup_get(&startup, ""));
    assert_false(startup.has_unknown_options);
    assert_ptr_equal(startup.parameters[0].name, packet + 8);
}

static void test_protocol_options_and_minor_versions(void **state)
{
    (void)state;
    struct wire_startup startup;
    _cleanup_free_ reeve_unused char *packet = read_packet(
        0x0003270f, PARAMETERS("_pq_.command_compression\0on\0user\0acme\0\0"), &startup);
    assert_int_equal(startup.version, 0x0003270f);
    assert_true(startup.has_unknown_options);
    assert_int_equal(startup.parameter_count, 2);
}

static void test_version_that_is_spoken(void **state)
{
    (void)state;
    static const struct {
        int32_t asked;
        uint32_t spoken;
    } cases[] = {{0x00030000, WIRE_PROTOCOL_3_0},
                 {0x00030001, 0x00030001},
                 {0x00030002, WIRE_PROTOCOL_3_2},
                 {0x00030003, WIRE_PROTOCOL_3_2},
                 {0x0003ffff, WIRE_PROTOCOL_3_2}};
    for (size_t i = 0; i < array_size(cases); i++) {
        struct wire_startup startup;
        _cleanup_free_ reeve_unused char *packet =
            read_packet(cases[i].asked, PARAMETERS("user\0acme\0\0"), &startup);
        assert_int_equal(startup.version, cases[i].asked);
        assert_int_equal(wire_startup_version(&startup), cases[i].spoken);
    }
}

static void test_unsupported_versions(void **state)
{
    (void)state;
    static const struct {
        int32_t code;
        const char *shown;
    } cases[] = {{0x00020000, "2.0"},
                 {0, "0.0"},
                 {0x00040001, "4.1"},
                 {-1, "65535.65535"},
                 {(1234 << 16) + 5681, "1234.5681"}};
    for (size_t i = 0; i < array_size(cases); i++) {
        char message[128];
        snprintf(message, sizeof(message),
                 "unsupported frontend protocol %s: server supports 3.0 and later", cases[i].shown);
        refused(cases[i].code, PARAMETERS("user\0acme\0\0"), message, "0A000");
    }
}

static void test_malformed_parameters(void **state)
{
    (void)state;
    static const char layout[] = "invalid startup packet layout: expected terminator as last byte";
    const int32_t v3 = WIRE_PROTOCOL_3_0;
    refused(v3, PARAMETERS(""), layout, "08P01");
    refused(v3, PARAMETERS("user\0acme\0"), layout, "08P01");
    refused(v3, PARAMETERS("user\0acme"), layout, "08P01");
    refused(v3, PARAMETERS("user"), layout, "08P01");
    refused(v3, PARAMETERS("user\0acme\0database\0\0"), layout, "08P01");
    refused(v3, PARAMETERS("user\0acme\0\0x"), layout, "08P01");
    refused(v3, PARAMETERS("user\0acme\0\0\0"), layout, "08P01");
    refused(v3, PARAMETERS("user\0acme\0\0database\0orders\0\0"), layout, "08P01");
}

static void test_no_user(void **state)
{
    (void)state;
    static const char message[] = "no PostgreSQL user name specified in startup packet";
    refused(WIRE_PROTOCOL_3_0, PARAMETERS("\0"), message, "28000");
    refused(WIRE_PROTOCOL_3_0, PARAMETERS("database\0orders\0\0"), message, "28000");
    refused(WIRE_PROTOCOL_3_0, PARAMETERS("user\0\0\0"), message, "28000");
}

static void test_a_parameter_given_twice(void **state)
{
    (void)state;
    refused(WIRE_PROTOCOL_3_0, PARAMETERS("user\0acme\0user\0bolt\0\0"),
            "startup parameter \"user\" is given twice", "08P01");
    refused(WIRE_PROTOCOL_3_0, PARAMETERS("user\0acme\0_pq_.a\0\0_pq_.a\0\0\0"),
            "startup parameter \"_pq_.a\" is given twice", "08P01");
    refused(WIRE_PROTOCOL_3_0, PARAMETERS("a\x1b\n\xff%s\0acme\0a\x1b\n\xff%s\0\0\0"),
            "startup parameter \"a???%s\" is given twice", "08P01");
}

static void test_a_long_name_is_shown_in_part(void **state)
{
    (void)state;
    char rest[2 * 201 + 2 * 1 + 1] = {0};
    memset(rest, 'n', 200);
    memset(rest + 202, 'n', 200);
    char message[128];
    snprintf(message, sizeof(message), "startup parameter \"%.63s\" is given twice", rest);
    refused(WIRE_PROTOCOL_3_0, rest, sizeof(rest), message, "08P01");
}

static void put_parameters(struct buffer *out, int count)
{
    wire_put_cstring(out, "user");
    wire_put_cstring(out, "acme");
    for (int i = 1; i < count; i++) {
        buffer_printf(out, "p%d", i);
        buffer_append_byte(out, 0);
        wire_put_cstring(out, "v");
    }
    buffer_append_byte(out, 0);
}

static void test_too_many_parameters(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer rest = BUFFER_INIT(TOO_LARGE_FOR_ANY);
    put_parameters(&rest, WIRE_MAX_STARTUP_PARAMETERS);
    struct wire_startup startup;
    _cleanup_free_ reeve_unused char *packet =
        read_packet(WIRE_PROTOCOL_3_0, rest.data, rest.length, &startup);
    assert_int_equal(startup.parameter_count, WIRE_MAX_STARTUP_PARAMETERS);
    assert_string_equal(wire_startup_get(&startup, "p99"), "v");

    buffer_reset(&rest);
    put_parameters(&rest, WIRE_MAX_STARTUP_PARAMETERS + 1);
    refused(WIRE_PROTOCOL_3_0, rest.data, rest.length, "too many parameters in startup packet",
            "08P01");
}

static void test_encryption_requests(void **state)
{
    (void)state;
    static const char layout[] = "invalid startup packet layout: data behind an encryption request";
    struct wire_startup startup;
    _cleanup_free_ reeve_unused char *ssl = read_packet(WIRE_SSL_REQUEST, "", 0, &startup);
    assert_int_equal(startup.kind, WIRE_STARTUP_SSL);
    assert_int_equal(startup.parameter_count, 0);
    _cleanup_free_ reeve_unused char *gss = read_packet(WIRE_GSSENC_REQUEST, "", 0, &startup);
    assert_int_equal(startup.kind, WIRE_STARTUP_GSSENC);
    refused(WIRE_SSL_REQUEST, "x", 1, layout, "08P01");
    refused(WIRE_GSSENC_REQUEST, PARAMETERS("user\0acme\0\0"), layout, "08P01");
}

static void test_cancel_requests(void **state)
{
    (void)state;
    static const char message[] = "invalid length of cancel request";
    char rest[4 + 257] = "\0\0\x30\x39";
    memset(rest + 4, 's', 257);
    struct wire_startup startup;
    for (size_t length = 4; length <= 256; length += 252) {
        _cleanup_free_ reeve_unused char *packet =
            read_packet(WIRE_CANCEL_REQUEST, rest, 4 + length, &startup);
        assert_int_equal(startup.kind, WIRE_STARTUP_CANCEL);
        assert_int_equal(startup.cancel_pid, 12345);
        assert_int_equal(startup.cancel_secret.length, length);
        assert_ptr_equal(startup.cancel_secret.data, packet + 12);
    }
    refused(WIRE_CANCEL_REQUEST, rest, 0, message, "08P01");
    refused(WIRE_CANCEL_REQUEST, rest, 3, message, "08P01");
    refused(WIRE_CANCEL_REQUEST, rest, 4, message, "08P01");
    refused(WIRE_CANCEL_REQUEST, rest, 4 + 3, message, "08P01");
    refused(WIRE_CANCEL_REQUEST, rest, 4 + 257, message, "08P01");
}

/* What the packet says of its length and what was received must agree. */
static void test_another_length_than_announced(void **state)
{
    (void)state;
    static const char packet[] = "\0\0\0\x13\0\3\0\0user\0acme\0\0trailing";
    for (size_t size = 0; size < sizeof(packet); size++) {
        _cleanup_free_ char *exact = xmalloc(size);
        memcpy(exact, packet, size);
        struct wire_startup startup;
        int expected = size == 19 ? 0 : -ERROR_PROTOCOL;
        assert_int_equal(wire_startup_read(exact, size, &startup, NULL), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_protocol_options_and_minor_versions),
        cmocka_unit_test(test_version_that_is_spoken),
        cmocka_unit_test(test_unsupported_versions),
        cmocka_unit_test(test_malformed_parameters),
        cmocka_unit_test(test_no_user),
        cmocka_unit_test(test_a_parameter_given_twice),
        cmocka_unit_test(test_a_long_name_is_shown_in_part),
        cmocka_unit_test(test_too_many_parameters),
        cmocka_unit_test(test_encryption_requests),
        cmocka_unit_test(test_cancel_requests),
        cmocka_unit_test(test_another_length_than_announced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

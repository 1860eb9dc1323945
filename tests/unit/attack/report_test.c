/* Reports: their lines, their JSON, their signature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>

#include "attack/report.h"

static const uint8_t key[CRYPTO_KEY_SIZE] = {1}, other_key[CRYPTO_KEY_SIZE] = {2};

static struct attack_result results[] = {
    {.id = "a.one",
     .threat = 1,
     .title = "one",
     .verdict = ATTACK_PASS,
     .tried = "SELECT 1\ncounts: PASS 9",
     .back = "42501 \x1b[31m no"},
    {.id = "a.two",
     .threat = 2,
     .title = "two",
     .verdict = ATTACK_FINDING,
     .tried = "SELECT 2",
     .back = "SELECT 1",
     .why = "it got in"},
};
static struct attack_cluster clusters[] = {{.id = 1, .name = "local", .version = "15.1"}};
static struct attack_target targets[] = {{.service = "orders",
                                          .isolation = "row",
                                          .cluster = "local",
                                          .enforcement = "login",
                                          .attacker = "reeve-attack-0-a",
                                          .victim = "reeve-attack-0-b",
                                          .filled = "thing",
                                          .unfilled = "",
                                          .results = results,
                                          .count = 2}};
static const struct attack_report report = {.endpoint = "localhost:6432",
                                            .clusters = clusters,
                                            .cluster_count = 1,
                                            .targets = targets,
                                            .target_count = 1,
                                            .counts = {1, 1, 0, 0}};

static struct buffer write_report(bool json)
{
    struct buffer bytes = BUFFER_INIT(1 << 20);
    assert_int_equal(attack_report_write(&report, json, key, &bytes, NULL), 0);
    return bytes;
}

static void test_text(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer bytes = write_report(false);
    const char *text = buffer_string(&bytes);
    assert_memory_equal(text, "Reeve attack report\n", 20);
    assert_non_null(strstr(text, "\ncluster: local, PostgreSQL 15.1\n"));
    assert_non_null(strstr(text, "\nFINDING   a.two (2): two\n"));
    assert_non_null(strstr(text, "    why:   it got in\n"));
    assert_non_null(strstr(text, "\nfinding: a.two (orders, row, local)\n"));
    assert_non_null(
        strstr(text, "\ncounts: PASS 1, FINDING 1, RESIDUAL 0, SKIPPED 0\nsignature: "));
    /* What others say cannot look like a line of ours, nor drive a terminal. */
    assert_non_null(strstr(text, "SELECT 1\\ncounts: PASS 9"));
    assert_null(strchr(text, '\x1b'));
}

static void test_json(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer bytes = write_report(true);
    json_t *object = json_loads(buffer_string(&bytes), 0, NULL);
    assert_non_null(object);
    json_t *attacks =
        json_object_get(json_array_get(json_object_get(object, "targets"), 0), "attacks");
    assert_string_equal(json_string_value(json_object_get(json_array_get(attacks, 1), "verdict")),
                        "FINDING");
    assert_true(json_is_null(json_object_get(object, "not_removed")));
    assert_true(json_is_string(json_object_get(object, "signature")));
    json_decref(object);
}

static void test_every_byte_is_signed(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        _cleanup_buffer_ struct buffer bytes = write_report(json);
        char *text = bytes.data;
        assert_int_equal(attack_report_verify(text, bytes.length, key, NULL), 0);
        assert_int_equal(attack_report_verify(text, bytes.length, other_key, NULL), -ERROR_INVALID);
        for (size_t i = 0; i < bytes.length; i++) {
            text[i] ^= 1;
            if (attack_report_verify(text, bytes.length, key, NULL) == 0)
                fail_msg("byte %zu of %zu may be changed", i, bytes.length);
            text[i] ^= 1;
        }
        for (size_t length = 0; length < bytes.length; length++)
            assert_int_equal(attack_report_verify(text, length, key, NULL), -ERROR_INVALID);
    }
}

static void test_nothing_may_follow(void **state)
{
    (void)state;
    _cleanup_buffer_ struct buffer bytes = write_report(false);
    buffer_append_string(&bytes, "\n");
    struct error err = {0};
    assert_int_equal(attack_report_verify(bytes.data, bytes.length, key, &err), -ERROR_INVALID);
    assert_string_equal(err.message, "the report does not end with a signature");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_every_byte_is_signed),
        cmocka_unit_test(test_nothing_may_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

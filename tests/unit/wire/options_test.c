/* The startup parameter "options", by the rules of pg_split_opts and getopt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/message.h"

/* Settings as "name=value;name=value;". */
static int collect(void *owner, const char *name, const char *value, struct error *err)
{
    (void)err;
    return buffer_printf(owner, "%s=%s;", name, value);
}

static void gives(const char *options, const char *expected)
{
    _cleanup_buffer_ struct buffer settings = BUFFER_INIT(2 * WIRE_MAX_STARTUP);
    struct error err = {0};
    if (wire_options_read(options, collect, &settings, &err) != 0)
        fail_msg("%s: %s", options, err.message);
    assert_string_equal(buffer_string(&settings), expected);
}

static void refused(const char *options, const char *message)
{
    _cleanup_buffer_ struct buffer settings = BUFFER_INIT(2 * WIRE_MAX_STARTUP);
    struct error err = {0};
    assert_int_equal(wire_options_read(options, collect, &settings, &err), -ERROR_INVALID);
    assert_string_equal(err.message, message);
}

static void test_nothing(void **state)
{
    (void)state;
    gives("", "");
    gives(" \t\n\v\f\r ", "");
}

static void test_the_ways_to_write_a_setting(void **state)
{
    (void)state;
    gives("-c geqo=off", "geqo=off;");
    gives("-cgeqo=off", "geqo=off;");
    gives("--geqo=off", "geqo=off;");
    gives("  -c\t geqo=off\n--work_mem=64MB  ", "geqo=off;work_mem=64MB;");
    gives("--search-path=a-b", "search_path=a-b;");
    gives("-c statement-timeout=1", "statement_timeout=1;");
    gives("-c a=b=c", "a=b=c;");
    gives("-c a=", "a=;");
    gives("-c --a=b", "__a=b;"); /* as getopt: what is behind -c is its argument */
}

static void test_escapes(void **state)
{
    (void)state;
    gives("-c application_name=a\\ b", "application_name=a b;");
    gives("-c a=x\\\\y", "a=x\\y;");
    gives("-c a=\\-\\c", "a=-c;");
    gives("-c\\ a=b", " a=b;");
    gives("\\-\\c a=b", "a=b;");
    gives("-c a=b\\", "a=b;"); /* the last backslash is dropped */
    gives("-c a=\\\n", "a=\n;");
    refused("-c a='b c'", "\"c'\" in startup parameter \"options\" is not supported");
}

static void test_other_switches_are_refused(void **state)
{
    (void)state;
    static const char *const switches[] = {"-S", "-D", "-", "x", "=", "-e", "-ec", "-C"};
    for (size_t i = 0; i < array_size(switches); i++) {
        char message[128];
        snprintf(message, sizeof(message),
                 "\"%s\" in startup parameter \"options\" is not supported", switches[i]);
        refused(switches[i], message);
    }
    refused("-c a=b geqo=off", "\"geqo=off\" in startup parameter \"options\" is not supported");
    refused("\\", "\"\" in startup parameter \"options\" is not supported");
}

static void test_incomplete_settings(void **state)
{
    (void)state;
    refused("-c", "\"-c\" in startup parameter \"options\" has no setting behind it");
    refused("-c  ", "\"-c\" in startup parameter \"options\" has no setting behind it");
    refused("-c geqo", "\"geqo\" in startup parameter \"options\" has no value");
    refused("--geqo", "\"geqo\" in startup parameter \"options\" has no value");
    refused("--", "\"\" in startup parameter \"options\" has no value");
    refused("-c =off", "\"=off\" in startup parameter \"options\" has no name");
    refused("--=off", "\"=off\" in startup parameter \"options\" has no name");
    refused("-c \\", "\"\" in startup parameter \"options\" has no value");
}

static void test_odd_bytes_are_not_repeated(void **state)
{
    (void)state;
    refused("\x1b[31m\xff%s", "\"?[31m?%s\" in startup parameter \"options\" is not supported");
    char options[300] = {0};
    memset(options, 'x', sizeof(options) - 1);
    char message[160];
    snprintf(message, sizeof(message),
             "\"%.63s\" in startup parameter \"options\" is not supported", options);
    refused(options, message);
}

static void test_the_longest(void **state)
{
    (void)state;
    char options[WIRE_MAX_STARTUP + 1] = "--a=";
    memset(options + 4, 'v', WIRE_MAX_STARTUP - 1 - 4);
    _cleanup_buffer_ struct buffer settings = BUFFER_INIT(2 * WIRE_MAX_STARTUP);
    assert_int_equal(wire_options_read(options, collect, &settings, NULL), 0);
    assert_int_equal(settings.length, WIRE_MAX_STARTUP - 1 - 2 + 1);
    options[WIRE_MAX_STARTUP - 1] = 'v';
    refused(options, "startup parameter \"options\" is too long");
}

static int refuse_second(void *owner, const char *name, const char *value, struct error *err)
{
    (void)name, (void)value;
    int *count = owner;
    return ++*count == 2 ? error_set(err, ERROR_DENIED, "not that one") : 0;
}

static int stop_at_once(void *owner, const char *name, const char *value, struct error *err)
{
    (void)name, (void)value, (void)err;
    ++*(int *)owner;
    return 42;
}

static void test_found_ends_it(void **state)
{
    (void)state;
    struct error err = {0};
    int count = 0;
    assert_int_equal(wire_options_read("--a=1 --b=2 --c=3", refuse_second, &count, &err),
                     -ERROR_DENIED);
    assert_string_equal(err.message, "not that one");
    assert_int_equal(count, 2);
    assert_int_equal(wire_options_read("--a=1 --b=2", stop_at_once, &count, NULL), 42);
    assert_int_equal(count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_the_ways_to_write_a_setting),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_other_switches_are_refused),
        cmocka_unit_test(test_incomplete_settings),
        cmocka_unit_test(test_odd_bytes_are_not_repeated),
        cmocka_unit_test(test_the_longest),
        cmocka_unit_test(test_found_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

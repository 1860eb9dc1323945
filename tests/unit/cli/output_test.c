#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/context.h"
#include "cli/output.h"

static void test_nothing_drives_a_terminal(void **state reeve_unused)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"plain", "plain"},
        {"two\nlines", "two\\nlines"},
        {"\x1b[31mred\x7f", "\\x1b[31mred\\x7f"},
        {"C1: \xc2\x9b"
         "31m",
         "C1: \\xc2\\x9b"
         "31m"},
        {"\xc2\xa0 \xc3\xa9 \xe2\x98\x82", "\xc2\xa0 \xc3\xa9 \xe2\x98\x82"},
        {"cut \xc2", "cut \xc2"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        char shown[128] = "";
        FILE *file = fmemopen(shown, sizeof(shown), "w");
        assert_non_null(file);
        output_escaped(file, cases[i].text);
        fclose(file);
        assert_string_equal(shown, cases[i].shown);
    }
}

/* The name is in the error, however long it is, and never cut within a character. */
static void test_slugs_that_are_refused(void **state reeve_unused)
{
    char long_slug[200], expected[128];
    struct error err = {0};
    assert_int_equal(context_check_slug("tenant slug", "acme-1", &err), 0);
    assert_int_equal(context_check_slug("tenant slug", "Has-Capitals", &err), -ERROR_INVALID);
    assert_string_equal(err.message, "tenant slug \"Has-Capitals\" is not valid");
    memset(long_slug, 'a', sizeof(long_slug));
    long_slug[sizeof(long_slug) - 1] = '\0';
    assert_int_equal(context_check_slug("tenant slug", long_slug, &err), -ERROR_INVALID);
    snprintf(expected, sizeof(expected), "tenant slug \"%.64s...\" is not valid", long_slug);
    assert_string_equal(err.message, expected);
    memcpy(long_slug + 62, "\xe2\x98\x82", 3);
    assert_int_equal(context_check_slug("tenant slug", long_slug, &err), -ERROR_INVALID);
    snprintf(expected, sizeof(expected), "tenant slug \"%.62s...\" is not valid", long_slug);
    assert_string_equal(err.message, expected);
}

static void test_values(void **state reeve_unused)
{
    json_t *values = json_pack("[o, o, o, o, o]", output_text(NULL), output_text("x"),
                               output_time_us(0), output_id(0), output_id(7));
    char *text = json_dumps(values, JSON_COMPACT);
    assert_string_equal(text, "[null,\"x\",null,null,7]");
    free(text);
    json_decref(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_drives_a_terminal),
        cmocka_unit_test(test_slugs_that_are_refused),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

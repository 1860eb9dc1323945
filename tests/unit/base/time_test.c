/* Clocks and their text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/time.h"

static void test_clocks(void **state)
{
    (void)state;
    int64_t before = time_monotonic_us();
    assert_true(before > 0);
    assert_true(time_monotonic_us() >= before);
    assert_true(time_unix_us() > 1700000000LL * TIME_S);
}

static void is_formatted(int64_t unix_us, const char *expected)
{
    char text[TIME_TEXT_SIZE];
    time_format(unix_us, text);
    assert_string_equal(text, expected);
}

static void test_text(void **state)
{
    (void)state;
    is_formatted(0, "1970-01-01T00:00:00.000Z");
    is_formatted(1767322985678999LL, "2026-01-02T03:03:05.678Z");
    is_formatted(951782400LL * TIME_S, "2000-02-29T00:00:00.000Z");
    is_formatted(253402300799999999LL, "9999-12-31T23:59:59.999Z");
}

/* A token may carry any number as its expiry. */
static void test_text_of_any_number(void **state)
{
    (void)state;
    is_formatted(-1, "1969-12-31T23:59:59.999Z");
    is_formatted(-1000000, "1969-12-31T23:59:59.000Z");
    is_formatted(-1500000, "1969-12-31T23:59:58.500Z");
    is_formatted(INT64_MAX, "294247-01-10T04:00:54.775Z");
    char text[TIME_TEXT_SIZE];
    time_format(INT64_MIN, text);
    assert_true(strlen(text) < TIME_TEXT_SIZE);
    assert_null(strstr(text, ".-"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_of_any_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Text: slices, numbers, durations, UTF-8 and names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

static void test_slices(void **state)
{
    (void)state;
    assert_true(str_equal(STR_LITERAL("a\0b"), (struct str){"a\0b", 3}));
    assert_false(str_equal(STR_LITERAL("a\0b"), STR_LITERAL("a\0c")));
    assert_false(str_equal(STR_LITERAL("ab"), STR_LITERAL("a")));
    assert_true(str_equal(str_of(NULL), STR_LITERAL("")));
    assert_true(str_equal_text((struct str){"abcdef", 3}, "abc"));
    assert_false(str_equal_text((struct str){"abcdef", 4}, "abc"));
}

static void test_copy(void **state)
{
    (void)state;
    char target[4] = "zzz";
    assert_true(str_copy(target, sizeof(target), "abc"));
    assert_string_equal(target, "abc");
    assert_false(str_copy(target, sizeof(target), "abcd"));
    assert_string_equal(target, "");
    assert_true(str_copy(target, 1, ""));
    assert_false(str_copy(target, 1, "a"));
}

static void test_prefixes_and_suffixes(void **state)
{
    (void)state;
    assert_true(str_has_prefix("abc", "ab"));
    assert_true(str_has_prefix("abc", ""));
    assert_false(str_has_prefix("a", "ab"));
    assert_true(str_has_suffix("abc", "bc"));
    assert_true(str_has_suffix("abc", ""));
    assert_false(str_has_suffix("c", "bc"));
    assert_false(str_has_suffix("abcd", "bc"));
}

static void test_numbers(void **state)
{
    (void)state;
    int64_t value = 77;
    assert_true(str_to_i64("0", 0, 10, &value));
    assert_int_equal(value, 0);
    assert_true(str_to_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &value));
    assert_true(value == INT64_MIN);
    assert_true(str_to_i64("9223372036854775807", INT64_MIN, INT64_MAX, &value));
    assert_true(value == INT64_MAX);
    assert_true(str_to_i64("007", 0, 10, &value));
    assert_int_equal(value, 7);
}

static void test_bad_numbers(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "-",
                                      "--1",
                                      "- 1",
                                      "1x",
                                      "0x10",
                                      "1.0",
                                      "1e3",
                                      "x",
                                      "11",
                                      "-1",
                                      "\t1",
                                      "\xef\xbc\x91",
                                      "99999999999999999999",
                                      "-99999999999999999999"};
    for (size_t i = 0; i < array_size(bad); i++) {
        int64_t value = 77;
        assert_false(str_to_i64(bad[i], 0, 10, &value));
        assert_int_equal(value, 77);
    }
    int64_t value = 77;
    assert_false(str_to_i64(NULL, 0, 10, &value));
    assert_int_equal(value, 77);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"0", 0},
                {"15", 15},
                {"15B", 15},
                {"64kB", 65536},
                {"10MB", 10485760},
                {"3GB", 3221225472LL},
                {"8388607TB", 9223370937343148032LL}};
    for (size_t i = 0; i < array_size(good); i++) {
        int64_t bytes = 77;
        assert_true(str_to_size(good[i].text, &bytes));
        assert_true(bytes == good[i].bytes);
    }
    static const char *const bad[] = {"",     "MB",  "-1MB", "+1",        " 1kB",
                                      "1 kB", "1KB", "1kB ", "1m",        "1.5MB",
                                      "1k",   "1s",  "0x1",  "8388608TB", "9223372036854775808"};
    for (size_t i = 0; i < array_size(bad); i++) {
        int64_t bytes = 77;
        assert_false(str_to_size(bad[i], &bytes));
        assert_int_equal(bytes, 77);
    }
    int64_t bytes = 77;
    assert_false(str_to_size(NULL, &bytes));
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {{"0", 0},
                {"15", 15000000},
                {"500ms", 500000},
                {"10s", 10000000},
                {"5m", 300000000},
                {"12h", 43200000000LL},
                {"30d", 2592000000000LL},
                {"106751991d", 9223372022400000000LL},
                {"9223372036854s", 9223372036854000000LL}};
    for (size_t i = 0; i < array_size(good); i++) {
        int64_t us = 77;
        assert_true(str_to_duration_us(good[i].text, &us));
        assert_true(us == good[i].us);
    }
    static const char *const bad[] = {"",
                                      "s",
                                      "-1s",
                                      "+1s",
                                      " 1s",
                                      "1 s",
                                      "1s ",
                                      "1S",
                                      "1w",
                                      "1x",
                                      "1.5s",
                                      "1h30m",
                                      "ms",
                                      "0x1s",
                                      "106751992d",
                                      "9223372036855s",
                                      "99999999999999999999"};
    for (size_t i = 0; i < array_size(bad); i++) {
        int64_t us = 77;
        assert_false(str_to_duration_us(bad[i], &us));
        assert_int_equal(us, 77);
    }
    int64_t us;
    assert_false(str_to_duration_us(NULL, &us));
}

/* As the definition has it: the one encoding of a code point that is no surrogate. */
static size_t encode(uint32_t point, char bytes[4])
{
    if (point < 0x80) {
        bytes[0] = (char)point;
        return 1;
    }
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, point >>= 6)
        bytes[i] = (char)(0x80 | (point & 0x3F));
    static const uint8_t first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    bytes[0] = (char)(first[length] | point);
    return length;
}

static void test_utf8_of_every_code_point(void **state)
{
    (void)state;
    char bytes[4];
    for (uint32_t point = 0; point <= 0x1FFFFF; point++) {
        bool good = point <= 0x10FFFF && !(point >= 0xD800 && point <= 0xDFFF);
        size_t length = encode(point, bytes);
        if (str_is_utf8(bytes, length) != good)
            fail_msg("U+%X", point);
        if (length > 1 && str_is_utf8(bytes, length - 1))
            fail_msg("U+%X, cut off", point);
    }
}

static void test_bytes_that_are_not_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x80\x80",
                                      "\xe0\x9f\xbf",
                                      "\xf0\x80\x80\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xfe",
                                      "\xc3(",
                                      "\xe2\x82(",
                                      "\xe2(\xa1",
                                      "\xf8\x88\x80\x80\x80",
                                      "a\xc3",
                                      "\xc3\xa9\xa9"};
    for (size_t i = 0; i < array_size(bad); i++)
        assert_false(str_is_utf8(bad[i], strlen(bad[i])));
    assert_true(str_is_utf8("", 0));
    assert_true(str_is_utf8(NULL, 0));
    assert_true(str_is_utf8("a\0b", 3));
    assert_true(str_is_utf8("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", 16));
}

static void test_slugs(void **state)
{
    (void)state;
    char longest[65];
    memset(longest, 'a', 64);
    longest[63] = longest[64] = '\0';
    const char *const good[] = {"a", "0", "acme", "a-b_c-9", "0-", longest};
    for (size_t i = 0; i < array_size(good); i++)
        assert_int_equal(str_check_slug("tenant slug", good[i], NULL), 0);
    longest[63] = 'a';
    const char *const bad[] = {"",    "A",   "-a",  "_a",       "a b",   "a.b", "a/b", "a\"b",
                               "a'b", "a\n", "a;b", "\xc3\xa9", "a\xff", "..",  "a$",  longest};
    for (size_t i = 0; i < array_size(bad); i++) {
        struct error err = {0};
        assert_int_equal(str_check_slug("tenant slug", bad[i], &err), -ERROR_INVALID);
        assert_string_equal(err.message, "tenant slug is not valid");
        assert_string_equal(
            err.hint, "use 1 to 63 of a-z, 0-9, '-' and '_', beginning with a letter or a digit");
    }
}

static void test_display_names(void **state)
{
    (void)state;
    char longest[202];
    memset(longest, 'a', 201);
    longest[200] = longest[201] = '\0';
    const char *const good[] = {"A", "Acme & Sons, \"Ltd\"", "Gr\xc3\xbc\xc3\x9f", "\xc2\xa0",
                                longest};
    for (size_t i = 0; i < array_size(good); i++)
        assert_int_equal(str_check_display_name("name", good[i], NULL), 0);
    longest[200] = 'a';
    /* C1 controls too: U+009B begins an escape sequence on a terminal. */
    const char *const bad[] = {
        "",      "a\nb",          "\x1b[31m",      "\x7f",         "\t",
        "\xff",  "a\xc3",         "\xc2\x9b",      "x\xc2\x80",    "\xc2\x9f",
        longest, "a\xe2\x80\xa8", "a\xe2\x80\xae", "a\xe2\x81\xa7"};
    for (size_t i = 0; i < array_size(bad); i++) {
        struct error err = {0};
        assert_int_equal(str_check_display_name("name", bad[i], &err), -ERROR_INVALID);
        assert_string_equal(err.message, "name is not valid");
    }
}

static void test_hex(void **state)
{
    (void)state;
    char text[9] = "zzzzzzzz";
    str_hex("\x00\x9f\xff\x10", 4, text);
    assert_string_equal(text, "009fff10");
    str_hex("", 0, text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_prefixes_and_suffixes),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_bad_numbers),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_utf8_of_every_code_point),
        cmocka_unit_test(test_bytes_that_are_not_utf8),
        cmocka_unit_test(test_slugs),
        cmocka_unit_test(test_display_names),
        cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

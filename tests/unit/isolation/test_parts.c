/* How a table is split: every block is in exactly one part, whatever the sizes. No server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "isolation/parts.h"

enum { PART = 1000 };

static void test_count(void **state)
{
    (void)state;
    assert_int_equal(isolation_part_count(0, 0, PART), 1);
    assert_int_equal(isolation_part_count(PART, 10, PART), 1);
    assert_int_equal(isolation_part_count(PART + 1, 10, PART), 2);
    assert_int_equal(isolation_part_count(2 * PART, 10, PART), 2);
    assert_int_equal(isolation_part_count(2 * PART + 1, 10, PART), 3);
    assert_int_equal(isolation_part_count(9 * PART, 0, PART), 1); /* cannot be split */
    assert_int_equal(isolation_part_count(9 * PART, 1, PART), 1);
    assert_int_equal(isolation_part_count(9 * PART, 4, PART), 4); /* most of it are long values */
    assert_int_equal(isolation_part_count(INT64_MAX, INT64_MAX, 1), ISOLATION_PARTS_MAX);
    assert_int_equal(isolation_part_count(9 * PART, 4, 0), 1);
}

static void test_parts_are_the_table(void **state)
{
    (void)state;
    static const int64_t sizes[] = {2, 3, 7, 100, 4099, UINT32_MAX};
    static const size_t counts[] = {1, 2, 3, 7, 97, ISOLATION_PARTS_MAX};
    for (size_t s = 0; s < array_size(sizes); s++) {
        for (size_t c = 0; c < array_size(counts) && (int64_t)counts[c] <= sizes[s]; c++) {
            int64_t next = 0;
            for (size_t i = 0; i < counts[c]; i++) {
                struct isolation_part part = isolation_part_at(sizes[s], counts[c], i);
                bool last = i + 1 == counts[c];
                assert_int_equal(part.from, next);
                assert_true(last ? part.to == 0 : part.to > part.from && part.to < sizes[s]);
                next = part.to;
            }
        }
    }
}

static void assert_condition(int64_t from, int64_t to, const char *expected)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(1 << 10);
    const struct isolation_part part = {.from = from, .to = to};
    isolation_part_put(&sql, "WHERE", &part);
    assert_string_equal(buffer_string(&sql), expected);
}

static void test_conditions(void **state)
{
    (void)state;
    assert_condition(0, 0, "");
    assert_condition(0, 5, " WHERE ctid < '(5,0)'::pg_catalog.tid");
    assert_condition(5, 0, " WHERE ctid >= '(5,0)'::pg_catalog.tid");
    assert_condition(5, 9,
                     " WHERE ctid >= '(5,0)'::pg_catalog.tid AND ctid < '(9,0)'::pg_catalog.tid");
}

static void test_sums(void **state)
{
    (void)state;
    isolation_sum sum = 1;
    assert_true(isolation_sum_parse("0", &sum) && sum == 0);
    assert_true(isolation_sum_parse("-9223372036854775808", &sum) && sum == INT64_MIN);
    assert_true(isolation_sum_parse("85070591730234615847396907784232501249", &sum));
    assert_true(sum == (isolation_sum)INT64_MAX * INT64_MAX);
    sum = 7;
    static const char *const wrong[] = {
        "", "-", "1.5", "NaN", " 1", "1 ", "+1", "100000000000000000000000000000000000000"};
    for (size_t i = 0; i < array_size(wrong); i++)
        assert_false(isolation_sum_parse(wrong[i], &sum));
    assert_true(sum == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_parts_are_the_table),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Which limit is in force: the most particular that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "route/route.h"

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROUTE_LIMITS; i++) {
        assert_non_null(route_limit_name(i));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(route_limit_name(i), route_limit_name(k));
        const char *name = route_limit_name(i);
        enum route_limit_kind kind = ROUTE_LIMIT_NUMBER;
        if (strstr(name, "_timeout"))
            kind = ROUTE_LIMIT_TIME;
        else if (strstr(name, "_size") || strstr(name, "byte_"))
            kind = ROUTE_LIMIT_SIZE;
        else if (i == ROUTE_LIMIT_WEIGHT)
            kind = ROUTE_LIMIT_PERCENT;
        assert_int_equal(route_limit_kind((enum route_limit)i), kind);
        assert_int_equal(route_limits_unset.values[i], ROUTE_LIMIT_UNSET);
    }
    assert_null(route_limit_name(ROUTE_LIMITS));
    assert_null(route_limit_name(1000));
}

static void test_the_most_particular(void **state)
{
    (void)state;
    struct route_service services[] = {{.id = 4, .limits = route_limits_unset},
                                       {.id = 5, .limits = route_limits_unset}};
    struct route_globals globals = {.service_count = 2, .services = services};
    struct route_placement placement = {.service_id = 5, .limits = route_limits_unset};
    struct route_limits fallback;
    for (size_t i = 0; i < ROUTE_LIMITS; i++)
        fallback.values[i] = 100 + (int64_t)i;

    struct route_limits found = route_limits_in_force(&globals, &placement, &fallback);
    assert_memory_equal(&found, &fallback, sizeof(found));
    found = route_limits_in_force(NULL, &placement, &fallback);
    assert_memory_equal(&found, &fallback, sizeof(found));

    services[0].limits.values[ROUTE_LIMIT_CLIENTS] = 1; /* another service's */
    services[1].limits.values[ROUTE_LIMIT_CLIENTS] = 2;
    services[1].limits.values[ROUTE_LIMIT_QUERY_US] = ROUTE_LIMIT_NONE;
    placement.limits.values[ROUTE_LIMIT_TRANSACTIONS] = 3;
    found = route_limits_in_force(&globals, &placement, &fallback);
    assert_int_equal(found.values[ROUTE_LIMIT_CLIENTS], 2);
    assert_int_equal(found.values[ROUTE_LIMIT_TRANSACTIONS], 3);
    assert_int_equal(found.values[ROUTE_LIMIT_QUERY_US], ROUTE_LIMIT_NONE);
    assert_int_equal(found.values[ROUTE_LIMIT_TRANSACTION_US],
                     fallback.values[ROUTE_LIMIT_TRANSACTION_US]);

    placement.limits.values[ROUTE_LIMIT_CLIENTS] = ROUTE_LIMIT_NONE;
    found = route_limits_in_force(&globals, &placement, &fallback);
    assert_int_equal(found.values[ROUTE_LIMIT_CLIENTS], ROUTE_LIMIT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_the_most_particular),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

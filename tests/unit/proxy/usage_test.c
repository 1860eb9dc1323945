/* What a place has counted outlives it, for so many placements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/usage.h"

static struct worker worker;

static int set_up(void **state)
{
    (void)state;
    worker = (struct worker){0};
    hash_table_init(&worker.past);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    usage_free(&worker);
    return 0;
}

static struct place make(int64_t placement_id)
{
    return (struct place){
        .worker = &worker, .placement_id = placement_id, .tenant = "acme", .service = "orders"};
}

static int64_t worker_has(enum proxy_use use)
{
    return atomic_load(&worker.counters.used[use]);
}

static void test_counting(void **state)
{
    (void)state;
    struct place place = make(1);
    usage_count(&worker, &place, PROXY_USE_QUERIES, 2);
    usage_count(&worker, NULL, PROXY_USE_QUERIES, 3);
    assert_int_equal(place.used.of[PROXY_USE_QUERIES], 2);
    assert_int_equal(worker_has(PROXY_USE_QUERIES), 5);
}

static void test_a_place_comes_back(void **state)
{
    (void)state;
    struct place place = make(7);
    usage_count(&worker, &place, PROXY_USE_TRANSACTIONS, 5);
    usage_keep(&place, NULL);
    assert_int_equal(worker.past.count, 1);
    struct place other_placement = make(8);
    usage_recall(&other_placement, NULL);
    assert_int_equal(other_placement.used.of[PROXY_USE_TRANSACTIONS], 0);
    struct place again = make(7);
    usage_recall(&again, NULL);
    assert_int_equal(again.used.of[PROXY_USE_TRANSACTIONS], 5);
    assert_int_equal(worker.past.count, 0);
    struct place once_more = make(7);
    usage_recall(&once_more, NULL); /* not twice */
    assert_int_equal(once_more.used.of[PROXY_USE_TRANSACTIONS], 0);
}

static void test_the_other_access_takes_over(void **state)
{
    (void)state;
    struct place reading = make(7);
    struct place writing = make(7);
    usage_count(&worker, &reading, PROXY_USE_ERRORS, 2);
    usage_count(&worker, &writing, PROXY_USE_ERRORS, 3);
    usage_keep(&reading, &writing);
    assert_int_equal(writing.used.of[PROXY_USE_ERRORS], 5);
    assert_int_equal(worker.past.count, 0);
}

static void test_nothing_is_not_kept(void **state)
{
    (void)state;
    struct place place = make(7);
    usage_keep(&place, NULL);
    assert_int_equal(worker.past.count, 0);
}

static bool is_kept(int64_t placement_id)
{
    struct place place = make(placement_id);
    usage_recall(&place, NULL);
    bool kept = place.used.of[PROXY_USE_BACKEND_US] > 0;
    usage_keep(&place, NULL);
    return kept;
}

/* Those with the least backend time go, half of them at once. */
static void test_the_least_are_given_up(void **state)
{
    (void)state;
    for (int64_t i = 0; i < USAGE_KEPT; i++) {
        struct place place = make(i + 1);
        usage_count(&worker, &place, PROXY_USE_BACKEND_US, (i * 37) % USAGE_KEPT + 1);
        usage_keep(&place, NULL);
    }
    assert_int_equal(worker.past.count, USAGE_KEPT);
    assert_false(worker.past_given_up);
    struct place one_more = make(USAGE_KEPT + 1);
    usage_count(&worker, &one_more, PROXY_USE_BACKEND_US, 1);
    usage_keep(&one_more, NULL);
    assert_true(worker.past_given_up);
    assert_int_equal(worker.past.count, USAGE_KEPT / 2 + 1);
    for (int64_t i = 0; i < USAGE_KEPT; i++)
        assert_int_equal(is_kept(i + 1), (i * 37) % USAGE_KEPT >= USAGE_KEPT / 2);
    assert_true(is_kept(USAGE_KEPT + 1)); /* who goes now is the latest */
}

/* Many that have had the same: no more go than must. */
static void test_equal_ones(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 3 * USAGE_KEPT; i++) {
        struct place place = make(i + 1);
        usage_count(&worker, &place, PROXY_USE_BACKEND_US, 5);
        usage_keep(&place, NULL);
        assert_true(worker.past.count <= USAGE_KEPT);
        assert_true(i < USAGE_KEPT / 2 || worker.past.count > USAGE_KEPT / 2);
    }
}

static void wait_for(struct place *place, int64_t us)
{
    struct client client = {.worker = &worker, .place = place, .queued_us = 1000};
    usage_wait_ended(&client, 1000 + us);
}

static void test_waits(void **state)
{
    (void)state;
    struct place place = make(1);
    wait_for(&place, 0);
    wait_for(&place, 1000);
    wait_for(&place, 1001);
    wait_for(&place, 30000000);
    wait_for(&place, 30000001);
    assert_int_equal(atomic_load(&worker.counters.waits[0]), 2);
    assert_int_equal(atomic_load(&worker.counters.waits[1]), 1);
    assert_int_equal(atomic_load(&worker.counters.waits[PROXY_WAIT_BOUNDS - 1]), 1);
    assert_int_equal(atomic_load(&worker.counters.waits[PROXY_WAIT_BOUNDS]), 1);
    assert_int_equal(place.used.of[PROXY_USE_WAITS], 5);
    assert_int_equal(place.used.of[PROXY_USE_WAIT_US], 60002002);
    assert_int_equal(worker_has(PROXY_USE_WAIT_US), 60002002);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_place_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_other_access_takes_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_not_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_least_are_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_equal_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_waits, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

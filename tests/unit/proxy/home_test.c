/* Which seats a place is at home on, and who sits where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/backend.h"
#include "proxy/place.h"

enum { PLACES = 2000, SEATS_MAX = 100 };

static struct pool pool;
static struct backend backends[SEATS_MAX];
static struct place place;

static int set_up(void **state)
{
    (void)state;
    pool = (struct pool){0};
    place = (struct place){.pool = &pool, .placement_id = 7};
    for (size_t i = 0; i < SEATS_MAX; i++)
        backends[i] = (struct backend){.pool = &pool, .state = BACKEND_IDLE};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    home_free_seats(&pool.seats);
    return 0;
}

static void seat(size_t count)
{
    for (size_t i = 0; i < count; i++)
        home_take_seat(&backends[i]);
}

/* ---- homes ---- */

static struct homes homes_for(size_t number, size_t seats)
{
    struct homes homes;
    homes_find(&homes, hash_u64(number), seats);
    return homes;
}

static void test_how_many(void **state)
{
    (void)state;
    static const struct {
        size_t seats, homes;
    } cases[] = {{0, 0},  {1, 1},  {2, 2},  {3, 2},  {20, 2},
                 {21, 3}, {45, 5}, {80, 8}, {81, 8}, {5000, HOMES_MAX}};
    for (size_t i = 0; i < array_size(cases); i++)
        assert_int_equal(homes_for(1, cases[i].seats).count, cases[i].homes);
}

static void test_they_are_seats_and_differ(void **state)
{
    (void)state;
    for (size_t number = 0; number < PLACES; number++) {
        for (size_t seats = 1; seats <= 40; seats++) {
            struct homes homes = homes_for(number, seats);
            for (size_t i = 0; i < homes.count; i++) {
                assert_in_range(homes.numbers[i], 0, seats - 1);
                for (size_t j = 0; j < i; j++)
                    assert_int_not_equal(homes.numbers[i], homes.numbers[j]);
            }
        }
    }
}

/* 2000 places with 2 homes each on 20 seats: 200 a seat, give or take 14. */
static void test_seats_have_alike_many(void **state)
{
    (void)state;
    size_t found[20] = {0};
    for (size_t number = 0; number < PLACES; number++) {
        struct homes homes = homes_for(number, array_size(found));
        for (size_t i = 0; i < homes.count; i++)
            found[homes.numbers[i]]++;
    }
    for (size_t i = 0; i < array_size(found); i++)
        assert_in_range(found[i], 100, 300);
}

static bool same(const struct homes *a, const struct homes *b)
{
    return a->numbers[0] == b->numbers[0] && a->numbers[1] == b->numbers[1];
}

/* A place moves with one of its two homes in a tenth of the cases. */
static void test_few_move_when_a_seat_is_added(void **state)
{
    (void)state;
    size_t moved = 0;
    for (size_t number = 0; number < PLACES; number++) {
        struct homes before = homes_for(number, 19), after = homes_for(number, 20);
        moved += !same(&before, &after);
    }
    assert_in_range(moved, PLACES / 20, PLACES / 5);
}

/* ---- seats ---- */

static void test_a_seat_that_was_left_is_taken_next(void **state)
{
    (void)state;
    seat(10);
    home_leave_seat(&backends[3]);
    assert_false(backends[3].seated);
    assert_int_equal(pool.seats.count, 10);
    home_take_seat(&backends[20]);
    assert_int_equal(backends[20].seat, 3);
    home_take_seat(&backends[21]);
    assert_int_equal(backends[21].seat, 10);
}

static void test_half_empty_rows_are_closed(void **state)
{
    (void)state;
    seat(10);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(pool.seats.count, 10);
        home_leave_seat(&backends[2 * i]);
    }
    assert_int_equal(pool.seats.count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(backends[2 * i + 1].seat, i);
        assert_ptr_equal(pool.seats.backends[i], &backends[2 * i + 1]);
    }
    home_leave_seat(&backends[0]); /* has none any more: nothing */
    assert_int_equal(pool.seats.count, 5);
}

static void test_the_last_one_leaves(void **state)
{
    (void)state;
    seat(1);
    home_leave_seat(&backends[0]);
    assert_int_equal(pool.seats.count, 0);
    assert_null(home_idle(&place));
    assert_true(home_is_anywhere(&place, 0));
}

/* ---- who is where ---- */

static size_t at_home(void)
{
    size_t found = 0;
    for (size_t i = 0; i < pool.seats.count; i++)
        found += home_is(&place, pool.seats.backends[i]);
    return found;
}

static void test_tables_of_ones_own(void **state)
{
    (void)state;
    seat(20);
    assert_int_equal(at_home(), 2);
    assert_false(home_is_anywhere(&place, 0));
    assert_false(home_is(&place, &backends[30])); /* it has not logged in */
}

static void test_tables_of_all(void **state)
{
    (void)state;
    place.shared_tables = true;
    seat(20);
    assert_int_equal(at_home(), 20);
    assert_true(home_is_anywhere(&place, 0));
}

static void test_a_pool_of_ones_own(void **state)
{
    (void)state;
    pool.key.placement_id = 7;
    assert_true(home_is(&place, &backends[0]));
    assert_true(home_is_anywhere(&place, 0));
}

/* The place's homes one behind the other. */
static struct backend *home(size_t index)
{
    assert_true(index < place.homes.count);
    return pool.seats.backends[place.homes.numbers[index]];
}

static void test_one_that_is_idle(void **state)
{
    (void)state;
    seat(20);
    struct backend *found = home_idle(&place);
    assert_true(found && home_is(&place, found));
    home(0)->state = BACKEND_LINKED;
    assert_ptr_equal(home_idle(&place), home(1));
    home(1)->state = BACKEND_CANCELLING;
    assert_null(home_idle(&place));
}

static void test_homes_that_are_held_are_none(void **state)
{
    (void)state;
    seat(20);
    assert_non_null(home_idle(&place));
    home(0)->state = home(1)->state = BACKEND_LINKED;
    home(0)->linked_us = 1000;
    home(1)->linked_us = 2000;
    assert_false(home_is_anywhere(&place, 2000 + HOME_HELD_US));
    assert_true(home_is_anywhere(&place, 2001 + HOME_HELD_US));
    home(0)->state = BACKEND_IDLE;
    assert_false(home_is_anywhere(&place, 2001 + HOME_HELD_US));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_how_many),
        TEST(test_they_are_seats_and_differ),
        TEST(test_seats_have_alike_many),
        TEST(test_few_move_when_a_seat_is_added),
        TEST(test_a_seat_that_was_left_is_taken_next),
        TEST(test_half_empty_rows_are_closed),
        TEST(test_the_last_one_leaves),
        TEST(test_tables_of_ones_own),
        TEST(test_tables_of_all),
        TEST(test_a_pool_of_ones_own),
        TEST(test_one_that_is_idle),
        TEST(test_homes_that_are_held_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

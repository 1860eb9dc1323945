/* Who gets a backend next: turns of places, homes, patience. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/time.h"
#include "proxy/backend.h"
#include "proxy/place.h"

enum { PLACES = 3, CLIENTS = 4, BACKENDS = 20 };

static struct pool pool, other_pool;
static struct place places[PLACES];
static struct client clients[PLACES][CLIENTS];
static struct backend backends[BACKENDS];
static int64_t now_us;

static const struct backend *touched; /* by any place */
static struct place *others[2];       /* each the other access of the other */

struct place *place_find_other(const struct place *place)
{
    return place == others[0] ? others[1] : place == others[1] ? others[0] : NULL;
}

bool backend_has_touched(const struct backend *backend, const struct place *place)
{
    (void)place;
    return backend == touched;
}

static void make_pool(struct pool *made)
{
    *made = (struct pool){0};
    list_init(&made->idle);
    queue_init(&made->queue);
}

static void make_place(size_t number)
{
    struct place *place = &places[number];
    *place =
        (struct place){.pool = &pool, .placement_id = (int64_t)number + 1, .shared_tables = true};
    list_init(&place->backends);
    queue_place_init(&place->queue);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[number][i] = (struct client){.place = place};
        list_init(&clients[number][i].of_place);
    }
}

static int set_up(void **state)
{
    (void)state;
    now_us = 1 * TIME_S;
    touched = NULL;
    others[0] = others[1] = NULL;
    make_pool(&pool);
    make_pool(&other_pool);
    for (size_t i = 0; i < PLACES; i++)
        make_place(i);
    for (size_t i = 0; i < BACKENDS; i++) {
        backends[i] = (struct backend){.pool = &pool, .state = BACKEND_IDLE};
        list_init(&backends[i].of_place);
        list_init(&backends[i].idle);
        home_take_seat(&backends[i]);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    home_free_seats(&pool.seats);
    return 0;
}

static void wait_for_one(struct client *client)
{
    queue_add(client, now_us);
}

/* Others, who are not at hand: as if there were as many as there can be. */
static void wait_for_many(void)
{
    pool.queue.place_count += 1000;
}

/* The backend comes free and goes to whoever is next, for so long. */
static struct client *serve(struct backend *backend, int64_t used_us)
{
    backend->idle_since_us = now_us;
    struct client *client = queue_next(&pool, backend, now_us);
    if (!client)
        return NULL;
    queue_take(client, now_us);
    now_us += used_us;
    queue_charge(client->place, used_us);
    list_remove(&backend->of_place);
    list_append(&client->place->backends, &backend->of_place);
    backend->place = client->place;
    return client;
}

static void idle(struct backend *backend)
{
    backend->idle_since_us = now_us;
    list_prepend(&pool.idle, &backend->idle);
}

/* ---- turns ---- */

static void test_a_places_clients_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENTS; i++)
        wait_for_one(&clients[0][i]);
    queue_remove(&clients[0][1]); /* it went away */
    assert_ptr_equal(queue_oldest(&pool.queue), &clients[0][0]);
    assert_ptr_equal(serve(&backends[0], 10), &clients[0][0]);
    assert_ptr_equal(serve(&backends[0], 10), &clients[0][2]);
    assert_ptr_equal(serve(&backends[0], 10), &clients[0][3]);
    assert_null(serve(&backends[0], 10));
    assert_int_equal(pool.queue.count, 0);
    assert_null(queue_oldest(&pool.queue));
}

/* However many clients one has. */
static void test_places_take_turns(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENTS; i++)
        wait_for_one(&clients[0][i]);
    wait_for_one(&clients[1][0]);
    wait_for_one(&clients[2][0]);
    assert_ptr_equal(serve(&backends[0], 4000), &clients[0][0]);
    assert_ptr_equal(serve(&backends[0], 4000), &clients[1][0]);
    assert_ptr_equal(serve(&backends[0], 4000), &clients[2][0]);
    assert_ptr_equal(serve(&backends[0], 4000), &clients[0][1]);
}

static void test_a_place_stays_for_a_while(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENTS; i++)
        wait_for_one(&clients[0][i]);
    wait_for_one(&clients[1][0]);
    assert_ptr_equal(serve(&backends[0], QUEUE_LEAD_US / 2), &clients[0][0]);
    assert_ptr_equal(serve(&backends[0], QUEUE_LEAD_US / 2), &clients[0][1]);
    assert_ptr_equal(serve(&backends[0], QUEUE_LEAD_US / 2), &clients[0][2]);
    assert_ptr_equal(serve(&backends[0], QUEUE_LEAD_US / 2), &clients[1][0]);
    assert_ptr_equal(serve(&backends[0], QUEUE_LEAD_US / 2), &clients[0][3]);
}

/* Who works for long gives way as often as makes the times alike. */
static void test_time_counts_not_turns(void **state)
{
    (void)state;
    int64_t had_us[2] = {0};
    wait_for_one(&clients[0][0]);
    wait_for_one(&clients[1][0]);
    for (int turn = 0; turn < 400; turn++) {
        struct client *next = queue_next(&pool, &backends[0], now_us);
        size_t number = next == &clients[0][0] ? 0 : 1;
        int64_t used_us = number == 0 ? 30000 : 5000;
        assert_ptr_equal(serve(&backends[0], used_us), next);
        had_us[number] += used_us;
        wait_for_one(next);
    }
    assert_in_range(had_us[0], had_us[1] * 9 / 10 - 50000, had_us[1] * 11 / 10 + 50000);
}

static void test_a_pause_gives_no_credit(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        wait_for_one(&clients[0][0]);
        serve(&backends[0], 50000);
    }
    /* Had the other credit, it would have the next hundred turns. */
    wait_for_one(&clients[0][0]);
    for (size_t i = 0; i < CLIENTS; i++)
        wait_for_one(&clients[1][i]);
    assert_ptr_equal(serve(&backends[0], 50000), &clients[1][0]);
    assert_ptr_equal(serve(&backends[0], 50000), &clients[1][1]); /* they are even now */
    assert_ptr_equal(serve(&backends[0], 50000), &clients[0][0]);
}

/* A debt is bounded, and forgotten after a while. */
static void test_who_had_much_is_served_in_the_end(void **state)
{
    (void)state;
    wait_for_one(&clients[0][0]);
    serve(&backends[0], INT64_C(3600) * TIME_S);
    assert_int_equal(places[0].queue.had_us, QUEUE_DEBT_US);
    wait_for_one(&clients[0][0]);
    int64_t begun_us = now_us;
    while (true) {
        wait_for_one(&clients[1][0]);
        if (serve(&backends[0], 1000) == &clients[0][0])
            break;
    }
    assert_in_range(now_us - begun_us, QUEUE_OVERDUE_US, QUEUE_OVERDUE_US + 2000);
}

/* Where all wait that long, it is nobody's privilege. */
static void test_overdue_is_more_than_usual(void **state)
{
    (void)state;
    pool.queue.usual_wait_us = QUEUE_OVERDUE_US;
    places[0].queue.had_us = QUEUE_DEBT_US;
    wait_for_one(&clients[0][0]);
    wait_for_one(&clients[1][0]);
    now_us += QUEUE_OVERDUE_US;
    assert_ptr_equal(queue_next(&pool, &backends[0], now_us), &clients[1][0]);
    now_us += QUEUE_PATIENCE_WAITS * QUEUE_OVERDUE_US;
    assert_ptr_equal(queue_next(&pool, &backends[0], now_us), &clients[0][0]);
}

/* ---- homes ---- */

static struct backend *home_of(size_t number, size_t index)
{
    struct place *place = &places[number];
    place->shared_tables = false;
    assert_non_null(home_idle(place));
    return pool.seats.backends[place->homes.numbers[index]];
}

static struct backend *not_home_of(size_t number)
{
    places[number].shared_tables = false;
    for (size_t i = 0; i < BACKENDS; i++) {
        if (!home_is(&places[number], &backends[i]))
            return &backends[i];
    }
    fail();
    return NULL;
}

static void test_a_backend_is_kept_for_who_is_at_home(void **state)
{
    (void)state;
    struct backend *home = home_of(0, 0), *strange = not_home_of(0);
    wait_for_one(&clients[0][0]);
    assert_null(serve(strange, 0));
    assert_ptr_equal(serve(home, 0), &clients[0][0]);
    /* and goes on with whom it served last, wherever that is at home. */
    list_append(&places[0].backends, &strange->of_place);
    strange->place = &places[0];
    wait_for_one(&clients[0][1]);
    assert_ptr_equal(serve(strange, 0), &clients[0][1]);
}

/* Two that are at home there: whose first home it is comes first, and the other when it has waited.
 */
static void test_the_first_home_comes_first(void **state)
{
    (void)state;
    struct backend *backend = home_of(0, 0);
    places[1].shared_tables = false;
    places[1].homes = places[0].homes;
    places[1].homes.numbers[0] = places[0].homes.numbers[1];
    places[1].homes.numbers[1] = places[0].homes.numbers[0];
    wait_for_one(&clients[1][0]);
    wait_for_one(&clients[0][0]);
    wait_for_many();
    assert_ptr_equal(queue_next(&pool, backend, now_us), &clients[0][0]);
    now_us += QUEUE_PATIENCE_US / 2;
    assert_ptr_equal(queue_next(&pool, backend, now_us), &clients[1][0]);
    now_us -= 1;
    places[0].queue.had_us = QUEUE_SLACK_US + 1; /* even so it is not its turn */
    assert_ptr_equal(queue_next(&pool, backend, now_us), &clients[1][0]);
}

/* Where hardly anybody waits, hardly anything is gained by waiting. */
static void test_one_of_few_goes_anywhere_soon(void **state)
{
    (void)state;
    struct backend *strange = not_home_of(0);
    wait_for_one(&clients[0][0]);
    now_us += QUEUE_PATIENCE_PLACE_US - 1;
    strange->idle_since_us = now_us;
    assert_null(queue_next(&pool, strange, now_us));
    assert_ptr_equal(queue_next(&pool, strange, now_us + 1), &clients[0][0]);
    places[1].shared_tables = false;
    places[1].homes = places[0].homes;
    wait_for_one(&clients[1][0]);
    assert_null(queue_next(&pool, strange, now_us + 1));
    now_us += QUEUE_PATIENCE_PLACE_US;
    strange->idle_since_us = now_us;
    assert_null(queue_next(&pool, strange, now_us));
    assert_ptr_equal(queue_next(&pool, strange, now_us + 1), &clients[0][0]);
    queue_remove(&clients[1][0]);
    assert_int_equal(pool.queue.place_count, 1);
}

static void test_who_has_waited_goes_anywhere(void **state)
{
    (void)state;
    struct backend *strange = not_home_of(0);
    wait_for_one(&clients[0][0]);
    wait_for_many();
    now_us += QUEUE_PATIENCE_US - 1;
    strange->idle_since_us = now_us;
    assert_null(queue_next(&pool, strange, now_us));
    now_us++;
    assert_ptr_equal(queue_next(&pool, strange, now_us), &clients[0][0]);
}

/* Under load it is much longer than is usual; but nobody keeps a backend idle for long. */
static void test_who_waits_as_long_as_all_does_not(void **state)
{
    (void)state;
    struct backend *strange = not_home_of(0);
    pool.queue.usual_wait_us = QUEUE_PATIENCE_US;
    wait_for_one(&clients[0][0]);
    wait_for_many();
    now_us += QUEUE_PATIENCE_WAITS * QUEUE_PATIENCE_US - 1;
    strange->idle_since_us = now_us;
    assert_null(queue_next(&pool, strange, now_us));
    strange->idle_since_us = now_us - QUEUE_KEPT_US;
    assert_ptr_equal(queue_next(&pool, strange, now_us), &clients[0][0]);
    strange->idle_since_us = ++now_us;
    assert_ptr_equal(queue_next(&pool, strange, now_us), &clients[0][0]);
}

static void test_when_to_look_again(void **state)
{
    (void)state;
    struct backend *strange = not_home_of(0);
    idle(strange);
    now_us += 500;
    wait_for_one(&clients[0][0]);
    wait_for_many();
    int64_t look_us = queue_next_look_us(&pool);
    assert_null(queue_next(&pool, strange, look_us - 1));
    assert_non_null(queue_next(&pool, strange, look_us));
    pool.queue.usual_wait_us = QUEUE_PATIENCE_US;
    strange->idle_since_us = now_us + 700;
    look_us = queue_next_look_us(&pool);
    assert_null(queue_next(&pool, strange, look_us - 1));
    assert_non_null(queue_next(&pool, strange, look_us));
}

/* ---- weights ---- */

/* Turns of two places that always wait, for as long each. */
static void count_turns(int64_t used_us, int turns[2])
{
    turns[0] = turns[1] = 0;
    for (int i = 0; i < 2000; i++) {
        for (size_t number = 0; number < 2; number++) {
            if (places[number].queue.count == 0)
                wait_for_one(&clients[number][0]);
        }
        const struct client *served = serve(&backends[0], used_us);
        turns[served->place == &places[1]]++;
    }
}

static void test_weights(void **state)
{
    (void)state;
    int turns[2];
    count_turns(1000, turns);
    assert_in_range(turns[0], 990, 1010);
    places[0].limits.values[ROUTE_LIMIT_WEIGHT] = 3 * QUEUE_WEIGHT;
    count_turns(1000, turns);
    assert_in_range(turns[0], 1450, 1550);
    places[0].limits.values[ROUTE_LIMIT_WEIGHT] = QUEUE_WEIGHT / 4;
    count_turns(1000, turns);
    assert_in_range(turns[0], 350, 450);
}

/* ---- the reserve ---- */

/* A pool of so many backends, of which one is idle. */
static void leave_one_of(size_t count)
{
    pool.backend_count = count;
    idle(&backends[0]);
    pool.idle_count = 1;
}

static void test_the_last_one_is_for_who_has_none(void **state)
{
    (void)state;
    leave_one_of(QUEUE_RESERVE_FROM);
    places[0].lent_count = 1;
    assert_null(queue_find_backend(&clients[0][0], now_us));
    wait_for_one(&clients[0][0]);
    now_us += QUEUE_OVERDUE_MOST_US;
    assert_null(queue_next(&pool, &backends[0], now_us));
    assert_true(queue_has_reserve_only(&pool));
    assert_non_null(queue_find_backend(&clients[1][0], now_us));
    wait_for_one(&clients[1][0]);
    assert_false(queue_has_reserve_only(&pool));
    assert_ptr_equal(queue_next(&pool, &backends[0], now_us), &clients[1][0]);
}

/* Also not when it was there last. */
static void test_the_last_one_is_not_kept(void **state)
{
    (void)state;
    leave_one_of(QUEUE_RESERVE_FROM);
    places[0].lent_count = 1;
    backends[0].place = &places[0];
    list_append(&places[0].backends, &backends[0].of_place);
    assert_null(queue_find_backend(&clients[0][0], now_us));
    wait_for_one(&clients[0][0]);
    assert_null(queue_next(&pool, &backends[0], now_us));
}

/* With the other access, or of a client that has gone. */
static void test_the_last_one_is_not_for_who_has_another(void **state)
{
    (void)state;
    leave_one_of(QUEUE_RESERVE_FROM);
    others[0] = &places[0];
    others[1] = &places[1];
    places[1].lent_count = 1;
    assert_null(queue_find_backend(&clients[0][0], now_us));
    places[1].lent_count = 0;
    places[1].ending_count = 1;
    assert_null(queue_find_backend(&clients[0][0], now_us));
    assert_non_null(queue_find_backend(&clients[2][0], now_us));
    places[1].ending_count = 0;
    assert_non_null(queue_find_backend(&clients[0][0], now_us));
}

static void test_there_is_no_reserve_of_few_or_while_there_are_two(void **state)
{
    (void)state;
    leave_one_of(QUEUE_RESERVE_FROM - 1);
    places[0].lent_count = 1;
    assert_non_null(queue_find_backend(&clients[0][0], now_us));
    pool.backend_count = QUEUE_RESERVE_FROM;
    idle(&backends[1]);
    pool.idle_count = 2;
    assert_non_null(queue_find_backend(&clients[0][0], now_us));
    wait_for_one(&clients[0][0]);
    assert_false(queue_has_reserve_only(&pool));
    assert_ptr_equal(queue_next(&pool, &backends[0], now_us), &clients[0][0]);
}

/* ---- an idle backend ---- */

static void test_none_is_idle(void **state)
{
    (void)state;
    assert_null(queue_find_backend(&clients[0][0], now_us));
}

static void test_the_one_that_was_entered(void **state)
{
    (void)state;
    struct backend *home = home_of(0, 0), *strange = not_home_of(0);
    idle(home);
    idle(strange);
    list_append(&places[0].backends, &strange->of_place);
    assert_ptr_equal(queue_find_backend(&clients[0][0], now_us), strange);
}

static void test_at_home_or_not_at_all(void **state)
{
    (void)state;
    struct backend *home = home_of(0, 0), *other = home_of(0, 1), *strange = not_home_of(0);
    home->state = other->state = BACKEND_LINKED;
    home->linked_us = other->linked_us = now_us;
    idle(strange);
    assert_null(queue_find_backend(&clients[0][0], now_us));
    /* They are held for long. */
    now_us += HOME_HELD_US + 1;
    assert_ptr_equal(queue_find_backend(&clients[0][0], now_us), strange);
    other->state = BACKEND_IDLE;
    assert_ptr_equal(queue_find_backend(&clients[0][0], now_us), other);
}

/* A home if it is idle; else the least recently used, but for one that knows the tables already. */
static void test_shared_tables_spread(void **state)
{
    (void)state;
    struct backend *first = not_home_of(0);
    places[0].shared_tables = true;
    idle(first);
    struct backend *home = home_idle(&places[0]);
    for (size_t i = 0; i < BACKENDS; i++) {
        backends[i].state = BACKEND_LINKED;
        if (&backends[i] != first && i % 3 == 0)
            idle(&backends[i]);
    }
    assert_ptr_equal(queue_find_backend(&clients[0][0], now_us), first);
    touched = &backends[3];
    assert_ptr_equal(queue_find_backend(&clients[0][0], now_us), &backends[3]);
    home->state = BACKEND_IDLE;
    assert_ptr_equal(queue_find_backend(&clients[0][0], now_us), home);
}

static void test_ones_own_pool_by_settings(void **state)
{
    (void)state;
    static int memory[2];
    struct pairs *plain = (struct pairs *)(void *)&memory[0],
                 *differing = (struct pairs *)(void *)&memory[1];
    pool.key.placement_id = 1;
    for (size_t i = 0; i < 3; i++) {
        backends[i].settings = i == 1 ? differing : plain;
        idle(&backends[i]);
    }
    clients[0][0].settings = differing;
    assert_ptr_equal(queue_find_backend(&clients[0][0], now_us), &backends[1]);
    clients[0][0].settings = plain;
    assert_ptr_equal(queue_find_backend(&clients[0][0], now_us), &backends[2]);
    clients[0][0].settings = NULL;
    assert_ptr_equal(queue_find_backend(&clients[0][0], now_us), &backends[2]);
    wait_for_one(&clients[0][1]);
    assert_ptr_equal(queue_next(&pool, &backends[0], now_us), &clients[0][1]);
}

/* ---- closed ---- */

/* Whoever waits there is not in the queue: nobody is kept waiting or logged in for it. */
static void test_a_closed_place_is_not_served(void **state)
{
    (void)state;
    wait_for_one(&clients[0][0]);
    wait_for_one(&clients[1][0]);
    queue_close(&places[0]);
    wait_for_one(&clients[0][1]);
    assert_int_equal(pool.queue.count, 1);
    assert_ptr_equal(queue_oldest(&pool.queue), &clients[1][0]);
    assert_ptr_equal(serve(&backends[0], 10), &clients[1][0]);
    assert_null(serve(&backends[0], 10));
    queue_remove(&clients[0][0]); /* it went away */
    assert_int_equal(pool.queue.count, 0);
    wait_for_one(&clients[0][2]);
    queue_open(&places[0]);
    assert_int_equal(pool.queue.count, 2);
    assert_ptr_equal(serve(&backends[0], 10), &clients[0][1]);
    assert_ptr_equal(serve(&backends[0], 10), &clients[0][2]);
}

static void test_a_closed_place_gets_no_idle_backend(void **state)
{
    (void)state;
    idle(&backends[0]);
    queue_close(&places[0]);
    assert_null(queue_find_backend(&clients[0][0], now_us));
    queue_open(&places[0]);
    assert_int_equal(pool.queue.count, 0);
    assert_non_null(queue_find_backend(&clients[0][0], now_us));
}

static void test_a_closed_place_moves(void **state)
{
    (void)state;
    wait_for_one(&clients[0][0]);
    queue_close(&places[0]);
    queue_move(&pool.queue, &other_pool.queue, &places[0]);
    places[0].pool = &other_pool;
    assert_int_equal(other_pool.queue.count, 0);
    queue_open(&places[0]);
    assert_int_equal(other_pool.queue.count, 1);
    assert_int_equal(pool.queue.count, 0);
    queue_remove(&clients[0][0]);
    assert_int_equal(other_pool.queue.count, 0);
}

/* A tenant with many clients does not make everybody patient. */
static void test_what_is_usual_is_a_places_wait(void **state)
{
    (void)state;
    now_us += TIME_S;
    for (int turn = 0; turn < 1000; turn++) {
        clients[0][0].since_us = now_us - 800 * TIME_MS; /* behind hundreds of its own */
        queue_served(&clients[0][0], now_us);
        now_us += 5 * TIME_MS;
    }
    assert_in_range(pool.queue.usual_wait_us, 4 * TIME_MS, 6 * TIME_MS);
}

/* ---- moving ---- */

static void test_a_places_clients_move(void **state)
{
    (void)state;
    wait_for_one(&clients[0][0]);
    wait_for_one(&clients[1][0]);
    wait_for_one(&clients[0][1]);
    queue_move(&pool.queue, &other_pool.queue, &places[0]);
    places[0].pool = &other_pool;
    assert_int_equal(pool.queue.count, 1);
    assert_ptr_equal(queue_oldest(&pool.queue), &clients[1][0]);
    assert_int_equal(other_pool.queue.count, 2);
    assert_ptr_equal(queue_oldest(&other_pool.queue), &clients[0][0]);
    assert_ptr_equal(queue_next(&other_pool, &backends[0], now_us), &clients[0][0]);
    queue_remove(&clients[0][0]);
    queue_remove(&clients[0][1]);
    assert_int_equal(other_pool.queue.count, 0);
    assert_true(list_empty(&other_pool.queue.places));
    /* One that nobody of waits leaves nothing. */
    queue_move(&pool.queue, &other_pool.queue, &places[2]);
    assert_true(list_empty(&other_pool.queue.places));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_places_clients_in_order),
        TEST(test_places_take_turns),
        TEST(test_a_place_stays_for_a_while),
        TEST(test_time_counts_not_turns),
        TEST(test_a_pause_gives_no_credit),
        TEST(test_who_had_much_is_served_in_the_end),
        TEST(test_overdue_is_more_than_usual),
        TEST(test_a_backend_is_kept_for_who_is_at_home),
        TEST(test_the_first_home_comes_first),
        TEST(test_one_of_few_goes_anywhere_soon),
        TEST(test_who_has_waited_goes_anywhere),
        TEST(test_who_waits_as_long_as_all_does_not),
        TEST(test_when_to_look_again),
        TEST(test_none_is_idle),
        TEST(test_the_one_that_was_entered),
        TEST(test_at_home_or_not_at_all),
        TEST(test_shared_tables_spread),
        TEST(test_ones_own_pool_by_settings),
        TEST(test_a_closed_place_is_not_served),
        TEST(test_a_closed_place_gets_no_idle_backend),
        TEST(test_a_closed_place_moves),
        TEST(test_what_is_usual_is_a_places_wait),
        TEST(test_weights),
        TEST(test_a_places_clients_move),
        TEST(test_the_last_one_is_for_who_has_none),
        TEST(test_the_last_one_is_not_kept),
        TEST(test_the_last_one_is_not_for_who_has_another),
        TEST(test_there_is_no_reserve_of_few_or_while_there_are_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

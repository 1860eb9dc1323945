/* Advice from facts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "advise/advise.h"
#include "base/time.h"

enum { HOME, OTHER, THIRD, CLUSTERS };
enum { SHARED, ANOTHER, OWN_DATABASE, THIRD_DATABASE, DATABASES };
enum { PLACEMENTS = 4 };

static struct arena arena;
static const struct isolation *row, *schema, *database;
static const struct isolation *all[3], *shared_only[2], *own_only[1];
static struct advise_cluster clusters[CLUSTERS];
static struct advise_placement places[PLACEMENTS];
static struct advise_facts facts;
static struct advise_rules rules;
static struct advice *advice;
static size_t count;

static const int64_t hour_us = 3600 * (int64_t)TIME_S;

static struct advise_placement place(const char *tenant, const struct isolation *isolation,
                                     size_t cluster, size_t of_database)
{
    return (struct advise_placement){.tenant = tenant,
                                     .service = "orders",
                                     .isolation = isolation,
                                     .cluster = cluster,
                                     .database = of_database,
                                     .used_known = true,
                                     .size_known = true,
                                     .counted_us = hour_us,
                                     .bytes = 1000,
                                     .used = {.backend_us = 1000, .transactions = 1000},
                                     .allowed = all,
                                     .allowed_count = 3,
                                     .usual = row};
}

/* One cluster, whose tenants do little; "small" has a database of its own, but works. */
static int setup(void **state)
{
    (void)state;
    all[0] = row = isolation_find("row");
    all[1] = schema = isolation_find("schema");
    all[2] = database = isolation_find("database");
    shared_only[0] = row;
    shared_only[1] = schema;
    own_only[0] = database;
    clusters[HOME] = (struct advise_cluster){"home", 100};
    clusters[OTHER] = (struct advise_cluster){"other", 100};
    clusters[THIRD] = (struct advise_cluster){"third", 100};
    places[0] = place("acme", row, HOME, SHARED);
    places[1] = place("beta", row, HOME, SHARED);
    places[2] = place("gamma", schema, HOME, SHARED);
    places[3] = place("small", database, HOME, OWN_DATABASE);
    facts = (struct advise_facts){.clusters = clusters,
                                  .cluster_count = 1,
                                  .placements = places,
                                  .placement_count = PLACEMENTS,
                                  .database_count = DATABASES,
                                  .counted_us = hour_us};
    rules = (struct advise_rules){.regulated = "regulated",
                                  .busy_share = 0.5,
                                  .busy_wait_us = 5 * TIME_MS,
                                  .busy_for_us = hour_us,
                                  .large_bytes = 1 << 20,
                                  .large_share = 0.25,
                                  .quiet_bytes = 10000,
                                  .quiet_per_hour = 60,
                                  .quiet_for_us = hour_us};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static void judge(void)
{
    advise_judge(&facts, &rules, &arena, &advice, &count);
}

static void expect_nothing(void)
{
    judge();
    assert_int_equal(count, 0);
}

/* The only advice, with one reason; NULL: as it is. */
static void expect(const char *tenant, enum advise_cause cause, const struct isolation *isolation,
                   const char *cluster)
{
    judge();
    assert_int_equal(count, 1);
    assert_string_equal(advice[0].placement->tenant, tenant);
    assert_int_equal(advice[0].reason_count, 1);
    assert_int_equal(advice[0].reasons[0].cause, cause);
    assert_ptr_equal(advice[0].isolation, isolation);
    if (cluster)
        assert_string_equal(advice[0].cluster, cluster);
    else
        assert_null(advice[0].cluster);
}

static void test_nothing(void **state)
{
    (void)state;
    expect_nothing();
    facts.placement_count = facts.cluster_count = facts.database_count = 0;
    expect_nothing();
}

/* ---- regulated ---- */

static void test_regulated(void **state)
{
    (void)state;
    places[0].regulated = true;
    expect("acme", ADVISE_REGULATED, database, NULL);
    assert_null(advice[0].obstacle);
    assert_non_null(strstr(advice[0].reasons[0].text, "\"regulated\""));
    assert_non_null(strstr(advice[0].reasons[0].text, "a database"));
    places[0].isolation = database;
    places[0].database = ANOTHER;
    expect_nothing();
}

static void test_regulated_and_not_allowed(void **state)
{
    (void)state;
    places[0].regulated = true;
    places[0].allowed = shared_only;
    places[0].allowed_count = 2;
    expect("acme", ADVISE_REGULATED, NULL, NULL);
    assert_non_null(strstr(advice[0].obstacle, "service orders allows no database"));
}

static void test_regulated_alone(void **state)
{
    (void)state;
    places[3].regulated = true;
    expect_nothing();
    rules.regulated_alone = true;
    expect("small", ADVISE_REGULATED, NULL, NULL);
    assert_string_equal(advice[0].obstacle, "no cluster is without other tenants");
    assert_non_null(strstr(advice[0].reasons[0].text, "a cluster"));
    facts.cluster_count = 2;
    expect("small", ADVISE_REGULATED, NULL, "other");
    assert_null(advice[0].obstacle);
    places[0].regulated = true; /* one empty cluster is not for two */
    judge();
    assert_int_equal(count, 2);
    assert_true(!advice[0].cluster != !advice[1].cluster);
    facts.cluster_count = CLUSTERS;
    judge();
    assert_string_not_equal(advice[0].cluster, advice[1].cluster);
    assert_ptr_equal(advice[0].isolation, database);
    assert_null(advice[1].isolation); /* it has one */
    places[0].tenant = "small";       /* but for one tenant it is */
    places[0].service = "billing";
    facts.cluster_count = 2;
    judge();
    assert_string_equal(advice[0].cluster, "other");
    assert_string_equal(advice[1].cluster, "other");
}

/* ---- busy ---- */

/* acme has 80 % of the time, and the transactions of others have waited for 6 ms. */
static void make_busy(void)
{
    places[0].used = (struct advise_use){.backend_us = 80000, .transactions = 1, .wait_us = 500};
    places[1].used = (struct advise_use){
        .backend_us = 19000, .transactions = 9, .wait_us = 60 * (int64_t)TIME_MS};
    places[2].used = (struct advise_use){.transactions = 1};
    places[3].used = (struct advise_use){.backend_us = 1000, .transactions = 0};
    places[3].counted_us = 0;
}

static void test_busy(void **state)
{
    (void)state;
    make_busy();
    facts.cluster_count = CLUSTERS;
    expect("acme", ADVISE_BUSY, NULL, "other");
    assert_non_null(strstr(advice[0].reasons[0].text, "80 % of the time of cluster home's"));
    assert_non_null(strstr(advice[0].reasons[0].text, "waited 6.0 ms"));
    assert_true(advice[0].share > 0.799 && advice[0].share < 0.801);
    rules.busy_share = 0.81;
    expect_nothing();
    rules.busy_share = 0.8;
    rules.busy_wait_us = 6 * TIME_MS + 1;
    expect_nothing();
    rules.busy_wait_us = 6 * TIME_MS;
    expect("acme", ADVISE_BUSY, NULL, "other");
    rules.busy_for_us = hour_us + 1;
    expect_nothing();
}

static void test_busy_and_nobody_waits(void **state)
{
    (void)state;
    make_busy();
    rules.busy_wait_us = 0;
    expect("acme", ADVISE_BUSY, database, NULL);
    places[1].used.wait_us = 0; /* its own waiting does not count */
    expect_nothing();
}

static void test_busy_and_unknown(void **state)
{
    (void)state;
    make_busy();
    facts.rest_backend_us = 100000; /* may all be this cluster's: then it has 40 % */
    expect_nothing();
    facts.rest_backend_us = 0;
    places[0].used_known = false;
    expect_nothing();
}

static void test_busy_has_no_room(void **state)
{
    (void)state;
    make_busy();
    expect("acme", ADVISE_BUSY, database, NULL); /* no other cluster */
    assert_non_null(strstr(advice[0].obstacle, "no other cluster has room"));
    places[0].allowed = shared_only;
    places[0].allowed_count = 2;
    expect("acme", ADVISE_BUSY, NULL, NULL);
    places[0].allowed = all;
    places[0].allowed_count = 3;
    facts.cluster_count = 2;
    clusters[OTHER].max_backends = 80; /* it would be as full as home is now */
    expect("acme", ADVISE_BUSY, database, NULL);
    clusters[OTHER].max_backends = 81;
    expect("acme", ADVISE_BUSY, NULL, "other");
    assert_null(advice[0].obstacle);
    facts.cluster_count = CLUSTERS; /* the one with most room */
    expect("acme", ADVISE_BUSY, NULL, "third");
}

static void test_two_busy(void **state)
{
    (void)state;
    make_busy();
    rules.busy_share = 0.4;
    places[0].used.backend_us = 50000;
    places[1].used = (struct advise_use){
        .backend_us = 50000, .transactions = 10, .wait_us = 100 * (int64_t)TIME_MS};
    places[2].used = (struct advise_use){.transactions = 10, .wait_us = 100 * (int64_t)TIME_MS};
    places[3].used = (struct advise_use){0};
    facts.cluster_count = 2;
    judge();
    assert_int_equal(count, 2); /* when the first has gone there, home has room enough */
    assert_string_equal(advice[0].placement->tenant, "acme");
    assert_string_equal(advice[0].cluster, "other");
    assert_null(advice[1].cluster);
    facts.cluster_count = CLUSTERS;
    judge();
    assert_null(advice[1].cluster); /* the third would be as full as home is then */
}

static void test_busy_is_not_sent_to_the_regulated(void **state)
{
    (void)state;
    make_busy();
    facts.cluster_count = 2;
    rules.regulated_alone = true;
    places[2].cluster = OTHER;
    places[2].isolation = database;
    places[2].database = ANOTHER;
    places[2].regulated = true;
    expect("acme", ADVISE_BUSY, database, NULL);
    rules.regulated_alone = false;
    expect("acme", ADVISE_BUSY, NULL, "other");
}

/* Nor to where they are to be, however little they do. */
static void test_the_regulated_choose_first(void **state)
{
    (void)state;
    make_busy();
    facts.cluster_count = 2;
    rules.regulated_alone = true;
    places[3].regulated = true;
    judge();
    assert_int_equal(count, 2);
    assert_string_equal(advice[0].placement->tenant, "small");
    assert_string_equal(advice[0].cluster, "other");
    assert_string_equal(advice[1].placement->tenant, "acme");
    assert_null(advice[1].cluster);
    facts.cluster_count = CLUSTERS;
    judge();
    assert_string_equal(advice[1].cluster, "third");
}

static void test_busy_is_not_quiet(void **state)
{
    (void)state;
    make_busy();
    places[0].isolation = database;
    places[0].database = ANOTHER;
    facts.cluster_count = 2;
    expect("acme", ADVISE_BUSY, NULL, "other");
}

/* ---- slower neighbours ---- */

enum { MOMENTS = 12, FIT = 3 };
static struct advise_moment moments[PLACEMENTS][MOMENTS];

static bool at_work(size_t moment)
{
    return moment / FIT % 2 == 1;
}

static struct advise_moment moment(double backends, double transactions, double each_ms)
{
    return (struct advise_moment){true, backends, transactions, transactions * each_ms * TIME_MS};
}

/* beta's transactions, in those moments in which acme is calm, and else. */
static void make_neighbour(double calm, double calm_ms, double work, double work_ms)
{
    for (size_t i = 0; i < MOMENTS; i++)
        moments[1][i] = at_work(i) ? moment(1, work, work_ms) : moment(1, calm, calm_ms);
}

/* acme has nearly all backend time, by fits and starts, and nobody waits; beta's transactions take
 * 2 ms else and 10 ms while acme is at work. */
static void make_slower(void)
{
    memset(moments, 0, sizeof(moments));
    for (size_t i = 0; i < PLACEMENTS; i++) {
        places[i].moments = moments[i];
        places[i].used.wait_us = 0;
    }
    for (size_t i = 0; i < MOMENTS; i++)
        moments[0][i] = moment(at_work(i) ? 3 : 0, 3, 1);
    make_neighbour(20, 2, 20, 10);
    places[0].used.backend_us = 4000000;
    facts.moment_count = MOMENTS;
    facts.cluster_count = 2;
    rules.busy_slower = 1;
}

static void assert_about(double value, double expected)
{
    assert_true(value > expected - 0.001 && value < expected + 0.001);
}

static void expect_busy(double work_ms, double calm_ms)
{
    expect("acme", ADVISE_BUSY, NULL, "other");
    assert_true(advice[0].effect.known);
    assert_about(advice[0].effect.busy_us, work_ms * TIME_MS);
    assert_about(advice[0].effect.calm_us, calm_ms * TIME_MS);
}

static void test_slower(void **state)
{
    (void)state;
    make_slower();
    expect_busy(10, 2);
    assert_non_null(
        strstr(advice[0].reasons[0].text, "takes 10.0 ms while it is at work, and else 2.0 ms"));
    assert_null(strstr(advice[0].reasons[0].text, "waited"));
    rules.busy_slower = 4;
    expect_busy(10, 2);
    rules.busy_slower = 4.01;
    expect_nothing();
    rules.busy_slower = 1;
    places[1].tenant = "acme"; /* another service's: it is no neighbour */
    expect_nothing();
    places[1].tenant = "beta";
    places[1].cluster = OTHER;
    expect_nothing();
    places[1].cluster = HOME;
    rules.busy_share = 1;
    expect_nothing();
}

/* Who has waited as well is told of in the same reason. */
static void test_slower_and_waiting(void **state)
{
    (void)state;
    make_slower();
    make_busy();
    expect("acme", ADVISE_BUSY, NULL, "other");
    assert_non_null(strstr(advice[0].reasons[0].text,
                           "has waited 6.0 ms for one, on average, and a transaction"));
}

/* By less than a millisecond nobody need move. */
static void test_hardly_slower(void **state)
{
    (void)state;
    make_slower();
    rules.busy_slower = 0.1;
    make_neighbour(20, 1, 20, 1.99);
    expect_nothing();
    make_neighbour(20, 1, 20, 2.01);
    expect_busy(2.01, 1);
}

/* It may be short, and who is brought to a halt does hardly anything meanwhile. */
static void test_short_and_hard(void **state)
{
    (void)state;
    make_slower();
    make_neighbour(100, 4, 0, 0);
    moments[1][3] = moment(1, 3, 1000);
    for (size_t i = FIT + 2; i < MOMENTS; i++)
        moments[0][i].backends = 0;
    expect_busy(1000, 4);
}

/* What waits through its work ends in the first moment behind it. */
static void test_what_ends_behind_it(void **state)
{
    (void)state;
    make_slower();
    moments[1][2 * FIT] = moment(1, 100, 700);
    expect_busy(10, 2);
}

static void test_slower_and_unknown(void **state)
{
    (void)state;
    make_slower();
    make_neighbour(12, 2, 12, 10); /* 48 transactions of others: too few to say anything */
    expect_nothing();
    make_neighbour(13, 2, 0.5, 10); /* 3 are enough */
    expect_busy(10, 2);
    make_neighbour(13, 2, 0.4, 10);
    expect_nothing();
    make_neighbour(100, 2, 100, 10);
    facts.moment_count = 7;
    expect_nothing();
    facts.moment_count = 8;
    expect_busy(10, 2);
    places[0].moments = NULL;
    expect_nothing();
    places[0].moments = moments[0];
    places[1].moments = NULL;
    expect_nothing();
}

static void test_always_equally_busy(void **state)
{
    (void)state;
    make_slower();
    for (size_t i = 0; i < MOMENTS; i++)
        moments[0][i].backends = at_work(i) ? 3 : 0.76;
    expect_nothing();
    for (size_t i = 0; i < MOMENTS; i++)
        moments[0][i].backends = at_work(i) ? 3 : 0.75;
    expect_busy(10, 2);
    for (size_t i = 0; i < MOMENTS; i++)
        moments[0][i].backends = 0; /* it was at work in between */
    expect_nothing();
}

/* One moment that is out of all proportion says nothing of the others; none says anything that is
 * not known. */
static void test_odd_moments(void **state)
{
    (void)state;
    make_slower();
    moments[0][4].backends = 1000;
    expect_busy(10, 2);
    moments[0][0].known = moments[0][5].known = false;
    moments[0][0].backends = moments[0][5].backends = 2000;
    moments[1][1].known = moments[1][5].known = false;
    moments[1][1].took_us = moments[1][5].took_us = 1e9;
    expect_busy(10, 2);
}

/* A slow neighbour that works at the same time does not make the others slower. */
static void test_other_neighbours_at_the_time(void **state)
{
    (void)state;
    make_slower();
    make_neighbour(20, 2, 20, 2);
    for (size_t i = 0; i < MOMENTS; i++)
        moments[2][i] = moment(1, at_work(i) ? 50 : 5, 40);
    rules.busy_slower = 0.01;
    expect_nothing();
}

/* ---- large ---- */

static void test_large(void **state)
{
    (void)state;
    places[0].bytes = 1 << 20;
    expect("acme", ADVISE_LARGE, database, NULL);
    assert_null(strstr(advice[0].reasons[0].text, "about"));
    places[0].size_estimated = true;
    expect("acme", ADVISE_LARGE, database, NULL);
    assert_non_null(strstr(advice[0].reasons[0].text, "about 1.0 MB, 100 %"));
    places[0].bytes--;
    expect_nothing();
    places[0].bytes++;
    places[1].bytes = 3 << 20; /* a quarter less a bit, and large itself */
    expect("beta", ADVISE_LARGE, database, NULL);
    places[2].size_known = false; /* who knows how much there is */
    expect_nothing();
}

static void test_large_and_by_itself(void **state)
{
    (void)state;
    places[0].bytes = 1 << 20;
    places[0].database = ANOTHER;
    expect_nothing();
    places[3].bytes = 1 << 20;
    expect_nothing();
}

static void test_large_and_what_is_allowed(void **state)
{
    (void)state;
    places[0].bytes = 1 << 20;
    places[0].allowed = shared_only;
    places[0].allowed_count = 2;
    expect("acme", ADVISE_LARGE, schema, NULL);
    places[0].isolation = schema;
    expect("acme", ADVISE_LARGE, NULL, NULL);
    assert_non_null(strstr(advice[0].obstacle, "no stronger isolation"));
}

/* ---- quiet ---- */

static void test_quiet(void **state)
{
    (void)state;
    places[3].used.transactions = 60;
    expect("small", ADVISE_QUIET, row, NULL);
    assert_non_null(strstr(advice[0].reasons[0].text, "60 transactions an hour"));
    places[3].usual = schema;
    expect("small", ADVISE_QUIET, schema, NULL);
    places[3].usual = database; /* the strongest of those that share */
    expect("small", ADVISE_QUIET, schema, NULL);
    places[3].allowed = own_only;
    places[3].allowed_count = 1;
    expect_nothing();
}

static void test_not_quiet(void **state)
{
    (void)state;
    places[3].used.transactions = 61;
    expect_nothing();
    places[3].used.transactions = 1;
    expect("small", ADVISE_QUIET, row, NULL);
    places[3].bytes = 10001;
    expect_nothing();
    places[3].bytes = 10000;
    places[3].regulated = true;
    expect_nothing();
    places[3].regulated = false;
    places[3].counted_us--; /* 1 in nearly an hour */
    expect_nothing();
    places[3].counted_us++;
    places[3].size_known = false;
    expect_nothing();
    places[3].size_known = true;
    places[3].used_known = false;
    expect_nothing();
}

static void test_quiet_takes_some_time(void **state)
{
    (void)state;
    rules.quiet_for_us = 0;
    places[3].used = (struct advise_use){0};
    expect("small", ADVISE_QUIET, row, NULL);
    places[3].counted_us = 0; /* it was just made */
    expect_nothing();
}

/* ---- several ---- */

static void test_several_causes(void **state)
{
    (void)state;
    make_busy();
    places[0].regulated = true;
    places[0].bytes = 1 << 20;
    facts.cluster_count = 2;
    judge();
    assert_int_equal(count, 1);
    assert_int_equal(advice[0].reason_count, 3);
    assert_int_equal(advice[0].reasons[0].cause, ADVISE_REGULATED);
    assert_int_equal(advice[0].reasons[1].cause, ADVISE_BUSY);
    assert_int_equal(advice[0].reasons[2].cause, ADVISE_LARGE);
    assert_ptr_equal(advice[0].isolation, database);
    assert_string_equal(advice[0].cluster, "other");
}

static void test_order(void **state)
{
    (void)state;
    places[3].used.transactions = 0;
    places[0].bytes = 1 << 20;
    places[2].regulated = true;
    judge();
    assert_int_equal(count, 3);
    assert_string_equal(advice[0].placement->tenant, "gamma");
    assert_string_equal(advice[1].placement->tenant, "acme");
    assert_string_equal(advice[2].placement->tenant, "small");
}

static void test_who_is_left(void **state)
{
    (void)state;
    places[0].regulated = true;
    places[0].excepted = true;
    expect_nothing();
    places[0].excepted = false;
    places[0].closed = "it is suspended";
    expect_nothing();
    places[0].closed = NULL;
    expect("acme", ADVISE_REGULATED, database, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_regulated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_regulated_and_not_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_regulated_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy_and_nobody_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy_and_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy_has_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy_is_not_sent_to_the_regulated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_regulated_choose_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy_is_not_quiet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slower, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slower_and_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hardly_slower, setup, teardown),
        cmocka_unit_test_setup_teardown(test_short_and_hard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_ends_behind_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slower_and_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(test_always_equally_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_moments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_neighbours_at_the_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_and_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_and_what_is_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quiet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_quiet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quiet_takes_some_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several_causes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_is_left, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Which moves even clusters out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/balance.h"

enum { CLUSTERS_MAX = 8, TENANTS_MAX = 4000 };

struct fixture {
    struct arena arena;
    struct balance_cluster clusters[CLUSTERS_MAX];
    struct balance_tenant tenants[TENANTS_MAX];
    struct balance_facts facts;
    struct balance_rules rules;
    struct balance_plan plan;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    arena_init(&fixture->arena, 0);
    fixture->facts =
        (struct balance_facts){.clusters = fixture->clusters, .tenants = fixture->tenants};
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    arena_reset(&fixture->arena);
    free(fixture);
    return 0;
}

static void add_clusters(struct fixture *fixture, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fixture->clusters[i] = (struct balance_cluster){.gives = true, .takes = true};
    fixture->facts.cluster_count = count;
}

static size_t add(struct fixture *fixture, size_t cluster, int64_t weight)
{
    fixture->tenants[fixture->facts.tenant_count] =
        (struct balance_tenant){.cluster = cluster, .weight = weight};
    return fixture->facts.tenant_count++;
}

/* What holds of every plan. */
static void check(const struct fixture *fixture)
{
    const struct balance_plan *plan = &fixture->plan;
    int64_t weights[CLUSTERS_MAX];
    bool moved[TENANTS_MAX] = {false};
    memcpy(weights, plan->before, sizeof(int64_t) * fixture->facts.cluster_count);
    for (size_t i = 0; i < plan->move_count; i++) {
        const struct balance_move *move = &plan->moves[i];
        const struct balance_tenant *tenant = &fixture->tenants[move->tenant];
        assert_false(tenant->stays);
        assert_false(moved[move->tenant]);
        assert_int_equal(tenant->cluster, move->from);
        assert_true(fixture->clusters[move->from].gives);
        assert_true(fixture->clusters[move->to].takes);
        assert_int_equal(move->between, weights[move->from] - weights[move->to]);
        weights[move->from] -= tenant->weight;
        weights[move->to] += tenant->weight;
        int64_t between = weights[move->from] - weights[move->to];
        assert_true((between < 0 ? -between : between) < move->between);
        moved[move->tenant] = true;
    }
    assert_memory_equal(weights, plan->after, sizeof(int64_t) * fixture->facts.cluster_count);
    assert_true(plan->move_count == 0 || plan->spread_after <= plan->spread_before);
    assert_true(fixture->rules.max_moves == 0 || plan->move_count <= fixture->rules.max_moves);
}

static const struct balance_plan *plan(struct fixture *fixture)
{
    balance_plan(&fixture->facts, &fixture->rules, &fixture->arena, &fixture->plan);
    check(fixture);
    return &fixture->plan;
}

static void the_largest_that_fits_moves(void **state)
{
    struct fixture *fixture = *state;
    add_clusters(fixture, 2);
    add(fixture, 0, 10);
    size_t fits = add(fixture, 0, 50);
    add(fixture, 0, 40);
    const struct balance_plan *found = plan(fixture);
    assert_int_equal(found->move_count, 1);
    assert_int_equal(found->moves[0].tenant, fits);
    assert_int_equal(found->moves[0].between, 100);
    assert_int_equal(found->after[0], 50);
    assert_int_equal(found->after[1], 50);
    assert_true(found->spread_before > 1.99 && found->spread_before < 2.01);
    assert_true(found->spread_after < 0.001);
}

static void one_that_is_all_there_is_stays(void **state)
{
    struct fixture *fixture = *state;
    add_clusters(fixture, 2);
    add(fixture, 0, 100); /* moving it would turn the two about */
    assert_int_equal(plan(fixture)->move_count, 0);
    add(fixture, 1,
        1); /* now it would make them more even by a little: 100 and 1, then 0 and 101 */
    assert_int_equal(plan(fixture)->move_count, 0);
}

static void who_stays_counts(void **state)
{
    struct fixture *fixture = *state;
    add_clusters(fixture, 2);
    size_t held = add(fixture, 0, 60);
    size_t free_one = add(fixture, 0, 40);
    fixture->tenants[held].stays = true;
    const struct balance_plan *found = plan(fixture);
    assert_int_equal(found->move_count, 1);
    assert_int_equal(found->moves[0].tenant, free_one);
    fixture->tenants[free_one].stays = true;
    assert_int_equal(plan(fixture)->move_count, 0);
}

static void a_cluster_without_tenants_that_may_move_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    add_clusters(fixture, 3);
    fixture->tenants[add(fixture, 0, 100)].stays = true;
    size_t next = add(fixture, 1, 40);
    add(fixture, 1, 35);
    const struct balance_plan *found = plan(fixture);
    assert_int_equal(found->move_count, 1);
    assert_int_equal(found->moves[0].tenant, next);
    assert_int_equal(found->moves[0].to, 2);
}

static void who_gives_and_takes(void **state)
{
    struct fixture *fixture = *state;
    add_clusters(fixture, 3);
    for (size_t i = 0; i < 6; i++)
        add(fixture, 0, 10);
    fixture->clusters[1].takes = false;
    const struct balance_plan *found = plan(fixture);
    assert_int_equal(found->move_count, 3);
    for (size_t i = 0; i < found->move_count; i++)
        assert_int_equal(found->moves[i].to, 2);
    fixture->clusters[0].gives = false;
    assert_int_equal(plan(fixture)->move_count, 0);
    fixture->clusters[0].gives = true;
    fixture->clusters[2].takes = fixture->clusters[0].takes = false;
    assert_int_equal(plan(fixture)->move_count, 0);
}

static void as_many_as_are_allowed(void **state)
{
    struct fixture *fixture = *state;
    add_clusters(fixture, 2);
    for (size_t i = 0; i < 10; i++)
        add(fixture, 0, 1);
    assert_int_equal(plan(fixture)->move_count, 5);
    fixture->rules.max_moves = 2;
    assert_int_equal(plan(fixture)->move_count, 2);
    assert_int_equal(fixture->plan.after[1], 2);
}

static void what_is_even_enough_is_left(void **state)
{
    struct fixture *fixture = *state;
    add_clusters(fixture, 2);
    for (size_t i = 0; i < 12; i++)
        add(fixture, i < 7 ? 0 : 1, 10); /* 70 and 50: the mean is 60 */
    fixture->rules.within = 0.34;
    assert_int_equal(plan(fixture)->move_count, 0);
    fixture->rules.within = 0.33;
    assert_int_equal(plan(fixture)->move_count, 1);
}

static void who_neither_gives_nor_takes_is_left_out(void **state)
{
    struct fixture *fixture = *state;
    add_clusters(fixture, 3);
    add(fixture, 0, 30);
    add(fixture, 0, 30);
    add(fixture, 2, 1000);
    fixture->clusters[2].gives = fixture->clusters[2].takes = false;
    fixture->rules.within = 0.1;
    assert_int_equal(plan(fixture)->move_count, 1);
    assert_true(fixture->plan.spread_before > 1.99 && fixture->plan.spread_before < 2.01);
    assert_true(fixture->plan.spread_after == 0);
    assert_int_equal(fixture->plan.after[2], 1000);
}

static void nothing_to_do(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(plan(fixture)->move_count, 0);
    add_clusters(fixture, 3);
    assert_int_equal(plan(fixture)->move_count, 0);
    assert_true(fixture->plan.spread_before == 0);
    add(fixture, 0, 0);
    assert_int_equal(plan(fixture)->move_count, 0);
}

/* xorshift: the same each time. */
static uint64_t next_number(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Whatever the facts: what holds of every plan, and with enough small ones the clusters are even.
 */
static void at_random(void **state)
{
    struct fixture *fixture = *state;
    uint64_t seed = 88172645463325252ULL;
    for (int turn = 0; turn < 100; turn++) {
        fixture->facts.tenant_count = 0;
        add_clusters(fixture, 2 + next_number(&seed) % 6);
        size_t tenants = 1 + next_number(&seed) % 1000;
        for (size_t i = 0; i < tenants; i++) {
            size_t cluster = next_number(&seed) % fixture->facts.cluster_count;
            size_t one = add(fixture, cluster, (int64_t)(next_number(&seed) % 1000));
            fixture->tenants[one].stays = next_number(&seed) % 4 == 0;
        }
        fixture->clusters[next_number(&seed) % fixture->facts.cluster_count].takes =
            next_number(&seed) % 2;
        fixture->rules.max_moves = next_number(&seed) % 2 ? next_number(&seed) % 50 : 0;
        fixture->rules.within = 0;
        plan(fixture);
    }
    fixture->facts.tenant_count = 0;
    add_clusters(fixture, 4);
    for (size_t i = 0; i < 1000; i++)
        add(fixture, i % 7 == 0 ? 1 : 0, 1 + (int64_t)(next_number(&seed) % 100));
    fixture->rules = (struct balance_rules){.within = 0.05};
    plan(fixture);
    assert_true(fixture->plan.spread_before > 2);
    assert_true(fixture->plan.spread_after < 0.06);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(the_largest_that_fits_moves),
        T(one_that_is_all_there_is_stays),
        T(who_stays_counts),
        T(a_cluster_without_tenants_that_may_move_is_passed_over),
        T(who_gives_and_takes),
        T(as_many_as_are_allowed),
        T(what_is_even_enough_is_left),
        T(who_neither_gives_nor_takes_is_left_out),
        T(nothing_to_do),
        T(at_random),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

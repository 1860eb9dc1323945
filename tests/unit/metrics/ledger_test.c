/* Which tenants have series, and that no counter goes back whoever has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "metrics/ledger.h"

enum { TENANTS = 6 };

/* What the proxy has counted, and how many of the tenants a survey has. */
struct world {
    struct proxy_usage used[TENANTS];
    struct proxy_usage nobodys;
    struct ledger ledger;
};

static int64_t transactions(const struct proxy_usage *used)
{
    return used->of[PROXY_USE_TRANSACTIONS];
}

static void work(struct world *world, size_t tenant, int64_t transactions_)
{
    world->used[tenant].of[PROXY_USE_TRANSACTIONS] += transactions_;
    world->used[tenant].of[PROXY_USE_BACKEND_US] += 10 * transactions_;
}

/* The tenants with most backend time, as a survey has them. */
static void take(struct world *world, size_t maximum)
{
    struct proxy_tenant_figures figures[TENANTS];
    size_t order[TENANTS];
    struct proxy_survey survey = {.complete = true, .used = world->nobodys, .tenants = figures};
    size_t there = 0;
    for (size_t i = 0; i < TENANTS; i++) {
        for (size_t use = 0; use < PROXY_USES; use++)
            survey.used.of[use] += world->used[i].of[use];
        survey.load.clients += (int64_t)i + 1;
        if (transactions(&world->used[i]) == 0)
            continue;
        size_t at = there++;
        for (; at > 0 && transactions(&world->used[order[at - 1]]) < transactions(&world->used[i]);
             at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (size_t i = 0; i < there && i < maximum; i++) {
        figures[i] = (struct proxy_tenant_figures){.used = world->used[order[i]],
                                                   .load.clients = (int64_t)order[i] + 1,
                                                   .service = "things"};
        snprintf(figures[i].tenant, sizeof(figures[i].tenant), "t%zu", order[i]);
        survey.tenant_count++;
    }
    survey.tenants_left_out = there > maximum;
    ledger_take(&world->ledger, &survey);
}

static const struct ledger_entry *entry_of(const struct world *world, const char *tenant)
{
    for (size_t i = 0; i < world->ledger.count; i++) {
        if (strcmp(world->ledger.entries[i].tenant, tenant) == 0)
            return &world->ledger.entries[i];
    }
    return NULL;
}

static int64_t told(const struct world *world, const char *tenant)
{
    const struct ledger_entry *entry = entry_of(world, tenant);
    return entry ? transactions(&entry->used) : -1;
}

static int64_t told_of_others(const struct world *world)
{
    return transactions(&world->ledger.others.used);
}

static void test_all_have_series(void **state)
{
    (void)state;
    struct world world = {.nobodys.of[PROXY_USE_TRANSACTIONS] = 2};
    work(&world, 0, 5);
    work(&world, 1, 7);
    take(&world, 4);
    assert_int_equal(told(&world, "t0"), 5);
    assert_int_equal(told(&world, "t1"), 7);
    assert_int_equal(told_of_others(&world), 2);
    assert_int_equal(entry_of(&world, "t1")->load.clients, 2);
    assert_int_equal(world.ledger.others.load.clients, 1 + 2 + 3 + 4 + 5 + 6 - 1 - 2);
    assert_string_equal(world.ledger.others.tenant, "");
    work(&world, 1, 1);
    work(&world, 2, 9); /* new: all that it did was since */
    take(&world, 4);
    assert_int_equal(told(&world, "t1"), 8);
    assert_int_equal(told(&world, "t2"), 9);
    assert_int_equal(told_of_others(&world), 2);
    ledger_free(&world.ledger);
}

static void test_some_have_series(void **state)
{
    (void)state;
    struct world world = {0};
    work(&world, 0, 50);
    work(&world, 1, 40);
    work(&world, 2, 30);
    take(&world, 2);
    assert_int_equal(world.ledger.count, 2);
    assert_int_equal(told(&world, "t2"), -1);
    assert_int_equal(told_of_others(&world), 30);
    work(&world, 2, 15); /* has more than t1 now: its series begin at 0, and t1's are gone */
    take(&world, 2);
    assert_int_equal(told(&world, "t0"), 50);
    assert_int_equal(told(&world, "t1"), -1);
    assert_int_equal(told(&world, "t2"), 0);
    assert_int_equal(told_of_others(&world), 45);
    work(&world, 1, 1);
    work(&world, 2, 4);
    take(&world, 2);
    assert_int_equal(told(&world, "t2"), 4);
    assert_int_equal(told_of_others(&world), 46);
    work(&world, 1, 100); /* and back */
    take(&world, 2);
    assert_int_equal(told(&world, "t1"), 0);
    assert_int_equal(told(&world, "t2"), -1);
    assert_int_equal(told_of_others(&world), 146);
    ledger_free(&world.ledger);
}

static void test_none_has_series(void **state)
{
    (void)state;
    struct world world = {0};
    work(&world, 0, 5);
    take(&world, 4);
    work(&world, 0, 5);
    take(&world, 0);
    assert_int_equal(world.ledger.count, 0);
    assert_int_equal(told_of_others(&world), 5); /* it took its 5 along */
    ledger_free(&world.ledger);
}

/* The proxy has forgotten it and counts from 0. */
static void test_begins_anew(void **state)
{
    (void)state;
    struct world world = {0};
    work(&world, 0, 50);
    take(&world, 4);
    world.nobodys = world.used[0];
    world.used[0] = (struct proxy_usage){0};
    work(&world, 0, 3);
    take(&world, 4);
    assert_int_equal(told(&world, "t0"), 53);
    assert_int_equal(told_of_others(&world), 0);
    ledger_free(&world.ledger);
}

static void test_others_service_is_another(void **state)
{
    (void)state;
    struct ledger ledger = {0};
    struct proxy_tenant_figures figures[2] = {0};
    for (size_t i = 0; i < array_size(figures); i++) {
        str_copy(figures[i].tenant, sizeof(figures[i].tenant), "acme");
        str_copy(figures[i].service, sizeof(figures[i].service), i == 0 ? "orders" : "bills");
        figures[i].used.of[PROXY_USE_ERRORS] = 10 + (int64_t)i;
    }
    struct proxy_survey survey = {.tenants = figures, .tenant_count = 2};
    survey.used.of[PROXY_USE_ERRORS] = 21;
    ledger_take(&ledger, &survey);
    ledger_take(&ledger, &survey);
    assert_int_equal(ledger.count, 2);
    assert_string_equal(ledger.entries[0].service, "bills");
    assert_int_equal(ledger.entries[0].used.of[PROXY_USE_ERRORS], 11);
    assert_int_equal(ledger.entries[1].used.of[PROXY_USE_ERRORS], 10);
    assert_int_equal(ledger.others.used.of[PROXY_USE_ERRORS], 0);
    ledger_free(&ledger);
}

/* Whatever happens: of a series that stays, and of the others, no figure goes back; and what is
 * told together grows by what was done. */
static void test_nothing_goes_back(void **state)
{
    (void)state;
    struct world world = {0};
    unsigned random = 1;
    int64_t before[TENANTS];
    int64_t others = 0;
    for (size_t i = 0; i < TENANTS; i++)
        before[i] = -1;
    for (int turn = 0; turn < 2000; turn++) {
        int64_t done = 0;
        for (size_t i = 0; i < TENANTS; i++) {
            random = random * 1103515245U + 12345U;
            int64_t more = random >> 16 & 7;
            work(&world, i, more);
            done += more;
        }
        random = random * 1103515245U + 12345U;
        take(&world, random >> 16 & 3);
        int64_t grown = told_of_others(&world) - others;
        assert_true(grown >= 0);
        others += grown;
        for (size_t i = 0; i < TENANTS; i++) {
            char name[8];
            snprintf(name, sizeof(name), "t%zu", i);
            int64_t now = told(&world, name);
            if (now >= 0 && before[i] >= 0)
                assert_true(now >= before[i]);
            if (now >= 0)
                grown += now - (before[i] >= 0 ? before[i] : 0);
            before[i] = now;
        }
        assert_int_equal(grown, done);
    }
    ledger_free(&world.ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_have_series),           cmocka_unit_test(test_some_have_series),
        cmocka_unit_test(test_none_has_series),           cmocka_unit_test(test_begins_anew),
        cmocka_unit_test(test_others_service_is_another), cmocka_unit_test(test_nothing_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

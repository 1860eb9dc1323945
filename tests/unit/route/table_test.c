/* Snapshots: lookups that follow every change, sharing, lifetimes, listeners, cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/time.h"
#include "route/route.h"

static struct route_tenant *make_tenant(int64_t id, const char *slug)
{
    struct route_tenant *tenant = route_tenant_new();
    tenant->id = id;
    assert_true(str_copy(tenant->slug, sizeof(tenant->slug), slug));
    return tenant;
}

static struct route_tenant *make_gone(int64_t id)
{
    struct route_tenant *tenant = make_tenant(id, "");
    tenant->status = ROUTE_TENANT_GONE;
    return tenant;
}

static struct route_tenant *make_full(int64_t id, const char *slug)
{
    struct route_tenant *tenant = make_tenant(id, slug);
    tenant->scram_verifier = xstrdup("SCRAM-SHA-256$...");
    tenant->token_count = 2;
    tenant->tokens = xcalloc(2, sizeof(struct route_token));
    str_copy(tenant->tokens[0].jti, sizeof(tenant->tokens[0].jti), "first");
    tenant->tokens[0].expires_unix_s = 100;
    str_copy(tenant->tokens[1].jti, sizeof(tenant->tokens[1].jti), "second");
    tenant->tokens[1].expires_unix_s = 200;
    tenant->placement_count = 2;
    tenant->placements = xcalloc(2, sizeof(struct route_placement));
    str_copy(tenant->placements[0].service, ROUTE_NAME_SIZE, "orders");
    str_copy(tenant->placements[1].service, ROUTE_NAME_SIZE, "billing");
    tenant->placements[1].id = 7;
    return tenant;
}

static struct route_globals *make_globals(int64_t version)
{
    struct route_globals *globals = route_globals_new();
    globals->version = version;
    globals->service_count = globals->cluster_count = globals->issuer_count = 1;
    globals->services = xcalloc(1, sizeof(struct route_service));
    globals->services[0].id = 3;
    str_copy(globals->services[0].name, ROUTE_NAME_SIZE, "orders");
    globals->clusters = xcalloc(1, sizeof(struct route_cluster));
    globals->clusters[0].id = 4;
    globals->issuers = xcalloc(1, sizeof(struct route_issuer));
    globals->issuers[0].name = xstrdup("partner");
    globals->issuers[0].jwks = xstrdup("{}");
    return globals;
}

static void apply(struct route_table *table, int64_t version, struct route_tenant *one,
                  struct route_tenant *two)
{
    struct route_tenant *tenants[] = {one, two};
    route_table_apply(table, version, tenants, two ? 2 : 1, NULL);
}

/* The id of the tenant with that slug; 0: none. */
static int64_t id_of(struct route_table *table, const char *slug)
{
    struct route_snapshot *snapshot = route_table_acquire(table);
    const struct route_tenant *tenant = route_find_slug(snapshot, slug);
    int64_t id = tenant ? tenant->id : 0;
    route_snapshot_release(snapshot);
    return id;
}

/* "" for none. */
static const char *slug_of(struct route_table *table, int64_t id)
{
    static char slug[ROUTE_NAME_SIZE];
    struct route_snapshot *snapshot = route_table_acquire(table);
    const struct route_tenant *tenant = route_find_id(snapshot, id);
    str_copy(slug, sizeof(slug), tenant ? tenant->slug : "");
    route_snapshot_release(snapshot);
    return slug;
}

/* ---- */

static void test_a_new_table_is_empty(void **state)
{
    (void)state;
    struct route_table *table = route_table_new();
    assert_int_equal(route_table_version(table), 0);
    struct route_snapshot *snapshot = route_table_acquire(table);
    assert_int_equal(route_snapshot_version(snapshot), 0);
    assert_null(route_find_slug(snapshot, "acme"));
    assert_null(route_find_id(snapshot, 1));
    assert_null(route_snapshot_globals(snapshot));
    assert_null(route_find_cluster(route_snapshot_globals(snapshot), 1));
    assert_null(route_find_service(route_snapshot_globals(snapshot), "orders"));
    assert_null(route_find_placement(NULL, "orders"));
    assert_false(route_token_live(NULL, "x", 0));
    route_snapshot_release(snapshot);
    route_snapshot_release(NULL);
    route_tenant_unref(NULL);
    route_globals_unref(NULL);
    route_table_free(table);
    route_table_free(NULL);
}

static void test_what_is_found_in_a_tenant(void **state)
{
    (void)state;
    struct route_table *table = route_table_new();
    apply(table, 5, make_full(1, "acme"), NULL);
    assert_int_equal(route_table_version(table), 5);
    struct route_snapshot *snapshot = route_table_acquire(table);
    assert_int_equal(route_snapshot_version(snapshot), 5);
    const struct route_tenant *tenant = route_find_slug(snapshot, "acme");
    assert_ptr_equal(route_find_id(snapshot, 1), tenant);
    assert_int_equal(route_find_placement(tenant, "billing")->id, 7);
    assert_null(route_find_placement(tenant, "nothing"));
    assert_true(route_token_live(tenant, "second", 199));
    assert_false(route_token_live(tenant, "second", 200));
    assert_false(route_token_live(tenant, "first", 150));
    assert_false(route_token_live(tenant, "third", 0));
    assert_null(route_find_slug(snapshot, "acm"));
    assert_null(route_find_slug(snapshot, ""));
    route_snapshot_release(snapshot);
    route_table_free(table);
}

static void test_slugs_follow_changes(void **state)
{
    (void)state;
    struct route_table *table = route_table_new();
    apply(table, 1, make_tenant(1, "one"), make_tenant(2, "two"));
    apply(table, 2, make_tenant(1, "uno"), NULL); /* another slug */
    assert_int_equal(id_of(table, "one"), 0);
    assert_int_equal(id_of(table, "uno"), 1);
    assert_string_equal(slug_of(table, 1), "uno");
    apply(table, 3, make_tenant(1, "two"), make_tenant(2, "uno")); /* exchanged */
    assert_int_equal(id_of(table, "two"), 1);
    assert_int_equal(id_of(table, "uno"), 2);
    apply(table, 4, make_gone(1), make_tenant(3, "two")); /* free again, and taken */
    assert_int_equal(id_of(table, "two"), 3);
    assert_string_equal(slug_of(table, 1), "");
    apply(table, 5, make_tenant(4, "uno"), make_gone(2)); /* in the other order */
    assert_int_equal(id_of(table, "uno"), 4);
    assert_string_equal(slug_of(table, 2), "");
    apply(table, 6, make_gone(3), make_gone(99)); /* gone, and never there */
    assert_int_equal(id_of(table, "two"), 0);
    assert_int_equal(id_of(table, "uno"), 4);
    apply(table, 7, make_tenant(5, "twice"), make_tenant(5, "again")); /* the later one holds */
    assert_int_equal(id_of(table, "twice"), 0);
    assert_int_equal(id_of(table, "again"), 5);
    route_table_free(table);
}

static void test_replace_forgets_the_others(void **state)
{
    (void)state;
    struct route_table *table = route_table_new();
    struct route_tenant *first[] = {make_tenant(1, "one"), make_tenant(2, "two")};
    route_table_replace(table, 10, first, 2, make_globals(10));
    struct route_tenant *second[] = {make_tenant(2, "deux")};
    route_table_replace(table, 4, second, 1, NULL); /* another catalog: any version */
    assert_int_equal(route_table_version(table), 4);
    assert_int_equal(id_of(table, "one"), 0);
    assert_int_equal(id_of(table, "two"), 0);
    assert_int_equal(id_of(table, "deux"), 2);
    struct route_snapshot *snapshot = route_table_acquire(table);
    assert_null(route_snapshot_globals(snapshot));
    route_snapshot_release(snapshot);
    route_table_replace(table, 5, NULL, 0, NULL);
    assert_int_equal(id_of(table, "deux"), 0);
    route_table_free(table);
}

static void test_globals_stay_until_replaced(void **state)
{
    (void)state;
    struct route_table *table = route_table_new();
    route_table_apply(table, 1, NULL, 0, make_globals(1));
    apply(table, 2, make_tenant(1, "one"), NULL);
    struct route_snapshot *snapshot = route_table_acquire(table);
    const struct route_globals *globals = route_snapshot_globals(snapshot);
    assert_int_equal(globals->version, 1);
    assert_int_equal(route_find_service(globals, "orders")->id, 3);
    assert_null(route_find_service(globals, "order"));
    assert_non_null(route_find_cluster(globals, 4));
    assert_null(route_find_cluster(globals, 3));
    struct route_globals *kept = (struct route_globals *)(uintptr_t)globals;
    route_globals_ref(kept);
    route_snapshot_release(snapshot);
    route_table_apply(table, 3, NULL, 0, make_globals(3));
    route_table_free(table);
    assert_string_equal(kept->issuers[0].name, "partner"); /* longer than the table */
    route_globals_unref(kept);
}

static void test_what_is_held_stays(void **state)
{
    (void)state;
    struct route_table *table = route_table_new();
    apply(table, 1, make_full(1, "one"), make_tenant(2, "two"));
    struct route_snapshot *old = route_table_acquire(table);
    struct route_tenant *held = (struct route_tenant *)(uintptr_t)route_find_id(old, 1);
    const struct route_tenant *shared = route_find_id(old, 2);
    apply(table, 2, make_tenant(1, "uno"), NULL);
    struct route_snapshot *new = route_table_acquire(table);
    assert_ptr_equal(route_find_id(new, 2), shared); /* not copied */
    assert_ptr_equal(route_find_slug(old, "one"), held);
    assert_null(route_find_slug(old, "uno"));
    route_tenant_ref(held);
    route_snapshot_release(old);
    route_table_free(table);
    assert_string_equal(route_find_slug(new, "uno")->slug, "uno");
    route_snapshot_release(new);
    assert_true(route_token_live(held, "first", 0));
    route_tenant_unref(held);
}

/* ---- listeners ---- */

struct told {
    struct route_table *table;
    int calls;
    int64_t version, ids[4];
    size_t count;
    bool any, globals_changed;
};

static void listen(void *owner, const int64_t *ids, size_t count, bool globals_changed)
{
    struct told *told = owner;
    told->calls++;
    told->version = route_table_version(told->table); /* it is published already */
    told->any = !ids;
    told->count = count;
    told->globals_changed = globals_changed;
    for (size_t i = 0; ids && i < count && i < array_size(told->ids); i++)
        told->ids[i] = ids[i];
}

static void test_listeners_are_told(void **state)
{
    (void)state;
    struct route_table *table = route_table_new();
    struct told first = {.table = table}, second = {.table = table};
    route_table_listen(table, listen, &first);
    route_table_listen(table, listen, &second);
    apply(table, 7, make_tenant(11, "one"), make_gone(12));
    assert_int_equal(first.calls, 1);
    assert_int_equal(second.calls, 1);
    assert_int_equal(first.version, 7);
    assert_int_equal(first.count, 2);
    assert_int_equal(first.ids[0], 11);
    assert_int_equal(first.ids[1], 12);
    assert_false(first.any);
    assert_false(first.globals_changed);
    route_table_apply(table, 8, NULL, 0, make_globals(8));
    assert_false(first.any); /* no tenant, which is not any tenant */
    assert_int_equal(first.count, 0);
    assert_true(first.globals_changed);
    route_table_replace(table, 9, NULL, 0, NULL);
    assert_true(first.any);
    assert_true(first.globals_changed);
    assert_int_equal(first.version, 9);
    route_table_free(table);
}

/* ---- many ---- */

enum { MANY = 100000, CHANGES = 1000 };

static struct route_tenant **make_many(int64_t generation)
{
    struct route_tenant **tenants = xcalloc(MANY, sizeof(struct route_tenant *));
    for (int64_t i = 0; i < MANY; i++) {
        char slug[ROUTE_NAME_SIZE];
        snprintf(slug, sizeof(slug), "tenant-%lld-%lld", (long long)generation, (long long)i);
        tenants[i] = make_tenant(i + 1, slug);
    }
    return tenants;
}

static void check_many(struct route_table *table, int64_t generation)
{
    struct route_snapshot *snapshot = route_table_acquire(table);
    for (int64_t i = 0; i < MANY; i++) {
        const struct route_tenant *tenant = route_find_id(snapshot, i + 1);
        assert_non_null(tenant);
        char slug[ROUTE_NAME_SIZE];
        snprintf(slug, sizeof(slug), "tenant-%lld-%lld", (long long)generation, (long long)i);
        assert_ptr_equal(route_find_slug(snapshot, slug), tenant);
    }
    route_snapshot_release(snapshot);
}

/* Limits are far above what it takes (measured: 0.03 s and 0.03 ms), so that only a change of its
 * order of magnitude fails here, on slow machines and under sanitizers too. */
static void test_many_tenants_are_quick(void **state)
{
    (void)state;
    struct route_table *table = route_table_new();
    _cleanup_free_ struct route_tenant **tenants = make_many(0);
    int64_t began = time_monotonic_us();
    route_table_replace(table, 1, tenants, MANY, NULL);
    int64_t replaced = time_monotonic_us();
    for (int64_t i = 0; i < CHANGES; i++) {
        char slug[ROUTE_NAME_SIZE];
        snprintf(slug, sizeof(slug), "changed-%lld", (long long)i);
        apply(table, i + 2, make_tenant(i * 7 + 1, slug), NULL);
    }
    int64_t changed = time_monotonic_us();
    print_message("replace %d: %lld us; one change: %lld us\n", MANY, (long long)(replaced - began),
                  (long long)(changed - replaced) / CHANGES);
    assert_true(replaced - began < 5 * TIME_S);
    assert_true((changed - replaced) / CHANGES < 5 * TIME_MS);
    assert_int_equal(id_of(table, "changed-999"), 999 * 7 + 1);
    assert_int_equal(id_of(table, "tenant-0-7"), 0);
    _cleanup_free_ struct route_tenant **again = make_many(1);
    route_table_apply(table, 5000, again, MANY, NULL); /* all of them at once */
    check_many(table, 1);
    for (int64_t i = 0; i < MANY; i += 3) /* holes that probing must not stop at */
        again[i / 3] = make_gone(i + 1);
    route_table_apply(table, 5001, again, (MANY + 2) / 3, NULL);
    struct route_snapshot *snapshot = route_table_acquire(table);
    for (int64_t i = 0; i < MANY; i++) {
        char slug[ROUTE_NAME_SIZE];
        snprintf(slug, sizeof(slug), "tenant-1-%lld", (long long)i);
        assert_int_equal(route_find_id(snapshot, i + 1) != NULL, i % 3 != 0);
        assert_int_equal(route_find_slug(snapshot, slug) != NULL, i % 3 != 0);
    }
    route_snapshot_release(snapshot);
    route_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_table_is_empty),
        cmocka_unit_test(test_what_is_found_in_a_tenant),
        cmocka_unit_test(test_slugs_follow_changes),
        cmocka_unit_test(test_replace_forgets_the_others),
        cmocka_unit_test(test_globals_stay_until_replaced),
        cmocka_unit_test(test_what_is_held_stays),
        cmocka_unit_test(test_listeners_are_told),
        cmocka_unit_test(test_many_tenants_are_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

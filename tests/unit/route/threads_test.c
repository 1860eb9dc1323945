/* Readers beside a publisher: each snapshot is one state of the catalog, whole. Run it under TSan
 * after changes here: CC=clang meson setup build/tsan -Db_sanitize=thread. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "route/route.h"

enum { TENANTS = 200, ROUNDS = 400, READERS = 3 };

struct shared {
    struct route_table *table;
    atomic_bool stop;
    atomic_int wrong; /* readers count here: cmocka's asserts belong to the main thread */
    atomic_llong reads;
};

static void name(char slug[ROUTE_NAME_SIZE], int64_t id, int64_t version)
{
    snprintf(slug, ROUTE_NAME_SIZE, "t%lld-%lld", (long long)id, (long long)version);
}

/* Every tenant's slug, token and globals carry the version that the snapshot has. */
static struct route_tenant *make_tenant(int64_t id, int64_t version)
{
    struct route_tenant *tenant = route_tenant_new();
    tenant->id = id;
    name(tenant->slug, id, version);
    tenant->token_count = 1;
    tenant->tokens = xcalloc(1, sizeof(struct route_token));
    tenant->tokens[0].expires_unix_s = version;
    return tenant;
}

static bool check_tenant(const struct route_snapshot *snapshot, int64_t id)
{
    int64_t version = route_snapshot_version(snapshot);
    char slug[ROUTE_NAME_SIZE];
    name(slug, id, version);
    const struct route_tenant *tenant = route_find_id(snapshot, id);
    return tenant && route_find_slug(snapshot, slug) == tenant &&
           tenant->tokens[0].expires_unix_s == version;
}

static void *read_on(void *argument)
{
    struct shared *shared = argument;
    struct route_tenant *held = NULL;
    int64_t last = 0, id = 1;
    while (!atomic_load(&shared->stop)) {
        struct route_snapshot *snapshot = route_table_acquire(shared->table);
        int64_t version = route_snapshot_version(snapshot);
        const struct route_globals *globals = route_snapshot_globals(snapshot);
        if (version < last || globals->version != version || !check_tenant(snapshot, id))
            atomic_fetch_add(&shared->wrong, 1);
        last = version;
        route_tenant_unref(held); /* often the last one who has it */
        held = (struct route_tenant *)(uintptr_t)route_find_id(snapshot, id);
        if (held)
            route_tenant_ref(held);
        route_snapshot_release(snapshot);
        id = id % TENANTS + 1;
        atomic_fetch_add(&shared->reads, 1);
    }
    route_tenant_unref(held);
    return NULL;
}

static void publish(struct route_table *table, int64_t version)
{
    struct route_tenant *tenants[TENANTS];
    struct route_globals *globals = route_globals_new();
    globals->version = version;
    for (int64_t i = 0; i < TENANTS; i++)
        tenants[i] = make_tenant(i + 1, version);
    if (version % 3 == 0)
        route_table_replace(table, version, tenants, TENANTS, globals);
    else
        route_table_apply(table, version, tenants, TENANTS, globals);
}

static void test_readers_beside_a_publisher(void **state)
{
    (void)state;
    struct shared shared = {.table = route_table_new()};
    pthread_t readers[READERS];
    publish(shared.table, 1);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &shared), 0);
    int64_t version = 2;
    for (; version < ROUNDS || atomic_load(&shared.reads) < ROUNDS; version++)
        publish(shared.table, version);
    atomic_store(&shared.stop, true);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(atomic_load(&shared.wrong), 0);
    assert_int_equal(route_table_version(shared.table), version - 1);
    route_table_free(shared.table);
}

/* ---- publishers beside each other ---- */

static void *publish_own(void *argument)
{
    struct route_table *table = argument;
    static atomic_llong next = 1;
    int64_t first = atomic_fetch_add(&next, 1) * 1000;
    for (int64_t i = 0; i < ROUNDS; i++) {
        struct route_tenant *tenant = make_tenant(first + i, first);
        route_table_apply(table, first + i, &tenant, 1, NULL);
    }
    return NULL;
}

static void test_no_publication_is_lost(void **state)
{
    (void)state;
    struct route_table *table = route_table_new();
    pthread_t publishers[READERS];
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&publishers[i], NULL, publish_own, table), 0);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(publishers[i], NULL);
    struct route_snapshot *snapshot = route_table_acquire(table);
    for (int64_t first = 1000; first <= READERS * 1000; first += 1000)
        for (int64_t i = 0; i < ROUNDS; i++)
            assert_non_null(route_find_id(snapshot, first + i));
    route_snapshot_release(snapshot);
    route_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_beside_a_publisher),
        cmocka_unit_test(test_no_publication_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

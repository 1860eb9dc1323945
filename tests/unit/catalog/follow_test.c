/* The follower: what it loads, what it notices, refreshes, and being away. */
#include "catalog/fixture.h"

#include <pthread.h>
#include <time.h>

#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "catalog/credential.h"
#include "catalog/issuer.h"
#include "catalog/placement.h"
#include "catalog/route_follow.h"
#include "catalog/service.h"
#include "catalog/tenant.h"

#define VERIFIER "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"

static const int64_t limit_us = 30 * (int64_t)TIME_S;

static struct route_table *table;
static struct catalog_follower *follower;

static int open_table(void **state)
{
    table = route_table_new();
    return fixture_open(state);
}

static int close_table(void **state)
{
    follower = catalog_follower_stop(follower);
    route_table_free(table);
    return fixture_close(state);
}

/* poll_us 0: so rarely that no test sees it. */
static void start(int64_t poll_us)
{
    const struct catalog_follower_options options = {
        .control = fixture_conninfo(),
        .poll_us = poll_us ? poll_us : 3600 * (int64_t)TIME_S,
        .refresh_us = 1000,
    };
    works(catalog_follower_start(&options, table, &follower, &err));
}

static struct catalog_follower_state state_now(void)
{
    struct catalog_follower_state now;
    catalog_follower_get_state(follower, &now);
    return now;
}

/* ---- waiting for conditions ---- */

static void wait_for(bool (*holds)(const void *argument), const void *argument, const char *what)
{
    int64_t deadline = time_monotonic_us() + limit_us;
    while (!holds(argument)) {
        if (time_monotonic_us() > deadline)
            fail_msg("did not come: %s", what);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static bool has_slug(const void *slug)
{
    struct route_snapshot *snapshot = route_table_acquire(table);
    bool found = route_find_slug(snapshot, slug) != NULL;
    route_snapshot_release(snapshot);
    return found;
}

static bool has_no_slug(const void *slug)
{
    return !has_slug(slug);
}

static bool has_version(const void *version)
{
    return route_table_version(table) >= *(const int64_t *)version;
}

static bool is_connected(const void *argument)
{
    (void)argument;
    return state_now().connected;
}

static bool is_away(const void *argument)
{
    (void)argument;
    return !state_now().connected;
}

/* Until the table has all that is committed now. */
static void wait_for_now(void)
{
    int64_t version = 0;
    const char *text = fixture_value("SELECT version FROM reeve.route_version");
    assert_true(str_to_i64(text, 1, INT64_MAX, &version));
    wait_for(has_version, &version, "the catalog's present version");
}

/* ---- refreshes ---- */

struct asked {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int answers;
};
#define ASKED                                                                                      \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0                                     \
    }

static void answered(void *argument)
{
    struct asked *asked = argument;
    pthread_mutex_lock(&asked->lock);
    asked->answers++;
    pthread_cond_broadcast(&asked->changed);
    pthread_mutex_unlock(&asked->lock);
}

/* False when that many answers do not come in time. */
static bool wait_for_answers(struct asked *asked, int count)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += limit_us / TIME_S;
    pthread_mutex_lock(&asked->lock);
    int r = 0;
    while (asked->answers < count && r == 0)
        r = pthread_cond_timedwait(&asked->changed, &asked->lock, &deadline);
    bool come = asked->answers >= count;
    pthread_mutex_unlock(&asked->lock);
    return come;
}

static void refresh(void)
{
    struct asked asked = ASKED;
    catalog_follower_refresh(follower, answered, &asked);
    assert_true(wait_for_answers(&asked, 1));
}

/* From here on changes are made, and nobody is told. */
static void lose_notifications(void)
{
    fixture_run("DO $$ BEGIN EXECUTE replace(pg_get_functiondef("
                "'reeve.route_changed(bigint)'::regprocedure), 'PERFORM pg_notify', "
                "'PERFORM concat'); END $$");
}

/* ---- what is loaded ---- */

static int64_t add_token(int64_t tenant_id, const char *jti, int64_t expires_in_s)
{
    int64_t expires_us = time_unix_us() + expires_in_s * TIME_S;
    const struct catalog_token token = {
        .tenant_id = tenant_id, .jti = jti, .expires_unix_us = expires_us};
    works(catalog_token_add(catalog, &token, NULL, &err));
    return expires_us / TIME_S;
}

static void check_acme(const struct route_tenant *acme, int64_t placement_id, int64_t expires)
{
    static const uint8_t sealed[40] = {1, 2, 3};
    assert_non_null(acme);
    assert_int_equal(acme->status, ROUTE_TENANT_ACTIVE);
    assert_string_equal(acme->scram_verifier, VERIFIER);
    assert_int_equal(acme->token_count, 1);
    assert_true(route_token_live(acme, "00000000000000000000000000000001", expires - 1));
    assert_false(route_token_live(acme, "00000000000000000000000000000001", expires));
    assert_int_equal(acme->placement_count, 2);
    const struct route_placement *placement = route_find_placement(acme, "service-1");
    assert_int_equal(placement->id, placement_id);
    assert_int_equal(placement->tenant_id, acme->id);
    assert_int_equal(placement->epoch, 1);
    assert_int_equal(placement->state, ROUTE_PLACEMENT_READY);
    assert_string_equal(placement->database, "shared");
    const char *role = arena_printf(&arena, "t_%06lld", (long long)placement_id);
    assert_string_equal(placement->read_write.role, role);
    assert_string_equal(placement->read_write.seal_context, arena_printf(&arena, "login:%s", role));
    assert_int_equal(placement->read_write.sealed_length, sizeof(sealed));
    assert_memory_equal(placement->read_write.sealed_password, sealed, sizeof(sealed));
    assert_string_equal(placement->read_only.role, "");
    placement = route_find_placement(acme, "service-2");
    assert_int_equal(placement->state, ROUTE_PLACEMENT_UNAVAILABLE);
    assert_string_equal(placement->read_write.role, "");
}

static void check_globals(const struct route_globals *globals, int64_t service, int64_t cluster)
{
    assert_int_equal(globals->service_count, 2);
    assert_int_equal(route_find_service(globals, "service-1")->id, service);
    assert_string_equal(route_find_cluster(globals, cluster)->name, "cluster-1");
    assert_string_equal(route_find_cluster(globals, cluster)->conninfo, "host=/nowhere port=5433");
    assert_int_equal(route_find_cluster(globals, cluster)->max_backends, 51);
    assert_int_equal(globals->issuer_count, 1);
    assert_string_equal(globals->issuers[0].name, "partner");
    assert_string_equal(globals->issuers[0].issuer, "https://id");
    assert_null(globals->issuers[0].audience);
    assert_string_equal(globals->issuers[0].jwks, "{\"keys\": []}");
    assert_int_equal(globals->issuers[0].leeway_s, 9);
    assert_int_equal(globals->version, route_table_version(table));
}

static void test_everything_is_loaded(void **state)
{
    (void)state;
    int64_t cluster = make_cluster(1), service = make_service(1, cluster), id = 0;
    int64_t second = make_service(2, cluster), acme = make_tenant("acme");
    int64_t away = make_tenant("away"), leaving = make_tenant("leaving");
    const struct catalog_issuer issuer = {
        .name = "partner", .issuer = "https://id", .jwks = "{\"keys\": []}", .leeway_s = 9};
    works(catalog_issuer_create(catalog, &issuer, NULL, &err));
    int64_t placement = make_ready_placement(acme, service, cluster);
    works(catalog_placement_create(catalog, acme, second, cluster, "row", &id, &err));
    make_ready_placement(leaving, service, cluster);
    int64_t moving = make_ready_placement(away, service, cluster);
    works(catalog_placement_set_state(catalog, moving, CATALOG_PLACEMENT_MIGRATING, &err));
    works(catalog_password_set(catalog, acme, VERIFIER, &err));
    int64_t expires = add_token(acme, "00000000000000000000000000000001", 3600);
    add_token(acme, "00000000000000000000000000000002", -3600);
    add_token(acme, "00000000000000000000000000000003", 3600);
    works(catalog_token_revoke(catalog, acme, "00000000000000000000000000000003", &err));
    works(catalog_tenant_set_status(catalog, away, CATALOG_TENANT_SUSPENDED, &err));
    works(catalog_tenant_set_status(catalog, leaving, CATALOG_TENANT_DELETING, &err));
    int64_t before = time_unix_us();
    start(0);
    struct route_snapshot *snapshot = route_table_acquire(table);
    check_acme(route_find_slug(snapshot, "acme"), placement, expires);
    const struct route_tenant *suspended = route_find_id(snapshot, away);
    assert_int_equal(suspended->status, ROUTE_TENANT_SUSPENDED);
    assert_null(suspended->scram_verifier);
    assert_int_equal(suspended->token_count, 0);
    assert_int_equal(suspended->placements[0].state, ROUTE_PLACEMENT_READY); /* migrating serves */
    assert_null(route_find_slug(snapshot, "leaving"));
    check_globals(route_snapshot_globals(snapshot), service, cluster);
    route_snapshot_release(snapshot);
    struct catalog_follower_state now = state_now();
    assert_true(now.connected);
    assert_int_equal(now.version, route_table_version(table));
    assert_int_equal(now.full_loads, 1);
    assert_int_equal(now.incremental_loads, 0);
    assert_true(now.synced_unix_us >= before && now.synced_unix_us <= time_unix_us());
}

static void test_names_that_do_not_fit(void **state)
{
    (void)state;
    int64_t cluster = make_cluster(1), service = make_service(1, cluster);
    int64_t tenant = make_tenant("acme");
    make_ready_placement(tenant, service, cluster);
    fixture_run("UPDATE reeve.placement SET role = repeat('r', 63)"); /* its context is longer */
    start(0);
    struct route_snapshot *snapshot = route_table_acquire(table);
    const struct route_tenant *acme = route_find_id(snapshot, tenant);
    assert_int_equal(acme->placements[0].state, ROUTE_PLACEMENT_UNAVAILABLE);
    route_snapshot_release(snapshot);
}

static void test_starting_where_nothing_is(void **state)
{
    (void)state;
    struct catalog_follower_options options = {.control = fixture_new_conninfo()};
    refuses(ERROR_NOT_FOUND, "does not exist",
            catalog_follower_start(&options, table, &follower, &err));
    works(catalog_create_database(options.control, NULL, &err));
    refuses(ERROR_STATE, "no catalog", catalog_follower_start(&options, table, &follower, &err));
    options.control = "host=/nowhere";
    refuses(ERROR_CONNECTION, "control database",
            catalog_follower_start(&options, table, &follower, &err));
    assert_null(follower);
    assert_null(catalog_follower_stop(NULL));
    assert_int_equal(route_table_version(table), 0);
}

/* ---- changes ---- */

static void test_changes_are_noticed(void **state)
{
    (void)state;
    int64_t cluster = make_cluster(1), service = make_service(1, cluster);
    start(0);
    int64_t acme = make_tenant("acme");
    wait_for(has_slug, "acme", "the new tenant");
    works(catalog_password_set(catalog, acme, VERIFIER, &err));
    add_token(acme, "00000000000000000000000000000001", 3600);
    int64_t placement = make_ready_placement(acme, service, cluster);
    works(catalog_tenant_set_status(catalog, acme, CATALOG_TENANT_SUSPENDED, &err));
    int64_t third = make_cluster(3);
    wait_for_now();
    struct route_snapshot *snapshot = route_table_acquire(table);
    const struct route_tenant *tenant = route_find_slug(snapshot, "acme");
    assert_int_equal(tenant->status, ROUTE_TENANT_SUSPENDED);
    assert_string_equal(tenant->scram_verifier, VERIFIER);
    assert_int_equal(tenant->token_count, 1);
    assert_int_equal(tenant->placements[0].state, ROUTE_PLACEMENT_READY);
    assert_non_null(route_find_cluster(route_snapshot_globals(snapshot), third));
    route_snapshot_release(snapshot);

    fixture_run("UPDATE reeve.tenant SET slug = 'renamed'");
    wait_for(has_slug, "renamed", "the slug");
    assert_false(has_slug("acme"));
    works(catalog_credential_revoke_all(catalog, acme, &err));
    works(catalog_placement_set_state(catalog, placement, CATALOG_PLACEMENT_DELETING, &err));
    wait_for_now();
    snapshot = route_table_acquire(table);
    tenant = route_find_id(snapshot, acme);
    assert_null(tenant->scram_verifier);
    assert_int_equal(tenant->token_count, 0);
    assert_int_equal(tenant->placements[0].state, ROUTE_PLACEMENT_UNAVAILABLE);
    route_snapshot_release(snapshot);
    works(catalog_tenant_set_status(catalog, acme, CATALOG_TENANT_DELETING, &err));
    wait_for(has_no_slug, "renamed", "that it is gone");
    assert_int_equal(state_now().full_loads, 1);
    assert_true(state_now().incremental_loads > 0);
}

/* Who sees one thing that a transaction did sees everything that it did. */
static void test_a_transaction_is_one_change(void **state)
{
    (void)state;
    start(0);
    int64_t before = route_table_version(table);
    works(catalog_begin(catalog, &err));
    for (int i = 0; i < 50; i++)
        make_tenant(arena_printf(&arena, "tenant-%d", i));
    works(catalog_commit(catalog, &err));
    wait_for(has_slug, "tenant-0", "the transaction");
    assert_true(has_slug("tenant-49"));
    assert_int_equal(route_table_version(table), before + 1);
    works(catalog_begin(catalog, &err));
    make_tenant("never");
    catalog_rollback(catalog);
    refresh();
    assert_int_equal(route_table_version(table), before + 1);
}

static void test_lost_notifications_are_found(void **state)
{
    (void)state;
    lose_notifications();
    start(20 * TIME_MS);
    make_tenant("acme");
    wait_for(has_slug, "acme", "the poll");
    assert_int_equal(state_now().full_loads, 1);
}

/* ---- what makes it load everything ---- */

static void expect_full_load(const char *sql)
{
    int64_t before = state_now().full_loads;
    fixture_run(sql);
    refresh();
    assert_int_equal(state_now().full_loads, before + 1);
    refresh();
    assert_int_equal(state_now().full_loads, before + 1); /* once */
}

static void test_missing_changes_load_everything(void **state)
{
    (void)state;
    lose_notifications();
    int64_t cluster = make_cluster(1), service = make_service(1, cluster);
    make_ready_placement(make_tenant("acme"), service, cluster);
    start(0);
    expect_full_load("INSERT INTO reeve.tenant (slug, name) VALUES ('pruned', 'x');"
                     "SET CONSTRAINTS ALL IMMEDIATE; DELETE FROM reeve.route_change;"
                     "UPDATE reeve.route_version SET pruned = version");
    assert_true(has_slug("pruned"));
    expect_full_load("UPDATE reeve.route_version SET history = gen_random_uuid()");
    expect_full_load("UPDATE reeve.route_version SET version = version - 1, pruned = 0");
    expect_full_load("UPDATE reeve.service SET name = 'renamed'");
    struct route_snapshot *snapshot = route_table_acquire(table);
    assert_non_null(route_find_placement(route_find_slug(snapshot, "acme"), "renamed"));
    route_snapshot_release(snapshot);
    expect_full_load("INSERT INTO reeve.tenant (slug, name)"
                     " SELECT 'many-' || i, 'x' FROM generate_series(1, 20001) i");
    assert_true(has_slug("many-20001"));
    assert_true(has_slug("acme"));
}

/* The schema keeps the last 50000 versions: who is further behind loads everything. */
static void test_the_schema_prunes(void **state)
{
    (void)state;
    lose_notifications();
    start(0);
    make_tenant("kept"); /* at an old version, by what follows */
    fixture_run("UPDATE reeve.route_version SET version = 59999");
    make_tenant("pruning");
    assert_string_equal(fixture_value("SELECT version || ' ' || pruned FROM reeve.route_version"),
                        "60000 10000");
    assert_string_equal(fixture_value("SELECT count(*) FROM reeve.route_change"), "1");
    refresh();
    assert_int_equal(state_now().full_loads, 2);
    assert_true(has_slug("kept") && has_slug("pruning"));
}

/* ---- refreshes ---- */

enum { ASKERS = 4, QUESTIONS = 20 };

struct asker {
    pthread_t thread;
    int number;
    int missing; /* tenants that a refresh did not bring */
};

static void *ask(void *argument)
{
    struct asker *asker = argument;
    struct catalog *own = NULL;
    if (catalog_open(fixture_conninfo(), &own, NULL) < 0) {
        asker->missing = -1;
        return NULL;
    }
    for (int i = 0; i < QUESTIONS; i++) {
        char slug[ROUTE_NAME_SIZE];
        struct asked asked = ASKED;
        snprintf(slug, sizeof(slug), "t-%d-%d", asker->number, i);
        if (catalog_tenant_create(own, slug, NULL, NULL, NULL) < 0)
            asker->missing++;
        catalog_follower_refresh(follower, answered, &asked);
        if (!wait_for_answers(&asked, 1) || !has_slug(slug) || asked.answers != 1)
            asker->missing++;
    }
    catalog_close(own);
    return NULL;
}

static void test_refreshes_bring_what_was_committed(void **state)
{
    (void)state;
    struct asker askers[ASKERS] = {0};
    lose_notifications();
    start(0);
    for (int i = 0; i < ASKERS; i++) {
        askers[i].number = i;
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].missing, 0);
    }
    assert_int_equal(state_now().full_loads, 1);
    assert_true(state_now().incremental_loads <= ASKERS * QUESTIONS);
}

static void test_refreshes_are_shared(void **state)
{
    (void)state;
    struct asked asked = ASKED;
    const struct catalog_follower_options options = {
        .control = fixture_conninfo(),
        .poll_us = 3600 * (int64_t)TIME_S,
        .refresh_us = 200 * TIME_MS, /* all below fall between two of them */
    };
    lose_notifications();
    works(catalog_follower_start(&options, table, &follower, &err));
    int64_t began = time_monotonic_us();
    for (int i = 0; i < 1000; i++)
        catalog_follower_refresh(follower, answered, &asked);
    assert_true(wait_for_answers(&asked, 1000));
    struct catalog_follower_state first = state_now();
    make_tenant("acme");
    refresh();
    assert_true(has_slug("acme"));
    assert_true(time_monotonic_us() - began >= 200 * TIME_MS); /* a second one began later */
    assert_int_equal(state_now().incremental_loads, first.incremental_loads + 1);
}

/* ---- away ---- */

static void test_the_server_restarts(void **state)
{
    (void)state;
    make_tenant("acme");
    start(0);
    catalog = catalog_close(catalog);
    test_server_halt();
    wait_for(is_away, NULL, "that it is away");
    assert_true(has_slug("acme")); /* as it was */
    int64_t version = state_now().version;
    for (int i = 0; i < 20; i++)
        refresh(); /* answered, though nothing can be done */
    assert_false(state_now().connected);
    test_server_resume();
    wait_for(is_connected, NULL, "that it follows again");
    works(catalog_open(fixture_conninfo(), &catalog, &err));
    make_tenant("beta");
    wait_for(has_slug, "beta", "a change after the restart");
    struct catalog_follower_state now = state_now();
    assert_int_equal(now.full_loads, 1); /* it went on where it was */
    assert_true(route_table_version(table) > version);
}

static void test_its_session_is_ended(void **state)
{
    (void)state;
    start(0);
    for (int i = 0; i < 3; i++) {
        const char *slug = arena_printf(&arena, "tenant-%d", i);
        assert_string_equal(
            fixture_value("SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
                          " WHERE application_name = 'reeve routes'"
                          " AND datname = current_database()"),
            "1");
        make_tenant(slug); /* while nobody listens, perhaps */
        wait_for(has_slug, slug, "what was changed while it was away");
        wait_for(is_connected, NULL, "that it follows again");
    }
    assert_int_equal(state_now().full_loads, 1);
}

/* ---- stopping ---- */

static void test_stop_answers_everybody(void **state)
{
    (void)state;
    struct asked asked = ASKED;
    start(0);
    for (int i = 0; i < 100; i++)
        catalog_follower_refresh(follower, answered, &asked);
    follower = catalog_follower_stop(follower);
    assert_null(follower);
    assert_int_equal(asked.answers, 100);
}

static void test_stop_while_away(void **state)
{
    (void)state;
    struct asked asked = ASKED;
    start(0);
    catalog = catalog_close(catalog);
    test_server_halt();
    wait_for(is_away, NULL, "that it is away");
    catalog_follower_refresh(follower, answered, &asked);
    follower = catalog_follower_stop(follower);
    assert_int_equal(asked.answers, 1);
    test_server_resume();
}

/* A load that is waiting for a lock is given up. */
static void test_stop_while_loading(void **state)
{
    (void)state;
    struct asked asked = ASKED;
    start(0);
    works(catalog_begin(catalog, &err));
    fixture_run("LOCK TABLE reeve.route_version");
    catalog_follower_refresh(follower, answered, &asked);
    int64_t began = time_monotonic_us();
    follower = catalog_follower_stop(follower);
    assert_true(time_monotonic_us() - began < 5 * TIME_S);
    assert_int_equal(asked.answers, 1);
    catalog_rollback(catalog);
}

int main(void)
{
    log_set_level(LOG_ERROR); /* being away is warned of */
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)
    const struct CMUnitTest tests[] = {
        TEST(test_everything_is_loaded),
        TEST(test_names_that_do_not_fit),
        TEST(test_starting_where_nothing_is),
        TEST(test_changes_are_noticed),
        TEST(test_a_transaction_is_one_change),
        TEST(test_lost_notifications_are_found),
        TEST(test_missing_changes_load_everything),
        TEST(test_the_schema_prunes),
        TEST(test_refreshes_bring_what_was_committed),
        TEST(test_refreshes_are_shared),
        TEST(test_the_server_restarts),
        TEST(test_its_session_is_ended),
        TEST(test_stop_answers_everybody),
        TEST(test_stop_while_away),
        TEST(test_stop_while_loading),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}

/* The database, the schema's versions, sessions, transactions, locks, secrets. */
#include "catalog/fixture.h"

#include <dirent.h>
#include <pthread.h>

#include "base/crypto.h"
#include "base/str.h"
#include "catalog/tenant.h"

/* ---- the database and its schema ---- */

static void test_create_database_once(void **state)
{
    (void)state;
    const char *conninfo = fixture_new_conninfo();
    bool created = false;
    works(catalog_create_database(conninfo, &created, &err));
    assert_true(created);
    works(catalog_create_database(conninfo, &created, &err));
    assert_false(created);
    const char *odd =
        arena_printf(&arena, "%s user=postgres dbname='odd \" name; --'", test_server_conninfo());
    works(catalog_create_database(odd, &created, &err));
    assert_true(created);
    works(catalog_create_database(odd, &created, NULL));
    assert_false(created);
    works(catalog_upgrade(odd, NULL, NULL, &err));
    refuses(ERROR_CONNECTION, "control database",
            catalog_create_database("host=/nowhere", &created, &err));
    refuses(ERROR_INVALID, "connection string",
            catalog_create_database("not a conninfo", &created, &err));
}

struct creator {
    pthread_t thread;
    const char *conninfo;
    int result;
    bool created;
};

static void *create_database(void *argument)
{
    struct creator *creator = argument;
    creator->result = catalog_create_database(creator->conninfo, &creator->created, NULL);
    return NULL;
}

static void test_one_of_many_creates_the_database(void **state)
{
    (void)state;
    struct creator creators[4] = {0};
    const char *conninfo = fixture_new_conninfo();
    int created = 0;
    for (size_t i = 0; i < array_size(creators); i++) {
        creators[i].conninfo = conninfo;
        assert_int_equal(pthread_create(&creators[i].thread, NULL, create_database, &creators[i]),
                         0);
    }
    for (size_t i = 0; i < array_size(creators); i++) {
        pthread_join(creators[i].thread, NULL);
        assert_int_equal(creators[i].result, 0);
        created += creators[i].created;
    }
    assert_int_equal(created, 1);
}

static void test_upgrade_from_nothing_and_again(void **state)
{
    (void)state;
    const char *conninfo = fixture_new_conninfo();
    struct catalog *opened = NULL;
    int from = -1, to = -1;
    refuses(ERROR_NOT_FOUND, "does not exist", catalog_upgrade(conninfo, &from, &to, &err));
    refuses(ERROR_NOT_FOUND, "control database", catalog_open(conninfo, &opened, &err));
    assert_non_null(strstr(err.hint, "reeve init"));
    works(catalog_create_database(conninfo, NULL, &err));
    refuses(ERROR_STATE, "no catalog", catalog_open(conninfo, &opened, &err));
    assert_non_null(strstr(err.hint, "reeve init"));
    assert_null(opened);
    works(catalog_upgrade(conninfo, &from, &to, &err));
    assert_int_equal(from, 0);
    assert_int_equal(to, catalog_newest_version());
    works(catalog_upgrade(conninfo, &from, &to, &err));
    assert_int_equal(from, catalog_newest_version());
    assert_int_equal(to, catalog_newest_version());
    works(catalog_open(conninfo, &opened, &err));
    catalog_close(opened);
    assert_null(catalog_close(NULL));
}

static void test_other_versions_are_refused(void **state)
{
    (void)state;
    struct catalog *opened = NULL;
    int from = -1, to = -1;
    fixture_run("INSERT INTO reeve.schema_version (version, program) VALUES (999, 'later')");
    refuses(ERROR_STATE, "version 999", catalog_open(fixture_conninfo(), &opened, &err));
    assert_non_null(strstr(err.hint, "newer Reeve"));
    refuses(ERROR_STATE, "version 999", catalog_upgrade(fixture_conninfo(), &from, &to, &err));
    assert_int_equal(from, -1);
    assert_int_equal(to, -1);
    assert_string_equal(fixture_value("SELECT count(*) FROM reeve.schema_version"),
                        arena_printf(&arena, "%d", catalog_newest_version() + 1));
    fixture_run("DELETE FROM reeve.schema_version");
    refuses(ERROR_STATE, "no catalog", catalog_open(fixture_conninfo(), &opened, &err));
}

/* What is there already makes the first upgrade fail: nothing of it may stay. */
static void test_a_failed_upgrade_leaves_nothing(void **state)
{
    (void)state;
    const char *conninfo = fixture_new_conninfo();
    works(catalog_create_database(conninfo, NULL, &err));
    struct pg_connection *connection = NULL;
    const struct pg_options options = {.conninfo = conninfo};
    works(pg_connect(&options, &connection, &err));
    works(pg_execute_script(connection, "CREATE SCHEMA reeve; CREATE TABLE reeve.issuer ()", &err));
    refuses(ERROR_SERVER, "upgrade of the catalog to version 1",
            catalog_upgrade(conninfo, NULL, NULL, &err));
    _cleanup_pg_result_ struct pg_result *result = NULL;
    works(pg_query(connection, "SELECT 1 FROM pg_class WHERE relnamespace = 'reeve'::regnamespace",
                   0, NULL, &result, &err));
    assert_int_equal(pg_rows(result), 1);
    pg_close(connection);
}

struct upgrader {
    pthread_t thread;
    const char *conninfo;
    int result, from;
};

static void *upgrade(void *argument)
{
    struct upgrader *upgrader = argument;
    upgrader->result = catalog_upgrade(upgrader->conninfo, &upgrader->from, NULL, NULL);
    return NULL;
}

static void test_concurrent_upgrades_wait(void **state)
{
    (void)state;
    struct upgrader upgraders[4];
    const char *conninfo = fixture_new_conninfo();
    int first = 0;
    works(catalog_create_database(conninfo, NULL, &err));
    for (size_t i = 0; i < array_size(upgraders); i++) {
        upgraders[i].conninfo = conninfo;
        assert_int_equal(pthread_create(&upgraders[i].thread, NULL, upgrade, &upgraders[i]), 0);
    }
    for (size_t i = 0; i < array_size(upgraders); i++) {
        pthread_join(upgraders[i].thread, NULL);
        assert_int_equal(upgraders[i].result, 0);
        first += upgraders[i].from == 0;
    }
    assert_int_equal(first, 1);
}

static const char *sources; /* sql/catalog/upgrade, when it was given */

static void test_every_upgrade_is_known(void **state)
{
    (void)state;
    if (!sources) {
        skip();
        return;
    }
    DIR *folder = opendir(sources);
    int count = 0;
    if (!folder) {
        fail_msg("cannot read %s", sources);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += str_has_suffix(entry->d_name, ".sql");
    closedir(folder);
    assert_int_equal(count, catalog_newest_version());
}

/* ---- transactions ---- */

static void test_transactions(void **state)
{
    (void)state;
    struct catalog_tenant tenant;
    works(catalog_begin(catalog, &err));
    make_tenant("kept");
    refuses(ERROR_INTERNAL, "open already", catalog_begin(catalog, &err));
    works(catalog_commit(catalog, &err));
    works(catalog_begin(catalog, &err));
    make_tenant("dropped");
    catalog_rollback(catalog);
    catalog_rollback(catalog); /* nothing to do */
    catalog_rollback(NULL);
    works(catalog_tenant_find(catalog, &arena, "kept", &tenant, &err));
    refuses(ERROR_NOT_FOUND, "dropped",
            catalog_tenant_find(catalog, &arena, "dropped", &tenant, &err));
    works(catalog_begin(catalog, &err));
    refuses(ERROR_EXISTS, "kept", catalog_tenant_create(catalog, "kept", NULL, NULL, &err));
    refuses(ERROR_STATE, "rolled back", catalog_commit(catalog, &err));
    {
        works(catalog_begin(catalog, &err));
        _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
        make_tenant("scoped");
        assert_ptr_equal(transaction, catalog);
    }
    refuses(ERROR_NOT_FOUND, "scoped",
            catalog_tenant_find(catalog, &arena, "scoped", &tenant, &err));
}

static void test_a_lost_connection_says_so(void **state)
{
    (void)state;
    struct catalog *victim = fixture_another();
    struct catalog_tenant tenant;
    char sql[128];
    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d, 10000)",
             pg_backend_pid(catalog_connection(victim)));
    fixture_run(sql);
    refuses(ERROR_CONNECTION, "", catalog_tenant_find(victim, &arena, "x", &tenant, &err));
    catalog_close(victim);
}

/* ---- locks ---- */

static void test_locks(void **state)
{
    (void)state;
    struct catalog *other = fixture_another();
    works(catalog_lock(catalog, "placement:42", &err));
    refuses(ERROR_BUSY, "placement:42", catalog_lock(other, "placement:42", &err));
    works(catalog_lock(other, "placement:43", &err));
    works(catalog_lock(catalog, "placement:42", &err)); /* twice, so given back twice */
    works(catalog_unlock(catalog, "placement:42", &err));
    refuses(ERROR_BUSY, "placement:42", catalog_lock(other, "placement:42", &err));
    works(catalog_unlock(catalog, "placement:42", &err));
    works(catalog_lock(other, "placement:42", &err));
    refuses(ERROR_STATE, "placement:42", catalog_unlock(catalog, "placement:42", &err));
    works(catalog_begin(other, &err)); /* a lock is the session's, not the transaction's */
    works(catalog_lock(other, "placement:44", &err));
    catalog_rollback(other);
    refuses(ERROR_BUSY, "placement:44", catalog_lock(catalog, "placement:44", &err));
    catalog_close(other);
    /* the server notices the end of a session by itself */
    fixture_run("SELECT pg_advisory_lock(hashtextextended('reeve:placement:42', 0))");
    works(catalog_lock(catalog, "placement:42", &err));
}

/* ---- secrets ---- */

static void test_secrets(void **state)
{
    (void)state;
    uint8_t key[32], wrong[32];
    crypto_random(key, sizeof(key));
    crypto_random(wrong, sizeof(wrong));
    char context[CATALOG_SECRET_CONTEXT_SIZE], other[CATALOG_SECRET_CONTEXT_SIZE];
    catalog_login_context("t_000042", context);
    assert_string_equal(context, "login:t_000042");
    catalog_owner_context(7, "own", other);
    assert_string_equal(other, "owner:7:own");
    catalog_cluster_context("local", other);
    assert_string_equal(other, "cluster:local");

    static const char *const secrets[] = {"", "x", "pass word \xc3\xa9 '\"\\"};
    for (size_t i = 0; i < array_size(secrets); i++) {
        struct catalog_sealed sealed = catalog_seal(&arena, key, context, secrets[i]);
        assert_int_equal(sealed.length, strlen(secrets[i]) + CRYPTO_SEAL_OVERHEAD);
        char *opened = NULL;
        works(catalog_unseal(key, context, &sealed, &opened, &err));
        assert_string_equal(opened, secrets[i]);
        opened = catalog_wipe(opened);
        assert_null(opened);
        refuses(ERROR_INVALID, "login:t_000042",
                catalog_unseal(wrong, context, &sealed, &opened, &err));
        refuses(ERROR_INVALID, "cluster:local", catalog_unseal(key, other, &sealed, &opened, &err));
        assert_null(opened);
    }
    struct catalog_sealed none = {0};
    char *opened = NULL;
    refuses(ERROR_INVALID, "login", catalog_unseal(key, context, &none, &opened, &err));
    catalog_wipe(NULL);
}

int main(int argc, char **argv)
{
    sources = argc > 1 ? argv[1] : NULL;
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
    const struct CMUnitTest tests[] = {
        TEST(test_create_database_once),
        TEST(test_one_of_many_creates_the_database),
        TEST(test_upgrade_from_nothing_and_again),
        TEST(test_other_versions_are_refused),
        TEST(test_a_failed_upgrade_leaves_nothing),
        TEST(test_concurrent_upgrades_wait),
        TEST(test_every_upgrade_is_known),
        TEST(test_transactions),
        TEST(test_a_lost_connection_says_so),
        TEST(test_locks),
        TEST(test_secrets),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}

#include "fixture.h"

#include "base/buffer.h"
#include "base/str.h"
#include "support/server.h"

struct arena fixture_arena;

int fixture_start(void **state)
{
    (void)state;
    arena_init(&fixture_arena, 0);
    test_server_start();
    struct error err = {0};
    if (isolation_prepare_cluster(&fixture_server, &err) < 0)
        fail_msg("isolation_prepare_cluster: %s", err.message);
    return 0;
}

int fixture_stop(void **state)
{
    (void)state;
    test_server_stop();
    arena_reset(&fixture_arena);
    return 0;
}

/* ---- connections ---- */

static int connect_as(const char *role, const char *database, struct pg_connection **ret,
                      struct error *err)
{
    bool bare = str_has_prefix(role, "t_"); /* with the settings that a tenant finds */
    return test_server_login(role, database, bare, ret, err);
}

static int connect_admin(void *context, const char *database, struct pg_connection **ret,
                         struct error *err)
{
    (void)context;
    return connect_as("postgres", database ? database : "postgres", ret, err);
}

const struct isolation_server fixture_server = {.connect = connect_admin};

struct pg_connection *fixture_connect(const char *role, const char *database)
{
    struct pg_connection *connection = NULL;
    struct error err = {0};
    if (connect_as(role, database, &connection, &err) < 0)
        fail_msg("cannot connect as %s to %s: %s", role, database, err.message);
    return connection;
}

void fixture_connect_fails(const char *role, const char *database, const char *sqlstate)
{
    struct pg_connection *connection = NULL;
    struct error err = {0};
    if (connect_as(role, database, &connection, &err) == 0)
        fail_msg("%s could connect to %s", role, database);
    if (!strstr(err.message, sqlstate) && strcmp(err.sqlstate, sqlstate) != 0)
        fail_msg("%s %s, not %s", err.sqlstate, err.message, sqlstate);
}

/* ---- statements ---- */

void run(struct pg_connection *connection, const char *sql)
{
    struct error err = {0};
    if (pg_execute_script(connection, sql, &err) < 0)
        fail_msg("%s %s (%s) in: %s", err.sqlstate, err.message, err.detail, sql);
}

void fails(struct pg_connection *connection, const char *sqlstate, const char *sql)
{
    struct error err = {0};
    if (pg_execute_script(connection, sql, &err) == 0)
        fail_msg("did not fail: %s", sql);
    if (strcmp(err.sqlstate, sqlstate) != 0)
        fail_msg("%s %s, not %s, in: %s", err.sqlstate, err.message, sqlstate, sql);
    if (pg_in_transaction(connection))
        pg_rollback(connection);
}

const char *values(struct pg_connection *connection, const char *sql)
{
    struct error err = {0};
    _cleanup_pg_result_ struct pg_result *result = NULL;
    if (pg_query(connection, sql, 0, NULL, &result, &err) < 0)
        fail_msg("%s %s in: %s", err.sqlstate, err.message, sql);
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(1 << 20);
    for (size_t i = 0; i < pg_rows(result); i++) {
        const char *value = pg_text(result, i, 0);
        buffer_printf(&text, "%s%s", i ? "," : "", value ? value : "null");
    }
    return arena_strdup(&fixture_arena, buffer_string(&text));
}

/* ---- services and placements ---- */

void make_service(struct test_service *ret, const char *name, const char *modes,
                  const char *const *migrations)
{
    static int64_t next_id = 1;
    const struct isolation *allowed[8];
    size_t count = 0;
    for (size_t i = 0; isolation_at(i); i++)
        if (strstr(modes, isolation_name(isolation_at(i))))
            allowed[count++] = isolation_at(i);
    isolation_service_init(&fixture_arena, next_id++, name, allowed, count, &ret->service);
    ret->service.owner_verifier = "unused";
    ret->migrations = migrations;
    struct error err = {0};
    for (int again = 0; again < 2; again++)
        if (isolation_prepare_service(&fixture_server, &ret->service, &err) < 0)
            fail_msg("isolation_prepare_service: %s", err.message);
}

int migrate(const struct isolation_target *target, const char *const *migrations,
            struct isolation_report *report, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *owner =
        fixture_connect(target->owner_role, target->database);
    assert_int_equal(pg_begin(owner, err), 0);
    assert_int_equal(isolation_begin_migration(owner, target, err), 0);
    for (size_t i = 0; migrations[i]; i++) {
        const char *const key[] = {target->schema, arena_printf(&fixture_arena, "%zu", i + 1)};
        _cleanup_pg_result_ struct pg_result *done = NULL;
        assert_int_equal(pg_query(owner,
                                  "SELECT FROM reeve.migration WHERE target = $1 AND version = $2",
                                  2, key, &done, err),
                         0);
        if (pg_rows(done) > 0)
            continue;
        int r = isolation_apply_migration(owner, target, migrations[i], report, err);
        if (r < 0) {
            pg_rollback(owner);
            return r;
        }
        r = pg_execute(owner, "INSERT INTO reeve.migration VALUES ($1, $2, 'x', 'x')", 2, key, NULL,
                       err);
        assert_int_equal(r, 0);
    }
    return pg_commit(owner, err);
}

static void must_migrate(const struct isolation_target *target, const char *const *migrations)
{
    struct error err = {0};
    if (migrate(target, migrations, NULL, &err) < 0)
        fail_msg("%s: %s (%s) %s", target->description, err.message, err.detail, err.hint);
}

void attach(const struct test_service *service, const char *mode, int64_t placement_id,
            int64_t tenant_id, struct isolation_placement *ret)
{
    struct error err = {0};
    struct isolation_target target;
    const struct isolation *isolation = isolation_find(mode);
    assert_non_null(isolation);
    isolation_placement_init(&fixture_arena, &service->service, isolation, placement_id, tenant_id,
                             ret);
    ret->role_verifier = ret->ro_verifier = "unused";
    if (isolation_base_target(&fixture_arena, &service->service, isolation, &target))
        must_migrate(&target, service->migrations);
    for (int again = 0; again < 2; again++)
        if (isolation_create(&fixture_server, &service->service, ret, &err) < 0)
            fail_msg("isolation_create: %s", err.message);
    isolation_target(&fixture_arena, &service->service, ret, &target);
    must_migrate(&target, service->migrations);
    _cleanup_pg_connection_ struct pg_connection *owner =
        fixture_connect(target.owner_role, target.database);
    if (isolation_finish(owner, &target, NULL, &err) < 0)
        fail_msg("isolation_finish: %s", err.message);
    struct isolation_report again;
    isolation_report_init(&again, &fixture_arena);
    assert_int_equal(isolation_finish(owner, &target, &again, &err), 0);
    if (again.count > 0)
        fail_msg("shaped again: %s", again.lines[0]);
}

struct pg_connection *login(const struct isolation_placement *placement)
{
    return fixture_connect(placement->role, placement->database);
}

struct pg_connection *login_read_only(const struct isolation_placement *placement)
{
    return fixture_connect(placement->ro_role, placement->database);
}

void drop(const struct test_service *service, const struct isolation_placement *placement)
{
    struct error err = {0};
    for (int again = 0; again < 2; again++)
        if (isolation_drop(&fixture_server, &service->service, placement, &err) < 0)
            fail_msg("isolation_drop: %s (%s)", err.message, err.detail);
}

const char *inspect(const struct test_service *service, const struct isolation_placement *placement)
{
    struct error err = {0};
    struct isolation_report report;
    isolation_report_init(&report, &fixture_arena);
    if (isolation_inspect(&fixture_server, &service->service, placement, &report, &err) < 0)
        fail_msg("isolation_inspect: %s", err.message);
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(1 << 16);
    for (size_t i = 0; i < report.count; i++)
        buffer_printf(&text, "%s%s", i ? "\n" : "", report.lines[i]);
    return arena_strdup(&fixture_arena, buffer_string(&text));
}

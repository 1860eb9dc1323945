/* place.c - making, dropping and inspecting one placement, in whatever mode. */
#include "base/failpoint.h"
#include "isolation/place.h"
#include "isolation/server.h"
#include "isolation/shared.h"
#include "pg/quote.h"
#include "sql/statements.h"

enum {
    SESSION_ROUNDS = 300 /* of a tenth of a second */,
    ENDING_LOOKS = 2000,
    LOOKS_A_SECOND = 200,
    STARTING_LOOKS = 20
};

/* Opens the maintenance connection and waits for whoever still works on the placement. */
int place_work_begin(struct isolation_work *work, struct error *err)
{
    int r = isolation_server_connect(work->server, NULL, &work->maintenance, err);
    if (r < 0)
        return r;
    return isolation_server_lock_session(
        work->maintenance,
        arena_printf(work->arena, "placement %lld", (long long)work->placement->id), err);
}

void place_work_end(struct isolation_work *work)
{
    work->maintenance = pg_close(work->maintenance);
}

static int create_roles(const struct isolation_work *work, struct error *err)
{
    const struct isolation_placement *placement = work->placement;
    bool login = !placement->guarded;
    if (placement->guarded && placement->isolation->shares_tables)
        return 0;
    int r = pg_begin(work->maintenance, err);
    if (r < 0)
        return r;
    _cleanup_pg_rollback_ struct pg_connection *transaction = work->maintenance;
    r = isolation_server_ensure_role(transaction, work->arena, placement->role, login,
                                     placement->role_verifier, err);
    if (r == 0)
        r = isolation_server_ensure_role(transaction, work->arena, placement->ro_role, login,
                                         placement->ro_verifier, err);
    if (r < 0)
        return r;
    return pg_commit(transaction, err);
}

int isolation_create(const struct isolation_server *server, const struct isolation_service *service,
                     const struct isolation_placement *placement, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_work_ struct isolation_work work = {server, service, placement, &arena, NULL};
    int r = place_work_begin(&work, err);
    if (r == 0)
        r = create_roles(&work, err);
    if (r < 0)
        return r;
    failpoint("isolation.create.roles.after");
    return placement->isolation->create(&work, err);
}

/* From PostgreSQL 16 on an administrator who is no superuser may not make himself a member of
 * pg_signal_backend, but he may of the roles that he has made: in a transaction that is rolled
 * back, which the signals are not. */
static int end_as_member(struct pg_connection *maintenance,
                         const struct isolation_placement *placement, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *const roles[] = {placement->role, placement->ro_role};
    int r = pg_begin(maintenance, err);
    if (r < 0)
        return r;
    _cleanup_pg_rollback_ struct pg_connection *transaction = maintenance;
    for (size_t i = 0; r == 0 && i < array_size(roles); i++)
        r = isolation_server_run(transaction, err,
                                 "GRANT %s TO CURRENT_USER WITH INHERIT TRUE, SET FALSE",
                                 pg_identifier(&arena, roles[i]));
    return r < 0 ? r : pg_execute(transaction, sql_isolation_end_sessions, 2, roles, NULL, err);
}

static int end_sessions(struct pg_connection *maintenance,
                        const struct isolation_placement *placement, struct error *err)
{
    const char *const parameters[] = {placement->role, placement->ro_role};
    bool is_stranger = false;
    int r = 0;
    if (pg_server_version(maintenance) >= 160000)
        r = isolation_server_ask(maintenance, sql_isolation_may_not_signal, 2, parameters,
                                 &is_stranger, err);
    if (r == 0 && is_stranger)
        return end_as_member(maintenance, placement, err);
    return r < 0 ? r
                 : pg_execute(maintenance, sql_isolation_end_sessions, 2, parameters, NULL, err);
}

static int end_those_there(struct pg_connection *maintenance,
                           const struct isolation_placement *placement, struct error *err)
{
    const char *const parameters[] = {placement->role, placement->ro_role, "0.005"};
    bool busy = true;
    int r = 0;
    for (int look = 0; r == 0 && look < ENDING_LOOKS; look++) {
        r = isolation_server_ask(maintenance, sql_isolation_has_sessions, 3, parameters, &busy,
                                 err);
        if (r < 0 || !busy)
            return r;
        if (look % LOOKS_A_SECOND == 0)
            r = end_sessions(maintenance, placement, err);
    }
    return r < 0
               ? r
               : error_set(err, ERROR_BUSY, "sessions of role \"%s\" do not end", placement->role);
}

/* Between looking at its role and being told of a session takes microseconds; but who logs in and
 * says nothing is not to be told apart from that, and is not waited for for ever. */
int place_end_sessions(struct pg_connection *maintenance,
                       const struct isolation_placement *placement, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *starting = NULL;
    bool still = true;
    int r = pg_query(maintenance, sql_isolation_starting, 0, NULL, &starting, err);
    if (r == 0)
        r = end_those_there(maintenance, placement, err);
    const char *pids = r < 0 ? NULL : pg_text(starting, 0, 0);
    for (int look = 0; r == 0 && still && look < STARTING_LOOKS; look++) {
        r = isolation_server_ask(maintenance, sql_isolation_still_starting, 1, &pids, &still, err);
        if (r == 0 && still)
            r = end_those_there(maintenance, placement, err);
    }
    return r;
}

/* A role that is only ever entered is fenced by its connection limit, which the guard looks at; so
 * is one that logs in, as a proxy that was cut off may still enter it. */
static const char *login_clause(const struct isolation_placement *placement, bool allowed)
{
    if (!allowed)
        return "NOLOGIN CONNECTION LIMIT 0";
    return placement->guarded ? "NOLOGIN CONNECTION LIMIT -1" : "LOGIN CONNECTION LIMIT -1";
}

int place_set_login(const struct isolation_work *work, bool allowed, struct error *err)
{
    const char *const roles[] = {work->placement->role, work->placement->ro_role};
    for (size_t i = 0; i < array_size(roles); i++) {
        bool exists;
        int r = isolation_server_ask(work->maintenance, sql_isolation_role_exists, 1, &roles[i],
                                     &exists, err);
        if (r == 0 && exists)
            r = isolation_server_run(work->maintenance, err, "ALTER ROLE %s %s",
                                     pg_identifier(work->arena, roles[i]),
                                     login_clause(work->placement, allowed));
        if (r < 0)
            return r;
    }
    return allowed ? 0 : place_end_sessions(work->maintenance, work->placement, err);
}

int isolation_set_login(const struct isolation_server *server,
                        const struct isolation_placement *placement, bool allowed,
                        struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_work_ struct isolation_work work = {server, NULL, placement, &arena, NULL};
    int r = place_work_begin(&work, err);
    if (r < 0)
        return r;
    return place_set_login(&work, allowed, err);
}

/* Transactions that run may end by themselves; then they are ended. */
static int await_sessions(const struct isolation_work *work, struct error *err)
{
    const char *const parameters[] = {work->placement->role, work->placement->ro_role, "0.1"};
    bool busy = true;
    int r = 0;
    for (int round = 0; r == 0 && busy && round < SESSION_ROUNDS; round++)
        r = isolation_server_ask(work->maintenance, sql_isolation_has_sessions, 3, parameters,
                                 &busy, err);
    return r < 0 || !busy ? r : place_end_sessions(work->maintenance, work->placement, err);
}

int isolation_settle(const struct isolation_server *server, const struct isolation_service *service,
                     const struct isolation_placement *placement, struct error *err)
{
    if (!placement->guarded)
        return 0;
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_work_ struct isolation_work work = {server, service, placement, &arena, NULL};
    int r = place_work_begin(&work, err);
    if (r == 0)
        r = place_set_login(&work, true, err); /* which is: not at all */
    if (r == 0)
        r = await_sessions(&work, err);
    if (r < 0)
        return r;
    if (!placement->isolation->shares_tables) /* its roles stay, to be entered */
        return shared_forget_logins(&work, err);
    r = shared_unmap(&work, err);
    if (r == 0)
        r = isolation_server_drop_role(work.maintenance, &arena, placement->ro_role, err);
    if (r == 0)
        r = isolation_server_drop_role(work.maintenance, &arena, placement->role, err);
    return r;
}

int isolation_drop(const struct isolation_server *server, const struct isolation_service *service,
                   const struct isolation_placement *placement, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_work_ struct isolation_work work = {server, service, placement, &arena, NULL};
    int r = place_work_begin(&work, err);
    if (r == 0)
        r = place_set_login(&work, false, err);
    if (r == 0)
        r = placement->isolation->drop(&work, err);
    if (r < 0)
        return r;
    failpoint("isolation.drop.place.after");
    r = isolation_server_drop_role(work.maintenance, &arena, placement->ro_role, err);
    if (r == 0)
        r = isolation_server_drop_role(work.maintenance, &arena, placement->role, err);
    return r;
}

/* ---- inspecting ---- */

static int add_lines(struct pg_connection *connection, const char *sql, int count,
                     const char *const *parameters, struct isolation_report *report,
                     struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(connection, sql, count, parameters, &result, err);
    for (size_t i = 0; r == 0 && i < pg_rows(result); i++)
        isolation_report_add(report, "%s", pg_text(result, i, 0));
    return r;
}

static int inspect_rows(struct pg_connection *data, const struct isolation_work *work,
                        const char *database, struct isolation_report *report, struct error *err)
{
    const char *schema = ISOLATION_APP_SCHEMA;
    _cleanup_pg_result_ struct pg_result *tables = NULL;
    int r = pg_query(data, sql_isolation_tenant_tables, 1, &schema, &tables, err);
    const char *tenant = pg_from_i64(work->arena, work->placement->tenant_id);
    for (size_t i = 0; r == 0 && i < pg_rows(tables); i++) {
        const char *table = pg_text(tables, i, 0);
        const char *sql =
            arena_printf(work->arena, "SELECT count(*) FROM %s WHERE tenant_id = $1::bigint",
                         pg_qualified(work->arena, schema, table));
        _cleanup_pg_result_ struct pg_result *count = NULL;
        r = pg_query(data, sql, 1, &tenant, &count, err);
        if (r == 0 && pg_i64(count, 0, 0) > 0)
            isolation_report_add(report, "%lld rows in %s.%s in database %s",
                                 (long long)pg_i64(count, 0, 0), schema, table, database);
    }
    return r;
}

static int inspect_shared(const struct isolation_work *work, const char *database,
                          struct isolation_report *report, struct error *err)
{
    bool exists;
    const struct isolation_placement *placement = work->placement;
    int r = isolation_server_database_exists(work->maintenance, database, &exists, err);
    if (r < 0 || !exists)
        return r;
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    r = isolation_server_connect(work->server, database, &data, err);
    const char *prepared = "reeve.role_tenant";
    if (r == 0)
        r = isolation_server_ask(data, "SELECT pg_catalog.to_regclass($1) IS NOT NULL", 1,
                                 &prepared, &exists, err);
    if (r < 0 || !exists)
        return r;
    const char *const parameters[] = {placement->role, placement->ro_role,
                                      isolation_own_name(work->arena, "t", placement)};
    r = add_lines(data, sql_isolation_inspect_database, 3, parameters, report, err);
    if (r == 0)
        r = inspect_rows(data, work, database, report, err);
    return r;
}

int isolation_inspect(const struct isolation_server *server,
                      const struct isolation_service *service,
                      const struct isolation_placement *placement, struct isolation_report *ret,
                      struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_work_ struct isolation_work work = {server, service, placement, &arena, NULL};
    int r = place_work_begin(&work, err);
    const char *const parameters[] = {placement->role, placement->ro_role,
                                      isolation_own_name(&arena, "d", placement)};
    if (r == 0)
        r = add_lines(work.maintenance, sql_isolation_inspect_server, 3, parameters, ret, err);
    for (size_t i = 0; r == 0 && i < service->shared_count; i++)
        r = inspect_shared(&work, service->shared_databases[i], ret, err);
    return r;
}

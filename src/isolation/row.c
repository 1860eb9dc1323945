/*
 * row.c - one set of tables a service; row-level security keeps tenants apart. A tenant is two
 * roles in the service's groups and a line in reeve.role_tenant: no DDL.
 */
#include "base/buffer.h"
#include "isolation/server.h"
#include "isolation/shared.h"
#include "pg/quote.h"
#include "sql/statements.h"

enum { DELETE_ROUNDS = 8 };

static void place(struct arena *arena, const struct isolation_service *service,
                  struct isolation_placement *placement)
{
    (void)arena;
    placement->database = service->shared_database;
    placement->schema = ISOLATION_APP_SCHEMA;
}

static const char *describe(struct arena *arena, const struct isolation_placement *placement)
{
    return arena_printf(arena, "rows of tenant %lld in schema %s of database %s",
                        (long long)placement->tenant_id, placement->schema, placement->database);
}

static void base_target(struct arena *arena, const struct isolation_service *service,
                        struct isolation_target *ret)
{
    *ret = (struct isolation_target){
        .isolation = &isolation_row,
        .database = service->shared_database,
        .schema = ISOLATION_APP_SCHEMA,
        .owner_role = service->owner_role,
        .grant_role = service->run_role,
        .grant_ro_role = service->run_ro_role,
        .shaped = service->shaped,
        .row_security = true,
        .description = arena_printf(arena, "the shared tables of service %s in database %s",
                                    service->name, service->shared_database),
    };
}

static void target(struct arena *arena, const struct isolation_service *service,
                   const struct isolation_placement *placement, struct isolation_target *ret)
{
    (void)placement;
    base_target(arena, service, ret);
}

static int create(const struct isolation_work *work, struct error *err)
{
    const struct isolation_service *service = work->service;
    const struct isolation_placement *placement = work->placement;
    if (placement->guarded) /* a session gets the service's own role */
        return 0;
    int r = isolation_server_grant_role(work->maintenance, work->arena, service->run_role,
                                        placement->role, err);
    if (r == 0)
        r = isolation_server_grant_role(work->maintenance, work->arena, service->run_ro_role,
                                        placement->ro_role, err);
    if (r < 0)
        return r;
    return shared_map(work, NULL, err);
}

/* ---- dropping: the tenant's rows, table by table ---- */

/*
 * One statement for all tables: foreign keys of any shape, cycles too, are looked at behind its
 * end, when both sides are gone. Returns how many rows went.
 */
static int delete_round(struct pg_connection *data, const struct isolation_work *work,
                        const struct pg_result *tables, int64_t *ret_deleted, struct error *err)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(16 << 20);
    _cleanup_buffer_ struct buffer sum = BUFFER_INIT(1 << 20);
    size_t count = pg_rows(tables);
    for (size_t i = 0; i < count; i++) {
        buffer_printf(&sql, "%s gone_%zu AS (DELETE FROM ", i ? "," : "WITH", i);
        pg_quote_qualified(&sql, work->placement->schema, pg_text(tables, i, 0));
        buffer_append_string(&sql, " WHERE tenant_id = $1::bigint RETURNING 1)");
        buffer_printf(&sum, "%s(SELECT count(*) FROM gone_%zu)", i ? " + " : "", i);
    }
    buffer_printf(&sql, " SELECT %s", buffer_string(&sum));
    if (sql.failed || sum.failed)
        return error_set(err, ERROR_LIMIT, "too many tables to delete from");
    const char *tenant = pg_from_i64(work->arena, work->placement->tenant_id);
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(data, buffer_string(&sql), 1, &tenant, &result, err);
    if (r < 0)
        return r;
    *ret_deleted = pg_i64(result, 0, 0);
    return 0;
}

/* With session_replication_role a trigger that is enabled ALWAYS fires all the same, with the
 * rights of who deletes. Behind the locks nobody can make one. */
static int refuse_triggers(struct pg_connection *data, const struct isolation_work *work,
                           const struct pg_result *tables, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < pg_rows(tables); i++)
        r = isolation_server_run(
            data, err, "LOCK TABLE %s IN ROW EXCLUSIVE MODE",
            pg_qualified(work->arena, work->placement->schema, pg_text(tables, i, 0)));
    _cleanup_pg_result_ struct pg_result *triggers = NULL;
    if (r == 0)
        r = pg_query(data, sql_isolation_always_triggers, 1, &work->placement->schema, &triggers,
                     err);
    if (r < 0 || pg_rows(triggers) == 0)
        return r;
    error_set(err, ERROR_STATE, "trigger \"%s\" of table \"%s\" fires whoever deletes rows",
              pg_text(triggers, 0, 0), pg_text(triggers, 0, 1));
    error_hint(err, "ALTER TABLE %s ENABLE TRIGGER %s",
               pg_identifier(work->arena, pg_text(triggers, 0, 1)),
               pg_identifier(work->arena, pg_text(triggers, 0, 0)));
    return -ERROR_STATE;
}

/*
 * Who deletes, and what runs meanwhile. The service's own triggers are about its business, not
 * about a tenant that leaves: a superuser switches them off. Elsewhere they run as the owner role,
 * which is kept to this tenant's rows, so that a trigger that forgets the tenant column cannot
 * reach a neighbour's.
 */
static int delete_as(struct pg_connection *data, const struct isolation_work *work,
                     struct error *err)
{
    bool skip;
    int r = isolation_server_ask(data, sql_isolation_can_skip_triggers, 0, NULL, &skip, err);
    if (r < 0)
        return r;
    if (skip)
        return pg_execute(data, "SET LOCAL session_replication_role TO replica", 0, NULL, NULL,
                          err);
    r = pg_execute(data, sql_isolation_set_search_path, 1, &work->placement->schema, NULL, err);
    if (r == 0)
        r = isolation_server_run(data, err,
                                 "SET LOCAL ROLE %s; SET LOCAL reeve_owner.tenant TO '%lld'",
                                 pg_identifier(work->arena, work->service->owner_role),
                                 (long long)work->placement->tenant_id);
    return r;
}

static int delete_rows(struct pg_connection *data, const struct isolation_work *work,
                       struct error *err)
{
    _cleanup_pg_result_ struct pg_result *tables = NULL;
    int r = pg_query(data, sql_isolation_tenant_tables, 1, &work->placement->schema, &tables, err);
    if (r < 0 || pg_rows(tables) == 0)
        return r;
    r = refuse_triggers(data, work, tables, err);
    if (r == 0)
        r = delete_as(data, work, err);
    /* A trigger may write new rows while old ones go. */
    int64_t deleted = 1;
    for (int round = 0; r == 0 && deleted > 0; round++) {
        if (round == DELETE_ROUNDS)
            return error_set(err, ERROR_STATE,
                             "rows of tenant %lld in database \"%s\" come back as they are deleted",
                             (long long)work->placement->tenant_id, work->placement->database);
        r = delete_round(data, work, tables, &deleted, err);
    }
    return r;
}

static int drop(const struct isolation_work *work, struct error *err)
{
    return shared_drop(work, delete_rows, err);
}

const struct isolation isolation_row = {
    .name = "row",
    .summary = "rows of shared tables, kept apart by row-level security",
    .needs_shape = true,
    .uses_shared_database = true,
    .shares_tables = true,
    .place = place,
    .describe = describe,
    .base_target = base_target,
    .target = target,
    .create = create,
    .drop = drop,
};

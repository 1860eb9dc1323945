#include "isolation/shared.h"

#include "isolation/server.h"
#include "pg/quote.h"
#include "sql/statements.h"

static const char *lock_name(const struct isolation_work *work)
{
    return arena_printf(work->arena, "placement %lld", (long long)work->placement->id);
}

int shared_map(const struct isolation_work *work,
               int (*part)(struct pg_connection *data, const struct isolation_work *work,
                           struct error *err),
               struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    int r = isolation_server_connect(work->server, work->placement->database, &data, err);
    if (r == 0)
        r = pg_begin(data, err);
    if (r < 0)
        return r;
    _cleanup_pg_rollback_ struct pg_connection *transaction = data;
    r = isolation_server_lock_transaction(transaction, lock_name(work), err);
    if (r == 0 && part)
        r = part(transaction, work, err);
    if (r == 0 && !work->placement->guarded)
        r = isolation_server_map_roles(transaction, work->placement, err);
    if (r == 0 && !work->placement->guarded)
        r = isolation_server_set_defaults(transaction, work->arena, work->placement, err);
    if (r < 0)
        return r;
    return pg_commit(transaction, err);
}

/* A tenant owns nothing, but a right that slipped through would keep its role from going. Large
 * objects are the case in point, where no superuser could close them. */
static int drop_owned(struct pg_connection *data, const struct isolation_work *work,
                      struct error *err)
{
    const char *const roles[] = {work->placement->role, work->placement->ro_role};
    bool superuser;
    int r = isolation_server_ask(data, sql_isolation_is_superuser, 0, NULL, &superuser, err);
    for (size_t i = 0; r == 0 && i < array_size(roles); i++) {
        bool exists;
        r = isolation_server_ask(data, sql_isolation_role_exists, 1, &roles[i], &exists, err);
        if (r < 0 || !exists)
            continue;
        const char *name = pg_identifier(work->arena, roles[i]);
        if (!superuser)
            r = isolation_server_run(data, err, "GRANT %s TO CURRENT_USER", name);
        if (r == 0)
            r = isolation_server_run(data, err, "DROP OWNED BY %s", name);
    }
    return r;
}

/* What has that name may be another service's, or nobody's that Reeve knows: there is nothing of
 * the tenant there, and nothing of it is touched. */
static int is_ours(const struct isolation_work *work, bool *ret, struct error *err)
{
    const char *const parameters[] = {work->placement->database, work->service->owner_role};
    return isolation_server_ask(work->maintenance, sql_isolation_shared_database, 2, parameters,
                                ret, err);
}

int shared_drop(const struct isolation_work *work,
                int (*part)(struct pg_connection *data, const struct isolation_work *work,
                            struct error *err),
                struct error *err)
{
    bool ours, prepared = false;
    int r = is_ours(work, &ours, err);
    if (r < 0 || !ours)
        return r;
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    r = isolation_server_connect(work->server, work->placement->database, &data, err);
    if (r == 0)
        r = isolation_server_ask(data,
                                 "SELECT pg_catalog.to_regclass('reeve.role_tenant') IS NOT NULL",
                                 0, NULL, &prepared, err);
    if (r < 0 || !prepared) /* making it was cut off before it could have a tenant */
        return r;
    r = pg_set_statement_timeout(data, PG_NO_TIMEOUT, err);
    if (r == 0)
        r = pg_begin(data, err);
    if (r < 0)
        return r;
    _cleanup_pg_rollback_ struct pg_connection *transaction = data;
    r = isolation_server_lock_transaction(transaction, lock_name(work), err);
    if (r == 0)
        r = drop_owned(transaction, work, err);
    if (r == 0)
        r = part(transaction, work, err);
    /* `part` may have become somebody else for its time. */
    if (r == 0)
        r = pg_execute(transaction, "RESET ROLE", 0, NULL, NULL, err);
    const char *const parameters[] = {
        work->placement->role, work->placement->ro_role,
        strcmp(work->placement->schema, ISOLATION_APP_SCHEMA) == 0 ? "" : work->placement->schema};
    if (r == 0)
        r = pg_execute(transaction, sql_isolation_unmap_roles, 3, parameters, NULL, err);
    if (r < 0)
        return r;
    return pg_commit(transaction, err);
}

static int nothing(struct pg_connection *data reeve_unused,
                   const struct isolation_work *work reeve_unused, struct error *err reeve_unused)
{
    return 0;
}

int shared_unmap(const struct isolation_work *work, struct error *err)
{
    return shared_drop(work, nothing, err);
}

int shared_forget_logins(const struct isolation_work *work, struct error *err)
{
    const struct isolation_placement *placement = work->placement;
    int r = isolation_server_run(work->maintenance, err, "REVOKE %s FROM %s, %s",
                                 pg_identifier(work->arena, work->service->use_role),
                                 pg_identifier(work->arena, placement->role),
                                 pg_identifier(work->arena, placement->ro_role));
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    if (r == 0)
        r = isolation_server_connect(work->server, placement->database, &data, err);
    const char *const parameters[] = {placement->role, placement->ro_role, ""};
    return r < 0 ? r : pg_execute(data, sql_isolation_unmap_roles, 3, parameters, NULL, err);
}

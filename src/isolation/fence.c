/*
 * fence.c - closing a place to its tenant, on its server: for whoever may believe that the tenant
 * is still there. The fence of shared tables outlives the place, as the role that tenants are let
 * in by does: it goes when the tenant is placed there again.
 */
#include "base/time.h"
#include "isolation/place.h"
#include "isolation/server.h"
#include "sql/statements.h"

/* Of tenants that share tables, whom the guard may let in by the role of them all: fenced by a role
 * that is there for that alone. Also of one whose placement has logins now: a proxy that was cut
 * off before it had may still enter it. */
static bool needs_fence_role(const struct isolation_work *work)
{
    return work->placement->isolation->shares_tables && work->service->guard;
}

/* *ret NULL: there is no such database. As guard/fence.c names it. */
static int name_fence(const struct isolation_work *work, const char **ret, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(work->maintenance, sql_isolation_database_oid, 1, &work->placement->database,
                     &result, err);
    if (r < 0)
        return r;
    *ret = pg_rows(result) == 0
               ? NULL
               : arena_printf(work->arena, "reeve_fence_%s_%lld", pg_text(result, 0, 0),
                              (long long)work->placement->tenant_id);
    return 0;
}

static int drop_fence(const struct isolation_work *work, struct error *err)
{
    const char *fence = NULL;
    int r = needs_fence_role(work) ? name_fence(work, &fence, err) : 0;
    return r < 0 || !fence ? r
                           : isolation_server_drop_role(work->maintenance, work->arena, fence, err);
}

static int make_fence(const struct isolation_work *work, struct error *err)
{
    const char *fence = NULL;
    int r = needs_fence_role(work) ? name_fence(work, &fence, err) : 0;
    return r < 0 || !fence ? r
                           : isolation_server_ensure_role(work->maintenance, work->arena, fence,
                                                          false, NULL, err);
}

/* What began before the fence may still commit. Whose it is, is not to be seen from here. */
static int await_transactions(const struct isolation_work *work, int64_t timeout_us,
                              struct error *err)
{
    _cleanup_pg_result_ struct pg_result *since = NULL;
    int64_t deadline_us = time_monotonic_us() + timeout_us;
    int r =
        pg_query(work->maintenance, "SELECT pg_catalog.clock_timestamp()", 0, NULL, &since, err);
    bool busy = true;
    const char *const parameters[] = {work->placement->database, work->service->guard->pool_role,
                                      r < 0 ? NULL : pg_text(since, 0, 0)};
    while (r == 0 && busy) {
        r = isolation_server_ask(work->maintenance, sql_isolation_has_transactions, 3, parameters,
                                 &busy, err);
        if (r == 0 && busy && time_monotonic_us() > deadline_us)
            return error_set(err, ERROR_BUSY,
                             "in database \"%s\" a transaction goes on which may be the tenant's",
                             work->placement->database);
    }
    return r;
}

int isolation_fence(const struct isolation_server *server, const struct isolation_service *service,
                    const struct isolation_placement *placement, int64_t timeout_us,
                    struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_work_ struct isolation_work work = {server, service, placement, &arena, NULL};
    int r = place_work_begin(&work, err);
    if (r == 0)
        r = make_fence(&work, err);
    if (r == 0)
        r = place_set_login(&work, false, err);
    if (r == 0 && service->guard && placement->isolation->uses_shared_database && timeout_us > 0)
        r = await_transactions(&work, timeout_us, err);
    return r;
}

int isolation_unfence(const struct isolation_server *server,
                      const struct isolation_service *service,
                      const struct isolation_placement *placement, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_work_ struct isolation_work work = {server, service, placement, &arena, NULL};
    int r = place_work_begin(&work, err);
    if (r == 0)
        r = place_set_login(&work, true, err);
    return r < 0 ? r : drop_fence(&work, err);
}

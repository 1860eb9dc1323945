#include "catalog/proxy.h"

#include "base/time.h"
#include "catalog/internal.h"
#include "sql/statements.h"

enum { TIMEOUT_US = 5 * TIME_S };

static int change(struct catalog *catalog, const char *sql, int64_t id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement = CATALOG_STATEMENT(sql, pg_from_i64(&arena, id));
    statement.subject = arena_printf(&arena, "proxy %lld", (long long)id);
    return catalog_change(catalog, &statement, err);
}

/* ---- who there is ---- */

int catalog_proxy_open(const char *control, const atomic_bool *cancelled, struct catalog **ret,
                       struct error *err)
{
    const struct pg_options options = {.conninfo = control,
                                       .application_name = "reeve presence",
                                       .connect_timeout_us = TIMEOUT_US,
                                       .statement_timeout_us = TIMEOUT_US,
                                       .cancelled = cancelled};
    return catalog_open_with(&options, ret, err);
}

static int lock(struct catalog *catalog, int64_t id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_proxy_lock, pg_from_i64(&arena, id));
    _cleanup_pg_result_ struct pg_result *ignored = NULL;
    return catalog_read(catalog, &statement, &ignored, err);
}

int catalog_proxy_register(struct catalog *catalog, const char *name, int64_t *ret_id,
                           struct error *err)
{
    int64_t id = 0;
    struct catalog_statement statement = CATALOG_STATEMENT(sql_catalog_proxy_insert, name);
    statement.subject = "proxy";
    int r = catalog_insert(catalog, &statement, &id, err);
    if (r == 0)
        r = lock(catalog, id, err);
    if (r == 0)
        *ret_id = id;
    return r;
}

int catalog_proxy_seen(struct catalog *catalog, int64_t id, struct error *err)
{
    return change(catalog, sql_catalog_proxy_seen, id, err);
}

int catalog_proxy_leave(struct catalog *catalog, int64_t id, struct error *err)
{
    return change(catalog, sql_catalog_proxy_delete, id, err);
}

int catalog_proxy_forget(struct catalog *catalog, struct error *err)
{
    const struct catalog_statement statement = {.sql = sql_catalog_proxy_forget,
                                                .subject = "proxies"};
    return catalog_write(catalog, &statement, NULL, err);
}

/* ---- holds ---- */

static int fill_hold(const struct pg_result *result, size_t row, reeve_unused struct arena *arena,
                     void *ret, reeve_unused struct error *err)
{
    *(struct catalog_hold *)ret = (struct catalog_hold){.placement_id = pg_i64(result, row, 0),
                                                        .tenant_id = pg_i64(result, row, 1),
                                                        .number = pg_i64(result, row, 2),
                                                        .route_version = pg_i64(result, row, 3),
                                                        .ends_in_us = pg_i64(result, row, 4)};
    return 0;
}

int catalog_hold_pending(struct catalog *catalog, struct arena *arena, int64_t proxy_id,
                         struct catalog_hold **ret, size_t *ret_count, struct error *err)
{
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_hold_pending, pg_from_i64(arena, proxy_id));
    void *rows = NULL;
    int r =
        catalog_list(catalog, arena, &statement, fill_hold, sizeof(**ret), &rows, ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

/* A placement that is gone has nothing to be drained. */
int catalog_hold_drained(struct catalog *catalog, int64_t proxy_id, const struct catalog_hold *hold,
                         struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_hold_drained, pg_from_i64(&arena, hold->placement_id),
                          pg_from_i64(&arena, proxy_id), pg_from_i64(&arena, hold->number));
    statement.subject = arena_printf(&arena, "proxy %lld", (long long)proxy_id);
    return catalog_write(catalog, &statement, NULL, err);
}

static int fill_proxy(const struct pg_result *result, size_t row, struct arena *arena, void *ret,
                      reeve_unused struct error *err)
{
    *(struct catalog_proxy *)ret =
        (struct catalog_proxy){.id = pg_i64(result, row, 0),
                               .name = pg_text_copy(result, row, 1, arena),
                               .connected = pg_bool(result, row, 2)};
    return 0;
}

static int list(struct catalog *catalog, struct arena *arena,
                const struct catalog_statement *statement, struct catalog_proxy **ret,
                size_t *ret_count, struct error *err)
{
    void *rows = NULL;
    int r =
        catalog_list(catalog, arena, statement, fill_proxy, sizeof(**ret), &rows, ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

int catalog_proxy_list(struct catalog *catalog, struct arena *arena, struct catalog_proxy **ret,
                       size_t *ret_count, struct error *err)
{
    const struct catalog_statement statement = CATALOG_STATEMENT(sql_catalog_proxy_select, NULL);
    return list(catalog, arena, &statement, ret, ret_count, err);
}

int catalog_hold_awaited(struct catalog *catalog, struct arena *arena, const int64_t *placement_ids,
                         size_t count, struct catalog_proxy **ret, size_t *ret_count,
                         struct error *err)
{
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_proxy_select, pg_from_i64_array(arena, placement_ids, count));
    return list(catalog, arena, &statement, ret, ret_count, err);
}

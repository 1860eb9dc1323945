#include "catalog/cluster.h"

#include "base/str.h"
#include "catalog/internal.h"
#include "pg/conninfo.h"
#include "sql/statements.h"

static int check(const struct catalog_cluster *cluster, struct error *err)
{
    int r = str_check_slug("cluster name", cluster->name, err);
    return r < 0 ? r : pg_conninfo_check_server(cluster->conninfo, err);
}

int catalog_installation(struct catalog *catalog, struct arena *arena, const char **ret,
                         struct error *err)
{
    _cleanup_pg_result_ struct pg_result *row = NULL;
    const struct catalog_statement statement = {.sql = sql_catalog_installation_select};
    int r = catalog_read(catalog, &statement, &row, err);
    if (r < 0)
        return r;
    if (pg_rows(row) != 1)
        return error_set(err, ERROR_STATE, "the catalog has no name of its own");
    *ret = pg_text_copy(row, 0, 0, arena);
    return 0;
}

int catalog_cluster_create(struct catalog *catalog, const struct catalog_cluster *cluster,
                           int64_t *ret_id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *password = NULL, *pool_password = NULL;
    int r = check(cluster, err);
    if (r == 0)
        r = catalog_from_sealed(&arena, &cluster->admin_password, CATALOG_SEALED_MAX, &password,
                                err);
    if (r == 0)
        r = catalog_from_sealed(&arena, &cluster->pool_password, CATALOG_SEALED_MAX, &pool_password,
                                err);
    if (r < 0)
        return r;
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_cluster_insert, cluster->name, cluster->conninfo, cluster->admin_user, password,
        cluster->maintenance_db, pg_from_i64(&arena, cluster->max_backends), cluster->enforcement,
        cluster->enforcement_reason, cluster->guard_library, cluster->pool_role, pool_password);
    statement.subject = arena_printf(&arena, "cluster \"%s\"", cluster->name);
    return catalog_insert(catalog, &statement, ret_id, err);
}

static int fill(const struct pg_result *result, size_t row, struct arena *arena, void *ret,
                struct error *err)
{
    struct catalog_cluster *cluster = ret;
    *cluster = (struct catalog_cluster){
        .id = pg_i64(result, row, 0),
        .name = pg_text_copy(result, row, 1, arena),
        .conninfo = pg_text_copy(result, row, 2, arena),
        .admin_user = pg_text_copy(result, row, 3, arena),
        .maintenance_db = pg_text_copy(result, row, 5, arena),
        .max_backends = (int)pg_i64(result, row, 6),
        .created_unix_us = pg_i64(result, row, 7),
        .enforcement = pg_text_copy(result, row, 8, arena),
        .enforcement_reason = pg_text_copy(result, row, 9, arena),
        .guard_library = pg_text_copy(result, row, 10, arena),
        .pool_role = pg_text_copy(result, row, 11, arena),
        .installation = pg_text_copy(result, row, 13, arena),
        .disk_bytes = pg_i64(result, row, 14),
    };
    int r = catalog_sealed_copy(result, row, 4, arena, &cluster->admin_password, err);
    return r < 0 ? r : catalog_sealed_copy(result, row, 12, arena, &cluster->pool_password, err);
}

int catalog_cluster_find(struct catalog *catalog, struct arena *arena, const char *name,
                         struct catalog_cluster *ret, struct error *err)
{
    struct catalog_statement statement = CATALOG_STATEMENT(sql_catalog_cluster_select, NULL, name);
    statement.subject = arena_printf(arena, "cluster \"%s\"", name);
    return catalog_one(catalog, arena, &statement, fill, sizeof(*ret), ret, err);
}

int catalog_cluster_get(struct catalog *catalog, struct arena *arena, int64_t id,
                        struct catalog_cluster *ret, struct error *err)
{
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_cluster_select, pg_from_i64(arena, id), NULL);
    statement.subject = arena_printf(arena, "cluster %lld", (long long)id);
    return catalog_one(catalog, arena, &statement, fill, sizeof(*ret), ret, err);
}

int catalog_cluster_set(struct catalog *catalog, int64_t id,
                        const struct catalog_cluster_change *change, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    int r = change->conninfo ? pg_conninfo_check_server(change->conninfo, err) : 0;
    if (r < 0)
        return r;
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_cluster_set, pg_from_i64(&arena, id), change->conninfo,
        change->max_backends > 0 ? pg_from_i64(&arena, change->max_backends) : NULL,
        change->disk_bytes == 0  ? NULL
        : change->disk_bytes < 0 ? "0"
                                 : pg_from_i64(&arena, change->disk_bytes));
    statement.subject = arena_printf(&arena, "cluster %lld", (long long)id);
    return catalog_change(catalog, &statement, err);
}

int catalog_cluster_set_enforcement(struct catalog *catalog, const struct catalog_cluster *cluster,
                                    struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *password = NULL;
    int r =
        catalog_from_sealed(&arena, &cluster->pool_password, CATALOG_SEALED_MAX, &password, err);
    if (r < 0)
        return r;
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_cluster_set_enforcement, pg_from_i64(&arena, cluster->id), cluster->enforcement,
        cluster->enforcement_reason, cluster->guard_library, cluster->pool_role, password);
    statement.subject = arena_printf(&arena, "cluster \"%s\"", cluster->name);
    return catalog_change(catalog, &statement, err);
}

int catalog_cluster_list(struct catalog *catalog, struct arena *arena, struct catalog_cluster **ret,
                         size_t *ret_count, struct error *err)
{
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_cluster_select, NULL, NULL);
    void *rows = NULL;
    int r = catalog_list(catalog, arena, &statement, fill, sizeof(**ret), &rows, ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

int catalog_cluster_delete(struct catalog *catalog, int64_t id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_cluster_delete, pg_from_i64(&arena, id));
    statement.subject = arena_printf(&arena, "cluster %lld", (long long)id);
    statement.removes = true;
    return catalog_change(catalog, &statement, err);
}

#include "catalog/service.h"

#include "base/str.h"
#include "catalog/internal.h"
#include "sql/statements.h"

int catalog_service_create(struct catalog *catalog, const struct catalog_service *service,
                           int64_t *ret_id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    int r = str_check_slug("service name", service->name, err);
    if (r < 0)
        return r;
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_service_insert, service->name, service->isolation,
                          pg_from_text_array(&arena, service->allowed, service->allowed_count),
                          service->migrations_dir, pg_from_i64(&arena, service->cluster_id));
    statement.subject = arena_printf(&arena, "service \"%s\"", service->name);
    return catalog_insert(catalog, &statement, ret_id, err);
}

static int fill(const struct pg_result *result, size_t row, struct arena *arena, void *ret,
                struct error *err)
{
    struct catalog_service *service = ret;
    *service = (struct catalog_service){
        .id = pg_i64(result, row, 0),
        .name = pg_text_copy(result, row, 1, arena),
        .isolation = pg_text_copy(result, row, 2, arena),
        .migrations_dir = pg_text_copy(result, row, 4, arena),
        .cluster_id = pg_i64(result, row, 5),
        .created_unix_us = pg_i64(result, row, 6),
    };
    return pg_text_array(result, row, 3, arena, &service->allowed, &service->allowed_count, err);
}

int catalog_service_find(struct catalog *catalog, struct arena *arena, const char *name,
                         struct catalog_service *ret, struct error *err)
{
    struct catalog_statement statement = CATALOG_STATEMENT(sql_catalog_service_select, NULL, name);
    statement.subject = arena_printf(arena, "service \"%s\"", name);
    return catalog_one(catalog, arena, &statement, fill, sizeof(*ret), ret, err);
}

int catalog_service_get(struct catalog *catalog, struct arena *arena, int64_t id,
                        struct catalog_service *ret, struct error *err)
{
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_service_select, pg_from_i64(arena, id), NULL);
    statement.subject = arena_printf(arena, "service %lld", (long long)id);
    return catalog_one(catalog, arena, &statement, fill, sizeof(*ret), ret, err);
}

int catalog_service_list(struct catalog *catalog, struct arena *arena, struct catalog_service **ret,
                         size_t *ret_count, struct error *err)
{
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_service_select, NULL, NULL);
    void *rows = NULL;
    int r = catalog_list(catalog, arena, &statement, fill, sizeof(**ret), &rows, ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

int catalog_service_set_migrations_dir(struct catalog *catalog, int64_t id, const char *path,
                                       struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_service_set_migrations_dir, pg_from_i64(&arena, id), path);
    statement.subject = arena_printf(&arena, "service %lld", (long long)id);
    return catalog_change(catalog, &statement, err);
}

int catalog_service_delete(struct catalog *catalog, int64_t id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_service_delete, pg_from_i64(&arena, id));
    statement.subject = arena_printf(&arena, "service %lld", (long long)id);
    statement.removes = true;
    return catalog_change(catalog, &statement, err);
}

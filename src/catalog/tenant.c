#include "catalog/tenant.h"

#include "base/str.h"
#include "catalog/internal.h"
#include "sql/statements.h"

static const char *const statuses[] = {
    [CATALOG_TENANT_ACTIVE] = "active",
    [CATALOG_TENANT_SUSPENDED] = "suspended",
    [CATALOG_TENANT_DELETING] = "deleting",
    [CATALOG_TENANT_DELETED] = "deleted",
};

const char *catalog_tenant_status_name(enum catalog_tenant_status status)
{
    return statuses[status];
}

int catalog_tenant_status_parse(const char *name, enum catalog_tenant_status *ret,
                                struct error *err)
{
    int status = catalog_name_index(statuses, array_size(statuses), name);
    if (status < 0)
        return error_set(err, ERROR_USAGE,
                         "there is no tenant status \"%s\": it is active, suspended, deleting or "
                         "deleted",
                         name);
    *ret = (enum catalog_tenant_status)status;
    return 0;
}

int catalog_tenant_create(struct catalog *catalog, const char *slug, const char *name,
                          int64_t *ret_id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    if (!name)
        name = slug;
    int r = str_check_slug("tenant slug", slug, err);
    if (r == 0)
        r = str_check_display_name("tenant name", name, err);
    if (r < 0)
        return r;
    struct catalog_statement statement = CATALOG_STATEMENT(sql_catalog_tenant_insert, slug, name);
    statement.subject = arena_printf(&arena, "tenant \"%s\"", slug);
    return catalog_insert(catalog, &statement, ret_id, err);
}

static int fill(const struct pg_result *result, size_t row, struct arena *arena, void *ret,
                struct error *err)
{
    const char *status = pg_text(result, row, 3);
    int index = catalog_name_index(statuses, array_size(statuses), status);
    if (index < 0)
        return error_set(err, ERROR_SERVER, "the catalog has a tenant of unknown status \"%s\"",
                         status ? status : "");
    struct catalog_tenant *tenant = ret;
    *tenant = (struct catalog_tenant){
        .id = pg_i64(result, row, 0),
        .slug = pg_text_copy(result, row, 1, arena),
        .name = pg_text_copy(result, row, 2, arena),
        .status = (enum catalog_tenant_status)index,
        .created_unix_us = pg_i64(result, row, 4),
        .deleted_unix_us = pg_i64(result, row, 5),
    };
    return pg_text_array(result, row, 6, arena, &tenant->tags, &tenant->tag_count, err);
}

/* In the statement's order: id, slug, status, the slug before the page, with deleted ones, limit.
 */
int catalog_tenant_find(struct catalog *catalog, struct arena *arena, const char *slug,
                        struct catalog_tenant *ret, struct error *err)
{
    struct catalog_statement statement = CATALOG_STATEMENT(sql_catalog_tenant_select, NULL, slug,
                                                           NULL, NULL, pg_from_bool(false), NULL);
    statement.subject = arena_printf(arena, "tenant \"%s\"", slug);
    return catalog_one(catalog, arena, &statement, fill, sizeof(*ret), ret, err);
}

int catalog_tenant_get(struct catalog *catalog, struct arena *arena, int64_t id,
                       struct catalog_tenant *ret, struct error *err)
{
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_tenant_select, pg_from_i64(arena, id), NULL, NULL, NULL,
                          pg_from_bool(true), NULL);
    statement.subject = arena_printf(arena, "tenant %lld", (long long)id);
    return catalog_one(catalog, arena, &statement, fill, sizeof(*ret), ret, err);
}

int catalog_tenant_list(struct catalog *catalog, struct arena *arena,
                        const struct catalog_tenant_filter *filter, struct catalog_tenant **ret,
                        size_t *ret_count, struct error *err)
{
    static const struct catalog_tenant_filter all = {.status = -1};
    if (!filter)
        filter = &all;
    bool with_deleted = filter->with_deleted || filter->status == CATALOG_TENANT_DELETED;
    const struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_tenant_select, NULL, NULL, filter->status < 0 ? NULL : statuses[filter->status],
        filter->after_slug, pg_from_bool(with_deleted), catalog_id(arena, filter->limit));
    void *rows = NULL;
    int r = catalog_list(catalog, arena, &statement, fill, sizeof(**ret), &rows, ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

int catalog_tenant_set_status(struct catalog *catalog, int64_t id,
                              enum catalog_tenant_status status, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_tenant_set_status, pg_from_i64(&arena, id), statuses[status]);
    statement.subject = arena_printf(&arena, "tenant %lld", (long long)id);
    return catalog_change(catalog, &statement, err);
}

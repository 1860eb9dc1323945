#include "catalog/limit.h"

#include "catalog/internal.h"
#include "sql/statements.h"

int catalog_limit_set(struct catalog *catalog, const struct catalog_limit_subject *subject,
                      const char *name, int64_t value, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_limit_set, catalog_id(&arena, subject->tenant_id),
        catalog_id(&arena, subject->service_id), name, pg_from_i64(&arena, value));
    statement.subject = arena_printf(&arena, "limit \"%s\"", name);
    return catalog_insert(catalog, &statement, NULL, err);
}

int catalog_limit_unset(struct catalog *catalog, const struct catalog_limit_subject *subject,
                        const char *name, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_limit_delete, catalog_id(&arena, subject->tenant_id),
                          catalog_id(&arena, subject->service_id), name);
    statement.subject = arena_printf(&arena, "limit \"%s\" there", name);
    return catalog_change(catalog, &statement, err);
}

static int fill(const struct pg_result *result, size_t row, struct arena *arena, void *ret,
                reeve_unused struct error *err)
{
    *(struct catalog_limit *)ret = (struct catalog_limit){
        .tenant = pg_text_copy(result, row, 0, arena),
        .service = pg_text_copy(result, row, 1, arena),
        .name = pg_text_copy(result, row, 2, arena),
        .value = pg_i64(result, row, 3),
    };
    return 0;
}

int catalog_limit_list(struct catalog *catalog, struct arena *arena,
                       const struct catalog_limit_subject *subject, bool all,
                       struct catalog_limit **ret, size_t *ret_count, struct error *err)
{
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_limit_select, catalog_id(arena, subject->tenant_id),
                          catalog_id(arena, subject->service_id), all ? "true" : "false");
    void *rows = NULL;
    int r = catalog_list(catalog, arena, &statement, fill, sizeof(**ret), &rows, ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

#include "catalog/audit_event.h"

#include "catalog/internal.h"
#include "sql/statements.h"

int catalog_audit_append(struct catalog *catalog, const struct catalog_audit_event *event,
                         struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_audit_insert, event->actor, event->action, catalog_id(&arena, event->tenant_id),
        catalog_id(&arena, event->service_id), catalog_id(&arena, event->placement_id),
        event->detail);
    statement.subject = arena_printf(&arena, "audit event \"%s\"", event->action);
    return catalog_write(catalog, &statement, NULL, err);
}

static int fill(const struct pg_result *result, size_t row, struct arena *arena, void *ret,
                reeve_unused struct error *err)
{
    *(struct catalog_audit_event *)ret = (struct catalog_audit_event){
        .id = pg_i64(result, row, 0),
        .at_unix_us = pg_i64(result, row, 1),
        .actor = pg_text_copy(result, row, 2, arena),
        .action = pg_text_copy(result, row, 3, arena),
        .tenant_id = pg_i64(result, row, 4),
        .service_id = pg_i64(result, row, 5),
        .placement_id = pg_i64(result, row, 6),
        .detail = pg_text_copy(result, row, 7, arena),
    };
    return 0;
}

int catalog_audit_list(struct catalog *catalog, struct arena *arena, int64_t tenant_id,
                       int64_t before_id, int64_t limit, struct catalog_audit_event **ret,
                       size_t *ret_count, struct error *err)
{
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_audit_select, catalog_id(arena, tenant_id),
                          catalog_id(arena, before_id), catalog_id(arena, limit));
    void *rows = NULL;
    int r = catalog_list(catalog, arena, &statement, fill, sizeof(**ret), &rows, ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

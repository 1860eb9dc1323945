#include "catalog/issuer.h"

#include "base/str.h"
#include "catalog/internal.h"
#include "sql/statements.h"

int catalog_issuer_create(struct catalog *catalog, const struct catalog_issuer *issuer,
                          int64_t *ret_id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    int r = str_check_slug("issuer name", issuer->name, err);
    if (r < 0)
        return r;
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_issuer_insert, issuer->name, issuer->issuer, issuer->audience,
        issuer->tenant_claim, issuer->jwks, pg_from_i64(&arena, issuer->leeway_s));
    statement.subject = arena_printf(&arena, "issuer \"%s\"", issuer->name);
    return catalog_insert(catalog, &statement, ret_id, err);
}

static int fill(const struct pg_result *result, size_t row, struct arena *arena, void *ret,
                reeve_unused struct error *err)
{
    *(struct catalog_issuer *)ret = (struct catalog_issuer){
        .id = pg_i64(result, row, 0),
        .name = pg_text_copy(result, row, 1, arena),
        .issuer = pg_text_copy(result, row, 2, arena),
        .audience = pg_text_copy(result, row, 3, arena),
        .tenant_claim = pg_text_copy(result, row, 4, arena),
        .jwks = pg_text_copy(result, row, 5, arena),
        .leeway_s = (int)pg_i64(result, row, 6),
        .created_unix_us = pg_i64(result, row, 7),
    };
    return 0;
}

int catalog_issuer_find(struct catalog *catalog, struct arena *arena, const char *name,
                        struct catalog_issuer *ret, struct error *err)
{
    struct catalog_statement statement = CATALOG_STATEMENT(sql_catalog_issuer_select, name);
    statement.subject = arena_printf(arena, "issuer \"%s\"", name);
    return catalog_one(catalog, arena, &statement, fill, sizeof(*ret), ret, err);
}

int catalog_issuer_list(struct catalog *catalog, struct arena *arena, struct catalog_issuer **ret,
                        size_t *ret_count, struct error *err)
{
    const struct catalog_statement statement = CATALOG_STATEMENT(sql_catalog_issuer_select, NULL);
    void *rows = NULL;
    int r = catalog_list(catalog, arena, &statement, fill, sizeof(**ret), &rows, ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

int catalog_issuer_delete(struct catalog *catalog, int64_t id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_issuer_delete, pg_from_i64(&arena, id));
    statement.subject = arena_printf(&arena, "issuer %lld", (long long)id);
    statement.removes = true;
    return catalog_change(catalog, &statement, err);
}

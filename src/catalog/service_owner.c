#include "catalog/internal.h"
#include "catalog/service.h"
#include "sql/statements.h"

static const char *describe(struct arena *arena, int64_t service_id, int64_t cluster_id)
{
    return arena_printf(arena, "owner of service %lld on cluster %lld", (long long)service_id,
                        (long long)cluster_id);
}

static int insert(struct catalog *catalog, struct arena *arena,
                  const struct catalog_service_owner *owner, struct error *err)
{
    const char *password = NULL;
    int r = catalog_from_sealed(arena, &owner->password, CATALOG_SEALED_MAX, &password, err);
    if (r < 0)
        return r;
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_service_owner_insert, pg_from_i64(arena, owner->service_id),
                          pg_from_i64(arena, owner->cluster_id), owner->role, password);
    statement.subject = describe(arena, owner->service_id, owner->cluster_id);
    return catalog_write(catalog, &statement, NULL, err);
}

int catalog_service_owner_ensure(struct catalog *catalog, struct arena *arena,
                                 const struct catalog_service_owner *owner,
                                 struct catalog_service_owner *ret, struct error *err)
{
    _cleanup_catalog_scope_ struct catalog_scope scope = {0};
    struct catalog_service_owner stored;
    int r = catalog_scope_begin(catalog, &scope, err);
    if (r == 0)
        r = insert(catalog, arena, owner, err);
    if (r == 0)
        r = catalog_service_owner_get(catalog, arena, owner->service_id, owner->cluster_id, &stored,
                                      err);
    if (r == 0)
        r = catalog_scope_commit(&scope, err);
    if (r == 0)
        *ret = stored;
    return r;
}

static int fill(const struct pg_result *result, size_t row, struct arena *arena, void *ret,
                struct error *err)
{
    struct catalog_service_owner *owner = ret;
    owner->service_id = pg_i64(result, row, 0);
    owner->cluster_id = pg_i64(result, row, 1);
    owner->role = pg_text_copy(result, row, 2, arena);
    return catalog_sealed_copy(result, row, 3, arena, &owner->password, err);
}

int catalog_service_owner_get(struct catalog *catalog, struct arena *arena, int64_t service_id,
                              int64_t cluster_id, struct catalog_service_owner *ret,
                              struct error *err)
{
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_service_owner_select, pg_from_i64(arena, service_id),
                          pg_from_i64(arena, cluster_id));
    statement.subject = describe(arena, service_id, cluster_id);
    return catalog_one(catalog, arena, &statement, fill, sizeof(*ret), ret, err);
}

int catalog_service_owner_delete(struct catalog *catalog, int64_t service_id, int64_t cluster_id,
                                 struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_service_owner_delete, pg_from_i64(&arena, service_id),
                          pg_from_i64(&arena, cluster_id));
    return catalog_write(catalog, &statement, NULL, err);
}

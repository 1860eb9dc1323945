#include "catalog/internal.h"
#include "catalog/service.h"
#include "sql/statements.h"

static const char *const kinds[] = {
    [CATALOG_DATABASE_SHARED] = "shared",
    [CATALOG_DATABASE_TEMPLATE] = "template",
};

const char *catalog_database_kind_name(enum catalog_database_kind kind)
{
    return kinds[kind];
}

static int fill(const struct pg_result *result, size_t row, struct arena *arena, void *ret,
                reeve_unused struct error *err)
{
    struct catalog_service_database *database = ret;
    int kind = catalog_name_index(kinds, array_size(kinds), pg_text(result, row, 3));
    *database = (struct catalog_service_database){
        .id = pg_i64(result, row, 0),
        .service_id = pg_i64(result, row, 1),
        .cluster_id = pg_i64(result, row, 2),
        .kind = kind < 0 ? CATALOG_DATABASE_SHARED : (enum catalog_database_kind)kind,
        .database = pg_text_copy(result, row, 4, arena),
        .schema_version = pg_text_copy(result, row, 5, arena),
    };
    return 0;
}

/* kind NULL: both. */
static int list(struct catalog *catalog, struct arena *arena, int64_t service_id,
                int64_t cluster_id, const char *kind, struct catalog_service_database **ret,
                size_t *ret_count, struct error *err)
{
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_service_database_select, pg_from_i64(arena, service_id),
                          catalog_id(arena, cluster_id), kind);
    void *rows = NULL;
    int r = catalog_list(catalog, arena, &statement, fill, sizeof(**ret), &rows, ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

static int insert(struct catalog *catalog, struct arena *arena,
                  const struct catalog_service_database *database, struct error *err)
{
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_service_database_insert, pg_from_i64(arena, database->service_id),
        pg_from_i64(arena, database->cluster_id), kinds[database->kind], database->database,
        database->schema_version ? database->schema_version : "");
    statement.subject =
        arena_printf(arena, "%s database \"%s\" of service %lld", kinds[database->kind],
                     database->database, (long long)database->service_id);
    return catalog_write(catalog, &statement, NULL, err);
}

int catalog_service_database_ensure(struct catalog *catalog,
                                    const struct catalog_service_database *database,
                                    int64_t *ret_id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_catalog_scope_ struct catalog_scope scope = {0};
    struct catalog_service_database *stored = NULL;
    size_t count = 0;
    int r = catalog_scope_begin(catalog, &scope, err);
    if (r == 0)
        r = insert(catalog, &arena, database, err);
    if (r == 0)
        r = list(catalog, &arena, database->service_id, database->cluster_id, kinds[database->kind],
                 &stored, &count, err);
    if (r == 0 && count == 0)
        r = error_set(err, ERROR_BUSY, "the databases of service %lld are being removed",
                      (long long)database->service_id);
    if (r == 0)
        r = catalog_scope_commit(&scope, err);
    for (size_t i = 0; r == 0 && ret_id && i < count; i++)
        if (strcmp(stored[i].database, database->database) == 0)
            *ret_id = stored[i].id;
    return r;
}

int catalog_service_database_list(struct catalog *catalog, struct arena *arena, int64_t service_id,
                                  int64_t cluster_id, struct catalog_service_database **ret,
                                  size_t *ret_count, struct error *err)
{
    return list(catalog, arena, service_id, cluster_id, NULL, ret, ret_count, err);
}

int catalog_service_database_taken(struct catalog *catalog, int64_t cluster_id,
                                   const char *database, int64_t service_id, bool *ret,
                                   struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_result_ struct pg_result *result = NULL;
    const char *const parameters[] = {pg_from_i64(&arena, cluster_id), database,
                                      pg_from_i64(&arena, service_id)};
    int r = pg_query(catalog_connection(catalog), sql_catalog_service_database_taken, 3, parameters,
                     &result, err);
    if (r == 0)
        *ret = pg_bool(result, 0, 0);
    return r;
}

int catalog_service_database_claim(struct catalog *catalog, int64_t cluster_id,
                                   const char *database, int64_t service_id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    bool taken = false;
    const struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_service_database_lock, pg_from_i64(&arena, cluster_id), database);
    int r = catalog_write(catalog, &statement, NULL, err);
    if (r == 0)
        r = catalog_service_database_taken(catalog, cluster_id, database, service_id, &taken, err);
    if (r == 0 && taken)
        r = error_set(err, ERROR_EXISTS, "database \"%s\" is another service's there", database);
    return r;
}

int catalog_service_database_set_version(struct catalog *catalog, int64_t id, const char *version,
                                         struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement = CATALOG_STATEMENT(sql_catalog_service_database_set_version,
                                                           pg_from_i64(&arena, id), version);
    statement.subject = arena_printf(&arena, "service database %lld", (long long)id);
    return catalog_change(catalog, &statement, err);
}

int catalog_service_database_delete(struct catalog *catalog, int64_t service_id, int64_t cluster_id,
                                    const char *database, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_service_database_delete, pg_from_i64(&arena, service_id),
                          pg_from_i64(&arena, cluster_id), database);
    return catalog_write(catalog, &statement, NULL, err);
}

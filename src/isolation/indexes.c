#include "isolation/indexes.h"

#include "isolation/mode.h"
#include "isolation/server.h"
#include "pg/quote.h"
#include "sql/statements.h"

int isolation_indexes_drop(struct pg_connection *owner, const struct isolation_placement *placement,
                           const char *table, struct arena *arena, struct isolation_indexes *ret,
                           struct error *err)
{
    const char *const parameters[] = {placement->schema, table};
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(owner, sql_isolation_content_indexes, 2, parameters, &result, err);
    if (r < 0)
        return r;
    size_t count = pg_rows(result);
    const char **definitions = arena_zalloc(arena, (count + 1) * sizeof(*definitions));
    for (size_t i = 0; r == 0 && i < count; i++) {
        definitions[i] = pg_text_copy(result, i, 1, arena);
        r = pg_execute(owner, pg_text(result, i, 0), 0, NULL, NULL, err);
    }
    *ret = (struct isolation_indexes){.definitions = definitions, .count = count};
    return r;
}

int isolation_indexes_make(struct pg_connection *owner, const struct isolation_indexes *indexes,
                           struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < indexes->count; i++)
        r = pg_execute(owner, indexes->definitions[i], 0, NULL, NULL, err);
    return r;
}

/* ---- with a record ---- */

int isolation_indexes_put_away(struct pg_connection *owner,
                               const struct isolation_placement *placement, const char *table,
                               const char *record, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *sql =
        arena_printf(&arena, "INSERT INTO %s (table_name, definition) VALUES ($1, $2)",
                     pg_qualified(&arena, "reeve", record));
    struct isolation_indexes indexes = {0};
    int r = isolation_indexes_drop(owner, placement, table, &arena, &indexes, err);
    for (size_t i = 0; r == 0 && i < indexes.count; i++) {
        const char *const parameters[] = {table, indexes.definitions[i]};
        r = pg_execute(owner, sql, 2, parameters, NULL, err);
    }
    return r;
}

static int make_recorded(struct pg_connection *owner, const char *table, const char *record,
                         struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *sql = arena_printf(&arena,
                                   "DELETE FROM %s WHERE $1::text IS NULL OR table_name = $1::text"
                                   " RETURNING definition",
                                   pg_qualified(&arena, "reeve", record));
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(owner, sql, 1, &table, &result, err);
    for (size_t i = 0; r == 0 && i < pg_rows(result); i++)
        r = pg_execute(owner, pg_text(result, i, 0), 0, NULL, NULL, err);
    return r;
}

int isolation_indexes_put_back(struct pg_connection *owner,
                               const struct isolation_placement *placement, const char *table,
                               const char *record, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *parameter = pg_qualified(&arena, "reeve", record);
    bool there = false;
    if (placement->isolation->shares_tables)
        return 0;
    int r = isolation_server_ask(owner, "SELECT pg_catalog.to_regclass($1::text) IS NOT NULL", 1,
                                 &parameter, &there, err);
    if (r < 0 || !there)
        return r;
    /* what names in definitions are relative to */
    r = pg_execute(owner, sql_isolation_content_search_path, 1, &placement->schema, NULL, err);
    if (r == 0)
        r = pg_begin(owner, err);
    if (r < 0)
        return r;
    _cleanup_pg_rollback_ struct pg_connection *transaction = owner;
    r = make_recorded(transaction, table, record, err);
    return r < 0 ? r : pg_commit(transaction, err);
}

/* ---- the two ends ---- */

int isolation_indexes_missing(struct pg_connection *source,
                              const struct isolation_placement *source_placement,
                              struct pg_connection *target,
                              const struct isolation_placement *target_placement,
                              struct pg_result **ret, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_result_ struct pg_result *here = NULL;
    int r = pg_query(source, sql_isolation_content_index_names, 1, &source_placement->schema, &here,
                     err);
    if (r < 0)
        return r;
    const char *const parameters[] = {target_placement->schema, pg_from_column(&arena, here, 0),
                                      pg_from_column(&arena, here, 1)};
    return pg_query(target, sql_isolation_content_indexes_missing, 3, parameters, ret, err);
}

#include "isolation/contents.h"

#include "base/buffer.h"
#include "isolation/server.h"
#include "pg/quote.h"
#include "sql/statements.h"

enum { STATEMENT_MAX = 1 << 20 };

int isolation_contents_open(struct pg_connection *data, struct error *err)
{
    bool able;
    int r = isolation_server_ask(data, sql_isolation_can_bypass, 0, NULL, &able, err);
    if (r < 0)
        return r;
    if (!able) {
        error_set(err, ERROR_DENIED,
                  "the cluster's administrator \"%s\" cannot copy every row as it is",
                  pg_user(data));
        error_hint(err, "it needs BYPASSRLS and the right to set session_replication_role, "
                        "or to be a superuser");
        return -ERROR_DENIED;
    }
    return pg_execute_script(data, "SET session_replication_role = replica; SET row_security = off",
                             err);
}

int isolation_contents_tables(struct pg_connection *data,
                              const struct isolation_placement *placement, struct arena *arena,
                              struct isolation_table **ret, size_t *ret_count, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(data, sql_isolation_content_tables, 1, &placement->schema, &result, err);
    if (r < 0)
        return r;
    size_t count = pg_rows(result);
    struct isolation_table *tables = arena_zalloc(arena, (count + 1) * sizeof(*tables));
    for (size_t i = 0; i < count; i++)
        tables[i] = (struct isolation_table){
            .name = pg_text_copy(result, i, 0, arena),
            .columns = pg_text_copy(result, i, 1, arena),
            .binary = pg_bool(result, i, 2),
            .bytes = pg_i64(result, i, 3),
            .rows = pg_i64(result, i, 4),
        };
    *ret = tables;
    *ret_count = count;
    return 0;
}

/* ---- which rows ---- */

static void put_table(struct buffer *sql, const struct isolation_placement *placement,
                      const struct isolation_table *table)
{
    pg_quote_qualified(sql, placement->schema, table->name);
}

/* Nothing where all rows are the tenant's. */
static void put_filter(struct buffer *sql, const struct isolation_placement *placement)
{
    if (placement->isolation->shares_tables)
        buffer_printf(sql, " WHERE tenant_id = %lld", (long long)placement->tenant_id);
}

static const char *finish(struct arena *arena, const struct buffer *sql)
{
    return sql->failed ? NULL : arena_strdup(arena, buffer_string((struct buffer *)sql));
}

const char *isolation_copy_out(struct arena *arena, const struct isolation_placement *placement,
                               const struct isolation_table *table)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    buffer_printf(&sql, "COPY (SELECT %s FROM ONLY ", table->columns);
    put_table(&sql, placement, table);
    put_filter(&sql, placement);
    buffer_append_string(&sql, table->binary ? ") TO STDOUT (FORMAT binary)" : ") TO STDOUT");
    return finish(arena, &sql);
}

const char *isolation_copy_in(struct arena *arena, const struct isolation_placement *placement,
                              const struct isolation_table *table)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    buffer_append_string(&sql, "COPY ");
    put_table(&sql, placement, table);
    buffer_printf(&sql, " (%s) FROM STDIN%s", table->columns,
                  table->binary ? " (FORMAT binary)" : "");
    return finish(arena, &sql);
}

int isolation_contents_clear(struct pg_connection *data,
                             const struct isolation_placement *placement,
                             const struct isolation_table *tables, size_t count, struct error *err)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    bool shares = placement->isolation->shares_tables;
    for (size_t i = 0; i < count; i++) {
        buffer_append_string(&sql, shares   ? "DELETE FROM ONLY "
                                   : i == 0 ? "TRUNCATE ONLY "
                                            : ", ONLY ");
        put_table(&sql, placement, &tables[i]);
        put_filter(&sql, placement);
        if (shares)
            buffer_append_string(&sql, "; ");
    }
    if (sql.failed)
        return error_set(err, ERROR_LIMIT, "too many tables to clear");
    return count == 0 ? 0 : pg_execute_script(data, buffer_string(&sql), err);
}

/* ---- comparing ---- */

int isolation_contents_fingerprint(struct pg_connection *data,
                                   const struct isolation_placement *placement,
                                   const struct isolation_table *table, struct arena *arena,
                                   struct isolation_fingerprint *ret, struct error *err)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    buffer_printf(&sql,
                  "SELECT count(*), coalesce(sum(pg_catalog.hashtextextended("
                  "ROW(%s)::text COLLATE \"C\", 0)::numeric), 0) FROM ONLY ",
                  table->columns);
    put_table(&sql, placement, table);
    put_filter(&sql, placement);
    if (sql.failed)
        return error_set(err, ERROR_LIMIT, "table \"%s\" has too many columns to compare",
                         table->name);
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(data, buffer_string(&sql), 0, NULL, &result, err);
    if (r < 0)
        return r;
    *ret = (struct isolation_fingerprint){.rows = pg_i64(result, 0, 0),
                                          .sum = pg_text_copy(result, 0, 1, arena)};
    return 0;
}

/* ---- sequences ---- */

int isolation_contents_sequences(struct pg_connection *source,
                                 const struct isolation_placement *source_placement,
                                 struct pg_connection *target,
                                 const struct isolation_placement *target_placement, int64_t margin,
                                 struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(source, sql_isolation_content_sequences, 1, &source_placement->schema, &result,
                     err);
    for (size_t i = 0; r == 0 && i < pg_rows(result); i++) {
        const char *const parameters[] = {
            target_placement->schema,
            pg_text(result, i, 0),
            pg_text(result, i, 1),
            pg_from_i64(&arena, margin),
        };
        r = pg_execute(target, sql_isolation_content_sequence_set, 4, parameters, NULL, err);
    }
    return r;
}

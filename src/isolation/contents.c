#include "isolation/contents.h"

#include "base/buffer.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "isolation/server.h"
#include "pg/quote.h"
#include "sql/statements.h"

enum { STATEMENT_MAX = 1 << 20, ROWS_AT_ONCE = 1000, SHARED_MARGIN = 1000, STAGE_BYTES = 8 << 20 };

static const char settings[] =
    "SET session_replication_role = replica; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD';"
    " SET IntervalStyle = postgres; SET bytea_output = hex; SET extra_float_digits = 1;"
    " SET lc_monetary = 'C'; SET xmloption = content;"
    " SET lock_timeout = '10s'; SET synchronous_commit = on; SET enable_tidscan = on;"
    " SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0;"
    /* Else the kernel keeps gigabytes back, and a checkpoint makes all commits wait for them. */
    " SET backend_flush_after = '256kB';"
    " SELECT pg_catalog.set_config('transaction_timeout', '0', false)"
    " WHERE pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL";

/* ---- as whom ---- */

int isolation_contents_check(struct pg_connection *admin, struct error *err)
{
    bool able;
    int r = isolation_server_ask(admin, sql_isolation_can_allow_skipping, 0, NULL, &able, err);
    if (r < 0 || able)
        return r;
    error_set(err, ERROR_DENIED,
              "administrator \"%s\" cannot let rows be copied without their triggers",
              pg_user(admin));
    error_hint(err, "GRANT SET ON PARAMETER session_replication_role TO %s WITH GRANT OPTION",
               pg_user(admin));
    return -ERROR_DENIED;
}

int isolation_contents_allow(const struct isolation_server *server,
                             const struct isolation_service *service, bool allowed,
                             struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    bool changes = false;
    const char *const parameters[] = {service->owner_role, allowed ? "f" : "t"};
    int r = isolation_server_connect(server, NULL, &maintenance, err);
    if (r == 0) /* the setting's rights are one row, for all services */
        r = isolation_server_lock_session(maintenance, "cluster", err);
    if (r == 0)
        r = isolation_server_ask(maintenance, sql_isolation_allows_skipping, 2, parameters,
                                 &changes, err);
    if (r < 0 || !changes)
        return r;
    return isolation_server_run(maintenance, err,
                                "%s SET ON PARAMETER session_replication_role %s %s",
                                allowed ? "GRANT" : "REVOKE", allowed ? "TO" : "FROM",
                                pg_identifier(&arena, service->owner_role));
}

/* A process whose client is gone would else go on with what it makes, locks and all. Not every
 * system can tell (PostgreSQL's manual, client_connection_check_interval). */
static int notice_lost_clients(struct pg_connection *owner, struct error *err)
{
    struct error why = {0};
    int r = pg_execute_script(owner, "SET client_connection_check_interval = '2s'", &why);
    if (r == 0 || r == -ERROR_SERVER)
        return 0;
    if (err)
        *err = why;
    return r;
}

int isolation_contents_open(struct pg_connection *owner,
                            const struct isolation_placement *placement, struct error *err)
{
    int r = pg_execute_script(owner, settings, err);
    if (r == 0)
        r = notice_lost_clients(owner, err);
    if (r == 0)
        r = pg_execute(owner, sql_isolation_content_search_path, 1, &placement->schema, NULL, err);
    if (r == 0 && placement->isolation->shares_tables)
        r = isolation_server_run(owner, err, "SET reeve_owner.tenant TO '%lld'",
                                 (long long)placement->tenant_id);
    else if (r == 0) /* a policy of the service's own must not hide rows from the copy */
        r = pg_execute_script(owner, "SET row_security = off", err);
    return r;
}

/* ---- tables ---- */

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
            .key = pg_text(result, i, 5) ? pg_text_copy(result, i, 5, arena) : NULL,
            .blocks = placement->isolation->shares_tables ? 0 : pg_i64(result, i, 6),
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

static void put_part(struct buffer *sql, const struct isolation_placement *placement,
                     const struct isolation_part *part)
{
    put_filter(sql, placement);
    isolation_part_put(sql, placement->isolation->shares_tables ? "AND" : "WHERE", part);
}

static int too_many_columns(const struct isolation_table *table, struct error *err)
{
    return error_set(err, ERROR_LIMIT, "table \"%s\" has too many columns", table->name);
}

static const char *finish(struct arena *arena, const struct buffer *sql)
{
    return sql->failed ? NULL : arena_strdup(arena, buffer_string((struct buffer *)sql));
}

const char *isolation_copy_out(struct arena *arena, const struct isolation_placement *placement,
                               const struct isolation_table *table,
                               const struct isolation_part *part)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    buffer_printf(&sql, "COPY (SELECT %s FROM ONLY ", table->columns);
    put_table(&sql, placement, table);
    put_part(&sql, placement, part);
    buffer_append_string(&sql, table->binary ? ") TO STDOUT (FORMAT binary)" : ") TO STDOUT");
    return finish(arena, &sql);
}

/* COPY writes into no table with row-level security: there it goes by way of a table of its own. */
static const char stage[] = "pg_temp.reeve_stage";

const char *isolation_copy_in(struct arena *arena, const struct isolation_placement *placement,
                              const struct isolation_table *table)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    buffer_append_string(&sql, "COPY ");
    if (placement->isolation->shares_tables)
        buffer_append_string(&sql, stage);
    else
        put_table(&sql, placement, table);
    buffer_printf(&sql, " (%s) FROM STDIN%s", table->columns,
                  table->binary ? " (FORMAT binary)" : "");
    return finish(arena, &sql);
}

static int make_stage(struct pg_connection *data, const struct isolation_placement *placement,
                      const struct isolation_table *table, struct error *err)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    buffer_printf(&sql, "CREATE TEMPORARY TABLE reeve_stage ON COMMIT DROP AS SELECT %s FROM ",
                  table->columns);
    put_table(&sql, placement, table);
    buffer_append_string(&sql, " WITH NO DATA");
    if (sql.failed)
        return too_many_columns(table, err);
    return pg_execute(data, buffer_string(&sql), 0, NULL, NULL, err);
}

int isolation_copy_begin(struct pg_connection *data, const struct isolation_placement *placement,
                         const struct isolation_table *table, bool whole, struct arena *arena,
                         struct isolation_indexes *ret, struct error *err)
{
    *ret = (struct isolation_indexes){0};
    if (placement->isolation->shares_tables)
        return make_stage(data, placement, table, err);
    return whole ? isolation_indexes_drop(data, placement, table->name, arena, ret, err) : 0;
}

static int empty_stage_part(struct pg_connection *data, const struct isolation_placement *placement,
                            const struct isolation_table *table, const struct isolation_part *part,
                            struct error *err)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    buffer_append_string(&sql, "INSERT INTO ");
    put_table(&sql, placement, table);
    buffer_printf(&sql, " (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s", table->columns,
                  table->columns, stage);
    isolation_part_put(&sql, "WHERE", part);
    if (sql.failed)
        return too_many_columns(table, err);
    return pg_execute(data, buffer_string(&sql), 0, NULL, NULL, err);
}

/* Some blocks a statement: it is these that write the log. */
static int empty_stage(struct pg_connection *data, const struct isolation_placement *placement,
                       const struct isolation_table *table,
                       const struct isolation_copy_meter *meter, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *size = NULL;
    int r = pg_query(data, sql_isolation_stage_blocks, 0, NULL, &size, err);
    if (r < 0)
        return r;
    int64_t blocks = pg_i64(size, 0, 0), block_bytes = pg_i64(size, 0, 1);
    int64_t step = failpoint_number("REEVE_STAGE_BLOCKS", STAGE_BYTES / block_bytes);
    for (int64_t from = 0; r == 0 && from < blocks; from += step) {
        int64_t count = blocks - from < step ? blocks - from : step;
        const struct isolation_part part = {.from = from,
                                            .to = from + count < blocks ? from + count : 0};
        r = empty_stage_part(data, placement, table, &part, err);
        if (r == 0)
            r = meter->passed(meter->owner, (size_t)(count * block_bytes), err);
    }
    return r;
}

int isolation_copy_end(struct pg_connection *data, const struct isolation_placement *placement,
                       const struct isolation_table *table, const struct isolation_indexes *indexes,
                       const struct isolation_copy_meter *meter, struct error *err)
{
    int r =
        placement->isolation->shares_tables ? empty_stage(data, placement, table, meter, err) : 0;
    return r < 0 ? r : isolation_indexes_make(data, indexes, err);
}

int isolation_copy_settle(struct pg_connection *data, const struct isolation_placement *placement,
                          const struct isolation_table *table, struct error *err)
{
    if (placement->isolation->shares_tables) /* autovacuum sees to it */
        return 0;
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    struct error why = {0};
    buffer_append_string(&sql, "ANALYZE ");
    put_table(&sql, placement, table);
    int analyzed = pg_execute(data, buffer_string(&sql), 0, NULL, NULL, &why);
    if (analyzed == -ERROR_CONNECTION || analyzed == -ERROR_CANCELLED)
        return error_set(err, (enum error_code) - analyzed, "%s", why.message);
    if (analyzed < 0)
        log_write_error(LOG_INFO, &why, "a copied table was not analyzed");
    return 0;
}

/* Of shared tables one statement a table: no foreign key minds. */
static int delete_all(struct pg_connection *owner, const struct isolation_placement *placement,
                      const struct isolation_table *tables, size_t count, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
        buffer_append_string(&sql, "DELETE FROM ONLY ");
        put_table(&sql, placement, &tables[i]);
        put_filter(&sql, placement);
        r = pg_execute(owner, buffer_string(&sql), 0, NULL, NULL, err);
    }
    return r;
}

int isolation_contents_clear(struct pg_connection *owner,
                             const struct isolation_placement *placement,
                             const struct isolation_table *tables, size_t count, struct error *err)
{
    if (placement->isolation->shares_tables)
        return delete_all(owner, placement, tables, count, err);
    return isolation_server_run_rows(owner, sql_isolation_content_clear, 1, &placement->schema,
                                     err);
}

int isolation_contents_must_be_empty(struct pg_connection *owner,
                                     const struct isolation_placement *placement,
                                     const struct isolation_table *tables, size_t count,
                                     struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
        bool filled;
        buffer_append_string(&sql, "SELECT EXISTS (SELECT FROM ONLY ");
        put_table(&sql, placement, &tables[i]);
        put_filter(&sql, placement);
        buffer_append_string(&sql, ")");
        int r = isolation_server_ask(owner, buffer_string(&sql), 0, NULL, &filled, err);
        if (r < 0)
            return r;
        if (filled)
            return error_set(err, ERROR_STATE,
                             "table \"%s\" of the new place has rows of the tenant already",
                             tables[i].name);
    }
    return 0;
}

/* ---- comparing ---- */

int isolation_contents_fingerprint(struct pg_connection *data,
                                   const struct isolation_placement *placement,
                                   const struct isolation_table *table,
                                   const struct isolation_part *part,
                                   struct isolation_fingerprint *ret, struct error *err)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    buffer_printf(&sql,
                  "SELECT count(*), coalesce(sum(pg_catalog.hashtextextended("
                  "ROW(%s)::text COLLATE \"C\", 0)::numeric), 0) FROM ONLY ",
                  table->columns);
    put_table(&sql, placement, table);
    put_part(&sql, placement, part);
    if (sql.failed)
        return too_many_columns(table, err);
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(data, buffer_string(&sql), 0, NULL, &result, err);
    if (r < 0)
        return r;
    struct isolation_fingerprint found = {.rows = pg_i64(result, 0, 0)};
    if (!isolation_sum_parse(pg_text(result, 0, 1), &found.sum))
        return error_set(err, ERROR_SERVER, "the sum of a table's hashes cannot be read");
    *ret = found;
    return 0;
}

/* ---- the first difference ---- */

/* One end, row by row in the order of its keys. */
struct reader {
    struct pg_connection *data;
    struct pg_result *rows;
    size_t at;
};

static int reader_open(struct reader *reader, struct pg_connection *data,
                       const struct isolation_placement *placement,
                       const struct isolation_table *table, struct error *err)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    buffer_printf(&sql,
                  "DECLARE reeve_rows NO SCROLL CURSOR WITH HOLD FOR SELECT ROW(%s)::text"
                  " COLLATE \"C\", ROW(%s)::text COLLATE \"C\" FROM ONLY ",
                  table->key ? table->key : table->columns, table->columns);
    put_table(&sql, placement, table);
    put_filter(&sql, placement);
    buffer_append_string(&sql, " ORDER BY 1, 2");
    *reader = (struct reader){.data = data};
    if (sql.failed)
        return too_many_columns(table, err);
    return pg_execute(data, buffer_string(&sql), 0, NULL, NULL, err);
}

static void reader_close(struct reader *reader)
{
    pg_result_free(reader->rows);
    if (reader->data && !pg_is_broken(reader->data))
        (void)pg_execute_script(reader->data, "CLOSE reeve_rows", NULL);
}

/* *ret_there false: there is no row any more. */
static int reader_look(struct reader *reader, bool *ret_there, struct error *err)
{
    if (!reader->rows || (reader->at == pg_rows(reader->rows) && reader->at == ROWS_AT_ONCE)) {
        reader->rows = pg_result_free(reader->rows);
        reader->at = 0;
        int r = pg_query(reader->data, "FETCH 1000 FROM reeve_rows", 0, NULL, &reader->rows, err);
        if (r < 0)
            return r;
    }
    *ret_there = reader->at < pg_rows(reader->rows);
    return 0;
}

static const char *reader_text(const struct reader *reader, int column)
{
    return pg_text(reader->rows, reader->at, (size_t)column);
}

/* Negative, 0 or positive as the source's row comes first, is the same, or comes behind. */
static int compare_rows(const struct reader *source, const struct reader *target)
{
    int order = strcmp(reader_text(source, 0), reader_text(target, 0));
    return order != 0 ? order : strcmp(reader_text(source, 1), reader_text(target, 1));
}

/* So many bytes, and no part of a character. */
static int cut(const char *text)
{
    enum { MOST = 200 };
    size_t length = strnlen(text, MOST);
    while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--;
    return (int)length;
}

static int find_difference(struct reader *source, struct reader *target,
                           const struct isolation_table *table, struct arena *arena,
                           const char **ret, struct error *err)
{
    *ret = NULL;
    for (;;) {
        bool left = false, right = false;
        int r = reader_look(source, &left, err);
        if (r == 0)
            r = reader_look(target, &right, err);
        if (r < 0 || (!left && !right))
            return r;
        int order = !left ? 1 : !right ? -1 : compare_rows(source, target);
        if (order != 0) {
            bool same_key =
                left && right && strcmp(reader_text(source, 0), reader_text(target, 0)) == 0;
            const char *key = table->key ? reader_text(order < 0 ? source : target, 0) : "";
            *ret = arena_printf(arena, "a row of table \"%s\"%s%.*s %s", table->name,
                                table->key ? ", key " : "", cut(key), key,
                                same_key    ? "differs"
                                : order < 0 ? "is missing"
                                            : "was not there before");
            return 0;
        }
        source->at++;
        target->at++;
    }
}

int isolation_contents_difference(struct pg_connection *source,
                                  const struct isolation_placement *source_placement,
                                  struct pg_connection *target,
                                  const struct isolation_placement *target_placement,
                                  const struct isolation_table *table, struct arena *arena,
                                  const char **ret, struct error *err)
{
    struct reader left = {0}, right = {0};
    int r = reader_open(&left, source, source_placement, table, err);
    if (r == 0)
        r = reader_open(&right, target, target_placement, table, err);
    if (r == 0)
        r = find_difference(&left, &right, table, arena, ret, err);
    reader_close(&left);
    reader_close(&right);
    return r;
}

/* ---- behind the copy ---- */

int isolation_contents_settle(struct pg_connection *owner,
                              const struct isolation_placement *placement, struct error *err)
{
    return isolation_server_run_rows(owner, sql_isolation_content_views, 1, &placement->schema,
                                     err);
}

/* ---- sequences ---- */

/* All of them in one statement, as the tenant may wait: (name, number, whether it was given). */
static int read_sequences(struct pg_connection *source, const struct isolation_placement *placement,
                          struct pg_result **ret, struct error *err)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    _cleanup_pg_result_ struct pg_result *names = NULL;
    int r = pg_query(source, sql_isolation_content_sequences, 1, &placement->schema, &names, err);
    if (r < 0)
        return r;
    buffer_append_string(&sql, "SELECT ''::text, 0::bigint, false WHERE false");
    for (size_t i = 0; i < pg_rows(names); i++) {
        buffer_append_string(&sql, " UNION ALL SELECT ");
        pg_quote_literal(&sql, pg_text(names, i, 0));
        buffer_append_string(&sql, ", last_value, is_called FROM ");
        pg_quote_qualified(&sql, placement->schema, pg_text(names, i, 0));
    }
    if (sql.failed)
        return error_set(err, ERROR_LIMIT, "too many sequences");
    return pg_query(source, buffer_string(&sql), 0, NULL, ret, err);
}

int isolation_contents_sequences(struct pg_connection *source,
                                 const struct isolation_placement *source_placement,
                                 struct pg_connection *target,
                                 const struct isolation_placement *target_placement,
                                 struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_result_ struct pg_result *here = NULL;
    _cleanup_pg_result_ struct pg_result *there = NULL;
    int r = read_sequences(source, source_placement, &here, err);
    if (r < 0 || pg_rows(here) == 0)
        return r;
    const char *const parameters[] = {
        target_placement->schema,
        pg_from_column(&arena, here, 0),
        pg_from_column(&arena, here, 1),
        pg_from_column(&arena, here, 2),
        pg_from_bool(target_placement->isolation->shares_tables),
        pg_from_i64(&arena, SHARED_MARGIN),
    };
    r = pg_query(target, sql_isolation_content_sequence_set, 6, parameters, &there, err);
    for (size_t i = 0; r == 0 && i < pg_rows(there); i++)
        if (!pg_text(there, i, 1))
            r = error_set(err, ERROR_STATE, "there is no sequence \"%s\" in the new place",
                          pg_text(there, i, 0));
    return r;
}

/* ---- telling of changes ---- */

int isolation_contents_publish(struct pg_connection *owner,
                               const struct isolation_placement *placement,
                               const struct isolation_table *tables, size_t count, const char *name,
                               struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
    const char *quoted = pg_identifier(&arena, name);
    buffer_printf(&sql, "DROP PUBLICATION IF EXISTS %s; CREATE PUBLICATION %s", quoted, quoted);
    for (size_t i = 0; i < count; i++) {
        buffer_append_string(&sql, i ? ", " : " FOR TABLE ");
        put_table(&sql, placement, &tables[i]);
        if (placement->isolation->shares_tables)
            buffer_printf(&sql, " WHERE (tenant_id = %lld)", (long long)placement->tenant_id);
    }
    if (sql.failed)
        return error_set(err, ERROR_LIMIT, "too many tables to publish");
    return pg_execute_script(owner, buffer_string(&sql), err);
}

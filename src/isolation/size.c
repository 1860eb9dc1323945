/*
 * size.c - sizes of schemas from the server's files; of rows in shared tables from a sample of
 * pages, each tenant's part of which is its part of the table.
 */
#include "isolation/size.h"

#include "isolation/mode.h"
#include "pg/quote.h"
#include "sql/statements.h"

enum {
    SAMPLE_PAGES = 1000,
    ROOM_BYTES = 1 << 20, /* that a table may have beside twice its rows, with its indexes */
};

/* Reads what it must within this, or fails. */
static const char limits[] = "SET lock_timeout = '5s'; SET statement_timeout = '30s'";

/* ---- tables of their own ---- */

static int measure_schemas(struct pg_connection *owner, struct arena *arena,
                           const struct isolation_placement *placements, size_t count,
                           struct isolation_size *sizes, struct error *err)
{
    const char **schemas =
        arena_zalloc(arena, count * sizeof(*schemas)); /* NOLINT(bugprone-sizeof-expression) */
    for (size_t i = 0; i < count; i++)
        schemas[i] = placements[i].schema;
    const char *parameter = pg_from_text_array(arena, schemas, count);
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(owner, sql_isolation_size_schemas, 1, &parameter, &result, err);
    for (size_t row = 0; r == 0 && row < pg_rows(result); row++)
        sizes[pg_i64(result, row, 0)].bytes = pg_i64(result, row, 1);
    return r;
}

/* ---- shared tables ---- */

static int by_tenant(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return (one > other) - (one < other);
}

/* Where the placements of a tenant are: sorted by tenant. */
struct tenant_index {
    int64_t tenant_id;
    size_t at;
};

/* The table's bytes are shared out as the rows that were looked at. Much more than they need is
 * what rows that have gone have left (those of a tenant that has moved), and nobody's. */
static void share_out(const struct pg_result *rows, int64_t bytes, double percent,
                      const struct tenant_index *index, size_t count, struct isolation_size *sizes)
{
    double all = 0;
    bool sampled = percent < 100;
    for (size_t i = 0; i < pg_rows(rows); i++)
        all += (double)pg_i64(rows, i, 1);
    double most = 2 * all * 100 / percent + ROOM_BYTES;
    if ((double)bytes > most)
        bytes = (int64_t)most;
    for (size_t i = 0; sampled && i < count; i++)
        sizes[i].estimated = true;
    for (size_t i = 0; i < pg_rows(rows); i++) {
        int64_t tenant = pg_i64(rows, i, 0);
        const struct tenant_index *found =
            bsearch(&tenant, index, count, sizeof(*index), by_tenant);
        if (found && all > 0)
            sizes[found->at].bytes += (int64_t)((double)bytes * (double)pg_i64(rows, i, 1) / all);
    }
}

static int measure_tables(struct pg_connection *owner, struct arena *arena,
                          const struct isolation_placement *placements, size_t count,
                          struct isolation_size *sizes, struct error *err)
{
    const char *schema = placements[0].schema;
    struct tenant_index *index = arena_zalloc(arena, count * sizeof(*index));
    for (size_t i = 0; i < count; i++)
        index[i] = (struct tenant_index){placements[i].tenant_id, i};
    qsort(index, count, sizeof(*index), by_tenant);
    _cleanup_pg_result_ struct pg_result *tables = NULL;
    int r = pg_query(owner, sql_isolation_size_tables, 1, &schema, &tables, err);
    for (size_t i = 0; r == 0 && i < pg_rows(tables); i++) {
        int64_t pages = pg_i64(tables, i, 2);
        double percent = pages > SAMPLE_PAGES ? 100.0 * SAMPLE_PAGES / (double)pages : 100;
        const char *sql = arena_printf(
            arena, "SELECT tenant_id, sum(%s) FROM ONLY %s TABLESAMPLE SYSTEM (%.9f) GROUP BY 1",
            pg_text(tables, i, 3), pg_qualified(arena, schema, pg_text(tables, i, 0)), percent);
        _cleanup_pg_result_ struct pg_result *rows = NULL;
        r = pg_query(owner, sql, 0, NULL, &rows, err);
        if (r == 0)
            share_out(rows, pg_i64(tables, i, 1), percent, index, count, sizes);
    }
    return r;
}

int isolation_measure(struct pg_connection *owner, const struct isolation *isolation,
                      const struct isolation_placement *placements, size_t count,
                      struct isolation_size *ret_sizes, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    if (count == 0)
        return 0;
    struct isolation_size *sizes = arena_zalloc(&arena, count * sizeof(*sizes));
    int r = pg_execute_script(owner, limits, err);
    if (r == 0)
        r = isolation->shares_tables
                ? measure_tables(owner, &arena, placements, count, sizes, err)
                : measure_schemas(owner, &arena, placements, count, sizes, err);
    if (r == 0)
        memcpy(ret_sizes, sizes, count * sizeof(*sizes));
    return r;
}

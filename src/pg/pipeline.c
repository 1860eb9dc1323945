#include "pg/pipeline.h"

#include "base/time.h"
#include "pg/internal.h"

enum {
    ENTRIES_MAX = 500,   /* that are not answered: their answers must fit into the sockets */
    BYTES_MAX = 1 << 20, /* of them, about */
    PREPARED_MAX = 200,  /* texts; others are parsed each time */
    NAME_SIZE = 24,
};

struct entry {
    const void *tag;
    int64_t rows; /* or PG_ANY_ROWS */
};

struct pg_pipeline {
    struct pg_connection *connection;
    char *prepared[PREPARED_MAX];
    size_t prepared_count;
    struct entry entries[ENTRIES_MAX];
    size_t count;
    size_t bytes;
    const void *failed;
};

struct pg_pipeline *pg_pipeline_new(struct pg_connection *connection)
{
    struct pg_pipeline *pipeline = xcalloc(1, sizeof(*pipeline));
    pipeline->connection = connection;
    return pipeline;
}

struct pg_pipeline *pg_pipeline_free(struct pg_pipeline *pipeline)
{
    for (size_t i = 0; pipeline && i < pipeline->prepared_count; i++)
        free(pipeline->prepared[i]);
    free(pipeline);
    return NULL;
}

const void *pg_pipeline_failed(const struct pg_pipeline *pipeline)
{
    return pipeline->failed;
}

/* ---- sending ---- */

static void expect(struct pg_pipeline *pipeline, int64_t rows, const void *tag)
{
    pipeline->entries[pipeline->count++] = (struct entry){.tag = tag, .rows = rows};
}

static void name_prepared(size_t index, char ret[NAME_SIZE])
{
    snprintf(ret, NAME_SIZE, "reeve_%zu", index);
}

/* *ret: its index; PREPARED_MAX: there are too many. */
static int prepare(struct pg_pipeline *pipeline, const char *sql, const void *tag, size_t *ret,
                   struct error *err)
{
    char name[NAME_SIZE];
    size_t index = 0;
    while (index < pipeline->prepared_count && strcmp(pipeline->prepared[index], sql) != 0)
        index++;
    *ret = index;
    if (index < pipeline->prepared_count || index == PREPARED_MAX)
        return 0;
    name_prepared(index, name);
    if (!PQsendPrepare(pipeline->connection->libpq, name, sql, 0, NULL))
        return pg_connection_lost(pipeline->connection, err);
    expect(pipeline, PG_ANY_ROWS, tag);
    pipeline->prepared[pipeline->prepared_count++] = xstrdup(sql);
    return 0;
}

static int send(struct pg_pipeline *pipeline, const char *sql, int count,
                const char *const *parameters, const void *tag, struct error *err)
{
    PGconn *libpq = pipeline->connection->libpq;
    char name[NAME_SIZE];
    size_t index;
    int r = prepare(pipeline, sql, tag, &index, err);
    if (r < 0)
        return r;
    name_prepared(index, name);
    int sent = index < PREPARED_MAX
                   ? PQsendQueryPrepared(libpq, name, count, parameters, NULL, NULL, 0)
                   : PQsendQueryParams(libpq, sql, count, NULL, parameters, NULL, NULL, 0);
    return sent ? 0 : pg_connection_lost(pipeline->connection, err);
}

static size_t size_of(int count, const char *const *parameters)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += parameters[i] ? strlen(parameters[i]) : 0;
    return size;
}

int pg_pipeline_add(struct pg_pipeline *pipeline, const char *sql, int count,
                    const char *const *parameters, int64_t rows, const void *tag, struct error *err)
{
    struct pg_connection *connection = pipeline->connection;
    if (pg_is_broken(connection))
        return pg_connection_lost(connection, err);
    if (pg_is_cancelled(connection))
        return pg_cancelled_error(err);
    if (pipeline->count + 2 > ENTRIES_MAX || pipeline->bytes > BYTES_MAX) {
        int r = pg_pipeline_end(pipeline, err);
        if (r < 0)
            return r;
    }
    if (pipeline->count == 0 && !PQenterPipelineMode(connection->libpq))
        return pg_connection_lost(connection, err);
    int r = send(pipeline, sql, count, parameters, tag, err);
    expect(pipeline, rows, tag);
    pipeline->bytes += size_of(count, parameters);
    return r;
}

/* ---- what came of them ---- */

static int judge(struct pg_pipeline *pipeline, const struct entry *entry, const PGresult *result,
                 struct error *err)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR)
        return pg_result_error(pipeline->connection, result, err);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        return error_set(err, ERROR_STATE, "a statement was not carried out");
    if (strcmp(PQcmdStatus((PGresult *)result), "ROLLBACK") == 0)
        return error_set(err, ERROR_STATE, "the transaction had failed and was rolled back");
    int64_t rows = pg_affected(result);
    if (entry->rows == PG_ANY_ROWS || entry->rows == rows)
        return 0;
    return error_set(err, ERROR_STATE, "%lld rows were changed where it was to be %lld",
                     (long long)rows, (long long)entry->rows);
}

/* To the statement's end. *code: of the first failure of all; what comes behind it is passed over.
 */
static int take_entry(struct pg_pipeline *pipeline, const struct entry *entry,
                      struct pg_patience *patience, int *code, struct error *err)
{
    for (;;) {
        PGresult *result = NULL;
        int r = pg_next_result(pipeline->connection, patience, &result, *code ? NULL : err);
        if (r < 0 || !result)
            return r;
        if (!*code) {
            *code = judge(pipeline, entry, result, err);
            pipeline->failed = *code ? entry->tag : NULL;
        }
        PQclear(result);
    }
}

static struct pg_patience new_patience(const struct pg_connection *connection)
{
    struct pg_patience patience = {.deadline_us = PG_NO_TIMEOUT,
                                   .cancelled = connection->cancelled};
    if (connection->statement_timeout_us != PG_NO_TIMEOUT)
        patience.deadline_us =
            time_monotonic_us() + connection->statement_timeout_us + (int64_t)PG_GRACE_US;
    return patience;
}

static int take_entries(struct pg_pipeline *pipeline, int *code, struct error *err)
{
    struct pg_connection *connection = pipeline->connection;
    struct pg_patience patience = new_patience(connection);
    PGresult *sync = NULL;
    if (!PQpipelineSync(connection->libpq))
        return pg_connection_lost(connection, err);
    int r = pg_flush(connection, &patience, err);
    for (size_t i = 0; r == 0 && i < pipeline->count; i++) {
        patience = new_patience(connection);
        r = take_entry(pipeline, &pipeline->entries[i], &patience, code, err);
    }
    if (r == 0)
        r = pg_next_result(connection, &patience, &sync, *code ? NULL : err);
    PQclear(sync);
    return r;
}

int pg_pipeline_end(struct pg_pipeline *pipeline, struct error *err)
{
    struct pg_connection *connection = pipeline->connection;
    int code = 0;
    if (pipeline->count == 0)
        return 0;
    int r = pg_is_broken(connection) ? pg_connection_lost(connection, err)
                                     : take_entries(pipeline, &code, err);
    pipeline->count = 0;
    pipeline->bytes = 0;
    if (code)
        return code;
    if (r < 0)
        return r;
    if (pg_is_broken(connection) || !PQexitPipelineMode(connection->libpq))
        return pg_connection_lost(connection, err);
    return 0;
}

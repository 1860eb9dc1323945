#include "pg/copy.h"

#include <poll.h>

#include "pg/internal.h"

/* One copy while it runs. */
struct copying {
    struct pg_connection *source, *target;
    const struct pg_copy_spec *spec;
    struct pg_patience source_patience, target_patience;
    int64_t bytes;
    size_t untold; /* bytes since `passed` was called */
};

static struct pg_patience endless(const struct pg_connection *source)
{
    return (struct pg_patience){.deadline_us = PG_NO_TIMEOUT, .cancelled = source->cancelled};
}

/* Sends the command; 0 when the server is ready to copy. */
static int begin(struct pg_connection *connection, const char *sql, ExecStatusType wanted,
                 struct pg_patience *patience, struct error *err)
{
    PGresult *result = NULL;
    if (pg_is_broken(connection) || !PQsendQuery(connection->libpq, sql))
        return pg_connection_lost(connection, err);
    int r = pg_flush(connection, patience, err);
    if (r == 0)
        r = pg_next_result(connection, patience, &result, err);
    if (r < 0)
        return r;
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR)
        r = pg_result_error(connection, result, err);
    else if (status != wanted)
        r = error_set(err, ERROR_INTERNAL, "not a command that copies: %s", sql);
    PQclear(result);
    if (status == PGRES_FATAL_ERROR)
        (void)pg_pass_over(connection, patience, NULL, NULL);
    else if (r < 0)
        connection->broken = true;
    return r;
}

/* ---- one row after the other ---- */

static int tell(struct copying *of, struct error *err)
{
    size_t bytes = of->untold;
    of->untold = 0;
    return of->spec->passed && bytes > 0 ? of->spec->passed(of->spec->owner, bytes, err) : 0;
}

static int pass_on(struct copying *of, const char *row, int length, struct error *err)
{
    int put = PQputCopyData(of->target->libpq, row, length);
    if (put < 0)
        return pg_connection_lost(of->target, err);
    while (put == 0) { /* no room: what is there must go first */
        int r = pg_flush(of->target, &of->target_patience, err);
        if (r < 0)
            return r;
        put = PQputCopyData(of->target->libpq, row, length);
        if (put < 0)
            return pg_connection_lost(of->target, err);
    }
    of->bytes += length;
    of->untold += (size_t)length;
    if (of->untold < PG_COPY_STEP)
        return 0;
    int r = pg_flush(of->target, &of->target_patience, err);
    return r < 0 ? r : tell(of, err);
}

/* To the end of what the source has. *ret_source_ended: the source has nothing more to say but the
 * end of its command. */
static int pass_all(struct copying *of, bool *ret_source_ended, struct error *err)
{
    for (;;) {
        char *row = NULL;
        int length = PQgetCopyData(of->source->libpq, &row, 1);
        int r = length > 0 ? pass_on(of, row, length, err) : 0;
        PQfreemem(row);
        if (r < 0)
            return r;
        if (length > 0)
            continue;
        if (length < 0) {
            *ret_source_ended = true;
            return 0;
        }
        r = pg_wait_for(of->source, POLLIN, &of->source_patience, err);
        if (r < 0)
            return r;
        if (!PQconsumeInput(of->source->libpq))
            return pg_connection_lost(of->source, err);
    }
}

/* ---- the ends ---- */

/* The source is to stop; what it says of that is nobody's concern. */
static void stop_source(struct copying *of)
{
    if (pg_is_broken(of->source))
        return;
    (void)pg_cancel(of->source, NULL);
    if (pg_read_copy(of->source, &of->source_patience, NULL, NULL, NULL) == 0)
        (void)pg_pass_over(of->source, &of->source_patience, NULL, NULL);
}

/* reason NULL: all was sent. */
static int end_target(struct copying *of, const char *reason, int64_t *ret_rows, struct error *err)
{
    if (pg_is_broken(of->target) || PQputCopyEnd(of->target->libpq, reason) < 0)
        return pg_connection_lost(of->target, err);
    int r = pg_flush(of->target, &of->target_patience, err);
    return r < 0 ? r : pg_pass_over(of->target, &of->target_patience, ret_rows, err);
}

int pg_copy(struct pg_connection *source, struct pg_connection *target,
            const struct pg_copy_spec *spec, int64_t *ret_rows, int64_t *ret_bytes,
            struct error *err)
{
    struct copying of = {.source = source,
                         .target = target,
                         .spec = spec,
                         .source_patience = endless(source),
                         .target_patience = endless(source)};
    int64_t rows = 0;
    bool source_ended = false;
    int r = begin(source, spec->out, PGRES_COPY_OUT, &of.source_patience, err);
    if (r < 0)
        return r;
    r = begin(target, spec->in, PGRES_COPY_IN, &of.target_patience, err);
    if (r < 0) {
        stop_source(&of);
        return r;
    }
    r = pass_all(&of, &source_ended, err);
    if (r == 0)
        r = pg_pass_over(source, &of.source_patience, NULL, err);
    else if (!source_ended)
        stop_source(&of);
    if (r < 0) {
        (void)end_target(&of, "the copy was ended", NULL, NULL);
        return r;
    }
    r = end_target(&of, NULL, &rows, err);
    if (r == 0)
        r = tell(&of, err);
    if (r < 0)
        return r;
    *ret_rows = rows;
    *ret_bytes = of.bytes;
    return 0;
}

#include <poll.h>

#include "base/time.h"
#include "pg/internal.h"

/* Counting on an end: after our cancel request, or beyond the server's own statement_timeout. */
int pg_wait_for(struct pg_connection *connection, short events, struct pg_patience *patience,
                struct error *err)
{
    if ((events & POLLIN) && pg_has_unread(connection))
        return 0;
    switch (pg_wait_ready(PQsocket(connection->libpq), events, patience->deadline_us,
                          patience->cancelled)) {
    case PG_READY:
        return 0;
    case PG_READY_CANCELLED:
        (void)pg_cancel(connection, NULL);
        if (patience->at_once)
            break;
        patience->cancelled = NULL;
        patience->deadline_us = time_monotonic_us() + PG_GRACE_US;
        return 0;
    case PG_READY_TIMEOUT:
        if (patience->at_once)
            (void)pg_cancel(connection, NULL);
        break;
    }
    connection->broken = true;
    if (pg_is_cancelled(connection))
        return pg_cancelled_error(err);
    return error_set(err, ERROR_TIMEOUT, "the server did not answer in time");
}

int pg_flush(struct pg_connection *connection, struct pg_patience *patience, struct error *err)
{
    for (;;) {
        int left = PQflush(connection->libpq);
        if (left == 0)
            return 0;
        if (left < 0)
            return pg_connection_lost(connection, err);
        int r = pg_wait_for(connection, POLLIN | POLLOUT, patience, err);
        if (r < 0)
            return r;
        if (!PQconsumeInput(connection->libpq))
            return pg_connection_lost(connection, err);
    }
}

int pg_read_copy(struct pg_connection *connection, struct pg_patience *patience,
                 void (*take)(const void *owner, const char *row), const void *owner,
                 struct error *err)
{
    for (;;) {
        char *row = NULL;
        int length = PQgetCopyData(connection->libpq, &row, 1);
        if (length > 0 && take)
            take(owner, row);
        PQfreemem(row);
        if (length < 0)
            return 0;
        if (length > 0)
            continue;
        int r = pg_wait_for(connection, POLLIN, patience, err);
        if (r < 0)
            return r;
        if (!PQconsumeInput(connection->libpq))
            return pg_connection_lost(connection, err);
    }
}

static int send_statement(struct pg_connection *connection, const struct pg_statement *statement,
                          struct pg_patience *patience, struct error *err)
{
    int sent = statement->style == PG_SCRIPT
                   ? PQsendQuery(connection->libpq, statement->sql)
                   : PQsendQueryParams(connection->libpq, statement->sql, statement->count, NULL,
                                       statement->parameters, NULL, NULL, 0);
    if (!sent)
        return pg_connection_lost(connection, err);
    if (statement->each)
        PQsetSingleRowMode(connection->libpq);
    return pg_flush(connection, patience, err);
}

int pg_next_result(struct pg_connection *connection, struct pg_patience *patience, PGresult **ret,
                   struct error *err)
{
    while (PQisBusy(connection->libpq)) {
        int r = pg_wait_for(connection, POLLIN, patience, err);
        if (r < 0)
            return r;
        if (!PQconsumeInput(connection->libpq)) {
            /* What the server said before it went is still to be read: its reason. */
            connection->broken = true;
            break;
        }
    }
    *ret = PQgetResult(connection->libpq);
    return 0;
}

int pg_pass_over(struct pg_connection *connection, struct pg_patience *patience, int64_t *ret_rows,
                 struct error *err)
{
    int code = 0;
    for (;;) {
        PGresult *result = NULL;
        int r = pg_next_result(connection, patience, &result, code ? NULL : err);
        if (r < 0 || !result)
            return code ? code : r;
        if (PQresultStatus(result) == PGRES_FATAL_ERROR && !code)
            code = pg_result_error(connection, result, err);
        else if (ret_rows && PQresultStatus(result) == PGRES_COMMAND_OK)
            *ret_rows = pg_affected(result);
        PQclear(result);
    }
}

/* Ends a COPY that nobody asked for; the loop goes on to the statement's end. */
static int refuse_copy(struct pg_connection *connection, ExecStatusType status,
                       struct pg_patience *patience, struct error *err)
{
    if (status == PGRES_COPY_IN) {
        if (PQputCopyEnd(connection->libpq, "COPY FROM STDIN is not possible here") < 0)
            return pg_connection_lost(connection, err);
        return 0;
    }
    return pg_read_copy(connection, patience, NULL, NULL, err);
}

struct outcome {
    int code; /* of the first failure, which err holds; 0 for none */
    PGresult *last;
};

/* The caller wants no more rows: the rest is cancelled and passed over. */
static void take_row(struct pg_connection *connection, const struct pg_statement *statement,
                     const PGresult *result, struct outcome *outcome, struct error *err)
{
    if (outcome->code)
        return;
    outcome->code = statement->row(result, statement->argument, err);
    if (outcome->code)
        (void)pg_cancel(connection, NULL);
}

/* Takes the result over. Not 0 when the connection is lost. */
static int take_result(struct pg_connection *connection, const struct pg_statement *statement,
                       PGresult *result, struct pg_patience *patience, struct outcome *outcome,
                       struct error *err)
{
    ExecStatusType status = PQresultStatus(result);
    int r = 0;
    switch (status) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        PQclear(outcome->last);
        outcome->last = result;
        return 0;
    case PGRES_SINGLE_TUPLE:
        take_row(connection, statement, result, outcome, err);
        break;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        if (!outcome->code)
            outcome->code = error_set(err, ERROR_UNSUPPORTED,
                                      "COPY from or to the client is not possible here");
        r = refuse_copy(connection, status, patience, NULL);
        break;
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
        if (!outcome->code)
            outcome->code = pg_result_error(connection, result, err);
        break;
    }
    PQclear(result);
    return r;
}

static struct pg_patience patience_for(const struct pg_connection *connection,
                                       const struct pg_statement *statement)
{
    struct pg_patience patience = {.deadline_us = PG_NO_TIMEOUT};
    if (connection->statement_timeout_us != PG_NO_TIMEOUT)
        patience.deadline_us =
            time_monotonic_us() + connection->statement_timeout_us + (int64_t)PG_GRACE_US;
    if (!statement->always)
        patience.cancelled = connection->cancelled;
    return patience;
}

static int collect(struct pg_connection *connection, const struct pg_statement *statement,
                   struct outcome *outcome, struct error *err)
{
    struct pg_patience patience = patience_for(connection, statement);
    int r = send_statement(connection, statement, &patience, err);
    while (r == 0) {
        PGresult *result = NULL;
        r = pg_next_result(connection, &patience, &result, outcome->code ? NULL : err);
        if (r == 0 && !result)
            return 0;
        if (r == 0)
            r = take_result(connection, statement, result, &patience, outcome, err);
    }
    return r;
}

int pg_run(struct pg_connection *connection, const struct pg_statement *statement, PGresult **ret,
           struct error *err)
{
    if (pg_is_broken(connection))
        return pg_connection_lost(connection, err);
    if (!statement->always && pg_is_cancelled(connection))
        return pg_cancelled_error(err);
    struct outcome outcome = {0};
    int r = collect(connection, statement, &outcome, err);
    if (outcome.code)
        r = outcome.code;
    else if (r == 0 && (!outcome.last || connection->broken))
        r = pg_connection_lost(connection, err);
    if (r == 0 && ret)
        *ret = take_pointer(outcome.last);
    PQclear(outcome.last);
    return r;
}

int pg_begin_stream(struct pg_connection *connection, const char *sql, struct error *err)
{
    if (pg_is_broken(connection))
        return pg_connection_lost(connection, err);
    struct pg_statement statement = {.sql = sql, .style = PG_SCRIPT};
    struct pg_patience patience = patience_for(connection, &statement);
    PGresult *result = NULL;
    int r = send_statement(connection, &statement, &patience, err);
    if (r == 0)
        r = pg_next_result(connection, &patience, &result, err);
    if (r == 0 && PQresultStatus(result) == PGRES_FATAL_ERROR)
        r = pg_result_error(connection, result, err);
    else if (r == 0 && PQresultStatus(result) != PGRES_COPY_BOTH)
        r = pg_connection_lost(connection, err);
    PQclear(result);
    if (r < 0)
        connection->broken = true; /* nothing else was to be done with it */
    return r;
}

int pg_query(struct pg_connection *connection, const char *sql, int count,
             const char *const *parameters, struct pg_result **ret, struct error *err)
{
    struct pg_statement statement = {.sql = sql, .count = count, .parameters = parameters};
    return pg_run(connection, &statement, ret, err);
}

int pg_execute(struct pg_connection *connection, const char *sql, int count,
               const char *const *parameters, int64_t *ret_affected, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(connection, sql, count, parameters, &result, err);
    if (r == 0 && ret_affected)
        *ret_affected = pg_affected(result);
    return r;
}

int pg_execute_script(struct pg_connection *connection, const char *sql, struct error *err)
{
    struct pg_statement statement = {.sql = sql, .style = PG_SCRIPT};
    return pg_run(connection, &statement, NULL, err);
}

int pg_query_each(struct pg_connection *connection, const char *sql, int count,
                  const char *const *parameters,
                  int (*row)(const struct pg_result *result, void *argument, struct error *err),
                  void *argument, struct error *err)
{
    struct pg_statement statement = {.sql = sql,
                                     .count = count,
                                     .parameters = parameters,
                                     .each = true,
                                     .row = row,
                                     .argument = argument};
    return pg_run(connection, &statement, NULL, err);
}

int pg_begin(struct pg_connection *connection, struct error *err)
{
    return pg_execute_script(connection, "BEGIN", err);
}

/* Never cancelled: what a half-cancelled COMMIT did could not be told. */
int pg_commit(struct pg_connection *connection, struct error *err)
{
    struct pg_statement statement = {.sql = "COMMIT", .style = PG_SCRIPT, .always = true};
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_run(connection, &statement, &result, err);
    if (r == 0 && strcmp(PQcmdStatus(result), "COMMIT") != 0)
        return error_set(err, ERROR_STATE, "the transaction had failed and was rolled back");
    return r;
}

void pg_rollback(struct pg_connection *connection)
{
    struct pg_statement statement = {.sql = "ROLLBACK", .style = PG_SCRIPT, .always = true};
    if (!connection || pg_is_broken(connection) || !pg_in_transaction(connection))
        return;
    if (pg_run(connection, &statement, NULL, NULL) < 0)
        connection->broken = true;
}

bool pg_in_transaction(const struct pg_connection *connection)
{
    PGTransactionStatusType status = PQtransactionStatus(connection->libpq);
    return status == PQTRANS_INTRANS || status == PQTRANS_INERROR || status == PQTRANS_ACTIVE;
}

int pg_set_statement_timeout(struct pg_connection *connection, int64_t timeout_us,
                             struct error *err)
{
    char value[32] = "0";
    const char *parameters[] = {value};
    if (timeout_us != PG_NO_TIMEOUT)
        snprintf(value, sizeof(value), "%lld", (long long)((timeout_us + TIME_MS - 1) / TIME_MS));
    int r = pg_execute(connection, "SELECT pg_catalog.set_config('statement_timeout', $1, false)",
                       1, parameters, NULL, err);
    if (r == 0)
        connection->statement_timeout_us = timeout_us;
    return r;
}

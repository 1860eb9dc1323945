#include "pg/raw.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/time.h"
#include "pg/internal.h"

static void tell(const struct pg_raw_request *request, const struct pg_raw_piece *piece)
{
    struct pg_raw_piece complete = *piece;
    const char **texts[] = {&complete.tag, &complete.sqlstate, &complete.message, &complete.detail,
                            &complete.hint};
    for (size_t i = 0; i < array_size(texts); i++)
        if (!*texts[i])
            *texts[i] = "";
    if (request->visit)
        request->visit(request->owner, &complete);
}

static void tell_texts(const struct pg_raw_request *request, enum pg_raw_kind kind,
                       const PGresult *result)
{
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    tell(request,
         &(struct pg_raw_piece){.kind = kind,
                                .sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE),
                                .message = message ? message : PQresultErrorMessage(result),
                                .detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
                                .hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT)});
}

static void on_notice(void *argument, const PGresult *result)
{
    tell_texts(argument, PG_RAW_NOTICE, result);
}

static void tell_notifications(struct pg_connection *connection,
                               const struct pg_raw_request *request)
{
    PGnotify *notification;
    while ((notification = PQnotifies(connection->libpq)) != NULL) {
        tell(request, &(struct pg_raw_piece){.kind = PG_RAW_NOTIFICATION,
                                             .message = notification->extra,
                                             .detail = notification->relname});
        PQfreemem(notification);
    }
}

/* Who sends what it likes does not count on the server's ending it. */
static struct pg_patience patience_for(const struct pg_connection *connection,
                                       const struct pg_raw_request *request)
{
    return (struct pg_patience){.deadline_us = time_monotonic_us() + request->timeout_us,
                                .cancelled = connection->cancelled,
                                .at_once = true};
}

/* ---- sending ---- */

static int send_request(PGconn *libpq, const struct pg_raw_request *request)
{
    switch (request->style) {
    case PG_RAW_SIMPLE:
        return PQsendQuery(libpq, request->sql);
    case PG_RAW_EXTENDED:
        return PQsendQueryParams(libpq, request->sql, 0, NULL, NULL, NULL, NULL, 0);
    case PG_RAW_PREPARE:
        return PQsendPrepare(libpq, request->name, request->sql, 0, NULL);
    case PG_RAW_PREPARED:
        return PQsendQueryPrepared(libpq, request->name, 0, NULL, NULL, NULL, 0);
    }
    return 0;
}

int pg_raw_send(struct pg_connection *connection, const struct pg_raw_request *request,
                struct error *err)
{
    struct pg_patience patience = patience_for(connection, request);
    if (pg_is_broken(connection) || !send_request(connection->libpq, request))
        return pg_connection_lost(connection, err);
    return pg_flush(connection, &patience, err);
}

/* ---- the answer ---- */

static int take_copy_in(struct pg_connection *connection, const struct pg_raw_request *request,
                        struct pg_patience *patience, struct error *err)
{
    if ((request->copy &&
         PQputCopyData(connection->libpq, request->copy, (int)strlen(request->copy)) < 0) ||
        PQputCopyEnd(connection->libpq, NULL) < 0)
        return pg_connection_lost(connection, err);
    return pg_flush(connection, patience, err);
}

static void tell_copy_row(const void *request, const char *row)
{
    tell(request, &(struct pg_raw_piece){.kind = PG_RAW_COPY_ROW, .message = row});
}

static int take_result(struct pg_connection *connection, const struct pg_raw_request *request,
                       PGresult *result, struct pg_patience *patience, struct error *err)
{
    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        tell(request,
             &(struct pg_raw_piece){.kind = PG_RAW_DONE,
                                    .rows = (const struct pg_result *)result,
                                    .tag = PQcmdStatus(result),
                                    .affected = pg_affected((const struct pg_result *)result)});
        return 0;
    case PGRES_COPY_IN:
        return take_copy_in(connection, request, patience, err);
    case PGRES_COPY_OUT:
        return pg_read_copy(connection, patience, tell_copy_row, request, err);
    case PGRES_COPY_BOTH:
        return pg_connection_lost(connection, err);
    case PGRES_SINGLE_TUPLE:
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
        tell_texts(request, PG_RAW_ERROR, result);
        break;
    }
    return 0;
}

static int collect(struct pg_connection *connection, const struct pg_raw_request *request,
                   struct error *err)
{
    struct pg_patience patience = patience_for(connection, request);
    for (;;) {
        while (!connection->broken && PQisBusy(connection->libpq)) {
            int r = pg_wait_for(connection, POLLIN, &patience, err);
            if (r < 0)
                return r;
            if (!PQconsumeInput(connection->libpq))
                connection->broken = true; /* what came before is still to be read */
        }
        PGresult *result = PQgetResult(connection->libpq);
        if (!result)
            break;
        int r = take_result(connection, request, result, &patience, err);
        PQclear(result);
        if (r < 0)
            return r;
    }
    return pg_is_broken(connection) ? pg_connection_lost(connection, err) : 0;
}

int pg_raw_collect(struct pg_connection *connection, const struct pg_raw_request *request,
                   struct error *err)
{
    void *mutable = (void *)(uintptr_t)request;
    PQnoticeReceiver before = PQsetNoticeReceiver(connection->libpq, on_notice, mutable);
    int r = collect(connection, request, err);
    tell_notifications(connection, request);
    PQsetNoticeReceiver(connection->libpq, before, NULL);
    return r;
}

int pg_raw_run(struct pg_connection *connection, const struct pg_raw_request *request,
               struct error *err)
{
    int r = pg_raw_send(connection, request, err);
    return r < 0 ? r : pg_raw_collect(connection, request, err);
}

/* ---- the session ---- */

void pg_raw_cut(struct pg_connection *connection)
{
    connection->broken = true;
    (void)shutdown(PQsocket(connection->libpq), SHUT_RDWR);
}

enum pg_raw_transaction pg_raw_transaction(const struct pg_connection *connection)
{
    switch (PQtransactionStatus(connection->libpq)) {
    case PQTRANS_INERROR:
        return PG_RAW_FAILED;
    case PQTRANS_INTRANS:
    case PQTRANS_ACTIVE:
        return PG_RAW_OPEN;
    case PQTRANS_IDLE:
    case PQTRANS_UNKNOWN:
        break;
    }
    return PG_RAW_IDLE;
}

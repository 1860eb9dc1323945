#include "pg/connection.h"

#include <poll.h>

#include "base/log.h"
#include "base/time.h"
#include "pg/conninfo.h"
#include "pg/internal.h"

/* Severity, SQLSTATE and primary message: details may hold rows. */
static void on_notice(reeve_unused void *argument, const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    log_debug("server says %s %s: %s", severity ? severity : "", sqlstate ? sqlstate : "",
              message ? message : "");
}

/* Later keywords win over earlier ones, so defaults stand before the connection string. */
static PGconn *start(const struct pg_options *options)
{
    const char *keywords[20];
    const char *values[20];
    size_t n = 0;
    const struct {
        const char *keyword, *value;
    } wanted[] = {
        {"keepalives_idle", "30"},
        {"keepalives_interval", "10"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "60000"},
        {"gssencmode", "disable"},
        {"dbname", options->conninfo && *options->conninfo ? options->conninfo : NULL},
        {"application_name", options->application_name ? options->application_name : "reeve"},
        {"client_encoding", "UTF8"},
        {"user", options->user},
        {"password", options->password},
        {"dbname", options->database},
        {"replication", options->replication ? "database" : NULL},
    };
    for (size_t i = 0; i < array_size(wanted); i++) {
        if (!wanted[i].value)
            continue;
        keywords[n] = wanted[i].keyword;
        values[n++] = wanted[i].value;
    }
    keywords[n] = values[n] = NULL;
    /* Only the first dbname is expanded; a database's name alone must not be. */
    return PQconnectStartParams(keywords, values, options->conninfo && *options->conninfo);
}

static int poll_login(PGconn *libpq, const struct pg_options *options, const char *where,
                      struct error *err)
{
    int64_t timeout_us = options->connect_timeout_us
                             ? options->connect_timeout_us
                             : (int64_t)PG_DEFAULT_CONNECT_TIMEOUT_S * TIME_S;
    int64_t deadline_us = time_monotonic_us() + timeout_us;
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (status != PGRES_POLLING_OK) {
        if (status == PGRES_POLLING_FAILED)
            return pg_login_error(PQerrorMessage(libpq), where, err);
        short events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        switch (pg_wait_ready(PQsocket(libpq), events, deadline_us, options->cancelled)) {
        case PG_READY:
            break;
        case PG_READY_CANCELLED:
            return pg_cancelled_error(err);
        case PG_READY_TIMEOUT:
            return error_set(err, ERROR_CONNECTION,
                             "cannot connect to %s: no answer within %lld seconds", where,
                             (long long)((timeout_us + TIME_S - 1) / TIME_S));
        }
        status = PQconnectPoll(libpq);
    }
    return 0;
}

/* Nothing that a database's or a role's owner configured may change what our statements mean; and
 * what is committed is on the disk, also where others' is not: the catalog says where a tenant is,
 * and a change stream has only what is there. */
static int settle(struct pg_connection *connection, struct error *err)
{
    char sql[1024];
    long long timeout_ms = connection->statement_timeout_us == PG_NO_TIMEOUT
                               ? 0
                               : (connection->statement_timeout_us + TIME_MS - 1) / TIME_MS;
    snprintf(
        sql, sizeof(sql),
        "SET ROLE NONE; SET statement_timeout = %lld; SET search_path = pg_catalog, pg_temp;"
        " SET standard_conforming_strings = on; SET bytea_output = hex;"
        " SET DateStyle = 'ISO, YMD'; SET IntervalStyle = postgres; SET extra_float_digits = 1;"
        " SET lc_monetary = 'C'; SET xmloption = content;"
        " SET TimeZone = 'UTC'; SET default_transaction_isolation = 'read committed';"
        " SET default_transaction_read_only = off;"
        " SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'",
        timeout_ms);
    return pg_execute_script(connection, sql, err);
}

int pg_connect(const struct pg_options *options, struct pg_connection **ret, struct error *err)
{
    if (options->conninfo && *options->conninfo) {
        int r = pg_conninfo_check(options->conninfo, err);
        if (r < 0)
            return r;
    }
    _cleanup_arena_ struct arena arena = {0};
    const char *where = pg_conninfo_describe(&arena, options->conninfo);
    _cleanup_pg_connection_ struct pg_connection *connection = xcalloc(1, sizeof(*connection));
    connection->cancelled = options->cancelled;
    connection->statement_timeout_us = options->statement_timeout_us
                                           ? options->statement_timeout_us
                                           : (int64_t)PG_DEFAULT_STATEMENT_TIMEOUT_S * TIME_S;
    if (options->bare)
        connection->statement_timeout_us = PG_NO_TIMEOUT;
    connection->libpq = start(options);
    if (!connection->libpq)
        return error_set(err, ERROR_INTERNAL, "libpq has no memory for a connection");
    if (PQstatus(connection->libpq) == CONNECTION_BAD)
        return pg_login_error(PQerrorMessage(connection->libpq), where, err);
    PQsetNoticeReceiver(connection->libpq, on_notice, NULL);
    /* The verbose form alone carries the SQLSTATE of a refused login. */
    PQsetErrorVerbosity(connection->libpq, PQERRORS_VERBOSE);
    int r = poll_login(connection->libpq, options, where, err);
    if (r < 0)
        return r;
    PQsetErrorVerbosity(connection->libpq, PQERRORS_DEFAULT);
    PQsetnonblocking(connection->libpq, 1);
    connection->cancel = PQgetCancel(connection->libpq);
    if (!options->bare) {
        r = settle(connection, err);
        if (r < 0)
            return r;
    }
    *ret = take_pointer(connection);
    return 0;
}

struct pg_connection *pg_close(struct pg_connection *connection)
{
    if (!connection)
        return NULL;
    PQfreeCancel(connection->cancel);
    PQfinish(connection->libpq);
    free(connection);
    return NULL;
}

void pg_set_cancel_flag(struct pg_connection *connection, const atomic_bool *cancelled)
{
    connection->cancelled = cancelled;
}

bool pg_is_broken(const struct pg_connection *connection)
{
    return connection->broken || PQstatus(connection->libpq) != CONNECTION_OK;
}

int pg_server_version(const struct pg_connection *connection)
{
    return PQserverVersion(connection->libpq);
}

int pg_backend_pid(const struct pg_connection *connection)
{
    return PQbackendPID(connection->libpq);
}

const char *pg_database(const struct pg_connection *connection)
{
    return PQdb(connection->libpq);
}

const char *pg_user(const struct pg_connection *connection)
{
    return PQuser(connection->libpq);
}

const char *pg_parameter(const struct pg_connection *connection, const char *name)
{
    return PQparameterStatus(connection->libpq, name);
}

int pg_socket(const struct pg_connection *connection)
{
    return PQsocket(connection->libpq);
}

void *pg_ssl(const struct pg_connection *connection)
{
    return PQsslStruct(connection->libpq, "OpenSSL");
}

int pg_cancel(struct pg_connection *connection, struct error *err)
{
    char text[256];
    if (!connection->cancel || !PQcancel(connection->cancel, text, sizeof(text)))
        return error_set(err, ERROR_CONNECTION, "cannot send a cancel request to the server");
    return 0;
}

const struct pg_failure *pg_last_failure(const struct pg_connection *connection)
{
    return &connection->failure;
}

#include "cli/connector.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#include "base/str.h"
#include "base/time.h"

enum { MAX_KEYWORDS = 64, REQUIRE_AUTH_VERSION = 160000 };

/* What a server tells of itself that clients are told in turn. libpq keeps no list to walk. */
static const char *const reported[] = {
    "server_version",   "server_encoding",
    "client_encoding",  "application_name",
    "is_superuser",     "session_authorization",
    "DateStyle",        "IntervalStyle",
    "TimeZone",         "integer_datetimes",
    "in_hot_standby",   "standard_conforming_strings",
    "scram_iterations", "default_transaction_read_only",
    "search_path",
};

struct parameters {
    const char *keywords[MAX_KEYWORDS];
    const char *values[MAX_KEYWORDS];
    size_t count;
};

static void add(struct parameters *parameters, const char *keyword, const char *value)
{
    if (parameters->count + 1 >= MAX_KEYWORDS)
        return;
    parameters->keywords[parameters->count] = keyword;
    parameters->values[parameters->count++] = value;
    parameters->keywords[parameters->count] = NULL;
    parameters->values[parameters->count] = NULL;
}

/* ---- errors ---- */

/* The line behind "\nDETAIL:  " or "\nHINT:  ". */
static size_t find_line(const char *text, const char *label, const char **ret)
{
    const char *at = strstr(text, label);
    if (!at)
        return 0;
    *ret = at + strlen(label);
    return strcspn(*ret, "\n");
}

/* "...FATAL:  28P01: password authentication failed for user "x"": the severity is in the server's
 * language, the code is not. */
static const char *find_sqlstate(const char *text, char ret[SQLSTATE_SIZE])
{
    static const char allowed[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (const char *at = strstr(text, ":  "); at; at = strstr(at + 1, ":  ")) {
        const char *code = at + 3;
        if (strspn(code, allowed) == SQLSTATE_SIZE - 1 && str_has_prefix(code + 5, ": ")) {
            memcpy(ret, code, SQLSTATE_SIZE - 1);
            ret[SQLSTATE_SIZE - 1] = '\0';
            return code + SQLSTATE_SIZE + 1;
        }
    }
    return NULL;
}

static enum error_code code_of(const char *sqlstate)
{
    if (str_has_prefix(sqlstate, "28"))
        return ERROR_AUTH;
    if (strcmp(sqlstate, "3D000") == 0)
        return ERROR_NOT_FOUND;
    if (strcmp(sqlstate, "53300") == 0)
        return ERROR_LIMIT;
    return ERROR_CONNECTION;
}

int connector_error_from_text(const char *text, struct error *err)
{
    char sqlstate[SQLSTATE_SIZE];
    const char *message = find_sqlstate(text, sqlstate);
    if (!message)
        return error_set(err, ERROR_CONNECTION, "%.*s", (int)strcspn(text, "\n"), text);
    int result = error_set(err, code_of(sqlstate), "%.*s", (int)strcspn(message, "\n"), message);
    error_sqlstate(err, sqlstate);
    const char *line = NULL;
    size_t length = find_line(message, "\nDETAIL:  ", &line);
    if (length > 0)
        error_detail(err, "%.*s", (int)length, line);
    length = find_line(message, "\nHINT:  ", &line);
    if (length > 0)
        error_hint(err, "%.*s", (int)length, line);
    return result;
}

/* ---- logging in ---- */

static void ignore_notice(void *argument reeve_unused, const char *message reeve_unused)
{
}

/* Waits until the socket is ready for what libpq wants. False at the deadline. */
static bool wait_socket(const PGconn *connection, PostgresPollingStatusType wanted,
                        int64_t deadline_us)
{
    struct pollfd entry = {.fd = PQsocket(connection),
                           .events = wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT};
    for (;;) {
        int64_t left_us = deadline_us - time_monotonic_us();
        if (left_us <= 0)
            return false;
        int ready = poll(&entry, 1, (int)((left_us + TIME_MS - 1) / TIME_MS));
        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

static int finish_login(PGconn *connection, int64_t timeout_us, struct error *err)
{
    int64_t deadline_us = time_monotonic_us() + timeout_us;
    PostgresPollingStatusType wanted = PGRES_POLLING_WRITING;
    while (wanted == PGRES_POLLING_READING || wanted == PGRES_POLLING_WRITING) {
        if (!wait_socket(connection, wanted, deadline_us))
            return error_set(err, ERROR_CONNECTION, "the server did not answer within %lld s",
                             (long long)(timeout_us / TIME_S));
        wanted = PQconnectPoll(connection);
    }
    if (wanted != PGRES_POLLING_OK)
        return connector_error_from_text(PQerrorMessage(connection), err);
    /* Without a password anybody on the server's machine could be this tenant. */
    if (!PQconnectionUsedPassword(connection)) {
        int result =
            error_set(err, ERROR_DENIED, "the server lets roles of tenants in without a password");
        error_hint(err, "set scram-sha-256 for them in its pg_hba.conf");
        return result;
    }
    if (PQprotocolVersion(connection) != 3)
        return error_set(err, ERROR_UNSUPPORTED, "the server does not speak protocol 3.0");
    return 0;
}

/* ---- a deadline for what libpq only does waiting ---- */

/* Ends the connection under it at the deadline: libpq then stops waiting. */
struct watch {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int fd;
    int64_t deadline_us;
    bool over, expired;
};

static void *keep_watch(void *argument)
{
    struct watch *watch = argument;
    const struct timespec deadline = {.tv_sec = watch->deadline_us / TIME_S,
                                      .tv_nsec = watch->deadline_us % TIME_S * 1000};
    pthread_mutex_lock(&watch->lock);
    while (!watch->over && !watch->expired)
        watch->expired =
            pthread_cond_timedwait(&watch->changed, &watch->lock, &deadline) == ETIMEDOUT;
    if (!watch->over)
        (void)shutdown(watch->fd, SHUT_RDWR);
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

static int watch_begin(struct watch *watch, int fd, int64_t timeout_us, struct error *err)
{
    pthread_condattr_t attributes;
    *watch = (struct watch){.fd = fd, .deadline_us = time_monotonic_us() + timeout_us};
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&watch->thread, NULL, keep_watch, watch) == 0)
        return 0;
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    return error_set(err, ERROR_INTERNAL, "cannot start a thread");
}

/* Whether the deadline had come. */
static bool watch_end(struct watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    watch->over = true;
    pthread_cond_signal(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    return watch->expired;
}

/* ---- the guard ---- */

static const char functions_sql[] =
    "SELECT 'reeve.arm(bytea)'::pg_catalog.regprocedure::pg_catalog.oid,"
    " 'reeve.enter(bytea, bigint, integer, bytea)'::pg_catalog.regprocedure::pg_catalog.oid";

/* By a function call and not by a query: arguments of those are in no log. */
static int arm(PGconn *connection, struct proxy_connection *ret, struct error *err)
{
    PGresult *found = PQexec(connection, functions_sql);
    bool good = PQresultStatus(found) == PGRES_TUPLES_OK && PQntuples(found) == 1;
    unsigned long function = good ? strtoul(PQgetvalue(found, 0, 0), NULL, 10) : 0;
    ret->enter_function = good ? (uint32_t)strtoul(PQgetvalue(found, 0, 1), NULL, 10) : 0;
    PQclear(found);
    if (!good)
        return error_set(err, ERROR_CONNECTION, "the database has no guard: %.*s",
                         (int)strcspn(PQerrorMessage(connection), "\n"),
                         PQerrorMessage(connection));
    crypto_random(ret->guard_key, sizeof(ret->guard_key));
    const PQArgBlock argument = {.len = sizeof(ret->guard_key),
                                 .u.ptr = (int *)(void *)ret->guard_key};
    int nothing = 0, length = 0;
    PGresult *armed = PQfn(connection, (int)function, &nothing, &length, 0, &argument, 1);
    good = PQresultStatus(armed) == PGRES_COMMAND_OK;
    PQclear(armed);
    if (!good)
        return error_set(err, ERROR_CONNECTION, "the guard does not take the session: %.*s",
                         (int)strcspn(PQerrorMessage(connection), "\n"),
                         PQerrorMessage(connection));
    return 0;
}

static int arm_in_time(PGconn *connection, int64_t timeout_us, struct proxy_connection *ret,
                       struct error *err)
{
    struct watch watch;
    int result = watch_begin(&watch, PQsocket(connection), timeout_us, err);
    if (result < 0)
        return result;
    result = arm(connection, ret, err);
    if (watch_end(&watch))
        result = error_set(err, ERROR_CONNECTION, "the server did not answer within %lld s",
                           (long long)(timeout_us / TIME_S));
    return result;
}

static void fill_connection(PGconn *connection, struct proxy_connection *ret)
{
    *ret = (struct proxy_connection){.handle = connection,
                                     .fd = PQsocket(connection),
                                     .ssl = PQgetssl(connection),
                                     .server_version = PQserverVersion(connection),
                                     .backend_pid = PQbackendPID(connection)};
    for (size_t i = 0; i < array_size(reported); i++) {
        const char *value = PQparameterStatus(connection, reported[i]);
        size_t at = ret->parameter_count;
        if (!value || at == array_size(ret->parameters) ||
            strlen(value) >= sizeof(ret->parameters[at].value))
            continue;
        str_copy(ret->parameters[at].name, sizeof(ret->parameters[at].name), reported[i]);
        str_copy(ret->parameters[at].value, sizeof(ret->parameters[at].value), value);
        ret->parameter_count++;
    }
}

static int start_login(const struct proxy_target *target, const PQconninfoOption *options,
                       const char *password, PGconn **ret, struct error *err)
{
    struct parameters parameters = {0};
    for (; options->keyword; options++) {
        if (options->val)
            add(&parameters, options->keyword, options->val);
    }
    /* Later ones win over earlier ones of the same keyword. */
    add(&parameters, "dbname", target->database);
    add(&parameters, "user", target->login.role);
    add(&parameters, "password", password);
    add(&parameters, "gssencmode", "disable");
    if (PQlibVersion() >= REQUIRE_AUTH_VERSION)
        add(&parameters, "require_auth", "scram-sha-256");
    PGconn *connection = PQconnectStartParams(parameters.keywords, parameters.values, 0);
    if (!connection)
        return error_set(err, ERROR_INTERNAL, "libpq has no memory");
    if (PQstatus(connection) == CONNECTION_BAD) {
        int result = connector_error_from_text(PQerrorMessage(connection), err);
        PQfinish(connection);
        return result;
    }
    /* The only way in which libpq tells a failed login's SQLSTATE. */
    PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    PQsetNoticeProcessor(connection, ignore_notice, NULL);
    *ret = connection;
    return 0;
}

static int log_in(const struct proxy_target *target, const char *password,
                  struct proxy_connection *ret, struct error *err)
{
    char *reason = NULL;
    PQconninfoOption *options = PQconninfoParse(target->conninfo, &reason);
    if (!options) {
        PQfreemem(reason);
        return error_set(err, ERROR_CONFIG, "the cluster's connection string cannot be read");
    }
    PGconn *connection = NULL;
    int result = start_login(target, options, password, &connection, err);
    PQconninfoFree(options);
    if (result < 0)
        return result;
    struct proxy_connection made = {0};
    result = finish_login(connection, target->timeout_us, err);
    if (result == 0)
        fill_connection(connection, &made);
    if (result == 0 && target->guarded)
        result = arm_in_time(connection, target->timeout_us, &made, err);
    if (result == 0 && PQsetnonblocking(connection, 1) != 0)
        result = error_set(err, ERROR_CONNECTION, "the connection was lost after its login");
    if (result < 0) {
        PQfinish(connection);
        return result;
    }
    *ret = made;
    return 0;
}

static int connector_connect(void *context, const struct proxy_target *target,
                             struct proxy_connection *ret, struct error *err)
{
    char password[sizeof(target->login.sealed_password) + 1] = {0};
    int result = crypto_open(context, target->login.seal_context, target->login.sealed_password,
                             target->login.sealed_length, password, err);
    if (result == 0)
        result = log_in(target, password, ret, err);
    crypto_wipe(password, sizeof(password));
    return result;
}

static int connector_cancel(void *context reeve_unused, struct proxy_connection *connection,
                            struct error *err)
{
    char reason[256] = "";
    PGcancel *cancel = PQgetCancel(connection->handle);
    if (!cancel)
        return error_set(err, ERROR_CONNECTION, "the connection was lost");
    int result = 0;
    if (!PQcancel(cancel, reason, sizeof(reason)))
        result = error_set(err, ERROR_CONNECTION, "%.*s", (int)strcspn(reason, "\n"), reason);
    PQfreeCancel(cancel);
    return result;
}

static int terminate(PGconn *connection, int32_t backend_pid, int client_port, int64_t timeout_us,
                     struct error *err)
{
    char sql[160];
    struct watch watch;
    snprintf(sql, sizeof(sql),
             "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
             " WHERE pid = %d AND client_port = %d",
             (int)backend_pid, client_port);
    int result = watch_begin(&watch, PQsocket(connection), timeout_us, err);
    if (result < 0)
        return result;
    PGresult *answer = PQexec(connection, sql);
    if (PQresultStatus(answer) != PGRES_TUPLES_OK)
        result =
            error_set(err, ERROR_CONNECTION, "%.*s", (int)strcspn(PQerrorMessage(connection), "\n"),
                      PQerrorMessage(connection));
    PQclear(answer);
    (void)watch_end(&watch);
    return result;
}

static int connector_terminate(void *context, const struct proxy_target *target,
                               int32_t backend_pid, int client_port, struct error *err)
{
    struct proxy_target plain = *target;
    struct proxy_connection made = {0};
    plain.guarded = false; /* the login role's own rights are what is needed */
    int result = connector_connect(context, &plain, &made, err);
    if (result < 0)
        return result;
    result = terminate(made.handle, backend_pid, client_port, plain.timeout_us, err);
    PQfinish(made.handle);
    return result;
}

static void connector_close(void *context reeve_unused, struct proxy_connection *connection)
{
    /* Non-blocking: its Terminate message is sent if the socket takes it, and not waited for. */
    PQfinish(connection->handle);
    connection->handle = NULL;
    connection->fd = -1;
    connection->ssl = NULL;
}

struct proxy_connector connector_make(const uint8_t key[CRYPTO_KEY_SIZE])
{
    return (struct proxy_connector){.context = (void *)(uintptr_t)key,
                                    .connect = connector_connect,
                                    .cancel = connector_cancel,
                                    .terminate = connector_terminate,
                                    .close = connector_close};
}

void connector_clean_environment(void)
{
    static const char *const names[] = {
        "PGOPTIONS",     "PGAPPNAME",  "PGCLIENTENCODING", "PGDATESTYLE",   "PGTZ",
        "PGGEQO",        "PGSERVICE",  "PGSERVICEFILE",    "PGHOST",        "PGHOSTADDR",
        "PGPORT",        "PGDATABASE", "PGUSER",           "PGREQUIREAUTH", "PGTARGETSESSIONATTRS",
        "PGREQUIREPEER",
    };
    for (size_t i = 0; i < array_size(names); i++)
        unsetenv(names[i]);
}

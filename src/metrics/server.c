/*
 * server.c - the HTTP side, by libmicrohttpd, and what an answer is made of.
 *
 * One thread waits for all listening sockets and connections. Whoever connects is a stranger: a
 * request has few kilobytes, a connection is for one request and ends at CONNECTION_DEADLINE_US
 * however busy it looks, and there are few at once. An answer is kept for ANSWER_AGE_US, so that
 * asking often costs the workers nothing.
 */
#include "metrics/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/time.h"
#include "metrics/table.h"

enum {
    CONNECTIONS_MAX = 16, /* a listening socket */
    CONNECTIONS_A_PEER = 8,
    REQUEST_MAX = 8 * 1024,
    IDLE_TIMEOUT_S = 5,
    CONNECTION_DEADLINE_US = 10 * TIME_S,
    LOOK_MS = 500, /* how often deadlines are looked at, while there are connections */
    ANSWER_AGE_US = 1 * TIME_S,
    ANSWER_MAX = 64 * 1024 * 1024,
    SURVEY_TIMEOUT_US = 2 * TIME_S,
    DATABASES_MAX = 100,
};

struct metrics_server {
    struct proxy *proxy;
    struct route_table *routes;
    _Atomic size_t tenants;
    struct MHD_Daemon *daemons[METRICS_LISTEN_MAX];
    int daemon_count;
    int stop_fd;
    pthread_t thread;
    int64_t started_unix_us;
    struct list connections; /* oldest first */
    struct ledger ledger;
    struct MHD_Response *answer; /* NULL: none yet */
    unsigned status;             /* of it */
    int64_t answered_us;
    struct MHD_Response *not_found, *not_allowed;
};

/* ---- the answer ---- */

static const char *cluster_name(const struct route_globals *globals, int64_t id)
{
    const struct route_cluster *cluster = route_find_cluster(globals, id);
    return cluster ? cluster->name : NULL;
}

/* Budgets of clusters that were removed are left out. */
static struct metrics_cluster *name_clusters(const struct proxy_survey *survey,
                                             const struct route_globals *globals, size_t *ret_count)
{
    struct metrics_cluster *clusters = xcalloc(survey->budget_count + 1, sizeof(*clusters));
    size_t count = 0;
    for (size_t i = 0; i < survey->budget_count; i++) {
        const char *name = cluster_name(globals, survey->budgets[i].cluster_id);
        if (name)
            clusters[count++] = (struct metrics_cluster){name, survey->budgets[i]};
    }
    *ret_count = count;
    return clusters;
}

static void add_database(struct proxy_database_figures *to,
                         const struct proxy_database_figures *from)
{
    to->backends += from->backends;
    to->idle += from->idle;
    to->connecting += from->connecting;
    to->waiting += from->waiting;
}

/* The first of them, and one for all others. */
static struct metrics_database *name_databases(const struct proxy_survey *survey,
                                               const struct route_globals *globals,
                                               size_t *ret_count)
{
    struct metrics_database *databases = xcalloc(DATABASES_MAX + 1, sizeof(*databases));
    struct metrics_database others = {.cluster = ""};
    size_t count = 0;
    for (size_t i = 0; i < survey->database_count; i++) {
        const struct proxy_database_figures *figures = &survey->databases[i];
        const char *name = cluster_name(globals, figures->cluster_id);
        if (count < DATABASES_MAX && name && figures->database[0])
            databases[count++] = (struct metrics_database){name, *figures};
        else
            add_database(&others.figures, figures);
    }
    databases[count++] = others;
    *ret_count = count;
    return databases;
}

static void write_survey(struct metrics_server *server, const struct proxy_survey *survey,
                         struct buffer *text)
{
    struct route_snapshot *snapshot = route_table_acquire(server->routes);
    const struct route_globals *globals = route_snapshot_globals(snapshot);
    ledger_take(&server->ledger, survey);
    struct metrics_sample sample = {.engine = proxy_engine_name(server->proxy),
                                    .proxy = {.used = survey->used, .one = 1},
                                    .waits = survey->waits,
                                    .tenants = server->ledger.entries,
                                    .tenant_count = server->ledger.count,
                                    .others = &server->ledger.others};
    struct metrics_cluster *clusters = name_clusters(survey, globals, &sample.cluster_count);
    struct metrics_database *databases = name_databases(survey, globals, &sample.database_count);
    sample.clusters = clusters;
    sample.databases = databases;
    proxy_get_statistics(server->proxy, &sample.proxy.counts);
    metrics_process_take(&sample.process);
    sample.process.started_unix_us = server->started_unix_us;
    metrics_write_text(text, &sample);
    free(clusters);
    free(databases);
    route_snapshot_release(snapshot);
}

static struct MHD_Response *make_response(char *text, size_t length,
                                          enum MHD_ResponseMemoryMode mode, const char *type)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(length, text, mode);
    if (!response)
        return NULL;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    return response;
}

static struct MHD_Response *plain_response(const char *text)
{
    return make_response((char *)(uintptr_t)text, strlen(text), MHD_RESPMEM_PERSISTENT,
                         "text/plain; charset=utf-8");
}

/* Those who get the old one yet have references of their own. */
static void drop_answer(struct metrics_server *server)
{
    if (server->answer)
        MHD_destroy_response(take_pointer(server->answer));
}

static void renew_answer(struct metrics_server *server)
{
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(ANSWER_MAX);
    struct proxy_survey survey;
    proxy_survey_take(server->proxy, atomic_load(&server->tenants), SURVEY_TIMEOUT_US, &survey);
    if (survey.complete)
        write_survey(server, &survey, &text);
    drop_answer(server);
    if (survey.complete && !text.failed) {
        size_t length = text.length;
        server->answer = make_response(buffer_take(&text), length, MHD_RESPMEM_MUST_FREE,
                                       "text/plain; version=0.0.4; charset=utf-8");
        server->status = MHD_HTTP_OK;
    } else {
        server->answer = plain_response(survey.complete ? "there is too much to tell\n"
                                                        : "not every worker answered in time\n");
        server->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    server->answered_us = time_monotonic_us();
    proxy_survey_free(&survey);
}

static enum MHD_Result handle(void *owner, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version reeve_unused,
                              const char *upload reeve_unused, size_t *upload_size reeve_unused,
                              void **request reeve_unused)
{
    struct metrics_server *server = owner;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return MHD_queue_response(connection, MHD_HTTP_METHOD_NOT_ALLOWED, server->not_allowed);
    if (strcmp(url, "/metrics") != 0)
        return MHD_queue_response(connection, MHD_HTTP_NOT_FOUND, server->not_found);
    if (!server->answer || time_monotonic_us() - server->answered_us >= ANSWER_AGE_US)
        renew_answer(server);
    if (!server->answer)
        return MHD_NO;
    return MHD_queue_response(connection, server->status, server->answer);
}

/* ---- connections ---- */

struct connection {
    struct list link;
    int fd;
    int64_t since_us;
};

static void connection_changed(void *owner, struct MHD_Connection *connection, void **context,
                               enum MHD_ConnectionNotificationCode code)
{
    struct metrics_server *server = owner;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        struct connection *ended = *context;
        list_remove(&ended->link);
        free(ended);
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct connection *begun = xcalloc(1, sizeof(*begun));
    begun->fd = info ? info->connect_fd : -1;
    begun->since_us = time_monotonic_us();
    list_append(&server->connections, &begun->link);
    *context = begun;
}

/* The library notices that they have ended, and frees them. */
static void end_overdue(const struct metrics_server *server)
{
    int64_t now_us = time_monotonic_us();
    list_for_each (link, &server->connections) {
        const struct connection *connection = list_entry(link, struct connection, link);
        if (connection->since_us + CONNECTION_DEADLINE_US > now_us)
            return;
        shutdown(connection->fd, SHUT_RDWR);
    }
}

/* ---- the thread ---- */

static int wait_ms(const struct metrics_server *server)
{
    unsigned long long least_ms = LOOK_MS;
    if (list_empty(&server->connections))
        return -1;
    for (int i = 0; i < server->daemon_count; i++) {
        unsigned long long daemon_ms;
        if (MHD_get_timeout(server->daemons[i], &daemon_ms) == MHD_YES && daemon_ms < least_ms)
            least_ms = daemon_ms;
    }
    return (int)least_ms;
}

static void *run(void *argument)
{
    struct metrics_server *server = argument;
    struct pollfd entries[METRICS_LISTEN_MAX + 1];
    nfds_t count = 0;
    log_set_thread_name("metrics");
    entries[count++] = (struct pollfd){.fd = server->stop_fd, .events = POLLIN};
    for (int i = 0; i < server->daemon_count; i++) {
        const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(server->daemons[i], MHD_DAEMON_INFO_EPOLL_FD);
        entries[count++] = (struct pollfd){.fd = info ? info->epoll_fd : -1, .events = POLLIN};
    }
    while (entries[0].revents == 0) {
        (void)poll(entries, count, wait_ms(server)); /* interrupted: it looks, and waits again */
        end_overdue(server);
        for (int i = 0; i < server->daemon_count; i++)
            (void)MHD_run(server->daemons[i]);
    }
    return NULL;
}

/* ---- life ---- */

static int start_daemon(struct metrics_server *server, int fd, struct error *err)
{
    /* The library closes the one that it is given. */
    int own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own_fd < 0)
        return error_errno(err, errno, "cannot duplicate a descriptor");
    struct MHD_Daemon *started = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, handle, server, MHD_OPTION_LISTEN_SOCKET, own_fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_A_PEER, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_CONNECTION, connection_changed, server, MHD_OPTION_END);
    if (!started)
        return error_set(err, ERROR_IO, "cannot start the metrics' HTTP server");
    server->daemons[server->daemon_count++] = started;
    return 0;
}

static int make_fixed_responses(struct metrics_server *server, struct error *err)
{
    server->not_found = plain_response("there is only /metrics here\n");
    server->not_allowed = plain_response("only GET and HEAD are answered\n");
    if (!server->not_found || !server->not_allowed)
        return error_set(err, ERROR_IO, "cannot make the metrics' HTTP answers");
    MHD_add_response_header(server->not_allowed, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    return 0;
}

static void release(struct metrics_server *server)
{
    while (server->daemon_count > 0) {
        struct MHD_Daemon *ended = server->daemons[--server->daemon_count];
        int fd = MHD_quiesce_daemon(ended); /* else it might be shut: it is not ours alone */
        MHD_stop_daemon(ended);
        if (fd >= 0)
            close(fd);
    }
    drop_answer(server);
    if (server->not_found)
        MHD_destroy_response(server->not_found);
    if (server->not_allowed)
        MHD_destroy_response(server->not_allowed);
    if (server->stop_fd >= 0)
        close(server->stop_fd);
    ledger_free(&server->ledger);
    free(server);
}

static int start(struct metrics_server *server, const struct metrics_options *options,
                 struct error *err)
{
    int result = make_fixed_responses(server, err);
    server->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (result == 0 && server->stop_fd < 0)
        result = error_set(err, ERROR_IO, "cannot make an eventfd");
    for (int i = 0; result == 0 && i < options->listen_count; i++)
        result = start_daemon(server, options->listen_fds[i], err);
    if (result < 0)
        return result;
    int failed = pthread_create(&server->thread, NULL, run, server);
    return failed ? error_errno(err, failed, "cannot start the metrics thread") : 0;
}

int metrics_server_start(const struct metrics_options *options, struct metrics_server **ret,
                         struct error *err)
{
    struct metrics_server *server = xcalloc(1, sizeof(*server));
    server->proxy = options->proxy;
    server->routes = options->routes;
    server->started_unix_us = time_unix_us();
    server->stop_fd = -1;
    list_init(&server->connections);
    metrics_server_set_tenants(server, options->tenants);
    int result = start(server, options, err);
    if (result < 0) {
        release(server);
        return result;
    }
    *ret = server;
    return 0;
}

void metrics_server_set_tenants(struct metrics_server *server, size_t tenants)
{
    atomic_store(&server->tenants, tenants);
}

struct metrics_server *metrics_server_stop(struct metrics_server *server)
{
    if (!server)
        return NULL;
    uint64_t one = 1;
    ssize_t ignored = write(server->stop_fd, &one, sizeof(one));
    (void)ignored;
    pthread_join(server->thread, NULL);
    release(server);
    return NULL;
}

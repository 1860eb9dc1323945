#include "cli/server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "catalog/route_follow.h"
#include "cli/connector.h"
#include "cli/handover.h"
#include "cli/presence.h"
#include "cli/tls.h"
#include "cli/top.h"
#include "job/job.h"
#include "metrics/metrics.h"
#include "net/engine.h"
#include "move/move.h"
#include "route/route.h"

static const int64_t ps_timeout_us = 2 * (int64_t)TIME_S;
static const int64_t job_interval_us = 30 * (int64_t)TIME_S;
static const int64_t release_interval_us = 10 * (int64_t)TIME_S;
static const int64_t keep_interval_us = 10 * (int64_t)TIME_S;

enum { LASTING_RUNNERS = 4 }; /* moves that were cut off and are gone on with at once */

struct server {
    const struct server_spec *spec;
    struct arena arena;
    const struct config *config; /* as at the start */
    uint8_t key[CRYPTO_KEY_SIZE];
    int64_t started_us;
    int signal_fd, ended_fd, retire_fd;
    bool takes_over;      /* there is one to take over from; until it is done */
    atomic_bool retiring; /* another server takes over */
    int64_t retire_us;    /* when it stops then; 0: it does not */
    struct status_server *status;
    struct listen_set listen;
    struct listen_set metrics_listen;
    struct metrics_server *metrics; /* NULL: off */
    struct proxy_connector connector;
    struct route_table *routes;
    struct catalog_follower *follower;
    struct proxy *proxy;
    struct presence *presence;
    struct job_context job;
    atomic_bool jobs_cancelled;
    struct job_runner *runners[1 + LASTING_RUNNERS + 1 + 1];
    pthread_t waiter;
    atomic_bool stopping;
    bool deaf;   /* nobody can connect any more */
    int outcome; /* what server_run returns */
};

/* ---- signals ---- */

static void served_signals(sigset_t *ret)
{
    sigemptyset(ret);
    sigaddset(ret, SIGINT);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGHUP);
    sigaddset(ret, SIGCHLD);
}

void server_block_signals(void)
{
    sigset_t signals;
    served_signals(&signals);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* ---- configuration ---- */

static int processors(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > 64 ? 64 : (int)count;
}

/* The TLS context that is made belongs to the caller. */
static int make_proxy_config(const struct server *server, const struct config *config,
                             struct proxy_config *ret, struct error *err)
{
    struct proxy_config proxy = {
        .workers = config->workers ? (int)config->workers : processors(),
        .engine = (enum engine_kind)config->engine,
        .listen_count = server->listen.count,
        .tls_required = config->tls_required,
        .auth = (enum proxy_auth)config->auth,
        .oauth_issuer = config->oauth_issuer,
        .oauth_scope = config->oauth_scope,
        .max_clients = (int)config->max_clients,
        .login_timeout_us = config->login_timeout_us,
        .connect_timeout_us = config->connect_timeout_us,
        .idle_backend_us = config->idle_backend_us,
        .backend_lifetime_us = config->backend_lifetime_us,
        .slow_transaction_us = config->slow_transaction_us,
        .shutdown_timeout_us = config->shutdown_timeout_us,
        .max_prepared = (int)config->max_prepared,
        .max_schemas = (int)config->max_schemas,
        .limits = config->limits,
    };
    memcpy(proxy.listen_fds, server->listen.fds, sizeof(proxy.listen_fds));
    memcpy(proxy.key, server->key, sizeof(proxy.key));
    if (config->tls_cert) {
        int result = tls_server_context(config->tls_cert, config->tls_key, &proxy.tls, err);
        if (result < 0)
            return result;
    }
    *ret = proxy;
    return 0;
}

static void free_proxy_config(struct proxy_config *config)
{
    SSL_CTX_free(config->tls);
    crypto_wipe(config->key, sizeof(config->key));
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void warn_about_restart(const struct config *old, const struct config *new)
{
    bool same_listen = old->listen_count == new->listen_count;
    for (size_t i = 0; same_listen && i < old->listen_count; i++)
        same_listen = same_text(old->listen[i].host, new->listen[i].host) &&
                      same_text(old->listen[i].folder, new->listen[i].folder) &&
                      old->listen[i].port == new->listen[i].port;
    bool same_metrics = same_text(old->metrics_listen.host, new->metrics_listen.host) &&
                        old->metrics_listen.port == new->metrics_listen.port;
    const struct {
        const char *name;
        bool same;
    } settings[] = {{"listen", same_listen},
                    {"control", same_text(old->control, new->control)},
                    {"key_file", same_text(old->key_file, new->key_file)},
                    {"workers", old->workers == new->workers},
                    {"engine", old->engine == new->engine},
                    {"status_socket", same_text(old->status_socket, new->status_socket)},
                    {"metrics_listen", same_metrics}};
    for (size_t i = 0; i < array_size(settings); i++) {
        if (!settings[i].same)
            log_warning("%s was changed; it takes effect when Reeve is started anew",
                        settings[i].name);
    }
}

static int apply_config(struct server *server, const struct config *config, struct error *err)
{
    struct proxy_config proxy;
    /* What needs a restart stays as it is. */
    struct config effective = *config;
    effective.workers = server->config->workers;
    int result = make_proxy_config(server, &effective, &proxy, err);
    if (result < 0)
        return result;
    result = proxy_reload(server->proxy, &proxy, err);
    if (server->metrics)
        metrics_server_set_tenants(server->metrics, (size_t)config->metrics_tenants);
    free_proxy_config(&proxy);
    return result;
}

static void reload(struct server *server)
{
    struct error err = {0};
    _cleanup_arena_ struct arena arena = {0};
    struct config config;
    int result = config_read(server->config->path, &arena, &config, &err);
    if (result == 0)
        result = apply_config(server, &config, &err);
    if (result < 0) {
        log_write_error(LOG_ERROR, &err, "the configuration was not reloaded");
        return;
    }
    warn_about_restart(server->config, &config);
    log_set_level((enum log_level)config.log_level);
    log_info("the configuration was reloaded from %s", config.path);
}

/* ---- the status ---- */

static json_t *make_status(struct server *server)
{
    struct proxy_statistics figures;
    proxy_get_statistics(server->proxy, &figures);
    json_t *status = json_object();
    json_object_set_new(status, "version", json_string(REEVE_VERSION));
    json_object_set_new(status, "pid", json_integer(getpid()));
    json_object_set_new(status, "uptime_s",
                        json_integer((time_monotonic_us() - server->started_us) / TIME_S));
    json_object_set_new(status, "engine", json_string(proxy_engine_name(server->proxy)));
    json_object_set_new(status, "stopping", json_boolean(server->stopping));
    json_object_set_new(status, "route_version", json_integer(route_table_version(server->routes)));
    const struct {
        const char *name;
        int64_t value;
    } counters[] = {{"clients", figures.clients},
                    {"clients_waiting", figures.clients_waiting},
                    {"backends", figures.backends},
                    {"backends_idle", figures.backends_idle},
                    {"transactions", figures.transactions},
                    {"queries", figures.queries},
                    {"logins", figures.logins},
                    {"logins_failed", figures.logins_failed},
                    {"bytes_in", figures.bytes_in},
                    {"bytes_out", figures.bytes_out}};
    for (size_t i = 0; i < array_size(counters); i++)
        json_object_set_new(status, counters[i].name, json_integer(counters[i].value));
    return status;
}

struct backend_list {
    json_t *rows;
    const struct route_globals *globals;
};

static void add_backend(void *owner, const struct proxy_backend *backend)
{
    struct backend_list *list = owner;
    const struct route_cluster *cluster = route_find_cluster(list->globals, backend->cluster_id);
    json_array_append_new(
        list->rows,
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:I, s:I, s:i}", "pid",
                  (int)backend->pid, "tenant", backend->tenant, "service", backend->service,
                  "state", backend->state, "cluster", cluster ? cluster->name : "", "database",
                  backend->database, "login_role", backend->login_role, "shared", backend->guarded,
                  "read_only", backend->read_only, "prepared", (json_int_t)backend->prepared,
                  "schemas", (json_int_t)backend->schemas, "worker", backend->worker));
}

static json_t *make_backend_list(struct server *server)
{
    struct route_snapshot *snapshot = route_table_acquire(server->routes);
    struct backend_list list = {json_array(), route_snapshot_globals(snapshot)};
    bool complete =
        !server->stopping && proxy_list_backends(server->proxy, ps_timeout_us, add_backend, &list);
    route_snapshot_release(snapshot);
    return json_pack("{s:o, s:b}", "backends", list.rows, "complete", complete);
}

static json_t *make_top(struct server *server)
{
    json_t *status = make_status(server);
    if (server->stopping) /* there may be workers no more */
        return json_pack("{s:o, s:b}", "server", status, "complete", false);
    return top_answer(server->proxy, server->routes, status);
}

/* ---- ending a server connection ---- */

struct kill_request {
    int64_t pid;
    char cluster[ROUTE_NAME_SIZE]; /* "": any */
    const struct route_globals *globals;
    int matches;
    struct proxy_backend match;
};

static void match_backend(void *owner, const struct proxy_backend *backend)
{
    struct kill_request *request = owner;
    const struct route_cluster *cluster = route_find_cluster(request->globals, backend->cluster_id);
    if (backend->pid != request->pid ||
        (request->cluster[0] && (!cluster || strcmp(cluster->name, request->cluster) != 0)))
        return;
    request->matches++;
    request->match = *backend;
}

/* "PID CLUSTER" or "PID "; answers with how many it found, and has ended it when that was one. */
static json_t *kill_backend(struct server *server, const char *arguments, bool cancel)
{
    struct kill_request request = {0};
    char number[24];
    const char *blank = strchr(arguments, ' ');
    if (!blank || !str_copy(request.cluster, sizeof(request.cluster), blank + 1) ||
        (size_t)(blank - arguments) >= sizeof(number))
        return NULL;
    memcpy(number, arguments, (size_t)(blank - arguments));
    number[blank - arguments] = '\0';
    if (!str_to_i64(number, 1, INT32_MAX, &request.pid) || server->stopping)
        return NULL;
    struct route_snapshot *snapshot = route_table_acquire(server->routes);
    request.globals = route_snapshot_globals(snapshot);
    bool complete = proxy_list_backends(server->proxy, ps_timeout_us, match_backend, &request);
    route_snapshot_release(snapshot);
    if (request.matches == 1 && complete)
        proxy_kill_backend(server->proxy, &request.match, cancel);
    return json_pack("{s:i, s:b, s:s, s:s}", "matches", request.matches, "complete", complete,
                     "tenant", request.match.tenant, "state",
                     request.match.state ? request.match.state : "");
}

static const char kill_word[] = "kill ";
static const char cancel_word[] = "cancel ";

/* ---- another server takes over ---- */

static void wake(int fd)
{
    uint64_t one = 1;
    ssize_t ignored = write(fd, &one, sizeof(one));
    (void)ignored;
}

/* One server can take over, and only from one that is not stopping. The embedded PostgreSQL could
 * not be handed over: it is our child. */
static json_t *grant_retirement(struct server *server)
{
    bool granted = !server->stopping && !atomic_exchange(&server->retiring, true);
    if (granted)
        wake(server->retire_fd);
    return json_pack("{s:b}", "granted", granted);
}

static void retire(struct server *server)
{
    uint64_t ignored;
    ssize_t got = read(server->retire_fd, &ignored, sizeof(ignored));
    (void)got;
    log_info("another server takes over: no new clients here; running transactions may finish");
    status_server_give_up_path(server->status);
    listen_give_up_paths(&server->listen);
    server->metrics = metrics_server_stop(server->metrics);
    proxy_stop_accepting(server->proxy);
    server->deaf = true; /* the sockets are the other's as well: they must not be shut */
    server->retire_us = time_monotonic_us() + RETIRE_LINGER_US;
}

/* On the status thread. */
static json_t *answer(void *owner, const char *question, struct status_descriptors *ret)
{
    struct server *server = owner;
    if (strcmp(question, "handover") == 0 && !server->spec->embedded)
        return handover_describe(&server->listen, &server->metrics_listen, ret);
    if (strcmp(question, "retire") == 0 && !server->spec->embedded)
        return grant_retirement(server);
    if (strcmp(question, "status") == 0)
        return make_status(owner);
    if (strcmp(question, "ps") == 0)
        return make_backend_list(owner);
    if (strcmp(question, "top") == 0)
        return make_top(owner);
    if (strncmp(question, kill_word, strlen(kill_word)) == 0)
        return kill_backend(owner, question + strlen(kill_word), false);
    if (strncmp(question, cancel_word, strlen(cancel_word)) == 0)
        return kill_backend(owner, question + strlen(cancel_word), true);
    return NULL;
}

/* ---- stopping ---- */

static void *wait_for_proxy(void *argument)
{
    struct server *server = argument;
    log_set_thread_name("waiter");
    proxy_wait(server->proxy);
    wake(server->ended_fd);
    return NULL;
}

static void begin_stop(struct server *server)
{
    server->stopping = true;
    atomic_store(&server->jobs_cancelled, true);
    proxy_shut_down(server->proxy);
}

static void take_signal(struct server *server)
{
    struct signalfd_siginfo signal_info;
    if (read(server->signal_fd, &signal_info, sizeof(signal_info)) != sizeof(signal_info))
        return;
    switch ((int)signal_info.ssi_signo) {
    case SIGHUP:
        reload(server);
        break;
    case SIGCHLD:
        if (server->spec->embedded && embedded_has_ended(server->spec->embedded) &&
            !server->stopping) {
            log_error("the embedded PostgreSQL ended by itself; see %s",
                      server->spec->embedded->log);
            server->outcome = -ERROR_STATE;
            begin_stop(server);
        }
        break;
    default:
        if (server->stopping) {
            log_warning("stopping at once");
            /* The embedded server is told by the kernel: we are its parent. */
            _exit(error_info(ERROR_CANCELLED)->exit_code);
        }
        log_info("stopping: no new clients; running transactions may finish");
        begin_stop(server);
    }
}

/*
 * While it stops, who connects is to be refused, not left to wait in the kernel's queue. The
 * workers are given a moment to let go of the sockets first.
 */
static int poll_limit_ms(const struct server *server)
{
    if (server->retire_us > 0 && !server->stopping) {
        int64_t left_us = server->retire_us - time_monotonic_us();
        return left_us > 0 ? (int)(left_us / TIME_MS) + 1 : 0;
    }
    return server->stopping && !server->deaf ? 100 : -1;
}

static void time_passed(struct server *server)
{
    if (server->retire_us > 0) {
        begin_stop(server);
        return;
    }
    listen_refuse(&server->listen);
    server->deaf = true;
}

static int wait_for_end(struct server *server, struct error *err)
{
    struct pollfd entries[] = {{.fd = server->signal_fd, .events = POLLIN},
                               {.fd = server->ended_fd, .events = POLLIN},
                               {.fd = server->retire_fd, .events = POLLIN}};
    for (;;) {
        int ready = poll(entries, array_size(entries), poll_limit_ms(server));
        if (ready < 0) {
            if (errno == EINTR)
                continue;
            return error_errno(err, errno, "cannot wait for signals");
        }
        if (ready == 0)
            time_passed(server);
        if (entries[0].revents)
            take_signal(server);
        if (entries[2].revents)
            retire(server);
        if (entries[1].revents)
            break;
    }
    if (server->outcome < 0)
        return error_set(err, ERROR_STATE, "the embedded PostgreSQL ended by itself");
    return 0;
}

/* ---- starting ---- */

static int start_metrics(struct server *server, struct error *err)
{
    const struct metrics_options options = {.listen_fds = server->metrics_listen.fds,
                                            .listen_count = server->metrics_listen.count,
                                            .proxy = server->proxy,
                                            .routes = server->routes,
                                            .tenants = (size_t)server->config->metrics_tenants};
    if (options.listen_count == 0)
        return 0;
    int result = metrics_server_start(&options, &server->metrics, err);
    if (result == 0)
        log_info("metrics are told on %s:%d", server->config->metrics_listen.host,
                 server->config->metrics_listen.port);
    return result;
}

/* Told before anything is opened, as everything else that is wrong with the configuration. */
static int check_tls(const struct config *config, struct error *err)
{
    SSL_CTX *context = NULL;
    if (!config->tls_cert)
        return 0;
    int result = tls_server_context(config->tls_cert, config->tls_key, &context, err);
    SSL_CTX_free(context);
    return result;
}

static int open_sockets(struct server *server, struct error *err)
{
    struct listen_set handed = {0};
    int result = 0;
    if (server->spec->replace)
        result = handover_ask(server->config->status_socket, &server->arena, &handed, err);
    server->takes_over = handed.count > 0;
    if (result == 0)
        result = listen_open_metrics(server->config, &handed, &server->arena,
                                     &server->metrics_listen, err);
    if (result == 0)
        result = listen_open(server->config, server->takes_over ? &handed : NULL, &server->arena,
                             &server->listen, err);
    else
        listen_close(&handed);
    return result;
}

static int open_files(struct server *server, struct error *err)
{
    sigset_t signals;
    served_signals(&signals);
    server->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    server->ended_fd = eventfd(0, EFD_CLOEXEC);
    server->retire_fd = eventfd(0, EFD_CLOEXEC);
    if (server->signal_fd < 0 || server->ended_fd < 0 || server->retire_fd < 0)
        return error_errno(err, errno, "cannot make a descriptor for signals");
    int result = crypto_key_file_read(server->config->key_file, server->key, err);
    if (result == 0)
        result = open_sockets(server, err);
    return result;
}

/* The follower is started behind the proxy, which must hear of all that it publishes. */
static void refresh_routes(void *context, void (*done)(void *argument), void *argument)
{
    const struct server *server = context;
    catalog_follower_refresh(server->follower, done, argument);
}

static int make_proxy(struct server *server, struct error *err)
{
    struct proxy_config config;
    int result = make_proxy_config(server, server->config, &config, err);
    if (result < 0)
        return result;
    server->connector = connector_make(server->key);
    const struct proxy_resolver resolver = {.context = server, .refresh = refresh_routes};
    result =
        proxy_create(&config, server->routes, &server->connector, &resolver, &server->proxy, err);
    free_proxy_config(&config);
    return result;
}

static int start_jobs(struct server *server, struct error *err)
{
    server->job = (struct job_context){.control = server->config->control,
                                       .actor = "serve",
                                       .definitions = move_jobs,
                                       .cancelled = &server->jobs_cancelled};
    memcpy(server->job.master_key, server->key, sizeof(server->key));
    struct job_runner **runner = server->runners;
    int result =
        job_runner_start(&server->job, "jobs", job_resume_short, job_interval_us, runner++, err);
    for (int i = 0; result == 0 && i < LASTING_RUNNERS; i++)
        result = job_runner_start(&server->job, "moves", job_resume_lasting, job_interval_us,
                                  runner++, err);
    if (result == 0) /* however many moves there are to go on with */
        result = job_runner_start(&server->job, "waiting", job_release_waiting, release_interval_us,
                                  runner++, err);
    if (result == 0)
        result =
            job_runner_start(&server->job, "streams", move_keep, keep_interval_us, runner, err);
    return result;
}

/* Last of all: from here on it is this server that is asked. */
static int start_status(struct server *server, struct error *err)
{
    const char *path = server->config->status_socket;
    if (!server->takes_over)
        return status_server_start(path, answer, server, &server->status, err);
    const char *beside = arena_printf(&server->arena, "%s.%d", path, (int)getpid());
    int result = status_server_start(beside, answer, server, &server->status, err);
    if (result == 0)
        result = handover_retire(path, err);
    if (result == 0)
        result = status_server_move(server->status, path, err);
    server->takes_over = result < 0;
    return result;
}

static int start(struct server *server, struct error *err)
{
    const struct catalog_follower_options follow = {.control = server->config->control};
    server->routes = route_table_new();
    int result = make_proxy(server, err);
    if (result == 0) /* who holds a tenant from now on waits for us, too */
        result = presence_start(server->config->control, server->proxy, &server->presence, err);
    if (result == 0)
        result = catalog_follower_start(&follow, server->routes, &server->follower, err);
    if (result == 0)
        result = start_jobs(server, err);
    if (result == 0)
        result = proxy_start(server->proxy, err);
    if (result < 0)
        return result;
    int failed = pthread_create(&server->waiter, NULL, wait_for_proxy, server);
    if (failed) {
        proxy_shut_down(server->proxy);
        proxy_wait(server->proxy);
        return error_errno(err, failed, "cannot start a thread");
    }
    result = start_metrics(server, err);
    if (result == 0)
        result = start_status(server, err);
    if (result < 0) {
        proxy_shut_down(server->proxy);
        pthread_join(server->waiter, NULL);
    }
    return result;
}

static void close_descriptor(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* In the order of use: what answers the proxy's questions goes after it. */
static void clean_up(struct server *server)
{
    atomic_store(&server->jobs_cancelled, true);
    status_server_stop(server->status);
    metrics_server_stop(server->metrics);
    for (size_t i = 0; i < array_size(server->runners); i++)
        job_runner_stop(server->runners[i]);
    presence_stop(server->presence);
    catalog_follower_stop(server->follower);
    proxy_free(server->proxy);
    route_table_free(server->routes);
    if (server->takes_over) /* it did not: the files are still the other's */
        listen_give_up_paths(&server->listen);
    listen_close(&server->listen);
    listen_close(&server->metrics_listen);
    close_descriptor(server->signal_fd);
    close_descriptor(server->ended_fd);
    close_descriptor(server->retire_fd);
    crypto_wipe(server->key, sizeof(server->key));
    crypto_wipe(server->job.master_key, sizeof(server->job.master_key));
    arena_reset(&server->arena);
}

int server_run(const struct server_spec *spec, struct error *err)
{
    struct server server = {.spec = spec,
                            .config = spec->config,
                            .started_us = time_monotonic_us(),
                            .signal_fd = -1,
                            .ended_fd = -1,
                            .retire_fd = -1};
    log_set_level((enum log_level)spec->config->log_level);
    int result = check_tls(server.config, err);
    if (result == 0)
        result = open_files(&server, err);
    if (result == 0)
        result = start(&server, err);
    if (result == 0) {
        if (spec->ready)
            spec->ready(spec->owner, spec->config);
        result = wait_for_end(&server, err);
        pthread_join(server.waiter, NULL);
        log_info("stopped");
    }
    clean_up(&server);
    return result;
}

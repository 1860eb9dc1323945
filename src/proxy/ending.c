#include "proxy/ending.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/time.h"
#include "proxy/place.h"

enum {
    LOOK_FIRST_US = 5 * TIME_MS, /* and twice as long each time */
    LOOK_LAST_US = 320 * TIME_MS,
    DISCARD_SIZE = 64 * 1024,
    DISCARDS_MAX = 16, /* a look: who talks without end must not keep the worker */
};

/* What is done about it when it has not ended so long after the cancel request. */
static const struct {
    int64_t after_us;
    bool gives_up; /* there may be no such server any more; else its process is ended */
} steps[] = {{TIME_S, false}, {8 * TIME_S, false}, {30 * TIME_S, true}};

/* ---- the server's process is ended from another session ---- */

struct terminate_job {
    struct job job; /* first */
    const struct proxy_connector *connector;
    struct worker_cluster *cluster;
    struct proxy_target target;
    int32_t backend_pid;
    int client_port;
    int result;
    struct error err;
};

static void terminate_run(struct job *job)
{
    struct terminate_job *terminate = container_of(job, struct terminate_job, job);
    terminate->result = terminate->connector->terminate(terminate->connector->context,
                                                        &terminate->target, terminate->backend_pid,
                                                        terminate->client_port, &terminate->err);
}

static void terminate_done(struct worker *worker reeve_unused, struct note *note)
{
    struct terminate_job *terminate =
        container_of(container_of(note, struct job, note), struct terminate_job, job);
    terminate->cluster->terminating = false;
    if (terminate->result < 0)
        log_write_error(LOG_WARNING, &terminate->err,
                        "a server process whose client has gone cannot be ended");
    crypto_wipe(&terminate->target, sizeof(terminate->target));
    free(terminate);
}

/* As pg_stat_activity tells it: our end's port, -1 of a Unix socket. */
static int port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } address = {0};
    socklen_t length = sizeof(address);
    if (getsockname(fd, &address.any, &length) < 0)
        return 0; /* nobody's */
    switch (address.any.sa_family) {
    case AF_INET:
        return ntohs(address.v4.sin_port);
    case AF_INET6:
        return ntohs(address.v6.sin6_port);
    default:
        return -1;
    }
}

static void terminate(const struct backend *backend)
{
    struct worker *worker = backend->worker;
    struct terminate_job *terminate = xcalloc(1, sizeof(*terminate));
    log_info("ending server process %d, which does not end by a cancel request, tenant=%s",
             backend->connection.backend_pid, backend_tenant(backend));
    terminate->connector = &worker->proxy->connector;
    terminate->cluster = backend->cluster;
    terminate->cluster->terminating = true;
    terminate->target = backend->pool->target;
    terminate->target.timeout_us = atomic_load(&worker->proxy->connect_timeout_us);
    terminate->backend_pid = backend->connection.backend_pid;
    terminate->client_port = port_of(backend->connection.fd);
    worker_run(worker, worker->proxy->connectors, terminate->cluster->budget->cluster_id,
               &terminate->job, terminate_run, terminate_done);
}

/* ---- looking ---- */

bool ending_is_awaited(const struct backend *backend)
{
    return backend->connected && !backend->end_seen && !expect_empty(&backend->expected) &&
           !backend->worker->stopping && !backend->worker->gives_up_ending;
}

/* Throws away what it says. True at its end. */
static bool has_ended(const struct backend *backend)
{
    char bytes[DISCARD_SIZE];
    for (int i = 0; i < DISCARDS_MAX; i++) {
        ssize_t got = recv(backend->connection.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
            return true;
        if (got < 0 && errno != EINTR)
            return false;
    }
    return false;
}

static void look_at(struct worker *worker, int64_t at_us)
{
    struct timer *timer = &worker->ending_timer;
    if (!timer_running(timer) || timer->deadline_us > at_us)
        timer_start(timer, at_us);
}

static void look_later(struct backend *backend)
{
    int64_t now_us = engine_now_us(backend->worker->engine);
    backend->ending_us = now_us + backend->ending_wait_us;
    if (backend->ending_wait_us < LOOK_LAST_US)
        backend->ending_wait_us *= 2;
    look_at(backend->worker, backend->ending_us);
}

void ending_note(struct backend *backend, struct place *place)
{
    if (!place || backend->ending_of || expect_empty(&backend->expected))
        return;
    backend->ending_of = place;
    place_end_one(place, 1);
}

static void leave_place(struct backend *backend)
{
    struct place *place = take_pointer(backend->ending_of);
    if (place)
        place_end_one(place, -1);
}

void ending_begin(struct backend *backend)
{
    struct worker *worker = backend->worker;
    (void)shutdown(backend->connection.fd, SHUT_WR);
    backend->ending_wait_us = LOOK_FIRST_US;
    backend->ending_since_us = engine_now_us(worker->engine);
    backend->ending_step = 0;
    list_append(&worker->ending, &backend->ending);
    look_later(backend);
}

void ending_forget(struct backend *backend)
{
    list_remove(&backend->ending);
    leave_place(backend);
}

/* False: it is given up. One at a time of a cluster is ended, as each may wait for a server that
 * does not answer, on a thread that others need. */
static bool take_step(struct backend *backend)
{
    int64_t age_us = engine_now_us(backend->worker->engine) - backend->ending_since_us;
    if (age_us < steps[backend->ending_step].after_us)
        return true;
    if (steps[backend->ending_step].gives_up) {
        log_warning("server process %d does not end: its connection is counted no more",
                    backend->connection.backend_pid);
        return false;
    }
    if (!backend->cluster->terminating) {
        backend->ending_step++;
        terminate(backend);
    } else if (age_us >= steps[array_size(steps) - 1].after_us) {
        backend->ending_step = array_size(steps) - 1;
    }
    return true;
}

static void look(struct backend *backend)
{
    if (has_ended(backend) || !take_step(backend)) {
        backend->end_seen = true;
        backend_close(backend);
        return;
    }
    look_later(backend);
}

void ending_look(void *owner)
{
    struct worker *worker = owner;
    int64_t now_us = engine_now_us(worker->engine);
    struct list due;
    list_init(&due);
    list_for_each_safe (link, &worker->ending) {
        struct backend *backend = list_entry(link, struct backend, ending);
        if (backend->ending_us > now_us) {
            look_at(worker, backend->ending_us);
            continue;
        }
        list_remove(link);
        list_append(&due, link);
    }
    while (!list_empty(&due)) {
        struct backend *backend = list_first(&due, struct backend, ending);
        list_remove(&backend->ending);
        list_append(&worker->ending, &backend->ending);
        look(backend);
    }
}

void ending_give_up(struct worker *worker)
{
    worker->gives_up_ending = true;
    struct list left;
    list_init(&left);
    while (!list_empty(&worker->ending)) {
        struct list *link = worker->ending.next;
        list_remove(link);
        list_append(&left, link);
    }
    while (!list_empty(&left)) {
        struct backend *backend = list_first(&left, struct backend, ending);
        list_remove(&backend->ending);
        backend_close(backend); /* or when its cancel request is over */
    }
}

#include "proxy/backend.h"
#include "proxy/ending.h"
#include "proxy/keep.h"
#include "proxy/place.h"
#include "proxy/prepare.h"
#include "proxy/usage.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/time.h"
#include "wire/sqlstate.h"

static void set_state(struct backend *backend, enum backend_state state)
{
    backend->state = state;
}

/* ---- logging in ---- */

struct connect_job {
    struct job job; /* first */
    struct backend *backend;
    struct proxy *proxy;
    struct proxy_target target;
    struct proxy_connection connection;
    int result;
    struct error err;
};

static void connect_run(struct job *job)
{
    struct connect_job *connect = container_of(job, struct connect_job, job);
    const struct proxy_connector *connector = &connect->proxy->connector;
    connect->result = connector->connect(connector->context, &connect->target, &connect->connection,
                                         &connect->err);
}

static size_t received(void *owner, const char *bytes, size_t length)
{
    return backend_received(owner, bytes, length);
}

static void drained(void *owner)
{
    struct backend *backend = owner;
    struct client *client = backend->client;
    if (client && client->state == CLIENT_ACTIVE)
        client_resume(client);
}

static void closed(void *owner, const struct error *reason)
{
    struct backend *backend = owner;
    struct client *client = backend->client;
    backend->end_seen = true;
    if (client) {
        log_warning("server connection lost tenant=%s placement=%lld: %s", client->tenant,
                    (long long)client->place->placement_id,
                    reason->code ? reason->message : "closed by the server");
        backend_unlink(backend);
        if (backend->told_fatal)
            client_close(client);
        else
            client_fail(client, SQLSTATE_CONNECTION_FAILURE,
                        "the server closed the connection unexpectedly", NULL);
    }
    backend_close(backend);
}

static const struct stream_events backend_events = {
    .received = received, .drained = drained, .closed = closed};

/* ParameterStatus as at login. The role's name is Reeve's business: a client is told its own. */
static void adopt_parameters(struct backend *backend)
{
    struct pair items[array_size(backend->connection.parameters)];
    size_t count_ = 0;
    for (size_t i = 0; i < backend->connection.parameter_count; i++) {
        const char *name = backend->connection.parameters[i].name;
        const char *value = backend->connection.parameters[i].value;
        if (strcmp(name, "session_authorization") == 0)
            continue;
        items[count_++] = (struct pair){name, value};
    }
    backend->parameters = pairs_make(&backend->worker->pairs, items, count_);
}

static int adopt_connection(struct backend *backend, struct error *err)
{
    /* The handle keeps its descriptor, which its TLS session reads; the stream has one of its own.
     */
    int fd = dup(backend->connection.fd);
    if (fd < 0)
        return error_set(err, ERROR_IO, "cannot duplicate a descriptor");
    int result = stream_create(backend->worker->engine, fd, backend->connection.ssl, false,
                               &backend_events, backend, &backend->stream, err);
    if (result < 0) {
        close(fd);
        return result;
    }
    stream_set_first(backend->stream);
    adopt_parameters(backend);
    backend->settings = pairs_ref(backend->worker->no_pairs);
    backend->status = 'I';
    return 0;
}

static void become_idle(struct backend *backend);

static void connect_done(struct worker *worker, struct note *note)
{
    struct connect_job *connect =
        container_of(container_of(note, struct job, note), struct connect_job, job);
    struct backend *backend = connect->backend;
    struct pool *pool = backend->pool;
    pool->connecting--;
    int result = connect->result;
    if (result == 0) {
        backend->connection = connect->connection;
        backend->connected = true;
        backend->connected_us = engine_now_us(worker->engine);
        result = adopt_connection(backend, &connect->err);
    }
    if (result < 0) {
        pool_connect_failed(pool, &connect->err);
        backend_close(backend);
    } else {
        pool->failures = 0;
        pool->retry_us = 0;
        log_debug("logged in to the server role=%s database=%s", pool->target.login.role,
                  pool->target.database);
        if (pool_is_guarded(pool))
            home_take_seat(backend);
        else
            pool_remember(pool, pool->key.read_only, worker->no_pairs, backend->parameters);
        if (pool->queue.count == 0 && worker->shutting_down)
            backend_close(backend);
        else
            become_idle(backend);
    }
    free(connect);
}

void backend_connect(struct pool *pool)
{
    struct worker *worker = pool->worker;
    struct backend *backend = xcalloc(1, sizeof(*backend));
    backend->pool = pool;
    backend->worker = worker;
    backend->cluster = pool->cluster;
    backend->generation = pool->generation;
    backend->chance = hash_u64(++worker->next_backend);
    deadline_init(&backend->deadline);
    list_init(&backend->of_place);
    list_init(&backend->link);
    list_init(&backend->idle);
    list_init(&backend->lru);
    list_init(&backend->cluster_lru);
    list_init(&backend->ending);
    expect_init(&backend->expected);
    backend_statements_init(&backend->statements);
    list_append(&pool->backends, &backend->link);
    pool->backend_count++;
    pool->connecting++;
    count(&worker->counters.backends, 1);
    if (pool->owner)
        backend_set_place(backend, pool->owner);
    set_state(backend, BACKEND_CONNECTING);
    struct connect_job *connect = xcalloc(1, sizeof(*connect));
    connect->backend = backend;
    connect->proxy = worker->proxy;
    connect->target = pool->target;
    connect->target.timeout_us = atomic_load(&worker->proxy->connect_timeout_us);
    worker_run(worker, worker->proxy->connectors, pool->cluster->budget->cluster_id, &connect->job,
               connect_run, connect_done);
}

/* ---- idle ---- */

static void leave_idle(struct backend *backend)
{
    if (list_empty(&backend->idle))
        return;
    list_remove(&backend->idle);
    list_remove(&backend->lru);
    list_remove(&backend->cluster_lru);
    backend->pool->idle_count--;
    count(&backend->worker->counters.backends_idle, -1);
}

bool backend_slot_is_owed(const struct backend *backend)
{
    if (keep_needs_all(backend->pool))
        return false;
    const struct client *own = queue_oldest(&backend->pool->queue);
    int64_t now_us = engine_now_us(backend->worker->engine);
    bool idle = backend->state == BACKEND_IDLE;
    return budget_owes(backend->cluster->budget, &backend->pool->claim,
                       own ? own->since_us : INT64_MAX, idle ? backend->idle_since_us : now_us,
                       now_us);
}

/* Each a little sooner than it may, by its own chance. */
static bool is_old(const struct backend *backend, int64_t now_us)
{
    int64_t most_us =
        atomic_load_explicit(&backend->worker->proxy->backend_lifetime_us, memory_order_relaxed);
    return most_us > 0 && now_us - backend->connected_us >=
                              most_us - (int64_t)(backend->chance % (uint64_t)(most_us / 10 + 1));
}

static void become_idle(struct backend *backend)
{
    struct pool *pool = backend->pool;
    struct worker *worker = backend->worker;
    if (backend->tainted || backend_is_worn(backend) ||
        is_old(backend, engine_now_us(worker->engine)) || backend->generation != pool->generation ||
        keep_has_too_many(pool) || backend_slot_is_owed(backend) ||
        (worker->shutting_down && pool->queue.count == 0)) {
        backend_close(backend);
        return;
    }
    set_state(backend, BACKEND_IDLE);
    if (stream_read_paused(backend->stream))
        stream_resume_read(backend->stream);
    backend->idle_since_us = engine_now_us(worker->engine);
    list_prepend(&pool->idle, &backend->idle);
    pool->idle_count++;
    list_append(&worker->idle, &backend->lru);
    list_append(&backend->cluster->idle, &backend->cluster_lru);
    count(&worker->counters.backends_idle, 1);
    if (!timer_running(&worker->idle_timer))
        timer_start(&worker->idle_timer,
                    backend->idle_since_us + atomic_load(&worker->proxy->idle_backend_us));
    worker_cluster_look_later(backend->cluster);
    if (pool->queue.count > 0)
        pool_serve(pool);
}

void backend_renew(struct backend *backend)
{
    struct worker *worker = backend->worker;
    backend->idle_since_us = engine_now_us(worker->engine);
    list_remove(&backend->lru);
    list_append(&worker->idle, &backend->lru);
}

void backend_evict(struct backend *backend)
{
    if (backend->state == BACKEND_IDLE)
        backend_close(backend);
}

/* ---- its place ---- */

void backend_set_place(struct backend *backend, struct place *place)
{
    list_remove(&backend->of_place);
    list_prepend(&place->backends, &backend->of_place);
    backend->place = place;
    backend->entered_epoch = place->epoch;
}

void backend_forget_place(struct backend *backend)
{
    list_remove(&backend->of_place);
    backend->place = NULL;
}

const char *backend_tenant(const struct backend *backend)
{
    return backend->client      ? backend->client->tenant
           : backend->ending_of ? backend->ending_of->tenant
           : backend->place     ? backend->place->tenant
                                : "-";
}

/* ---- the end ---- */

/* Where the server may have got a message in part, the Terminate of the handle's end would be read
 * as the rest of it, and the message run. Without one it is thrown away. */
static void close_stream(struct backend *backend)
{
    bool may_be_cut = backend->state != BACKEND_IDLE && backend->state != BACKEND_CONNECTING;
    stream_close(take_pointer(backend->stream));
    if (may_be_cut && backend->connected)
        (void)shutdown(backend->connection.fd, SHUT_WR);
}

void backend_close(struct backend *backend)
{
    struct pool *pool = backend->pool;
    struct worker *worker = backend->worker;
    if (backend->cancels > 0) {
        /* The handle is in use by a cancel request; its end closes the backend. */
        backend->tainted = true;
        leave_idle(backend);
        close_stream(backend);
        set_state(backend, BACKEND_CLOSED);
        return;
    }
    leave_idle(backend);
    close_stream(backend);
    if (ending_is_awaited(backend)) {
        set_state(backend, BACKEND_ENDING);
        ending_begin(backend);
        return;
    }
    ending_forget(backend);
    if (backend->connected)
        worker->proxy->connector.close(worker->proxy->connector.context, &backend->connection);
    expect_free(&backend->expected);
    backend_statements_free(&backend->statements);
    statement_unref(backend->unnamed);
    prepare_free(backend);
    session_free_captured(backend);
    pairs_unref(backend->settings);
    pairs_unref(backend->parameters);
    home_leave_seat(backend);
    list_remove(&backend->link);
    list_remove(&backend->of_place);
    pool->backend_count--;
    count(&worker->counters.backends, -1);
    struct budget *budget = backend->cluster->budget;
    crypto_wipe(backend->connection.guard_key, sizeof(backend->connection.guard_key));
    free(backend->touched);
    free(backend);
    worker_release_slot(budget, &pool->claim);
    keep_closed(pool);
    if (pool->queue.count > 0) {
        pool_serve(pool);
    } else {
        if (pool->owner)
            place_check_unused(pool->owner);
        pool_check_unused(pool);
    }
    worker_check_stopped(worker);
}

/* ---- cancelling ---- */

struct cancel_job {
    struct job job; /* first */
    struct backend *backend;
    struct proxy *proxy;
    int result;
    struct error err;
};

static void cancel_run(struct job *job)
{
    struct cancel_job *cancel = container_of(job, struct cancel_job, job);
    const struct proxy_connector *connector = &cancel->proxy->connector;
    cancel->result =
        connector->cancel(connector->context, &cancel->backend->connection, &cancel->err);
}

static void cancel_done(struct worker *worker, struct note *note)
{
    struct cancel_job *cancel =
        container_of(container_of(note, struct job, note), struct cancel_job, job);
    struct backend *backend = cancel->backend;
    (void)worker;
    if (cancel->result < 0)
        log_write_error(LOG_WARNING, &cancel->err, "a cancel request failed");
    free(cancel);
    if (--backend->cancels > 0)
        return;
    if (backend->state == BACKEND_CLOSED)
        backend_close(backend);
    else if (backend->state == BACKEND_CANCELLING)
        become_idle(backend);
    else if (backend->client)
        client_resume(backend->client);
}

bool backend_may_be_hit(const struct backend *backend)
{
    return backend->cancels > 0 && expect_empty(&backend->expected);
}

void backend_cancel(struct backend *backend)
{
    if (backend->cancels > 0)
        return;
    struct cancel_job *cancel = xcalloc(1, sizeof(*cancel));
    cancel->backend = backend;
    cancel->proxy = backend->worker->proxy;
    backend->cancels++;
    worker_run(backend->worker, backend->worker->proxy->cancellers,
               backend->cluster->budget->cluster_id, &cancel->job, cancel_run, cancel_done);
}

void backend_abort(struct backend *backend)
{
    if (!expect_empty(&backend->expected))
        backend_cancel(backend);
    backend_close(backend);
}

/* ---- linking ---- */

static void tell_parameters(struct backend *backend, struct client *client)
{
    struct pairs *want = backend->parameters;
    struct buffer *out = &backend->worker->scratch;
    for (size_t i = 0; i < want->count; i++) {
        const char *told = pairs_get(client->parameters, want->items[i].name);
        if (!told || strcmp(told, want->items[i].value) != 0)
            wire_put_parameter_status(out, want->items[i].name, want->items[i].value);
    }
    stream_write(client->stream, buffer_string(out), out->length);
    stream_flush(client->stream);
    buffer_reset(out);
    pairs_replace(&client->parameters, pairs_ref(want));
}

void backend_link(struct backend *backend, struct client *client)
{
    leave_idle(backend);
    set_state(backend, BACKEND_LINKED);
    backend->linked_us = engine_now_us(backend->worker->engine);
    backend->client = client;
    client->backend = backend;
    place_lend(client->place);
    backend->answer_bytes = 0;
    deadline_start(backend);
    client->first_due = true;
    client_set_state(client, CLIENT_ACTIVE);
    client_resume(client);
    if (pool_is_guarded(backend->pool)) {
        backend->must_enter = true;
        if (client->checking_settings)
            backend_enter(backend, client);
        return;
    }
    bool foreign = backend->settings_of != 0 && backend->settings_of != client->serial;
    if (foreign || backend->settings != client->settings)
        session_enter(backend, client);
    else if (client->checking_settings)
        session_checked(backend);
    else if (backend->parameters != client->parameters)
        tell_parameters(backend, client);
}

void backend_tell_parameters(struct backend *backend)
{
    struct client *client = backend->client;
    if (client && client->parameters && backend->parameters != client->parameters)
        tell_parameters(backend, client);
}

static void note_slow(const struct backend *backend, int64_t used_us)
{
    const struct client *client = backend->client;
    int64_t slow_us =
        atomic_load_explicit(&backend->worker->proxy->slow_transaction_us, memory_order_relaxed);
    if (slow_us > 0 && used_us >= slow_us)
        log_warning("slow transaction tenant=%s service=%s placement=%lld pid=%d seconds=%.3f",
                    client->tenant, client->service, (long long)client->place->placement_id,
                    backend->connection.backend_pid, (double)used_us / TIME_S);
}

void backend_unlink(struct backend *backend)
{
    struct client *client = backend->client;
    backend->must_enter = false;
    if (!client)
        return;
    int64_t used_us = engine_now_us(backend->worker->engine) - backend->linked_us;
    backend->tainted |= client->listens; /* it listens still, for nobody else */
    deadline_stop(backend);
    note_slow(backend, used_us);
    queue_charge(client->place, used_us);
    usage_count(backend->worker, client->place, PROXY_USE_BACKEND_US, used_us);
    backend->client = NULL;
    client->backend = NULL;
    client->skip_till_sync = false;
    client->half_told = backend->forward_left > 0;
    ending_note(backend, client->place);
    place_return(client->place);
}

void backend_transaction_ended(struct backend *backend)
{
    struct client *client = backend->client;
    struct worker *worker = backend->worker;
    if (backend->copy != COPY_NONE || backend->unsynced || !client || client->in_message ||
        client->gather.length > 0)
        return;
    if (backend->settings_dirty && !backend->doubtful) {
        session_capture(backend);
        return;
    }
    if (client->listens && backend->pool != client->place->pool && !worker->shutting_down) {
        client_fail(client, SQLSTATE_ADMIN_SHUTDOWN, "the tenant's channels are elsewhere now",
                    "connect and listen again");
        return;
    }
    if (client_keeps_backend(client) && !backend->doubtful && !worker->shutting_down)
        return;
    backend_unlink(backend);
    client_set_state(client, CLIENT_IDLE);
    if (worker->shutting_down)
        client_fail(client, SQLSTATE_ADMIN_SHUTDOWN,
                    "terminating connection due to administrator command", NULL);
    else
        client_resume(client);
    if (backend->cancels > 0)
        set_state(backend, BACKEND_CANCELLING);
    else
        become_idle(backend);
}

void backend_client_gone(struct backend *backend)
{
    struct client *client = backend->client;
    bool clean = expect_empty(&backend->expected) && backend->status == 'I' &&
                 !client_keeps_backend(client) && !client->in_message && !backend->settings_dirty &&
                 !backend->unsynced && backend->copy == COPY_NONE &&
                 stream_pending(backend->stream) == 0;
    if (mutation("proxy.undone"))
        clean = true;
    backend_unlink(backend);
    if (!clean)
        backend_abort(backend);
    else if (backend->cancels > 0)
        set_state(backend, BACKEND_CANCELLING);
    else
        become_idle(backend);
}

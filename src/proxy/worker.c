#include "proxy/worker.h"

#include <signal.h>

#include "base/log.h"
#include "base/time.h"
#include "proxy/backend.h"
#include "proxy/ending.h"
#include "proxy/keep.h"
#include "proxy/place.h"
#include "proxy/usage.h"
#include "wire/sqlstate.h"

/* ---- letters ---- */

static void letter_received(void *owner, struct letter *letter)
{
    struct note *note = container_of(letter, struct note, letter);
    note->received(owner, note);
}

void worker_post(struct worker *worker, struct note *note, enum letter_kind kind,
                 void (*received)(struct worker *worker, struct note *note))
{
    note->kind = kind;
    note->received = received;
    mailbox_post(worker->mailbox, &note->letter);
}

static void job_received(struct worker *worker, struct note *note)
{
    worker->jobs--;
    container_of(note, struct job, note)->done(worker, note);
    worker_check_stopped(worker);
}

static void prepare_job(struct worker *worker, struct job *job, void (*run)(struct job *job),
                        void (*done)(struct worker *worker, struct note *note))
{
    job->worker = worker;
    job->run = run;
    job->done = done;
    worker->jobs++;
}

static void run_job(struct task *task)
{
    struct job *job = container_of(task, struct job, task);
    job->run(job);
    worker_post(job->worker, &job->note, LETTER_TASK, job_received);
}

void worker_run(struct worker *worker, struct threads *threads, int64_t key, struct job *job,
                void (*run)(struct job *job),
                void (*done)(struct worker *worker, struct note *note))
{
    prepare_job(worker, job, run, done);
    job->task.run = run_job;
    job->task.key = key;
    threads_run(threads, &job->task);
}

void worker_run_here(struct worker *worker, struct job *job, void (*run)(struct job *job),
                     void (*done)(struct worker *worker, struct note *note))
{
    prepare_job(worker, job, run, done);
    run(job);
    worker_post(worker, &job->note, LETTER_TASK, job_received);
}

/* ---- timeouts: first in, first out, so only the head of a list is looked at ---- */

static void login_expired(void *owner)
{
    struct worker *worker = owner;
    int64_t timeout = atomic_load(&worker->proxy->login_timeout_us);
    int64_t now = engine_now_us(worker->engine);
    struct client *client;
    while ((client = list_first(&worker->logins, struct client, timed)) != NULL) {
        if (client->since_us + timeout > now) {
            timer_start(&worker->login_timer, client->since_us + timeout);
            return;
        }
        log_info("login took too long tenant=%s", client->tenant);
        count(&worker->counters.logins_failed, 1);
        client_close(client);
    }
}

static void idle_expired(void *owner)
{
    struct worker *worker = owner;
    int64_t timeout = atomic_load(&worker->proxy->idle_backend_us);
    int64_t now = engine_now_us(worker->engine);
    struct backend *backend;
    while ((backend = list_first(&worker->idle, struct backend, lru)) != NULL) {
        if (backend->idle_since_us + timeout > now) {
            timer_start(&worker->idle_timer, backend->idle_since_us + timeout);
            return;
        }
        if (keep_needs_all(backend->pool))
            backend_renew(backend);
        else
            backend_evict(backend);
    }
}

static void serve_pool_node(struct hash_node *node, void *argument)
{
    (void)argument;
    struct pool *pool = container_of(node, struct pool, node);
    if (pool->queue.count > 0 && pool->retry_us > 0)
        pool_serve(pool);
}

/* Runs only while logins to a server fail. */
static void retry_expired(void *owner)
{
    struct worker *worker = owner;
    hash_table_each(&worker->pools, serve_pool_node, NULL);
}

/* ---- clusters and the budget ---- */

static bool is_starved(const struct budget *budget)
{
    return atomic_load_explicit(&budget->starving_count, memory_order_relaxed) > 0;
}

static void give_kept_away(void *owner)
{
    struct worker_cluster *cluster = owner;
    struct worker *worker = cluster->worker;
    struct backend *victim;
    for (int left = budget_wanted(cluster->budget);
         left > 0 && (victim = pool_find_spare(cluster)) != NULL; left--)
        backend_evict(victim);
    if (is_starved(cluster->budget) && !list_empty(&worker->starving))
        proxy_ask_eviction(worker, cluster->budget);
    worker_cluster_look_later(cluster);
}

void worker_cluster_look_later(struct worker_cluster *cluster)
{
    const struct worker *worker = cluster->worker;
    bool concerned = !list_empty(&cluster->idle) || !list_empty(&worker->starving);
    if (concerned && is_starved(cluster->budget) && !timer_running(&cluster->yield_timer))
        timer_start(&cluster->yield_timer, engine_now_us(worker->engine) + BUDGET_KEPT_US);
}

struct worker_cluster *worker_cluster_of(struct worker *worker, struct budget *budget)
{
    uint64_t hash = hash_u64((uint64_t)budget->cluster_id);
    for (struct hash_node *node = hash_table_find(&worker->clusters, hash); node;
         node = hash_table_find_next(node)) {
        struct worker_cluster *cluster = container_of(node, struct worker_cluster, node);
        if (cluster->budget == budget)
            return cluster;
    }
    struct worker_cluster *cluster = xcalloc(1, sizeof(*cluster));
    cluster->worker = worker;
    cluster->budget = budget;
    list_init(&cluster->idle);
    timer_init(&cluster->yield_timer, worker->engine, give_kept_away, cluster);
    hash_table_insert(&worker->clusters, &cluster->node, hash);
    return cluster;
}

static void grant_received(struct worker *worker, struct note *note)
{
    struct list due;
    free(note);
    list_init(&due);
    while (!list_empty(&worker->starving)) {
        struct list *link = worker->starving.next;
        list_remove(link);
        list_append(&due, link);
    }
    while (!list_empty(&due)) { /* to serve one may serve another, which leaves the list then */
        struct pool *pool = list_first(&due, struct pool, starving);
        list_remove(&pool->starving);
        list_append(&worker->starving, &pool->starving);
        pool_serve(pool);
    }
}

void worker_tell_granted(struct worker *worker)
{
    worker_post(worker, xcalloc(1, sizeof(struct note)), LETTER_GRANT, grant_received);
}

void worker_release_slot(struct budget *budget, struct budget_claim *claim)
{
    struct worker *woken = budget_release(budget, claim);
    if (woken)
        worker_tell_granted(woken);
}

/* ---- routes ---- */

struct changed_note {
    struct note note;
    size_t count;
    bool all;
    int64_t ids[];
};

static void end_tenant(struct tenant_clients *tenant, const struct route_tenant *route)
{
    char message[160];
    if (route)
        snprintf(message, sizeof(message), "tenant \"%s\" is suspended", route->slug);
    else
        snprintf(message, sizeof(message), "the tenant is no longer there");
    log_info("closing the connections of tenant id %lld: %s", (long long)tenant->tenant_id,
             message);
    /* The last client that goes frees `tenant`: take the list apart without looking back at it. */
    size_t left = 0;
    list_for_each (link, &tenant->clients)
        left++;
    for (; left > 0; left--) {
        struct client *client = list_first(&tenant->clients, struct client, of_tenant);
        client_fail(client, SQLSTATE_CANNOT_CONNECT_NOW, message,
                    route ? "ask the operator of this service" : NULL);
    }
}

struct refresh {
    struct worker *worker;
    struct route_snapshot *snapshot;
    const struct changed_note *changed;
};

static bool concerns(const struct changed_note *changed, int64_t tenant_id)
{
    if (changed->all)
        return true;
    for (size_t i = 0; i < changed->count; i++) {
        if (changed->ids[i] == tenant_id)
            return true;
    }
    return false;
}

static void end_place_clients(struct place *place)
{
    size_t left = place->client_count;
    list_for_each_safe (link, &place->worker->clients) {
        struct client *client = list_entry(link, struct client, link);
        if (left == 0)
            break;
        if (client->place != place)
            continue;
        left--;
        client_fail(client, SQLSTATE_ADMIN_SHUTDOWN,
                    "the tenant's data of this service are not available any more", NULL);
    }
}

/* Its tenant's channels are in another pool's sessions now: who listens must begin anew. */
static void end_listening(struct place *place)
{
    list_for_each_safe (link, &place->worker->clients) {
        struct client *client = list_entry(link, struct client, link);
        if (client->place == place && client->listens && client->backend &&
            deadline_is_idle(client->backend))
            backend_transaction_ended(client->backend);
    }
}

static void refresh_place_node(struct hash_node *node, void *argument)
{
    struct refresh *refresh = argument;
    struct place *place = container_of(node, struct place, node);
    if (!place->pool || !concerns(refresh->changed, place->tenant_id))
        return; /* or it is on its way out */
    struct pool *before = place->pool;
    before->held = true; /* until the end of this function they are neither served nor freed */
    bool there = place_refresh(place, refresh->snapshot);
    struct pool *after = place->pool;
    after->held = true;
    if (!there)
        end_place_clients(place);
    else if (after != before)
        end_listening(place);
    before->held = after->held = false;
    pool_serve(before);
    if (after != before)
        pool_serve(after);
    place_check_unused(place);
}

static void end_tenant_node(struct hash_node *node, void *argument)
{
    struct refresh *refresh = argument;
    struct tenant_clients *tenant = container_of(node, struct tenant_clients, node);
    if (!concerns(refresh->changed, tenant->tenant_id))
        return;
    const struct route_tenant *route = route_find_id(refresh->snapshot, tenant->tenant_id);
    if (!route || route->status != ROUTE_TENANT_ACTIVE)
        end_tenant(tenant, route);
}

static void changed_received(struct worker *worker, struct note *note)
{
    struct changed_note *changed = container_of(note, struct changed_note, note);
    struct refresh refresh = {worker, route_table_acquire(worker->proxy->routes), changed};
    if (!mutation("proxy.suspend"))
        hash_table_each(&worker->tenants, end_tenant_node, &refresh);
    hash_table_each(&worker->places, refresh_place_node, &refresh);
    route_snapshot_release(refresh.snapshot);
    free(changed);
}

/* On the publishing thread. */
void worker_routes_changed(struct worker *worker, const int64_t *ids, size_t count_, bool all)
{
    struct changed_note *changed = xcalloc(1, sizeof(*changed) + count_ * sizeof(*ids));
    changed->all = all || !ids;
    if (!changed->all) {
        changed->count = count_;
        memcpy(changed->ids, ids, count_ * sizeof(*ids));
    }
    worker_post(worker, &changed->note, LETTER_CHANGED, changed_received);
}

/* ---- the end ---- */

void worker_check_stopped(struct worker *worker)
{
    if (!worker->shutting_down || worker->stopping)
        return;
    if (!list_empty(&worker->clients) || worker->jobs > 0)
        return;
    while (!list_empty(&worker->idle))
        backend_close(list_first(&worker->idle, struct backend, lru));
    if (atomic_load(&worker->counters.backends) > 0)
        return;
    worker->stopping = true;
    engine_stop(worker->engine);
}

static void shutdown_expired(void *owner)
{
    struct worker *worker = owner;
    log_warning("the shutdown timeout passed: ending what still runs");
    while (!list_empty(&worker->clients)) {
        struct client *client = list_first(&worker->clients, struct client, link);
        client_fail(client, SQLSTATE_ADMIN_SHUTDOWN,
                    "terminating connection due to administrator command", NULL);
    }
    ending_give_up(worker);
    worker_check_stopped(worker);
}

static void close_listeners(struct worker *worker)
{
    for (size_t i = 0; i < array_size(worker->listeners); i++) {
        listener_close(worker->listeners[i]);
        worker->listeners[i] = NULL;
    }
}

void worker_stop_accepting(struct worker *worker, struct note *note)
{
    free(note);
    close_listeners(worker);
}

void worker_shut_down(struct worker *worker, struct note *note)
{
    free(note);
    if (worker->shutting_down)
        return;
    worker->shutting_down = true;
    close_listeners(worker);
    list_for_each_safe (link, &worker->clients) {
        struct client *client = list_entry(link, struct client, link);
        if (client->state != CLIENT_ACTIVE || deadline_is_idle(client->backend))
            client_fail(client, SQLSTATE_ADMIN_SHUTDOWN,
                        "terminating connection due to administrator command", NULL);
    }
    timer_start(&worker->shutdown_timer,
                engine_now_us(worker->engine) + atomic_load(&worker->proxy->shutdown_timeout_us));
    worker_check_stopped(worker);
}

/* ---- making ---- */

static void turn_ended(void *owner)
{
    places_free_unused(owner);
    pools_free_unused(owner);
}

static void client_arrived(void *owner, int fd)
{
    client_accepted(owner, fd);
}

int worker_create(struct proxy *proxy, int index, struct worker **ret, struct error *err)
{
    struct worker *worker = xcalloc(1, sizeof(*worker));
    worker->proxy = proxy;
    worker->index = index;
    list_init(&worker->clients);
    list_init(&worker->logins);
    list_init(&worker->idle);
    list_init(&worker->linked);
    list_init(&worker->rated);
    list_init(&worker->lacking);
    list_init(&worker->cancelling);
    list_init(&worker->ending);
    list_init(&worker->starving);
    list_init(&worker->unused);
    list_init(&worker->unused_places);
    pairs_store_init(&worker->pairs);
    worker->no_pairs = pairs_make(&worker->pairs, NULL, 0);
    buffer_init(&worker->scratch, WIRE_MAX_MESSAGE);
    int result = engine_create(proxy->config.engine, &worker->engine, err);
    if (result == 0)
        result = mailbox_create(worker->engine, letter_received, worker, &worker->mailbox, err);
    for (int i = 0; result == 0 && i < proxy->config.listen_count; i++)
        result = listener_create(worker->engine, proxy->config.listen_fds[i], client_arrived,
                                 worker, &worker->listeners[i], err);
    if (result < 0) {
        worker_free(worker);
        return result;
    }
    engine_on_turn_end(worker->engine, turn_ended, worker);
    timer_init(&worker->login_timer, worker->engine, login_expired, worker);
    timer_init(&worker->idle_timer, worker->engine, idle_expired, worker);
    timer_init(&worker->retry_timer, worker->engine, retry_expired, worker);
    timer_init(&worker->hold_timer, worker->engine, places_end_holds, worker);
    timer_init(&worker->deadline_timer, worker->engine, deadline_look, worker);
    timer_init(&worker->cancel_timer, worker->engine, cancel_look, worker);
    timer_init(&worker->keep_timer, worker->engine, keep_look, worker);
    timer_init(&worker->ending_timer, worker->engine, ending_look, worker);
    timer_init(&worker->rate_timer, worker->engine, rate_look, worker);
    timer_init(&worker->shutdown_timer, worker->engine, shutdown_expired, worker);
    *ret = worker;
    return 0;
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    char name[16];
    snprintf(name, sizeof(name), "worker-%d", worker->index);
    log_set_thread_name(name);
    engine_run(worker->engine);
    return NULL;
}

int worker_start(struct worker *worker, struct error *err)
{
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int result = pthread_create(&worker->thread, NULL, run_worker, worker);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (result != 0)
        return error_errno(err, result, "cannot start a worker thread");
    worker->started = true;
    return 0;
}

static void free_cluster_node(struct hash_node *node, void *argument)
{
    (void)argument;
    struct worker_cluster *cluster = container_of(node, struct worker_cluster, node);
    timer_stop(&cluster->yield_timer);
    free(cluster);
}

static void free_place_node(struct hash_node *node, void *argument)
{
    (void)argument;
    place_check_unused(container_of(node, struct place, node));
}

static void free_pool_node(struct hash_node *node, void *argument)
{
    (void)argument;
    pool_check_unused(container_of(node, struct pool, node));
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    for (size_t i = 0; i < array_size(worker->listeners); i++)
        listener_close(worker->listeners[i]);
    worker->stopping = true; /* what stays for later goes now */
    while (!list_empty(&worker->clients))
        client_close(list_first(&worker->clients, struct client, link));
    while (!list_empty(&worker->idle))
        backend_close(list_first(&worker->idle, struct backend, lru));
    ending_give_up(worker);
    mailbox_free(worker->mailbox);
    hash_table_each(&worker->places, free_place_node, NULL);
    places_free_unused(worker);
    hash_table_each(&worker->pools, free_pool_node, NULL);
    pools_free_unused(worker);
    usage_free(worker);
    hash_table_each(&worker->clusters, free_cluster_node, NULL);
    hash_table_free(&worker->pools);
    hash_table_free(&worker->places);
    hash_table_free(&worker->statements);
    hash_table_free(&worker->clusters);
    hash_table_free(&worker->tenants);
    hash_table_free(&worker->keys);
    pairs_unref(worker->no_pairs);
    pairs_store_free(&worker->pairs);
    buffer_free(&worker->scratch);
    engine_free(worker->engine);
    free(worker);
}

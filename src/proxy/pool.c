#include "proxy/pool.h"

#include "base/log.h"
#include "base/time.h"
#include "proxy/backend.h"

enum {
    RETRY_FIRST_US = 100 * TIME_MS,
    RETRY_LONGEST_US = 5 * TIME_S,
    CONNECTING_MAX = 8,  /* logins under way, a pool */
    SETTINGS_SEARCH = 4, /* idle backends that are looked at for fitting settings */
};

/* ---- finding and making ---- */

static uint64_t pool_hash(int64_t placement_id, bool read_only)
{
    return hash_u64((uint64_t)placement_id * 2 + (read_only ? 1 : 0));
}

static int fill_target(struct pool *pool, const struct route_snapshot *snapshot,
                       const struct route_placement *placement, struct error *err)
{
    const struct route_cluster *cluster =
        route_find_cluster(route_snapshot_globals(snapshot), placement->cluster_id);
    const struct route_login *login =
        pool->read_only ? &placement->read_only : &placement->read_write;
    if (!cluster || login->role[0] == '\0' || placement->state != ROUTE_PLACEMENT_READY)
        return error_set(err, ERROR_CONNECTION,
                         "service \"%s\" of this tenant is not available at the moment",
                         placement->service);
    str_copy(pool->target.conninfo, sizeof(pool->target.conninfo), cluster->conninfo);
    str_copy(pool->target.database, sizeof(pool->target.database), placement->database);
    pool->target.login = *login;
    pool->epoch = placement->epoch;
    struct budget *budget = proxy_budget(pool->worker->proxy, cluster);
    if (!budget)
        return error_set(err, ERROR_LIMIT, "there are more than %d clusters", (int)CLUSTERS_MAX);
    pool->cluster = worker_cluster_of(pool->worker, budget);
    return 0;
}

/* A pool may outlive the service of its placement, while clients leave it, and see it come back. */
static bool pool_is_served(struct pool *pool, const struct route_snapshot *snapshot,
                           const struct route_placement *placement, struct error *err)
{
    if (pool->epoch != -1 && placement->state == ROUTE_PLACEMENT_READY)
        return true;
    return fill_target(pool, snapshot, placement, err) == 0;
}

struct pool *pool_of(struct worker *worker, const struct route_snapshot *snapshot,
                     const struct route_tenant *tenant, const struct route_placement *placement,
                     bool read_only, struct error *err)
{
    uint64_t hash = pool_hash(placement->id, read_only);
    for (struct hash_node *node = hash_table_find(&worker->pools, hash); node;
         node = hash_table_find_next(node)) {
        struct pool *pool = container_of(node, struct pool, node);
        if (pool->placement_id == placement->id && pool->read_only == read_only)
            return pool_is_served(pool, snapshot, placement, err) ? pool : NULL;
    }
    struct pool *pool = xcalloc(1, sizeof(*pool));
    pool->worker = worker;
    pool->tenant_id = tenant->id;
    pool->placement_id = placement->id;
    pool->read_only = read_only;
    str_copy(pool->tenant, sizeof(pool->tenant), tenant->slug);
    list_init(&pool->idle);
    list_init(&pool->backends);
    list_init(&pool->waiting);
    list_init(&pool->starving);
    list_init(&pool->unused);
    statement_store_init(&pool->statements);
    budget_claim_init(&pool->claim, worker);
    if (fill_target(pool, snapshot, placement, err) < 0) {
        free(pool);
        return NULL;
    }
    hash_table_insert(&worker->pools, &pool->node, hash);
    return pool;
}

static void forget_known(struct pool *pool)
{
    for (size_t i = 0; i < array_size(pool->known); i++) {
        pairs_unref(pool->known[i].settings);
        pairs_unref(pool->known[i].parameters);
        pool->known[i].settings = pool->known[i].parameters = NULL;
    }
    pairs_unref(pool->parameters);
    pool->parameters = NULL;
}

static void withdraw_claim(struct pool *pool)
{
    if (list_empty(&pool->starving))
        return;
    list_remove(&pool->starving);
    for (int granted = budget_withdraw(pool->cluster->budget, &pool->claim); granted > 0; granted--)
        worker_release_slot(pool->cluster->budget);
}

bool pool_refresh(struct pool *pool, const struct route_snapshot *snapshot)
{
    const struct route_tenant *tenant = route_find_id(snapshot, pool->tenant_id);
    const struct route_placement *placement = NULL;
    for (size_t i = 0; tenant && i < tenant->placement_count; i++) {
        if (tenant->placements[i].id == pool->placement_id)
            placement = &tenant->placements[i];
    }
    if (!placement || placement->cluster_id != pool->cluster->budget->cluster_id)
        withdraw_claim(pool);
    if (!placement || fill_target(pool, snapshot, placement, NULL) < 0)
        pool->epoch = -1;
    bool stale = false;
    list_for_each_safe (link, &pool->backends) {
        struct backend *backend = list_entry(link, struct backend, link);
        if (backend->epoch == pool->epoch)
            continue;
        stale = true;
        backend->tainted = true;
        if (backend->state == BACKEND_IDLE)
            backend_evict(backend);
    }
    if (stale)
        forget_known(pool);
    return pool->epoch != -1;
}

void pool_add_client(struct pool *pool, struct client *client)
{
    client->pool = pool;
    pool->client_count++;
}

void pool_remove_client(struct pool *pool)
{
    pool->client_count--;
    pool_check_unused(pool);
}

static bool is_unused(const struct pool *pool)
{
    return pool->client_count == 0 && pool->backend_count == 0 && !pool->held;
}

void pool_check_unused(struct pool *pool)
{
    if (is_unused(pool) && list_empty(&pool->unused))
        list_append(&pool->worker->unused, &pool->unused);
}

static void free_pool(struct pool *pool)
{
    withdraw_claim(pool);
    forget_known(pool);
    statement_store_free(&pool->statements);
    hash_table_remove(&pool->worker->pools, &pool->node);
    free(pool);
}

void pools_free_unused(struct worker *worker)
{
    list_for_each_safe (link, &worker->unused) {
        struct pool *pool = list_entry(link, struct pool, unused);
        list_remove(link);
        if (is_unused(pool))
            free_pool(pool);
    }
}

/* ---- logging in to the server ---- */

/* A slot for one more backend; where there is none, somebody's idle backend is closed for it. */
static bool take_slot(struct pool *pool)
{
    struct worker *worker = pool->worker;
    struct budget *budget = pool->cluster->budget;
    struct client *oldest = list_first(&pool->waiting, struct client, queued);
    if (budget_acquire(budget, &pool->claim, oldest->since_us)) {
        list_remove(&pool->starving);
        return true;
    }
    if (list_empty(&pool->starving))
        list_append(&worker->starving, &pool->starving);
    struct backend *victim = list_first(&pool->cluster->idle, struct backend, cluster_lru);
    if (victim) {
        backend_evict(victim);
        return false; /* the slot comes as a grant, to whoever has waited longest */
    }
    proxy_ask_eviction(worker, budget);
    return false;
}

static void collect_grants(struct pool *pool)
{
    if (list_empty(&pool->starving))
        return;
    for (int granted = budget_collect(pool->cluster->budget, &pool->claim); granted > 0;
         granted--) {
        list_remove(&pool->starving);
        if (pool->waiting_count > pool->connecting && !pool->worker->shutting_down)
            backend_connect(pool);
        else
            worker_release_slot(pool->cluster->budget);
    }
}

static void connect_more(struct pool *pool)
{
    collect_grants(pool);
    /* Who queues for a slot is told of it: nothing is to be asked for again with every client. */
    if (pool->worker->shutting_down || !list_empty(&pool->starving))
        return;
    if (pool->failures > 0) {
        if (engine_now_us(pool->worker->engine) < pool->retry_us) {
            struct timer *timer = &pool->worker->retry_timer;
            if (!timer_running(timer) || timer->deadline_us > pool->retry_us)
                timer_start(timer, pool->retry_us);
            return;
        }
        if (pool->connecting > 0)
            return; /* one probe at a time while the server refuses */
    }
    while (pool->waiting_count > pool->connecting && pool->connecting < CONNECTING_MAX) {
        if (!take_slot(pool))
            return;
        backend_connect(pool);
        if (pool->failures > 0)
            return;
    }
}

void pool_connect_failed(struct pool *pool, const struct error *err)
{
    int shift = pool->failures < 8 ? pool->failures : 8;
    int64_t delay = (int64_t)RETRY_FIRST_US << shift;
    pool->failures++;
    pool->last_error = *err;
    if (delay > RETRY_LONGEST_US)
        delay = RETRY_LONGEST_US;
    pool->retry_us = engine_now_us(pool->worker->engine) + delay;
    log_write_error(LOG_WARNING, err, "login to the server failed tenant=%s placement=%lld",
                    pool->tenant, (long long)pool->placement_id);
}

/* ---- checkout ---- */

static struct backend *choose_idle(struct pool *pool, const struct client *client)
{
    int looked_at = 0;
    list_for_each (link, &pool->idle) {
        struct backend *backend = list_entry(link, struct backend, idle);
        if (backend->settings == client->settings)
            return backend;
        if (++looked_at == SETTINGS_SEARCH)
            break;
    }
    return list_first(&pool->idle, struct backend, idle);
}

bool pool_checkout(struct client *client)
{
    struct pool *pool = client->pool;
    struct worker *worker = pool->worker;
    struct backend *backend = pool->waiting_count == 0 ? choose_idle(pool, client) : NULL;
    if (backend) {
        backend_link(backend, client);
        return true;
    }
    client->since_us = engine_now_us(worker->engine);
    list_append(&pool->waiting, &client->queued);
    list_append(&worker->waiting, &client->timed);
    pool->waiting_count++;
    count(&worker->counters.clients_waiting, 1);
    if (!timer_running(&worker->wait_timer))
        timer_start(&worker->wait_timer,
                    client->since_us + atomic_load(&worker->proxy->queue_timeout_us));
    client_set_state(client, CLIENT_WAITING);
    stream_pause_read(client->stream);
    connect_more(pool);
    return false;
}

void pool_stop_waiting(struct client *client)
{
    struct pool *pool = client->pool;
    list_remove(&client->queued);
    list_remove(&client->timed);
    pool->waiting_count--;
    count(&pool->worker->counters.clients_waiting, -1);
    if (pool->waiting_count == 0)
        withdraw_claim(pool);
}

void pool_serve(struct pool *pool)
{
    if (pool->held)
        return; /* the loop below, further up the stack, sees what changed */
    pool->held = true;
    while (pool->waiting_count > 0) {
        struct client *client = list_first(&pool->waiting, struct client, queued);
        struct backend *backend = choose_idle(pool, client);
        if (!backend)
            break;
        pool_stop_waiting(client);
        backend_link(backend, client);
    }
    const struct client *oldest = list_first(&pool->waiting, struct client, queued);
    if (oldest && !list_empty(&pool->starving))
        budget_renew(pool->cluster->budget, &pool->claim, oldest->since_us);
    connect_more(pool);
    pool->held = false;
    pool_check_unused(pool);
}

/* ---- what a login is told ---- */

struct pairs *pool_known_parameters(struct pool *pool, struct pairs *settings)
{
    if (settings->count == 0)
        return pool->parameters;
    for (size_t i = 0; i < array_size(pool->known); i++) {
        if (pool->known[i].settings == settings)
            return pool->known[i].parameters;
    }
    return NULL;
}

void pool_remember(struct pool *pool, struct pairs *settings, struct pairs *parameters)
{
    if (settings->count == 0) {
        if (!pool->parameters)
            pool->parameters = pairs_ref(parameters);
        return;
    }
    if (pool_known_parameters(pool, settings))
        return;
    size_t at = pool->next_known++ % array_size(pool->known);
    pairs_unref(pool->known[at].settings);
    pairs_unref(pool->known[at].parameters);
    pool->known[at].settings = pairs_ref(settings);
    pool->known[at].parameters = pairs_ref(parameters);
}

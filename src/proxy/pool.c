#include "proxy/pool.h"

#include "base/log.h"
#include "base/time.h"
#include "proxy/backend.h"
#include "proxy/place.h"

enum {
    USUAL_OF = 64, /* waits that `usual_wait_us` is an average of, about */
    RETRY_FIRST_US = 100 * TIME_MS,
    RETRY_LONGEST_US = 5 * TIME_S,
    CONNECTING_MAX = 8, /* logins under way, a pool */
    IDLE_SEARCH = 8,    /* idle backends that are looked at for the best */
    SHARED_SEARCH = 16, /* the same, and waiting clients, where tenants share backends: what
                           a server process knows of a tenant's tables is memory, and is
                           read faster where it is little */
    SAME_PLACE_MAX = 8, /* turns in a row of one place while others wait: a tenant with many clients
                           must not keep a backend from those with few */
    /* Who has waited longer than this, and longer than so many times what is usual, is next,
     * whoever fits better. */
    PATIENCE_US = 20 * TIME_MS,
    PATIENCE_WAITS = 4,
};

/* ---- finding and making ---- */

static uint64_t key_hash(const struct pool_key *key)
{
    uint64_t name = key->placement_id ? (uint64_t)key->placement_id * 2 + (key->read_only ? 1 : 0)
                                      : hash_string(key->database);
    return hash_u64(name ^ (uint64_t)key->cluster_id << 48);
}

static struct pool *find(struct worker *worker, const struct pool_key *key)
{
    for (struct hash_node *node = hash_table_find(&worker->pools, key_hash(key)); node;
         node = hash_table_find_next(node)) {
        struct pool *pool = container_of(node, struct pool, node);
        if (pool->key.cluster_id == key->cluster_id &&
            pool->key.placement_id == key->placement_id && pool->key.read_only == key->read_only &&
            strcmp(pool->key.database, key->database) == 0)
            return pool;
    }
    return NULL;
}

static struct pool *make(struct worker *worker, const struct pool_key *key, struct budget *budget)
{
    struct pool *pool = xcalloc(1, sizeof(*pool));
    pool->key = *key;
    pool->worker = worker;
    pool->cluster = worker_cluster_of(worker, budget);
    list_init(&pool->idle);
    list_init(&pool->backends);
    list_init(&pool->waiting);
    list_init(&pool->starving);
    list_init(&pool->unused);
    budget_claim_init(&pool->claim, worker);
    hash_table_insert(&worker->pools, &pool->node, key_hash(key));
    return pool;
}

static void forget_known(struct pool *pool)
{
    for (size_t access = 0; access < array_size(pool->known); access++) {
        struct pool_known *known = &pool->known[access];
        for (size_t i = 0; i < array_size(known->entries); i++) {
            pairs_unref(known->entries[i].settings);
            pairs_unref(known->entries[i].parameters);
        }
        pairs_unref(known->parameters);
        *known = (struct pool_known){0};
    }
}

/* Backends of another login, server or epoch than before are closed, now or when they come free. */
static void renew(struct pool *pool)
{
    pool->generation++;
    bool stale = false;
    list_for_each_safe (link, &pool->backends) {
        struct backend *backend = list_entry(link, struct backend, link);
        stale = true;
        backend->tainted = true;
        if (backend->state == BACKEND_IDLE)
            backend_evict(backend);
    }
    if (stale)
        forget_known(pool);
}

static bool same_target(const struct proxy_target *a, const struct proxy_target *b)
{
    return strcmp(a->conninfo, b->conninfo) == 0 && strcmp(a->database, b->database) == 0 &&
           a->guarded == b->guarded && strcmp(a->login.role, b->login.role) == 0 &&
           a->login.sealed_length == b->login.sealed_length &&
           memcmp(a->login.sealed_password, b->login.sealed_password, a->login.sealed_length) == 0;
}

struct pool *pool_get(struct worker *worker, const struct pool_key *key,
                      const struct route_cluster *cluster, const struct route_placement *placement,
                      const struct route_login *login, struct error *err)
{
    struct budget *budget = proxy_budget(worker->proxy, cluster);
    if (!budget) {
        error_set(err, ERROR_LIMIT, "there are more than %d clusters", (int)CLUSTERS_MAX);
        return NULL;
    }
    struct pool *pool = find(worker, key);
    if (!pool)
        pool = make(worker, key, budget);
    struct proxy_target target = {.login = *login, .guarded = placement->guarded};
    str_copy(target.conninfo, sizeof(target.conninfo), cluster->conninfo);
    str_copy(target.database, sizeof(target.database), placement->database);
    int64_t epoch = key->placement_id ? placement->epoch : 0;
    if (same_target(&target, &pool->target) && epoch == pool->placement_epoch)
        return pool;
    pool->target = target;
    pool->placement_epoch = epoch;
    renew(pool);
    return pool;
}

static void withdraw_claim(struct pool *pool)
{
    if (list_empty(&pool->starving))
        return;
    list_remove(&pool->starving);
    for (int granted = budget_withdraw(pool->cluster->budget, &pool->claim); granted > 0; granted--)
        worker_release_slot(pool->cluster->budget);
}

void pool_retire(struct pool *pool)
{
    withdraw_claim(pool);
    memset(&pool->target, 0, sizeof(pool->target));
    renew(pool);
}

void pool_move_waiting(struct pool *from, struct pool *to, const struct place *place)
{
    list_for_each_safe (link, &from->waiting) {
        struct client *client = list_entry(link, struct client, queued);
        if (client->place != place)
            continue;
        list_remove(&client->queued);
        from->waiting_count--;
        list_append(&to->waiting, &client->queued);
        to->waiting_count++;
    }
    if (from->waiting_count == 0)
        withdraw_claim(from);
    if (!pool_is_guarded(from))
        pool_retire(from);
}

static bool is_unused(const struct pool *pool)
{
    return pool->place_count == 0 && pool->backend_count == 0 && !pool->held;
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
    log_write_error(LOG_WARNING, err, "login to the server failed role=%s database=%s",
                    pool->target.login.role, pool->target.database);
}

/* ---- checkout ---- */

/* The most recently used, or one near it that has the client's settings. */
static struct backend *choose_own(struct pool *pool, const struct client *client)
{
    int looked_at = 0;
    list_for_each (link, &pool->idle) {
        struct backend *backend = list_entry(link, struct backend, idle);
        if (backend->settings == client->settings)
            return backend;
        if (++looked_at == IDLE_SEARCH)
            break;
    }
    return list_first(&pool->idle, struct backend, idle);
}

/* One that served the place last; else one that it has been on, where that costs memory anew; else
 * the least recently used, so that the others are there for who comes back to them. */
static struct backend *choose_shared(struct pool *pool, const struct client *client)
{
    const struct place *place = client->place;
    int looked_at = 0;
    list_for_each (link, &place->backends) {
        struct backend *backend = list_entry(link, struct backend, of_place);
        if (backend->state == BACKEND_IDLE)
            return backend;
        if (++looked_at == SHARED_SEARCH)
            break;
    }
    looked_at = 0;
    for (struct list *link = pool->idle.previous; link != &pool->idle; link = link->previous) {
        struct backend *backend = list_entry(link, struct backend, idle);
        if (backend_has_touched(backend, place))
            return backend;
        if (++looked_at == SHARED_SEARCH)
            break;
    }
    return list_empty(&pool->idle) ? NULL : list_entry(pool->idle.previous, struct backend, idle);
}

static struct backend *choose_idle(struct pool *pool, const struct client *client)
{
    return pool_is_guarded(pool) ? choose_shared(pool, client) : choose_own(pool, client);
}

bool pool_checkout(struct client *client)
{
    struct pool *pool = client->place->pool;
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
    struct pool *pool = client->place->pool;
    list_remove(&client->queued);
    list_remove(&client->timed);
    pool->waiting_count--;
    count(&pool->worker->counters.clients_waiting, -1);
    if (pool->waiting_count == 0)
        withdraw_claim(pool);
}

static bool is_patient(const struct pool *pool, const struct client *oldest)
{
    int64_t waited_us = engine_now_us(pool->worker->engine) - oldest->since_us;
    return mutation("proxy.patience") || waited_us <= PATIENCE_US ||
           waited_us <= PATIENCE_WAITS * pool->usual_wait_us;
}

/* The oldest; or, where the backend at hand has been entered as somebody who waits nearly as long,
 * that one: its place's own clients for a few turns, then those whose tables it knows. */
static struct client *choose_waiting(struct pool *pool)
{
    struct client *oldest = list_first(&pool->waiting, struct client, queued);
    const struct backend *backend = list_first(&pool->idle, struct backend, idle);
    if (!pool_is_guarded(pool) || pool->waiting_count == 1 || !is_patient(pool, oldest))
        return oldest;
    bool stays = backend->turns < SAME_PLACE_MAX || mutation("proxy.patience");
    struct client *familiar = NULL;
    struct client *other = stays ? oldest : NULL;
    int looked_at = 0;
    list_for_each (link, &pool->waiting) {
        struct client *client = list_entry(link, struct client, queued);
        bool same = client->place == backend->place;
        if (same && stays)
            return client;
        if (!same && !other)
            other = client;
        if (!same && !familiar && backend_has_touched(backend, client->place))
            familiar = client;
        if (++looked_at == SHARED_SEARCH)
            break;
    }
    return familiar ? familiar : other ? other : oldest;
}

void pool_serve(struct pool *pool)
{
    if (pool->held)
        return; /* the loop below, further up the stack, sees what changed */
    pool->held = true;
    while (pool->waiting_count > 0 && !list_empty(&pool->idle)) {
        struct client *client = choose_waiting(pool);
        struct backend *backend = choose_idle(pool, client);
        int64_t waited_us = engine_now_us(pool->worker->engine) - client->since_us;
        pool->usual_wait_us += (waited_us - pool->usual_wait_us) / USUAL_OF;
        backend->turns = client->place == backend->place ? backend->turns + 1 : 1;
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

struct pairs *pool_known_parameters(struct pool *pool, bool read_only, struct pairs *settings)
{
    const struct pool_known *known = &pool->known[read_only];
    if (settings->count == 0)
        return known->parameters;
    for (size_t i = 0; i < array_size(known->entries); i++) {
        if (known->entries[i].settings == settings)
            return known->entries[i].parameters;
    }
    return NULL;
}

void pool_remember(struct pool *pool, bool read_only, struct pairs *settings,
                   struct pairs *parameters)
{
    struct pool_known *known = &pool->known[read_only];
    if (settings->count == 0) {
        if (!known->parameters)
            known->parameters = pairs_ref(parameters);
        return;
    }
    if (pool_known_parameters(pool, read_only, settings))
        return;
    size_t at = known->next++ % array_size(known->entries);
    pairs_unref(known->entries[at].settings);
    pairs_unref(known->entries[at].parameters);
    known->entries[at].settings = pairs_ref(settings);
    known->entries[at].parameters = pairs_ref(parameters);
}

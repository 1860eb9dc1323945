#include "proxy/pool.h"

#include "base/log.h"
#include "base/time.h"
#include "proxy/backend.h"
#include "proxy/keep.h"
#include "proxy/place.h"
#include "proxy/wait.h"

enum {
    RETRY_FIRST_US = 100 * TIME_MS,
    RETRY_LONGEST_US = 5 * TIME_S,
    CONNECTING_MAX = 8, /* logins under way, a pool */
    SPARE_SEARCH = 64,  /* idle backends that are looked at for one that may be closed */
    LOOK_SOONEST_US = 500,
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

static void look_again(void *owner)
{
    pool_serve(owner);
}

static struct pool *make(struct worker *worker, const struct pool_key *key, struct budget *budget)
{
    struct pool *pool = xcalloc(1, sizeof(*pool));
    pool->key = *key;
    pool->worker = worker;
    pool->cluster = worker_cluster_of(worker, budget);
    list_init(&pool->idle);
    list_init(&pool->backends);
    queue_init(&pool->queue);
    timer_init(&pool->look_timer, worker->engine, look_again, pool);
    list_init(&pool->starving);
    list_init(&pool->unused);
    list_init(&pool->lacking);
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
    bool was_held = pool->held;
    pool->held = true; /* nobody is served with one that is stale, but not marked yet */
    list_for_each_safe (link, &pool->backends) {
        struct backend *backend = list_entry(link, struct backend, link);
        stale = true;
        backend->tainted = true;
        if (backend->state == BACKEND_IDLE)
            backend_evict(backend);
    }
    pool->held = was_held;
    if (stale)
        forget_known(pool);
    if (stale && pool->queue.count > 0)
        pool_serve(pool);
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
        worker_release_slot(pool->cluster->budget, &pool->claim);
}

void pool_retire(struct pool *pool)
{
    withdraw_claim(pool);
    keep_nothing(pool);
    memset(&pool->target, 0, sizeof(pool->target));
    renew(pool);
}

void pool_move_waiting(struct pool *from, struct pool *to, struct place *place)
{
    queue_move(&from->queue, &to->queue, place);
    if (from->queue.count == 0)
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
    keep_nothing(pool);
    timer_stop(&pool->look_timer);
    home_free_seats(&pool->seats);
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

static bool is_spare(const struct backend *backend)
{
    const struct budget *budget = backend->cluster->budget;
    if (atomic_load_explicit(&budget->starving_count, memory_order_relaxed) > 0)
        return backend_slot_is_owed(backend);
    return backend->pool->queue.count == 0;
}

struct backend *pool_find_spare(struct worker_cluster *cluster)
{
    int looked_at = 0;
    const struct backend *first_kept = NULL;
    list_for_each_safe (link, &cluster->idle) {
        struct backend *backend = list_entry(link, struct backend, cluster_lru);
        if (backend == first_kept)
            break;
        if (keep_needs_all(backend->pool)) { /* out of the way of the next search */
            first_kept = first_kept ? first_kept : backend;
            list_remove(&backend->cluster_lru);
            list_append(&cluster->idle, &backend->cluster_lru);
            continue;
        }
        if (is_spare(backend))
            return backend;
        if (++looked_at == SPARE_SEARCH)
            break;
    }
    return NULL;
}

/* A slot for one more backend; where there is none, somebody's idle backend is closed for it. */
static bool take_slot(struct pool *pool)
{
    struct worker *worker = pool->worker;
    struct budget *budget = pool->cluster->budget;
    if (budget_acquire(budget, &pool->claim, queue_oldest(&pool->queue)->since_us)) {
        list_remove(&pool->starving);
        return true;
    }
    if (list_empty(&pool->starving))
        list_append(&worker->starving, &pool->starving);
    struct backend *victim = pool_find_spare(pool->cluster);
    if (victim) {
        backend_evict(victim);
        return false; /* the slot comes as a grant, to whoever is next */
    }
    proxy_ask_eviction(worker, budget);
    worker_cluster_look_later(pool->cluster);
    return false;
}

static void collect_grants(struct pool *pool)
{
    if (list_empty(&pool->starving))
        return;
    for (int granted = budget_collect(pool->cluster->budget, &pool->claim); granted > 0;
         granted--) {
        list_remove(&pool->starving);
        if (pool->queue.count > pool->connecting && keep_has_room(pool) &&
            !pool->worker->shutting_down)
            backend_connect(pool);
        else
            worker_release_slot(pool->cluster->budget, &pool->claim);
    }
}

/* How many of those that wait could have a backend at once. */
static size_t wanted(const struct pool *pool)
{
    size_t most = pool->owner ? place_free_backends(pool->owner) : SIZE_MAX;
    return pool->queue.count < most ? pool->queue.count : most;
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
    while (wanted(pool) > pool->connecting && pool->connecting < CONNECTING_MAX &&
           keep_has_room(pool)) {
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

/* Whether those who wait need more backends than there are: what is idle is not for them. */
static bool is_short(const struct pool *pool)
{
    return pool->queue.count > 0 && (list_empty(&pool->idle) || queue_has_reserve_only(pool));
}

/* What is idle is kept for a while only. */
static void look_later(struct pool *pool)
{
    int64_t soonest_us = engine_now_us(pool->worker->engine) + LOOK_SOONEST_US;
    int64_t look_us = queue_next_look_us(pool);
    if (look_us < soonest_us)
        look_us = soonest_us;
    if (!timer_running(&pool->look_timer) || pool->look_timer.deadline_us > look_us)
        timer_start(&pool->look_timer, look_us);
}

/* Those who wait need something to happen that they are served by. */
static void go_on(struct pool *pool)
{
    if (is_short(pool))
        connect_more(pool);
    else if (pool->queue.count > 0)
        look_later(pool);
}

bool pool_checkout(struct client *client)
{
    struct place *place = client->place;
    struct pool *pool = place->pool;
    struct worker *worker = pool->worker;
    int64_t now_us = engine_now_us(worker->engine);
    bool first = list_empty(&place->queue.clients);
    struct backend *backend = first ? queue_find_backend(client, now_us) : NULL;
    if (backend) {
        client->since_us = now_us;
        queue_served(client, now_us);
        backend_link(backend, client);
        return true;
    }
    queue_add(client, now_us);
    wait_began(client);
    client_set_state(client, CLIENT_WAITING);
    stream_pause_read(client->stream);
    go_on(pool);
    return false;
}

void pool_stop_waiting(struct client *client)
{
    struct pool *pool = client->place->pool;
    wait_ended(client);
    queue_remove(client);
    if (pool->queue.count > 0)
        return;
    withdraw_claim(pool);
    if (!list_empty(&pool->idle)) /* kept for it: they may be others' now */
        timer_start(&pool->look_timer, engine_now_us(pool->worker->engine));
}

/* One client that gets one backend; false when there is no such pair. */
static bool serve_one(struct pool *pool)
{
    int64_t now_us = engine_now_us(pool->worker->engine);
    list_for_each (link, &pool->idle) {
        struct backend *backend = list_entry(link, struct backend, idle);
        struct client *client = queue_next(pool, backend, now_us);
        if (!client)
            continue;
        wait_ended(client);
        queue_take(client, now_us);
        backend_link(backend, client);
        return true;
    }
    return false;
}

/* Who waits elsewhere has it now, if no more than a moment was to be waited for it here. */
static void give_spare_away(struct pool *pool)
{
    struct list *link = pool->idle.previous;
    while (link != &pool->idle) {
        struct backend *backend = list_entry(link, struct backend, idle);
        link = link->previous;
        if (backend_slot_is_owed(backend))
            backend_evict(backend);
    }
}

void pool_serve(struct pool *pool)
{
    if (pool->held)
        return; /* the loop below, further up the stack, sees what changed */
    pool->held = true;
    while (serve_one(pool))
        ;
    give_spare_away(pool);
    /* Those that are kept idle for who is at home there will do for some of those who wait. */
    size_t idle = queue_has_reserve_only(pool) ? 0 : pool->idle_count;
    if (pool->queue.count <= idle + pool->connecting)
        withdraw_claim(pool);
    else if (!list_empty(&pool->starving))
        budget_renew(pool->cluster->budget, &pool->claim, queue_oldest(&pool->queue)->since_us);
    go_on(pool);
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

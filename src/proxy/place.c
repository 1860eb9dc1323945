#include "proxy/place.h"

#include "base/time.h"
#include "proxy/backend.h"
#include "proxy/keep.h"
#include "proxy/usage.h"
#include "proxy/wait.h"

static const int64_t hold_longest_us = 3600 * (int64_t)TIME_S; /* as the command has it */

/* ---- which pool ---- */

/* The pool that the placement's backends are in, and what they log in with. */
static struct pool *find_pool(struct place *place, const struct route_snapshot *snapshot,
                              const struct route_placement *placement, struct error *err)
{
    const struct route_cluster *cluster =
        route_find_cluster(route_snapshot_globals(snapshot), placement->cluster_id);
    const struct route_login *login =
        place->read_only ? &placement->read_only : &placement->read_write;
    if (cluster && placement->guarded)
        login = &cluster->pool;
    if (!cluster || login->role[0] == '\0' || placement->state != ROUTE_PLACEMENT_READY) {
        error_set(err, ERROR_CONNECTION,
                  "service \"%s\" of this tenant is not available at the moment",
                  placement->service);
        return NULL;
    }
    struct pool_key key = {.cluster_id = cluster->id};
    if (placement->guarded) {
        str_copy(key.database, sizeof(key.database), placement->database);
    } else {
        key.placement_id = placement->id;
        key.read_only = place->read_only;
    }
    return pool_get(place->worker, &key, cluster, placement, login, err);
}

static void leave_pool(struct place *place)
{
    struct pool *pool = place->pool;
    place->pool = NULL;
    pool->place_count--;
    if (pool->owner == place) {
        pool->owner = NULL;
        keep_nothing(pool);
    }
    pool_check_unused(pool);
}

static void forget_backends(struct place *place)
{
    list_for_each_safe (link, &place->backends)
        backend_forget_place(list_entry(link, struct backend, of_place));
}

static void join_pool(struct place *place, struct pool *pool)
{
    if (place->pool == pool)
        return;
    if (place->pool) {
        pool_move_waiting(place->pool, pool, place);
        forget_backends(place);
        leave_pool(place);
    }
    place->pool = pool;
    pool->place_count++;
    if (!pool_is_guarded(pool))
        pool->owner = place;
}

/* Tenants whose rows are in the same tables may share what is prepared: policies are evaluated each
 * time. */
static void choose_store(struct place *place, const struct route_placement *placement)
{
    struct statement_scope scope = {.read_only = place->read_only,
                                    .shared = placement->guarded && placement->shared_tables};
    scope.id = scope.shared ? placement->service_id : placement->id;
    struct statement_store *store = statement_store_get(&place->worker->statements, &scope);
    statement_store_unref(place->store);
    place->store = store;
}

/* Both count for its limits. */
struct place *place_find_other(const struct place *place)
{
    return place_find(place->worker, place->placement_id, !place->read_only);
}

/* That its clients may have at once; 0: no limit. Where backends are nobody's own, max_backends
 * says that as well. */
static int64_t most_lent(const struct place *place)
{
    int64_t most = place->limits.values[ROUTE_LIMIT_TRANSACTIONS];
    bool shared = place->pool && pool_is_guarded(place->pool);
    int64_t shared_most = shared ? place->limits.values[ROUTE_LIMIT_BACKENDS] : 0;
    return most == 0 || (shared_most > 0 && shared_most < most) ? shared_most : most;
}

size_t place_free_backends(const struct place *place)
{
    int64_t limit = most_lent(place);
    if (limit <= 0)
        return SIZE_MAX;
    const struct place *other = place_find_other(place);
    size_t lent = place_taken(place) + (other ? place_taken(other) : 0);
    return lent < (size_t)limit ? (size_t)limit - lent : 0;
}

/* ---- whether it may have one more ---- */

/* Whoever waited is served at the end of the turn: this may be called from anywhere, and for a
 * place whose pool is not that of the backend that came free. */
void place_open_or_close(struct place *place)
{
    bool closed = place_is_held(place) || place_free_backends(place) == 0 || !rate_allows(place);
    if (closed && !place->queue.closed) {
        queue_close(place);
    } else if (!closed && place->queue.closed) {
        queue_open(place);
        if (place->queue.count > 0)
            timer_start(&place->pool->look_timer, engine_now_us(place->worker->engine));
    }
}

static void count_taken(struct place *place, size_t *count_, int by)
{
    *count_ += (size_t)by;
    if (!place->pool)
        return;
    place_open_or_close(place);
    struct place *other = most_lent(place) > 0 ? place_find_other(place) : NULL;
    if (other && other->pool)
        place_open_or_close(other);
}

/* Those who waited may wait for a backend as long as if they had come now. */
static void release(struct place *place)
{
    place->held_until_us = 0;
    wait_renew(place);
    place_open_or_close(place);
}

static void hold(struct place *place, int64_t until_unix_us)
{
    struct worker *worker = place->worker;
    int64_t left_us = until_unix_us - time_unix_us();
    if (left_us > hold_longest_us) /* the catalog's clock is ahead */
        left_us = hold_longest_us;
    if (left_us <= 0) {
        if (place_is_held(place))
            release(place);
        return;
    }
    place->held_until_us = engine_now_us(worker->engine) + left_us;
    if (!timer_running(&worker->hold_timer) ||
        worker->hold_timer.deadline_us > place->held_until_us)
        timer_start(&worker->hold_timer, place->held_until_us);
}

static void end_hold(struct hash_node *node, void *argument)
{
    struct place *place = container_of(node, struct place, node);
    struct worker *worker = argument;
    if (!place_is_held(place))
        return;
    if (place->held_until_us > engine_now_us(worker->engine)) {
        if (!timer_running(&worker->hold_timer) ||
            worker->hold_timer.deadline_us > place->held_until_us)
            timer_start(&worker->hold_timer, place->held_until_us);
        return;
    }
    release(place);
    pool_serve(place->pool);
}

void places_end_holds(void *worker)
{
    struct worker *ended = worker;
    hash_table_each(&ended->places, end_hold, ended);
}

static void take_limits(struct place *place, const struct route_snapshot *snapshot,
                        const struct route_placement *placement)
{
    struct route_limits fallback;
    for (size_t i = 0; i < ROUTE_LIMITS; i++)
        fallback.values[i] = atomic_load(&place->worker->proxy->limits[i]);
    place->limits = route_limits_in_force(route_snapshot_globals(snapshot), placement, &fallback);
    hold(place, placement->held_until_unix_us);
    place->hold = placement->hold;
    place_open_or_close(place);
    deadline_changed(place);
    wait_changed(place);
    if (!pool_is_guarded(place->pool))
        keep_changed(place);
}

static int fill(struct place *place, const struct route_snapshot *snapshot,
                const struct route_placement *placement, struct error *err)
{
    struct pool *pool = find_pool(place, snapshot, placement, err);
    if (!pool)
        return -err->code;
    join_pool(place, pool);
    place->epoch = placement->epoch;
    place->shared_tables = placement->shared_tables;
    place->may_listen = placement->own_database || placement->guarded;
    if (placement->guarded)
        place->entry = place->read_only ? placement->read_only_entry : placement->read_write_entry;
    choose_store(place, placement);
    take_limits(place, snapshot, placement);
    return 0;
}

/* ---- finding and making ---- */

static uint64_t place_hash(int64_t placement_id, bool read_only)
{
    return hash_u64((uint64_t)placement_id * 2 + (read_only ? 1 : 0));
}

struct place *place_find(struct worker *worker, int64_t placement_id, bool read_only)
{
    uint64_t hash = place_hash(placement_id, read_only);
    for (struct hash_node *node = hash_table_find(&worker->places, hash); node;
         node = hash_table_find_next(node)) {
        struct place *place = container_of(node, struct place, node);
        if (place->placement_id == placement_id && place->read_only == read_only)
            return place;
    }
    return NULL;
}

static struct place *make(struct worker *worker, const struct route_tenant *tenant,
                          const struct route_placement *placement, bool read_only)
{
    struct place *place = xcalloc(1, sizeof(*place));
    place->worker = worker;
    place->tenant_id = tenant->id;
    place->placement_id = placement->id;
    place->read_only = read_only;
    place->epoch = -1;
    str_copy(place->tenant, sizeof(place->tenant), tenant->slug);
    str_copy(place->service, sizeof(place->service), placement->service);
    list_init(&place->unused);
    list_init(&place->backends);
    queue_place_init(&place->queue);
    wait_init(place);
    hash_table_insert(&worker->places, &place->node, place_hash(placement->id, read_only));
    usage_recall(place, place_find_other(place));
    rate_init(place);
    return place;
}

struct place *place_of(struct worker *worker, const struct route_snapshot *snapshot,
                       const struct route_tenant *tenant, const struct route_placement *placement,
                       bool read_only, struct error *err)
{
    struct place *place = place_find(worker, placement->id, read_only);
    /* It may outlive the service of its placement, while clients leave it, and see it come back. */
    if (place && place->epoch != -1 && placement->state == ROUTE_PLACEMENT_READY)
        return place;
    if (!place)
        place = make(worker, tenant, placement, read_only);
    if (fill(place, snapshot, placement, err) == 0)
        return place;
    place_check_unused(place);
    return NULL;
}

bool place_refresh(struct place *place, const struct route_snapshot *snapshot)
{
    const struct route_tenant *tenant = route_find_id(snapshot, place->tenant_id);
    const struct route_placement *placement = NULL;
    struct error err = {0};
    for (size_t i = 0; tenant && i < tenant->placement_count; i++) {
        if (tenant->placements[i].id == place->placement_id)
            placement = &tenant->placements[i];
    }
    if (placement && fill(place, snapshot, placement, &err) == 0)
        return true;
    place->epoch = -1;
    if (place->pool && place->pool->owner == place)
        pool_retire(place->pool);
    return false;
}

/* ---- its users ---- */

size_t place_count_clients(const struct place *place)
{
    const struct place *other = place_find_other(place);
    return place->client_count + (other ? other->client_count : 0);
}

void place_lend(struct place *place)
{
    count_taken(place, &place->lent_count, 1);
}

void place_return(struct place *place)
{
    count_taken(place, &place->lent_count, -1);
}

void place_end_one(struct place *place, int by)
{
    count_taken(place, &place->ending_count, by);
    place_check_unused(place);
}

void place_add_client(struct place *place, struct client *client)
{
    client->place = place;
    place->client_count++;
    if (place->pool->owner == place)
        keep_open(place->pool);
}

void place_remove_client(struct place *place)
{
    place->client_count--;
    place_check_unused(place);
}

/* A login pool's place stays as long as there are backends, to hear of what changes for them; each
 * as long as its rates know what it has used. */
static bool is_unused(struct place *place)
{
    const struct pool *pool = place->pool;
    if (place->client_count > 0 || place->ending_count > 0 || (pool && pool->held))
        return false;
    if (pool && pool->owner == place && pool->backend_count > 0)
        return false;
    return place->worker->stopping || place->epoch == -1 || !rate_must_be_kept(place);
}

void place_check_unused(struct place *place)
{
    if (list_empty(&place->unused) && is_unused(place))
        list_append(&place->worker->unused_places, &place->unused);
}

static void free_place(struct place *place)
{
    struct place *other = place_find_other(place);
    rate_stop(place);
    wait_stop(place);
    if (other)
        rate_skip_bytes(other,
                        place->used.of[PROXY_USE_BYTES_IN] + place->used.of[PROXY_USE_BYTES_OUT]);
    usage_keep(place, other);
    forget_backends(place);
    if (place->pool)
        leave_pool(place);
    statement_store_unref(place->store);
    hash_table_remove(&place->worker->places, &place->node);
    free(place);
}

void places_free_unused(struct worker *worker)
{
    list_for_each_safe (link, &worker->unused_places) {
        struct place *place = list_entry(link, struct place, unused);
        list_remove(link);
        if (is_unused(place))
            free_place(place);
    }
}

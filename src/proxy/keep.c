#include "proxy/keep.h"

#include "base/time.h"
#include "proxy/backend.h"
#include "proxy/place.h"

enum {
    LOOK_AGAIN_US = 1 * TIME_S,
    OPENING_MAX = 8, /* logins under way, a pool */
};

static void look_at(struct pool *pool, int64_t at_us)
{
    struct timer *timer = &pool->worker->keep_timer;
    if (list_empty(&pool->lacking))
        list_append(&pool->worker->lacking, &pool->lacking);
    if (!timer_running(timer) || timer->deadline_us > at_us)
        timer_start(timer, at_us);
}

static bool lacks(const struct pool *pool)
{
    return pool->backend_count < pool->kept && pool->owner && pool->owner->client_count > 0 &&
           !pool->worker->shutting_down && !pool->worker->stopping;
}

/* A slot that nobody waits for, if need be that of an idle backend which nobody keeps. */
static bool take_slot(struct pool *pool)
{
    if (budget_take_free(pool->cluster->budget, &pool->claim))
        return true;
    struct backend *victim = pool_find_spare(pool->cluster);
    if (!victim)
        return false;
    backend_evict(victim);
    return budget_take_free(pool->cluster->budget, &pool->claim);
}

/* As connect_more in pool.c: while the server refuses, one after the other. */
static bool may_open(const struct pool *pool)
{
    if (pool->failures > 0)
        return pool->connecting == 0 && engine_now_us(pool->worker->engine) >= pool->retry_us;
    return pool->connecting < OPENING_MAX;
}

void keep_open(struct pool *pool)
{
    while (lacks(pool) && may_open(pool) && take_slot(pool))
        backend_connect(pool);
    if (lacks(pool))
        look_at(pool, engine_now_us(pool->worker->engine) + LOOK_AGAIN_US);
}

void keep_closed(struct pool *pool)
{
    if (lacks(pool))
        look_at(pool, engine_now_us(pool->worker->engine));
}

void keep_look(void *owner)
{
    struct worker *worker = owner;
    struct list due;
    list_init(&due);
    while (!list_empty(&worker->lacking)) {
        struct list *link = worker->lacking.next;
        list_remove(link);
        list_append(&due, link);
    }
    while (!list_empty(&due)) { /* who lacks some still is in worker.lacking again */
        struct pool *pool = list_first(&due, struct pool, lacking);
        list_remove(&pool->lacking);
        keep_open(pool);
    }
}

static void reserve(struct pool *pool, int64_t wanted)
{
    pool->kept = (size_t)budget_reserve(pool->cluster->budget, (int)pool->kept, (int)wanted);
}

void keep_nothing(struct pool *pool)
{
    pool->most = 0;
    reserve(pool, 0);
    list_remove(&pool->lacking);
}

void keep_changed(struct place *place)
{
    struct pool *pool = place->pool;
    int64_t most = place->limits.values[ROUTE_LIMIT_BACKENDS];
    int64_t least = place->limits.values[ROUTE_LIMIT_BACKENDS_KEPT];
    pool->most = mutation("proxy.max_backends") ? 0 : (size_t)most;
    reserve(pool, most > 0 && least > most ? most : least);
    while (keep_has_too_many(pool) && !list_empty(&pool->idle))
        backend_evict(list_last(&pool->idle, struct backend, idle));
    keep_open(pool);
}

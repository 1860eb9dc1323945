/*
 * keep.h - how many backends a pool that is one place's has at least and at most: the limits
 * min_backends and max_backends.
 *
 * While the place has clients, as many as the least are opened ahead, as the cluster's budget has
 * room. Those that there are are neither closed when nobody uses them, nor for another pool's sake.
 * So that they lock nobody out, all pools together may keep half of the budget (budget_reserve):
 * who comes later keeps fewer.
 */
#ifndef PROXY_KEEP_H
#define PROXY_KEEP_H

#include "proxy/pool.h"

/* The place's limits are others than before, or the budget is. Not for a shared pool's place. */
void keep_changed(struct place *place);
/* The pool is nobody's any more. */
void keep_nothing(struct pool *pool);
/* Opens what is missing; what cannot be opened now is tried again by the worker's timer. */
void keep_open(struct pool *pool);
/* A backend of the pool was closed. */
void keep_closed(struct pool *pool);
/* The worker's timer. */
void keep_look(void *worker);
/* Whether the pool has no more backends than it keeps. */
static inline bool keep_needs_all(const struct pool *pool)
{
    return pool->backend_count <= pool->kept;
}
/* Whether it may have one more; whether it has more than it may have. */
static inline bool keep_has_room(const struct pool *pool)
{
    return pool->most == 0 || pool->backend_count < pool->most;
}
static inline bool keep_has_too_many(const struct pool *pool)
{
    return pool->most > 0 && pool->backend_count > pool->most;
}

#endif

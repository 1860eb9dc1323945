/*
 * pool.h - backends that may stand in for each other, and the clients that wait for one of them.
 *
 * A backend is taken by pool_checkout and comes back by backend_release. Under login enforcement a
 * pool is one place's, and so are its backends for their whole life. Under the guard a pool has the
 * backends of a database, and any of its places may get any of them: queue.h has who is next.
 *
 * What is shared between pools is the cluster's budget: a pool that needs a slot has the least
 * recently used idle backend of any pool closed.
 */
#ifndef PROXY_POOL_H
#define PROXY_POOL_H

#include "proxy/client.h"
#include "proxy/queue.h"

struct place;

/* A login pool is known by its placement, a shared one by its database. */
struct pool_key {
    int64_t cluster_id;
    int64_t placement_id; /* 0: shared, under the guard */
    bool read_only;
    char database[ROUTE_NAME_SIZE]; /* "" unless shared */
};

/* What a login with no settings was told, and which settings have been seen to be valid. */
struct pool_known {
    struct pairs *parameters;
    struct {
        struct pairs *settings, *parameters;
    } entries[8];
    size_t next;
};

struct pool {
    struct hash_node node;
    struct pool_key key;
    struct place *owner; /* of a login pool, as long as it is there */
    struct worker *worker;
    struct worker_cluster *cluster;
    struct budget_claim claim;
    struct list starving; /* worker.starving, while the claim is queued */
    struct list unused;   /* worker.unused, until the end of the turn */
    bool held; /* somebody up the stack goes on with it: neither freed nor served from below */
    struct proxy_target target;
    int64_t placement_epoch; /* of a login pool's placement, as `target` was taken from it */
    uint64_t generation;     /* backends of an older one are closed as they come free */
    struct list idle;        /* most recently used first */
    struct list backends;    /* all of them */
    struct queue queue;      /* clients that wait for one */
    struct seats seats;      /* of a shared pool's backends */
    struct timer look_timer; /* a backend is kept idle, and somebody has waited long */
    size_t place_count, backend_count, idle_count, connecting;
    /* Of one place's pool: backends that it has at most (0: no limit), and keeps. See keep.h. */
    size_t most, kept;
    struct list lacking; /* worker.lacking, while it has fewer than it keeps */
    /* Logging in to the server fails: */
    int failures;
    int64_t retry_us; /* not before this */
    struct error last_error;
    struct pool_known known[2]; /* by access */
};

static inline bool pool_is_guarded(const struct pool *pool)
{
    return pool->key.placement_id == 0;
}

/* Finds or makes it, and has it log in from now on as the routes say. */
struct pool *pool_get(struct worker *worker, const struct pool_key *key,
                      const struct route_cluster *cluster, const struct route_placement *placement,
                      const struct route_login *login, struct error *err);
/* Its backends are not to be used any more: closed now, or when they come free. */
void pool_retire(struct pool *pool);
/* The place's waiting clients queue up in the other pool, at its end. */
void pool_move_waiting(struct pool *from, struct pool *to, struct place *place);

/* Links a backend to the client if one is idle, else makes it wait. True when linked. */
bool pool_checkout(struct client *client);
/* Leaves the queue. */
void pool_stop_waiting(struct client *client);
/* Something changed: serve waiting clients, log in to the server for more. */
void pool_serve(struct pool *pool);
/* An idle backend of any pool that may be closed for another's sake: its slot is owed to somebody
 * or, where nobody waits for one, nobody waits for it; and it is not kept. NULL: none. */
struct backend *pool_find_spare(struct worker_cluster *cluster);
/* A login failed: back off, and keep the server's error for those who wait in vain. */
void pool_connect_failed(struct pool *pool, const struct error *err);
/* When nobody uses it, it is freed at the end of the turn: there may be users up the stack. */
void pool_check_unused(struct pool *pool);
void pools_free_unused(struct worker *worker);
/* ParameterStatus values that a login with these settings would be told; NULL: not known yet. */
struct pairs *pool_known_parameters(struct pool *pool, bool read_only, struct pairs *settings);
void pool_remember(struct pool *pool, bool read_only, struct pairs *settings,
                   struct pairs *parameters);

#endif

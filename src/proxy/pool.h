/*
 * pool.h - the backends and the waiting clients of one placement (and access), in one worker.
 *
 * A backend is taken by pool_checkout and comes back by backend_release. Under login enforcement a
 * backend belongs to one tenant for its whole life; what is shared between tenants is the cluster's
 * budget: a pool that needs a slot has the least recently used idle backend of any tenant closed.
 */
#ifndef PROXY_POOL_H
#define PROXY_POOL_H

#include "proxy/client.h"

struct pool {
    struct hash_node node;
    struct worker *worker;
    struct worker_cluster *cluster;
    struct budget_claim claim;
    struct list starving; /* worker.starving, while the claim is queued */
    int64_t tenant_id, placement_id, epoch;
    bool read_only;
    struct list unused; /* worker.unused, until the end of the turn */
    bool held; /* somebody up the stack goes on with it: neither freed nor served from below */
    struct statement_store statements; /* of its clients: ids tell nothing of other tenants */
    struct proxy_target target;
    char tenant[ROUTE_NAME_SIZE];
    struct list idle;     /* most recently used first */
    struct list backends; /* all of them */
    struct list waiting;  /* clients, oldest first */
    size_t client_count, backend_count, connecting, waiting_count;
    /* Logging in to the server fails: */
    int failures;
    int64_t retry_us; /* not before this */
    struct error last_error;
    /* What a login with no settings was told, and which settings have been seen to be valid: */
    struct pairs *parameters;
    struct {
        struct pairs *settings, *parameters;
    } known[8];
    size_t next_known;
};

/* Finds or makes it. NULL with an error when placement or cluster are not to be used. */
struct pool *pool_of(struct worker *worker, const struct route_snapshot *snapshot,
                     const struct route_tenant *tenant, const struct route_placement *placement,
                     bool read_only, struct error *err);
/* Takes over what changed in the catalog; old backends are closed as they come free. False when
 * the placement is gone. */
bool pool_refresh(struct pool *pool, const struct route_snapshot *snapshot);
void pool_add_client(struct pool *pool, struct client *client);
/* The client has left its lists already. */
void pool_remove_client(struct pool *pool);

/* Links a backend to the client if one is idle, else makes it wait. True when linked. */
bool pool_checkout(struct client *client);
/* Leaves the queue. */
void pool_stop_waiting(struct client *client);
/* Something changed: serve waiting clients, log in to the server for more. */
void pool_serve(struct pool *pool);
/* A login failed: back off, and keep the server's error for those who wait in vain. */
void pool_connect_failed(struct pool *pool, const struct error *err);
/* When nobody uses it, it is freed at the end of the turn: there may be users up the stack. */
void pool_check_unused(struct pool *pool);
void pools_free_unused(struct worker *worker);
/* ParameterStatus values that a login with these settings would be told; NULL: not known yet. */
struct pairs *pool_known_parameters(struct pool *pool, struct pairs *settings);
void pool_remember(struct pool *pool, struct pairs *settings, struct pairs *parameters);

#endif

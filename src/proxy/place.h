/*
 * place.h - one placement (and access), as one worker serves it: whose clients they are, where its
 * data is, and which pool has the backends.
 *
 * Under login enforcement a place has a pool of its own, as the server knows each tenant by its
 * login. Under the guard all places of a database share one: a backend is entered as a place in
 * front of a client's messages, unless it was this place that it served last.
 */
#ifndef PROXY_PLACE_H
#define PROXY_PLACE_H

#include "proxy/pool.h"
#include "proxy/rate.h"

struct place {
    struct hash_node node; /* worker.places */
    struct worker *worker;
    struct pool *pool;    /* whose place_count counts it */
    struct list unused;   /* worker.unused_places, until the end of the turn */
    struct list backends; /* that it was the last on */
    struct queue_place queue;
    struct homes homes;
    int64_t tenant_id, placement_id;
    int64_t epoch; /* -1: not to be used any more */
    bool read_only;
    bool shared_tables; /* other tenants' rows are in the same tables */
    bool may_listen;    /* its channels are its own: by its database, or by the guard */
    char tenant[ROUTE_NAME_SIZE], service[ROUTE_NAME_SIZE];
    struct route_entry entry;        /* under the guard: what a backend is entered with */
    struct statement_store *store;   /* of its clients' prepared statements */
    size_t client_count, lent_count; /* of backends that its clients have */
    size_t ending_count;             /* of those whose clients have gone, as the server has not */
    struct route_limits limits;      /* in force */
    struct timer wait_timer;         /* its clients' queue timeout: see wait.h */
    struct rate rate;
    int64_t held_until_us;   /* new transactions wait until then; 0: they do not */
    int64_t hold;            /* the number of the last hold that it has heard of */
    struct proxy_usage used; /* since it was made, and before: see usage.h */
    int64_t running_us;      /* while a survey is taken */
};

/* Finds or makes it. NULL with an error when placement or cluster are not to be used. */
struct place *place_of(struct worker *worker, const struct route_snapshot *snapshot,
                       const struct route_tenant *tenant, const struct route_placement *placement,
                       bool read_only, struct error *err);
/* Takes over what changed in the catalog. Its waiting clients go along when it has another pool
 * now. False when the placement is gone. */
bool place_refresh(struct place *place, const struct route_snapshot *snapshot);
/* NULL: none of the worker's clients has been there. */
struct place *place_find(struct worker *worker, int64_t placement_id, bool read_only);
/* The same placement's with the other access, or NULL. */
struct place *place_find_other(const struct place *place);
/* Of the placement, with either access; at least one of the worker's places. */
size_t place_count_clients(const struct place *place);
void place_add_client(struct place *place, struct client *client);
/* How many backends more its clients may have at once; SIZE_MAX: no limit. */
size_t place_free_backends(const struct place *place);
/* A client of its gets a backend; gives it back. */
void place_lend(struct place *place);
void place_return(struct place *place);
/* What a client of its has begun goes on without one, or (-1) does not any more: see ending.h. */
void place_end_one(struct place *place, int by);
static inline size_t place_taken(const struct place *place)
{
    return place->lent_count + place->ending_count;
}
/* Whether its clients may have one more has changed, or may have. Whoever waits is served later. */
void place_open_or_close(struct place *place);
/* The time is over for which the operator held some of the worker's places. */
void places_end_holds(void *worker);
static inline bool place_is_held(const struct place *place)
{
    return place->held_until_us > 0;
}
/* The client has left its lists already. */
void place_remove_client(struct place *place);
/* At the end of a turn, when nobody up the stack goes on with one. */
void places_free_unused(struct worker *worker);
void place_check_unused(struct place *place);

#endif

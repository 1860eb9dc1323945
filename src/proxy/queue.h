/*
 * queue.h - the clients that wait for a pool's backends: who is next.
 *
 * Places take turns, whatever the number of their clients; within a place who has waited longest is
 * next. Whoever has had QUEUE_SLACK_US more backend time than another that waits lets it go first
 * (as in start-time fair queueing: Goyal, Vin and Cheng, 1996). Who comes back after a pause has no
 * credit, and who has had much a debt that is bounded, and forgotten when it was not served for
 * QUEUE_OVERDUE_US. Time counts by the place's weight (ROUTE_LIMIT_WEIGHT).
 *
 * Two things bend that order a little, as going from tenant to tenant costs time and memory. The
 * place that a backend served last keeps it until it has had QUEUE_LEAD_US more than who is next.
 * And a backend goes to a place that is at home there (home.h), as long as none that is not has
 * waited for long.
 *
 * Who comes while others hold all that there is has to wait for one of them to end. So the last
 * idle backend of a pool that has some is not given to a place that has one already.
 */
#ifndef PROXY_QUEUE_H
#define PROXY_QUEUE_H

#include "base/list.h"
#include "proxy/home.h"

struct client;

enum {
    QUEUE_WEIGHT = 100, /* of whom nothing else is said; with twice that one has twice the time */
    /* In a pool that has so many backends the last idle one is for a place that has none. */
    QUEUE_RESERVE_FROM = 8,
    QUEUE_LEAD_US = 500,
    QUEUE_SLACK_US = 20 * 1000,
    QUEUE_DEBT_US = 1000 * 1000,
    /* Of a place, and up to: so many times longer than is usual. */
    QUEUE_OVERDUE_US = 250 * 1000,
    QUEUE_OVERDUE_MOST_US = 1000 * 1000,
    /* Whose place nobody of has had a backend for so long, and up to: so many times longer than is
     * usual, goes anywhere; */
    QUEUE_PATIENCE_US = 2000,
    QUEUE_PATIENCE_MOST_US = 100 * 1000,
    QUEUE_PATIENCE_WAITS = 8,
    /* Where few places wait, no longer than this for each: to keep few apart gains little. */
    QUEUE_PATIENCE_PLACE_US = 250,
    QUEUE_PATIENCE_FEW = 3,
    /* or for so long and where a backend was kept idle for so long. */
    QUEUE_KEPT_US = 2000,
};

/* Of a pool. */
struct queue {
    struct list places; /* with waiting clients; who was served goes to the end */
    size_t place_count;
    size_t count;          /* of these clients */
    int64_t usual_wait_us; /* of places between two turns while somebody waits, of late */
    int64_t served_us;     /* the backend time that who was served last had had by then */
};

/* Of a place. */
struct queue_place {
    struct list link;    /* queue.places */
    struct list clients; /* oldest first */
    size_t count;
    bool closed;    /* it may have no backend now: its limit is reached, or it is held */
    int64_t had_us; /* backend time, as far as it counts: see above */
    int64_t served_at_us;
};

void queue_init(struct queue *queue);
void queue_place_init(struct queue_place *place);

/* The client has no backend; it waits from `now_us` on. */
void queue_add(struct client *client, int64_t now_us);
void queue_remove(struct client *client);
/* The place's clients wait in the other queue, at its end; of no other place there. */
void queue_move(struct queue *from, struct queue *to, struct place *place);
/* The place may have no backend from now on, or may again: its clients wait outside the queue. */
void queue_close(struct place *place);
void queue_open(struct place *place);
/* Of the place that was not served for longest who has waited longest, or NULL. */
struct client *queue_oldest(const struct queue *queue);

/* An idle backend for a client whose place has nobody waiting; NULL: it has to wait. */
struct backend *queue_find_backend(struct client *client, int64_t now_us);
/* Who gets that idle backend; NULL: it is kept for those who are at home there, until
 * queue_next_look_us. */
struct client *queue_next(struct pool *pool, const struct backend *backend, int64_t now_us);
int64_t queue_next_look_us(const struct pool *pool);
/* Whether all idle backends are kept for places that have none, and no such place waits. */
bool queue_has_reserve_only(const struct pool *pool);
/* The client gets a backend, without having been in the queue: `since_us` is now. */
void queue_served(struct client *client, int64_t now_us);
/* The client leaves the queue, as it gets a backend. */
void queue_take(struct client *client, int64_t now_us);
/* One of the place's clients had a backend for so long. */
void queue_charge(struct place *place, int64_t used_us);

#endif

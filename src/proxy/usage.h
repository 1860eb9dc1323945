/*
 * usage.h - what a worker counts, for itself and for each of its places.
 *
 * A place has its own figures, which its worker alone touches. A place is freed when its last
 * client goes: its figures are then kept by the placement, of USAGE_KEPT of them; those with the
 * least backend time are given up for others.
 */
#ifndef PROXY_USAGE_H
#define PROXY_USAGE_H

#include "proxy/place.h"

enum { USAGE_KEPT = 1024 };

/* Of a placement that has no place at the moment. */
struct usage_past {
    struct hash_node node; /* worker.past */
    int64_t placement_id;
    char tenant[ROUTE_NAME_SIZE], service[ROUTE_NAME_SIZE];
    struct proxy_usage used;
};

/* `place` may be NULL. */
static inline void usage_count(struct worker *worker, struct place *place, enum proxy_use use,
                               int64_t by)
{
    count(&worker->counters.used[use], by);
    if (place)
        place->used.of[use] += by;
}

/* The client waits no longer for a backend, whether it got one or not. */
void usage_wait_ended(struct client *client, int64_t now_us);
void usage_add(struct proxy_usage *to, const struct proxy_usage *from);
/* A place was made; is about to be freed. `other` is the placement's with the other access. */
void usage_recall(struct place *place, const struct place *other);
void usage_keep(struct place *place, struct place *other);
void usage_free(struct worker *worker);

#endif

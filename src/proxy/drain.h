/*
 * drain.h - whether anything of a placement that is held runs still.
 */
#ifndef PROXY_DRAIN_H
#define PROXY_DRAIN_H

#include "base/error.h"

struct proxy;

struct drain_question {
    int64_t tenant_id, placement_id;
    int64_t hold;          /* route_placement.hold */
    int64_t route_version; /* that has it */
};

/*
 * True when this hold, or a later one, is in force on every worker and no client of the placement
 * has a server connection. False also when that cannot be told in time. A client that keeps its
 * server connection has one. Any thread but a worker's.
 */
bool proxy_is_drained(struct proxy *proxy, const struct drain_question *question,
                      int64_t timeout_us);

/* Ends what its clients do there, if the placement is held still: they are told to connect again.
 * As soon as each worker comes to it, which is not waited for longer than that. */
void proxy_end_held(struct proxy *proxy, const struct drain_question *question, int64_t timeout_us);

#endif

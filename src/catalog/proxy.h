/*
 * proxy.h - each `reeve serve`, as the others know of it, and which holds are in force there.
 *
 *   (nothing) --register--> connected <--> cut off (its session has ended) --leave, forget--> gone
 *
 * A proxy that is cut off may be dead, or may serve what it knew: that cannot be told from here.
 */
#ifndef CATALOG_PROXY_H
#define CATALOG_PROXY_H

#include <stdatomic.h>

#include "catalog/catalog.h"

/* A session for the rest of this file: its statements and its login have short deadlines, and end
 * when *cancelled is set (NULL: never). As catalog_open. */
int catalog_proxy_open(const char *control, const atomic_bool *cancelled, struct catalog **ret,
                       struct error *err);
/* Makes a row, and for as long as the session lasts shows that it can be reached. The name is for
 * people. A server whose session was lost registers anew, and leaves under its earlier id. */
int catalog_proxy_register(struct catalog *catalog, const char *name, int64_t *ret_id,
                           struct error *err);
/* Still there: to be said several times a minute. ERROR_NOT_FOUND: others have forgotten it. */
int catalog_proxy_seen(struct catalog *catalog, int64_t id, struct error *err);
/* It ends: nobody need wait for it. */
int catalog_proxy_leave(struct catalog *catalog, int64_t id, struct error *err);
/* Rows of those that nobody has heard of for a day go. */
int catalog_proxy_forget(struct catalog *catalog, struct error *err);

struct catalog_hold {
    int64_t placement_id, tenant_id;
    int64_t number;        /* of the placement's holds, from 1 */
    int64_t route_version; /* of routes that have it */
    int64_t ends_in_us;    /* what runs then is to be ended; -1: never */
};
/* Those in force of which this proxy has not said that they are drained. */
int catalog_hold_pending(struct catalog *catalog, struct arena *arena, int64_t proxy_id,
                         struct catalog_hold **ret, size_t *ret_count, struct error *err);
/* Since the hold nothing of the placement runs in the proxy. Notifies CATALOG_DRAINED_CHANNEL. */
int catalog_hold_drained(struct catalog *catalog, int64_t proxy_id, const struct catalog_hold *hold,
                         struct error *err);
#define CATALOG_DRAINED_CHANNEL "reeve_drained"

struct catalog_proxy {
    int64_t id;
    const char *name;
    bool connected;
};
/* All of them. */
int catalog_proxy_list(struct catalog *catalog, struct arena *arena, struct catalog_proxy **ret,
                       size_t *ret_count, struct error *err);
/* Which proxies have not drained the last hold of each of the placements. */
int catalog_hold_awaited(struct catalog *catalog, struct arena *arena, const int64_t *placement_ids,
                         size_t count, struct catalog_proxy **ret, size_t *ret_count,
                         struct error *err);

#endif

/*
 * route_follow.h - keeps a route table like the catalog.
 *
 * One thread with one control connection. It loads everything at the start, LISTENs, and then loads
 * what changed by version number; when changes are missing (pruned, or another database's history)
 * it loads everything again. A lost notification is found by a slow poll of the version. While the
 * control database is away the table stays as it is, and the thread tries again with back-off.
 *
 * In the table: tenants that are deleting or deleted are GONE; placements in state ready or
 * migrating are READY, all others UNAVAILABLE.
 *
 *   start ---> following <----> away (back-off 100 ms to 5 s; refreshes fail at once)
 *                 |  notification, refresh, poll: load changes
 */
#ifndef CATALOG_ROUTE_FOLLOW_H
#define CATALOG_ROUTE_FOLLOW_H

#include "base/error.h"
#include "route/route.h"

struct catalog_follower;

enum {
    CATALOG_FOLLOW_POLL_S = 30,
    CATALOG_FOLLOW_REFRESH_MS = 20, /* refreshes begin at least this far apart */
};

struct catalog_follower_options {
    const char *control; /* conninfo of the control database; copied */
    int64_t poll_us;     /* 0: CATALOG_FOLLOW_POLL_S */
    int64_t refresh_us;  /* 0: CATALOG_FOLLOW_REFRESH_MS */
};

/* Loads everything on this thread (ERROR_STATE and others as catalog_open), then starts the
 * thread. The table is borrowed and outlives the follower. */
int catalog_follower_start(const struct catalog_follower_options *options,
                           struct route_table *table, struct catalog_follower **ret,
                           struct error *err);
/* Ends the thread; every refresh that was asked for is answered. Accepts NULL; returns NULL. */
struct catalog_follower *catalog_follower_stop(struct catalog_follower *follower);

/*
 * Brings the table up to date with what was committed before this call, then calls done(argument)
 * on the follower's thread; also when it cannot be done, soon. All who ask while one is under way
 * share the next. Any thread; never blocks on the control database. The type fits
 * struct proxy_resolver (context: the follower).
 */
void catalog_follower_refresh(void *follower, void (*done)(void *argument), void *argument);

struct catalog_follower_state {
    bool connected;
    int64_t version;           /* of the table */
    int64_t synced_unix_us;    /* when it was last known to be up to date */
    int64_t full_loads;        /* times that everything was loaded */
    int64_t incremental_loads; /* times that changes were loaded */
};
/* Any thread. */
void catalog_follower_get_state(struct catalog_follower *follower,
                                struct catalog_follower_state *ret);

#endif

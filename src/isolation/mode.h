/*
 * mode.h - the table of functions that a mode is. Adding a mode is adding a file that fills one,
 * and a line in isolation.c. Private to this room.
 */
#ifndef ISOLATION_MODE_H
#define ISOLATION_MODE_H

#include "isolation/isolation.h"
#include "pg/connection.h"

#define ISOLATION_APP_SCHEMA "app" /* of row and database isolation */

/* One call's surroundings. `maintenance` is a connection to the maintenance database that holds a
 * session-level lock on the placement. */
struct isolation_work {
    const struct isolation_server *server;
    const struct isolation_service *service;
    const struct isolation_placement *placement;
    struct arena *arena;
    struct pg_connection *maintenance;
};

struct isolation {
    const char *name;
    const char *summary;
    bool needs_shape;
    bool uses_shared_database;
    bool shares_tables; /* with the service's other tenants */
    bool uses_template_database;
    /* Fills database and schema; id is set. */
    void (*place)(struct arena *arena, const struct isolation_service *service,
                  struct isolation_placement *placement);
    const char *(*describe)(struct arena *arena, const struct isolation_placement *placement);
    /* NULL: a placement of this mode needs nothing of the service's. */
    void (*base_target)(struct arena *arena, const struct isolation_service *service,
                        struct isolation_target *ret);
    void (*target)(struct arena *arena, const struct isolation_service *service,
                   const struct isolation_placement *placement, struct isolation_target *ret);
    /* The roles are there. */
    int (*create)(const struct isolation_work *work, struct error *err);
    /* Their sessions are ended; the roles are dropped afterwards. */
    int (*drop)(const struct isolation_work *work, struct error *err);
};

/* "t_000042", "d_000042_2": of what is the placement's alone. */
const char *isolation_own_name(struct arena *arena, const char *prefix,
                               const struct isolation_placement *placement);

extern const struct isolation isolation_row, isolation_schema, isolation_database;

#endif

/*
 * shared.h - what modes do that put tenants into the service's shared database. Private to this
 * room.
 */
#ifndef ISOLATION_SHARED_H
#define ISOLATION_SHARED_H

#include "isolation/mode.h"

/* In one transaction in the shared database: the caller's part (NULL: none), then who the
 * placement's roles are; then what they find set. Of a guarded one the caller's part alone. */
int shared_map(const struct isolation_work *work,
               int (*part)(struct pg_connection *data, const struct isolation_work *work,
                           struct error *err),
               struct error *err);
/* In one transaction, unless there is no such database: the caller's part, then what the database
 * remembers of the placement goes. */
int shared_drop(const struct isolation_work *work,
                int (*part)(struct pg_connection *data, const struct isolation_work *work,
                            struct error *err),
                struct error *err);
/* The database forgets who the placement's login roles are, so that they can be dropped. */
int shared_unmap(const struct isolation_work *work, struct error *err);
/* For roles that stay, to be entered by the guard: they may no longer connect, and the database
 * forgets whose logins they were. */
int shared_forget_logins(const struct isolation_work *work, struct error *err);

#endif

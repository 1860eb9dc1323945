/*
 * guard.h - the extension, in a database. Private to this room.
 */
#ifndef ISOLATION_GUARD_H
#define ISOLATION_GUARD_H

#include "isolation/isolation.h"
#include "pg/connection.h"

/* Its functions in schema reeve, and the rights to them; in the caller's transaction, as superuser.
 * Doing it again changes what there is. */
int guard_install(struct pg_connection *transaction, struct arena *arena,
                  const struct isolation_guard *guard, struct error *err);

#endif

/*
 * conninfo.h - looking into libpq connection strings. Errors never repeat them: they may hold a
 * password.
 */
#ifndef PG_CONNINFO_H
#define PG_CONNINFO_H

#include "base/arena.h"
#include "base/error.h"

/* ERROR_INVALID when libpq cannot read it (keywords or URI). */
int pg_conninfo_check(const char *conninfo, struct error *err);
/* The same, and refuses user, password, passfile, dbname, service and options: what a cluster's
 * connection string may not say. Requires host or hostaddr. */
int pg_conninfo_check_server(const char *conninfo, struct error *err);
/* What it says for a keyword ("dbname"); NULL when it says nothing or cannot be read. */
const char *pg_conninfo_value(struct arena *arena, const char *conninfo, const char *keyword);
/* "host.example:5432", "/run/postgresql:5432": for people and logs; no secret in it. */
const char *pg_conninfo_describe(struct arena *arena, const char *conninfo);

#endif

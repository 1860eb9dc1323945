/*
 * shape.h - bringing every tenant's table of a target into one shape (DESIGN 6). Private to this
 * room.
 *
 * The rules are a table (shape.c); each is a query of the catalog that gives lines to report and
 * statements to run, and nothing where all is well, so that shaping again does nothing.
 */
#ifndef ISOLATION_SHAPE_H
#define ISOLATION_SHAPE_H

#include "isolation/isolation.h"
#include "isolation/rewrite.h"
#include "pg/connection.h"

/* In the caller's transaction. `keys` are foreign keys that the migration's text asked for: they
 * are added once the keys that they reference have their shape. ERROR_MIGRATION says what cannot be
 * shaped. */
int shape_target(struct pg_connection *owner, const struct isolation_target *target,
                 const struct foreign_key *keys, size_t key_count, struct isolation_report *report,
                 struct error *err);

/* foreign_key.c: adds one, led by the tenant column. */
int foreign_key_add(struct pg_connection *owner, const struct isolation_target *target,
                    struct arena *arena, const struct foreign_key *key,
                    struct isolation_report *report, struct error *err);

#endif

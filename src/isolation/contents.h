/*
 * contents.h - a placement's data, to be taken out of one place and put into another.
 *
 * The rows' bytes are the same in every mode, so that a row is copied as it is: the modes differ in
 * where the tables are and in whether other tenants' rows are among them. Shared reference tables
 * are no tenant's data.
 *
 * All connections are logins of the service's owner role to the placement's database, with
 * isolation_contents_open done. Not the administrator's with SET ROLE: what migrations have put
 * into tables (checks, expressions of indexes, computed columns) runs as whoever writes, and could
 * take such a role off. Of shared tables they see and write this tenant's rows alone, by row-level
 * security. The roles and tables are there, at the same version of the service.
 */
#ifndef ISOLATION_CONTENTS_H
#define ISOLATION_CONTENTS_H

#include "isolation/indexes.h"
#include "isolation/isolation.h"
#include "isolation/parts.h"

struct isolation_table {
    const char *name;
    const char *columns; /* quoted, with commas; without those that are computed */
    const char *key;     /* the primary key's, likewise; NULL: it has none */
    bool binary;         /* COPY's binary format means the same in another database */
    int64_t bytes, rows; /* of the whole table, other tenants' rows too; rows are an estimate */
    int64_t blocks;      /* that can be read in parts; 0: it is read as a whole */
};

/* Whether the administrator may give what isolation_contents_allow gives; ERROR_DENIED, with the
 * remedy, when not. */
int isolation_contents_check(struct pg_connection *admin, struct error *err);
/* The owner role may set session_replication_role (so that no trigger and no foreign key minds what
 * is copied), or may no more. Where there is no such role: nothing. */
int isolation_contents_allow(const struct isolation_server *server,
                             const struct isolation_service *service, bool allowed,
                             struct error *err);
/* Sets that, and what else makes values have one text, whatever the server's settings. */
int isolation_contents_open(struct pg_connection *owner,
                            const struct isolation_placement *placement, struct error *err);
/* Largest first; in the arena. */
int isolation_contents_tables(struct pg_connection *data,
                              const struct isolation_placement *placement, struct arena *arena,
                              struct isolation_table **ret, size_t *ret_count, struct error *err);
/* Takes the tenant's rows away, and nothing else: before they are copied to there. In the caller's
 * transaction. */
int isolation_contents_clear(struct pg_connection *data,
                             const struct isolation_placement *placement,
                             const struct isolation_table *tables, size_t count, struct error *err);

/* ERROR_STATE names a table that has rows of the tenant. */
int isolation_contents_must_be_empty(struct pg_connection *owner,
                                     const struct isolation_placement *placement,
                                     const struct isolation_table *tables, size_t count,
                                     struct error *err);

/* For pg_copy; in the arena. What comes in does so in a transaction of the caller's, between
 * isolation_copy_begin and isolation_copy_end. `whole`: it is all of the table, and its indexes are
 * made anew behind it. Else they are the caller's concern. */
const char *isolation_copy_out(struct arena *arena, const struct isolation_placement *placement,
                               const struct isolation_table *table,
                               const struct isolation_part *part);
const char *isolation_copy_in(struct arena *arena, const struct isolation_placement *placement,
                              const struct isolation_table *table);
int isolation_copy_begin(struct pg_connection *data, const struct isolation_placement *placement,
                         const struct isolation_table *table, bool whole, struct arena *arena,
                         struct isolation_indexes *ret, struct error *err);
/* Is told of bytes that were written besides those of pg_copy, and may wait or fail. */
struct isolation_copy_meter {
    int (*passed)(void *owner, size_t bytes, struct error *err);
    void *owner;
};
int isolation_copy_end(struct pg_connection *data, const struct isolation_placement *placement,
                       const struct isolation_table *table, const struct isolation_indexes *indexes,
                       const struct isolation_copy_meter *meter, struct error *err);
/* Behind that transaction: the planner knows a table that is the tenant's alone (if nobody else
 * works on it). */
int isolation_copy_settle(struct pg_connection *data, const struct isolation_placement *placement,
                          const struct isolation_table *table, struct error *err);

/* Rows, and a number that is the same when and only when (but for chance, 1 in 2^64 a row) the same
 * rows are there, whatever their order. Those of a table's parts add up to the table's. */
struct isolation_fingerprint {
    int64_t rows;
    isolation_sum sum;
};
int isolation_contents_fingerprint(struct pg_connection *data,
                                   const struct isolation_placement *placement,
                                   const struct isolation_table *table,
                                   const struct isolation_part *part,
                                   struct isolation_fingerprint *ret, struct error *err);

/* What the two ends have not in common: a row that only one has, or that differs. *ret says it for
 * people, with its key, in the arena; NULL: nothing. Reads both tables in order. */
int isolation_contents_difference(struct pg_connection *source,
                                  const struct isolation_placement *source_placement,
                                  struct pg_connection *target,
                                  const struct isolation_placement *target_placement,
                                  const struct isolation_table *table, struct arena *arena,
                                  const char **ret, struct error *err);

/* Behind the copy: materialized views are filled. */
int isolation_contents_settle(struct pg_connection *data,
                              const struct isolation_placement *placement, struct error *err);

/* The target's sequences go on where the source's are. One that other tenants have too is never set
 * back, and only where it is behind, some numbers further on, as they take numbers meanwhile. */
int isolation_contents_sequences(struct pg_connection *source,
                                 const struct isolation_placement *source_placement,
                                 struct pg_connection *target,
                                 const struct isolation_placement *target_placement,
                                 struct error *err);

/* A publication of the tenant's rows in these tables, anew. */
int isolation_contents_publish(struct pg_connection *owner,
                               const struct isolation_placement *placement,
                               const struct isolation_table *tables, size_t count, const char *name,
                               struct error *err);

#endif

/*
 * indexes.h - a table's indexes while its rows come in.
 *
 * To make an index of rows that are there costs less than to keep it up row by row, so those that
 * nothing needs meanwhile are dropped and made again. Where one transaction brings all of the rows,
 * it does both. Where several do, the indexes are gone for a while, and what they are made from is
 * in a table at that place, the record: a definition goes into it in the transaction that drops the
 * index, and out of it in the one that makes it again. So an index is there, or its definition is,
 * whenever somebody is killed.
 *
 * Connections are logins of the service's owner role, as for contents.h. A record is the name of a
 * table in schema reeve, of the columns table_name and definition, that this role may read and
 * write.
 */
#ifndef ISOLATION_INDEXES_H
#define ISOLATION_INDEXES_H

#include "isolation/isolation.h"
#include "pg/result.h"

/* Those of a table, or of all (NULL), from the record. Nothing without a record, and where tables
 * are shared. In a transaction of its own. */
int isolation_indexes_put_back(struct pg_connection *owner,
                               const struct isolation_placement *placement, const char *table,
                               const char *record, struct error *err);
/* In the caller's transaction. */
int isolation_indexes_put_away(struct pg_connection *owner,
                               const struct isolation_placement *placement, const char *table,
                               const char *record, struct error *err);

struct isolation_indexes {
    const char *const *definitions; /* in the arena */
    size_t count;
};
/* For one transaction, the caller's, that does both. */
int isolation_indexes_drop(struct pg_connection *owner, const struct isolation_placement *placement,
                           const char *table, struct arena *arena, struct isolation_indexes *ret,
                           struct error *err);
int isolation_indexes_make(struct pg_connection *owner, const struct isolation_indexes *indexes,
                           struct error *err);

/* (table, index) of those that the source has, and the target has not or has not valid. The caller
 * frees *ret. */
int isolation_indexes_missing(struct pg_connection *source,
                              const struct isolation_placement *source_placement,
                              struct pg_connection *target,
                              const struct isolation_placement *target_placement,
                              struct pg_result **ret, struct error *err);

#endif

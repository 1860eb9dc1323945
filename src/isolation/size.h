/*
 * size.h - what tenants' data takes on a server, without reading all of it.
 *
 * Connections are logins of the service's owner role to the database. Sizes are of tables with
 * their indexes and long values.
 */
#ifndef ISOLATION_SIZE_H
#define ISOLATION_SIZE_H

#include "isolation/isolation.h"

struct isolation_size {
    int64_t bytes;
    bool estimated; /* from a sample of shared tables */
};

/*
 * Of placements in one isolation and one database, one size each. Of each table that tenants share
 * 1,000 pages are read at most: of a larger one they are a sample. ERROR_TIMEOUT: a table took
 * longer than 30 s, or was locked for 5.
 */
int isolation_measure(struct pg_connection *owner, const struct isolation *isolation,
                      const struct isolation_placement *placements, size_t count,
                      struct isolation_size *ret_sizes, struct error *err);

#endif

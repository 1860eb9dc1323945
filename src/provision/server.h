/*
 * server.h - a cluster as its administrator sees it.
 */
#ifndef PROVISION_SERVER_H
#define PROVISION_SERVER_H

#include "catalog/cluster.h"
#include "isolation/isolation.h"
#include "job/job.h"

struct server {
    const struct job_context *context;
    const struct catalog_cluster *cluster;
    bool claimed;     /* it is ours: see claim.h */
    int64_t until_us; /* time_monotonic_us, by which each statement ends; 0: ten minutes for each */
    struct isolation_server isolation; /* for the isolation's functions; points back here */
};

/* Borrows both. Nothing to free; may not be moved. */
void server_init(struct server *server, const struct job_context *context,
                 const struct catalog_cluster *cluster);
/* database NULL: the maintenance database. The caller closes *ret. ERROR_STATE: the server belongs
 * to another Reeve. One that is being added is claimed by the caller. */
int server_connect(struct server *server, const char *database, struct pg_connection **ret,
                   struct error *err);

/* The same for a change stream (pg/stream.h). */
int server_connect_for_stream(struct server *server, const char *database,
                              struct pg_connection **ret, struct error *err);

#endif

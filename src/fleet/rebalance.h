/*
 * rebalance.h - what would have to move for the clusters to even out, or a service's shared
 * databases on one, from the catalog, from sizes on the clusters, and from what a running server
 * has counted. Changes nothing.
 *
 * Every placement counts where it is. Those of the service that is asked about move, but for those
 * that something keeps: a hold, a suspended tenant, an open move. Each keeps its isolation.
 */
#ifndef FLEET_REBALANCE_H
#define FLEET_REBALANCE_H

#include "fleet/balance.h"
#include "fleet/select.h"
#include "job/job.h"

enum rebalance_by {
    REBALANCE_BY_SIZE,    /* bytes of tables */
    REBALANCE_BY_TENANTS, /* placements */
    REBALANCE_BY_LOAD,    /* time for which clients have had server connections */
    REBALANCE_WAYS,
};
const char *rebalance_by_name(size_t by); /* "size"; NULL past the last */

/* What a tenant has used in a service. */
struct rebalance_load {
    const char *tenant, *service;
    int64_t backend_us;
};

struct rebalance_request {
    const char *service; /* NULL: tenants of all */
    const struct match *match;
    const char *among; /* a cluster: its shared databases of the service are to be even (which must
                        * be named then, and to_clusters not); NULL: the clusters are */
    const char *const *to_clusters; /* that tenants move to; with count 0 all */
    size_t to_cluster_count;
    enum rebalance_by by;
    const struct rebalance_load *loads; /* for REBALANCE_BY_LOAD */
    size_t load_count;
    struct balance_rules rules;
};

struct rebalance_cluster {
    const char *name;
    const char *database; /* a shared one there, which it is that is meant; NULL: all of it */
    bool reached;         /* else nothing moves there, or from there */
    size_t tenants;
    int64_t bytes, backend_us;
};

struct rebalance_placement {
    struct fleet_placement at;
    int64_t bytes, backend_us;
};

/* Indexes in `plan` are of these lists. */
struct rebalance_proposal {
    struct rebalance_cluster *clusters;
    size_t cluster_count;
    struct rebalance_placement *placements;
    size_t placement_count;
    struct balance_plan plan;
};

/* "c1", "pool7". */
const char *rebalance_name(const struct rebalance_cluster *cluster);

/* In the arena. ERROR_NOT_FOUND: there is no such service or cluster. */
int rebalance_propose(const struct job_context *context, struct catalog *catalog,
                      const struct rebalance_request *request, struct arena *arena,
                      struct rebalance_proposal *ret, struct error *err);

#endif

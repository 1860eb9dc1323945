/*
 * route_set.h - tenants on their way from the catalog's rows to a route table.
 */
#ifndef CATALOG_ROUTE_SET_H
#define CATALOG_ROUTE_SET_H

#include "catalog/internal.h"
#include "route/route.h"

struct catalog_route_set {
    struct route_tenant **tenants; /* by id; the set's until they are handed over */
    size_t count, capacity;
    size_t cursor; /* rows of placements and tokens come by tenant id as well */
};

/* ids: an array's text, or NULL for every tenant. Tenants without a row are not in the set. */
int catalog_route_set_load(struct catalog *catalog, const char *ids, struct catalog_route_set *ret,
                           struct error *err);
/* A tenant of that id that is GONE, for each id that the set does not have; ids in order. The set
 * is not in order any more after that. */
void catalog_route_set_add_gone(struct catalog_route_set *set, const int64_t *ids, size_t count);
void catalog_route_set_free(struct catalog_route_set *set);
#define _cleanup_route_set_ _cleanup_(catalog_route_set_free)

/* Services, clusters and issuers. The caller gives *ret back with route_globals_unref. */
int catalog_route_globals_load(struct catalog *catalog, int64_t version, struct route_globals **ret,
                               struct error *err);

#endif

/*
 * limit.h - what tenants may have: of a tenant in a service, of a tenant everywhere, or of each
 * tenant of a service. Which limits there are is the route room's: route_limit_name.
 */
#ifndef CATALOG_LIMIT_H
#define CATALOG_LIMIT_H

#include "catalog/catalog.h"
#include "route/route.h"

/* Whose: one of the ids may be 0, not both. */
struct catalog_limit_subject {
    int64_t tenant_id, service_id;
};

struct catalog_limit {
    const char *tenant;  /* slug; NULL: each tenant of the service */
    const char *service; /* name; NULL: everywhere */
    const char *name;
    int64_t value; /* 0: none; a time in microseconds */
};

int catalog_limit_set(struct catalog *catalog, const struct catalog_limit_subject *subject,
                      const char *name, int64_t value, struct error *err);
/* ERROR_NOT_FOUND when nothing was said. */
int catalog_limit_unset(struct catalog *catalog, const struct catalog_limit_subject *subject,
                        const char *name, struct error *err);
/* Those that say nothing else than the subject; with `all` also those that hold for it as well. 0
 * as an id: of any. By tenant and service, the general ones first. */
int catalog_limit_list(struct catalog *catalog, struct arena *arena,
                       const struct catalog_limit_subject *subject, bool all,
                       struct catalog_limit **ret, size_t *ret_count, struct error *err);

#endif

/*
 * status.h - how many there are of everything.
 */
#ifndef CATALOG_STATUS_H
#define CATALOG_STATUS_H

#include "catalog/catalog.h"
#include "catalog/job.h"
#include "catalog/placement.h"
#include "catalog/tenant.h"

enum {
    CATALOG_TENANT_STATUSES = CATALOG_TENANT_DELETED + 1,
    CATALOG_PLACEMENT_STATES = CATALOG_PLACEMENT_FAILED + 1,
    CATALOG_JOB_STATES = CATALOG_JOB_FAILED + 1,
    CATALOG_MAX_ISOLATIONS = 8,
};

struct catalog_status {
    int schema_version;
    int64_t route_version;
    int64_t clusters, services, issuers;
    int64_t tenants[CATALOG_TENANT_STATUSES];     /* by enum catalog_tenant_status */
    int64_t placements[CATALOG_PLACEMENT_STATES]; /* by enum catalog_placement_state */
    int64_t jobs[CATALOG_JOB_STATES];             /* by enum catalog_job_state */
    size_t isolation_count;
    struct {
        char isolation[16];
        int64_t placements;
    } isolations[CATALOG_MAX_ISOLATIONS];
};

int catalog_status_get(struct catalog *catalog, struct catalog_status *ret, struct error *err);

#endif

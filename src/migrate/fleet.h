/*
 * fleet.h - a service's targets, one by one or several at once. For this room.
 */
#ifndef MIGRATE_FLEET_H
#define MIGRATE_FLEET_H

#include <pthread.h>

#include "migrate/migrate.h"
#include "migrate/site.h"

/* One run over a service. The mutex guards what changes: next, summary, failure, the callback. */
struct fleet {
    const struct job_context *context;
    const struct migrate_options *options;
    const struct migration_set *set;
    int64_t service_id;
    const int64_t *placement_ids; /* those with places of their own */
    size_t placement_count;

    pthread_mutex_t mutex;
    size_t next; /* index of the next placement that nobody has taken up */
    bool failed;
    struct error failure; /* the first */
    struct migrate_summary summary;
};

void fleet_init(struct fleet *fleet, const struct job_context *context,
                const struct migrate_options *options, const struct migration_set *set,
                int64_t service_id);
void fleet_destroy(struct fleet *fleet);

/* What the service's tenants share, on every cluster. The error names the target. */
int fleet_migrate_bases(struct fleet *fleet, struct catalog *catalog, struct arena *arena,
                        struct error *err);
/* Every ready placement with a place of its own, options->concurrency at once. */
int fleet_migrate_placements(struct fleet *fleet, struct catalog *catalog, struct arena *arena,
                             struct error *err);

#endif

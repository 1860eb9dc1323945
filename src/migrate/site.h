/*
 * site.h - a service on one cluster, with the shared database there that is meant: what migrating
 * and provisioning both begin with.
 */
#ifndef MIGRATE_SITE_H
#define MIGRATE_SITE_H

#include "catalog/cluster.h"
#include "catalog/placement.h"
#include "catalog/service.h"
#include "isolation/isolation.h"
#include "job/job.h"
#include "migrate/apply.h"

struct site {
    struct catalog_service service;
    struct catalog_cluster cluster;
    struct isolation_service isolation; /* names of the service's objects there */
    bool to_be_made;                    /* the catalog has not the shared database that is meant */
    bool empty;                         /* it has no database of the service there at all */
    struct migrate_login login; /* owner_password has length 0 before the owner role was made */
};

/* With every shared database that the service has there; the default one is meant. In the arena.
 * ERROR_NOT_FOUND. */
int site_load(const struct job_context *context, struct catalog *catalog, struct arena *arena,
              int64_t service_id, int64_t cluster_id, struct site *ret, struct error *err);
/* The same with another one meant, which may be one that is to be made; NULL or "": the default. */
int site_load_at(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                 int64_t service_id, int64_t cluster_id, const char *database, struct site *ret,
                 struct error *err);
/* Where the placement is: with its shared database, if its isolation has one. */
int site_load_of(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                 const struct catalog_placement *placement, struct site *ret, struct error *err);
/* The isolation's view of a placement on the cluster, in whichever database it is; its verifiers
 * are NULL. */
int site_placement(struct arena *arena, const struct site *site,
                   const struct catalog_placement *placement, struct isolation_placement *ret,
                   struct error *err);

/* Keeps others from changing, or making a database from, what the service's tenants share on the
 * cluster. Held by the catalog's session; waits for up to a minute at least. */
int site_lock(const struct job_context *context, struct catalog *catalog, const struct site *site,
              struct error *err);
/* ERROR_BUSY at once. */
int site_try_lock(const struct job_context *context, struct catalog *catalog,
                  const struct site *site, struct error *err);
/* site_load_at behind site_lock: what others did until now is in it, and they do nothing more until
 * site_unlock. Not locked when it fails. */
int site_load_locked(const struct job_context *context, struct catalog *catalog,
                     struct arena *arena, int64_t service_id, int64_t cluster_id,
                     const char *database, struct site *ret, struct error *err);
void site_unlock(struct catalog *catalog, const struct site *site);

/* True when the target is not one tenant's own: the template, or tables that tenants share. */
bool site_is_base(struct arena *arena, const struct site *site,
                  const struct isolation_target *target);

/*
 * Migrates a target and lets the catalog follow. Of a target that is shared: the service's database
 * of that name, and every placement whose place it is. Else `placement`, whose own it is (NULL for
 * a shared one). With dry_run nothing changes but for the catalog's correction.
 */
int site_migrate(struct catalog *catalog, const struct site *site,
                 const struct isolation_target *target, const struct catalog_placement *placement,
                 const struct migration_set *set, bool dry_run, struct arena *arena,
                 struct migrate_result *ret, struct error *err);

#endif

/*
 * provision.h - what an operator does to clusters, services, tenants and placements.
 *
 * Each function opens its own control connection from the context, checks everything that it can
 * before it changes anything, runs the durable jobs that it takes to their end on this thread
 * (context->progress is called meanwhile) and writes an audit event. Names and modes come as text,
 * as the operator gave them. Errors name the thing and the remedy. Not for worker threads.
 */
#ifndef PROVISION_PROVISION_H
#define PROVISION_PROVISION_H

#include "base/error.h"
#include "job/job.h"

/* "guard" and "login"; NULL past the last. */
const char *provision_enforcement_at(size_t index);

/* ---- clusters ---- */
struct provision_cluster_spec {
    const char *name;
    const char *conninfo;       /* host, port, sslmode, ...: no user, password or dbname */
    const char *admin_user;     /* a superuser, or CREATEDB and CREATEROLE */
    const char *admin_password; /* NULL: none is needed */
    const char *maintenance_db; /* NULL: "postgres" */
    int max_backends;           /* for the proxy; 0: 100 */
    const char *enforcement;    /* "guard" or "login"; NULL: guard where the server can have it */
    const char *guard_library;  /* as CREATE FUNCTION names it there; NULL: $libdir/reeve_guard */
};
/* Connects, checks version (15 or newer) and rights, and takes PUBLIC's defaults away (CONNECT and
 * TEMPORARY on postgres and template1, CREATE on public). ERROR_EXISTS, ERROR_INVALID,
 * ERROR_CONNECTION, ERROR_DENIED, ERROR_UNSUPPORTED. */
int provision_cluster_add(const struct job_context *context,
                          const struct provision_cluster_spec *spec, int64_t *ret_id,
                          struct error *err);
/* Looks again for the guard (library NULL: where it was found, or $libdir/reeve_guard) and prepares
 * what is there for it; placements that come then have this enforcement. Those that are there keep
 * theirs. ERROR_UNSUPPORTED says why there is no guard. */
int provision_cluster_enforce(const struct job_context *context, const char *name,
                              const char *enforcement, const char *library, struct error *err);
/* Where a server is now, or what it has. With a conninfo it is connected to, and must be the same
 * server or a copy of it, no other cluster's, and writable: ERROR_STATE, ERROR_CONNECTION,
 * ERROR_INVALID; ERROR_STATE, too, while a tenant moves there or from there. All proxies follow. */
struct catalog_cluster_change;
int provision_cluster_set(const struct job_context *context, const char *name,
                          const struct catalog_cluster_change *change, struct error *err);
/* ERROR_STATE while it has placements; also drops the services' databases there. */
int provision_cluster_remove(const struct job_context *context, const char *name,
                             struct error *err);

/* ---- services ---- */
struct provision_service_spec {
    const char *name;
    const char *migrations;     /* a folder; stored as an absolute path */
    const char *isolation;      /* the default: "row", "schema" or "database" */
    const char *const *allowed; /* others that placements may have; the default is always allowed */
    size_t allowed_count;
    const char *cluster; /* default cluster; NULL: the only one there is */
};
/* Reads and checks the migrations first, then makes and migrates the service's databases on its
 * default cluster, so that a migration that cannot work is refused here and nothing is left. */
int provision_service_create(const struct job_context *context,
                             const struct provision_service_spec *spec, int64_t *ret_id,
                             struct error *err);
/* Drops one of its shared databases, on that cluster (NULL: the service's). ERROR_STATE: a tenant
 * is there, or has a place there in an open move; it is the default one. ERROR_NOT_FOUND. */
int provision_service_drop_database(const struct job_context *context, const char *name,
                                    const char *database, const char *cluster, struct error *err);
/* ERROR_STATE while it has placements. Drops its databases and roles. */
int provision_service_delete(const struct job_context *context, const char *name,
                             struct error *err);

/* ---- placements ---- */
struct provision_attach_spec {
    const char *tenant; /* slug */
    const char *service;
    const char *isolation; /* NULL: the service's default */
    const char *cluster;   /* NULL: the service's default */
    const char *database;  /* a shared one, which is made if it is not there; NULL: the default */
};
/* ERROR_NOT_FOUND, ERROR_EXISTS (also: somebody else has that database), ERROR_STATE (tenant not
 * active), ERROR_INVALID (isolation not allowed), ERROR_MIGRATION. A failure leaves no database,
 * schema, role or placement. */
int provision_attach(const struct job_context *context, const struct provision_attach_spec *spec,
                     int64_t *ret_placement_id, struct error *err);
/* Drops the placement's data. The caller has asked for confirmation. */
int provision_detach(const struct job_context *context, const char *tenant, const char *service,
                     struct error *err);

/* Switches a placement between `guard` and `login` while it is in use: no statement fails.
 * Switching to what it has is no error. ERROR_UNSUPPORTED: the isolation, or the cluster, has no
 * guard. */
int provision_enforce(const struct job_context *context, const char *tenant, const char *service,
                      const char *enforcement, struct error *err);

/* ---- tenants ---- */
/* ERROR_NOT_FOUND, ERROR_STATE (deleting). Doing it twice is no error. */
int provision_tenant_suspend(const struct job_context *context, const char *slug,
                             struct error *err);
int provision_tenant_resume(const struct job_context *context, const char *slug, struct error *err);
/* Revokes credentials and routes first, then drops every placement; the row stays, `deleted`, and
 * its slug is free again. The caller has asked for confirmation. */
int provision_tenant_delete(const struct job_context *context, const char *slug, struct error *err);

#endif

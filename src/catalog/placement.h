/*
 * placement.h - where and how a tenant's data for a service lives.
 *
 *   create        set_place, then set_state
 *   ------> provisioning -----> ready <-----> migrating
 *               |                 |               |
 *               +------> failed, deleting <-------+
 *                              |
 *                              v   delete: the row goes
 *
 * `ready` and `migrating` serve clients; the others do not. A change of the place (cluster,
 * isolation, database, schema or roles) of a placement that has been ready adds 1 to its epoch.
 */
#ifndef CATALOG_PLACEMENT_H
#define CATALOG_PLACEMENT_H

#include "catalog/catalog.h"

enum catalog_placement_state {
    CATALOG_PLACEMENT_PROVISIONING,
    CATALOG_PLACEMENT_READY,
    CATALOG_PLACEMENT_MIGRATING,
    CATALOG_PLACEMENT_DELETING,
    CATALOG_PLACEMENT_FAILED,
};
const char *catalog_placement_state_name(enum catalog_placement_state state); /* "ready" */

struct catalog_placement {
    int64_t id;
    int64_t tenant_id, service_id, cluster_id;
    const char *tenant, *service, *cluster; /* slug and names; read only */
    const char *isolation;                  /* "row", "schema" or "database" */
    const char *database, *schema;          /* these four are "" until set_place */
    const char *role, *ro_role;
    struct catalog_sealed role_password, ro_password; /* context: catalog_login_context */
    const char *schema_version;                       /* "" before the first migration */
    int64_t epoch;                                    /* from 1 */
    int64_t generation;                               /* of its place: in its names, from 1 */
    enum catalog_placement_state state;
    int64_t created_unix_us;
    const char *enforcement;                /* "guard" or "login" */
    const char *enter_role, *enter_ro_role; /* "" but under the guard */
    int64_t held_until_unix_us;             /* 0: it is not held */
};

/* State provisioning, without a place. ERROR_EXISTS when the tenant has one for the service;
 * ERROR_STATE when the tenant is not active; ERROR_INVALID when the service does not allow the
 * isolation. */
int catalog_placement_create(struct catalog *catalog, int64_t tenant_id, int64_t service_id,
                             int64_t cluster_id, const char *isolation, int64_t *ret_id,
                             struct error *err);
/* Of a tenant that is not deleted. ERROR_NOT_FOUND says which of tenant, service and placement is
 * missing. */
int catalog_placement_find(struct catalog *catalog, struct arena *arena, const char *tenant,
                           const char *service, struct catalog_placement *ret, struct error *err);
int catalog_placement_get(struct catalog *catalog, struct arena *arena, int64_t id,
                          struct catalog_placement *ret, struct error *err);

/* Its new transactions wait from now on, for so long at most; those that run then are ended after
 * ends_us, or (-1) go on. ERROR_NOT_FOUND when it is not served. */
int catalog_placement_hold(struct catalog *catalog, int64_t id, int64_t hold_us, int64_t ends_us,
                           struct error *err);
int catalog_placement_release(struct catalog *catalog, int64_t id, struct error *err);

struct catalog_placement_filter {
    int64_t tenant_id, service_id, cluster_id; /* 0: any */
    int state;                                 /* enum catalog_placement_state; -1: any */
    int64_t after_id;                          /* for pages, by id; 0: from the start */
    int64_t limit;                             /* 0: all */
};
#define CATALOG_PLACEMENT_ANY ((struct catalog_placement_filter){.state = -1})
/* By id. filter NULL: all. */
int catalog_placement_list(struct catalog *catalog, struct arena *arena,
                           const struct catalog_placement_filter *filter,
                           struct catalog_placement **ret, size_t *ret_count, struct error *err);

struct catalog_place {
    int64_t cluster_id;
    const char *isolation;
    const char *database, *schema;
    const char *role, *ro_role; /* ro_role NULL: none */
    struct catalog_sealed role_password, ro_password;
    const char *enforcement;
    const char *enter_role, *enter_ro_role; /* NULL but under the guard */
    int64_t generation;                     /* 0: the one that it has */
};
int catalog_placement_set_place(struct catalog *catalog, int64_t id,
                                const struct catalog_place *place, struct error *err);
/* ERROR_STATE for a transition that the diagram does not have, or `ready` without a place. To the
 * present state is no error. */
int catalog_placement_set_state(struct catalog *catalog, int64_t id,
                                enum catalog_placement_state state, struct error *err);
int catalog_placement_set_version(struct catalog *catalog, int64_t id, const char *schema_version,
                                  struct error *err);
/* The row. ERROR_STATE while it is ready or migrating. */
int catalog_placement_delete(struct catalog *catalog, int64_t id, struct error *err);

#endif

/*
 * service.h - products that tenants use, their owner roles and their own databases.
 */
#ifndef CATALOG_SERVICE_H
#define CATALOG_SERVICE_H

#include "catalog/catalog.h"

struct catalog_service {
    int64_t id;
    const char *name;
    const char *isolation;      /* the default: "row", "schema" or "database" */
    const char *const *allowed; /* what placements may have; the default is among them */
    size_t allowed_count;
    const char *migrations_dir; /* an absolute path */
    int64_t cluster_id;         /* the default cluster */
    int64_t created_unix_us;
};

/* id and created_unix_us are not read. ERROR_EXISTS. */
int catalog_service_create(struct catalog *catalog, const struct catalog_service *service,
                           int64_t *ret_id, struct error *err);
int catalog_service_find(struct catalog *catalog, struct arena *arena, const char *name,
                         struct catalog_service *ret, struct error *err);
int catalog_service_get(struct catalog *catalog, struct arena *arena, int64_t id,
                        struct catalog_service *ret, struct error *err);
/* By name. */
int catalog_service_list(struct catalog *catalog, struct arena *arena, struct catalog_service **ret,
                         size_t *ret_count, struct error *err);
int catalog_service_set_migrations_dir(struct catalog *catalog, int64_t id, const char *path,
                                       struct error *err);
/* Its owners and service databases go with it. ERROR_STATE while it has placements. */
int catalog_service_delete(struct catalog *catalog, int64_t id, struct error *err);

/* ---- the role that owns a service's objects on one cluster, which migrations log in as ---- */

struct catalog_service_owner {
    int64_t service_id, cluster_id;
    const char *role;
    struct catalog_sealed password; /* context: catalog_owner_context */
};
/* Stores it unless there is one already, and gives what is stored then: make a password, seal and
 * ensure it, then give the role the password that came back. */
int catalog_service_owner_ensure(struct catalog *catalog, struct arena *arena,
                                 const struct catalog_service_owner *owner,
                                 struct catalog_service_owner *ret, struct error *err);
int catalog_service_owner_get(struct catalog *catalog, struct arena *arena, int64_t service_id,
                              int64_t cluster_id, struct catalog_service_owner *ret,
                              struct error *err);
/* Nothing when there is none. */
int catalog_service_owner_delete(struct catalog *catalog, int64_t service_id, int64_t cluster_id,
                                 struct error *err);

/* ---- databases that belong to a service and not to one tenant ---- */

enum catalog_database_kind { CATALOG_DATABASE_SHARED, CATALOG_DATABASE_TEMPLATE };
const char *catalog_database_kind_name(enum catalog_database_kind kind); /* "shared" */

struct catalog_service_database {
    int64_t id;
    int64_t service_id, cluster_id;
    enum catalog_database_kind kind;
    const char *database;
    const char *schema_version; /* "" before the first migration */
};
/* Stores it unless the service has it there; a template is one at most. ERROR_EXISTS: another
 * service has a database of that name there. ret_id may be NULL. */
int catalog_service_database_ensure(struct catalog *catalog,
                                    const struct catalog_service_database *database,
                                    int64_t *ret_id, struct error *err);
/* Of one service; cluster_id 0: on all clusters. By cluster and kind, the shared ones by age. */
int catalog_service_database_list(struct catalog *catalog, struct arena *arena, int64_t service_id,
                                  int64_t cluster_id, struct catalog_service_database **ret,
                                  size_t *ret_count, struct error *err);
/* Whether anybody but the service has, or is to have, a database of that name on the cluster. */
int catalog_service_database_taken(struct catalog *catalog, int64_t cluster_id,
                                   const char *database, int64_t service_id, bool *ret,
                                   struct error *err);
/* In the caller's transaction, behind what gives the name to a place of the service: ERROR_EXISTS
 * when it is taken, and until the transaction ends nobody else can take it. */
int catalog_service_database_claim(struct catalog *catalog, int64_t cluster_id,
                                   const char *database, int64_t service_id, struct error *err);
int catalog_service_database_set_version(struct catalog *catalog, int64_t id, const char *version,
                                         struct error *err);
/* All of a service on a cluster, or the one of that name (NULL: all); nothing when there are none.
 */
int catalog_service_database_delete(struct catalog *catalog, int64_t service_id, int64_t cluster_id,
                                    const char *database, struct error *err);

#endif

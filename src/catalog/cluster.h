/*
 * cluster.h - PostgreSQL servers that tenants may be placed on.
 */
#ifndef CATALOG_CLUSTER_H
#define CATALOG_CLUSTER_H

#include "catalog/catalog.h"

/* Enforcements, of clusters and placements. */
#define CATALOG_GUARD "guard"
#define CATALOG_LOGIN "login"

struct catalog_cluster {
    int64_t id;
    const char *name;
    const char *conninfo;   /* host, port, sslmode, ...: no user, password or dbname */
    const char *admin_user; /* provisions; logs in to maintenance_db */
    struct catalog_sealed admin_password; /* length 0: none is needed */
    const char *maintenance_db;
    int max_backends;   /* of the proxy, over all tenants */
    int64_t disk_bytes; /* of the disk that its data and WAL are on; 0: nobody has said */
    int64_t created_unix_us;
    const char *installation;       /* the catalog's name, as catalog_installation; not written */
    const char *enforcement;        /* "guard" or "login": of new placements in shared databases */
    const char *enforcement_reason; /* why, for people */
    const char *guard_library;      /* as CREATE FUNCTION names it there; NULL: none */
    const char *pool_role;          /* logs in for shared sessions; NULL: none */
    struct catalog_sealed pool_password; /* context: catalog_login_context */
};

/* This catalog's own name: an UUID. */
int catalog_installation(struct catalog *catalog, struct arena *arena, const char **ret,
                         struct error *err);

/* id, disk_bytes and created_unix_us are not read. ERROR_EXISTS. */
int catalog_cluster_create(struct catalog *catalog, const struct catalog_cluster *cluster,
                           int64_t *ret_id, struct error *err);
int catalog_cluster_find(struct catalog *catalog, struct arena *arena, const char *name,
                         struct catalog_cluster *ret, struct error *err);
int catalog_cluster_get(struct catalog *catalog, struct arena *arena, int64_t id,
                        struct catalog_cluster *ret, struct error *err);
struct catalog_cluster_change {
    const char *conninfo; /* NULL: as it is */
    int max_backends;     /* 0: as it is */
    int64_t disk_bytes;   /* 0: as it is; -1: nobody knows */
};
/* All proxies follow. ERROR_INVALID: the conninfo. */
int catalog_cluster_set(struct catalog *catalog, int64_t id,
                        const struct catalog_cluster_change *change, struct error *err);
/* The last five members of `cluster`; all proxies follow. */
int catalog_cluster_set_enforcement(struct catalog *catalog, const struct catalog_cluster *cluster,
                                    struct error *err);
/* By name. */
int catalog_cluster_list(struct catalog *catalog, struct arena *arena, struct catalog_cluster **ret,
                         size_t *ret_count, struct error *err);
/* ERROR_STATE while placements, or databases or defaults of services, are there. */
int catalog_cluster_delete(struct catalog *catalog, int64_t id, struct error *err);

#endif

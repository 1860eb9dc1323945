/*
 * tenant.h - identities.
 *
 *        create            suspend
 *   ---> active <-----------------------> suspended
 *           |              resume             |
 *           +-------------> deleting <--------+
 *                              |
 *                              v
 *                           deleted   (the row stays; its slug is free again)
 */
#ifndef CATALOG_TENANT_H
#define CATALOG_TENANT_H

#include "catalog/catalog.h"

enum catalog_tenant_status {
    CATALOG_TENANT_ACTIVE,
    CATALOG_TENANT_SUSPENDED,
    CATALOG_TENANT_DELETING,
    CATALOG_TENANT_DELETED,
};
const char *catalog_tenant_status_name(enum catalog_tenant_status status); /* "active" */
/* ERROR_USAGE that lists the names. */
int catalog_tenant_status_parse(const char *name, enum catalog_tenant_status *ret,
                                struct error *err);

struct catalog_tenant {
    int64_t id;
    const char *slug;
    const char *name; /* for people; the slug when none was given */
    enum catalog_tenant_status status;
    int64_t created_unix_us;
    int64_t deleted_unix_us; /* 0: not */
    const char *const *tags; /* "plan=enterprise", "regulated": by name; catalog/tag.h */
    size_t tag_count;
};

/* name NULL: the slug. ERROR_INVALID for a slug or name that is not acceptable, ERROR_EXISTS. */
int catalog_tenant_create(struct catalog *catalog, const char *slug, const char *name,
                          int64_t *ret_id, struct error *err);
/* Deleted tenants are not found by slug. */
int catalog_tenant_find(struct catalog *catalog, struct arena *arena, const char *slug,
                        struct catalog_tenant *ret, struct error *err);
/* Deleted ones too. */
int catalog_tenant_get(struct catalog *catalog, struct arena *arena, int64_t id,
                       struct catalog_tenant *ret, struct error *err);

struct catalog_tenant_filter {
    bool with_deleted;
    int status;             /* enum catalog_tenant_status; -1: any */
    const char *after_slug; /* for pages; NULL: from the start */
    int64_t limit;          /* 0: all */
};
/* By slug. filter NULL: all that are not deleted. */
int catalog_tenant_list(struct catalog *catalog, struct arena *arena,
                        const struct catalog_tenant_filter *filter, struct catalog_tenant **ret,
                        size_t *ret_count, struct error *err);
/* The transitions above; to the present status is no error. Else ERROR_STATE. To `deleted` only
 * without placements; credentials are revoked by it. */
int catalog_tenant_set_status(struct catalog *catalog, int64_t id,
                              enum catalog_tenant_status status, struct error *err);

#endif

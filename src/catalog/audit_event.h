/*
 * audit_event.h - who did what, when. Rows are never changed.
 */
#ifndef CATALOG_AUDIT_EVENT_H
#define CATALOG_AUDIT_EVENT_H

#include "catalog/catalog.h"

struct catalog_audit_event {
    int64_t id;
    int64_t at_unix_us;
    const char *actor;                           /* "cli:alice", "serve" */
    const char *action;                          /* "tenant.suspend" */
    int64_t tenant_id, service_id, placement_id; /* 0: none; may name what is gone */
    const char *detail;                          /* JSON object; never a secret */
};

/* id and at_unix_us are not read; detail NULL: {}. */
int catalog_audit_append(struct catalog *catalog, const struct catalog_audit_event *event,
                         struct error *err);
/* Newest first; tenant_id 0: any; before_id for pages, 0: from the newest; limit 0: all. */
int catalog_audit_list(struct catalog *catalog, struct arena *arena, int64_t tenant_id,
                       int64_t before_id, int64_t limit, struct catalog_audit_event **ret,
                       size_t *ret_count, struct error *err);

#endif

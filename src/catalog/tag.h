/*
 * tag.h - what operators say of tenants: "regulated", "plan=enterprise". A tenant has one tag of a
 * name at most. Tags change nothing of how a tenant is served: commands pick tenants by them.
 */
#ifndef CATALOG_TAG_H
#define CATALOG_TAG_H

#include "catalog/tenant.h"

/* A name (as of slugs), or NAME=VALUE with a value of 1 to 200 bytes. ERROR_INVALID. */
int catalog_tag_check(const char *tag, struct error *err);
/* Takes the place of one of the same name. ERROR_INVALID. */
int catalog_tag_set(struct catalog *catalog, int64_t tenant_id, const char *tag, struct error *err);
/* ERROR_NOT_FOUND when the tenant has no tag of that name. */
int catalog_tag_unset(struct catalog *catalog, int64_t tenant_id, const char *name,
                      struct error *err);

/* "plan=enterprise": with that value; "plan": with any, or none. */
bool catalog_tenant_has_tag(const struct catalog_tenant *tenant, const char *wanted);

#endif

/*
 * issuer.h - who else may sign tokens that name our tenants.
 */
#ifndef CATALOG_ISSUER_H
#define CATALOG_ISSUER_H

#include "catalog/catalog.h"

struct catalog_issuer {
    int64_t id;
    const char *name;
    const char *issuer;       /* claim `iss` */
    const char *audience;     /* NULL: not checked */
    const char *tenant_claim; /* NULL: "tenantId", accepting "tenant_id" */
    const char *jwks;         /* JSON: public keys, or a shared secret */
    int leeway_s;             /* 0 to 300 */
    int64_t created_unix_us;
};

/* id and created_unix_us are not read. ERROR_EXISTS for a name, or issuer and audience, in use. */
int catalog_issuer_create(struct catalog *catalog, const struct catalog_issuer *issuer,
                          int64_t *ret_id, struct error *err);
int catalog_issuer_find(struct catalog *catalog, struct arena *arena, const char *name,
                        struct catalog_issuer *ret, struct error *err);
/* By name. */
int catalog_issuer_list(struct catalog *catalog, struct arena *arena, struct catalog_issuer **ret,
                        size_t *ret_count, struct error *err);
int catalog_issuer_delete(struct catalog *catalog, int64_t id, struct error *err);

#endif

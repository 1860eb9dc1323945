/*
 * credential.h - a tenant's password (as a SCRAM verifier) and the tokens that Reeve issued.
 */
#ifndef CATALOG_CREDENTIAL_H
#define CATALOG_CREDENTIAL_H

#include "catalog/catalog.h"

/* Replaces the tenant's password. ERROR_STATE for a tenant that is deleting or deleted. */
int catalog_password_set(struct catalog *catalog, int64_t tenant_id, const char *scram_verifier,
                         struct error *err);
/* Nothing when there is none. */
int catalog_password_remove(struct catalog *catalog, int64_t tenant_id, struct error *err);
/* NULL in *ret when the tenant has no password. */
int catalog_password_get(struct catalog *catalog, struct arena *arena, int64_t tenant_id,
                         const char **ret_verifier, struct error *err);

struct catalog_token {
    int64_t id;
    int64_t tenant_id;
    const char *jti;     /* 32 hexadecimal digits */
    int64_t service_id;  /* 0: every service */
    const char *service; /* its name, NULL for every; read only */
    bool read_only;
    int64_t created_unix_us;
    int64_t expires_unix_us;
    int64_t revoked_unix_us; /* 0: not */
};
/* Reads tenant_id, jti, service_id, read_only and expires_unix_us. ERROR_STATE for a tenant that is
 * deleting or deleted. */
int catalog_token_add(struct catalog *catalog, const struct catalog_token *token, int64_t *ret_id,
                      struct error *err);
/* Newest first; with_dead: revoked and expired ones too. */
int catalog_token_list(struct catalog *catalog, struct arena *arena, int64_t tenant_id,
                       bool with_dead, struct catalog_token **ret, size_t *ret_count,
                       struct error *err);
/* Revoking again is no error. ERROR_NOT_FOUND when the tenant has no such token. */
int catalog_token_revoke(struct catalog *catalog, int64_t tenant_id, const char *jti,
                         struct error *err);
/* Password and every token. */
int catalog_credential_revoke_all(struct catalog *catalog, int64_t tenant_id, struct error *err);

#endif

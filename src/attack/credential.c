/* credential.c - tokens that throwaway tenants log in with, and such as must not work. */
#include "attack/internal.h"
#include "auth/token.h"
#include "base/str.h"
#include "base/time.h"
#include "catalog/audit_event.h"
#include "catalog/credential.h"

enum { JTI_BYTES = 16 };

/* Longer than any run; removing the tenants revokes them anyway. */
static const int64_t run_ttl_us = 6 * 3600 * (int64_t)TIME_S;

static int keep(struct attack_stage *stage, const struct catalog_token *token, struct error *err)
{
    const struct catalog_audit_event event = {.actor = stage->options->job->actor,
                                              .action = "token.issue",
                                              .tenant_id = token->tenant_id,
                                              .service_id = token->service_id};
    int64_t id;
    int result = catalog_begin(stage->catalog, err);
    if (result < 0)
        return result;
    _cleanup_catalog_rollback_ struct catalog *transaction = stage->catalog;
    result = catalog_token_add(transaction, token, &id, err);
    if (result == 0)
        result = catalog_audit_append(transaction, &event, err);
    return result < 0 ? result : catalog_commit(transaction, err);
}

int credential_issue(struct attack_stage *stage, const struct attack_side *side,
                     const struct credential_spec *spec, bool record, char **ret, char ret_jti[33],
                     struct error *err)
{
    uint8_t key[CRYPTO_KEY_SIZE], random[JTI_BYTES];
    char jti[2 * JTI_BYTES + 1];
    char *token = NULL;
    int64_t now_s = time_unix_us() / TIME_S;
    int64_t ttl_us = spec->ttl_us ? spec->ttl_us : run_ttl_us;
    crypto_random(random, sizeof(random));
    str_hex(random, sizeof(random), jti);
    auth_derive_key(stage->options->job->master_key, AUTH_TOKEN_KEY_LABEL, key);
    if (spec->foreign_key)
        crypto_random(key, sizeof(key));
    const struct auth_token_spec claims = {
        .tenant_id = spec->tenant ? spec->tenant_id : side->tenant_id,
        .tenant_slug = spec->tenant ? spec->tenant : side->slug,
        .service = spec->service ? spec->service : stage->target->service,
        .read_only = spec->read_only,
        .issued_unix_s = now_s - (ttl_us < 0 ? 3600 : 0),
        .expires_unix_s = now_s + ttl_us / TIME_S,
        .jti = jti};
    int result = auth_token_issue(key, &claims, &token, err);
    crypto_wipe(key, sizeof(key));
    const struct catalog_token row = {.tenant_id = side->tenant_id,
                                      .jti = jti,
                                      .service_id = spec->service ? 0 : stage->target->service_id,
                                      .read_only = spec->read_only,
                                      .expires_unix_us = claims.expires_unix_s * TIME_S};
    if (result == 0 && record)
        result = keep(stage, &row, err);
    if (result < 0) {
        catalog_wipe(token);
        return result;
    }
    *ret = token;
    if (ret_jti)
        memcpy(ret_jti, jti, sizeof(jti));
    return 0;
}

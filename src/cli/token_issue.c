#include "cli/token_issue.h"

#include "auth/token.h"
#include "base/str.h"
#include "base/time.h"
#include "catalog/audit_event.h"
#include "catalog/credential.h"

enum { JTI_BYTES = 16 };

static const int64_t default_ttl_us = TOKEN_ISSUE_TTL_DAYS * 86400LL * TIME_S;

const char *token_access_choice(size_t index)
{
    static const char *const names[] = {"rw", "ro", NULL};
    return names[index];
}

void token_issue_options(const struct cli *cli, struct token_issue *ret)
{
    const char *access = cli_text(cli, "access");
    ret->read_only = access && strcmp(access, "ro") == 0;
    ret->ttl_us = cli_duration_us(cli, "ttl", default_ttl_us);
}

static int sign(const struct context *context, struct token_issue *token, int64_t now_s,
                struct error *err)
{
    uint8_t key[CRYPTO_KEY_SIZE];
    const struct auth_token_spec spec = {.tenant_id = token->tenant_id,
                                         .tenant_slug = token->tenant,
                                         .service = token->service,
                                         .read_only = token->read_only,
                                         .issued_unix_s = now_s,
                                         .expires_unix_s = token->expires_unix_us / TIME_S,
                                         .jti = token->jti};
    auth_derive_key(context->job.master_key, AUTH_TOKEN_KEY_LABEL, key);
    int result = auth_token_issue(key, &spec, &token->token, err);
    crypto_wipe(key, sizeof(key));
    return result;
}

static int record(const struct context *context, struct catalog *catalog,
                  const struct token_issue *token, struct error *err)
{
    const struct catalog_token row = {.tenant_id = token->tenant_id,
                                      .jti = token->jti,
                                      .service_id = token->service_id,
                                      .read_only = token->read_only,
                                      .expires_unix_us = token->expires_unix_us};
    const struct catalog_audit_event event = {
        .action = "token.issue", .tenant_id = token->tenant_id, .service_id = token->service_id};
    int64_t id;
    int result = catalog_begin(catalog, err);
    if (result < 0)
        return result;
    result = catalog_token_add(catalog, &row, &id, err);
    return context_commit(context, catalog, result, &event,
                          json_pack("{s:s, s:s, s:o}", "id", token->jti, "access",
                                    token_access_choice(token->read_only), "expires_at",
                                    output_time_us(token->expires_unix_us)),
                          err);
}

int token_issue(const struct context *context, struct catalog *catalog, struct token_issue *token,
                struct error *err)
{
    uint8_t random[JTI_BYTES];
    crypto_random(random, sizeof(random));
    str_hex(random, sizeof(random), token->jti);
    /* Whole seconds, as the token has them. */
    int64_t now_s = time_unix_us() / TIME_S;
    token->expires_unix_us = now_s * TIME_S + token->ttl_us / TIME_S * TIME_S;
    int result = sign(context, token, now_s, err);
    return result < 0 ? result : record(context, catalog, token, err);
}

void token_issue_free(struct token_issue *token)
{
    if (token->token)
        crypto_wipe(token->token, strlen(token->token));
    free(token->token);
    token->token = NULL;
}

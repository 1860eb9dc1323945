#include "catalog/credential.h"

#include "catalog/internal.h"
#include "sql/statements.h"

/* ---- the password ---- */

int catalog_password_set(struct catalog *catalog, int64_t tenant_id, const char *scram_verifier,
                         struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_password_set, pg_from_i64(&arena, tenant_id), scram_verifier);
    statement.subject = arena_printf(&arena, "password of tenant %lld", (long long)tenant_id);
    return catalog_write(catalog, &statement, NULL, err);
}

int catalog_password_remove(struct catalog *catalog, int64_t tenant_id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_password_delete, pg_from_i64(&arena, tenant_id));
    return catalog_write(catalog, &statement, NULL, err);
}

int catalog_password_get(struct catalog *catalog, struct arena *arena, int64_t tenant_id,
                         const char **ret_verifier, struct error *err)
{
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_password_select, pg_from_i64(arena, tenant_id));
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = catalog_read(catalog, &statement, &result, err);
    if (r == 0)
        *ret_verifier = pg_text_copy(result, 0, 0, arena);
    return r;
}

/* ---- tokens ---- */

static const char *describe_token(struct arena *arena, int64_t tenant_id, const char *jti)
{
    return arena_printf(arena, "token %s of tenant %lld", jti, (long long)tenant_id);
}

int catalog_token_add(struct catalog *catalog, const struct catalog_token *token, int64_t *ret_id,
                      struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_token_insert, pg_from_i64(&arena, token->tenant_id), token->jti,
        catalog_id(&arena, token->service_id), token->read_only ? "ro" : "rw",
        pg_from_i64(&arena, token->expires_unix_us));
    statement.subject = describe_token(&arena, token->tenant_id, token->jti);
    return catalog_insert(catalog, &statement, ret_id, err);
}

static int fill(const struct pg_result *result, size_t row, struct arena *arena, void *ret,
                reeve_unused struct error *err)
{
    *(struct catalog_token *)ret = (struct catalog_token){
        .id = pg_i64(result, row, 0),
        .tenant_id = pg_i64(result, row, 1),
        .jti = pg_text_copy(result, row, 2, arena),
        .service_id = pg_i64(result, row, 3),
        .service = pg_text_copy(result, row, 4, arena),
        .read_only = pg_bool(result, row, 5),
        .created_unix_us = pg_i64(result, row, 6),
        .expires_unix_us = pg_i64(result, row, 7),
        .revoked_unix_us = pg_i64(result, row, 8),
    };
    return 0;
}

int catalog_token_list(struct catalog *catalog, struct arena *arena, int64_t tenant_id,
                       bool with_dead, struct catalog_token **ret, size_t *ret_count,
                       struct error *err)
{
    const struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_token_select, pg_from_i64(arena, tenant_id), pg_from_bool(with_dead));
    void *rows = NULL;
    int r = catalog_list(catalog, arena, &statement, fill, sizeof(**ret), &rows, ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

int catalog_token_revoke(struct catalog *catalog, int64_t tenant_id, const char *jti,
                         struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_token_revoke, pg_from_i64(&arena, tenant_id), jti);
    statement.subject = describe_token(&arena, tenant_id, jti);
    return catalog_change(catalog, &statement, err);
}

static int revoke_tokens(struct catalog *catalog, int64_t tenant_id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_token_revoke_all, pg_from_i64(&arena, tenant_id));
    return catalog_write(catalog, &statement, NULL, err);
}

int catalog_credential_revoke_all(struct catalog *catalog, int64_t tenant_id, struct error *err)
{
    _cleanup_catalog_scope_ struct catalog_scope scope = {0};
    int r = catalog_scope_begin(catalog, &scope, err);
    if (r == 0)
        r = catalog_password_remove(catalog, tenant_id, err);
    if (r == 0)
        r = revoke_tokens(catalog, tenant_id, err);
    return r < 0 ? r : catalog_scope_commit(&scope, err);
}

/*
 * Tokens taken apart, verified and issued.
 *
 * The order: form, header, issuer by `iss`, key by `kid`, algorithm of that key, signature; and of
 * a signed token alone, its claims (claims.c).
 */
#include "auth/internal.h"

#include <strings.h>

enum {
    JTI_LENGTH = 32,
    QUICK_MAX_LENGTH = 1024, /* Reeve's own have less than half of it */
};

/* {"alg":"HS256","typ":"JWT"} in base64url */
static const char own_header[] = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

struct token {
    struct str header, payload, signature; /* base64url */
    struct str signed_part;                /* header "." payload */
    json_t *header_json, *payload_json;
    const char *algorithm, *key_id; /* of the header; key_id may be NULL */
    uint8_t *signature_bytes;
    size_t signature_length;
};

static void token_clear(struct token *token)
{
    json_decref(token->header_json);
    json_decref(token->payload_json);
    free(token->signature_bytes);
}

/* ---- form ---- */

/* Takes the characters of base64url off the front of *rest. */
static struct str take_part(struct str *rest)
{
    struct str part = {rest->data, 0};
    while (part.length < rest->length && auth_base64url_character(rest->data[part.length]))
        part.length++;
    *rest = (struct str){rest->data + part.length, rest->length - part.length};
    return part;
}

static bool take_dot(struct str *rest)
{
    if (rest->length == 0 || rest->data[0] != '.')
        return false;
    *rest = (struct str){rest->data + 1, rest->length - 1};
    return true;
}

/* Three parts and nothing else. The signature may be empty: `none` is refused with its reason. */
static bool split(struct str text, struct token *ret)
{
    struct str rest = text;
    ret->header = take_part(&rest);
    if (!take_dot(&rest))
        return false;
    ret->payload = take_part(&rest);
    ret->signed_part = (struct str){text.data, ret->header.length + 1 + ret->payload.length};
    if (!take_dot(&rest))
        return false;
    ret->signature = take_part(&rest);
    return rest.length == 0 && ret->header.length > 0 && ret->payload.length > 0;
}

/* Base64 of '{' and two bits of what follows: a password of three words is no token. */
static bool begins_object(struct str header)
{
    return header.length >= 2 && header.data[0] == 'e' &&
           strchr("wxyz0123456789-_", header.data[1]) != NULL;
}

bool auth_looks_like_token(const char *text, size_t length)
{
    struct token token = {0};
    return split((struct str){text, length}, &token) && begins_object(token.header);
}

bool auth_token_is_quick(const char *token, size_t length)
{
    struct token parts = {0};
    return length <= QUICK_MAX_LENGTH && split((struct str){token, length}, &parts) &&
           parts.header.length == strlen(own_header) &&
           memcmp(parts.header.data, own_header, parts.header.length) == 0;
}

static int decode_json(struct str part, const char *what, json_t **ret, struct error *err)
{
    _cleanup_free_ char *bytes = xmalloc(part.length + 1);
    ssize_t length = auth_base64url_decode(part, bytes, part.length);
    if (length < 0)
        return error_set(err, ERROR_AUTH, "%s is not base64url", what);
    return auth_json_parse((struct str){bytes, (size_t)length}, ERROR_AUTH, what, ret, err);
}

static int decode_signature(struct token *token, struct error *err)
{
    size_t room = token->signature.length + 1;
    token->signature_bytes = xmalloc(room);
    ssize_t length = auth_base64url_decode(token->signature, token->signature_bytes, room);
    if (length < 0)
        return error_set(err, ERROR_AUTH, "the token's signature is not base64url");
    token->signature_length = (size_t)length;
    return 0;
}

/* "JWT" or "at+jwt" (RFC 9068), if anything: no token that was made for another purpose. */
static bool is_type_good(const json_t *type)
{
    const char *text = json_string_value(type);
    if (!type)
        return true;
    if (text && strncasecmp(text, "application/", strlen("application/")) == 0)
        text += strlen("application/");
    return text && (strcasecmp(text, "JWT") == 0 || strcasecmp(text, "at+jwt") == 0);
}

static int read_header(struct token *token, struct error *err)
{
    const json_t *header = token->header_json;
    const json_t *key_id = json_object_get(header, "kid");
    const char *algorithm = json_string_value(json_object_get(header, "alg"));
    token->algorithm = algorithm ? algorithm : "";
    token->key_id = json_string_value(key_id);
    if (!algorithm)
        return error_set(err, ERROR_AUTH, "the token's header has no \"alg\"");
    if (json_object_get(header, "crit"))
        return error_set(err, ERROR_AUTH, "the token asks for extensions (\"crit\")");
    if (!is_type_good(json_object_get(header, "typ")))
        return error_set(err, ERROR_AUTH, "the token's \"typ\" is that of another kind of token");
    if (key_id && (!token->key_id || strlen(token->key_id) > KEY_ID_MAX))
        return error_set(err, ERROR_AUTH, "the token's \"kid\" is not a text of at most %d bytes",
                         KEY_ID_MAX);
    return 0;
}

static int read_token(struct str text, struct token *token, struct error *err)
{
    if (text.length > TOKEN_MAX_LENGTH)
        return error_set(err, ERROR_AUTH, "the token is longer than %d bytes", TOKEN_MAX_LENGTH);
    if (!split(text, token) || !begins_object(token->header))
        return error_set(err, ERROR_AUTH, "the token is not three parts of base64url");
    int result = decode_json(token->header, "the token's header", &token->header_json, err);
    if (result == 0)
        result = read_header(token, err);
    if (result == 0)
        result = decode_json(token->payload, "the token's payload", &token->payload_json, err);
    if (result == 0)
        result = decode_signature(token, err);
    return result;
}

/* ---- keys ---- */

/* Whether a key of the issuer has the token's id: then no other key of it counts. */
static bool knows_key_id(const struct keyring_issuer *issuer, const char *key_id)
{
    for (size_t i = 0; key_id && i < issuer->keys.count; i++) {
        const char *id = issuer->keys.keys[i].id;
        if (id && strcmp(id, key_id) == 0)
            return true;
    }
    return false;
}

/* By id where both have one; a key without an id fits any token, but for an id that is known. */
static bool fits_key(const struct auth_key *key, const char *key_id, bool id_known)
{
    if (!key_id)
        return true;
    return id_known ? key->id && strcmp(key->id, key_id) == 0 : !key->id;
}

/* The algorithm is the key's: a token that names another is refused by this key unread. */
static int check_signature(const struct keyring_issuer *issuer, const struct token *token,
                           struct error *err)
{
    char shown[SHOWN_SIZE];
    bool any_key = false;
    bool any_algorithm = false;
    bool id_known = knows_key_id(issuer, token->key_id);
    for (size_t i = 0; i < issuer->keys.count; i++) {
        const struct auth_key *key = &issuer->keys.keys[i];
        if (!fits_key(key, token->key_id, id_known))
            continue;
        any_key = true;
        if (strcmp(token->algorithm, auth_algorithm_name(key->algorithm)) != 0)
            continue;
        any_algorithm = true;
        if (auth_key_verifies(key, token->signed_part, token->signature_bytes,
                              token->signature_length) ||
            mutation("auth.signature"))
            return 0;
    }
    if (!any_key)
        return error_set(err, ERROR_AUTH,
                         "issuer \"%s\" has no key with the token's \"kid\" \"%s\"", issuer->name,
                         auth_show(token->key_id, shown));
    if (!any_algorithm)
        return error_set(err, ERROR_AUTH,
                         "the token's algorithm \"%s\" is not that of a key of issuer \"%s\"",
                         auth_show(token->algorithm, shown), issuer->name);
    return error_set(err, ERROR_AUTH, "the token's signature is not by issuer \"%s\"",
                     issuer->name);
}

/* Several issuers may share `iss`, each with its audience: the first one that takes the token.
 * Where none does, the reason is of one whose key signed it, if there is one. */
static int verify(const struct auth_keyring *keyring, const struct token *token, int64_t now_unix_s,
                  struct auth_claims *ret, struct error *err)
{
    char shown[SHOWN_SIZE];
    bool reason_given = false;
    const char *issuer_claim = json_string_value(json_object_get(token->payload_json, "iss"));
    if (!issuer_claim)
        return error_set(err, ERROR_AUTH, "the token has no claim \"iss\"");
    int result = error_set(err, ERROR_AUTH, "the token's issuer \"%s\" is not known",
                           auth_show(issuer_claim, shown));
    for (size_t i = 0; i < keyring->count; i++) {
        const struct keyring_issuer *issuer = &keyring->issuers[i];
        if (strcmp(issuer->issuer, issuer_claim) != 0)
            continue;
        result = check_signature(issuer, token, reason_given ? NULL : err);
        if (result < 0)
            continue;
        result = auth_claims_read(issuer, token->payload_json, now_unix_s, ret, err);
        if (result == 0)
            return 0;
        reason_given = true;
    }
    return result;
}

int auth_token_verify(const struct auth_keyring *keyring, const char *token, size_t length,
                      int64_t now_unix_s, struct auth_claims *ret, struct error *err)
{
    _cleanup_(token_clear) struct token parts = {.algorithm = ""};
    struct error reason = {0};
    int result = read_token((struct str){token, length}, &parts, &reason);
    if (result == 0)
        result = verify(keyring, &parts, now_unix_s, ret, &reason);
    if (result < 0 && err)
        *err = reason;
    return result;
}

/* ---- Reeve's own ---- */

static bool is_hexadecimal(const char *text, size_t length)
{
    return strlen(text) == length && strspn(text, "0123456789abcdef") == length;
}

static int check_spec(const struct auth_token_spec *spec, struct error *err)
{
    int result = str_check_slug("the tenant's slug", spec->tenant_slug, err);
    if (result == 0 && spec->service)
        result = str_check_slug("the service's name", spec->service, err);
    if (result < 0)
        return result;
    if (spec->tenant_id <= 0)
        return error_set(err, ERROR_INVALID, "a tenant's id must be positive");
    if (!is_hexadecimal(spec->jti, JTI_LENGTH))
        return error_set(err, ERROR_INVALID, "a token's id must be %d hexadecimal digits",
                         JTI_LENGTH);
    if (spec->issued_unix_s < 0 || spec->expires_unix_s <= spec->issued_unix_s)
        return error_set(err, ERROR_INVALID, "a token must expire after it is issued");
    return 0;
}

/* The tenant by its id: a slug may one day be another tenant's. */
static char *make_payload(const struct auth_token_spec *spec)
{
    _cleanup_json_ json_t *claims =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s*}", "iss", AUTH_OWN_ISSUER, "sub",
                  spec->tenant_slug, "tenantId", (json_int_t)spec->tenant_id, "iat",
                  (json_int_t)spec->issued_unix_s, "exp", (json_int_t)spec->expires_unix_s, "jti",
                  spec->jti, "access", spec->read_only ? "ro" : "rw", "service", spec->service);
    return json_dumps(claims, JSON_COMPACT);
}

int auth_token_issue(const uint8_t own_key[CRYPTO_KEY_SIZE], const struct auth_token_spec *spec,
                     char **ret_token, struct error *err)
{
    int result = check_spec(spec, err);
    if (result < 0)
        return result;
    _cleanup_free_ char *payload = make_payload(spec);
    if (!payload)
        return error_set(err, ERROR_INTERNAL, "cannot write a token's claims");
    _cleanup_buffer_ struct buffer token = BUFFER_INIT(TOKEN_MAX_LENGTH);
    uint8_t mac[CRYPTO_SHA256_SIZE];
    buffer_append_string(&token, own_header);
    buffer_append_byte(&token, '.');
    auth_base64url_append(&token, payload, strlen(payload));
    crypto_hmac_sha256(own_key, CRYPTO_KEY_SIZE, token.data, token.length, mac);
    buffer_append_byte(&token, '.');
    auth_base64url_append(&token, mac, sizeof(mac));
    if (token.failed)
        return error_set(err, ERROR_INTERNAL, "a token does not fit");
    *ret_token = buffer_take(&token);
    return 0;
}

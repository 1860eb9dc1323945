/*
 * jwks_seal.c - shared secrets of issuers at rest: a set of keys without them, and all of it
 * sealed.
 *
 *   {"keys": [{"kty": "oct", "kid": "a"}], "sealed": "base64 of crypto_seal's form"}
 */
#include "auth/internal.h"

enum { CONTEXT_SIZE = TOKEN_NAME_SIZE + 16 };

/* A sealed set belongs to its issuer and to no other. */
static void seal_context(const char *issuer_name, char ret[CONTEXT_SIZE])
{
    snprintf(ret, CONTEXT_SIZE, "issuer:%s", issuer_name);
}

static int parse(const char *jwks, json_t **ret, struct error *err)
{
    return auth_json_parse(str_of(jwks), ERROR_INVALID, "the set of keys", ret, err);
}

/* Takes the secrets out; true when there were any. */
static bool take_secrets(json_t *set)
{
    bool found = json_object_get(set, "k") != NULL; /* one key, not a set */
    json_object_del(set, "k");
    json_t *keys = json_object_get(set, "keys");
    for (size_t i = 0; i < json_array_size(keys); i++) {
        json_t *key = json_array_get(keys, i);
        found = found || json_object_get(key, "k");
        json_object_del(key, "k");
    }
    return found;
}

static char *sealed_text(const uint8_t key[CRYPTO_KEY_SIZE], const char *context, const char *jwks)
{
    size_t length = strlen(jwks);
    size_t sealed_length = length + CRYPTO_SEAL_OVERHEAD;
    _cleanup_free_ uint8_t *sealed = xmalloc(sealed_length);
    char *text = xmalloc(CRYPTO_BASE64_SIZE(sealed_length));
    crypto_seal(key, context, jwks, length, sealed);
    crypto_base64_encode(sealed, sealed_length, text);
    return text;
}

int auth_jwks_seal(const uint8_t key[CRYPTO_KEY_SIZE], const char *issuer_name, const char *jwks,
                   char **ret_stored, struct error *err)
{
    char context[CONTEXT_SIZE];
    _cleanup_json_ json_t *set = NULL;
    int result = parse(jwks, &set, err);
    if (result < 0)
        return result;
    if (!take_secrets(set)) {
        *ret_stored = xstrdup(jwks);
        return 0;
    }
    seal_context(issuer_name, context);
    _cleanup_free_ char *sealed = sealed_text(key, context, jwks);
    json_object_set_new(set, "sealed", json_string(sealed));
    *ret_stored = json_dumps(set, JSON_COMPACT);
    return *ret_stored ? 0 : error_set(err, ERROR_INTERNAL, "cannot write a set of keys");
}

int auth_jwks_open(const uint8_t key[CRYPTO_KEY_SIZE], const char *issuer_name, const char *stored,
                   char **ret_jwks, struct error *err)
{
    char context[CONTEXT_SIZE];
    _cleanup_json_ json_t *set = NULL;
    int result = parse(stored, &set, err);
    if (result < 0)
        return result;
    const json_t *sealed = json_object_get(set, "sealed");
    if (!sealed) {
        *ret_jwks = xstrdup(stored);
        return 0;
    }
    size_t length = json_string_length(sealed); /* 0 for what is no string */
    _cleanup_free_ uint8_t *bytes = xmalloc(length + 1);
    ssize_t decoded = crypto_base64_decode(length > 0 ? json_string_value(sealed) : "", length,
                                           bytes, length + 1);
    if (decoded < CRYPTO_SEAL_OVERHEAD)
        return error_set(err, ERROR_INVALID, "the sealed keys of issuer \"%s\" are cut off",
                         issuer_name);
    char *jwks = xcalloc((size_t)decoded - CRYPTO_SEAL_OVERHEAD + 1, 1);
    seal_context(issuer_name, context);
    result = crypto_open(key, context, bytes, (size_t)decoded, jwks, err);
    if (result < 0) {
        free(jwks);
        return result;
    }
    *ret_jwks = jwks;
    return 0;
}

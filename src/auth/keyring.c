/* Issuers and their keys. Immutable once made: any number of threads read it. */
#include "auth/internal.h"

#include <assert.h>

enum { ISSUER_MAX = 1024, CLAIM_NAME_MAX = 255 };

static const char OWN_NAME[] = AUTH_OWN_ISSUER;

static bool fits(const char *text, size_t maximum)
{
    size_t length = strnlen(text, maximum + 1);
    return length >= 1 && length <= maximum;
}

static int check_issuer(const struct auth_issuer *issuer, struct error *err)
{
    int result = str_check_slug("an issuer's name", issuer->name, err);
    if (result < 0)
        return result;
    if (strcmp(issuer->name, OWN_NAME) == 0 || strcmp(issuer->issuer, OWN_NAME) == 0)
        result = error_set(err, ERROR_INVALID, "\"%s\" stands for Reeve's own tokens", OWN_NAME);
    else if (!fits(issuer->issuer, ISSUER_MAX))
        result = error_set(err, ERROR_INVALID, "the issuer must have 1 to %d bytes", ISSUER_MAX);
    else if (issuer->audience && !fits(issuer->audience, ISSUER_MAX))
        result = error_set(err, ERROR_INVALID, "the audience must have 1 to %d bytes", ISSUER_MAX);
    else if (issuer->tenant_claim && !fits(issuer->tenant_claim, CLAIM_NAME_MAX))
        result = error_set(err, ERROR_INVALID, "the tenant claim must have 1 to %d bytes",
                           CLAIM_NAME_MAX);
    else if (issuer->leeway_s < 0 || issuer->leeway_s > LEEWAY_MAX_S)
        result = error_set(err, ERROR_INVALID, "the leeway must be 0 to %d seconds", LEEWAY_MAX_S);
    return result;
}

static char *copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

static int make_issuer(struct keyring_issuer *target, const struct auth_issuer *issuer,
                       struct error *err)
{
    char shown[SHOWN_SIZE];
    int result = check_issuer(issuer, err);
    if (result == 0)
        result = auth_keys_parse(str_of(issuer->jwks), &target->keys, err);
    if (result < 0) {
        error_prefix(err, "issuer \"%s\"", auth_show(issuer->name, shown));
        return result;
    }
    target->name = xstrdup(issuer->name);
    target->issuer = xstrdup(issuer->issuer);
    target->audience = copy(issuer->audience);
    target->tenant_claim = copy(issuer->tenant_claim);
    target->leeway_s = issuer->leeway_s;
    return 0;
}

static int make_own(struct keyring_issuer *target, const uint8_t own_key[CRYPTO_KEY_SIZE],
                    struct error *err)
{
    struct auth_key *key = xcalloc(1, sizeof(*key));
    int result = auth_key_make_secret(key, own_key, CRYPTO_KEY_SIZE, err);
    target->name = xstrdup(OWN_NAME);
    target->issuer = xstrdup(OWN_NAME);
    target->leeway_s = TOKEN_DEFAULT_LEEWAY_S;
    target->is_own = true;
    target->keys = (struct auth_keys){key, 1};
    return result;
}

int auth_keyring_create(const struct auth_issuer *issuers, size_t count,
                        const uint8_t own_key[CRYPTO_KEY_SIZE], struct auth_keyring **ret,
                        struct error *err)
{
    struct auth_keyring *keyring =
        xcalloc(1, sizeof(*keyring) + (count + 1) * sizeof(keyring->issuers[0]));
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = make_issuer(&keyring->issuers[keyring->count++], &issuers[i], err);
    if (result == 0 && own_key) {
        keyring->has_own = true;
        result = make_own(&keyring->issuers[keyring->count++], own_key, err);
    }
    if (result < 0)
        auth_keyring_free(keyring);
    else
        *ret = keyring;
    return result;
}

void auth_keyring_free(struct auth_keyring *keyring)
{
    if (!keyring)
        return;
    for (size_t i = 0; i < keyring->count; i++) {
        struct keyring_issuer *issuer = &keyring->issuers[i];
        auth_keys_clear(&issuer->keys);
        free(issuer->name);
        free(issuer->issuer);
        free(issuer->audience);
        free(issuer->tenant_claim);
    }
    free(keyring);
}

size_t auth_keyring_issuer_count(const struct auth_keyring *keyring)
{
    return keyring->count - keyring->has_own;
}

void auth_derive_key(const uint8_t master[CRYPTO_KEY_SIZE], const char *label,
                     uint8_t ret[CRYPTO_KEY_SIZE])
{
    static_assert(CRYPTO_KEY_SIZE == CRYPTO_SHA256_SIZE, "one HMAC is one key");
    crypto_hmac_sha256(master, CRYPTO_KEY_SIZE, label, strlen(label), ret);
}

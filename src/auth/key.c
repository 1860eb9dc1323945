/* One key, its one algorithm, and whether it signed something. */
#include "auth/internal.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509.h>

enum { ES256_HALF = 32, ES256_DER_MAX = 80 };

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);
DEFINE_CLEANUP(EVP_PKEY_CTX *, EVP_PKEY_CTX_free);
DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);
DEFINE_CLEANUP(ECDSA_SIG *, ECDSA_SIG_free);

const char *auth_algorithm_name(enum key_algorithm algorithm)
{
    static const char *const names[] = {
        [KEY_RS256] = "RS256", [KEY_ES256] = "ES256", [KEY_EDDSA] = "EdDSA", [KEY_HS256] = "HS256"};
    return names[algorithm];
}

int auth_key_make_secret(struct auth_key *key, const void *secret, size_t length, struct error *err)
{
    if (length < SECRET_MIN)
        return error_set(err, ERROR_INVALID, "a shared secret must have at least %d bytes",
                         SECRET_MIN);
    if (length > SECRET_MAX)
        return error_set(err, ERROR_INVALID, "a shared secret must have at most %d bytes",
                         SECRET_MAX);
    key->algorithm = KEY_HS256;
    key->secret = xmalloc(length);
    key->secret_length = length;
    memcpy(key->secret, secret, length);
    return 0;
}

static int check_rsa(EVP_PKEY *key, struct error *err)
{
    int bits = EVP_PKEY_get_bits(key);
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        return error_set(err, ERROR_INVALID, "it is not an RSA key");
    if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS)
        return error_set(err, ERROR_INVALID, "an RSA key must have %d to %d bits; this one has %d",
                         RSA_MIN_BITS, RSA_MAX_BITS, bits);
    return 0;
}

static int check_ec(EVP_PKEY *key, struct error *err)
{
    char group[32] = "";
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
        EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1 ||
        strcmp(group, SN_X9_62_prime256v1) != 0)
        return error_set(err, ERROR_INVALID, "it is not a key on the curve P-256");
    return 0;
}

/* An exponent that does something, a modulus that is a product, a point on the curve. */
static bool is_sound(EVP_PKEY *key)
{
    _cleanup_(cleanup_EVP_PKEY_CTX_free) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    return context && EVP_PKEY_public_check(context) == 1;
}

static int check_public(enum key_algorithm algorithm, EVP_PKEY *key, struct error *err)
{
    int result = 0;
    switch (algorithm) {
    case KEY_RS256:
        result = check_rsa(key, err);
        break;
    case KEY_ES256:
        result = check_ec(key, err);
        break;
    case KEY_EDDSA:
        if (EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519)
            result = error_set(err, ERROR_INVALID, "it is not an Ed25519 key");
        return result; /* any 32 bytes are one */
    case KEY_HS256:
        return error_set(err, ERROR_INTERNAL, "a public key cannot be a shared secret");
    }
    if (result == 0 && !is_sound(key))
        result = error_set(err, ERROR_INVALID, "it is not a sound public key");
    return result;
}

int auth_key_make_public(struct auth_key *key, const uint8_t *der, size_t length, struct error *err)
{
    const unsigned char *at = der;
    ERR_set_mark();
    _cleanup_(cleanup_EVP_PKEY_free) EVP_PKEY *found = d2i_PUBKEY(NULL, &at, (long)length);
    int result = found ? check_public(key->algorithm, found, err)
                       : error_set(err, ERROR_INVALID, "it is not a sound public key");
    ERR_pop_to_mark();
    if (result == 0)
        key->public_key = take_pointer(found);
    return result;
}

void auth_key_clear(struct auth_key *key)
{
    free(key->id);
    EVP_PKEY_free(key->public_key);
    if (key->secret)
        crypto_wipe(key->secret, key->secret_length);
    free(key->secret);
    *key = (struct auth_key){0};
}

/* RFC 7518, section 3.4: r and s, 32 bytes each; OpenSSL wants them in DER. Its length, or -1. */
static int es256_to_der(const uint8_t *signature, size_t length, uint8_t ret_der[ES256_DER_MAX])
{
    _cleanup_(cleanup_ECDSA_SIG_free) ECDSA_SIG *pair = ECDSA_SIG_new();
    if (length != (size_t)2 * ES256_HALF || !pair)
        return -1;
    BIGNUM *r = BN_bin2bn(signature, ES256_HALF, NULL);
    BIGNUM *s = BN_bin2bn(signature + ES256_HALF, ES256_HALF, NULL);
    if (!r || !s || ECDSA_SIG_set0(pair, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return -1;
    }
    unsigned char *at = ret_der;
    return i2d_ECDSA_SIG(pair, NULL) <= ES256_DER_MAX ? i2d_ECDSA_SIG(pair, &at) : -1;
}

static bool verify_public(const struct auth_key *key, struct str signed_part,
                          const uint8_t *signature, size_t length)
{
    uint8_t der[ES256_DER_MAX];
    if (key->algorithm == KEY_ES256) {
        int der_length = es256_to_der(signature, length, der);
        if (der_length < 0)
            return false;
        signature = der;
        length = (size_t)der_length;
    }
    const EVP_MD *hash = key->algorithm == KEY_EDDSA ? NULL : EVP_sha256();
    _cleanup_(cleanup_EVP_MD_CTX_free) EVP_MD_CTX *context = EVP_MD_CTX_new();
    return context && EVP_DigestVerifyInit(context, NULL, hash, NULL, key->public_key) == 1 &&
           EVP_DigestVerify(context, signature, length, (const unsigned char *)signed_part.data,
                            signed_part.length) == 1;
}

bool auth_key_verifies(const struct auth_key *key, struct str signed_part, const uint8_t *signature,
                       size_t length)
{
    if (key->algorithm == KEY_HS256) {
        uint8_t mac[CRYPTO_SHA256_SIZE];
        crypto_hmac_sha256(key->secret, key->secret_length, signed_part.data, signed_part.length,
                           mac);
        return length == sizeof(mac) && crypto_equal(mac, signature, sizeof(mac));
    }
    ERR_set_mark();
    bool good = verify_public(key, signed_part, signature, length);
    ERR_pop_to_mark();
    return good;
}

#include "keys.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include "base/crypto.h"

enum { ES256_HALF = 32 };

char *encoded(const void *bytes, size_t length)
{
    char *text = xmalloc(CRYPTO_BASE64_SIZE(length));
    crypto_base64_encode(bytes, length, text);
    text[strcspn(text, "=")] = '\0';
    for (char *c = text; *c; c++)
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
    return text;
}

static char *encoded_number(EVP_PKEY *key, const char *name, int size)
{
    BIGNUM *number = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &number), 1);
    uint8_t bytes[1024];
    int length = size ? size : BN_num_bytes(number);
    assert_int_equal(BN_bn2binpad(number, bytes, length), length);
    BN_free(number);
    return encoded(bytes, (size_t)length);
}

char *rsa_jwk(EVP_PKEY *key, const char *more)
{
    _cleanup_free_ char *n = encoded_number(key, OSSL_PKEY_PARAM_RSA_N, 0);
    _cleanup_free_ char *e = encoded_number(key, OSSL_PKEY_PARAM_RSA_E, 0);
    return xasprintf("{%s\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}", more, n, e);
}

char *ec_jwk_of_sizes(EVP_PKEY *key, const char *curve, int x_size, int y_size)
{
    _cleanup_free_ char *x = encoded_number(key, OSSL_PKEY_PARAM_EC_PUB_X, x_size);
    _cleanup_free_ char *y = encoded_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, y_size);
    return xasprintf("{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}", curve, x, y);
}

char *ec_jwk(EVP_PKEY *key, const char *curve, int size, const char *more)
{
    _cleanup_free_ char *x = encoded_number(key, OSSL_PKEY_PARAM_EC_PUB_X, size);
    _cleanup_free_ char *y = encoded_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, size);
    return xasprintf("{%s\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}", more, curve, x,
                     y);
}

char *ed_jwk(EVP_PKEY *key, const char *more)
{
    uint8_t bytes[32];
    size_t length = sizeof(bytes);
    assert_int_equal(EVP_PKEY_get_raw_public_key(key, bytes, &length), 1);
    _cleanup_free_ char *x = encoded(bytes, length);
    return xasprintf("{%s\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}", more, x);
}

char *secret_jwk(const char *secret, const char *more)
{
    _cleanup_free_ char *k = encoded(secret, strlen(secret));
    return xasprintf("{%s\"kty\":\"oct\",\"k\":\"%s\"}", more, k);
}

char *pem_of(EVP_PKEY *key, bool is_private)
{
    BIO *out = BIO_new(BIO_s_mem());
    assert_int_equal(is_private ? PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL)
                                : PEM_write_bio_PUBKEY(out, key),
                     1);
    char *data;
    long length = BIO_get_mem_data(out, &data);
    char *pem = xstrndup(data, (size_t)length);
    BIO_free(out);
    return pem;
}

/* DER of r and s -> r and s, 32 bytes each. */
static size_t es256_form(uint8_t *signature, size_t length)
{
    const uint8_t *at = signature;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)length);
    assert_non_null(pair);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, ES256_HALF);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + ES256_HALF, ES256_HALF);
    ECDSA_SIG_free(pair);
    return (size_t)2 * ES256_HALF;
}

static size_t sign(EVP_PKEY *key, const char *text, uint8_t *ret, size_t size)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t length = size;
    const EVP_MD *hash = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    assert_int_equal(EVP_DigestSignInit(context, NULL, hash, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(context, ret, &length, (const uint8_t *)text, strlen(text)), 1);
    EVP_MD_CTX_free(context);
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC ? es256_form(ret, length) : length;
}

char *signed_part(const char *header, const char *payload)
{
    _cleanup_free_ char *head = encoded(header, strlen(header));
    _cleanup_free_ char *body = encoded(payload, strlen(payload));
    return xasprintf("%s.%s", head, body);
}

char *public_token(EVP_PKEY *key, const char *header, const char *payload)
{
    uint8_t bytes[1024];
    _cleanup_free_ char *text = signed_part(header, payload);
    size_t length = sign(key, text, bytes, sizeof(bytes));
    _cleanup_free_ char *signature = encoded(bytes, length);
    return xasprintf("%s.%s", text, signature);
}

char *mac_token(const void *secret, size_t secret_length, const char *header, const char *payload)
{
    uint8_t mac[CRYPTO_SHA256_SIZE];
    _cleanup_free_ char *text = signed_part(header, payload);
    crypto_hmac_sha256(secret, secret_length, text, strlen(text), mac);
    _cleanup_free_ char *signature = encoded(mac, sizeof(mac));
    return xasprintf("%s.%s", text, signature);
}

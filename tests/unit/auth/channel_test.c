/* tls-server-end-point: the hash that RFC 5929 names for each kind of certificate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "auth/scram.h"

/* Signed by its own key; `digest` NULL where the key has no choice. */
static X509 *make_certificate(EVP_PKEY *key, const EVP_MD *digest, bool pss)
{
    X509 *certificate = X509_new();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL;
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    assert_int_equal(EVP_DigestSignInit(context, &options, digest, NULL, key), 1);
    if (pss)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING), 1);
    assert_true(X509_sign_ctx(certificate, context) > 0);
    EVP_MD_CTX_free(context);
    return certificate;
}

/* The hash of its bytes as they are sent. */
static void is_bound_by(X509 *certificate, const EVP_MD *digest)
{
    unsigned char *bytes = NULL;
    unsigned char expected[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    int size = i2d_X509(certificate, &bytes);
    assert_true(size > 0);
    assert_int_equal(EVP_Digest(bytes, (size_t)size, expected, &length, digest, NULL), 1);
    OPENSSL_free(bytes);

    struct scram_channel channel;
    memset(&channel, 0x5a, sizeof(channel));
    scram_channel_of(certificate, &channel);
    assert_true(channel.offered);
    assert_false(channel.bound);
    assert_int_equal(channel.length, length);
    assert_memory_equal(channel.data, expected, length);
}

static void is_not_bound(X509 *certificate)
{
    struct scram_channel channel;
    memset(&channel, 0x5a, sizeof(channel));
    scram_channel_of(certificate, &channel);
    assert_false(channel.offered);
    assert_false(channel.bound);
    assert_int_equal(channel.length, 0);
}

static void test_hash_of_the_signature(void **state)
{
    EVP_PKEY *rsa = *state;
    const struct {
        const EVP_MD *signature, *binding;
    } cases[] = {{EVP_md5(), EVP_sha256()},        {EVP_sha1(), EVP_sha256()},
                 {EVP_sha224(), EVP_sha224()},     {EVP_sha256(), EVP_sha256()},
                 {EVP_sha384(), EVP_sha384()},     {EVP_sha512(), EVP_sha512()},
                 {EVP_sha3_256(), EVP_sha3_256()}, {EVP_sha3_512(), EVP_sha3_512()}};
    for (size_t i = 0; i < array_size(cases); i++) {
        X509 *certificate = make_certificate(rsa, cases[i].signature, false);
        is_bound_by(certificate, cases[i].binding);
        X509_free(certificate);
    }
}

/* Its hash is among the signature's parameters, not in its name. */
static void test_rsa_pss(void **state)
{
    EVP_PKEY *rsa = *state;
    const EVP_MD *const digests[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
    for (size_t i = 0; i < array_size(digests); i++) {
        X509 *certificate = make_certificate(rsa, digests[i], true);
        assert_int_equal(X509_get_signature_nid(certificate), NID_rsassaPss);
        is_bound_by(certificate, digests[i]);
        X509_free(certificate);
    }
    X509 *old = make_certificate(rsa, EVP_sha1(), true);
    is_bound_by(old, EVP_sha256());
    X509_free(old);
}

static void test_ecdsa(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_EC_gen("P-384");
    X509 *certificate = make_certificate(key, EVP_sha384(), false);
    is_bound_by(certificate, EVP_sha384());
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* The standard has nothing for signatures without a hash, so nothing is offered. */
static void test_signatures_without_a_hash(void **state)
{
    (void)state;
    static const char *const kinds[] = {"ED25519", "ED448"};
    for (size_t i = 0; i < array_size(kinds); i++) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, kinds[i]);
        X509 *certificate = make_certificate(key, NULL, false);
        is_not_bound(certificate);
        X509_free(certificate);
        EVP_PKEY_free(key);
    }
}

static void test_no_certificate(void **state)
{
    (void)state;
    is_not_bound(NULL);
    X509 *unsigned_ = X509_new();
    is_not_bound(unsigned_);
    X509_free(unsigned_);
    assert_int_equal(ERR_peek_error(), 0);
}

static int make_key(void **state)
{
    *state = EVP_RSA_gen(2048);
    return *state ? 0 : -1;
}

static int free_key(void **state)
{
    EVP_PKEY_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_of_the_signature),
        cmocka_unit_test(test_rsa_pss),
        cmocka_unit_test(test_ecdsa),
        cmocka_unit_test(test_signatures_without_a_hash),
        cmocka_unit_test(test_no_certificate),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}

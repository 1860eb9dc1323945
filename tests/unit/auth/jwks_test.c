/* Sets of keys: what is taken, what is skipped, what is refused; and the files they come in. */
#include "keys.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "auth/token.h"
#include "base/buffer.h"
#include "base/str.h"

static const char SECRET[] = "a shared secret of 32 bytes, now";
static const uint8_t OWN_KEY[CRYPTO_KEY_SIZE] = "0123456789abcdef0123456789abcde";

static EVP_PKEY *rsa, *weak_rsa, *ec, *p384, *ed, *ed448;

static int create(const char *jwks, struct auth_keyring **ret, struct error *err)
{
    const struct auth_issuer issuer = {
        .name = "id", .issuer = "https://id.example", .audience = "orders", .jwks = jwks};
    return auth_keyring_create(&issuer, 1, OWN_KEY, ret, err);
}

static void must_take(const char *jwks)
{
    struct auth_keyring *keyring = NULL;
    struct error err = {0};
    if (create(jwks, &keyring, &err) < 0)
        fail_msg("%s: %s", jwks, err.message);
    auth_keyring_free(keyring);
}

static void must_refuse(const char *jwks, const char *reason)
{
    struct auth_keyring *keyring = NULL;
    struct error err = {0};
    assert_int_equal(create(jwks, &keyring, &err), -ERROR_INVALID);
    assert_null(keyring);
    if (!str_has_prefix(err.message, "issuer \"id\": ") || !strstr(err.message, reason))
        fail_msg("\"%s\" is not the reason \"%s\"", err.message, reason);
    assert_int_equal(create(jwks, &keyring, NULL), -ERROR_INVALID);
    assert_int_equal(ERR_peek_error(), 0);
}

/* ---- sets ---- */

static void test_documents(void **state)
{
    (void)state;
    _cleanup_free_ char *a = secret_jwk(SECRET, "\"kid\":\"a\",");
    _cleanup_free_ char *plain = secret_jwk(SECRET, "");
    _cleanup_free_ char *twice = xasprintf("{\"keys\":[%s,%s]}", a, a);
    _cleanup_free_ char *nameless = xasprintf("{\"keys\":[%s,%s]}", plain, plain);
    _cleanup_free_ char *behind = xasprintf("%s x", a);
    _cleanup_free_ char *both = xasprintf("{\"kty\":\"oct\",\"keys\":[%s]}", a);
    must_take(a);
    must_take(nameless);
    must_refuse(twice, "key 2 (\"a\"): its \"kid\" is that of another key");
    must_refuse(behind, "is not a JSON object");
    must_refuse(both, "both \"keys\" and \"kty\"");
    must_refuse("", "is not a JSON object");
    must_refuse("[]", "is not a JSON object");
    must_refuse("{}", "key 1: it has no \"kty\"");
    must_refuse("{\"keys\":[]}", "no key to verify tokens with");
    must_refuse("{\"keys\":{}}", "is not a list");
    must_refuse("{\"keys\":null}", "is not a list");
    must_refuse("{\"keys\":[7]}", "key 1: it is not a JSON object");
    must_refuse("{\"keys\":[{\"kty\":\"oct\",\"kty\":\"oct\"}]}", "names a member twice");
    must_refuse("{\"keys\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}", "levels deep");
}

static void test_too_many(void **state)
{
    (void)state;
    _cleanup_free_ char *key = secret_jwk(SECRET, "");
    for (int count = 64; count <= 65; count++) {
        _cleanup_buffer_ struct buffer text = BUFFER_INIT(1 << 16);
        for (int i = 0; i < count; i++)
            buffer_printf(&text, "%s%s", i ? "," : "{\"keys\":[", key);
        buffer_append_string(&text, "]}");
        if (count == 64)
            must_take(buffer_string(&text));
        else
            must_refuse(buffer_string(&text), "at most 64 keys");
    }
    _cleanup_buffer_ struct buffer spaces = BUFFER_INIT(1 << 20);
    while (spaces.length <= 256 * 1024)
        buffer_append_string(&spaces, "                                ");
    must_refuse(buffer_string(&spaces), "longer than");
}

/* Members that are put in front of a good key of each type. */
static void test_members(void **state)
{
    (void)state;
    static const struct {
        const char *more, *reason; /* NULL: taken */
    } cases[] = {
        {"", NULL},
        {"\"use\":\"sig\",", NULL},
        {"\"key_ops\":[\"sign\",\"verify\"],", NULL},
        {"\"x5u\":\"http://127.0.0.1:1/\",\"x5c\":[\"AA\"],\"x5t\":\"AA\",", NULL},
        {"\"ext\":true,", NULL},
        {"\"use\":\"enc\",", "its \"use\" is \"enc\""},
        {"\"use\":\"sig\",\"key_ops\":[\"encrypt\"],", "does not have \"verify\""},
        {"\"key_ops\":[],", "does not have \"verify\""},
        {"\"key_ops\":\"verify\",", "\"key_ops\" is not a list"},
        {"\"key_ops\":[1],", "\"key_ops\" is not a list of texts"},
        {"\"alg\":\"RS512\",", "its \"alg\" is \"RS512\""},
        {"\"alg\":\"none\",", "its \"alg\" is \"none\""},
        {"\"alg\":\"hs256\",", "its \"alg\" is \"hs256\""},
        {"\"alg\":1,", "its \"alg\" is not a text"},
        {"\"alg\":null,", "its \"alg\" is not a text"},
        {"\"use\":[],", "its \"use\" is not a text"},
        {"\"kid\":7,", "its \"kid\" is not a text"},
        {"\"kid\":\"\",", "its \"kid\" is not a text"},
        {"\"kid\":null,", "its \"kid\" is not a text"},
        {"\"d\":\"AA\",", "it is a private key"},
        {"\"p\":\"AA\",", "it is a private key"},
        {"\"oth\":[],", "it is a private key"},
        {"\"use\":\"enc\",\"d\":\"AA\",", "it is a private key"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        char *const keys[] = {rsa_jwk(rsa, cases[i].more), ec_jwk(ec, "P-256", 32, cases[i].more),
                              ed_jwk(ed, cases[i].more), secret_jwk(SECRET, cases[i].more)};
        for (size_t k = 0; k < array_size(keys); k++) {
            if (cases[i].reason)
                must_refuse(keys[k], cases[i].reason);
            else
                must_take(keys[k]);
            free(keys[k]);
        }
    }
    _cleanup_free_ char *odd = rsa_jwk(rsa, "\"k\":\"AA\",");
    must_refuse(odd, "it is a private key");
}

/* What an issuer has beside its signing keys is no hindrance. */
static void test_keys_for_others(void **state)
{
    (void)state;
    _cleanup_free_ char *good = ec_jwk(ec, "P-256", 32, "\"kid\":\"a\",");
    _cleanup_free_ char *encrypting = rsa_jwk(rsa, "\"kid\":\"a\",\"use\":\"enc\",");
    _cleanup_free_ char *other_algorithm = rsa_jwk(weak_rsa, "\"alg\":\"PS256\",");
    _cleanup_free_ char *other_curve = ec_jwk(p384, "P-384", 48, "");
    static const char unknown[] = "{\"kty\":\"AKP\",\"alg\":\"ML-DSA-44\",\"pub\":\"AA\"}";
    _cleanup_free_ char *others =
        xasprintf("{\"keys\":[%s,%s,%s,%s]}", encrypting, other_algorithm, unknown, other_curve);
    _cleanup_free_ char *all = xasprintf("{\"keys\":[%s,%s,%s,%s,%s]}", encrypting, other_algorithm,
                                         unknown, other_curve, good);
    must_take(all);
    must_refuse(others, "of the last one, its type is not");
}

static void test_weak_and_unsound(void **state)
{
    (void)state;
    static const char n[] = "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"%s\"}";
    _cleanup_free_ char *weak = rsa_jwk(weak_rsa, "");
    must_refuse(weak, "2048 to 8192 bits; this one has 1024");

    /* An even modulus of 2048 bits, one of 8200, and exponents that sign nothing. */
    uint8_t bytes[1025];
    memset(bytes, 0xFE, sizeof(bytes));
    _cleanup_free_ char *even = encoded(bytes, 256);
    _cleanup_free_ char *even_key = xasprintf(n, even);
    must_refuse(even_key, "not a sound public key");
    memset(bytes, 0xFF, sizeof(bytes));
    _cleanup_free_ char *huge = encoded(bytes, 1025);
    _cleanup_free_ char *huge_key = xasprintf(n, huge);
    must_refuse(huge_key, "");
    static const char *const exponents[] = {"AQ", "Ag", "AA", "AAAAAAAAAAAA"};
    _cleanup_free_ char *good = rsa_jwk(rsa, "");
    for (size_t i = 0; i < array_size(exponents); i++) {
        _cleanup_free_ char *front = xstrndup(good, (size_t)(strstr(good, "\"e\"") - good));
        _cleanup_free_ char *key = xasprintf("%s\"e\":\"%s\"}", front, exponents[i]);
        must_refuse(key, "key 1: ");
    }

    /* Not on the curve; a coordinate too short; the wrong curve's name. */
    memset(bytes, 1, sizeof(bytes));
    _cleanup_free_ char *one = encoded(bytes, 32);
    _cleanup_free_ char *off =
        xasprintf("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}", one, one);
    must_refuse(off, "not a sound public key");
    _cleanup_free_ char *misnamed = ec_jwk(p384, "P-256", 48, "");
    must_refuse(misnamed, "its \"x\" is not base64url of the right length");
    must_refuse("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQ\",\"y\":\"AQ\"}", "sound");
    must_refuse("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQ\"}", "right length");
    must_refuse("{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}", "it has no \"x\"");
    must_refuse("{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AQ\"}", "its type is not");
    must_refuse("{\"kty\":\"OKP\"}", "its type is not");
    must_refuse("{\"kty\":\"RSA\"}", "it has no \"n\"");
    must_refuse("{\"kty\":\"RSA\",\"n\":7}", "it has no \"n\"");
    must_refuse("{\"kty\":\"RSA\",\"n\":\"A+/=\"}", "\"n\" is not base64url");
}

static void test_secrets(void **state)
{
    (void)state;
    _cleanup_free_ char *tooshort = secret_jwk("a secret of thirty-one bytes!!!", "");
    must_refuse(tooshort, "at least 32 bytes");
    must_refuse("{\"kty\":\"oct\",\"k\":\"\"}", "at least 32 bytes");
    must_refuse("{\"kty\":\"oct\"}", "it has no \"k\"");
    char longest[1026];
    memset(longest, 's', sizeof(longest));
    longest[1025] = '\0';
    _cleanup_free_ char *toolong = secret_jwk(longest, "");
    must_refuse(toolong, "right length");
    longest[1024] = '\0';
    _cleanup_free_ char *fits = secret_jwk(longest, "");
    must_take(fits);
}

static void test_issuers(void **state)
{
    (void)state;
    char longest[1026];
    memset(longest, 'a', sizeof(longest));
    longest[1025] = '\0';
    _cleanup_free_ char *jwk = secret_jwk(SECRET, "");
    const struct auth_issuer good = {.name = "id", .issuer = "i", .audience = "a", .jwks = jwk};
    struct auth_issuer issuers[9];
    for (size_t i = 0; i < array_size(issuers); i++)
        issuers[i] = good;
    issuers[0].name = "reeve";
    issuers[1].issuer = "reeve";
    issuers[2].name = "No Slug";
    issuers[3].issuer = "";
    issuers[4].issuer = longest;
    issuers[5].audience = "";
    issuers[6].tenant_claim = "";
    issuers[7].leeway_s = -1;
    issuers[8].leeway_s = 301;
    for (size_t i = 0; i < array_size(issuers); i++) {
        const struct auth_issuer both[] = {good, issuers[i]};
        struct auth_keyring *keyring = NULL;
        struct error err = {0};
        assert_int_equal(auth_keyring_create(both, 2, OWN_KEY, &keyring, &err), -ERROR_INVALID);
        assert_null(keyring);
        assert_true(str_has_prefix(err.message, "issuer \""));
    }
    auth_keyring_free(NULL);
}

/* ---- files ---- */

/* As it would be registered, and usable. */
static char *from_file(const char *text, bool as_secret, const char *key_id)
{
    char *jwks = NULL;
    struct error err = {0};
    if (auth_jwks_from_file_bytes(text, strlen(text), as_secret, key_id, &jwks, &err) < 0)
        fail_msg("%s", err.message);
    must_take(jwks);
    return jwks;
}

static void must_refuse_file(const char *text, size_t length, bool as_secret, const char *key_id,
                             const char *reason)
{
    char *jwks = NULL;
    struct error err = {0};
    assert_int_equal(auth_jwks_from_file_bytes(text, length, as_secret, key_id, &jwks, &err),
                     -ERROR_INVALID);
    assert_null(jwks);
    if (!strstr(err.message, reason))
        fail_msg("\"%s\" is not the reason \"%s\"", err.message, reason);
    assert_int_equal(ERR_peek_error(), 0);
}

static void assert_key_has(const char *jwks, const char *name, const char *value)
{
    json_t *document = json_loads(jwks, 0, NULL);
    json_t *key = json_array_get(json_object_get(document, "keys"), 0);
    const char *found = json_string_value(json_object_get(key, name));
    if (value)
        assert_string_equal(found, value);
    else
        assert_null(found);
    json_decref(document);
}

static void test_pem(void **state)
{
    (void)state;
    EVP_PKEY *const keys[] = {rsa, ec, ed};
    static const char *const types[] = {"RSA", "EC", "OKP"};
    for (size_t i = 0; i < array_size(keys); i++) {
        _cleanup_free_ char *pem = pem_of(keys[i], false);
        _cleanup_free_ char *private_pem = pem_of(keys[i], true);
        _cleanup_free_ char *plain = from_file(pem, false, NULL);
        _cleanup_free_ char *named = from_file(pem, false, "a key");
        assert_key_has(plain, "kty", types[i]);
        assert_key_has(plain, "kid", NULL);
        assert_key_has(named, "kid", "a key");
        must_refuse_file(private_pem, strlen(private_pem), false, NULL, "it is a private key");
        must_refuse_file(pem, strlen(pem), true, NULL, "a key file, not a shared secret");
        _cleanup_free_ char *two = xasprintf("%s%s", pem, pem);
        must_refuse_file(two, strlen(two), false, NULL, "more than one key");
        _cleanup_free_ char *leaked = xasprintf("%s%s", pem, private_pem);
        must_refuse_file(leaked, strlen(leaked), false, NULL, "it is a private key");
        for (size_t cut = 0; cut < strlen(pem) - 1; cut++)
            must_refuse_file(pem, cut, false, NULL, "");
    }
    EVP_PKEY *const others[] = {weak_rsa, p384, ed448};
    for (size_t i = 0; i < array_size(others); i++) {
        _cleanup_free_ char *pem = pem_of(others[i], false);
        must_refuse_file(pem, strlen(pem), false, NULL, "");
    }
    static const char certificate[] = "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                      "-----END CERTIFICATE-----\n";
    must_refuse_file(certificate, strlen(certificate), false, NULL, "not a PUBLIC KEY");
}

static void test_json_files(void **state)
{
    (void)state;
    _cleanup_free_ char *a = ec_jwk(ec, "P-256", 32, "\"kid\":\"a\",");
    _cleanup_free_ char *b = ed_jwk(ed, "");
    _cleanup_free_ char *set = xasprintf("{\"keys\":[%s,%s]}", a, b);
    _cleanup_free_ char *with_line = xasprintf("%s\n", a);
    _cleanup_free_ char *from_key = from_file(with_line, false, NULL);
    _cleanup_free_ char *from_set = from_file(set, false, NULL);
    _cleanup_free_ char *named = from_file(b, false, "b");
    _cleanup_free_ char *again = from_file(named, false, "b");
    assert_key_has(from_key, "kid", "a");
    assert_key_has(from_set, "kid", "a");
    assert_key_has(named, "kid", "b");
    assert_string_equal(named, again);
    must_refuse_file(a, strlen(a), false, "b", "has another key id");
    must_refuse_file(set, strlen(set), false, "c", "for one key; the file has 2");
    must_refuse_file(b, strlen(b), false, "", "a key id must be");
    must_refuse_file(b, strlen(b), false, "\xff", "a key id must be");
    must_refuse_file("hello", 5, false, NULL, "not a JSON object");
    must_refuse_file("", 0, false, NULL, "not a JSON object");
    must_refuse_file(NULL, 0, false, NULL, "not a JSON object");

    _cleanup_free_ char *secret_d = ec_jwk(ec, "P-256", 32, "\"d\":\"sesamesesame\",");
    _cleanup_free_ char *set_d = xasprintf("{\"keys\":[%s,%s]}", b, secret_d);
    struct error err = {0};
    char *jwks = NULL;
    assert_int_equal(auth_jwks_from_file_bytes(set_d, strlen(set_d), false, NULL, &jwks, &err),
                     -ERROR_INVALID);
    assert_string_equal(err.message, "key 2: it is a private key");
    assert_null(strstr(err.detail, "sesame"));
    assert_null(strstr(err.hint, "sesame"));
}

static void test_secret_files(void **state)
{
    (void)state;
    _cleanup_free_ char *plain = from_file(SECRET, true, NULL);
    _cleanup_free_ char *named = from_file(SECRET, true, "s");
    _cleanup_free_ char *k = encoded(SECRET, strlen(SECRET));
    assert_key_has(plain, "kty", "oct");
    assert_key_has(plain, "k", k);
    assert_key_has(plain, "kid", NULL);
    assert_key_has(named, "kid", "s");
    must_refuse_file(SECRET, strlen(SECRET) - 1, true, NULL, "32 to 1024 bytes; this one has 31");
    must_refuse_file("", 0, true, NULL, "32 to 1024 bytes");
    _cleanup_free_ char *jwk = secret_jwk(SECRET, "");
    must_refuse_file(jwk, strlen(jwk), true, NULL, "a key file, not a shared secret");

    char binary[1025];
    memset(binary, 0, sizeof(binary));
    _cleanup_free_ char *jwks = NULL;
    assert_int_equal(auth_jwks_from_file_bytes(binary, 1024, true, NULL, &jwks, NULL), 0);
    must_take(jwks);
    must_refuse_file(binary, 1025, true, NULL, "32 to 1024 bytes");
}

static int make_keys(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    weak_rsa = EVP_RSA_gen(1024);
    ec = EVP_EC_gen("P-256");
    p384 = EVP_EC_gen("P-384");
    ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    ed448 = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    return rsa && weak_rsa && ec && p384 && ed && ed448 ? 0 : -1;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY *const keys[] = {rsa, weak_rsa, ec, p384, ed, ed448};
    for (size_t i = 0; i < array_size(keys); i++)
        EVP_PKEY_free(keys[i]);
    return 0;
}

static void test_sealing(void **state)
{
    (void)state;
    static const uint8_t other_key[CRYPTO_KEY_SIZE] = "another key of thirty-two bytes";
    struct error err = {0};
    _cleanup_free_ char *secret = secret_jwk(SECRET, "\"kid\":\"a\",");
    _cleanup_free_ char *set = xasprintf("{\"keys\":[%s]}", secret);
    _cleanup_free_ char *stored = NULL;
    _cleanup_free_ char *opened = NULL;
    _cleanup_free_ char *hidden = encoded(SECRET, strlen(SECRET));
    char *none = NULL;
    assert_int_equal(auth_jwks_seal(OWN_KEY, "id", set, &stored, &err), 0);
    assert_null(strstr(stored, hidden));
    assert_non_null(strstr(stored, "\"kid\":\"a\""));
    must_refuse(stored, "\"k\""); /* as it stands it is no key */
    assert_int_equal(auth_jwks_open(OWN_KEY, "id", stored, &opened, &err), 0);
    assert_string_equal(opened, set);
    assert_int_equal(auth_jwks_open(OWN_KEY, "other", stored, &none, &err), -ERROR_INVALID);
    assert_int_equal(auth_jwks_open(other_key, "id", stored, &none, &err), -ERROR_INVALID);
    assert_int_equal(auth_jwks_open(OWN_KEY, "id", "{\"sealed\":\"AAAA\"}", &none, &err),
                     -ERROR_INVALID);
    assert_int_equal(auth_jwks_open(OWN_KEY, "id", "{\"sealed\":[]}", &none, &err), -ERROR_INVALID);
    assert_null(none);

    /* Public keys stay as they are. */
    _cleanup_free_ char *public = ec_jwk(ec, "P-256", 32, "");
    _cleanup_free_ char *kept = NULL;
    assert_int_equal(auth_jwks_seal(OWN_KEY, "id", public, &kept, &err), 0);
    assert_string_equal(kept, public);
}

static int number_bytes(EVP_PKEY *key, const char *name)
{
    BIGNUM *number = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &number), 1);
    int bytes = BN_num_bytes(number);
    BN_free(number);
    return bytes;
}

/* Of 256 keys one has a coordinate that begins with a zero byte, which many programs leave out. */
static void test_short_coordinates(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    while (number_bytes(key, OSSL_PKEY_PARAM_EC_PUB_X) == 32) {
        EVP_PKEY_free(key);
        key = EVP_EC_gen("P-256");
    }
    int y_bytes = number_bytes(key, OSSL_PKEY_PARAM_EC_PUB_Y);
    _cleanup_free_ char *whole = ec_jwk(key, "P-256", 32, "");
    must_take(whole);
    if (y_bytes == 32) { /* else the other coordinate would be cut off */
        _cleanup_free_ char *cut =
            ec_jwk_of_sizes(key, "P-256", number_bytes(key, OSSL_PKEY_PARAM_EC_PUB_X), y_bytes);
        must_take(cut);
    }
    _cleanup_free_ char *pem = pem_of(key, false);
    _cleanup_free_ char *jwks = NULL;
    struct error err = {0};
    if (auth_jwks_from_file_bytes(pem, strlen(pem), false, NULL, &jwks, &err) < 0)
        fail_msg("%s", err.message);
    must_take(jwks);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),         cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_members),           cmocka_unit_test(test_keys_for_others),
        cmocka_unit_test(test_weak_and_unsound),  cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_issuers),           cmocka_unit_test(test_pem),
        cmocka_unit_test(test_json_files),        cmocka_unit_test(test_secret_files),
        cmocka_unit_test(test_short_coordinates), cmocka_unit_test(test_sealing),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}

/* Tokens of every algorithm, and everything that is no such token. */
#include "keys.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "auth/token.h"
#include "base/buffer.h"
#include "base/str.h"

enum { NOW = 1800000000, LEEWAY_S = 60, HALF = 32 };

static const uint8_t OWN_KEY[CRYPTO_KEY_SIZE] = "0123456789abcdef0123456789abcde";
static const char SECRET[] = "a shared secret of 32 bytes, now";
static const char ISSUER[] = "https://id.example";
static const char JTI[] = "0123456789abcdef0123456789abcdef";
static const char GOOD[] = "{\"iss\":\"https://id.example\",\"aud\":\"orders\",\"exp\":1800000300,"
                           "\"tenantId\":\"acme\"}";

static EVP_PKEY *rsa, *other_rsa, *ec, *ed;

/* ---- tokens ---- */

static char *shared_token(const char *payload)
{
    return mac_token(SECRET, strlen(SECRET), "{\"alg\":\"HS256\"}", payload);
}

/* ---- keyrings and what they say ---- */

static int create(const char *jwks, struct auth_keyring **ret, struct error *err)
{
    const struct auth_issuer issuer = {
        .name = "id", .issuer = ISSUER, .audience = "orders", .jwks = jwks, .leeway_s = LEEWAY_S};
    return auth_keyring_create(&issuer, 1, OWN_KEY, ret, err);
}

static struct auth_keyring *keyring_of(const char *jwks)
{
    struct auth_keyring *keyring = NULL;
    struct error err = {0};
    if (create(jwks, &keyring, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(auth_keyring_issuer_count(keyring), 1);
    return keyring;
}

static struct auth_keyring *shared_keyring(void)
{
    _cleanup_free_ char *jwk = secret_jwk(SECRET, "");
    return keyring_of(jwk);
}

static void must_accept(const struct auth_keyring *keyring, const char *token,
                        struct auth_claims *ret)
{
    struct error err = {0};
    assert_true(auth_looks_like_token(token, strlen(token)));
    if (auth_token_verify(keyring, token, strlen(token), NOW, ret, &err) < 0)
        fail_msg("%s", err.message);
}

/* With that reason, which repeats none of the token; what is returned stays untouched. */
static void must_refuse(const struct auth_keyring *keyring, const char *token, size_t length,
                        const char *reason)
{
    struct auth_claims claims;
    struct auth_claims before;
    struct error err = {0};
    memset(&claims, 0x5A, sizeof(claims));
    memcpy(&before, &claims, sizeof(before));
    assert_int_equal(auth_token_verify(keyring, token, length, NOW, &claims, &err), -ERROR_AUTH);
    assert_memory_equal(&claims, &before, sizeof(claims));
    if (reason && !strstr(err.message, reason))
        fail_msg("\"%s\" is not the reason \"%s\"", err.message, reason);
    const char *dot = memrchr(token, '.', length);
    if (dot && dot[1] && strlen(dot) > 8)
        assert_null(strstr(err.message, dot + 1));
    assert_int_equal(auth_token_verify(keyring, token, length, NOW, &claims, NULL), -ERROR_AUTH);
    assert_int_equal(ERR_peek_error(), 0);
}

/* ---- every algorithm ---- */

static const char *const ALGORITHMS[] = {"RS256", "ES256", "EdDSA", "HS256"};

static char *jwk_for(const char *algorithm, const char *more)
{
    if (strcmp(algorithm, "RS256") == 0)
        return rsa_jwk(rsa, more);
    if (strcmp(algorithm, "ES256") == 0)
        return ec_jwk(ec, "P-256", HALF, more);
    return strcmp(algorithm, "EdDSA") == 0 ? ed_jwk(ed, more) : secret_jwk(SECRET, more);
}

static EVP_PKEY *key_for(const char *algorithm)
{
    return strcmp(algorithm, "RS256") == 0 ? rsa : strcmp(algorithm, "ES256") == 0 ? ec : ed;
}

/* Signed with the algorithm's own key, whatever the header says. */
static char *token_for(const char *algorithm, const char *header, const char *payload)
{
    if (strcmp(algorithm, "HS256") == 0)
        return mac_token(SECRET, strlen(SECRET), header, payload);
    return public_token(key_for(algorithm), header, payload);
}

static void test_algorithms(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_size(ALGORITHMS); i++) {
        _cleanup_free_ char *members =
            xasprintf("\"kid\":\"k\",\"use\":\"sig\",\"key_ops\":[\"verify\"],\"alg\":\"%s\",",
                      ALGORITHMS[i]);
        _cleanup_free_ char *jwk = jwk_for(ALGORITHMS[i], members);
        struct auth_keyring *keyring = keyring_of(jwk);
        for (size_t k = 0; k < array_size(ALGORITHMS); k++) {
            _cleanup_free_ char *header = xasprintf("{\"alg\":\"%s\"}", ALGORITHMS[k]);
            _cleanup_free_ char *token = token_for(ALGORITHMS[i], header, GOOD);
            struct auth_claims claims = {0};
            if (i != k) {
                must_refuse(keyring, token, strlen(token), "algorithm");
                continue;
            }
            must_accept(keyring, token, &claims);
            assert_string_equal(claims.issuer_name, "id");
            assert_string_equal(claims.tenant_slug, "acme");
            assert_string_equal(claims.service, "");
            assert_string_equal(claims.jti, "");
            assert_false(claims.by_reeve || claims.tenant_is_id || claims.read_only);
            assert_int_equal(claims.expires_unix_s, NOW + 300);
        }
        auth_keyring_free(keyring);
    }
}

static void test_truncated_and_tampered(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_size(ALGORITHMS); i++) {
        _cleanup_free_ char *jwk = jwk_for(ALGORITHMS[i], "");
        _cleanup_free_ char *header = xasprintf("{\"alg\":\"%s\",\"typ\":\"JWT\"}", ALGORITHMS[i]);
        _cleanup_free_ char *token = token_for(ALGORITHMS[i], header, GOOD);
        struct auth_keyring *keyring = keyring_of(jwk);
        size_t length = strlen(token);
        for (size_t cut = 0; cut < length; cut++) {
            /* Exactly as long as it says, for ASan. */
            _cleanup_free_ char *part = xmalloc(cut + 1);
            memcpy(part, token, cut);
            part[cut] = '\0';
            must_refuse(keyring, part, cut, NULL);
        }
        for (size_t at = 0; at < length; at++) {
            static const char others[] = {'A', '.', '=', '+', ' ', '\0', '\x80'};
            char original = token[at];
            for (size_t k = 0; k < array_size(others); k++) {
                struct auth_claims claims;
                token[at] = others[k];
                if (others[k] != original)
                    assert_int_equal(auth_token_verify(keyring, token, length, NOW, &claims, NULL),
                                     -ERROR_AUTH);
            }
            token[at] = original;
        }
        struct auth_claims claims;
        must_accept(keyring, token, &claims);
        auth_keyring_free(keyring);
    }
}

/* Each of the last character's spellings of the same bytes but one is refused. */
static void test_one_spelling(void **state)
{
    (void)state;
    struct auth_keyring *keyring = shared_keyring();
    _cleanup_free_ char *token = shared_token(GOOD);
    char *last = token + strlen(token) - 1;
    struct auth_claims claims;
    char original = *last;
    int taken = 0;
    for (const char *c = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"; *c;
         c++) {
        *last = *c;
        taken += auth_token_verify(keyring, token, strlen(token), NOW, &claims, NULL) == 0;
    }
    assert_int_equal(taken, 1);
    *last = original;
    _cleanup_free_ char *padded = xasprintf("%s=", token);
    must_refuse(keyring, padded, strlen(padded), "base64url");
    auth_keyring_free(keyring);
}

/* ---- form and header ---- */

static void test_looks_like_token(void **state)
{
    (void)state;
    static const char *const good[] = {"eyJ.e30.abc", "eyJ.e30.", "e30.a.b"};
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "eyJ",
                                      "eyJ.e30",
                                      "a.b.c",
                                      "eyJ..x",
                                      "eyJ.e30.a.b",
                                      "eyJ.e30.=",
                                      "e.e.e",
                                      "correct.horse.battery",
                                      "eyJ.e30.a b"};
    for (size_t i = 0; i < array_size(good); i++)
        assert_true(auth_looks_like_token(good[i], strlen(good[i])));
    for (size_t i = 0; i < array_size(bad); i++)
        assert_false(auth_looks_like_token(bad[i], strlen(bad[i])));
    assert_false(auth_looks_like_token("eyJ.e30.a\0b", 11));
    assert_true(auth_token_is_quick("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.a", 42));
    assert_false(auth_token_is_quick("eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.e30.a", 42));
    assert_false(auth_token_is_quick("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30", 40));
}

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header, *reason; /* NULL: taken */
    } cases[] = {
        {"{\"alg\":\"HS256\"}", NULL},
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", NULL},
        {"{\"alg\":\"HS256\",\"typ\":\"application/at+jwt\"}", NULL},
        {"{\"alg\":\"HS256\",\"kid\":\"any: the key has none\"}", NULL},
        {"{\"alg\":\"HS256\",\"jku\":\"http://127.0.0.1:1/\",\"x5c\":[\"AA\"]}", NULL},
        {"{\"alg\":\"HS256\",\"typ\":\"logout+jwt\"}", "\"typ\""},
        {"{\"alg\":\"HS256\",\"typ\":1}", "\"typ\""},
        {"{\"alg\":\"HS256\",\"kid\":1}", "\"kid\""},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", "\"crit\""},
        {"{\"alg\":\"HS256\",\"crit\":null}", "\"crit\""},
        {"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "a member twice"},
        {"{\"alg\":\"HS256\",\"\\u0061lg\":\"HS256\"}", "a member twice"},
        {"{\"alg\":\"hs256\"}", "algorithm \"hs256\""},
        {"{\"alg\":\"none\"}", "algorithm \"none\""},
        {"{\"alg\":\"HS256\\n\"}", "algorithm \"HS256?\""},
        {"{\"alg\":\"RS256\"}", "algorithm \"RS256\""},
        {"{\"alg\":[\"HS256\"]}", "\"alg\""},
        {"{\"typ\":\"JWT\"}", "\"alg\""},
        {"{}", "\"alg\""},
        {"{\"alg\":\"HS256\"} x", "is not a JSON object"},
        {"{\"alg\":\"HS256\"", "is not a JSON object"},
        {"[\"HS256\"]", "three parts"},
        {"{\"alg\":\"HS256\",\"x\":\"\\u0000\"}", "is not a JSON object"},
        {"{\"alg\":\"HS256\",\"x\":\"\xff\"}", "is not a JSON object"},
    };
    struct auth_keyring *keyring = shared_keyring();
    for (size_t i = 0; i < array_size(cases); i++) {
        struct auth_claims claims;
        _cleanup_free_ char *token = mac_token(SECRET, strlen(SECRET), cases[i].header, GOOD);
        if (cases[i].reason)
            must_refuse(keyring, token, strlen(token), cases[i].reason);
        else
            must_accept(keyring, token, &claims);
    }
    auth_keyring_free(keyring);
}

static void test_none(void **state)
{
    (void)state;
    static const char *const names[] = {"none", "None", "NONE", "nOnE", ""};
    struct auth_keyring *keyring = shared_keyring();
    for (size_t i = 0; i < array_size(names); i++) {
        _cleanup_free_ char *header = xasprintf("{\"alg\":\"%s\"}", names[i]);
        _cleanup_free_ char *text = signed_part(header, GOOD);
        _cleanup_free_ char *token = xasprintf("%s.", text);
        assert_true(auth_looks_like_token(token, strlen(token)));
        must_refuse(keyring, token, strlen(token), "algorithm");
        must_refuse(keyring, text, strlen(text), "three parts");
    }
    auth_keyring_free(keyring);
}

/* HMAC keyed with everything of a public key that an attacker can write down. */
static void test_public_key_as_secret(void **state)
{
    (void)state;
    static const char header[] = "{\"alg\":\"HS256\"}";
    EVP_PKEY *const keys[] = {rsa, ec, ed};
    for (size_t i = 0; i < array_size(keys); i++) {
        _cleanup_free_ char *pem = pem_of(keys[i], false);
        _cleanup_free_ char *jwks = NULL;
        assert_int_equal(auth_jwks_from_file_bytes(pem, strlen(pem), false, NULL, &jwks, NULL), 0);
        struct auth_keyring *keyring = keyring_of(jwks);
        _cleanup_free_ char *by_pem = mac_token(pem, strlen(pem), header, GOOD);
        _cleanup_free_ char *by_line = mac_token(pem, strlen(pem) - 1, header, GOOD);
        _cleanup_free_ char *by_jwks = mac_token(jwks, strlen(jwks), header, GOOD);
        _cleanup_free_ char *by_nothing = mac_token("", 0, header, GOOD);
        const char *const tokens[] = {by_pem, by_line, by_jwks, by_nothing};
        for (size_t k = 0; k < array_size(tokens); k++)
            must_refuse(keyring, tokens[k], strlen(tokens[k]), "algorithm \"HS256\"");
        auth_keyring_free(keyring);
    }
}

static void test_signature_lengths(void **state)
{
    (void)state;
    struct auth_keyring *keyring;
    for (size_t i = 0; i < array_size(ALGORITHMS); i++) {
        _cleanup_free_ char *jwk = jwk_for(ALGORITHMS[i], "");
        _cleanup_free_ char *header = xasprintf("{\"alg\":\"%s\"}", ALGORITHMS[i]);
        _cleanup_free_ char *text = signed_part(header, GOOD);
        keyring = keyring_of(jwk);
        static const uint8_t zeros[512];
        static const size_t lengths[] = {0, 1, 31, 32, 33, 63, 64, 65, 71, 255, 256, 257, 512};
        for (size_t k = 0; k < array_size(lengths); k++) {
            _cleanup_free_ char *signature = encoded(zeros, lengths[k]);
            _cleanup_free_ char *token = xasprintf("%s.%s", text, signature);
            must_refuse(keyring, token, strlen(token), "signature is not by issuer");
        }
        auth_keyring_free(keyring);
    }
}

/* The right HMAC, and a byte more or less of it. */
static void test_hmac_lengths(void **state)
{
    (void)state;
    struct auth_keyring *keyring = shared_keyring();
    _cleanup_free_ char *text = signed_part("{\"alg\":\"HS256\"}", GOOD);
    uint8_t mac[CRYPTO_SHA256_SIZE + 1] = {0};
    crypto_hmac_sha256(SECRET, strlen(SECRET), text, strlen(text), mac);
    for (size_t length = 0; length <= sizeof(mac); length++) {
        _cleanup_free_ char *signature = encoded(mac, length);
        _cleanup_free_ char *token = xasprintf("%s.%s", text, signature);
        struct auth_claims claims;
        if (length == CRYPTO_SHA256_SIZE)
            must_accept(keyring, token, &claims);
        else
            must_refuse(keyring, token, strlen(token), "signature is not by issuer");
    }
    auth_keyring_free(keyring);
}

static void test_limits(void **state)
{
    (void)state;
    struct auth_keyring *keyring = shared_keyring();
    _cleanup_free_ char *spaces = xmalloc(TOKEN_MAX_LENGTH + 1);
    memset(spaces, ' ', TOKEN_MAX_LENGTH);
    spaces[TOKEN_MAX_LENGTH] = '\0';
    _cleanup_free_ char *payload = xasprintf("%s%s", GOOD, spaces);
    _cleanup_free_ char *token = shared_token(payload);
    must_refuse(keyring, token, strlen(token), "longer than 8192 bytes");

    for (int depth = 15; depth <= 1000; depth = depth == 15 ? 16 : depth == 16 ? 500 : depth * 2) {
        _cleanup_buffer_ struct buffer text = BUFFER_INIT(4096);
        buffer_append(&text, GOOD, strlen(GOOD) - 1);
        buffer_append_string(&text, ",\"x\":\"[[[[[[[[[[[[[[[[[[[\\\"[[[[[\",\"y\":");
        for (int i = 0; i < 2 * depth; i++)
            buffer_append_byte(&text, i < depth ? '[' : ']');
        buffer_append_byte(&text, '}');
        _cleanup_free_ char *nested = shared_token(buffer_string(&text));
        struct auth_claims claims;
        if (depth < 16)
            must_accept(keyring, nested, &claims);
        else
            must_refuse(keyring, nested, strlen(nested), "levels deep");
    }
    auth_keyring_free(keyring);
}

/* ---- claims ---- */

/* The good claims with members put in front; `but` is what of them is left out. */
static void test_claims(void **state)
{
    (void)state;
    static const char ISS[] = "\"iss\":\"https://id.example\"";
    static const char AUD[] = "\"aud\":\"orders\"";
    static const char EXP[] = "\"exp\":1800000300";
    static const char TEN[] = "\"tenantId\":\"acme\"";
    static const struct {
        const char *instead, *claim, *reason; /* reason NULL: taken */
    } cases[] = {
        {ISS, "", "no claim \"iss\""},
        {ISS, "\"iss\":7", "no claim \"iss\""},
        {ISS, "\"iss\":[\"https://id.example\"]", "no claim \"iss\""},
        {ISS, "\"iss\":\"https://evil.example\"", "\"https://evil.example\" is not known"},
        {ISS, "\"iss\":\"https://id.example/\"", "is not known"},
        {ISS, "\"iss\":\"id\"", "is not known"},
        {ISS, "\"iss\":\"reeve\"", "signature is not by issuer \"reeve\""},
        {AUD, "", "\"aud\" is missing"},
        {AUD, "\"aud\":\"other\"", "does not name this audience"},
        {AUD, "\"aud\":\"orders2\"", "does not name this audience"},
        {AUD, "\"aud\":[]", "does not name this audience"},
        {AUD, "\"aud\":[\"other\"]", "does not name this audience"},
        {AUD, "\"aud\":[\"other\",\"orders\"]", NULL},
        {AUD, "\"aud\":[\"orders\",1]", "not a list of texts"},
        {AUD, "\"aud\":{\"orders\":1}", "neither a text nor a list"},
        {AUD, "\"aud\":null", "neither a text nor a list"},
        {EXP, "", "no claim \"exp\""},
        {EXP, "\"exp\":null", "\"exp\" is not a number"},
        {EXP, "\"exp\":\"1800000300\"", "\"exp\" is not a number"},
        {EXP, "\"exp\":true", "\"exp\" is not a number"},
        {EXP, "\"exp\":1800000300.75", NULL},
        {EXP, "\"exp\":1.8000003e9", NULL},
        {EXP, "\"exp\":1799999941", NULL},
        {EXP, "\"exp\":1799999940", "expired 60 s ago"},
        {EXP, "\"exp\":1799999940.99", "expired"},
        {EXP, "\"exp\":0", "expired"},
        {EXP, "\"exp\":-1", "out of bounds"},
        {EXP, "\"exp\":-1e300", "out of bounds"},
        {EXP, "\"exp\":1e300", "out of bounds"},
        {EXP, "\"exp\":1e400", "is not a JSON object"},
        {EXP, "\"exp\":253402300799", NULL},
        {EXP, "\"exp\":253402300800", "out of bounds"},
        {EXP, "\"exp\":9223372036854775807", "out of bounds"},
        {EXP, "\"exp\":9223372036854775808", "is not a JSON object"},
        {"{", "{\"nbf\":1800000060,", NULL},
        {"{", "{\"nbf\":1800000061,", "\"nbf\" is 61 s ahead"},
        {"{", "{\"nbf\":1800000061.5,", "not valid yet"},
        {"{", "{\"nbf\":\"0\",", "\"nbf\" is not a number"},
        {"{", "{\"iat\":1800000060,", NULL},
        {"{", "{\"iat\":1800000061,", "not valid yet"},
        {"{", "{\"iat\":-1,", "out of bounds"},
        {"{", "{\"iat\":[],", "\"iat\" is not a number"},
        {TEN, "\"sub\":\"acme\"", "\"tenantId\" is missing"},
        {TEN, "\"tenantId\":\"\"", "not the slug"},
        {TEN, "\"tenantId\":\"Acme\"", "not the slug"},
        {TEN, "\"tenantId\":\"a'; --\"", "not the slug"},
        {TEN, "\"tenantId\":[\"acme\"]", "neither a text nor an integer"},
        {TEN, "\"tenantId\":null", "neither a text nor an integer"},
        {TEN, "\"tenantId\":42.0", "neither a text nor an integer"},
        {TEN, "\"tenantId\":true", "neither a text nor an integer"},
        {TEN, "\"tenantId\":0", "not the id"},
        {TEN, "\"tenantId\":-1", "not the id"},
        {TEN, "\"tenantId\":\"acme\",\"tenantId\":\"evil\"", "a member twice"},
        {TEN, "\"tenantId\":\"acme\",\"tenant_id\":\"evil\"", "differ"},
        {TEN, "\"tenantId\":\"7\",\"tenant_id\":7", "differ"},
        {TEN, "\"tenantId\":\"acme\",\"tenant_id\":null", "differ"},
        {TEN, "\"tenantId\":\"acme\",\"tenant_id\":\"acme\"", NULL},
        {TEN, "\"tenant_id\":\"acme\"", NULL},
        {"{", "{\"service\":\"\",", "\"service\""},
        {"{", "{\"service\":null,", "\"service\""},
        {"{", "{\"service\":[\"a\"],", "\"service\""},
        {"{", "{\"service\":\"a b\",", "\"service\""},
        {"{", "{\"access\":\"\",", "\"access\""},
        {"{", "{\"access\":\"RO\",", "\"access\""},
        {"{", "{\"access\":\"rwx\",", "\"access\""},
        {"{", "{\"access\":true,", "\"access\""},
        {"{", "{\"access\":null,", "\"access\""},
        {"{", "{\"access\":\"rw\",", NULL},
        {"{", "{\"jti\":7,", "\"jti\""},
        {"{", "{\"a\":1,\"a\":1,", "a member twice"},
        {"{", "{\"a\":{\"b\":1,\"b\":1},", "a member twice"},
        {"{", "[", "is not a JSON object"},
        {"}", "}x", "is not a JSON object"},
    };
    struct auth_keyring *keyring = shared_keyring();
    for (size_t i = 0; i < array_size(cases); i++) {
        const char *at = strstr(GOOD, cases[i].instead);
        size_t front = (size_t)(at - GOOD);
        const char *behind = at + strlen(cases[i].instead);
        if (!*cases[i].claim) {
            behind += *behind == ',';
        }
        _cleanup_free_ char *payload =
            xasprintf("%.*s%s%s", (int)front, GOOD, cases[i].claim, behind);
        _cleanup_free_ char *token = shared_token(payload);
        struct auth_claims claims = {0};
        if (cases[i].reason) {
            must_refuse(keyring, token, strlen(token), cases[i].reason);
        } else {
            must_accept(keyring, token, &claims);
            assert_string_equal(claims.tenant_slug, "acme");
        }
    }
    auth_keyring_free(keyring);
}

static void test_all_claims(void **state)
{
    (void)state;
    struct auth_keyring *keyring = shared_keyring();
    _cleanup_free_ char *token =
        shared_token("{\"iss\":\"https://id.example\",\"aud\":\"orders\",\"exp\":1800000300.9,"
                     "\"nbf\":0,\"iat\":1799999999.5,\"tenantId\":42,\"service\":\"orders\","
                     "\"access\":\"ro\",\"jti\":\"a token\",\"roles\":[\"x\"]}");
    struct auth_claims claims;
    must_accept(keyring, token, &claims);
    assert_true(claims.tenant_is_id && claims.read_only && !claims.by_reeve);
    assert_int_equal(claims.tenant_id, 42);
    assert_string_equal(claims.tenant_slug, "");
    assert_string_equal(claims.service, "orders");
    assert_string_equal(claims.jti, "a token");
    assert_int_equal(claims.expires_unix_s, NOW + 300);

    /* A stranger's id that is too long is as good as none. */
    _cleanup_free_ char *payload = xasprintf("{\"jti\":\"%s%s\",%s", JTI, JTI, GOOD + 1);
    _cleanup_free_ char *other = shared_token(payload);
    must_accept(keyring, other, &claims);
    assert_string_equal(claims.jti, "");
    auth_keyring_free(keyring);
}

static void test_long_claims_in_messages(void **state)
{
    (void)state;
    struct auth_keyring *keyring = shared_keyring();
    char name[513];
    memset(name, 'n', sizeof(name) - 1);
    memcpy(name, "a\\u001b\\nb\\u009b", 16);
    name[sizeof(name) - 1] = '\0';
    _cleanup_free_ char *payload = xasprintf("{\"iss\":\"%s\"}", name);
    _cleanup_free_ char *token = shared_token(payload);
    struct auth_claims claims;
    struct error err = {0};
    assert_int_equal(auth_token_verify(keyring, token, strlen(token), NOW, &claims, &err),
                     -ERROR_AUTH);
    assert_non_null(strstr(err.message, "\"a??b??"));
    assert_non_null(strstr(err.message, "nn...\" is not known"));
    assert_true(strlen(err.message) < 200);
    auth_keyring_free(keyring);
}

/* ---- several issuers ---- */

static void test_issuers_with_one_name(void **state)
{
    (void)state;
    _cleanup_free_ char *a = secret_jwk(SECRET, "\"kid\":\"a\",");
    _cleanup_free_ char *b = rsa_jwk(rsa, "\"kid\":\"b\",");
    const struct auth_issuer issuers[] = {
        {.name = "one", .issuer = ISSUER, .audience = "carts", .jwks = a, .leeway_s = 0},
        {.name = "two", .issuer = ISSUER, .audience = "orders", .jwks = a, .leeway_s = 0},
        {.name = "three", .issuer = ISSUER, .audience = "users", .jwks = b, .tenant_claim = "org"},
        {.name = "four", .issuer = "https://other.example", .jwks = a, .leeway_s = 0},
    };
    struct auth_keyring *keyring = NULL;
    assert_int_equal(auth_keyring_create(issuers, array_size(issuers), NULL, &keyring, NULL), 0);
    assert_int_equal(auth_keyring_issuer_count(keyring), array_size(issuers));
    struct auth_claims claims;
    _cleanup_free_ char *second = shared_token(GOOD);
    must_accept(keyring, second, &claims);
    assert_string_equal(claims.issuer_name, "two");

    static const char third_claims[] = "{\"iss\":\"https://id.example\",\"aud\":\"users\","
                                       "\"exp\":1800000300,\"org\":\"acme\",\"tenantId\":\"evil\"}";
    _cleanup_free_ char *third = public_token(rsa, "{\"alg\":\"RS256\"}", third_claims);
    must_accept(keyring, third, &claims);
    assert_string_equal(claims.issuer_name, "three");
    assert_string_equal(claims.tenant_slug, "acme");

    /* The key of one does not open the audience of another. */
    _cleanup_free_ char *crossed = shared_token(third_claims);
    must_refuse(keyring, crossed, strlen(crossed), "does not name this audience");
    _cleanup_free_ char *back = public_token(rsa, "{\"alg\":\"RS256\"}", GOOD);
    must_refuse(keyring, back, strlen(back), "does not name this audience");

    /* No audience: not checked. */
    _cleanup_free_ char *fourth = shared_token("{\"iss\":\"https://other.example\","
                                               "\"exp\":1800000300,\"tenantId\":\"acme\"}");
    must_accept(keyring, fourth, &claims);
    assert_string_equal(claims.issuer_name, "four");
    auth_keyring_free(keyring);
}

static void test_key_ids(void **state)
{
    (void)state;
    _cleanup_free_ char *a = rsa_jwk(rsa, "\"kid\":\"a\",");
    _cleanup_free_ char *b = rsa_jwk(other_rsa, "\"kid\":\"b\",");
    _cleanup_free_ char *c = ec_jwk(ec, "P-256", HALF, "");
    _cleanup_free_ char *named = xasprintf("{\"keys\":[%s,%s]}", a, b);
    _cleanup_free_ char *mixed = xasprintf("{\"keys\":[%s,%s]}", a, c);
    struct auth_keyring *keyring = keyring_of(named);
    struct auth_keyring *open = keyring_of(mixed);
    struct auth_claims claims;

    static const struct {
        const char *id;
        bool by_a, by_b; /* whether a token of that key is taken */
    } cases[] = {
        {"", true, true}, /* tokens without an id try all keys */
        {",\"kid\":\"a\"", true, false},
        {",\"kid\":\"b\"", false, true},
        {",\"kid\":\"nobody\"", false, false},
        {",\"kid\":\"\"", false, false},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        _cleanup_free_ char *header = xasprintf("{\"alg\":\"RS256\"%s}", cases[i].id);
        _cleanup_free_ char *by_a = public_token(rsa, header, GOOD);
        _cleanup_free_ char *by_b = public_token(other_rsa, header, GOOD);
        assert_int_equal(auth_token_verify(keyring, by_a, strlen(by_a), NOW, &claims, NULL),
                         cases[i].by_a ? 0 : -ERROR_AUTH);
        assert_int_equal(auth_token_verify(keyring, by_b, strlen(by_b), NOW, &claims, NULL),
                         cases[i].by_b ? 0 : -ERROR_AUTH);
    }
    _cleanup_free_ char *unknown =
        public_token(rsa, "{\"alg\":\"RS256\",\"kid\":\"nobody\"}", GOOD);
    must_refuse(keyring, unknown, strlen(unknown), "no key with the token's \"kid\" \"nobody\"");

    /* A key without an id takes tokens with any, but for the id of another key. */
    _cleanup_free_ char *any = public_token(ec, "{\"alg\":\"ES256\",\"kid\":\"x\"}", GOOD);
    must_accept(open, any, &claims);
    _cleanup_free_ char *taken = public_token(ec, "{\"alg\":\"ES256\",\"kid\":\"a\"}", GOOD);
    must_refuse(open, taken, strlen(taken), "algorithm");
    auth_keyring_free(keyring);
    auth_keyring_free(open);
}

/* ---- Reeve's own ---- */

static struct auth_token_spec good_spec(void)
{
    return (struct auth_token_spec){.tenant_id = 42,
                                    .tenant_slug = "acme",
                                    .issued_unix_s = NOW,
                                    .expires_unix_s = NOW + 300,
                                    .jti = JTI};
}

static struct auth_keyring *own_keyring(const uint8_t key[CRYPTO_KEY_SIZE])
{
    struct auth_keyring *keyring = NULL;
    assert_int_equal(auth_keyring_create(NULL, 0, key, &keyring, NULL), 0);
    assert_int_equal(auth_keyring_issuer_count(keyring), 0);
    return keyring;
}

static void test_own_tokens(void **state)
{
    (void)state;
    struct auth_keyring *keyring = own_keyring(OWN_KEY);
    static const char *const services[] = {NULL, "orders"};
    for (size_t i = 0; i < 4; i++) {
        struct auth_token_spec spec = good_spec();
        spec.service = services[i % 2];
        spec.read_only = i >= 2;
        _cleanup_free_ char *token = NULL;
        assert_int_equal(auth_token_issue(OWN_KEY, &spec, &token, NULL), 0);
        assert_true(auth_token_is_quick(token, strlen(token)));
        struct auth_claims claims;
        must_accept(keyring, token, &claims);
        assert_true(claims.by_reeve && claims.tenant_is_id);
        assert_int_equal(claims.tenant_id, 42);
        assert_string_equal(claims.issuer_name, "reeve");
        assert_string_equal(claims.jti, JTI);
        assert_string_equal(claims.service, spec.service ? spec.service : "");
        assert_int_equal(claims.read_only, spec.read_only);
        assert_int_equal(claims.expires_unix_s, NOW + 300);
        struct error err;
        assert_int_equal(auth_token_verify(keyring, token, strlen(token), NOW + 329, &claims, &err),
                         0);
        assert_int_equal(auth_token_verify(keyring, token, strlen(token), NOW + 330, &claims, &err),
                         -ERROR_AUTH);
    }
    auth_keyring_free(keyring);
}

static void test_own_tokens_of_another_key(void **state)
{
    (void)state;
    uint8_t key[CRYPTO_KEY_SIZE];
    auth_derive_key(OWN_KEY, "a label", key);
    struct auth_keyring *other = own_keyring(key);
    struct auth_keyring *nobody = own_keyring(NULL);
    struct auth_keyring *shared = shared_keyring();
    struct auth_token_spec spec = good_spec();
    _cleanup_free_ char *token = NULL;
    assert_int_equal(auth_token_issue(OWN_KEY, &spec, &token, NULL), 0);
    must_refuse(other, token, strlen(token), "signature is not by issuer \"reeve\"");
    must_refuse(nobody, token, strlen(token), "issuer \"reeve\" is not known");
    struct auth_claims claims;
    must_accept(shared, token, &claims);

    /* One that could not be revoked. */
    _cleanup_free_ char *nameless =
        mac_token(OWN_KEY, sizeof(OWN_KEY), "{\"alg\":\"HS256\"}",
                  "{\"iss\":\"reeve\",\"exp\":1800000300,\"tenantId\":42}");
    must_refuse(shared, nameless, strlen(nameless), "could not be revoked");
    auth_keyring_free(other);
    auth_keyring_free(nobody);
    auth_keyring_free(shared);
}

static void must_not_issue(const struct auth_token_spec *spec, const char *reason)
{
    char *token = NULL;
    struct error err = {0};
    assert_int_equal(auth_token_issue(OWN_KEY, spec, &token, &err), -ERROR_INVALID);
    assert_null(token);
    assert_non_null(strstr(err.message, reason));
}

static void test_specs_that_are_refused(void **state)
{
    (void)state;
    struct auth_token_spec spec = good_spec();
    spec.tenant_id = 0;
    must_not_issue(&spec, "a tenant's id");
    spec = good_spec();
    spec.tenant_slug = "A\"";
    must_not_issue(&spec, "the tenant's slug");
    spec = good_spec();
    spec.service = "";
    must_not_issue(&spec, "the service's name");
    spec = good_spec();
    spec.expires_unix_s = NOW;
    must_not_issue(&spec, "must expire after");
    static const char *const ids[] = {
        "", "0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdef0",
        "0123456789abcdef0123456789abcdeg", "0123456789ABCDEF0123456789ABCDEF"};
    for (size_t i = 0; i < array_size(ids); i++) {
        spec = good_spec();
        spec.jti = ids[i];
        must_not_issue(&spec, "a token's id");
    }
}

static void test_derived_keys(void **state)
{
    (void)state;
    uint8_t a[CRYPTO_KEY_SIZE];
    uint8_t again[CRYPTO_KEY_SIZE];
    uint8_t b[CRYPTO_KEY_SIZE];
    auth_derive_key(OWN_KEY, "a", a);
    auth_derive_key(OWN_KEY, "a", again);
    auth_derive_key(OWN_KEY, "b", b);
    assert_memory_equal(a, again, sizeof(a));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_not_equal(a, OWN_KEY, sizeof(a));
}

static int make_keys(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    other_rsa = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-256");
    ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return rsa && other_rsa && ec && ed ? 0 : -1;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(other_rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_algorithms),
        cmocka_unit_test(test_truncated_and_tampered),
        cmocka_unit_test(test_one_spelling),
        cmocka_unit_test(test_looks_like_token),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_public_key_as_secret),
        cmocka_unit_test(test_signature_lengths),
        cmocka_unit_test(test_hmac_lengths),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_all_claims),
        cmocka_unit_test(test_long_claims_in_messages),
        cmocka_unit_test(test_issuers_with_one_name),
        cmocka_unit_test(test_key_ids),
        cmocka_unit_test(test_own_tokens),
        cmocka_unit_test(test_own_tokens_of_another_key),
        cmocka_unit_test(test_specs_that_are_refused),
        cmocka_unit_test(test_derived_keys),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}

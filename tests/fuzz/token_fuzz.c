/*
 * JSON Web Tokens with a fixed keyring. The first byte chooses:
 *   t        a token as it is
 *   o, h, c  header, a zero byte, payload: encoded here and signed with HMAC-SHA-256 by
 *            Reeve's own key (o), by an issuer's shared secret (h), or by the text of an issuer's
 *            public key (c), which must never be taken
 * Nobody has the private keys of the issuer with public keys, so a token is good only when one of
 * the two secrets signed it.
 */
#include "fuzz.h"

#include "auth/token.h"
#include "base/buffer.h"

enum { NOW = 1800000000, LEEWAY_S = 60 };

static const uint8_t OWN_KEY[CRYPTO_KEY_SIZE] = "0123456789abcdef0123456789abcde";
static const char SHARED[] = "a shared secret of 32 bytes, now"; /* "k" of the issuer "shared" */
static const char RSA_MODULUS[] =
    "uby1lu6HnsBZfILLYdb36w4Uj3pt20V2VILsilr1Fa1JGFatmL0XYI-esMeo9Zx1dnVHtULM8L8sxIasyHONwhBjAHOZnz"
    "ut22HEdBOcNcllmr9RYlXQDrrCG207hnoOcA4Usk1PpHwxdv0qjsCulQbX8CUxg8H_8G7_0Bb5APU9WOtcXCDyldOplcWG"
    "JqZgSu551QSPieNyIyhjU-5N6q2nLAYMQZmq8z7UCFpoRMp2odDjmJQmNM30F8hctOUXXi5ak7NJ4-DjRcdk2S8nBv6yPj"
    "MS1MfIqZ58aSSSBeWfZ56HFON3clSlM_kg8jPFnUXwHaKMcZcHTOFAiXIRNQ";
static const char PUBLIC_KEYS[] =
    "{\"keys\": [{\"kty\": \"RSA\", \"kid\": \"r\", \"e\": \"AQAB\", \"n\": \"%s\"},"
    " {\"kty\": \"EC\", \"kid\": \"e\", \"crv\": \"P-256\","
    " \"x\": \"ynV9dKf_vFVPV5GoUsdTKfwktO3znGfKTOxd4RPOFpw\","
    " \"y\": \"BLvkpwxSHPWONttuDrEmjK0aHpJNthyn7HAP2SE5eYA\"},"
    " {\"kty\": \"OKP\", \"kid\": \"d\", \"crv\": \"Ed25519\","
    " \"x\": \"QxPSTzs5hqUVPN_7DnAx8ByXgot40JFUPvKbDlQD2As\"}]}";
static const char SHARED_KEYS[] = "{\"keys\": [{\"kty\": \"oct\", \"kid\": \"s\", \"k\":"
                                  " \"YSBzaGFyZWQgc2VjcmV0IG9mIDMyIGJ5dGVzLCBub3c\"}]}";

static struct auth_keyring *keyring(void)
{
    static struct auth_keyring *made;
    if (made)
        return made;
    char public_keys[sizeof(PUBLIC_KEYS) + sizeof(RSA_MODULUS)];
    snprintf(public_keys, sizeof(public_keys), PUBLIC_KEYS, RSA_MODULUS);
    const struct auth_issuer issuers[] = {{.name = "public",
                                           .issuer = "https://public.example",
                                           .audience = "orders",
                                           .jwks = public_keys,
                                           .leeway_s = LEEWAY_S},
                                          {.name = "shared",
                                           .issuer = "https://shared.example",
                                           .tenant_claim = "org",
                                           .jwks = SHARED_KEYS,
                                           .leeway_s = LEEWAY_S}};
    struct error err = {0};
    if (auth_keyring_create(issuers, array_size(issuers), OWN_KEY, &made, &err) < 0)
        fprintf(stderr, "keyring: %s\n", err.message);
    require(made && auth_keyring_issuer_count(made) == array_size(issuers));
    return made;
}

static void put_base64url(struct buffer *out, const void *bytes, size_t length)
{
    _cleanup_free_ char *text = xmalloc(CRYPTO_BASE64_SIZE(length));
    size_t written = crypto_base64_encode(bytes, length, text);
    for (size_t i = 0; i < written && text[i] != '='; i++)
        buffer_append_byte(out, (uint8_t)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]));
}

static void put_signature(struct buffer *out, const void *key, size_t key_length,
                          struct str signed_part)
{
    uint8_t mac[CRYPTO_SHA256_SIZE];
    crypto_hmac_sha256(key, key_length, signed_part.data, signed_part.length, mac);
    put_base64url(out, mac, sizeof(mac));
}

static void make_token(char kind, struct str text, struct buffer *out)
{
    const char *zero = memchr(text.data, '\0', text.length);
    size_t header_length = zero ? (size_t)(zero - text.data) : text.length;
    size_t payload_at = zero ? header_length + 1 : header_length;
    put_base64url(out, text.data, header_length);
    buffer_append_byte(out, '.');
    put_base64url(out, text.data + payload_at, text.length - payload_at);
    if (out->failed)
        return;
    struct str signed_part = {out->data, out->length};
    _cleanup_buffer_ struct buffer signature = BUFFER_INIT(64);
    if (kind == 'o')
        put_signature(&signature, OWN_KEY, sizeof(OWN_KEY), signed_part);
    else if (kind == 'h')
        put_signature(&signature, SHARED, sizeof(SHARED) - 1, signed_part);
    else
        put_signature(&signature, RSA_MODULUS, sizeof(RSA_MODULUS) - 1, signed_part);
    buffer_append_byte(out, '.');
    buffer_append(out, signature.data, signature.length);
}

static bool is_signed_by(const void *key, size_t key_length, struct str token)
{
    const char *dot = memrchr(token.data, '.', token.length);
    if (!dot)
        return false;
    size_t signed_length = (size_t)(dot - token.data);
    struct str signature = {dot + 1, token.length - signed_length - 1};
    _cleanup_buffer_ struct buffer expected = BUFFER_INIT(64);
    put_signature(&expected, key, key_length, (struct str){token.data, signed_length});
    return str_equal(signature, (struct str){expected.data, expected.length});
}

static void require_terminated(const char text[TOKEN_NAME_SIZE])
{
    require(memchr(text, '\0', TOKEN_NAME_SIZE));
}

static void check_claims(const struct auth_claims *claims, struct str token)
{
    bool by_own = is_signed_by(OWN_KEY, sizeof(OWN_KEY), token);
    bool by_shared = is_signed_by(SHARED, sizeof(SHARED) - 1, token);
    require(by_own || by_shared);
    require(claims->by_reeve == by_own);
    require(strcmp(claims->issuer_name, by_own ? "reeve" : "shared") == 0);
    require(token.length <= TOKEN_MAX_LENGTH && auth_looks_like_token(token.data, token.length));
    require_terminated(claims->tenant_slug);
    require_terminated(claims->jti);
    require_terminated(claims->service);
    require(claims->tenant_is_id || claims->tenant_slug[0]);
    require(claims->expires_unix_s >= NOW - LEEWAY_S);
}

static void verify(struct str token)
{
    struct auth_claims claims, before;
    memset(&claims, 0x5a, sizeof(claims));
    memcpy(&before, &claims, sizeof(claims));
    struct error err = {0};
    int result = auth_token_verify(keyring(), token.data, token.length, NOW, &claims, &err);
    if (result == 0) {
        check_claims(&claims, token);
        return;
    }
    require(result == -ERROR_AUTH);
    require_error(result, &err);
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): not even its padding is touched */
    require(memcmp(&claims, &before, sizeof(claims)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str text = {(const char *)data + 1, size - 1};
    if (data[0] != 'o' && data[0] != 'h' && data[0] != 'c') {
        verify(text);
        return 0;
    }
    _cleanup_buffer_ struct buffer token = BUFFER_INIT(2 * TOKEN_MAX_LENGTH);
    make_token((char)data[0], text, &token);
    if (!token.failed)
        verify((struct str){token.data, token.length});
    return 0;
}

/*
 * token.h - JSON Web Tokens as passwords (RFC 7519, 7515, 7517, 8725).
 *
 * A keyring is immutable once made and may be used by several threads at once. The algorithm is
 * fixed by the key, never by the token: a key of type RSA verifies RS256 alone, EC P-256 ES256
 * alone, OKP Ed25519 EdDSA alone, oct HS256 alone; "none" is never accepted. Headers jku, x5u, jwk
 * and x5c are ignored and nothing is ever fetched. Verification costs up to a few hundred
 * microseconds: not on a worker thread, but for what auth_token_is_quick names.
 */
#ifndef AUTH_TOKEN_H
#define AUTH_TOKEN_H

#include "base/crypto.h"
#include "base/error.h"

struct auth_keyring;

enum { TOKEN_MAX_LENGTH = 8192, TOKEN_NAME_SIZE = 64, TOKEN_DEFAULT_LEEWAY_S = 30 };

/* One issuer, as `reeve issuer add` stores it. Strings are copied by auth_keyring_create. */
struct auth_issuer {
    const char *name;         /* Reeve's name for it */
    const char *issuer;       /* must equal the claim `iss` */
    const char *audience;     /* must be (in) the claim `aud`; NULL: not checked */
    const char *tenant_claim; /* NULL: "tenantId", accepting "tenant_id" too */
    const char *jwks;         /* a JWKS or a single JWK, JSON */
    int leeway_s;             /* clock skew allowed, seconds, 0 to 300 */
};

/* own_key: signs and verifies Reeve's own tokens (HS256, issuer "reeve"), NULL for none.
 * ERROR_INVALID names the issuer and the key at fault. */
int auth_keyring_create(const struct auth_issuer *issuers, size_t count,
                        const uint8_t own_key[CRYPTO_KEY_SIZE], struct auth_keyring **ret,
                        struct error *err);
void auth_keyring_free(struct auth_keyring *keyring);                 /* accepts NULL */
size_t auth_keyring_issuer_count(const struct auth_keyring *keyring); /* without Reeve's own */

struct auth_claims {
    char issuer_name[TOKEN_NAME_SIZE]; /* struct auth_issuer.name, or "reeve" */
    bool by_reeve;                     /* jti must be looked up: it may have been revoked */
    bool tenant_is_id;                 /* the claim was an integer: tenant_id, else tenant_slug */
    int64_t tenant_id;
    char tenant_slug[TOKEN_NAME_SIZE];
    char jti[TOKEN_NAME_SIZE];     /* "" when absent */
    char service[TOKEN_NAME_SIZE]; /* claim "service"; "" means every service */
    bool read_only;                /* claim "access" is "ro"; anything but "ro"/"rw" is refused */
    int64_t expires_unix_s;        /* exp is required */
};

/* Whether bytes look like a JWT (three base64url parts, the first of what begins with '{'): decides
 * between token and password. */
bool auth_looks_like_token(const char *text, size_t length);
/* Whether it has the header that Reeve's own tokens have, and is as short. No key with a costlier
 * algorithm is tried for such a one, and to find out takes no time: microseconds, good or not. */
bool auth_token_is_quick(const char *token, size_t length);
/* ERROR_AUTH with the reason for the log (expired, audience, ...): never for the client. */
int auth_token_verify(const struct auth_keyring *keyring, const char *token, size_t length,
                      int64_t now_unix_s, struct auth_claims *ret, struct error *err);

struct auth_token_spec {
    int64_t tenant_id;
    const char *tenant_slug;
    const char *service; /* NULL: every service */
    bool read_only;
    int64_t issued_unix_s, expires_unix_s;
    const char *jti; /* 32 hexadecimal digits, random; recorded in the catalog */
};
/* A token signed with Reeve's own key; free with free. */
int auth_token_issue(const uint8_t own_key[CRYPTO_KEY_SIZE], const struct auth_token_spec *spec,
                     char **ret_token, struct error *err);

/* Turns a PEM public key, a JWK, a JWKS, or (with kind "hs256") a raw secret of at least 32 bytes
 * into JWKS JSON that auth_keyring_create takes. Private keys are refused. Free with free. */
int auth_jwks_from_file_bytes(const char *bytes, size_t length, bool as_hs256_secret,
                              const char *key_id, char **ret_jwks, struct error *err);

/*
 * Keys as the catalog keeps them: a set that holds a shared secret is sealed (crypto_seal) with a
 * key derived under AUTH_ISSUER_KEY_LABEL, the ids and kinds of its keys stay readable; public keys
 * stay as they are. auth_jwks_open takes both. Free with free; wipe what was opened. ERROR_INVALID
 * when it was sealed with another key or for another issuer.
 */
int auth_jwks_seal(const uint8_t key[CRYPTO_KEY_SIZE], const char *issuer_name, const char *jwks,
                   char **ret_stored, struct error *err);
int auth_jwks_open(const uint8_t key[CRYPTO_KEY_SIZE], const char *issuer_name, const char *stored,
                   char **ret_jwks, struct error *err);

/* The key that signs Reeve's own tokens, derived from the key file's key (HMAC with a label). */
#define AUTH_TOKEN_KEY_LABEL "reeve tokens"
#define AUTH_ISSUER_KEY_LABEL "reeve issuers"      /* for auth_jwks_seal */
#define AUTH_MOCK_KEY_LABEL "reeve mock verifiers" /* for scram_verifier_mock */
void auth_derive_key(const uint8_t master[CRYPTO_KEY_SIZE], const char *label,
                     uint8_t ret[CRYPTO_KEY_SIZE]);

#endif

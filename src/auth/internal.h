/*
 * internal.h - what the files behind token.h share. Private to src/auth.
 */
#ifndef AUTH_INTERNAL_H
#define AUTH_INTERNAL_H

#include <jansson.h>
#include <openssl/evp.h>

#include "auth/token.h"
#include "base/buffer.h"
#include "base/failpoint.h"
#include "base/str.h"

enum {
    JSON_MAX_DEPTH = 16,
    JWKS_MAX_LENGTH = 256 * 1024,
    JWKS_MAX_KEYS = 64,
    KEY_ID_MAX = 255,
    RSA_MIN_BITS = 2048,
    RSA_MAX_BITS = 8192,
    SECRET_MIN = 32,
    SECRET_MAX = 1024,
    LEEWAY_MAX_S = 300,
    SHOWN_SIZE = 72,
};

/* The name of Reeve's own tokens, as issuer and as claim `iss`: nobody else may have it. */
#define AUTH_OWN_ISSUER "reeve"

DEFINE_CLEANUP(json_t *, json_decref);
#define _cleanup_json_ _cleanup_(cleanup_json_decref)

/* ---- json.c ---- */

/*
 * A JSON object, strictly: no member twice, nothing behind it, at most JSON_MAX_DEPTH levels, no
 * zero in a string. `what` names it in the error, which has the given code and repeats nothing of
 * the text.
 */
int auth_json_parse(struct str text, enum error_code code, const char *what, json_t **ret,
                    struct error *err);
/* base64url without padding, one spelling a value; the bytes written, or -1. */
ssize_t auth_base64url_decode(struct str text, void *ret_bytes, size_t size);
void auth_base64url_append(struct buffer *out, const void *bytes, size_t length);
bool auth_base64url_character(char c);
/* A claim or key id as a message may repeat it: printable ASCII, cut off. Returns ret. */
const char *auth_show(const char *text, char ret[SHOWN_SIZE]);

/* ---- key.c ---- */

enum key_algorithm { KEY_RS256, KEY_ES256, KEY_EDDSA, KEY_HS256 };

struct auth_key {
    enum key_algorithm algorithm; /* the only one that it is ever used with */
    char *id;                     /* JWK's `kid`; NULL: none */
    EVP_PKEY *public_key;         /* NULL for HS256 */
    uint8_t *secret;              /* for HS256 */
    size_t secret_length;
};

/* "RS256", "ES256", "EdDSA", "HS256" */
const char *auth_algorithm_name(enum key_algorithm algorithm);
/* Takes over nothing. ERROR_INVALID when it is too short or too long. */
int auth_key_make_secret(struct auth_key *key, const void *secret, size_t length,
                         struct error *err);
/* From a SubjectPublicKeyInfo; key->algorithm says what it must be. ERROR_INVALID when it is
 * another kind of key, too weak, or not a sound key. */
int auth_key_make_public(struct auth_key *key, const uint8_t *der, size_t length,
                         struct error *err);
void auth_key_clear(struct auth_key *key);
/* Any number of threads at once. Leaves OpenSSL's error queue as it was. */
bool auth_key_verifies(const struct auth_key *key, struct str signed_part, const uint8_t *signature,
                       size_t length);

/* ---- jwks.c ---- */

struct auth_keys {
    struct auth_key *keys;
    size_t count;
};

/* Of a JWKS or a JWK. Keys for other uses are skipped; ERROR_INVALID when none is left, for a
 * private key, and for a key that is malformed or too weak. */
int auth_keys_parse(struct str text, struct auth_keys *ret, struct error *err);
void auth_keys_clear(struct auth_keys *keys);

/* ---- keyring.c ---- */

struct keyring_issuer {
    char *name, *issuer;
    char *audience, *tenant_claim; /* may be NULL */
    int leeway_s;
    bool is_own;
    struct auth_keys keys;
};

struct auth_keyring {
    size_t count; /* Reeve's own is the last, if it is there */
    bool has_own;
    struct keyring_issuer issuers[];
};

/* ---- claims.c ---- */

/* Of a token that this issuer's key has signed. ERROR_AUTH. */
int auth_claims_read(const struct keyring_issuer *issuer, const json_t *payload, int64_t now_unix_s,
                     struct auth_claims *ret, struct error *err);

#endif

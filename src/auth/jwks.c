/*
 * Sets of keys (RFC 7517), and what an operator has them in: a JWKS, a JWK, a PEM file, a secret.
 *
 * rhonabwy turns the members of a JWK into a key and a PEM file into a JWK; it is given those
 * members alone, so that x5c, x5u and the like never count and nothing is fetched. What the key
 * then is, OpenSSL says (key.c).
 */
#include "auth/internal.h"

#include <rhonabwy.h>

enum {
    DER_MAX = 4096,
    RSA_MODULUS_MAX = RSA_MAX_BITS / 8 + 1,
    RSA_EXPONENT_MAX = 8,
    POINT_SIZE = 32,
    REASON_SIZE = 160,
};

DEFINE_CLEANUP(jwk_t *, r_jwk_free);
#define _cleanup_jwk_ _cleanup_(cleanup_r_jwk_free)

/* The types of key that Reeve knows: the members that make one, and their sizes in bytes. */
struct key_type {
    const char *type, *curve;
    enum key_algorithm algorithm;
    struct key_member {
        const char *name;
        size_t minimum, maximum;
    } members[2];
};

static const struct key_type KEY_TYPES[] = {
    {"RSA", NULL, KEY_RS256, {{"n", 1, RSA_MODULUS_MAX}, {"e", 1, RSA_EXPONENT_MAX}}},
    /* RFC 7518 (6.2.1.2) wants a coordinate's leading zeros; many programs leave them out. */
    {"EC", "P-256", KEY_ES256, {{"x", 1, POINT_SIZE}, {"y", 1, POINT_SIZE}}},
    {"OKP", "Ed25519", KEY_EDDSA, {{"x", POINT_SIZE, POINT_SIZE}}},
    {"oct", NULL, KEY_HS256, {{"k", 0, SECRET_MAX}}},
};

/* A member that is text, or not there; anything else is malformed. */
static int read_text(const json_t *jwk, const char *name, size_t maximum, const char **ret,
                     struct error *err)
{
    const json_t *value = json_object_get(jwk, name);
    if (!value) {
        *ret = NULL;
        return 0;
    }
    size_t length = json_string_length(value); /* 0 for what is no string */
    if (length < 1 || length > maximum)
        return error_set(err, ERROR_INVALID, "its \"%s\" is not a text of 1 to %zu bytes", name,
                         maximum);
    *ret = json_string_value(value);
    return 0;
}

static int refuse_private(const json_t *jwk, const char *type, struct error *err)
{
    static const char *const names[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "priv"};
    bool found = json_object_get(jwk, "k") && strcmp(type, "oct") != 0;
    for (size_t i = 0; i < array_size(names); i++)
        found = found || json_object_get(jwk, names[i]);
    if (!found)
        return 0;
    int result = error_set(err, ERROR_INVALID, "it is a private key");
    error_hint(err, "give the public key alone, and keep the private one where tokens are signed");
    return result;
}

/* Whether `key_ops` is absent or has "verify". */
static int allows_verifying(const json_t *jwk, bool *ret, struct error *err)
{
    const json_t *operations = json_object_get(jwk, "key_ops");
    *ret = !operations;
    if (!operations)
        return 0;
    if (!json_is_array(operations))
        return error_set(err, ERROR_INVALID, "its \"key_ops\" is not a list");
    for (size_t i = 0; i < json_array_size(operations); i++) {
        const char *operation = json_string_value(json_array_get(operations, i));
        if (!operation)
            return error_set(err, ERROR_INVALID, "its \"key_ops\" is not a list of texts");
        *ret = *ret || strcmp(operation, "verify") == 0;
    }
    return 0;
}

static const struct key_type *find_type(const char *type, const char *curve)
{
    for (size_t i = 0; i < array_size(KEY_TYPES); i++) {
        const struct key_type *found = &KEY_TYPES[i];
        if (strcmp(type, found->type) == 0 &&
            (!found->curve || (curve && strcmp(curve, found->curve) == 0)))
            return found;
    }
    return NULL;
}

/* The type of a key that is for us; NULL, and why it is not, for one that is for somebody else. */
static int choose_type(const json_t *jwk, const struct key_type **ret, char reason[REASON_SIZE],
                       struct error *err)
{
    const char *type = NULL;
    const char *curve = NULL;
    const char *use = NULL;
    const char *algorithm = NULL;
    bool may_verify = false;
    char shown[SHOWN_SIZE];
    int result = read_text(jwk, "kty", KEY_ID_MAX, &type, err);
    if (result < 0)
        return result;
    if (!type)
        return error_set(err, ERROR_INVALID, "it has no \"kty\"");
    result = refuse_private(jwk, type, err);
    if (result == 0)
        result = read_text(jwk, "crv", KEY_ID_MAX, &curve, err);
    if (result == 0)
        result = read_text(jwk, "use", KEY_ID_MAX, &use, err);
    if (result == 0)
        result = read_text(jwk, "alg", KEY_ID_MAX, &algorithm, err);
    if (result == 0)
        result = allows_verifying(jwk, &may_verify, err);
    if (result < 0)
        return result;

    const struct key_type *found = find_type(type, curve);
    *ret = NULL;
    if (!found)
        snprintf(reason, REASON_SIZE, "its type is not RSA, EC on P-256, Ed25519 or oct");
    else if (use && strcmp(use, "sig") != 0)
        snprintf(reason, REASON_SIZE, "its \"use\" is \"%s\", not \"sig\"", auth_show(use, shown));
    else if (algorithm && strcmp(algorithm, auth_algorithm_name(found->algorithm)) != 0)
        snprintf(reason, REASON_SIZE, "its \"alg\" is \"%s\"; Reeve uses such a key for %s alone",
                 auth_show(algorithm, shown), auth_algorithm_name(found->algorithm));
    else if (!may_verify)
        snprintf(reason, REASON_SIZE, "its \"key_ops\" does not have \"verify\"");
    else
        *ret = found;
    return 0;
}

/* A member's bytes; ret has room for its maximum. */
static int read_member(const json_t *jwk, const struct key_member *member, uint8_t *ret,
                       size_t *ret_length, struct error *err)
{
    const json_t *value = json_object_get(jwk, member->name);
    struct str text = {json_string_value(value), json_string_length(value)};
    if (!text.data)
        return error_set(err, ERROR_INVALID, "it has no \"%s\"", member->name);
    ssize_t length = auth_base64url_decode(text, ret, member->maximum);
    if (length < (ssize_t)member->minimum)
        return error_set(err, ERROR_INVALID, "its \"%s\" is not base64url of the right length",
                         member->name);
    *ret_length = (size_t)length;
    return 0;
}

static int make_secret(struct auth_key *key, const struct key_type *type, const json_t *jwk,
                       struct error *err)
{
    uint8_t secret[SECRET_MAX];
    size_t length = 0;
    int result = read_member(jwk, &type->members[0], secret, &length, err);
    if (result == 0)
        result = auth_key_make_secret(key, secret, length, err);
    crypto_wipe(secret, sizeof(secret));
    return result;
}

/* The members that make the key and nothing else. */
static json_t *bare_jwk(const struct key_type *type, const json_t *jwk)
{
    json_t *bare = json_object();
    json_object_set_new(bare, "kty", json_string(type->type));
    if (type->curve)
        json_object_set_new(bare, "crv", json_string(type->curve));
    for (size_t i = 0; i < array_size(type->members) && type->members[i].name; i++)
        json_object_set(bare, type->members[i].name, json_object_get(jwk, type->members[i].name));
    return bare;
}

/* A coordinate with its leading zeros in the place of one without. */
static void pad_coordinate(json_t *bare, const char *name, const uint8_t *bytes, size_t length)
{
    uint8_t padded[POINT_SIZE] = {0};
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(2 * POINT_SIZE);
    memcpy(padded + POINT_SIZE - length, bytes, length);
    auth_base64url_append(&text, padded, sizeof(padded));
    json_object_set_new(bare, name, json_string(buffer_string(&text)));
}

static int make_public(struct auth_key *key, const struct key_type *type, const json_t *jwk,
                       struct error *err)
{
    uint8_t bytes[RSA_MODULUS_MAX];
    size_t length;
    _cleanup_json_ json_t *bare = bare_jwk(type, jwk);
    for (size_t i = 0; i < array_size(type->members) && type->members[i].name; i++) {
        int result = read_member(jwk, &type->members[i], bytes, &length, err);
        if (result < 0)
            return result;
        if (type->algorithm == KEY_ES256)
            pad_coordinate(bare, type->members[i].name, bytes, length);
    }
    _cleanup_jwk_ jwk_t *parsed = NULL;
    uint8_t der[DER_MAX];
    length = sizeof(der);
    if (r_jwk_init(&parsed) != RHN_OK || r_jwk_import_from_json_t(parsed, bare) != RHN_OK ||
        r_jwk_export_to_pem_der(parsed, R_FORMAT_DER, der, &length, R_FLAG_IGNORE_REMOTE) != RHN_OK)
        return error_set(err, ERROR_INVALID, "it is not a sound public key");
    key->algorithm = type->algorithm;
    return auth_key_make_public(key, der, length, err);
}

/* A key; or nothing, and why, for one that is for somebody else. */
static int parse_key(const json_t *jwk, struct auth_key *ret, bool *ret_usable,
                     char reason[REASON_SIZE], struct error *err)
{
    const struct key_type *type = NULL;
    const char *id = NULL;
    struct auth_key key = {0};
    if (!json_is_object(jwk))
        return error_set(err, ERROR_INVALID, "it is not a JSON object");
    int result = choose_type(jwk, &type, reason, err);
    if (result < 0 || !type)
        return result;
    result = read_text(jwk, "kid", KEY_ID_MAX, &id, err);
    if (result == 0)
        result = type->algorithm == KEY_HS256 ? make_secret(&key, type, jwk, err)
                                              : make_public(&key, type, jwk, err);
    if (result < 0) {
        auth_key_clear(&key);
        return result;
    }
    key.id = id ? xstrdup(id) : NULL;
    *ret = key;
    *ret_usable = true;
    return 0;
}

static bool is_ambiguous(const struct auth_keys *keys, const struct auth_key *key)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (key->id && keys->keys[i].id && strcmp(key->id, keys->keys[i].id) == 0)
            return true;
    }
    return false;
}

static int add_key(struct auth_keys *keys, const json_t *jwk, char reason[REASON_SIZE],
                   struct error *err)
{
    struct auth_key key = {0};
    bool usable = false;
    int result = parse_key(jwk, &key, &usable, reason, err);
    if (result < 0 || !usable)
        return result;
    if (is_ambiguous(keys, &key)) {
        auth_key_clear(&key);
        return error_set(err, ERROR_INVALID, "its \"kid\" is that of another key");
    }
    keys->keys[keys->count++] = key;
    return 0;
}

/* "key 2 ("kid")" */
static void name_key(const json_t *jwk, size_t index, struct error *err)
{
    char shown[SHOWN_SIZE];
    const char *id = json_string_value(json_object_get(jwk, "kid"));
    if (id)
        error_prefix(err, "key %zu (\"%s\")", index + 1, auth_show(id, shown));
    else
        error_prefix(err, "key %zu", index + 1);
}

static int add_keys(struct auth_keys *keys, const json_t *list, struct error *err)
{
    char reason[REASON_SIZE] = "";
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *jwk = json_array_get(list, i);
        int result = add_key(keys, jwk, reason, err);
        if (result < 0) {
            name_key(jwk, i, err);
            return result;
        }
    }
    if (keys->count > 0)
        return 0;
    return error_set(err, ERROR_INVALID, "there is no key to verify tokens with%s%s",
                     *reason ? ": of the last one, " : "", reason);
}

/* The list of a JWKS; of a single JWK, a list with it. */
static int list_of(json_t *document, json_t **ret, struct error *err)
{
    json_t *list = json_object_get(document, "keys");
    if (!list) {
        list = json_array();
        json_array_append(list, document);
        *ret = list;
        return 0;
    }
    if (json_object_get(document, "kty"))
        return error_set(err, ERROR_INVALID, "it has both \"keys\" and \"kty\"");
    if (!json_is_array(list) || json_array_size(list) > JWKS_MAX_KEYS)
        return error_set(err, ERROR_INVALID, "\"keys\" is not a list of at most %d keys",
                         JWKS_MAX_KEYS);
    *ret = json_incref(list);
    return 0;
}

static int parse_list(const json_t *list, struct auth_keys *ret, struct error *err)
{
    struct auth_keys keys = {0};
    keys.keys = xcalloc(json_array_size(list) + 1, sizeof(*keys.keys));
    int result = add_keys(&keys, list, err);
    if (result < 0)
        auth_keys_clear(&keys);
    else
        *ret = keys;
    return result;
}

static int load_list(struct str text, json_t **ret, struct error *err)
{
    _cleanup_json_ json_t *document = NULL;
    if (text.length > JWKS_MAX_LENGTH)
        return error_set(err, ERROR_INVALID, "the keys are longer than %d bytes", JWKS_MAX_LENGTH);
    int result = auth_json_parse(text, ERROR_INVALID, "the set of keys", &document, err);
    return result < 0 ? result : list_of(document, ret, err);
}

int auth_keys_parse(struct str text, struct auth_keys *ret, struct error *err)
{
    _cleanup_json_ json_t *list = NULL;
    int result = load_list(text, &list, err);
    return result < 0 ? result : parse_list(list, ret, err);
}

void auth_keys_clear(struct auth_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        auth_key_clear(&keys->keys[i]);
    free(keys->keys);
    *keys = (struct auth_keys){0};
}

/* ---- files ---- */

static const char PEM_BEGIN[] = "-----BEGIN ";

static bool find_text(struct str in, const char *text, size_t *ret_end)
{
    const char *at = in.length ? memmem(in.data, in.length, text, strlen(text)) : NULL;
    if (at)
        *ret_end = (size_t)(at - in.data) + strlen(text);
    return at != NULL;
}

static bool has_text(struct str in, const char *text)
{
    size_t end;
    return find_text(in, text, &end);
}

/* Somebody who gives a public key as a secret lets everybody sign. */
static int secret_to_jwk(struct str secret, json_t **ret, struct error *err)
{
    _cleanup_json_ json_t *document = NULL;
    if (secret.length < SECRET_MIN || secret.length > SECRET_MAX)
        return error_set(err, ERROR_INVALID,
                         "a shared secret must have %d to %d bytes; this one has %zu", SECRET_MIN,
                         SECRET_MAX, secret.length);
    if (has_text(secret, PEM_BEGIN) ||
        auth_json_parse(secret, ERROR_INVALID, "", &document, NULL) == 0) {
        int result = error_set(err, ERROR_INVALID, "this is a key file, not a shared secret");
        error_hint(err, "register it as a key or a set of keys");
        return result;
    }
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(CRYPTO_BASE64_SIZE(SECRET_MAX));
    auth_base64url_append(&text, secret.data, secret.length);
    *ret = json_pack("{s:s, s:s#}", "kty", "oct", "k", text.data, (int)text.length);
    crypto_wipe(text.data, text.length);
    return 0;
}

static int check_pem(struct str pem, struct error *err)
{
    size_t end = 0;
    int result = 0;
    if (has_text(pem, "PRIVATE KEY-----")) {
        result = error_set(err, ERROR_INVALID, "it is a private key");
        error_hint(err, "give the public key alone: openssl pkey -in FILE -pubout");
    } else if (find_text(pem, PEM_BEGIN, &end) &&
               has_text((struct str){pem.data + end, pem.length - end}, PEM_BEGIN)) {
        result = error_set(err, ERROR_INVALID, "there is more than one key in the file");
        error_hint(err, "give one key a file, or a JWKS");
    } else if (!has_text(pem, "-----BEGIN PUBLIC KEY-----") ||
               !has_text(pem, "-----END PUBLIC KEY-----")) {
        result = error_set(err, ERROR_INVALID, "it is not a PUBLIC KEY in PEM");
        error_hint(err, "of a certificate: openssl x509 -in FILE -noout -pubkey");
    }
    return result;
}

static int pem_to_jwk(struct str pem, json_t **ret, struct error *err)
{
    int result = check_pem(pem, err);
    if (result < 0)
        return result;
    _cleanup_jwk_ jwk_t *parsed = NULL;
    json_t *jwk = NULL;
    if (r_jwk_init(&parsed) == RHN_OK &&
        r_jwk_import_from_pem_der(parsed, R_X509_TYPE_PUBKEY, R_FORMAT_PEM,
                                  (const unsigned char *)pem.data, pem.length) == RHN_OK)
        jwk = r_jwk_export_to_json_t(parsed);
    if (!jwk)
        return error_set(err, ERROR_INVALID, "it is not a public key that Reeve can use");
    /* rhonabwy makes up an id, which no token would have. */
    json_object_del(jwk, "kid");
    *ret = jwk;
    return 0;
}

static json_t *list_with(json_t *jwk)
{
    json_t *list = json_array();
    json_array_append_new(list, jwk);
    return list;
}

static int file_to_list(struct str text, bool as_secret, json_t **ret, struct error *err)
{
    json_t *jwk = NULL;
    int result;
    if (!as_secret && !has_text(text, PEM_BEGIN))
        return load_list(text, ret, err);
    result = as_secret ? secret_to_jwk(text, &jwk, err) : pem_to_jwk(text, &jwk, err);
    if (result == 0)
        *ret = list_with(jwk);
    return result;
}

static int set_key_id(json_t *list, const char *key_id, struct error *err)
{
    json_t *jwk = json_array_get(list, 0);
    const char *present = json_string_value(json_object_get(jwk, "kid"));
    size_t length = strlen(key_id);
    if (length < 1 || length > KEY_ID_MAX || !str_is_utf8(key_id, length))
        return error_set(err, ERROR_INVALID, "a key id must be 1 to %d bytes of UTF-8", KEY_ID_MAX);
    if (json_array_size(list) != 1)
        return error_set(err, ERROR_INVALID, "a key id is for one key; the file has %zu",
                         json_array_size(list));
    if (present && strcmp(present, key_id) != 0)
        return error_set(err, ERROR_INVALID, "the key in the file has another key id");
    json_object_set_new(jwk, "kid", json_string(key_id));
    return 0;
}

int auth_jwks_from_file_bytes(const char *bytes, size_t length, bool as_hs256_secret,
                              const char *key_id, char **ret_jwks, struct error *err)
{
    _cleanup_json_ json_t *list = NULL;
    struct auth_keys keys = {0};
    struct str text = {bytes, length};
    if (length > JWKS_MAX_LENGTH)
        return error_set(err, ERROR_INVALID, "the file is longer than %d bytes", JWKS_MAX_LENGTH);
    int result = file_to_list(text, as_hs256_secret, &list, err);
    if (result == 0 && key_id)
        result = set_key_id(list, key_id, err);
    if (result == 0)
        result = parse_list(list, &keys, err); /* what is stored can be used */
    if (result < 0)
        return result;
    auth_keys_clear(&keys);
    _cleanup_json_ json_t *document = json_pack("{s:O}", "keys", list);
    char *dumped = json_dumps(document, JSON_COMPACT);
    if (!dumped)
        return error_set(err, ERROR_INTERNAL, "cannot write a set of keys");
    *ret_jwks = dumped;
    return 0;
}

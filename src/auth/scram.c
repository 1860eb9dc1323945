#include "auth/scram.h"

#include <assert.h>

#include "auth/saslprep.h"
#include "base/failpoint.h"
#include "base/str.h"
#include "wire/sqlstate.h"

enum {
    SALT_LENGTH = 16,         /* as PostgreSQL makes them */
    SERVER_NONCE_LENGTH = 18, /* bytes before base64, as PostgreSQL makes them */
    CLIENT_NONCE_MAX = 256,   /* drivers send 18 to 48 characters */
    KEY_BASE64_LENGTH = 44,
};

static const char PREFIX[] = "SCRAM-SHA-256$";

DEFINE_CLEANUP(char *, password_wipe_free);
#define _cleanup_password_ _cleanup_(cleanup_password_wipe_free)

/* ---- verifiers ---- */

/* Takes the text before `separator` off the front of *rest; false when there is no separator. */
static bool split_at(struct str *rest, char separator, struct str *ret)
{
    const char *at = memchr(rest->data, separator, rest->length);
    if (!at)
        return false;
    size_t length = (size_t)(at - rest->data);
    *ret = (struct str){rest->data, length};
    *rest = (struct str){at + 1, rest->length - length - 1};
    return true;
}

static bool decode_key(struct str text, uint8_t ret_key[CRYPTO_SHA256_SIZE])
{
    return text.length == KEY_BASE64_LENGTH &&
           crypto_base64_decode(text.data, text.length, ret_key, CRYPTO_SHA256_SIZE) ==
               CRYPTO_SHA256_SIZE;
}

static bool parse_iterations(struct str text, int *ret)
{
    char digits[16];
    int64_t value;
    if (text.length >= sizeof(digits) || text.length == 0)
        return false;
    memcpy(digits, text.data, text.length);
    digits[text.length] = '\0';
    if (!str_to_i64(digits, 1, SCRAM_MAX_ITERATIONS, &value))
        return false;
    *ret = (int)value;
    return true;
}

static bool parse_verifier(struct str text, struct scram_verifier *verifier)
{
    struct str rest = {text.data + sizeof(PREFIX) - 1, text.length - (sizeof(PREFIX) - 1)};
    struct str iterations;
    struct str salt;
    struct str stored_key;
    if (!split_at(&rest, ':', &iterations) || !split_at(&rest, '$', &salt) ||
        !split_at(&rest, ':', &stored_key) || !parse_iterations(iterations, &verifier->iterations))
        return false;
    ssize_t salt_length =
        crypto_base64_decode(salt.data, salt.length, verifier->salt, SCRAM_MAX_SALT);
    if (salt_length < 1)
        return false;
    verifier->salt_length = (size_t)salt_length;
    return decode_key(stored_key, verifier->stored_key) && decode_key(rest, verifier->server_key);
}

int scram_verifier_parse(const char *text, struct scram_verifier *ret, struct error *err)
{
    struct scram_verifier verifier = {0};
    size_t length = strnlen(text, SCRAM_VERIFIER_TEXT_MAX);
    if (length == SCRAM_VERIFIER_TEXT_MAX || !str_has_prefix(text, PREFIX) ||
        !parse_verifier((struct str){text, length}, &verifier))
        return error_set(err, ERROR_INVALID, "a stored verifier is not a SCRAM-SHA-256 verifier");
    *ret = verifier;
    return 0;
}

/* RFC 5802, section 3: SaltedPassword, then StoredKey and ServerKey. */
static void derive_keys(const char *password, const uint8_t *salt, size_t salt_length,
                        int iterations, uint8_t ret_stored_key[CRYPTO_SHA256_SIZE],
                        uint8_t ret_server_key[CRYPTO_SHA256_SIZE])
{
    _cleanup_password_ char *prepared = saslprep_password(password);
    uint8_t salted[CRYPTO_SHA256_SIZE];
    uint8_t client_key[CRYPTO_SHA256_SIZE];
    crypto_pbkdf2_sha256(prepared, strlen(prepared), salt, salt_length, iterations, salted);
    crypto_hmac_sha256(salted, sizeof(salted), "Client Key", strlen("Client Key"), client_key);
    crypto_sha256(client_key, sizeof(client_key), ret_stored_key);
    crypto_hmac_sha256(salted, sizeof(salted), "Server Key", strlen("Server Key"), ret_server_key);
    crypto_wipe(salted, sizeof(salted));
    crypto_wipe(client_key, sizeof(client_key));
}

void scram_verifier_make(const char *password, int iterations,
                         char ret_text[SCRAM_VERIFIER_TEXT_MAX])
{
    if (iterations < 1)
        iterations = SCRAM_DEFAULT_ITERATIONS;
    if (iterations > SCRAM_MAX_ITERATIONS)
        iterations = SCRAM_MAX_ITERATIONS;

    uint8_t salt[SALT_LENGTH];
    uint8_t stored_key[CRYPTO_SHA256_SIZE];
    uint8_t server_key[CRYPTO_SHA256_SIZE];
    crypto_random(salt, sizeof(salt));
    derive_keys(password, salt, sizeof(salt), iterations, stored_key, server_key);

    char salt_text[CRYPTO_BASE64_SIZE(SALT_LENGTH)];
    char stored_text[CRYPTO_BASE64_SIZE(CRYPTO_SHA256_SIZE)];
    char server_text[CRYPTO_BASE64_SIZE(CRYPTO_SHA256_SIZE)];
    crypto_base64_encode(salt, sizeof(salt), salt_text);
    crypto_base64_encode(stored_key, sizeof(stored_key), stored_text);
    crypto_base64_encode(server_key, sizeof(server_key), server_text);
    snprintf(ret_text, SCRAM_VERIFIER_TEXT_MAX, "%s%d:%s$%s:%s", PREFIX, iterations, salt_text,
             stored_text, server_text);
}

void scram_verifier_mock(const char *name, const uint8_t key[CRYPTO_KEY_SIZE],
                         struct scram_verifier *ret)
{
    /* A key for each value: no part of the mock tells anything about another, or about the key. */
    static const char *const labels[] = {"reeve scram mock salt v1", "reeve scram mock stored v1",
                                         "reeve scram mock server v1"};
    uint8_t values[array_size(labels)][CRYPTO_SHA256_SIZE];
    for (size_t i = 0; i < array_size(labels); i++) {
        uint8_t derived[CRYPTO_SHA256_SIZE];
        crypto_hmac_sha256(key, CRYPTO_KEY_SIZE, labels[i], strlen(labels[i]), derived);
        crypto_hmac_sha256(derived, sizeof(derived), name, strlen(name), values[i]);
        crypto_wipe(derived, sizeof(derived));
    }
    *ret =
        (struct scram_verifier){.iterations = SCRAM_DEFAULT_ITERATIONS, .salt_length = SALT_LENGTH};
    memcpy(ret->salt, values[0], SALT_LENGTH);
    memcpy(ret->stored_key, values[1], CRYPTO_SHA256_SIZE);
    memcpy(ret->server_key, values[2], CRYPTO_SHA256_SIZE);
}

bool scram_verifier_check(const struct scram_verifier *verifier, const char *password)
{
    uint8_t keys[2][CRYPTO_SHA256_SIZE];
    uint8_t expected[2][CRYPTO_SHA256_SIZE];
    if (verifier->iterations < 1) /* never parsed: fits nothing */
        return false;
    derive_keys(password, verifier->salt, verifier->salt_length, verifier->iterations, keys[0],
                keys[1]);
    memcpy(expected[0], verifier->stored_key, CRYPTO_SHA256_SIZE);
    memcpy(expected[1], verifier->server_key, CRYPTO_SHA256_SIZE);
    bool good = crypto_equal(keys, expected, sizeof(keys));
    crypto_wipe(keys, sizeof(keys));
    crypto_wipe(expected, sizeof(expected));
    return good;
}

/* ---- messages ---- */

static int malformed(struct error *err, const char *detail)
{
    int result = error_set(err, ERROR_PROTOCOL, "malformed SCRAM message");
    error_detail(err, "%s", detail);
    return result;
}

/*
 * Takes one attribute "x=value", and the comma behind it if there is one, off the front of *rest.
 * `name` is the attribute that must stand there, or 0 for any.
 */
static bool take_attribute(struct str *rest, char name, char *ret_name, struct str *ret_value)
{
    if (rest->length < 2 || rest->data[1] != '=')
        return false;
    char found = rest->data[0];
    bool letter = (found >= 'A' && found <= 'Z') || (found >= 'a' && found <= 'z');
    if (!letter || (name && found != name))
        return false;

    struct str tail = {rest->data + 2, rest->length - 2};
    struct str value = tail;
    if (!split_at(&tail, ',', &value))
        tail = (struct str){rest->data + rest->length, 0};
    *rest = tail;
    *ret_value = value;
    if (ret_name)
        *ret_name = found;
    return true;
}

/* RFC 5802: printable = %x21-2B / %x2D-7E */
static bool is_printable(struct str text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < 0x21 || text.data[i] > 0x7E || text.data[i] == ',')
            return false;
    }
    return true;
}

static int check_message(const char *message, size_t length, struct error *err)
{
    if (length == 0 || length >= SCRAM_MAX_MESSAGE)
        return malformed(err, "its length is out of bounds");
    if (memchr(message, '\0', length))
        return malformed(err, "it holds a zero byte");
    return 0;
}

/* Said of channels that are not bound as they should be, as PostgreSQL says it. */
static int unbound(struct error *err, const char *message, const char *detail, const char *hint)
{
    int result = error_set(err, ERROR_PROTOCOL, "%s", message);
    error_sqlstate(err, SQLSTATE_INVALID_AUTHORIZATION_SPECIFICATION);
    error_detail(err, "%s", detail);
    error_hint(err, "%s", hint);
    return result;
}

/* "p=tls-server-end-point": nothing else may be bound to. */
static int take_binding_type(struct str *rest, const struct scram_channel *channel,
                             struct error *err)
{
    struct str type;
    if (!channel->bound)
        return malformed(err, "the client binds the channel without SCRAM-SHA-256-PLUS");
    if (!take_attribute(rest, 'p', NULL, &type) || !str_equal_text(type, "tls-server-end-point"))
        return malformed(err, "the type of channel binding is not tls-server-end-point");
    return 0;
}

/* The flag and the comma behind it. */
static int take_binding_flag(struct str *rest, const struct scram_channel *channel,
                             struct error *err)
{
    char flag = rest->data[0];
    if (flag == 'p')
        return take_binding_type(rest, channel, err);
    if (flag != 'n' && flag != 'y')
        return malformed(err, "unexpected channel-binding flag");
    if (channel->bound)
        return malformed(err, "SCRAM-SHA-256-PLUS without channel binding");
    if (flag == 'y' && channel->offered && !mutation("auth.downgrade"))
        return unbound(err, "SCRAM channel binding negotiation error",
                       "the client was not shown that SCRAM-SHA-256-PLUS is offered",
                       "somebody between client and server took it away");
    if (rest->data[1] != ',')
        return malformed(err, "no comma behind the channel-binding flag");
    *rest = (struct str){rest->data + 2, rest->length - 2};
    return 0;
}

/* "n,,", "y,," or "p=tls-server-end-point,,". Takes it off the front of *rest. */
static int take_gs2_header(struct str *rest, const struct scram_channel *channel, struct error *err)
{
    if (rest->length < strlen("n,,"))
        return malformed(err, "the message ends in its header");
    int result = take_binding_flag(rest, channel, err);
    if (result < 0)
        return result;
    if (rest->length == 0)
        return malformed(err, "the message ends in its header");
    if (rest->data[0] == 'a')
        return malformed(err, "an authorization identity is not supported");
    if (rest->data[0] != ',')
        return malformed(err, "unexpected attribute in the header");
    *rest = (struct str){rest->data + 1, rest->length - 1};
    return 0;
}

/* client-first-message-bare: the user name, which the startup packet gave already, and the nonce.
 */
static int parse_first_bare(struct str bare, struct str *ret_nonce, struct error *err)
{
    struct str user;
    struct str nonce;
    struct str ignored;
    if (bare.length > 0 && bare.data[0] == 'm')
        return malformed(err, "a mandatory extension is not supported");
    if (!take_attribute(&bare, 'n', NULL, &user))
        return malformed(err, "the user name is missing");
    if (!take_attribute(&bare, 'r', NULL, &nonce))
        return malformed(err, "the nonce is missing");
    if (nonce.length == 0 || nonce.length > CLIENT_NONCE_MAX || !is_printable(nonce))
        return malformed(err, "the nonce is empty, too long or not printable");
    while (bare.length > 0) {
        if (!take_attribute(&bare, 0, NULL, &ignored))
            return malformed(err, "an extension is not an attribute");
    }
    *ret_nonce = nonce;
    return 0;
}

static void make_nonce(struct scram_server *server, struct str client_nonce)
{
    uint8_t random[SERVER_NONCE_LENGTH];
    char text[CRYPTO_BASE64_SIZE(SERVER_NONCE_LENGTH)];
    crypto_random(random, sizeof(random));
    size_t length = crypto_base64_encode(random, sizeof(random), text);
    static_assert(CLIENT_NONCE_MAX + sizeof(text) <= sizeof(server->nonce), "nonces fit");
    memcpy(server->nonce, client_nonce.data, client_nonce.length);
    memcpy(server->nonce + client_nonce.length, text, length + 1);
    server->nonce_length = client_nonce.length + length;
}

int scram_server_first(struct scram_server *server, const struct scram_verifier *verifier,
                       bool doomed, const struct scram_channel *channel, const char *message,
                       size_t length, struct buffer *ret_reply, struct error *err)
{
    struct str nonce = STR_LITERAL("");
    struct str bare = {message, length};
    server->nonce_length = 0;
    int result = check_message(message, length, err);
    if (result == 0)
        result = take_gs2_header(&bare, channel, err);
    if (result == 0)
        result = parse_first_bare(bare, &nonce, err);
    if (result < 0)
        return result;

    make_nonce(server, nonce);
    server->verifier = *verifier;
    server->doomed = doomed;
    server->channel = *channel;
    size_t header_length = length - bare.length;
    assert(header_length < sizeof(server->gs2_header)); /* there are three of them */
    memcpy(server->gs2_header, message, header_length);
    server->gs2_header[header_length] = '\0';
    memcpy(server->client_first_bare, bare.data, bare.length);
    server->client_first_bare_length = bare.length;

    char salt[CRYPTO_BASE64_SIZE(SCRAM_MAX_SALT)];
    crypto_base64_encode(verifier->salt, verifier->salt_length, salt);
    int written = snprintf(server->server_first, sizeof(server->server_first), "r=%s,s=%s,i=%d",
                           server->nonce, salt, verifier->iterations);
    server->server_first_length = (size_t)written;
    if (buffer_append(ret_reply, server->server_first, server->server_first_length) < 0) {
        server->nonce_length = 0;
        return error_set(err, ERROR_LIMIT, "no room for a SCRAM message");
    }
    return 0;
}

struct client_final {
    struct str without_proof; /* what the proof signs */
    uint8_t proof[CRYPTO_SHA256_SIZE];
};

/* The header of the first message and, where the channel is bound, what it is bound to. */
static bool is_expected_binding(const struct scram_server *server, struct str value)
{
    uint8_t bytes[SCRAM_GS2_HEADER_SIZE + SCRAM_MAX_BINDING];
    char expected[CRYPTO_BASE64_SIZE(sizeof(bytes))];
    size_t length = strlen(server->gs2_header);
    memcpy(bytes, server->gs2_header, length);
    if (server->channel.bound) {
        memcpy(bytes + length, server->channel.data, server->channel.length);
        length += server->channel.length;
    }
    crypto_base64_encode(bytes, length, expected);
    return str_equal_text(value, expected);
}

static int check_binding(const struct scram_server *server, struct str value, struct error *err)
{
    if (is_expected_binding(server, value))
        return 0;
    if (!server->channel.bound)
        return malformed(err, "the channel-binding data is not that of the first message");
    if (mutation("auth.binding"))
        return 0;
    return unbound(err, "SCRAM channel binding check failed",
                   "the client was shown another certificate than this server's",
                   "something ends TLS between client and server");
}

static int parse_final(const struct scram_server *server, const char *message, size_t length,
                       struct client_final *ret, struct error *err)
{
    struct str rest = {message, length};
    struct str value;
    if (!take_attribute(&rest, 'c', NULL, &value))
        return malformed(err, "the channel-binding data is missing");
    int result = check_binding(server, value, err);
    if (result < 0)
        return result;
    if (!take_attribute(&rest, 'r', NULL, &value))
        return malformed(err, "the nonce is missing");
    if (!str_equal(value, (struct str){server->nonce, server->nonce_length}))
        return malformed(err, "the nonce does not match");

    /* Optional extensions, then the proof, which is the last attribute. */
    const char *proof_start;
    char name;
    do {
        proof_start = rest.data;
        if (!take_attribute(&rest, 0, &name, &value))
            return malformed(err, "the proof is missing");
    } while (name != 'p');
    if (value.data + value.length != message + length)
        return malformed(err, "something stands behind the proof");
    if (!decode_key(value, ret->proof))
        return malformed(err, "the proof is not 32 bytes of base64");
    ret->without_proof = (struct str){message, (size_t)(proof_start - 1 - message)};
    return 0;
}

/* AuthMessage = client-first-bare "," server-first "," client-final-without-proof */
static size_t make_auth_message(const struct scram_server *server, struct str without_proof,
                                char *ret_message)
{
    char *at = ret_message;
    memcpy(at, server->client_first_bare, server->client_first_bare_length);
    at += server->client_first_bare_length;
    *at++ = ',';
    memcpy(at, server->server_first, server->server_first_length);
    at += server->server_first_length;
    *at++ = ',';
    memcpy(at, without_proof.data, without_proof.length);
    return (size_t)(at - ret_message) + without_proof.length;
}

/* Whether SHA-256(proof XOR ClientSignature) is StoredKey. */
static bool is_proof_good(const struct scram_server *server, const char *auth_message,
                          size_t length, const uint8_t proof[CRYPTO_SHA256_SIZE])
{
    uint8_t client_key[CRYPTO_SHA256_SIZE];
    uint8_t stored_key[CRYPTO_SHA256_SIZE];
    crypto_hmac_sha256(server->verifier.stored_key, CRYPTO_SHA256_SIZE, auth_message, length,
                       client_key);
    for (size_t i = 0; i < CRYPTO_SHA256_SIZE; i++)
        client_key[i] ^= proof[i];
    crypto_sha256(client_key, sizeof(client_key), stored_key);
    crypto_wipe(client_key, sizeof(client_key));
    bool good = crypto_equal(stored_key, server->verifier.stored_key, CRYPTO_SHA256_SIZE);
    return good && !server->doomed;
}

int scram_server_final(struct scram_server *server, const char *message, size_t length,
                       struct buffer *ret_reply, struct error *err)
{
    struct client_final client = {.without_proof = STR_LITERAL("")};
    int result = check_message(message, length, err);
    if (result == 0 && server->nonce_length == 0)
        result = malformed(err, "no exchange is under way");
    if (result == 0)
        result = parse_final(server, message, length, &client, err);
    server->nonce_length = 0; /* one attempt a nonce */
    if (result < 0)
        return result;

    char auth_message[3 * SCRAM_MAX_MESSAGE];
    size_t auth_length = make_auth_message(server, client.without_proof, auth_message);
    bool good = is_proof_good(server, auth_message, auth_length, client.proof);
    /* Made for a wrong proof too, so that both cost the same. */
    uint8_t signature[CRYPTO_SHA256_SIZE];
    char text[2 + CRYPTO_BASE64_SIZE(CRYPTO_SHA256_SIZE)] = "v=";
    crypto_hmac_sha256(server->verifier.server_key, CRYPTO_SHA256_SIZE, auth_message, auth_length,
                       signature);
    size_t text_length = 2 + crypto_base64_encode(signature, sizeof(signature), text + 2);
    if (!good)
        return error_set(err, ERROR_AUTH, "the SCRAM proof is wrong");
    if (buffer_append(ret_reply, text, text_length) < 0)
        return error_set(err, ERROR_LIMIT, "no room for a SCRAM message");
    return 0;
}

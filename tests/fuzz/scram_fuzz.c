/*
 * SCRAM messages and verifiers. The first byte chooses:
 *   s, d, o, b   an exchange: client-first-message, a zero byte, client-final-message; in the
 *          second, byte 1 stands for the nonce, byte 2 for the right proof of what is before it
 *          and byte 3 for the right channel-binding data
 *          (d: doomed; o: channel binding was offered; b: and chosen)
 *   v      a verifier's text
 */
#include "fuzz.h"

#include "auth/scram.h"

enum { ITERATIONS = 1, MESSAGE_MAX = 2 * SCRAM_MAX_MESSAGE };

static const char BOUND[] = "p=tls-server-end-point,,";

static struct scram_verifier verifier;
static uint8_t client_key[CRYPTO_SHA256_SIZE];

/* The verifier of "pencil", and the key that only a client with that password has. */
static void make_keys(void)
{
    uint8_t salted[CRYPTO_SHA256_SIZE];
    if (verifier.iterations)
        return;
    verifier.iterations = ITERATIONS;
    verifier.salt_length = 16;
    memcpy(verifier.salt, "0123456789abcdef", verifier.salt_length);
    crypto_pbkdf2_sha256("pencil", 6, verifier.salt, verifier.salt_length, ITERATIONS, salted);
    crypto_hmac_sha256(salted, sizeof(salted), "Client Key", 10, client_key);
    crypto_sha256(client_key, sizeof(client_key), verifier.stored_key);
    crypto_hmac_sha256(salted, sizeof(salted), "Server Key", 10, verifier.server_key);
}

struct exchange {
    struct str first;
    struct scram_channel channel;
    struct buffer server_first;
    struct buffer final;
    struct buffer auth_message; /* of the last proof that was made */
    bool proved;                /* the final message holds a proof of byte 2 */
};

static size_t header_length(const struct exchange *exchange)
{
    return exchange->channel.bound ? strlen(BOUND) : strlen("n,,");
}

static void put_binding(const struct exchange *exchange, struct buffer *out)
{
    uint8_t bytes[sizeof(BOUND) + SCRAM_MAX_BINDING];
    char text[CRYPTO_BASE64_SIZE(sizeof(bytes))];
    size_t length = header_length(exchange);
    memcpy(bytes, exchange->first.data, length);
    if (exchange->channel.bound) {
        memcpy(bytes + length, exchange->channel.data, exchange->channel.length);
        length += exchange->channel.length;
    }
    crypto_base64_encode(bytes, length, text);
    buffer_append_string(out, text);
}

static void put_proof(struct exchange *exchange)
{
    size_t length = exchange->final.length;
    struct buffer *message = &exchange->auth_message;
    length = length >= 3 ? length - 3 : 0; /* without ",p=" */
    buffer_reset(message);
    size_t header = header_length(exchange);
    buffer_append(message, exchange->first.data + header, exchange->first.length - header);
    buffer_append_byte(message, ',');
    buffer_append(message, exchange->server_first.data, exchange->server_first.length);
    buffer_append_byte(message, ',');
    buffer_append(message, buffer_string(&exchange->final), length);

    uint8_t proof[CRYPTO_SHA256_SIZE];
    char text[CRYPTO_BASE64_SIZE(CRYPTO_SHA256_SIZE)];
    crypto_hmac_sha256(verifier.stored_key, CRYPTO_SHA256_SIZE, message->data, message->length,
                       proof);
    for (size_t i = 0; i < sizeof(proof); i++)
        proof[i] ^= client_key[i];
    crypto_base64_encode(proof, sizeof(proof), text);
    buffer_append_string(&exchange->final, text);
    exchange->proved = true;
}

static void make_final(struct exchange *exchange, struct str form,
                       const struct scram_server *server)
{
    for (size_t i = 0; i < form.length && !exchange->final.failed; i++) {
        if (form.data[i] == 1)
            buffer_append(&exchange->final, server->nonce, server->nonce_length);
        else if (form.data[i] == 2 && !exchange->proved)
            put_proof(exchange);
        else if (form.data[i] == 3)
            put_binding(exchange, &exchange->final);
        else
            buffer_append_byte(&exchange->final, (uint8_t)form.data[i]);
    }
}

static void check_success(const struct exchange *exchange, const struct buffer *reply)
{
    uint8_t signature[CRYPTO_SHA256_SIZE];
    char expected[2 + CRYPTO_BASE64_SIZE(CRYPTO_SHA256_SIZE)] = "v=";
    crypto_hmac_sha256(verifier.server_key, CRYPTO_SHA256_SIZE, exchange->auth_message.data,
                       exchange->auth_message.length, signature);
    crypto_base64_encode(signature, sizeof(signature), expected + 2);
    require(strcmp(buffer_string(reply), expected) == 0);
}

/* The final message begins with what the first one says of the channel, and the channel itself. */
static void check_bound(const struct exchange *exchange)
{
    _cleanup_buffer_ struct buffer start = BUFFER_INIT(SCRAM_MAX_MESSAGE);
    buffer_append_string(&start, "c=");
    put_binding(exchange, &start);
    buffer_append_byte(&start, ',');
    require(str_has_prefix(buffer_string(&exchange->final), buffer_string(&start)));
    require(!exchange->channel.bound || str_has_prefix(exchange->first.data, BOUND));
    require(!exchange->channel.offered || exchange->first.data[0] != 'y');
}

static void finish(struct exchange *exchange, struct str form, bool doomed,
                   struct scram_server *server)
{
    _cleanup_buffer_ struct buffer reply = BUFFER_INIT(SCRAM_MAX_MESSAGE);
    struct error err = {0};
    make_final(exchange, form, server);
    if (exchange->final.failed)
        return;
    const char *message = buffer_string(&exchange->final);
    size_t length = exchange->final.length;
    int result = scram_server_final(server, message, length, &reply, &err);
    if (result == 0) {
        require(!doomed && exchange->proved);
        check_bound(exchange);
        check_success(exchange, &reply);
    } else {
        require(result == -ERROR_AUTH || result == -ERROR_PROTOCOL);
        require_error(result, &err);
        require(reply.length == 0);
        bool ordinary =
            str_equal_text(form, "c=\3,r=\1,p=\2") ||
            (str_equal_text(form, "c=biws,r=\1,p=\2") && exchange->first.data[0] == 'n');
        require(!ordinary || doomed);
    }
    /* One attempt an exchange. */
    require(scram_server_final(server, message, length, &reply, NULL) < 0);
}

static struct scram_channel channel_of(char kind)
{
    struct scram_channel channel = {.offered = kind == 'o' || kind == 'b', .bound = kind == 'b'};
    if (channel.offered) {
        channel.length = CRYPTO_SHA256_SIZE;
        memset(channel.data, 0x5a, channel.length);
    }
    return channel;
}

static void fuzz_exchange(char kind, struct str first, struct str form)
{
    static struct scram_server server; /* with what the last exchange left in it */
    bool doomed = kind == 'd';
    struct exchange exchange = {.first = first,
                                .channel = channel_of(kind),
                                .server_first = BUFFER_INIT(SCRAM_MAX_MESSAGE),
                                .final = BUFFER_INIT(MESSAGE_MAX),
                                .auth_message = BUFFER_INIT(4 * SCRAM_MAX_MESSAGE)};
    struct error err = {0};
    int result = scram_server_first(&server, &verifier, doomed, &exchange.channel, first.data,
                                    first.length, &exchange.server_first, &err);
    if (result == 0) {
        require(str_has_prefix(buffer_string(&exchange.server_first), "r="));
        require(first.length > header_length(&exchange) &&
                server.nonce_length < sizeof(server.nonce));
        finish(&exchange, form, doomed, &server);
    } else {
        require(result == -ERROR_PROTOCOL && exchange.server_first.length == 0);
        require_error(result, &err);
        require(scram_server_final(&server, form.data, form.length, &exchange.final, NULL) < 0);
    }
    buffer_free(&exchange.server_first);
    buffer_free(&exchange.final);
    buffer_free(&exchange.auth_message);
}

static void fuzz_verifier(struct str bytes)
{
    _cleanup_free_ char *text = xstrndup(bytes.data, bytes.length);
    struct scram_verifier parsed;
    struct error err = {0};
    int result = scram_verifier_parse(text, &parsed, &err);
    if (result < 0) {
        require(result == -ERROR_INVALID);
        require_error(result, &err);
        return;
    }
    require(parsed.iterations >= 1 && parsed.iterations <= SCRAM_MAX_ITERATIONS);
    require(parsed.salt_length >= 1 && parsed.salt_length <= SCRAM_MAX_SALT);
    require(strlen(text) < SCRAM_VERIFIER_TEXT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    make_keys();
    struct str rest = {(const char *)data + 1, size - 1};
    if (data[0] == 'v') {
        fuzz_verifier(rest);
        return 0;
    }
    size_t first_length = strnlen(rest.data, rest.length);
    bool has_form = first_length < rest.length;
    struct str form = {rest.data + first_length + has_form, rest.length - first_length - has_form};
    fuzz_exchange((char)data[0], (struct str){rest.data, first_length}, form);
    return 0;
}

/* SCRAM: RFC 7677's vector, a client of our own, libpq's verifiers, and hostile messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libpq-fe.h>

#include "auth/scram.h"
#include "base/str.h"

static const char PENCIL[] = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
                             "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
                             "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/* A passable client. RFC 5802 anew, so that both sides cannot share a mistake of scram.c. */
struct client {
    const char *header; /* "n,," */
    const char *nonce;
    const char *password;             /* prepared already */
    const char *binding;              /* NULL: the header's */
    const char *extension;            /* in both messages; NULL: none */
    struct scram_channel channel;     /* as the server has it */
    const struct scram_channel *seen; /* as the client does; NULL: the same */
    char first[SCRAM_MAX_MESSAGE];
    char final[SCRAM_MAX_MESSAGE];
    char expected_reply[64];
};

static void client_first(struct client *c)
{
    snprintf(c->first, sizeof(c->first), "%sn=,r=%s%s%s", c->header, c->nonce,
             c->extension ? "," : "", c->extension ? c->extension : "");
}

static void encode_binding(const struct client *c, char *ret_text)
{
    const struct scram_channel *seen = c->seen ? c->seen : &c->channel;
    _cleanup_buffer_ struct buffer bytes = BUFFER_INIT(128);
    buffer_append_string(&bytes, c->header);
    if (*c->header == 'p')
        buffer_append(&bytes, seen->data, seen->length);
    assert_false(bytes.failed);
    crypto_base64_encode(bytes.data, bytes.length, ret_text);
}

static void client_final(struct client *c, const char *server_first)
{
    char nonce[512], salt_text[128];
    int iterations;
    assert_int_equal(
        /* NOLINTNEXTLINE(cert-err34-c): scram.c wrote it */
        sscanf(server_first, "r=%511[^,],s=%127[^,],i=%d", nonce, salt_text, &iterations), 3);
    assert_true(str_has_prefix(nonce, c->nonce));
    assert_true(strlen(nonce) >= strlen(c->nonce) + 24);
    char binding[CRYPTO_BASE64_SIZE(128)];
    encode_binding(c, binding);

    uint8_t salt[SCRAM_MAX_SALT], salted[32], client_key[32], stored[32], signature[32], proof[32];
    ssize_t salt_length = crypto_base64_decode(salt_text, strlen(salt_text), salt, sizeof(salt));
    assert_true(salt_length > 0);
    crypto_pbkdf2_sha256(c->password, strlen(c->password), salt, (size_t)salt_length, iterations,
                         salted);
    crypto_hmac_sha256(salted, 32, "Client Key", 10, client_key);
    crypto_sha256(client_key, 32, stored);

    char without_proof[1024], message[3 * SCRAM_MAX_MESSAGE];
    snprintf(without_proof, sizeof(without_proof), "c=%s,r=%s%s%s",
             c->binding ? c->binding : binding, nonce, c->extension ? "," : "",
             c->extension ? c->extension : "");
    int length = snprintf(message, sizeof(message), "%s,%s,%s", c->first + strlen(c->header),
                          server_first, without_proof);
    crypto_hmac_sha256(stored, 32, message, (size_t)length, signature);
    for (size_t i = 0; i < 32; i++)
        proof[i] = client_key[i] ^ signature[i];
    char proof_text[CRYPTO_BASE64_SIZE(32)];
    crypto_base64_encode(proof, 32, proof_text);
    snprintf(c->final, sizeof(c->final), "%s,p=%s", without_proof, proof_text);

    uint8_t server_key[32], server_signature[32];
    crypto_hmac_sha256(salted, 32, "Server Key", 10, server_key);
    crypto_hmac_sha256(server_key, 32, message, (size_t)length, server_signature);
    memcpy(c->expected_reply, "v=", 2);
    crypto_base64_encode(server_signature, 32, c->expected_reply + 2);
}

static int run(struct client *c, const struct scram_verifier *verifier, bool doomed,
               struct error *err)
{
    struct scram_server server;
    _cleanup_buffer_ struct buffer reply = BUFFER_INIT(SCRAM_MAX_MESSAGE);
    client_first(c);
    int result = scram_server_first(&server, verifier, doomed, &c->channel, c->first,
                                    strlen(c->first), &reply, err);
    if (result < 0) {
        assert_int_equal(reply.length, 0);
        return result;
    }
    client_final(c, buffer_string(&reply));
    buffer_reset(&reply);
    result = scram_server_final(&server, c->final, strlen(c->final), &reply, err);
    if (result < 0)
        assert_int_equal(reply.length, 0);
    else
        assert_string_equal(buffer_string(&reply), c->expected_reply);
    return result;
}

static struct scram_verifier parsed(const char *text)
{
    struct scram_verifier verifier;
    struct error err;
    assert_int_equal(scram_verifier_parse(text, &verifier, &err), 0);
    return verifier;
}

static struct client client_of(const char *password)
{
    return (struct client){.header = "n,,", .nonce = "rOprNGfwEbeRWgbNEkqO", .password = password};
}

/* ---- the standard's own example ---- */

static void make_rfc_state(struct scram_server *server)
{
    static const char bare[] = "n=user,r=rOprNGfwEbeRWgbNEkqO";
    static const char nonce[] = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    *server = (struct scram_server){.verifier = parsed(PENCIL)};
    server->client_first_bare_length = strlen(bare);
    memcpy(server->client_first_bare, bare, sizeof(bare));
    server->nonce_length = strlen(nonce);
    memcpy(server->nonce, nonce, sizeof(nonce));
    memcpy(server->gs2_header, "n,,", 4);
    server->server_first_length =
        (size_t)snprintf(server->server_first, sizeof(server->server_first),
                         "r=%s,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", nonce);
}

static const char RFC_FINAL[] = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

static void test_rfc7677_vector(void **state)
{
    (void)state;
    struct scram_server server;
    struct error err = {0};
    _cleanup_buffer_ struct buffer reply = BUFFER_INIT(SCRAM_MAX_MESSAGE);
    assert_false(scram_verifier_check(&(struct scram_verifier){0}, "pencil"));
    struct scram_verifier verifier = parsed(PENCIL);
    assert_true(scram_verifier_check(&verifier, "pencil"));
    make_rfc_state(&server);
    assert_int_equal(scram_server_final(&server, RFC_FINAL, strlen(RFC_FINAL), &reply, &err), 0);
    assert_string_equal(buffer_string(&reply), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

static void test_a_nonce_serves_once(void **state)
{
    (void)state;
    struct scram_server server;
    struct error err = {0};
    _cleanup_buffer_ struct buffer reply = BUFFER_INIT(SCRAM_MAX_MESSAGE);
    make_rfc_state(&server);
    assert_int_equal(scram_server_final(&server, RFC_FINAL, strlen(RFC_FINAL), &reply, &err), 0);
    assert_int_equal(scram_server_final(&server, RFC_FINAL, strlen(RFC_FINAL), &reply, &err),
                     -ERROR_PROTOCOL);
}

/* Every cut, and every byte changed: never accepted, never a crash. */
static void test_final_message_cut_or_changed(void **state)
{
    (void)state;
    struct scram_server server;
    struct error err;
    _cleanup_buffer_ struct buffer reply = BUFFER_INIT(SCRAM_MAX_MESSAGE);
    for (size_t length = 0; length < strlen(RFC_FINAL); length++) {
        _cleanup_free_ char *cut = length ? xmalloc(length) : NULL; /* exact, for ASan */
        if (length)
            memcpy(cut, RFC_FINAL, length);
        make_rfc_state(&server);
        assert_int_equal(scram_server_final(&server, cut ? cut : "", length, &reply, &err),
                         -ERROR_PROTOCOL);
    }
    for (size_t i = 0; i < strlen(RFC_FINAL); i++) {
        for (int value = 0; value < 256; value++) {
            char changed[sizeof(RFC_FINAL)];
            memcpy(changed, RFC_FINAL, sizeof(changed));
            if (changed[i] == (char)value)
                continue;
            changed[i] = (char)value;
            make_rfc_state(&server);
            int result = scram_server_final(&server, changed, strlen(RFC_FINAL), &reply, &err);
            assert_true(result == -ERROR_PROTOCOL || result == -ERROR_AUTH);
            assert_int_equal(err.code, result);
        }
    }
    assert_int_equal(reply.length, 0);
}

static void test_final_message_malformed(void **state)
{
    (void)state;
#define NONCE "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define PROOF "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    static const char *const messages[] = {
        "c=biws," NONCE "," PROOF ",",
        "c=biws," NONCE "," PROOF ",x=1",
        "c=eSws," NONCE "," PROOF,
        "c=biws," NONCE "x," PROOF,
        "c=biws," NONCE,
        NONCE ",c=biws," PROOF,
        "c=," NONCE "," PROOF,
        "c=biws," NONCE ",p=",
        "c=biws," NONCE ",p=AAAA",
        "c=biws,r=," PROOF,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO," PROOF,
        "c=biws," NONCE ",1=x," PROOF,
        "c=biws," NONCE ",," PROOF,
        "c=biwsbiws," NONCE "," PROOF,
    };
    struct scram_server server;
    struct error err;
    _cleanup_buffer_ struct buffer reply = BUFFER_INIT(SCRAM_MAX_MESSAGE);
    for (size_t i = 0; i < array_size(messages); i++) {
        make_rfc_state(&server);
        assert_int_equal(
            scram_server_final(&server, messages[i], strlen(messages[i]), &reply, &err),
            -ERROR_PROTOCOL);
        assert_string_equal(err.message, "malformed SCRAM message");
        assert_null(strstr(err.detail, "dHzb"));
    }
}

/* ---- whole exchanges ---- */

static void test_exchange(void **state)
{
    (void)state;
    struct error err = {0};
    struct scram_verifier verifier = parsed(PENCIL);
    struct client good = client_of("pencil");
    assert_int_equal(run(&good, &verifier, false, &err), 0);

    good.header = "y,,";
    assert_int_equal(run(&good, &verifier, false, &err), 0);

    good.header = "n,,";
    good.extension = "x=tension,Z=";
    assert_int_equal(run(&good, &verifier, false, &err), 0);

    struct client wrong = client_of("pencil ");
    assert_int_equal(run(&wrong, &verifier, false, &err), -ERROR_AUTH);
    assert_string_equal(err.message, "the SCRAM proof is wrong");

    struct client other_binding = client_of("pencil");
    other_binding.binding = "eSws";
    assert_int_equal(run(&other_binding, &verifier, false, &err), -ERROR_PROTOCOL);
}

static void test_doomed_exchange(void **state)
{
    (void)state;
    struct error wrong_error = {0}, doomed_error = {0};
    struct scram_verifier verifier = parsed(PENCIL);
    struct client wrong = client_of("pen"), right = client_of("pencil");
    assert_int_equal(run(&wrong, &verifier, false, &wrong_error), -ERROR_AUTH);
    assert_int_equal(run(&right, &verifier, true, &doomed_error), -ERROR_AUTH);
    assert_memory_equal(&wrong_error, &doomed_error, sizeof(wrong_error));
}

static void test_random_passwords(void **state)
{
    (void)state;
    struct error err = {0};
    for (int i = 0; i < 50; i++) {
        uint8_t random[32];
        char password[65], text[SCRAM_VERIFIER_TEXT_MAX];
        crypto_random(random, sizeof(random));
        str_hex(random, sizeof(random), password);
        scram_verifier_make(password, SCRAM_MACHINE_ITERATIONS, text);
        assert_true(str_has_prefix(text, "SCRAM-SHA-256$2:"));
        struct scram_verifier verifier = parsed(text);
        assert_int_equal(verifier.salt_length, 16);
        struct client good = client_of(password);
        assert_int_equal(run(&good, &verifier, false, &err), 0);
        password[i] = password[i] == 'x' ? 'y' : 'x';
        struct client wrong = client_of(password);
        assert_int_equal(run(&wrong, &verifier, false, &err), -ERROR_AUTH);
    }
}

static void test_nonces_differ(void **state)
{
    (void)state;
    static const char first[] = "n,,n=,r=abc";
    struct scram_verifier verifier = parsed(PENCIL);
    struct scram_server a, b;
    struct error err;
    _cleanup_buffer_ struct buffer reply = BUFFER_INIT(SCRAM_MAX_MESSAGE);
    assert_int_equal(scram_server_first(&a, &verifier, false, &(struct scram_channel){0}, first,
                                        strlen(first), &reply, &err),
                     0);
    assert_int_equal(scram_server_first(&b, &verifier, false, &(struct scram_channel){0}, first,
                                        strlen(first), &reply, &err),
                     0);
    assert_string_not_equal(a.nonce, b.nonce);
}

/* ---- the first message ---- */

static int first_over(const struct scram_channel *channel, const char *message, size_t length)
{
    struct scram_verifier verifier = parsed(PENCIL);
    struct scram_server server;
    struct error err = {0};
    _cleanup_buffer_ struct buffer reply = BUFFER_INIT(SCRAM_MAX_MESSAGE);
    _cleanup_free_ char *exact = xmalloc(length ? length : 1);
    memcpy(exact, message, length);
    int result =
        scram_server_first(&server, &verifier, false, channel, exact, length, &reply, &err);
    assert_int_equal(err.code, result);
    assert_true((result == 0) == (reply.length > 0));
    return result;
}

static int first(const char *message, size_t length)
{
    return first_over(&(struct scram_channel){0}, message, length);
}

static void test_first_message(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        int result;
    } cases[] = {
        {"n,,n=,r=abc", 0},
        {"n,,n=user,r=abc", 0},
        {"n,,n=a=2Cb,r=abc", 0},
        {"y,,n=,r=abc", 0},
        {"n,,n=,r=abc,x=1,y=2", 0},
        {"p=tls-server-end-point,,n=,r=abc", -ERROR_PROTOCOL},
        {"p,,n=,r=abc", -ERROR_PROTOCOL},
        {"x,,n=,r=abc", -ERROR_PROTOCOL},
        {"n,a=other,n=,r=abc", -ERROR_PROTOCOL},
        {"n,b,n=,r=abc", -ERROR_PROTOCOL},
        {"n,,m=ext,n=,r=abc", -ERROR_PROTOCOL},
        {"n,,r=abc", -ERROR_PROTOCOL},
        {"n,,r=abc,n=", -ERROR_PROTOCOL},
        {"n,,n=,r=", -ERROR_PROTOCOL},
        {"n,,n=,r=a b", -ERROR_PROTOCOL},
        {"n,,n=,r=a\x7f", -ERROR_PROTOCOL},
        {"n,,n=,r=\xc3\xa9", -ERROR_PROTOCOL},
        {"n,,n=,r=abc,", 0}, /* as PostgreSQL: nothing stands behind the comma */
        {"n,,n=,r=abc,x", -ERROR_PROTOCOL},
        {"n,,n=,r=abc,1=2", -ERROR_PROTOCOL},
        {"", -ERROR_PROTOCOL},
        {"n", -ERROR_PROTOCOL},
    };
    for (size_t i = 0; i < array_size(cases); i++)
        assert_int_equal(first(cases[i].message, strlen(cases[i].message)), cases[i].result);
}

static void test_first_message_cut_or_changed(void **state)
{
    (void)state;
    static const char message[] = "n,,n=user,r=0123456789abcdef";
    for (size_t length = 0; length <= strlen("n,,n=user,r="); length++)
        assert_int_equal(first(message, length), -ERROR_PROTOCOL);
    for (size_t i = 0; i < strlen(message); i++) {
        for (int value = 0; value < 256; value++) {
            char changed[sizeof(message)];
            memcpy(changed, message, sizeof(message));
            changed[i] = (char)value;
            int result = first(changed, strlen(message));
            assert_true(result == 0 || result == -ERROR_PROTOCOL);
            if (value == 0)
                assert_int_equal(result, -ERROR_PROTOCOL);
        }
    }
}

static void test_nonce_length(void **state)
{
    (void)state;
    static const char start[] = "n,,n=,r=";
    static const struct {
        size_t nonce;
        int result;
    } cases[] = {{1, 0},
                 {256, 0},
                 {257, -ERROR_PROTOCOL},
                 {487, -ERROR_PROTOCOL},
                 {512, -ERROR_PROTOCOL},
                 {SCRAM_MAX_MESSAGE - 9, -ERROR_PROTOCOL},
                 {SCRAM_MAX_MESSAGE, -ERROR_PROTOCOL},
                 {100000, -ERROR_PROTOCOL}};
    for (size_t i = 0; i < array_size(cases); i++) {
        size_t length = strlen(start) + cases[i].nonce;
        _cleanup_free_ char *message = xmalloc(length);
        memset(message, 'x', length);
        /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): a length ends it */
        memcpy(message, start, strlen(start));
        assert_int_equal(first(message, length), cases[i].result);
    }
}

/* An exchange whose two messages have this length; the proof is of the right form, and wrong. */
static int run_padded(size_t first_length, size_t final_length, struct error *err)
{
    static const char last[] = ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    struct scram_verifier verifier = parsed(PENCIL);
    struct scram_server server;
    _cleanup_buffer_ struct buffer reply = BUFFER_INIT(SCRAM_MAX_MESSAGE);
    _cleanup_free_ char *message = xmalloc(first_length);
    memset(message, 'x', first_length);
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): a length ends it */
    memcpy(message, "n,,n=", 5);
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): a length ends it */
    memcpy(message + first_length - 4, ",r=n", 4);
    int result = scram_server_first(&server, &verifier, false, &(struct scram_channel){0}, message,
                                    first_length, &reply, err);
    if (result < 0)
        return result;
    _cleanup_free_ char *final = xmalloc(final_length);
    memset(final, 'x', final_length);
    char start[64];
    int start_length = snprintf(start, sizeof(start), "c=biws,r=%s,x=", server.nonce);
    memcpy(final, start, (size_t)start_length);
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): a length ends it */
    memcpy(final + final_length - strlen(last), last, strlen(last));
    return scram_server_final(&server, final, final_length, &reply, err);
}

static void test_longest_messages(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(run_padded(100, 200, &err), -ERROR_AUTH);
    assert_int_equal(run_padded(SCRAM_MAX_MESSAGE - 1, SCRAM_MAX_MESSAGE - 1, &err), -ERROR_AUTH);
    assert_int_equal(run_padded(SCRAM_MAX_MESSAGE, 200, &err), -ERROR_PROTOCOL);
    assert_int_equal(run_padded(100, SCRAM_MAX_MESSAGE, &err), -ERROR_PROTOCOL);
}

/* ---- channel binding ---- */

static const char BOUND[] = "p=tls-server-end-point,,";

/* Of "pencil": there are many exchanges here. */
static struct scram_verifier quick(void)
{
    char text[SCRAM_VERIFIER_TEXT_MAX];
    scram_verifier_make("pencil", SCRAM_MACHINE_ITERATIONS, text);
    return parsed(text);
}

static struct scram_channel channel_of(size_t length, bool bound)
{
    struct scram_channel channel = {.offered = true, .bound = bound, .length = length};
    for (size_t i = 0; i < length; i++)
        channel.data[i] = (uint8_t)(i * 7 + 1);
    return channel;
}

static void test_bound_exchange(void **state)
{
    (void)state;
    struct error err = {0};
    struct scram_verifier verifier = quick();
    for (size_t length = 20; length <= SCRAM_MAX_BINDING; length += 4) {
        struct client good = client_of("pencil");
        good.header = BOUND;
        good.channel = channel_of(length, true);
        assert_int_equal(run(&good, &verifier, false, &err), 0);
        assert_int_equal(run(&good, &verifier, true, &err), -ERROR_AUTH);
        good.extension = "x=tension";
        assert_int_equal(run(&good, &verifier, false, &err), 0);

        struct client wrong = good;
        wrong.password = "crayon";
        assert_int_equal(run(&wrong, &verifier, false, &err), -ERROR_AUTH);
    }
}

/* Every bit of what is bound counts, and how many there are. */
static void test_bound_to_another_channel(void **state)
{
    (void)state;
    struct scram_verifier verifier = quick();
    struct client client = client_of("pencil");
    client.header = BOUND;
    client.channel = channel_of(32, true);
    for (size_t bit = 0; bit <= 32 * 8; bit++) {
        struct error err = {0};
        struct scram_channel seen = client.channel;
        if (bit < 32 * 8)
            seen.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        client.seen = &seen;
        assert_int_equal(run(&client, &verifier, false, &err), bit < 32 * 8 ? -ERROR_PROTOCOL : 0);
        if (bit < 32 * 8) {
            assert_string_equal(err.message, "SCRAM channel binding check failed");
            assert_string_equal(err.sqlstate, "28000");
        }
    }
    for (size_t length = 0; length <= SCRAM_MAX_BINDING; length++) {
        struct error err = {0};
        struct scram_channel seen = channel_of(length, true);
        client.seen = &seen;
        assert_int_equal(run(&client, &verifier, false, &err), length == 32 ? 0 : -ERROR_PROTOCOL);
    }
}

/* Nothing of the first message's header can be changed in the second. */
static void test_bound_with_another_header(void **state)
{
    (void)state;
    static const char *const bindings[] = {"", "biws", "eSws", "cD10bHMtc2VydmVyLWVuZC1wb2ludCws"};
    struct scram_verifier verifier = quick();
    for (size_t i = 0; i < array_size(bindings); i++) {
        struct error err = {0};
        struct client client = client_of("pencil");
        client.header = BOUND;
        client.channel = channel_of(32, true);
        client.binding = bindings[i];
        assert_int_equal(run(&client, &verifier, false, &err), -ERROR_PROTOCOL);
    }
}

static void test_flags(void **state)
{
    (void)state;
    const struct scram_channel none = {0}, offered = channel_of(32, false),
                               bound = channel_of(32, true);
    const struct {
        const char *header;
        int without, unbound, bound;
    } cases[] = {
        {"n,,", 0, 0, -ERROR_PROTOCOL},
        {"y,,", 0, -ERROR_PROTOCOL, -ERROR_PROTOCOL},
        {BOUND, -ERROR_PROTOCOL, -ERROR_PROTOCOL, 0},
        {"p=tls-unique,,", -ERROR_PROTOCOL, -ERROR_PROTOCOL, -ERROR_PROTOCOL},
        {"p=tls-exporter,,", -ERROR_PROTOCOL, -ERROR_PROTOCOL, -ERROR_PROTOCOL},
        {"p=tls-server-end-point2,,", -ERROR_PROTOCOL, -ERROR_PROTOCOL, -ERROR_PROTOCOL},
        {"p=TLS-SERVER-END-POINT,,", -ERROR_PROTOCOL, -ERROR_PROTOCOL, -ERROR_PROTOCOL},
        {"p=,,", -ERROR_PROTOCOL, -ERROR_PROTOCOL, -ERROR_PROTOCOL},
        {"p,,", -ERROR_PROTOCOL, -ERROR_PROTOCOL, -ERROR_PROTOCOL},
        {"p=tls-server-end-point,a=x,", -ERROR_PROTOCOL, -ERROR_PROTOCOL, -ERROR_PROTOCOL},
        {"p=tls-server-end-point,b,", -ERROR_PROTOCOL, -ERROR_PROTOCOL, -ERROR_PROTOCOL},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        char message[128];
        int length = snprintf(message, sizeof(message), "%sn=,r=abc", cases[i].header);
        assert_int_equal(first_over(&none, message, (size_t)length), cases[i].without);
        assert_int_equal(first_over(&offered, message, (size_t)length), cases[i].unbound);
        assert_int_equal(first_over(&bound, message, (size_t)length), cases[i].bound);
    }
}

static void test_downgrade_is_named(void **state)
{
    (void)state;
    struct error err = {0};
    struct scram_verifier verifier = quick();
    struct client client = client_of("pencil");
    client.header = "y,,";
    client.channel = channel_of(32, false);
    assert_int_equal(run(&client, &verifier, false, &err), -ERROR_PROTOCOL);
    assert_string_equal(err.message, "SCRAM channel binding negotiation error");
    assert_string_equal(err.sqlstate, "28000");
}

static void test_bound_first_message_cut_or_changed(void **state)
{
    (void)state;
    static const char message[] = "p=tls-server-end-point,,n=,r=0123456789abcdef";
    const struct scram_channel bound = channel_of(32, true);
    for (size_t length = 0; length <= strlen("p=tls-server-end-point,,n=,r="); length++)
        assert_int_equal(first_over(&bound, message, length), -ERROR_PROTOCOL);
    for (size_t i = 0; i < strlen(message); i++) {
        for (int value = 0; value < 256; value++) {
            char changed[sizeof(message)];
            memcpy(changed, message, sizeof(message));
            changed[i] = (char)value;
            int result = first_over(&bound, changed, strlen(message));
            bool in_header = i < strlen(BOUND) && changed[i] != message[i];
            assert_true(result == -ERROR_PROTOCOL || (result == 0 && !in_header));
        }
    }
}

/* ---- verifiers ---- */

static void test_verifier_malformed(void **state)
{
    (void)state;
#define KEYS                                                                                       \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    static const char *const texts[] = {
        "",
        "md5d41d8cd98f00b204e9800998ecf8427e",
        "SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$",
        "SCRAM-SHA-256$:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$0:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$-1:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$1000001:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$99999999999999999999:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$4096x:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$4096:$" KEYS,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=$" KEYS,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS "=",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS ":",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$AAAA:AAAA",
        "scram-sha-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        " SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
    };
    struct error err;
    struct scram_verifier verifier = {.iterations = 77};
    for (size_t i = 0; i < array_size(texts); i++)
        assert_int_equal(scram_verifier_parse(texts[i], &verifier, &err), -ERROR_INVALID);
    for (size_t length = 0; length < strlen(PENCIL); length++) {
        _cleanup_free_ char *cut = xstrndup(PENCIL, length);
        assert_int_equal(scram_verifier_parse(cut, &verifier, &err), -ERROR_INVALID);
    }
    char huge[1000];
    memset(huge, 'A', sizeof(huge));
    memcpy(huge, PENCIL, strlen("SCRAM-SHA-256$4096:"));
    huge[sizeof(huge) - 1] = '\0';
    assert_int_equal(scram_verifier_parse(huge, &verifier, &err), -ERROR_INVALID);
    assert_int_equal(verifier.iterations, 77);
}

static void test_verifier_salt_lengths(void **state)
{
    (void)state;
    struct error err;
    for (size_t length = 1; length <= SCRAM_MAX_SALT + 1; length++) {
        uint8_t salt[SCRAM_MAX_SALT + 1];
        char salt_text[CRYPTO_BASE64_SIZE(SCRAM_MAX_SALT + 1)], text[512];
        memset(salt, 7, sizeof(salt));
        crypto_base64_encode(salt, length, salt_text);
        snprintf(text, sizeof(text), "SCRAM-SHA-256$1000000:%s$" KEYS, salt_text);
        struct scram_verifier verifier;
        int expected = length <= SCRAM_MAX_SALT ? 0 : -ERROR_INVALID;
        assert_int_equal(scram_verifier_parse(text, &verifier, &err), expected);
        if (expected == 0)
            assert_int_equal(verifier.salt_length, length);
    }
}

static void test_iterations_are_clamped(void **state)
{
    (void)state;
    char text[SCRAM_VERIFIER_TEXT_MAX];
    scram_verifier_make("x", 0, text);
    assert_true(str_has_prefix(text, "SCRAM-SHA-256$4096:"));
}

/* What PostgreSQL's own client library makes of a password must fit ours, and the reverse. */
static void test_verifier_is_postgresql_form(void **state)
{
    (void)state;
    static const char *const passwords[] = {
        "pencil",
        "",
        " with blanks ",
        "control\x01\x7f",
        "\xc3\xa9t\xc3\xa9",  /* été */
        "e\xcc\x81t\xc3\xa9", /* the same, decomposed */
        "\xe2\x85\xa8",       /* roman nine: becomes IX */
        "a\xc2\xa0"
        "b", /* no-break space: becomes a blank */
        "a\xc2\xad"
        "b", /* soft hyphen: vanishes */
        "a\xe2\x80\x8b"
        "b",        /* zero-width space */
        "\xc2\xad", /* nothing is left */
        "\xd8\xa7"
        "1", /* bidirectional rule broken */
        "\xd8\xa7"
        "1\xd8\xa8",                /* and kept */
        "a\xc2\x85",                /* prohibited control */
        "a\xe2\x80\xae",            /* prohibited direction override */
        "a\xef\xbf\xbd",            /* replacement character */
        "a\xf0\x9f\x98\x80",        /* unassigned in Unicode 3.2 */
        "a\xc8\xa1",                /* unassigned in Unicode 3.2 */
        "a\xff\xfe",                /* not UTF-8 */
        "a\xed\xa0\x80",            /* a surrogate */
        "\xef\xbd\x81\xef\xbd\x82", /* full width */
        "\xe1\xbe\xb7\xef\xac\x83\xc7\x86\xed\x95\x9c\xea\xb8\x80",
    };
    PGconn *connection = PQconnectStart("host=/nonexistent");
    assert_non_null(connection);
    for (size_t i = 0; i < array_size(passwords); i++) {
        char *theirs = PQencryptPasswordConn(connection, passwords[i], "x", "scram-sha-256");
        assert_non_null(theirs);
        struct scram_verifier verifier = parsed(theirs);
        if (!scram_verifier_check(&verifier, passwords[i]))
            fail_msg("password %zu is prepared otherwise than PostgreSQL does", i);
        assert_false(scram_verifier_check(&verifier, "other"));

        char ours[SCRAM_VERIFIER_TEXT_MAX];
        scram_verifier_make(passwords[i], SCRAM_DEFAULT_ITERATIONS, ours);
        assert_int_equal(strlen(ours), strlen(theirs));
        assert_memory_equal(ours, theirs, strlen("SCRAM-SHA-256$4096:"));
        verifier = parsed(ours);
        assert_true(scram_verifier_check(&verifier, passwords[i]));
        PQfreemem(theirs);
    }
    PQfinish(connection);
}

static void test_equivalent_spellings(void **state)
{
    (void)state;
    char text[SCRAM_VERIFIER_TEXT_MAX];
    scram_verifier_make("e\xcc\x81", 2, text);
    struct scram_verifier verifier = parsed(text);
    assert_true(scram_verifier_check(&verifier, "\xc3\xa9"));
    assert_false(scram_verifier_check(&verifier, "e"));
}

static void test_mock_verifier(void **state)
{
    (void)state;
    uint8_t key[CRYPTO_KEY_SIZE] = {1}, other_key[CRYPTO_KEY_SIZE] = {2};
    struct scram_verifier a, again, other_name, other;
    memset(&a, 0x55, sizeof(a));
    memset(&again, 0xAA, sizeof(again));
    scram_verifier_mock("acme", key, &a);
    scram_verifier_mock("acme", key, &again);
    scram_verifier_mock("acmf", key, &other_name);
    scram_verifier_mock("acme", other_key, &other);
    assert_int_equal(a.iterations, SCRAM_DEFAULT_ITERATIONS);
    assert_int_equal(a.salt_length, 16);
    assert_memory_equal(a.salt, again.salt, 16);
    assert_memory_equal(a.stored_key, again.stored_key, sizeof(a.stored_key));
    assert_memory_not_equal(a.salt, other_name.salt, 16);
    assert_memory_not_equal(a.salt, other.salt, 16);
    assert_memory_not_equal(a.stored_key, a.server_key, sizeof(a.stored_key));
    assert_false(scram_verifier_check(&a, ""));
    assert_false(scram_verifier_check(&a, "acme"));
    struct error err;
    struct client client = client_of("acme");
    assert_int_equal(run(&client, &a, true, &err), -ERROR_AUTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc7677_vector),
        cmocka_unit_test(test_a_nonce_serves_once),
        cmocka_unit_test(test_final_message_cut_or_changed),
        cmocka_unit_test(test_final_message_malformed),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_doomed_exchange),
        cmocka_unit_test(test_random_passwords),
        cmocka_unit_test(test_nonces_differ),
        cmocka_unit_test(test_first_message),
        cmocka_unit_test(test_first_message_cut_or_changed),
        cmocka_unit_test(test_nonce_length),
        cmocka_unit_test(test_longest_messages),
        cmocka_unit_test(test_bound_exchange),
        cmocka_unit_test(test_bound_to_another_channel),
        cmocka_unit_test(test_bound_with_another_header),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_downgrade_is_named),
        cmocka_unit_test(test_bound_first_message_cut_or_changed),
        cmocka_unit_test(test_verifier_malformed),
        cmocka_unit_test(test_verifier_salt_lengths),
        cmocka_unit_test(test_iterations_are_clamped),
        cmocka_unit_test(test_verifier_is_postgresql_form),
        cmocka_unit_test(test_equivalent_spellings),
        cmocka_unit_test(test_mock_verifier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

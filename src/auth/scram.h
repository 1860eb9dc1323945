/*
 * scram.h - SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side (RFC 5802, RFC 7677), as
 * PostgreSQL speaks them.
 *
 * Verifiers are stored as PostgreSQL stores them:
 *   SCRAM-SHA-256$<iterations>:<salt base64>$<StoredKey base64>:<ServerKey base64>
 * Server-side steps cost two or three HMACs: fit for a worker thread. scram_verifier_make and
 * scram_verifier_check run PBKDF2: never on a worker thread.
 */
#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

#include <openssl/types.h>

#include "base/buffer.h"
#include "base/crypto.h"
#include "base/error.h"

enum {
    SCRAM_DEFAULT_ITERATIONS = 4096,
    SCRAM_MACHINE_ITERATIONS = 2, /* for random 256-bit passwords: nothing to guess */
    SCRAM_MAX_ITERATIONS = 1000000,
    SCRAM_MAX_SALT = 64,
    SCRAM_VERIFIER_TEXT_MAX = 256,
    SCRAM_MAX_MESSAGE = 4096,
    SCRAM_MAX_BINDING = 64, /* the longest hash */
    SCRAM_GS2_HEADER_SIZE = 32,
};

#define SCRAM_MECHANISM "SCRAM-SHA-256"
#define SCRAM_MECHANISM_PLUS "SCRAM-SHA-256-PLUS"

struct scram_verifier {
    int iterations;
    size_t salt_length;
    uint8_t salt[SCRAM_MAX_SALT];
    uint8_t stored_key[CRYPTO_SHA256_SIZE];
    uint8_t server_key[CRYPTO_SHA256_SIZE];
};

/* ERROR_INVALID when it is not of the form above. */
int scram_verifier_parse(const char *text, struct scram_verifier *ret, struct error *err);
/* With a fresh random salt; the password is prepared with SASLprep as PostgreSQL does (used as it
 * is where it cannot be prepared). Writes at most SCRAM_VERIFIER_TEXT_MAX bytes. */
void scram_verifier_make(const char *password, int iterations,
                         char ret_text[SCRAM_VERIFIER_TEXT_MAX]);
/* A verifier that no password fits, always the same for a name and key, so that an unknown tenant
 * looks like a known one. */
void scram_verifier_mock(const char *name, const uint8_t key[CRYPTO_KEY_SIZE],
                         struct scram_verifier *ret);
/* True when the cleartext password belongs to the verifier. Constant time but for PBKDF2. */
bool scram_verifier_check(const struct scram_verifier *verifier, const char *password);

/* The TLS session beneath. Who ends TLS between client and server has another certificate, to which
 * the client binds its proof: so the proof is of no use to them. */
struct scram_channel {
    bool offered; /* SCRAM-SHA-256-PLUS was */
    bool bound;   /* and the client chose it */
    size_t length;
    uint8_t data[SCRAM_MAX_BINDING]; /* tls-server-end-point */
};

/* The channel of who shows this certificate, to be offered. Not offered where the certificate's
 * signature has no hash, or one that OpenSSL does not know, nor for NULL. */
void scram_channel_of(X509 *certificate, struct scram_channel *ret);

/* One exchange. No allocation. */
struct scram_server {
    struct scram_verifier verifier;
    struct scram_channel channel;
    bool doomed; /* a mock: every proof is wrong */
    size_t client_first_bare_length, server_first_length, nonce_length;
    char client_first_bare[SCRAM_MAX_MESSAGE];
    char server_first[SCRAM_MAX_MESSAGE];
    char nonce[512]; /* client's and server's */
    char gs2_header[SCRAM_GS2_HEADER_SIZE];
};

/*
 * client-first-message -> server-first-message. The header must fit the mechanism: "n,," without
 * binding, "p=tls-server-end-point,," with it. "y,," says that the client could bind and that
 * SCRAM-SHA-256-PLUS was not offered: where it was, somebody in between took it away. authzid must
 * be absent. ERROR_PROTOCOL for a malformed message, and (SQLSTATE 28000) for that lie; limits on
 * every length.
 */
int scram_server_first(struct scram_server *server, const struct scram_verifier *verifier,
                       bool doomed, const struct scram_channel *channel, const char *message,
                       size_t length, struct buffer *ret_reply, struct error *err);
/* client-final-message -> server-final-message. ERROR_AUTH when the proof is wrong (also for every
 * doomed exchange, after the same work), ERROR_PROTOCOL when the message is malformed, and
 * (SQLSTATE 28000) when it is bound to another channel. */
int scram_server_final(struct scram_server *server, const char *message, size_t length,
                       struct buffer *ret_reply, struct error *err);

#endif

/*
 * scram.h - SCRAM-SHA-256, the server's side (RFC 5802, RFC 7677), as PostgreSQL speaks it.
 *
 * Verifiers are stored as PostgreSQL stores them:
 *   SCRAM-SHA-256$<iterations>:<salt base64>$<StoredKey base64>:<ServerKey base64>
 * Server-side steps cost two or three HMACs: fit for a worker thread. scram_verifier_make and
 * scram_verifier_check run PBKDF2: never on a worker thread.
 */
#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

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
};

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

/* One exchange. No allocation. */
struct scram_server {
    struct scram_verifier verifier;
    bool doomed; /* a mock: every proof is wrong */
    size_t client_first_bare_length, server_first_length, nonce_length;
    char client_first_bare[SCRAM_MAX_MESSAGE];
    char server_first[SCRAM_MAX_MESSAGE];
    char nonce[512]; /* client's and server's */
    char gs2_header[SCRAM_MAX_MESSAGE];
};

/*
 * client-first-message -> server-first-message. The mechanism SCRAM-SHA-256 alone is offered, so a
 * header of "n,," or "y,," is taken and "p=" is refused. authzid must be absent. ERROR_PROTOCOL for
 * a malformed message; limits on every length.
 */
int scram_server_first(struct scram_server *server, const struct scram_verifier *verifier,
                       bool doomed, const char *message, size_t length, struct buffer *ret_reply,
                       struct error *err);
/* client-final-message -> server-final-message. ERROR_AUTH when the proof is wrong (also for every
 * doomed exchange, after the same work), ERROR_PROTOCOL when the message is malformed. */
int scram_server_final(struct scram_server *server, const char *message, size_t length,
                       struct buffer *ret_reply, struct error *err);

#endif

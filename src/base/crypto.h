/*
 * crypto.h - OpenSSL's primitives behind functions that cannot be misused quietly.
 *
 * Primitives that cannot fail on valid input abort when OpenSSL does: to go on without a hash or
 * without random bytes would be worse.
 */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include "base/compiler.h"
#include "base/error.h"

enum { CRYPTO_SHA256_SIZE = 32, CRYPTO_KEY_SIZE = 32, CRYPTO_SEAL_OVERHEAD = 1 + 12 + 16 };

/* Fills with the operating system's random bytes. */
void crypto_random(void *ret_bytes, size_t length);
/* True when equal; time depends on length alone. */
bool crypto_equal(const void *a, const void *b, size_t length);
/* Overwrites memory that held a secret. */
void crypto_wipe(void *bytes, size_t length);

void crypto_sha256(const void *bytes, size_t length, uint8_t ret[CRYPTO_SHA256_SIZE]);
void crypto_hmac_sha256(const void *key, size_t key_length, const void *bytes, size_t length,
                        uint8_t ret[CRYPTO_SHA256_SIZE]);
/* PBKDF2 with HMAC-SHA-256 (RFC 8018). Slow by design: never on a worker thread. */
void crypto_pbkdf2_sha256(const void *password, size_t password_length, const void *salt,
                          size_t salt_length, int iterations, uint8_t ret[CRYPTO_SHA256_SIZE]);

/* RFC 4648 base64 with padding. Encoding writes 4 * ceil(length / 3) + 1 bytes with the NUL. */
#define CRYPTO_BASE64_SIZE(length) (4 * (((length) + 2) / 3) + 1)
size_t crypto_base64_encode(const void *bytes, size_t length, char *ret_text);
/* Strict decoding; returns the bytes written (at most 3 * length / 4) or -1. */
ssize_t crypto_base64_decode(const char *text, size_t length, void *ret_bytes, size_t size);

/*
 * AES-256-GCM for secrets at rest. The sealed form is version(1) nonce(12) ciphertext tag(16).
 * `context` is authenticated with it, so that a sealed secret cannot be moved to another row.
 * crypto_seal writes length + CRYPTO_SEAL_OVERHEAD bytes. crypto_open writes
 * sealed_length - CRYPTO_SEAL_OVERHEAD bytes, or returns -ERROR_INVALID and writes none.
 */
void crypto_seal(const uint8_t key[CRYPTO_KEY_SIZE], const char *context, const void *bytes,
                 size_t length, uint8_t *ret_sealed);
int crypto_open(const uint8_t key[CRYPTO_KEY_SIZE], const char *context, const uint8_t *sealed,
                size_t sealed_length, void *ret_bytes, struct error *err);

/*
 * The key file: one line of 64 hexadecimal digits, a regular file of mode 0600 or stricter.
 * Errors name the path and the remedy. crypto_key_file_create never replaces a file.
 */
int crypto_key_file_read(const char *path, uint8_t ret_key[CRYPTO_KEY_SIZE], struct error *err);
int crypto_key_file_create(const char *path, struct error *err);

#endif

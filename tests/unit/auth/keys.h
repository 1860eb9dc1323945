/*
 * keys.h - keys as JWK and PEM, and tokens, made with OpenSSL alone: so that tests share no mistake
 * with src/auth. Texts are the caller's to free.
 */
#ifndef TEST_AUTH_KEYS_H
#define TEST_AUTH_KEYS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "base/compiler.h"

char *encoded(const void *bytes, size_t length); /* base64url */

/* `more` is put in front of the key's members: "\"kid\":\"a\"," */
char *rsa_jwk(EVP_PKEY *key, const char *more);
char *ec_jwk(EVP_PKEY *key, const char *curve, int size, const char *more);
/* With coordinates of so many bytes, which must hold them. */
char *ec_jwk_of_sizes(EVP_PKEY *key, const char *curve, int x_size, int y_size);
char *ed_jwk(EVP_PKEY *key, const char *more);
char *secret_jwk(const char *secret, const char *more);
char *pem_of(EVP_PKEY *key, bool is_private);

/* base64url of both, with a dot between. */
char *signed_part(const char *header, const char *payload);
/* Signed as that kind of key does, whatever the header says: RS256, ES256 or EdDSA; HS256. */
char *public_token(EVP_PKEY *key, const char *header, const char *payload);
char *mac_token(const void *secret, size_t secret_length, const char *header, const char *payload);

#endif

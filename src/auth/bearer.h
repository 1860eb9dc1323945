/*
 * bearer.h - OAUTHBEARER, the server's side (RFC 7628), as PostgreSQL 18 speaks it: a token instead
 * of a password.
 *
 *   client: "n,," 1 "auth=Bearer TOKEN" 1 1       (1: a byte of that value)
 *   server: nothing more when the token is good; else JSON that says where tokens are had
 *   client: 1
 *
 * A client that does not know yet where to go for a token begins with an empty `auth`. Bytes in,
 * bytes out, nothing allocated; what a token is worth is token.h's to say.
 */
#ifndef AUTH_BEARER_H
#define AUTH_BEARER_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/str.h"

enum {
    BEARER_MAX_FAILURE = 4096, /* what bearer_put_failure writes at most */
    BEARER_MAX_ISSUER = 1024,
    BEARER_MAX_SCOPE = 1024,
};

#define BEARER_MECHANISM "OAUTHBEARER"

/*
 * The client's first message. *ret_token lies within the message; it is empty when the client asks
 * where tokens are had. ERROR_PROTOCOL for a malformed message (SQLSTATE 0A000 for an authorization
 * identity, which is not taken); ERROR_AUTH when it is well-formed and what it holds is no bearer
 * token (RFC 6750, 2.1). Errors repeat nothing of the message.
 */
int bearer_read(const char *message, size_t length, struct str *ret_token, struct error *err);
/* Whether this is the client's answer to a failure: one byte. */
bool bearer_is_farewell(const char *message, size_t length);

/* https://HOST[:PORT][/PATH] without a query or a fragment, of characters that URLs have.
 * ERROR_INVALID. */
int bearer_check_issuer(const char *issuer, struct error *err);
/* Scopes with one space between each two (RFC 6749, 3.3). ERROR_INVALID. */
int bearer_check_scope(const char *scope, struct error *err);
/* What a client is told that has no good token: {"status": ..., "openid-configuration": ...,
 * "scope": ...}. Both were checked. An issuer that names a document below /.well-known/ is taken as
 * it is. */
void bearer_put_failure(struct buffer *out, const char *issuer, const char *scope);

#endif

/*
 * socket_bio.h - what TLS sessions of this room read and write their socket with.
 *
 * Against OpenSSL's own: no SIGPIPE, and it is known when the socket was read empty, which saves
 * the read that would only say so.
 */
#ifndef NET_SOCKET_BIO_H
#define NET_SOCKET_BIO_H

#include <openssl/ssl.h>

#include "base/compiler.h"

struct socket_bio {
    int fd;      /* not owned */
    char *ahead; /* bytes that were read before the session was there; owned */
    size_t ahead_length, ahead_at;
    bool dry; /* the last read got less than was asked for, and the engine has told of nothing since
               */
};

/* Gives the session a BIO of this kind, which reads a copy of `ahead` first; false when OpenSSL has
 * no memory. */
bool socket_bio_attach(SSL *ssl, int fd, const char *ahead, size_t ahead_length);
/* The session's, or NULL when it has another kind. */
struct socket_bio *socket_bio_of(const SSL *ssl);

#endif

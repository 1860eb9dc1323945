/*
 * tls.h - the server's side of TLS towards clients.
 */
#ifndef CLI_TLS_H
#define CLI_TLS_H

#include <openssl/ssl.h>

#include "base/error.h"

/* TLS 1.2 and newer, no renegotiation, no compression. Free with SSL_CTX_free. ERROR_CONFIG names
 * the file and what is wrong with it; a key file that others can read is refused. */
int tls_server_context(const char *certificate, const char *key, SSL_CTX **ret, struct error *err);

#endif

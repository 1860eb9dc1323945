/*
 * connector.h - logging in to servers for the proxy, with libpq.
 */
#ifndef CLI_CONNECTOR_H
#define CLI_CONNECTOR_H

#include "proxy/proxy.h"

/* key: that of the key file, borrowed as long as the connector is used. Thread-safe. */
struct proxy_connector connector_make(const uint8_t key[CRYPTO_KEY_SIZE]);

/* Takes libpq's variables that would change what a session is (PGOPTIONS, PGTZ, ...) out of the
 * environment. Before any thread is started. */
void connector_clean_environment(void);

/* Takes libpq's verbose text of a failed login apart into err; exposed for its test. */
int connector_error_from_text(const char *text, struct error *err);

#endif

/*
 * url.h - how clients reach a tenant's service through this Reeve.
 */
#ifndef CLI_URL_H
#define CLI_URL_H

#include "base/arena.h"

struct config;

/*
 * "postgres://acme@127.0.0.1:6432/orders", in the arena: the first TCP address that the
 * configuration listens on (localhost for a wildcard), else its first Unix socket; with
 * sslmode=require where TLS is required. service NULL: "SERVICE", for people to fill in. secret
 * NULL: none.
 */
const char *url_make(struct arena *arena, const struct config *config, const char *slug,
                     const char *service, const char *secret);

/* Where that leads: a host, an address or a Unix socket's folder, and the port. */
void url_endpoint(const struct config *config, const char **ret_host, int *ret_port);

#endif

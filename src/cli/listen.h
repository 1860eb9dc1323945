/*
 * listen.h - the sockets that a configuration asks for.
 */
#ifndef CLI_LISTEN_H
#define CLI_LISTEN_H

#include "cli/config.h"

struct listen_set {
    int fds[PROXY_MAX_LISTEN];
    int count;
    const char *paths[PROXY_MAX_LISTEN]; /* of Unix sockets, removed at the end; or NULL */
};

/* All of them, or none and an error that names the one. Paths live in the arena. */
int listen_open(const struct config *config, struct arena *arena, struct listen_set *ret,
                struct error *err);
/* Whoever connects is refused from now on; the descriptors stay. */
void listen_refuse(const struct listen_set *set);
void listen_close(struct listen_set *set);

#endif

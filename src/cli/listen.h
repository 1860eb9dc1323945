/*
 * listen.h - the sockets that a configuration asks for.
 */
#ifndef CLI_LISTEN_H
#define CLI_LISTEN_H

#include "cli/config.h"

enum { LISTEN_SET_MAX = 2 * PROXY_MAX_LISTEN }; /* clients' and metrics' together */

struct listen_set {
    int fds[LISTEN_SET_MAX];
    int count;
    const char *paths[LISTEN_SET_MAX]; /* of Unix sockets, removed at the end; or NULL */
    const char *names[LISTEN_SET_MAX]; /* what the configuration asks for: HOST:PORT or a path */
};

/* Those of `metrics_listen`, the same way; before listen_open. None when it is off. */
int listen_open_metrics(const struct config *config, struct listen_set *handed, struct arena *arena,
                        struct listen_set *ret, struct error *err);
/* All of them, or none and an error that names the one. Those that `handed` has under the same name
 * are taken from there; what is left in it is closed. NULL: nothing was handed over. Texts live in
 * the arena. */
int listen_open(const struct config *config, struct listen_set *handed, struct arena *arena,
                struct listen_set *ret, struct error *err);
/* Another process has the sockets as well: their files are not removed at the end. */
void listen_give_up_paths(struct listen_set *set);
/* Whoever connects is refused from now on; the descriptors stay. */
void listen_refuse(const struct listen_set *set);
void listen_close(struct listen_set *set);

#endif

/*
 * config_listen.h - reading addresses to listen on.
 */
#ifndef CLI_CONFIG_LISTEN_H
#define CLI_CONFIG_LISTEN_H

#include "cli/config.h"

/* HOST:PORT, [IPV6]:PORT, *:PORT, or a folder for a Unix socket, relative to `folder`. Strings live
 * in the arena. ERROR_CONFIG. */
int config_parse_listen(const char *value, struct arena *arena, const char *folder,
                        struct config_listen *ret, struct error *err);
/* The same for TCP alone, where a port must be given. */
int config_parse_address(const char *value, struct arena *arena, struct config_listen *ret,
                         struct error *err);

#endif

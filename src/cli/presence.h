/*
 * presence.h - what other Reeves know of this server: that it is there, and which tenants' holds
 * are in force in it (catalog/proxy.h).
 *
 * One thread with one control connection. It is not needed for serving: while the control database
 * is away it tries again, and holds are not said to be drained.
 */
#ifndef CLI_PRESENCE_H
#define CLI_PRESENCE_H

#include "base/error.h"

struct presence;
struct proxy;

/* Registers the server before it returns, so that whoever holds a tenant from now on waits for it
 * too: before routes are loaded for the first time. The proxy is borrowed, the conninfo copied. */
int presence_start(const char *control, struct proxy *proxy, struct presence **ret,
                   struct error *err);
/* When the proxy serves nobody any more: nobody waits for it from then on. Accepts NULL; returns
 * NULL. */
struct presence *presence_stop(struct presence *presence);

#endif

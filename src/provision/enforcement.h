/*
 * enforcement.h - how a cluster locks tenants in: whether its server can have the guard.
 */
#ifndef PROVISION_ENFORCEMENT_H
#define PROVISION_ENFORCEMENT_H

#include "provision/server.h"

/* Fills the enforcement's members of *cluster and prepares the server for it: the guard where it
 * can be had, unless `wanted` is "login". wanted NULL: what there is. library NULL: where the
 * cluster has had it, or $libdir/reeve_guard. ERROR_UNSUPPORTED when "guard" is wanted and there is
 * none. Strings live in the arena. */
int enforcement_choose(struct server *server, struct arena *arena, const char *wanted,
                       const char *library, struct catalog_cluster *cluster, struct error *err);

#endif

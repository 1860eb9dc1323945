/*
 * base.h - what a service's tenants share on one cluster: its owner role, its databases. Made when
 * they are needed first, and idempotent. The caller holds site_lock.
 */
#ifndef PROVISION_BASE_H
#define PROVISION_BASE_H

#include "migrate/site.h"
#include "provision/server.h"

/* For the shared database that the site means, and the template: owner role (its password sealed in
 * the catalog before the server hears of it), group roles and databases, unless the catalog says
 * that they are there. Fills site->login.owner_password. */
int base_prepare(struct catalog *catalog, struct arena *arena, struct site *site,
                 struct server *server, struct error *err);
/* Brings one shared target to the folder's newest version. */
int base_migrate(struct catalog *catalog, struct arena *arena, const struct site *site,
                 const struct isolation_target *target, const struct migration_set *set,
                 struct error *err);
/* ERROR_STATE: a tenant is in that database of the site's (NULL: in any), comes there, or has the
 * other place of an open move there. Behind the site's lock it stays as it is. */
int base_check_unused(struct catalog *catalog, const struct site *site, const char *database,
                      struct error *err);
/* Drops all of it, on the server and then in the catalog. ERROR_STATE while tenants are there, or
 * come, or have an open move. The site was loaded behind the lock. */
int base_drop(struct catalog *catalog, const struct site *site, struct server *server,
              struct error *err);

/* Drops the shared database that the site means, likewise; the caller knows that no tenant is
 * there. */
int base_drop_shared(struct catalog *catalog, const struct site *site, struct server *server,
                     struct error *err);

/* A role's sealed password as a SCRAM verifier, in the arena. */
int base_verifier(struct arena *arena, const uint8_t key[CRYPTO_KEY_SIZE], const char *context,
                  const struct catalog_sealed *sealed, const char **ret, struct error *err);
/* 256 random bits, sealed under the context. */
struct catalog_sealed base_random_password(struct arena *arena, const uint8_t key[CRYPTO_KEY_SIZE],
                                           const char *context);

#endif

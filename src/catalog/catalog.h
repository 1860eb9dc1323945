/*
 * catalog.h - the storage of truth: schema `reeve` in the control database.
 *
 * Synchronous; one struct catalog a thread, with one control connection. Results are written to a
 * caller's arena and live as long as it does. Each noun has its header: cluster.h, service.h,
 * tenant.h, placement.h, credential.h, issuer.h, job.h, audit_event.h, status.h. The proxy does not
 * call any of this: it reads the route table that route_follow.h keeps up to date.
 *
 * Every function is one statement, or a transaction of its own; between catalog_begin and
 * catalog_commit it is part of the caller's. A function that fails inside the caller's transaction
 * leaves that transaction failed when the error came from the server: roll back.
 *
 * Common errors: ERROR_NOT_FOUND (find, get, change, delete: names the thing; create: something
 * that the new one refers to), ERROR_EXISTS (create), ERROR_STATE (a change that the schema's rules
 * refuse; something still refers to it), ERROR_INVALID (a value that is not acceptable), and what
 * pg/connection.h lists.
 */
#ifndef CATALOG_CATALOG_H
#define CATALOG_CATALOG_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/error.h"

struct pg_connection;
struct catalog;

/* Opens the control database. ERROR_STATE when it has no catalog (hint: reeve init), an older one
 * (hint: reeve init) or a newer one than this program. The caller closes *ret. */
int catalog_open(const char *conninfo, struct catalog **ret, struct error *err);
/* Accepts NULL; returns NULL. */
struct catalog *catalog_close(struct catalog *catalog);
DEFINE_CLEANUP(struct catalog *, catalog_close);
#define _cleanup_catalog_ _cleanup_(cleanup_catalog_close)

/* The control connection, for transactions, advisory locks and statements of the caller's. */
struct pg_connection *catalog_connection(struct catalog *catalog);

/* Makes the database that conninfo names, connecting to `postgres` there as the same user, unless
 * it is there. ret_created may be NULL. */
int catalog_create_database(const char *conninfo, bool *ret_created, struct error *err);
/*
 * Brings the schema to this program's version in one transaction, under a lock that makes
 * concurrent upgrades wait. ret_from (0: there was none) and ret_to may be NULL. ERROR_STATE, and
 * nothing changed, when the catalog is newer than this program.
 */
int catalog_upgrade(const char *conninfo, int *ret_from, int *ret_to, struct error *err);
/* The schema version that this program knows. */
int catalog_newest_version(void);

/* One level; no nesting. */
int catalog_begin(struct catalog *catalog, struct error *err);
int catalog_commit(struct catalog *catalog, struct error *err);
/* Nothing outside a transaction. Accepts NULL. */
void catalog_rollback(struct catalog *catalog);
/* _cleanup_catalog_rollback_ struct catalog *transaction = catalog; as pg/connection.h's. */
static inline void cleanup_catalog_rollback(struct catalog **catalog)
{
    catalog_rollback(*catalog);
}
#define _cleanup_catalog_rollback_ _cleanup_(cleanup_catalog_rollback)

/*
 * Advisory locks of this session on a name ("placement:42"), kept until catalog_unlock or the end
 * of the connection. catalog_lock does not wait: ERROR_BUSY when another session has it.
 * Names are hashed to 64 bits; a session may take a lock again and must then give it back as often.
 */
int catalog_lock(struct catalog *catalog, const char *name, struct error *err);
int catalog_unlock(struct catalog *catalog, const char *name, struct error *err);

/*
 * A secret sealed with crypto_seal and the key file's key; length 0: none. Contexts:
 *   a tenant's login role  "login:<role>"      ("login:t_000042", "login:t_000042_ro")
 *   a service's owner role "owner:<cluster id>:<role>"
 *   a cluster's admin      "cluster:<name>"
 */
struct catalog_sealed {
    const uint8_t *bytes;
    size_t length;
};
enum { CATALOG_SECRET_CONTEXT_SIZE = 128, CATALOG_SEALED_MAX = 1024 };
void catalog_login_context(const char *role, char ret_context[CATALOG_SECRET_CONTEXT_SIZE]);
void catalog_owner_context(int64_t cluster_id, const char *role,
                           char ret_context[CATALOG_SECRET_CONTEXT_SIZE]);
void catalog_cluster_context(const char *name, char ret_context[CATALOG_SECRET_CONTEXT_SIZE]);
/* Seals text for storage; the result lives in the arena. */
struct catalog_sealed catalog_seal(struct arena *arena, const uint8_t key[32], const char *context,
                                   const char *secret);
/* The text, NUL-terminated, to be wiped with catalog_wipe. ERROR_INVALID: another key. */
int catalog_unseal(const uint8_t key[32], const char *context, const struct catalog_sealed *sealed,
                   char **ret_secret, struct error *err);
/* Wipes and frees; accepts NULL; returns NULL. */
char *catalog_wipe(char *secret);
static inline void cleanup_catalog_wipe(char **secret)
{
    catalog_wipe(*secret);
}
#define _cleanup_catalog_wipe_ _cleanup_(cleanup_catalog_wipe)

#endif

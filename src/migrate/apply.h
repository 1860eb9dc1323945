/*
 * apply.h - bringing one target (a tenant's place, shared tables, a template) up to date.
 */
#ifndef MIGRATE_APPLY_H
#define MIGRATE_APPLY_H

#include <stdatomic.h>

#include "catalog/catalog.h"
#include "isolation/isolation.h"
#include "migrate/folder.h"

struct pg_connection;

/* How to reach the target's cluster as the service's owner role. Borrowed. */
struct migrate_login {
    int64_t cluster_id;
    const char *conninfo; /* of the cluster */
    const uint8_t *master_key;
    struct catalog_sealed owner_password; /* opened for the login alone */
    const atomic_bool *cancelled;         /* or NULL */
};

/* Lives in the arena given. */
struct migrate_result {
    const char *from, *to; /* versions; from is "" when nothing had been applied */
    const char *const *files;
    size_t file_count;
    const char *const *notes;
    size_t note_count;
};

/* A connection to one of the service's databases as its owner role, without a statement timeout.
 * The caller closes *ret. */
int migrate_open_owner(const struct migrate_login *login, const char *database,
                       const char *owner_role, const char *application_name,
                       struct pg_connection **ret, struct error *err);

/*
 * Applies what is pending in one transaction; with dry_run only says what is. Nothing is changed
 * upon failure. ERROR_MIGRATION (names file, line, SQLSTATE), ERROR_BUSY (a lock was not had in
 * time), ERROR_CONNECTION, ERROR_CANCELLED.
 */
int migrate_target(const struct migrate_login *login, const struct isolation_target *target,
                   const struct migration_set *set, bool dry_run, struct arena *arena,
                   struct migrate_result *ret, struct error *err);

/* Privileges, and in a database made from a template its tenant's default and checks: after
 * migrate_target on a new place. */
int migrate_finish(const struct migrate_login *login, const struct isolation_target *target,
                   struct arena *arena, struct error *err);

/* Reads a folder and checks every file's statements, without any server. */
int migrate_check_folder(const char *folder, struct arena *arena, struct migration_set *ret,
                         struct error *err);

#endif

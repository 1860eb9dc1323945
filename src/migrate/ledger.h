/*
 * ledger.h - what a target has had, and what it still needs.
 *
 * The ledger is the table reeve.migration of the database that the target is in, with a row a
 * migration; `target` there is the schema's name. A database made from a template brings its rows
 * with it.
 */
#ifndef MIGRATE_LEDGER_H
#define MIGRATE_LEDGER_H

#include "base/arena.h"
#include "base/error.h"
#include "migrate/folder.h"

struct pg_connection;

struct ledger_entry {
    const char *version, *name, *checksum;
};

struct ledger_plan {
    const char *from; /* newest version that was applied; "" for none */
    const char *to;   /* newest of the folder */
    size_t count;
    const struct migration *const *pending; /* in order */
};

/* Reads the ledger and compares, as ledger_compare does. Results live in the arena. */
int ledger_read(struct pg_connection *connection, const char *schema,
                const struct migration_set *set, struct arena *arena, struct ledger_plan *ret,
                struct error *err);

/*
 * What is pending. ERROR_MIGRATION, with the file's name and the remedy, when an applied file was
 * changed or is gone, or when a file that was not applied has a version below one that was.
 */
int ledger_compare(const struct ledger_entry *entries, size_t count,
                   const struct migration_set *set, struct arena *arena, struct ledger_plan *ret,
                   struct error *err);

/* In the migration's own transaction. */
int ledger_add(struct pg_connection *connection, const char *schema,
               const struct migration *migration, struct error *err);

#endif

/*
 * rewrite.h - what of a migration's text must change before it runs, found with PostgreSQL's own
 * parser (libpg_query).
 *
 * In a shaped service the primary key of `a` has tenant_id as well, so `REFERENCES a` in a later
 * migration would not match it. Such foreign keys are lifted out of the text (the rest keeps its
 * line and column numbers) and added behind shaping, with the tenant column and with the name that
 * PostgreSQL would have chosen. Extensions go to schema public, where every tenant's place finds
 * them. Statements that a migration may not use are refused: those that end the transaction, and
 * those that change role, search_path, schemas or privileges. This is for clear messages, not for
 * security: the server's own rules hold whatever the text does.
 */
#ifndef ISOLATION_REWRITE_H
#define ISOLATION_REWRITE_H

#include "base/arena.h"
#include "base/error.h"

struct foreign_key {
    const char *table;
    const char *name; /* NULL: to be chosen */
    size_t column_count;
    const char **columns;
    const char *referenced_table;
    size_t referenced_column_count; /* 0: the primary key's */
    const char **referenced_columns;
    size_t delete_column_count; /* of ON DELETE SET NULL (...); 0: all */
    const char **delete_columns;
    char update_action, delete_action; /* as in pg_constraint: a r c n d */
    bool deferrable, deferred, not_valid;
    bool if_not_exists; /* the statement is passed over when table or column is there */
    int line;
};

struct statement {
    const char *sql; /* from its first word; no semicolon behind it */
    int line;        /* of its first word in the file, from 1 */
};

/* Statements from which everything was lifted are left out. */
struct rewrite {
    size_t statement_count;
    struct statement *statements;
    size_t key_count;
    struct foreign_key *keys;
};

/* All results live in the arena. Errors: ERROR_MIGRATION with the line. Thread-safe. `is_shaped`
 * says whether a table has the tenant column, and so its keys. */
int isolation_rewrite_migration(struct arena *arena, const char *sql,
                                bool (*is_shaped)(void *context, const char *table), void *context,
                                struct rewrite *ret, struct error *err);

/* The name that PostgreSQL gives a foreign key without one; `pass` counts collisions from 0. */
const char *isolation_foreign_key_name(struct arena *arena, const struct foreign_key *key,
                                       unsigned int pass);

#endif

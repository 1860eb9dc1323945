/*
 * internal.h - what the files of this room share: statements, their errors, and transactions.
 */
#ifndef CATALOG_INTERNAL_H
#define CATALOG_INTERNAL_H

#include "catalog/catalog.h"
#include "pg/connection.h"

struct catalog {
    struct pg_connection *connection;
};

/* As catalog_open; connection strings with other limits. */
int catalog_open_with(const struct pg_options *options, struct catalog **ret, struct error *err);

/* The schema's version; 0: there is none. */
int catalog_stored_version(struct pg_connection *connection, int *ret, struct error *err);
/* ERROR_STATE when the schema is newer than this program. */
int catalog_check_newer(const struct pg_connection *connection, int version, struct error *err);

/*
 * A statement of this room. Errors are this room's: what the schema refuses becomes ERROR_EXISTS,
 * ERROR_NOT_FOUND, ERROR_STATE or ERROR_INVALID with `subject` in the message, and without the
 * server's detail where that shows the row.
 */
struct catalog_statement {
    const char *sql;
    int count; /* of parameters */
    const char *const *parameters;
    const char *subject; /* `tenant "acme"`; NULL for reads */
    bool removes;        /* a foreign key that refuses it: something still refers to the subject */
};
#define CATALOG_STATEMENT(text, ...)                                                               \
    {                                                                                              \
        .sql = (text), .parameters = (const char *const[]){__VA_ARGS__},                           \
        .count = (int)array_size(((const char *const[]){__VA_ARGS__}))                             \
    }

int catalog_read(struct catalog *catalog, const struct catalog_statement *statement,
                 struct pg_result **ret, struct error *err);
/* ret_affected may be NULL. */
int catalog_write(struct catalog *catalog, const struct catalog_statement *statement,
                  int64_t *ret_affected, struct error *err);
/* An INSERT ... RETURNING id. ret_id may be NULL. */
int catalog_insert(struct catalog *catalog, const struct catalog_statement *statement,
                   int64_t *ret_id, struct error *err);
/* Must touch a row: ERROR_NOT_FOUND "there is no <subject>" otherwise. */
int catalog_change(struct catalog *catalog, const struct catalog_statement *statement,
                   struct error *err);

/* "there is no <subject>". */
int catalog_not_found(struct error *err, const char *format, ...) reeve_printf(2, 3);

/* ---- parameters ---- */

/* 0 gives SQL's NULL: none, any. */
const char *catalog_id(struct arena *arena, int64_t id);
/* Length 0 gives SQL's NULL. ERROR_INVALID when it is longer than `maximum`. */
int catalog_from_sealed(struct arena *arena, const struct catalog_sealed *sealed, size_t maximum,
                        const char **ret, struct error *err);
int catalog_sealed_copy(const struct pg_result *result, size_t row, size_t column,
                        struct arena *arena, struct catalog_sealed *ret, struct error *err);

/* ---- rows ---- */

/* `fill` writes one row of `size` bytes. */
typedef int (*catalog_fill)(const struct pg_result *result, size_t row, struct arena *arena,
                            void *ret, struct error *err);
/* Every row, as an array in the arena. */
int catalog_list(struct catalog *catalog, struct arena *arena,
                 const struct catalog_statement *statement, catalog_fill fill, size_t size,
                 void **ret, size_t *ret_count, struct error *err);
/* The one row; ERROR_NOT_FOUND "there is no <subject>". */
int catalog_one(struct catalog *catalog, struct arena *arena,
                const struct catalog_statement *statement, catalog_fill fill, size_t size,
                void *ret, struct error *err);

/* A struct catalog_placement from the columns of placement_select. */
int catalog_placement_fill(const struct pg_result *result, size_t row, struct arena *arena,
                           void *ret, struct error *err);

/* The index of a name in a list of them; -1. */
int catalog_name_index(const char *const *names, size_t count, const char *name);

/* ---- several statements: a transaction of their own, or part of the caller's ---- */

struct catalog_scope {
    struct catalog *catalog; /* NULL when the transaction is the caller's, or over */
};
int catalog_scope_begin(struct catalog *catalog, struct catalog_scope *ret, struct error *err);
int catalog_scope_commit(struct catalog_scope *scope, struct error *err);
/* Rolls back what was not committed. */
void catalog_scope_end(struct catalog_scope *scope);
#define _cleanup_catalog_scope_ _cleanup_(catalog_scope_end)

#endif

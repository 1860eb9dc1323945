#include "catalog/catalog.h"

#include "base/str.h"
#include "catalog/internal.h"
#include "pg/conninfo.h"
#include "pg/quote.h"
#include "sql/statements.h"

/* ---- opening ---- */

int catalog_stored_version(struct pg_connection *connection, int *ret, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *exists = NULL;
    int r = pg_query(connection, sql_catalog_schema_exists, 0, NULL, &exists, err);
    if (r < 0)
        return r;
    if (!pg_bool(exists, 0, 0)) {
        *ret = 0;
        return 0;
    }
    _cleanup_pg_result_ struct pg_result *version = NULL;
    r = pg_query(connection, sql_catalog_schema_version, 0, NULL, &version, err);
    if (r == 0)
        *ret = (int)pg_i64(version, 0, 0);
    return r;
}

static int check_version(struct pg_connection *connection, struct error *err)
{
    int version = 0;
    int r = catalog_stored_version(connection, &version, err);
    if (r < 0 || version == catalog_newest_version())
        return r;
    r = catalog_check_newer(connection, version, err);
    if (r < 0)
        return r;
    if (version == 0)
        error_set(err, ERROR_STATE, "database \"%s\" has no catalog of Reeve",
                  pg_database(connection));
    else
        error_set(err, ERROR_STATE, "the catalog in database \"%s\" has version %d, not %d",
                  pg_database(connection), version, catalog_newest_version());
    error_hint(err, "run `reeve init`");
    return -ERROR_STATE;
}

static int connect_control(const struct pg_options *options, struct pg_connection **ret,
                           struct error *err)
{
    int r = pg_connect(options, ret, err);
    if (r < 0)
        error_prefix(err, "control database");
    return r;
}

int catalog_open_with(const struct pg_options *options, struct catalog **ret, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    int r = connect_control(options, &connection, err);
    if (r == -ERROR_NOT_FOUND)
        error_hint(err, "run `reeve init`");
    if (r == 0)
        r = check_version(connection, err);
    if (r < 0)
        return r;
    struct catalog *catalog = xcalloc(1, sizeof(*catalog));
    catalog->connection = take_pointer(connection);
    *ret = catalog;
    return 0;
}

int catalog_open(const char *conninfo, struct catalog **ret, struct error *err)
{
    const struct pg_options options = {.conninfo = conninfo};
    return catalog_open_with(&options, ret, err);
}

struct catalog *catalog_close(struct catalog *catalog)
{
    if (catalog)
        pg_close(catalog->connection);
    free(catalog);
    return NULL;
}

struct pg_connection *catalog_connection(struct catalog *catalog)
{
    return catalog->connection;
}

/* ---- the database ---- */

/* As libpq would find it. */
static const char *database_name(struct arena *arena, const char *conninfo,
                                 const struct pg_connection *connection)
{
    const char *name = pg_conninfo_value(arena, conninfo, "dbname");
    if (!name)
        name = getenv("PGDATABASE");
    return name && *name ? name : pg_user(connection);
}

static int make_database(struct pg_connection *connection, struct arena *arena, const char *name,
                         bool *ret_created, struct error *err)
{
    struct error own;
    if (!err)
        err = &own;
    /* Whatever the server's locale is: names are compared in the C collation anyway. */
    const char *sql = arena_printf(
        arena,
        "CREATE DATABASE %s TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'",
        pg_identifier(arena, name));
    int r = pg_execute(connection, sql, 0, NULL, NULL, err);
    if (r == 0) {
        *ret_created = true;
        return 0;
    }
    /* somebody else was quicker */
    if (r == -ERROR_SERVER &&
        (strcmp(err->sqlstate, "42P04") == 0 || strcmp(err->sqlstate, "23505") == 0)) {
        error_clear(err);
        *ret_created = false;
        return 0;
    }
    return r;
}

int catalog_create_database(const char *conninfo, bool *ret_created, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const struct pg_options options = {
        .conninfo = conninfo,
        .database = "postgres",
        .statement_timeout_us = (int64_t)600 * 1000000, /* copies files, and waits its turn */
    };
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    int r = connect_control(&options, &connection, err);
    if (r < 0)
        return r;
    const char *name = database_name(&arena, conninfo, connection);
    _cleanup_pg_result_ struct pg_result *found = NULL;
    bool created = false;
    r = pg_query(connection, sql_catalog_database_exists, 1, &name, &found, err);
    if (r == 0 && pg_rows(found) == 0)
        r = make_database(connection, &arena, name, &created, err);
    if (r == 0 && ret_created)
        *ret_created = created;
    return r;
}

/* ---- transactions ---- */

int catalog_begin(struct catalog *catalog, struct error *err)
{
    if (pg_in_transaction(catalog->connection))
        return error_set(err, ERROR_INTERNAL, "a catalog transaction is open already");
    return pg_begin(catalog->connection, err);
}

int catalog_commit(struct catalog *catalog, struct error *err)
{
    return pg_commit(catalog->connection, err);
}

void catalog_rollback(struct catalog *catalog)
{
    if (catalog)
        pg_rollback(catalog->connection);
}

int catalog_scope_begin(struct catalog *catalog, struct catalog_scope *ret, struct error *err)
{
    if (pg_in_transaction(catalog->connection)) {
        ret->catalog = NULL;
        return 0;
    }
    int r = pg_begin(catalog->connection, err);
    if (r == 0)
        ret->catalog = catalog;
    return r;
}

int catalog_scope_commit(struct catalog_scope *scope, struct error *err)
{
    struct catalog *catalog = take_pointer(scope->catalog);
    return catalog ? pg_commit(catalog->connection, err) : 0;
}

void catalog_scope_end(struct catalog_scope *scope)
{
    catalog_rollback(scope->catalog);
}

/* ---- locks ---- */

/* Both statements say whether it was done. */
static int ask_lock(struct catalog *catalog, const char *sql, const char *name, bool *ret,
                    struct error *err)
{
    const struct catalog_statement statement = CATALOG_STATEMENT(sql, name);
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = catalog_read(catalog, &statement, &result, err);
    if (r == 0)
        *ret = pg_bool(result, 0, 0);
    return r;
}

int catalog_lock(struct catalog *catalog, const char *name, struct error *err)
{
    bool locked = false;
    int r = ask_lock(catalog, sql_catalog_lock, name, &locked, err);
    if (r == 0 && !locked)
        return error_set(err, ERROR_BUSY, "another session has the lock on %s", name);
    return r;
}

int catalog_unlock(struct catalog *catalog, const char *name, struct error *err)
{
    bool unlocked = false;
    int r = ask_lock(catalog, sql_catalog_unlock, name, &unlocked, err);
    if (r == 0 && !unlocked)
        return error_set(err, ERROR_STATE, "this session does not have the lock on %s", name);
    return r;
}

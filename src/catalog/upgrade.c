#include "base/time.h"
#include "catalog/internal.h"
#include "sql/statements.h"

/* In order; number 1 is the first. A new one gets its line here. */
static const char *const upgrades[] = {
    sql_catalog_upgrade_0001, sql_catalog_upgrade_0002, sql_catalog_upgrade_0003,
    sql_catalog_upgrade_0004, sql_catalog_upgrade_0005, sql_catalog_upgrade_0006,
    sql_catalog_upgrade_0007, sql_catalog_upgrade_0008, sql_catalog_upgrade_0009,
    sql_catalog_upgrade_0010, sql_catalog_upgrade_0011, sql_catalog_upgrade_0012,
};

static const int64_t upgrade_timeout_us = 600 * (int64_t)TIME_S;

int catalog_newest_version(void)
{
    return (int)array_size(upgrades);
}

int catalog_check_newer(const struct pg_connection *connection, int version, struct error *err)
{
    if (version <= catalog_newest_version())
        return 0;
    error_set(err, ERROR_STATE,
              "the catalog in database \"%s\" has version %d, this Reeve knows it up to %d",
              pg_database(connection), version, catalog_newest_version());
    error_hint(err, "use a newer Reeve");
    return -ERROR_STATE;
}

static int apply(struct pg_connection *connection, int version, struct error *err)
{
    char number[16];
    const char *parameters[] = {number, REEVE_VERSION};
    snprintf(number, sizeof(number), "%d", version);
    int r = pg_execute_script(connection, upgrades[version - 1], err);
    if (r == 0)
        r = pg_execute(connection, sql_catalog_schema_version_insert, 2, parameters, NULL, err);
    if (r < 0)
        error_prefix(err, "upgrade of the catalog to version %d", version);
    return r;
}

/* Behind the lock the version is what an upgrade that was waited for made it. */
static int upgrade(struct pg_connection *connection, int *ret_from, struct error *err)
{
    int version = 0;
    int r = pg_execute(connection, sql_catalog_upgrade_lock, 0, NULL, NULL, err);
    if (r == 0)
        r = catalog_stored_version(connection, &version, err);
    if (r == 0)
        r = catalog_check_newer(connection, version, err);
    for (int next = version + 1; r == 0 && next <= catalog_newest_version(); next++)
        r = apply(connection, next, err);
    if (r == 0)
        *ret_from = version;
    return r;
}

int catalog_upgrade(const char *conninfo, int *ret_from, int *ret_to, struct error *err)
{
    const struct pg_options options = {.conninfo = conninfo,
                                       .statement_timeout_us = upgrade_timeout_us};
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    int r = pg_connect(&options, &connection, err);
    if (r < 0) {
        error_prefix(err, "control database");
        return r;
    }
    r = pg_begin(connection, err);
    if (r < 0)
        return r;
    int from = 0;
    _cleanup_pg_rollback_ struct pg_connection *transaction = connection;
    r = upgrade(transaction, &from, err);
    if (r == 0)
        r = pg_commit(transaction, err);
    if (r < 0)
        return r;
    if (ret_from)
        *ret_from = from;
    if (ret_to)
        *ret_to = catalog_newest_version();
    return 0;
}

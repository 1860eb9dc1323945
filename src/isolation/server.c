#include "isolation/server.h"

#include "base/str.h"
#include "pg/quote.h"
#include "sql/statements.h"

enum { TEMPLATE_ATTEMPTS = 6 }; /* PostgreSQL itself waits 5 s in each */

int isolation_server_connect(const struct isolation_server *server, const char *database,
                             struct pg_connection **ret, struct error *err)
{
    return server->connect(server->context, database, ret, err);
}

int isolation_server_lock_session(struct pg_connection *connection, const char *name,
                                  struct error *err)
{
    return pg_execute(connection, sql_isolation_lock_session, 1, &name, NULL, err);
}

int isolation_server_lock_transaction(struct pg_connection *connection, const char *name,
                                      struct error *err)
{
    return pg_execute(connection, sql_isolation_lock_transaction, 1, &name, NULL, err);
}

int isolation_server_ask(struct pg_connection *connection, const char *sql, int count,
                         const char *const *parameters, bool *ret, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(connection, sql, count, parameters, &result, err);
    if (r < 0)
        return r;
    *ret = pg_rows(result) > 0 && pg_bool(result, 0, 0);
    return 0;
}

int isolation_server_run_rows(struct pg_connection *connection, const char *sql, int count,
                              const char *const *parameters, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(connection, sql, count, parameters, &result, err);
    size_t last = r == 0 ? pg_columns(result) - 1 : 0;
    for (size_t i = 0; r == 0 && i < pg_rows(result); i++)
        r = pg_execute_script(connection, pg_text(result, i, last), err);
    return r;
}

int isolation_server_run(struct pg_connection *connection, struct error *err, const char *format,
                         ...)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(1 << 20);
    va_list arguments;
    va_start(arguments, format);
    int r = buffer_vprintf(&sql, format, arguments);
    va_end(arguments);
    if (r < 0)
        return error_set(err, ERROR_LIMIT, "a statement is too long");
    return pg_execute_script(connection, buffer_string(&sql), err);
}

/* ---- databases ---- */

int isolation_server_database_exists(struct pg_connection *maintenance, const char *database,
                                     bool *ret, struct error *err)
{
    return isolation_server_ask(maintenance, sql_isolation_database_exists, 1, &database, ret, err);
}

/* A template that somebody is connected to for a moment (another job, reading its ledger) is worth
 * waiting for. */
static int create_from(struct pg_connection *maintenance, struct arena *arena, const char *database,
                       const char *owner, const char *template_database, struct error *err)
{
    for (int attempt = 1;; attempt++) {
        int r = isolation_server_run(
            maintenance, err, "CREATE DATABASE %s OWNER %s TEMPLATE %s ALLOW_CONNECTIONS false",
            pg_identifier(arena, database), pg_identifier(arena, owner),
            pg_identifier(arena, template_database));
        if (r != -ERROR_BUSY || attempt == TEMPLATE_ATTEMPTS)
            return r;
    }
}

int isolation_server_create_database(struct pg_connection *maintenance, struct arena *arena,
                                     const char *database, const char *owner,
                                     const char *template_database, struct error *err)
{
    bool exists;
    int r = isolation_server_database_exists(maintenance, database, &exists, err);
    if (r == 0 && !exists)
        r = create_from(maintenance, arena, database, owner,
                        template_database ? template_database : "template0", err);
    if (r < 0)
        return r;
    const char *name = pg_identifier(arena, database);
    return isolation_server_run(maintenance, err,
                                "REVOKE ALL ON DATABASE %s FROM PUBLIC;"
                                "ALTER DATABASE %s WITH ALLOW_CONNECTIONS true",
                                name, name);
}

int isolation_server_drop_database(struct pg_connection *maintenance, struct arena *arena,
                                   const char *database, struct error *err)
{
    bool exists;
    int r = isolation_server_database_exists(maintenance, database, &exists, err);
    if (r < 0 || !exists)
        return r;
    /* Nobody new gets in while the last ones are thrown out. */
    r = isolation_server_run(maintenance, err, "ALTER DATABASE %s WITH ALLOW_CONNECTIONS false",
                             pg_identifier(arena, database));
    if (r < 0)
        return r;
    return isolation_server_run(maintenance, err, "DROP DATABASE IF EXISTS %s WITH (FORCE)",
                                pg_identifier(arena, database));
}

/* ---- roles ---- */

#define ROLE_ATTRIBUTES "NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOREPLICATION NOBYPASSRLS"
/* An administrator who is no superuser may not name the attributes that he cannot give. */
#define ROLE_ATTRIBUTES_PLAIN "NOCREATEDB NOCREATEROLE INHERIT"

int isolation_server_ensure_role(struct pg_connection *connection, struct arena *arena,
                                 const char *role, bool login, const char *verifier,
                                 struct error *err)
{
    bool exists, superuser;
    int r = isolation_server_ask(connection, sql_isolation_role_exists, 1, &role, &exists, err);
    if (r == 0)
        r = isolation_server_ask(connection, sql_isolation_is_superuser, 0, NULL, &superuser, err);
    if (r < 0)
        return r;
    if (!exists && login && !verifier)
        return error_set(err, ERROR_STATE,
                         "role \"%s\" is not there and no password is known for it", role);
    return isolation_server_run(
        connection, err, "%s ROLE %s %s %s%s%s", exists ? "ALTER" : "CREATE",
        pg_identifier(arena, role), login ? "LOGIN" : "NOLOGIN",
        superuser ? ROLE_ATTRIBUTES : ROLE_ATTRIBUTES_PLAIN, verifier ? " PASSWORD " : "",
        verifier ? pg_literal(arena, verifier) : "");
}

int isolation_server_drop_role(struct pg_connection *connection, struct arena *arena,
                               const char *role, struct error *err)
{
    return isolation_server_run(connection, err, "DROP ROLE IF EXISTS %s",
                                pg_identifier(arena, role));
}

int isolation_server_grant_role(struct pg_connection *connection, struct arena *arena,
                                const char *role, const char *member, struct error *err)
{
    const char *const names[] = {role, member};
    bool member_already;
    int r =
        isolation_server_ask(connection, sql_isolation_is_member, 2, names, &member_already, err);
    if (r < 0 || member_already)
        return r;
    bool options = pg_server_version(connection) >= 160000;
    return isolation_server_run(connection, err, "GRANT %s TO %s%s", pg_identifier(arena, role),
                                pg_identifier(arena, member),
                                options ? " WITH INHERIT TRUE, SET FALSE" : "");
}

int isolation_server_set_defaults(struct pg_connection *connection, struct arena *arena,
                                  const struct isolation_placement *placement, struct error *err)
{
    const char *database = pg_identifier(arena, placement->database);
    const char *const roles[] = {placement->role, placement->ro_role};
    int r = 0;
    for (size_t i = 0; r == 0 && i < array_size(roles); i++)
        r = isolation_server_run(
            connection, err, "ALTER ROLE %s IN DATABASE %s SET search_path TO %s, public",
            pg_identifier(arena, roles[i]), database, pg_identifier(arena, placement->schema));
    if (r < 0)
        return r;
    return isolation_server_run(
        connection, err, "ALTER ROLE %s IN DATABASE %s SET default_transaction_read_only TO on",
        pg_identifier(arena, placement->ro_role), database);
}

int isolation_server_map_roles(struct pg_connection *data,
                               const struct isolation_placement *placement, struct error *err)
{
    char tenant[24];
    snprintf(tenant, sizeof(tenant), "%lld", (long long)placement->tenant_id);
    const char *const parameters[] = {placement->role, placement->ro_role, tenant,
                                      placement->tenant_slug};
    return pg_execute(data, sql_isolation_map_roles, 4, parameters, NULL, err);
}

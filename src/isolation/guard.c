#include "isolation/guard.h"

#include "base/buffer.h"
#include "base/str.h"
#include "guard/guard_files.h"
#include "isolation/server.h"
#include "pg/quote.h"
#include "sql/statements.h"

enum { SCRIPT_MAX = 256 * 1024 };

static const char script_name[] = "reeve_guard--1.0.sql";
static const char placeholder[] = "'MODULE_PATHNAME'";

/* ---- installing ---- */

static const struct guard_file *find_script(void)
{
    const struct guard_file *file = guard_files;
    while (file->name && strcmp(file->name, script_name) != 0)
        file++;
    return file->name ? file : NULL;
}

/* The extension's script, with the library in the place of MODULE_PATHNAME. */
static int write_script(struct buffer *out, struct arena *arena, const char *library,
                        struct error *err)
{
    const struct guard_file *script = find_script();
    if (!script)
        return error_set(err, ERROR_INTERNAL, "this program has no guard in it");
    const char *name = pg_literal(arena, library);
    const char *rest = (const char *)script->bytes;
    for (const char *at; (at = strstr(rest, placeholder)) != NULL;
         rest = at + strlen(placeholder)) {
        buffer_append(out, rest, (size_t)(at - rest));
        buffer_append_string(out, name);
    }
    buffer_append_string(out, rest);
    return out->failed ? error_set(err, ERROR_LIMIT, "the guard's library has too long a name") : 0;
}

int guard_install(struct pg_connection *transaction, struct arena *arena,
                  const struct isolation_guard *guard, struct error *err)
{
    _cleanup_buffer_ struct buffer script = BUFFER_INIT(SCRIPT_MAX);
    int r = write_script(&script, arena, guard->library, err);
    if (r == 0)
        r = pg_execute_script(transaction, buffer_string(&script), err);
    if (r == 0)
        r = pg_execute_script(transaction, sql_isolation_guard_rights, err);
    if (r < 0)
        return r;
    const char *role = pg_identifier(arena, guard->pool_role);
    return isolation_server_run(
        transaction, err,
        "GRANT EXECUTE ON FUNCTION reeve.arm(bytea), reeve.enter(bytea, bigint, integer, bytea),"
        " reeve.leave(bytea) TO %s; GRANT CONNECT ON DATABASE %s TO %s",
        role, pg_identifier(arena, pg_database(transaction)), role);
}

int isolation_guard_prepare(const struct isolation_server *server,
                            const struct isolation_guard *guard, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    int r = isolation_server_connect(server, NULL, &maintenance, err);
    if (r == 0)
        r = isolation_server_lock_session(maintenance, "cluster", err);
    if (r == 0)
        r = isolation_server_ensure_role(maintenance, &arena, guard->pool_role, true,
                                         guard->pool_verifier, err);
    return r;
}

/* ---- finding ---- */

/* The server itself says whether it can: making a function loads the library. */
static int try_library(struct pg_connection *connection, struct arena *arena, const char *library,
                       struct error *err)
{
    int r = pg_begin(connection, err);
    if (r < 0)
        return r;
    _cleanup_pg_rollback_ struct pg_connection *transaction = connection;
    return isolation_server_run(transaction, err,
                                "CREATE FUNCTION pg_temp.reeve_guard_probe(bytea) RETURNS void "
                                "LANGUAGE c AS %s, 'reeve_guard_arm'",
                                pg_literal(arena, library));
}

static const char *reason_without_superuser =
    "the administrator is no superuser, and only one can install it";

int isolation_guard_find(const struct isolation_server *server, const char *const *libraries,
                         size_t count, struct arena *arena, const char **ret,
                         const char **ret_reason, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    bool superuser = false;
    int r = isolation_server_connect(server, NULL, &maintenance, err);
    if (r == 0)
        r = isolation_server_ask(maintenance, sql_isolation_is_superuser, 0, NULL, &superuser, err);
    if (r < 0)
        return r;
    *ret = NULL;
    *ret_reason = superuser ? "no library was named" : reason_without_superuser;
    for (size_t i = 0; superuser && i < count; i++) {
        struct error refused = {0};
        r = try_library(maintenance, arena, libraries[i], &refused);
        if (r == 0) {
            *ret = libraries[i];
            *ret_reason = NULL;
            return 0;
        }
        if (r == -ERROR_CONNECTION) {
            if (err)
                *err = refused;
            return r;
        }
        *ret_reason = arena_strdup(arena, refused.message);
    }
    return 0;
}

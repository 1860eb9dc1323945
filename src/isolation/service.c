/* service.c - what a service and a cluster need before the first tenant comes. */
#include "base/failpoint.h"
#include "base/log.h"
#include "isolation/contents.h"
#include "isolation/guard.h"
#include "isolation/server.h"
#include "pg/quote.h"
#include "sql/statements.h"

/* Stands as the comment of a database that has everything. Another text makes
 * isolation_prepare_service go through it again: count it up when the SQL of it changes. */
#define PREPARED_FORM "Reeve: prepared, form 2"

static const char *prepared_mark(struct arena *arena, const struct isolation_guard *guard)
{
    return guard ? arena_printf(arena, PREPARED_FORM ", with %s", guard->library) : PREPARED_FORM;
}

/* ---- clusters ---- */

static int close_to_public(struct pg_connection *maintenance, struct arena *arena,
                           const char *database, struct error *err)
{
    bool exists;
    int r = isolation_server_database_exists(maintenance, database, &exists, err);
    if (r < 0 || !exists)
        return r;
    return isolation_server_run(maintenance, err, "REVOKE ALL ON DATABASE %s FROM PUBLIC",
                                pg_identifier(arena, database));
}

static int close_inside(const struct isolation_server *server, const char *database,
                        struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    int r = isolation_server_connect(server, database, &data, err);
    if (r == -ERROR_NOT_FOUND) /* some servers have no database "postgres" */
        return 0;
    bool exists = false;
    const char *schema = "public";
    if (r == 0)
        r = isolation_server_ask(data, sql_isolation_schema_exists, 1, &schema, &exists, err);
    if (r == 0 && exists)
        r = pg_execute(data, "REVOKE CREATE ON SCHEMA public FROM PUBLIC", 0, NULL, NULL, err);
    return r;
}

int isolation_close_database(const struct isolation_server *server, const char *database,
                             struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    int r = isolation_server_connect(server, NULL, &maintenance, err);
    if (r == 0)
        r = isolation_server_lock_session(maintenance, "cluster", err);
    if (r == 0)
        r = close_to_public(maintenance, &arena, database, err);
    if (r == 0)
        r = close_inside(server, database, err);
    return r;
}

/* An administrator who is no superuser ends tenants' sessions as a member of this role. Where the
 * server does not let him be one, the sessions' own end is waited for in vain, and that is said
 * then. */
static void allow_ending_sessions(struct pg_connection *maintenance)
{
    bool needed;
    const char *role = "pg_signal_backend";
    if (isolation_server_ask(maintenance, sql_isolation_own_owner, 1, &role, &needed, NULL) == 0 &&
        needed)
        (void)isolation_server_run(maintenance, NULL, "GRANT pg_signal_backend TO CURRENT_USER");
}

/* On a managed server some databases are the provider's, and stay as he made them. */
static int close_if_ours(const struct isolation_server *server, struct pg_connection *maintenance,
                         struct arena *arena, const char *database, bool superuser,
                         struct error *err)
{
    struct error own;
    int r = close_to_public(maintenance, arena, database, &own);
    if (r == 0 && superuser)
        r = close_inside(server, database, &own);
    if (r == -ERROR_SERVER && !superuser && strcmp(own.sqlstate, "42501") == 0) {
        log_warning("database \"%s\" is open to every role: only its owner can close it", database);
        r = 0;
    }
    if (r < 0 && err)
        *err = own;
    return r;
}

int isolation_prepare_cluster(const struct isolation_server *server, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    bool superuser;
    int r = isolation_server_connect(server, NULL, &maintenance, err);
    if (r == 0)
        r = isolation_server_lock_session(maintenance, "cluster", err);
    if (r == 0)
        r = isolation_server_ask(maintenance, sql_isolation_is_superuser, 0, NULL, &superuser, err);
    if (r < 0)
        return r;
    allow_ending_sessions(maintenance);
    const char *const databases[] = {"postgres", "template1", pg_database(maintenance)};
    for (size_t i = 0; r == 0 && i < array_size(databases); i++)
        r = close_if_ours(server, maintenance, &arena, databases[i], superuser, err);
    return r;
}

/* ---- services ---- */

static int prepare_roles(struct pg_connection *maintenance, struct arena *arena,
                         const struct isolation_service *service, struct error *err)
{
    int r = pg_begin(maintenance, err);
    if (r < 0)
        return r;
    _cleanup_pg_rollback_ struct pg_connection *transaction = maintenance;
    r = isolation_server_ensure_role(transaction, arena, service->owner_role, true,
                                     service->owner_verifier, err);
    const char *const groups[] = {service->use_role, service->run_role, service->run_ro_role};
    for (size_t i = 0; r == 0 && i < array_size(groups); i++)
        r = isolation_server_ensure_role(transaction, arena, groups[i], false, NULL, err);
    for (size_t i = 1; r == 0 && i < array_size(groups); i++)
        r = isolation_server_grant_role(transaction, arena, service->use_role, groups[i], err);
    bool outsider;
    if (r == 0)
        r = isolation_server_ask(transaction, sql_isolation_own_owner, 1, &service->owner_role,
                                 &outsider, err);
    if (r == 0 && outsider)
        r = isolation_server_run(transaction, err, "GRANT %s TO CURRENT_USER",
                                 pg_identifier(arena, service->owner_role));
    if (r < 0)
        return r;
    return pg_commit(transaction, err);
}

/* What is only needed where tenants share the database. */
static int prepare_shared(struct pg_connection *transaction, struct arena *arena,
                          const struct isolation_service *service, struct error *err)
{
    int r = isolation_server_run_rows(transaction, sql_isolation_revoke_advisory_locks, 1,
                                      &service->owner_role, err);
    if (r == 0 && service->guard)
        r = guard_install(transaction, arena, service->guard, err);
    return r;
}

static int prepare_inside(const struct isolation_server *server, struct arena *arena,
                          const struct isolation_service *service, const char *database,
                          bool shared, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    int r = isolation_server_connect(server, database, &data, err);
    if (r == 0)
        r = pg_begin(data, err);
    if (r < 0)
        return r;
    _cleanup_pg_rollback_ struct pg_connection *transaction = data;
    const char *owner = pg_identifier(arena, service->owner_role);
    r = pg_execute_script(transaction, sql_isolation_prepare_database, err);
    if (r == 0)
        r = isolation_server_run(
            transaction, err,
            "GRANT SELECT, INSERT ON reeve.migration TO %s;"
            "GRANT USAGE, CREATE ON SCHEMA public TO %s;"
            "CREATE SCHEMA IF NOT EXISTS " ISOLATION_APP_SCHEMA " AUTHORIZATION %s;"
            "ALTER DEFAULT PRIVILEGES FOR ROLE %s REVOKE ALL ON ROUTINES FROM PUBLIC",
            owner, owner, owner, owner);
    if (r == 0)
        r = isolation_server_run_rows(transaction, sql_isolation_revoke_large_objects, 0, NULL,
                                      err);
    if (r == 0 && shared)
        r = prepare_shared(transaction, arena, service, err);
    if (r < 0)
        return r;
    return pg_commit(transaction, err);
}

/* The catalog has the row of a shared database before its first migration is applied. */
static int check_used(const struct isolation_server *server, struct pg_connection *maintenance,
                      const struct isolation_service *service, struct error *err)
{
    const char *database = service->shared_database;
    bool connects, used = false;
    int r = isolation_server_ask(maintenance, sql_isolation_database_connects, 1, &database,
                                 &connects, err);
    if (r < 0 || !connects)
        return r;
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    r = isolation_server_connect(server, database, &data, err);
    if (r == 0)
        r = isolation_server_ask(data, sql_isolation_ledger_used, 0, NULL, &used, err);
    if (r < 0 || !used)
        return r;
    error_set(err, ERROR_EXISTS,
              "the server has a database \"%s\" with migrations in it that Reeve knows nothing of",
              database);
    error_hint(err, "it may be a restored backup; choose another name, or rename it");
    return -ERROR_EXISTS;
}

static bool is_named(struct arena *arena, const struct isolation_service *service)
{
    return service->shared_database &&
           strcmp(service->shared_database, isolation_default_database(arena, service)) != 0;
}

/* Its name was given by an operator: what the server has of that name may be anybody's. Who owns a
 * database is said as it is made, so one that was left half made is known as well. */
static int check_foreign(const struct isolation_server *server, struct pg_connection *maintenance,
                         struct arena *arena, const struct isolation_service *service,
                         struct error *err)
{
    const char *database = service->shared_database;
    if (!is_named(arena, service))
        return 0;
    const char *const parameters[] = {database, service->owner_role};
    bool foreign;
    int r = isolation_server_ask(maintenance, sql_isolation_database_foreign, 2, parameters,
                                 &foreign, err);
    if (r < 0 || (!foreign && !service->shared_is_new))
        return r;
    if (!foreign)
        return check_used(server, maintenance, service, err);
    error_set(err, ERROR_EXISTS, "the server has a database \"%s\" that is not service \"%s\"'s",
              database, service->name);
    error_hint(err, "choose another name");
    return -ERROR_EXISTS;
}

/* The same, and until the session ends no other service makes or drops one of that name. */
static int claim_name(const struct isolation_server *server, struct pg_connection *maintenance,
                      struct arena *arena, const struct isolation_service *service,
                      struct error *err)
{
    int r = 0;
    if (is_named(arena, service))
        r = isolation_server_lock_session(
            maintenance, arena_printf(arena, "database %s", service->shared_database), err);
    return r < 0 ? r : check_foreign(server, maintenance, arena, service, err);
}

int isolation_check_foreign(const struct isolation_server *server,
                            const struct isolation_service *service, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    int r = isolation_server_connect(server, NULL, &maintenance, err);
    return r < 0 ? r : check_foreign(server, maintenance, &arena, service, err);
}

static int prepare_database(const struct isolation_server *server,
                            struct pg_connection *maintenance, struct arena *arena,
                            const struct isolation_service *service, const char *database,
                            bool shared, struct error *err)
{
    const char *mark = prepared_mark(arena, shared ? service->guard : NULL);
    const char *const parameters[] = {database, mark};
    bool prepared;
    int r = isolation_server_ask(maintenance, sql_isolation_database_prepared, 2, parameters,
                                 &prepared, err);
    if (r < 0 || prepared)
        return r;
    if (shared) /* what came by hand since it was looked for stays as it is */
        r = check_foreign(server, maintenance, arena, service, err);
    if (r == 0)
        r = isolation_server_create_database(maintenance, arena, database, service->owner_role,
                                             NULL, err);
    if (r == 0 && shared)
        r = check_foreign(server, maintenance, arena, service, err);
    if (r == 0)
        r = prepare_inside(server, arena, service, database, shared, err);
    if (r == 0 && shared)
        r = isolation_server_run(maintenance, err, "GRANT CONNECT ON DATABASE %s TO %s",
                                 pg_identifier(arena, database),
                                 pg_identifier(arena, service->use_role));
    if (r == 0)
        r = isolation_server_run(maintenance, err, "COMMENT ON DATABASE %s IS %s",
                                 pg_identifier(arena, database), pg_literal(arena, mark));
    return r;
}

static int begin_service(const struct isolation_server *server, struct arena *arena,
                         const struct isolation_service *service, struct pg_connection **ret,
                         struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    int r = isolation_server_connect(server, NULL, &maintenance, err);
    if (r == 0)
        r = pg_set_statement_timeout(maintenance, PG_NO_TIMEOUT, err);
    if (r == 0)
        r = isolation_server_lock_session(
            maintenance, arena_printf(arena, "service %lld", (long long)service->id), err);
    if (r == 0)
        *ret = take_pointer(maintenance);
    return r;
}

static int prepare_all(const struct isolation_server *server, struct pg_connection *maintenance,
                       struct arena *arena, const struct isolation_service *service,
                       struct error *err)
{
    int r = claim_name(server, maintenance, arena, service, err);
    if (r == 0)
        r = prepare_roles(maintenance, arena, service, err);
    if (r == 0 && service->shared_database)
        r = prepare_database(server, maintenance, arena, service, service->shared_database, true,
                             err);
    if (r == 0 && service->template_database)
        r = prepare_database(server, maintenance, arena, service, service->template_database, false,
                             err);
    return r;
}

int isolation_prepare_service(const struct isolation_server *server,
                              const struct isolation_service *service, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    int r = begin_service(server, &arena, service, &maintenance, err);
    return r < 0 ? r : prepare_all(server, maintenance, &arena, service, err);
}

static int forget_prepared(struct pg_connection *maintenance, struct arena *arena,
                           const char *database, struct error *err)
{
    bool exists = false;
    int r = isolation_server_database_exists(maintenance, database, &exists, err);
    if (r == 0 && exists)
        r = isolation_server_run(maintenance, err, "COMMENT ON DATABASE %s IS NULL",
                                 pg_identifier(arena, database));
    return r;
}

int isolation_renew_service(const struct isolation_server *server,
                            const struct isolation_service *service, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    int r = begin_service(server, &arena, service, &maintenance, err);
    for (size_t i = 0; r == 0 && i < service->shared_count; i++) {
        struct isolation_service of = *service;
        isolation_service_choose(&arena, &of, service->shared_databases[i]);
        r = claim_name(server, maintenance, &arena, &of, err);
        if (r == 0)
            r = forget_prepared(maintenance, &arena, of.shared_database, err);
        if (r == 0)
            r = prepare_all(server, maintenance, &arena, &of, err);
    }
    /* What has none there now gets none from here. */
    return r < 0 || service->shared_database
               ? r
               : prepare_all(server, maintenance, &arena, service, err);
}

/* ---- dropping a service ---- */

/* Every shared database, and the group roles of each; the default one's come last, whether there
 * is one or not. */
struct remains {
    const char **databases, **groups;
    size_t database_count, group_count;
};

static void find_remains(struct arena *arena, const struct isolation_service *service,
                         struct remains *ret)
{
    enum { GROUPS = 3 };
    size_t most = service->shared_count + 1;
    ret->databases = arena_zalloc(arena, most * sizeof(char *));
    ret->groups = arena_zalloc(arena, most * GROUPS * sizeof(char *));
    for (size_t i = 0; i < most; i++) {
        struct isolation_service of = *service;
        const char *database = i < service->shared_count ? service->shared_databases[i] : NULL;
        isolation_service_choose(arena, &of, database);
        if (of.shared_database)
            ret->databases[ret->database_count++] = of.shared_database;
        /* Roles that are members of others go first. */
        ret->groups[ret->group_count++] = of.run_role;
        ret->groups[ret->group_count++] = of.run_ro_role;
        ret->groups[ret->group_count++] = of.use_role;
    }
}

static int refuse_while_used(struct pg_connection *maintenance, struct arena *arena,
                             const struct isolation_service *service, const struct remains *remains,
                             struct error *err)
{
    const char *const parameters[] = {
        service->owner_role,
        pg_from_text_array(arena, (const char *const *)remains->databases, remains->database_count),
        service->template_database ? service->template_database : "",
        pg_from_text_array(arena, (const char *const *)remains->groups, remains->group_count)};
    _cleanup_pg_result_ struct pg_result *left = NULL;
    int r = pg_query(maintenance, sql_isolation_service_objects, 4, parameters, &left, err);
    if (r < 0 || pg_rows(left) == 0)
        return r;
    r = error_set(err, ERROR_STATE, "service \"%s\" still has tenants' objects: %s%s",
                  service->name, pg_text(left, 0, 0), pg_rows(left) > 1 ? " and others" : "");
    error_hint(err, "Detach every tenant from it first; a shared database that was left half made "
                    "goes with `reeve service drop-database`.");
    return r;
}

/* One that has come to be somebody else's is not dropped. Its fences are named after its oid, so
 * they are found as long as it is there. */
static int drop_shared(const struct isolation_server *server, struct pg_connection *maintenance,
                       struct arena *arena, const struct isolation_service *service,
                       struct error *err)
{
    const char *database = service->shared_database;
    int r = claim_name(server, maintenance, arena, service, err);
    if (r == 0)
        r = isolation_server_run_rows(maintenance, sql_isolation_drop_fences, 1, &database, err);
    failpoint("isolation.drop.fences.after");
    if (r == 0)
        r = isolation_server_drop_database(maintenance, arena, database, err);
    failpoint("isolation.drop.shared.after");
    return r;
}

static int drop_all_shared(const struct isolation_server *server, struct pg_connection *maintenance,
                           struct arena *arena, const struct isolation_service *service,
                           const struct remains *remains, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < remains->database_count; i++) {
        struct isolation_service of = *service;
        isolation_service_choose(arena, &of, remains->databases[i]);
        r = drop_shared(server, maintenance, arena, &of, err);
    }
    return r;
}

int isolation_drop_service(const struct isolation_server *server,
                           const struct isolation_service *service, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    struct remains remains = {0};
    find_remains(&arena, service, &remains);
    int r = begin_service(server, &arena, service, &maintenance, err);
    if (r == 0)
        r = refuse_while_used(maintenance, &arena, service, &remains, err);
    if (r == 0 && service->template_database)
        r = isolation_server_drop_database(maintenance, &arena, service->template_database, err);
    if (r == 0)
        r = drop_all_shared(server, maintenance, &arena, service, &remains, err);
    if (r == 0)
        r = isolation_contents_allow(server, service, false, err);
    for (size_t i = 0; r == 0 && i < remains.group_count; i++)
        r = isolation_server_drop_role(maintenance, &arena, remains.groups[i], err);
    return r < 0 ? r : isolation_server_drop_role(maintenance, &arena, service->owner_role, err);
}

int isolation_shared_remains(const struct isolation_server *server,
                             const struct isolation_service *service, bool *ret, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    const char *const roles[] = {service->run_role, service->run_ro_role, service->use_role};
    const char *const parameters[] = {service->shared_database,
                                      pg_from_text_array(&arena, roles, array_size(roles))};
    int r = isolation_server_connect(server, NULL, &maintenance, err);
    if (r == 0)
        r = check_foreign(server, maintenance, &arena, service, err);
    return r < 0 ? r
                 : isolation_server_ask(maintenance, sql_isolation_shared_remains, 2, parameters,
                                        ret, err);
}

int isolation_drop_shared(const struct isolation_server *server,
                          const struct isolation_service *service, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    int r = begin_service(server, &arena, service, &maintenance, err);
    if (r == 0)
        r = drop_shared(server, maintenance, &arena, service, err);
    const char *const roles[] = {service->run_role, service->run_ro_role, service->use_role};
    for (size_t i = 0; r == 0 && i < array_size(roles); i++)
        r = isolation_server_drop_role(maintenance, &arena, roles[i], err);
    return r;
}

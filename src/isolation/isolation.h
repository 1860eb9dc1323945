/*
 * isolation.h - what each isolation means in SQL.
 *
 * The only room that knows the modes: database.c, schema.c and row.c each fill one table of
 * functions, and everybody else passes a `const struct isolation *` about. Every function may be
 * run again after a crash at any point (it looks before it makes or drops), and every server object
 * derives from the service's and the placement's ids, so nothing is ever searched for by guess.
 *
 * The order of work for one placement, as a job runs it:
 *
 *   isolation_prepare_cluster     once a cluster (cheap to run again)
 *   isolation_prepare_service     once a service and cluster (cheap to run again)
 *   isolation_base_target         when true: migrate that target to the newest version first
 *   isolation_create              roles, place (schema, database or nothing), role_tenant row
 *   isolation_target              migrate this target: isolation_apply_migration a migration
 *   isolation_finish              grants, and in a new database its tenant's default and checks
 *
 * and isolation_drop, which is also the compensation of all of these. No thread affinity: a caller
 * uses its own connections. Two calls for one placement at once are the caller's to prevent;
 * calls for different placements of one service may run at once.
 *
 * Errors: ERROR_SERVER and ERROR_CONNECTION as pg/ reports them, ERROR_BUSY when a database is in
 * use (retry later), ERROR_MIGRATION when a migration fails or cannot be shaped.
 */
#ifndef ISOLATION_ISOLATION_H
#define ISOLATION_ISOLATION_H

#include "base/arena.h"
#include "base/error.h"

struct isolation_placement;
struct pg_connection;

/* ---- modes ---- */

struct isolation; /* a mode; static, never freed */

/* "row", "schema" or "database"; NULL for any other name. */
const struct isolation *isolation_find(const char *name);
/* The modes from the weakest to the strongest; NULL past the last. */
const struct isolation *isolation_at(size_t index);
const char *isolation_name(const struct isolation *isolation);
/* Whether other tenants' rows are in the same tables. */
bool isolation_shares_tables(const struct isolation *isolation);
/* Whether they are in the same database. */
bool isolation_shares_database(const struct isolation *isolation);
/* One line for people: "rows of shared tables, kept apart by row-level security". */
const char *isolation_summary(const struct isolation *isolation);
/* ERROR_USAGE that lists the names there are; *ret untouched. */
int isolation_parse(const char *name, const struct isolation **ret, struct error *err);

/* ---- what there is to name ---- */

/* The guard as a cluster has it (enforcement `guard`). */
struct isolation_guard {
    const char *library;       /* as CREATE FUNCTION names it on that server */
    const char *pool_role;     /* logs in for shared sessions, has no right */
    const char *pool_verifier; /* its SCRAM verifier; NULL keeps the role's password */
};

/* A service on one cluster. Strings belong to the arena given to isolation_service_init, except
 * owner_verifier, which the caller sets. */
struct isolation_service {
    int64_t id;
    const char *name;
    unsigned int allowed;        /* the modes, a bit each */
    bool shaped;                 /* an allowed mode needs every table in shape (DESIGN 6) */
    const char *shared_database; /* the one that is meant: "svc_orders", unless another was
                                  * chosen; NULL when no allowed mode uses it */
    bool shared_is_new; /* nobody knows of that one yet: what the server has of its name can be no
                         * more than half made */
    const char *const *shared_databases; /* all that there are; of a new service, the one above */
    size_t shared_count;
    const char *template_database; /* "tpl_orders"; NULL likewise */
    const char *owner_role;        /* "own_orders": LOGIN, owns databases, schemas and tables */
    const char *use_role;          /* "use_orders": CONNECT on shared_database, on no other */
    const char *run_role;          /* "run_orders", "run_orders_ro": privileges on its schema */
    const char *run_ro_role;       /* `app` (row isolation) */
    const char *owner_verifier;    /* SCRAM verifier; NULL keeps the role's password */
    const struct isolation_guard *guard; /* NULL: the cluster has none */
};

/* Fills everything but owner_verifier (NULL). */
void isolation_service_init(struct arena *arena, int64_t service_id, const char *service_name,
                            const struct isolation *const *allowed, size_t allowed_count,
                            struct isolation_service *ret);

/* Another of its shared databases is meant from here on (NULL or "": the default one,
 * "svc_orders"), with the group roles of that one; it is not new. Which there are
 * (shared_databases) stays as it is. Strings in the arena. Of a service that has no shared
 * database, nothing changes. */
void isolation_service_choose(struct arena *arena, struct isolation_service *service,
                              const char *database);
/* "svc_orders"; NULL when no allowed mode uses one. In the arena. */
const char *isolation_default_database(struct arena *arena,
                                       const struct isolation_service *service);
/* The service with that placement's shared database chosen. */
struct isolation_service isolation_service_of(struct arena *arena,
                                              const struct isolation_service *service,
                                              const struct isolation_placement *placement);
/* Whether a shared database may get that name; ERROR_INVALID. */
int isolation_check_database_name(const char *name, struct error *err);

/* Strings as above; the verifiers are the caller's. */
struct isolation_placement {
    int64_t id;
    int64_t generation; /* of its place, from 1: a move makes the next beside it */
    int64_t tenant_id;
    const struct isolation *isolation;
    const char *database; /* "svc_orders" or "d_000042"; of generation 2, "d_000042_2" */
    const char *schema;   /* "app" or "t_000042" */
    const char *role;     /* "t_000042": LOGIN, reads and writes */
    const char *ro_role;  /* "t_000042_ro": LOGIN, reads */
    const char
        *role_verifier; /* SCRAM verifiers; NULL keeps the role's password (it must be there) */
    const char *ro_verifier;
    const char *tenant_slug; /* for reeve.tenant_slug(); NULL: not known */
    bool guarded;            /* enforcement `guard`: its roles do not log in */
    const char *enter_role;  /* the roles that a shared session gets; NULL unless guarded */
    const char *enter_ro_role;
};

/* Fills everything but the verifiers (NULL), for generation 1. The mode must be one that the
 * service allows. */
void isolation_placement_init(struct arena *arena, const struct isolation_service *service,
                              const struct isolation *isolation, int64_t placement_id,
                              int64_t tenant_id, struct isolation_placement *ret);

/* The same in another generation: other names for whatever is its own. Before
 * isolation_placement_guard. */
void isolation_placement_set_generation(struct arena *arena,
                                        const struct isolation_service *service,
                                        struct isolation_placement *placement, int64_t generation);

/* The placement's enforcement becomes `guard`, if its mode shares a database and the service has
 * the guard. Returns whether it has. */
bool isolation_placement_guard(const struct isolation_service *service,
                               struct isolation_placement *placement);

/* "schema t_000042 in database svc_orders on cluster local". */
const char *isolation_describe(struct arena *arena, const struct isolation_placement *placement,
                               const char *cluster_name);

/* A cluster, as its administrator. `connect` opens a connection to one of its databases (NULL: the
 * maintenance database) that the callee closes; the administrator is a superuser, or has CREATEDB
 * and CREATEROLE. */
struct isolation_server {
    int (*connect)(void *context, const char *database, struct pg_connection **ret,
                   struct error *err);
    void *context;
};

/* What was done, a line each, for people. `lines` live in the arena. NULL where a report is asked
 * for means: not wanted. */
struct isolation_report {
    struct arena *arena;
    const char **lines;
    size_t count, capacity;
};
void isolation_report_init(struct isolation_report *report, struct arena *arena);
void isolation_report_add(struct isolation_report *report, const char *format, ...)
    reeve_printf(2, 3);

/* ---- the guard ---- */

/* Which of the libraries (as CREATE FUNCTION names them) the server can load as the guard: *ret is
 * one of them, or NULL with a reason for people in the arena. Changes nothing. */
int isolation_guard_find(const struct isolation_server *server, const char *const *libraries,
                         size_t count, struct arena *arena, const char **ret,
                         const char **ret_reason, struct error *err);
/* The pool role. */
int isolation_guard_prepare(const struct isolation_server *server,
                            const struct isolation_guard *guard, struct error *err);

/* ---- making and dropping ---- */

/* Takes away what PostgreSQL gives to everybody on `postgres`, `template1` and the maintenance
 * database: CONNECT, TEMPORARY, CREATE on public. */
int isolation_prepare_cluster(const struct isolation_server *server, struct error *err);
/* The same for one more database, such as the control database. */
int isolation_close_database(const struct isolation_server *server, const char *database,
                             struct error *err);
/* Owner role, group roles, the shared database that is meant and the template, each with the
 * schemas `reeve` and `app`. owner_verifier is needed when the owner role is not there yet
 * (ERROR_STATE). ERROR_EXISTS: isolation_check_foreign. */
int isolation_prepare_service(const struct isolation_server *server,
                              const struct isolation_service *service, struct error *err);
/* ERROR_EXISTS when the server has a database with the name of the one that is meant, which is not
 * this service's: nobody's database is taken over. Nor is one of the service's owner where the
 * meant one is new (shared_is_new) and that has been migrated: a backup, say, under another name.
 * The default one's name is Reeve's own. */
int isolation_check_foreign(const struct isolation_server *server,
                            const struct isolation_service *service, struct error *err);
/* The same for every shared database (shared_databases), but believes no mark that it has it all:
 * somebody may have been there by hand. */
int isolation_renew_service(const struct isolation_server *server,
                            const struct isolation_service *service, struct error *err);
/* Drops all that isolation_prepare_service made, for every shared database. ERROR_STATE while a
 * tenant's objects are left. */
int isolation_drop_service(const struct isolation_server *server,
                           const struct isolation_service *service, struct error *err);

/* Whether the server has the shared database that is meant, or anything of a making of it that was
 * cut off. ERROR_EXISTS: isolation_check_foreign. */
int isolation_shared_remains(const struct isolation_server *server,
                             const struct isolation_service *service, bool *ret, struct error *err);
/* Drops the shared database that is meant, with its groups and fences: the caller knows that no
 * tenant is there. ERROR_EXISTS: isolation_check_foreign. */
int isolation_drop_shared(const struct isolation_server *server,
                          const struct isolation_service *service, struct error *err);

/* The placement's roles and its place. New verifiers replace those of roles that are there. */
int isolation_create(const struct isolation_server *server, const struct isolation_service *service,
                     const struct isolation_placement *placement, struct error *err);
/* Ends the sessions of the placement's roles, then drops what is the tenant's and nothing else:
 * rows, schema or database, settings, ledger, roles. What is gone already is passed over. */
int isolation_drop(const struct isolation_server *server, const struct isolation_service *service,
                   const struct isolation_placement *placement, struct error *err);
/* Every server object, and every table with rows, that belongs to the placement, in any mode: a
 * line each ("role t_000042", "schema t_000042 in database svc_orders", "database d_000042",
 * "3 rows in app.orders in database svc_orders"). Nothing when nothing is left. */
int isolation_inspect(const struct isolation_server *server,
                      const struct isolation_service *service,
                      const struct isolation_placement *placement, struct isolation_report *ret,
                      struct error *err);
/* Takes away what the other enforcement needed, when no proxy uses it any more: behind a switch to
 * `guard`, the login roles' sessions and right to log in. */
int isolation_settle(const struct isolation_server *server, const struct isolation_service *service,
                     const struct isolation_placement *placement, struct error *err);
/* Lets the placement's roles log in or not (suspension, fencing), and ends their sessions when
 * not. Roles that are not there are passed over. */
int isolation_set_login(const struct isolation_server *server,
                        const struct isolation_placement *placement, bool allowed,
                        struct error *err);

/* Closes the place to its tenant, whoever believes that it is still there (a proxy that was cut
 * off): login sessions are ended, and no transaction begins behind it. Where there is a guard,
 * those that began before are waited for, timeout_us at most (0: not at all, as it is known that
 * there is none). ERROR_BUSY: some go on. Doing it twice is no error. What closes shared tables
 * stays when the place is dropped, until isolation_unfence. */
int isolation_fence(const struct isolation_server *server, const struct isolation_service *service,
                    const struct isolation_placement *placement, int64_t timeout_us,
                    struct error *err);
int isolation_unfence(const struct isolation_server *server,
                      const struct isolation_service *service,
                      const struct isolation_placement *placement, struct error *err);

/* ---- migrating ---- */

/* Where migrations run: log in to `database` as `owner_role`. The ledger table reeve.migration
 * there has a row a (target = `schema`, version). Two placements with the same database and schema
 * share the target: migrate it once. Strings live as long as the service's and placement's. */
struct isolation_target {
    const struct isolation *isolation;
    const char *database;
    const char *schema;
    const char *owner_role;
    const char *grant_role; /* who gets privileges on tables; NULL: nobody (a template) */
    const char *grant_ro_role;
    bool shaped;
    bool row_security;       /* tables are shared: policies; else default and check of tenant_id */
    int64_t tenant_id;       /* 0: no single tenant (shared tables, a template) */
    const char *description; /* "the shared tables of service orders", "tenant place t_000042" */
};

/* What of the service must be at the newest version before isolation_create, in the database that
 * is meant. False: nothing. */
bool isolation_base_target(struct arena *arena, const struct isolation_service *service,
                           const struct isolation *isolation, struct isolation_target *ret);
/* Where the placement's own migrations run (for row isolation, the same as the base target). */
void isolation_target(struct arena *arena, const struct isolation_service *service,
                      const struct isolation_placement *placement, struct isolation_target *ret);

/* Every target that `reeve migrate` must visit for the service itself: the template, and the shared
 * tables of every shared database. In the arena; returns how many. */
size_t isolation_base_targets(struct arena *arena, const struct isolation_service *service,
                              const struct isolation_target **ret);

/*
 * Runs inside the caller's transaction on a connection as the owner role, first thing in it: sets
 * search_path and what else the migration may count on, and takes a lock on the target that lasts
 * as long as the transaction, so that two migrations of one target never run at once. Read the
 * ledger after this.
 */
int isolation_begin_migration(struct pg_connection *owner, const struct isolation_target *target,
                              struct error *err);
/*
 * Runs one migration file's text in the caller's transaction (after isolation_begin_migration):
 * rewriting, the statements, shaping, grants. Writes no ledger row. On an error the caller rolls
 * back, and nothing is changed. ERROR_MIGRATION names statement line, table and constraint.
 */
int isolation_apply_migration(struct pg_connection *owner, const struct isolation_target *target,
                              const char *sql, struct isolation_report *report, struct error *err);
/* Shaping and grants without a migration, in a transaction of its own: after isolation_create in a
 * database made from a template, as a repair, and when a service comes to allow row isolation. */
int isolation_finish(struct pg_connection *owner, const struct isolation_target *target,
                     struct isolation_report *report, struct error *err);
/* The parts of the above, in the caller's transaction. */
int isolation_shape(struct pg_connection *owner, const struct isolation_target *target,
                    struct isolation_report *report, struct error *err);
int isolation_grant(struct pg_connection *owner, const struct isolation_target *target,
                    struct error *err);

#endif

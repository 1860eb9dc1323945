/* migration.c - running one migration's text in a target, with what goes before and behind it. */
#include "base/failpoint.h"
#include "isolation/rewrite.h"
#include "isolation/server.h"
#include "isolation/shape.h"
#include "sql/statements.h"

static int set_search_path(struct pg_connection *owner, const struct isolation_target *target,
                           struct error *err)
{
    return pg_execute(owner, sql_isolation_set_search_path, 1, &target->schema, NULL, err);
}

int isolation_begin_migration(struct pg_connection *owner, const struct isolation_target *target,
                              struct error *err)
{
    if (!pg_in_transaction(owner))
        return error_set(err, ERROR_INTERNAL, "a migration of %s outside a transaction",
                         target->description);
    char lock[128];
    snprintf(lock, sizeof(lock), "target %.64s", target->schema);
    int r = isolation_server_lock_transaction(owner, lock, err);
    if (r < 0)
        return r;
    return set_search_path(owner, target, err);
}

/* ---- the statements ---- */

struct shaped_tables {
    const struct pg_result *names;
};

static bool is_shaped(void *context, const char *table)
{
    const struct shaped_tables *tables = context;
    for (size_t i = 0; tables->names && i < pg_rows(tables->names); i++)
        if (strcmp(pg_text(tables->names, i, 0), table) == 0)
            return true;
    return false;
}

/* The line of the file that the server's error points at; positions count characters. */
static int failed_line(const struct pg_connection *owner, const struct statement *statement)
{
    int line = statement->line, position = pg_last_failure(owner)->position;
    for (const char *c = statement->sql; *c && position > 1; c++) {
        if (((unsigned char)c[1] & 0xC0) != 0x80)
            position--;
        line += *c == '\n';
    }
    return line;
}

static int explain_failure(int r, const struct pg_connection *owner,
                           const struct isolation_target *target, const struct statement *statement,
                           struct error *err)
{
    if (r != -ERROR_SERVER || !err)
        return r;
    if (target->shaped && strcmp(err->sqlstate, "42830") == 0 && !err->hint[0])
        error_hint(err, "Keys of tenants' tables have tenant_id as well; write the foreign key as "
                        "plain SQL, not in a DO block, and Reeve sees to it.");
    if (target->shaped && strcmp(err->sqlstate, "42P10") == 0 && !err->hint[0])
        error_hint(err,
                   "Unique keys of tenants' tables have tenant_id as well: name the constraint "
                   "(ON CONFLICT ON CONSTRAINT ...) or the whole key.");
    if (target->shaped && strcmp(err->sqlstate, "23502") == 0 && !err->hint[0])
        error_hint(err, "A migration belongs to no tenant: it may put rows only into shared "
                        "reference tables, or must name tenant_id.");
    error_prefix(err, "line %d", failed_line(owner, statement));
    err->code = -ERROR_MIGRATION;
    return -ERROR_MIGRATION;
}

static int run_statements(struct pg_connection *owner, const struct isolation_target *target,
                          const struct rewrite *rewrite, struct error *err)
{
    for (size_t i = 0; i < rewrite->statement_count; i++) {
        const struct statement *statement = &rewrite->statements[i];
        int r = pg_execute_script(owner, statement->sql, err);
        if (r < 0)
            return explain_failure(r, owner, target, statement, err);
    }
    return 0;
}

/* Everything of a service is in its one schema: what stands elsewhere would belong to nobody. */
static int check_outside(struct pg_connection *owner, const struct isolation_target *target,
                         struct error *err)
{
    _cleanup_pg_result_ struct pg_result *outside = NULL;
    int r = pg_query(owner, sql_isolation_outside_objects, 1, &target->schema, &outside, err);
    if (r < 0 || pg_rows(outside) == 0)
        return r;
    r = error_set(err, ERROR_MIGRATION, "the migration made or changed \"%s\", outside its schema",
                  pg_text(outside, 0, 0));
    error_hint(err, "Write names without a schema.");
    return r;
}

static int apply(struct pg_connection *owner, const struct isolation_target *target,
                 struct arena *arena, const char *sql, struct isolation_report *report,
                 struct error *err)
{
    _cleanup_pg_result_ struct pg_result *names = NULL;
    struct shaped_tables tables = {NULL};
    struct rewrite rewrite;
    int r = 0;
    if (target->shaped) {
        r = pg_query(owner, sql_isolation_tenant_tables, 1, &target->schema, &names, err);
        tables.names = names;
    }
    if (r == 0)
        r = isolation_rewrite_migration(arena, sql, is_shaped, &tables, &rewrite, err);
    if (r == 0)
        r = set_search_path(owner, target, err);
    if (r == 0)
        r = run_statements(owner, target, &rewrite, err);
    /* Nothing may be left waiting for the transaction's end: tables with pending triggers cannot be
     * altered. */
    if (r == 0)
        r = pg_execute(owner, "SET CONSTRAINTS ALL IMMEDIATE", 0, NULL, NULL, err);
    if (r == 0)
        r = set_search_path(owner, target, err);
    if (r == 0)
        r = check_outside(owner, target, err);
    if (r == 0 && target->shaped)
        r = shape_target(owner, target, rewrite.keys, rewrite.key_count, report, err);
    if (r == 0)
        r = isolation_grant(owner, target, err);
    return r;
}

int isolation_apply_migration(struct pg_connection *owner, const struct isolation_target *target,
                              const char *sql, struct isolation_report *report, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    struct error own;
    return apply(owner, target, &arena, sql, report, err ? err : &own);
}

/* ---- privileges ---- */

int isolation_grant(struct pg_connection *owner, const struct isolation_target *target,
                    struct error *err)
{
    const char *const parameters[] = {target->schema, target->grant_role ? target->grant_role : "",
                                      target->grant_ro_role ? target->grant_ro_role : ""};
    return isolation_server_run_rows(owner, sql_isolation_grants, 3, parameters, err);
}

int isolation_finish(struct pg_connection *owner, const struct isolation_target *target,
                     struct isolation_report *report, struct error *err)
{
    int r = pg_begin(owner, err);
    if (r < 0)
        return r;
    _cleanup_pg_rollback_ struct pg_connection *transaction = owner;
    r = isolation_begin_migration(transaction, target, err);
    if (r == 0)
        r = isolation_shape(transaction, target, report, err);
    if (r == 0)
        r = isolation_grant(transaction, target, err);
    if (r < 0)
        return r;
    return pg_commit(transaction, err);
}

#include "migrate/apply.h"

#include "audit/audit.h"
#include "base/failpoint.h"
#include "isolation/rewrite.h"
#include "migrate/ledger.h"
#include "pg/connection.h"
#include "sql/statements.h"

/* Long enough for the odd transaction to end; short enough that those who queue up behind a
 * waiting ALTER TABLE are not held for long. */
static const char lock_timeout[] = "SET LOCAL lock_timeout = '10s'";

int migrate_open_owner(const struct migrate_login *login, const char *database,
                       const char *owner_role, const char *application_name,
                       struct pg_connection **ret, struct error *err)
{
    char context[CATALOG_SECRET_CONTEXT_SIZE];
    catalog_owner_context(login->cluster_id, owner_role, context);
    _cleanup_catalog_wipe_ char *password = NULL;
    int r = catalog_unseal(login->master_key, context, &login->owner_password, &password, err);
    if (r < 0)
        return r;
    const struct pg_options options = {
        .conninfo = login->conninfo,
        .user = owner_role,
        .password = password,
        .database = database,
        .application_name = application_name,
        .statement_timeout_us = PG_NO_TIMEOUT, /* a migration may rewrite a large table */
        .cancelled = login->cancelled,
    };
    return pg_connect(&options, ret, err);
}

static int open_owner(const struct migrate_login *login, const struct isolation_target *target,
                      struct pg_connection **ret, struct error *err)
{
    return migrate_open_owner(login, target->database, target->owner_role, "reeve migrate", ret,
                              err);
}

static int transaction_id(struct pg_connection *owner, struct arena *arena, const char **ret,
                          struct error *err)
{
    _cleanup_pg_result_ struct pg_result *row = NULL;
    int r = pg_query(owner, sql_migrate_transaction_id, 0, NULL, &row, err);
    if (r < 0)
        return r;
    *ret = pg_text_copy(row, 0, 0, arena);
    return 0;
}

/* A migration that ended the transaction would leave a half-migrated place behind. */
static int check_transaction(struct pg_connection *owner, struct arena *arena, const char *expected,
                             struct error *err)
{
    const char *id = NULL;
    if (pg_in_transaction(owner)) {
        int r = transaction_id(owner, arena, &id, err);
        if (r < 0)
            return r;
    }
    if (!id || strcmp(id, expected) != 0)
        return error_set(err, ERROR_MIGRATION, "the migration ended its transaction");
    return 0;
}

/* "0003_x.sql: ..." with the SQLSTATE, when there is one, where the message can be read alone. */
static void name_failure(struct error *err, const struct migration *migration)
{
    if (!err)
        return;
    error_prefix(err, "migration \"%s\"", migration->file);
    if (err->code == -ERROR_SERVER)
        err->code = -ERROR_MIGRATION;
}

static int apply_one(struct pg_connection *owner, const struct isolation_target *target,
                     const struct migration *migration, const char *transaction,
                     struct isolation_report *report, struct error *err)
{
    int r = isolation_apply_migration(owner, target, migration->sql, report, err);
    if (r == 0)
        r = check_transaction(owner, report->arena, transaction, err);
    if (r == 0)
        r = ledger_add(owner, target->schema, migration, err);
    if (r == 0)
        return 0;
    name_failure(err, migration);
    return r == -ERROR_SERVER ? -ERROR_MIGRATION : r;
}

/* The worst of it is the error, others its detail. */
static int refuse_findings(const struct audit_report *findings, const struct migration *last,
                           struct error *err)
{
    const struct audit_finding *worst = &findings->findings[0];
    size_t others = audit_report_number(findings, AUDIT_CRITICAL) - 1;
    error_set(err, ERROR_MIGRATION, "%s: %s %s", worst->code, worst->object, worst->message);
    error_hint(err, "%s", worst->remedy);
    if (others > 0)
        error_detail(err, "The audit found %zu more; the next is %s: %s.", others, worst[1].code,
                     worst[1].object);
    error_prefix(err, "the audit behind migration \"%s\"", last->file);
    return -ERROR_MIGRATION;
}

/*
 * Behind the last file and in its transaction: what the files made of the place must keep tenants
 * apart, or none of it stays. Shaping and grants have put right what they know of; this finds what
 * a DO block did besides.
 */
static int audit(struct pg_connection *owner, const struct isolation_target *target,
                 const struct ledger_plan *plan, struct arena *arena, struct error *err)
{
    if (mutation("migrate.audit"))
        return 0;
    struct audit_report findings;
    audit_report_init(&findings, arena);
    int r = audit_target(owner, target, &findings, err);
    if (r < 0 || audit_report_number(&findings, AUDIT_CRITICAL) == 0)
        return r;
    audit_report_sort(&findings);
    return refuse_findings(&findings, plan->pending[plan->count - 1], err);
}

static int apply_pending(struct pg_connection *owner, const struct isolation_target *target,
                         const struct ledger_plan *plan, struct isolation_report *report,
                         struct error *err)
{
    const char *transaction;
    int r = transaction_id(owner, report->arena, &transaction, err);
    for (size_t i = 0; r == 0 && i < plan->count; i++)
        r = apply_one(owner, target, plan->pending[i], transaction, report, err);
    if (r == 0)
        r = audit(owner, target, plan, report->arena, err);
    if (r < 0)
        return r;
    failpoint("migrate.target.commit.before");
    r = pg_commit(owner, err);
    if (r < 0)
        return r;
    failpoint("migrate.target.commit.after");
    return 0;
}

static void result_fill(struct arena *arena, const struct ledger_plan *plan,
                        const struct isolation_report *report, struct migrate_result *ret)
{
    const char **files = arena_zalloc(arena, (plan->count + 1) * sizeof(*files));
    for (size_t i = 0; i < plan->count; i++)
        files[i] = plan->pending[i]->file;
    *ret = (struct migrate_result){
        .from = plan->from,
        .to = plan->to,
        .files = files,
        .file_count = plan->count,
        .notes = report->lines,
        .note_count = report->count,
    };
}

int migrate_target(const struct migrate_login *login, const struct isolation_target *target,
                   const struct migration_set *set, bool dry_run, struct arena *arena,
                   struct migrate_result *ret, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *owner = NULL;
    int r = open_owner(login, target, &owner, err);
    if (r < 0)
        return r;
    struct ledger_plan plan;
    struct isolation_report report;
    isolation_report_init(&report, arena);
    r = pg_begin(owner, err);
    if (r < 0)
        return r;
    _cleanup_pg_rollback_ struct pg_connection *transaction = owner;
    if (!dry_run) { /* the ledger is read behind the target's lock */
        r = pg_execute(transaction, lock_timeout, 0, NULL, NULL, err);
        if (r == 0)
            r = isolation_begin_migration(transaction, target, err);
        if (r < 0)
            return r;
    }
    r = ledger_read(transaction, target->schema, set, arena, &plan, err);
    if (r < 0)
        return r;
    if (!dry_run && plan.count > 0) {
        r = apply_pending(transaction, target, &plan, &report, err);
        if (r < 0)
            return r;
    }
    result_fill(arena, &plan, &report, ret);
    return 0;
}

int migrate_finish(const struct migrate_login *login, const struct isolation_target *target,
                   struct arena *arena, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *owner = NULL;
    int r = open_owner(login, target, &owner, err);
    if (r < 0)
        return r;
    struct isolation_report report;
    isolation_report_init(&report, arena);
    return isolation_finish(owner, target, &report, err);
}

static bool never_shaped(void *context, const char *table)
{
    (void)context;
    (void)table;
    return false;
}

int migrate_check_folder(const char *folder, struct arena *arena, struct migration_set *ret,
                         struct error *err)
{
    struct migration_set set;
    int r = migration_folder_read(folder, arena, &set, err);
    for (size_t i = 0; r == 0 && i < set.count; i++) {
        struct rewrite ignored;
        r = isolation_rewrite_migration(arena, set.migrations[i].sql, never_shaped, NULL, &ignored,
                                        err);
        if (r < 0)
            name_failure(err, &set.migrations[i]);
    }
    if (r < 0)
        return r;
    *ret = set;
    return 0;
}

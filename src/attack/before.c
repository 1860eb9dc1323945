/*
 * before.c - what shared tables are like before a tenant is made.
 *
 * Making a tenant brings the tables that it will share into shape, and so would take away what an
 * auditor wants to know. Therefore the same shaping is done first in a transaction that is rolled
 * back: whatever it would change is a finding.
 */
#include "attack/internal.h"
#include "base/time.h"
#include "migrate/migrate.h"
#include "pg/quote.h"
#include "sql/statements.h"

/* Tenants wait for what is locked meanwhile; but nothing is, where there is nothing to repair. */
static const char patience[] = "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'";

/* Attaching a tenant applies migrations that wait. That is not for an audit to do. */
static int check_pending(const struct site *site, const struct isolation_target *target,
                         struct arena *arena, struct error *err)
{
    struct migration_set set;
    struct migrate_result pending = {0};
    int result = migrate_check_folder(site->service.migrations_dir, arena, &set, err);
    if (result == 0)
        result = migrate_target(&site->login, target, &set, true, arena, &pending, err);
    if (result < 0 || pending.file_count == 0)
        return result;
    result = error_set(err, ERROR_STATE,
                       "%s have not had every migration: making a tenant would"
                       " apply them",
                       target->description);
    error_hint(err, "reeve migrate %s", site->service.name);
    return result;
}

static int list_rights(struct pg_connection *admin, const struct isolation_target *target,
                       struct isolation_report *report, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *rows = NULL;
    int result = pg_query(admin, sql_attack_rights_before, 1, &target->schema, &rows, err);
    for (size_t i = 0; result == 0 && i < pg_rows(rows); i++)
        isolation_report_add(report, "%s", pg_text(rows, i, 0));
    return result;
}

/* Says in `report` what shaping would change, and changes nothing. */
static int try_shaping(struct pg_connection *admin, const struct isolation_target *target,
                       struct arena *arena, struct isolation_report *report, struct error *err)
{
    int result = pg_begin(admin, err);
    if (result < 0)
        return result;
    _cleanup_pg_rollback_ struct pg_connection *transaction = admin;
    result = pg_execute_script(transaction, patience, err);
    if (result == 0)
        result = pg_execute(
            transaction,
            arena_printf(arena, "SET LOCAL ROLE %s", pg_identifier(arena, target->owner_role)), 0,
            NULL, NULL, err);
    if (result == 0)
        result = isolation_begin_migration(transaction, target, err);
    return result < 0 ? result : isolation_shape(transaction, target, report, err);
}

static void conclude(const struct isolation_report *report, const struct error *refusal,
                     struct arena *arena, struct attack_result *ret)
{
    _cleanup_buffer_ struct buffer found = BUFFER_INIT(ATTACK_TEXT_MAX);
    for (size_t i = 0; i < report->count; i++)
        buffer_printf(&found, "%s%s", i > 0 ? "; " : "", report->lines[i]);
    if (refusal->code != 0) {
        ret->why = arena_printf(arena, "no tenant can be made, and no attack was tried: %s%s%s",
                                refusal->message, refusal->detail[0] ? "; " : "", refusal->detail);
        ret->verdict = ATTACK_FINDING;
    } else if (report->count > 0) {
        ret->why =
            arena_printf(arena, "making the tenants has repaired it: %s", buffer_string(&found));
        ret->verdict = ATTACK_FINDING;
    }
    ret->back = ret->verdict == ATTACK_PASS ? "nothing" : "";
}

/* What says something of the tables, and not of the way to them. */
static bool is_refusal(int result)
{
    return result == -ERROR_MIGRATION || result == -ERROR_BUSY || result == -ERROR_TIMEOUT;
}

static int look(const struct attack_options *options, struct site *site,
                const struct isolation_target *target, struct arena *arena,
                struct attack_result *ret, bool *ret_refused, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    struct server server;
    struct isolation_report report;
    struct error refusal = {0};
    server_init(&server, options->job, &site->cluster);
    isolation_report_init(&report, arena);
    int result = server_connect(&server, target->database, &admin, err);
    if (result == 0)
        result = list_rights(admin, target, &report, err);
    if (result < 0)
        return result;
    result = try_shaping(admin, target, arena, &report, &refusal);
    if (result < 0 && !is_refusal(result)) {
        if (err)
            *err = refusal;
        return result;
    }
    *ret_refused = result < 0;
    conclude(&report, &refusal, arena, ret);
    return 0;
}

int before_tenants(const struct attack_options *options, struct catalog *catalog,
                   const struct attack_target *target, struct arena *arena,
                   struct attack_result *ret, bool *ret_applies, bool *ret_refused,
                   struct error *err)
{
    struct site site;
    struct isolation_target base;
    const struct isolation *isolation = isolation_find(target->isolation);
    *ret_applies = *ret_refused = false;
    int result = site_load_at(options->job, catalog, arena, target->service_id, target->cluster_id,
                              target->database, &site, err);
    /* Without an owner role nothing of the service is on this cluster yet. */
    if (result < 0 || site.login.owner_password.length == 0 ||
        !isolation_base_target(arena, &site.isolation, isolation, &base))
        return result;
    result = check_pending(&site, &base, arena, err);
    if (result < 0 || !base.row_security)
        return result;
    *ret_applies = true;
    *ret = (struct attack_result){.id = "rows.shape",
                                  .threat = 8,
                                  .title = "shared tables before the tenants were made",
                                  .verdict = ATTACK_PASS,
                                  .tried = "what shaping, and taking rights back, would change"};
    return look(options, &site, &base, arena, ret, ret_refused, err);
}

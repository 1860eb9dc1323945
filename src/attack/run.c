/* run.c - a run of the suite: what there is to attack, each target in turn, and the end. */
#include "attack/internal.h"
#include "base/time.h"
#include "catalog/audit_event.h"
#include "sql/statements.h"

const struct attack *const attack_tables[] = {
    attacks_context, attacks_role,    attacks_guard, attacks_rows, attacks_leftover,
    attacks_names,   attacks_objects, attacks_login, NULL,
};

/* A run of the suite. */
struct run {
    const struct attack_options *options;
    struct catalog *catalog;
    struct attack_report *report;
    size_t number, count; /* of attacks, for the progress */
};

static size_t attack_count(void)
{
    size_t count = 0;
    for (size_t i = 0; attack_tables[i]; i++)
        for (const struct attack *attack = attack_tables[i]; attack->id; attack++)
            count++;
    return count;
}

static void tell(const struct run *run, size_t number, const char *text)
{
    if (run->options->progress)
        run->options->progress(run->options->progress_owner, number, run->count, text);
}

/* ---- targets ---- */

static bool is_wanted(const struct attack_options *options, const char *isolation,
                      int64_t placements)
{
    for (size_t i = 0; i < options->isolation_count; i++)
        if (strcmp(options->isolations[i], isolation) == 0)
            return true;
    return options->isolation_count == 0 && placements > 0;
}

static int no_target(const struct attack_options *options, struct error *err)
{
    int result =
        error_set(err, ERROR_NOT_FOUND, "there is nothing to attack%s%s%s",
                  options->service ? ": service \"" : "", options->service ? options->service : "",
                  options->service ? "\" has no placement that is ready" : "");
    error_hint(err, "attach a tenant first, or say with --isolation what shall be attacked");
    return result;
}

static int find_targets(struct run *run, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *rows = NULL;
    struct attack_report *report = run->report;
    struct arena *arena = &report->arena;
    int result = pg_query(catalog_connection(run->catalog), sql_attack_targets, 1,
                          &run->options->service, &rows, err);
    if (result < 0)
        return result;
    report->targets = arena_zalloc(arena, (pg_rows(rows) + 1) * sizeof(*report->targets));
    for (size_t i = 0; i < pg_rows(rows); i++) {
        if (!is_wanted(run->options, pg_text(rows, i, 2), pg_i64(rows, i, 5)))
            continue;
        report->targets[report->target_count++] = (struct attack_target){
            .service_id = pg_i64(rows, i, 0),
            .service = pg_text_copy(rows, i, 1, arena),
            .isolation = pg_text_copy(rows, i, 2, arena),
            .cluster_id = pg_i64(rows, i, 3),
            .cluster = pg_text_copy(rows, i, 4, arena),
            .enforcement = pg_text_copy(rows, i, 6, arena),
            .database = pg_is_null(rows, i, 7) ? NULL : pg_text_copy(rows, i, 7, arena),
            .placements = pg_i64(rows, i, 5)};
    }
    return report->target_count > 0 ? 0 : no_target(run->options, err);
}

/* ---- one target ---- */

static const char *list_tables(const struct plant *plant, struct arena *arena, bool filled)
{
    _cleanup_buffer_ struct buffer list = BUFFER_INIT(ATTACK_TEXT_MAX);
    for (size_t i = 0; i < plant->count; i++) {
        const struct plant_table *table = &plant->tables[i];
        if (table->filled != filled)
            continue;
        buffer_printf(&list, "%s%s", list.length > 0 ? ", " : "", table->name);
        if (!filled)
            buffer_printf(&list, " (%s)", table->failure);
    }
    return arena_strdup(arena, buffer_string(&list));
}

/* Which server it is, once a cluster. */
static int note_cluster(struct run *run, const struct attack_target *target, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    struct attack_report *report = run->report;
    struct catalog_cluster cluster;
    struct server server;
    for (size_t i = 0; i < report->cluster_count; i++)
        if (report->clusters[i].id == target->cluster_id)
            return 0;
    int result = catalog_cluster_get(run->catalog, &arena, target->cluster_id, &cluster, err);
    server_init(&server, run->options->job, &cluster);
    if (result == 0)
        result = server_connect(&server, NULL, &admin, err);
    if (result < 0)
        return result;
    const char *version = pg_parameter(admin, "server_version");
    report->clusters[report->cluster_count++] = (struct attack_cluster){
        .id = target->cluster_id,
        .name = target->cluster,
        .version = arena_strdup(&report->arena, version ? version : "unknown")};
    return 0;
}

/* Counts the result that was written behind those that there are. */
static void keep_result(struct run *run, struct attack_target *target)
{
    run->report->counts[target->results[target->count].verdict]++;
    target->count++;
}

static int play_all(struct run *run, struct attack_stage *stage, struct attack_target *target,
                    struct error *err)
{
    struct arena *arena = &run->report->arena;
    int result = 0;
    for (size_t i = 0; result == 0 && attack_tables[i]; i++)
        for (const struct attack *attack = attack_tables[i]; result == 0 && attack->id; attack++) {
            _cleanup_free_ char *text =
                xasprintf("%s %s: %s", target->service, target->isolation, attack->title);
            bool applies = false;
            tell(run, ++run->number, text);
            if (job_cancelled(run->options->job))
                return error_set(err, ERROR_CANCELLED, "interrupted");
            result = play(stage, attack, arena, &target->results[target->count], &applies, err);
            if (result < 0 || !applies)
                continue;
            keep_result(run, target);
        }
    return result;
}

/* With tenants of its own. */
static int attack_with_tenants(struct run *run, struct attack_target *target,
                               const char *enforcement, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_(stage_end) struct attack_stage stage = {.options = run->options,
                                                      .catalog = run->catalog,
                                                      .arena = &arena,
                                                      .target = target,
                                                      .enforcement = enforcement};
    int result = stage_begin(&stage, err);
    if (result < 0)
        return result;
    target->attacker = arena_strdup(&run->report->arena, stage.attacker.slug);
    target->victim = arena_strdup(&run->report->arena, stage.victim.slug);
    target->enforcement = arena_strdup(&run->report->arena, stage.enforcement);
    target->shares_sessions = stage.shares_sessions;
    target->filled = list_tables(&stage.plant, &run->report->arena, true);
    target->unfilled = list_tables(&stage.plant, &run->report->arena, false);
    return play_all(run, &stage, target, err);
}

static int attack_target(struct run *run, struct attack_target *target, struct error *err)
{
    _cleanup_free_ char *text = xasprintf("%s %s on %s: make two tenants", target->service,
                                          target->isolation, target->cluster);
    struct arena *arena = &run->report->arena;
    bool applies = false, refused = false;
    tell(run, run->number, text);
    target->attacker = target->victim = target->filled = target->unfilled = "";
    const char *wanted = target->enforcement;
    target->enforcement = wanted ? wanted : "that of new placements";
    target->results = arena_zalloc(arena, (attack_count() + 1) * sizeof(*target->results));
    int result = note_cluster(run, target, err);
    if (result == 0)
        result = before_tenants(run->options, run->catalog, target, arena, &target->results[0],
                                &applies, &refused, err);
    if (result == 0 && applies)
        keep_result(run, target);
    if (result == 0 && !refused)
        result = attack_with_tenants(run, target, wanted, err);
    if (result < 0 && result != -ERROR_CANCELLED)
        error_prefix(err, "service \"%s\", isolation %s, cluster \"%s\"", target->service,
                     target->isolation, target->cluster);
    return result;
}

/* ---- a run ---- */

static int audit(const struct run *run, const char *action, const char *detail, struct error *err)
{
    const struct catalog_audit_event event = {
        .actor = run->options->job->actor, .action = action, .detail = detail};
    return catalog_audit_append(run->catalog, &event, err);
}

static int audit_end(struct run *run, int outcome, struct error *err)
{
    const size_t *counts = run->report->counts;
    const char *detail = arena_printf(
        &run->report->arena,
        "{\"complete\": %s, \"pass\": %zu, \"finding\": %zu, \"residual\": %zu, \"skipped\": %zu}",
        outcome == 0 ? "true" : "false", counts[ATTACK_PASS], counts[ATTACK_FINDING],
        counts[ATTACK_RESIDUAL], counts[ATTACK_SKIPPED]);
    return audit(run, "attack.end", detail, err);
}

/* Whatever came before: the tenants go. */
static void remove_all(struct run *run)
{
    struct error own = {0};
    tell(run, 0, "remove the throwaway tenants");
    if (remove_tenants(run->options, run->catalog, &own) < 0)
        run->report->not_removed = arena_printf(&run->report->arena, "%s", own.message);
}

static int attack_all(struct run *run, struct error *err)
{
    struct attack_report *report = run->report;
    int result = find_targets(run, err);
    if (result < 0)
        return result;
    run->count = attack_count() * report->target_count;
    report->clusters =
        arena_zalloc(&report->arena, report->target_count * sizeof(*report->clusters));
    result = audit(run, "attack.start", NULL, err);
    for (size_t i = 0; result == 0 && i < report->target_count; i++) {
        result = attack_target(run, &report->targets[i], err);
        remove_all(run);
    }
    int ended = audit_end(run, result, result == 0 ? err : NULL);
    return result < 0 ? result : ended;
}

static int take_lock(struct catalog *catalog, struct error *err)
{
    int result = catalog_lock(catalog, "attack suite", err);
    if (result == -ERROR_BUSY)
        error_set(err, ERROR_BUSY, "the attack suite is run by somebody else at this time");
    return result;
}

int attack_run(const struct attack_options *options, struct attack_report *ret, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct attack_report report = {.started_unix_us = time_unix_us()};
    struct run run = {.options = options, .report = &report};
    int result = catalog_open(options->job->control, &catalog, err);
    if (result == 0)
        result = take_lock(catalog, err);
    if (result < 0)
        return result;
    run.catalog = catalog;
    report.endpoint = arena_printf(&report.arena, "%s:%d", options->host, options->port);
    result = remove_tenants(options, catalog, err);
    if (result == 0)
        result = attack_all(&run, err);
    if (result < 0) {
        if (report.not_removed)
            error_hint(err, "throwaway tenants are left (%s): the next run removes them",
                       report.not_removed);
        attack_report_free(&report);
        return result;
    }
    report.ended_unix_us = time_unix_us();
    *ret = report;
    return 0;
}

void attack_report_free(struct attack_report *report)
{
    arena_reset(&report->arena);
}

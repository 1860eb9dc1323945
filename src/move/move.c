#include "move/move.h"

#include <unistd.h>

#include "move/internal.h"
#include "move/plan.h"

static const int64_t look_again_us = 200 * TIME_MS;

/* ---- planning ---- */

int move_plan(const struct job_context *context, const struct move_spec *spec, struct arena *arena,
              struct move_plan *ret, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct planning planning = {0};
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = planning_begin(context, catalog, arena, spec, &planning, err);
    if (r == 0)
        r = planning_look(&planning, err);
    if (r < 0)
        return r;
    *ret = (struct move_plan){
        .from =
            isolation_describe(arena, &planning.from->isolated, planning.from->site.cluster.name),
        .to = isolation_describe(arena, &planning.to->isolated, planning.to->site.cluster.name),
        .tables = planning.tables,
        .bytes = planning.bytes,
        .rows = planning.rows,
        .pause_us = planning_pause_us(&planning),
        .problems = planning.problems,
        .problem_count = planning.problem_count,
    };
    return 0;
}

static int check_plan(const struct planning *planning, const struct move_spec *spec,
                      struct error *err)
{
    if (!spec->offline) {
        error_set(err, ERROR_UNSUPPORTED, "this version moves tenants offline alone");
        error_hint(err, "--offline copies while the tenant waits; --dry-run says for how long");
        return -ERROR_UNSUPPORTED;
    }
    if (planning->problem_count > 0) {
        const struct move_problem *first = &planning->problems[0];
        error_set(err, ERROR_STATE, "the tenant cannot be moved: %s", first->what);
        if (first->remedy)
            error_hint(err, "%s", first->remedy);
        return -ERROR_STATE;
    }
    int64_t expected_us = planning_pause_us(planning);
    if (expected_us <= spec->pause_us)
        return 0;
    error_set(err, ERROR_STATE, "the tenant would wait for about %lld s, and may for %lld s",
              (long long)(expected_us / TIME_S), (long long)(spec->pause_us / TIME_S));
    error_hint(err, "--pause says how long it may wait");
    return -ERROR_STATE;
}

/* ---- jobs ---- */

static const char *write_arguments(struct arena *arena, const struct move_spec *spec)
{
    return arena_printf(arena, "{\"pause_us\": %lld, \"jobs\": %d, \"ignore\": %s}",
                        (long long)spec->pause_us, spec->jobs,
                        spec->ignore_unreachable ? "true" : "false");
}

static int submit(const struct job_context *context, struct catalog *catalog,
                  const struct job_definition *definition,
                  const struct catalog_placement *placement, const char *arguments,
                  int64_t *ret_job_id, struct error *err)
{
    const struct job_spec job = {.definition = definition,
                                 .placement_id = placement->id,
                                 .tenant_id = placement->tenant_id,
                                 .service_id = placement->service_id,
                                 .arguments = arguments};
    return job_submit(context, catalog, &job, ret_job_id, err);
}

/* The placement's lock comes before the look at it (job_submit), so a plan holds. */
static int submit_move(const struct job_context *context, struct catalog *catalog,
                       struct arena *arena, const struct move_spec *spec,
                       const struct planning *planning, int64_t *ret_job_id, struct error *err)
{
    int r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    int64_t move_id;
    const struct catalog_placement *placement = &planning->from->placement;
    r = submit(context, transaction, &move_job, placement, write_arguments(arena, spec), ret_job_id,
               err);
    if (r == 0)
        r = catalog_move_create(transaction, placement->id, spec->offline, &planning->where,
                                &move_id, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

int move_start(const struct job_context *context, const struct move_spec *spec, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct planning planning = {0};
    int64_t job_id = 0;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = planning_begin(context, catalog, &arena, spec, &planning, err);
    if (r == 0)
        r = planning_look(&planning, err);
    if (r == 0)
        r = check_plan(&planning, spec, err);
    if (r == 0)
        r = submit_move(context, catalog, &arena, spec, &planning, &job_id, err);
    return r < 0 ? r : job_perform(context, catalog, job_id, err);
}

/* ---- behind the move ---- */

static int find_move(struct catalog *catalog, struct arena *arena, const char *tenant,
                     const char *service, struct catalog_move *ret, struct error *err)
{
    struct catalog_placement placement;
    int r = catalog_placement_find(catalog, arena, tenant, service, &placement, err);
    if (r == 0)
        r = catalog_move_of(catalog, arena, placement.id, ret, err);
    if (r == -ERROR_NOT_FOUND)
        error_set(err, ERROR_NOT_FOUND, "tenant \"%s\" has no open move in service \"%s\"", tenant,
                  service);
    return r;
}

static int must_have_moved(const struct catalog_move *move, struct error *err)
{
    if (move->phase == CATALOG_MOVE_MOVED || move->phase == CATALOG_MOVE_FINISHING)
        return 0;
    return error_set(err, ERROR_STATE, "the move is not done: it is %s",
                     catalog_move_phase_name(move->phase));
}

int move_finish(const struct job_context *context, const char *tenant, const char *service,
                struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_move move = {0};
    const struct move_spec unused = {.jobs = 1};
    int64_t job_id = 0;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = find_move(catalog, &arena, tenant, service, &move, err);
    if (r == 0)
        r = must_have_moved(&move, err);
    if (r == 0)
        r = job_pending(catalog, &move_finish_job, move.place.id, &job_id, err);
    if (r == 0 && job_id != 0)
        return job_run(context, job_id, err);
    if (r == 0)
        r = submit(context, catalog, &move_finish_job, &move.place,
                   write_arguments(&arena, &unused), &job_id, err);
    return r < 0 ? r : job_perform(context, catalog, job_id, err);
}

int move_revert(const struct job_context *context, const struct move_spec *spec, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_move move = {0};
    int64_t job_id = 0;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = find_move(catalog, &arena, spec->tenant, spec->service, &move, err);
    if (r == 0 && move.phase != CATALOG_MOVE_MOVED)
        r = error_set(err, ERROR_STATE, "there is nothing to go back from: the move is %s",
                      catalog_move_phase_name(move.phase));
    if (r == 0)
        r = submit(context, catalog, &move_revert_job, &move.place, write_arguments(&arena, spec),
                   &job_id, err);
    return r < 0 ? r : job_perform(context, catalog, job_id, err);
}

/* ---- aborting ---- */

/* A job that nobody runs is undone here; one that somebody runs, by its runner. */
static int undo_abandoned(const struct job_context *context, struct catalog *catalog,
                          int64_t placement_id, struct error *err)
{
    int64_t job_id = 0;
    int r = job_pending(catalog, &move_job, placement_id, &job_id, err);
    if (r < 0 || job_id == 0)
        return r;
    struct error why = {0};
    r = job_run(context, job_id, &why);
    if (r == -ERROR_BUSY || r == -ERROR_CANCELLED || r == -ERROR_STATE)
        return 0; /* it runs; it was undone; it is over */
    if (r < 0 && err)
        *err = why;
    return r;
}

int move_abort(const struct job_context *context, const char *tenant, const char *service,
               struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_move move = {0};
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = find_move(catalog, &arena, tenant, service, &move, err);
    if (r == 0 && move.flipped) {
        error_set(err, ERROR_STATE, "the tenant has moved already");
        error_hint(err, "`reeve move revert %s %s` takes it back", tenant, service);
        return -ERROR_STATE;
    }
    if (r == 0)
        r = catalog_move_stop(catalog, move.id, err);
    struct job_context impatient = *context;
    impatient.lock_wait_us = 0;
    while (r == 0 && !catalog_move_is_over(move.phase) && !move.flipped) {
        r = job_cancelled(context) ? error_set(err, ERROR_CANCELLED, "interrupted")
                                   : undo_abandoned(&impatient, catalog, move.place.id, err);
        if (r == 0)
            usleep((useconds_t)look_again_us);
        if (r == 0)
            r = catalog_move_get(catalog, &arena, move.id, &move, err);
    }
    if (r == 0 && move.flipped)
        r = error_set(err, ERROR_STATE, "it was too late: the tenant has moved");
    return r;
}

#include "move/move.h"

#include <unistd.h>

#include "base/failpoint.h"
#include "base/str.h"

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
        r = planning_look(&planning, spec, err);
    if (r < 0 || !planning.from || !planning.to)
        return r;
    *ret = (struct move_plan){
        .from =
            isolation_describe(arena, &planning.from->isolated, planning.from->site.cluster.name),
        .to = isolation_describe(arena, &planning.to->isolated, planning.to->site.cluster.name),
        .makes_database = isolation_shares_database(planning.to->isolated.isolation) &&
                          planning.to->site.to_be_made,
        .tables = planning.tables,
        .bytes = planning.bytes,
        .rows = planning.rows,
        .pause_us = planning_pause_us(&planning, spec),
        .copy_us = planning_copy_us(&planning, spec),
        .problems = planning.problems,
        .problem_count = planning.problem_count,
        .remarks = planning.remarks,
        .remark_count = planning.remark_count,
        .needs = {planning.needs[0], planning.needs[1]},
    };
    return 0;
}

static int check_plan(const struct planning *planning, const struct move_spec *spec,
                      struct error *err)
{
    if (planning->problem_count > 0) {
        const struct move_problem *first = &planning->problems[0];
        error_set(err, ERROR_STATE, "the tenant cannot be moved: %s", first->what);
        if (first->remedy)
            error_hint(err, "%s", first->remedy);
        return -ERROR_STATE;
    }
    int64_t expected_us = planning_pause_us(planning, spec);
    if (!spec->offline || expected_us <= spec->pause_us)
        return 0;
    error_set(err, ERROR_STATE, "the tenant would wait for about %lld s, and may for %lld s",
              (long long)(expected_us / TIME_S), (long long)(spec->pause_us / TIME_S));
    error_hint(err, "--pause says how long it may wait");
    return -ERROR_STATE;
}

/* ---- jobs ---- */

static const char *write_arguments(struct arena *arena, int64_t move_id,
                                   const struct move_spec *spec)
{
    return arena_printf(arena,
                        "{\"move\": %lld, \"pause_us\": %lld, \"jobs\": %d, \"rate\": %lld,"
                        " \"yield_us\": %lld, \"ignore\": %s}",
                        (long long)move_id, (long long)spec->pause_us, spec->jobs,
                        (long long)spec->rate, (long long)spec->yield_us,
                        spec->ignore_unreachable ? "true" : "false");
}

static int submit(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                  const struct job_definition *definition,
                  const struct catalog_placement *placement, int64_t move_id,
                  const struct move_spec *spec, int64_t *ret_job_id, struct error *err)
{
    const struct job_spec job = {.definition = definition,
                                 .placement_id = placement->id,
                                 .tenant_id = placement->tenant_id,
                                 .service_id = placement->service_id,
                                 .arguments = write_arguments(arena, move_id, spec)};
    return job_submit(context, catalog, &job, ret_job_id, err);
}

/* What follows is decided under this lock, which the session keeps to its end. */
static int lock_placement(const struct job_context *context, struct catalog *catalog,
                          int64_t placement_id, struct error *err)
{
    char subject[JOB_SUBJECT_SIZE];
    job_subject_placement(placement_id, subject);
    return job_lock(catalog, subject, context->lock_wait_us, context->cancelled, err);
}

int move_pending(struct catalog *catalog, int64_t placement_id, int64_t *ret_job_id,
                 struct error *err)
{
    const struct job_definition *const definitions[] = {
        &move_job, &move_revert_job, &move_finish_job, &move_online_job, &move_back_job};
    int r = 0;
    *ret_job_id = 0;
    for (size_t i = 0; r == 0 && *ret_job_id == 0 && i < array_size(definitions); i++)
        r = job_pending(catalog, definitions[i], placement_id, ret_job_id, err);
    return r;
}

/* One that was cut off is ended first: by `reeve serve`, or by whoever asks for it again. */
static int check_no_job(struct catalog *catalog, int64_t placement_id, struct error *err)
{
    int64_t job_id = 0;
    int r = move_pending(catalog, placement_id, &job_id, err);
    if (r < 0 || job_id == 0)
        return r;
    error_set(err, ERROR_BUSY, "job %lld, which was cut off, is not over", (long long)job_id);
    error_hint(err, "`reeve serve` ends it; so does `reeve move abort`");
    return -ERROR_BUSY;
}

/* ---- beginning ---- */

/* Looking took its time: nothing of what was looked at may have changed meanwhile. */
static int check_unchanged(struct catalog *catalog, struct arena *arena,
                           const struct planning *planning, struct error *err)
{
    const struct catalog_placement *was = &planning->from->placement;
    struct catalog_placement now = {0};
    struct catalog_tenant tenant = {0};
    int64_t generation = 0;
    int r = catalog_placement_get(catalog, arena, was->id, &now, err);
    if (r == 0)
        r = catalog_tenant_get(catalog, arena, was->tenant_id, &tenant, err);
    if (r == 0)
        r = catalog_move_generation(catalog, was->id, &generation, err);
    if (r == 0)
        r = planning_check_held(&now, err);
    if (r < 0)
        return r;
    if (now.epoch == was->epoch && now.generation == was->generation && now.state == was->state &&
        tenant.status == planning->tenant.status && generation == planning->where.generation)
        return 0;
    error_set(err, ERROR_BUSY, "tenant \"%s\" was changed while it was looked at", was->tenant);
    error_hint(err, "run the command again");
    return -ERROR_BUSY;
}

static int submit_move(const struct job_context *context, struct catalog *catalog,
                       struct arena *arena, const struct move_spec *spec,
                       const struct planning *planning, int64_t *ret_job_id, struct error *err)
{
    int64_t move_id = 0;
    const struct catalog_placement *placement = &planning->from->placement;
    const struct catalog_move move = {.offline = spec->offline,
                                      .tables = planning->tables,
                                      .bytes_total = planning->bytes,
                                      .rows_total = planning->rows,
                                      .wal_limit = spec->wal_limit,
                                      .keep_us = spec->keep_us};
    int r = lock_placement(context, catalog, placement->id, err);
    if (r == 0)
        r = check_no_job(catalog, placement->id, err);
    if (r == 0)
        r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    r = check_unchanged(transaction, arena, planning, err);
    if (r == 0)
        r = catalog_move_create(transaction, placement->id, &move, &planning->where, &move_id, err);
    if (r == 0 && spec->database)
        r = catalog_service_database_claim(transaction, planning->where.cluster_id,
                                           planning->where.database, placement->service_id, err);
    if (r == 0)
        r = submit(context, transaction, arena, spec->offline ? &move_job : &move_online_job,
                   placement, move_id, spec, ret_job_id, err);
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
        r = planning_look(&planning, spec, err);
    if (r == 0)
        r = check_plan(&planning, spec, err);
    failpoint("move.planned");
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
    if (r < 0)
        return r;
    r = catalog_move_of(catalog, arena, placement.id, ret, err);
    if (r == -ERROR_NOT_FOUND)
        error_set(err, ERROR_NOT_FOUND, "tenant \"%s\" has no open move in service \"%s\"", tenant,
                  service);
    return r;
}

/* Under the lock: the open move, which must be done. */
static int find_moved(const struct job_context *context, struct catalog *catalog,
                      struct arena *arena, const struct move_spec *spec, struct catalog_move *ret,
                      struct error *err)
{
    int r = find_move(catalog, arena, spec->tenant, spec->service, ret, err);
    if (r == 0)
        r = lock_placement(context, catalog, ret->place.id, err);
    if (r == 0)
        r = find_move(catalog, arena, spec->tenant, spec->service, ret, err);
    return r;
}

bool move_is_unlike(const struct catalog_move *move)
{
    return move->error && (str_has_prefix(move->error, MOVE_ERROR_STAYS) ||
                           strstr(move->error, MOVE_ERROR_NO_WAY_BACK));
}

/* What the old place has may be there alone. */
static int check_alike(const struct catalog_move *move, bool anyway, struct error *err)
{
    if (anyway || move->abandoned || !move_is_unlike(move))
        return 0;
    error_set(err, ERROR_STATE, "%.300s", move->error);
    error_hint(err, "compare the two places; with --anyway what the old one has is lost");
    return -ERROR_STATE;
}

int move_finish(const struct job_context *context, const char *tenant, const char *service,
                bool abandon, bool anyway, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_move move = {0};
    const struct move_spec spec = {.tenant = tenant, .service = service, .jobs = 1};
    int64_t job_id = 0;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = find_moved(context, catalog, &arena, &spec, &move, err);
    if (r == 0 && move.phase != CATALOG_MOVE_MOVED && move.phase != CATALOG_MOVE_FINISHING)
        r = error_set(err, ERROR_STATE, "the move is not done: it is %s",
                      catalog_move_phase_name(move.phase));
    if (r == 0 && move.phase == CATALOG_MOVE_MOVED)
        r = check_alike(&move, anyway || abandon, err);
    if (r == 0 && abandon)
        r = catalog_move_abandon(catalog, move.id, err);
    if (r == 0)
        r = job_pending(catalog, &move_finish_job, move.place.id, &job_id, err);
    if (r == 0 && job_id == 0)
        r = check_no_job(catalog, move.place.id, err);
    if (r == 0 && job_id == 0)
        r = submit(context, catalog, &arena, &move_finish_job, &move.place, move.id, &spec, &job_id,
                   err);
    return r < 0 ? r : job_perform(context, catalog, job_id, err);
}

static int submit_revert(const struct job_context *context, struct catalog *catalog,
                         struct arena *arena, const struct move_spec *spec,
                         const struct catalog_move *move, int64_t *ret_job_id, struct error *err)
{
    bool offline = spec->offline || move->offline;
    struct move_spec usual = *spec;
    if (usual.pause_us == 0)
        usual.pause_us = offline ? MOVE_OFFLINE_PAUSE_US : MOVE_PAUSE_US;
    int r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    r = catalog_move_set_phase(transaction, move->id, CATALOG_MOVE_REVERTING, NULL, err);
    if (r == 0)
        r = submit(context, transaction, arena, offline ? &move_revert_job : &move_back_job,
                   &move->place, move->id, &usual, ret_job_id, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

static int check_active(struct catalog *catalog, struct arena *arena,
                        const struct catalog_placement *placement, struct error *err)
{
    struct catalog_tenant tenant = {0};
    int r = catalog_tenant_get(catalog, arena, placement->tenant_id, &tenant, err);
    if (r == 0 && tenant.status != CATALOG_TENANT_ACTIVE)
        r = error_set(err, ERROR_STATE, "tenant \"%s\" is %s, not active", tenant.slug,
                      catalog_tenant_status_name(tenant.status));
    return r;
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
        r = find_moved(context, catalog, &arena, spec, &move, err);
    if (r == 0 && move.phase != CATALOG_MOVE_MOVED)
        r = error_set(err, ERROR_STATE, "there is nothing to go back from: the move is %s",
                      catalog_move_phase_name(move.phase));
    if (r == 0)
        r = check_alike(&move, spec->anyway, err);
    if (r == 0)
        r = check_active(catalog, &arena, &move.place, err);
    if (r == 0)
        r = planning_check_held(&move.place, err);
    if (r == 0)
        r = check_no_job(catalog, move.place.id, err);
    if (r == 0)
        r = submit_revert(context, catalog, &arena, spec, &move, &job_id, err);
    return r < 0 ? r : job_perform(context, catalog, job_id, err);
}

/* ---- aborting ---- */

/* A job that nobody runs is undone here; one that somebody runs, by its runner. */
static int undo_abandoned(const struct job_context *context, struct catalog *catalog,
                          struct arena *arena, const struct catalog_move *move, struct error *err)
{
    int64_t job_id = 0;
    struct error why = {0};
    int r = move_pending(catalog, move->place.id, &job_id, err);
    if (r < 0 || job_id == 0)
        return r;
    int undone = job_run(context, job_id, &why);
    if (undone == -ERROR_BUSY)
        return 0; /* it runs */
    if (undone == -ERROR_STATE)
        r = move_pending(catalog, move->place.id, &job_id, err);
    if (r < 0 || (undone == -ERROR_STATE && job_id == 0))
        return r; /* it is over */
    struct catalog_move now = {0};
    r = catalog_move_get(catalog, arena, move->id, &now, err);
    if (r < 0 || catalog_move_is_over(now.phase) || now.phase == CATALOG_MOVE_MOVED)
        return r;
    if (err)
        *err = why;
    return undone < 0 ? undone : 0;
}

/* Where it was: before a move (behind its flip it goes back), or at the new place before a revert.
 */
static bool is_aborted(const struct catalog_move *move, bool reverting)
{
    return reverting ? move->flipped && move->phase == CATALOG_MOVE_MOVED
                     : move->phase == CATALOG_MOVE_ABORTED || move->phase == CATALOG_MOVE_REVERTED;
}

static bool is_too_late(const struct catalog_move *move, bool reverting)
{
    return reverting ? !move->flipped
                     : move->phase == CATALOG_MOVE_MOVED || catalog_move_is_over(move->phase);
}

static int tell_too_late(const struct catalog_move *move, bool reverting, struct error *err)
{
    if (reverting)
        return error_set(err, ERROR_STATE, "it was too late: the tenant is at its old place again");
    error_set(err, ERROR_STATE, "it was too late: the tenant has moved");
    error_hint(
        err, "`reeve move status %s` says whether all went well; `reeve move revert` takes it back",
        move->place.tenant);
    return -ERROR_STATE;
}

/* Whether it is the way back that is aborted. A move that failed behind its flip goes back, too:
 * that is its end, and not stopped. */
static int find_direction(struct catalog *catalog, const struct catalog_move *move,
                          bool *ret_reverting, struct error *err)
{
    int64_t online = 0, back = 0, copied = 0;
    int r = job_pending(catalog, &move_online_job, move->place.id, &online, err);
    if (r == 0)
        r = job_pending(catalog, &move_back_job, move->place.id, &back, err);
    if (r == 0)
        r = job_pending(catalog, &move_revert_job, move->place.id, &copied, err);
    *ret_reverting = back != 0 || copied != 0 ||
                     (online == 0 && move->flipped && move->phase == CATALOG_MOVE_REVERTING);
    return r;
}

static int wait_until_undone(const struct job_context *context, struct catalog *catalog,
                             struct arena *arena, struct catalog_move *move, bool reverting,
                             struct error *err)
{
    struct job_context impatient = *context;
    impatient.lock_wait_us = 0;
    while (!is_aborted(move, reverting)) {
        if (is_too_late(move, reverting))
            return tell_too_late(move, reverting, err);
        int r = job_cancelled(context) ? error_set(err, ERROR_CANCELLED, "interrupted")
                                       : undo_abandoned(&impatient, catalog, arena, move, err);
        if (r < 0)
            return r;
        usleep((useconds_t)look_again_us);
        r = catalog_move_get(catalog, arena, move->id, move, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int move_abort(const struct job_context *context, const char *tenant, const char *service,
               bool abandon, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_move move = {0};
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = find_move(catalog, &arena, tenant, service, &move, err);
    if (r < 0)
        return r;
    if (move.phase == CATALOG_MOVE_REVERTING && !move.flipped)
        return error_set(err, ERROR_STATE, "the tenant is at its old place already");
    if (move.phase == CATALOG_MOVE_MOVED || move.phase == CATALOG_MOVE_FINISHING) {
        error_set(err, ERROR_STATE, "the tenant has moved already");
        error_hint(err, "`reeve move revert %s %s` takes it back", tenant, service);
        return -ERROR_STATE;
    }
    bool reverting = false;
    r = find_direction(catalog, &move, &reverting, err);
    if (r == 0 && abandon)
        r = catalog_move_abandon(catalog, move.id, err);
    if (r == 0)
        r = catalog_move_stop(catalog, move.id, err);
    return r < 0 ? r : wait_until_undone(context, catalog, &arena, &move, reverting, err);
}

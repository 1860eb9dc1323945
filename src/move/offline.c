/*
 * offline.c - moving without a change stream: the tenant waits while its data is copied and
 * compared.
 *
 * Until the flip the tenant's place is the old one, and whatever goes wrong, an interruption too,
 * undoes all of it. The flip is one transaction in the catalog, the last thing that is done.
 */
#include "move/flip.h"
#include "move/parts.h"
#include "provision/stream.h"

/* ---- the new place ---- */

static int step_prepare(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    return r < 0 ? r : place_prepare(run, &moving->making, err);
}

static int step_create(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    return r < 0 ? r : place_make(run, &moving->making, err);
}

static int step_migrate(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    return r < 0 ? r : place_migrate(run, &moving->making, false, err);
}

static int step_finish(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r == 0)
        r = place_finish(run, &moving->making, err);
    if (r == 0)
        r = moving_allow(run, moving, err);
    if (r == 0)
        r = flip_check_versions(run, moving, err);
    return r < 0 ? r : moving_find_tables(run, moving, err);
}

/* ---- while the tenant waits ---- */

static int begin_pause(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = moving_check_stop(run, moving, err);
    if (r == 0)
        r = flip_keep_migrations_away(run, moving, true, err);
    if (r == 0 && !moving->move.flipped)
        r = moving_set_phase(run, moving, CATALOG_MOVE_COPYING, NULL, err);
    return r < 0 ? r : pause_begin(run, moving, NULL, err);
}

static int step_pause(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r == 0)
        r = moving_find_tables(run, moving, err);
    return r < 0 ? r : begin_pause(run, moving, err);
}

static int step_copy(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    return r < 0 ? r : copy_all(run, moving, moving->move.flipped, err);
}

static int step_compare(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r == 0 && !moving->move.flipped)
        r = moving_set_phase(run, moving, CATALOG_MOVE_VERIFYING, NULL, err);
    return r < 0 ? r : compare_all(run, moving, err);
}

/* ---- the flip ---- */

static int flip(struct job_run *run, const char *action, enum catalog_move_phase phase,
                struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r == 0)
        r = flip_check_versions(run, moving, err);
    if (r == 0)
        r = pause_check(run, moving, err);
    if (r == 0)
        r = flip_now(run, moving, action, phase, err);
    if (r < 0)
        return r;
    flip_let_migrations(run, moving);
    flip_disallow(run, moving);
    return 0;
}

static int step_flip(struct job_run *run, struct error *err)
{
    return flip(run, "placement.move", CATALOG_MOVE_MOVED, err);
}

/* ---- undoing ---- */

static int undo(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = moving_set_phase(run, moving, CATALOG_MOVE_ABORTING, NULL, err);
    if (r == 0)
        r = pause_settle(run, moving, err);
    if (r == 0)
        r = moving_disallow(run, moving, err);
    if (r == 0) /* the record of indexes */
        r = moving_drop_stream(moving, STREAM_FORWARD, err);
    if (r == 0)
        r = moving_drop_other(moving, err);
    return r < 0 ? r : moving_set_phase(run, moving, CATALOG_MOVE_ABORTED, run->why->message, err);
}

/* *ret NULL: it is over, or the placement is gone, and then the runner was. */
static int reload_open(struct job_run *run, struct moving **ret, struct error *err)
{
    int r = moving_reload(run, ret, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        *ret = NULL;
        return 0;
    }
    if (r == 0 && catalog_move_is_over((*ret)->move.phase))
        *ret = NULL;
    return r;
}

/* A move that is done, and whose runner was gone then, stays. */
static int compensate(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = reload_open(run, &moving, err);
    if (r < 0 || !moving)
        return r;
    if (moving->move.flipped) {
        flip_disallow(run, moving);
        return pause_settle(run, moving, err);
    }
    return undo(run, moving, err);
}

static const struct job_step move_steps[] = {
    {"prepare", "prepare the service on the cluster", step_prepare, true},
    {"create", "create roles and place", step_create, true},
    {"migrate", "apply migrations", step_migrate, true},
    {"finish", "grant and check", step_finish, true},
    {"pause", "let the tenant wait", step_pause, false},
    {"copy", "copy", step_copy, false},
    {"compare", "compare", step_compare, false},
    {"flip", "go on at the new place", step_flip, false},
};

const struct job_definition move_job = {
    .name = "move",
    .steps = move_steps,
    .step_count = array_size(move_steps),
    .abandoned = JOB_COMPENSATE,
    .compensate = compensate,
    .release = pause_release,
};

/* ---- going back ---- */

/* What is copied over has no use for the stream to there, nor that for it. */
static int leave_stream(struct job_run *run, struct moving *moving, struct error *err)
{
    const char *text =
        move_is_unlike(&moving->move) ? moving->move.error : "going back was begun offline";
    int r = moving_drop_stream(moving, STREAM_BACK, err);
    if (r == 0)
        r = catalog_move_lose_stream(run->catalog, moving->move.id, text, err);
    moving->move.offline = r == 0;
    return r;
}

/* A copy back that was cut off may have left the old place without its indexes, which migrations
 * find. */
static int mend_indexes(struct moving *moving, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *owner = NULL;
    const struct place *to = moving->to;
    int r = migrate_open_owner(&to->site.login, to->isolated.database,
                               to->site.isolation.owner_role, "reeve move", &owner, err);
    return r < 0 ? r : parts_put_indexes_back(moving, owner, err);
}

/* A place of its own follows the service's migrations; shared tables are not this job's to migrate.
 */
static int step_look(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r == 0)
        r = mend_indexes(moving, err);
    if (r == 0 && !flip_is_shared(run, moving->to))
        r = place_migrate(run, &moving->making, false, err);
    if (r == 0)
        r = place_read_migrations(run, &moving->making, err);
    if (r == 0)
        r = moving_allow(run, moving, err);
    if (r == 0)
        r = flip_check_versions(run, moving, err);
    if (r == 0)
        r = moving_find_tables(run, moving, err);
    return r < 0 || moving->move.offline ? r : leave_stream(run, moving, err);
}

static int step_flip_back(struct job_run *run, struct error *err)
{
    return flip(run, "placement.revert", CATALOG_MOVE_REVERTING, err);
}

/* Whatever an online move has left. */
static int drop_streams(struct moving *moving, struct error *err)
{
    int r = moving_drop_stream(moving, STREAM_FORWARD, err);
    return r < 0 ? r : moving_drop_stream(moving, STREAM_BACK, err);
}

/* The one that was new. */
static int step_drop_other(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r < 0 || !moving->to)
        return r;
    job_tell(run, "drop %s",
             isolation_describe(run->arena, &moving->to->isolated, moving->to->site.cluster.name));
    r = drop_streams(moving, err);
    if (r == 0 && !moving->move.offline) /* if its job could not */
        flip_disallow(run, moving);
    return r < 0 ? r : moving_drop_other(moving, err);
}

static int step_reverted(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    return r < 0 ? r : moving_set_phase(run, moving, CATALOG_MOVE_REVERTED, NULL, err);
}

/* The tenant is back already: what is left is done. */
static int finish_revert(struct job_run *run, struct moving *moving, struct error *err)
{
    flip_disallow(run, moving);
    int r = pause_settle(run, moving, err);
    if (r == 0)
        r = drop_streams(moving, err);
    if (r == 0)
        r = moving_drop_other(moving, err);
    return r < 0 ? r : moving_set_phase(run, moving, CATALOG_MOVE_REVERTED, NULL, err);
}

/* Before the flip the tenant stays at the new place, and goes on there first. */
static int compensate_revert(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = reload_open(run, &moving, err);
    if (r < 0 || !moving)
        return r;
    if (!moving->move.flipped)
        return finish_revert(run, moving, err);
    r = pause_settle(run, moving, err);
    if (r == 0 && moving->move.offline) /* else the old place is followed further on */
        r = moving_disallow(run, moving, err);
    /* That the old place may be the better one stays. */
    const char *why = move_is_unlike(&moving->move) ? NULL : run->why->message;
    return r < 0 ? r : moving_set_phase(run, moving, CATALOG_MOVE_MOVED, why, err);
}

static const struct job_step revert_steps[] = {
    {"look", "look at the old place", step_look, true},
    {"pause", "let the tenant wait", step_pause, false},
    {"copy", "copy", step_copy, false},
    {"compare", "compare", step_compare, false},
    {"flip", "go on at the old place", step_flip_back, false},
    {"drop", "drop the new place", step_drop_other, true},
    {"reverted", "be done", step_reverted, false},
};

const struct job_definition move_revert_job = {
    .name = "move_revert",
    .steps = revert_steps,
    .step_count = array_size(revert_steps),
    .abandoned = JOB_COMPENSATE,
    .compensate = compensate_revert,
    .release = pause_release,
};

/* ---- finishing ---- */

static int step_finishing(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    return r < 0 ? r : moving_set_phase(run, moving, CATALOG_MOVE_FINISHING, NULL, err);
}

static int finish_in_catalog(struct job_run *run, const struct moving *moving, struct error *err)
{
    int r = catalog_begin(run->catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = run->catalog;
    r = catalog_move_set_phase(transaction, moving->move.id, CATALOG_MOVE_FINISHED, NULL, err);
    if (r == 0)
        r = place_audit(run->context, transaction, "placement.move_finish",
                        &moving->from->placement, NULL, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

static int step_finished(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r < 0 || catalog_move_is_over(moving->move.phase))
        return r;
    return finish_in_catalog(run, moving, err);
}

static const struct job_step finish_steps[] = {
    {"finishing", "give the old place up", step_finishing, false},
    {"drop", "drop the old place", step_drop_other, true},
    {"finished", "be done", step_finished, false},
};

/* There is no way back: a failure leaves the move `finishing`, to be finished again. */
const struct job_definition move_finish_job = {
    .name = "move_finish",
    .steps = finish_steps,
    .step_count = array_size(finish_steps),
    .abandoned = JOB_RESUME,
};

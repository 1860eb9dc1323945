/*
 * offline.c - moving without a change stream: the tenant waits while its data is copied and
 * compared.
 *
 * Until the flip the tenant's place is the old one, and whatever goes wrong, an interruption too,
 * undoes all of it. The flip is one transaction in the catalog, the last thing that is done.
 */
#include "catalog/tenant.h"
#include "migrate/ledger.h"
#include "move/internal.h"

static int set_phase(struct job_run *run, const struct moving *moving,
                     enum catalog_move_phase phase, const char *why, struct error *err)
{
    return catalog_move_set_phase(run->catalog, moving->move.id, phase, why, err);
}

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
    return r < 0 ? r : moving_find_tables(run, moving, err);
}

/* ---- while the tenant waits ---- */

static int step_pause(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r == 0)
        r = moving_find_tables(run, moving, err);
    if (r == 0)
        r = set_phase(run, moving, CATALOG_MOVE_COPYING, NULL, err);
    return r < 0 ? r : pause_begin(run, moving, err);
}

static int step_copy(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    return r < 0 ? r : copy_all(run, moving, err);
}

static int step_compare(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r == 0)
        r = set_phase(run, moving, CATALOG_MOVE_VERIFYING, NULL, err);
    return r < 0 ? r : compare_all(run, moving, err);
}

/* ---- the flip ---- */

static int read_version(struct job_run *run, struct moving *moving, struct place *place,
                        const char **ret, struct error *err)
{
    struct ledger_plan plan;
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    int r = server_connect(&place->server, place->isolated.database, &data, err);
    if (r == 0)
        r = ledger_read(data, place->isolated.schema, &moving->making.set, run->arena, &plan, err);
    if (r == 0)
        *ret = plan.from;
    return r;
}

/* Nobody has migrated one of the ends meanwhile. */
static int check_versions(struct job_run *run, struct moving *moving, struct error *err)
{
    const char *here, *there;
    int r = read_version(run, moving, moving->from, &here, err);
    if (r == 0)
        r = read_version(run, moving, moving->to, &there, err);
    if (r < 0 || strcmp(here, there) == 0)
        return r;
    return error_set(err, ERROR_STATE,
                     "the places are at different versions, %s and %s: one was migrated meanwhile",
                     here, there);
}

static int commit_flip(struct job_run *run, const struct moving *moving, const char *action,
                       enum catalog_move_phase phase, struct error *err)
{
    const struct catalog_move *move = &moving->move;
    const char *detail = arena_printf(run->arena, "{\"from\":\"%s\",\"to\":\"%s\",\"rows\":%lld}",
                                      moving->from->placement.isolation,
                                      moving->to->placement.isolation, (long long)move->rows_done);
    int r = catalog_begin(run->catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = run->catalog;
    r = catalog_move_flip(transaction, move->id, err);
    if (r == 0)
        r = catalog_placement_release(transaction, run->placement_id, err);
    if (r == 0)
        r = catalog_move_released(transaction, move->id, err);
    if (r == 0)
        r = catalog_move_set_phase(transaction, move->id, phase, NULL, err);
    if (r == 0)
        r = place_audit(run->context, transaction, action, &moving->from->placement, detail, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

/* Of two sites the one with the lower cluster first, as everybody takes them. */
static int lock_sites(struct job_run *run, const struct moving *moving, struct error *err)
{
    const struct site *first = &moving->from->site, *second = &moving->to->site;
    if (first->cluster.id > second->cluster.id) {
        first = &moving->to->site;
        second = &moving->from->site;
    }
    int r = site_lock(run->context, run->catalog, first, err);
    if (r < 0 || first->cluster.id == second->cluster.id)
        return r;
    r = site_lock(run->context, run->catalog, second, err);
    if (r < 0)
        site_unlock(run->catalog, first);
    return r;
}

static void unlock_sites(struct job_run *run, const struct moving *moving)
{
    site_unlock(run->catalog, &moving->from->site);
    if (moving->from->site.cluster.id != moving->to->site.cluster.id)
        site_unlock(run->catalog, &moving->to->site);
}

/* A place that was closed is opened again. */
static int open_new_place(struct job_run *run, struct moving *moving, struct error *err)
{
    struct catalog_tenant tenant;
    int r = catalog_tenant_get(run->catalog, run->arena, run->tenant_id, &tenant, err);
    if (r < 0)
        return r;
    if (tenant.status != CATALOG_TENANT_ACTIVE)
        return error_set(err, ERROR_STATE, "tenant \"%s\" is %s, not active", tenant.slug,
                         catalog_tenant_status_name(tenant.status));
    return isolation_unfence(&moving->to->server.isolation, &moving->to->isolated, err);
}

static int flip(struct job_run *run, const char *action, enum catalog_move_phase phase,
                struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r == 0)
        r = open_new_place(run, moving, err);
    if (r == 0)
        r = lock_sites(run, moving, err);
    if (r < 0)
        return r;
    r = check_versions(run, moving, err);
    if (r == 0)
        r = commit_flip(run, moving, action, phase, err);
    unlock_sites(run, moving);
    return r;
}

static int step_flip(struct job_run *run, struct error *err)
{
    return flip(run, "placement.move", CATALOG_MOVE_MOVED, err);
}

/* ---- undoing ---- */

static int undo(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = set_phase(run, moving, CATALOG_MOVE_ABORTING, NULL, err);
    if (r == 0)
        r = pause_undo(run, moving, err);
    if (r == 0)
        r = place_drop(moving->to, err);
    return r < 0 ? r : set_phase(run, moving, CATALOG_MOVE_ABORTED, run->why->message, err);
}

static int compensate(struct job_run *run, struct error *err)
{
    struct moving *moving;
    run->state = NULL; /* it is looked at anew */
    int r = moving_load(run, &moving, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err); /* it was undone, and then the runner was gone */
        return 0;
    }
    if (r < 0 || moving->move.phase == CATALOG_MOVE_MOVED) /* or was done, likewise */
        return r;
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
};

/* ---- going back ---- */

static int step_read_migrations(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r == 0)
        r = place_migrate(run, &moving->making, false, err);
    return r < 0 ? r : moving_find_tables(run, moving, err);
}

static int step_flip_back(struct job_run *run, struct error *err)
{
    return flip(run, "placement.revert", CATALOG_MOVE_REVERTING, err);
}

/* The one that was new. */
static int step_drop_other(struct job_run *run, struct error *err)
{
    struct moving *moving;
    run->state = NULL;
    int r = moving_load(run, &moving, err);
    if (r < 0)
        return r;
    job_tell(run, "drop %s",
             isolation_describe(run->arena, &moving->to->isolated, moving->to->site.cluster.name));
    return place_drop(moving->to, err);
}

static int step_reverted(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    return r < 0 ? r : set_phase(run, moving, CATALOG_MOVE_REVERTED, NULL, err);
}

/* Before the flip: the tenant stays at the new place. Behind it there is only the old one to keep.
 */
static int compensate_revert(struct job_run *run, struct error *err)
{
    struct moving *moving;
    run->state = NULL;
    int r = moving_load(run, &moving, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        return 0;
    }
    if (r < 0)
        return r;
    if (!moving->move.flipped) { /* it is back */
        r = place_drop(moving->to, err);
        return r < 0 ? r : set_phase(run, moving, CATALOG_MOVE_REVERTED, NULL, err);
    }
    r = isolation_fence(&moving->to->server.isolation, &moving->to->site.isolation,
                        &moving->to->isolated, 0, err);
    if (r == 0)
        r = pause_undo(run, moving, err);
    return r < 0 ? r : set_phase(run, moving, CATALOG_MOVE_MOVED, run->why->message, err);
}

static const struct job_step revert_steps[] = {
    {"migrate", "look at the old place", step_read_migrations, true},
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
};

/* ---- finishing ---- */

static int step_finishing(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    return r < 0 ? r : set_phase(run, moving, CATALOG_MOVE_FINISHING, NULL, err);
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
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err); /* it was, and then the runner was gone */
        return 0;
    }
    return r < 0 ? r : finish_in_catalog(run, moving, err);
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

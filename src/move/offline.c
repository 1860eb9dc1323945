/*
 * offline.c - moving without a change stream: the tenant waits while its data is copied and
 * compared.
 *
 * Until the flip the tenant's place is the old one, and whatever goes wrong, an interruption too,
 * undoes all of it. The flip is one transaction in the catalog, the last thing that is done.
 */
#include "base/log.h"
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

/* ---- the same version at both ends ---- */

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

static int check_versions(struct job_run *run, struct moving *moving, struct error *err)
{
    const char *here = "", *there = "";
    int r = read_version(run, moving, moving->from, &here, err);
    if (r == 0)
        r = read_version(run, moving, moving->to, &there, err);
    if (r < 0 || strcmp(here, there) == 0)
        return r;
    error_set(err, ERROR_STATE, "the places are at different versions, %s and %s", here, there);
    error_hint(err, "`reeve migrate %s` brings both to the newest",
               moving->from->placement.service);
    return -ERROR_STATE;
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
        r = check_versions(run, moving, err);
    return r < 0 ? r : moving_find_tables(run, moving, err);
}

/* ---- while the tenant waits ---- */

static bool is_shared(struct job_run *run, const struct place *place)
{
    struct isolation_target target;
    isolation_target(run->arena, &place->site.isolation, &place->isolated, &target);
    return site_is_base(run->arena, &place->site, &target);
}

/* A migration of tables that tenants share knows nothing of this one, and is kept away by the
 * site's lock; one of a place of its own by the placement's. The locks end with the job's session.
 */
static int keep_migrations_away(struct job_run *run, struct moving *moving, struct error *err)
{
    const struct place *places[] = {moving->from, moving->to};
    if (places[0]->site.cluster.id > places[1]->site.cluster.id) {
        places[0] = moving->to;
        places[1] = moving->from;
    }
    int r = 0;
    for (size_t i = 0; r == 0 && i < array_size(places); i++)
        if (is_shared(run, places[i]))
            r = site_lock(run->context, run->catalog, &places[i]->site, err);
    return r < 0 ? r : check_versions(run, moving, err);
}

static void let_migrations(struct job_run *run, const struct moving *moving)
{
    const struct place *places[] = {moving->from, moving->to};
    for (size_t i = 0; i < array_size(places); i++)
        if (is_shared(run, places[i]))
            site_unlock(run->catalog, &places[i]->site);
}

static int begin_pause(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = moving_check_stop(run, moving, err);
    if (r == 0)
        r = keep_migrations_away(run, moving, err);
    if (r == 0)
        r = set_phase(run, moving, CATALOG_MOVE_COPYING, NULL, err);
    return r < 0 ? r : pause_begin(run, moving, err);
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
    if (r == 0)
        r = set_phase(run, moving, CATALOG_MOVE_VERIFYING, NULL, err);
    return r < 0 ? r : compare_all(run, moving, err);
}

/* ---- the flip ---- */

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

static int check_tenant(struct job_run *run, bool *ret_active, struct error *err)
{
    struct catalog_tenant tenant;
    int r = catalog_tenant_get(run->catalog, run->arena, run->tenant_id, &tenant, err);
    if (r == 0)
        *ret_active = tenant.status == CATALOG_TENANT_ACTIVE;
    return r;
}

/* The new place is opened last: until then only what the catalog says leads to the old one. */
static int open_and_flip(struct job_run *run, struct moving *moving, const char *action,
                         enum catalog_move_phase phase, struct error *err)
{
    struct place *to = moving->to;
    bool active = false;
    int r = check_tenant(run, &active, err);
    if (r == 0 && !active)
        r = error_set(err, ERROR_STATE, "tenant \"%s\" is not active", to->placement.tenant);
    if (r == 0)
        r = isolation_unfence(&to->server.isolation, &to->site.isolation, &to->isolated, err);
    if (r < 0)
        return r;
    r = commit_flip(run, moving, action, phase, err);
    if (r < 0) {
        struct error open = {0};
        if (isolation_fence(&to->server.isolation, &to->site.isolation, &to->isolated, 0, &open) <
            0)
            log_write_error(LOG_WARNING, &open, "a place that the tenant is not at stays open");
    }
    return r;
}

/* The tenant has moved: a failure is told, and the audit tells it again. */
static void disallow_behind(struct job_run *run, struct moving *moving)
{
    struct error err = {0};
    if (moving_disallow(run, moving, &err) < 0)
        log_write_error(LOG_WARNING, &err, "role %s may still set session_replication_role",
                        moving->from->site.isolation.owner_role);
}

/* Whoever was suspended meanwhile has closed the old place alone. */
static void close_suspended(struct job_run *run, struct moving *moving)
{
    struct error err = {0};
    bool active = true;
    int r = check_tenant(run, &active, &err);
    if (r == 0 && !active)
        r = isolation_set_login(&moving->to->server.isolation, &moving->to->isolated, false, &err);
    if (r < 0)
        log_write_error(LOG_WARNING, &err, "a suspended tenant's roles may still log in");
}

static int flip(struct job_run *run, const char *action, enum catalog_move_phase phase,
                struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r == 0)
        r = check_versions(run, moving, err);
    if (r == 0)
        r = pause_check(moving, err);
    if (r == 0)
        r = moving_check_stop(run, moving, err);
    if (r == 0)
        r = open_and_flip(run, moving, action, phase, err);
    if (r < 0)
        return r;
    let_migrations(run, moving);
    close_suspended(run, moving);
    disallow_behind(run, moving);
    return 0;
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
        r = moving_disallow(run, moving, err);
    if (r == 0)
        r = place_drop(moving->to, err);
    return r < 0 ? r : set_phase(run, moving, CATALOG_MOVE_ABORTED, run->why->message, err);
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
        disallow_behind(run, moving);
        return 0;
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
};

/* ---- going back ---- */

/* A place of its own follows the service's migrations; shared tables are not this job's to migrate.
 */
static int step_look(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r == 0 && !is_shared(run, moving->to))
        r = place_migrate(run, &moving->making, false, err);
    if (r == 0)
        r = place_read_migrations(run, &moving->making, err);
    if (r == 0)
        r = moving_allow(run, moving, err);
    if (r == 0)
        r = check_versions(run, moving, err);
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
    int r = moving_reload(run, &moving, err);
    if (r < 0 || !moving->to)
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

/* The tenant is back already: what is left is done. */
static int finish_revert(struct job_run *run, struct moving *moving, struct error *err)
{
    disallow_behind(run, moving);
    int r = place_drop(moving->to, err);
    return r < 0 ? r : set_phase(run, moving, CATALOG_MOVE_REVERTED, NULL, err);
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
    r = pause_undo(run, moving, err);
    if (r == 0)
        r = isolation_fence(&moving->to->server.isolation, &moving->to->site.isolation,
                            &moving->to->isolated, 0, err);
    if (r == 0)
        r = moving_disallow(run, moving, err);
    return r < 0 ? r : set_phase(run, moving, CATALOG_MOVE_MOVED, run->why->message, err);
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

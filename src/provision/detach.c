#include "catalog/move.h"
#include "provision/jobs.h"
#include "provision/provision.h"
#include "provision/stream.h"

/* ---- the steps, for this job and for whoever removes several placements ---- */

static int close_place(struct place *place, struct error *err)
{
    return isolation_set_login(&place->server.isolation, &place->isolated, false, err);
}

static int forget(const struct job_context *context, struct catalog *catalog,
                  const struct place *place, struct error *err)
{
    int r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    r = catalog_placement_delete(transaction, place->placement.id, err);
    if (r == 0)
        r = place_audit(context, transaction, "placement.detach", &place->placement, NULL, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

static int drop_streams(struct place *place, int64_t move_id, struct error *err)
{
    int r = stream_drop(place, move_id, STREAM_FORWARD, err);
    return r < 0 ? r : stream_drop(place, move_id, STREAM_BACK, err);
}

/* Of a placement that is being moved, or was: its other place. */
static int drop_other(const struct job_context *context, struct catalog *catalog,
                      struct arena *arena, struct place *here, struct error *err)
{
    struct catalog_move move = {0};
    struct place *other = NULL;
    int r = catalog_move_of(catalog, arena, here->placement.id, &move, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        return 0;
    }
    if (r == 0)
        r = place_load_at(context, catalog, arena, &move.place, &other, err);
    if (r == 0)
        r = drop_streams(here, move.id, err);
    if (r == 0 && !move.abandoned)
        r = drop_streams(other, move.id, err);
    return r < 0 || move.abandoned ? r : place_drop(other, err);
}

static int load(struct job_run *run, struct place **ret, struct error *err)
{
    if (!run->state) {
        struct place *place;
        int r = place_load(run->context, run->catalog, run->arena, run->placement_id, &place, err);
        if (r < 0)
            return r;
        run->state = place;
    }
    *ret = run->state;
    return 0;
}

static int step_close(struct job_run *run, struct error *err)
{
    struct place *place;
    int r = load(run, &place, err);
    return r < 0 ? r : close_place(place, err);
}

static int step_drop(struct job_run *run, struct error *err)
{
    struct place *place;
    int r = load(run, &place, err);
    if (r < 0)
        return r;
    job_tell(run, "drop %s",
             isolation_describe(run->arena, &place->isolated, place->site.cluster.name));
    r = drop_other(run->context, run->catalog, run->arena, place, err);
    return r < 0 ? r : place_drop(place, err);
}

static int step_forget(struct job_run *run, struct error *err)
{
    struct place *place;
    int r = load(run, &place, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err); /* forgotten, and then the runner was gone */
        return 0;
    }
    return r < 0 ? r : forget(run->context, run->catalog, place, err);
}

static const struct job_step steps[] = {
    {"close", "close it and end its sessions", step_close, true},
    {"drop", "drop its data and roles", step_drop, true},
    {"forget", "take it out of the catalog", step_forget, false},
};

/* There is no way back: a failure leaves the placement `deleting`, to be detached again. */
const struct job_definition provision_detach_job = {
    .name = "deprovision",
    .steps = steps,
    .step_count = array_size(steps),
    .abandoned = JOB_RESUME,
};

/* ---- closing: from here on no route leads there ---- */

static int close_in_catalog(struct catalog *catalog, int64_t placement_id, const char *by,
                            struct error *err)
{
    int r = job_supersede(catalog, placement_id, by, err);
    if (r == 0)
        r = catalog_placement_set_state(catalog, placement_id, CATALOG_PLACEMENT_DELETING, err);
    return r;
}

static int submit(const struct job_context *context, struct catalog *catalog,
                  const struct catalog_placement *placement, int64_t *ret_job_id, struct error *err)
{
    const struct job_spec spec = {
        .definition = &provision_detach_job,
        .placement_id = placement->id,
        .tenant_id = placement->tenant_id,
        .service_id = placement->service_id,
    };
    int r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    r = close_in_catalog(transaction, placement->id, "its removal", err);
    int64_t job_id = 0;
    if (r == 0)
        r = job_submit(context, transaction, &spec, &job_id, err);
    if (r == 0)
        r = catalog_commit(transaction, err);
    if (r == 0)
        *ret_job_id = job_id;
    return r;
}

int provision_detach(const struct job_context *context, const char *tenant, const char *service,
                     struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    int r = catalog_open(context->control, &catalog, err);
    if (r < 0)
        return r;
    struct catalog_placement placement;
    r = catalog_placement_find(catalog, &arena, tenant, service, &placement, err);
    if (r < 0)
        return r;
    char subject[JOB_SUBJECT_SIZE];
    job_subject_placement(placement.id, subject);
    r = job_lock(catalog, subject, context->lock_wait_us, context->cancelled, err);
    if (r < 0)
        return r; /* the lock goes with the session, at the end of this function */
    int64_t job_id = 0;
    r = submit(context, catalog, &placement, &job_id, err);
    return r < 0 ? r : job_perform(context, catalog, job_id, err);
}

static int remove_locked(const struct job_context *context, struct catalog *catalog,
                         int64_t placement_id, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    struct place *place;
    int r = place_load(context, catalog, &arena, placement_id, &place, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        return 0;
    }
    if (r == 0)
        r = close_in_catalog(catalog, placement_id, "the tenant's deletion", err);
    if (r == 0)
        r = close_place(place, err);
    if (r == 0)
        r = drop_other(context, catalog, &arena, place, err);
    if (r == 0)
        r = place_drop(place, err);
    return r < 0 ? r : forget(context, catalog, place, err);
}

int provision_remove_placement(const struct job_context *context, struct catalog *catalog,
                               int64_t placement_id, struct error *err)
{
    char subject[JOB_SUBJECT_SIZE];
    job_subject_placement(placement_id, subject);
    int r = job_lock(catalog, subject, context->lock_wait_us, context->cancelled, err);
    if (r < 0)
        return r;
    r = remove_locked(context, catalog, placement_id, err);
    job_unlock(catalog, subject);
    return r;
}

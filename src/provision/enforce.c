/*
 * enforce.c - a placement changes its enforcement while it is in use.
 *
 * What the new one needs is made first, the catalog switches (a new epoch, so every proxy takes the
 * other way from the next transaction on), and what the old one needed goes when nobody uses it.
 */
#include "catalog/move.h"
#include "provision/jobs.h"
#include "provision/provision.h"

static int load(struct job_run *run, struct place **ret, struct error *err)
{
    return place_load(run->context, run->catalog, run->arena, run->placement_id, ret, err);
}

/* The arguments are an object of one member. */
static bool wants_guard(const struct job_run *run)
{
    return strstr(run->arguments, "\"" CATALOG_GUARD "\"") != NULL;
}

/* Login roles, their passwords and grants. The guard needs nothing that is not there. */
static int step_make(struct job_run *run, struct error *err)
{
    struct place *place;
    int r = load(run, &place, err);
    if (r < 0)
        return r;
    if (wants_guard(run))
        return 0;
    place->isolated.guarded = false;
    place->isolated.enter_role = place->isolated.enter_ro_role = NULL;
    r = place_create(place, run->arena, err);
    struct isolation_target target;
    isolation_target(run->arena, &place->site.isolation, &place->isolated, &target);
    return r < 0 ? r : migrate_finish(&place->site.login, &target, run->arena, err);
}

static int store(struct job_run *run, const struct place *place, struct error *err)
{
    const struct catalog_placement *placement = &place->placement;
    const struct isolation_placement *isolated = &place->isolated;
    const struct catalog_place where = {
        .cluster_id = placement->cluster_id,
        .isolation = placement->isolation,
        .database = placement->database,
        .schema = placement->schema,
        .role = placement->role,
        .ro_role = placement->ro_role,
        .role_password = placement->role_password,
        .ro_password = placement->ro_password,
        .enforcement = isolated->guarded ? CATALOG_GUARD : CATALOG_LOGIN,
        .enter_role = isolated->enter_role,
        .enter_ro_role = isolated->enter_ro_role,
    };
    int r = catalog_begin(run->catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = run->catalog;
    r = catalog_placement_set_place(transaction, placement->id, &where, err);
    if (r == 0)
        r = place_audit(run->context, transaction, "placement.enforce", placement,
                        arena_printf(run->arena, "{\"enforcement\":\"%s\"}", where.enforcement),
                        err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

static int step_switch(struct job_run *run, struct error *err)
{
    struct place *place;
    int r = load(run, &place, err);
    if (r < 0)
        return r;
    struct isolation_placement *isolated = &place->isolated;
    isolated->guarded = false;
    isolated->enter_role = isolated->enter_ro_role = NULL;
    if (wants_guard(run))
        isolation_placement_guard(&place->site.isolation, isolated);
    return store(run, place, err);
}

static int step_settle(struct job_run *run, struct error *err)
{
    struct place *place;
    int r = load(run, &place, err);
    if (r < 0)
        return r;
    return isolation_settle(&place->server.isolation, &place->site.isolation, &place->isolated,
                            err);
}

static const struct job_step steps[] = {
    {"make", "make what it needs", step_make, true},
    {"switch", "switch the proxies over", step_switch, false},
    {"settle", "take away what it does not need any more", step_settle, true},
};

const struct job_definition provision_enforce_job = {
    .name = "enforce",
    .steps = steps,
    .step_count = array_size(steps),
    .abandoned = JOB_RESUME,
};

/* ---- the operation ---- */

static int check(const struct place *place, const char *enforcement, struct error *err)
{
    struct isolation_placement isolated = place->isolated;
    if (place->placement.state != CATALOG_PLACEMENT_READY)
        return error_set(err, ERROR_STATE, "the placement is %s, not ready",
                         catalog_placement_state_name(place->placement.state));
    if (strcmp(enforcement, CATALOG_LOGIN) == 0)
        return 0;
    if (strcmp(enforcement, CATALOG_GUARD) != 0) {
        error_set(err, ERROR_INVALID, "there is no enforcement \"%.32s\"", enforcement);
        error_hint(err, "use guard or login");
        return -ERROR_INVALID;
    }
    if (!place->site.isolation.guard) {
        error_set(err, ERROR_UNSUPPORTED, "cluster \"%s\" has no guard: %s",
                  place->site.cluster.name, place->site.cluster.enforcement_reason);
        error_hint(err, "\"reeve cluster enforce %s guard\" looks for it",
                   place->site.cluster.name);
        return -ERROR_UNSUPPORTED;
    }
    if (!isolation_placement_guard(&place->site.isolation, &isolated))
        return error_set(err, ERROR_UNSUPPORTED,
                         "isolation %s shares nothing: its tenants have logins of their own",
                         place->placement.isolation);
    return 0;
}

static int check_not_moving(struct catalog *catalog, struct arena *arena, int64_t placement_id,
                            struct error *err)
{
    struct catalog_move move = {0};
    int r = catalog_move_of(catalog, arena, placement_id, &move, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        return 0;
    }
    if (r == 0 && move.phase != CATALOG_MOVE_MOVED)
        r = error_set(err, ERROR_STATE, "the placement is being moved: it is %s",
                      catalog_move_phase_name(move.phase));
    return r;
}

static int submit(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                  const struct catalog_placement *placement, const char *enforcement,
                  int64_t *ret_job_id, struct error *err)
{
    const struct job_spec spec = {
        .definition = &provision_enforce_job,
        .placement_id = placement->id,
        .tenant_id = placement->tenant_id,
        .service_id = placement->service_id,
        .arguments = arena_printf(arena, "{\"enforcement\":\"%s\"}", enforcement),
    };
    return job_submit(context, catalog, &spec, ret_job_id, err);
}

int provision_enforce(const struct job_context *context, const char *tenant, const char *service,
                      const char *enforcement, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_placement placement = {.enforcement = ""};
    struct place *place = NULL;
    int64_t job_id = 0;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = catalog_placement_find(catalog, &arena, tenant, service, &placement, err);
    if (r == 0)
        r = place_load(context, catalog, &arena, placement.id, &place, err);
    if (r == 0)
        r = check(place, enforcement, err);
    if (r == 0)
        r = check_not_moving(catalog, &arena, placement.id, err);
    if (r < 0 || strcmp(placement.enforcement, enforcement) == 0)
        return r;
    r = submit(context, catalog, &arena, &placement, enforcement, &job_id, err);
    return r < 0 ? r : job_perform(context, catalog, job_id, err);
}

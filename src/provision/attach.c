#include "provision/jobs.h"
#include "provision/provision.h"

#include "catalog/tenant.h"

/* ---- the job ---- */

static int load(struct job_run *run, struct place_making **ret, struct error *err)
{
    if (!run->state) {
        struct place_making *making = arena_zalloc(run->arena, sizeof(*making));
        int r = place_load(run->context, run->catalog, run->arena, run->placement_id,
                           &making->place, err);
        if (r < 0)
            return r;
        run->state = making;
    }
    *ret = run->state;
    return 0;
}

static int step_prepare(struct job_run *run, struct error *err)
{
    struct place_making *making;
    int r = load(run, &making, err);
    return r < 0 ? r : place_prepare(run, making, err);
}

static int step_create(struct job_run *run, struct error *err)
{
    struct place_making *making;
    int r = load(run, &making, err);
    if (r == 0)
        r = place_make(run, making, err);
    if (r < 0)
        return r;
    /* It may have been here before, and have been moved away. */
    struct place *place = making->place;
    return isolation_unfence(&place->server.isolation, &place->site.isolation, &place->isolated,
                             err);
}

static int step_migrate(struct job_run *run, struct error *err)
{
    struct place_making *making;
    int r = load(run, &making, err);
    return r < 0 ? r : place_migrate(run, making, true, err);
}

static int step_finish(struct job_run *run, struct error *err)
{
    struct place_making *making;
    int r = load(run, &making, err);
    return r < 0 ? r : place_finish(run, making, err);
}

static int step_ready(struct job_run *run, struct error *err)
{
    struct place_making *making;
    int r = load(run, &making, err);
    if (r < 0)
        return r;
    const struct catalog_placement *placement = &making->place->placement;
    const char *detail = arena_printf(run->arena, "{\"isolation\":\"%s\"}", placement->isolation);
    r = catalog_begin(run->catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = run->catalog;
    r = catalog_placement_set_state(transaction, placement->id, CATALOG_PLACEMENT_READY, err);
    if (r == 0)
        r = place_audit(run->context, transaction, "placement.attach", placement, detail, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

static int forget(struct job_run *run, const struct place *place, struct error *err)
{
    int r = catalog_begin(run->catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = run->catalog;
    r = catalog_placement_delete(transaction, run->placement_id, err);
    if (r == 0)
        r = place_audit(run->context, transaction, "placement.attach_failed", &place->placement,
                        NULL, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

static int compensate(struct job_run *run, struct error *err)
{
    struct place *place;
    int r = place_load(run->context, run->catalog, run->arena, run->placement_id, &place, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err); /* an earlier attempt got as far as that */
        return 0;
    }
    if (r == 0)
        r = place_drop(place, err);
    return r < 0 ? r : forget(run, place, err);
}

static const struct job_step steps[] = {
    {"prepare", "prepare the service on the cluster", step_prepare, true},
    {"create", "create roles and place", step_create, true},
    {"migrate", "apply migrations", step_migrate, true},
    {"finish", "grant and check", step_finish, true},
    {"ready", "open it", step_ready, false},
};

const struct job_definition provision_attach_job = {
    .name = "provision",
    .steps = steps,
    .step_count = array_size(steps),
    .abandoned = JOB_RESUME,
    .compensate = compensate,
};

/* ---- the operation ---- */

struct request {
    struct catalog_tenant tenant;
    struct catalog_service service;
    const char *isolation;
    int64_t cluster_id;
    const char *database; /* NULL: the default one */
};

static int check_tenant(const struct catalog_tenant *tenant, struct error *err)
{
    if (tenant->status == CATALOG_TENANT_ACTIVE)
        return 0;
    return error_set(err, ERROR_STATE, "tenant \"%s\" is %s, not active", tenant->slug,
                     catalog_tenant_status_name(tenant->status));
}

static int resolve(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                   const struct provision_attach_spec *spec, struct request *ret, struct error *err)
{
    int r = catalog_tenant_find(catalog, arena, spec->tenant, &ret->tenant, err);
    if (r == 0)
        r = catalog_service_find(catalog, arena, spec->service, &ret->service, err);
    if (r == 0)
        r = check_tenant(&ret->tenant, err);
    if (r < 0)
        return r;
    ret->isolation = spec->isolation ? spec->isolation : ret->service.isolation;
    r = place_check_isolation(&ret->service, ret->isolation, err);
    if (r < 0)
        return r;
    ret->cluster_id = ret->service.cluster_id;
    if (spec->cluster) {
        struct catalog_cluster cluster;
        r = catalog_cluster_find(catalog, arena, spec->cluster, &cluster, err);
        if (r < 0)
            return r;
        ret->cluster_id = cluster.id;
    }
    ret->database = spec->database;
    r = place_check_database(context, catalog, arena, &ret->service, ret->isolation,
                             ret->cluster_id, ret->database, err);
    if (r < 0)
        return r;
    struct migration_set ignored; /* before anything is made */
    return migrate_check_folder(ret->service.migrations_dir, arena, &ignored, err);
}

/* A placement whose job was cut off is gone on with; any other is in the way. */
static int take_up_existing(const struct job_context *context, struct catalog *catalog,
                            const struct catalog_placement *placement,
                            const struct provision_attach_spec *spec, struct error *err)
{
    int64_t job_id = 0;
    if (placement->state == CATALOG_PLACEMENT_PROVISIONING) {
        int r = job_pending(catalog, &provision_attach_job, placement->id, &job_id, err);
        if (r < 0)
            return r;
    }
    if (job_id != 0 && (!spec->isolation || strcmp(spec->isolation, placement->isolation) == 0) &&
        (!spec->database || strcmp(spec->database, placement->database) == 0))
        return job_run(context, job_id, err);
    error_set(err, ERROR_EXISTS, "tenant \"%s\" is attached to service \"%s\" already (%s, %s)",
              placement->tenant, placement->service, placement->isolation,
              catalog_placement_state_name(placement->state));
    error_hint(err, "`reeve tenant detach %s %s` removes it with its data", placement->tenant,
               placement->service);
    return -ERROR_EXISTS;
}

static int submit(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                  const struct request *request, int64_t *ret_placement_id, int64_t *ret_job_id,
                  struct error *err)
{
    int r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    struct job_spec spec = {
        .definition = &provision_attach_job,
        .tenant_id = request->tenant.id,
        .service_id = request->service.id,
    };
    r = catalog_placement_create(transaction, request->tenant.id, request->service.id,
                                 request->cluster_id, request->isolation, &spec.placement_id, err);
    if (r == 0)
        r = place_assign(context, transaction, arena, spec.placement_id, request->database, err);
    if (r == 0 && request->database)
        r = catalog_service_database_claim(transaction, request->cluster_id, request->database,
                                           request->service.id, err);
    int64_t job_id = 0;
    if (r == 0)
        r = job_submit(context, transaction, &spec, &job_id, err);
    if (r == 0)
        r = catalog_commit(transaction, err);
    if (r < 0)
        return r;
    *ret_placement_id = spec.placement_id;
    *ret_job_id = job_id;
    return 0;
}

int provision_attach(const struct job_context *context, const struct provision_attach_spec *spec,
                     int64_t *ret_placement_id, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    int r = catalog_open(context->control, &catalog, err);
    if (r < 0)
        return r;
    struct request request;
    r = resolve(context, catalog, &arena, spec, &request, err);
    if (r < 0)
        return r;
    struct catalog_placement existing;
    r = catalog_placement_find(catalog, &arena, spec->tenant, spec->service, &existing, err);
    int64_t placement_id = 0, job_id = 0;
    if (r == 0) {
        placement_id = existing.id;
        r = take_up_existing(context, catalog, &existing, spec, err);
    } else if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        r = submit(context, catalog, &arena, &request, &placement_id, &job_id, err);
        if (r == 0)
            r = job_perform(context, catalog, job_id, err);
    }
    if (r < 0)
        return r;
    if (ret_placement_id)
        *ret_placement_id = placement_id;
    return 0;
}

#include "migrate/migrate.h"

#include "catalog/audit_event.h"
#include "migrate/fleet.h"

static int step_bases(struct job_run *run, struct error *err)
{
    struct fleet *fleet = run->context->operation;
    return fleet_migrate_bases(fleet, run->catalog, run->arena, err);
}

static int step_placements(struct job_run *run, struct error *err)
{
    struct fleet *fleet = run->context->operation;
    return fleet_migrate_placements(fleet, run->catalog, run->arena, err);
}

static const struct job_step steps[] = {
    {"bases", "migrate templates and shared tables", step_bases, false},
    {"placements", "migrate every placement", step_placements, false},
};

/* Each target's transaction is whole, and a new run goes on where one stopped: nothing to undo. */
const struct job_definition migrate_job = {
    .name = "migrate",
    .steps = steps,
    .step_count = array_size(steps),
    .abandoned = JOB_COMPENSATE,
};

static int run_job(const struct job_context *context, struct catalog *catalog, struct fleet *fleet,
                   struct error *err)
{
    struct job_context own = *context;
    own.operation = fleet;
    const struct job_spec spec = {.definition = &migrate_job, .service_id = fleet->service_id};
    int64_t id;
    int r = job_submit(&own, catalog, &spec, &id, err);
    if (r < 0)
        return r;
    r = job_perform(&own, catalog, id, err);
    crypto_wipe(own.master_key, sizeof(own.master_key));
    if (r < 0)
        return r;
    const struct catalog_audit_event event = {
        .actor = context->actor, .action = "service.migrate", .service_id = fleet->service_id};
    return catalog_audit_append(catalog, &event, err);
}

/* A dry run is no job: it changes nothing and may run beside anything. */
static int look_only(struct catalog *catalog, struct fleet *fleet, struct arena *arena,
                     struct error *err)
{
    int r = fleet_migrate_bases(fleet, catalog, arena, err);
    return r < 0 ? r : fleet_migrate_placements(fleet, catalog, arena, err);
}

int migrate_service(const struct job_context *context, const char *service,
                    const struct migrate_options *options, struct migrate_summary *ret_summary,
                    struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    int r = catalog_open(context->control, &catalog, err);
    if (r < 0)
        return r;
    struct catalog_service found;
    r = catalog_service_find(catalog, &arena, service, &found, err);
    if (r < 0)
        return r;
    struct migration_set set;
    r = migrate_check_folder(found.migrations_dir, &arena, &set, err);
    if (r < 0)
        return r;
    struct fleet fleet;
    fleet_init(&fleet, context, options, &set, found.id);
    r = options->dry_run ? look_only(catalog, &fleet, &arena, err)
                         : run_job(context, catalog, &fleet, err);
    if (ret_summary)
        *ret_summary = fleet.summary;
    fleet_destroy(&fleet);
    return r;
}

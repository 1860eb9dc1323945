#include "catalog/tenant.h"

#include "catalog/audit_event.h"
#include "catalog/credential.h"
#include "catalog/move.h"
#include "provision/jobs.h"
#include "provision/place.h"
#include "provision/provision.h"

static int audit(const struct job_context *context, struct catalog *catalog, const char *action,
                 int64_t tenant_id, struct error *err)
{
    const struct catalog_audit_event event = {
        .actor = context->actor, .action = action, .tenant_id = tenant_id};
    return catalog_audit_append(catalog, &event, err);
}

/* Status and audit event, in the caller's transaction. */
static int change_status(const struct job_context *context, struct catalog *catalog,
                         int64_t tenant_id, enum catalog_tenant_status status, const char *action,
                         struct error *err)
{
    int r = catalog_tenant_set_status(catalog, tenant_id, status, err);
    return r < 0 ? r : audit(context, catalog, action, tenant_id, err);
}

/* A place that a move has closed is opened by it. */
static int is_closed_by_move(struct catalog *catalog, struct arena *arena, int64_t placement_id,
                             bool *ret, struct error *err)
{
    struct catalog_move move = {0};
    int r = catalog_move_of(catalog, arena, placement_id, &move, err);
    *ret = r == 0 && move.held_unix_us != 0;
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        return 0;
    }
    return r;
}

static int open_place(const struct job_context *context, struct catalog *catalog,
                      struct arena *arena, int64_t placement_id, struct error *err)
{
    struct place *place;
    bool closed;
    int r = is_closed_by_move(catalog, arena, placement_id, &closed, err);
    if (r < 0 || closed)
        return r;
    r = place_load(context, catalog, arena, placement_id, &place, err);
    return r < 0 ? r
                 : isolation_unfence(&place->server.isolation, &place->site.isolation,
                                     &place->isolated, err);
}

static int open_place_locked(const struct job_context *context, struct catalog *catalog,
                             struct arena *arena, int64_t placement_id, struct error *err)
{
    char subject[JOB_SUBJECT_SIZE];
    job_subject_placement(placement_id, subject);
    int r = job_lock(catalog, subject, context->lock_wait_us, context->cancelled, err);
    if (r < 0)
        return r;
    r = open_place(context, catalog, arena, placement_id, err);
    job_unlock(catalog, subject);
    return r;
}

static int close_place(const struct job_context *context, struct catalog *catalog,
                       struct arena *arena, int64_t placement_id, struct error *err)
{
    struct place *place;
    int r = place_load(context, catalog, arena, placement_id, &place, err);
    return r < 0 ? r : isolation_set_login(&place->server.isolation, &place->isolated, false, err);
}

/* The tenant's roles on its clusters may log in, or not: what the proxies do holds there too. */
static int set_logins(const struct job_context *context, struct catalog *catalog,
                      struct arena *arena, int64_t tenant_id, bool allowed, struct error *err)
{
    struct catalog_placement_filter filter = CATALOG_PLACEMENT_ANY;
    filter.tenant_id = tenant_id;
    struct catalog_placement *placements;
    size_t count;
    int r = catalog_placement_list(catalog, arena, &filter, &placements, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = allowed ? open_place_locked(context, catalog, arena, placements[i].id, err)
                    : close_place(context, catalog, arena, placements[i].id, err);
    return r;
}

static int store_status(const struct job_context *context, struct catalog *catalog,
                        const struct catalog_tenant *tenant, enum catalog_tenant_status status,
                        const char *action, struct error *err)
{
    if (tenant->status == status)
        return 0;
    int r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    r = change_status(context, transaction, tenant->id, status, action, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

static int find(const struct job_context *context, const char *slug, struct arena *arena,
                struct catalog **ret_catalog, struct catalog_tenant *ret, struct error *err)
{
    int r = catalog_open(context->control, ret_catalog, err);
    return r < 0 ? r : catalog_tenant_find(*ret_catalog, arena, slug, ret, err);
}

/* The proxies first: they close what is open, on every machine, whatever the clusters do. */
int provision_tenant_suspend(const struct job_context *context, const char *slug, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant tenant;
    int r = find(context, slug, &arena, &catalog, &tenant, err);
    if (r == 0)
        r = store_status(context, catalog, &tenant, CATALOG_TENANT_SUSPENDED, "tenant.suspend",
                         err);
    if (r < 0)
        return r;
    r = set_logins(context, catalog, &arena, tenant.id, false, err);
    if (r < 0) {
        error_prefix(err, "tenant \"%s\" is suspended on every proxy, but not on its server", slug);
        error_hint(err, "suspend it again once the server can be reached");
    }
    return r;
}

int provision_tenant_resume(const struct job_context *context, const char *slug, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant tenant;
    int r = find(context, slug, &arena, &catalog, &tenant, err);
    if (r == 0 && tenant.status != CATALOG_TENANT_DELETING)
        r = set_logins(context, catalog, &arena, tenant.id, true, err);
    return r < 0 ? r
                 : store_status(context, catalog, &tenant, CATALOG_TENANT_ACTIVE, "tenant.resume",
                                err);
}

/* ---- deletion ---- */

static int step_placements(struct job_run *run, struct error *err)
{
    struct catalog_placement_filter filter = CATALOG_PLACEMENT_ANY;
    filter.tenant_id = run->tenant_id;
    struct catalog_placement *placements;
    size_t count;
    int r = catalog_placement_list(run->catalog, run->arena, &filter, &placements, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        job_tell(run, "remove its data for service %s", placements[i].service);
        r = provision_remove_placement(run->context, run->catalog, placements[i].id, err);
    }
    return r;
}

static int step_forget(struct job_run *run, struct error *err)
{
    int r = catalog_begin(run->catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = run->catalog;
    r = change_status(run->context, transaction, run->tenant_id, CATALOG_TENANT_DELETED,
                      "tenant.delete", err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

static const struct job_step steps[] = {
    {"placements", "remove its data", step_placements, true},
    {"forget", "mark it deleted", step_forget, false},
};

/* A failure leaves the tenant `deleting`, with nothing that leads to it; delete it again. */
const struct job_definition provision_tenant_delete_job = {
    .name = "tenant-delete",
    .steps = steps,
    .step_count = array_size(steps),
    .abandoned = JOB_RESUME,
};

static int submit_delete(const struct job_context *context, struct catalog *catalog,
                         int64_t tenant_id, int64_t *ret_job_id, struct error *err)
{
    const struct job_spec spec = {.definition = &provision_tenant_delete_job,
                                  .tenant_id = tenant_id};
    int r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    r = catalog_tenant_set_status(transaction, tenant_id, CATALOG_TENANT_DELETING, err);
    if (r == 0)
        r = catalog_credential_revoke_all(transaction, tenant_id, err);
    int64_t job_id = 0;
    if (r == 0)
        r = job_submit(context, transaction, &spec, &job_id, err);
    if (r == 0)
        r = catalog_commit(transaction, err);
    if (r == 0)
        *ret_job_id = job_id;
    return r;
}

int provision_tenant_delete(const struct job_context *context, const char *slug, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant tenant;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = catalog_tenant_find(catalog, &arena, slug, &tenant, err);
    int64_t job_id = 0;
    if (r == 0)
        r = submit_delete(context, catalog, tenant.id, &job_id, err);
    return r < 0 ? r : job_perform(context, catalog, job_id, err);
}

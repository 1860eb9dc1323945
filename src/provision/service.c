#include "catalog/service.h"

#include "base/str.h"
#include "catalog/audit_event.h"
#include "provision/jobs.h"
#include "provision/provision.h"

static int audit(const struct job_context *context, struct catalog *catalog, const char *action,
                 const struct catalog_service *service, struct arena *arena, struct error *err)
{
    const struct catalog_audit_event event = {
        .actor = context->actor,
        .action = action,
        .service_id = service->id,
        .detail = arena_printf(arena, "{\"service\":\"%s\"}", service->name), /* a slug */
    };
    return catalog_audit_append(catalog, &event, err);
}

/* ---- the job that makes a new service's databases ---- */

struct create_state {
    struct site site;
    struct server server;
};

static int load(struct job_run *run, struct create_state **ret, struct error *err)
{
    if (!run->state) {
        struct create_state *state = arena_zalloc(run->arena, sizeof(*state));
        struct catalog_service service;
        int r = catalog_service_get(run->catalog, run->arena, run->service_id, &service, err);
        if (r == 0)
            r = site_load(run->context, run->catalog, run->arena, service.id, service.cluster_id,
                          &state->site, err);
        if (r < 0)
            return r;
        server_init(&state->server, run->context, &state->site.cluster);
        run->state = state;
    }
    *ret = run->state;
    return 0;
}

static int load_locked(struct job_run *run, struct create_state *state, struct error *err)
{
    return site_load_locked(run->context, run->catalog, run->arena, state->site.service.id,
                            state->site.cluster.id, NULL, &state->site, err);
}

static int step_prepare(struct job_run *run, struct error *err)
{
    struct create_state *state;
    int r = load(run, &state, err);
    if (r == 0)
        r = load_locked(run, state, err);
    if (r < 0)
        return r;
    r = base_prepare(run->catalog, run->arena, &state->site, &state->server, err);
    site_unlock(run->catalog, &state->site);
    return r;
}

static int migrate_locked(struct job_run *run, const struct site *site, struct error *err)
{
    struct migration_set set;
    int r = migrate_check_folder(site->service.migrations_dir, run->arena, &set, err);
    const struct isolation_target *targets;
    size_t count = isolation_base_targets(run->arena, &site->isolation, &targets);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = base_migrate(run->catalog, run->arena, site, &targets[i], &set, err);
    return r;
}

static int step_migrate(struct job_run *run, struct error *err)
{
    struct create_state *state;
    int r = load(run, &state, err);
    if (r == 0)
        r = site_lock(run->context, run->catalog, &state->site, err);
    if (r < 0)
        return r;
    r = migrate_locked(run, &state->site, err);
    site_unlock(run->catalog, &state->site);
    return r;
}

static int compensate(struct job_run *run, struct error *err)
{
    struct create_state *state;
    run->state = NULL; /* what the steps knew may be stale */
    int r = load(run, &state, err);
    if (r == 0)
        r = load_locked(run, state, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        return 0;
    }
    if (r < 0)
        return r;
    r = base_drop(run->catalog, &state->site, &state->server, err);
    if (r == 0)
        r = catalog_service_delete(run->catalog, run->service_id, err);
    site_unlock(run->catalog, &state->site);
    if (r == -ERROR_STATE) {
        error_clear(err); /* a tenant was attached meanwhile, so the service works after all */
        return 0;
    }
    return r;
}

static const struct job_step steps[] = {
    {"prepare", "create the service's role and databases", step_prepare, true},
    {"migrate", "apply migrations to what tenants will share", step_migrate, true},
};

const struct job_definition provision_service_create_job = {
    .name = "service-create",
    .steps = steps,
    .step_count = array_size(steps),
    .abandoned = JOB_RESUME,
    .compensate = compensate,
};

/* ---- create ---- */

static bool contains(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* The default, and what else is allowed, each once. */
static int collect_allowed(const struct provision_service_spec *spec, struct arena *arena,
                           struct catalog_service *service, struct error *err)
{
    const struct isolation *mode;
    const char **allowed = arena_zalloc(arena, (spec->allowed_count + 1) * sizeof(char *));
    int r = isolation_parse(spec->isolation, &mode, err);
    if (r < 0)
        return r;
    size_t count = 0;
    allowed[count++] = isolation_name(mode);
    for (size_t i = 0; i < spec->allowed_count; i++) {
        r = isolation_parse(spec->allowed[i], &mode, err);
        if (r < 0)
            return r;
        if (!contains(allowed, count, isolation_name(mode)))
            allowed[count++] = isolation_name(mode);
    }
    service->isolation = allowed[0];
    service->allowed = allowed;
    service->allowed_count = count;
    return 0;
}

static int choose_cluster(struct catalog *catalog, struct arena *arena, const char *name,
                          int64_t *ret_id, struct error *err)
{
    if (name) {
        struct catalog_cluster cluster;
        int r = catalog_cluster_find(catalog, arena, name, &cluster, err);
        if (r == 0)
            *ret_id = cluster.id;
        return r;
    }
    struct catalog_cluster *clusters;
    size_t count;
    int r = catalog_cluster_list(catalog, arena, &clusters, &count, err);
    if (r < 0)
        return r;
    if (count == 0) {
        error_set(err, ERROR_STATE, "there is no cluster to place tenants on");
        error_hint(err, "add one with `reeve cluster add`");
        return -ERROR_STATE;
    }
    if (count > 1)
        return error_set(err, ERROR_USAGE, "there are %zu clusters; say which with --cluster",
                         count);
    *ret_id = clusters[0].id;
    return 0;
}

static int check_is_new(struct catalog *catalog, struct arena *arena, const char *name,
                        struct error *err)
{
    struct catalog_service existing;
    int r = catalog_service_find(catalog, arena, name, &existing, err);
    if (r == 0)
        return error_set(err, ERROR_EXISTS, "there is a service \"%s\" already", name);
    if (r != -ERROR_NOT_FOUND)
        return r;
    error_clear(err);
    return 0;
}

static int check_spec(struct catalog *catalog, struct arena *arena,
                      const struct provision_service_spec *spec, struct catalog_service *ret,
                      struct error *err)
{
    struct migration_set set;
    int r = str_check_slug("service name", spec->name, err);
    if (r == 0)
        r = collect_allowed(spec, arena, ret, err);
    if (r == 0)
        r = migrate_check_folder(spec->migrations, arena, &set, err);
    if (r == 0)
        r = check_is_new(catalog, arena, spec->name, err);
    if (r == 0)
        r = choose_cluster(catalog, arena, spec->cluster, &ret->cluster_id, err);
    if (r != 0)
        return r;
    ret->name = spec->name;
    ret->migrations_dir = set.folder;
    return 0;
}

static int submit(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                  struct catalog_service *service, int64_t *ret_job_id, struct error *err)
{
    struct job_spec spec = {.definition = &provision_service_create_job};
    int r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    r = catalog_service_create(transaction, service, &service->id, err);
    spec.service_id = service->id;
    int64_t job_id = 0;
    if (r == 0)
        r = audit(context, transaction, "service.create", service, arena, err);
    if (r == 0)
        r = job_submit(context, transaction, &spec, &job_id, err);
    if (r == 0)
        r = catalog_commit(transaction, err);
    if (r == 0)
        *ret_job_id = job_id;
    return r;
}

int provision_service_create(const struct job_context *context,
                             const struct provision_service_spec *spec, int64_t *ret_id,
                             struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_service service = {0};
    int64_t job_id = 0;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = check_spec(catalog, &arena, spec, &service, err);
    if (r == 0)
        r = submit(context, catalog, &arena, &service, &job_id, err);
    if (r == 0)
        r = job_perform(context, catalog, job_id, err);
    if (r == 0 && ret_id)
        *ret_id = service.id;
    return r;
}

/* ---- delete ---- */

static int check_unused(struct catalog *catalog, struct arena *arena,
                        const struct catalog_service *service, struct error *err)
{
    struct catalog_placement_filter filter = CATALOG_PLACEMENT_ANY;
    filter.service_id = service->id;
    struct catalog_placement *placements;
    size_t count;
    int r = catalog_placement_list(catalog, arena, &filter, &placements, &count, err);
    if (r < 0)
        return r;
    if (count == 0)
        return 0;
    error_set(err, ERROR_STATE, "service \"%s\" has %zu tenants, the first is \"%s\"",
              service->name, count, placements[0].tenant);
    error_hint(err, "detach them first");
    return -ERROR_STATE;
}

/* The sites stay locked until the catalog's session ends: nothing is made there between this and
 * the end of the service. */
static int drop_everywhere(const struct job_context *context, struct catalog *catalog,
                           struct arena *arena, int64_t service_id, struct error *err)
{
    struct catalog_cluster *clusters;
    size_t count;
    int r = catalog_cluster_list(catalog, arena, &clusters, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct site site;
        struct server server;
        server_init(&server, context, &clusters[i]);
        r = site_load_locked(context, catalog, arena, service_id, clusters[i].id, NULL, &site, err);
        if (r == 0 && site.login.owner_password.length > 0)
            r = base_drop(catalog, &site, &server, err);
    }
    return r;
}

static int forget(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                  const struct catalog_service *service, struct error *err)
{
    int r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    r = catalog_service_delete(transaction, service->id, err);
    if (r == 0)
        r = audit(context, transaction, "service.delete", service, arena, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

int provision_service_delete(const struct job_context *context, const char *name, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_service service;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = catalog_service_find(catalog, &arena, name, &service, err);
    if (r == 0)
        r = check_unused(catalog, &arena, &service, err);
    if (r != 0)
        return r;
    char subject[JOB_SUBJECT_SIZE];
    snprintf(subject, sizeof(subject), "service:%lld", (long long)service.id);
    r = job_lock(catalog, subject, context->lock_wait_us, context->cancelled, err);
    if (r == 0)
        r = drop_everywhere(context, catalog, &arena, service.id, err);
    return r < 0 ? r : forget(context, catalog, &arena, &service, err);
}

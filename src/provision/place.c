#include "provision/place.h"

#include "catalog/audit_event.h"

int place_load_at(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                  const struct catalog_placement *placement, struct place **ret, struct error *err)
{
    struct place *place = arena_zalloc(arena, sizeof(*place));
    place->placement = *placement;
    int r = site_load_of(context, catalog, arena, placement, &place->site, err);
    if (r == 0)
        r = site_placement(arena, &place->site, placement, &place->isolated, err);
    if (r < 0)
        return r;
    server_init(&place->server, context, &place->site.cluster);
    *ret = place;
    return 0;
}

int place_load(const struct job_context *context, struct catalog *catalog, struct arena *arena,
               int64_t placement_id, struct place **ret, struct error *err)
{
    struct catalog_placement placement;
    int r = catalog_placement_get(catalog, arena, placement_id, &placement, err);
    return r < 0 ? r : place_load_at(context, catalog, arena, &placement, ret, err);
}

static struct catalog_sealed new_password(const struct job_context *context, struct arena *arena,
                                          const char *role)
{
    char name[CATALOG_SECRET_CONTEXT_SIZE];
    catalog_login_context(role, name);
    return base_random_password(arena, context->master_key, name);
}

int place_check_isolation(const struct catalog_service *service, const char *isolation,
                          struct error *err)
{
    const struct isolation *mode;
    int r = isolation_parse(isolation, &mode, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < service->allowed_count; i++)
        if (strcmp(service->allowed[i], isolation) == 0)
            return 0;
    error_set(err, ERROR_INVALID, "service \"%s\" does not allow isolation %s", service->name,
              isolation);
    error_hint(err, "`reeve service show %s` lists what it allows", service->name);
    return -ERROR_INVALID;
}

/* What is asked for may be another service's, or nobody's that Reeve knows. */
static int check_free(const struct job_context *context, struct catalog *catalog,
                      const struct site *site, struct error *err)
{
    struct server server;
    bool taken = false;
    const char *database = site->isolation.shared_database;
    int r = catalog_service_database_taken(catalog, site->cluster.id, database, site->service.id,
                                           &taken, err);
    if (r < 0)
        return r;
    if (taken)
        return error_set(err, ERROR_EXISTS,
                         "database \"%s\" on cluster \"%s\" is another service's", database,
                         site->cluster.name);
    server_init(&server, context, &site->cluster);
    return isolation_check_foreign(&server.isolation, &site->isolation, err);
}

int place_check_database(const struct job_context *context, struct catalog *catalog,
                         struct arena *arena, const struct catalog_service *service,
                         const char *isolation, int64_t cluster_id, const char *database,
                         struct error *err)
{
    const struct isolation *mode;
    struct site site;
    if (!database)
        return 0;
    int r = isolation_parse(isolation, &mode, err);
    if (r < 0)
        return r;
    if (!isolation_shares_database(mode)) {
        error_set(
            err, ERROR_USAGE,
            "--database names a shared database, and in isolation %s a tenant has one of its own",
            isolation);
        error_hint(err, "its name comes from Reeve; --database goes with row and schema");
        return -ERROR_USAGE;
    }
    r = site_load(context, catalog, arena, service->id, cluster_id, &site, err);
    if (r < 0 || strcmp(database, isolation_default_database(arena, &site.isolation)) == 0)
        return r;
    r = isolation_check_database_name(database, err);
    if (r == 0)
        r = site_load_at(context, catalog, arena, service->id, cluster_id, database, &site, err);
    return r < 0 ? r : check_free(context, catalog, &site, err);
}

int place_design(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                 const struct catalog_placement *placement, const char *isolation,
                 int64_t cluster_id, const char *database, int64_t generation,
                 struct catalog_place *ret, struct error *err)
{
    struct catalog_placement there = *placement;
    struct place *place;
    there.isolation = isolation;
    there.cluster_id = cluster_id;
    there.database = database;
    there.generation = generation;
    there.enforcement = CATALOG_LOGIN;
    int r = place_load_at(context, catalog, arena, &there, &place, err);
    if (r < 0)
        return r;
    if (strcmp(place->site.cluster.enforcement, CATALOG_GUARD) == 0)
        isolation_placement_guard(&place->site.isolation, &place->isolated);
    const struct isolation_placement *isolated = &place->isolated;
    *ret = (struct catalog_place){
        .cluster_id = cluster_id,
        .isolation = isolation,
        .database = isolated->database,
        .schema = isolated->schema,
        .role = isolated->role,
        .ro_role = isolated->ro_role,
        .role_password = new_password(context, arena, isolated->role),
        .ro_password = new_password(context, arena, isolated->ro_role),
        .enforcement = isolated->guarded ? CATALOG_GUARD : CATALOG_LOGIN,
        .enter_role = isolated->enter_role,
        .enter_ro_role = isolated->enter_ro_role,
        .generation = generation,
    };
    return 0;
}

int place_assign(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                 int64_t placement_id, const char *database, struct error *err)
{
    struct catalog_placement placement;
    struct catalog_place where = {0};
    int r = catalog_placement_get(catalog, arena, placement_id, &placement, err);
    if (r == 0)
        r = place_design(context, catalog, arena, &placement, placement.isolation,
                         placement.cluster_id, database, placement.generation, &where, err);
    return r < 0 ? r : catalog_placement_set_place(catalog, placement_id, &where, err);
}

static int login_verifier(const struct place *place, struct arena *arena, const char *role,
                          const struct catalog_sealed *sealed, const char **ret, struct error *err)
{
    char name[CATALOG_SECRET_CONTEXT_SIZE];
    catalog_login_context(role, name);
    return base_verifier(arena, place->server.context->master_key, name, sealed, ret, err);
}

int place_create(struct place *place, struct arena *arena, struct error *err)
{
    struct isolation_placement *isolated = &place->isolated;
    const struct catalog_placement *placement = &place->placement;
    int r = login_verifier(place, arena, isolated->role, &placement->role_password,
                           &isolated->role_verifier, err);
    if (r == 0)
        r = login_verifier(place, arena, isolated->ro_role, &placement->ro_password,
                           &isolated->ro_verifier, err);
    if (r == 0)
        r = isolation_create(&place->server.isolation, &place->site.isolation, isolated, err);
    return r;
}

int place_drop(struct place *place, struct error *err)
{
    return isolation_drop(&place->server.isolation, &place->site.isolation, &place->isolated, err);
}

/* ---- making one, step by step ---- */

int place_read_migrations(struct job_run *run, struct place_making *making, struct error *err)
{
    if (making->has_set)
        return 0;
    int r = migrate_check_folder(making->place->site.service.migrations_dir, run->arena,
                                 &making->set, err);
    making->has_set = r == 0;
    return r;
}

/* Others may have been at work until now: on the cluster, on its databases, and on the folder,
 * which `reeve migrate` goes by before it takes the lock. */
static int load_again(struct job_run *run, struct place_making *making, struct error *err)
{
    struct place *place = making->place;
    making->has_set = false;
    int r = place_read_migrations(run, making, err);
    if (r == 0)
        r = site_load_of(run->context, run->catalog, run->arena, &place->placement, &place->site,
                         err);
    return r;
}

static int prepare_locked(struct job_run *run, struct place_making *making, struct error *err)
{
    struct place *place = making->place;
    struct isolation_target base;
    int r = load_again(run, making, err);
    if (r == 0)
        r = base_prepare(run->catalog, run->arena, &place->site, &place->server, err);
    if (r < 0 || !isolation_base_target(run->arena, &place->site.isolation,
                                        place->isolated.isolation, &base))
        return r;
    return base_migrate(run->catalog, run->arena, &place->site, &base, &making->set, err);
}

int place_prepare(struct job_run *run, struct place_making *making, struct error *err)
{
    int r = site_lock(run->context, run->catalog, &making->place->site, err);
    if (r < 0)
        return r;
    r = prepare_locked(run, making, err);
    site_unlock(run->catalog, &making->place->site);
    return r;
}

/* Behind the site's lock, as a template in use cannot be copied. */
int place_make(struct job_run *run, struct place_making *making, struct error *err)
{
    struct place *place = making->place;
    int r = site_lock(run->context, run->catalog, &place->site, err);
    if (r < 0)
        return r;
    job_tell(run, "create %s",
             isolation_describe(run->arena, &place->isolated, place->site.cluster.name));
    r = place_create(place, run->arena, err);
    site_unlock(run->catalog, &place->site);
    return r;
}

int place_migrate(struct job_run *run, struct place_making *making, bool follow, struct error *err)
{
    struct place *place = making->place;
    struct isolation_target target;
    struct migrate_result result;
    int r = place_read_migrations(run, making, err);
    if (r < 0)
        return r;
    isolation_target(run->arena, &place->site.isolation, &place->isolated, &target);
    bool shared = site_is_base(run->arena, &place->site, &target);
    if (follow || shared)
        r = site_migrate(run->catalog, &place->site, &target, follow ? &place->placement : NULL,
                         &making->set, false, run->arena, &result, err);
    else
        r = migrate_target(&place->site.login, &target, &making->set, false, run->arena, &result,
                           err);
    if (r == 0)
        job_tell(run, "at version %s", result.to);
    return r;
}

int place_finish(struct job_run *run, const struct place_making *making, struct error *err)
{
    const struct place *place = making->place;
    struct isolation_target target;
    isolation_target(run->arena, &place->site.isolation, &place->isolated, &target);
    return migrate_finish(&place->site.login, &target, run->arena, err);
}

int place_audit(const struct job_context *context, struct catalog *catalog, const char *action,
                const struct catalog_placement *placement, const char *detail, struct error *err)
{
    const struct catalog_audit_event event = {
        .actor = context->actor,
        .action = action,
        .tenant_id = placement->tenant_id,
        .service_id = placement->service_id,
        .placement_id = placement->id,
        .detail = detail,
    };
    return catalog_audit_append(catalog, &event, err);
}

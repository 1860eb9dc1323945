#include "provision/place.h"

#include "catalog/audit_event.h"

int place_load(const struct job_context *context, struct catalog *catalog, struct arena *arena,
               int64_t placement_id, struct place **ret, struct error *err)
{
    struct place *place = arena_zalloc(arena, sizeof(*place));
    struct catalog_placement *placement = &place->placement;
    int r = catalog_placement_get(catalog, arena, placement_id, placement, err);
    if (r == 0)
        r = site_load(context, catalog, arena, placement->service_id, placement->cluster_id,
                      &place->site, err);
    if (r == 0)
        r = site_placement(arena, &place->site, placement, &place->isolated, err);
    if (r < 0)
        return r;
    server_init(&place->server, context, &place->site.cluster);
    *ret = place;
    return 0;
}

static struct catalog_sealed new_password(const struct job_context *context, struct arena *arena,
                                          const char *role)
{
    char name[CATALOG_SECRET_CONTEXT_SIZE];
    catalog_login_context(role, name);
    return base_random_password(arena, context->master_key, name);
}

int place_assign(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                 int64_t placement_id, struct error *err)
{
    struct place *place;
    int r = place_load(context, catalog, arena, placement_id, &place, err);
    if (r < 0)
        return r;
    if (strcmp(place->site.cluster.enforcement, CATALOG_GUARD) == 0)
        isolation_placement_guard(&place->site.isolation, &place->isolated);
    const struct isolation_placement *isolated = &place->isolated;
    const struct catalog_place where = {
        .cluster_id = place->placement.cluster_id,
        .isolation = place->placement.isolation,
        .database = isolated->database,
        .schema = isolated->schema,
        .role = isolated->role,
        .ro_role = isolated->ro_role,
        .role_password = new_password(context, arena, isolated->role),
        .ro_password = new_password(context, arena, isolated->ro_role),
        .enforcement = isolated->guarded ? CATALOG_GUARD : CATALOG_LOGIN,
        .enter_role = isolated->enter_role,
        .enter_ro_role = isolated->enter_ro_role,
    };
    return catalog_placement_set_place(catalog, placement_id, &where, err);
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

#include "fleet/select.h"

#include "catalog/move.h"
#include "catalog/service.h"
#include "catalog/tenant.h"

/* What is looked up by id: sorted by it. */
struct known {
    struct catalog_tenant *tenants;
    size_t tenant_count;
    struct catalog_move *moves;
    size_t move_count;
};

/* ---- by id ---- */

static int compare_ids(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_tenants(const void *a, const void *b)
{
    return compare_ids(((const struct catalog_tenant *)a)->id,
                       ((const struct catalog_tenant *)b)->id);
}

static int compare_moves(const void *a, const void *b)
{
    return compare_ids(((const struct catalog_move *)a)->place.id,
                       ((const struct catalog_move *)b)->place.id);
}

static int load_known(struct catalog *catalog, struct arena *arena, struct known *ret,
                      struct error *err)
{
    const struct catalog_move_filter open = {.open = true};
    int r = catalog_tenant_list(catalog, arena, NULL, &ret->tenants, &ret->tenant_count, err);
    if (r == 0)
        r = catalog_move_list(catalog, arena, &open, &ret->moves, &ret->move_count, err);
    if (r < 0)
        return r;
    qsort(ret->tenants, ret->tenant_count, sizeof(*ret->tenants), compare_tenants);
    qsort(ret->moves, ret->move_count, sizeof(*ret->moves), compare_moves);
    return 0;
}

static const struct catalog_tenant *find_tenant(const struct known *known, int64_t id)
{
    const struct catalog_tenant key = {.id = id};
    return known->tenants
               ? bsearch(&key, known->tenants, known->tenant_count, sizeof(key), compare_tenants)
               : NULL;
}

static const struct catalog_move *find_move(const struct known *known, int64_t placement_id)
{
    const struct catalog_move key = {.place = {.id = placement_id}};
    return known->moves ? bsearch(&key, known->moves, known->move_count, sizeof(key), compare_moves)
                        : NULL;
}

/* ---- what keeps a placement ---- */

static const char *find_busy(const struct known *known, const struct catalog_placement *placement,
                             const struct catalog_tenant *tenant, struct arena *arena)
{
    const struct catalog_move *move = find_move(known, placement->id);
    if (!tenant)
        return "its tenant is gone";
    if (tenant->status != CATALOG_TENANT_ACTIVE)
        return arena_printf(arena, "its tenant is %s", catalog_tenant_status_name(tenant->status));
    if (move && move->phase == CATALOG_MOVE_MOVED)
        return "it has moved, and its old place is kept";
    if (move)
        return arena_printf(arena, "a move is under way: %s", catalog_move_phase_name(move->phase));
    if (placement->state != CATALOG_PLACEMENT_READY)
        return arena_printf(arena, "it is %s, not ready",
                            catalog_placement_state_name(placement->state));
    if (placement->held_until_unix_us != 0)
        return "it is held";
    return NULL;
}

const char *fleet_skip(const struct fleet_placement *placement, const char *isolation,
                       const char *cluster, const char *database, struct arena *arena)
{
    const struct catalog_placement *at = &placement->placement;
    if ((!isolation || strcmp(isolation, at->isolation) == 0) &&
        (!cluster || strcmp(cluster, at->cluster) == 0) &&
        (!database || strcmp(database, at->database) == 0))
        return database ? arena_printf(
                              arena,
                              "it is in isolation %s in database \"%s\" on cluster \"%s\" already",
                              at->isolation, at->database, at->cluster)
                        : arena_printf(arena, "it is in isolation %s on cluster \"%s\" already",
                                       at->isolation, at->cluster);
    return placement->busy;
}

/* ---- selecting ---- */

static bool is_meant(const struct fleet_placement *one, const struct match *match)
{
    const struct match_subject subject = {.slug = one->placement.tenant,
                                          .service = one->placement.service,
                                          .isolation = one->placement.isolation,
                                          .cluster = one->placement.cluster,
                                          .database = one->placement.database,
                                          .tags = one->tags,
                                          .tag_count = one->tag_count};
    return match_holds(match, &subject);
}

static int list(struct catalog *catalog, const struct fleet_filter *filter, struct arena *arena,
                struct catalog_placement **ret, size_t *ret_count, struct error *err)
{
    struct catalog_placement_filter which = CATALOG_PLACEMENT_ANY;
    struct catalog_service service = {0};
    int r =
        filter->service ? catalog_service_find(catalog, arena, filter->service, &service, err) : 0;
    which.service_id = service.id;
    return r < 0 ? r : catalog_placement_list(catalog, arena, &which, ret, ret_count, err);
}

int fleet_select(struct catalog *catalog, const struct fleet_filter *filter, struct arena *arena,
                 struct fleet_placement **ret, size_t *ret_count, struct error *err)
{
    struct known known = {0};
    struct catalog_placement *placements = NULL;
    size_t count = 0, kept = 0;
    int r = list(catalog, filter, arena, &placements, &count, err);
    if (r == 0)
        r = load_known(catalog, arena, &known, err);
    if (r < 0)
        return r;
    struct fleet_placement *meant = arena_zalloc(arena, (count + 1) * sizeof(*meant));
    for (size_t i = 0; i < count; i++) {
        const struct catalog_tenant *tenant = find_tenant(&known, placements[i].tenant_id);
        struct fleet_placement *one = &meant[kept];
        *one = (struct fleet_placement){.placement = placements[i],
                                        .tags = tenant ? tenant->tags : NULL,
                                        .tag_count = tenant ? tenant->tag_count : 0,
                                        .busy = find_busy(&known, &placements[i], tenant, arena)};
        kept += is_meant(one, filter->match);
    }
    *ret = meant;
    *ret_count = kept;
    return 0;
}

#include "fleet/rebalance.h"

#include "catalog/cluster.h"
#include "catalog/service.h"
#include "fleet/measure.h"

const char *rebalance_by_name(size_t by)
{
    static const char *const names[] = {
        [REBALANCE_BY_SIZE] = "size",
        [REBALANCE_BY_TENANTS] = "tenants",
        [REBALANCE_BY_LOAD] = "load",
    };
    return by < REBALANCE_WAYS ? names[by] : NULL;
}

/* ---- facts ---- */

static int load_clusters(struct catalog *catalog, struct arena *arena,
                         struct rebalance_proposal *proposal, struct error *err)
{
    struct catalog_cluster *found = NULL;
    int r = catalog_cluster_list(catalog, arena, &found, &proposal->cluster_count, err);
    if (r < 0)
        return r;
    proposal->clusters =
        arena_zalloc(arena, (proposal->cluster_count + 1) * sizeof(*proposal->clusters));
    for (size_t i = 0; i < proposal->cluster_count; i++)
        proposal->clusters[i] = (struct rebalance_cluster){.name = found[i].name, .reached = true};
    return 0;
}

/* The service's shared ones on a cluster. */
static int load_databases(struct catalog *catalog, struct arena *arena,
                          const struct rebalance_request *request,
                          struct rebalance_proposal *proposal, struct error *err)
{
    struct catalog_service service;
    struct catalog_cluster cluster;
    struct catalog_service_database *found = NULL;
    size_t count = 0;
    int r = catalog_service_find(catalog, arena, request->service, &service, err);
    if (r == 0)
        r = catalog_cluster_find(catalog, arena, request->among, &cluster, err);
    if (r == 0)
        r = catalog_service_database_list(catalog, arena, service.id, cluster.id, &found, &count,
                                          err);
    if (r < 0)
        return r;
    proposal->clusters = arena_zalloc(arena, (count + 1) * sizeof(*proposal->clusters));
    for (size_t i = 0; i < count; i++)
        if (found[i].kind == CATALOG_DATABASE_SHARED)
            proposal->clusters[proposal->cluster_count++] = (struct rebalance_cluster){
                .name = cluster.name, .database = found[i].database, .reached = true};
    return 0;
}

const char *rebalance_name(const struct rebalance_cluster *cluster)
{
    return cluster->database ? cluster->database : cluster->name;
}

static bool is_at(const struct catalog_placement *placement,
                  const struct rebalance_cluster *cluster)
{
    return strcmp(cluster->name, placement->cluster) == 0 &&
           (!cluster->database || strcmp(cluster->database, placement->database) == 0);
}

/* cluster_count: it is at none of them. */
static size_t find_cluster(const struct rebalance_proposal *proposal,
                           const struct catalog_placement *placement)
{
    size_t i = 0;
    while (i < proposal->cluster_count && !is_at(placement, &proposal->clusters[i]))
        i++;
    return i;
}

/* Of the databases, those that are there are enough; of clusters, one may be added meanwhile. */
static int load_placements(struct catalog *catalog, struct arena *arena, bool databases,
                           struct rebalance_proposal *proposal, struct error *err)
{
    struct match *everything = NULL;
    struct fleet_placement *found = NULL;
    size_t count = 0;
    int r = match_parse(NULL, arena, &everything, err);
    const struct fleet_filter filter = {.match = everything};
    if (r == 0)
        r = fleet_select(catalog, &filter, arena, &found, &count, err);
    if (r < 0 || !found)
        return r;
    proposal->placements = arena_zalloc(arena, (count + 1) * sizeof(*proposal->placements));
    for (size_t i = 0; i < count; i++)
        if (!databases || find_cluster(proposal, &found[i].placement) < proposal->cluster_count)
            proposal->placements[proposal->placement_count++].at = found[i];
    return 0;
}

static int measure(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                   struct rebalance_proposal *proposal, struct error *err)
{
    size_t count = proposal->placement_count;
    const struct catalog_placement **placements =
        arena_zalloc(arena, (count + 1) * sizeof(struct catalog_placement *));
    int64_t *bytes = arena_zalloc(arena, (count + 1) * sizeof(*bytes));
    for (size_t i = 0; i < count; i++)
        placements[i] = &proposal->placements[i].at.placement;
    int r = fleet_measure(context, catalog, placements, count, arena, bytes, err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        size_t cluster = find_cluster(proposal, placements[i]);
        if (bytes[i] == MEASURE_UNKNOWN && cluster < proposal->cluster_count)
            proposal->clusters[cluster].reached = false;
        proposal->placements[i].bytes = bytes[i] == MEASURE_UNKNOWN ? 0 : bytes[i];
    }
    return r;
}

static int compare_loads(const void *a, const void *b)
{
    const struct rebalance_load *one = a, *other = b;
    int order = strcmp(one->tenant, other->tenant);
    return order != 0 ? order : strcmp(one->service, other->service);
}

static void add_loads(const struct rebalance_request *request, struct arena *arena,
                      struct rebalance_proposal *proposal)
{
    if (request->load_count == 0)
        return;
    struct rebalance_load *loads =
        arena_memdup(arena, request->loads, request->load_count * sizeof(*loads));
    qsort(loads, request->load_count, sizeof(*loads), compare_loads);
    for (size_t i = 0; i < proposal->placement_count; i++) {
        const struct catalog_placement *placement = &proposal->placements[i].at.placement;
        const struct rebalance_load key = {.tenant = placement->tenant,
                                           .service = placement->service};
        const struct rebalance_load *found =
            bsearch(&key, loads, request->load_count, sizeof(key), compare_loads);
        if (found)
            proposal->placements[i].backend_us = found->backend_us;
    }
}

static void add_up(struct rebalance_proposal *proposal)
{
    for (size_t i = 0; i < proposal->placement_count; i++) {
        const struct rebalance_placement *one = &proposal->placements[i];
        size_t cluster = find_cluster(proposal, &one->at.placement);
        if (cluster == proposal->cluster_count)
            continue; /* it was added meanwhile */
        proposal->clusters[cluster].tenants++;
        proposal->clusters[cluster].bytes += one->bytes;
        proposal->clusters[cluster].backend_us += one->backend_us;
    }
}

/* ---- the plan ---- */

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return count == 0;
}

static int64_t weigh(const struct rebalance_placement *placement, enum rebalance_by by)
{
    switch (by) {
    case REBALANCE_BY_TENANTS:
        return 1;
    case REBALANCE_BY_LOAD:
        return placement->backend_us;
    case REBALANCE_BY_SIZE:
    case REBALANCE_WAYS:
        break;
    }
    return placement->bytes;
}

static bool stays(const struct rebalance_placement *placement,
                  const struct rebalance_request *request)
{
    const struct catalog_placement *at = &placement->at.placement;
    const struct match_subject subject = {.slug = at->tenant,
                                          .service = at->service,
                                          .isolation = at->isolation,
                                          .cluster = at->cluster,
                                          .database = at->database,
                                          .tags = placement->at.tags,
                                          .tag_count = placement->at.tag_count};
    return placement->at.busy || (request->service && strcmp(request->service, at->service) != 0) ||
           !match_holds(request->match, &subject);
}

static void plan(const struct rebalance_request *request, struct arena *arena,
                 struct rebalance_proposal *proposal)
{
    struct balance_cluster *clusters =
        arena_zalloc(arena, (proposal->cluster_count + 1) * sizeof(*clusters));
    struct balance_tenant *tenants =
        arena_zalloc(arena, (proposal->placement_count + 1) * sizeof(*tenants));
    for (size_t i = 0; i < proposal->cluster_count; i++) {
        const struct rebalance_cluster *cluster = &proposal->clusters[i];
        clusters[i].gives = cluster->reached;
        clusters[i].takes = cluster->reached && is_among(cluster->name, request->to_clusters,
                                                         request->to_cluster_count);
    }
    size_t count = 0; /* the same indexes: a placement whose cluster is not known weighs nothing */
    for (; count < proposal->placement_count; count++) {
        const struct rebalance_placement *one = &proposal->placements[count];
        size_t cluster = find_cluster(proposal, &one->at.placement);
        bool is_known = cluster < proposal->cluster_count;
        tenants[count] = (struct balance_tenant){
            .cluster = is_known ? cluster : 0,
            .weight = is_known ? weigh(one, request->by) : 0,
            .stays = !is_known || stays(one, request),
        };
    }
    const struct balance_facts facts = {.clusters = clusters,
                                        .cluster_count = proposal->cluster_count,
                                        .tenants = tenants,
                                        .tenant_count = count};
    balance_plan(&facts, &request->rules, arena, &proposal->plan);
}

static int check_names(struct catalog *catalog, const struct rebalance_request *request,
                       struct arena *arena, struct error *err)
{
    struct catalog_service service;
    struct catalog_cluster cluster;
    int r = request->service ? catalog_service_find(catalog, arena, request->service, &service, err)
                             : 0;
    for (size_t i = 0; r == 0 && i < request->to_cluster_count; i++)
        r = catalog_cluster_find(catalog, arena, request->to_clusters[i], &cluster, err);
    return r;
}

int rebalance_propose(const struct job_context *context, struct catalog *catalog,
                      const struct rebalance_request *request, struct arena *arena,
                      struct rebalance_proposal *ret, struct error *err)
{
    struct rebalance_proposal proposal = {0};
    int r = check_names(catalog, request, arena, err);
    if (r == 0)
        r = request->among ? load_databases(catalog, arena, request, &proposal, err)
                           : load_clusters(catalog, arena, &proposal, err);
    if (r == 0)
        r = load_placements(catalog, arena, request->among != NULL, &proposal, err);
    if (r == 0)
        r = measure(context, catalog, arena, &proposal, err);
    if (r < 0)
        return r;
    add_loads(request, arena, &proposal);
    add_up(&proposal);
    plan(request, arena, &proposal);
    *ret = proposal;
    return 0;
}

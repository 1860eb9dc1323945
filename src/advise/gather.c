/*
 * gather.c - facts: from the catalog, from what a server has counted, and sizes from the clusters.
 *
 * Figures of use are of placements, not of places: of one that has moved while they were counted
 * nobody knows what it did where, so that they count as anybody's.
 */
#include "advise/advise.h"

#include "base/time.h"
#include "catalog/move.h"
#include "catalog/proxy.h"
#include "catalog/tag.h"
#include "isolation/size.h"
#include "migrate/site.h"
#include "pg/connection.h"

struct gathering {
    const struct job_context *context;
    struct catalog *catalog;
    struct arena *arena;
    const struct advise_rules *rules;
    const struct advise_counted *counted;
    const char *only;
    struct catalog_cluster *clusters;
    struct catalog_service *services;
    struct catalog_tenant *tenants;        /* sorted by id */
    struct catalog_placement *places;      /* sorted by database, as the facts' placements are */
    struct catalog_move *moves;            /* sorted by placement */
    const struct advise_tenant_use **used; /* sorted by tenant and service */
    size_t cluster_count, service_count, tenant_count, place_count, move_count;
    const struct isolation *const **allowed; /* of the services */
    bool *unreachable;                       /* clusters */
    int64_t now_us;                          /* unix */
    struct advise_facts facts;
    struct isolation_report remarks;
};

/* ---- the catalog ---- */

static int by_id(const void *a, const void *b)
{
    const struct catalog_tenant *one = a, *other = b;
    return (one->id > other->id) - (one->id < other->id);
}

static int by_database(const void *a, const void *b)
{
    const struct catalog_placement *one = a, *other = b;
    if (one->cluster_id != other->cluster_id)
        return one->cluster_id < other->cluster_id ? -1 : 1;
    if (one->service_id != other->service_id)
        return one->service_id < other->service_id ? -1 : 1;
    int order = strcmp(one->database, other->database);
    return order != 0 ? order : strcmp(one->isolation, other->isolation);
}

static int by_placement(const void *a, const void *b)
{
    const struct catalog_move *one = a, *other = b;
    if (one->place.id != other->place.id)
        return one->place.id < other->place.id ? -1 : 1;
    return (one->id > other->id) - (one->id < other->id);
}

static int by_names(const void *a, const void *b)
{
    const struct advise_tenant_use *one = *(const struct advise_tenant_use *const *)a;
    const struct advise_tenant_use *other = *(const struct advise_tenant_use *const *)b;
    int order = strcmp(one->tenant, other->tenant);
    return order != 0 ? order : strcmp(one->service, other->service);
}

static int read_catalog(struct gathering *gathering, struct error *err)
{
    struct arena *arena = gathering->arena;
    const struct catalog_move_filter all = {0};
    int r = catalog_cluster_list(gathering->catalog, arena, &gathering->clusters,
                                 &gathering->cluster_count, err);
    if (r == 0)
        r = catalog_service_list(gathering->catalog, arena, &gathering->services,
                                 &gathering->service_count, err);
    if (r == 0)
        r = catalog_tenant_list(gathering->catalog, arena, NULL, &gathering->tenants,
                                &gathering->tenant_count, err);
    if (r == 0)
        r = catalog_placement_list(gathering->catalog, arena, NULL, &gathering->places,
                                   &gathering->place_count, err);
    if (r == 0)
        r = catalog_move_list(gathering->catalog, arena, &all, &gathering->moves,
                              &gathering->move_count, err);
    if (r < 0)
        return r;
    qsort(gathering->tenants, gathering->tenant_count, sizeof(*gathering->tenants), by_id);
    qsort(gathering->places, gathering->place_count, sizeof(*gathering->places), by_database);
    qsort(gathering->moves, gathering->move_count, sizeof(*gathering->moves), by_placement);
    return 0;
}

static const struct catalog_tenant *find_tenant(const struct gathering *gathering, int64_t id)
{
    const struct catalog_tenant key = {.id = id};
    return bsearch(&key, gathering->tenants, gathering->tenant_count, sizeof(key), by_id);
}

static size_t find_service(const struct gathering *gathering, int64_t id)
{
    size_t i = 0;
    while (i + 1 < gathering->service_count && gathering->services[i].id != id)
        i++;
    return i;
}

static size_t find_cluster(const struct gathering *gathering, int64_t id)
{
    size_t i = 0;
    while (i + 1 < gathering->cluster_count && gathering->clusters[i].id != id)
        i++;
    return i;
}

/* One of this program's isolations each. */
static int read_services(struct gathering *gathering, struct error *err)
{
    gathering->allowed = arena_zalloc(gathering->arena,
                                      (gathering->service_count + 1) * sizeof(*gathering->allowed));
    for (size_t i = 0; i < gathering->service_count; i++) {
        const struct catalog_service *service = &gathering->services[i];
        const struct isolation **modes = arena_zalloc(
            gathering->arena,
            (service->allowed_count + 1) * sizeof(*modes)); /* NOLINT(bugprone-sizeof-expression) */
        for (size_t k = 0; k < service->allowed_count; k++) {
            int r = isolation_parse(service->allowed[k], &modes[k], err);
            if (r < 0)
                return r;
        }
        gathering->allowed[i] = modes;
    }
    return 0;
}

/* ---- moves ---- */

/* The open one, if there is one; and when the placement has come to where it is, as far as is known
 * (0: it was made there). */
static const struct catalog_move *find_moves(const struct gathering *gathering,
                                             const struct catalog_placement *place,
                                             int64_t *ret_moved_us)
{
    const struct catalog_move *open = NULL;
    int64_t moved_us = 0;
    size_t low = 0, high = gathering->move_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (gathering->moves[middle].place.id < place->id)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < gathering->move_count && gathering->moves[low].place.id == place->id; low++) {
        const struct catalog_move *move = &gathering->moves[low];
        bool over = catalog_move_is_over(move->phase);
        if (!over)
            open = move;
        if (over && move->phase != CATALOG_MOVE_ABORTED && move->ended_unix_us > moved_us)
            moved_us = move->ended_unix_us;
        if (!over && move->flipped)
            moved_us = gathering->now_us;
    }
    *ret_moved_us = moved_us;
    return open;
}

/* What `reeve move` would refuse before it looks at a server. */
static const char *why_closed(const struct gathering *gathering,
                              const struct catalog_placement *place,
                              const struct catalog_tenant *tenant, const struct catalog_move *open)
{
    if (open)
        return arena_printf(gathering->arena, "it has an open move: %s",
                            catalog_move_phase_name(open->phase));
    if (tenant->status != CATALOG_TENANT_ACTIVE)
        return arena_printf(gathering->arena, "it is %s",
                            catalog_tenant_status_name(tenant->status));
    if (place->state != CATALOG_PLACEMENT_READY)
        return arena_printf(gathering->arena, "its placement is %s",
                            catalog_placement_state_name(place->state));
    return NULL;
}

/* ---- what was counted ---- */

static void sort_used(struct gathering *gathering)
{
    size_t count = gathering->counted->tenant_count;
    gathering->used = arena_zalloc(
        gathering->arena,
        (count + 1) * sizeof(*gathering->used)); /* NOLINT(bugprone-sizeof-expression) */
    for (size_t i = 0; i < count; i++)
        gathering->used[i] = &gathering->counted->tenants[i];
    qsort(gathering->used, count, sizeof(*gathering->used), /* NOLINT(bugprone-sizeof-expression) */
          by_names);
}

static void find_used(const struct gathering *gathering, struct advise_placement *placement,
                      int64_t created_us, int64_t moved_us)
{
    const struct advise_counted *counted = gathering->counted;
    const struct advise_tenant_use wanted = {.tenant = placement->tenant,
                                             .service = placement->service};
    const struct advise_tenant_use *key = &wanted;
    int64_t age_us = gathering->now_us > created_us ? gathering->now_us - created_us : 0;
    if (counted->us == 0 || moved_us > gathering->now_us - counted->us)
        return;
    const struct advise_tenant_use *const *found =
        bsearch(&key, gathering->used, counted->tenant_count,
                sizeof(*gathering->used), /* NOLINT(bugprone-sizeof-expression) */
                by_names);
    placement->counted_us = age_us < counted->us ? age_us : counted->us;
    placement->used_known = found || !counted->left_out;
    if (found) {
        placement->used = (*found)->used;
        placement->moments = (*found)->moments;
    }
}

/* ---- placements ---- */

static int fill(const struct gathering *gathering, const struct catalog_placement *place,
                struct advise_placement *ret, struct error *err)
{
    const struct catalog_tenant *tenant = find_tenant(gathering, place->tenant_id);
    size_t at = find_service(gathering, place->service_id);
    const struct catalog_service *service = &gathering->services[at];
    int64_t moved_us;
    const struct catalog_move *open = find_moves(gathering, place, &moved_us);
    *ret = (struct advise_placement){
        .tenant = place->tenant,
        .service = place->service,
        .cluster = find_cluster(gathering, place->cluster_id),
        .closed = tenant ? why_closed(gathering, place, tenant, open) : "it is deleted",
        .regulated = tenant && catalog_tenant_has_tag(tenant, gathering->rules->regulated),
        .excepted = tenant && gathering->rules->except &&
                    catalog_tenant_has_tag(tenant, gathering->rules->except),
        .allowed = gathering->allowed[at],
        .allowed_count = service->allowed_count,
    };
    int r = isolation_parse(place->isolation, &ret->isolation, err);
    if (r == 0)
        r = isolation_parse(service->isolation, &ret->usual, err);
    if (r == 0)
        find_used(gathering, ret, place->created_unix_us, moved_us);
    return r;
}

static bool is_in_one_database(const struct catalog_placement *a, const struct catalog_placement *b)
{
    return a->cluster_id == b->cluster_id && a->service_id == b->service_id &&
           strcmp(a->database, b->database) == 0;
}

static int make_facts(struct gathering *gathering, struct error *err)
{
    struct arena *arena = gathering->arena;
    struct advise_facts *facts = &gathering->facts;
    facts->clusters =
        arena_zalloc(arena, (gathering->cluster_count + 1) * sizeof(*facts->clusters));
    facts->cluster_count = gathering->cluster_count;
    for (size_t i = 0; i < facts->cluster_count; i++)
        facts->clusters[i] = (struct advise_cluster){gathering->clusters[i].name,
                                                     gathering->clusters[i].max_backends};
    facts->placements =
        arena_zalloc(arena, (gathering->place_count + 1) * sizeof(*facts->placements));
    facts->placement_count = gathering->place_count;
    facts->counted_us = gathering->counted->us;
    facts->moment_count = gathering->counted->moment_count;
    facts->rest_backend_us = gathering->counted->whole_backend_us;
    for (size_t i = 0; i < facts->placement_count; i++) {
        struct advise_placement *placement = &facts->placements[i];
        int r = fill(gathering, &gathering->places[i], placement, err);
        if (r < 0)
            return r;
        if (i == 0 || !is_in_one_database(&gathering->places[i], &gathering->places[i - 1]))
            facts->database_count++;
        placement->database = facts->database_count - 1;
        if (placement->used_known)
            facts->rest_backend_us -= placement->used.backend_us;
    }
    if (facts->rest_backend_us < 0) /* the whole was counted a moment before its parts */
        facts->rest_backend_us = 0;
    return 0;
}

/* ---- sizes ---- */

static bool is_served(const struct catalog_placement *place)
{
    return place->state == CATALOG_PLACEMENT_READY || place->state == CATALOG_PLACEMENT_MIGRATING;
}

/* Those of one isolation: places[at] and count - 1 behind it. */
static int measure_isolation(struct gathering *gathering, const struct site *site,
                             struct pg_connection *owner, size_t at, size_t count,
                             struct error *err)
{
    struct arena *arena = gathering->arena;
    struct isolation_placement *isolated = arena_zalloc(arena, count * sizeof(*isolated));
    struct isolation_size *sizes = arena_zalloc(arena, count * sizeof(*sizes));
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = site_placement(arena, site, &gathering->places[at + i], &isolated[i], err);
    if (r == 0)
        r = isolation_measure(owner, gathering->facts.placements[at].isolation, isolated, count,
                              sizes, err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct advise_placement *placement = &gathering->facts.placements[at + i];
        placement->bytes = sizes[i].bytes;
        placement->size_estimated = sizes[i].estimated;
        placement->size_known = true;
    }
    return r;
}

static int measure_database(struct gathering *gathering, size_t from, size_t to, struct error *err)
{
    const struct catalog_placement *first = &gathering->places[from];
    _cleanup_pg_connection_ struct pg_connection *owner = NULL;
    struct site site;
    int r = site_load(gathering->context, gathering->catalog, gathering->arena, first->service_id,
                      first->cluster_id, &site, err);
    if (r == 0)
        r = migrate_open_owner(&site.login, first->database, site.isolation.owner_role,
                               "reeve advise", &owner, err);
    for (size_t at = from; r == 0 && at < to;) {
        size_t end = at + 1;
        while (end < to &&
               strcmp(gathering->places[at].isolation, gathering->places[end].isolation) == 0)
            end++;
        r = measure_isolation(gathering, &site, owner, at, end - at, err);
        at = end;
    }
    return r;
}

/* What is made or deleted has no size yet, or none any more. */
static bool is_wanted(const struct gathering *gathering, size_t from, size_t to)
{
    bool served = false, asked = !gathering->only;
    for (size_t i = from; i < to; i++) {
        served |= is_served(&gathering->places[i]);
        asked |= gathering->only && strcmp(gathering->places[i].tenant, gathering->only) == 0;
    }
    return served && asked;
}

static int measure(struct gathering *gathering, struct error *err)
{
    for (size_t from = 0, to = 0; from < gathering->place_count; from = to) {
        const struct catalog_placement *first = &gathering->places[from];
        size_t cluster = gathering->facts.placements[from].cluster;
        struct error why = {0};
        while (to < gathering->place_count && is_in_one_database(first, &gathering->places[to]))
            to++;
        if (gathering->unreachable[cluster] || !is_wanted(gathering, from, to))
            continue;
        int r = measure_database(gathering, from, to, &why);
        if (r == -ERROR_CANCELLED && err)
            *err = why;
        if (r == -ERROR_CANCELLED)
            return r;
        if (r < 0)
            isolation_report_add(&gathering->remarks,
                                 "sizes in database %s on cluster %s are not known: %s",
                                 first->database, first->cluster, why.message);
        gathering->unreachable[cluster] = r == -ERROR_CONNECTION;
    }
    return 0;
}

/* ---- what is lacking ---- */

static void tell_closed(struct gathering *gathering)
{
    size_t count = 0;
    for (size_t i = 0; i < gathering->facts.placement_count; i++) {
        const struct advise_placement *placement = &gathering->facts.placements[i];
        if (!placement->closed)
            continue;
        count++;
        if (gathering->only && strcmp(placement->tenant, gathering->only) == 0)
            isolation_report_add(&gathering->remarks, "%s in %s is not judged: %s",
                                 placement->tenant, placement->service, placement->closed);
    }
    if (count > 0 && !gathering->only)
        isolation_report_add(&gathering->remarks,
                             "%zu placement%s not judged: suspended, not ready, or with an open "
                             "move",
                             count, count == 1 ? " is" : "s are");
}

static void tell_unknown(struct gathering *gathering)
{
    size_t count = 0;
    for (size_t i = 0; i < gathering->facts.placement_count; i++) {
        const struct advise_placement *placement = &gathering->facts.placements[i];
        count += !placement->used_known && !placement->closed &&
                 (!gathering->only || strcmp(placement->tenant, gathering->only) == 0);
    }
    if (count > 0 && gathering->counted->us > 0)
        isolation_report_add(&gathering->remarks,
                             "what %zu placement%s used is not known apart: moved meanwhile, or "
                             "not among the tenants with most backend time",
                             count, count == 1 ? " has" : "s have");
}

static int tell_others(struct gathering *gathering, struct error *err)
{
    struct catalog_proxy *proxies = NULL;
    size_t count = 0, connected = 0;
    int r = catalog_proxy_list(gathering->catalog, gathering->arena, &proxies, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        connected += proxies[i].connected;
    if (connected > 1 && gathering->counted->us > 0)
        isolation_report_add(&gathering->remarks,
                             "%zu servers serve these tenants; figures of use are of the one that "
                             "runs here",
                             connected);
    return r;
}

int advise_gather(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                  const struct advise_rules *rules, const struct advise_counted *counted,
                  const char *only, struct advise_facts *ret, struct error *err)
{
    struct gathering gathering = {.context = context,
                                  .catalog = catalog,
                                  .arena = arena,
                                  .rules = rules,
                                  .counted = counted,
                                  .only = only,
                                  .now_us = time_unix_us()};
    isolation_report_init(&gathering.remarks, arena);
    int r = read_catalog(&gathering, err);
    if (r == 0)
        r = read_services(&gathering, err);
    if (r < 0)
        return r;
    gathering.unreachable =
        arena_zalloc(arena, (gathering.cluster_count + 1) * sizeof(*gathering.unreachable));
    sort_used(&gathering);
    r = make_facts(&gathering, err);
    if (r == 0)
        r = measure(&gathering, err);
    if (r == 0)
        r = tell_others(&gathering, err);
    if (r < 0)
        return r;
    tell_unknown(&gathering);
    tell_closed(&gathering);
    gathering.facts.remarks = gathering.remarks.lines;
    gathering.facts.remark_count = gathering.remarks.count;
    *ret = gathering.facts;
    return 0;
}

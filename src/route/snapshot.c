#include "route/internal.h"

enum { SHARD_BITS = 10 };
_Static_assert(1 << SHARD_BITS == ROUTE_SHARDS, "a shard is found by the hash's first bits");

static size_t shard_of(uint64_t hash)
{
    return hash >> (64 - SHARD_BITS); /* slots within it go by the last bits */
}

/* ---- making ---- */

void route_draft_begin(struct route_draft *draft, const struct route_snapshot *base,
                       int64_t version)
{
    struct route_snapshot *snapshot = xcalloc(1, sizeof(*snapshot));
    atomic_init(&snapshot->references, 1);
    snapshot->version = version;
    *draft = (struct route_draft){.snapshot = snapshot};
    if (!base)
        return;
    for (size_t key = 0; key < ROUTE_KEYS; key++)
        for (size_t i = 0; i < ROUTE_SHARDS; i++) {
            snapshot->shards[key][i] = base->shards[key][i];
            route_shard_ref(snapshot->shards[key][i]);
        }
    snapshot->globals = base->globals;
    if (snapshot->globals)
        route_globals_ref(snapshot->globals);
}

/* The shard as one that may be changed; `growing`: there is room for one more tenant. */
static struct route_shard *open_shard(struct route_draft *draft, enum route_key key, uint64_t hash,
                                      bool growing)
{
    size_t index = shard_of(hash);
    struct route_shard **at = &draft->snapshot->shards[key][index];
    bool full = *at && ((*at)->count + 1) * 3 > (*at)->capacity * 2;
    if (!draft->own[key][index] || (growing && full)) {
        struct route_shard *copy = route_shard_copy(*at);
        route_shard_unref(*at);
        *at = copy;
        draft->own[key][index] = true;
    }
    return *at;
}

static void drop(struct route_draft *draft, enum route_key key, const struct route_tenant *tenant)
{
    uint64_t hash = route_hash(key, tenant->id, tenant->slug);
    route_shard_remove(open_shard(draft, key, hash, false), hash, tenant);
}

static void put(struct route_draft *draft, enum route_key key, struct route_tenant *tenant)
{
    uint64_t hash = route_hash(key, tenant->id, tenant->slug);
    route_shard_put(open_shard(draft, key, hash, true), key, hash, tenant);
}

/* A slug's entry goes only when it is this tenant's still: another may have got the slug already,
 * in the same set of changes. */
void route_draft_put(struct route_draft *draft, struct route_tenant *tenant)
{
    const struct route_tenant *old = route_find_id(draft->snapshot, tenant->id);
    if (old && (tenant->status == ROUTE_TENANT_GONE || strcmp(old->slug, tenant->slug) != 0))
        drop(draft, ROUTE_BY_SLUG, old);
    if (tenant->status != ROUTE_TENANT_GONE) {
        put(draft, ROUTE_BY_SLUG, tenant);
        put(draft, ROUTE_BY_ID, tenant);
    } else if (old)
        drop(draft, ROUTE_BY_ID, old);
    route_tenant_unref(tenant);
}

void route_draft_set_globals(struct route_draft *draft, struct route_globals *globals)
{
    route_globals_unref(draft->snapshot->globals);
    draft->snapshot->globals = globals;
}

void route_snapshot_release(struct route_snapshot *snapshot)
{
    if (!snapshot || atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t key = 0; key < ROUTE_KEYS; key++)
        for (size_t i = 0; i < ROUTE_SHARDS; i++)
            route_shard_unref(snapshot->shards[key][i]);
    route_globals_unref(snapshot->globals);
    free(snapshot);
}

/* ---- reading ---- */

int64_t route_snapshot_version(const struct route_snapshot *snapshot)
{
    return snapshot->version;
}

static const struct route_tenant *find(const struct route_snapshot *snapshot, enum route_key key,
                                       int64_t id, const char *slug)
{
    uint64_t hash = route_hash(key, id, slug);
    return route_shard_find(snapshot->shards[key][shard_of(hash)], key, hash, id, slug);
}

const struct route_tenant *route_find_slug(const struct route_snapshot *snapshot, const char *slug)
{
    return find(snapshot, ROUTE_BY_SLUG, 0, slug);
}

const struct route_tenant *route_find_id(const struct route_snapshot *snapshot, int64_t tenant_id)
{
    return find(snapshot, ROUTE_BY_ID, tenant_id, NULL);
}

const struct route_globals *route_snapshot_globals(const struct route_snapshot *snapshot)
{
    return snapshot->globals;
}

const struct route_placement *route_find_placement(const struct route_tenant *tenant,
                                                   const char *service)
{
    for (size_t i = 0; tenant && i < tenant->placement_count; i++)
        if (strcmp(tenant->placements[i].service, service) == 0)
            return &tenant->placements[i];
    return NULL;
}

const struct route_cluster *route_find_cluster(const struct route_globals *globals, int64_t id)
{
    for (size_t i = 0; globals && i < globals->cluster_count; i++)
        if (globals->clusters[i].id == id)
            return &globals->clusters[i];
    return NULL;
}

const struct route_service *route_find_service(const struct route_globals *globals,
                                               const char *name)
{
    for (size_t i = 0; globals && i < globals->service_count; i++)
        if (strcmp(globals->services[i].name, name) == 0)
            return &globals->services[i];
    return NULL;
}

bool route_token_live(const struct route_tenant *tenant, const char *jti, int64_t now_unix_s)
{
    for (size_t i = 0; tenant && i < tenant->token_count; i++)
        if (strcmp(tenant->tokens[i].jti, jti) == 0)
            return tenant->tokens[i].expires_unix_s > now_unix_s;
    return false;
}

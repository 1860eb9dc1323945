#include "base/hash.h"
#include "route/internal.h"

enum { SMALLEST_CAPACITY = 4 };

void route_shard_ref(struct route_shard *shard)
{
    if (shard)
        atomic_fetch_add_explicit(&shard->references, 1, memory_order_relaxed);
}

void route_shard_unref(struct route_shard *shard)
{
    if (!shard || atomic_fetch_sub_explicit(&shard->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < shard->capacity; i++)
        route_tenant_unref(shard->slots[i].tenant);
    free(shard);
}

static size_t first_slot(const struct route_shard *shard, uint64_t hash)
{
    return hash & (shard->capacity - 1);
}

static size_t next_slot(const struct route_shard *shard, size_t slot)
{
    return (slot + 1) & (shard->capacity - 1);
}

static void place(struct route_shard *shard, uint64_t hash, struct route_tenant *tenant)
{
    size_t slot = first_slot(shard, hash);
    while (shard->slots[slot].tenant)
        slot = next_slot(shard, slot);
    shard->slots[slot] = (struct route_slot){hash, tenant};
    shard->count++;
}

/* At most two thirds full, so that probing stays short. */
static size_t capacity_for(size_t count)
{
    size_t capacity = SMALLEST_CAPACITY;
    while (capacity * 2 < count * 3)
        capacity *= 2;
    return capacity;
}

struct route_shard *route_shard_copy(const struct route_shard *shard)
{
    size_t capacity = capacity_for(shard ? shard->count + 1 : 1);
    struct route_shard *copy = xcalloc(1, sizeof(*copy) + capacity * sizeof(copy->slots[0]));
    atomic_init(&copy->references, 1);
    copy->capacity = capacity;
    for (size_t i = 0; shard && i < shard->capacity; i++) {
        const struct route_slot *slot = &shard->slots[i];
        if (!slot->tenant)
            continue;
        route_tenant_ref(slot->tenant);
        place(copy, slot->hash, slot->tenant);
    }
    return copy;
}

uint64_t route_hash(enum route_key key, int64_t id, const char *slug)
{
    return key == ROUTE_BY_ID ? hash_u64((uint64_t)id) : hash_string(slug);
}

static bool has_key(const struct route_slot *slot, enum route_key key, uint64_t hash, int64_t id,
                    const char *slug)
{
    if (slot->hash != hash)
        return false;
    return key == ROUTE_BY_ID ? slot->tenant->id == id : strcmp(slot->tenant->slug, slug) == 0;
}

/* The index of the slot; the shard's capacity when it is not there. */
static size_t find_slot(const struct route_shard *shard, enum route_key key, uint64_t hash,
                        int64_t id, const char *slug)
{
    for (size_t slot = first_slot(shard, hash); shard->slots[slot].tenant;
         slot = next_slot(shard, slot))
        if (has_key(&shard->slots[slot], key, hash, id, slug))
            return slot;
    return shard->capacity;
}

struct route_tenant *route_shard_find(const struct route_shard *shard, enum route_key key,
                                      uint64_t hash, int64_t id, const char *slug)
{
    if (!shard)
        return NULL;
    size_t slot = find_slot(shard, key, hash, id, slug);
    return slot < shard->capacity ? shard->slots[slot].tenant : NULL;
}

void route_shard_put(struct route_shard *shard, enum route_key key, uint64_t hash,
                     struct route_tenant *tenant)
{
    route_tenant_ref(tenant);
    size_t slot = find_slot(shard, key, hash, tenant->id, tenant->slug);
    if (slot < shard->capacity) {
        route_tenant_unref(shard->slots[slot].tenant);
        shard->slots[slot].tenant = tenant;
    } else
        place(shard, hash, tenant);
}

/* Moves those behind a slot that became free up, so that probing still finds them. */
static void close_gap(struct route_shard *shard, size_t gap)
{
    for (size_t slot = next_slot(shard, gap); shard->slots[slot].tenant;
         slot = next_slot(shard, slot)) {
        size_t wanted = first_slot(shard, shard->slots[slot].hash);
        size_t mask = shard->capacity - 1;
        if (((slot - wanted) & mask) < ((slot - gap) & mask))
            continue; /* it would stand in front of its own first slot */
        shard->slots[gap] = shard->slots[slot];
        gap = slot;
    }
    shard->slots[gap].tenant = NULL;
}

void route_shard_remove(struct route_shard *shard, uint64_t hash, const struct route_tenant *tenant)
{
    size_t slot = first_slot(shard, hash);
    while (shard->slots[slot].tenant && shard->slots[slot].tenant != tenant)
        slot = next_slot(shard, slot);
    if (!shard->slots[slot].tenant)
        return;
    route_tenant_unref(shard->slots[slot].tenant);
    close_gap(shard, slot);
    shard->count--;
}

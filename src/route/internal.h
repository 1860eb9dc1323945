/*
 * internal.h - what the files of this room share.
 */
#ifndef ROUTE_INTERNAL_H
#define ROUTE_INTERNAL_H

#include <stdatomic.h>

#include "route/route.h"

/*
 * One shard of one index (by id, or by slug): tenants by the hash of their key, open addressing
 * with linear probing. It never changes once it is in a published snapshot; snapshots share it. It
 * holds a reference of each of its tenants.
 */
struct route_slot {
    uint64_t hash;
    struct route_tenant *tenant; /* NULL: free */
};
struct route_shard {
    atomic_size_t references;
    size_t count;
    size_t capacity; /* a power of two, more than `count` */
    struct route_slot slots[];
};

void route_shard_ref(struct route_shard *shard);   /* accepts NULL */
void route_shard_unref(struct route_shard *shard); /* accepts NULL */
/* A copy with one reference and room for one more tenant; of NULL: an empty one. */
struct route_shard *route_shard_copy(const struct route_shard *shard);

enum route_key { ROUTE_BY_ID, ROUTE_BY_SLUG, ROUTE_KEYS };

/* Hash and slot of a tenant's own key, or of a key that is asked for (the other one is not read).
 */
uint64_t route_hash(enum route_key key, int64_t id, const char *slug);
/* NULL when it is not there. shard may be NULL. */
struct route_tenant *route_shard_find(const struct route_shard *shard, enum route_key key,
                                      uint64_t hash, int64_t id, const char *slug);
/* In place of the tenant of the same key, if there is one. Takes a reference of its own. */
void route_shard_put(struct route_shard *shard, enum route_key key, uint64_t hash,
                     struct route_tenant *tenant);
/* Gives up that very tenant; nothing when it is not there. */
void route_shard_remove(struct route_shard *shard, uint64_t hash,
                        const struct route_tenant *tenant);

struct route_snapshot {
    atomic_size_t references;
    int64_t version;
    struct route_globals *globals;                        /* may be NULL */
    struct route_shard *shards[ROUTE_KEYS][ROUTE_SHARDS]; /* NULL: empty */
};

/* A snapshot that is not published yet: its maker's alone. */
struct route_draft {
    struct route_snapshot *snapshot;
    bool own[ROUTE_KEYS][ROUTE_SHARDS]; /* made for this draft, so it may be changed */
};

/* Begins with what `base` has; NULL: with nothing. */
void route_draft_begin(struct route_draft *draft, const struct route_snapshot *base,
                       int64_t version);
/* The tenant replaces the one of its id, or with status GONE removes it. Takes over a reference. */
void route_draft_put(struct route_draft *draft, struct route_tenant *tenant);
/* Takes over a reference; NULL: none. */
void route_draft_set_globals(struct route_draft *draft, struct route_globals *globals);

#endif

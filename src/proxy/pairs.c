#include "proxy/pairs.h"

#include <strings.h>

#include "base/str.h"

void pairs_store_init(struct pairs_store *store)
{
    hash_table_init(&store->sets);
}

void pairs_store_free(struct pairs_store *store)
{
    hash_table_free(&store->sets);
}

static int compare_pairs(const void *a, const void *b)
{
    return strcasecmp(((const struct pair *)a)->name, ((const struct pair *)b)->name);
}

static uint64_t hash_items(const struct pair *items, size_t count)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < count; i++)
        hash = hash * 31 + (hash_string(items[i].name) ^ (hash_string(items[i].value) * 7));
    return hash;
}

static bool same_items(const struct pairs *set, const struct pair *items, size_t count)
{
    if (set->count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(set->items[i].name, items[i].name) != 0 ||
            strcmp(set->items[i].value, items[i].value) != 0)
            return false;
    }
    return true;
}

static struct pairs *build(struct pairs_store *store, const struct pair *items, size_t count,
                           size_t bytes, uint64_t hash)
{
    struct pairs *set = xmalloc(sizeof(*set) + count * sizeof(struct pair) + bytes);
    *set = (struct pairs){.store = store, .references = 1, .count = count, .bytes = bytes};
    char *text = (char *)&set->items[count];
    for (size_t i = 0; i < count; i++) {
        size_t name_size = strlen(items[i].name) + 1;
        size_t value_size = strlen(items[i].value) + 1;
        memcpy(text, items[i].name, name_size);
        memcpy(text + name_size, items[i].value, value_size);
        set->items[i] = (struct pair){text, text + name_size};
        text += name_size + value_size;
    }
    hash_table_insert(&store->sets, &set->node, hash);
    return set;
}

/* Sorts and keeps the last of each name. */
static size_t normalise(struct pair *items, size_t count)
{
    /* An insertion sort is stable, which "the last wins" needs, and sets are small. */
    for (size_t i = 1; i < count; i++) {
        struct pair item = items[i];
        size_t at = i;
        while (at > 0 && compare_pairs(&items[at - 1], &item) > 0) {
            items[at] = items[at - 1];
            at--;
        }
        items[at] = item;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && compare_pairs(&items[i], &items[i + 1]) == 0)
            continue;
        items[kept++] = items[i];
    }
    return kept;
}

struct pairs *pairs_make(struct pairs_store *store, const struct pair *items, size_t count)
{
    struct pair sorted[PAIRS_MAX];
    if (count > PAIRS_MAX)
        return NULL;
    if (count > 0)
        memcpy(sorted, items, count * sizeof(*items));
    count = normalise(sorted, count);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(sorted[i].name) + strlen(sorted[i].value) + 2;
    if (bytes > PAIRS_MAX_BYTES)
        return NULL;
    uint64_t hash = hash_items(sorted, count);
    for (struct hash_node *node = hash_table_find(&store->sets, hash); node;
         node = hash_table_find_next(node)) {
        struct pairs *set = container_of(node, struct pairs, node);
        if (same_items(set, sorted, count))
            return pairs_ref(set);
    }
    return build(store, sorted, count, bytes, hash);
}

struct pairs *pairs_with(const struct pairs *pairs, const char *name, const char *value)
{
    struct pair items[PAIRS_MAX];
    size_t count = pairs->count;
    size_t at = 0;
    if (count > 0)
        memcpy(items, pairs->items, count * sizeof(*items));
    while (at < count && strcasecmp(items[at].name, name) != 0)
        at++;
    if (at == PAIRS_MAX)
        return NULL;
    if (at == count)
        items[count++].name = name;
    items[at].value = value;
    return pairs_make(pairs->store, items, count);
}

struct pairs *pairs_ref(struct pairs *pairs)
{
    pairs->references++;
    return pairs;
}

void pairs_unref(struct pairs *pairs)
{
    if (!pairs || --pairs->references > 0)
        return;
    hash_table_remove(&pairs->store->sets, &pairs->node);
    free(pairs);
}

const char *pairs_get(const struct pairs *pairs, const char *name)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcasecmp(pairs->items[i].name, name) == 0)
            return pairs->items[i].value;
    }
    return NULL;
}

void pairs_replace(struct pairs **place, struct pairs *pairs)
{
    struct pairs *old = *place;
    *place = pairs;
    pairs_unref(old);
}

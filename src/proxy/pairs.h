/*
 * pairs.h - immutable sets of name and value, interned: equal sets are one pointer.
 *
 * They hold a client's session settings and the ParameterStatus values that a client has been told
 * or a backend reports, so that "does this backend suit this client" is a comparison of pointers.
 * A store belongs to one worker; sets are counted and freed with their last reference.
 */
#ifndef PROXY_PAIRS_H
#define PROXY_PAIRS_H

#include "base/hash.h"

enum { PAIRS_MAX = 128, PAIRS_MAX_BYTES = 32 * 1024, PAIRS_MAX_NAME = 63 };

struct pair {
    const char *name;
    const char *value;
};

struct pairs_store {
    struct hash_table sets;
};

struct pairs {
    struct hash_node node;
    struct pairs_store *store;
    size_t references;
    size_t count;
    size_t bytes;
    struct pair items[]; /* sorted by name, without regard to case; names are unique */
};

void pairs_store_init(struct pairs_store *store);
/* Every set must have been released. */
void pairs_store_free(struct pairs_store *store);

/* The set of these items (later ones win over earlier ones of the same name); a reference of the
 * caller's. NULL when there are more than PAIRS_MAX items or PAIRS_MAX_BYTES bytes of them. */
struct pairs *pairs_make(struct pairs_store *store, const struct pair *items, size_t count);
/* The set with one value replaced (its name stays as it is spelt) or added; a reference of the
 * caller's; NULL past a limit. */
struct pairs *pairs_with(const struct pairs *pairs, const char *name, const char *value);
struct pairs *pairs_ref(struct pairs *pairs);
void pairs_unref(struct pairs *pairs);                              /* accepts NULL */
const char *pairs_get(const struct pairs *pairs, const char *name); /* NULL when absent */

/* Puts a set with one reference in the place of another, whose reference is given back. */
void pairs_replace(struct pairs **place, struct pairs *pairs);

#endif

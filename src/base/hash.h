/*
 * hash.h - an intrusive hash table with chains, and the keyed hash that it wants.
 *
 * Keys that a client can choose are hashed with hash_bytes, which is keyed with random bytes of
 * this process (SipHash-2-4), so that nobody can choose keys that collide.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/compiler.h"

struct hash_node {
    struct hash_node *next;
    uint64_t hash;
};

struct hash_table {
    struct hash_node **buckets; /* NULL while empty */
    size_t bucket_count;        /* a power of two, or 0 */
    size_t count;
};

uint64_t hash_bytes(const void *bytes, size_t length);
uint64_t hash_string(const char *text);
uint64_t hash_u64(uint64_t value);

void hash_table_init(struct hash_table *table);
/* Frees the buckets, not the nodes. */
void hash_table_free(struct hash_table *table);
/* Adds a node whose key is not there yet; grows the table as needed. */
void hash_table_insert(struct hash_table *table, struct hash_node *node, uint64_t hash);
/* The node must be in the table. */
void hash_table_remove(struct hash_table *table, struct hash_node *node);
/* The first node of that hash, or the next after a node; the caller compares keys. */
struct hash_node *hash_table_find(const struct hash_table *table, uint64_t hash);
struct hash_node *hash_table_find_next(const struct hash_node *node);

/* Calls visit for every node; visit may remove the node that it is given. */
void hash_table_each(struct hash_table *table,
                     void (*visit)(struct hash_node *node, void *argument), void *argument);

#endif

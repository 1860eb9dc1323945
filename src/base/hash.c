#include "base/hash.h"

#include <pthread.h>

#include "base/crypto.h"

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void make_hash_key(void)
{
    crypto_random(hash_key, sizeof(hash_key));
}

static inline uint64_t rotate(uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

/* SipHash-2-4 (Aumasson and Bernstein, 2012). */
uint64_t hash_bytes(const void *bytes, size_t length)
{
    pthread_once(&hash_key_once, make_hash_key);
    struct sip s = {hash_key[0] ^ 0x736f6d6570736575ULL, hash_key[1] ^ 0x646f72616e646f6dULL,
                    hash_key[0] ^ 0x6c7967656e657261ULL, hash_key[1] ^ 0x7465646279746573ULL};
    const unsigned char *at = length > 0 ? bytes : (const void *)""; /* bytes may be NULL then */
    size_t done = 0;
    uint64_t word;
    for (; length - done >= 8; done += 8) {
        memcpy(&word, &at[done], 8);
        s.v3 ^= word;
        sip_round(&s);
        sip_round(&s);
        s.v0 ^= word;
    }
    word = (uint64_t)length << 56;
    for (size_t i = 0; done + i < length; i++)
        word |= (uint64_t)at[done + i] << (8 * i);
    s.v3 ^= word;
    sip_round(&s);
    sip_round(&s);
    s.v0 ^= word;
    s.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t hash_string(const char *text)
{
    return hash_bytes(text, strlen(text));
}

uint64_t hash_u64(uint64_t value)
{
    return hash_bytes(&value, sizeof(value));
}

void hash_table_init(struct hash_table *table)
{
    *table = (struct hash_table){0};
}

void hash_table_free(struct hash_table *table)
{
    free(table->buckets);
    hash_table_init(table);
}

static void grow(struct hash_table *table)
{
    size_t count = table->bucket_count ? table->bucket_count * 2 : 16;
    struct hash_node **buckets =
        xcalloc(count, sizeof(struct hash_node *)); /* NOLINT(bugprone-sizeof-expression) */
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct hash_node *node = table->buckets[i];
        while (node) {
            struct hash_node *next = node->next;
            struct hash_node **bucket = &buckets[node->hash & (count - 1)];
            node->next = *bucket;
            *bucket = node;
            node = next;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = count;
}

void hash_table_insert(struct hash_table *table, struct hash_node *node, uint64_t hash)
{
    if (table->count >= table->bucket_count)
        grow(table);
    struct hash_node **bucket = &table->buckets[hash & (table->bucket_count - 1)];
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    table->count++;
}

void hash_table_remove(struct hash_table *table, struct hash_node *node)
{
    struct hash_node **at = &table->buckets[node->hash & (table->bucket_count - 1)];
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    node->next = NULL;
    table->count--;
}

struct hash_node *hash_table_find(const struct hash_table *table, uint64_t hash)
{
    if (table->bucket_count == 0)
        return NULL;
    struct hash_node *node = table->buckets[hash & (table->bucket_count - 1)];
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct hash_node *hash_table_find_next(const struct hash_node *node)
{
    uint64_t hash = node->hash;
    struct hash_node *next = node->next;
    while (next && next->hash != hash)
        next = next->next;
    return next;
}

void hash_table_each(struct hash_table *table,
                     void (*visit)(struct hash_node *node, void *argument), void *argument)
{
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct hash_node *node = table->buckets[i];
        while (node) {
            struct hash_node *next = node->next;
            visit(node, argument);
            node = next;
        }
    }
}

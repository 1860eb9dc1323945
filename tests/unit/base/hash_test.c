/* SipHash against its vectors, and the table that stands on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The file itself, so that the key can be the one of the published vectors. */
#include "base/hash.c" /* NOLINT(bugprone-suspicious-include) */

struct entry {
    struct hash_node node;
    int value;
};

static void test_siphash_vectors(void **state)
{
    (void)state;
    hash_u64(0); /* makes the random key, which is then replaced */
    hash_key[0] = 0x0706050403020100ULL;
    hash_key[1] = 0x0f0e0d0c0b0a0908ULL;
    /* From the reference implementation's vectors.h: bytes 0, 1, 2, ... of that length. */
    static const struct {
        size_t length;
        uint64_t hash;
    } vectors[] = {{0, 0x726fdb47dd0e0e31ULL},  {1, 0x74f839c593dc67fdULL},
                   {7, 0xab0200f58b01d137ULL},  {8, 0x93f5f5799a932462ULL},
                   {15, 0xa129ca6149be45e5ULL}, {63, 0x958a324ceb064572ULL}};
    for (size_t i = 0; i < array_size(vectors); i++) {
        uint8_t *bytes = xmalloc(vectors[i].length);
        for (size_t k = 0; k < vectors[i].length; k++)
            bytes[k] = (uint8_t)k;
        assert_int_equal(hash_bytes(bytes, vectors[i].length), vectors[i].hash);
        free(bytes);
    }
    assert_int_equal(hash_bytes(NULL, 0), 0x726fdb47dd0e0e31ULL);
}

static void test_the_hashes_agree(void **state)
{
    (void)state;
    assert_int_equal(hash_string("abc"), hash_bytes("abc", 3));
    assert_int_not_equal(hash_string("abc"), hash_string("abd"));
    uint64_t number = 42;
    assert_int_equal(hash_u64(number), hash_bytes(&number, sizeof(number)));
}

static struct entry *find(const struct hash_table *table, uint64_t hash, int value)
{
    struct hash_node *node = hash_table_find(table, hash);
    for (; node; node = hash_table_find_next(node)) {
        struct entry *entry = container_of(node, struct entry, node);
        if (entry->value == value)
            return entry;
    }
    return NULL;
}

static void test_an_empty_table(void **state)
{
    (void)state;
    struct hash_table table;
    hash_table_init(&table);
    assert_null(hash_table_find(&table, 1));
    hash_table_each(&table, NULL, NULL);
    hash_table_free(&table);
}

static void test_many_entries(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    struct entry *entries = xcalloc(COUNT, sizeof(*entries));
    struct hash_table table;
    hash_table_init(&table);
    for (int i = 0; i < COUNT; i++) {
        entries[i].value = i;
        hash_table_insert(&table, &entries[i].node, hash_u64((uint64_t)i));
    }
    assert_int_equal(table.count, COUNT);
    assert_true(table.bucket_count >= COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_ptr_equal(find(&table, hash_u64((uint64_t)i), i), &entries[i]);
    assert_null(find(&table, hash_u64(COUNT), COUNT));
    for (int i = 0; i < COUNT; i += 2)
        hash_table_remove(&table, &entries[i].node);
    assert_int_equal(table.count, COUNT / 2);
    for (int i = 0; i < COUNT; i++) {
        struct entry *expected = i % 2 ? &entries[i] : NULL;
        assert_ptr_equal(find(&table, hash_u64((uint64_t)i), i), expected);
    }
    hash_table_free(&table);
    assert_int_equal(table.count, 0);
    free(entries);
}

/* Other keys with the same hash, and other hashes in the same bucket. */
static void test_collisions(void **state)
{
    (void)state;
    struct entry entries[40];
    struct hash_table table;
    hash_table_init(&table);
    for (int i = 0; i < 40; i++) {
        entries[i].value = i;
        hash_table_insert(&table, &entries[i].node, i % 2 ? 7 : 7 + (1ULL << 40));
    }
    for (int i = 0; i < 40; i++) {
        assert_ptr_equal(find(&table, i % 2 ? 7 : 7 + (1ULL << 40), i), &entries[i]);
        assert_null(find(&table, i % 2 ? 7 + (1ULL << 40) : 7, i));
    }
    for (int i = 0; i < 40; i += 3)
        hash_table_remove(&table, &entries[i].node);
    for (int i = 0; i < 40; i++) {
        struct entry *expected = i % 3 ? &entries[i] : NULL;
        assert_ptr_equal(find(&table, i % 2 ? 7 : 7 + (1ULL << 40), i), expected);
    }
    hash_table_free(&table);
}

struct walk {
    struct hash_table *table;
    int sum;
};

static void sum_and_remove_odd(struct hash_node *node, void *argument)
{
    struct walk *walk = argument;
    struct entry *entry = container_of(node, struct entry, node);
    walk->sum += entry->value;
    if (entry->value % 2) {
        hash_table_remove(walk->table, node);
        memset(entry, 0x5a, sizeof(*entry)); /* as if it had been freed */
    }
}

static void test_removing_while_walking(void **state)
{
    (void)state;
    struct entry entries[100];
    struct hash_table table;
    hash_table_init(&table);
    for (int i = 0; i < 100; i++) {
        entries[i].value = i;
        hash_table_insert(&table, &entries[i].node, (uint64_t)(i / 10));
    }
    struct walk walk = {&table, 0};
    hash_table_each(&table, sum_and_remove_odd, &walk);
    assert_int_equal(walk.sum, 4950);
    assert_int_equal(table.count, 50);
    walk.sum = 0;
    hash_table_each(&table, sum_and_remove_odd, &walk);
    assert_int_equal(walk.sum, 2450);
    hash_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash_vectors), cmocka_unit_test(test_the_hashes_agree),
        cmocka_unit_test(test_an_empty_table),  cmocka_unit_test(test_many_entries),
        cmocka_unit_test(test_collisions),      cmocka_unit_test(test_removing_while_walking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

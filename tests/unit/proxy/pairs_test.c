/* Sets of name and value: one pointer for equal sets, later items win, limits, references. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/pairs.h"

static struct pairs_store store;

static int set_up(void **state)
{
    (void)state;
    pairs_store_init(&store);
    return 0;
}

/* Every test gives its sets back. */
static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(store.sets.count, 0);
    pairs_store_free(&store);
    return 0;
}

#define MAKE(...)                                                                                  \
    pairs_make(&store, (const struct pair[]){__VA_ARGS__},                                         \
               sizeof((const struct pair[]){__VA_ARGS__}) / sizeof(struct pair))

static void test_the_empty_set(void **state)
{
    (void)state;
    struct pairs *empty = pairs_make(&store, NULL, 0);
    assert_int_equal(empty->count, 0);
    assert_int_equal(empty->bytes, 0);
    assert_null(pairs_get(empty, "a"));
    assert_null(pairs_get(empty, ""));
    struct pairs *again = pairs_make(&store, NULL, 0);
    assert_ptr_equal(again, empty);
    pairs_unref(again);
    pairs_unref(empty);
}

static void test_equal_sets_are_one_pointer(void **state)
{
    (void)state;
    struct pairs *set = MAKE({"b", "2"}, {"a", "1"}, {"c", ""});
    struct pairs *other_order = MAKE({"c", ""}, {"a", "1"}, {"b", "2"});
    assert_ptr_equal(other_order, set);
    assert_int_equal(set->references, 2);
    assert_int_equal(store.sets.count, 1);
    assert_int_equal(set->count, 3);
    assert_string_equal(set->items[0].name, "a");
    assert_string_equal(set->items[1].name, "b");
    assert_string_equal(set->items[2].name, "c");
    assert_string_equal(set->items[2].value, "");
    pairs_unref(set);
    pairs_unref(other_order);
}

static void test_different_sets_are_different_pointers(void **state)
{
    (void)state;
    struct pairs *sets[] = {MAKE({"a", "1"}),
                            MAKE({"a", "2"}),
                            MAKE({"b", "1"}),
                            MAKE({"a", "1"}, {"b", "1"}),
                            MAKE({"a", "b"}, {"b", "a"}),
                            MAKE({"a", "a"}, {"b", "b"}),
                            MAKE({"a", ""}),
                            MAKE({"", "a"}),
                            MAKE({"ab", ""}),
                            MAKE({"A", "1"}), /* a name is kept as it is spelt */
                            pairs_make(&store, NULL, 0)};
    assert_int_equal(store.sets.count, array_size(sets));
    for (size_t i = 0; i < array_size(sets); i++) {
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(sets[i], sets[k]);
    }
    for (size_t i = 0; i < array_size(sets); i++)
        pairs_unref(sets[i]);
}

static void test_the_texts_are_copies(void **state)
{
    (void)state;
    char name[] = "name";
    char value[] = "value";
    struct pairs *set = MAKE({name, value});
    name[0] = value[0] = '?';
    assert_string_equal(set->items[0].name, "name");
    assert_string_equal(pairs_get(set, "name"), "value");
    assert_int_equal(set->bytes, sizeof("name") + sizeof("value"));
    pairs_unref(set);
}

static void test_the_later_item_wins(void **state)
{
    (void)state;
    struct pairs *set =
        MAKE({"x", "1"}, {"a", "first"}, {"x", "2"}, {"A", "second"}, {"X", "3"}, {"b", "only"});
    assert_int_equal(set->count, 3);
    assert_string_equal(pairs_get(set, "x"), "3");
    assert_string_equal(pairs_get(set, "a"), "second");
    assert_string_equal(pairs_get(set, "b"), "only");
    struct pairs *same = MAKE({"A", "second"}, {"b", "only"}, {"X", "3"});
    assert_ptr_equal(same, set);
    pairs_unref(same);
    pairs_unref(set);
}

static void test_names_have_no_case(void **state)
{
    (void)state;
    struct pairs *set = MAKE({"DateStyle", "ISO"}, {"app.Name", "x"}, {"TimeZone", "UTC"});
    assert_string_equal(pairs_get(set, "datestyle"), "ISO");
    assert_string_equal(pairs_get(set, "DATESTYLE"), "ISO");
    assert_string_equal(pairs_get(set, "timezone"), "UTC");
    assert_string_equal(pairs_get(set, "App.nAME"), "x");
    assert_null(pairs_get(set, "datestyl"));
    assert_null(pairs_get(set, "datestyle "));
    pairs_unref(set);
}

static void test_values_have_case(void **state)
{
    (void)state;
    struct pairs *lower = MAKE({"a", "utc"});
    struct pairs *upper = MAKE({"a", "UTC"});
    assert_ptr_not_equal(lower, upper);
    pairs_unref(lower);
    pairs_unref(upper);
}

static void test_with_adds_and_replaces(void **state)
{
    (void)state;
    struct pairs *set = MAKE({"DateStyle", "ISO"}, {"b", "2"});
    struct pairs *added = pairs_with(set, "a", "1");
    assert_int_equal(added->count, 3);
    assert_string_equal(added->items[0].name, "a");
    struct pairs *replaced = pairs_with(set, "datestyle", "SQL");
    assert_int_equal(replaced->count, 2);
    assert_string_equal(pairs_get(replaced, "DateStyle"), "SQL");
    assert_string_equal(replaced->items[1].name, "DateStyle");
    struct pairs *back = pairs_with(replaced, "DATESTYLE", "ISO");
    assert_ptr_equal(back, set);
    struct pairs *unchanged = pairs_with(set, "b", "2");
    assert_ptr_equal(unchanged, set);
    assert_string_equal(pairs_get(set, "DateStyle"), "ISO"); /* sets never change */
    pairs_unref(added);
    pairs_unref(replaced);
    pairs_unref(back);
    pairs_unref(unchanged);
    pairs_unref(set);
}

static void test_with_on_the_empty_set(void **state)
{
    (void)state;
    struct pairs *empty = pairs_make(&store, NULL, 0);
    struct pairs *one = pairs_with(empty, "a", "1");
    struct pairs *same = MAKE({"a", "1"});
    assert_ptr_equal(one, same);
    pairs_unref(empty);
    pairs_unref(one);
    pairs_unref(same);
}

/* Values may point into the set that they come from. */
static void test_with_of_its_own_texts(void **state)
{
    (void)state;
    struct pairs *set = MAKE({"a", "1"}, {"b", "2"});
    struct pairs *swapped = pairs_with(set, set->items[0].name, set->items[1].value);
    assert_string_equal(pairs_get(swapped, "a"), "2");
    pairs_unref(set);
    assert_string_equal(pairs_get(swapped, "a"), "2");
    pairs_unref(swapped);
}

static size_t name_items(struct pair *items, char names[][8], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof(names[i]), "n%03d", (int)i);
        items[i] = (struct pair){names[i], "v"};
    }
    return count;
}

static void test_the_limit_of_items(void **state)
{
    (void)state;
    struct pair items[PAIRS_MAX + 1];
    char names[PAIRS_MAX + 1][8];
    name_items(items, names, PAIRS_MAX + 1);
    assert_null(pairs_make(&store, items, PAIRS_MAX + 1));
    struct pairs *full = pairs_make(&store, items, PAIRS_MAX);
    assert_non_null(full);
    assert_int_equal(full->count, PAIRS_MAX);
    assert_null(pairs_with(full, "another", "v"));
    assert_int_equal(full->references, 1);
    struct pairs *replaced = pairs_with(full, "N127", "w");
    assert_non_null(replaced);
    assert_int_equal(replaced->count, PAIRS_MAX);
    assert_string_equal(pairs_get(replaced, "n127"), "w");
    pairs_unref(replaced);
    pairs_unref(full);
}

static void test_the_limit_of_bytes(void **state)
{
    (void)state;
    _cleanup_free_ char *value = xmalloc(PAIRS_MAX_BYTES + 1);
    memset(value, 'x', PAIRS_MAX_BYTES);
    value[PAIRS_MAX_BYTES - 3] = '\0'; /* with "a" and two NULs that is PAIRS_MAX_BYTES */
    struct pairs *largest = MAKE({"a", value});
    assert_non_null(largest);
    assert_int_equal(largest->bytes, PAIRS_MAX_BYTES);
    assert_null(pairs_with(largest, "b", ""));
    struct pairs *smaller = pairs_with(largest, "a", "");
    assert_non_null(smaller);
    pairs_unref(smaller);
    pairs_unref(largest);
    value[PAIRS_MAX_BYTES - 3] = 'x';
    value[PAIRS_MAX_BYTES - 2] = '\0';
    assert_null(MAKE({"a", value}));
    /* An item that is not kept does not count. */
    struct pairs *last = MAKE({"a", value}, {"a", "1"});
    assert_non_null(last);
    pairs_unref(last);
}

static void test_release_frees_and_forgets(void **state)
{
    (void)state;
    struct pairs *set = MAKE({"a", "1"});
    struct pairs *other = MAKE({"a", "2"});
    assert_ptr_equal(pairs_ref(set), set);
    pairs_unref(set);
    assert_int_equal(store.sets.count, 2);
    assert_string_equal(pairs_get(set, "a"), "1");
    pairs_unref(set);
    assert_int_equal(store.sets.count, 1);
    pairs_unref(NULL);
    set = MAKE({"a", "1"});
    assert_int_equal(set->references, 1);
    pairs_unref(set);
    pairs_unref(other);
}

static void test_replace(void **state)
{
    (void)state;
    struct pairs *place = NULL;
    pairs_replace(&place, MAKE({"a", "1"}));
    assert_string_equal(pairs_get(place, "a"), "1");
    pairs_replace(&place, pairs_ref(place)); /* by itself */
    assert_int_equal(place->references, 1);
    pairs_replace(&place, pairs_with(place, "a", "2"));
    assert_string_equal(pairs_get(place, "a"), "2");
    assert_int_equal(store.sets.count, 1);
    pairs_replace(&place, NULL);
    assert_null(place);
}

static void test_many_sets(void **state)
{
    (void)state;
    enum { SETS = 2000 };
    static struct pairs *sets[SETS];
    char value[16];
    for (int i = 0; i < SETS; i++) {
        snprintf(value, sizeof(value), "%d", i);
        sets[i] = MAKE({"application_name", value}, {"search_path", "public"});
    }
    assert_int_equal(store.sets.count, SETS);
    for (int i = SETS - 1; i >= 0; i--) {
        snprintf(value, sizeof(value), "%d", i);
        struct pairs *same = MAKE({"search_path", "public"}, {"application_name", value});
        assert_ptr_equal(same, sets[i]);
        pairs_unref(same);
        pairs_unref(sets[i]);
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_the_empty_set),
        TEST(test_equal_sets_are_one_pointer),
        TEST(test_different_sets_are_different_pointers),
        TEST(test_the_texts_are_copies),
        TEST(test_the_later_item_wins),
        TEST(test_names_have_no_case),
        TEST(test_values_have_case),
        TEST(test_with_adds_and_replaces),
        TEST(test_with_on_the_empty_set),
        TEST(test_with_of_its_own_texts),
        TEST(test_the_limit_of_items),
        TEST(test_the_limit_of_bytes),
        TEST(test_release_frees_and_forgets),
        TEST(test_replace),
        TEST(test_many_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

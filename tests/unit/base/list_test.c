/* Intrusive lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int value;
    struct list node;
};

static int values_of(const struct list *head, int *values)
{
    int count = 0;
    list_for_each (node, head)
        values[count++] = list_entry(node, struct item, node)->value;
    return count;
}

static void test_order(void **state)
{
    (void)state;
    struct list head;
    struct item items[] = {{1, {0}}, {2, {0}}, {3, {0}}};
    int values[3];
    list_init(&head);
    assert_true(list_empty(&head));
    assert_null(list_first(&head, struct item, node));
    assert_null(list_last(&head, struct item, node));
    list_append(&head, &items[1].node);
    list_append(&head, &items[2].node);
    list_prepend(&head, &items[0].node);
    assert_false(list_empty(&head));
    assert_int_equal(values_of(&head, values), 3);
    assert_memory_equal(values, ((int[]){1, 2, 3}), sizeof(values));
    assert_ptr_equal(list_first(&head, struct item, node), &items[0]);
    assert_ptr_equal(list_last(&head, struct item, node), &items[2]);
}

static void test_removal(void **state)
{
    (void)state;
    struct list head;
    struct item items[] = {{1, {0}}, {2, {0}}, {3, {0}}};
    int values[3];
    list_init(&head);
    for (int i = 0; i < 3; i++)
        list_append(&head, &items[i].node);
    list_remove(&items[1].node);
    list_remove(&items[1].node); /* of a node that is in no list: nothing */
    assert_true(list_empty(&items[1].node));
    assert_int_equal(values_of(&head, values), 2);
    assert_int_equal(values[0], 1);
    assert_int_equal(values[1], 3);
    list_append(&head, &items[1].node);
    assert_int_equal(values_of(&head, values), 3);
    assert_int_equal(values[2], 2);
}

static void test_removing_while_walking(void **state)
{
    (void)state;
    struct list head;
    struct item items[10];
    int values[10];
    list_init(&head);
    for (int i = 0; i < 10; i++) {
        items[i].value = i;
        list_append(&head, &items[i].node);
    }
    list_for_each_safe (node, &head) {
        struct item *item = list_entry(node, struct item, node);
        if (item->value % 2) {
            list_remove(node);
            memset(item, 0x5a, sizeof(*item)); /* as if it had been freed */
        }
    }
    assert_int_equal(values_of(&head, values), 5);
    assert_int_equal(values[4], 8);
    list_for_each_safe (node, &head) {
        list_remove(node);
    }
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_removal),
        cmocka_unit_test(test_removing_while_walking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

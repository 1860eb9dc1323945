/* The queue of expected replies: order through growth and wrap, removal, references, limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/expect.h"

/* Entries are told apart by their flags. */
static void push(struct expect_queue *queue, unsigned mark)
{
    assert_true(
        expect_push(queue, &(struct expect){.kind = EXPECT_BIND, .flags = mark, .name = NULL}));
}

static void push_kind(struct expect_queue *queue, enum expect_kind kind, unsigned mark)
{
    assert_true(expect_push(queue, &(struct expect){.kind = kind, .flags = mark}));
}

static void check_marks(struct expect_queue *queue, const unsigned *marks, size_t count)
{
    assert_int_equal(queue->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(expect_at(queue, i)->flags, marks[i]);
}

static void test_an_unused_queue(void **state)
{
    (void)state;
    struct expect_queue queue;
    expect_init(&queue);
    assert_true(expect_empty(&queue));
    assert_null(expect_first(&queue));
    assert_null(queue.entries);
    expect_remove_kind(&queue, 0, 0, EXPECT_SYNC);
    expect_free(&queue);
    assert_true(expect_empty(&queue));
}

static void test_an_entry_is_kept_as_it_is(void **state)
{
    (void)state;
    struct expect_queue queue;
    expect_init(&queue);
    expect_push(&queue, &(struct expect){.kind = EXPECT_COPY_END,
                                         .action = EXPECT_SETTINGS,
                                         .answered = true,
                                         .flags = 77});
    const struct expect *first = expect_first(&queue);
    assert_int_equal(first->kind, EXPECT_COPY_END);
    assert_int_equal(first->action, EXPECT_SETTINGS);
    assert_true(first->answered);
    assert_int_equal(first->flags, 77);
    assert_null(first->statement);
    assert_null(first->name);
    expect_pop(&queue);
    assert_true(expect_empty(&queue));
    assert_null(expect_first(&queue));
    expect_free(&queue);
}

/* The ring is full and its first entry is somewhere in the middle when it grows. */
static void test_growth_keeps_the_order_of_a_ring_that_wraps(void **state)
{
    (void)state;
    for (unsigned gone = 0; gone <= 16; gone++) {
        struct expect_queue queue;
        expect_init(&queue);
        for (unsigned i = 0; i < 16; i++)
            push(&queue, i);
        assert_int_equal(queue.capacity, 16);
        for (unsigned i = 0; i < gone; i++)
            expect_pop(&queue);
        for (unsigned i = 16; i < 16 + gone + 5; i++)
            push(&queue, i);
        assert_int_equal(queue.capacity, 32);
        for (unsigned i = gone; i < 16 + gone + 5; i++) {
            assert_int_equal(expect_first(&queue)->flags, i);
            expect_pop(&queue);
        }
        assert_true(expect_empty(&queue));
        expect_free(&queue);
    }
}

static void test_a_steady_queue_does_not_grow(void **state)
{
    (void)state;
    struct expect_queue queue;
    expect_init(&queue);
    for (unsigned i = 0; i < 1000; i++) {
        push(&queue, i);
        if (i < 10)
            continue;
        assert_int_equal(expect_first(&queue)->flags, i - 10);
        expect_pop(&queue);
    }
    assert_int_equal(queue.capacity, 16);
    assert_int_equal(queue.count, 10);
    expect_free(&queue);
}

static void test_remove(void **state)
{
    (void)state;
    /* At every place of a ring in every position. */
    for (unsigned start = 0; start < 16; start++) {
        for (size_t index = 0; index < 5; index++) {
            struct expect_queue queue;
            unsigned left[4];
            expect_init(&queue);
            for (unsigned i = 0; i < start; i++) {
                push(&queue, 99);
                expect_pop(&queue);
            }
            for (unsigned i = 0; i < 5; i++)
                push(&queue, i);
            for (unsigned i = 0, at = 0; i < 5; i++) {
                if (i != index)
                    left[at++] = i;
            }
            expect_remove(&queue, index);
            check_marks(&queue, left, 4);
            push(&queue, 5);
            assert_int_equal(expect_at(&queue, 4)->flags, 5);
            expect_free(&queue);
        }
    }
}

static void test_remove_the_only_one(void **state)
{
    (void)state;
    struct expect_queue queue;
    expect_init(&queue);
    push(&queue, 1);
    expect_remove(&queue, 0);
    assert_true(expect_empty(&queue));
    assert_null(expect_first(&queue));
    push(&queue, 2);
    check_marks(&queue, (unsigned[]){2}, 1);
    expect_free(&queue);
}

static void fill_mixed(struct expect_queue *queue, unsigned start)
{
    static const enum expect_kind kinds[] = {EXPECT_SYNC, EXPECT_EXECUTE, EXPECT_SYNC,
                                             EXPECT_SYNC, EXPECT_CLOSE,   EXPECT_SYNC};
    expect_init(queue);
    for (unsigned i = 0; i < start; i++) {
        push(queue, 99);
        expect_pop(queue);
    }
    for (unsigned i = 0; i < array_size(kinds); i++)
        push_kind(queue, kinds[i], i);
}

static void test_remove_kind(void **state)
{
    (void)state;
    static const struct {
        size_t from, to, count;
        unsigned left[6];
    } cases[] = {
        {0, 6, 2, {1, 4}},
        {1, 6, 3, {0, 1, 4}},
        {1, 3, 5, {0, 1, 3, 4, 5}},
        {1, 4, 4, {0, 1, 4, 5}},
        {4, 6, 5, {0, 1, 2, 3, 4}},
        {1, 2, 6, {0, 1, 2, 3, 4, 5}},
        {2, 2, 6, {0, 1, 2, 3, 4, 5}},
        {6, 6, 6, {0, 1, 2, 3, 4, 5}},
    };
    for (unsigned start = 0; start < 16; start++) {
        for (size_t i = 0; i < array_size(cases); i++) {
            struct expect_queue queue;
            fill_mixed(&queue, start);
            expect_remove_kind(&queue, cases[i].from, cases[i].to, EXPECT_SYNC);
            check_marks(&queue, cases[i].left, cases[i].count);
            expect_free(&queue);
        }
    }
}

/* How many of the first ones the server was asked for, whatever goes from among them. */
static void test_asked(void **state)
{
    (void)state;
    struct expect_queue queue;
    expect_init(&queue);
    for (unsigned i = 0; i < 6; i++)
        push_kind(&queue, i % 2 ? EXPECT_COPY_END : EXPECT_BIND, i);
    queue.asked = 4;
    expect_remove(&queue, 4);
    assert_int_equal(queue.asked, 4);
    expect_remove(&queue, 2);
    assert_int_equal(queue.asked, 3);
    expect_remove_kind(&queue, 0, 4, EXPECT_COPY_END); /* one of them behind what was asked for */
    assert_int_equal(queue.asked, 1);
    assert_int_equal(queue.count, 1);
    expect_pop(&queue);
    assert_int_equal(queue.asked, 0);
    expect_free(&queue);
}

static void test_the_limit(void **state)
{
    (void)state;
    struct hash_table stores;
    struct expect_queue queue;
    hash_table_init(&stores);
    struct statement_store *store =
        statement_store_get(&stores, &(struct statement_scope){.id = 1});
    expect_init(&queue);
    struct statement *statement = statement_intern(store, "SELECT 1\0\0", 11);
    struct expect entry = {.kind = EXPECT_PARSE, .statement = statement};
    for (size_t i = 0; i < EXPECT_MAX; i++)
        assert_true(expect_push(&queue, &entry));
    assert_int_equal(statement->references, EXPECT_MAX + 1);
    assert_false(expect_push(&queue, &entry));
    assert_int_equal(queue.count, EXPECT_MAX);
    assert_int_equal(statement->references, EXPECT_MAX + 1);
    expect_pop(&queue);
    assert_true(expect_push(&queue, &entry));
    assert_false(expect_push(&queue, &entry));
    expect_remove_kind(&queue, 1, EXPECT_MAX, EXPECT_PARSE);
    assert_int_equal(queue.count, 1);
    assert_int_equal(statement->references, 2);
    expect_free(&queue);
    assert_int_equal(statement->references, 1);
    statement_unref(statement);
    statement_store_unref(store);
    assert_int_equal(stores.count, 0);
    hash_table_free(&stores);
}

struct fixture {
    struct hash_table stores;
    struct statement_store *store;
    struct hash_table names;
    struct expect_queue queue;
    struct statement *statement;
    struct client_statement *name;
};

static void set_up(struct fixture *fixture)
{
    hash_table_init(&fixture->stores);
    fixture->store = statement_store_get(&fixture->stores, &(struct statement_scope){.id = 1});
    hash_table_init(&fixture->names);
    expect_init(&fixture->queue);
    fixture->statement = statement_intern(fixture->store, "SELECT 1\0\0", 11);
    fixture->name = client_statement_add(&fixture->names, "s", fixture->statement);
}

static void push_both(struct fixture *fixture)
{
    assert_true(expect_push(&fixture->queue, &(struct expect){.kind = EXPECT_PARSE,
                                                              .statement = fixture->statement,
                                                              .name = fixture->name}));
}

static void tear_down(struct fixture *fixture)
{
    expect_free(&fixture->queue);
    client_statements_clear(&fixture->names);
    hash_table_free(&fixture->names);
    statement_unref(fixture->statement);
    assert_int_equal(fixture->store->statements.count, 0);
    statement_store_unref(fixture->store);
    hash_table_free(&fixture->stores);
}

static void test_references_are_counted(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    for (int i = 0; i < 4; i++)
        push_both(&fixture);
    assert_int_equal(fixture.statement->references, 2 + 4);
    assert_int_equal(fixture.name->references, 1 + 4);
    expect_pop(&fixture.queue);
    assert_int_equal(fixture.statement->references, 2 + 3);
    assert_int_equal(fixture.name->references, 1 + 3);
    expect_remove(&fixture.queue, 1);
    assert_int_equal(fixture.statement->references, 2 + 2);
    assert_int_equal(fixture.name->references, 1 + 2);
    expect_remove_kind(&fixture.queue, 0, 1, EXPECT_PARSE);
    assert_int_equal(fixture.statement->references, 2 + 1);
    assert_int_equal(fixture.name->references, 1 + 1);
    expect_free(&fixture.queue);
    assert_int_equal(fixture.statement->references, 2);
    assert_int_equal(fixture.name->references, 1);
    tear_down(&fixture);
}

/* What an entry points to lives as long as the entry. */
static void test_the_last_reference_is_the_queue_s(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    push_both(&fixture);
    client_statement_remove(&fixture.names, fixture.name);
    statement_unref(take_pointer(fixture.statement));
    assert_int_equal(fixture.store->statements.count, 1);
    const struct expect *first = expect_first(&fixture.queue);
    assert_string_equal(first->name->name, "s");
    assert_false(first->name->in_table);
    assert_string_equal(first->statement->definition, "SELECT 1");
    expect_pop(&fixture.queue);
    assert_int_equal(fixture.store->statements.count, 0);
    tear_down(&fixture);
}

/* Names are in doubt from a Sync behind them until they have been answered. */
static void test_names_in_doubt(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    struct expect_queue *queue = &fixture.queue;
    push_kind(queue, EXPECT_SYNC, 0);
    assert_false(expect_names_in_doubt(queue));
    push_both(&fixture);
    push_both(&fixture);
    assert_false(expect_names_in_doubt(queue));
    push_kind(queue, EXPECT_SYNC, 0);
    assert_true(expect_names_in_doubt(queue));
    push_both(&fixture); /* behind the Sync */
    expect_pop(queue);   /* the first Sync */
    expect_pop(queue);
    assert_true(expect_names_in_doubt(queue));
    expect_pop(queue);
    assert_false(expect_names_in_doubt(queue));
    push_kind(queue, EXPECT_SYNC, 0);
    assert_true(expect_names_in_doubt(queue));
    expect_pop(queue); /* the second Sync */
    expect_pop(queue);
    assert_false(expect_names_in_doubt(queue));
    expect_pop(queue);
    assert_true(expect_empty(queue));
    assert_int_equal(queue->names_open, 0);
    tear_down(&fixture);
}

/* Against an array, with every operation in a random but repeatable order. */
static void test_against_a_model(void **state)
{
    (void)state;
    static unsigned model[4096];
    size_t count = 0;
    struct expect_queue queue;
    uint64_t seed = 1;
    expect_init(&queue);
    for (unsigned step = 0; step < 20000; step++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        unsigned choice = (unsigned)(seed >> 33) % 16;
        size_t index = count > 0 ? (size_t)(seed >> 40) % count : 0;
        if (choice < 9 && count < array_size(model)) {
            push(&queue, step);
            model[count++] = step;
        } else if (choice < 14 && count > 0) {
            expect_pop(&queue);
            memmove(model, model + 1, --count * sizeof(*model));
        } else if (count > 0) {
            expect_remove(&queue, index);
            count--;
            memmove(model + index, model + index + 1, (count - index) * sizeof(*model));
        }
        if (step % 100 == 0)
            check_marks(&queue, model, count);
        if (count > 0)
            assert_int_equal(expect_first(&queue)->flags, model[0]);
        else
            assert_null(expect_first(&queue));
    }
    check_marks(&queue, model, count);
    expect_free(&queue);
}

/* What replaces the unnamed statement is in doubt from its Sync until that is answered, unless
 * something replaces it again. */
static void test_the_unnamed_statement_in_doubt(void **state)
{
    (void)state;
    struct expect_queue queue;
    expect_init(&queue);
    expect_push(&queue, &(struct expect){.kind = EXPECT_PARSE, .takes_unnamed = true});
    assert_false(expect_unnamed_in_doubt(&queue));
    push_kind(&queue, EXPECT_SYNC, 0);
    assert_true(expect_unnamed_in_doubt(&queue));
    expect_push(&queue, &(struct expect){.kind = EXPECT_PARSE, .takes_unnamed = true});
    assert_false(expect_unnamed_in_doubt(&queue));
    push_kind(&queue, EXPECT_SYNC, 0);
    assert_true(expect_unnamed_in_doubt(&queue));
    expect_pop(&queue);
    expect_pop(&queue);
    assert_true(expect_unnamed_in_doubt(&queue));
    expect_pop(&queue);
    assert_false(expect_unnamed_in_doubt(&queue));
    expect_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_unused_queue),
        cmocka_unit_test(test_an_entry_is_kept_as_it_is),
        cmocka_unit_test(test_growth_keeps_the_order_of_a_ring_that_wraps),
        cmocka_unit_test(test_a_steady_queue_does_not_grow),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_remove_the_only_one),
        cmocka_unit_test(test_remove_kind),
        cmocka_unit_test(test_asked),
        cmocka_unit_test(test_the_limit),
        cmocka_unit_test(test_references_are_counted),
        cmocka_unit_test(test_the_last_reference_is_the_queue_s),
        cmocka_unit_test(test_names_in_doubt),
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_the_unnamed_statement_in_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

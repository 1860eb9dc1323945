/* Letters from other threads, and from callbacks. */
#include "harness.h"

#include <pthread.h>

enum { SENDERS = 4, LETTERS = 20000 };

struct numbered {
    struct letter letter; /* first */
    int sender, number;
};

struct office {
    struct mailbox *mailbox;
    struct engine *engine;
    int next[SENDERS];
    int count;
    int turns;
    bool free_when_called;
    struct mailbox *other; /* freed when called */
};

static void received(void *owner, struct letter *letter)
{
    struct office *office = owner;
    struct numbered *numbered = (struct numbered *)letter;
    assert_null(letter->next);
    assert_int_equal(numbered->number, office->next[numbered->sender]);
    office->next[numbered->sender]++;
    office->count++;
    free(numbered);
    if (office->other)
        mailbox_free(take_pointer(office->other));
    if (office->free_when_called && office->mailbox)
        mailbox_free(take_pointer(office->mailbox));
}

static struct numbered *write_letter(int sender, int number)
{
    struct numbered *numbered = xcalloc(1, sizeof(*numbered));
    numbered->sender = sender;
    numbered->number = number;
    return numbered;
}

static void office_open(struct office *office, struct engine *engine)
{
    struct error err;
    *office = (struct office){.engine = engine};
    assert_int_equal(mailbox_create(engine, received, office, &office->mailbox, &err), 0);
}

struct sender {
    pthread_t thread;
    struct office *office;
    int index;
};

static void *send_letters(void *argument)
{
    struct sender *sender = argument;
    for (int i = 0; i < LETTERS; i++)
        mailbox_post(sender->office->mailbox, &write_letter(sender->index, i)->letter);
    return NULL;
}

static bool all_came(void *argument)
{
    struct office *office = argument;
    office->turns++;
    return office->count == SENDERS * LETTERS;
}

static void test_many_threads(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    struct office office;
    struct sender senders[SENDERS];
    office_open(&office, engine);
    for (int i = 0; i < SENDERS; i++) {
        senders[i].office = &office;
        senders[i].index = i;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_letters, &senders[i]), 0);
    }
    run_until(engine, all_came, &office);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    mailbox_free(office.mailbox);
    engine_free(engine);
}

static void test_one_wake_up(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    struct office office;
    office_open(&office, engine);
    for (int i = 0; i < SENDERS * LETTERS; i++)
        mailbox_post(office.mailbox, &write_letter(0, i)->letter);
    run_until(engine, all_came, &office);
    assert_int_equal(office.turns, 2); /* before the first turn and behind it */
    mailbox_free(office.mailbox);
    engine_free(engine);
}

static void test_free_receives_the_rest(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    struct office office;
    office_open(&office, engine);
    for (int i = 0; i < 3; i++)
        mailbox_post(office.mailbox, &write_letter(1, i)->letter);
    mailbox_free(office.mailbox);
    assert_int_equal(office.count, 3);
    mailbox_free(NULL);
    engine_free(engine);
}

static bool three_came(void *argument)
{
    return ((struct office *)argument)->count >= 3;
}

static void test_free_in_callbacks(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    struct office first;
    struct office second;
    office_open(&first, engine);
    office_open(&second, engine);
    first.free_when_called = true;
    first.other = second.mailbox;
    for (int i = 0; i < 3; i++) {
        mailbox_post(first.mailbox, &write_letter(0, i)->letter);
        mailbox_post(second.mailbox, &write_letter(0, i)->letter);
    }
    run_until(engine, three_came, &first);
    assert_int_equal(first.count, 3);
    assert_int_equal(second.count, 3);
    engine_free(engine);
}

static void *stop_engine(void *argument)
{
    engine_stop(argument);
    return NULL;
}

static void test_stop_from_thread(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_engine, engine), 0);
    engine_run(engine); /* also when it is stopped before */
    pthread_join(thread, NULL);
    engine_stop(engine);
    engine_run(engine);
    engine_free(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_threads),           cmocka_unit_test(test_one_wake_up),
        cmocka_unit_test(test_free_receives_the_rest), cmocka_unit_test(test_free_in_callbacks),
        cmocka_unit_test(test_stop_from_thread),
    };
    int refused = check_engine();
    return refused ? refused : cmocka_run_group_tests(tests, NULL, NULL);
}

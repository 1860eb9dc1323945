/* A cluster's slots: who gets the next one, and that none is lost or made up. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/budget.h"

/* Workers are only pointed at. */
static char worker_memory[3];
#define WORKER(index) ((struct worker *)(void *)&worker_memory[index])

static struct budget budget;
static struct budget_claim a, b, c;

static int set_up(void **state)
{
    (void)state;
    budget_init(&budget, 7, 1);
    budget_claim_init(&a, WORKER(0));
    budget_claim_init(&b, WORKER(1));
    budget_claim_init(&c, WORKER(2));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    budget_destroy(&budget);
    return 0;
}

static void check_queue(struct budget_claim **claims, int count)
{
    const struct list *link = budget.starving.next;
    for (int i = 0; i < count; i++) {
        assert_ptr_equal(link, &claims[i]->link);
        assert_true(claims[i]->queued);
        link = link->next;
    }
    assert_ptr_equal(link, &budget.starving);
    assert_int_equal(atomic_load(&budget.starving_count), count);
}

static void check_nobody_waits(void)
{
    assert_true(list_empty(&budget.starving));
    assert_int_equal(atomic_load(&budget.starving_count), 0);
}

#define QUEUE(...)                                                                                 \
    check_queue((struct budget_claim *[]){__VA_ARGS__},                                            \
                sizeof((struct budget_claim *[]){__VA_ARGS__}) / sizeof(struct budget_claim *))

static void test_slots_up_to_the_maximum(void **state)
{
    (void)state;
    budget_set_maximum(&budget, 3);
    assert_int_equal(budget.cluster_id, 7);
    for (int i = 0; i < 3; i++)
        assert_true(budget_acquire(&budget, &a, 10));
    assert_int_equal(budget.used, 3);
    check_nobody_waits();
    assert_false(budget_acquire(&budget, &a, 10));
    QUEUE(&a);
    assert_int_equal(budget.used, 3);
    assert_int_equal(budget_withdraw(&budget, &a), 0);
    check_nobody_waits();
    for (int i = 0; i < 3; i++)
        assert_null(budget_release(&budget, &a));
    assert_int_equal(budget.used, 0);
}

static void test_a_slot_that_nobody_waits_for(void **state)
{
    (void)state;
    budget_set_maximum(&budget, 2);
    assert_true(budget_take_free(&budget, &c));
    assert_true(budget_acquire(&budget, &a, 10));
    assert_false(budget_take_free(&budget, &c));
    assert_false(budget_acquire(&budget, &b, 20));
    budget_set_maximum(&budget, 3);
    assert_false(budget_take_free(&budget, &c)); /* there is one now, but b waits for it */
    assert_int_equal(budget.used, 2);
}

/* Half of the maximum, for who comes first; that is not what is in use. */
static void test_what_is_reserved(void **state)
{
    (void)state;
    budget_set_maximum(&budget, 7);
    assert_int_equal(budget_reserve(&budget, 0, 2), 2);
    assert_int_equal(budget_reserve(&budget, 0, 2), 1);
    assert_int_equal(budget_reserve(&budget, 0, 1), 0);
    assert_int_equal(budget_reserve(&budget, 2, 1), 1);
    assert_int_equal(budget_reserve(&budget, 1, 5), 2);
    budget_set_maximum(&budget, 2); /* three are reserved: who looks again has fewer */
    assert_int_equal(budget_reserve(&budget, 2, 2), 0);
    assert_int_equal(budget_reserve(&budget, 1, 1), 1);
    assert_int_equal(budget_reserve(&budget, 1, 0), 0);
    assert_int_equal(budget.reserved, 0);
    assert_int_equal(budget.used, 0);
}

static void test_no_slots_at_all(void **state)
{
    (void)state;
    budget_set_maximum(&budget, 0);
    assert_false(budget_acquire(&budget, &a, 10));
    QUEUE(&a);
}

static void test_the_queue_is_in_order_of_age(void **state)
{
    (void)state;
    static struct budget_claim *const all[] = {&a, &b, &c};
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}; /* oldest first */
    assert_true(budget_acquire(&budget, &a, 1));
    for (size_t i = 0; i < array_size(orders); i++) {
        struct budget_claim *ordered[] = {all[orders[i][0]], all[orders[i][1]], all[orders[i][2]]};
        int64_t ages[3];
        for (int k = 0; k < 3; k++)
            ages[orders[i][k]] = 10 * (k + 1);
        for (int k = 0; k < 3; k++)
            assert_false(budget_acquire(&budget, all[k], ages[k]));
        check_queue(ordered, 3);
        for (int k = 0; k < 3; k++)
            budget_withdraw(&budget, all[k]);
        check_nobody_waits();
    }
}

static void test_claims_of_one_age_are_served_as_they_came(void **state)
{
    (void)state;
    assert_true(budget_acquire(&budget, &a, 1));
    assert_false(budget_acquire(&budget, &b, 10));
    assert_false(budget_acquire(&budget, &c, 10));
    QUEUE(&b, &c);
}

/* Asking again moves nobody, neither back nor forward. */
static void test_a_claim_keeps_its_place(void **state)
{
    (void)state;
    assert_true(budget_acquire(&budget, &c, 1));
    assert_false(budget_acquire(&budget, &a, 10));
    assert_false(budget_acquire(&budget, &b, 20));
    assert_false(budget_acquire(&budget, &a, 99));
    assert_false(budget_acquire(&budget, &b, 1));
    QUEUE(&a, &b);
    assert_true(a.since_us == 10 && b.since_us == 20);
}

static void test_release_grants_to_the_oldest(void **state)
{
    (void)state;
    assert_true(budget_acquire(&budget, &a, 1));
    assert_false(budget_acquire(&budget, &c, 30));
    assert_false(budget_acquire(&budget, &b, 20));
    assert_ptr_equal(budget_release(&budget, &a), WORKER(1));
    assert_int_equal(budget.used, 1); /* handed on */
    QUEUE(&c);
    assert_int_equal(budget_collect(&budget, &a), 0);
    assert_int_equal(budget_collect(&budget, &c), 0);
    assert_int_equal(budget_collect(&budget, &b), 1);
    assert_int_equal(budget_collect(&budget, &b), 0);
    assert_ptr_equal(budget_release(&budget, &b), WORKER(2));
    assert_int_equal(budget_collect(&budget, &c), 1);
    assert_null(budget_release(&budget, &c));
    assert_int_equal(budget.used, 0);
    check_nobody_waits();
}

/* A free slot is not snatched from those who wait. */
static void test_nobody_jumps_the_queue(void **state)
{
    (void)state;
    assert_true(budget_acquire(&budget, &a, 1));
    assert_false(budget_acquire(&budget, &b, 20));
    budget_set_maximum(&budget, 2);
    assert_false(budget_acquire(&budget, &c, 30));
    assert_false(budget_acquire(&budget, &a, 20)); /* of one age, but it came later */
    QUEUE(&b, &a, &c);
    assert_true(budget_acquire(&budget, &b, 20));
    QUEUE(&a, &c);
    assert_int_equal(budget.used, 2);
    assert_false(budget_acquire(&budget, &a, 20));
}

/* After a higher maximum every pool withdraws and asks again: the oldest must get what is free. */
static void test_one_that_is_older_than_all_who_wait_is_the_first(void **state)
{
    (void)state;
    assert_true(budget_acquire(&budget, &a, 1));
    assert_false(budget_acquire(&budget, &b, 20));
    assert_false(budget_acquire(&budget, &c, 30));
    budget_set_maximum(&budget, 2);
    assert_int_equal(budget_withdraw(&budget, &b), 0);
    assert_true(budget_acquire(&budget, &b, 20));
    QUEUE(&c);
    assert_int_equal(budget.used, 2);
    assert_false(budget_acquire(&budget, &a, 5)); /* nothing is free: it waits in front */
    QUEUE(&a, &c);
}

static void test_withdraw(void **state)
{
    (void)state;
    assert_true(budget_acquire(&budget, &a, 1));
    assert_int_equal(budget_withdraw(&budget, &b), 0); /* waits for nothing */
    assert_false(budget_acquire(&budget, &b, 20));
    assert_false(budget_acquire(&budget, &c, 30));
    assert_int_equal(budget_withdraw(&budget, &b), 0);
    assert_false(b.queued);
    QUEUE(&c);
    assert_ptr_equal(budget_release(&budget, &a), WORKER(2));
    /* Its grant is in the withdrawer's hands, and goes to the next. */
    assert_false(budget_acquire(&budget, &b, 40));
    assert_int_equal(budget_withdraw(&budget, &c), 1);
    assert_int_equal(budget_withdraw(&budget, &c), 0);
    assert_ptr_equal(budget_release(&budget, &c), WORKER(1));
    assert_int_equal(budget_collect(&budget, &b), 1);
    assert_int_equal(budget.used, 1);
}

/*
 * A grant comes from another thread between a look for grants and a wish for a slot. It is the slot
 * that is taken: a claim that has it and waits as well would be left behind in the queue when its
 * pool goes, and the slot with it.
 */
static void test_a_grant_is_taken_before_anything_else(void **state)
{
    (void)state;
    assert_true(budget_acquire(&budget, &a, 1));
    assert_false(budget_acquire(&budget, &b, 20));
    assert_int_equal(budget_collect(&budget, &b), 0);
    assert_ptr_equal(budget_release(&budget, &a), WORKER(1));
    assert_true(budget_acquire(&budget, &b, 20));
    assert_int_equal(budget.used, 1);
    assert_int_equal(b.granted, 0);
    check_nobody_waits();
    assert_int_equal(budget_collect(&budget, &b), 0);

    /* The same while a second slot is free. */
    budget_set_maximum(&budget, 2);
    assert_true(budget_acquire(&budget, &a, 1));
    assert_false(budget_acquire(&budget, &b, 20));
    assert_ptr_equal(budget_release(&budget, &a), WORKER(1));
    assert_null(budget_release(&budget, &b));
    assert_int_equal(budget.used, 1);
    assert_true(budget_acquire(&budget, &b, 20));
    assert_int_equal(budget.used, 1);
    assert_int_equal(budget_withdraw(&budget, &b), 0);
}

static void test_a_lower_maximum(void **state)
{
    (void)state;
    budget_set_maximum(&budget, 3);
    for (int i = 0; i < 3; i++)
        assert_true(budget_acquire(&budget, &a, 1));
    assert_false(budget_acquire(&budget, &b, 20));
    budget_set_maximum(&budget, 1);
    assert_null(budget_release(&budget, &a)); /* 3 -> 2: above the maximum, nobody gets it */
    assert_null(budget_release(&budget, &a)); /* 2 -> 1 */
    QUEUE(&b);
    assert_int_equal(budget.used, 1);
    assert_false(budget_acquire(&budget, &b, 20));
    assert_ptr_equal(budget_release(&budget, &a), WORKER(1));
    assert_int_equal(budget.used, 1);
}

static void test_a_maximum_of_zero_drains(void **state)
{
    (void)state;
    assert_true(budget_acquire(&budget, &a, 1));
    assert_false(budget_acquire(&budget, &b, 20));
    budget_set_maximum(&budget, 0);
    assert_null(budget_release(&budget, &a));
    assert_int_equal(budget.used, 0);
    QUEUE(&b);
    budget_set_maximum(&budget, 1);
    assert_true(budget_acquire(&budget, &b, 20));
    check_nobody_waits();
}

static void test_a_raised_maximum_is_granted(void **state)
{
    (void)state;
    budget_set_maximum(&budget, 0);
    assert_false(budget_acquire(&budget, &a, 10));
    assert_false(budget_acquire(&budget, &b, 20));
    assert_null(budget_grant(&budget));
    budget_set_maximum(&budget, 3);
    assert_ptr_equal(budget_grant(&budget), a.worker);
    assert_ptr_equal(budget_grant(&budget), b.worker);
    assert_null(budget_grant(&budget)); /* nobody waits */
    assert_int_equal(budget_collect(&budget, &a), 1);
    assert_int_equal(budget_collect(&budget, &b), 1);
    assert_int_equal(budget.used, 2);
    check_nobody_waits();
}

static void test_a_renewed_claim_goes_to_its_place(void **state)
{
    (void)state;
    budget_set_maximum(&budget, 1);
    assert_true(budget_acquire(&budget, &c, 5));
    budget_renew(&budget, &a, 7); /* not queued: nothing */
    assert_false(a.queued);
    assert_false(budget_acquire(&budget, &a, 10));
    assert_false(budget_acquire(&budget, &b, 20));
    QUEUE(&a, &b);
    budget_renew(&budget, &a, 30);
    QUEUE(&b, &a);
    assert_ptr_equal(budget_release(&budget, &c), b.worker);
    QUEUE(&a);
    budget_withdraw(&budget, &a);
    check_nobody_waits();
    assert_int_equal(budget_withdraw(&budget, &b), 1);
}

/* ---- shares ---- */

static void take(struct budget_claim *claim, int count)
{
    for (int i = 0; i < count; i++)
        assert_true(budget_acquire(&budget, claim, 1));
}

/* The slot goes to that claim, which takes it. */
static void hand_over(struct budget_claim *from, struct budget_claim *to)
{
    assert_ptr_equal(budget_release(&budget, from), to->worker);
    assert_int_equal(budget_collect(&budget, to), 1);
}

#define NOW_US 1000000
#define NOBODY INT64_MAX

/* Whether it gives a slot away that came free this moment. */
static bool owes_now(const struct budget_claim *claim, int64_t waits_since_us)
{
    return budget_owes(&budget, claim, waits_since_us, NOW_US, NOW_US);
}

static bool owes_idle(const struct budget_claim *claim, int64_t idle_us)
{
    return budget_owes(&budget, claim, NOBODY, NOW_US - idle_us, NOW_US);
}

static void test_who_has_less_than_a_share_is_next(void **state)
{
    (void)state;
    budget_set_maximum(&budget, 6);
    take(&a, 5);
    take(&b, 1);
    assert_false(budget_acquire(&budget, &a, 10));
    for (int i = 0; i < 2; i++) {
        assert_false(budget_acquire(&budget, &b, 20));
        hand_over(&a, &b);
    }
    assert_false(budget_acquire(&budget, &b, 20)); /* 3 each */
    hand_over(&a, &a);
}

static void test_who_has_more_gives_to_who_has_less(void **state)
{
    (void)state;
    budget_set_maximum(&budget, 4);
    take(&a, 4);
    assert_false(owes_now(&a, NOBODY)); /* nobody wants it */
    for (int i = 0; i < 2; i++) {
        assert_false(budget_acquire(&budget, &b, NOW_US));
        assert_true(owes_now(&a, 1)); /* though it has waited longer */
        hand_over(&a, &b);
    }
    assert_false(budget_acquire(&budget, &b, 1));
    assert_false(owes_now(&a, NOW_US)); /* 2 each: though it has waited less */
    assert_false(owes_now(&b, NOW_US));
}

static void test_a_share_is_kept_for_a_while(void **state)
{
    (void)state;
    budget_set_maximum(&budget, 4);
    take(&a, 2);
    take(&b, 2);
    assert_false(budget_acquire(&budget, &b, 1));
    assert_false(owes_idle(&a, BUDGET_KEPT_US - 1));
    assert_true(owes_idle(&a, BUDGET_KEPT_US));
    budget_release(&budget, &b); /* it is b's again, which has 2 and a third that it waits for */
    take(&b, 1);
    assert_false(budget_acquire(&budget, &c, 1)); /* shares of 1 */
    assert_true(owes_idle(&a, 0));
}

static void test_what_is_left_over_goes_by_age(void **state)
{
    (void)state;
    budget_set_maximum(&budget, 3);
    take(&a, 2);
    take(&b, 1);
    assert_false(budget_acquire(&budget, &b, NOW_US));
    assert_false(owes_now(&a, NOW_US + BUDGET_YIELD_US));
    assert_true(owes_now(&a, NOW_US + BUDGET_YIELD_US + 1));
    assert_true(owes_now(&a, NOBODY));
    assert_false(owes_now(&b, NOBODY)); /* it is the one that waits */
}

static void test_more_pools_than_slots(void **state)
{
    (void)state;
    take(&a, 1);
    assert_false(budget_acquire(&budget, &b, NOW_US));
    assert_true(owes_idle(&a, 0));
    assert_false(owes_now(&a, NOW_US + BUDGET_YIELD_US));
    assert_true(owes_now(&a, NOW_US + BUDGET_YIELD_US + 1));
}

/* ---- threads ---- */

enum { THREADS = 6, SLOTS = 2, ROUNDS = 3000 };

static struct budget_claim claims[THREADS];
static _Atomic int held;
static _Atomic bool too_many;

static void use_slot(void)
{
    if (atomic_fetch_add(&held, 1) >= SLOTS)
        atomic_store(&too_many, true);
    sched_yield();
    atomic_fetch_sub(&held, 1);
}

/* As a pool does: ask, wait for a grant, now and then give up. */
static void *contend(void *argument)
{
    struct budget_claim *claim = argument;
    for (int round = 0; round < ROUNDS; round++) {
        bool got = budget_acquire(&budget, claim, round);
        if (!got && round % 7 == 0) {
            for (int granted = budget_withdraw(&budget, claim); granted > 0; granted--)
                budget_release(&budget, claim);
            continue;
        }
        while (!got) {
            sched_yield();
            got = budget_collect(&budget, claim) > 0 || budget_acquire(&budget, claim, round);
        }
        use_slot();
        budget_release(&budget, claim);
    }
    return NULL;
}

static void test_several_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    budget_set_maximum(&budget, SLOTS);
    for (int i = 0; i < THREADS; i++) {
        budget_claim_init(&claims[i], WORKER(i % 3));
        assert_int_equal(pthread_create(&threads[i], NULL, contend, &claims[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_false(atomic_load(&too_many));
    assert_int_equal(budget.used, 0);
    check_nobody_waits();
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(claims[i].granted, 0);
        assert_false(claims[i].queued);
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_slots_up_to_the_maximum),
        TEST(test_a_slot_that_nobody_waits_for),
        TEST(test_what_is_reserved),
        TEST(test_no_slots_at_all),
        TEST(test_the_queue_is_in_order_of_age),
        TEST(test_claims_of_one_age_are_served_as_they_came),
        TEST(test_a_claim_keeps_its_place),
        TEST(test_release_grants_to_the_oldest),
        TEST(test_nobody_jumps_the_queue),
        TEST(test_one_that_is_older_than_all_who_wait_is_the_first),
        TEST(test_withdraw),
        TEST(test_a_grant_is_taken_before_anything_else),
        TEST(test_a_lower_maximum),
        TEST(test_a_maximum_of_zero_drains),
        TEST(test_a_raised_maximum_is_granted),
        TEST(test_a_renewed_claim_goes_to_its_place),
        TEST(test_who_has_less_than_a_share_is_next),
        TEST(test_who_has_more_gives_to_who_has_less),
        TEST(test_a_share_is_kept_for_a_while),
        TEST(test_what_is_left_over_goes_by_age),
        TEST(test_more_pools_than_slots),
        TEST(test_several_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How fast a team goes, by what others' commits take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/time.h"
#include "move/pace.h"

enum { MB = 1 << 20, BOUND_US = 10 * TIME_MS, MEMBERS = 4 };

static struct pace_decision next(const struct pace_decision *last, bool others, int64_t commit_us,
                                 double bytes_per_s)
{
    const struct pace_seen seen = {
        .others = others, .slowness = (double)commit_us / BOUND_US, .bytes_per_s = bytes_per_s};
    return pace_decide(MEMBERS, last, &seen);
}

static void assert_unbound(const struct pace_decision *decision)
{
    assert_true(decision->bytes_per_s == 0);
    assert_int_equal(decision->members, MEMBERS);
    assert_false(decision->tight);
}

static void test_nobody_else(void **state)
{
    (void)state;
    struct pace_decision decision = pace_begin(MEMBERS, false);
    assert_unbound(&decision);
    /* what a copy does to its own commits is nobody's business */
    decision = next(&decision, false, TIME_S, 500 * MB);
    assert_unbound(&decision);
}

/* Whoever comes later finds it going slowly, as at the beginning; when all are gone it is free. */
static void test_others_come_and_go(void **state)
{
    (void)state;
    struct pace_decision begun = pace_begin(MEMBERS, true);
    assert_true(begun.bytes_per_s > 0);
    assert_int_equal(begun.members, 1);
    struct pace_decision decision = pace_begin(MEMBERS, false);
    decision = next(&decision, true, 1 * TIME_MS, 500 * MB);
    assert_true(decision.bytes_per_s == begun.bytes_per_s);
    assert_int_equal(decision.members, 1);
    decision = next(&decision, false, 1 * TIME_MS, 0);
    assert_unbound(&decision);
}

static void test_quick_commits(void **state)
{
    (void)state;
    struct pace_decision decision = pace_begin(MEMBERS, true);
    double before = decision.bytes_per_s;
    for (int i = 0; i < 10 * PACE_DECISIONS_PER_S; i++)
        decision = next(&decision, true, 2 * TIME_MS, decision.bytes_per_s);
    assert_true(decision.bytes_per_s > 4 * before);
    assert_int_equal(decision.members, MEMBERS);
    assert_false(decision.tight);
    /* what is not used is not raised */
    before = decision.bytes_per_s;
    decision = next(&decision, true, 2 * TIME_MS, before / 4);
    assert_true(decision.bytes_per_s == before);
}

static void test_slow_commits(void **state)
{
    (void)state;
    struct pace_decision decision = pace_begin(MEMBERS, true);
    for (int i = 0; i < 10 * PACE_DECISIONS_PER_S; i++)
        decision = next(&decision, true, 2 * TIME_MS, decision.bytes_per_s);
    double before = decision.bytes_per_s;
    decision = next(&decision, true, BOUND_US + 1, before);
    assert_true(decision.tight && decision.bytes_per_s < before);
    assert_int_equal(decision.members, MEMBERS - 1);
    /* less than went through: else it would take long to be felt */
    before = decision.bytes_per_s;
    decision = next(&decision, true, BOUND_US + 1, before / 2);
    assert_true(decision.bytes_per_s < before / 2);
    /* when nothing went through, of what it may */
    before = decision.bytes_per_s;
    decision = next(&decision, true, BOUND_US + 1, 0);
    assert_true(decision.bytes_per_s > before / 2);
    /* but it goes on, however slow they are */
    for (int i = 0; i < 100; i++)
        decision = next(&decision, true, TIME_S, decision.bytes_per_s);
    assert_true(decision.bytes_per_s >= MB);
    assert_int_equal(decision.members, 1);
}

/* Neither quick nor slow: it stays as it is. */
static void test_in_between(void **state)
{
    (void)state;
    struct pace_decision decision = pace_begin(MEMBERS, true);
    decision = next(&decision, true, BOUND_US + 1, decision.bytes_per_s);
    struct pace_decision then = next(&decision, true, BOUND_US, decision.bytes_per_s);
    assert_false(then.tight);
    assert_true(then.bytes_per_s == decision.bytes_per_s);
    assert_int_equal(then.members, decision.members);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_else),   cmocka_unit_test(test_others_come_and_go),
        cmocka_unit_test(test_quick_commits), cmocka_unit_test(test_slow_commits),
        cmocka_unit_test(test_in_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

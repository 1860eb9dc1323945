/* Timers: order, restarting and stopping, also in callbacks. */
#include "harness.h"

enum { MANY = 1000 };

struct tick {
    struct timer timer;
    struct timer *other; /* stopped when this one expires */
    int64_t again_at;    /* started again when this one expires; 0: not */
    int count;
    int order_value;
};

static int order_next;

static void expired(void *owner)
{
    struct tick *tick = owner;
    assert_false(timer_running(&tick->timer));
    tick->count++;
    tick->order_value = ++order_next;
    if (tick->other)
        timer_stop(tick->other);
    if (tick->again_at)
        timer_start(&tick->timer, tick->again_at);
}

static bool has_ticked(void *argument)
{
    return ((struct tick *)argument)->count > 0;
}

static void tick_init(struct tick *tick, struct engine *engine)
{
    *tick = (struct tick){0};
    timer_init(&tick->timer, engine, expired, tick);
}

static void test_order(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    static struct tick ticks[MANY];
    int64_t now = time_monotonic_us();
    order_next = 0;
    for (int i = 0; i < MANY; i++) {
        tick_init(&ticks[i], engine);
        /* Every deadline once, in a scattered order. */
        timer_start(&ticks[i].timer, now - MANY + (i * 7919) % MANY);
        assert_true(timer_running(&ticks[i].timer));
    }
    for (int i = 0; i < MANY; i += 3)
        timer_stop(&ticks[i].timer);
    /* Moved behind and in front of all. */
    timer_start(&ticks[1].timer, now + 1);
    timer_start(&ticks[2].timer, now - 2 * MANY);
    run_until(engine, has_ticked, &ticks[1]);
    assert_int_equal(ticks[2].order_value, 1);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(ticks[i].count, i % 3 != 0);
        for (int j = 4; j < MANY && i > 2 && i % 3 != 0; j += 101) {
            if (j % 3 != 0 && (i * 7919) % MANY < (j * 7919) % MANY)
                assert_true(ticks[i].order_value < ticks[j].order_value);
        }
    }
    engine_free(engine);
}

static void test_waits_until_deadline(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    struct tick tick;
    tick_init(&tick, engine);
    int64_t deadline = time_monotonic_us() + 20 * TIME_MS;
    timer_start(&tick.timer, deadline);
    run_until(engine, has_ticked, &tick);
    assert_true(time_monotonic_us() >= deadline);
    assert_true(engine_now_us(engine) >= deadline);
    assert_int_equal(tick.count, 1);
    assert_false(timer_running(&tick.timer));
    engine_free(engine);
}

static void test_stop_and_restart_in_callback(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    struct tick first;
    struct tick second;
    struct tick third;
    tick_init(&first, engine);
    tick_init(&second, engine);
    tick_init(&third, engine);
    first.other = &second.timer;
    first.again_at = time_monotonic_us() + 3600LL * TIME_S;
    timer_start(&first.timer, 1);
    timer_start(&second.timer, 2);
    timer_start(&third.timer, 3);
    run_until(engine, has_ticked, &third);
    assert_int_equal(first.count, 1);
    assert_int_equal(second.count, 0);
    assert_true(timer_running(&first.timer));
    assert_int_equal(first.timer.deadline_us, first.again_at);
    assert_false(timer_running(&second.timer));
    timer_stop(&second.timer); /* one that does not run */
    timer_stop(&first.timer);
    engine_free(engine);
}

/* A timer that always starts again in the past does not stop the others. */
static void test_past_deadline_is_no_loop(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    struct tick busy;
    struct tick other;
    tick_init(&busy, engine);
    tick_init(&other, engine);
    busy.again_at = 1;
    timer_start(&busy.timer, 1);
    timer_start(&other.timer, time_monotonic_us() + 5 * TIME_MS);
    run_until(engine, has_ticked, &other);
    assert_true(busy.count > 1);
    timer_stop(&busy.timer);
    engine_free(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_waits_until_deadline),
        cmocka_unit_test(test_stop_and_restart_in_callback),
        cmocka_unit_test(test_past_deadline_is_no_loop),
    };
    int refused = check_engine();
    return refused ? refused : cmocka_run_group_tests(tests, NULL, NULL);
}

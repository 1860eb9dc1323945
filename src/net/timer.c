/*
 * timer.c - a binary heap, the earliest deadline at index 1; index 0 is not used, as it means that
 * a timer is not running.
 */
#include "net/internal.h"

#include "base/time.h"

static void put(struct engine *engine, size_t index, struct timer *timer)
{
    engine->heap[index] = timer;
    timer->heap_index = index;
}

static void sift_up(struct engine *engine, struct timer *timer)
{
    size_t index = timer->heap_index;
    while (index > 1 && engine->heap[index / 2]->deadline_us > timer->deadline_us) {
        put(engine, index, engine->heap[index / 2]);
        index /= 2;
    }
    put(engine, index, timer);
}

static void sift_down(struct engine *engine, struct timer *timer)
{
    size_t index = timer->heap_index;
    for (;;) {
        size_t child = index * 2;
        if (child > engine->heap_count)
            break;
        if (child < engine->heap_count &&
            engine->heap[child + 1]->deadline_us < engine->heap[child]->deadline_us)
            child++;
        if (engine->heap[child]->deadline_us >= timer->deadline_us)
            break;
        put(engine, index, engine->heap[child]);
        index = child;
    }
    put(engine, index, timer);
}

static void sift(struct engine *engine, struct timer *timer)
{
    sift_up(engine, timer);
    sift_down(engine, timer);
}

static void append(struct engine *engine, struct timer *timer)
{
    if (engine->heap_count + 1 >= engine->heap_capacity) {
        size_t capacity = engine->heap_capacity ? engine->heap_capacity * 2 : 64;
        engine->heap = xrealloc(engine->heap, capacity * sizeof(struct timer *));
        engine->heap_capacity = capacity;
    }
    put(engine, ++engine->heap_count, timer);
}

void timer_init(struct timer *timer, struct engine *engine, void (*expired)(void *owner),
                void *owner)
{
    *timer = (struct timer){.engine = engine, .expired = expired, .owner = owner};
}

void timer_start(struct timer *timer, int64_t deadline_us)
{
    const struct engine *engine = timer->engine;
    /* One that is started again with a deadline in the past has to wait a turn. */
    if (engine->expiring && deadline_us <= engine->now_us)
        deadline_us = engine->now_us + 1;
    timer->deadline_us = deadline_us;
    if (!timer_running(timer))
        append(timer->engine, timer);
    sift(timer->engine, timer);
}

void timer_stop(struct timer *timer)
{
    if (!timer_running(timer))
        return;
    struct engine *engine = timer->engine;
    struct timer *last = engine->heap[engine->heap_count--];
    if (last != timer) {
        put(engine, timer->heap_index, last);
        sift(engine, last);
    }
    timer->heap_index = 0;
}

bool timer_running(const struct timer *timer)
{
    return timer->heap_index > 0;
}

void engine_expire_timers(struct engine *engine)
{
    engine->expiring = true;
    while (engine->heap_count > 0 && engine->heap[1]->deadline_us <= engine->now_us) {
        struct timer *timer = engine->heap[1];
        timer_stop(timer);
        timer->expired(timer->owner);
        engine_flush_forgotten(engine);
    }
    engine->expiring = false;
}

int64_t engine_timer_wait_us(const struct engine *engine)
{
    if (engine->heap_count == 0)
        return -1;
    int64_t wait_us = engine->heap[1]->deadline_us - time_monotonic_us();
    return wait_us > 0 ? wait_us : 0;
}

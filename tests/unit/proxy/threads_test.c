/* Threads for what may block: every task is run once, up to the maximum at a time. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/threads.h"

enum { TASKS = 200 };

/* Tasks say how far they are; the test waits for it. Under `lock`. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int running, most_running, done, next_in_order;
static bool open_gate, in_order;

struct counted {
    struct task task;
    int number, runs;
    struct threads *threads;
    struct counted *then; /* a task that this one asks for */
    bool masked;          /* no signal reaches it */
};

static int set_up(void **state)
{
    (void)state;
    running = most_running = done = next_in_order = 0;
    open_gate = false;
    in_order = true;
    return 0;
}

static void begin(void)
{
    pthread_mutex_lock(&lock);
    running++;
    if (running > most_running)
        most_running = running;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void end(struct counted *counted)
{
    pthread_mutex_lock(&lock);
    in_order = in_order && counted->number == next_in_order;
    next_in_order = counted->number + 1;
    counted->runs++;
    running--;
    done++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void run_quickly(struct task *task)
{
    begin();
    end(container_of(task, struct counted, task));
}

static void run_till_opened(struct task *task)
{
    begin();
    pthread_mutex_lock(&lock);
    while (!open_gate)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    end(container_of(task, struct counted, task));
}

static void open_the_gate(void)
{
    pthread_mutex_lock(&lock);
    open_gate = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_for(const int *counter, int wanted)
{
    pthread_mutex_lock(&lock);
    while (*counter < wanted)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void run_all(struct threads *threads, struct counted *tasks, int count,
                    void (*run)(struct task *task))
{
    for (int i = 0; i < count; i++) {
        tasks[i] = (struct counted){.task.run = run, .number = i, .threads = threads};
        threads_run(threads, &tasks[i].task);
    }
}

static void check_each_ran_once(const struct counted *tasks, int count)
{
    assert_int_equal(done, count);
    assert_int_equal(running, 0);
    for (int i = 0; i < count; i++)
        assert_int_equal(tasks[i].runs, 1);
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    threads_free(NULL);
    threads_free(threads_new("idle", 4));
}

static void test_tasks_run(void **state)
{
    (void)state;
    struct counted tasks[TASKS];
    struct threads *threads = threads_new("a name that is longer than a thread's", 4);
    run_all(threads, tasks, TASKS, run_quickly);
    wait_for(&done, TASKS);
    check_each_ran_once(tasks, TASKS);
    /* And others after a rest. */
    done = 0;
    run_all(threads, tasks, TASKS, run_quickly);
    wait_for(&done, TASKS);
    threads_free(threads);
    check_each_ran_once(tasks, TASKS);
}

static void test_one_thread_keeps_the_order(void **state)
{
    (void)state;
    struct counted tasks[TASKS];
    struct threads *threads = threads_new("one", 1);
    run_all(threads, tasks, TASKS, run_quickly);
    threads_free(threads);
    check_each_ran_once(tasks, TASKS);
    assert_true(in_order);
    assert_int_equal(most_running, 1);
}

/* As many threads as there are tasks that block, and never more than the maximum. */
static void test_blocked_tasks_do_not_hold_up_others(void **state)
{
    (void)state;
    struct counted tasks[8];
    struct threads *threads = threads_new("blocked", 4);
    run_all(threads, tasks, 8, run_till_opened);
    wait_for(&running, 4); /* comes to an end only if four threads are made */
    open_the_gate();
    threads_free(threads);
    check_each_ran_once(tasks, 8);
    assert_int_equal(most_running, 4);
}

/* What waits for one server leaves threads to what waits for another, or for none. */
static void test_one_key_has_half_of_the_threads(void **state)
{
    (void)state;
    enum { STUCK = 20 };
    struct counted stuck[STUCK];
    struct counted others[2];
    struct threads *threads = threads_new("keys", 4);
    for (int i = 0; i < STUCK; i++) {
        stuck[i] = (struct counted){.task = {.run = run_till_opened, .key = 7}, .number = i};
        threads_run(threads, &stuck[i].task);
    }
    wait_for(&running, 2);
    for (int i = 0; i < 2; i++) {
        others[i] = (struct counted){.task = {.run = run_quickly, .key = i == 0 ? 8 : 0}};
        threads_run(threads, &others[i].task);
    }
    wait_for(&done, 2); /* comes to an end only if two threads are left */
    done = most_running = 0;
    open_the_gate();
    wait_for(&done, STUCK);
    assert_in_range(most_running, 0, 2);
    threads_free(threads);
    check_each_ran_once(stuck, STUCK);
}

/* The queue is long and every thread is busy when the end comes. */
static void test_tasks_that_are_queued_at_the_end_still_run(void **state)
{
    (void)state;
    struct counted tasks[TASKS];
    struct threads *threads = threads_new("end", 2);
    run_all(threads, tasks, TASKS, run_till_opened);
    wait_for(&running, 2);
    assert_int_equal(done, 0);
    open_the_gate();
    threads_free(threads);
    check_each_ran_once(tasks, TASKS);
}

static void run_and_ask_for_more(struct task *task)
{
    struct counted *counted = container_of(task, struct counted, task);
    struct counted *then = counted->then;
    run_till_opened(task);
    if (then)
        threads_run(then->threads, &then->task);
}

/* Tasks that are asked for while the end is under way: nothing is lost and no thread left over. */
static void test_a_task_may_ask_for_another_at_the_end(void **state)
{
    (void)state;
    enum { CHAIN = 50 };
    struct counted tasks[CHAIN];
    struct threads *threads = threads_new("chain", 8);
    for (int i = 0; i < CHAIN; i++)
        tasks[i] = (struct counted){.task.run = run_and_ask_for_more,
                                    .number = i,
                                    .threads = threads,
                                    .then = i + 1 < CHAIN ? &tasks[i + 1] : NULL};
    threads_run(threads, &tasks[0].task);
    wait_for(&running, 1);
    open_the_gate();
    threads_free(threads);
    check_each_ran_once(tasks, CHAIN);
    assert_true(in_order);
}

static void look_at_signals(struct task *task)
{
    struct counted *counted = container_of(task, struct counted, task);
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    counted->masked = sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGHUP) == 1 &&
                      sigismember(&blocked, SIGINT) == 1;
    run_quickly(task);
}

static void test_threads_take_no_signals(void **state)
{
    (void)state;
    struct counted task;
    sigset_t before;
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    struct threads *threads = threads_new("signals", 1);
    run_all(threads, &task, 1, look_at_signals);
    threads_free(threads);
    assert_true(task.masked);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

static void test_the_maximum_is_bounded(void **state)
{
    (void)state;
    struct counted tasks[TASKS];
    struct threads *threads = threads_new("many", 100000);
    run_all(threads, tasks, TASKS, run_till_opened);
    wait_for(&running, 64);
    open_the_gate();
    threads_free(threads);
    check_each_ran_once(tasks, TASKS);
    assert_int_equal(most_running, 64);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup(function, set_up)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_to_do),
        TEST(test_tasks_run),
        TEST(test_one_thread_keeps_the_order),
        TEST(test_blocked_tasks_do_not_hold_up_others),
        TEST(test_one_key_has_half_of_the_threads),
        TEST(test_tasks_that_are_queued_at_the_end_still_run),
        TEST(test_a_task_may_ask_for_another_at_the_end),
        TEST(test_threads_take_no_signals),
        TEST(test_the_maximum_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

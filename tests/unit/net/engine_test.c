/* The loop itself. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

struct idle {
    struct engine *engine;
    int turns;
    int64_t cpu_us;
};

static void count_turn(void *owner)
{
    ((struct idle *)owner)->turns++;
}

static void stop_idle(void *owner)
{
    engine_stop(((struct idle *)owner)->engine);
}

static void ignore_letter(void *owner reeve_unused, struct letter *letter reeve_unused)
{
}

static void ignore_client(void *owner reeve_unused, int fd)
{
    close(fd);
}

static int64_t thread_cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * TIME_S + now.tv_nsec / 1000;
}

/* With everything that it can have, and nothing to do, it sleeps: also with a paused stream that
 * has bytes, one whose peer has gone, and one that waits for a full socket. */
static void test_idle(void **state reeve_unused)
{
    struct idle idle = {.engine = make_engine()};
    struct engine *engine = idle.engine;
    struct error err;
    struct mailbox *mailbox = NULL;
    struct listener *listener = NULL;
    struct peer peers[4];
    int pairs[4][2];
    int listening = -1;
    static char much[4 << 20];
    assert_int_equal(net_listen_tcp("127.0.0.1", 0, &listening, 1, &err), 1);
    assert_int_equal(listener_create(engine, listening, ignore_client, NULL, &listener, &err), 0);
    assert_int_equal(mailbox_create(engine, ignore_letter, NULL, &mailbox, &err), 0);
    for (int i = 0; i < 4; i++) {
        make_pair(pairs[i]);
        peer_open(&peers[i], engine, pairs[i][0], NULL, false);
    }
    stream_pause_read(peers[0].stream);
    write_all(pairs[0][1], "x", 1);
    close(pairs[1][1]);
    stream_write(peers[2].stream, much, sizeof(much));
    peers[3].take_at_most = 0;
    write_all(pairs[3][1], "part of a message", 17);
    run_until_closed(&peers[1]);
    run_turns(engine, 5);

    struct timer end;
    timer_init(&end, engine, stop_idle, &idle);
    timer_start(&end, time_monotonic_us() + 150 * TIME_MS);
    engine_on_turn_end(engine, count_turn, &idle);
    int64_t begun = thread_cpu_us();
    engine_run(engine);
    assert_true(thread_cpu_us() - begun < 50 * TIME_MS);
    assert_in_range(idle.turns, 1, 2);
    engine_on_turn_end(engine, NULL, NULL);

    for (int i = 0; i < 4; i++) {
        peer_end(&peers[i]);
        if (i != 1)
            close(pairs[i][1]);
    }
    mailbox_free(mailbox);
    listener_close(listener);
    close(listening);
    engine_free(engine);
}

static struct engine *signalled;

static void on_signal(int number reeve_unused)
{
    engine_stop(signalled);
}

static void send_signal(void *owner reeve_unused)
{
    raise(SIGUSR1);
}

static void test_stop_in_signal_handler(void **state reeve_unused)
{
    struct timer timer;
    struct sigaction action = {.sa_handler = on_signal};
    signalled = make_engine();
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    timer_init(&timer, signalled, send_signal, NULL);
    timer_start(&timer, 0);
    engine_run(signalled);
    engine_free(signalled);
}

static atomic_int signals_seen;
static atomic_bool all_sent;

static void note_signal(int number reeve_unused)
{
    atomic_fetch_add(&signals_seen, 1);
}

static void *send_signals(void *argument)
{
    for (int i = 0; i < 200; i++) {
        pthread_kill(*(pthread_t *)argument, SIGUSR2);
        sched_yield();
    }
    atomic_store(&all_sent, true);
    return NULL;
}

struct sleeper {
    struct timer timer;
    int count;
};

static void sleep_again(void *owner)
{
    struct sleeper *sleeper = owner;
    sleeper->count++;
    timer_start(&sleeper->timer, time_monotonic_us() + 5 * TIME_MS);
}

static bool has_slept(void *argument)
{
    return atomic_load(&all_sent) && ((struct sleeper *)argument)->count > 3;
}

/* A signal that interrupts the sleep is no event, and no end. */
static void test_interrupted_sleep(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    struct sigaction action = {.sa_handler = note_signal};
    struct sleeper sleeper = {0};
    pthread_t self = pthread_self();
    pthread_t thread;
    assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
    timer_init(&sleeper.timer, engine, sleep_again, &sleeper);
    timer_start(&sleeper.timer, time_monotonic_us() + 5 * TIME_MS);
    assert_int_equal(pthread_create(&thread, NULL, send_signals, &self), 0);
    run_until(engine, has_slept, &sleeper);
    pthread_join(thread, NULL);
    assert_true(atomic_load(&signals_seen) > 0);
    timer_stop(&sleeper.timer);
    engine_free(engine);
}

static void test_making(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    assert_string_equal(engine_name(engine), engine_kind_name(kind_under_test()));
    assert_true(engine_now_us(engine) > 0);
    engine_free(engine);
    engine_free(NULL);
    struct engine *none = NULL;
    struct error err;
    assert_int_equal(engine_create((enum engine_kind)99, &none, &err), -ERROR_UNSUPPORTED);
    assert_null(none);
}

static void test_stream_of_a_bad_descriptor(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    struct stream *stream = NULL;
    struct error err;
    assert_int_equal(stream_create(engine, -1, NULL, false, &peer_events, NULL, &stream, &err),
                     -ERROR_IO);
    assert_null(stream);
    engine_free(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_stop_in_signal_handler),
        cmocka_unit_test(test_interrupted_sleep),
        cmocka_unit_test(test_making),
        cmocka_unit_test(test_stream_of_a_bad_descriptor),
    };
    int refused = check_engine();
    return refused ? refused : cmocka_run_group_tests(tests, NULL, NULL);
}

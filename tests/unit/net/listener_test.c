/* Accepting: shared by engines, short of descriptors, closed in its callback. */
#include "harness.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 200, CLIENTS_MAX = 20000, WORKERS = 2 };

struct door {
    struct engine *engine;
    struct listener *listener;
    int fds[CLIENTS_MAX];
    atomic_int count;
    bool close_when_called;
    atomic_int *total;
};

static void accepted(void *owner, int fd)
{
    struct door *door = owner;
    door->fds[door->count++] = fd;
    if (door->total)
        atomic_fetch_add(door->total, 1);
    if (door->close_when_called)
        listener_close(take_pointer(door->listener));
}

static void door_open(struct door *door, int fd)
{
    struct error err;
    *door = (struct door){.engine = make_engine()};
    assert_int_equal(listener_create(door->engine, fd, accepted, door, &door->listener, &err), 0);
}

static void door_end(struct door *door)
{
    listener_close(door->listener);
    while (door->count > 0)
        close(door->fds[--door->count]);
    engine_free(door->engine);
}

static int listen_somewhere(int *ret_port)
{
    struct error err;
    int fd = -1;
    assert_int_equal(net_listen_tcp("127.0.0.1", 0, &fd, 1, &err), 1);
    *ret_port = net_local_port(fd);
    return fd;
}

static int start_connect(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static bool has_one(void *argument)
{
    return ((struct door *)argument)->count >= 1;
}

static bool has_all(void *argument)
{
    return ((struct door *)argument)->count == 100;
}

static void test_accepts(void **state reeve_unused)
{
    int port;
    int fd = listen_somewhere(&port);
    struct door door;
    int clients[100];
    door_open(&door, fd);
    for (size_t i = 0; i < array_size(clients); i++)
        clients[i] = start_connect(port);
    run_until(door.engine, has_all, &door);
    int on = 0;
    socklen_t size = sizeof(on);
    assert_int_equal(getsockopt(door.fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    assert_true(on);
    assert_true(fcntl(door.fds[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(door.fds[0], F_GETFD) & FD_CLOEXEC);
    for (size_t i = 0; i < array_size(clients); i++)
        close(clients[i]);
    door_end(&door);
    close(fd);
}

static void test_close_in_callback(void **state reeve_unused)
{
    int port;
    int fd = listen_somewhere(&port);
    struct door door;
    int clients[3];
    door_open(&door, fd);
    door.close_when_called = true;
    for (size_t i = 0; i < array_size(clients); i++)
        clients[i] = start_connect(port);
    run_until(door.engine, has_one, &door);
    run_turns(door.engine, 5);
    assert_int_equal(door.count, 1);
    /* The others wait for somebody else. */
    int next = accept(fd, NULL, NULL);
    assert_true(next >= 0);
    close(next);
    for (size_t i = 0; i < array_size(clients); i++)
        close(clients[i]);
    door_end(&door);
    close(fd);
}

struct closing {
    struct door door;
    struct mailbox *mailbox;
    struct letter letter;
};

static void close_door(void *owner, struct letter *letter reeve_unused)
{
    struct closing *closing = owner;
    listener_close(take_pointer(closing->door.listener));
}

/* By a letter of the very turn in which the engine was told of a client, too. */
static void test_close_beside_a_client(void **state reeve_unused)
{
    int port;
    int fd = listen_somewhere(&port);
    struct closing closing = {0};
    struct error err;
    door_open(&closing.door, fd);
    struct engine *engine = closing.door.engine;
    assert_int_equal(mailbox_create(engine, close_door, &closing, &closing.mailbox, &err), 0);
    run_turns(engine, 2);
    mailbox_post(closing.mailbox, &closing.letter);
    int client = start_connect(port);
    run_turns(engine, 5);
    assert_null(closing.door.listener);
    assert_int_equal(closing.door.count, 0);
    int next = accept(fd, NULL, NULL);
    assert_true(next >= 0);
    close(next);
    close(client);
    mailbox_free(closing.mailbox);
    door_end(&closing.door);
    close(fd);
}

static bool is_resting(void *argument)
{
    /* It has been woken in the first turn, and nothing else has happened. */
    return ++*(int *)argument > 3;
}

/* Without descriptors it rests instead of spinning, and goes on when there are some. */
static void test_short_of_descriptors(void **state reeve_unused)
{
    int port;
    int fd = listen_somewhere(&port);
    struct door door;
    struct rlimit old;
    door_open(&door, fd);
    int client = start_connect(port);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int next = dup(0);
    close(next);
    struct rlimit limit = {.rlim_cur = (rlim_t)next, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int turns = 0;
    int64_t begun = time_monotonic_us();
    run_until(door.engine, is_resting, &turns);
    assert_true(time_monotonic_us() - begun >= 100 * TIME_MS);
    assert_int_equal(door.count, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    run_until(door.engine, has_one, &door);
    close(client);
    door_end(&door);
    close(fd);
}

static void *run_door(void *argument)
{
    engine_run(((struct door *)argument)->engine);
    return NULL;
}

/* Each is woken in its turn: none accepts all, none is left out. */
static bool all_have(struct door *doors, int count)
{
    for (int i = 0; i < WORKERS; i++) {
        if (atomic_load(&doors[i].count) < count)
            return false;
    }
    return true;
}

/* On a busy machine one of them may sleep for many a client, but not for ever. */
static void test_shared(void **state reeve_unused)
{
    int port;
    int fd = listen_somewhere(&port);
    struct door doors[WORKERS];
    pthread_t threads[WORKERS];
    atomic_int total = 0;
    for (int i = 0; i < WORKERS; i++) {
        door_open(&doors[i], fd);
        doors[i].total = &total;
        assert_int_equal(pthread_create(&threads[i], NULL, run_door, &doors[i]), 0);
    }
    int64_t deadline = time_monotonic_us() + DEADLINE_US;
    int clients = 0;
    for (; clients < CLIENTS || (!all_have(doors, CLIENTS / 10) && clients < CLIENTS_MAX);
         clients++) {
        close(start_connect(port));
        while (atomic_load(&total) <= clients && time_monotonic_us() < deadline)
            sched_yield();
    }
    assert_int_equal(atomic_load(&total), clients);
    assert_true(all_have(doors, CLIENTS / 10));
    for (int i = 0; i < WORKERS; i++) {
        engine_stop(doors[i].engine);
        pthread_join(threads[i], NULL);
        door_end(&doors[i]);
    }
    close(fd);
}

static void test_not_listening(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    struct listener *listener = NULL;
    struct error err;
    assert_int_equal(listener_create(engine, -1, accepted, NULL, &listener, &err), -ERROR_IO);
    assert_null(listener);
    listener_close(NULL);
    engine_free(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_close_in_callback),
        cmocka_unit_test(test_close_beside_a_client),
        cmocka_unit_test(test_short_of_descriptors),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_not_listening),
    };
    int refused = check_engine();
    return refused ? refused : cmocka_run_group_tests(tests, NULL, NULL);
}

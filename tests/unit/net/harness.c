#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- running ---- */

enum engine_kind kind_under_test(void)
{
    const char *name = getenv("REEVE_ENGINE");
    return name && strcmp(name, "io_uring") == 0 ? ENGINE_IO_URING : ENGINE_EPOLL;
}

int check_engine(void)
{
    enum engine_kind kind;
    struct error err;
    if (engine_choose(kind_under_test(), &kind, NULL, &err) == 0)
        return 0;
    fprintf(stderr, "skipped: %s\n", err.message);
    return SKIPPED;
}

struct engine *make_engine(void)
{
    struct engine *engine = NULL;
    struct error err;
    assert_int_equal(engine_create(kind_under_test(), &engine, &err), 0);
    return engine;
}

struct wait {
    struct engine *engine;
    bool (*condition)(void *argument);
    void *argument;
    bool late;
};

static void check_condition(void *owner)
{
    struct wait *wait = owner;
    if (wait->late || wait->condition(wait->argument))
        engine_stop(wait->engine);
}

static void deadline_passed(void *owner)
{
    ((struct wait *)owner)->late = true;
}

void run_until(struct engine *engine, bool (*condition)(void *argument), void *argument)
{
    struct wait wait = {.engine = engine, .condition = condition, .argument = argument};
    struct timer deadline;
    if (condition(argument))
        return;
    timer_init(&deadline, engine, deadline_passed, &wait);
    timer_start(&deadline, time_monotonic_us() + DEADLINE_US);
    engine_on_turn_end(engine, check_condition, &wait);
    engine_run(engine);
    engine_on_turn_end(engine, NULL, NULL);
    timer_stop(&deadline);
    assert_false(wait.late);
}

static bool is_true(void *argument)
{
    return *(bool *)argument;
}

void run_until_true(struct engine *engine, bool *flag)
{
    run_until(engine, is_true, flag);
}

struct turns {
    struct timer timer;
    int left;
};

static void turn_over(void *owner)
{
    struct turns *turns = owner;
    if (--turns->left > 0)
        timer_start(&turns->timer, 0);
}

static bool no_turns_left(void *argument)
{
    return ((struct turns *)argument)->left <= 0;
}

void run_turns(struct engine *engine, int count)
{
    struct turns turns = {.left = count};
    timer_init(&turns.timer, engine, turn_over, &turns);
    timer_start(&turns.timer, 0);
    run_until(engine, no_turns_left, &turns);
}

/* ---- sockets ---- */

static void make_non_blocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

void make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

void make_tcp_pair(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &size), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&address, sizeof(address)), 0);
    fds[1] = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    make_non_blocking(fds[0]);
    make_non_blocking(fds[1]);
    close(listening);
}

static void wait_for(int fd, short events)
{
    struct pollfd entry = {.fd = fd, .events = events};
    int ready;
    do
        ready = poll(&entry, 1, DEADLINE_US / TIME_MS);
    while (ready < 0 && errno == EINTR);
    assert_int_equal(ready, 1);
}

void write_all(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t written = send(fd, at, length, MSG_NOSIGNAL);
        if (written < 0) {
            assert_int_equal(errno, EAGAIN);
            wait_for(fd, POLLOUT);
            continue;
        }
        at += written;
        length -= (size_t)written;
    }
}

void read_all(int fd, void *bytes, size_t length)
{
    char *at = bytes;
    while (length > 0) {
        ssize_t got = recv(fd, at, length, 0);
        if (got < 0) {
            assert_int_equal(errno, EAGAIN);
            wait_for(fd, POLLIN);
            continue;
        }
        assert_true(got > 0);
        at += got;
        length -= (size_t)got;
    }
}

bool at_end(int fd)
{
    char byte;
    wait_for(fd, POLLIN);
    return recv(fd, &byte, 1, 0) == 0;
}

void fill(char *bytes, size_t length, uint32_t seed)
{
    uint32_t value = seed * 2654435761U + 1;
    for (size_t i = 0; i < length; i++) {
        value ^= value << 13;
        value ^= value >> 17;
        value ^= value << 5;
        bytes[i] = (char)(value >> 24);
    }
}

/* ---- a recording owner ---- */

static size_t received(void *owner, const char *bytes, size_t length)
{
    struct peer *peer = owner;
    peer->received_count++;
    peer->last_length = length;
    assert_false(peer->closed);
    assert_true(length > 0 && length <= STREAM_READ_SIZE);
    if (peer->on_received)
        return peer->on_received(peer, bytes, length);
    if (peer->pause_when_called)
        stream_pause_read(peer->stream);
    size_t taken = length < peer->take_at_most ? length : peer->take_at_most;
    buffer_append(&peer->input, bytes, taken);
    return taken;
}

static void drained(void *owner)
{
    struct peer *peer = owner;
    peer->drained_count++;
    peer->drained = true;
    assert_int_equal(stream_pending(peer->stream), 0);
    if (peer->on_drained)
        peer->on_drained(peer);
}

static void secured(void *owner)
{
    struct peer *peer = owner;
    peer->secured_count++;
    peer->secured = true;
}

static void closed(void *owner, const struct error *reason)
{
    struct peer *peer = owner;
    peer->closed_count++;
    peer->closed = true;
    peer->reason = *reason;
    if (peer->on_closed)
        peer->on_closed(peer);
}

const struct stream_events peer_events = {
    .received = received, .drained = drained, .secured = secured, .closed = closed};

void peer_init(struct peer *peer, struct engine *engine)
{
    *peer = (struct peer){.engine = engine, .take_at_most = SIZE_MAX};
    buffer_init(&peer->input, 256U << 20);
}

void peer_open(struct peer *peer, struct engine *engine, int fd, SSL *ssl, bool ssl_owned)
{
    struct error err;
    peer_init(peer, engine);
    assert_int_equal(
        stream_create(engine, fd, ssl, ssl_owned, &peer_events, peer, &peer->stream, &err), 0);
}

void peer_end(struct peer *peer)
{
    stream_close(take_pointer(peer->stream));
    buffer_free(&peer->input);
}

struct goal {
    struct peer *peer;
    size_t length;
    int calls;
};

static bool has_input(void *argument)
{
    struct goal *goal = argument;
    return goal->peer->input.length >= goal->length;
}

void run_until_input(struct peer *peer, size_t length)
{
    run_until(peer->engine, has_input, &(struct goal){.peer = peer, .length = length});
}

void run_until_closed(struct peer *peer)
{
    run_until_true(peer->engine, &peer->closed);
}

static bool was_called(void *argument)
{
    struct goal *goal = argument;
    return goal->peer->received_count >= goal->calls;
}

void run_until_calls(struct peer *peer, int count)
{
    run_until(peer->engine, was_called, &(struct goal){.peer = peer, .calls = count});
}

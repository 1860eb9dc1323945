/* Plain streams: what is read, what is written, and how they end. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LARGE = 8 << 20 };

static char large[LARGE];
static char copy[LARGE];

/* A stream and the other end of its socket. */
struct fixture {
    struct engine *engine;
    struct peer peer;
    int far;
};

/* The kernel may give what goes from one to the other more room than there are bytes in a test. */
static void limit_room(const int fds[2])
{
    int size = STREAM_READ_SIZE;
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static void open_fixture(struct fixture *fixture, bool tcp)
{
    int fds[2];
    if (tcp)
        make_tcp_pair(fds);
    else
        make_pair(fds);
    limit_room(fds);
    fixture->engine = make_engine();
    peer_open(&fixture->peer, fixture->engine, fds[0], NULL, false);
    fixture->far = fds[1];
}

static void close_fixture(struct fixture *fixture)
{
    peer_end(&fixture->peer);
    if (fixture->far >= 0)
        close(fixture->far);
    engine_free(fixture->engine);
}

/* ---- input ---- */

static void test_receive(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    write_all(f.far, "hello", 5);
    run_until_input(&f.peer, 5);
    assert_string_equal(buffer_string(&f.peer.input), "hello");
    assert_int_equal(f.peer.received_count, 1);
    assert_null(stream_ssl(f.peer.stream));
    assert_true(stream_fd(f.peer.stream) >= 0);
    close_fixture(&f);
}

static size_t take_two(struct peer *peer, const char *bytes, size_t length)
{
    size_t taken = length < 2 ? 0 : 2;
    buffer_append(&peer->input, bytes, taken);
    return taken;
}

/* What is left is given again with what comes next, in one piece; never on its own. */
static void test_partial_consume(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    f.peer.on_received = take_two;
    write_all(f.far, "abc", 3);
    run_until_calls(&f.peer, 1);
    run_turns(f.engine, 3);
    assert_int_equal(f.peer.received_count, 1);
    write_all(f.far, "de", 2);
    run_until_calls(&f.peer, 2);
    assert_int_equal(f.peer.last_length, 3);
    assert_string_equal(buffer_string(&f.peer.input), "abcd");
    close_fixture(&f);
}

static size_t take_all_or_nothing(struct peer *peer, const char *bytes, size_t length)
{
    if (length < (size_t)(uintptr_t)peer->argument)
        return 0;
    buffer_append(&peer->input, bytes, length);
    return length;
}

/* A message as large as a read arrives byte by byte. */
static void test_gathers_a_whole_read(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    f.peer.on_received = take_all_or_nothing;
    f.peer.argument = (void *)(uintptr_t)STREAM_READ_SIZE;
    fill(large, STREAM_READ_SIZE, 1);
    size_t sent = 0;
    for (int calls = 1; sent < STREAM_READ_SIZE; calls++) {
        size_t length = STREAM_READ_SIZE - sent < 5000 ? STREAM_READ_SIZE - sent : 5000;
        write_all(f.far, large + sent, length);
        sent += length;
        run_until_calls(&f.peer, calls);
        assert_int_equal(f.peer.last_length, sent);
    }
    assert_int_equal(f.peer.input.length, STREAM_READ_SIZE);
    assert_memory_equal(f.peer.input.data, large, STREAM_READ_SIZE);
    close_fixture(&f);
}

static size_t take_none(struct peer *peer reeve_unused, const char *bytes reeve_unused,
                        size_t length reeve_unused)
{
    return 0;
}

static void test_unconsumed_is_a_defect(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    f.peer.on_received = take_none;
    write_all(f.far, large, STREAM_READ_SIZE);
    run_until_closed(&f.peer);
    assert_int_equal(f.peer.reason.code, -ERROR_INTERNAL);
    assert_string_equal(f.peer.reason.message, "input was left unconsumed without a pause");
    close_fixture(&f);
}

static void test_pause_and_resume(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    f.peer.pause_when_called = true;
    f.peer.take_at_most = 3;
    write_all(f.far, "abcdef", 6);
    run_until_calls(&f.peer, 1);
    assert_true(stream_read_paused(f.peer.stream));
    write_all(f.far, "gh", 2);
    run_turns(f.engine, 5);
    assert_int_equal(f.peer.received_count, 1);

    /* Not before the turn's end. */
    f.peer.take_at_most = SIZE_MAX;
    stream_resume_read(f.peer.stream);
    assert_int_equal(f.peer.received_count, 1);
    assert_false(stream_read_paused(f.peer.stream));
    run_until_input(&f.peer, 8);
    assert_string_equal(buffer_string(&f.peer.input), "abcdefgh");
    close_fixture(&f);
}

/* What is kept is given again without anything new. */
static void test_resume_redelivers(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    f.peer.pause_when_called = true;
    f.peer.take_at_most = 0;
    fill(large, STREAM_READ_SIZE, 2);
    write_all(f.far, large, STREAM_READ_SIZE); /* a whole read may be left, when paused */
    run_until_calls(&f.peer, 1);
    f.peer.take_at_most = SIZE_MAX;
    stream_resume_read(f.peer.stream);
    run_until_input(&f.peer, STREAM_READ_SIZE);
    assert_memory_equal(f.peer.input.data, large, STREAM_READ_SIZE);
    assert_false(f.peer.closed);
    close_fixture(&f);
}

static size_t pause_and_resume(struct peer *peer, const char *bytes, size_t length)
{
    stream_pause_read(peer->stream);
    stream_resume_read(peer->stream);
    if (peer->received_count == 1)
        return 0;
    buffer_append(&peer->input, bytes, length);
    return length;
}

static void test_resume_in_callback(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    f.peer.on_received = pause_and_resume;
    write_all(f.far, "x", 1);
    run_until_input(&f.peer, 1);
    assert_int_equal(f.peer.received_count, 2);
    /* Resumed with nothing kept: no call, and no turn after turn. */
    run_turns(f.engine, 5);
    assert_int_equal(f.peer.received_count, 2);
    close_fixture(&f);
}

static void test_paused_peer_closes(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    stream_pause_read(f.peer.stream);
    write_all(f.far, "last words", 10);
    close(f.far);
    f.far = -1;
    run_turns(f.engine, 5);
    assert_false(f.peer.closed);
    stream_resume_read(f.peer.stream);
    run_until_closed(&f.peer);
    assert_string_equal(buffer_string(&f.peer.input), "last words");
    assert_int_equal(f.peer.reason.code, 0);
    assert_int_equal(f.peer.closed_count, 1);
    run_turns(f.engine, 5);
    assert_int_equal(f.peer.closed_count, 1);
    close_fixture(&f);
}

static void test_closed_behind_large_input(void **state reeve_unused)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        struct fixture f;
        open_fixture(&f, tcp == 1);
        size_t length = 100000;
        fill(large, length, 3);
        write_all(f.far, large, length);
        close(f.far);
        f.far = -1;
        run_until_closed(&f.peer);
        assert_int_equal(f.peer.input.length, length);
        assert_memory_equal(f.peer.input.data, large, length);
        assert_int_equal(f.peer.reason.code, 0);
        close_fixture(&f);
    }
}

static void test_reset(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    struct linger linger = {.l_onoff = 1};
    assert_int_equal(setsockopt(f.far, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(f.far);
    f.far = -1;
    run_until_closed(&f.peer);
    assert_int_equal(f.peer.reason.code, -ERROR_CONNECTION);
    assert_string_equal(f.peer.reason.message, "cannot read: Connection reset by peer");
    close_fixture(&f);
}

static size_t close_itself(struct peer *peer, const char *bytes reeve_unused, size_t length)
{
    stream_close(take_pointer(peer->stream));
    return length;
}

static void test_close_in_own_callback(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    f.peer.on_received = close_itself;
    write_all(f.far, large, 2 * STREAM_READ_SIZE);
    run_until_calls(&f.peer, 1);
    run_turns(f.engine, 3);
    assert_int_equal(f.peer.received_count, 1);
    assert_false(f.peer.closed);
    /* The end, or a reset when there were bytes that nobody had read yet. */
    char byte;
    errno = 0;
    assert_true(recv(f.far, &byte, 1, 0) <= 0);
    assert_int_not_equal(errno, EAGAIN);
    close_fixture(&f);
}

static size_t close_other(struct peer *peer, const char *bytes reeve_unused, size_t length)
{
    struct peer *other = peer->argument;
    stream_close(take_pointer(other->stream));
    return length;
}

/* Both have an event in the same turn: only the first is called. */
static void test_close_another_of_this_turn(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    struct peer peers[2];
    int pairs[2][2];
    for (int i = 0; i < 2; i++) {
        make_pair(pairs[i]);
        peer_open(&peers[i], engine, pairs[i][0], NULL, false);
        peers[i].on_received = close_other;
        peers[i].argument = &peers[1 - i];
        write_all(pairs[i][1], "x", 1);
    }
    run_turns(engine, 3);
    assert_int_equal(peers[0].received_count + peers[1].received_count, 1);
    for (int i = 0; i < 2; i++) {
        assert_false(peers[i].closed);
        peer_end(&peers[i]);
        close(pairs[i][1]);
    }
    engine_free(engine);
}

/* A copy of the descriptor elsewhere does not keep a closed stream in epoll. */
static void test_duplicated_descriptor(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    int other = dup(stream_fd(f.peer.stream));
    stream_close(take_pointer(f.peer.stream));
    write_all(f.far, "x", 1);
    run_turns(f.engine, 5);
    assert_int_equal(f.peer.received_count, 0);
    close(other);
    close_fixture(&f);
}

/* ---- output ---- */

static void test_queue_and_write_keep_order(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    char expected[4096];
    char got[4096];
    size_t length = 0;
    fill(large, sizeof(large), 4);
    for (size_t i = 0; i < 200; i++) {
        size_t size = i % 13; /* also none */
        char written[16];
        memcpy(written, large + 20 * i, size);
        memcpy(expected + length, written, size);
        length += size;
        if (i % 3 == 0) {
            stream_write(f.peer.stream, written, size);
        } else {
            stream_queue(f.peer.stream, large + 20 * i, size);
        }
        memset(written, 0, sizeof(written));
    }
    /* More than STREAM_WRITE_VECTORS were queued: a part has gone already. */
    assert_in_range(stream_pending(f.peer.stream), 1, length - 1);
    stream_flush(f.peer.stream);
    assert_int_equal(stream_pending(f.peer.stream), 0);
    read_all(f.far, got, length);
    assert_memory_equal(got, expected, length);
    assert_int_equal(f.peer.drained_count, 0);
    close_fixture(&f);
}

/* stream_write of several streams shares memory that is not used again before the flush. */
static void test_writes_of_several_streams(void **state reeve_unused)
{
    struct fixture f[2];
    char got[3 * 30000];
    open_fixture(&f[0], false);
    int fds[2];
    make_pair(fds);
    f[1] = (struct fixture){.engine = f[0].engine, .far = fds[1]};
    peer_open(&f[1].peer, f[1].engine, fds[0], NULL, false);
    fill(large, 3 * 30000, 5);
    for (size_t i = 0; i < 3; i++) {
        stream_write(f[0].peer.stream, large + i * 30000, 30000);
        stream_write(f[1].peer.stream, large + i * 30000, 30000);
    }
    for (int i = 0; i < 2; i++) {
        stream_flush(f[i].peer.stream);
        read_all(f[i].far, got, sizeof(got));
        assert_memory_equal(got, large, sizeof(got));
    }
    peer_end(&f[1].peer);
    close(f[1].far);
    close_fixture(&f[0]);
}

/* Reads of the far end what is there. */
struct reader {
    int fd;
    size_t length;
    size_t wanted;
};

static bool read_some(void *argument)
{
    struct reader *reader = argument;
    ssize_t got;
    while ((got = recv(reader->fd, copy + reader->length, sizeof(copy) - reader->length, 0)) > 0)
        reader->length += (size_t)got;
    return reader->length == reader->wanted;
}

/* A write that makes room by writing what is queued, over and over. */
static void test_more_writes_than_scratch(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    size_t length = 150 * 1000;
    fill(large, length, 6);
    for (size_t i = 0; i < length; i += 1000) {
        stream_queue(f.peer.stream, large + i, 10);
        stream_write(f.peer.stream, large + i + 10, 990);
    }
    stream_flush(f.peer.stream);
    run_until(f.engine, read_some, &(struct reader){.fd = f.far, .wanted = length});
    assert_memory_equal(copy, large, length);
    close_fixture(&f);
}

static void test_back_pressure(void **state reeve_unused)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        struct fixture f;
        open_fixture(&f, tcp == 1);
        fill(large, sizeof(large), 7);
        memset(copy, 0, sizeof(copy));
        stream_queue(f.peer.stream, large, LARGE / 2);
        stream_flush(f.peer.stream);
        size_t pending = stream_pending(f.peer.stream);
        assert_in_range(pending, 1, LARGE / 2);
        /* Behind it, from memory that is gone at once; nothing is written out of order. */
        char *gone = xmalloc(LARGE / 4);
        memcpy(gone, large + LARGE / 2, LARGE / 4);
        stream_queue(f.peer.stream, gone, LARGE / 4);
        stream_flush(f.peer.stream);
        free(gone);
        stream_write(f.peer.stream, large + LARGE / 2 + LARGE / 4, LARGE / 4);
        assert_int_equal(stream_pending(f.peer.stream), pending + LARGE / 2);
        run_turns(f.engine, 3);
        assert_false(f.peer.drained);

        struct reader reader = {.fd = f.far, .wanted = LARGE};
        run_until(f.engine, read_some, &reader);
        run_until_true(f.engine, &f.peer.drained);
        assert_int_equal(f.peer.drained_count, 1);
        assert_int_equal(stream_pending(f.peer.stream), 0);
        assert_memory_equal(copy, large, LARGE);

        /* And at rest again: the socket's being writable wakes nobody. */
        stream_write(f.peer.stream, "end", 3);
        stream_flush(f.peer.stream);
        read_all(f.far, copy, 3);
        run_turns(f.engine, 3);
        assert_int_equal(f.peer.drained_count, 1);
        close_fixture(&f);
    }
}

/* Pauses the other stream while its own peer is slow, as a relay does. */
static size_t relay(struct peer *peer, const char *bytes, size_t length)
{
    struct peer *other = peer->argument;
    stream_queue(other->stream, bytes, length);
    stream_flush(other->stream);
    if (stream_pending(other->stream) > STREAM_READ_SIZE)
        stream_pause_read(peer->stream);
    return length;
}

static void resume_other(struct peer *peer)
{
    struct peer *other = peer->argument;
    if (stream_read_paused(other->stream))
        stream_resume_read(other->stream);
}

struct both {
    struct reader reader;
    int source;
    size_t sent;
    struct peer *to;
    size_t most_pending;
};

static bool pump(void *argument)
{
    struct both *both = argument;
    ssize_t sent;
    while ((sent = send(both->source, large + both->sent, sizeof(large) - both->sent,
                        MSG_NOSIGNAL)) > 0)
        both->sent += (size_t)sent;
    size_t pending = stream_pending(both->to->stream);
    if (pending > both->most_pending)
        both->most_pending = pending;
    /* A slow reader: a little a turn. */
    ssize_t got = recv(both->reader.fd, copy + both->reader.length, 50000, 0);
    if (got > 0)
        both->reader.length += (size_t)got;
    return both->reader.length == sizeof(large);
}

static void test_relay_with_slow_reader(void **state reeve_unused)
{
    struct engine *engine = make_engine();
    struct peer from;
    struct peer to;
    int in[2];
    int out[2];
    make_pair(in);
    make_tcp_pair(out);
    limit_room(out);
    peer_open(&from, engine, in[0], NULL, false);
    peer_open(&to, engine, out[0], NULL, false);
    from.argument = &to;
    to.argument = &from;
    from.on_received = relay;
    to.on_received = relay;
    from.on_drained = to.on_drained = resume_other;
    fill(large, sizeof(large), 8);
    struct both both = {.reader = {.fd = out[1]}, .source = in[1], .to = &to};
    while (!pump(&both))
        run_turns(engine, 1);
    assert_memory_equal(copy, large, sizeof(large));
    assert_in_range(both.most_pending, 1, 6 * STREAM_READ_SIZE);
    peer_end(&from);
    peer_end(&to);
    close(in[1]);
    close(out[1]);
    engine_free(engine);
}

/* A failed write is told after what the peer has sent before. */
static void test_write_to_closed_peer(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    write_all(f.far, "the reason", 10);
    close(f.far);
    f.far = -1;
    stream_write(f.peer.stream, "x", 1);
    stream_flush(f.peer.stream);
    assert_int_equal(stream_pending(f.peer.stream), 0);
    assert_false(f.peer.closed);
    run_until_closed(&f.peer);
    assert_string_equal(buffer_string(&f.peer.input), "the reason");
    stream_write(f.peer.stream, "x", 1);
    stream_flush(f.peer.stream);
    assert_int_equal(stream_pending(f.peer.stream), 0);
    run_turns(f.engine, 3);
    assert_int_equal(f.peer.closed_count, 1);
    close_fixture(&f);
}

/* Who is paused hears of it as well: its reader may wait for this very stream. */
static void test_write_fails_while_paused(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    stream_pause_read(f.peer.stream);
    close(f.far);
    f.far = -1;
    stream_write(f.peer.stream, "x", 1);
    stream_flush(f.peer.stream);
    run_until_closed(&f.peer);
    assert_int_equal(f.peer.reason.code, -ERROR_CONNECTION);
    assert_string_equal(f.peer.reason.message, "cannot write: Broken pipe");
    close_fixture(&f);
}

static size_t queue_and_forget(struct peer *peer, const char *bytes, size_t length)
{
    stream_queue(peer->stream, bytes, length);
    return length;
}

/* Borrowed bytes are not sent after their callback, when they may be another tenant's. */
static void test_forgotten_flush(void **state reeve_unused)
{
    struct fixture f;
    char got[3];
    open_fixture(&f, false);
    f.peer.on_received = queue_and_forget;
    write_all(f.far, "abc", 3);
    run_until_calls(&f.peer, 1);
    assert_int_equal(stream_pending(f.peer.stream), 0);
    read_all(f.far, got, 3);
    assert_memory_equal(got, "abc", 3);
    close_fixture(&f);
}

/* ---- ends ---- */

static void test_close_writes_what_is_queued(void **state reeve_unused)
{
    struct fixture f;
    char got[9];
    open_fixture(&f, true);
    stream_queue(f.peer.stream, "good", 4);
    stream_write(f.peer.stream, "bye", 3);
    stream_close(take_pointer(f.peer.stream));
    stream_close(NULL);
    read_all(f.far, got, 7);
    assert_memory_equal(got, "goodbye", 7);
    assert_true(at_end(f.far));
    close_fixture(&f);
}

static void test_close_after_write_at_once(void **state reeve_unused)
{
    struct fixture f;
    char got[3];
    open_fixture(&f, true);
    write_all(f.far, "unread", 6);
    stream_write(f.peer.stream, "bye", 3);
    stream_close_after_write(take_pointer(f.peer.stream), 5 * TIME_S);
    stream_close_after_write(NULL, 0);
    read_all(f.far, got, 3);
    assert_memory_equal(got, "bye", 3);
    assert_true(at_end(f.far)); /* no reset, though it had sent something */
    run_turns(f.engine, 2);
    assert_int_equal(f.peer.received_count, 0);
    close_fixture(&f);
}

static void test_close_after_write_of_much(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    fill(large, sizeof(large), 9);
    stream_write(f.peer.stream, large, sizeof(large));
    assert_true(stream_pending(f.peer.stream) > 0);
    stream_close_after_write(take_pointer(f.peer.stream), 60LL * TIME_S);
    write_all(f.far, large, 100000); /* thrown away */
    struct reader reader = {.fd = f.far, .wanted = LARGE};
    run_until(f.engine, read_some, &reader);
    assert_memory_equal(copy, large, LARGE);
    run_turns(f.engine, 3);
    assert_true(at_end(f.far));
    assert_int_equal(f.peer.received_count + f.peer.closed_count + f.peer.drained_count, 0);
    close_fixture(&f);
}

static bool peer_has_gone(void *argument)
{
    struct reader *reader = argument;
    return fcntl(reader->fd, F_GETFD) < 0;
}

static void test_grace_passes(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    struct reader reader = {.fd = stream_fd(f.peer.stream)};
    int64_t begun = engine_now_us(f.engine);
    stream_write(f.peer.stream, large, sizeof(large));
    stream_close_after_write(take_pointer(f.peer.stream), 30 * TIME_MS);
    run_until(f.engine, peer_has_gone, &reader);
    assert_true(time_monotonic_us() - begun >= 30 * TIME_MS);
    close_fixture(&f);
}

/* The peer goes while output is left. */
static void test_close_after_write_to_nobody(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    struct reader reader = {.fd = stream_fd(f.peer.stream)};
    stream_write(f.peer.stream, large, sizeof(large));
    stream_close_after_write(take_pointer(f.peer.stream), 3600LL * TIME_S);
    close(f.far);
    f.far = -1;
    run_until(f.engine, peer_has_gone, &reader);
    close_fixture(&f);
}

/* The engine is freed in the meantime. */
static void test_free_while_ending(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    stream_write(f.peer.stream, large, sizeof(large));
    stream_close_after_write(take_pointer(f.peer.stream), 3600LL * TIME_S);
    close_fixture(&f);
}

static size_t say_goodbye(struct peer *peer, const char *bytes reeve_unused,
                          size_t length reeve_unused)
{
    stream_write(peer->stream, large, sizeof(large));
    stream_close_after_write(take_pointer(peer->stream), 3600LL * TIME_S);
    return 0;
}

static void test_close_after_write_in_callback(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    f.peer.on_received = say_goodbye;
    write_all(f.far, "hello", 5);
    run_until_calls(&f.peer, 1);
    struct reader reader = {.fd = f.far, .wanted = LARGE};
    run_until(f.engine, read_some, &reader);
    run_turns(f.engine, 3);
    assert_true(at_end(f.far));
    assert_int_equal(f.peer.received_count, 1);
    assert_int_equal(f.peer.closed_count, 0);
    close_fixture(&f);
}

static void close_stream(struct peer *peer)
{
    stream_close(take_pointer(peer->stream));
}

static void test_close_in_closed(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    f.peer.on_closed = close_stream;
    close(f.far);
    f.far = -1;
    run_until_closed(&f.peer);
    assert_null(f.peer.stream);
    run_turns(f.engine, 2);
    assert_int_equal(f.peer.closed_count, 1);
    close_fixture(&f);
}

static void test_close_in_drained(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, false);
    f.peer.on_drained = close_stream;
    stream_write(f.peer.stream, large, LARGE);
    struct reader reader = {.fd = f.far, .wanted = LARGE};
    run_until(f.engine, read_some, &reader);
    run_until_true(f.engine, &f.peer.drained);
    assert_null(f.peer.stream);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receive),
        cmocka_unit_test(test_partial_consume),
        cmocka_unit_test(test_gathers_a_whole_read),
        cmocka_unit_test(test_unconsumed_is_a_defect),
        cmocka_unit_test(test_pause_and_resume),
        cmocka_unit_test(test_resume_redelivers),
        cmocka_unit_test(test_resume_in_callback),
        cmocka_unit_test(test_paused_peer_closes),
        cmocka_unit_test(test_closed_behind_large_input),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_close_in_own_callback),
        cmocka_unit_test(test_close_another_of_this_turn),
        cmocka_unit_test(test_duplicated_descriptor),
        cmocka_unit_test(test_queue_and_write_keep_order),
        cmocka_unit_test(test_writes_of_several_streams),
        cmocka_unit_test(test_more_writes_than_scratch),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_relay_with_slow_reader),
        cmocka_unit_test(test_write_to_closed_peer),
        cmocka_unit_test(test_write_fails_while_paused),
        cmocka_unit_test(test_forgotten_flush),
        cmocka_unit_test(test_close_writes_what_is_queued),
        cmocka_unit_test(test_close_after_write_at_once),
        cmocka_unit_test(test_close_after_write_of_much),
        cmocka_unit_test(test_grace_passes),
        cmocka_unit_test(test_close_after_write_to_nobody),
        cmocka_unit_test(test_free_while_ending),
        cmocka_unit_test(test_close_after_write_in_callback),
        cmocka_unit_test(test_close_in_closed),
        cmocka_unit_test(test_close_in_drained),
    };
    int refused = check_engine();
    return refused ? refused : cmocka_run_group_tests(tests, NULL, NULL);
}

/* Many streams in one turn, and what an engine may put off until it ends. */
#include "harness.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    STREAMS = 400, /* more than io_uring has buffers, or late writes */
    PIECE = 3000,  /* STREAMS of them are more than it has room for */
    LARGE = 4 << 20,
};

static char large[LARGE];
static char copy[LARGE];

struct crowd {
    struct engine *engine;
    struct peer peers[STREAMS];
    int far[STREAMS];
};

static void open_crowd(struct crowd *crowd)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    crowd->engine = make_engine();
    for (size_t i = 0; i < STREAMS; i++) {
        int fds[2];
        make_pair(fds);
        peer_open(&crowd->peers[i], crowd->engine, fds[0], NULL, false);
        crowd->far[i] = fds[1];
    }
}

static void close_crowd(struct crowd *crowd)
{
    for (size_t i = 0; i < STREAMS; i++) {
        peer_end(&crowd->peers[i]);
        if (crowd->far[i] >= 0)
            close(crowd->far[i]);
    }
    engine_free(crowd->engine);
}

static size_t echo(struct peer *peer, const char *bytes, size_t length)
{
    buffer_append(&peer->input, bytes, length);
    stream_queue(peer->stream, bytes, length);
    stream_flush(peer->stream);
    return length;
}

static bool all_have_piece(void *argument)
{
    const struct crowd *crowd = argument;
    for (size_t i = 0; i < STREAMS; i++) {
        if (crowd->peers[i].input.length < PIECE)
            return false;
    }
    return true;
}

static void test_everybody_at_once(void **state reeve_unused)
{
    static struct crowd crowd;
    open_crowd(&crowd);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < STREAMS; i++) {
            crowd.peers[i].on_received = echo;
            buffer_reset(&crowd.peers[i].input);
            fill(large, PIECE, (uint32_t)i);
            write_all(crowd.far[i], large, PIECE);
        }
        run_until(crowd.engine, all_have_piece, &crowd);
        for (size_t i = 0; i < STREAMS; i++) {
            fill(large, PIECE, (uint32_t)i);
            assert_memory_equal(crowd.peers[i].input.data, large, PIECE);
            read_all(crowd.far[i], copy, PIECE);
            assert_memory_equal(copy, large, PIECE);
        }
    }
    close_crowd(&crowd);
}

/* Their peers are gone when the answers are written. */
static void test_answers_to_nobody(void **state reeve_unused)
{
    static struct crowd crowd;
    open_crowd(&crowd);
    for (size_t i = 0; i < STREAMS; i++) {
        crowd.peers[i].on_received = echo;
        write_all(crowd.far[i], large, PIECE);
        if (i % 2 == 0) {
            close(crowd.far[i]);
            crowd.far[i] = -1;
        }
    }
    run_until(crowd.engine, all_have_piece, &crowd);
    for (size_t i = 0; i < STREAMS; i += 2) {
        run_until_closed(&crowd.peers[i]);
        read_all(crowd.far[i + 1], copy, PIECE);
    }
    close_crowd(&crowd);
}

/* ---- one stream: the order of what was put off and what was not ---- */

struct fixture {
    struct engine *engine;
    struct peer from, to;
    int from_far, to_far;
};

static void open_fixture(struct fixture *fixture, bool tcp)
{
    int fds[2];
    fixture->engine = make_engine();
    make_pair(fds);
    peer_open(&fixture->from, fixture->engine, fds[0], NULL, false);
    fixture->from_far = fds[1];
    if (tcp)
        make_tcp_pair(fds);
    else
        make_pair(fds);
    peer_open(&fixture->to, fixture->engine, fds[0], NULL, false);
    fixture->to_far = fds[1];
    fixture->from.argument = &fixture->to;
}

static void close_fixture(struct fixture *fixture)
{
    peer_end(&fixture->from);
    peer_end(&fixture->to);
    close(fixture->from_far);
    if (fixture->to_far >= 0)
        close(fixture->to_far);
    engine_free(fixture->engine);
}

/* Small, large and small pieces, each flushed, from memory that is gone at once. */
static size_t send_all_sizes(struct peer *peer, const char *bytes reeve_unused, size_t length)
{
    static const size_t sizes[] = {10, 1, 5000, 12000, 3, 20000, 7, 100000, 11, 16384, 16385, 1};
    struct stream *to = ((struct peer *)peer->argument)->stream;
    size_t at = 0;
    for (size_t i = 0; i < array_size(sizes); i++) {
        char *gone = xmalloc(sizes[i]);
        memcpy(gone, large + at, sizes[i]);
        stream_queue(to, gone, sizes[i]);
        stream_flush(to);
        memset(gone, 0, sizes[i]);
        free(gone);
        at += sizes[i];
    }
    buffer_append(&peer->input, large, at);
    return length;
}

struct reader {
    int fd;
    size_t length, wanted;
};

static bool read_some(void *argument)
{
    struct reader *reader = argument;
    ssize_t got;
    while ((got = recv(reader->fd, copy + reader->length, sizeof(copy) - reader->length, 0)) > 0)
        reader->length += (size_t)got;
    return reader->length >= reader->wanted;
}

static void test_order_of_sizes(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    fill(large, sizeof(large), 1);
    f.from.on_received = send_all_sizes;
    write_all(f.from_far, "x", 1);
    run_until_calls(&f.from, 1);
    struct reader reader = {.fd = f.to_far, .wanted = f.from.input.length};
    run_until(f.engine, read_some, &reader);
    assert_int_equal(reader.length, reader.wanted);
    assert_memory_equal(copy, large, reader.length);
    close_fixture(&f);
}

/* Two streams write by turns to a third: pieces that are not side by side. */
static size_t write_to_both(struct peer *peer, const char *bytes, size_t length)
{
    struct peer *to = peer->argument;
    for (size_t i = 0; i < length; i++) {
        stream_write(to->stream, bytes + i, 1);
        stream_flush(to->stream);
        stream_write(peer->stream, bytes + i, 1);
        stream_flush(peer->stream);
    }
    return length;
}

static void test_pieces_in_between(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    fill(large, PIECE, 2);
    f.from.on_received = write_to_both;
    write_all(f.from_far, large, PIECE);
    run_until_calls(&f.from, 1);
    run_until(f.engine, read_some, &(struct reader){.fd = f.to_far, .wanted = PIECE});
    assert_memory_equal(copy, large, PIECE);
    run_until(f.engine, read_some, &(struct reader){.fd = f.from_far, .wanted = PIECE});
    assert_memory_equal(copy, large, PIECE);
    close_fixture(&f);
}

/* Small pieces, one a turn, until the socket is full and beyond. */
static size_t pass_on(struct peer *peer, const char *bytes, size_t length)
{
    struct peer *to = peer->argument;
    buffer_append(&peer->input, bytes, length);
    stream_queue(to->stream, bytes, length);
    stream_flush(to->stream);
    return length;
}

static void fill_socket(bool tcp, size_t piece)
{
    struct fixture f;
    size_t sent = 0;
    int size = PIECE;
    open_fixture(&f, tcp);
    setsockopt(stream_fd(f.to.stream), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    fill(large, sizeof(large), 3);
    f.from.on_received = pass_on;
    while (stream_pending(f.to.stream) < (size_t)5 * PIECE && sent < sizeof(large) - piece) {
        write_all(f.from_far, large + sent, piece);
        sent += piece;
        run_until_input(&f.from, sent);
        run_turns(f.engine, 1);
    }
    assert_true(stream_pending(f.to.stream) > 0);
    assert_false(f.to.drained);
    struct reader reader = {.fd = f.to_far, .wanted = sent};
    run_until(f.engine, read_some, &reader);
    assert_int_equal(reader.length, sent);
    assert_memory_equal(copy, large, sent);
    run_until_true(f.engine, &f.to.drained);
    assert_int_equal(stream_pending(f.to.stream), 0);
    close_fixture(&f);
}

/* A Unix socket takes a piece or does not; TCP takes a part of one. */
static void test_full_socket(void **state reeve_unused)
{
    fill_socket(false, PIECE);
    fill_socket(true, (size_t)4 * PIECE);
    for (size_t i = 0; i < 10; i++)
        fill_socket(true, PIECE + i * 97);
}

/* Who is paused hears of a write that failed in the end of a turn as well. */
static void test_late_write_fails_while_paused(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    f.from.on_received = pass_on;
    f.to.take_at_most = SIZE_MAX;
    stream_pause_read(f.to.stream);
    write_all(f.to_far, "the reason", 10);
    close(f.to_far);
    f.to_far = -1;
    run_turns(f.engine, 2);
    for (int i = 1; i < 50 && !f.to.closed; i++) {
        write_all(f.from_far, "x", 1);
        run_until_calls(&f.from, i);
        run_turns(f.engine, 1);
    }
    run_until_closed(&f.to);
    assert_int_equal(f.to.reason.code, -ERROR_CONNECTION);
    close_fixture(&f);
}

static size_t write_and_close(struct peer *peer, const char *bytes, size_t length)
{
    struct peer *to = peer->argument;
    stream_write(to->stream, bytes, length);
    stream_flush(to->stream);
    stream_close(take_pointer(to->stream));
    return length;
}

static void test_close_behind_small_write(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    f.from.on_received = write_and_close;
    write_all(f.from_far, "goodbye", 7);
    run_until_calls(&f.from, 1);
    read_all(f.to_far, copy, 7);
    assert_memory_equal(copy, "goodbye", 7);
    assert_true(at_end(f.to_far));
    close_fixture(&f);
}

static size_t write_and_detach(struct peer *peer, const char *bytes, size_t length)
{
    struct peer *to = peer->argument;
    struct error err;
    struct buffer input = BUFFER_INIT(100);
    SSL *ssl;
    int fd = -1;
    stream_write(to->stream, bytes, length);
    stream_flush(to->stream);
    assert_int_equal(stream_detach(take_pointer(to->stream), &fd, &ssl, &input, &err), 0);
    buffer_append(&to->input, input.data, input.length);
    buffer_free(&input);
    close(fd);
    return length;
}

/* What came for it in the same turn goes with it. */
static void test_detach_behind_small_write(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    f.from.on_received = write_and_detach;
    stream_set_first(f.from.stream);
    f.to.take_at_most = 0;
    write_all(f.to_far, "kept ", 5);
    run_until_calls(&f.to, 1);
    write_all(f.to_far, "new", 3);
    write_all(f.from_far, "answer", 6);
    run_until_calls(&f.from, 1);
    read_all(f.to_far, copy, 6);
    assert_memory_equal(copy, "answer", 6);
    /* With epoll, "new" is still in the socket, which was closed with it. */
    assert_in_range(f.to.input.length, 5, 8);
    assert_memory_equal(f.to.input.data, "kept new", f.to.input.length);
    close_fixture(&f);
}

/* ---- pauses ---- */

static void test_pause_over_many_pieces(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    fill(large, sizeof(large), 4);
    for (size_t round = 0; round < 5; round++) {
        size_t before = f.from.input.length;
        int calls = f.from.received_count;
        stream_pause_read(f.from.stream);
        for (size_t i = 0; i < 20; i++) {
            write_all(f.from_far, large + before + i * 100, 100);
            run_turns(f.engine, 1);
        }
        assert_int_equal(f.from.received_count, calls);
        stream_resume_read(f.from.stream);
        if (round % 2 == 1) {
            stream_pause_read(f.from.stream);
            stream_resume_read(f.from.stream);
        }
        run_until_input(&f.from, before + 2000);
    }
    assert_memory_equal(f.from.input.data, large, f.from.input.length);
    /* And nothing is forgotten: the end comes. */
    stream_pause_read(f.from.stream);
    write_all(f.from_far, "end", 3);
    run_turns(f.engine, 3);
    shutdown(f.from_far, SHUT_WR);
    run_turns(f.engine, 3);
    assert_false(f.from.closed);
    stream_resume_read(f.from.stream);
    run_until_closed(&f.from);
    assert_int_equal(f.from.input.length, 5 * 2000 + 3);
    assert_int_equal(f.from.reason.code, 0);
    close_fixture(&f);
}

/* Writes what the socket takes. */
static size_t flood(int fd, size_t from)
{
    size_t before = from;
    ssize_t sent;
    while ((sent = send(fd, large + from, sizeof(large) - from, MSG_NOSIGNAL)) > 0)
        from += (size_t)sent;
    return from - before;
}

/* Who is paused keeps what came in a turn or two; then the peer has to wait. */
static void test_pause_under_a_flood(void **state reeve_unused)
{
    struct fixture f;
    size_t sent = 0;
    size_t more;
    int rounds = 0;
    open_fixture(&f, false);
    fill(large, sizeof(large), 5);
    stream_pause_read(f.from.stream);
    do {
        more = flood(f.from_far, sent);
        sent += more;
        run_turns(f.engine, 2);
        rounds++;
    } while (more > 0);
    assert_in_range(rounds, 2, 4);
    assert_int_equal(f.from.received_count, 0);
    stream_resume_read(f.from.stream);
    run_until_input(&f.from, sent);
    assert_int_equal(f.from.input.length, sent);
    assert_memory_equal(f.from.input.data, large, sent);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everybody_at_once),
        cmocka_unit_test(test_answers_to_nobody),
        cmocka_unit_test(test_order_of_sizes),
        cmocka_unit_test(test_pieces_in_between),
        cmocka_unit_test(test_full_socket),
        cmocka_unit_test(test_late_write_fails_while_paused),
        cmocka_unit_test(test_close_behind_small_write),
        cmocka_unit_test(test_detach_behind_small_write),
        cmocka_unit_test(test_pause_over_many_pieces),
        cmocka_unit_test(test_pause_under_a_flood),
    };
    int refused = check_engine();
    return refused ? refused : cmocka_run_group_tests(tests, NULL, NULL);
}

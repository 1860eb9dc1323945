/* Peers that hang up while nobody reads from them. */
#include "harness.h"

#include <sys/socket.h>
#include <unistd.h>

/* A stream and the other end of its socket. */
struct fixture {
    struct engine *engine;
    struct peer peer;
    int far;
};

static void open_fixture(struct fixture *fixture, bool tcp)
{
    int fds[2];
    if (tcp)
        make_tcp_pair(fds);
    else
        make_pair(fds);
    fixture->engine = make_engine();
    peer_open(&fixture->peer, fixture->engine, fds[0], NULL, false);
    fixture->far = fds[1];
}

static void hang_up(struct fixture *fixture)
{
    close(fixture->far);
    fixture->far = -1;
}

static void close_fixture(struct fixture *fixture)
{
    peer_end(&fixture->peer);
    if (fixture->far >= 0)
        close(fixture->far);
    engine_free(fixture->engine);
}

/* Who asks for it hears of it at once, and of nothing that came before. */
static void test_hangup_is_told_while_paused(void **state reeve_unused)
{
    for (int way = 0; way < 6; way++) {
        struct fixture f;
        bool tcp = way % 2 == 1, half = way / 2 == 2;
        open_fixture(&f, tcp);
        stream_pause_read(f.peer.stream);
        stream_tell_hangup(f.peer.stream, true);
        if (way / 2 > 0)
            write_all(f.far, "last words", 10);
        run_turns(f.engine, 3);
        assert_false(f.peer.closed);
        if (half) {
            shutdown(f.far, SHUT_WR);
        } else {
            hang_up(&f);
        }
        run_until_closed(&f.peer);
        assert_int_equal(f.peer.reason.code, 0);
        assert_int_equal(f.peer.received_count, 0);
        run_turns(f.engine, 3);
        assert_int_equal(f.peer.closed_count, 1);
        close_fixture(&f);
    }
}

static size_t pause_and_ask(struct peer *peer, const char *bytes reeve_unused,
                            size_t length reeve_unused)
{
    stream_pause_read(peer->stream);
    stream_tell_hangup(peer->stream, true);
    assert_false(peer->closed);
    return 0;
}

/* The end was there before it was asked for: in a turn of its own, or with the bytes before it. */
static void test_hangup_before_it_is_asked_for(void **state reeve_unused)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        struct fixture f;
        open_fixture(&f, tcp == 1);
        stream_pause_read(f.peer.stream);
        hang_up(&f);
        run_turns(f.engine, 3);
        assert_false(f.peer.closed);
        stream_tell_hangup(f.peer.stream, true);
        assert_false(f.peer.closed);
        run_until_closed(&f.peer);
        close_fixture(&f);

        open_fixture(&f, tcp == 1);
        f.peer.on_received = pause_and_ask;
        write_all(f.far, "last words", 10);
        hang_up(&f);
        run_until_closed(&f.peer);
        assert_int_equal(f.peer.received_count, 1);
        assert_int_equal(f.peer.closed_count, 1);
        close_fixture(&f);
    }
}

/* It is asked for when what was sent has been taken from the socket already. */
static void test_hangup_behind_bytes_of_a_pause(void **state reeve_unused)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        struct fixture f;
        open_fixture(&f, tcp == 1);
        stream_pause_read(f.peer.stream);
        write_all(f.far, "last", 4);
        run_turns(f.engine, 3);
        write_all(f.far, " words", 6);
        run_turns(f.engine, 3);
        stream_tell_hangup(f.peer.stream, true);
        run_turns(f.engine, 3);
        write_all(f.far, " of all", 7);
        run_turns(f.engine, 3);
        assert_false(f.peer.closed);
        hang_up(&f);
        run_until_closed(&f.peer);
        assert_int_equal(f.peer.received_count, 0);
        close_fixture(&f);
    }
}

/* Nothing is told, and nothing lost, once it is read from again or has not asked any more. */
static void test_hangup_is_not_told_any_more(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f, true);
    stream_pause_read(f.peer.stream);
    stream_tell_hangup(f.peer.stream, true);
    stream_tell_hangup(f.peer.stream, false);
    write_all(f.far, "last words", 10);
    hang_up(&f);
    run_turns(f.engine, 5);
    assert_false(f.peer.closed);
    stream_tell_hangup(f.peer.stream, true);
    stream_tell_hangup(f.peer.stream, false); /* in the same turn: scheduled, and not told */
    run_turns(f.engine, 5);
    assert_false(f.peer.closed);
    stream_tell_hangup(f.peer.stream, true);
    stream_resume_read(f.peer.stream);
    run_until_closed(&f.peer);
    assert_string_equal(buffer_string(&f.peer.input), "last words");
    assert_int_equal(f.peer.closed_count, 1);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hangup_is_told_while_paused),
        cmocka_unit_test(test_hangup_before_it_is_asked_for),
        cmocka_unit_test(test_hangup_behind_bytes_of_a_pause),
        cmocka_unit_test(test_hangup_is_not_told_any_more),
    };
    int refused = check_engine();
    return refused ? refused : cmocka_run_group_tests(tests, NULL, NULL);
}

/* Streams that change their owner or their engine. */
#include "harness.h"

#include <pthread.h>
#include <unistd.h>

static char large[512 * 1024];

struct fixture {
    struct engine *engine;
    struct peer peer;
    int far;
};

static void open_fixture(struct fixture *fixture)
{
    int fds[2];
    make_tcp_pair(fds);
    fixture->engine = make_engine();
    peer_open(&fixture->peer, fixture->engine, fds[0], NULL, false);
    fixture->far = fds[1];
}

static void close_fixture(struct fixture *fixture)
{
    peer_end(&fixture->peer);
    close(fixture->far);
    engine_free(fixture->engine);
}

static void test_set_owner(void **state reeve_unused)
{
    struct fixture f;
    struct peer other;
    open_fixture(&f);
    peer_init(&other, f.engine);
    f.peer.take_at_most = 1;
    write_all(f.far, "abc", 3);
    run_until_calls(&f.peer, 1);
    other.stream = f.peer.stream;
    stream_set_owner(f.peer.stream, &peer_events, &other);
    write_all(f.far, "d", 1);
    run_until_input(&other, 3);
    assert_string_equal(buffer_string(&other.input), "bcd");
    assert_int_equal(f.peer.received_count, 1);
    buffer_free(&other.input);
    close_fixture(&f);
}

static size_t give_away(struct peer *peer, const char *bytes, size_t length reeve_unused)
{
    stream_set_owner(peer->stream, &peer_events, peer->argument);
    buffer_append(&peer->input, bytes, 1);
    return 1;
}

static void test_set_owner_in_callback(void **state reeve_unused)
{
    struct fixture f;
    struct peer other;
    open_fixture(&f);
    peer_init(&other, f.engine);
    other.stream = f.peer.stream;
    f.peer.on_received = give_away;
    f.peer.argument = &other;
    write_all(f.far, "abc", 3);
    run_until_calls(&f.peer, 1);
    stream_resume_read(f.peer.stream);
    run_until_input(&other, 2);
    assert_string_equal(buffer_string(&f.peer.input), "a");
    assert_string_equal(buffer_string(&other.input), "bc");
    buffer_free(&other.input);
    close_fixture(&f);
}

static void test_push_input(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f);
    write_all(f.far, "world", 5);
    stream_push_input(f.peer.stream, "hello ", 6);
    stream_push_input(f.peer.stream, "small ", 6);
    stream_push_input(f.peer.stream, "", 0);
    run_until_input(&f.peer, 17);
    assert_string_equal(buffer_string(&f.peer.input), "hello small world");
    close_fixture(&f);
}

static void test_push_input_alone_and_paused(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f);
    stream_pause_read(f.peer.stream);
    stream_push_input(f.peer.stream, "alone", 5);
    run_turns(f.engine, 3);
    assert_int_equal(f.peer.received_count, 0);
    stream_resume_read(f.peer.stream);
    run_until_input(&f.peer, 5);
    assert_string_equal(buffer_string(&f.peer.input), "alone");
    close_fixture(&f);
}

/* More than is given at once. */
static void test_push_much_input(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f);
    f.peer.take_at_most = 50000;
    fill(large, sizeof(large), 1);
    stream_push_input(f.peer.stream, large, sizeof(large) - 10000);
    write_all(f.far, large + sizeof(large) - 10000, 10000);
    run_until_input(&f.peer, sizeof(large) - STREAM_READ_SIZE);
    f.peer.take_at_most = SIZE_MAX;
    stream_resume_read(f.peer.stream);
    run_until_input(&f.peer, sizeof(large));
    assert_memory_equal(f.peer.input.data, large, sizeof(large));
    close_fixture(&f);
}

static size_t take_some(struct peer *peer, const char *bytes, size_t length)
{
    uint32_t *state = peer->argument;
    *state = *state * 1664525 + 1013904223;
    size_t taken = (*state >> 8 & 0x3fff) + 1;
    taken = taken < length ? taken : length;
    buffer_append(&peer->input, bytes, taken);
    /* More comes behind what is kept, now and then. */
    if ((*state >> 28) == 0 && peer->input.length < 4 << 20)
        stream_push_input(peer->stream, "0123456789abcdef", 16);
    return taken;
}

/* Far more than is given at once, whatever the owner takes of it: all of it, in order. */
static void test_kept_input_is_taken_in_pieces(void **state reeve_unused)
{
    enum { MUCH = 3 << 20 };
    struct fixture f;
    uint32_t random = 7;
    open_fixture(&f);
    char *bytes = xmalloc(MUCH);
    fill(bytes, MUCH, 1);
    f.peer.argument = &random;
    f.peer.on_received = take_some;
    stream_pause_read(f.peer.stream);
    for (size_t at = 0; at < MUCH; at += 4096)
        stream_push_input(f.peer.stream, bytes + at, 4096);
    stream_resume_read(f.peer.stream);
    while (f.peer.input.length < MUCH) {
        stream_push_input(f.peer.stream, "0123456789abcdef", 16); /* what is left is given again */
        run_turns(f.engine, 1);
    }
    assert_memory_equal(f.peer.input.data, bytes, MUCH);
    for (size_t at = MUCH; at + 16 <= f.peer.input.length; at += 16)
        assert_memory_equal(f.peer.input.data + at, "0123456789abcdef", 16);
    free(bytes);
    close_fixture(&f);
}

static size_t push_more(struct peer *peer, const char *bytes, size_t length)
{
    if (peer->received_count == 1) {
        stream_push_input(peer->stream, "de", 2);
        buffer_append(&peer->input, bytes, 1);
        return 1;
    }
    buffer_append(&peer->input, bytes, length);
    return length;
}

/* Behind what that call leaves. */
static void test_push_input_in_callback(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f);
    f.peer.on_received = push_more;
    write_all(f.far, "abc", 3);
    run_until_input(&f.peer, 5);
    assert_string_equal(buffer_string(&f.peer.input), "abcde");
    assert_int_equal(f.peer.received_count, 2);
    close_fixture(&f);
}

static void test_detach(void **state reeve_unused)
{
    struct fixture f;
    struct error err;
    struct peer other;
    struct buffer input = BUFFER_INIT(100);
    int fd = -1;
    SSL *ssl = (SSL *)&input;
    open_fixture(&f);
    f.peer.take_at_most = 1;
    write_all(f.far, "abc", 3);
    run_until_calls(&f.peer, 1);
    int old = stream_fd(f.peer.stream);
    assert_int_equal(stream_detach(f.peer.stream, &fd, &ssl, &input, &err), 0);
    f.peer.stream = NULL;
    assert_int_equal(fd, old);
    assert_null(ssl);
    assert_string_equal(buffer_string(&input), "bc");

    /* Nothing is watched any more; another engine takes it over. */
    write_all(f.far, "de", 2);
    run_turns(f.engine, 3);
    assert_int_equal(f.peer.received_count, 1);
    struct engine *second = make_engine();
    peer_open(&other, second, fd, NULL, false);
    stream_push_input(other.stream, input.data, input.length);
    run_until_input(&other, 4);
    assert_string_equal(buffer_string(&other.input), "bcde");
    peer_end(&other);
    engine_free(second);
    buffer_free(&input);
    close_fixture(&f);
}

static size_t detach_itself(struct peer *peer, const char *bytes reeve_unused, size_t length)
{
    struct buffer *input = peer->argument;
    struct error err;
    SSL *ssl;
    int fd = -1;
    stream_push_input(peer->stream, "pushed", 6);
    assert_int_equal(stream_detach(take_pointer(peer->stream), &fd, &ssl, input, &err), 0);
    close(fd);
    return length;
}

/* None of the bytes that `received` looks at counts as consumed. */
static void test_detach_in_callback(void **state reeve_unused)
{
    struct fixture f;
    struct buffer input = BUFFER_INIT(100);
    open_fixture(&f);
    f.peer.on_received = detach_itself;
    f.peer.argument = &input;
    write_all(f.far, "abc", 3);
    run_until_calls(&f.peer, 1);
    assert_string_equal(buffer_string(&input), "abcpushed");
    buffer_free(&input);
    close_fixture(&f);
}

static void test_detach_refused(void **state reeve_unused)
{
    struct fixture f;
    struct error err;
    struct buffer input = BUFFER_INIT(100);
    int fd = -1;
    SSL *ssl = NULL;
    open_fixture(&f);
    stream_queue(f.peer.stream, "x", 1);
    assert_int_equal(stream_detach(f.peer.stream, &fd, &ssl, &input, &err), -ERROR_STATE);
    assert_string_equal(err.message, "output is waiting to be written");
    assert_int_equal(fd, -1);
    stream_flush(f.peer.stream);
    /* Input that has no room. */
    stream_pause_read(f.peer.stream);
    stream_push_input(f.peer.stream, large, 101);
    assert_int_equal(stream_detach(f.peer.stream, &fd, &ssl, &input, &err), -ERROR_LIMIT);
    assert_int_equal(input.length, 0);
    /* Nothing has changed. */
    stream_resume_read(f.peer.stream);
    run_until_input(&f.peer, 101);
    buffer_free(&input);
    close_fixture(&f);
}

struct second_thread {
    struct engine *engine;
    struct mailbox *mailbox;
    struct peer peer;
};

struct parcel {
    struct letter letter; /* first */
    int fd;
    struct buffer input;
};

static size_t answer_and_stop(struct peer *peer, const char *bytes, size_t length)
{
    stream_queue(peer->stream, bytes, length);
    stream_flush(peer->stream);
    buffer_append(&peer->input, bytes, length);
    if (peer->input.length == 6)
        engine_stop(peer->engine);
    return length;
}

static void parcel_received(void *owner, struct letter *letter)
{
    struct second_thread *second = owner;
    struct parcel *parcel = (struct parcel *)letter;
    peer_open(&second->peer, second->engine, parcel->fd, NULL, false);
    second->peer.on_received = answer_and_stop;
    stream_push_input(second->peer.stream, parcel->input.data, parcel->input.length);
    buffer_free(&parcel->input);
    free(parcel);
}

static void *run_second(void *argument)
{
    engine_run(((struct second_thread *)argument)->engine);
    return NULL;
}

/* To another thread with a letter, as a client after its login. */
static void test_hand_to_another_thread(void **state reeve_unused)
{
    struct fixture f;
    struct error err;
    struct second_thread second = {.engine = make_engine()};
    pthread_t thread;
    char got[6];
    assert_int_equal(mailbox_create(second.engine, parcel_received, &second, &second.mailbox, &err),
                     0);
    assert_int_equal(pthread_create(&thread, NULL, run_second, &second), 0);
    open_fixture(&f);
    f.peer.take_at_most = 0;
    write_all(f.far, "abc", 3);
    run_until_calls(&f.peer, 1);
    struct parcel *parcel = xcalloc(1, sizeof(*parcel));
    SSL *ssl;
    buffer_init(&parcel->input, 100);
    assert_int_equal(
        stream_detach(take_pointer(f.peer.stream), &parcel->fd, &ssl, &parcel->input, &err), 0);
    mailbox_post(second.mailbox, &parcel->letter);
    write_all(f.far, "def", 3);
    read_all(f.far, got, 6);
    assert_memory_equal(got, "abcdef", 6);
    pthread_join(thread, NULL);
    peer_end(&second.peer);
    mailbox_free(second.mailbox);
    engine_free(second.engine);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_owner),
        cmocka_unit_test(test_set_owner_in_callback),
        cmocka_unit_test(test_push_input),
        cmocka_unit_test(test_push_input_alone_and_paused),
        cmocka_unit_test(test_push_much_input),
        cmocka_unit_test(test_kept_input_is_taken_in_pieces),
        cmocka_unit_test(test_push_input_in_callback),
        cmocka_unit_test(test_detach),
        cmocka_unit_test(test_detach_in_callback),
        cmocka_unit_test(test_detach_refused),
        cmocka_unit_test(test_hand_to_another_thread),
    };
    int refused = check_engine();
    return refused ? refused : cmocka_run_group_tests(tests, NULL, NULL);
}

/* Streams under TLS: the server's handshake, and sessions that were made elsewhere. */
#include "harness.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { LARGE = 6 << 20, REQUEST_SIZE = 8 };

static char large[LARGE];
static char copy[LARGE];
static SSL_CTX *server_context;

/* ---- certificates ---- */

static int make_context(void **state reeve_unused)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    server_context = SSL_CTX_new(TLS_server_method());
    bool good = X509_sign(certificate, key, EVP_sha256()) > 0 &&
                SSL_CTX_use_certificate(server_context, certificate) == 1 &&
                SSL_CTX_use_PrivateKey(server_context, key) == 1;
    X509_free(certificate);
    EVP_PKEY_free(key);
    fill(large, sizeof(large), 1);
    signal(SIGPIPE, SIG_IGN); /* of OpenSSL's own sockets */
    return good ? 0 : -1;
}

static int free_context(void **state reeve_unused)
{
    SSL_CTX_free(server_context);
    return 0;
}

/* ---- the other end, a thread ---- */

struct far {
    pthread_t thread;
    int fd;
    bool accepts; /* the server's side of the handshake */
    bool plain;   /* no handshake before the script */
    int version;  /* the highest; 0: any */
    SSL *ssl;
    bool (*script)(struct far *far);
    void *argument;
    bool good; /* the script's result */
    atomic_bool over;
    atomic_bool asked; /* for a renegotiation */
};

static bool far_handshake(struct far *far)
{
    SSL_CTX *context = far->accepts ? server_context : SSL_CTX_new(TLS_client_method());
    far->ssl = SSL_new(context);
    if (!far->accepts)
        SSL_CTX_free(context);
    if (far->version)
        SSL_set_max_proto_version(far->ssl, far->version);
    SSL_set_fd(far->ssl, far->fd);
    return (far->accepts ? SSL_accept(far->ssl) : SSL_connect(far->ssl)) == 1;
}

static bool far_write(struct far *far, const char *bytes, size_t length)
{
    size_t written = 0;
    return SSL_write_ex(far->ssl, bytes, length, &written) == 1 && written == length;
}

static bool far_read(struct far *far, char *bytes, size_t length)
{
    while (length > 0) {
        size_t got = 0;
        if (SSL_read_ex(far->ssl, bytes, length, &got) != 1)
            return false;
        bytes += got;
        length -= got;
    }
    return true;
}

static bool far_reads(struct far *far, const char *text)
{
    char got[64];
    size_t length = strlen(text);
    return far_read(far, got, length) && memcmp(got, text, length) == 0;
}

/* The peer has closed with TLS's own word for it. */
static bool far_at_end(struct far *far)
{
    char byte;
    int result = SSL_read(far->ssl, &byte, 1);
    return SSL_get_error(far->ssl, result) == SSL_ERROR_ZERO_RETURN;
}

static void *far_run(void *argument)
{
    struct far *far = argument;
    far->good = (far->plain || far_handshake(far)) && far->script(far);
    SSL_free(far->ssl);
    close(far->fd);
    ERR_clear_error();
    atomic_store(&far->over, true);
    return NULL;
}

/* ---- the near end ---- */

struct fixture {
    struct engine *engine;
    struct peer peer;
    struct far far;
    struct timer tick; /* looks whether the thread is over */
};

static void block(int fd)
{
    struct timeval timeout = {.tv_sec = DEADLINE_US / TIME_S};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

static void open_fixture(struct fixture *fixture)
{
    int fds[2];
    make_tcp_pair(fds);
    *fixture = (struct fixture){.engine = make_engine(), .far = {.fd = fds[1]}};
    peer_open(&fixture->peer, fixture->engine, fds[0], NULL, false);
    block(fds[1]);
}

static void start_far(struct fixture *fixture, bool (*script)(struct far *far))
{
    fixture->far.script = script;
    assert_int_equal(pthread_create(&fixture->far.thread, NULL, far_run, &fixture->far), 0);
}

/* TLS from the first byte, in front of which nothing is said. */
static void start_tls(struct fixture *fixture, bool (*script)(struct far *far))
{
    struct error err;
    assert_int_equal(stream_start_tls(fixture->peer.stream, server_context, &err), 0);
    start_far(fixture, script);
}

static void tick(void *owner)
{
    struct timer *timer = owner;
    timer_start(timer, time_monotonic_us() + TIME_MS);
}

static bool is_set(void *argument)
{
    return atomic_load((atomic_bool *)argument);
}

/* Runs until the other thread sets the flag. */
static void run_until_set(struct fixture *fixture, atomic_bool *flag)
{
    timer_init(&fixture->tick, fixture->engine, tick, &fixture->tick);
    timer_start(&fixture->tick, 0);
    run_until(fixture->engine, is_set, flag);
    timer_stop(&fixture->tick);
}

static void end_far(struct fixture *fixture)
{
    run_until_set(fixture, &fixture->far.over);
    pthread_join(fixture->far.thread, NULL);
    assert_true(fixture->far.good);
}

static void close_fixture(struct fixture *fixture)
{
    peer_end(&fixture->peer);
    engine_free(fixture->engine);
}

static size_t echo(struct peer *peer, const char *bytes, size_t length)
{
    buffer_append(&peer->input, bytes, length);
    stream_queue(peer->stream, bytes, length / 2);
    stream_write(peer->stream, bytes + length / 2, length - length / 2);
    stream_flush(peer->stream);
    if (stream_pending(peer->stream) > 256 * 1024)
        stream_pause_read(peer->stream);
    return length;
}

static void resume(struct peer *peer)
{
    if (stream_read_paused(peer->stream))
        stream_resume_read(peer->stream);
}

/* ---- the handshake ---- */

static size_t answer_request(struct peer *peer, const char *bytes, size_t length)
{
    struct error err;
    if (peer->secured)
        return echo(peer, bytes, length);
    if (length < REQUEST_SIZE)
        return 0;
    stream_write(peer->stream, "S", 1);
    stream_flush(peer->stream);
    assert_int_equal(stream_start_tls(peer->stream, server_context, &err), 0);
    assert_non_null(stream_ssl(peer->stream));
    return REQUEST_SIZE;
}

static bool request_and_talk(struct far *far)
{
    char answer;
    return send(far->fd, "request!", REQUEST_SIZE, MSG_NOSIGNAL) == REQUEST_SIZE &&
           recv(far->fd, &answer, 1, 0) == 1 && answer == 'S' && far_handshake(far) &&
           far_write(far, "hello", 5) && far_reads(far, "hello") && SSL_shutdown(far->ssl) >= 0;
}

static void test_handshake_in_callback(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f);
    f.peer.on_received = answer_request;
    f.far.plain = true;
    start_far(&f, request_and_talk);
    run_until_closed(&f.peer);
    end_far(&f);
    assert_int_equal(f.peer.secured_count, 1);
    assert_string_equal(buffer_string(&f.peer.input), "hello");
    assert_int_equal(f.peer.reason.code, 0);
    close_fixture(&f);
}

/* CVE-2021-23222: what was sent in front of the handshake must not count as sent under TLS. */
static void test_bytes_before_handshake(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f);
    f.peer.on_received = answer_request;
    write_all(f.far.fd, "request!injected", 16);
    run_until_closed(&f.peer);
    assert_int_equal(f.peer.reason.code, -ERROR_PROTOCOL);
    assert_string_equal(f.peer.reason.message, "bytes were sent in front of the TLS handshake");
    assert_int_equal(f.peer.received_count, 1);
    close(f.far.fd);
    close_fixture(&f);
}

static void test_kept_bytes_before_handshake(void **state reeve_unused)
{
    struct fixture f;
    struct error err;
    open_fixture(&f);
    f.peer.take_at_most = REQUEST_SIZE;
    write_all(f.far.fd, "request!injected", 16);
    run_until_calls(&f.peer, 1);
    assert_int_equal(stream_start_tls(f.peer.stream, server_context, &err), -ERROR_PROTOCOL);
    assert_null(stream_ssl(f.peer.stream));
    close(f.far.fd);
    close_fixture(&f);
}

static void test_plain_text_instead_of_handshake(void **state reeve_unused)
{
    struct fixture f;
    struct error err;
    open_fixture(&f);
    assert_int_equal(stream_start_tls(f.peer.stream, server_context, &err), 0);
    assert_int_equal(stream_start_tls(f.peer.stream, server_context, &err), -ERROR_STATE);
    write_all(f.far.fd, "this is no ClientHello at all", 29);
    run_until_closed(&f.peer);
    assert_int_equal(f.peer.reason.code, -ERROR_PROTOCOL);
    assert_non_null(strstr(f.peer.reason.message, "the TLS handshake failed: "));
    assert_int_equal(f.peer.secured_count + f.peer.received_count, 0);
    close(f.far.fd);
    close_fixture(&f);
}

static void test_peer_leaves_during_handshake(void **state reeve_unused)
{
    struct fixture f;
    struct error err;
    open_fixture(&f);
    assert_int_equal(stream_start_tls(f.peer.stream, server_context, &err), 0);
    stream_write(f.peer.stream, "for later", 9);
    stream_flush(f.peer.stream);
    assert_int_equal(stream_pending(f.peer.stream), 9);
    int fd = -1;
    SSL *ssl = NULL;
    struct buffer input = BUFFER_INIT(10);
    assert_int_equal(stream_detach(f.peer.stream, &fd, &ssl, &input, &err), -ERROR_STATE);
    close(f.far.fd);
    run_until_closed(&f.peer);
    assert_int_equal(f.peer.reason.code, 0);
    close_fixture(&f);
}

static bool read_plain_then_talk(struct far *far)
{
    for (size_t at = 0; at < sizeof(copy);) {
        ssize_t got = recv(far->fd, copy + at, sizeof(copy) - at, 0);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return memcmp(copy, large, sizeof(large)) == 0 && far_handshake(far) &&
           far_reads(far, "under TLS") && far_write(far, "thanks", 6);
}

/* Output of before goes in plain text, all of it; output of behind it under TLS. */
static void test_plain_output_first(void **state reeve_unused)
{
    struct fixture f;
    struct error err;
    open_fixture(&f);
    stream_queue(f.peer.stream, large, sizeof(large));
    assert_int_equal(stream_start_tls(f.peer.stream, server_context, &err), 0);
    assert_true(stream_pending(f.peer.stream) > 0);
    stream_queue(f.peer.stream, "under", 5);
    stream_write(f.peer.stream, " TLS", 4);
    stream_flush(f.peer.stream);
    f.far.plain = true;
    start_far(&f, read_plain_then_talk);
    run_until_input(&f.peer, 6);
    end_far(&f);
    assert_true(f.peer.drained);
    close_fixture(&f);
}

/* The client's last message of the handshake and its first of what follows come with one segment.
 */
static void test_data_with_end_of_handshake(void **state reeve_unused)
{
    struct fixture f;
    struct error err;
    open_fixture(&f);
    assert_int_equal(stream_start_tls(f.peer.stream, server_context, &err), 0);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *client = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(client, in, out);
    SSL_set_connect_state(client);
    char bytes[20000];
    int64_t deadline = time_monotonic_us() + DEADLINE_US;
    bool written = false;
    while (!written && time_monotonic_us() < deadline) {
        if (SSL_do_handshake(client) == 1)
            written = SSL_write(client, "startup", 7) == 7;
        int length = BIO_read(out, bytes, sizeof(bytes));
        if (length > 0)
            write_all(f.far.fd, bytes, (size_t)length);
        run_turns(f.engine, 2);
        ssize_t got = recv(f.far.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (got > 0)
            BIO_write(in, bytes, (int)got);
    }
    run_until_input(&f.peer, 7);
    assert_string_equal(buffer_string(&f.peer.input), "startup");
    assert_int_equal(f.peer.secured_count, 1);
    SSL_free(client);
    SSL_CTX_free(context);
    close(f.far.fd);
    close_fixture(&f);
}

/* ---- transfers ---- */

/* Sends `large` and receives it back, both at the same time. */
static bool far_exchange(struct far *far)
{
    size_t sent = 0;
    size_t read = 0;
    fcntl(far->fd, F_SETFL, fcntl(far->fd, F_GETFL) | O_NONBLOCK);
    SSL_set_mode(far->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    while (read < sizeof(large)) {
        size_t count = 0;
        bool moved = false;
        ERR_clear_error();
        if (sent < sizeof(large) &&
            SSL_write_ex(far->ssl, large + sent, sizeof(large) - sent, &count) == 1) {
            sent += count;
            moved = true;
            /* Keys are changed on the way, ours and, on demand, theirs. */
            if (SSL_version(far->ssl) == TLS1_3_VERSION && sent % (1 << 20) < count)
                SSL_key_update(far->ssl, SSL_KEY_UPDATE_REQUESTED);
        }
        if (SSL_read_ex(far->ssl, copy + read, sizeof(copy) - read, &count) == 1) {
            read += count;
            moved = true;
        }
        struct pollfd entry = {.fd = far->fd,
                               .events = sent < sizeof(large) ? POLLIN | POLLOUT : POLLIN};
        if (!moved && poll(&entry, 1, DEADLINE_US / TIME_MS) <= 0)
            return false;
    }
    return memcmp(copy, large, sizeof(large)) == 0;
}

static void exchange_much(int version)
{
    struct fixture f;
    open_fixture(&f);
    f.peer.on_received = echo;
    f.peer.on_drained = resume;
    f.far.version = version;
    memset(copy, 0, sizeof(copy));
    start_tls(&f, far_exchange);
    run_until_input(&f.peer, sizeof(large));
    end_far(&f);
    assert_memory_equal(f.peer.input.data, large, sizeof(large));
    close_fixture(&f);
}

static void test_large_transfers(void **state reeve_unused)
{
    exchange_much(0);
}

static void test_large_transfers_older_protocol(void **state reeve_unused)
{
    exchange_much(TLS1_2_VERSION);
}

static bool send_and_wait(struct far *far)
{
    return far_write(far, large, 200000) && far_reads(far, "done") && SSL_shutdown(far->ssl) >= 0;
}

/* Bytes in the session, which epoll does not know of, come after a resume. */
static void test_pause_with_bytes_in_session(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f);
    f.peer.pause_when_called = true;
    f.peer.take_at_most = 1000;
    start_tls(&f, send_and_wait);
    run_until_calls(&f.peer, 1);
    run_turns(f.engine, 5);
    for (int calls = 1; f.peer.input.length < 200000; calls++) {
        assert_int_equal(f.peer.received_count, calls);
        f.peer.take_at_most = calls % 2 ? SIZE_MAX : 1000;
        stream_resume_read(f.peer.stream);
        run_until_calls(&f.peer, calls + 1);
    }
    assert_memory_equal(f.peer.input.data, large, 200000);
    stream_write(f.peer.stream, "done", 4);
    stream_flush(f.peer.stream);
    f.peer.pause_when_called = false;
    stream_resume_read(f.peer.stream);
    end_far(&f);
    run_until_closed(&f.peer);
    close_fixture(&f);
}

/* ---- the end ---- */

static bool vanish(struct far *far)
{
    return far_write(far, "bye", 3);
}

static void test_closed_without_a_word(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f);
    f.far.version = TLS1_2_VERSION; /* tickets that it has not read would make it a reset */
    start_tls(&f, vanish);
    run_until_closed(&f.peer);
    end_far(&f);
    assert_string_equal(buffer_string(&f.peer.input), "bye");
    assert_int_equal(f.peer.reason.code, 0);
    close_fixture(&f);
}

static bool send_garbage(struct far *far)
{
    return far_write(far, "good", 4) && send(far->fd, "not a record", 12, MSG_NOSIGNAL) == 12 &&
           !far_at_end(far);
}

static void test_garbage(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f);
    start_tls(&f, send_garbage);
    run_until_closed(&f.peer);
    assert_string_equal(buffer_string(&f.peer.input), "good");
    assert_int_equal(f.peer.reason.code, -ERROR_PROTOCOL);
    assert_non_null(strstr(f.peer.reason.message, "cannot read with TLS: "));
    stream_close(take_pointer(f.peer.stream));
    end_far(&f);
    close_fixture(&f);
}

static size_t close_itself(struct peer *peer, const char *bytes reeve_unused, size_t length)
{
    stream_write(peer->stream, "bye", 3);
    stream_close(take_pointer(peer->stream));
    return length;
}

static bool hear_goodbye(struct far *far)
{
    return far_write(far, "hello", 5) && far_reads(far, "bye") && far_at_end(far);
}

static void test_close_in_own_callback(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f);
    f.peer.on_received = close_itself;
    start_tls(&f, hear_goodbye);
    end_far(&f);
    assert_int_equal(f.peer.received_count, 1);
    assert_false(f.peer.closed);
    close_fixture(&f);
}

static size_t say_much_and_close(struct peer *peer, const char *bytes reeve_unused, size_t length)
{
    stream_write(peer->stream, large, sizeof(large));
    assert_true(stream_pending(peer->stream) > 0);
    stream_close_after_write(take_pointer(peer->stream), 3600LL * TIME_S);
    return length;
}

/* Reads when it is told to. */
static bool read_much(struct far *far)
{
    char byte;
    memset(copy, 0, sizeof(copy));
    return far_write(far, "hello", 5) && read(*(int *)far->argument, &byte, 1) == 1 &&
           far_read(far, copy, sizeof(copy)) && memcmp(copy, large, sizeof(large)) == 0 &&
           far_at_end(far);
}

static void test_close_after_write(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f);
    int told[2];
    assert_int_equal(pipe(told), 0);
    f.far.argument = &told[0];
    f.peer.on_received = say_much_and_close;
    start_tls(&f, read_much);
    run_until_calls(&f.peer, 1);
    assert_int_equal(write(told[1], "x", 1), 1);
    end_far(&f);
    close(told[0]);
    close(told[1]);
    assert_int_equal(f.peer.received_count, 1);
    close_fixture(&f);
}

/* A write to a peer that has gone raises no SIGPIPE, which would end this process. */
static void test_no_signal(void **state reeve_unused)
{
    struct fixture f;
    open_fixture(&f);
    struct sigaction old;
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_DFL}, &old);
    start_tls(&f, vanish);
    run_until_true(f.engine, &f.peer.secured);
    pthread_join(f.far.thread, NULL);
    for (int i = 0; i < 100 && !f.peer.closed; i++) {
        stream_write(f.peer.stream, large, 1000);
        stream_flush(f.peer.stream);
        run_turns(f.engine, 1);
    }
    run_until_closed(&f.peer);
    sigaction(SIGPIPE, &old, NULL);
    close_fixture(&f);
}

/* ---- sessions that were made elsewhere ---- */

static bool hand_over_script(struct far *far)
{
    return far_write(far, large, 100000) && far_read(far, copy, 100000) &&
           memcmp(copy, large, 100000) == 0 && far_write(far, "more", 4) &&
           far_reads(far, "more") && SSL_shutdown(far->ssl) >= 0;
}

/* To another engine, with input that was kept and bytes that are still in the session. */
static void test_hand_over(void **state reeve_unused)
{
    struct fixture f;
    struct error err;
    struct peer other;
    struct buffer input = BUFFER_INIT(100000);
    SSL *ssl = NULL;
    int fd = -1;
    open_fixture(&f);
    f.peer.pause_when_called = true;
    f.peer.take_at_most = 0;
    start_tls(&f, hand_over_script);
    run_until_calls(&f.peer, 1);
    assert_int_equal(stream_detach(take_pointer(f.peer.stream), &fd, &ssl, &input, &err), 0);
    assert_non_null(ssl);
    assert_true(input.length > 0);
    run_turns(f.engine, 2);

    struct engine *second = make_engine();
    peer_open(&other, second, fd, ssl, true);
    other.on_received = echo;
    other.on_drained = resume;
    stream_push_input(other.stream, input.data, input.length);
    run_until_closed(&other);
    pthread_join(f.far.thread, NULL);
    assert_true(f.far.good);
    assert_int_equal(other.input.length, 100004);
    peer_end(&other);
    engine_free(second);
    buffer_free(&input);
    close_fixture(&f);
}

/* As libpq's: the session keeps its own descriptor, and OpenSSL's own way of reading it. */
struct borrowed {
    struct fixture f;
    SSL *ssl;
    int fd; /* the session's */
};

static void open_borrowed(struct borrowed *borrowed, bool (*script)(struct far *far), int version,
                          void *argument)
{
    int fds[2];
    make_tcp_pair(fds);
    *borrowed = (struct borrowed){.fd = fds[0]};
    borrowed->f = (struct fixture){
        .engine = make_engine(),
        .far = {.fd = fds[1], .accepts = true, .version = version, .argument = argument}};
    block(fds[0]);
    block(fds[1]);
    start_far(&borrowed->f, script);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    borrowed->ssl = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_fd(borrowed->ssl, fds[0]);
    /* The kernel interrupts a thread once when a ring of it was closed, that of the last test. */
    int result;
    do
        result = SSL_connect(borrowed->ssl);
    while (result != 1 && SSL_get_error(borrowed->ssl, result) == SSL_ERROR_WANT_READ);
    assert_int_equal(result, 1);
    fcntl(fds[0], F_SETFL, fcntl(fds[0], F_GETFL) | O_NONBLOCK);
    peer_open(&borrowed->f.peer, borrowed->f.engine, dup(fds[0]), borrowed->ssl, false);
}

static void close_borrowed(struct borrowed *borrowed)
{
    peer_end(&borrowed->f.peer);
    /* It is still good for a last word. */
    SSL_write(borrowed->ssl, "terminate", 9);
    SSL_free(borrowed->ssl);
    close(borrowed->fd);
    end_far(&borrowed->f);
    engine_free(borrowed->f.engine);
}

static bool echo_and_hear_the_last_word(struct far *far)
{
    return far_reads(far, "query") && far_write(far, "rows", 4) && far_reads(far, "terminate");
}

static void test_borrowed_session(void **state reeve_unused)
{
    struct borrowed borrowed;
    open_borrowed(&borrowed, echo_and_hear_the_last_word, 0, NULL);
    assert_ptr_equal(stream_ssl(borrowed.f.peer.stream), borrowed.ssl);
    stream_queue(borrowed.f.peer.stream, "qu", 2);
    stream_queue(borrowed.f.peer.stream, "ery", 3);
    stream_flush(borrowed.f.peer.stream);
    run_until_input(&borrowed.f.peer, 4);
    assert_string_equal(buffer_string(&borrowed.f.peer.input), "rows");
    close_borrowed(&borrowed);
}

enum { PIECE = 1000, PIECES = 1000, BEFORE = 50 };

/* Asks for new keys the old way, and goes on when it is told to. */
static bool renegotiate(struct far *far)
{
    char byte;
    memset(copy, 0, sizeof(copy));
    if (!far_read(far, copy, BEFORE * PIECE) || SSL_renegotiate(far->ssl) != 1 ||
        SSL_do_handshake(far->ssl) != 1)
        return false;
    atomic_store(&far->asked, true);
    return read(*(int *)far->argument, &byte, 1) == 1 &&
           far_read(far, copy + BEFORE * PIECE, (PIECES - BEFORE) * PIECE) &&
           memcmp(copy, large, PIECES * PIECE) == 0 && SSL_num_renegotiations(far->ssl) == 1 &&
           far_write(far, "enough", 6) && far_reads(far, "terminate");
}

static void write_piece(struct borrowed *borrowed, size_t index)
{
    stream_write(borrowed->f.peer.stream, large + index * PIECE, PIECE);
    stream_flush(borrowed->f.peer.stream);
    run_turns(borrowed->f.engine, 2);
}

/* In the middle of it nothing can be written before something is read. */
static void test_renegotiation_while_writing(void **state reeve_unused)
{
    struct borrowed borrowed;
    int told[2];
    size_t written = 0;
    assert_int_equal(pipe(told), 0);
    open_borrowed(&borrowed, renegotiate, TLS1_2_VERSION, &told[0]);
    struct stream *stream = borrowed.f.peer.stream;
    while (written < BEFORE)
        write_piece(&borrowed, written++);
    assert_int_equal(stream_pending(stream), 0);
    run_until_set(&borrowed.f, &borrowed.f.far.asked);
    for (int i = 0; i < 10; i++)
        write_piece(&borrowed, written++);
    assert_in_range(stream_pending(stream), 1, 10 * PIECE);
    assert_int_equal(write(told[1], "x", 1), 1);
    while (written < PIECES)
        write_piece(&borrowed, written++);
    run_until_input(&borrowed.f.peer, 6);
    assert_int_equal(stream_pending(stream), 0);
    assert_true(borrowed.f.peer.drained);
    assert_false(borrowed.f.peer.closed);
    close_borrowed(&borrowed);
    close(told[0]);
    close(told[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_in_callback),
        cmocka_unit_test(test_bytes_before_handshake),
        cmocka_unit_test(test_kept_bytes_before_handshake),
        cmocka_unit_test(test_plain_text_instead_of_handshake),
        cmocka_unit_test(test_peer_leaves_during_handshake),
        cmocka_unit_test(test_plain_output_first),
        cmocka_unit_test(test_data_with_end_of_handshake),
        cmocka_unit_test(test_large_transfers),
        cmocka_unit_test(test_large_transfers_older_protocol),
        cmocka_unit_test(test_pause_with_bytes_in_session),
        cmocka_unit_test(test_closed_without_a_word),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_close_in_own_callback),
        cmocka_unit_test(test_close_after_write),
        cmocka_unit_test(test_no_signal),
        cmocka_unit_test(test_hand_over),
        cmocka_unit_test(test_borrowed_session),
        cmocka_unit_test(test_renegotiation_while_writing),
    };
    int refused = check_engine();
    return refused ? refused : cmocka_run_group_tests(tests, make_context, free_context);
}

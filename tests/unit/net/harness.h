/*
 * harness.h - an engine that runs until a condition holds, and a stream whose owner records what it
 * is told.
 */
#ifndef TESTS_NET_HARNESS_H
#define TESTS_NET_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/time.h"
#include "net/engine.h"

enum { DEADLINE_US = 20 * TIME_S, SKIPPED = 77 };

/* epoll, or what REEVE_ENGINE names: every test is run for each. */
enum engine_kind kind_under_test(void);
/* What `main` returns at once when it is not 0: SKIPPED, where the kernel refuses that engine. */
int check_engine(void);
/* A new engine; the test ends when there is none. */
struct engine *make_engine(void);
/* Runs turns until the condition holds after one; the test fails when it does not in time. */
void run_until(struct engine *engine, bool (*condition)(void *argument), void *argument);
/* Runs until `flag` is true. */
void run_until_true(struct engine *engine, bool *flag);
/* Runs so many turns, whether something happens in them or not. */
void run_turns(struct engine *engine, int count);

/* A connected pair of non-blocking sockets. */
void make_pair(int fds[2]);
void make_tcp_pair(int fds[2]);
/* Writes and reads all of it with poll; the test fails when it cannot in time. */
void write_all(int fd, const void *bytes, size_t length);
void read_all(int fd, void *bytes, size_t length);
/* True when the peer has closed and everything was read. */
bool at_end(int fd);
/* Pseudo-random bytes that depend on the seed. */
void fill(char *bytes, size_t length, uint32_t seed);

/* An owner that keeps what came. The test may set any of the first members. */
struct peer {
    struct stream *stream;
    size_t take_at_most; /* of each call; SIZE_MAX by default */
    size_t (*on_received)(struct peer *peer, const char *bytes, size_t length);
    void (*on_drained)(struct peer *peer);
    void (*on_closed)(struct peer *peer);
    void *argument;

    struct engine *engine;
    struct buffer input;
    size_t last_length; /* given to `received` last */
    int received_count, drained_count, secured_count, closed_count;
    bool pause_when_called; /* set by the test: pauses in `received` */
    bool closed, drained, secured;
    struct error reason;
};

extern const struct stream_events peer_events;
void peer_init(struct peer *peer, struct engine *engine);
void peer_open(struct peer *peer, struct engine *engine, int fd, SSL *ssl, bool ssl_owned);
/* Closes what is open and frees what came. */
void peer_end(struct peer *peer);
/* Runs until so many bytes have come in all. */
void run_until_input(struct peer *peer, size_t length);
void run_until_closed(struct peer *peer);
void run_until_calls(struct peer *peer, int count);

#endif

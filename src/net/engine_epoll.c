/*
 * engine_epoll.c - waiting with epoll.
 *
 * Streams are watched edge-triggered and read by themselves, so that in the steady state nothing is
 * changed in epoll: a turn is one epoll_wait, then a recv and a send for each message.
 */
#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "net/stream.h"

enum { EVENTS_A_TURN = 256, WATCHED = EPOLLIN | EPOLLRDHUP | EPOLLET };

struct epoll_turn {
    int fd;
    int count; /* of the events of this turn */
    struct epoll_event events[EVENTS_A_TURN];
};

/* ---- descriptors ---- */

static int watch(struct engine *engine, int fd, uint32_t events, struct source *source,
                 struct error *err)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(engine->epoll->fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return error_errno(err, errno, "cannot watch a descriptor");
    return 0;
}

static void rewatch(struct engine *engine, int fd, uint32_t events, struct source *source)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(engine->epoll->fd, EPOLL_CTL_MOD, fd, &event) < 0) {
        /* It fails for a descriptor that is not watched, and for nothing that passes. */
        log_error("cannot change what a descriptor is watched for: %s", strerrordesc_np(errno));
        abort();
    }
}

/* Before a descriptor is closed: a copy of it elsewhere (libpq's) would keep it in epoll. */
static void unwatch(struct engine *engine, int fd)
{
    epoll_ctl(engine->epoll->fd, EPOLL_CTL_DEL, fd, NULL);
}

/* ---- streams ---- */

static int watch_stream(struct stream *stream, struct error *err)
{
    return watch(stream->engine, stream->fd, WATCHED, &stream->source, err);
}

static void unwatch_stream(struct stream *stream)
{
    unwatch(stream->engine, stream->fd);
}

/* It does so always. */
static void let_read(struct stream *stream reeve_unused)
{
}

static void resumed(struct stream *stream reeve_unused)
{
}

/* Before it was asked for, the socket may have become free: epoll tells of that, too. */
static void await_room(struct stream *stream)
{
    if (stream->armed)
        return;
    stream->armed = true;
    rewatch(stream->engine, stream->fd, WATCHED | EPOLLOUT, &stream->source);
}

/* A Unix socket tells whenever the peer has read; TCP only when it was full, and may stay armed. */
static void forget_room(struct stream *stream)
{
    if (!stream->armed)
        return;
    stream->armed = false;
    rewatch(stream->engine, stream->fd, WATCHED, &stream->source);
}

/* It always does. */
static void await_hangup(struct stream *stream reeve_unused)
{
}

static bool put_off(struct stream *stream reeve_unused, const struct gather *gather reeve_unused)
{
    return false;
}

static bool recall(struct stream *stream reeve_unused, struct iovec *ret reeve_unused)
{
    return false;
}

/* ---- listeners ---- */

/* The kernel wakes the first of the socket's queue that sleeps. */
static int watch_listener(struct engine *engine, int fd, struct source *source, struct error *err)
{
    return watch(engine, fd, EPOLLIN | EPOLLEXCLUSIVE, source, err);
}

static void unwatch_listener(struct engine *engine, int fd, struct source *source reeve_unused)
{
    unwatch(engine, fd);
}

static int rewatch_listener(struct engine *engine, int fd, struct source *source, struct error *err)
{
    unwatch(engine, fd);
    return watch_listener(engine, fd, source, err);
}

/* ---- turns ---- */

static int milliseconds(int64_t wait_us)
{
    if (wait_us <= 0)
        return (int)wait_us;
    /* Far deadlines: woken early, it finds nothing expired and sleeps again. */
    int64_t wait_ms = (wait_us - 1) / TIME_MS + 1;
    return wait_ms < INT_MAX ? (int)wait_ms : INT_MAX;
}

static void wait_for_events(struct engine *engine, int64_t wait_us)
{
    struct epoll_turn *epoll = engine->epoll;
    epoll->count = epoll_wait(epoll->fd, epoll->events, EVENTS_A_TURN, milliseconds(wait_us));
    if (epoll->count < 0 && errno != EINTR) {
        log_error("cannot wait for events: %s", strerrordesc_np(errno));
        abort();
    }
}

static void hand_out_some(const struct epoll_turn *epoll, bool first)
{
    for (int i = 0; i < epoll->count; i++) {
        struct source *source = epoll->events[i].data.ptr;
        if (source->first == first)
            source->ready(source, epoll->events[i].events);
    }
}

static void hand_out(struct engine *engine)
{
    hand_out_some(engine->epoll, true);
    hand_out_some(engine->epoll, false);
}

static void settle(struct engine *engine reeve_unused)
{
}

static int open_epoll(struct engine *engine, struct error *err)
{
    engine->epoll = xcalloc(1, sizeof(*engine->epoll));
    engine->epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (engine->epoll->fd < 0)
        return error_errno(err, errno, "cannot make an epoll descriptor");
    return watch(engine, engine->wake_fd, EPOLLIN | EPOLLET, &engine->wake, err);
}

static void close_epoll(struct engine *engine)
{
    if (engine->epoll && engine->epoll->fd >= 0)
        close(engine->epoll->fd);
    free(engine->epoll);
}

const struct poller epoll_poller = {
    .name = "epoll",
    .open = open_epoll,
    .close = close_epoll,
    .wait = wait_for_events,
    .hand_out = hand_out,
    .settle = settle,
    .watch_stream = watch_stream,
    .unwatch_stream = unwatch_stream,
    .let_read = let_read,
    .resumed = resumed,
    .await_room = await_room,
    .forget_room = forget_room,
    .await_hangup = await_hangup,
    .put_off = put_off,
    .recall = recall,
    .watch_listener = watch_listener,
    .unwatch_listener = unwatch_listener,
    .rewatch_listener = rewatch_listener,
};

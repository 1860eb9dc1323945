/*
 * listener.c - accepting.
 *
 * The same descriptor is watched by every worker, exclusively: the kernel tells the first of its
 * queue. Who has accepted goes to the end of the queue, so that they take turns. (io_uring's accept
 * that goes on by itself would stay the first, and leave the other workers without clients.)
 */
#include "net/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"

enum {
    ACCEPTS_A_TURN = 8,
    REST_US = 100 * TIME_MS, /* when descriptors are used up */
};

struct listener {
    struct source source; /* first */
    struct remains remains;
    struct engine *engine;
    int fd;
    void (*accepted)(void *owner, int fd);
    void *owner;
    struct timer rest;
    bool watched;
    bool short_of; /* descriptors: said so once */
    bool closed;
};

static int watch(struct listener *listener, struct error *err)
{
    struct engine *engine = listener->engine;
    int result = engine->poller->watch_listener(engine, listener->fd, &listener->source, err);
    listener->watched = result == 0;
    return result;
}

/* io_uring may tell of a client meanwhile: nobody listens any more. */
static void unwatch(struct listener *listener)
{
    struct engine *engine = listener->engine;
    bool watched = listener->watched;
    listener->watched = false;
    if (watched)
        engine->poller->unwatch_listener(engine, listener->fd, &listener->source);
}

/* Until the timer ends it. What waits in the kernel's queue would wake us without end. */
static void rest(struct listener *listener)
{
    unwatch(listener);
    timer_start(&listener->rest, engine_now_us(listener->engine) + REST_US);
}

static void check_watched(struct listener *listener, int result, const struct error *err)
{
    listener->watched = result == 0;
    if (result == 0)
        return;
    log_write_error(LOG_ERROR, err, "a listening socket");
    rest(listener);
}

static void go_to_the_end(struct listener *listener)
{
    struct engine *engine = listener->engine;
    struct error err;
    int result = engine->poller->rewatch_listener(engine, listener->fd, &listener->source, &err);
    check_watched(listener, result, &err);
}

static void rest_over(void *owner)
{
    struct listener *listener = owner;
    struct error err;
    int result = watch(listener, &err);
    check_watched(listener, result, &err);
}

static void cannot_accept(struct listener *listener, int error_number)
{
    if (!listener->short_of)
        log_warning("cannot accept connections: %s; trying again every %d ms",
                    strerrordesc_np(error_number), REST_US / TIME_MS);
    listener->short_of = true;
    rest(listener);
}

/* False: enough for now. */
static bool accept_one(struct listener *listener, bool *ret_accepted)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        listener->short_of = false;
        *ret_accepted = true;
        listener->accepted(listener->owner, fd);
        engine_flush_forgotten(listener->engine);
        return !listener->closed;
    }
    switch (errno) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        cannot_accept(listener, errno);
        return false;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
    case EFAULT:
        log_error("cannot accept connections: %s", strerrordesc_np(errno));
        unwatch(listener);
        return false;
    default:
        return true; /* that connection is gone, or its network is */
    }
}

static void listener_ready(struct source *source, uint32_t events reeve_unused)
{
    struct listener *listener = container_of(source, struct listener, source);
    bool accepted = false;
    if (listener->closed || !listener->watched)
        return;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        if (!accept_one(listener, &accepted))
            break;
    }
    if (listener->closed || !listener->watched)
        return;
    if (accepted || listener->source.once)
        go_to_the_end(listener);
}

/* Both are inherited by the sockets that are accepted. */
static void set_options(int fd)
{
    int domain = 0;
    int on = 1;
    socklen_t size = sizeof(domain);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain == AF_UNIX)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

int listener_create(struct engine *engine, int fd, void (*accepted)(void *owner, int fd),
                    void *owner, struct listener **ret, struct error *err)
{
    /* Another engine may have accepted what we were woken for. */
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return error_errno(err, errno, "cannot use a listening socket");
    set_options(fd);
    struct listener *listener = xcalloc(1, sizeof(*listener));
    listener->source.ready = listener_ready;
    listener->source.remains = &listener->remains;
    listener->engine = engine;
    listener->fd = fd;
    listener->accepted = accepted;
    listener->owner = owner;
    timer_init(&listener->rest, engine, rest_over, listener);
    int result = watch(listener, err);
    if (result < 0) {
        free(listener);
        return result;
    }
    *ret = listener;
    return 0;
}

static void release(struct remains *remains)
{
    free(container_of(remains, struct listener, remains));
}

void listener_close(struct listener *listener)
{
    if (!listener)
        return;
    unwatch(listener);
    timer_stop(&listener->rest);
    listener->closed = true;
    engine_bury(listener->engine, &listener->remains, release);
}

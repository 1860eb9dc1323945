/*
 * internal.h - the engine as the files of this room see it.
 *
 * A turn: wait, the sources that something came of, letters among them; timers; what was scheduled;
 * the end-of-turn callback; then the memory of what was closed is freed. Nothing else frees it, so
 * a pointer that was good when a callback was entered can be looked at when it returns.
 *
 * How to wait, and what the kernel is asked to do meanwhile, is the poller's: engine_epoll.c or
 * engine_uring.c. Everything else is the same for both.
 */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "base/list.h"
#include "net/engine.h"

struct io_uring_sqe;

/* Something closed whose memory is kept until the end of the turn. */
struct remains {
    struct list link;
    void (*release)(struct remains *remains);
    unsigned requests; /* of it that io_uring has not told the end of: kept longer */
};

/* What the kernel tells of. Of epoll, a descriptor that it watches; of io_uring, a request. */
struct source {
    /* EPOLLIN and the like. */
    void (*ready)(struct source *source, uint32_t events);
    bool first; /* in a turn, in front of those that are not */
    bool once;  /* it is told of once, and must be watched again */

    /* io_uring's */
    int fd;
    void (*prepare)(struct source *source, struct io_uring_sqe *sqe);
    void (*done)(struct source *source, int result, uint32_t flags);
    struct remains *remains; /* of what it belongs to; NULL: the engine's own */
    struct list asking;      /* uring.asking, until it is submitted */
    bool in_flight;          /* submitted, and the last completion has not come */
    bool cancelling;
};

/* Output that a stream borrows until it is flushed. Taken from the engine, so that a stream at rest
 * has none. */
struct gather {
    struct list link; /* engine.gathers or engine.spare_gathers */
    struct stream *stream;
    size_t bytes;
    int count;
    struct iovec vectors[STREAM_WRITE_VECTORS];
};

enum { SPARE_BUFFERS = 16 };

/* Buffers between two uses: small ones apart, as a few bytes may be kept for long. */
struct spares {
    struct buffer buffers[SPARE_BUFFERS];
    size_t count;
};

struct uring;
struct epoll_turn;

/* The two ways to wait. All but `name` is called on the engine's thread. */
struct poller {
    const char *name;
    int (*open)(struct engine *engine, struct error *err);
    void (*close)(struct engine *engine); /* also after an `open` that failed */
    /* Waits until something came, at most so long (-1: for ever). Tells nobody. */
    void (*wait)(struct engine *engine, int64_t wait_us);
    void (*hand_out)(struct engine *engine);
    /* Output that was put off is written: the engine does not go on. */
    void (*settle)(struct engine *engine);

    int (*watch_stream)(struct stream *stream, struct error *err);
    /* Nothing of this engine looks at the socket any more. What was read is in `in`. */
    void (*unwatch_stream)(struct stream *stream);
    /* From now on the stream reads the socket itself, as `readable` says. */
    void (*let_read)(struct stream *stream);
    /* It wants input again: it is not paused any more, or without an owner. */
    void (*resumed)(struct stream *stream);
    /* Tells when the socket takes more: at least once, from when it was full. */
    void (*await_room)(struct stream *stream);
    /* It told so although nobody waits. */
    void (*forget_room)(struct stream *stream);
    /* Tells when the peer has hung up, also while the stream is paused. */
    void (*await_hangup)(struct stream *stream);
    /* Keeps a copy of what is to be written until the turn ends. False: write it now, and what was
     * put off before it, which `recall` gives. */
    bool (*put_off)(struct stream *stream, const struct gather *gather);
    /* What was put off is the caller's to write, at once. False: there is nothing. */
    bool (*recall)(struct stream *stream, struct iovec *ret);

    /* A listening socket, shared with other engines: one of them is told of a connection. */
    int (*watch_listener)(struct engine *engine, int fd, struct source *source, struct error *err);
    void (*unwatch_listener)(struct engine *engine, int fd, struct source *source);
    /* To the end of the queue of those who wait for a connection. */
    int (*rewatch_listener)(struct engine *engine, int fd, struct source *source,
                            struct error *err);
};

struct engine {
    const struct poller *poller;
    struct epoll_turn *epoll; /* of engine_epoll.c, or NULL */
    struct uring *uring;      /* of engine_uring.c, or NULL */
    bool running;             /* in engine_run */
    int wake_fd;              /* an eventfd, edge-triggered: it is never read */
    struct source wake;
    atomic_bool stopping; /* engine_stop was called */
    atomic_bool woken;    /* wake_fd was written and mailboxes have not been emptied since */
    int64_t now_us;
    void (*turn_end)(void *owner);
    void *turn_end_owner;
    struct timer **heap; /* from index 1: the earliest first */
    size_t heap_count;
    size_t heap_capacity;
    bool expiring;         /* timers, just now */
    struct list scheduled; /* struct stream: has something to do at the end of the turn */
    struct list streams;
    struct list mailboxes;
    struct list remains;
    struct list gathers;
    struct list spare_gathers;
    struct spares small, large;
    size_t scratch_used;
    char scratch[STREAM_READ_SIZE]; /* what stream_write copied, until the flush */
    char bytes[STREAM_READ_SIZE];   /* what is read, until `received` returns */
};

/* ---- engine.c ---- */
/* Thread-safe; async-signal-safe. */
void engine_wake(struct engine *engine);
void engine_bury(struct engine *engine, struct remains *remains,
                 void (*release)(struct remains *remains));
/* Output that a callback borrowed bytes for and did not flush: they may be gone when it returned.
 */
void engine_flush_forgotten(struct engine *engine);

/* An empty buffer that has room for `length` bytes, of any size; and back. */
struct buffer engine_take_buffer(struct engine *engine, size_t length);
void engine_give_buffer(struct engine *engine, struct buffer *buffer);
struct gather *engine_take_gather(struct engine *engine, struct stream *stream);
void engine_give_gather(struct engine *engine, struct gather *gather);

/* ---- timer.c ---- */
void engine_expire_timers(struct engine *engine);
/* Microseconds until the earliest timer; -1 when there is none. */
int64_t engine_timer_wait_us(const struct engine *engine);

/* ---- mailbox.c ---- */
void engine_receive_letters(struct engine *engine);

/* ---- engine_epoll.c, engine_uring.c ---- */
extern const struct poller epoll_poller;
#ifdef REEVE_IO_URING
extern const struct poller uring_poller;
/* Whether this kernel lets this process use io_uring as we do: by doing so, with a socket pair. */
int uring_probe(struct error *err);
#endif

/* ---- stream.c ---- */
/* A stream that was scheduled. */
void stream_run_scheduled(struct list *scheduled);
/* Every stream that is left. */
void stream_close_all(struct engine *engine);

#endif

/*
 * internal.h - the engine as the files of this room see it.
 *
 * A turn: wait in epoll, the sources that are ready, letters among them; timers; what was
 * scheduled; the end-of-turn callback; then the memory of what was closed is freed. Nothing else
 * frees it, so a pointer that was good when a callback was entered can be looked at when it
 * returns.
 */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "base/list.h"
#include "net/engine.h"

/* What epoll tells of; the first member of its owner. */
struct source {
    void (*ready)(struct source *source, uint32_t events);
    bool first; /* in a turn, in front of those that are not */
};

/* Something closed whose memory is kept until the end of the turn. */
struct remains {
    struct list link;
    void (*release)(struct remains *remains);
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

struct engine {
    int epoll_fd;
    int wake_fd; /* an eventfd, edge-triggered: it is never read */
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
int engine_watch(struct engine *engine, int fd, uint32_t events, struct source *source,
                 struct error *err);
void engine_rewatch(struct engine *engine, int fd, uint32_t events, struct source *source);
/* Before a descriptor is closed: a copy of it elsewhere (libpq's) would keep it in epoll. */
void engine_unwatch(struct engine *engine, int fd);
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
/* Milliseconds until the earliest timer, rounded up; -1 when there is none. */
int engine_timer_wait_ms(const struct engine *engine);

/* ---- mailbox.c ---- */
void engine_receive_letters(struct engine *engine);

/* ---- stream.c ---- */
/* A stream that was scheduled. */
void stream_run_scheduled(struct list *scheduled);
/* Every stream that is left. */
void stream_close_all(struct engine *engine);

#endif

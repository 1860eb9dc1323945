/*
 * uring.h - the io_uring poller as its own files see it.
 *
 * A request is in one of these states; the first two cost no system call:
 *
 *   idle -> asking -> in flight -> idle
 *
 *   asking     it is submitted when the turn ends
 *   in flight  the kernel has it; each completion but the last says that there are more
 *
 * What a request belongs to is kept in memory until its last completion was handled
 * (remains.requests). Completions are collected from the ring into `events`, and handled from
 * there, so that they can be collected at any time: uring_withdraw does, and finds in them what the
 * kernel had read for a stream that reads by itself from now on.
 *
 * Nothing is read by the kernel while callbacks run, as the ring defers its work to our waiting
 * (DEFER_TASKRUN); where the kernel cannot do so it may, and nothing here relies on it.
 */
#ifndef NET_URING_H
#define NET_URING_H

#include <liburing.h>
#include <pthread.h>

#include "net/stream.h"

enum {
    URING_ENTRIES = 256,       /* requests between two submissions of which there may be many */
    URING_COMPLETIONS = 4096,  /* more than that cost a system call */
    URING_BUFFERS = 256,       /* a power of two; streams that are read in one turn */
    URING_BUFFER_SIZE = 16384, /* most bytes that a stream is fed at once */
    URING_BUFFER_GROUP = 0,
    LATE_WRITES = 128,
    LATE_WRITE_MAX = 16384, /* a larger one is not worth a copy */
    LATE_SPACE = 256 * 1024,
};

struct uring_event {
    uint64_t user_data; /* a struct source; an index of `late` and a bit; 0: it is handled */
    int result;
    uint32_t flags;
};

/* Output that is written when the turn ends. */
struct late_write {
    struct stream *stream; /* NULL: it was recalled */
    struct iovec bytes;    /* of `late_bytes` */
};

struct uring {
    struct io_uring ring;
    bool made, enabled;
    pthread_t issuer; /* the thread that runs the engine; the kernel takes requests of no other */
    struct list asking;
    struct uring_event *events;
    size_t event_count, event_capacity;
    size_t late_failures; /* among them */

    struct io_uring_buf_ring *buffer_ring; /* in front of the buffers, in one mapping */
    char *buffers;

    uint64_t turn; /* of the late writes; from 1 */
    size_t late_count, late_used;
    struct late_write late[LATE_WRITES];
    char late_bytes[LATE_SPACE];
};

/* ---- uring_probe.c ---- */
/* A ring with our flags, disabled until uring_enable_ring. Both return 0 or a negative errno. */
int uring_make_ring(struct io_uring *ring, unsigned entries, unsigned completions);
int uring_enable_ring(const struct io_uring *ring);
/* What reads and writes are prepared as: the engine and the probe must not differ. */
void uring_prepare_receive(struct io_uring_sqe *sqe, int fd);
void uring_prepare_send(struct io_uring_sqe *sqe, int fd, const void *bytes, size_t length);

/* ---- engine_uring.c ---- */
/* Submits it with the turn's end, unless the kernel has it. */
void uring_ask(struct engine *engine, struct source *source);
/* The kernel ends it soon. */
void uring_cancel(struct engine *engine, struct source *source);
/* When this returns the kernel has ended them, and their completions have been handled. */
void uring_withdraw(struct engine *engine, struct source *const *sources, size_t count);
/* Writes what was put off. Calls nobody back. */
void uring_write_late(struct engine *engine);
/* Of a completion of uring_prepare_receive: the bytes, and the buffer back to the kernel. */
char *uring_buffer(const struct uring *uring, uint32_t flags);
void uring_give_buffer(struct uring *uring, uint32_t flags);

/* ---- stream_uring.c: the poller's functions of streams ---- */
int uring_watch_stream(struct stream *stream, struct error *err);
void uring_unwatch_stream(struct stream *stream);
void uring_let_read(struct stream *stream);
void uring_resumed(struct stream *stream);
void uring_await_room(struct stream *stream);
void uring_forget_room(struct stream *stream);
void uring_await_hangup(struct stream *stream);
bool uring_put_off(struct stream *stream, const struct gather *gather);
bool uring_recall(struct stream *stream, struct iovec *ret);

#endif

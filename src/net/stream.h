/*
 * stream.h - a stream as its own files see it.
 *
 *   OPEN -> LOST -> ENDING -> CLOSED, and past any of them
 *
 *   LOST    the owner was told `closed`, and hears nothing more
 *   ENDING  the owner has gone; output is still written, input thrown away
 *
 * Reading is edge-triggered: the engine tells once that bytes came, `readable` remembers it until
 * the socket was found empty. So pausing and resuming cost no system call. Writability is asked for
 * (armed) when the socket was full for the first time.
 *
 * A stream that is `fed` does not read: io_uring brings the bytes (stream_feed). It is so for plain
 * text alone, and ends for good when the stream has to read by itself (let_read).
 *
 * What must hold: `out` has bytes only while the stream waits for something (blocked, or a
 * handshake), `gather` only while it does not; `in` has bytes only while `received` does not run,
 * but for pushed ones.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "net/internal.h"
#include "net/socket_bio.h"

enum stream_state { STREAM_OPEN, STREAM_LOST, STREAM_ENDING, STREAM_CLOSED };

enum stream_tls {
    TLS_OFF,
    TLS_BEHIND_PLAIN, /* the handshake begins when `plain_left` bytes of output are written */
    TLS_HANDSHAKE,
    TLS_ON,
};

struct stream {
    struct source source; /* what comes in, and of epoll everything; first */
    struct source room;   /* io_uring: the socket takes more */
    struct source gone;   /* io_uring: the peer has hung up, of a stream that is not fed just now */
    struct remains remains;
    struct list link;      /* engine.streams */
    struct list scheduled; /* engine.scheduled */
    struct engine *engine;
    int fd;
    enum stream_state state;
    enum stream_tls tls;
    SSL *ssl;
    struct socket_bio *bio; /* of ssl; NULL when it is not our kind */
    bool ssl_owned;

    bool fed;
    bool withdrawing; /* what io_uring has read already is taken into `in`, nobody is told */
    bool readable;    /* the socket, or the TLS session, may have bytes */
    bool hangup;      /* the peer has closed its side: read on until the end */
    bool ended;       /* it was read */
    bool paused;
    bool tell_hangup; /* also while paused */
    bool redeliver;   /* give `received` what is kept, although nothing new came */
    bool armed;       /* the engine tells of writability */
    bool blocked;     /* the socket did not take all: wait for the engine */
    bool output_failed;
    bool read_wants_write; /* TLS */
    bool write_wants_read;

    const struct stream_events *events;
    void *owner;
    const char *delivered; /* what `received` looks at now */
    size_t delivering;     /* bytes of it */
    struct buffer in;      /* left unconsumed, from in_at */
    size_t in_at;
    struct buffer out; /* not taken by the socket, from out_at */
    size_t out_at;
    size_t put_off_at;     /* io_uring: index of what is written when this turn ends, */
    uint64_t put_off_turn; /* if that was put off in this turn */
    size_t plain_left;     /* of `out`, while TLS_BEHIND_PLAIN */
    struct gather *gather; /* queued */
    struct error *failure; /* the first one */
    struct timer grace;    /* ENDING */
};

/* ---- stream.c ---- */
void stream_set_state(struct stream *stream, enum stream_state state);
/* Something is to be done at the end of the turn. */
void stream_schedule(struct stream *stream);
/* Remembers why it is lost; the first reason stays. The owner is told by stream_input. */
void stream_fail(struct stream *stream, enum error_code code, const char *format, ...)
    reeve_printf(3, 4);
/* The engine told of the socket: EPOLLIN and the like. */
void stream_ready(struct stream *stream, uint32_t events);
/* Behind what is kept. */
void stream_keep_input(struct stream *stream, const char *bytes, size_t length);

/* ---- stream_input.c ---- */
/* Reads and delivers what there is; goes on with a handshake. The stream may be closed then. */
void stream_input(struct stream *stream);
/* What was read and is left: given again when more comes, or when the owner resumes. */
static inline size_t stream_kept(const struct stream *stream)
{
    return stream->in.length - stream->in_at;
}

/* NULL when there is none. */
static inline const char *stream_kept_bytes(const struct stream *stream)
{
    return stream->in.data ? stream->in.data + stream->in_at : NULL;
}

void stream_forget_kept(struct stream *stream);

/* Bytes that were read for it, which are gone when this returns. */
void stream_feed(struct stream *stream, const char *bytes, size_t length);
/* Reads once what a closed stream would leave in the kernel: TCP would take back what was written.
 */
void stream_discard_input(struct stream *stream);

/* ---- stream_output.c ---- */
static inline size_t stream_output_left(const struct stream *stream)
{
    return stream->out.length - stream->out_at;
}
/* Writes what is left. The owner may be told `drained`; the stream may be closed then. */
void stream_drain(struct stream *stream);
/* Writes what the engine has put off until the turn's end, now. */
void stream_flush_put_off(struct stream *stream);
/* Tries once, tells nobody. */
void stream_last_write(struct stream *stream);
/* Of what was put off, `sent` bytes were written or, with an error number, none ever will be. */
void stream_written_late(struct stream *stream, const struct iovec *bytes, size_t sent,
                         int error_number);
void stream_output_broken(struct stream *stream, int error_number);
void stream_drop_output(struct stream *stream);

/* ---- stream_tls.c ---- */
static inline bool stream_tls_starting(const struct stream *stream)
{
    return stream->tls == TLS_BEHIND_PLAIN || stream->tls == TLS_HANDSHAKE;
}
/* As recv and send: the bytes read or written, and flags of the stream. */
size_t stream_tls_receive(struct stream *stream, char *place, size_t room);
size_t stream_tls_send(struct stream *stream, const char *bytes, size_t length);
/* False: it waits for the peer. */
bool stream_tls_handshake(struct stream *stream);
void stream_tls_adopt(struct stream *stream, SSL *ssl, bool owned);
void stream_tls_shut_down(struct stream *stream);

#endif

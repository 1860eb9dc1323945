/*
 * engine.h - one thread's event loop: streams, listeners, timers, mailboxes.
 *
 * Completion style: the owner is told that bytes came, that output drained, that the peer is gone;
 * it never asks whether a descriptor is ready. That is what lets epoll and io_uring stand behind
 * the same interface.
 *
 * Threads: an engine and everything made on it belong to the thread that runs engine_run, but for
 * mailbox_post and engine_stop, which any thread may call. Before engine_run starts, the creating
 * thread may set it up.
 *
 * Re-entrancy: any function here may be called from any callback, also stream_close on the very
 * stream that calls back: callbacks for it stop at once, its memory lives until the end of the
 * turn.
 */
#ifndef NET_ENGINE_H
#define NET_ENGINE_H

#include <openssl/ssl.h>

#include "base/error.h"
#include "base/buffer.h"

struct engine;
struct stream;
struct listener;
struct mailbox;

/* AUTO: io_uring where the kernel allows it, else epoll. */
enum engine_kind { ENGINE_AUTO, ENGINE_EPOLL, ENGINE_IO_URING };

/* What an engine of this kind would be here: `kind` itself or, of AUTO, one of the others; then
 * ret_reason, if not NULL, says why io_uring was not chosen (code 0 when it was).
 * ERROR_UNSUPPORTED when it cannot be made: not built in, an old kernel, a container that refuses
 * the calls. */
int engine_choose(enum engine_kind kind, enum engine_kind *ret, struct error *ret_reason,
                  struct error *err);
/* AUTO: epoll, too, where io_uring was chosen and this one cannot be made after all (memory that
 * may be locked is limited). Any other kind is made or fails. */
int engine_create(enum engine_kind kind, struct engine **ret, struct error *err);
/* Everything made on it must be closed before. Accepts NULL. */
void engine_free(struct engine *engine);
/* Runs turns until engine_stop; always on the same thread. Sleeps without a timeout while there is
 * no timer: an idle engine uses no CPU. */
void engine_run(struct engine *engine);
/* Thread-safe; async-signal-safe. */
void engine_stop(struct engine *engine);
/* time_monotonic_us() as of the beginning of this turn. */
int64_t engine_now_us(const struct engine *engine);
/* "epoll" or "io_uring". */
const char *engine_name(const struct engine *engine);
const char *engine_kind_name(enum engine_kind kind);
/* Called at the end of every turn, before sleeping. */
void engine_on_turn_end(struct engine *engine, void (*callback)(void *owner), void *owner);

/* ---- timers ----
 * Intrusive; zero-initialised with timer_init; a timer that is running may be started again. */
struct timer {
    struct engine *engine;
    void (*expired)(void *owner);
    void *owner;
    int64_t deadline_us;
    size_t heap_index; /* of the engine; 0 means not running */
};
void timer_init(struct timer *timer, struct engine *engine, void (*expired)(void *owner),
                void *owner);
/* Monotonic microseconds. Never expires before the function returns. */
void timer_start(struct timer *timer, int64_t deadline_us);
void timer_stop(struct timer *timer);
bool timer_running(const struct timer *timer);

/* ---- listeners ----
 * The descriptor is shared by the engines of all workers (each is woken in its turn) and stays the
 * caller's. `accepted` owns the new descriptor: non-blocking, close-on-exec, TCP_NODELAY set. */
int listener_create(struct engine *engine, int fd, void (*accepted)(void *owner, int fd),
                    void *owner, struct listener **ret, struct error *err);
/* Stops accepting; what waits in the kernel's queue is left there. Accepts NULL. */
void listener_close(struct listener *listener);

/* Bind and listen; non-blocking. host NULL or "*" means every address. Several addresses may come
 * of one host: at most `maximum` descriptors are written. Returns their number or an error. */
int net_listen_tcp(const char *host, int port, int *ret_fds, int maximum, struct error *err);
/* A stale socket file is replaced, one that a live process listens on is not. Mode 0777 as
 * PostgreSQL's unix_socket_permissions: who may log in is decided by the login. */
int net_listen_unix(const char *path, int *ret_fd, struct error *err);
/* The port of a bound TCP socket, for port 0. */
int net_local_port(int fd);
/* True for a Unix socket or a loopback peer (127.0.0.0/8, ::1, mapped too). */
bool net_peer_is_local(int fd);
/* "127.0.0.1:4711", "[::1]:4711" or "unix". */
void net_peer_name(int fd, char *ret_text, size_t size);

/* ---- mailboxes ----
 * Letters from other threads; intrusive and in order; the receiver owns a letter again. Many posts
 * between two turns cost one wake-up. */
struct letter {
    struct letter *next;
};
int mailbox_create(struct engine *engine, void (*received)(void *owner, struct letter *letter),
                   void *owner, struct mailbox **ret, struct error *err);
void mailbox_post(struct mailbox *mailbox, struct letter *letter);
/* Letters that were not received are handed to `received` first. Accepts NULL. */
void mailbox_free(struct mailbox *mailbox);

/* ---- streams ---- */
enum {
    STREAM_READ_SIZE = 64 * 1024, /* most bytes that `received` is given at once */
    STREAM_WRITE_VECTORS = 64,
};

struct stream_events {
    /*
     * Bytes came: those left over from the last call, and new ones behind them. Returns how many
     * were consumed; the rest is kept and given again with what comes next, or after
     * stream_resume_read. To leave STREAM_READ_SIZE bytes unconsumed without pausing is a defect of
     * the owner and closes the stream. The bytes are valid until the callback returns.
     */
    size_t (*received)(void *owner, const char *bytes, size_t length);
    /* Output that did not fit into the socket has all been written. */
    void (*drained)(void *owner);
    /* The handshake begun with stream_start_tls is done. May be NULL. */
    void (*secured)(void *owner);
    /* The peer closed (reason->code 0) or the stream failed. Comes once, nothing after it; bytes
     * that were left unconsumed are lost. What came before is delivered first: while paused, only a
     * failed write is told, and what stream_tell_hangup asks for. The owner calls stream_close. */
    void (*closed)(void *owner, const struct error *reason);
};

/*
 * Takes a connected, non-blocking socket; the stream owns it, and `ssl` too when `ssl_owned`.
 * ssl is NULL for plain text, or a session past its handshake whose BIO reads and writes the
 * socket itself (libpq's, or one of stream_detach). Reading starts at the end of this turn.
 */
int stream_create(struct engine *engine, int fd, SSL *ssl, bool ssl_owned,
                  const struct stream_events *events, void *owner, struct stream **ret,
                  struct error *err);
/* Closes the socket (after trying to write what is queued, without waiting). Accepts NULL. */
void stream_close(struct stream *stream);
/* As stream_close, once everything queued was written or `grace_us` passed; the owner hears nothing
 * more of it and input is thrown away. */
void stream_close_after_write(struct stream *stream, int64_t grace_us);
/* Gives the descriptor and TLS session up to be adopted by another engine. Input that was not
 * consumed is copied to ret_input (bytes that were read ahead). Output must be empty
 * (-ERROR_STATE otherwise, and nothing changes). The stream is closed but for its descriptor. From
 * within `received` none of the bytes that it was given count as consumed: the owner skips those
 * that it took. */
int stream_detach(struct stream *stream, int *ret_fd, SSL **ret_ssl, struct buffer *ret_input,
                  struct error *err);
/* Gives bytes that were read ahead elsewhere to `received` before any that are read. */
void stream_push_input(struct stream *stream, const char *bytes, size_t length);
/* Another owner and other callbacks from now on. */
void stream_set_owner(struct stream *stream, const struct stream_events *events, void *owner);

/* Server side of a TLS handshake on a plain stream: what is received is handshake from now on, and
 * output queued before is written in plain text first. Fails with -ERROR_PROTOCOL when input is
 * left unconsumed (bytes sent before the handshake: CVE-2021-23222). From within `received` it
 * cannot know yet: what that call leaves unconsumed fails the stream, with the same error, by
 * `closed`. */
int stream_start_tls(struct stream *stream, SSL_CTX *context, struct error *err);
/* The same for a client that begins with the handshake: `bytes` are what `received` was given, all
 * of which it must then say that it consumed. Within `received` alone. */
int stream_start_direct_tls(struct stream *stream, SSL_CTX *context, const char *bytes,
                            size_t length, struct error *err);
/* From the next turn on its events are handled before those of streams that are not so: what a
 * server said (that it ends, that it is free) is known before a client is taken to it. */
void stream_set_first(struct stream *stream);
SSL *stream_ssl(struct stream *stream); /* NULL for plain text; the stream's */
int stream_fd(const struct stream *stream);

/* While paused `received` is not called; what came in one turn at most is kept. */
void stream_pause_read(struct stream *stream);
/* Delivers what is kept, not before the turn's end. */
void stream_resume_read(struct stream *stream);
bool stream_read_paused(const struct stream *stream);
/* While this is on and the stream is paused, `closed` is told as soon as the peer has closed its
 * side of the socket, or had before, although what it sent in front of that was not delivered, and
 * is lost. It costs no system call. Never told before the function returns. */
void stream_tell_hangup(struct stream *stream, bool on);

/*
 * Output. stream_queue borrows the bytes until stream_flush; stream_write copies them now. Order is
 * kept between the two. stream_flush writes at once with one system call if it can, and keeps a
 * copy of what the socket did not take; within a turn io_uring may keep a small one and write it
 * with everybody's at the turn's end. Everything queued must be flushed before the callback that
 * borrowed bytes returns. Output is unbounded here: owners look at stream_pending and pause the
 * other side.
 */
void stream_queue(struct stream *stream, const char *bytes, size_t length);
void stream_write(struct stream *stream, const char *bytes, size_t length);
void stream_flush(struct stream *stream);
/* Bytes that the socket has not taken; not those that it is given at the end of this turn. */
size_t stream_pending(const struct stream *stream);

#endif

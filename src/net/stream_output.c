/*
 * stream_output.c - from stream_queue and stream_write to the socket, or the TLS session.
 *
 * Queued pieces are vectors of the stream's gather until they are flushed; what the socket does not
 * take is copied to `out`, and everything behind it, until `out` was written. Between the two there
 * may be what the engine has put off: a copy of small pieces, written when the turn ends.
 */
#include "net/stream.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/failpoint.h"

enum { COMPACT_SIZE = 64 * 1024 }; /* bytes written of `out` that are worth moving the rest */

void stream_drop_output(struct stream *stream)
{
    if (stream->gather)
        engine_give_gather(stream->engine, take_pointer(stream->gather));
    engine_give_buffer(stream->engine, &stream->out);
    stream->out_at = 0;
    stream->plain_left = 0;
}

void stream_output_broken(struct stream *stream, int error_number)
{
    if (stream->output_failed)
        return;
    stream_fail(stream, ERROR_CONNECTION, "cannot write: %s", strerrordesc_np(error_number));
    stream->output_failed = true;
    /* What the peer sent before it went is read first: it may say why. */
    stream->engine->poller->let_read(stream);
    stream->readable = true;
    stream->hangup = true;
    stream_schedule(stream);
}

/* Nothing can be written now; what is queued is copied. */
static bool must_wait(const struct stream *stream)
{
    return stream->out.length > 0 || stream_tls_starting(stream);
}

static void append_output(struct stream *stream, const char *bytes, size_t length)
{
    if (stream->out.length == 0) {
        engine_give_buffer(stream->engine, &stream->out);
        stream->out = engine_take_buffer(stream->engine, length);
        stream->out_at = 0;
    } else if (stream->out_at >= COMPACT_SIZE && stream->out_at >= stream->out.length / 2) {
        buffer_consume(&stream->out, stream->out_at);
        stream->out_at = 0;
    }
    buffer_append(&stream->out, bytes, length);
}

/* ---- queueing ---- */

static void add_vector(struct gather *gather, const char *bytes, size_t length)
{
    struct iovec *last = gather->count > 0 ? &gather->vectors[gather->count - 1] : NULL;
    if (last && (char *)last->iov_base + last->iov_len == bytes)
        last->iov_len += length; /* messages that are passed on side by side */
    else
        gather->vectors[gather->count++] =
            (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    gather->bytes += length;
}

void stream_queue(struct stream *stream, const char *bytes, size_t length)
{
    if (length == 0 || stream->state == STREAM_CLOSED || stream->output_failed)
        return;
    if (stream->gather && stream->gather->count == STREAM_WRITE_VECTORS)
        stream_flush(stream);
    if (stream->output_failed)
        return;
    if (must_wait(stream)) {
        append_output(stream, bytes, length);
        return;
    }
    if (!stream->gather)
        stream->gather = engine_take_gather(stream->engine, stream);
    add_vector(stream->gather, bytes, length);
}

void stream_write(struct stream *stream, const char *bytes, size_t length)
{
    struct engine *engine = stream->engine;
    if (length == 0 || stream->state == STREAM_CLOSED || must_wait(stream)) {
        stream_queue(stream, bytes, length);
        return;
    }
    if (list_empty(&engine->gathers))
        engine->scratch_used = 0;
    if (length > sizeof(engine->scratch) - engine->scratch_used) {
        /* In order behind what is queued, and copied as far as the socket does not take it. */
        stream_queue(stream, bytes, length);
        stream_flush(stream);
        return;
    }
    char *copy = engine->scratch + engine->scratch_used;
    memcpy(copy, bytes, length);
    engine->scratch_used += length;
    stream_queue(stream, copy, length);
}

/* ---- writing ---- */

static size_t send_plain(struct stream *stream, struct iovec *vectors, int count)
{
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)count};
    ssize_t sent;
    do
        sent = count == 1 ? send(stream->fd, vectors->iov_base, vectors->iov_len, MSG_NOSIGNAL)
                          : sendmsg(stream->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return (size_t)sent;
    if (errno != EAGAIN)
        stream_output_broken(stream, errno);
    return 0;
}

static void wait_for_socket(struct stream *stream)
{
    stream->blocked = true;
    stream->engine->poller->await_room(stream);
}

/* Copies what is behind the first `sent` bytes. */
static void copy_rest(struct stream *stream, const struct gather *gather, size_t sent)
{
    for (int i = 0; i < gather->count; i++) {
        const struct iovec *vector = &gather->vectors[i];
        size_t skipped = sent < vector->iov_len ? sent : vector->iov_len;
        sent -= skipped;
        if (skipped < vector->iov_len)
            append_output(stream, (const char *)vector->iov_base + skipped,
                          vector->iov_len - skipped);
    }
}

static void write_out(struct stream *stream);

static void flush_tls(struct stream *stream, const struct gather *gather)
{
    size_t sent = 0;
    if (gather->count == 1)
        sent = stream_tls_send(stream, gather->vectors->iov_base, gather->bytes);
    if (sent == gather->bytes || stream->output_failed)
        return;
    copy_rest(stream, gather, sent);
    if (gather->count > 1)
        write_out(stream); /* as few records as can be */
}

static void flush_plain(struct stream *stream, struct gather *gather)
{
    const struct poller *poller = stream->engine->poller;
    if (poller->put_off(stream, gather))
        return;
    stream_flush_put_off(stream);
    if (stream->output_failed)
        return;
    if (must_wait(stream)) {
        copy_rest(stream, gather, 0);
        return;
    }
    size_t sent = send_plain(stream, gather->vectors, gather->count);
    if (likely(sent == gather->bytes) || stream->output_failed)
        return;
    copy_rest(stream, gather, sent);
    wait_for_socket(stream);
}

void stream_flush(struct stream *stream)
{
    struct gather *gather = stream->gather;
    if (!gather)
        return;
    stream->gather = NULL;
    if (stream->ssl)
        flush_tls(stream, gather);
    else
        flush_plain(stream, gather);
    engine_give_gather(stream->engine, gather);
}

void stream_written_late(struct stream *stream, const struct iovec *bytes, size_t sent,
                         int error_number)
{
    if (error_number)
        stream_output_broken(stream, error_number);
    if (stream->output_failed || sent == bytes->iov_len)
        return;
    append_output(stream, (const char *)bytes->iov_base + sent, bytes->iov_len - sent);
    wait_for_socket(stream);
}

void stream_flush_put_off(struct stream *stream)
{
    struct iovec bytes;
    if (!stream->engine->poller->recall(stream, &bytes))
        return;
    size_t sent = send_plain(stream, &bytes, 1);
    stream_written_late(stream, &bytes, sent, 0);
}

/* Writes of `out` what can be written now. */
static void write_out(struct stream *stream)
{
    size_t left = stream_output_left(stream);
    bool plain = !stream->ssl || stream->tls == TLS_BEHIND_PLAIN;
    size_t length = stream->tls == TLS_BEHIND_PLAIN ? stream->plain_left : left;
    char *bytes = stream->out.data + stream->out_at;
    size_t sent = plain ? send_plain(stream, &(struct iovec){bytes, length}, 1)
                        : stream_tls_send(stream, bytes, length);
    if (stream->output_failed) {
        stream_drop_output(stream);
        return;
    }
    stream->out_at += sent;
    if (stream->tls == TLS_BEHIND_PLAIN)
        stream->plain_left -= sent;
    if (plain && sent < length)
        wait_for_socket(stream);
    if (sent == left) {
        engine_give_buffer(stream->engine, &stream->out);
        stream->out_at = 0;
    }
}

void stream_drain(struct stream *stream)
{
    if (stream_output_left(stream) == 0 || stream->tls == TLS_HANDSHAKE || stream->output_failed)
        return;
    stream->write_wants_read = false;
    write_out(stream);
    if (stream->output_failed)
        return; /* scheduled */
    if (stream->tls == TLS_BEHIND_PLAIN && stream->plain_left == 0)
        stream->tls = TLS_HANDSHAKE;
    if (stream_output_left(stream) > 0)
        return;
    if (stream->state == STREAM_ENDING) {
        stream_discard_input(stream);
        stream_close(stream);
    } else if (stream->state == STREAM_OPEN && stream->events->drained) {
        stream->events->drained(stream->owner);
        engine_flush_forgotten(stream->engine);
    }
}

void stream_last_write(struct stream *stream)
{
    stream_flush(stream);
    stream_flush_put_off(stream);
    if (stream_output_left(stream) > 0 && stream->tls != TLS_HANDSHAKE && !stream->output_failed)
        write_out(stream);
}

size_t stream_pending(const struct stream *stream)
{
    if (mutation("net.pending"))
        return 0;
    return stream_output_left(stream) + (stream->gather ? stream->gather->bytes : 0);
}

/*
 * stream_input.c - from the socket, or the TLS session, to `received`.
 *
 * Bytes are read into the engine's buffer behind those that were left over, and given from there. A
 * stream that is fed has nothing to read; it is given the bytes where they are, unless something is
 * left over: then they go behind that.
 */
#include "net/stream.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    READS_A_TURN = 4, /* of a stream that always has more: then the others */
    DISCARDS = 16,
    DISCARD_SIZE = 16 * 1024,
};

/* ---- reading ---- */

static size_t receive_plain(struct stream *stream, char *place, size_t room)
{
    ssize_t got;
    do
        got = recv(stream->fd, place, room, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        /* Less than was asked for: it is empty now, and the engine will tell. */
        if ((size_t)got < room && !stream->hangup)
            stream->readable = false;
        return (size_t)got;
    }
    stream->readable = false;
    if (got == 0) {
        stream->ended = true;
    } else if (errno != EAGAIN) {
        stream->ended = true;
        stream_fail(stream, ERROR_CONNECTION, "cannot read: %s", strerrordesc_np(errno));
    }
    return 0;
}

static size_t receive(struct stream *stream, char *place, size_t room)
{
    return stream->ssl ? stream_tls_receive(stream, place, room)
                       : receive_plain(stream, place, room);
}

void stream_discard_input(struct stream *stream)
{
    char sink[DISCARD_SIZE];
    for (int i = 0; i < DISCARDS; i++) {
        if (recv(stream->fd, sink, sizeof(sink), MSG_DONTWAIT) < (ssize_t)sizeof(sink))
            break;
    }
}

/* ---- delivering ---- */

static void tell_closed(struct stream *stream)
{
    struct error reason = {0};
    if (stream->failure)
        reason = *stream->failure;
    stream_set_state(stream, STREAM_LOST);
    stream->events->closed(stream->owner, &reason);
    engine_flush_forgotten(stream->engine);
}

/* Keeps bytes in front of those that were pushed meanwhile. */
static void keep(struct stream *stream, const char *bytes, size_t length)
{
    struct engine *engine = stream->engine;
    if (stream->in_at >= length) { /* where they were, mostly */
        stream->in_at -= length;
        memcpy(stream->in.data + stream->in_at, bytes, length);
        return;
    }
    size_t kept = stream_kept(stream);
    struct buffer behind = stream->in;
    stream->in = engine_take_buffer(engine, length + kept);
    buffer_append(&stream->in, bytes, length);
    if (kept > 0)
        buffer_append(&stream->in, behind.data + stream->in_at, kept);
    stream->in_at = 0;
    engine_give_buffer(engine, &behind);
}

/* A failure of the owner's or the peer's: nothing is read any more, and nothing is delivered. */
static void refuse(struct stream *stream, enum error_code code, const char *text)
{
    stream_fail(stream, code, "%s", text);
    stream->ended = true;
    stream->paused = false;
    stream->redeliver = false;
}

static void deliver(struct stream *stream, const char *bytes, size_t length)
{
    struct engine *engine = stream->engine;
    stream->delivered = bytes;
    stream->delivering = length;
    size_t taken = stream->events->received(stream->owner, bytes, length);
    if (taken > length)
        taken = length;
    stream->delivering = 0;
    engine_flush_forgotten(engine);
    if (stream->state != STREAM_OPEN)
        return;
    if (taken < length)
        keep(stream, bytes + taken, length - taken);
    /* More was pushed than is given at once. */
    if (taken > 0 && stream_kept(stream) > length - taken)
        stream->redeliver = true;
    if (stream_tls_starting(stream) && stream_kept(stream) > 0)
        refuse(stream, ERROR_PROTOCOL, "bytes were sent in front of the TLS handshake");
    else if (taken == 0 && length == STREAM_READ_SIZE && !stream->paused && !stream->redeliver)
        refuse(stream, ERROR_INTERNAL, "input was left unconsumed without a pause");
}

/* Reads once and delivers once, if there is something to deliver. */
static void read_once(struct stream *stream)
{
    struct engine *engine = stream->engine;
    size_t all = stream_kept(stream);
    size_t kept = all < STREAM_READ_SIZE ? all : STREAM_READ_SIZE;
    size_t got = 0;
    if (kept > 0)
        memcpy(engine->bytes, stream_kept_bytes(stream), kept);
    if (stream->readable && !stream->ended && kept < STREAM_READ_SIZE)
        got = receive(stream, engine->bytes + kept, STREAM_READ_SIZE - kept);
    if (got == 0 && !(stream->redeliver && kept > 0))
        return;
    if (kept == all)
        stream_forget_kept(stream);
    else
        stream->in_at += kept;
    stream->redeliver = false;
    deliver(stream, engine->bytes, kept + got);
}

/* Of a stream without an owner. */
static void throw_away(struct stream *stream)
{
    for (int i = 0; i < READS_A_TURN; i++) {
        if (stream->state != STREAM_ENDING || !stream->readable || stream->ended)
            return;
        if (!stream_tls_starting(stream))
            receive(stream, stream->engine->bytes, STREAM_READ_SIZE);
        else if (!stream_tls_handshake(stream))
            return;
    }
    stream_schedule(stream);
}

/* Nothing more is read or redelivered: the end is told, if it was reached. */
static void finish(struct stream *stream)
{
    stream->redeliver = false;
    if (stream->ended || stream->output_failed)
        tell_closed(stream);
    else
        stream->engine->poller->resumed(stream); /* what was kept is taken */
}

void stream_input(struct stream *stream)
{
    for (int reads = 0;; reads++) {
        if (stream->state == STREAM_ENDING)
            throw_away(stream);
        if (stream->state != STREAM_OPEN || !list_empty(&stream->scheduled))
            return; /* gone, or more at the end of the turn */
        if (stream_tls_starting(stream) && !stream->ended && !stream->output_failed) {
            if (!stream->readable || !stream_tls_handshake(stream))
                return;
            continue;
        }
        if (stream->paused) {
            /* A stream that cannot be written to is of no use to a reader who waits. */
            if (stream->output_failed || (stream->hangup && stream->tell_hangup))
                tell_closed(stream);
            return;
        }
        bool more =
            (stream->redeliver && stream_kept(stream) > 0) || (stream->readable && !stream->ended);
        if (!more) {
            finish(stream);
            return;
        }
        if (reads == READS_A_TURN) {
            stream_schedule(stream);
            return;
        }
        read_once(stream);
    }
}

void stream_feed(struct stream *stream, const char *bytes, size_t length)
{
    if (stream->state != STREAM_OPEN)
        return;
    if (stream_kept(stream) == 0 && !stream->paused && !stream->withdrawing) {
        deliver(stream, bytes, length);
    } else {
        stream_keep_input(stream, bytes, length);
        stream->redeliver = true;
    }
    if (!stream->withdrawing)
        stream_input(stream);
    else if (!stream->paused)
        stream_schedule(stream);
}

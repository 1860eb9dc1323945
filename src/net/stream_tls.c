/*
 * stream_tls.c - TLS: sessions that were made elsewhere, and the server side of a handshake.
 */
#include "net/stream.h"

#include <errno.h>
#include <openssl/err.h>

static void prepare_call(void)
{
    ERR_clear_error();
    errno = 0;
}

static const char *reason_text(unsigned long code)
{
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    return text ? text : "unknown reason";
}

/* What SSL_get_error says of a read or a handshake. */
static void read_stopped(struct stream *stream, int status, const char *what)
{
    int error_number = errno;
    unsigned long code = ERR_peek_error();
    stream->readable = false;
    switch (status) {
    case SSL_ERROR_WANT_READ:
        return;
    case SSL_ERROR_WANT_WRITE:
        stream->read_wants_write = true;
        stream->engine->poller->await_room(stream);
        return;
    case SSL_ERROR_ZERO_RETURN:
        break;
    case SSL_ERROR_SYSCALL:
        if (error_number != 0)
            stream_fail(stream, ERROR_CONNECTION, "%s: %s", what, strerrordesc_np(error_number));
        break;
    default:
        /* Many clients close without a word of TLS; messages have lengths of their own. */
        if (ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
            stream_fail(stream, ERROR_PROTOCOL, "%s: %s", what, reason_text(code));
        break;
    }
    stream->ended = true;
}

size_t stream_tls_receive(struct stream *stream, char *place, size_t room)
{
    size_t total = 0;
    while (total < room) {
        size_t got = 0;
        prepare_call();
        int result = SSL_read_ex(stream->ssl, place + total, room - total, &got);
        if (result <= 0) {
            read_stopped(stream, SSL_get_error(stream->ssl, result), "cannot read with TLS");
            break;
        }
        total += got;
        if (stream->bio && stream->bio->dry && !stream->hangup && !SSL_has_pending(stream->ssl)) {
            stream->readable = false;
            break;
        }
    }
    return total;
}

static void write_stopped(struct stream *stream, int status)
{
    int error_number = errno;
    switch (status) {
    case SSL_ERROR_WANT_WRITE:
        stream->blocked = true;
        stream->engine->poller->await_room(stream);
        return;
    case SSL_ERROR_WANT_READ:
        stream->write_wants_read = true;
        return;
    case SSL_ERROR_SYSCALL:
        stream_output_broken(stream, error_number ? error_number : EPIPE);
        return;
    default:
        stream_fail(stream, ERROR_PROTOCOL, "cannot write with TLS: %s",
                    reason_text(ERR_peek_error()));
        stream_output_broken(stream, EPROTO);
    }
}

size_t stream_tls_send(struct stream *stream, const char *bytes, size_t length)
{
    size_t total = 0;
    while (total < length) {
        size_t sent = 0;
        prepare_call();
        bool handshaking = !SSL_is_init_finished(stream->ssl);
        int result = SSL_write_ex(stream->ssl, bytes + total, length - total, &sent);
        if (result <= 0) {
            write_stopped(stream, SSL_get_error(stream->ssl, result));
            break;
        }
        total += sent;
        if (handshaking) {
            /* It read on the way; behind the handshake there may have been input, which the
             * engine does not know of. */
            stream->readable = true;
            stream_schedule(stream);
        }
    }
    return total;
}

/* ---- the handshake ---- */

void stream_tls_adopt(struct stream *stream, SSL *ssl, bool owned)
{
    stream->ssl = ssl;
    stream->ssl_owned = owned;
    stream->bio = socket_bio_of(ssl);
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_set_read_ahead(ssl, 1); /* a record's header and body with one read */
}

/*
 * io_uring must not read for the session: OpenSSL reads the socket, as libpq's sessions have to. To
 * feed it from memory instead would save one recv a message, and nothing of what makes TLS dear,
 * but would need a second way for sessions that are ours. What the kernel has read already came
 * before the peer could know that TLS begins, or is its first word of it; either way the session
 * gets it as part of the handshake, never as text that was sent under TLS.
 */
static bool attach_socket(struct stream *stream, SSL *ssl, const char *ahead, size_t ahead_length)
{
    stream->engine->poller->let_read(stream);
    if (stream_kept(stream) == 0)
        return socket_bio_attach(ssl, stream->fd, ahead, ahead_length);
    struct buffer all = BUFFER_INIT(PTRDIFF_MAX - 1);
    buffer_append(&all, ahead, ahead_length);
    buffer_append(&all, stream_kept_bytes(stream), stream_kept(stream));
    stream_forget_kept(stream);
    bool attached = socket_bio_attach(ssl, stream->fd, all.data, all.length);
    buffer_free(&all);
    stream->readable = true;
    return attached;
}

static int start(struct stream *stream, SSL_CTX *context, const char *ahead, size_t ahead_length,
                 struct error *err)
{
    if (stream->state != STREAM_OPEN || stream->tls != TLS_OFF)
        return error_set(err, ERROR_STATE, "TLS cannot be started on this connection");
    if (stream_kept(stream) > 0)
        return error_set(err, ERROR_PROTOCOL, "bytes were sent in front of the TLS handshake");
    prepare_call();
    SSL *ssl = SSL_new(context);
    if (!ssl || !attach_socket(stream, ssl, ahead, ahead_length)) {
        SSL_free(ssl);
        return error_set(err, ERROR_INTERNAL, "cannot make a TLS session: %s",
                         reason_text(ERR_peek_error()));
    }
    stream_flush(stream);
    stream_flush_put_off(stream);
    SSL_set_accept_state(ssl);
    stream_tls_adopt(stream, ssl, true);
    stream->plain_left = stream_output_left(stream);
    stream->tls = stream->plain_left > 0 ? TLS_BEHIND_PLAIN : TLS_HANDSHAKE;
    return 0;
}

int stream_start_tls(struct stream *stream, SSL_CTX *context, struct error *err)
{
    return start(stream, context, NULL, 0, err);
}

int stream_start_direct_tls(struct stream *stream, SSL_CTX *context, const char *bytes,
                            size_t length, struct error *err)
{
    int result = start(stream, context, bytes, length, err);
    if (result == 0)
        stream->readable = true; /* there are bytes that the engine does not know of */
    return result;
}

bool stream_tls_handshake(struct stream *stream)
{
    if (stream->tls == TLS_BEHIND_PLAIN)
        return false;
    prepare_call();
    int result = SSL_do_handshake(stream->ssl);
    if (result <= 0) {
        read_stopped(stream, SSL_get_error(stream->ssl, result), "the TLS handshake failed");
        if (stream->ended)
            stream->paused = false; /* the owner is to know at once */
        return stream->ended;
    }
    stream->tls = TLS_ON;
    if (stream->state == STREAM_OPEN && stream->events->secured) {
        stream->events->secured(stream->owner);
        engine_flush_forgotten(stream->engine);
    }
    if (stream->state != STREAM_CLOSED)
        stream_drain(stream);
    return true;
}

void stream_tls_shut_down(struct stream *stream)
{
    if (!stream->ssl || !stream->ssl_owned || stream->tls != TLS_ON || stream->failure ||
        stream_output_left(stream) > 0)
        return;
    prepare_call();
    SSL_shutdown(stream->ssl);
}

SSL *stream_ssl(struct stream *stream)
{
    return stream->ssl;
}

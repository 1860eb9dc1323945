#include "net/stream.h"

#include <assert.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- state ---- */

void stream_set_state(struct stream *stream, enum stream_state state)
{
    static const unsigned allowed[] = {
        [STREAM_OPEN] = 1U << STREAM_LOST | 1U << STREAM_ENDING | 1U << STREAM_CLOSED,
        [STREAM_LOST] = 1U << STREAM_ENDING | 1U << STREAM_CLOSED,
        [STREAM_ENDING] = 1U << STREAM_CLOSED,
        [STREAM_CLOSED] = 0,
    };
    assert(allowed[stream->state] & 1U << state);
    (void)allowed;
    stream->state = state;
}

void stream_schedule(struct stream *stream)
{
    if (list_empty(&stream->scheduled))
        list_append(&stream->engine->scheduled, &stream->scheduled);
}

void stream_fail(struct stream *stream, enum error_code code, const char *format, ...)
{
    if (stream->failure)
        return;
    va_list arguments;
    va_start(arguments, format);
    stream->failure = xcalloc(1, sizeof(*stream->failure));
    error_vset(stream->failure, code, format, arguments);
    va_end(arguments);
}

/* ---- events ---- */

static void write_ready(struct stream *stream, uint32_t events)
{
    if (stream->read_wants_write) {
        stream->read_wants_write = false;
        stream->readable = true;
    } else if (!stream->blocked && events == EPOLLOUT) {
        stream->engine->poller->forget_room(stream);
    }
    stream->blocked = false;
    if (stream_output_left(stream) > 0)
        stream_drain(stream);
}

/* Reading may have brought what writing waits for (TLS). */
static void go_on(struct stream *stream)
{
    stream_input(stream);
    if (stream->write_wants_read && stream->state != STREAM_CLOSED)
        stream_drain(stream);
}

void stream_ready(struct stream *stream, uint32_t events)
{
    const uint32_t gone = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    if (stream->state == STREAM_CLOSED)
        return;
    if (events & gone)
        stream->hangup = true;
    if (events & (EPOLLIN | gone) && !stream->fed) {
        stream->readable = true;
        if (stream->bio)
            stream->bio->dry = false;
    }
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        write_ready(stream, events);
    if (stream->state != STREAM_CLOSED)
        go_on(stream);
}

static void source_ready(struct source *source, uint32_t events)
{
    stream_ready(container_of(source, struct stream, source), events);
}

void stream_run_scheduled(struct list *scheduled)
{
    struct stream *stream = list_entry(scheduled, struct stream, scheduled);
    if (stream->state == STREAM_ENDING && stream->output_failed)
        stream_close(stream);
    else
        go_on(stream);
}

/* ---- making ---- */

int stream_create(struct engine *engine, int fd, SSL *ssl, bool ssl_owned,
                  const struct stream_events *events, void *owner, struct stream **ret,
                  struct error *err)
{
    struct stream *stream = xcalloc(1, sizeof(*stream));
    stream->source.ready = source_ready;
    stream->engine = engine;
    stream->fd = fd;
    stream->ssl = ssl;
    stream->events = events;
    stream->owner = owner;
    list_init(&stream->scheduled);
    int result = engine->poller->watch_stream(stream, err);
    if (result < 0) {
        free(stream);
        return result;
    }
    list_append(&engine->streams, &stream->link);
    if (ssl) {
        stream_tls_adopt(stream, ssl, ssl_owned);
        stream->tls = TLS_ON;
        /* The session may hold bytes that the engine does not know of. */
        stream->readable = true;
        stream_schedule(stream);
    }
    *ret = stream;
    return 0;
}

/* ---- the end ---- */

static void release(struct remains *remains)
{
    free(container_of(remains, struct stream, remains));
}

/* Everything but the descriptor and the TLS session. */
static void dismantle(struct stream *stream)
{
    struct engine *engine = stream->engine;
    engine->poller->unwatch_stream(stream);
    stream_drop_output(stream);
    engine_give_buffer(engine, &stream->in);
    if (stream->state == STREAM_ENDING)
        timer_stop(&stream->grace);
    list_remove(&stream->scheduled);
    list_remove(&stream->link);
    free(stream->failure);
    stream->failure = NULL;
    stream_set_state(stream, STREAM_CLOSED);
    engine_bury(engine, &stream->remains, release);
}

void stream_close(struct stream *stream)
{
    if (!stream || stream->state == STREAM_CLOSED)
        return;
    stream_last_write(stream);
    stream_tls_shut_down(stream);
    dismantle(stream);
    if (stream->ssl_owned)
        SSL_free(stream->ssl);
    stream->ssl = NULL;
    close(stream->fd);
    stream->fd = -1;
}

void stream_close_all(struct engine *engine)
{
    while (!list_empty(&engine->streams))
        stream_close(list_first(&engine->streams, struct stream, link));
}

static void grace_over(void *owner)
{
    stream_close(owner);
}

void stream_close_after_write(struct stream *stream, int64_t grace_us)
{
    if (!stream || stream->state == STREAM_CLOSED)
        return;
    stream_flush(stream);
    stream_flush_put_off(stream);
    if (stream->output_failed || stream_output_left(stream) == 0) {
        stream_discard_input(stream);
        stream_close(stream);
        return;
    }
    stream_set_state(stream, STREAM_ENDING);
    stream->events = NULL;
    stream->owner = NULL;
    stream->paused = false;
    stream_forget_kept(stream);
    timer_init(&stream->grace, stream->engine, grace_over, stream);
    timer_start(&stream->grace, engine_now_us(stream->engine) + grace_us);
    stream_schedule(stream); /* what is there to be read already */
    stream->engine->poller->resumed(stream);
}

static int check_detachable(const struct stream *stream, struct error *err)
{
    if (stream->state != STREAM_OPEN || stream->failure)
        return error_set(err, ERROR_STATE, "the connection is lost");
    if (stream_tls_starting(stream))
        return error_set(err, ERROR_STATE, "a TLS handshake is under way");
    if (stream_pending(stream) > 0)
        return error_set(err, ERROR_STATE, "output is waiting to be written");
    return 0;
}

int stream_detach(struct stream *stream, int *ret_fd, SSL **ret_ssl, struct buffer *ret_input,
                  struct error *err)
{
    stream_flush_put_off(stream);
    int result = check_detachable(stream, err);
    if (result < 0)
        return result;
    /* Nothing is read any more, and there is room for all: it fits or nothing changes. */
    stream->engine->poller->let_read(stream);
    size_t length = stream->delivering + stream_kept(stream);
    if (length > 0 && !buffer_reserve(ret_input, length))
        return error_set(err, ERROR_LIMIT, "%zu bytes of input have no room", length);
    buffer_append(ret_input, stream->delivered, stream->delivering);
    buffer_append(ret_input, stream_kept_bytes(stream), stream_kept(stream));
    dismantle(stream);
    *ret_fd = stream->fd;
    *ret_ssl = stream->ssl;
    stream->fd = -1;
    stream->ssl = NULL;
    return 0;
}

/* ---- small things ---- */

void stream_set_owner(struct stream *stream, const struct stream_events *events, void *owner)
{
    stream->events = events;
    stream->owner = owner;
}

void stream_set_first(struct stream *stream)
{
    stream->source.first = stream->room.first = stream->gone.first = true;
}

int stream_fd(const struct stream *stream)
{
    return stream->fd;
}

void stream_pause_read(struct stream *stream)
{
    stream->paused = true;
}

void stream_resume_read(struct stream *stream)
{
    if (stream->state != STREAM_OPEN)
        return;
    stream->paused = false;
    stream->redeliver = true;
    stream_schedule(stream);
    stream->engine->poller->resumed(stream);
}

bool stream_read_paused(const struct stream *stream)
{
    return stream->paused;
}

void stream_tell_hangup(struct stream *stream, bool on)
{
    stream->tell_hangup = on;
    if (!on || stream->state != STREAM_OPEN)
        return;
    if (stream->hangup)
        stream_schedule(stream); /* it is told of once */
    else
        stream->engine->poller->await_hangup(stream);
}

void stream_forget_kept(struct stream *stream)
{
    engine_give_buffer(stream->engine, &stream->in);
    stream->in_at = 0;
}

void stream_keep_input(struct stream *stream, const char *bytes, size_t length)
{
    if (stream_kept(stream) == 0) {
        stream_forget_kept(stream);
        stream->in = engine_take_buffer(stream->engine, length);
    } else if (stream->in_at > stream->in.length / 2) {
        buffer_consume(&stream->in, stream->in_at);
        stream->in_at = 0;
    }
    buffer_append(&stream->in, bytes, length);
}

void stream_push_input(struct stream *stream, const char *bytes, size_t length)
{
    if (length == 0 || stream->state != STREAM_OPEN)
        return;
    stream_keep_input(stream, bytes, length);
    stream->redeliver = true;
    stream_schedule(stream);
}

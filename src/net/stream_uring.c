/*
 * stream_uring.c - streams over io_uring.
 *
 * Input. A plain stream is fed: one request receives for as long as the stream lives, into buffers
 * that the ring shares with the kernel. A pause is not worth a system call, as hardly any peer
 * sends while it is paused: the request is cancelled when something does come, or at once where
 * much has come, and what came is kept; the next is asked for when that was taken. The end is not
 * seen then, so a poll waits for it, if the owner asks. Streams with a TLS
 * session are polled, and read by OpenSSL (see stream_tls.c for why).
 *
 * Output. Bytes that owners queue are borrowed, so they cannot wait in a request. Small pieces are
 * copied and sent with the submission that the turn ends with anyway: one request a stream, so that
 * nothing overtakes. The kernel tries each at once and never later (MSG_DONTWAIT), so when the
 * submission returns all have been written but for those whose failure is in the completions, with
 * how much was written (MSG_WAITALL makes a part a failure); the others say nothing. What is left
 * goes the way of every socket that is full: `out`, and a poll. Large pieces are written at once
 * from where they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "net/uring.h"

/* ---- input ---- */

static bool wants_input(const struct stream *stream)
{
    return (stream->state == STREAM_OPEN && !stream->paused) || stream->state == STREAM_ENDING;
}

/* Not behind much that is kept and not taken yet: it would grow as fast as the peer can send. */
static bool wants_more(const struct stream *stream)
{
    return wants_input(stream) && stream_kept(stream) < STREAM_READ_SIZE;
}

static void prepare_feed(struct source *source, struct io_uring_sqe *sqe)
{
    uring_prepare_receive(sqe, source->fd);
}

static void end_of_feed(struct stream *stream, int result)
{
    switch (-result) {
    case ENOBUFS: /* they are used up for this turn */
    case ECANCELED:
    case EINTR:
    case EAGAIN:
        return;
    case 0:
        break;
    default:
        stream_fail(stream, ERROR_CONNECTION, "cannot read: %s", strerrordesc_np(-result));
    }
    stream->ended = true;
    stream->hangup = true;
    if (!stream->withdrawing)
        stream_input(stream);
}

static void feed_done(struct source *source, int result, uint32_t flags)
{
    struct stream *stream = container_of(source, struct stream, source);
    struct engine *engine = stream->engine;
    bool gone = stream->state == STREAM_CLOSED || stream->state == STREAM_LOST;
    bool unwanted = !wants_input(stream);
    if (result > 0 && !gone)
        stream_feed(stream, uring_buffer(engine->uring, flags), (size_t)result);
    if (flags & IORING_CQE_F_BUFFER)
        uring_give_buffer(engine->uring, flags);
    if (gone)
        return;
    if (result <= 0)
        end_of_feed(stream, result);
    if (!stream->fed || stream->ended || stream->withdrawing)
        return;
    /* Whoever fills a buffer has more to send: of those a pause is worth the request to end it. */
    bool much = result == URING_BUFFER_SIZE && !wants_more(stream);
    if (flags & IORING_CQE_F_MORE) {
        if (result > 0 && (unwanted || much))
            uring_cancel(engine, source);
    } else if (wants_more(stream)) {
        uring_ask(engine, source);
    } else if (stream->tell_hangup) {
        uring_ask(engine, &stream->gone);
    }
}

static void prepare_poll(struct source *source, struct io_uring_sqe *sqe)
{
    io_uring_prep_poll_multishot(sqe, source->fd, POLLIN | POLLRDHUP);
}

static void poll_done(struct source *source, int result, uint32_t flags)
{
    struct stream *stream = container_of(source, struct stream, source);
    if (stream->state == STREAM_CLOSED || stream->withdrawing)
        return;
    if (result < 0) {
        stream_fail(stream, ERROR_CONNECTION, "cannot be told of bytes: %s",
                    strerrordesc_np(-result));
        stream->ended = true;
        stream_input(stream);
        return;
    }
    source->ready(source, (uint32_t)result);
    if (!(flags & IORING_CQE_F_MORE) && stream->state != STREAM_CLOSED)
        uring_ask(stream->engine, source);
}

static void watch_by_poll(struct stream *stream)
{
    stream->fed = false;
    stream->source.prepare = prepare_poll;
    stream->source.done = poll_done;
    uring_ask(stream->engine, &stream->source);
}

static void prepare_room(struct source *source, struct io_uring_sqe *sqe)
{
    io_uring_prep_poll_add(sqe, source->fd, POLLOUT);
}

static void room_ready(struct source *source, uint32_t events)
{
    struct stream *stream = container_of(source, struct stream, room);
    stream->armed = false;
    stream_ready(stream, events);
}

static void room_done(struct source *source, int result, uint32_t flags reeve_unused)
{
    struct stream *stream = container_of(source, struct stream, room);
    if (stream->state == STREAM_CLOSED || stream->withdrawing)
        return;
    if (result >= 0)
        source->ready(source, (uint32_t)result);
    else
        stream_output_broken(stream, -result);
}

static void prepare_gone(struct source *source, struct io_uring_sqe *sqe)
{
    io_uring_prep_poll_add(sqe, source->fd, POLLRDHUP);
}

static void gone_done(struct source *source, int result, uint32_t flags reeve_unused)
{
    struct stream *stream = container_of(source, struct stream, gone);
    if (stream->state != STREAM_CLOSED && !stream->withdrawing && result > 0)
        stream_ready(stream, (uint32_t)result);
}

/* A stream that is fed is fed the end, too. */
void uring_await_hangup(struct stream *stream)
{
    const struct source *source = &stream->source;
    if (stream->fed && !stream->ended && !source->in_flight && list_empty(&source->asking))
        uring_ask(stream->engine, &stream->gone);
}

int uring_watch_stream(struct stream *stream, struct error *err)
{
    if (fcntl(stream->fd, F_GETFD) < 0)
        return error_errno(err, errno, "cannot watch a descriptor");
    struct source *const sources[] = {&stream->source, &stream->room, &stream->gone};
    for (size_t i = 0; i < array_size(sources); i++) {
        sources[i]->fd = stream->fd;
        sources[i]->remains = &stream->remains;
        list_init(&sources[i]->asking);
    }
    stream->room.ready = room_ready;
    stream->room.prepare = prepare_room;
    stream->room.done = room_done;
    stream->gone.prepare = prepare_gone;
    stream->gone.done = gone_done;
    if (stream->ssl) {
        watch_by_poll(stream);
        return 0;
    }
    stream->fed = true;
    stream->source.prepare = prepare_feed;
    stream->source.done = feed_done;
    uring_ask(stream->engine, &stream->source);
    return 0;
}

/* A request keeps the socket open although its descriptor is closed; so they are ended first. */
void uring_unwatch_stream(struct stream *stream)
{
    struct source *const sources[] = {&stream->source, &stream->room, &stream->gone};
    struct iovec bytes;
    stream->withdrawing = true;
    uring_recall(stream, &bytes);
    uring_withdraw(stream->engine, sources, array_size(sources));
}

void uring_let_read(struct stream *stream)
{
    struct source *const sources[] = {&stream->source};
    if (!stream->fed)
        return;
    stream->withdrawing = true;
    uring_withdraw(stream->engine, sources, 1);
    stream->withdrawing = false;
    watch_by_poll(stream);
}

void uring_resumed(struct stream *stream)
{
    if (stream->fed && !stream->ended && wants_more(stream))
        uring_ask(stream->engine, &stream->source);
}

/* ---- output ---- */

void uring_await_room(struct stream *stream)
{
    stream->armed = true;
    uring_ask(stream->engine, &stream->room);
}

/* It is told of once. */
void uring_forget_room(struct stream *stream reeve_unused)
{
}

static struct late_write *late_write_of(struct stream *stream)
{
    struct uring *uring = stream->engine->uring;
    return stream->put_off_turn == uring->turn ? &uring->late[stream->put_off_at] : NULL;
}

static bool has_room(const struct uring *uring, size_t length)
{
    return length <= LATE_SPACE - uring->late_used;
}

static struct late_write *begin_late_write(struct stream *stream, size_t length)
{
    struct engine *engine = stream->engine;
    struct uring *uring = engine->uring;
    if (uring->late_count == LATE_WRITES || !has_room(uring, length))
        uring_write_late(engine);
    stream->put_off_turn = uring->turn;
    stream->put_off_at = uring->late_count;
    struct late_write *late = &uring->late[uring->late_count++];
    late->stream = stream;
    late->bytes = (struct iovec){.iov_base = uring->late_bytes + uring->late_used};
    return late;
}

/* To where more can be put behind it. */
static void move_to_end(struct uring *uring, struct late_write *late)
{
    char *end = uring->late_bytes + uring->late_used;
    if ((char *)late->bytes.iov_base + late->bytes.iov_len == end)
        return;
    memcpy(end, late->bytes.iov_base, late->bytes.iov_len);
    late->bytes.iov_base = end;
    uring->late_used += late->bytes.iov_len;
}

bool uring_put_off(struct stream *stream, const struct gather *gather)
{
    struct uring *uring = stream->engine->uring;
    if (!stream->engine->running || gather->bytes > LATE_WRITE_MAX ||
        stream_output_left(stream) > 0)
        return false;
    struct late_write *late = late_write_of(stream);
    if (late) {
        size_t whole = late->bytes.iov_len + gather->bytes;
        if (whole > LATE_WRITE_MAX || !has_room(uring, whole))
            return false;
        move_to_end(uring, late);
    } else {
        late = begin_late_write(stream, gather->bytes);
    }
    for (int i = 0; i < gather->count; i++) {
        const struct iovec *vector = &gather->vectors[i];
        memcpy(uring->late_bytes + uring->late_used, vector->iov_base, vector->iov_len);
        uring->late_used += vector->iov_len;
    }
    late->bytes.iov_len += gather->bytes;
    return true;
}

bool uring_recall(struct stream *stream, struct iovec *ret)
{
    struct late_write *late = late_write_of(stream);
    if (!late)
        return false;
    *ret = late->bytes;
    late->stream = NULL;
    stream->put_off_turn = 0;
    return true;
}

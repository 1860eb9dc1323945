/*
 * engine_uring.c - waiting with io_uring: the ring, its requests and completions.
 *
 * A turn is one system call: it submits what the last turn asked for and put off, and waits.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "net/uring.h"

enum {
    LATE_BIT = 1, /* of user_data: a late write, whose index is above it */
    WITHDRAW_TRIES = 1000,
};

static _Noreturn void give_up(const char *what, int result)
{
    log_error("%s: %s", what, strerrordesc_np(-result));
    abort();
}

static bool passes(int result)
{
    return result >= 0 || result == -EINTR || result == -ETIME || result == -EAGAIN ||
           result == -EBUSY;
}

/* ---- completions ---- */

static void note(struct uring *uring, const struct io_uring_cqe *cqe)
{
    if (cqe->user_data == 0)
        return; /* a cancellation that found nothing */
    if (uring->event_count == uring->event_capacity) {
        uring->event_capacity = uring->event_capacity ? uring->event_capacity * 2 : 256;
        uring->events = xrealloc(uring->events, uring->event_capacity * sizeof(struct uring_event));
    }
    uring->events[uring->event_count++] =
        (struct uring_event){.user_data = cqe->user_data, .result = cqe->res, .flags = cqe->flags};
    if (cqe->user_data & LATE_BIT)
        uring->late_failures++;
    else if (!(cqe->flags & IORING_CQE_F_MORE))
        ((struct source *)(uintptr_t)cqe->user_data)->in_flight = false;
}

static void collect(struct uring *uring)
{
    for (;;) {
        const struct io_uring_cqe *cqe;
        unsigned head;
        unsigned count = 0;
        io_uring_for_each_cqe(&uring->ring, head, cqe)
        {
            note(uring, cqe);
            count++;
        }
        io_uring_cq_advance(&uring->ring, count);
        if (likely(!io_uring_cq_has_overflow(&uring->ring)))
            return;
        int result = io_uring_get_events(&uring->ring); /* those that had no place */
        if (!passes(result))
            give_up("cannot collect completions", result);
    }
}

static void handle(struct uring *uring, size_t index)
{
    struct uring_event event = uring->events[index];
    struct source *source = (struct source *)(uintptr_t)event.user_data;
    uring->events[index].user_data = 0;
    if (!(event.flags & IORING_CQE_F_MORE) && source->remains)
        source->remains->requests--;
    source->done(source, event.result, event.flags);
}

static bool is_of_source(const struct uring_event *event)
{
    return event->user_data != 0 && !(event->user_data & LATE_BIT);
}

/* ---- submitting ---- */

/* Behind a submission that did not take all: the kernel was short of something for a moment. */
static void submit_rest(struct uring *uring)
{
    while (unlikely(io_uring_sq_ready(&uring->ring) > 0)) {
        collect(uring);
        int result = io_uring_submit(&uring->ring);
        if (!passes(result))
            give_up("cannot submit requests", result);
    }
}

static struct io_uring_sqe *take_sqe(struct uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (unlikely(!sqe)) {
        submit_rest(uring);
        sqe = io_uring_get_sqe(&uring->ring);
    }
    return sqe;
}

static void prepare_late(struct uring *uring)
{
    for (size_t i = 0; i < uring->late_count; i++) {
        const struct late_write *late = &uring->late[i];
        if (!late->stream)
            continue;
        struct io_uring_sqe *sqe = take_sqe(uring);
        uring_prepare_send(sqe, late->stream->fd, late->bytes.iov_base, late->bytes.iov_len);
        sqe->user_data = i << 1 | LATE_BIT;
    }
}

static void prepare_asked(struct uring *uring)
{
    while (!list_empty(&uring->asking)) {
        struct source *source = list_first(&uring->asking, struct source, asking);
        struct io_uring_sqe *sqe = take_sqe(uring);
        list_remove(&source->asking);
        source->prepare(source, sqe);
        sqe->user_data = (uintptr_t)source;
        source->in_flight = true;
        source->cancelling = false;
        if (source->remains)
            source->remains->requests++;
    }
}

/* All of the late writes are submitted, so they are done or have failed. */
static void end_late(struct uring *uring)
{
    for (size_t i = 0; uring->late_failures > 0; i++) {
        const struct uring_event event = uring->events[i];
        if (!(event.user_data & LATE_BIT))
            continue;
        uring->events[i].user_data = 0;
        uring->late_failures--;
        const struct late_write *late = &uring->late[event.user_data >> 1];
        bool later = event.result >= 0 || event.result == -EAGAIN || event.result == -EINTR;
        stream_written_late(late->stream, &late->bytes, event.result > 0 ? (size_t)event.result : 0,
                            later ? 0 : -event.result);
    }
    uring->late_count = 0;
    uring->late_used = 0;
    uring->turn++;
}

void uring_write_late(struct engine *engine)
{
    struct uring *uring = engine->uring;
    if (uring->late_count == 0)
        return;
    prepare_late(uring);
    int result = io_uring_submit(&uring->ring);
    if (!passes(result))
        give_up("cannot submit writes", result);
    submit_rest(uring);
    collect(uring);
    end_late(uring);
}

void uring_ask(struct engine *engine, struct source *source)
{
    if (!source->in_flight && list_empty(&source->asking))
        list_append(&engine->uring->asking, &source->asking);
}

/* ---- ending requests ---- */

static void prepare_cancel(struct uring *uring, struct source *source)
{
    struct io_uring_sqe *sqe = take_sqe(uring);
    io_uring_prep_cancel64(sqe, (uintptr_t)source, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = 0;
    source->cancelling = true;
}

void uring_cancel(struct engine *engine, struct source *source)
{
    if (source->in_flight && !source->cancelling)
        prepare_cancel(engine->uring, source);
}

static bool any_in_flight(struct source *const *sources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (sources[i]->in_flight)
            return true;
    }
    return false;
}

/* The kernel ends them at once and tells of it, unless it was short of memory and has given one to
 * a thread of its own: then a little later. */
static int submit_cancels(struct uring *uring, bool again)
{
    struct __kernel_timespec wait = {.tv_nsec = TIME_MS * 1000};
    struct io_uring_cqe *cqe;
    return again ? io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, &wait, NULL)
                 : io_uring_submit_and_get_events(&uring->ring);
}

static void end_in_kernel(struct uring *uring, struct source *const *sources, size_t count)
{
    for (int tries = 0; any_in_flight(sources, count); tries++) {
        if (tries == WITHDRAW_TRIES)
            give_up("cannot end a request", -ETIME);
        for (size_t i = 0; i < count; i++) {
            if (sources[i]->in_flight)
                prepare_cancel(uring, sources[i]);
        }
        int result = submit_cancels(uring, tries > 0);
        if (!passes(result))
            give_up("cannot end a request", result);
        submit_rest(uring);
        collect(uring);
    }
}

void uring_withdraw(struct engine *engine, struct source *const *sources, size_t count)
{
    struct uring *uring = engine->uring;
    for (size_t i = 0; i < count; i++)
        list_remove(&sources[i]->asking);
    /* When the thread has ended, the kernel has ended its requests. */
    if (uring->enabled && pthread_equal(uring->issuer, pthread_self()))
        end_in_kernel(uring, sources, count);
    for (size_t i = 0; i < uring->event_count; i++) {
        for (size_t j = 0; j < count; j++) {
            if (uring->events[i].user_data == (uintptr_t)sources[j])
                handle(uring, i);
        }
    }
}

/* ---- listeners ---- */

static void prepare_listener(struct source *source, struct io_uring_sqe *sqe)
{
    io_uring_prep_poll_add(sqe, source->fd, POLLIN | EPOLLEXCLUSIVE);
}

static void listener_done(struct source *source, int result, uint32_t flags reeve_unused)
{
    if (result != -ECANCELED)
        source->ready(source, EPOLLIN); /* accepting finds out what an error means */
}

static int watch_listener(struct engine *engine, int fd, struct source *source,
                          struct error *err reeve_unused)
{
    source->fd = fd;
    source->once = true;
    source->prepare = prepare_listener;
    source->done = listener_done;
    list_init(&source->asking);
    uring_ask(engine, source);
    return 0;
}

static void unwatch_listener(struct engine *engine, int fd reeve_unused, struct source *source)
{
    struct source *const sources[] = {source};
    uring_withdraw(engine, sources, 1);
}

/* Each request goes to the end of the queue. */
static int rewatch_listener(struct engine *engine, int fd reeve_unused, struct source *source,
                            struct error *err reeve_unused)
{
    uring_ask(engine, source);
    return 0;
}

/* ---- turns ---- */

/* The kernel takes requests of the thread that does this alone. */
static void enable(struct uring *uring)
{
    int result = uring_enable_ring(&uring->ring);
    if (result < 0)
        give_up("cannot enable io_uring", result);
    io_uring_register_ring_fd(&uring->ring); /* saves a look-up a turn; not needed */
    uring->issuer = pthread_self();
    uring->enabled = true;
}

static void wait_for_events(struct engine *engine, int64_t wait_us)
{
    struct uring *uring = engine->uring;
    struct io_uring_cqe *cqe;
    struct __kernel_timespec wait = {.tv_sec = wait_us / TIME_S,
                                     .tv_nsec = wait_us % TIME_S * 1000};
    int result;
    if (unlikely(!uring->enabled))
        enable(uring);
    prepare_late(uring);
    prepare_asked(uring);
    if (wait_us == 0 || uring->event_count > 0)
        result = io_uring_submit_and_get_events(&uring->ring);
    else
        result = io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, wait_us < 0 ? NULL : &wait,
                                                  NULL);
    if (!passes(result))
        give_up("cannot wait for events", result);
    submit_rest(uring);
    collect(uring);
    end_late(uring);
}

static void hand_out(struct engine *engine)
{
    struct uring *uring = engine->uring;
    /* What is collected meanwhile is for the next turn. */
    size_t count = uring->event_count;
    for (size_t i = 0; i < count; i++) {
        const struct uring_event *event = &uring->events[i];
        if (is_of_source(event) && ((struct source *)(uintptr_t)event->user_data)->first)
            handle(uring, i);
    }
    for (size_t i = 0; i < count; i++) {
        if (is_of_source(&uring->events[i]))
            handle(uring, i);
    }
    uring->event_count -= count;
    if (unlikely(uring->event_count > 0))
        memmove(uring->events, uring->events + count,
                uring->event_count * sizeof(struct uring_event));
}

static void prepare_wake(struct source *source, struct io_uring_sqe *sqe)
{
    io_uring_prep_poll_multishot(sqe, source->fd, POLLIN);
}

static void wake_done(struct source *source, int result, uint32_t flags)
{
    struct engine *engine = container_of(source, struct engine, wake);
    if (!(flags & IORING_CQE_F_MORE))
        uring_ask(engine, source);
    if (result > 0)
        source->ready(source, (uint32_t)result);
}

/* ---- buffers ---- */

/* The probe's ring is smaller than ours, and one: all of a user's are counted together. */
static int cannot_lock(int result, const char *what, struct error *err)
{
    bool memory = result == -ENOMEM;
    result = error_errno(err, -result, "%s", what);
    if (memory)
        error_hint(err,
                   "raise the limit of locked memory: ulimit -l, or LimitMEMLOCK of a service");
    return result;
}

char *uring_buffer(const struct uring *uring, uint32_t flags)
{
    return uring->buffers + (size_t)(flags >> IORING_CQE_BUFFER_SHIFT) * URING_BUFFER_SIZE;
}

void uring_give_buffer(struct uring *uring, uint32_t flags)
{
    io_uring_buf_ring_add(uring->buffer_ring, uring_buffer(uring, flags), URING_BUFFER_SIZE,
                          (unsigned short)(flags >> IORING_CQE_BUFFER_SHIFT),
                          io_uring_buf_ring_mask(URING_BUFFERS), 0);
    io_uring_buf_ring_advance(uring->buffer_ring, 1);
}

enum {
    RING_BYTES = URING_BUFFERS * sizeof(struct io_uring_buf),
    MAPPED = RING_BYTES + URING_BUFFERS * URING_BUFFER_SIZE,
};

static int share_buffers(struct uring *uring, struct error *err)
{
    void *memory = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return error_errno(err, errno, "cannot map buffers");
    madvise(memory, MAPPED, MADV_DONTFORK); /* the kernel writes there for us alone */
    uring->buffer_ring = memory;
    uring->buffers = (char *)memory + RING_BYTES;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)memory, .ring_entries = URING_BUFFERS, .bgid = URING_BUFFER_GROUP};
    int result = io_uring_register_buf_ring(&uring->ring, &registration, 0);
    if (result < 0)
        return cannot_lock(result, "cannot share buffers with io_uring", err);
    io_uring_buf_ring_init(uring->buffer_ring);
    for (uint32_t i = 0; i < URING_BUFFERS; i++)
        uring_give_buffer(uring, i << IORING_CQE_BUFFER_SHIFT);
    return 0;
}

/* ---- making ---- */

static int open_uring(struct engine *engine, struct error *err)
{
    struct uring *uring = xcalloc(1, sizeof(*uring));
    engine->uring = uring;
    list_init(&uring->asking);
    uring->turn = 1;
    int result = uring_make_ring(&uring->ring, URING_ENTRIES, URING_COMPLETIONS);
    if (result < 0)
        return cannot_lock(result, "cannot make an io_uring", err);
    uring->made = true;
    result = share_buffers(uring, err);
    if (result < 0)
        return result;
    engine->wake.fd = engine->wake_fd;
    engine->wake.prepare = prepare_wake;
    engine->wake.done = wake_done;
    list_init(&engine->wake.asking);
    uring_ask(engine, &engine->wake);
    return 0;
}

static void close_uring(struct engine *engine)
{
    struct uring *uring = engine->uring;
    if (!uring)
        return;
    if (uring->made)
        io_uring_queue_exit(&uring->ring);
    if (uring->buffer_ring)
        munmap(uring->buffer_ring, MAPPED);
    free(uring->events);
    free(uring);
}

const struct poller uring_poller = {
    .name = "io_uring",
    .open = open_uring,
    .close = close_uring,
    .wait = wait_for_events,
    .hand_out = hand_out,
    .settle = uring_write_late,
    .watch_stream = uring_watch_stream,
    .unwatch_stream = uring_unwatch_stream,
    .let_read = uring_let_read,
    .resumed = uring_resumed,
    .await_room = uring_await_room,
    .forget_room = uring_forget_room,
    .await_hangup = uring_await_hangup,
    .put_off = uring_put_off,
    .recall = uring_recall,
    .watch_listener = watch_listener,
    .unwatch_listener = unwatch_listener,
    .rewatch_listener = rewatch_listener,
};

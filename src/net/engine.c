#include "net/internal.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/time.h"

enum {
    SMALL_BUFFER = 4 * 1024,
    LARGE_BUFFER = 256 * 1024, /* larger ones are not kept */
};

/* ---- waking ---- */

void engine_wake(struct engine *engine)
{
    int saved = errno;
    uint64_t one = 1;
    ssize_t written = write(engine->wake_fd, &one, sizeof(one));
    (void)written; /* a full counter has woken it already */
    errno = saved;
}

static void woken(struct source *source, uint32_t events reeve_unused)
{
    struct engine *engine = container_of(source, struct engine, wake);
    if (atomic_exchange(&engine->woken, false))
        engine_receive_letters(engine);
}

void engine_stop(struct engine *engine)
{
    atomic_store(&engine->stopping, true);
    engine_wake(engine);
}

/* ---- memory ---- */

void engine_bury(struct engine *engine, struct remains *remains,
                 void (*release)(struct remains *remains))
{
    remains->release = release;
    list_append(&engine->remains, &remains->link);
}

static void release_remains(struct engine *engine, bool all)
{
    list_for_each_safe (link, &engine->remains) {
        struct remains *remains = list_entry(link, struct remains, link);
        if (remains->requests > 0 && !all)
            continue;
        list_remove(link);
        remains->release(remains);
    }
}

struct buffer engine_take_buffer(struct engine *engine, size_t length)
{
    struct spares *spares = length < SMALL_BUFFER ? &engine->small : &engine->large;
    if (spares->count > 0)
        return spares->buffers[--spares->count];
    struct buffer buffer = BUFFER_INIT(PTRDIFF_MAX - 1);
    buffer_reserve(&buffer, length < SMALL_BUFFER ? length : STREAM_READ_SIZE - 1);
    return buffer;
}

void engine_give_buffer(struct engine *engine, struct buffer *buffer)
{
    struct spares *spares = buffer->capacity <= SMALL_BUFFER ? &engine->small : &engine->large;
    if (buffer->data && buffer->capacity <= LARGE_BUFFER && spares->count < SPARE_BUFFERS) {
        buffer_reset(buffer);
        spares->buffers[spares->count++] = *buffer;
        *buffer = BUFFER_INIT(PTRDIFF_MAX - 1);
    } else {
        buffer_free(buffer);
    }
}

struct gather *engine_take_gather(struct engine *engine, struct stream *stream)
{
    struct gather *gather = list_first(&engine->spare_gathers, struct gather, link);
    if (gather)
        list_remove(&gather->link);
    else
        gather = xmalloc(sizeof(*gather));
    gather->stream = stream;
    gather->bytes = 0;
    gather->count = 0;
    list_append(&engine->gathers, &gather->link);
    return gather;
}

void engine_give_gather(struct engine *engine, struct gather *gather)
{
    list_remove(&gather->link);
    list_prepend(&engine->spare_gathers, &gather->link);
}

void engine_flush_forgotten(struct engine *engine)
{
    while (unlikely(!list_empty(&engine->gathers)))
        stream_flush(list_entry(engine->gathers.next, struct gather, link)->stream);
}

/* ---- turns ---- */

static void run_scheduled(struct engine *engine)
{
    if (list_empty(&engine->scheduled))
        return;
    /* What is scheduled meanwhile belongs to the next turn: others come in between. */
    struct list now;
    list_insert_(&now, engine->scheduled.previous, engine->scheduled.next);
    list_init(&engine->scheduled);
    while (!list_empty(&now)) {
        struct list *link = now.next;
        list_remove(link);
        stream_run_scheduled(link);
    }
}

static void turn(struct engine *engine)
{
    engine->poller->wait(engine, list_empty(&engine->scheduled) ? engine_timer_wait_us(engine) : 0);
    engine->now_us = time_monotonic_us();
    engine->poller->hand_out(engine);
    engine_expire_timers(engine);
    run_scheduled(engine);
    if (engine->turn_end) {
        engine->turn_end(engine->turn_end_owner);
        engine_flush_forgotten(engine);
    }
    release_remains(engine, false);
}

void engine_run(struct engine *engine)
{
    engine->running = true;
    while (!atomic_load_explicit(&engine->stopping, memory_order_relaxed))
        turn(engine);
    engine->poller->settle(engine);
    engine->running = false;
    atomic_store(&engine->stopping, false);
}

int64_t engine_now_us(const struct engine *engine)
{
    return engine->now_us;
}

const char *engine_name(const struct engine *engine)
{
    return engine->poller->name;
}

const char *engine_kind_name(enum engine_kind kind)
{
    static const char *const names[] = {
        [ENGINE_AUTO] = "auto", [ENGINE_EPOLL] = "epoll", [ENGINE_IO_URING] = "io_uring"};
    return names[kind];
}

void engine_on_turn_end(struct engine *engine, void (*callback)(void *owner), void *owner)
{
    engine->turn_end = callback;
    engine->turn_end_owner = owner;
}

/* ---- making ---- */

static const struct poller *poller_of(enum engine_kind kind)
{
#ifdef REEVE_IO_URING
    if (kind == ENGINE_IO_URING)
        return &uring_poller;
#endif
    return kind == ENGINE_EPOLL ? &epoll_poller : NULL;
}

static int try_uring(struct error *err)
{
#ifdef REEVE_IO_URING
    return uring_probe(err);
#else
    return error_set(err, ERROR_UNSUPPORTED, "this Reeve was built without io_uring");
#endif
}

int engine_choose(enum engine_kind kind, enum engine_kind *ret, struct error *ret_reason,
                  struct error *err)
{
    struct error reason = {0};
    switch (kind) {
    case ENGINE_EPOLL:
        *ret = kind;
        return 0;
    case ENGINE_IO_URING: {
        int result = try_uring(err);
        if (result == 0)
            *ret = kind;
        return result;
    }
    case ENGINE_AUTO:
        *ret = try_uring(&reason) == 0 ? ENGINE_IO_URING : ENGINE_EPOLL;
        if (ret_reason)
            *ret_reason = reason;
        return 0;
    default:
        return error_set(err, ERROR_UNSUPPORTED, "there is no such engine");
    }
}

static int open_descriptors(struct engine *engine, struct error *err)
{
    engine->wake.ready = woken;
    engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (engine->wake_fd < 0)
        return error_errno(err, errno, "cannot make an eventfd");
    return engine->poller->open(engine, err);
}

/* Of a kind that was chosen. */
static int make(enum engine_kind kind, struct engine **ret, struct error *err)
{
    struct engine *engine = xcalloc(1, sizeof(*engine));
    engine->poller = poller_of(kind);
    list_init(&engine->scheduled);
    list_init(&engine->streams);
    list_init(&engine->mailboxes);
    list_init(&engine->remains);
    list_init(&engine->gathers);
    list_init(&engine->spare_gathers);
    int result = open_descriptors(engine, err);
    if (result < 0) {
        engine_free(engine);
        return result;
    }
    engine->now_us = time_monotonic_us();
    *ret = engine;
    return 0;
}

int engine_create(enum engine_kind kind, struct engine **ret, struct error *err)
{
    enum engine_kind chosen = kind;
    int result = engine_choose(kind, &chosen, NULL, err);
    if (result < 0)
        return result;
    result = make(chosen, ret, err);
    if (result < 0 && kind != chosen && chosen != ENGINE_EPOLL)
        result = make(ENGINE_EPOLL, ret, err);
    return result;
}

static void free_spares(struct spares *spares)
{
    while (spares->count > 0)
        buffer_free(&spares->buffers[--spares->count]);
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    /* Those that were to be closed after what was queued has been written. */
    stream_close_all(engine);
    engine->poller->close(engine);
    release_remains(engine, true);
    list_for_each_safe (link, &engine->spare_gathers)
        free(list_entry(link, struct gather, link));
    free_spares(&engine->small);
    free_spares(&engine->large);
    free(engine->heap);
    if (engine->wake_fd >= 0)
        close(engine->wake_fd);
    free(engine);
}

#include "proxy/deadline.h"

#include "base/log.h"
#include "base/time.h"
#include "proxy/backend.h"
#include "proxy/place.h"
#include "wire/sqlstate.h"

enum {
    LOOKS = 8, /* within the shortest time */
    LOOK_SOONEST_US = 20 * TIME_MS,
    LOOK_LATEST_US = 1 * TIME_S,
    HEARD_BYTES = 16 * 1024,
};

static const enum route_limit times[] = {ROUTE_LIMIT_QUERY_US, ROUTE_LIMIT_TRANSACTION_US,
                                         ROUTE_LIMIT_IDLE_TRANSACTION_US,
                                         ROUTE_LIMIT_IDLE_PINNED_US};

/* ---- when to look ---- */

/* 0: the place has all the time that it wants. */
static int64_t interval_us(const struct place *place)
{
    int64_t shortest_us = INT64_MAX;
    for (size_t i = 0; i < array_size(times); i++) {
        int64_t limit_us = place->limits.values[times[i]];
        if (limit_us > 0 && limit_us < shortest_us)
            shortest_us = limit_us;
    }
    if (shortest_us == INT64_MAX)
        return 0;
    int64_t interval = shortest_us / LOOKS;
    return interval < LOOK_SOONEST_US  ? LOOK_SOONEST_US
           : interval > LOOK_LATEST_US ? LOOK_LATEST_US
                                       : interval;
}

static void look_within(struct worker *worker, int64_t interval)
{
    int64_t at_us = engine_now_us(worker->engine) + interval;
    if (!timer_running(&worker->deadline_timer) || worker->deadline_timer.deadline_us > at_us)
        timer_start(&worker->deadline_timer, at_us);
}

void deadline_init(struct deadline *deadline)
{
    *deadline = (struct deadline){0};
    list_init(&deadline->link);
}

void deadline_start(struct backend *backend)
{
    struct deadline *deadline = &backend->deadline;
    list_append(&backend->worker->linked, &deadline->link);
    deadline->transactions++;
    deadline->phase = DEADLINE_NONE;
    deadline->unasked = false;
    deadline->phase_us = deadline->transaction_us = backend->linked_us;
    int64_t interval = interval_us(backend->client->place);
    if (interval > 0)
        look_within(backend->worker, interval);
}

void deadline_changed(struct place *place)
{
    int64_t interval = interval_us(place);
    if (place->lent_count > 0 && interval > 0)
        look_within(place->worker, interval);
}

void deadline_stop(struct backend *backend)
{
    list_remove(&backend->deadline.link);
}

/* ---- what is going on ---- */

/* Whether the server has been asked for something of the client's, whatever that has sent since.
 * The answer to entering may wait for what is behind it. */
static bool is_asked(struct backend *backend)
{
    size_t own = 0;
    while (own < backend->expected.asked &&
           expect_at(&backend->expected, own)->action == EXPECT_ENTER)
        own++;
    return own < backend->expected.asked;
}

/* Whether the server has all that it needs to go on, or is slow to take it. */
static bool is_servers_turn(struct backend *backend)
{
    const struct client *client = backend->client;
    if (expect_empty(&backend->expected))
        return false;
    if (stream_pending(backend->stream) > 0)
        return true;
    if (backend->copy == COPY_IN)
        return false;
    return is_asked(backend) || (client->forward_left == 0 && !backend->deadline.unasked);
}

bool deadline_is_idle(const struct backend *backend)
{
    const struct client *client = backend->client;
    return client_keeps_backend(client) && expect_empty(&backend->expected) &&
           backend->status == 'I' && backend->copy == COPY_NONE && !backend->unsynced &&
           !client->in_message && client->gather.length == 0 &&
           !stream_read_paused(backend->stream); /* the server cannot tell it what it listens to */
}

static enum deadline_phase phase_of(struct backend *backend)
{
    if (is_servers_turn(backend))
        return DEADLINE_QUERY;
    return deadline_is_idle(backend) ? DEADLINE_IDLE_PINNED : DEADLINE_IDLE_TRANSACTION;
}

/* Of what is looked at about eight times, what is seen twice was there meanwhile; whoever did
 * something in between begins anew. */
static void note_changes(struct backend *backend, struct deadline *deadline, int64_t now_us)
{
    enum deadline_phase phase = phase_of(backend);
    bool moved = phase == DEADLINE_QUERY ? deadline->answered != deadline->answered_seen
                                         : deadline->heard != deadline->heard_seen;
    if (phase != deadline->phase || moved)
        deadline->phase_us = now_us;
    if (phase == DEADLINE_IDLE_PINNED || deadline->phase == DEADLINE_IDLE_PINNED ||
        deadline->transactions != deadline->transactions_seen)
        deadline->transaction_us = now_us;
    deadline->phase = phase;
    deadline->answered_seen = deadline->answered;
    deadline->transactions_seen = deadline->transactions;
    deadline->heard_seen = deadline->heard;
}

void deadline_heard(struct backend *backend, char type)
{
    struct deadline *deadline = &backend->deadline;
    deadline->heard++;
    deadline->heard_bytes = 0;
    if (!deadline->unasked && strchr("PBDCEHSQF", type))
        backend->expected.asked = backend->expected.count;
    if (strchr("PBDCE", type))
        deadline->unasked = true;
    else if (strchr("HSQF", type))
        deadline->unasked = false;
}

/* Who sends a large message byte by byte is not busy. */
void deadline_heard_part(struct backend *backend, size_t length)
{
    struct deadline *deadline = &backend->deadline;
    deadline->heard_bytes += length;
    if (deadline->heard_bytes < HEARD_BYTES)
        return;
    deadline->heard++;
    deadline->heard_bytes = 0;
}

/* ---- who has had it for too long ---- */

static const struct {
    const char *sqlstate, *message;
} ends[ROUTE_LIMITS] = {
    [ROUTE_LIMIT_QUERY_US] = {SQLSTATE_QUERY_CANCELED,
                              "terminating connection due to query timeout"},
    [ROUTE_LIMIT_TRANSACTION_US] = {SQLSTATE_TRANSACTION_TIMEOUT,
                                    "terminating connection due to transaction timeout"},
    [ROUTE_LIMIT_IDLE_TRANSACTION_US] =
        {SQLSTATE_IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
         "terminating connection due to idle-in-transaction timeout"},
    [ROUTE_LIMIT_IDLE_PINNED_US] = {SQLSTATE_IDLE_SESSION_TIMEOUT,
                                    "terminating connection due to idle timeout of a session that "
                                    "keeps a server connection"},
};

static bool is_over(const struct place *place, enum route_limit limit, int64_t since_us,
                    int64_t now_us)
{
    int64_t limit_us = place->limits.values[limit];
    return limit_us > 0 && now_us - since_us >= limit_us;
}

/* The limit that is exceeded, or ROUTE_LIMITS. */
static enum route_limit exceeded(const struct backend *backend, int64_t now_us)
{
    static const enum route_limit of_phase[] = {
        [DEADLINE_NONE] = ROUTE_LIMITS,
        [DEADLINE_QUERY] = ROUTE_LIMIT_QUERY_US,
        [DEADLINE_IDLE_TRANSACTION] = ROUTE_LIMIT_IDLE_TRANSACTION_US,
        [DEADLINE_IDLE_PINNED] = ROUTE_LIMIT_IDLE_PINNED_US};
    const struct deadline *deadline = &backend->deadline;
    const struct place *place = backend->client->place;
    if (deadline->phase == DEADLINE_NONE)
        return ROUTE_LIMITS;
    if (is_over(place, of_phase[deadline->phase], deadline->phase_us, now_us))
        return of_phase[deadline->phase];
    if (is_over(place, ROUTE_LIMIT_TRANSACTION_US, deadline->transaction_us, now_us))
        return ROUTE_LIMIT_TRANSACTION_US;
    return ROUTE_LIMITS;
}

static void end(struct backend *backend, enum route_limit limit)
{
    struct client *client = backend->client;
    log_warning("%s passed tenant=%s service=%s pid=%d: closing the connection",
                route_limit_name(limit), client->tenant, client->service,
                backend->connection.backend_pid);
    client_fail(client, ends[limit].sqlstate, ends[limit].message,
                "the operator of this service has set how long a client may take");
}

static bool end_first(struct worker *worker, int64_t now_us)
{
    list_for_each (link, &worker->linked) {
        struct backend *backend = list_entry(link, struct backend, deadline.link);
        enum route_limit limit = exceeded(backend, now_us);
        if (limit == ROUTE_LIMITS)
            continue;
        end(backend, limit);
        return true;
    }
    return false;
}

void deadline_look(void *owner)
{
    struct worker *worker = owner;
    int64_t now_us = engine_now_us(worker->engine);
    int64_t interval = INT64_MAX;
    list_for_each (link, &worker->linked) {
        struct backend *backend = list_entry(link, struct backend, deadline.link);
        note_changes(backend, &backend->deadline, now_us);
    }
    /* The end of one may give its backend to another: whoever has one then was not seen yet. */
    while (end_first(worker, now_us))
        ;
    list_for_each (link, &worker->linked) {
        const struct backend *backend = list_entry(link, struct backend, deadline.link);
        int64_t own = interval_us(backend->client->place);
        if (own > 0 && own < interval)
            interval = own;
    }
    if (interval != INT64_MAX)
        look_within(worker, interval);
}

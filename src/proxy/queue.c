#include "proxy/queue.h"

#include "base/failpoint.h"
#include "proxy/backend.h"
#include "proxy/place.h"

enum {
    USUAL_OF = 64,       /* waits that `usual_wait_us` is an average of, about */
    IDLE_SEARCH = 16,    /* idle backends that are looked at for the best */
    ENTERED_SEARCH = 64, /* the same, of those that a place was last on, busy ones too */
    PLACES_SEARCH = 64,  /* places that are looked at for who is next */
};

void queue_init(struct queue *queue)
{
    list_init(&queue->places);
}

void queue_place_init(struct queue_place *place)
{
    list_init(&place->link);
    list_init(&place->clients);
}

struct client *queue_oldest(const struct queue *queue)
{
    const struct place *first = list_first(&queue->places, struct place, queue.link);
    return first ? list_first(&first->queue.clients, struct client, of_place) : NULL;
}

/* ---- waiting ---- */

/* As far as the past counts: neither credit nor more than some debt. */
static void forget_past(struct queue_place *place, const struct queue *queue)
{
    if (place->had_us < queue->served_us)
        place->had_us = queue->served_us;
    if (place->had_us > queue->served_us + QUEUE_DEBT_US)
        place->had_us = queue->served_us + QUEUE_DEBT_US;
}

static void join(struct queue *queue, struct queue_place *place)
{
    forget_past(place, queue);
    list_append(&queue->places, &place->link);
    queue->place_count++;
    queue->count += place->count;
}

static void leave(struct queue *queue, struct queue_place *place)
{
    list_remove(&place->link);
    queue->place_count--;
    queue->count -= place->count;
}

static bool is_in(const struct queue_place *place)
{
    return !list_empty(&place->link);
}

void queue_add(struct client *client, int64_t now_us)
{
    struct queue *queue = &client->place->pool->queue;
    struct queue_place *place = &client->place->queue;
    client->since_us = now_us;
    list_append(&place->clients, &client->of_place);
    place->count++;
    if (is_in(place))
        queue->count++;
    else if (!place->closed)
        join(queue, place);
}

void queue_remove(struct client *client)
{
    struct queue_place *place = &client->place->queue;
    list_remove(&client->of_place);
    place->count--;
    if (!is_in(place))
        return;
    struct queue *queue = &client->place->pool->queue;
    queue->count--;
    if (place->count == 0)
        leave(queue, place);
}

void queue_move(struct queue *from, struct queue *to, struct place *place)
{
    bool was_in = is_in(&place->queue);
    if (was_in)
        leave(from, &place->queue);
    place->queue.had_us = to->served_us;
    if (was_in)
        join(to, &place->queue);
}

void queue_close(struct place *place)
{
    place->queue.closed = true;
    if (is_in(&place->queue))
        leave(&place->pool->queue, &place->queue);
}

void queue_open(struct place *place)
{
    place->queue.closed = false;
    if (place->queue.count > 0 && !is_in(&place->queue))
        join(&place->pool->queue, &place->queue);
}

/* ---- how long is long ---- */

static struct client *head(const struct place *place)
{
    return list_first(&place->queue.clients, struct client, of_place);
}

/* How long the place has been without a backend while somebody waited. */
static int64_t without_us(const struct place *place, int64_t now_us)
{
    int64_t since_us = head(place)->since_us;
    if (since_us < place->queue.served_at_us)
        since_us = place->queue.served_at_us;
    return now_us - since_us;
}

/* So many times what is usual, between the two. */
static int64_t long_us(const struct queue *queue, int64_t least_us, int64_t most_us)
{
    int64_t found_us = QUEUE_PATIENCE_WAITS * queue->usual_wait_us;
    return found_us < least_us ? least_us : found_us > most_us ? most_us : found_us;
}

/* Whether nobody of the place had a backend for so long that what it has had before is no reason to
 * wait any longer. */
static bool is_overdue(const struct place *place, int64_t now_us)
{
    return without_us(place, now_us) >=
           long_us(&place->pool->queue, QUEUE_OVERDUE_US, QUEUE_OVERDUE_MOST_US);
}

/* ---- the reserve ---- */

static bool keeps_reserve(const struct pool *pool)
{
    return pool->idle_count == 1 && pool->backend_count >= QUEUE_RESERVE_FROM &&
           !mutation("proxy.reserve");
}

/* With either access. */
static bool has_one(const struct place *place)
{
    const struct place *other = place_taken(place) > 0 ? NULL : place_find_other(place);
    return place_taken(place) > 0 || (other && place_taken(other) > 0);
}

/* Whether what is idle is kept from the place. */
static bool is_reserved_from(const struct pool *pool, const struct place *place)
{
    return keeps_reserve(pool) && has_one(place);
}

bool queue_has_reserve_only(const struct pool *pool)
{
    if (!pool_is_guarded(pool) || !keeps_reserve(pool))
        return false;
    int looked_at = 0;
    list_for_each (link, &pool->queue.places) {
        if (!is_reserved_from(pool, list_entry(link, struct place, queue.link)))
            return false;
        if (++looked_at == PLACES_SEARCH)
            break;
    }
    return true;
}

/* ---- an idle backend for a client ---- */

/* Where the same place was before and nothing has come between. */
static struct backend *find_entered(const struct place *place)
{
    int looked_at = 0;
    list_for_each (link, &place->backends) {
        struct backend *backend = list_entry(link, struct backend, of_place);
        if (backend->state == BACKEND_IDLE)
            return backend;
        if (++looked_at == ENTERED_SEARCH)
            break;
    }
    return NULL;
}

/* One that the place has been on, where that costs memory anew; else the least recently used, so
 * that the others are there for who comes back to them. */
static struct backend *find_elsewhere(const struct pool *pool, const struct place *place)
{
    int looked_at = 0;
    for (struct list *link = pool->idle.previous; link != &pool->idle; link = link->previous) {
        struct backend *backend = list_entry(link, struct backend, idle);
        if (backend_has_touched(backend, place))
            return backend;
        if (++looked_at == IDLE_SEARCH)
            break;
    }
    return list_empty(&pool->idle) ? NULL : list_entry(pool->idle.previous, struct backend, idle);
}

/* The most recently used, or one near it that has the client's settings. */
static struct backend *find_own(const struct pool *pool, const struct client *client)
{
    int looked_at = 0;
    list_for_each (link, &pool->idle) {
        struct backend *backend = list_entry(link, struct backend, idle);
        if (backend->settings == client->settings)
            return backend;
        if (++looked_at == IDLE_SEARCH)
            break;
    }
    return list_first(&pool->idle, struct backend, idle);
}

struct backend *queue_find_backend(struct client *client, int64_t now_us)
{
    struct place *place = client->place;
    const struct pool *pool = place->pool;
    if (place->queue.closed || list_empty(&pool->idle))
        return NULL;
    if (!pool_is_guarded(pool))
        return find_own(pool, client);
    if (is_reserved_from(pool, place))
        return NULL;
    struct backend *found = find_entered(place);
    if (!found)
        found = home_idle(place);
    if (!found && home_is_anywhere(place, now_us))
        found = find_elsewhere(pool, place);
    return found;
}

/* ---- a client for an idle backend ---- */

static int64_t few_us(const struct queue *queue, int64_t most_us)
{
    int64_t found_us = (int64_t)queue->place_count * QUEUE_PATIENCE_PLACE_US;
    return queue->place_count < QUEUE_PATIENCE_FEW && found_us < most_us ? found_us : most_us;
}

/* How long a place goes without a backend for others' sake. */
static int64_t patience_us(const struct queue *queue)
{
    return few_us(queue, long_us(queue, QUEUE_PATIENCE_US, QUEUE_PATIENCE_MOST_US));
}

/* Whether it has waited too long to be kept from that backend for others' sake. */
static bool is_impatient(const struct place *place, const struct backend *backend, int64_t now_us)
{
    int64_t waited_us = now_us - head(place)->since_us;
    int64_t kept_us = now_us - backend->idle_since_us;
    const struct queue *queue = &place->pool->queue;
    return (waited_us >= few_us(queue, QUEUE_PATIENCE_US) &&
            kept_us >= few_us(queue, QUEUE_KEPT_US)) ||
           without_us(place, now_us) >= patience_us(queue);
}

static bool may_have(struct place *place, const struct backend *backend, int64_t now_us)
{
    return home_is(place, backend) || home_is_anywhere(place, now_us) ||
           is_impatient(place, backend, now_us);
}

/* Of those that a backend may serve it serves those first whose first home it is: it knows their
 * tables best, and the others have it elsewhere. Nobody waits long for that. */
static bool is_preferred(struct place *place, const struct backend *backend, int64_t now_us)
{
    return home_is_first(place, backend) ||
           without_us(place, now_us) >= patience_us(&place->pool->queue) / 2;
}

static bool waits(const struct pool *pool, const struct place *place)
{
    return place && place->pool == pool && is_in(&place->queue);
}

/* Of those that wait, and are not where the backend was last: the first in turn, but those that
 * have had more than another. */
static struct place *choose_place(const struct pool *pool, const struct backend *backend,
                                  int64_t now_us)
{
    struct place *found[PLACES_SEARCH];
    size_t count_ = 0;
    int looked_at = 0;
    int64_t least_us = INT64_MAX;
    list_for_each (link, &pool->queue.places) {
        struct place *place = list_entry(link, struct place, queue.link);
        bool was_last = backend->place && place == backend->place;
        if (!was_last && !is_reserved_from(pool, place) && may_have(place, backend, now_us)) {
            if (is_overdue(place, now_us))
                return place;
            found[count_++] = place;
            if (least_us > place->queue.had_us)
                least_us = place->queue.had_us;
        }
        if (++looked_at == PLACES_SEARCH)
            break;
    }
    struct place *next = NULL;
    for (size_t i = 0; i < count_; i++) {
        if (found[i]->queue.had_us > least_us + QUEUE_SLACK_US)
            continue;
        if (is_preferred(found[i], backend, now_us))
            return found[i];
        if (!next)
            next = found[i];
    }
    return next;
}

/* Whether the place that the backend served last gives it to another. */
static bool gives_way(const struct place *last, const struct place *next, int64_t now_us)
{
    return last->queue.had_us > next->queue.had_us + QUEUE_LEAD_US || is_overdue(next, now_us);
}

struct client *queue_next(struct pool *pool, const struct backend *backend, int64_t now_us)
{
    if (pool->queue.count == 0)
        return NULL;
    if (!pool_is_guarded(pool))
        return queue_oldest(&pool->queue);
    const struct place *last = waits(pool, backend->place) ? backend->place : NULL;
    if (last && is_reserved_from(pool, last))
        last = NULL;
    if (last && mutation("proxy.patience"))
        return head(last);
    const struct place *next = choose_place(pool, backend, now_us);
    if (last && (!next || !gives_way(last, next, now_us)))
        next = last;
    return next ? head(next) : NULL;
}

int64_t queue_next_look_us(const struct pool *pool)
{
    const struct backend *longest = list_last(&pool->idle, struct backend, idle);
    const struct client *oldest = queue_oldest(&pool->queue);
    int64_t patient_us = oldest->since_us + few_us(&pool->queue, QUEUE_PATIENCE_US);
    int64_t kept_us = longest->idle_since_us + few_us(&pool->queue, QUEUE_KEPT_US);
    return patient_us > kept_us ? patient_us : kept_us;
}

void queue_served(struct client *client, int64_t now_us)
{
    struct place *place = client->place;
    struct queue *queue = &place->pool->queue;
    int64_t since_us = client->since_us;
    if (since_us < place->queue.served_at_us)
        since_us = place->queue.served_at_us;
    queue->usual_wait_us += (now_us - since_us - queue->usual_wait_us) / USUAL_OF;
    place->queue.served_at_us = now_us;
    if (queue->served_us < place->queue.had_us)
        queue->served_us = place->queue.had_us;
    if (is_in(&place->queue)) {
        list_remove(&place->queue.link);
        list_append(&queue->places, &place->queue.link);
    }
}

void queue_take(struct client *client, int64_t now_us)
{
    queue_remove(client);
    queue_served(client, now_us);
}

void queue_charge(struct place *place, int64_t used_us)
{
    int64_t weight = place->limits.values[ROUTE_LIMIT_WEIGHT];
    place->queue.had_us += weight > 0 ? used_us * QUEUE_WEIGHT / weight : used_us;
    if (place->pool)
        forget_past(&place->queue, &place->pool->queue);
}

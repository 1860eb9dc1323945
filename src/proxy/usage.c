#include "proxy/usage.h"

const int64_t proxy_wait_bounds_us[PROXY_WAIT_BOUNDS] = {
    1000,   5000,    10000,   25000,   50000,    100000,  250000,
    500000, 1000000, 2500000, 5000000, 10000000, 30000000};

void usage_add(struct proxy_usage *to, const struct proxy_usage *from)
{
    for (size_t i = 0; i < PROXY_USES; i++)
        to->of[i] += from->of[i];
}

void usage_wait_ended(struct client *client, int64_t now_us)
{
    struct worker *worker = client->worker;
    int64_t waited_us = now_us - client->queued_us;
    size_t bucket = 0;
    while (bucket < PROXY_WAIT_BOUNDS && waited_us > proxy_wait_bounds_us[bucket])
        bucket++;
    count(&worker->counters.waits[bucket], 1);
    usage_count(worker, client->place, PROXY_USE_WAITS, 1);
    usage_count(worker, client->place, PROXY_USE_WAIT_US, waited_us);
}

/* ---- placements without a place ---- */

static uint64_t past_hash(int64_t placement_id)
{
    return hash_u64((uint64_t)placement_id);
}

static struct usage_past *find(const struct worker *worker, int64_t placement_id)
{
    for (struct hash_node *node = hash_table_find(&worker->past, past_hash(placement_id)); node;
         node = hash_table_find_next(node)) {
        struct usage_past *past = container_of(node, struct usage_past, node);
        if (past->placement_id == placement_id)
            return past;
    }
    return NULL;
}

static void forget(struct worker *worker, struct usage_past *past)
{
    hash_table_remove(&worker->past, &past->node);
    free(past);
}

struct giving_up {
    struct worker *worker;
    int64_t times[USAGE_KEPT];
    size_t count, left; /* that are to go */
    int64_t most_us;    /* that one of those may have had */
};

static void note_time(struct hash_node *node, void *argument)
{
    struct giving_up *giving_up = argument;
    giving_up->times[giving_up->count++] =
        container_of(node, struct usage_past, node)->used.of[PROXY_USE_BACKEND_US];
}

static void give_up(struct hash_node *node, void *argument)
{
    struct giving_up *giving_up = argument;
    struct usage_past *past = container_of(node, struct usage_past, node);
    if (giving_up->left == 0 || past->used.of[PROXY_USE_BACKEND_US] > giving_up->most_us)
        return;
    giving_up->left--;
    forget(giving_up->worker, past);
}

static int by_size(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a;
    int64_t other = *(const int64_t *)b;
    return (one > other) - (one < other);
}

/* Half of them at once, so that what it costs is spread over as many placements. */
static void make_room(struct worker *worker)
{
    struct giving_up giving_up = {.worker = worker, .left = USAGE_KEPT / 2};
    hash_table_each(&worker->past, note_time, &giving_up);
    qsort(giving_up.times, giving_up.count, sizeof(giving_up.times[0]), by_size);
    giving_up.most_us = giving_up.times[giving_up.left - 1];
    hash_table_each(&worker->past, give_up, &giving_up);
    worker->past_given_up = true;
}

void usage_recall(struct place *place, const struct place *other)
{
    struct usage_past *past = other ? NULL : find(place->worker, place->placement_id);
    if (!past)
        return;
    place->used = past->used;
    forget(place->worker, past);
}

static bool is_nothing(const struct proxy_usage *used)
{
    for (size_t i = 0; i < PROXY_USES; i++) {
        if (used->of[i] != 0)
            return false;
    }
    return true;
}

void usage_keep(struct place *place, struct place *other)
{
    struct worker *worker = place->worker;
    if (other) {
        usage_add(&other->used, &place->used);
        return;
    }
    if (is_nothing(&place->used))
        return;
    if (worker->past.count == USAGE_KEPT)
        make_room(worker);
    struct usage_past *past = xcalloc(1, sizeof(*past));
    past->placement_id = place->placement_id;
    past->used = place->used;
    str_copy(past->tenant, sizeof(past->tenant), place->tenant);
    str_copy(past->service, sizeof(past->service), place->service);
    hash_table_insert(&worker->past, &past->node, past_hash(place->placement_id));
}

static void free_past(struct hash_node *node, void *worker)
{
    forget(worker, container_of(node, struct usage_past, node));
}

void usage_free(struct worker *worker)
{
    hash_table_each(&worker->past, free_past, worker);
    hash_table_free(&worker->past);
}

#include "proxy/rate.h"

#include "base/time.h"
#include "proxy/place.h"

enum { LOOK_SOONEST_US = 10 * TIME_MS };
static const int64_t longest_us = 365 * 24 * 3600 * (int64_t)TIME_S;

/* ---- buckets ---- */

static void fill(struct bucket *bucket, double rate, int64_t now_us)
{
    double gained = rate * (double)(now_us - bucket->at_us) / TIME_S;
    bool full = bucket->at_us == 0 || bucket->left + gained >= rate;
    bucket->left = full ? rate : bucket->left + gained;
    bucket->at_us = now_us;
}

/* Until so much is in it. */
static int64_t until_us(const struct bucket *bucket, double rate, double wanted)
{
    if (bucket->left >= wanted)
        return 0;
    double us = (wanted - bucket->left) * TIME_S / rate;
    return us < (double)longest_us ? (int64_t)us + 1 : longest_us;
}

/* ---- a place's ---- */

static double limit(const struct place *place, enum route_limit which)
{
    return (double)place->limits.values[which];
}

static int64_t bytes_of(const struct place *place)
{
    return place->used.of[PROXY_USE_BYTES_IN] + place->used.of[PROXY_USE_BYTES_OUT];
}

void rate_init(struct place *place)
{
    list_init(&place->rate.link);
    place->rate.bytes_counted = bytes_of(place);
}

void rate_stop(struct place *place)
{
    list_remove(&place->rate.link);
}

void rate_skip_bytes(struct place *place, int64_t bytes)
{
    place->rate.bytes_counted += bytes;
}

static void bring_up_to_date(struct place *place)
{
    struct rate *rate = &place->rate;
    int64_t now_us = engine_now_us(place->worker->engine);
    int64_t bytes = bytes_of(place);
    if (limit(place, ROUTE_LIMIT_TRANSACTION_RATE) > 0)
        fill(&rate->transactions, limit(place, ROUTE_LIMIT_TRANSACTION_RATE), now_us);
    if (limit(place, ROUTE_LIMIT_BYTE_RATE) > 0) {
        bool begins = rate->bytes.at_us == 0; /* what was before is nobody's business */
        fill(&rate->bytes, limit(place, ROUTE_LIMIT_BYTE_RATE), now_us);
        rate->bytes.left -= begins ? 0 : (double)(bytes - rate->bytes_counted);
    } else {
        rate->bytes.at_us = 0;
    }
    rate->bytes_counted = bytes;
}

/* Until so many transactions, and more than so many bytes, may be used. */
static int64_t wait_us(const struct place *place, double transactions, double bytes)
{
    double transaction_rate = limit(place, ROUTE_LIMIT_TRANSACTION_RATE);
    double byte_rate = limit(place, ROUTE_LIMIT_BYTE_RATE);
    int64_t left_us = 0;
    if (transaction_rate > 0)
        left_us = until_us(&place->rate.transactions, transaction_rate, transactions);
    if (byte_rate > 0 && !mutation("proxy.byte_rate")) {
        int64_t own_us = until_us(&place->rate.bytes, byte_rate, bytes);
        left_us = own_us > left_us ? own_us : left_us;
    }
    return left_us;
}

static bool has_any(const struct place *place)
{
    return place->limits.values[ROUTE_LIMIT_TRANSACTION_RATE] > 0 ||
           place->limits.values[ROUTE_LIMIT_BYTE_RATE] > 0;
}

/* Not at once, even if there is little to wait for: nobody is served one by one. */
static void look_in(struct place *place, int64_t left_us)
{
    struct worker *worker = place->worker;
    int64_t at_us =
        engine_now_us(worker->engine) + (left_us < LOOK_SOONEST_US ? LOOK_SOONEST_US : left_us);
    list_remove(&place->rate.link);
    list_append(&worker->rated, &place->rate.link);
    if (!timer_running(&worker->rate_timer) || worker->rate_timer.deadline_us > at_us)
        timer_start(&worker->rate_timer, at_us);
}

bool rate_allows(struct place *place)
{
    if (!has_any(place)) {
        rate_stop(place);
        place->rate.transactions.at_us = place->rate.bytes.at_us = 0;
        return true;
    }
    bring_up_to_date(place);
    int64_t left_us = wait_us(place, 1, 1);
    if (left_us == 0)
        rate_stop(place);
    else
        look_in(place, left_us);
    return left_us == 0;
}

void rate_count_transaction(struct place *place)
{
    if (place->limits.values[ROUTE_LIMIT_TRANSACTION_RATE] > 0) {
        bring_up_to_date(place);
        place->rate.transactions.left -= 1;
    }
    if (has_any(place))
        place_open_or_close(place);
}

bool rate_is_out_of_bytes(const struct place *place)
{
    return place->limits.values[ROUTE_LIMIT_BYTE_RATE] > 0 && place->rate.bytes.left < 1;
}

bool rate_must_be_kept(struct place *place)
{
    if (!has_any(place))
        return false;
    bring_up_to_date(place);
    int64_t left_us = wait_us(place, limit(place, ROUTE_LIMIT_TRANSACTION_RATE),
                              limit(place, ROUTE_LIMIT_BYTE_RATE));
    if (left_us > 0)
        look_in(place, left_us);
    return left_us > 0;
}

void rate_look(void *owner)
{
    struct worker *worker = owner;
    struct list due;
    list_init(&due);
    while (!list_empty(&worker->rated)) {
        struct list *link = worker->rated.next;
        list_remove(link);
        list_append(&due, link);
    }
    while (!list_empty(&due)) { /* who may not yet is in worker.rated again */
        struct place *place = list_first(&due, struct place, rate.link);
        rate_stop(place);
        place_open_or_close(place);
        place_check_unused(place);
    }
}

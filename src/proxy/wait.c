#include "proxy/wait.h"

#include "base/log.h"
#include "proxy/keep.h"
#include "proxy/place.h"
#include "proxy/usage.h"
#include "wire/sqlstate.h"

/* In microseconds; 0: as long as it takes. */
static int64_t timeout_us(const struct place *place)
{
    return place->limits.values[ROUTE_LIMIT_QUEUE_US];
}

/* Who has waited longest: they are in the order in which their time is over. */
static struct client *first(const struct place *place)
{
    return list_first(&place->queue.clients, struct client, of_place);
}

static void refuse(struct client *client)
{
    const struct place *place = client->place;
    const struct pool *pool = place->pool;
    log_warning("no backend within the queue timeout tenant=%s placement=%lld", client->tenant,
                (long long)place->placement_id);
    if (place->queue.closed && place_free_backends(place) == 0)
        client_fail(client, SQLSTATE_TOO_MANY_CONNECTIONS,
                    "this tenant has as many transactions as it may have at once",
                    "the operator of this service has set how many; try again");
    else if (place->queue.closed && rate_is_out_of_bytes(place))
        client_fail(client, SQLSTATE_TOO_MANY_CONNECTIONS,
                    "this tenant has had as many bytes as its rate allows",
                    "the operator of this service has set how many a second; try again later");
    else if (place->queue.closed)
        client_fail(client, SQLSTATE_TOO_MANY_CONNECTIONS,
                    "this tenant has had as many transactions as its rate allows",
                    "the operator of this service has set how many a second; try again later");
    else if (pool->failures > 0 && keep_has_room(pool))
        client_fail_error(client, &pool->last_error);
    else if (!keep_has_room(pool))
        client_fail(client, SQLSTATE_TOO_MANY_CONNECTIONS,
                    "this tenant has as many server connections as it may have",
                    "the operator of this service has set how many; try again");
    else
        client_fail(client, SQLSTATE_TOO_MANY_CONNECTIONS,
                    "no server connection became free within the queue timeout",
                    "the cluster's max_backends are all in use; try again");
}

static void expired(void *owner)
{
    struct place *place = owner;
    int64_t now_us = engine_now_us(place->worker->engine);
    struct client *client;
    while (timeout_us(place) > 0 && (client = first(place)) != NULL) {
        if (client->since_us + timeout_us(place) > now_us) {
            timer_start(&place->wait_timer, client->since_us + timeout_us(place));
            return;
        }
        if (place_is_held(place))
            wait_renew(place);
        else
            refuse(client); /* the place is there until the end of the turn */
    }
}

void wait_init(struct place *place)
{
    timer_init(&place->wait_timer, place->worker->engine, expired, place);
}

void wait_stop(struct place *place)
{
    timer_stop(&place->wait_timer);
}

void wait_began(struct client *client)
{
    struct place *place = client->place;
    client->queued_us = client->since_us;
    count(&client->worker->counters.clients_waiting, 1);
    if (timeout_us(place) > 0 && !timer_running(&place->wait_timer))
        timer_start(&place->wait_timer, client->since_us + timeout_us(place));
}

void wait_ended(struct client *client)
{
    count(&client->worker->counters.clients_waiting, -1);
    usage_wait_ended(client, engine_now_us(client->worker->engine));
}

void wait_renew(struct place *place)
{
    list_for_each (link, &place->queue.clients)
        list_entry(link, struct client, of_place)->since_us = engine_now_us(place->worker->engine);
}

void wait_changed(struct place *place)
{
    const struct client *client = first(place);
    if (client && timeout_us(place) > 0)
        timer_start(&place->wait_timer, client->since_us + timeout_us(place));
    else
        timer_stop(&place->wait_timer);
}

/*
 * cancel.c - CancelRequest: found by key in one step, whichever worker it reaches.
 *
 * The process id that a client is told is random but for the worker's number in its low bits; the
 * secret is random, 32 bytes or, for protocol 3.0, 4. A request whose secret is not all of the
 * client's, or whose client has nothing under way, does nothing. A query that waits for a backend
 * is refused at once.
 */
#include "base/crypto.h"
#include "base/time.h"
#include "proxy/backend.h"

enum {
    WORKER_BITS = 6,
    AGAIN_US = 20 * TIME_MS, /* and twice as long each time */
    TRIES_MAX = 8,
};

static struct client *find_key(struct worker *worker, uint32_t id)
{
    for (struct hash_node *node = hash_table_find(&worker->keys, hash_u64(id)); node;
         node = hash_table_find_next(node)) {
        struct client *client = container_of(node, struct client, key_node);
        if (client->cancel_id == id)
            return client;
    }
    return NULL;
}

void client_key_add(struct client *client, uint32_t version)
{
    struct worker *worker = client->worker;
    uint32_t id;
    do {
        crypto_random(&id, sizeof(id));
        id = (id << WORKER_BITS | (uint32_t)worker->index) & 0x7fffffff;
    } while (id == 0 || find_key(worker, id));
    client->cancel_id = id;
    client->cancel_secret_length =
        version >= WIRE_PROTOCOL_3_2 ? CANCEL_SECRET_SIZE : CANCEL_SECRET_OLD_SIZE;
    crypto_random(client->cancel_secret, client->cancel_secret_length);
    hash_table_insert(&worker->keys, &client->key_node, hash_u64(id));
    client->has_key = true;
}

/* The whole secret and nothing behind it, in a time that does not tell where they differ. How long
 * it is is no secret. */
static bool is_secret(const struct client *client, const struct client *from)
{
    return client->cancel_secret_length == from->cancel_secret_length &&
           crypto_equal(client->cancel_secret, from->cancel_secret, from->cancel_secret_length);
}

/* ---- what it hits ---- */

enum stage {
    STAGE_NOTHING, /* the client's query is over, or there is none */
    STAGE_WAITING, /* for a backend: nothing of it was begun */
    STAGE_BEFORE,  /* the server is at something of the proxy's own in front of it */
    STAGE_ENTERING,
    STAGE_QUERY,
};

static enum stage stage_of(const struct client *client)
{
    if (client->checking_settings)
        return STAGE_NOTHING;
    if (client->state != CLIENT_ACTIVE)
        return client->state == CLIENT_WAITING ? STAGE_WAITING : STAGE_NOTHING;
    const struct expect *head = expect_first(&client->backend->expected);
    if (!head)
        return client->first_due ? STAGE_BEFORE : STAGE_NOTHING;
    switch (head->action) {
    case EXPECT_CAPTURE: /* behind it */
        return STAGE_NOTHING;
    case EXPECT_SETTINGS:
    case EXPECT_PRIVATE:
        return STAGE_BEFORE;
    case EXPECT_ENTER:
        return STAGE_ENTERING;
    case EXPECT_FORWARD:
    case EXPECT_SWALLOW:
    case EXPECT_FAKE:
    case EXPECT_DUPLICATE:
        break;
    }
    return STAGE_QUERY;
}

static void look_at(struct worker *worker, int64_t at_us)
{
    struct timer *timer = &worker->cancel_timer;
    if (!timer_running(timer) || timer->deadline_us > at_us)
        timer_start(timer, at_us);
}

static void try_again_later(struct client *client)
{
    struct worker *worker = client->worker;
    list_remove(&client->cancelling);
    if (client->cancel_tries == TRIES_MAX)
        return;
    client->cancel_us = engine_now_us(worker->engine) + ((int64_t)AGAIN_US << client->cancel_tries);
    client->cancel_tries++;
    list_append(&worker->cancelling, &client->cancelling);
    look_at(worker, client->cancel_us);
}

/*
 * The answer to entering comes with that to the query behind it, so it may be the query that the
 * server is at. If it is not, the request has no effect: the guard lets it wait, and the server
 * forgets it when it reads the next message. So it is sent, and sent again until the query is
 * answered: what was sent behind the proxy's own may not have been read yet. Not for ever: a query
 * may catch it, each time.
 */
static void cancel(struct client *client, bool again)
{
    enum stage stage = stage_of(client);
    if (stage == STAGE_ENTERING || stage == STAGE_QUERY)
        backend_cancel(client->backend);
    if (stage == STAGE_ENTERING || stage == STAGE_BEFORE || (stage == STAGE_QUERY && again))
        try_again_later(client);
    else
        list_remove(&client->cancelling);
    if (stage == STAGE_WAITING)
        client_refuse_waiting(client);
}

void client_cancel(struct client *client)
{
    client->cancel_tries = 0;
    cancel(client, false);
}

void cancel_look(void *owner)
{
    struct worker *worker = owner;
    int64_t now_us = engine_now_us(worker->engine);
    struct list due;
    list_init(&due);
    list_for_each_safe (link, &worker->cancelling) {
        struct client *client = list_entry(link, struct client, cancelling);
        if (client->cancel_us > now_us) {
            look_at(worker, client->cancel_us);
            continue;
        }
        list_remove(link);
        list_append(&due, link);
    }
    while (!list_empty(&due)) {
        struct client *client = list_first(&due, struct client, cancelling);
        list_remove(&client->cancelling);
        cancel(client, true);
    }
}

/* ---- the request ---- */

/* Its connection is closed when it has had its effect: what its client sends then is not hit. */
static void take(struct worker *worker, struct client *from)
{
    struct client *client = find_key(worker, from->cancel_id);
    if (client && (is_secret(client, from) || mutation("proxy.cancel")))
        client_cancel(client);
    client_close(from);
}

static void request_arrived(struct worker *worker, struct note *note)
{
    struct client *from = container_of(note, struct client, note);
    if (client_arrive(worker, from))
        take(worker, from);
}

void cancel_request(struct client *from, uint32_t id, struct str secret)
{
    struct worker *worker = from->worker;
    int index = (int)(id & ((1u << WORKER_BITS) - 1));
    if (index >= worker->proxy->worker_count || secret.length > CANCEL_SECRET_SIZE) {
        client_close(from); /* nobody's */
        return;
    }
    from->cancel_id = id;
    from->cancel_secret_length = secret.length;
    memcpy(from->cancel_secret, secret.data, secret.length);
    struct error err;
    if (index == worker->index)
        take(worker, from);
    else if (client_leave(from, &err) < 0)
        client_close(from);
    else
        worker_post(worker->proxy->workers[index], &from->note, LETTER_CANCEL, request_arrived);
}

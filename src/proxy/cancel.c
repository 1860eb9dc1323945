/*
 * cancel.c - CancelRequest: found by key in one step, whichever worker it reaches.
 *
 * The process id that a client is told is random but for the worker's number in its low bits; the
 * secret is random, 32 bytes or, for protocol 3.0, 4. A request whose secret is not all of the
 * client's, or whose client runs nothing, does nothing.
 */
#include "base/crypto.h"
#include "proxy/backend.h"

enum { WORKER_BITS = 6 };

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

struct cancel_note {
    struct note note;
    uint32_t id;
    size_t secret_length;
    uint8_t secret[CANCEL_SECRET_SIZE];
};

/* The whole secret and nothing behind it, in a time that does not tell where they differ. How long
 * it is is no secret. */
static bool is_secret(const struct client *client, const struct cancel_note *cancel)
{
    return client->cancel_secret_length == cancel->secret_length &&
           crypto_equal(client->cancel_secret, cancel->secret, cancel->secret_length);
}

/* What the server is at is the client's, and not something of the proxy's own in front of it or
 * behind it: to cancel that would harm, and the client's query has not begun or is over. */
static bool runs_a_query(const struct client *client)
{
    if (client->state != CLIENT_ACTIVE)
        return false;
    struct expect_queue *expected = &client->backend->expected;
    const struct expect *head = expect_first(expected);
    /* The answer to entering comes with that to what stands behind it; in entering itself the guard
     * lets a cancel request wait. */
    for (size_t i = 1; head && head->action == EXPECT_ENTER; i++)
        head = i < expected->count ? expect_at(expected, i) : NULL;
    return head && (head->action == EXPECT_FORWARD || head->action == EXPECT_DUPLICATE ||
                    head->action == EXPECT_FAKE || head->action == EXPECT_SWALLOW);
}

static void cancel_received(struct worker *worker, struct note *note)
{
    struct cancel_note *cancel = container_of(note, struct cancel_note, note);
    struct client *client = find_key(worker, cancel->id);
    bool right = client && (is_secret(client, cancel) || mutation("proxy.cancel"));
    if (right && runs_a_query(client))
        backend_cancel(client->backend);
    free(cancel);
}

void cancel_request(struct worker *worker, uint32_t id, struct str secret)
{
    int index = (int)(id & ((1u << WORKER_BITS) - 1));
    if (index >= worker->proxy->worker_count || secret.length > CANCEL_SECRET_SIZE)
        return; /* nobody's */
    struct cancel_note *cancel = xcalloc(1, sizeof(*cancel));
    cancel->id = id;
    cancel->secret_length = secret.length;
    memcpy(cancel->secret, secret.data, secret.length);
    worker_post(worker->proxy->workers[index], &cancel->note, LETTER_CANCEL, cancel_received);
}

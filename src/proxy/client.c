#include "proxy/client.h"

#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "proxy/backend.h"
#include "proxy/place.h"
#include "proxy/login.h"
#include "wire/sqlstate.h"

enum { FAREWELL_GRACE_US = 5 * TIME_S };

void client_set_state(struct client *client, enum client_state state)
{
    bool waits = state == CLIENT_WAITING;
    if (client->stream && waits != (client->state == CLIENT_WAITING))
        stream_tell_hangup(client->stream, waits);
    client->state = state;
}

/* ---- the stream's events ---- */

static size_t received(void *owner, const char *bytes, size_t length)
{
    struct client *client = owner;
    return client->state < CLIENT_IDLE ? login_received(client, bytes, length)
                                       : client_received(client, bytes, length);
}

void client_resume(struct client *client)
{
    if (!client->checking_settings && stream_read_paused(client->stream))
        stream_resume_read(client->stream);
}

static void drained(void *owner)
{
    struct client *client = owner;
    struct backend *backend = client->backend;
    if (backend && stream_read_paused(backend->stream))
        stream_resume_read(backend->stream);
    if (client->state == CLIENT_ACTIVE || client->state == CLIENT_IDLE)
        client_resume(client); /* it was paused, if it sent more than it read of our answers */
}

static void secured(void *owner)
{
    struct client *client = owner;
    client->secure = true;
    login_secured(client);
}

static void closed(void *owner, const struct error *reason)
{
    struct client *client = owner;
    if (reason->code)
        log_debug("client lost tenant=%s: %s", client->tenant, reason->message);
    if (client->state < CLIENT_IDLE)
        count(&client->worker->counters.logins_failed, 1);
    client_close(client);
}

static const struct stream_events client_events = {
    .received = received, .drained = drained, .secured = secured, .closed = closed};

/* ---- making ---- */

int client_attach(struct client *client, struct worker *worker, int fd, SSL *ssl, struct error *err)
{
    client->worker = worker;
    client->serial = ++worker->next_serial;
    int result =
        stream_create(worker->engine, fd, ssl, true, &client_events, client, &client->stream, err);
    if (result < 0)
        return result;
    list_append(&worker->clients, &client->link);
    count(&worker->counters.clients, 1);
    return 0;
}

void client_detach(struct client *client)
{
    list_remove(&client->link);
    list_remove(&client->timed);
    list_remove(&client->cancelling);
    count(&client->worker->counters.clients, -1);
}

struct client *client_new(void)
{
    struct client *client = xcalloc(1, sizeof(*client));
    list_init(&client->link);
    list_init(&client->timed);
    list_init(&client->of_place);
    list_init(&client->of_tenant);
    list_init(&client->cancelling);
    list_init(&client->custom_names);
    hash_table_init(&client->statements);
    return client;
}

void client_accepted(struct worker *worker, int fd)
{
    struct proxy *proxy = worker->proxy;
    struct client *client = client_new();
    struct error err;
    int others = atomic_fetch_add(&proxy->client_count, 1);
    int maximum = atomic_load(&proxy->max_clients);
    client->local = net_peer_is_local(fd);
    client->too_many = others >= maximum;
    client->login = login_new();
    client_set_state(client, CLIENT_STARTUP);
    if (others >= 2 * maximum + 16 || client_attach(client, worker, fd, NULL, &err) < 0) {
        close(fd);
        client_free(client);
        atomic_fetch_sub(&proxy->client_count, 1);
        return;
    }
    client->since_us = engine_now_us(worker->engine);
    list_append(&worker->logins, &client->timed);
    if (!timer_running(&worker->login_timer))
        timer_start(&worker->login_timer, client->since_us + atomic_load(&proxy->login_timeout_us));
}

/* ---- its tenant's list ---- */

static struct tenant_clients *find_tenant(struct worker *worker, int64_t tenant_id)
{
    for (struct hash_node *node = hash_table_find(&worker->tenants, hash_u64((uint64_t)tenant_id));
         node; node = hash_table_find_next(node)) {
        struct tenant_clients *tenant = container_of(node, struct tenant_clients, node);
        if (tenant->tenant_id == tenant_id)
            return tenant;
    }
    return NULL;
}

void client_join_tenant(struct client *client)
{
    struct worker *worker = client->worker;
    struct tenant_clients *tenant = find_tenant(worker, client->tenant_id);
    if (!tenant) {
        tenant = xcalloc(1, sizeof(*tenant));
        tenant->tenant_id = client->tenant_id;
        list_init(&tenant->clients);
        hash_table_insert(&worker->tenants, &tenant->node, hash_u64((uint64_t)client->tenant_id));
    }
    list_append(&tenant->clients, &client->of_tenant);
}

static void leave_tenant(struct client *client)
{
    if (list_empty(&client->of_tenant))
        return;
    list_remove(&client->of_tenant);
    struct tenant_clients *tenant = find_tenant(client->worker, client->tenant_id);
    if (tenant && list_empty(&tenant->clients)) {
        hash_table_remove(&client->worker->tenants, &tenant->node);
        free(tenant);
    }
}

/* ---- the end ---- */

void client_free(struct client *client)
{
    client_messages_free(client);
    login_free(client->login);
    pairs_unref(client->settings);
    pairs_unref(client->parameters);
    buffer_free(&client->handed);
    free(client);
}

void client_close(struct client *client)
{
    struct worker *worker = client->worker;
    struct place *place = client->place;
    if (client->state == CLIENT_WAITING)
        pool_stop_waiting(client);
    client_set_state(client, CLIENT_CLOSED);
    if (client->backend)
        backend_client_gone(client->backend);
    leave_tenant(client);
    if (client->has_key)
        hash_table_remove(&worker->keys, &client->key_node);
    client_detach(client);
    stream_close(client->stream);
    client_free(client);
    atomic_fetch_sub(&worker->proxy->client_count, 1);
    if (place)
        place_remove_client(place);
    worker_check_stopped(worker);
}

void client_fail(struct client *client, const char *sqlstate, const char *message, const char *hint)
{
    struct buffer *out = &client->worker->scratch;
    buffer_reset(out);
    /* In the middle of a message it would be read as the rest of that. */
    if (!client->half_told && !(client->backend && client->backend->forward_left > 0)) {
        wire_put_error(out, "FATAL", sqlstate, message, NULL, hint);
        stream_write(client->stream, buffer_string(out), out->length);
    }
    stream_flush(client->stream);
    buffer_reset(out);
    stream_close_after_write(take_pointer(client->stream), FAREWELL_GRACE_US);
    client_close(client);
}

void client_fail_error(struct client *client, const struct error *err)
{
    client_fail(client, err->sqlstate, err->message, err->hint);
}

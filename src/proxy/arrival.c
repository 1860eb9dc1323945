/*
 * arrival.c - a client whose credential was found good comes to the worker of its placement's pool.
 *
 * Between the two workers it is HANDING: in nobody's lists, its socket, TLS session and the bytes
 * read ahead in itself. What the catalog said is looked up again on arrival: from then on the
 * worker hears of every change.
 */
#include <unistd.h>

#include "base/log.h"
#include "proxy/backend.h"
#include "proxy/login.h"
#include "proxy/place.h"
#include "wire/sqlstate.h"

enum { READ_AHEAD_MAX = 2 * STREAM_READ_SIZE };

static void arrive(struct client *client);

/* ---- leaving ---- */

int client_leave(struct client *client, struct error *err)
{
    buffer_init(&client->handed, READ_AHEAD_MAX);
    int result = stream_detach(client->stream, &client->handed_fd, &client->handed_ssl,
                               &client->handed, err);
    if (result < 0)
        return result;
    client->stream = NULL;
    client_detach(client);
    client_set_state(client, CLIENT_HANDING);
    return 0;
}

void login_hand_over(struct client *client, const struct route_snapshot *snapshot,
                     const struct route_placement *placement)
{
    const struct route_cluster *cluster =
        route_find_cluster(route_snapshot_globals(snapshot), placement->cluster_id);
    struct worker *worker = proxy_worker_of(client->worker->proxy, placement, cluster);
    struct error err = {0};
    client->login->placement_id = placement->id;
    client_set_state(client, CLIENT_HANDING);
    if (worker == client->worker)
        arrive(client);
    else if (client_leave(client, &err) < 0)
        login_reject(client, err.sqlstate, err.message, NULL);
    else
        worker_post(worker, &client->note, LETTER_CLIENT, login_arrived);
}

/* ---- arriving ---- */

/* It has no stream: without a word. */
static void drop_handed(struct worker *worker, struct client *client)
{
    SSL_free(client->handed_ssl);
    close(client->handed_fd);
    client_free(client);
    atomic_fetch_sub(&worker->proxy->client_count, 1);
    worker_check_stopped(worker);
}

bool client_arrive(struct worker *worker, struct client *client)
{
    struct error err;
    if (worker->stopping ||
        client_attach(client, worker, client->handed_fd, client->handed_ssl, &err) < 0) {
        drop_handed(worker, client);
        return false;
    }
    stream_pause_read(client->stream);
    stream_push_input(client->stream, buffer_string(&client->handed), client->handed.length);
    buffer_free(&client->handed);
    return true;
}

void login_arrived(struct worker *worker, struct note *note)
{
    struct client *client = container_of(note, struct client, note);
    if (!client_arrive(worker, client))
        return;
    list_append(&worker->logins, &client->timed);
    if (!timer_running(&worker->login_timer))
        timer_start(&worker->login_timer,
                    client->since_us + atomic_load(&worker->proxy->login_timeout_us));
    arrive(client);
}

static const struct route_placement *find_placement(const struct route_tenant *tenant, int64_t id)
{
    for (size_t i = 0; i < tenant->placement_count; i++) {
        if (tenant->placements[i].id == id)
            return &tenant->placements[i];
    }
    return NULL;
}

/* The tenant and the placement as they are now. False: it was refused. */
static bool enter_place(struct client *client, const struct route_snapshot *snapshot)
{
    const struct route_tenant *tenant = route_find_id(snapshot, client->tenant_id);
    const struct route_placement *placement =
        tenant && tenant->status == ROUTE_TENANT_ACTIVE
            ? find_placement(tenant, client->login->placement_id)
            : NULL;
    if (!placement) {
        login_refuse(client, "it was suspended or removed while it logged in");
        return false;
    }
    struct error err = {0};
    struct place *place =
        place_of(client->worker, snapshot, tenant, placement, client->read_only, &err);
    if (!place) {
        login_reject(client, SQLSTATE_CANNOT_CONNECT_NOW, err.message, NULL);
        return false;
    }
    int64_t most = place->limits.values[ROUTE_LIMIT_CLIENTS];
    if (most > 0 && place_count_clients(place) >= (size_t)most) {
        login_reject(client, SQLSTATE_TOO_MANY_CONNECTIONS,
                     "this tenant has too many clients already",
                     "the operator of this service has set how many it may have");
        place_check_unused(place);
        return false;
    }
    place_add_client(place, client);
    client_join_tenant(client);
    return true;
}

/* Its settings are tried on a backend before the login is complete, unless they were seen to be
 * good; the same backend tells which parameters the client must be told. */
static void complete(struct client *client)
{
    struct login *login = client->login;
    struct pairs *settings =
        pairs_make(&client->worker->pairs, login->settings, login->setting_count);
    if (!settings) {
        login_reject(client, SQLSTATE_PROGRAM_LIMIT_EXCEEDED, "too many settings at the start",
                     NULL);
        return;
    }
    pairs_replace(&client->settings, settings);
    struct pairs *parameters =
        pool_known_parameters(client->place->pool, client->read_only, settings);
    if (parameters) {
        pairs_replace(&client->parameters, pairs_ref(parameters));
        login_finish(client);
        return;
    }
    client->checking_settings = true;
    list_remove(&client->timed); /* from now on it is the queue's timeout that counts */
    pool_checkout(client);
}

static void arrive(struct client *client)
{
    if (client->worker->shutting_down) {
        login_reject(client, SQLSTATE_CANNOT_CONNECT_NOW, "Reeve is shutting down", NULL);
        return;
    }
    struct route_snapshot *snapshot = route_table_acquire(client->worker->proxy->routes);
    bool entered = enter_place(client, snapshot);
    route_snapshot_release(snapshot);
    if (entered)
        complete(client);
}

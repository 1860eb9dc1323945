/*
 * list.c - what every backend is doing, for operators, and ending one of them.
 */
#include "base/log.h"
#include "proxy/backend.h"
#include "proxy/gather.h"
#include "proxy/place.h"
#include "wire/sqlstate.h"

struct listing {
    struct gathering gathering; /* first */
    struct proxy_backend *rows;
    size_t count, capacity;
};

static void release_listing(struct gathering *gathering)
{
    struct listing *listing = container_of(gathering, struct listing, gathering);
    free(listing->rows);
    free(listing);
}

static const char *state_of(const struct backend *backend)
{
    switch (backend->state) {
    case BACKEND_CONNECTING:
        return "connecting";
    case BACKEND_IDLE:
        return "idle";
    case BACKEND_CANCELLING:
        return "cancelling";
    case BACKEND_CLOSED:
        return "closing";
    case BACKEND_ENDING:
        return "ending";
    case BACKEND_LINKED:
        break;
    }
    if (!expect_empty(&backend->expected))
        return "active";
    return backend->status == 'I' ? "kept" : "idle in transaction";
}

static void add_row(struct listing *listing, const struct backend *backend)
{
    if (listing->count == listing->capacity) {
        listing->capacity = listing->capacity ? 2 * listing->capacity : 64;
        listing->rows = xrealloc(listing->rows, listing->capacity * sizeof(*listing->rows));
    }
    const struct pool *pool = backend->pool;
    const struct client *client = backend->client;
    const struct place *place = backend->ending_of ? backend->ending_of : backend->place;
    struct proxy_backend *row = &listing->rows[listing->count++];
    *row = (struct proxy_backend){
        .pid = backend->connection.backend_pid,
        .cluster_id = pool->key.cluster_id,
        .placement_id = place ? place->placement_id : 0,
        .state = state_of(backend),
        .guarded = pool_is_guarded(pool),
        .read_only = client ? client->read_only : place && place->read_only,
        .worker = backend->worker->index,
        .prepared = backend->statements.table.count,
        .schemas = backend->touched_count,
    };
    str_copy(row->database, sizeof(row->database), pool->target.database);
    str_copy(row->login_role, sizeof(row->login_role), pool->target.login.role);
    str_copy(row->tenant, sizeof(row->tenant),
             client  ? client->tenant
             : place ? place->tenant
                     : "");
    str_copy(row->service, sizeof(row->service), client ? client->service : "");
}

static void list_pool(struct hash_node *node, void *argument)
{
    struct pool *pool = container_of(node, struct pool, node);
    list_for_each (link, &pool->backends)
        add_row(argument, list_entry(link, struct backend, link));
}

static void list_worker(struct gathering *gathering, struct worker *worker)
{
    struct listing *listing = container_of(gathering, struct listing, gathering);
    pthread_mutex_lock(&gathering->lock);
    hash_table_each(&worker->pools, list_pool, listing);
    pthread_mutex_unlock(&gathering->lock);
}

bool proxy_list_backends(struct proxy *proxy, int64_t timeout_us,
                         void (*found)(void *owner, const struct proxy_backend *backend),
                         void *owner)
{
    struct listing *listing = xcalloc(1, sizeof(*listing));
    listing->gathering.answer = list_worker;
    listing->gathering.release = release_listing;
    bool complete = gather_begin(proxy, &listing->gathering, timeout_us);
    for (size_t i = 0; i < listing->count; i++)
        found(owner, &listing->rows[i]);
    gather_end(&listing->gathering);
    return complete;
}

/* ---- ending one ---- */

struct kill_note {
    struct note note;
    int32_t pid;
    int64_t cluster_id;
    bool cancel;
    struct backend *found;
};

static void find_in_pool(struct hash_node *node, void *argument)
{
    struct kill_note *kill = argument;
    struct pool *pool = container_of(node, struct pool, node);
    if (pool->key.cluster_id != kill->cluster_id)
        return;
    list_for_each (link, &pool->backends) {
        struct backend *backend = list_entry(link, struct backend, link);
        if (backend->connection.backend_pid == kill->pid && backend->state != BACKEND_CLOSED &&
            backend->state != BACKEND_ENDING)
            kill->found = backend;
    }
}

static void end_backend(struct backend *backend)
{
    log_info("an operator ends server process %d tenant=%s", backend->connection.backend_pid,
             backend_tenant(backend));
    backend->tainted = true;
    if (backend->client)
        client_fail(backend->client, SQLSTATE_ADMIN_SHUTDOWN,
                    "terminating connection due to administrator command", NULL);
    else
        backend_evict(backend);
}

static void kill_received(struct worker *worker, struct note *note)
{
    struct kill_note *kill = container_of(note, struct kill_note, note);
    hash_table_each(&worker->pools, find_in_pool, kill);
    struct backend *backend = kill->found;
    if (backend && !kill->cancel)
        end_backend(backend);
    else if (backend && backend->client)
        client_cancel(backend->client);
    free(kill);
}

void proxy_kill_backend(struct proxy *proxy, const struct proxy_backend *backend, bool cancel)
{
    if (backend->worker < 0 || backend->worker >= proxy->worker_count || backend->pid == 0)
        return;
    struct kill_note *note = xcalloc(1, sizeof(*note));
    note->pid = backend->pid;
    note->cluster_id = backend->cluster_id;
    note->cancel = cancel;
    worker_post(proxy->workers[backend->worker], &note->note, LETTER_TASK, kill_received);
}

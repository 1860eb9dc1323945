#include "proxy/drain.h"

#include "base/log.h"
#include "proxy/backend.h"
#include "proxy/gather.h"
#include "proxy/place.h"
#include "wire/sqlstate.h"

struct drain_gathering {
    struct gathering gathering; /* first */
    struct drain_question question;
    bool busy;
};

static bool is_busy(struct worker *worker, const struct drain_question *question, bool read_only)
{
    const struct place *place = place_find(worker, question->placement_id, read_only);
    return place &&
           (place->hold < question->hold || !place_is_held(place) || place_taken(place) > 0);
}

static void answer(struct gathering *gathering, struct worker *worker)
{
    struct drain_gathering *asked = container_of(gathering, struct drain_gathering, gathering);
    if (!is_busy(worker, &asked->question, false) && !is_busy(worker, &asked->question, true))
        return;
    pthread_mutex_lock(&gathering->lock);
    asked->busy = true;
    pthread_mutex_unlock(&gathering->lock);
}

static void release(struct gathering *gathering)
{
    free(container_of(gathering, struct drain_gathering, gathering));
}

/* Then a place that is made from now on is held as well. */
static bool is_followed(struct proxy *proxy, const struct drain_question *question)
{
    struct route_snapshot *snapshot = route_table_acquire(proxy->routes);
    bool followed = route_snapshot_version(snapshot) >= question->route_version;
    const struct route_tenant *tenant = route_find_id(snapshot, question->tenant_id);
    for (size_t i = 0; tenant && i < tenant->placement_count; i++) {
        if (tenant->placements[i].id == question->placement_id)
            followed &= tenant->placements[i].hold >= question->hold;
    }
    route_snapshot_release(snapshot);
    return followed;
}

bool proxy_is_drained(struct proxy *proxy, const struct drain_question *question,
                      int64_t timeout_us)
{
    if (!is_followed(proxy, question))
        return false;
    struct drain_gathering *asked = xcalloc(1, sizeof(*asked));
    asked->gathering.answer = answer;
    asked->gathering.release = release;
    asked->question = *question;
    bool drained = gather_begin(proxy, &asked->gathering, timeout_us) && !asked->busy;
    gather_end(&asked->gathering);
    return drained;
}

/* ---- ending ---- */

static bool is_held(const struct client *client, const struct drain_question *question)
{
    const struct place *place = client->place;
    return place->placement_id == question->placement_id && place->hold == question->hold &&
           place_is_held(place);
}

static bool end_one(struct worker *worker, const struct drain_question *question)
{
    list_for_each (link, &worker->linked) {
        const struct backend *backend = list_entry(link, struct backend, deadline.link);
        struct client *client = backend->client;
        if (!is_held(client, question))
            continue;
        log_warning("a transaction goes on while its tenant is moved tenant=%s service=%s pid=%d:"
                    " closing the connection",
                    client->tenant, client->service, backend->connection.backend_pid);
        client_fail(client, SQLSTATE_ADMIN_SHUTDOWN,
                    "terminating connection because the tenant is being moved", "connect again");
        return true;
    }
    return false;
}

static void end_all(struct gathering *gathering, struct worker *worker)
{
    const struct drain_gathering *asked =
        container_of(gathering, struct drain_gathering, gathering);
    while (end_one(worker, &asked->question))
        ;
}

void proxy_end_held(struct proxy *proxy, const struct drain_question *question, int64_t timeout_us)
{
    struct drain_gathering *asked = xcalloc(1, sizeof(*asked));
    asked->gathering.answer = end_all;
    asked->gathering.release = release;
    asked->question = *question;
    (void)gather_begin(proxy, &asked->gathering, timeout_us);
    gather_end(&asked->gathering);
}

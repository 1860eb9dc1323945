#include <pthread.h>

#include "base/log.h"
#include "route/internal.h"

enum { MAX_LISTENERS = 8 };

struct route_table {
    pthread_mutex_t publishing; /* one at a time, with its listeners */
    pthread_mutex_t lock;       /* of `current` alone: held for a few instructions */
    struct route_snapshot *current;
    atomic_int_least64_t version;
    size_t listener_count;
    struct {
        void (*changed)(void *owner, const int64_t *ids, size_t count, bool globals_changed);
        void *owner;
    } listeners[MAX_LISTENERS];
};

struct route_table *route_table_new(void)
{
    struct route_table *table = xcalloc(1, sizeof(*table));
    struct route_draft draft;
    route_draft_begin(&draft, NULL, 0);
    table->current = draft.snapshot;
    pthread_mutex_init(&table->publishing, NULL);
    pthread_mutex_init(&table->lock, NULL);
    return table;
}

void route_table_free(struct route_table *table)
{
    if (!table)
        return;
    route_snapshot_release(table->current);
    pthread_mutex_destroy(&table->publishing);
    pthread_mutex_destroy(&table->lock);
    free(table);
}

void route_table_listen(struct route_table *table,
                        void (*changed)(void *owner, const int64_t *ids, size_t count,
                                        bool globals_changed),
                        void *owner)
{
    if (table->listener_count == MAX_LISTENERS) {
        log_error("a route table has %d listeners already", MAX_LISTENERS);
        abort();
    }
    table->listeners[table->listener_count].changed = changed;
    table->listeners[table->listener_count++].owner = owner;
}

int64_t route_table_version(const struct route_table *table)
{
    return atomic_load(&table->version);
}

struct route_snapshot *route_table_acquire(struct route_table *table)
{
    pthread_mutex_lock(&table->lock);
    struct route_snapshot *snapshot = table->current;
    atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&table->lock);
    return snapshot;
}

/* What it replaces is released outside the lock: that may free a great deal. */
static void publish(struct route_table *table, struct route_snapshot *snapshot)
{
    pthread_mutex_lock(&table->lock);
    struct route_snapshot *old = table->current;
    table->current = snapshot;
    pthread_mutex_unlock(&table->lock);
    atomic_store(&table->version, snapshot->version);
    route_snapshot_release(old);
}

static void tell(struct route_table *table, const int64_t *ids, size_t count, bool globals_changed)
{
    for (size_t i = 0; i < table->listener_count; i++)
        table->listeners[i].changed(table->listeners[i].owner, ids, count, globals_changed);
}

void route_table_apply(struct route_table *table, int64_t version, struct route_tenant **tenants,
                       size_t count, struct route_globals *globals)
{
    struct route_draft draft;
    _cleanup_free_ int64_t *ids = xcalloc(count + 1, sizeof(*ids)); /* never NULL */
    pthread_mutex_lock(&table->publishing);
    route_draft_begin(&draft, table->current, version);
    for (size_t i = 0; i < count; i++) {
        ids[i] = tenants[i]->id;
        route_draft_put(&draft, tenants[i]);
    }
    if (globals)
        route_draft_set_globals(&draft, globals);
    publish(table, draft.snapshot);
    tell(table, ids, count, globals != NULL);
    pthread_mutex_unlock(&table->publishing);
}

void route_table_replace(struct route_table *table, int64_t version, struct route_tenant **tenants,
                         size_t count, struct route_globals *globals)
{
    struct route_draft draft;
    pthread_mutex_lock(&table->publishing);
    route_draft_begin(&draft, NULL, version);
    for (size_t i = 0; i < count; i++)
        route_draft_put(&draft, tenants[i]);
    route_draft_set_globals(&draft, globals);
    publish(table, draft.snapshot);
    tell(table, NULL, 0, true);
    pthread_mutex_unlock(&table->publishing);
}

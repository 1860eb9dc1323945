/*
 * survey.c - the proxy's figures as of now, gathered from the workers.
 *
 * A worker looks at each of its backends and places once, without a lock, and hands over no more
 * tenants than were asked for: a heap keeps those with most backend time. Time that a client has
 * had its backend until now is added to what is counted already, so that sums never go back.
 */
#include "proxy/survey.h"

#include "base/time.h"
#include "proxy/backend.h"
#include "proxy/gather.h"
#include "proxy/usage.h"

struct survey_gathering {
    struct gathering gathering; /* first */
    size_t tenants_max;
    struct proxy_survey survey;
};

/* What one worker has to say. */
struct part {
    struct worker *worker;
    int64_t now_us;
    struct proxy_survey survey;
    struct candidate *heap; /* the least backend time on top */
    size_t heap_count, heap_max;
    size_t databases_capacity;
};

struct candidate {
    int64_t backend_us;
    const struct place *place;     /* either of these */
    const struct usage_past *past; /* and the other NULL */
};

/* ---- backends ---- */

static void add_running(struct part *part, const struct backend *backend)
{
    if (!backend->client)
        return;
    int64_t running_us = part->now_us - backend->linked_us;
    part->survey.used.of[PROXY_USE_BACKEND_US] += running_us;
    part->survey.load.backends++;
    backend->client->place->running_us += running_us;
}

static void visit_pool(struct hash_node *node, void *argument)
{
    struct part *part = argument;
    struct pool *pool = container_of(node, struct pool, node);
    struct proxy_survey *survey = &part->survey;
    list_for_each (link, &pool->backends)
        add_running(part, list_entry(link, struct backend, link));
    if (survey->database_count == part->databases_capacity) {
        part->databases_capacity = part->databases_capacity ? 2 * part->databases_capacity : 64;
        survey->databases =
            xrealloc(survey->databases, part->databases_capacity * sizeof(*survey->databases));
    }
    struct proxy_database_figures *figures = &survey->databases[survey->database_count++];
    *figures = (struct proxy_database_figures){.cluster_id = pool->key.cluster_id,
                                               .backends = (int64_t)pool->backend_count,
                                               .idle = (int64_t)pool->idle_count,
                                               .connecting = (int64_t)pool->connecting,
                                               .waiting = (int64_t)pool->queue.count};
    str_copy(figures->database, sizeof(figures->database), pool->target.database);
}

/* ---- tenants: a heap of those with most backend time ---- */

static bool is_less(const struct candidate *a, const struct candidate *b)
{
    return a->backend_us < b->backend_us;
}

static void swap(struct candidate *a, struct candidate *b)
{
    struct candidate kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_up(struct candidate *heap, size_t at)
{
    for (; at > 0 && is_less(&heap[at], &heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&heap[at], &heap[(at - 1) / 2]);
}

static void sift_down(struct candidate *heap, size_t count_)
{
    size_t at = 0;
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count_; child++) {
            if (is_less(&heap[child], &heap[least]))
                least = child;
        }
        if (least == at)
            return;
        swap(&heap[at], &heap[least]);
        at = least;
    }
}

static void offer(struct part *part, const struct candidate *candidate)
{
    if (part->heap_count < part->heap_max) {
        if (part->heap_count % 64 == 0)
            part->heap = xrealloc(part->heap, (part->heap_count + 64) * sizeof(*part->heap));
        part->heap[part->heap_count] = *candidate;
        sift_up(part->heap, part->heap_count++);
        return;
    }
    part->survey.tenants_left_out = true;
    if (part->heap_max == 0 || !is_less(&part->heap[0], candidate))
        return;
    part->heap[0] = *candidate;
    sift_down(part->heap, part->heap_count);
}

static struct proxy_load load_of(const struct part *part, const struct place *place)
{
    const struct client *oldest = list_first(&place->queue.clients, struct client, of_place);
    return (struct proxy_load){.clients = (int64_t)place->client_count,
                               .waiting = (int64_t)place->queue.count,
                               .backends = (int64_t)place->lent_count,
                               .longest_wait_us = oldest ? part->now_us - oldest->queued_us : 0,
                               .running_us = place->running_us};
}

static void add_load(struct proxy_load *to, const struct proxy_load *from)
{
    to->clients += from->clients;
    to->waiting += from->waiting;
    to->backends += from->backends;
    to->running_us += from->running_us;
    if (to->longest_wait_us < from->longest_wait_us)
        to->longest_wait_us = from->longest_wait_us;
}

/* Both accesses of a placement are one. */
static struct proxy_usage usage_of(const struct place *place, const struct place *other)
{
    struct proxy_usage used = place->used;
    used.of[PROXY_USE_BACKEND_US] += place->running_us;
    if (other) {
        usage_add(&used, &other->used);
        used.of[PROXY_USE_BACKEND_US] += other->running_us;
    }
    return used;
}

static void visit_place(struct hash_node *node, void *argument)
{
    struct part *part = argument;
    struct place *place = container_of(node, struct place, node);
    const struct place *other = place_find_other(place);
    struct proxy_load load = load_of(part, place);
    load.clients = load.backends = 0; /* counted elsewhere */
    add_load(&part->survey.load, &load);
    if (other && place->read_only)
        return;
    const struct candidate candidate = {
        .backend_us = usage_of(place, other).of[PROXY_USE_BACKEND_US], .place = place};
    offer(part, &candidate);
}

static void forget_running(struct hash_node *node, void *argument)
{
    (void)argument;
    container_of(node, struct place, node)->running_us = 0;
}

static void visit_past(struct hash_node *node, void *argument)
{
    const struct usage_past *past = container_of(node, struct usage_past, node);
    const struct candidate candidate = {.backend_us = past->used.of[PROXY_USE_BACKEND_US],
                                        .past = past};
    offer(argument, &candidate);
}

static void take_place(const struct part *part, const struct place *place,
                       struct proxy_tenant_figures *ret)
{
    const struct place *other = place_find_other(place);
    ret->used = usage_of(place, other);
    ret->load = load_of(part, place);
    if (other) {
        struct proxy_load load = load_of(part, other);
        add_load(&ret->load, &load);
    }
    str_copy(ret->tenant, sizeof(ret->tenant), place->tenant);
    str_copy(ret->service, sizeof(ret->service), place->service);
}

static void take_past(const struct usage_past *past, struct proxy_tenant_figures *ret)
{
    ret->used = past->used;
    str_copy(ret->tenant, sizeof(ret->tenant), past->tenant);
    str_copy(ret->service, sizeof(ret->service), past->service);
}

static void take_candidates(struct part *part)
{
    struct proxy_survey *survey = &part->survey;
    survey->tenants = xcalloc(part->heap_count + 1, sizeof(*survey->tenants));
    for (size_t i = 0; i < part->heap_count; i++) {
        const struct candidate *candidate = &part->heap[i];
        struct proxy_tenant_figures *figures = &survey->tenants[survey->tenant_count++];
        if (candidate->place)
            take_place(part, candidate->place, figures);
        else
            take_past(candidate->past, figures);
    }
    free(part->heap);
}

/* ---- a worker's part ---- */

static void take_totals(struct part *part)
{
    const struct counters *counters = &part->worker->counters;
    struct proxy_survey *survey = &part->survey;
    for (size_t i = 0; i < PROXY_USES; i++)
        survey->used.of[i] += atomic_load(&counters->used[i]);
    for (size_t i = 0; i < array_size(survey->waits); i++)
        survey->waits[i] = atomic_load(&counters->waits[i]);
    survey->load.clients = atomic_load(&counters->clients);
}

static void *append(void *items, size_t *count_, size_t size, const void *more, size_t more_count)
{
    if (more_count == 0)
        return items;
    items = xrealloc(items, (*count_ + more_count) * size);
    memcpy((char *)items + *count_ * size, more, more_count * size);
    *count_ += more_count;
    return items;
}

static void merge(struct proxy_survey *whole, const struct proxy_survey *part)
{
    usage_add(&whole->used, &part->used);
    add_load(&whole->load, &part->load);
    for (size_t i = 0; i < array_size(whole->waits); i++)
        whole->waits[i] += part->waits[i];
    whole->tenants_left_out |= part->tenants_left_out;
    whole->tenants = append(whole->tenants, &whole->tenant_count, sizeof(*whole->tenants),
                            part->tenants, part->tenant_count);
    whole->databases = append(whole->databases, &whole->database_count, sizeof(*whole->databases),
                              part->databases, part->database_count);
}

static void survey_worker(struct gathering *gathering, struct worker *worker)
{
    struct survey_gathering *asked = container_of(gathering, struct survey_gathering, gathering);
    struct part part = {.worker = worker,
                        .now_us = engine_now_us(worker->engine),
                        .survey.tenants_left_out = worker->past_given_up,
                        .heap_max = asked->tenants_max};
    take_totals(&part);
    hash_table_each(&worker->pools, visit_pool, &part);
    hash_table_each(&worker->places, visit_place, &part);
    hash_table_each(&worker->past, visit_past, &part);
    take_candidates(&part);
    hash_table_each(&worker->places, forget_running, NULL);
    pthread_mutex_lock(&gathering->lock);
    merge(&asked->survey, &part.survey);
    pthread_mutex_unlock(&gathering->lock);
    proxy_survey_free(&part.survey);
}

/* ---- the whole ---- */

static int by_names(const void *a, const void *b)
{
    const struct proxy_tenant_figures *one = a;
    const struct proxy_tenant_figures *other = b;
    int order = strcmp(one->tenant, other->tenant);
    return order != 0 ? order : strcmp(one->service, other->service);
}

static int by_time(const void *a, const void *b)
{
    int64_t one = ((const struct proxy_tenant_figures *)a)->used.of[PROXY_USE_BACKEND_US];
    int64_t other = ((const struct proxy_tenant_figures *)b)->used.of[PROXY_USE_BACKEND_US];
    return one == other ? by_names(a, b) : (one < other) - (one > other);
}

static int by_database(const void *a, const void *b)
{
    const struct proxy_database_figures *one = a;
    const struct proxy_database_figures *other = b;
    if (one->cluster_id != other->cluster_id)
        return (one->cluster_id > other->cluster_id) - (one->cluster_id < other->cluster_id);
    return strcmp(one->database, other->database);
}

static int by_backends(const void *a, const void *b)
{
    const struct proxy_database_figures *one = a;
    const struct proxy_database_figures *other = b;
    return one->backends == other->backends
               ? by_database(a, b)
               : (one->backends < other->backends) - (one->backends > other->backends);
}

/* A placement may have been on several workers, and a name another's before. */
static void unite_tenants(struct proxy_survey *survey, size_t tenants_max)
{
    size_t kept = 0;
    if (survey->tenant_count == 0)
        return;
    qsort(survey->tenants, survey->tenant_count, sizeof(*survey->tenants), by_names);
    for (size_t i = 1; i < survey->tenant_count; i++) {
        struct proxy_tenant_figures *last = &survey->tenants[kept];
        const struct proxy_tenant_figures *next = &survey->tenants[i];
        if (by_names(last, next) == 0) {
            usage_add(&last->used, &next->used);
            add_load(&last->load, &next->load);
        } else {
            survey->tenants[++kept] = *next;
        }
    }
    survey->tenant_count = kept + 1;
    qsort(survey->tenants, survey->tenant_count, sizeof(*survey->tenants), by_time);
    if (survey->tenant_count > tenants_max) {
        survey->tenant_count = tenants_max;
        survey->tenants_left_out = true;
    }
}

static void unite_databases(struct proxy_survey *survey)
{
    size_t kept = 0;
    if (survey->database_count == 0)
        return;
    qsort(survey->databases, survey->database_count, sizeof(*survey->databases), by_database);
    for (size_t i = 1; i < survey->database_count; i++) {
        struct proxy_database_figures *last = &survey->databases[kept];
        const struct proxy_database_figures *next = &survey->databases[i];
        if (by_database(last, next) == 0) {
            last->backends += next->backends;
            last->idle += next->idle;
            last->connecting += next->connecting;
            last->waiting += next->waiting;
        } else {
            survey->databases[++kept] = *next;
        }
    }
    survey->database_count = kept + 1;
    qsort(survey->databases, survey->database_count, sizeof(*survey->databases), by_backends);
}

static void take_budgets(struct proxy *proxy, struct proxy_survey *survey)
{
    pthread_mutex_lock(&proxy->lock);
    survey->budgets = xcalloc(proxy->budget_count + 1, sizeof(*survey->budgets));
    for (size_t i = 0; i < proxy->budget_count; i++) {
        struct budget *budget = proxy->budgets[i];
        struct proxy_budget_figures *figures = &survey->budgets[survey->budget_count++];
        pthread_mutex_lock(&budget->lock);
        *figures = (struct proxy_budget_figures){.cluster_id = budget->cluster_id,
                                                 .used = budget->used,
                                                 .maximum = budget->maximum,
                                                 .starving = budget->starving_count};
        pthread_mutex_unlock(&budget->lock);
    }
    pthread_mutex_unlock(&proxy->lock);
}

static void release(struct gathering *gathering)
{
    struct survey_gathering *asked = container_of(gathering, struct survey_gathering, gathering);
    proxy_survey_free(&asked->survey);
    free(asked);
}

void proxy_survey_take(struct proxy *proxy, size_t tenants_max, int64_t timeout_us,
                       struct proxy_survey *ret)
{
    struct survey_gathering *asked = xcalloc(1, sizeof(*asked));
    asked->gathering.answer = survey_worker;
    asked->gathering.release = release;
    asked->tenants_max = tenants_max;
    bool complete = gather_begin(proxy, &asked->gathering, timeout_us);
    *ret = asked->survey;
    asked->survey = (struct proxy_survey){0};
    gather_end(&asked->gathering);
    ret->complete = complete;
    ret->taken_us = time_monotonic_us();
    unite_tenants(ret, tenants_max);
    unite_databases(ret);
    take_budgets(proxy, ret);
}

void proxy_survey_free(struct proxy_survey *survey)
{
    free(survey->tenants);
    free(survey->databases);
    free(survey->budgets);
    *survey = (struct proxy_survey){0};
}

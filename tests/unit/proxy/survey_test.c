/* What is gathered from the workers: the right tenants, and sums that fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/backend.h"
#include "proxy/gather.h"
#include "proxy/usage.h"

enum { WORKERS = 2, PLACES = 500, LINKED_FOR_US = 1000 };

static struct proxy proxy;
static struct worker *workers; /* WORKERS of them */
static struct place places[WORKERS][PLACES];
static struct budget budget;
static int answering; /* workers that answer in time */

/* ---- what survey.c is linked with ---- */

bool gather_begin(struct proxy *asked, struct gathering *gathering, int64_t timeout_us)
{
    (void)timeout_us;
    pthread_mutex_init(&gathering->lock, NULL);
    for (int i = 0; i < answering; i++)
        gathering->answer(gathering, asked->workers[i]);
    pthread_mutex_lock(&gathering->lock);
    return answering == asked->worker_count;
}

void gather_end(struct gathering *gathering)
{
    pthread_mutex_unlock(&gathering->lock);
    pthread_mutex_destroy(&gathering->lock);
    gathering->release(gathering);
}

struct place *place_find_other(const struct place *place)
{
    for (struct hash_node *node = hash_table_find(&place->worker->places, place->node.hash); node;
         node = hash_table_find_next(node)) {
        struct place *found = container_of(node, struct place, node);
        if (found->placement_id == place->placement_id && found->read_only != place->read_only)
            return found;
    }
    return NULL;
}

bool backend_has_touched(const struct backend *backend, const struct place *place)
{
    (void)backend;
    (void)place;
    return false;
}

/* ---- a proxy ---- */

static int set_up(void **state)
{
    (void)state;
    struct error err;
    proxy = (struct proxy){.worker_count = WORKERS};
    pthread_mutex_init(&proxy.lock, NULL);
    budget_init(&budget, 1, 40);
    budget.used = 7;
    proxy.budgets[proxy.budget_count++] = &budget;
    workers = xcalloc(WORKERS, sizeof(*workers));
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.proxy = &proxy, .index = i};
        hash_table_init(&workers[i].places);
        hash_table_init(&workers[i].pools);
        hash_table_init(&workers[i].past);
        assert_int_equal(engine_create(ENGINE_EPOLL, &workers[i].engine, &err), 0);
        proxy.workers[i] = &workers[i];
    }
    answering = WORKERS;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < WORKERS; i++) {
        usage_free(&workers[i]);
        hash_table_free(&workers[i].places);
        hash_table_free(&workers[i].pools);
        engine_free(workers[i].engine);
    }
    free(workers);
    budget_destroy(&budget);
    pthread_mutex_destroy(&proxy.lock);
    return 0;
}

static struct place *add(int worker, int number, bool read_only, const char *tenant)
{
    struct place *place = &places[worker][number];
    *place = (struct place){.worker = &workers[worker],
                            .placement_id = read_only ? number : number + 1,
                            .read_only = read_only,
                            .service = "orders",
                            .client_count = 1};
    str_copy(place->tenant, sizeof(place->tenant), tenant);
    queue_place_init(&place->queue);
    hash_table_insert(&workers[worker].places, &place->node,
                      hash_u64((uint64_t)place->placement_id));
    count(&workers[worker].counters.clients, 1);
    return place;
}

static void use(struct place *place, int64_t backend_us)
{
    usage_count(place->worker, place, PROXY_USE_BACKEND_US, backend_us);
    usage_count(place->worker, place, PROXY_USE_TRANSACTIONS, 1);
}

static struct proxy_survey take(size_t tenants_max)
{
    struct proxy_survey survey;
    proxy_survey_take(&proxy, tenants_max, 0, &survey);
    return survey;
}

static int64_t backend_us(const struct proxy_survey *survey, size_t at)
{
    return survey->tenants[at].used.of[PROXY_USE_BACKEND_US];
}

/* ---- tests ---- */

static void test_those_with_most(void **state)
{
    (void)state;
    int64_t all = 0;
    for (int i = 0; i < WORKERS * PLACES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%d", i);
        int64_t used = (int64_t)i * 7919 % (WORKERS * PLACES) + 1; /* each number once */
        use(add(i % WORKERS, i / WORKERS, false, name), used);
        all += used;
    }
    for (size_t maximum = 0; maximum <= WORKERS * PLACES + 1; maximum += 143) {
        struct proxy_survey survey = take(maximum);
        assert_true(survey.complete);
        size_t expected = maximum < WORKERS * PLACES ? maximum : WORKERS * PLACES;
        assert_int_equal(survey.tenant_count, expected);
        assert_int_equal(survey.tenants_left_out, expected < WORKERS * PLACES);
        for (size_t i = 0; i < expected; i++)
            assert_int_equal(backend_us(&survey, i), WORKERS * PLACES - (int64_t)i);
        assert_int_equal(survey.used.of[PROXY_USE_BACKEND_US], all);
        assert_int_equal(survey.used.of[PROXY_USE_TRANSACTIONS], WORKERS * PLACES);
        assert_int_equal(survey.load.clients, WORKERS * PLACES);
        proxy_survey_free(&survey);
    }
}

/* Both accesses of a placement, a placement that has moved between workers, one without a place. */
static void test_one_tenant_is_one(void **state)
{
    (void)state;
    use(add(0, 0, false, "acme"), 10); /* placement 1 */
    use(add(0, 1, true, "acme"), 20);  /* placement 1, read-only */
    use(add(1, 2, false, "acme"), 30);
    use(add(1, 5, true, "alone"), 5); /* read-only alone */
    struct place gone = {
        .worker = &workers[1], .placement_id = 99, .tenant = "gone", .service = "orders"};
    use(&gone, 40);
    usage_keep(&gone, NULL);
    struct proxy_survey survey = take(10);
    assert_int_equal(survey.tenant_count, 3);
    assert_string_equal(survey.tenants[0].tenant, "acme");
    assert_int_equal(backend_us(&survey, 0), 60);
    assert_int_equal(survey.tenants[0].load.clients, 3);
    assert_string_equal(survey.tenants[1].tenant, "gone");
    assert_string_equal(survey.tenants[1].service, "orders");
    assert_int_equal(survey.tenants[1].load.clients, 0);
    assert_string_equal(survey.tenants[2].tenant, "alone");
    assert_false(survey.tenants_left_out);
    proxy_survey_free(&survey);
    workers[0].past_given_up = true;
    survey = take(10);
    assert_true(survey.tenants_left_out);
    proxy_survey_free(&survey);
}

/* What runs counts until now, each time anew. */
static void test_what_runs(void **state)
{
    (void)state;
    struct place *place = add(0, 0, false, "acme");
    struct place *reading = add(0, 1, true, "acme");
    struct pool pool = {.key.cluster_id = 1, .backend_count = 3, .idle_count = 1};
    struct client one = {.place = place};
    struct client other = {.place = reading};
    struct backend backends[3];
    int64_t linked_us = engine_now_us(workers[0].engine) - LINKED_FOR_US;
    list_init(&pool.backends);
    str_copy(pool.target.database, sizeof(pool.target.database), "svc_orders");
    for (size_t i = 0; i < array_size(backends); i++) {
        backends[i] = (struct backend){.client = i == 0   ? &one
                                                 : i == 1 ? &other
                                                          : NULL,
                                       .linked_us = linked_us};
        list_append(&pool.backends, &backends[i].link);
    }
    hash_table_insert(&workers[0].pools, &pool.node, 1);
    use(place, 50);
    for (int round_ = 0; round_ < 2; round_++) {
        struct proxy_survey survey = take(10);
        assert_int_equal(survey.tenant_count, 1);
        assert_int_equal(backend_us(&survey, 0), 50 + 2 * LINKED_FOR_US);
        assert_int_equal(survey.used.of[PROXY_USE_BACKEND_US], 50 + 2 * LINKED_FOR_US);
        assert_int_equal(survey.load.backends, 2);
        assert_int_equal(survey.database_count, 1);
        assert_string_equal(survey.databases[0].database, "svc_orders");
        assert_int_equal(survey.databases[0].backends, 3);
        assert_int_equal(survey.databases[0].idle, 1);
        proxy_survey_free(&survey);
    }
    hash_table_remove(&workers[0].pools, &pool.node);
}

static void test_pools_of_a_database_are_one(void **state)
{
    (void)state;
    static const struct {
        int64_t cluster_id;
        size_t backends, connecting;
    } wanted[] = {{1, 2, 1}, {1, 3, 0}, {2, 4, 0}, {1, 9, 0}};
    struct pool *pools = xcalloc(array_size(wanted), sizeof(*pools));
    for (size_t i = 0; i < array_size(wanted); i++) {
        pools[i].key.cluster_id = wanted[i].cluster_id;
        pools[i].backend_count = wanted[i].backends;
        pools[i].connecting = wanted[i].connecting;
        list_init(&pools[i].backends);
        str_copy(pools[i].target.database, ROUTE_NAME_SIZE, i == 3 ? "d_000001" : "svc_orders");
        hash_table_insert(&workers[i % WORKERS].pools, &pools[i].node, i);
    }
    struct proxy_survey survey = take(0);
    assert_int_equal(survey.database_count, 3);
    assert_int_equal(survey.databases[0].backends, 9);
    assert_int_equal(survey.databases[1].backends, 5);
    assert_int_equal(survey.databases[1].connecting, 1);
    assert_int_equal(survey.databases[2].cluster_id, 2);
    assert_int_equal(survey.budget_count, 1);
    assert_int_equal(survey.budgets[0].used, 7);
    assert_int_equal(survey.budgets[0].maximum, 40);
    proxy_survey_free(&survey);
    for (size_t i = 0; i < array_size(wanted); i++)
        hash_table_remove(&workers[i % WORKERS].pools, &pools[i].node);
    free(pools);
}

static void test_who_waits(void **state)
{
    (void)state;
    struct place *place = add(0, 0, false, "acme");
    struct client first = {.queued_us = engine_now_us(workers[0].engine) - 500};
    struct client second = {.queued_us = engine_now_us(workers[0].engine) - 300};
    list_append(&place->queue.clients, &first.of_place);
    list_append(&place->queue.clients, &second.of_place);
    place->queue.count = 2;
    struct proxy_survey survey = take(1);
    assert_int_equal(survey.tenants[0].load.waiting, 2);
    assert_int_equal(survey.tenants[0].load.longest_wait_us, 500);
    assert_int_equal(survey.load.waiting, 2);
    assert_int_equal(survey.load.longest_wait_us, 500);
    proxy_survey_free(&survey);
}

static void test_not_all_answer(void **state)
{
    (void)state;
    use(add(1, 0, false, "acme"), 10);
    answering = 1;
    struct proxy_survey survey = take(10);
    assert_false(survey.complete);
    proxy_survey_free(&survey);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_those_with_most, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_tenant_is_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pools_of_a_database_are_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_all_answer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Jobs, audit events, the status. */
#include "catalog/fixture.h"

#include "catalog/audit_event.h"
#include "catalog/issuer.h"
#include "catalog/job.h"
#include "catalog/status.h"

static int64_t enqueue(int64_t placement_id, int64_t tenant_id, int64_t service_id)
{
    const struct catalog_job job = {.kind = "provision",
                                    .placement_id = placement_id,
                                    .tenant_id = tenant_id,
                                    .service_id = service_id};
    int64_t id = 0;
    works(catalog_job_enqueue(catalog, &job, &id, &err));
    return id;
}

/* ---- jobs ---- */

static void test_a_job_from_start_to_end(void **state)
{
    (void)state;
    const struct catalog_job job = {.kind = "move", .tenant_id = 7, .arguments = "{\"to\": \"x\"}"};
    struct catalog_job found;
    int64_t id = 0;
    works(catalog_job_enqueue(catalog, &job, &id, &err));
    works(catalog_job_get(catalog, &arena, id, &found, &err));
    assert_string_equal(found.kind, "move");
    assert_int_equal(found.placement_id, 0);
    assert_int_equal(found.tenant_id, 7);
    assert_string_equal(found.arguments, "{\"to\": \"x\"}");
    assert_int_equal(found.state, CATALOG_JOB_QUEUED);
    assert_string_equal(found.step, "");
    assert_string_equal(found.progress, "{}");
    assert_null(found.error);
    assert_int_equal(found.attempts, 0);
    assert_true(found.created_unix_us > 0);
    assert_int_equal(found.started_unix_us, 0);

    works(catalog_job_claim(catalog, &arena, id, &found, &err));
    assert_int_equal(found.state, CATALOG_JOB_RUNNING);
    assert_int_equal(found.attempts, 1);
    int64_t started = found.started_unix_us;
    assert_true(started > 0);
    works(catalog_job_progress(catalog, id, "copy", "{\"n\": 1}", &err));
    works(catalog_job_progress(catalog, id, NULL, "{\"n\": 2}", &err));
    works(catalog_job_progress(catalog, id, "drain", NULL, &err));
    works(catalog_job_claim(catalog, &arena, id, &found, &err)); /* somebody else goes on */
    assert_int_equal(found.attempts, 2);
    assert_int_equal(found.started_unix_us, started);
    assert_string_equal(found.step, "drain");
    assert_string_equal(found.progress, "{\"n\": 2}");
    works(catalog_job_finish(catalog, id, false, NULL, &err));
    works(catalog_job_get(catalog, &arena, id, &found, &err));
    assert_int_equal(found.state, CATALOG_JOB_DONE);
    assert_null(found.error);
    assert_true(found.finished_unix_us > 0);

    refuses(ERROR_STATE, "is done", catalog_job_claim(catalog, &arena, id, &found, &err));
    refuses(ERROR_STATE, "is done", catalog_job_progress(catalog, id, "x", NULL, &err));
    refuses(ERROR_STATE, "is done", catalog_job_compensate(catalog, id, "{}", &err));
    refuses(ERROR_STATE, "is done", catalog_job_finish(catalog, id, true, "{}", &err));
    assert_true(catalog_job_state_over(CATALOG_JOB_DONE));
    assert_true(catalog_job_state_over(CATALOG_JOB_FAILED));
    assert_false(catalog_job_state_over(CATALOG_JOB_COMPENSATING));
    assert_string_equal(catalog_job_state_name(CATALOG_JOB_COMPENSATING), "compensating");
}

static void test_a_job_that_fails(void **state)
{
    (void)state;
    int64_t id = enqueue(1, 0, 0);
    struct catalog_job found;
    works(catalog_job_claim(catalog, &arena, id, &found, &err));
    works(catalog_job_compensate(catalog, id, "{\"message\": \"why\"}", &err));
    works(catalog_job_claim(catalog, &arena, id, &found, &err));
    assert_int_equal(found.state, CATALOG_JOB_COMPENSATING); /* it stays so */
    works(catalog_job_finish(catalog, id, true, NULL, &err));
    works(catalog_job_get(catalog, &arena, id, &found, &err));
    assert_int_equal(found.state, CATALOG_JOB_FAILED);
    assert_string_equal(found.error, "{\"message\": \"why\"}");
    refuses(ERROR_STATE, "is failed", catalog_job_finish(catalog, id, false, NULL, &err));

    id = enqueue(1, 0, 0);
    works(catalog_job_finish(catalog, id, true, "{\"message\": \"other\"}", &err));
    works(catalog_job_get(catalog, &arena, id, &found, &err));
    assert_string_equal(found.error, "{\"message\": \"other\"}");
}

static void test_jobs_that_are_refused(void **state)
{
    (void)state;
    struct catalog_job job = {.kind = "", .tenant_id = 1}, found;
    refuses(ERROR_INVALID, "job", catalog_job_enqueue(catalog, &job, NULL, &err));
    job.kind = "move";
    job.arguments = "{not json";
    refuses(ERROR_INVALID, "job \"move\"", catalog_job_enqueue(catalog, &job, NULL, &err));
    job.arguments = "[1]";
    refuses(ERROR_INVALID, "job \"move\"", catalog_job_enqueue(catalog, &job, NULL, &err));
    int64_t id = enqueue(1, 2, 3);
    refuses(ERROR_INVALID, "job", catalog_job_progress(catalog, id, NULL, "nonsense", &err));
    refuses(ERROR_NOT_FOUND, "job 999", catalog_job_get(catalog, &arena, 999, &found, &err));
    refuses(ERROR_NOT_FOUND, "job 999", catalog_job_claim(catalog, &arena, 999, &found, &err));
    refuses(ERROR_NOT_FOUND, "job 999", catalog_job_progress(catalog, 999, "x", NULL, &err));
    refuses(ERROR_NOT_FOUND, "job 999", catalog_job_finish(catalog, 999, false, NULL, &err));
}

static void check_jobs(struct catalog_job_filter filter, size_t expected, int64_t first)
{
    struct catalog_job *list = NULL;
    size_t count = 0;
    works(catalog_job_list(catalog, &arena, &filter, &list, &count, &err));
    assert_int_equal(count, expected);
    if (count > 0)
        assert_int_equal(list[0].id, first);
}

static void test_job_lists(void **state)
{
    (void)state;
    int64_t ids[] = {enqueue(1, 10, 100), enqueue(2, 10, 200), enqueue(1, 10, 100)};
    works(catalog_job_finish(catalog, ids[0], false, NULL, &err));
    check_jobs((struct catalog_job_filter){0}, 3, ids[2]);            /* newest first */
    check_jobs((struct catalog_job_filter){.open = true}, 2, ids[1]); /* oldest first */
    check_jobs((struct catalog_job_filter){.placement_id = 1}, 2, ids[2]);
    check_jobs((struct catalog_job_filter){.placement_id = 1, .open = true}, 1, ids[2]);
    check_jobs((struct catalog_job_filter){.service_id = 200}, 1, ids[1]);
    check_jobs((struct catalog_job_filter){.tenant_id = 11}, 0, 0);
    check_jobs((struct catalog_job_filter){.tenant_id = 10, .limit = 1}, 1, ids[2]);
    struct catalog_job *list = NULL;
    size_t count = 0;
    works(catalog_job_list(catalog, &arena, NULL, &list, &count, &err));
    assert_int_equal(count, 3);
}

/* ---- audit events ---- */

static void test_audit_events(void **state)
{
    (void)state;
    struct catalog_audit_event event = {.actor = "cli:alice", .action = "tenant.create"};
    struct catalog_audit_event *list = NULL;
    size_t count = 0;
    works(catalog_audit_append(catalog, &event, &err));
    event.tenant_id = 7;
    event.service_id = 8;
    event.placement_id = 9;
    event.detail = "{\"a\": \"b\"}";
    works(catalog_audit_append(catalog, &event, &err));
    event.action = "tenant.suspend";
    works(catalog_audit_append(catalog, &event, &err));
    works(catalog_audit_list(catalog, &arena, 0, 0, 0, &list, &count, &err));
    assert_int_equal(count, 3);
    assert_string_equal(list[0].action, "tenant.suspend");
    assert_string_equal(list[0].actor, "cli:alice");
    assert_int_equal(list[0].tenant_id, 7);
    assert_int_equal(list[0].service_id, 8);
    assert_int_equal(list[0].placement_id, 9);
    assert_string_equal(list[0].detail, "{\"a\": \"b\"}");
    assert_true(list[0].at_unix_us > 0);
    assert_int_equal(list[2].tenant_id, 0);
    assert_string_equal(list[2].detail, "{}");
    int64_t newest = list[0].id;
    works(catalog_audit_list(catalog, &arena, 7, newest, 0, &list, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(list[0].action, "tenant.create");
    works(catalog_audit_list(catalog, &arena, 0, 0, 2, &list, &count, &err));
    assert_int_equal(count, 2);
    assert_int_equal(list[0].id, newest);
    event.detail = "[]";
    refuses(ERROR_INVALID, "audit event", catalog_audit_append(catalog, &event, &err));
    event.actor = "";
    event.detail = NULL;
    refuses(ERROR_INVALID, "audit event", catalog_audit_append(catalog, &event, &err));
    static const char *const changes[] = {"UPDATE reeve.audit_event SET actor = 'x'",
                                          "DELETE FROM reeve.audit_event",
                                          "TRUNCATE reeve.audit_event"};
    for (size_t i = 0; i < array_size(changes); i++) {
        refuses(ERROR_SERVER, "never changed",
                pg_execute(catalog_connection(catalog), changes[i], 0, NULL, NULL, &err));
        assert_string_equal(err.sqlstate, "55000");
    }
}

/* ---- the status ---- */

static void test_status(void **state)
{
    (void)state;
    struct catalog_status status;
    works(catalog_status_get(catalog, &status, &err));
    assert_int_equal(status.schema_version, catalog_newest_version());
    assert_int_equal(status.isolation_count, 0);
    int64_t began = status.route_version, placement = 0;
    int64_t cluster = make_cluster(1), service = make_service(1, cluster);
    const struct catalog_issuer issuer = {.name = "i", .issuer = "i", .jwks = "{}"};
    works(catalog_issuer_create(catalog, &issuer, NULL, &err));
    make_ready_placement(make_tenant("a"), service, cluster);
    make_ready_placement(make_tenant("b"), service, cluster);
    int64_t c = make_tenant("c");
    works(catalog_placement_create(catalog, c, service, cluster, "schema", &placement, &err));
    works(catalog_tenant_set_status(catalog, c, CATALOG_TENANT_SUSPENDED, &err));
    works(catalog_job_finish(catalog, enqueue(1, 0, 0), true, NULL, &err));
    enqueue(1, 0, 0);
    works(catalog_status_get(catalog, &status, &err));
    assert_true(status.route_version > began);
    assert_int_equal(status.clusters, 1);
    assert_int_equal(status.services, 1);
    assert_int_equal(status.issuers, 1);
    assert_int_equal(status.tenants[CATALOG_TENANT_ACTIVE], 2);
    assert_int_equal(status.tenants[CATALOG_TENANT_SUSPENDED], 1);
    assert_int_equal(status.placements[CATALOG_PLACEMENT_READY], 2);
    assert_int_equal(status.placements[CATALOG_PLACEMENT_PROVISIONING], 1);
    assert_int_equal(status.jobs[CATALOG_JOB_QUEUED], 1);
    assert_int_equal(status.jobs[CATALOG_JOB_FAILED], 1);
    assert_int_equal(status.isolation_count, 2);
    assert_string_equal(status.isolations[0].isolation, "row");
    assert_int_equal(status.isolations[0].placements, 2);
    assert_string_equal(status.isolations[1].isolation, "schema");
    assert_int_equal(status.isolations[1].placements, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
    const struct CMUnitTest tests[] = {
        TEST(test_a_job_from_start_to_end),
        TEST(test_a_job_that_fails),
        TEST(test_jobs_that_are_refused),
        TEST(test_job_lists),
        TEST(test_audit_events),
        TEST(test_status),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}

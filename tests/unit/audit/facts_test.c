/* What there must be on a server, from the services and placements that the catalog has there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/audit.h"

static struct arena arena;

static void make_service(const char *modes, struct isolation_service *ret)
{
    const struct isolation *allowed[3];
    size_t count = 0;
    for (size_t i = 0; isolation_at(i); i++)
        if (strstr(modes, isolation_name(isolation_at(i))))
            allowed[count++] = isolation_at(i);
    isolation_service_init(&arena, 1, "orders", allowed, count, ret);
}

static void add_service(struct audit_facts *facts, const struct isolation_service *service,
                        bool prepared)
{
    const struct audit_service_facts about = {.prepared = prepared, .audited = true};
    audit_facts_service(facts, service, &about);
}

static void add_placement(struct audit_facts *facts, const struct isolation_service *service,
                          const char *mode, int64_t id, struct audit_placement_facts about)
{
    struct isolation_placement *placement = arena_zalloc(&arena, sizeof(*placement));
    isolation_placement_init(&arena, service, isolation_find(mode), id, 100 + id, placement);
    audit_facts_placement(facts, service, placement, &about);
}

static bool has(const struct audit_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0)
            return true;
    return false;
}

static bool has_pair(const struct audit_names *first, const struct audit_names *second,
                     const char *a, const char *b)
{
    assert_int_equal(first->count, second->count);
    for (size_t i = 0; i < first->count; i++)
        if (strcmp(first->items[i], a) == 0 && strcmp(second->items[i], b) == 0)
            return true;
    return false;
}

static const struct audit_database *database(const struct audit_facts *facts, const char *name)
{
    for (const struct audit_database *at = facts->databases; at; at = at->next)
        if (strcmp(at->name, name) == 0)
            return at;
    return NULL;
}

static void test_a_service(void **state)
{
    (void)state;
    struct isolation_service service;
    _cleanup_audit_facts_ struct audit_facts facts;
    make_service("row schema database", &service);
    audit_facts_init(&facts, &arena, true);
    add_service(&facts, &service, true);
    assert_true(has(&facts.expected_roles, "own_orders"));
    assert_true(has(&facts.expected_databases, "svc_orders"));
    assert_true(has(&facts.expected_databases, "tpl_orders"));
    assert_true(has(&facts.session_roles, "run_orders_ro"));
    assert_true(has(&facts.session_roles, "reeve_pool"));
    assert_false(has(&facts.session_roles, "own_orders"));
    assert_true(has_pair(&facts.members, &facts.member_of, "run_orders", "use_orders"));
    assert_true(
        has_pair(&facts.connect_roles, &facts.connect_databases, "reeve_pool", "svc_orders"));
    assert_false(has(&facts.connect_databases, "tpl_orders"));
    assert_int_equal(database(&facts, "svc_orders")->target_count, 1);
    assert_true(database(&facts, "svc_orders")->targets[0].row_security);
    assert_int_equal(database(&facts, "tpl_orders")->target_count, 1);
}

static void test_a_service_that_is_not_there_yet(void **state)
{
    (void)state;
    struct isolation_service service;
    _cleanup_audit_facts_ struct audit_facts facts;
    make_service("schema", &service);
    audit_facts_init(&facts, &arena, true);
    add_service(&facts, &service, false);
    assert_true(has(&facts.known_roles, "own_orders"));
    assert_true(has(&facts.database_names, "svc_orders"));
    assert_int_equal(facts.expected_roles.count, 0);
    assert_int_equal(facts.expected_databases.count, 0);
    assert_null(database(&facts, "tpl_orders"));
    assert_false(database(&facts, "svc_orders")->audited);
}

static void test_placements(void **state)
{
    (void)state;
    struct isolation_service service;
    _cleanup_audit_facts_ struct audit_facts facts;
    make_service("row schema database", &service);
    audit_facts_init(&facts, &arena, true);
    add_service(&facts, &service, true);
    const struct audit_placement_facts ready = {.placed = true, .audited = true};
    add_placement(&facts, &service, "row", 1, ready);
    add_placement(&facts, &service, "schema", 2, ready);
    add_placement(&facts, &service, "database", 3, ready);
    assert_true(has_pair(&facts.members, &facts.member_of, "t_000001", "run_orders"));
    assert_true(has_pair(&facts.members, &facts.member_of, "t_000001_ro", "run_orders_ro"));
    assert_true(has_pair(&facts.members, &facts.member_of, "t_000002_ro", "use_orders"));
    assert_false(has(&facts.members, "t_000003"));
    assert_true(has_pair(&facts.connect_roles, &facts.connect_databases, "t_000003", "d_000003"));
    assert_false(has(&facts.connect_roles, "t_000002"));
    const struct audit_database *shared = database(&facts, "svc_orders");
    assert_int_equal(shared->target_count, 2); /* shared tables once, and a schema */
    assert_true(has(&shared->missing_schemas, "t_000002"));
    assert_false(has(&shared->missing_schemas, "t_000001"));
    assert_true(has_pair(&shared->mapped_roles, &shared->mapped_tenants, "t_000001_ro", "101"));
    assert_int_equal(shared->row_tenants.count, 1);
    assert_string_equal(shared->row_tenants.items[0], "101");
    const struct audit_database *own = database(&facts, "d_000003");
    assert_true(own->expected && own->audited);
    assert_int_equal(own->targets[0].tenant_id, 103);
    assert_true(has(&own->roles, "t_000003"));
}

static void test_a_placement_under_way(void **state)
{
    (void)state;
    struct isolation_service service;
    _cleanup_audit_facts_ struct audit_facts facts;
    make_service("schema database", &service);
    audit_facts_init(&facts, &arena, true);
    add_service(&facts, &service, true);
    const struct audit_placement_facts under_way = {.audited = true, .suspended = true};
    add_placement(&facts, &service, "schema", 7, under_way);
    add_placement(&facts, &service, "database", 8, under_way);
    assert_true(has(&facts.known_roles, "t_000007"));
    assert_false(has(&facts.expected_roles, "t_000007"));
    assert_true(has(&facts.suspended_roles, "t_000008_ro"));
    const struct audit_database *shared = database(&facts, "svc_orders");
    assert_true(has(&shared->known_schemas, "t_000007"));
    assert_int_equal(shared->missing_schemas.count, 0);
    assert_int_equal(shared->mapped_roles.count, 0);
    assert_true(has(&facts.database_names, "d_000008"));
    assert_false(database(&facts, "d_000008")->expected);
}

static void test_out_of_scope(void **state)
{
    (void)state;
    struct isolation_service service;
    _cleanup_audit_facts_ struct audit_facts facts;
    make_service("schema", &service);
    audit_facts_init(&facts, &arena, false);
    const struct audit_service_facts about = {.prepared = true};
    audit_facts_service(&facts, &service, &about);
    const struct audit_placement_facts other = {.placed = true};
    const struct audit_placement_facts one = {.placed = true, .audited = true};
    add_placement(&facts, &service, "schema", 1, other);
    add_placement(&facts, &service, "schema", 2, one);
    const struct audit_database *shared = database(&facts, "svc_orders");
    assert_int_equal(shared->target_count, 1);
    assert_string_equal(shared->targets[0].schema, "t_000002");
    assert_true(has(&shared->schemas, "t_000001")); /* whose privileges are no surprise */
}

static int give_back(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_service, give_back),
        cmocka_unit_test_teardown(test_a_service_that_is_not_there_yet, give_back),
        cmocka_unit_test_teardown(test_placements, give_back),
        cmocka_unit_test_teardown(test_a_placement_under_way, give_back),
        cmocka_unit_test_teardown(test_out_of_scope, give_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Clusters, services, their owners and databases; issuers. */
#include "catalog/fixture.h"

#include "catalog/cluster.h"
#include "catalog/issuer.h"
#include "catalog/placement.h"
#include "catalog/service.h"

/* ---- clusters ---- */

static struct catalog_cluster a_cluster(const char *name)
{
    static const uint8_t password[] = {1, 0, 255, 7};
    return (struct catalog_cluster){
        .name = name,
        .conninfo = "host=db.example port=5433",
        .admin_user = "admin \"x\"",
        .admin_password = {password, sizeof(password)},
        .maintenance_db = "template1",
        .max_backends = 12,
    };
}

static void test_clusters(void **state)
{
    (void)state;
    struct catalog_cluster local = a_cluster("local"), found, *list = NULL;
    size_t count = 0;
    int64_t id = 0;
    works(catalog_cluster_create(catalog, &local, &id, &err));
    refuses(ERROR_EXISTS, "there is a cluster \"local\" already",
            catalog_cluster_create(catalog, &local, NULL, &err));
    assert_string_equal(err.detail, "");
    works(catalog_cluster_find(catalog, &arena, "local", &found, &err));
    assert_int_equal(found.id, id);
    assert_string_equal(found.name, "local");
    assert_string_equal(found.conninfo, local.conninfo);
    assert_string_equal(found.admin_user, local.admin_user);
    assert_int_equal(found.admin_password.length, 4);
    assert_memory_equal(found.admin_password.bytes, local.admin_password.bytes, 4);
    assert_string_equal(found.maintenance_db, "template1");
    assert_int_equal(found.max_backends, 12);
    assert_true(found.created_unix_us > 0);

    struct catalog_cluster east = a_cluster("east");
    east.admin_password.length = 0;
    works(catalog_cluster_create(catalog, &east, NULL, &err));
    works(catalog_cluster_list(catalog, &arena, &list, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(list[0].name, "east");
    assert_int_equal(list[0].admin_password.length, 0);
    assert_string_equal(list[1].name, "local");

    works(catalog_cluster_delete(catalog, id, &err));
    refuses(ERROR_NOT_FOUND, "cluster", catalog_cluster_delete(catalog, id, &err));
    refuses(ERROR_NOT_FOUND, "there is no cluster \"local\"",
            catalog_cluster_find(catalog, &arena, "local", &found, &err));
    refuses(ERROR_NOT_FOUND, "cluster", catalog_cluster_get(catalog, &arena, id, &found, &err));
    refuses(ERROR_NOT_FOUND, "cluster", catalog_cluster_get(catalog, &arena, 0, &found, &err));
}

static void test_clusters_that_are_refused(void **state)
{
    (void)state;
    static uint8_t bytes[CATALOG_SEALED_MAX + 1];
    struct catalog_cluster cluster = a_cluster("Bad Name");
    refuses(ERROR_INVALID, "cluster name", catalog_cluster_create(catalog, &cluster, NULL, &err));
    cluster = a_cluster("x");
    cluster.conninfo = "host=h password=hush";
    refuses(ERROR_INVALID, "password", catalog_cluster_create(catalog, &cluster, NULL, &err));
    assert_null(strstr(err.message, "hush"));
    cluster = a_cluster("x");
    cluster.max_backends = 0;
    refuses(ERROR_INVALID, "cluster \"x\"", catalog_cluster_create(catalog, &cluster, NULL, &err));
    assert_string_equal(err.detail, ""); /* the server shows the row there */
    cluster = a_cluster("x");
    cluster.admin_user = "";
    refuses(ERROR_INVALID, "cluster \"x\"", catalog_cluster_create(catalog, &cluster, NULL, &err));
    cluster.admin_user = NULL;
    refuses(ERROR_INVALID, "admin_user", catalog_cluster_create(catalog, &cluster, NULL, &err));
    assert_string_equal(err.detail, "");
    cluster = a_cluster("x");
    cluster.admin_password = (struct catalog_sealed){bytes, sizeof(bytes)};
    refuses(ERROR_INVALID, "too long", catalog_cluster_create(catalog, &cluster, NULL, &err));
    cluster.conninfo = arena_printf(&arena, "host=%01100d", 1);
    cluster.admin_password.length = 0;
    refuses(ERROR_INVALID, "cluster \"x\"", catalog_cluster_create(catalog, &cluster, NULL, &err));
    assert_int_equal(catalog_cluster_create(catalog, &cluster, NULL, NULL), -ERROR_INVALID);
}

/* ---- services ---- */

static void test_services(void **state)
{
    (void)state;
    static const char *const allowed[] = {"schema", "row", "database"};
    int64_t cluster = make_cluster(1), id = 0;
    struct catalog_service orders = {
        .name = "orders",
        .isolation = "row",
        .allowed = allowed,
        .allowed_count = 3,
        .migrations_dir = "/srv/or ders",
        .cluster_id = cluster,
    };
    struct catalog_service found, *list = NULL;
    size_t count = 0;
    works(catalog_service_create(catalog, &orders, &id, &err));
    refuses(ERROR_EXISTS, "there is a service \"orders\" already",
            catalog_service_create(catalog, &orders, NULL, &err));
    works(catalog_service_find(catalog, &arena, "orders", &found, &err));
    assert_int_equal(found.id, id);
    assert_string_equal(found.isolation, "row");
    assert_int_equal(found.allowed_count, 3);
    assert_string_equal(found.allowed[0], "schema");
    assert_string_equal(found.allowed[2], "database");
    assert_string_equal(found.migrations_dir, "/srv/or ders");
    assert_int_equal(found.cluster_id, cluster);
    assert_true(found.created_unix_us > 0);
    make_service(1, cluster);
    works(catalog_service_list(catalog, &arena, &list, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(list[0].name, "orders");
    works(catalog_service_set_migrations_dir(catalog, id, "/srv/new", &err));
    works(catalog_service_get(catalog, &arena, id, &found, &err));
    assert_string_equal(found.migrations_dir, "/srv/new");
    refuses(ERROR_INVALID, "service",
            catalog_service_set_migrations_dir(catalog, id, "relative", &err));
    refuses(ERROR_NOT_FOUND, "service",
            catalog_service_set_migrations_dir(catalog, 999, "/srv", &err));
    works(catalog_service_delete(catalog, id, &err));
    refuses(ERROR_NOT_FOUND, "service", catalog_service_delete(catalog, id, &err));
    refuses(ERROR_NOT_FOUND, "service", catalog_service_get(catalog, &arena, id, &found, &err));
    refuses(ERROR_NOT_FOUND, "there is no service \"orders\"",
            catalog_service_find(catalog, &arena, "orders", &found, &err));
}

static void test_services_that_are_refused(void **state)
{
    (void)state;
    static const char *const row[] = {"row"}, *const odd[] = {"Row"};
    const struct catalog_service good = {
        .name = "orders",
        .isolation = "row",
        .allowed = row,
        .allowed_count = 1,
        .migrations_dir = "/srv",
        .cluster_id = make_cluster(1),
    };
    struct catalog_service service = good;
    service.name = "Orders";
    refuses(ERROR_INVALID, "service name", catalog_service_create(catalog, &service, NULL, &err));
    service = good;
    service.isolation = "schema";
    refuses(ERROR_INVALID, "does not allow its own default",
            catalog_service_create(catalog, &service, NULL, &err));
    service = good;
    service.allowed_count = 0;
    refuses(ERROR_INVALID, "orders", catalog_service_create(catalog, &service, NULL, &err));
    service = good;
    service.allowed = odd;
    service.isolation = "Row";
    refuses(ERROR_INVALID, "orders", catalog_service_create(catalog, &service, NULL, &err));
    service = good;
    service.migrations_dir = "relative";
    refuses(ERROR_INVALID, "orders", catalog_service_create(catalog, &service, NULL, &err));
    service = good;
    service.cluster_id = 999;
    refuses(ERROR_NOT_FOUND, "no such cluster",
            catalog_service_create(catalog, &service, NULL, &err));
}

static void test_what_is_used_is_not_deleted(void **state)
{
    (void)state;
    int64_t cluster = make_cluster(1), other = make_cluster(2);
    int64_t service = make_service(1, cluster), tenant = make_tenant("acme"), placement = 0;
    refuses(ERROR_STATE, "services", catalog_cluster_delete(catalog, cluster, &err));
    works(catalog_placement_create(catalog, tenant, service, other, "row", &placement, &err));
    refuses(ERROR_STATE, "placements", catalog_cluster_delete(catalog, other, &err));
    refuses(ERROR_STATE, "placements", catalog_service_delete(catalog, service, &err));
}

/* ---- owners ---- */

static void test_service_owners(void **state)
{
    (void)state;
    static const uint8_t one[] = "one", two[] = "two-longer";
    int64_t cluster = make_cluster(1), other = make_cluster(2);
    int64_t service = make_service(1, cluster), second = make_service(2, cluster);
    struct catalog_service_owner owner = {service, cluster, "own_1", {one, sizeof(one)}}, got;
    refuses(ERROR_NOT_FOUND, "owner",
            catalog_service_owner_get(catalog, &arena, service, cluster, &got, &err));
    works(catalog_service_owner_ensure(catalog, &arena, &owner, &got, &err));
    assert_memory_equal(got.password.bytes, one, sizeof(one));
    owner.password = (struct catalog_sealed){two, sizeof(two)};
    works(catalog_service_owner_ensure(catalog, &arena, &owner, &got, &err));
    assert_int_equal(got.password.length, sizeof(one)); /* what is stored, not what was given */
    assert_string_equal(got.role, "own_1");
    works(catalog_service_owner_get(catalog, &arena, service, cluster, &got, &err));
    assert_int_equal(got.service_id, service);
    assert_int_equal(got.cluster_id, cluster);
    owner.cluster_id = other; /* roles are a cluster's own */
    works(catalog_service_owner_ensure(catalog, &arena, &owner, &got, &err));
    assert_int_equal(got.password.length, sizeof(two));
    owner.service_id = second;
    refuses(ERROR_EXISTS, "another service",
            catalog_service_owner_ensure(catalog, &arena, &owner, &got, &err));
    owner.role = "own_2";
    owner.service_id = 999;
    refuses(ERROR_NOT_FOUND, "no such service",
            catalog_service_owner_ensure(catalog, &arena, &owner, &got, &err));
    works(catalog_begin(catalog, &err)); /* in the caller's transaction */
    owner.service_id = second;
    works(catalog_service_owner_ensure(catalog, &arena, &owner, &got, &err));
    catalog_rollback(catalog);
    refuses(ERROR_NOT_FOUND, "owner",
            catalog_service_owner_get(catalog, &arena, second, other, &got, &err));
    refuses(ERROR_STATE, "owners", catalog_cluster_delete(catalog, other, &err));
    works(catalog_service_owner_delete(catalog, service, other, &err));
    works(catalog_service_owner_delete(catalog, service, other, &err));
    works(catalog_cluster_delete(catalog, other, &err));
    works(catalog_service_delete(catalog, service, &err)); /* and its owner */
    assert_string_equal(fixture_value("SELECT count(*) FROM reeve.service_owner"), "0");
}

/* ---- databases ---- */

static void test_service_databases(void **state)
{
    (void)state;
    int64_t cluster = make_cluster(1), other = make_cluster(2);
    int64_t service = make_service(1, cluster), second = make_service(2, cluster);
    int64_t id = 0, same = 0, template = 0;
    struct catalog_service_database database = {.service_id = service,
                                                .cluster_id = cluster,
                                                .kind = CATALOG_DATABASE_TEMPLATE,
                                                .database = "s_template"};
    struct catalog_service_database *list = NULL;
    size_t count = 9;
    works(catalog_service_database_list(catalog, &arena, service, 0, &list, &count, &err));
    assert_int_equal(count, 0);
    works(catalog_service_database_ensure(catalog, &database, &template, &err));
    database.kind = CATALOG_DATABASE_SHARED;
    refuses(ERROR_EXISTS, "another service",
            catalog_service_database_ensure(catalog, &database, NULL, &err));
    database.database = "s_shared";
    database.schema_version = "0001";
    works(catalog_service_database_ensure(catalog, &database, &id, &err));
    works(catalog_service_database_ensure(catalog, &database, &same, &err));
    assert_int_equal(same, id);
    works(catalog_service_database_ensure(catalog, &database, NULL, &err));
    database.cluster_id = other;
    works(catalog_service_database_ensure(catalog, &database, NULL, &err));
    works(catalog_service_database_list(catalog, &arena, service, 0, &list, &count, &err));
    assert_int_equal(count, 3);
    assert_string_equal(list[0].database, "s_shared");
    assert_int_equal(list[0].kind, CATALOG_DATABASE_SHARED);
    assert_string_equal(list[0].schema_version, "0001");
    assert_int_equal(list[1].kind, CATALOG_DATABASE_TEMPLATE);
    assert_int_equal(list[1].id, template);
    assert_string_equal(list[1].schema_version, "");
    assert_int_equal(list[2].cluster_id, other);
    works(catalog_service_database_set_version(catalog, id, "0002", &err));
    refuses(ERROR_NOT_FOUND, "service database",
            catalog_service_database_set_version(catalog, 999, "0002", &err));
    works(catalog_service_database_list(catalog, &arena, service, cluster, &list, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(list[0].schema_version, "0002");
    works(catalog_service_database_list(catalog, &arena, second, 0, &list, &count, &err));
    assert_int_equal(count, 0);
    works(catalog_service_database_delete(catalog, service, cluster, "no such", &err));
    /* several shared ones, each with its version; one template */
    bool taken = true;
    database.cluster_id = cluster;
    database.database = "s_pool";
    works(catalog_service_database_taken(catalog, cluster, "s_pool", second, &taken, &err));
    assert_false(taken);
    works(catalog_service_database_ensure(catalog, &database, &same, &err));
    assert_int_not_equal(same, id);
    works(catalog_service_database_set_version(catalog, same, "0003", &err));
    works(catalog_service_database_list(catalog, &arena, service, cluster, &list, &count, &err));
    assert_int_equal(count, 3);
    assert_string_equal(list[0].schema_version, "0002");
    assert_string_equal(list[1].database, "s_pool");
    assert_string_equal(list[1].schema_version, "0003");
    works(catalog_service_database_taken(catalog, cluster, "s_pool", service, &taken, &err));
    assert_false(taken);
    works(catalog_service_database_taken(catalog, cluster, "s_pool", second, &taken, &err));
    assert_true(taken);
    database.service_id = second;
    refuses(ERROR_EXISTS, "another service",
            catalog_service_database_ensure(catalog, &database, NULL, &err));
    database.service_id = service;
    database.kind = CATALOG_DATABASE_TEMPLATE;
    database.database = "s_template_2";
    assert_true(catalog_service_database_ensure(catalog, &database, NULL, &err) < 0);
    refuses(ERROR_STATE, "databases", catalog_cluster_delete(catalog, other, &err));
    works(catalog_service_database_delete(catalog, service, other, NULL, &err));
    works(catalog_service_database_delete(catalog, service, other, NULL, &err));
    works(catalog_cluster_delete(catalog, other, &err));
    works(catalog_service_delete(catalog, service, &err));
    assert_string_equal(fixture_value("SELECT count(*) FROM reeve.service_database"), "0");
    assert_string_equal(catalog_database_kind_name(CATALOG_DATABASE_SHARED), "shared");
}

/* ---- issuers ---- */

static void test_issuers(void **state)
{
    (void)state;
    struct catalog_issuer partner = {.name = "partner",
                                     .issuer = "https://id.example",
                                     .audience = "orders",
                                     .tenant_claim = "org",
                                     .jwks = "{\"keys\": [\"hush\"]}",
                                     .leeway_s = 5};
    struct catalog_issuer found, *list = NULL;
    size_t count = 0;
    int64_t id = 0;
    works(catalog_issuer_create(catalog, &partner, &id, &err));
    refuses(ERROR_EXISTS, "there is an issuer \"partner\" already",
            catalog_issuer_create(catalog, &partner, NULL, &err));
    partner.name = "other";
    refuses(ERROR_EXISTS, "same issuer and audience",
            catalog_issuer_create(catalog, &partner, NULL, &err));
    assert_string_equal(err.detail, "");
    partner.audience = partner.tenant_claim = NULL;
    works(catalog_issuer_create(catalog, &partner, NULL, &err));
    works(catalog_issuer_find(catalog, &arena, "partner", &found, &err));
    assert_int_equal(found.id, id);
    assert_string_equal(found.issuer, "https://id.example");
    assert_string_equal(found.audience, "orders");
    assert_string_equal(found.tenant_claim, "org");
    assert_non_null(strstr(found.jwks, "keys"));
    assert_int_equal(found.leeway_s, 5);
    works(catalog_issuer_list(catalog, &arena, &list, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(list[0].name, "other");
    assert_null(list[0].audience);
    assert_null(list[0].tenant_claim);

    partner.name = "third";
    partner.audience = "x";
    partner.leeway_s = 301;
    refuses(ERROR_INVALID, "third", catalog_issuer_create(catalog, &partner, NULL, &err));
    assert_null(strstr(err.detail, "hush"));
    partner.leeway_s = 0;
    partner.jwks = "{hush";
    refuses(ERROR_INVALID, "third", catalog_issuer_create(catalog, &partner, NULL, &err));
    assert_null(strstr(err.detail, "hush"));
    partner.jwks = "[]";
    refuses(ERROR_INVALID, "third", catalog_issuer_create(catalog, &partner, NULL, &err));
    partner.name = "Third";
    refuses(ERROR_INVALID, "issuer name", catalog_issuer_create(catalog, &partner, NULL, &err));

    works(catalog_issuer_delete(catalog, id, &err));
    refuses(ERROR_NOT_FOUND, "issuer", catalog_issuer_delete(catalog, id, &err));
    refuses(ERROR_NOT_FOUND, "there is no issuer \"partner\"",
            catalog_issuer_find(catalog, &arena, "partner", &found, &err));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
    const struct CMUnitTest tests[] = {
        TEST(test_clusters),
        TEST(test_clusters_that_are_refused),
        TEST(test_services),
        TEST(test_services_that_are_refused),
        TEST(test_what_is_used_is_not_deleted),
        TEST(test_service_owners),
        TEST(test_service_databases),
        TEST(test_issuers),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}

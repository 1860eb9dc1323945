#include "catalog/fixture.h"

#include "catalog/cluster.h"
#include "catalog/placement.h"
#include "catalog/service.h"
#include "catalog/tenant.h"

struct arena arena;
struct catalog *catalog;
struct error err;
static char conninfo[128];

int fixture_start(void **state)
{
    (void)state;
    test_server_start();
    return 0;
}

int fixture_stop(void **state)
{
    (void)state;
    test_server_stop();
    return 0;
}

const char *fixture_new_conninfo(void)
{
    static int number;
    return arena_printf(&arena, "%s user=postgres dbname=catalog_%d", test_server_conninfo(),
                        ++number);
}

const char *fixture_conninfo(void)
{
    return conninfo;
}

int fixture_open(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    snprintf(conninfo, sizeof(conninfo), "%s", fixture_new_conninfo());
    works(catalog_create_database(conninfo, NULL, &err));
    works(catalog_upgrade(conninfo, NULL, NULL, &err));
    works(catalog_open(conninfo, &catalog, &err));
    return 0;
}

int fixture_close(void **state)
{
    (void)state;
    catalog = catalog_close(catalog);
    arena_reset(&arena);
    return 0;
}

struct catalog *fixture_another(void)
{
    struct catalog *another = NULL;
    works(catalog_open(conninfo, &another, &err));
    return another;
}

void fixture_run(const char *sql)
{
    works(pg_execute_script(catalog_connection(catalog), sql, &err));
}

const char *fixture_value(const char *sql)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    works(pg_query(catalog_connection(catalog), sql, 0, NULL, &result, &err));
    return pg_text_copy(result, 0, 0, &arena);
}

/* ---- rows ---- */

int64_t make_cluster(int number)
{
    int64_t id = 0;
    const struct catalog_cluster cluster = {
        .name = arena_printf(&arena, "cluster-%d", number),
        .conninfo = "host=/nowhere port=5433",
        .admin_user = "admin",
        .maintenance_db = "postgres",
        .max_backends = 50 + number,
    };
    works(catalog_cluster_create(catalog, &cluster, &id, &err));
    return id;
}

int64_t make_service(int number, int64_t cluster_id)
{
    static const char *const allowed[] = {"row", "schema"};
    int64_t id = 0;
    const struct catalog_service service = {
        .name = arena_printf(&arena, "service-%d", number),
        .isolation = "row",
        .allowed = allowed,
        .allowed_count = array_size(allowed),
        .migrations_dir = "/srv/migrations",
        .cluster_id = cluster_id,
    };
    works(catalog_service_create(catalog, &service, &id, &err));
    return id;
}

int64_t make_tenant(const char *slug)
{
    int64_t id = 0;
    works(catalog_tenant_create(catalog, slug, NULL, &id, &err));
    return id;
}

int64_t make_ready_placement(int64_t tenant_id, int64_t service_id, int64_t cluster_id)
{
    static const uint8_t sealed[40] = {1, 2, 3};
    int64_t id = 0;
    works(catalog_placement_create(catalog, tenant_id, service_id, cluster_id, "row", &id, &err));
    const struct catalog_place place = {
        .cluster_id = cluster_id,
        .isolation = "row",
        .database = "shared",
        .schema = "app",
        .role = arena_printf(&arena, "t_%06lld", (long long)id),
        .role_password = {sealed, sizeof(sealed)},
    };
    works(catalog_placement_set_place(catalog, id, &place, &err));
    works(catalog_placement_set_state(catalog, id, CATALOG_PLACEMENT_READY, &err));
    return id;
}

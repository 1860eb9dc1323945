#include "catalog/placement.h"

#include "catalog/internal.h"
#include "catalog/service.h"
#include "catalog/tenant.h"
#include "sql/statements.h"

enum { LOGIN_SEALED_MAX = 128 }; /* what a route has room for; the schema's CHECK */

static const char *const states[] = {
    [CATALOG_PLACEMENT_PROVISIONING] = "provisioning",
    [CATALOG_PLACEMENT_READY] = "ready",
    [CATALOG_PLACEMENT_MIGRATING] = "migrating",
    [CATALOG_PLACEMENT_DELETING] = "deleting",
    [CATALOG_PLACEMENT_FAILED] = "failed",
};

const char *catalog_placement_state_name(enum catalog_placement_state state)
{
    return states[state];
}

static const char *describe(struct arena *arena, int64_t id)
{
    return arena_printf(arena, "placement %lld", (long long)id);
}

/* ---- reading ---- */

static int fill_passwords(const struct pg_result *result, size_t row, struct arena *arena,
                          struct catalog_placement *placement, struct error *err)
{
    int r = catalog_sealed_copy(result, row, 12, arena, &placement->role_password, err);
    if (r == 0)
        r = catalog_sealed_copy(result, row, 13, arena, &placement->ro_password, err);
    return r;
}

int catalog_placement_fill(const struct pg_result *result, size_t row, struct arena *arena,
                           void *ret, struct error *err)
{
    const char *state = pg_text(result, row, 16);
    int index = catalog_name_index(states, array_size(states), state);
    if (index < 0)
        return error_set(err, ERROR_SERVER, "the catalog has a placement in unknown state \"%s\"",
                         state ? state : "");
    struct catalog_placement *placement = ret;
    *placement = (struct catalog_placement){
        .id = pg_i64(result, row, 0),
        .tenant_id = pg_i64(result, row, 1),
        .service_id = pg_i64(result, row, 2),
        .cluster_id = pg_i64(result, row, 3),
        .tenant = pg_text_copy(result, row, 4, arena),
        .service = pg_text_copy(result, row, 5, arena),
        .cluster = pg_text_copy(result, row, 6, arena),
        .isolation = pg_text_copy(result, row, 7, arena),
        .database = pg_text_copy(result, row, 8, arena),
        .schema = pg_text_copy(result, row, 9, arena),
        .role = pg_text_copy(result, row, 10, arena),
        .ro_role = pg_text_copy(result, row, 11, arena),
        .schema_version = pg_text_copy(result, row, 14, arena),
        .epoch = pg_i64(result, row, 15),
        .state = (enum catalog_placement_state)index,
        .created_unix_us = pg_i64(result, row, 17),
        .enforcement = pg_text_copy(result, row, 18, arena),
        .enter_role = pg_text_copy(result, row, 19, arena),
        .enter_ro_role = pg_text_copy(result, row, 20, arena),
        .held_until_unix_us = pg_i64(result, row, 21),
        .generation = pg_i64(result, row, 22),
    };
    return fill_passwords(result, row, arena, placement, err);
}

/* In the statement's order: id, tenant, service, cluster, state, the id before the page, limit. */
int catalog_placement_get(struct catalog *catalog, struct arena *arena, int64_t id,
                          struct catalog_placement *ret, struct error *err)
{
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_placement_select, pg_from_i64(arena, id), NULL, NULL, NULL, NULL, NULL, NULL);
    statement.subject = describe(arena, id);
    return catalog_one(catalog, arena, &statement, catalog_placement_fill, sizeof(*ret), ret, err);
}

int catalog_placement_find(struct catalog *catalog, struct arena *arena, const char *tenant,
                           const char *service, struct catalog_placement *ret, struct error *err)
{
    struct catalog_tenant owner = {0};
    struct catalog_service product = {0};
    int r = catalog_tenant_find(catalog, arena, tenant, &owner, err);
    if (r == 0)
        r = catalog_service_find(catalog, arena, service, &product, err);
    if (r < 0)
        return r;
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_placement_select, NULL, pg_from_i64(arena, owner.id),
                          pg_from_i64(arena, product.id), NULL, NULL, NULL, NULL);
    statement.subject = arena_printf(arena, "placement of tenant \"%s\" for service \"%s\"",
                                     owner.slug, product.name);
    return catalog_one(catalog, arena, &statement, catalog_placement_fill, sizeof(*ret), ret, err);
}

int catalog_placement_list(struct catalog *catalog, struct arena *arena,
                           const struct catalog_placement_filter *filter,
                           struct catalog_placement **ret, size_t *ret_count, struct error *err)
{
    static const struct catalog_placement_filter any = {.state = -1};
    if (!filter)
        filter = &any;
    const struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_placement_select, NULL, catalog_id(arena, filter->tenant_id),
        catalog_id(arena, filter->service_id), catalog_id(arena, filter->cluster_id),
        filter->state < 0 ? NULL : states[filter->state], catalog_id(arena, filter->after_id),
        catalog_id(arena, filter->limit));
    void *rows = NULL;
    int r = catalog_list(catalog, arena, &statement, catalog_placement_fill, sizeof(**ret), &rows,
                         ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

/* ---- changing ---- */

int catalog_placement_create(struct catalog *catalog, int64_t tenant_id, int64_t service_id,
                             int64_t cluster_id, const char *isolation, int64_t *ret_id,
                             struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_placement_insert, pg_from_i64(&arena, tenant_id),
        pg_from_i64(&arena, service_id), pg_from_i64(&arena, cluster_id), isolation);
    statement.subject = arena_printf(&arena, "placement of tenant %lld for service %lld",
                                     (long long)tenant_id, (long long)service_id);
    return catalog_insert(catalog, &statement, ret_id, err);
}

int catalog_placement_set_place(struct catalog *catalog, int64_t id,
                                const struct catalog_place *place, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *password = NULL, *ro_password = NULL;
    int r = catalog_from_sealed(&arena, &place->role_password, LOGIN_SEALED_MAX, &password, err);
    if (r == 0)
        r = catalog_from_sealed(&arena, &place->ro_password, LOGIN_SEALED_MAX, &ro_password, err);
    if (r < 0)
        return r;
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_placement_set_place, pg_from_i64(&arena, id),
        pg_from_i64(&arena, place->cluster_id), place->isolation, place->database, place->schema,
        place->role, password, place->ro_role, ro_password, place->enforcement, place->enter_role,
        place->enter_ro_role, catalog_id(&arena, place->generation));
    statement.subject = describe(&arena, id);
    return catalog_change(catalog, &statement, err);
}

int catalog_placement_set_state(struct catalog *catalog, int64_t id,
                                enum catalog_placement_state state, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_placement_set_state, pg_from_i64(&arena, id), states[state]);
    statement.subject = describe(&arena, id);
    return catalog_change(catalog, &statement, err);
}

int catalog_placement_set_version(struct catalog *catalog, int64_t id, const char *schema_version,
                                  struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement = CATALOG_STATEMENT(sql_catalog_placement_set_version,
                                                           pg_from_i64(&arena, id), schema_version);
    statement.subject = describe(&arena, id);
    return catalog_change(catalog, &statement, err);
}

int catalog_placement_delete(struct catalog *catalog, int64_t id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_placement_delete, pg_from_i64(&arena, id));
    statement.subject = describe(&arena, id);
    statement.removes = true;
    return catalog_change(catalog, &statement, err);
}

int catalog_placement_hold(struct catalog *catalog, int64_t id, int64_t hold_us, int64_t ends_us,
                           struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_placement_hold, pg_from_i64(&arena, id), pg_from_i64(&arena, hold_us),
        ends_us < 0 ? NULL : pg_from_i64(&arena, ends_us));
    statement.subject = arena_printf(&arena, "placement %lld that is served", (long long)id);
    return catalog_change(catalog, &statement, err);
}

int catalog_placement_release(struct catalog *catalog, int64_t id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_placement_release, pg_from_i64(&arena, id));
    statement.subject = describe(&arena, id);
    return catalog_change(catalog, &statement, err);
}

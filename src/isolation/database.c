/*
 * database.c - a database a tenant, copied from the service's template, which has every migration
 * already. In the copy only the tenant's default and checks are set (isolation_finish).
 */
#include "isolation/server.h"
#include "pg/quote.h"

static void place(struct arena *arena, const struct isolation_service *service,
                  struct isolation_placement *placement)
{
    (void)service;
    placement->database = isolation_own_name(arena, "d", placement);
    placement->schema = ISOLATION_APP_SCHEMA;
}

static const char *describe(struct arena *arena, const struct isolation_placement *placement)
{
    return arena_printf(arena, "database %s", placement->database);
}

static void base_target(struct arena *arena, const struct isolation_service *service,
                        struct isolation_target *ret)
{
    *ret = (struct isolation_target){
        .isolation = &isolation_database,
        .database = service->template_database,
        .schema = ISOLATION_APP_SCHEMA,
        .owner_role = service->owner_role,
        .shaped = service->shaped,
        .description = arena_printf(arena, "the template database of service %s", service->name),
    };
}

static void target(struct arena *arena, const struct isolation_service *service,
                   const struct isolation_placement *placement, struct isolation_target *ret)
{
    base_target(arena, service, ret);
    ret->database = placement->database;
    ret->grant_role = placement->role;
    ret->grant_ro_role = placement->ro_role;
    ret->tenant_id = placement->tenant_id;
    ret->description = describe(arena, placement);
}

static int map_roles(const struct isolation_work *work, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    int r = isolation_server_connect(work->server, work->placement->database, &data, err);
    if (r < 0)
        return r;
    return isolation_server_map_roles(data, work->placement, err);
}

static int create(const struct isolation_work *work, struct error *err)
{
    const struct isolation_placement *placement = work->placement;
    int r = pg_set_statement_timeout(work->maintenance, PG_NO_TIMEOUT, err);
    if (r == 0)
        r = isolation_server_create_database(work->maintenance, work->arena, placement->database,
                                             work->service->owner_role,
                                             work->service->template_database, err);
    if (r == 0)
        r = isolation_server_run(work->maintenance, err, "GRANT CONNECT ON DATABASE %s TO %s, %s",
                                 pg_identifier(work->arena, placement->database),
                                 pg_identifier(work->arena, placement->role),
                                 pg_identifier(work->arena, placement->ro_role));
    if (r == 0)
        r = map_roles(work, err);
    if (r == 0)
        r = isolation_server_set_defaults(work->maintenance, work->arena, placement, err);
    return r;
}

static int drop(const struct isolation_work *work, struct error *err)
{
    int r = pg_set_statement_timeout(work->maintenance, PG_NO_TIMEOUT, err);
    if (r < 0)
        return r;
    return isolation_server_drop_database(work->maintenance, work->arena, work->placement->database,
                                          err);
}

const struct isolation isolation_database = {
    .name = "database",
    .summary = "a database a tenant",
    .uses_template_database = true,
    .place = place,
    .describe = describe,
    .base_target = base_target,
    .target = target,
    .create = create,
    .drop = drop,
};

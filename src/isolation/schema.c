/*
 * schema.c - a schema a tenant in the service's shared database, with opaque names, since every
 * neighbour can read the catalogs.
 */
#include "isolation/server.h"
#include "isolation/shared.h"
#include "pg/quote.h"

static void place(struct arena *arena, const struct isolation_service *service,
                  struct isolation_placement *placement)
{
    placement->database = service->shared_database;
    placement->schema = isolation_own_name(arena, "t", placement);
}

static const char *describe(struct arena *arena, const struct isolation_placement *placement)
{
    return arena_printf(arena, "schema %s in database %s", placement->schema, placement->database);
}

static void target(struct arena *arena, const struct isolation_service *service,
                   const struct isolation_placement *placement, struct isolation_target *ret)
{
    *ret = (struct isolation_target){
        .isolation = &isolation_schema,
        .database = placement->database,
        .schema = placement->schema,
        .owner_role = service->owner_role,
        .grant_role = placement->role,
        .grant_ro_role = placement->ro_role,
        .shaped = service->shaped,
        .tenant_id = placement->tenant_id,
        .description = describe(arena, placement),
    };
}

static int create_schema(struct pg_connection *data, const struct isolation_work *work,
                         struct error *err)
{
    return isolation_server_run(data, err, "CREATE SCHEMA IF NOT EXISTS %s AUTHORIZATION %s",
                                pg_identifier(work->arena, work->placement->schema),
                                pg_identifier(work->arena, work->service->owner_role));
}

static int create(const struct isolation_work *work, struct error *err)
{
    const char *const roles[] = {work->placement->role, work->placement->ro_role};
    int r = 0;
    for (size_t i = 0; !work->placement->guarded && r == 0 && i < array_size(roles); i++)
        r = isolation_server_grant_role(work->maintenance, work->arena, work->service->use_role,
                                        roles[i], err);
    if (r < 0)
        return r;
    return shared_map(work, create_schema, err);
}

static int drop_schema(struct pg_connection *data, const struct isolation_work *work,
                       struct error *err)
{
    return isolation_server_run(data, err, "DROP SCHEMA IF EXISTS %s CASCADE",
                                pg_identifier(work->arena, work->placement->schema));
}

static int drop(const struct isolation_work *work, struct error *err)
{
    return shared_drop(work, drop_schema, err);
}

const struct isolation isolation_schema = {
    .name = "schema",
    .summary = "a schema a tenant in a shared database",
    .uses_shared_database = true,
    .place = place,
    .describe = describe,
    .target = target,
    .create = create,
    .drop = drop,
};

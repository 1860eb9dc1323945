/*
 * plan.c - what a move would do, and what it would fail for, before anything is done.
 */
#include "catalog/tenant.h"
#include "migrate/ledger.h"
#include "move/internal.h"
#include "move/plan.h"
#include "pg/quote.h"
#include "sql/statements.h"

enum {
    PROBLEMS_MAX = 32,
    BYTES_A_SECOND = 20 << 20 /* that a copy takes at least, with its indexes */
};

static void add_problem(struct planning *planning, const char *what, const char *remedy)
{
    if (planning->problem_count < PROBLEMS_MAX)
        planning->problems[planning->problem_count++] = (struct move_problem){what, remedy};
}

/* ---- the request ---- */

static int check_isolation(const struct catalog_service *service, const char *isolation,
                           struct error *err)
{
    const struct isolation *mode;
    int r = isolation_parse(isolation, &mode, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < service->allowed_count; i++)
        if (strcmp(service->allowed[i], isolation) == 0)
            return 0;
    error_set(err, ERROR_INVALID, "service \"%s\" does not allow isolation %s", service->name,
              isolation);
    error_hint(err, "`reeve service show %s` lists what it allows", service->name);
    return -ERROR_INVALID;
}

static int check_no_move(struct catalog *catalog, struct arena *arena,
                         const struct catalog_placement *placement, struct error *err)
{
    struct catalog_move move;
    int r = catalog_move_of(catalog, arena, placement->id, &move, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        return 0;
    }
    if (r < 0)
        return r;
    error_set(err, ERROR_STATE, "tenant \"%s\" has an open move in service \"%s\": %s",
              placement->tenant, placement->service, catalog_move_phase_name(move.phase));
    if (move.phase == CATALOG_MOVE_MOVED)
        error_hint(err, "`reeve move finish %s %s` drops its old place", placement->tenant,
                   placement->service);
    return -ERROR_STATE;
}

static int check_states(const struct planning *planning, struct error *err)
{
    const struct catalog_placement *placement = &planning->from->placement;
    if (placement->state != CATALOG_PLACEMENT_READY)
        return error_set(err, ERROR_STATE, "the placement is %s, not ready",
                         catalog_placement_state_name(placement->state));
    if (planning->tenant.status != CATALOG_TENANT_ACTIVE)
        return error_set(err, ERROR_STATE, "tenant \"%s\" is %s, not active", planning->tenant.slug,
                         catalog_tenant_status_name(planning->tenant.status));
    return 0;
}

static int find_target(const struct job_context *context, struct catalog *catalog,
                       struct arena *arena, const struct move_spec *spec, struct planning *planning,
                       struct error *err)
{
    const struct catalog_placement *placement = &planning->from->placement;
    const char *isolation = spec->isolation ? spec->isolation : placement->isolation;
    int64_t cluster_id = placement->cluster_id, generation = 0;
    int r = check_isolation(&planning->from->site.service, isolation, err);
    if (r == 0 && spec->cluster) {
        struct catalog_cluster cluster;
        r = catalog_cluster_find(catalog, arena, spec->cluster, &cluster, err);
        cluster_id = r == 0 ? cluster.id : 0;
    }
    if (r < 0)
        return r;
    if (cluster_id == placement->cluster_id && strcmp(isolation, placement->isolation) == 0)
        return error_set(err, ERROR_STATE,
                         "tenant \"%s\" is in isolation %s on cluster \"%s\" already",
                         placement->tenant, isolation, placement->cluster);
    r = catalog_move_generation(catalog, placement->id, &generation, err);
    if (r == 0)
        r = place_design(context, catalog, arena, placement, isolation, cluster_id, generation,
                         &planning->where, err);
    if (r < 0)
        return r;
    struct catalog_placement *there = arena_zalloc(arena, sizeof(*there));
    *there = *placement;
    there->isolation = isolation;
    there->cluster_id = cluster_id;
    there->generation = generation;
    there->enforcement = planning->where.enforcement;
    return place_load_at(context, catalog, arena, there, &planning->to, err);
}

int planning_begin(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                   const struct move_spec *spec, struct planning *ret, struct error *err)
{
    struct catalog_placement placement;
    ret->arena = arena;
    ret->problems = arena_zalloc(arena, PROBLEMS_MAX * sizeof(*ret->problems));
    int r = catalog_tenant_find(catalog, arena, spec->tenant, &ret->tenant, err);
    if (r == 0)
        r = catalog_placement_find(catalog, arena, spec->tenant, spec->service, &placement, err);
    if (r == 0)
        r = place_load(context, catalog, arena, placement.id, &ret->from, err);
    if (r == 0)
        r = check_states(ret, err);
    if (r == 0)
        r = check_no_move(catalog, arena, &placement, err);
    if (r == 0)
        r = find_target(context, catalog, arena, spec, ret, err);
    if (r == 0)
        r = migrate_check_folder(ret->from->site.service.migrations_dir, arena, &ret->set, err);
    return r;
}

/* ---- both ends ---- */

/* Where a new place will be made from, or is: a database that is there already; NULL: none is. */
static const char *database_like(const struct planning *planning)
{
    const struct place *to = planning->to;
    struct isolation_target base;
    if (isolation_base_target(planning->arena, &to->site.isolation, to->isolated.isolation, &base))
        return base.database;
    return to->isolated.database;
}

static int look_at_version(struct planning *planning, struct pg_connection *source,
                           struct error *err)
{
    struct ledger_plan plan;
    const struct catalog_placement *placement = &planning->from->placement;
    int r = ledger_read(source, planning->from->isolated.schema, &planning->set, planning->arena,
                        &plan, err);
    if (r == 0 && plan.count > 0)
        add_problem(planning,
                    arena_printf(planning->arena, "it is at version %s, and the newest is %s",
                                 plan.from, plan.to),
                    arena_printf(planning->arena, "reeve migrate %s", placement->service));
    return r;
}

static int look_at_large_objects(struct planning *planning, struct pg_connection *source,
                                 struct error *err)
{
    const char *const roles[] = {planning->from->isolated.role, planning->from->isolated.ro_role};
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(source, sql_move_large_objects, 2, roles, &result, err);
    if (r == 0 && pg_i64(result, 0, 0) > 0)
        add_problem(planning,
                    arena_printf(planning->arena, "it has %lld large objects, which are not moved",
                                 (long long)pg_i64(result, 0, 0)),
                    "keep them in a column of type bytea");
    return r;
}

/* Of rows in shared tables only a look at each of them tells how much they are. */
static int measure(struct planning *planning, struct pg_connection *source,
                   const struct isolation_table *table, struct error *err)
{
    planning->tables++;
    if (!isolation_shares_tables(planning->from->isolated.isolation)) {
        planning->bytes += table->bytes;
        planning->rows += table->rows;
        return 0;
    }
    const char *sql = arena_printf(
        planning->arena,
        "SELECT count(*), coalesce(sum(pg_catalog.pg_column_size(t.*)), 0) FROM ONLY %s t"
        " WHERE tenant_id = %lld",
        pg_qualified(planning->arena, planning->from->isolated.schema, table->name),
        (long long)planning->from->isolated.tenant_id);
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(source, sql, 0, NULL, &result, err);
    if (r < 0)
        return r;
    planning->rows += pg_i64(result, 0, 0);
    planning->bytes += pg_i64(result, 0, 1);
    return 0;
}

static int look_at_source(struct planning *planning, struct pg_connection *source,
                          struct error *err)
{
    struct isolation_table *tables;
    size_t count;
    int r = look_at_version(planning, source, err);
    if (r == 0)
        r = look_at_large_objects(planning, source, err);
    if (r == 0)
        r = isolation_contents_open(source, &planning->from->site.isolation,
                                    &planning->from->isolated, err);
    if (r == -ERROR_DENIED) {
        add_problem(planning, arena_strdup(planning->arena, err->message),
                    arena_strdup(planning->arena, err->hint));
        error_clear(err);
        return 0;
    }
    if (r == 0)
        r = isolation_contents_tables(source, &planning->from->isolated, planning->arena, &tables,
                                      &count, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = measure(planning, source, &tables[i], err);
    return r;
}

static int compare_extensions(struct planning *planning, struct pg_connection *target,
                              const char *names, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *missing = NULL;
    int r = pg_query(target, sql_move_extensions_missing, 1, &names, &missing, err);
    for (size_t i = 0; r == 0 && i < pg_rows(missing); i++)
        add_problem(planning,
                    arena_printf(planning->arena,
                                 "extension \"%s\" cannot be had on cluster \"%s\"",
                                 pg_text(missing, i, 0), planning->to->site.cluster.name),
                    "install its package there");
    return r;
}

static int compare_databases(struct planning *planning, struct pg_connection *source,
                             struct pg_connection *target, struct error *err)
{
    static const char *const what[] = {"encoding", "collation", "character classification"};
    _cleanup_pg_result_ struct pg_result *here = NULL;
    _cleanup_pg_result_ struct pg_result *there = NULL;
    int r = pg_query(source, sql_move_database_facts, 0, NULL, &here, err);
    if (r == 0)
        r = pg_query(target, sql_move_database_facts, 0, NULL, &there, err);
    for (size_t i = 0; r == 0 && i < array_size(what); i++) {
        if (strcmp(pg_text(here, 0, i), pg_text(there, 0, i)) != 0)
            add_problem(planning,
                        arena_printf(planning->arena, "the %s is %s here and %s there", what[i],
                                     pg_text(here, 0, i), pg_text(there, 0, i)),
                        NULL);
    }
    return r < 0 ? r : compare_extensions(planning, target, pg_text(here, 0, 3), err);
}

/* The maintenance database stands for one that is not there yet: both come from template0 or 1. */
static int connect_to_target(struct planning *planning, struct pg_connection **ret,
                             struct error *err)
{
    int r = server_connect(&planning->to->server, database_like(planning), ret, err);
    if (r != -ERROR_NOT_FOUND)
        return r;
    error_clear(err);
    return server_connect(&planning->to->server, NULL, ret, err);
}

int planning_look(struct planning *planning, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *source = NULL;
    _cleanup_pg_connection_ struct pg_connection *target = NULL;
    int r =
        server_connect(&planning->from->server, planning->from->isolated.database, &source, err);
    if (r == 0)
        r = connect_to_target(planning, &target, err);
    if (r == 0)
        r = compare_databases(planning, source, target, err);
    if (r == 0)
        r = look_at_source(planning, source, err);
    if (r < 0)
        return r;
    r = isolation_contents_check(target, err);
    if (r == -ERROR_DENIED) {
        add_problem(planning, arena_strdup(planning->arena, err->message),
                    arena_strdup(planning->arena, err->hint));
        error_clear(err);
        r = 0;
    }
    return r;
}

int64_t planning_pause_us(const struct planning *planning)
{
    return TIME_S + planning->bytes * TIME_S / BYTES_A_SECOND;
}

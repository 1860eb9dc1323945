/*
 * plan.c - what a move would do, and what it would fail for, before anything is done.
 */
#include "catalog/proxy.h"
#include "catalog/tenant.h"
#include "migrate/ledger.h"
#include "move/internal.h"
#include "move/plan.h"
#include "pg/quote.h"
#include "sql/statements.h"

static const int64_t usual_pause_us =
    200 * TIME_MS; /* of a cutover: it does not grow with the data */

enum {
    PROBLEMS_MAX = 32,
    BYTES_A_SECOND = 20 << 20 /* that a copy takes at least, with its indexes */
};

void planning_add_problem(struct planning *planning, const char *what, const char *remedy)
{
    if (planning->problem_count < PROBLEMS_MAX)
        planning->problems[planning->problem_count++] = (struct move_problem){what, remedy};
}

void planning_add_remark(struct planning *planning, const char *what, const char *remedy)
{
    if (planning->remark_count < PROBLEMS_MAX)
        planning->remarks[planning->remark_count++] = (struct move_problem){what, remedy};
}

/* ---- the request ---- */

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

/* The end of a move would be the end of what somebody else has told it to wait for. */
int planning_check_held(const struct catalog_placement *placement, struct error *err)
{
    if (placement->held_until_unix_us == 0)
        return 0;
    error_set(err, ERROR_STATE, "tenant \"%s\" is held", placement->tenant);
    error_hint(err, "`reeve release %s` lets it go on", placement->tenant);
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
    return planning_check_held(placement, err);
}

/* They hold the tenant too, and must say that they do. Online one may come back meanwhile. */
static int look_at_proxies(struct planning *planning, struct catalog *catalog, bool offline,
                           struct error *err)
{
    struct catalog_proxy *proxies = NULL;
    size_t count = 0;
    int r = catalog_proxy_list(catalog, planning->arena, &proxies, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *what = arena_printf(
            planning->arena, "the server %s is gone, or cut off from the control database%s",
            proxies[i].name,
            offline ? "" : ": until it is back, or for an hour, nothing is flipped");
        const char *remedy = "start it again; with --ignore-unreachable it is not waited for";
        if (!proxies[i].connected && offline)
            planning_add_problem(planning, what, remedy);
        else if (!proxies[i].connected)
            planning_add_remark(planning, what, remedy);
    }
    return r;
}

/* The same place again? Rows and schemas are told apart by their database, too. */
static int check_elsewhere(const struct catalog_placement *placement, const char *isolation,
                           int64_t cluster_id, const char *database, struct error *err)
{
    if (cluster_id != placement->cluster_id || strcmp(isolation, placement->isolation) != 0)
        return 0;
    if (!database)
        return error_set(err, ERROR_STATE,
                         "tenant \"%s\" is in isolation %s on cluster \"%s\" already",
                         placement->tenant, isolation, placement->cluster);
    if (strcmp(database, placement->database) != 0)
        return 0;
    return error_set(
        err, ERROR_STATE,
        "tenant \"%s\" is in isolation %s in database \"%s\" on cluster \"%s\" already",
        placement->tenant, isolation, database, placement->cluster);
}

/* A named database needs an isolation that has one: which, the tenant's own may not say. */
static int check_named(const struct move_spec *spec, const struct catalog_placement *placement,
                       struct error *err)
{
    const struct isolation *mode = isolation_find(placement->isolation);
    if (!spec->database || spec->isolation || !mode || isolation_shares_database(mode))
        return 0;
    error_set(err, ERROR_USAGE, "tenant \"%s\" has a database of its own: --to is needed",
              placement->tenant);
    error_hint(err, "--to row and --to schema are in shared databases");
    return -ERROR_USAGE;
}

/* What was not asked for stays as it is, where it can. */
static const char *stays_in(const struct catalog_placement *placement, const char *isolation,
                            int64_t cluster_id)
{
    const struct isolation *before = isolation_find(placement->isolation);
    const struct isolation *after = isolation_find(isolation);
    bool stays = cluster_id == placement->cluster_id && before && after &&
                 isolation_shares_database(before) && isolation_shares_database(after);
    return stays ? placement->database : NULL;
}

static int find_target(const struct job_context *context, struct catalog *catalog,
                       struct arena *arena, const struct move_spec *spec, struct planning *planning,
                       struct error *err)
{
    const struct catalog_placement *placement = &planning->from->placement;
    const char *isolation = spec->isolation ? spec->isolation : placement->isolation;
    int64_t cluster_id = placement->cluster_id, generation = 0;
    int r = check_named(spec, placement, err);
    if (r == 0)
        r = place_check_isolation(&planning->from->site.service, isolation, err);
    if (r == 0 && spec->cluster) {
        struct catalog_cluster cluster;
        r = catalog_cluster_find(catalog, arena, spec->cluster, &cluster, err);
        cluster_id = r == 0 ? cluster.id : 0;
    }
    const char *database =
        spec->database ? spec->database : stays_in(placement, isolation, cluster_id);
    if (r == 0)
        r = check_elsewhere(placement, isolation, cluster_id, spec->database, err);
    if (r == 0)
        r = place_check_database(context, catalog, arena, &planning->from->site.service, isolation,
                                 cluster_id, spec->database, err);
    if (r == 0)
        r = catalog_move_generation(catalog, placement->id, &generation, err);
    if (r == 0)
        r = place_design(context, catalog, arena, placement, isolation, cluster_id, database,
                         generation, &planning->where, err);
    if (r < 0)
        return r;
    struct catalog_placement *there = arena_zalloc(arena, sizeof(*there));
    *there = *placement;
    there->isolation = isolation;
    there->cluster_id = cluster_id;
    there->database = planning->where.database;
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
    ret->remarks = arena_zalloc(arena, PROBLEMS_MAX * sizeof(*ret->remarks));
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
    return r < 0 || spec->ignore_unreachable ? r
                                             : look_at_proxies(ret, catalog, spec->offline, err);
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
        planning_add_problem(planning,
                             arena_printf(planning->arena,
                                          "it is at version %s, and the newest is %s", plan.from,
                                          plan.to),
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
        planning_add_problem(planning,
                             arena_printf(planning->arena,
                                          "it has %lld large objects, which are not moved",
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

/* What a statement finds: (what, remedy). */
static int add_problems(struct planning *planning, struct pg_connection *source, const char *sql,
                        const char *parameter, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(source, sql, parameter ? 1 : 0, &parameter, &result, err);
    for (size_t i = 0; r == 0 && i < pg_rows(result); i++)
        planning_add_problem(planning, pg_text_copy(result, i, 0, planning->arena),
                             pg_text_copy(result, i, 1, planning->arena));
    return r;
}

static int look_at_prepared(struct planning *planning, struct pg_connection *source,
                            struct error *err)
{
    const struct isolation_placement *from = &planning->from->isolated;
    const char *const parameters[] = {from->database, from->role, from->ro_role};
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(source, sql_move_prepared_transactions, 3, parameters, &result, err);
    if (r == 0 && pg_i64(result, 0, 0) > 0)
        planning_add_problem(planning, "it has prepared transactions",
                             "COMMIT PREPARED or ROLLBACK PREPARED");
    return r;
}

/* Two entries of the catalog may be one server; shared tables have one name there. */
static int compare_servers(struct planning *planning, struct pg_connection *source,
                           struct pg_connection *target, struct error *err)
{
    const struct place *from = planning->from, *to = planning->to;
    if (from->site.cluster.id == to->site.cluster.id ||
        strcmp(from->isolated.database, to->isolated.database) != 0)
        return 0;
    _cleanup_pg_result_ struct pg_result *here = NULL;
    _cleanup_pg_result_ struct pg_result *there = NULL;
    int r = pg_query(source, sql_provision_system_identifier, 0, NULL, &here, err);
    if (r == 0)
        r = pg_query(target, sql_provision_system_identifier, 0, NULL, &there, err);
    if (r == 0 && strcmp(pg_text(here, 0, 0), pg_text(there, 0, 0)) == 0)
        planning_add_problem(
            planning,
            arena_printf(planning->arena,
                         "clusters \"%s\" and \"%s\" are one server, and the new place "
                         "would be the old one",
                         from->site.cluster.name, to->site.cluster.name),
            NULL);
    return r;
}

/* Without the right that copying needs: it only reads. */
static int look_at_tables(struct planning *planning, struct error *err)
{
    const struct place *from = planning->from;
    _cleanup_pg_connection_ struct pg_connection *owner = NULL;
    struct isolation_table *tables;
    size_t count = 0;
    int r = migrate_open_owner(&from->site.login, from->isolated.database,
                               from->site.isolation.owner_role, "reeve move", &owner, err);
    if (r == 0)
        r = pg_execute_script(owner, "SET lock_timeout = '5s'; SET statement_timeout = '10min'",
                              err);
    if (r == 0)
        r = isolation_contents_tables(owner, &from->isolated, planning->arena, &tables, &count,
                                      err);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = measure(planning, owner, &tables[i], err);
    return r;
}

static int check_rights(struct planning *planning, struct pg_connection *admin, struct error *err)
{
    struct error why = {0};
    int r = isolation_contents_check(admin, &why);
    if (r == -ERROR_DENIED) {
        planning_add_problem(planning, arena_strdup(planning->arena, why.message),
                             arena_strdup(planning->arena, why.hint));
        return 0;
    }
    if (r < 0 && err)
        *err = why;
    return r;
}

static int look_at_source(struct planning *planning, struct pg_connection *source,
                          struct error *err)
{
    int r = look_at_version(planning, source, err);
    if (r == 0)
        r = look_at_large_objects(planning, source, err);
    if (r == 0)
        r = look_at_prepared(planning, source, err);
    if (r == 0)
        r = add_problems(planning, source, sql_move_table_problems, planning->from->isolated.schema,
                         err);
    if (r == 0)
        r = check_rights(planning, source, err);
    return r < 0 ? r : look_at_tables(planning, err);
}

/* Another version may do as well, or have another binary format: who knows the extension knows. */
static int compare_extensions(struct planning *planning, struct pg_connection *target,
                              const char *names, const char *versions, struct error *err)
{
    const char *const parameters[] = {names, versions, database_like(planning)};
    _cleanup_pg_result_ struct pg_result *other = NULL;
    int r = pg_query(target, sql_move_extensions_compare, 3, parameters, &other, err);
    for (size_t i = 0; r == 0 && i < pg_rows(other); i++) {
        const char *name = pg_text(other, i, 0), *there = pg_text(other, i, 2);
        if (there)
            planning_add_remark(planning,
                                arena_printf(planning->arena,
                                             "extension \"%s\" is version %s here and %s there",
                                             name, pg_text(other, i, 1), there),
                                "ALTER EXTENSION ... UPDATE, where it is older");
        else
            planning_add_problem(planning,
                                 arena_printf(planning->arena,
                                              "extension \"%s\" cannot be had on cluster \"%s\"",
                                              name, planning->to->site.cluster.name),
                                 "install its package there");
    }
    return r;
}

/* Behind what compare_databases takes for problems. */
static void compare_versions(struct planning *planning, const struct pg_result *here,
                             const struct pg_result *there)
{
    const char *from = pg_text(here, 0, 7), *to = pg_text(there, 0, 7);
    if (strcmp(from, to) != 0)
        planning_add_remark(planning,
                            arena_printf(planning->arena,
                                         "the collation's version is %s here and %s there: text "
                                         "may be sorted otherwise",
                                         from, to),
                            NULL);
    if (pg_i64(there, 0, 8) < pg_i64(here, 0, 8))
        planning_add_remark(planning,
                            arena_printf(planning->arena,
                                         "PostgreSQL is version %s here, and %s there, which is "
                                         "older",
                                         pg_text(here, 0, 8), pg_text(there, 0, 8)),
                            NULL);
}

static int compare_databases(struct planning *planning, struct pg_connection *source,
                             struct pg_connection *target, struct error *err)
{
    static const char *const what[] = {"encoding", "collation", "character classification",
                                       "locale provider", "provider's locale"};
    _cleanup_pg_result_ struct pg_result *here = NULL;
    _cleanup_pg_result_ struct pg_result *there = NULL;
    int r = pg_query(source, sql_move_database_facts, 0, NULL, &here, err);
    if (r == 0)
        r = pg_query(target, sql_move_database_facts, 0, NULL, &there, err);
    for (size_t i = 0; r == 0 && i < array_size(what); i++) {
        if (strcmp(pg_text(here, 0, i), pg_text(there, 0, i)) != 0)
            planning_add_problem(planning,
                                 arena_printf(planning->arena, "the %s is %s here and %s there",
                                              what[i], pg_text(here, 0, i), pg_text(there, 0, i)),
                                 NULL);
    }
    if (r < 0)
        return r;
    compare_versions(planning, here, there);
    return compare_extensions(planning, target, pg_text(here, 0, 5), pg_text(here, 0, 6), err);
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

int planning_look(struct planning *planning, const struct move_spec *spec, struct error *err)
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
        r = compare_servers(planning, source, target, err);
    if (r == 0 && !spec->offline)
        r = add_problems(planning, source, sql_move_key_problems, planning->from->isolated.schema,
                         err);
    if (r == 0)
        r = look_at_source(planning, source, err);
    if (r == 0)
        r = planning_look_at_servers(planning, spec, source, target, err);
    return r < 0 ? r : check_rights(planning, target, err);
}

int64_t planning_copy_us(const struct planning *planning, const struct move_spec *spec)
{
    int64_t rate = spec->rate > 0 && spec->rate < BYTES_A_SECOND ? spec->rate : BYTES_A_SECOND;
    return TIME_S + (int64_t)((double)planning->bytes / (double)rate * TIME_S);
}

int64_t planning_pause_us(const struct planning *planning, const struct move_spec *spec)
{
    return spec->offline ? planning_copy_us(planning, spec) : usual_pause_us;
}

/*
 * run.c - running the checks: what their queries are given, and what their rows say.
 */
#include <jansson.h>

#include "audit/check.h"
#include "pg/connection.h"
#include "sql/statements.h"

/* One database, or a cluster, with what is known of it. `values` are the queries' parameters, made
 * when they are wanted first. */
struct audit_run {
    struct pg_connection *connection;
    struct arena arena;                    /* until the end of the run */
    const struct audit_facts *facts;       /* NULL in a migration */
    const struct audit_database *database; /* NULL for a cluster */
    const struct isolation_target *targets;
    size_t target_count;
    bool in_migration;
    struct audit_report *report;
    const char *values[AUDIT_VALUES];
};

static void run_end(struct audit_run *run)
{
    arena_reset(&run->arena);
}
#define _cleanup_run_ _cleanup_(run_end)

/* ---- values ---- */

/* shape_policies.sql sets the first form; the second is the same without a subquery. */
static const char *const tenant_policy[] = {
    "(tenant_id = ( SELECT reeve.tenant_id() AS tenant_id))",
    "(tenant_id = reeve.tenant_id())",
};
static const char owner_policy[] =
    "COALESCE((tenant_id = (NULLIF(current_setting('reeve_owner.tenant'::text, true), "
    "''::text))::bigint), true)";

static json_t *target_to_json(const struct isolation_target *target)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:I}", "schema", target->schema, "owner",
                     target->owner_role, "role", target->grant_role ? target->grant_role : "",
                     "ro_role", target->grant_ro_role ? target->grant_ro_role : "", "shaped",
                     target->shaped, "row_security", target->row_security, "tenant",
                     (json_int_t)target->tenant_id);
}

static const char *targets_to_json(struct audit_run *run)
{
    json_t *list = json_array();
    for (size_t i = 0; i < run->target_count; i++)
        json_array_append_new(list, target_to_json(&run->targets[i]));
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    const char *copy = arena_strdup(&run->arena, text ? text : "[]");
    free(text);
    return copy;
}

static const char *target_schemas(struct audit_run *run)
{
    const char **schemas =
        arena_zalloc(&run->arena, (run->target_count + 1) * sizeof(*schemas)); /* NOLINT */
    for (size_t i = 0; i < run->target_count; i++)
        schemas[i] = run->targets[i].schema;
    return pg_from_text_array(&run->arena, schemas, run->target_count);
}

static const struct audit_names *database_names(const struct audit_database *database,
                                                enum audit_value value)
{
    const struct audit_names *const names[AUDIT_VALUES] = {
        [VALUE_SCHEMAS] = &database->schemas,
        [VALUE_KNOWN_SCHEMAS] = &database->known_schemas,
        [VALUE_MISSING_SCHEMAS] = &database->missing_schemas,
        [VALUE_ROLES] = &database->roles,
        [VALUE_MAPPED_ROLES] = &database->mapped_roles,
        [VALUE_MAPPED_TENANTS] = &database->mapped_tenants,
        [VALUE_ROW_TENANTS] = &database->row_tenants,
        [VALUE_POOL_ROLES] = &database->pool_roles,
    };
    return names[value];
}

static const struct audit_names *cluster_names(const struct audit_facts *facts,
                                               enum audit_value value)
{
    const struct audit_names *const names[AUDIT_VALUES] = {
        [VALUE_DATABASES] = &facts->database_names,
        [VALUE_EXPECTED_DATABASES] = &facts->expected_databases,
        [VALUE_OWNER_ROLES] = &facts->owner_roles,
        [VALUE_GROUP_ROLES] = &facts->group_roles,
        [VALUE_SESSION_ROLES] = &facts->session_roles,
        [VALUE_KNOWN_ROLES] = &facts->known_roles,
        [VALUE_EXPECTED_ROLES] = &facts->expected_roles,
        [VALUE_SUSPENDED_ROLES] = &facts->suspended_roles,
        [VALUE_ENTERED_ROLES] = &facts->entered_roles,
        [VALUE_MEMBERS] = &facts->members,
        [VALUE_MEMBER_OF] = &facts->member_of,
        [VALUE_CONNECT_ROLES] = &facts->connect_roles,
        [VALUE_CONNECT_DATABASES] = &facts->connect_databases,
        [VALUE_STREAMS] = &facts->streams,
    };
    return names[value];
}

static const char *make_value(struct audit_run *run, enum audit_value value)
{
    const struct audit_names *names = run->database ? database_names(run->database, value) : NULL;
    if (!names && run->facts)
        names = cluster_names(run->facts, value);
    if (names)
        return pg_from_text_array(&run->arena, names->items, names->count);
    if (value == VALUE_TARGETS)
        return targets_to_json(run);
    if (value == VALUE_TARGET_SCHEMAS)
        return target_schemas(run);
    if (value == VALUE_TENANT_POLICY)
        return pg_from_text_array(&run->arena, tenant_policy, array_size(tenant_policy));
    if (value == VALUE_OWNER_POLICY)
        return owner_policy;
    if (value == VALUE_FRESH)
        return pg_from_bool(run->in_migration);
    return NULL; /* a defect: the check fails, and says so */
}

static const char *get_value(struct audit_run *run, enum audit_value value)
{
    if (!run->values[value])
        run->values[value] = make_value(run, value);
    return run->values[value];
}

/* Looks up once what stands in the targets' schemas. Columns of target_objects.sql. */
static int find_objects(struct audit_run *run, struct error *err)
{
    static const enum audit_value columns[] = {VALUE_RELATIONS, VALUE_ROW_TABLES, VALUE_OWN_TABLES,
                                               VALUE_SHARED_TABLES, VALUE_ROUTINES};
    const char *targets = get_value(run, VALUE_TARGETS);
    _cleanup_pg_result_ struct pg_result *row = NULL;
    int r = pg_query(run->connection, sql_audit_target_objects, 1, &targets, &row, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < array_size(columns); i++)
        run->values[columns[i]] = pg_text_copy(row, 0, i, &run->arena);
    return 0;
}

/* ---- one check ---- */

static void add_row(struct audit_run *run, const struct audit_check *check,
                    const struct pg_result *rows, size_t row)
{
    enum audit_severity severity = check->severity;
    const char *own = pg_text(rows, row, COLUMN_SEVERITY);
    if (own)
        (void)audit_severity_parse(own, &severity, NULL);
    const struct audit_finding finding = {
        .severity = severity,
        .check = check,
        .database = run->database ? run->database->name : NULL,
        .object = pg_text(rows, row, COLUMN_OBJECT),
        .message = pg_text(rows, row, COLUMN_MESSAGE),
        .remedy = pg_text(rows, row, COLUMN_REMEDY),
        .subject = pg_text(rows, row, COLUMN_SUBJECT),
    };
    audit_report_add(run->report, &finding);
}

static int query_findings(struct audit_run *run, const struct audit_check *check, const char *sql,
                          int count, const char *const *parameters, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *rows = NULL;
    int r = pg_query(run->connection, sql, count, parameters, &rows, err);
    for (size_t i = 0; r == 0 && i < pg_rows(rows); i++)
        add_row(run, check, rows, i);
    return r;
}

static int run_generated(struct audit_run *run, const struct audit_check *check, int count,
                         const char *const *parameters, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *queries = NULL;
    int r = pg_query(run->connection, check->sql, count, parameters, &queries, err);
    for (size_t i = 0; r == 0 && i < pg_rows(queries); i++)
        r = query_findings(run, check, pg_text(queries, i, 0), 0, NULL, err);
    return r;
}

static int run_check(struct audit_run *run, const struct audit_check *check, struct error *err)
{
    const char *parameters[AUDIT_CHECK_VALUES];
    int count = 0;
    for (; count < AUDIT_CHECK_VALUES && check->values[count] != VALUE_NONE; count++)
        parameters[count] = get_value(run, check->values[count]);
    if (check->flags & GENERATES)
        return run_generated(run, check, count, parameters, err);
    return query_findings(run, check, check->sql, count, parameters, err);
}

/* ---- all of a scope ---- */

static bool is_wanted(const struct audit_run *run, const struct audit_check *check,
                      enum audit_scope scope)
{
    if (run->in_migration)
        return (check->flags & IN_MIGRATION) &&
               (!(check->flags & ROW_ONLY) || run->targets->row_security);
    return check->scope == scope && (!(check->flags & EVERYTHING) || run->facts->everything);
}

/* Of the connection itself: nothing more can be asked. The rest is about one check. */
static bool is_over(int r)
{
    return r == -ERROR_CONNECTION || r == -ERROR_CANCELLED || r == -ERROR_TIMEOUT;
}

static int run_scope(struct audit_run *run, enum audit_scope scope, struct error *err)
{
    struct error own;
    for (size_t i = 0; audit_check_at(i); i++) {
        const struct audit_check *check = audit_check_at(i);
        if (!is_wanted(run, check, scope))
            continue;
        int r = run_check(run, check, &own);
        if (r < 0 && (run->in_migration || is_over(r))) {
            if (err)
                *err = own;
            error_prefix(err, "audit, check %s", check->code);
            return r;
        }
        if (r < 0)
            audit_report_failure(run->report, run->database ? run->database->name : NULL,
                                 arena_printf(&run->arena, "check %s", check->code), &own);
    }
    return 0;
}

int audit_cluster(struct pg_connection *maintenance, const struct audit_facts *facts,
                  struct audit_report *report, struct error *err)
{
    _cleanup_run_ struct audit_run run = {
        .connection = maintenance, .facts = facts, .report = report};
    arena_init(&run.arena, 0);
    int r = run_scope(&run, AUDIT_OF_CLUSTER, err);
    if (r == 0)
        audit_holes(pg_server_version(maintenance), report);
    return r;
}

int audit_database(struct pg_connection *data, const struct audit_facts *facts,
                   const struct audit_database *database, struct audit_report *report,
                   struct error *err)
{
    _cleanup_run_ struct audit_run run = {.connection = data,
                                          .facts = facts,
                                          .database = database,
                                          .targets = database->targets,
                                          .target_count = database->target_count,
                                          .report = report};
    arena_init(&run.arena, 0);
    int r = find_objects(&run, err);
    if (r == 0)
        r = run_scope(&run, AUDIT_OF_TARGETS, err);
    if (r == 0)
        r = run_scope(&run, AUDIT_OF_DATABASE, err);
    return r;
}

int audit_target(struct pg_connection *connection, const struct isolation_target *target,
                 struct audit_report *report, struct error *err)
{
    _cleanup_run_ struct audit_run run = {.connection = connection,
                                          .targets = target,
                                          .target_count = 1,
                                          .in_migration = true,
                                          .report = report};
    arena_init(&run.arena, 0);
    int r =
        pg_execute(connection, "SET LOCAL search_path TO pg_catalog, pg_temp", 0, NULL, NULL, err);
    if (r == 0)
        r = find_objects(&run, err);
    if (r == 0)
        r = run_scope(&run, AUDIT_OF_MIGRATION, err);
    return r;
}

#include "isolation/shape.h"

#include "base/buffer.h"
#include "sql/statements.h"

/* What a rule's query wants as $2; $1 is the schema. */
enum parameter {
    NO_PARAMETER,
    OWNER_ROLE,
    TENANT_ID,
    TENANT_LEADS,   /* whether the tenant column comes first in keys and indexes, or last */
    TENANT_DEFAULT, /* SQL of the tenant column's default */
    TENANT_CHECK,   /* SQL of the check that keeps other tenants' rows out */
};

enum { COLUMN_REPORT, COLUMN_DDL, COLUMN_TABLE }; /* of a rule's query */

struct rule {
    const char *name;
    const char *sql;
    enum parameter parameter;
    bool row_security_only;
};

/* Foreign keys are taken off before the first group and put back between the two. */
static const struct rule keys_and_indexes[] = {
    {"columns", sql_isolation_shape_columns, TENANT_ID, false},
    {"keys", sql_isolation_shape_keys, TENANT_LEADS, false},
};

static const struct rule values_and_views[] = {
    {"defaults", sql_isolation_shape_defaults, TENANT_DEFAULT, false},
    {"checks", sql_isolation_shape_checks, TENANT_CHECK, false},
    {"policies", sql_isolation_shape_policies, OWNER_ROLE, true},
    {"views", sql_isolation_shape_views, NO_PARAMETER, false},
};

struct shaping {
    struct pg_connection *owner;
    const struct isolation_target *target;
    struct arena *arena;
    struct isolation_report *report;
};

static const char *parameter_value(const struct shaping *shaping, enum parameter parameter)
{
    const struct isolation_target *target = shaping->target;
    long long tenant = (long long)target->tenant_id;
    switch (parameter) {
    case OWNER_ROLE:
        return target->owner_role;
    case TENANT_ID:
        return arena_printf(shaping->arena, "%lld", tenant);
    case TENANT_LEADS:
        return target->row_security ? "true" : "false";
    case TENANT_DEFAULT:
        if (target->row_security)
            return "reeve.tenant_id()";
        return tenant ? arena_printf(shaping->arena, "'%lld'::bigint", tenant) : "";
    case TENANT_CHECK:
        return tenant ? arena_printf(shaping->arena, "CHECK ((tenant_id = '%lld'::bigint))", tenant)
                      : "";
    case NO_PARAMETER:
        break;
    }
    return NULL;
}

static int query(const struct shaping *shaping, const char *sql, enum parameter parameter,
                 struct pg_result **ret, struct error *err)
{
    const char *const parameters[] = {shaping->target->schema, parameter_value(shaping, parameter)};
    return pg_query(shaping->owner, sql, parameter == NO_PARAMETER ? 1 : 2, parameters, ret, err);
}

/* What cannot be brought into shape; the first is the error, the others its detail. */
static int refuse(const struct shaping *shaping, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *refused = NULL;
    int r = query(shaping, sql_isolation_shape_refusals, OWNER_ROLE, &refused, err);
    if (r < 0 || pg_rows(refused) == 0)
        return r;
    r = error_set(err, ERROR_MIGRATION, "%s", pg_text(refused, 0, 0));
    error_hint(err, "%s", pg_text(refused, 0, 1));
    _cleanup_buffer_ struct buffer others = BUFFER_INIT(ERROR_TEXT_MAX);
    for (size_t i = 1; i < pg_rows(refused); i++)
        buffer_printf(&others, "%s%s", i > 1 ? "; " : "also: ", pg_text(refused, i, 0));
    if (others.length > 0)
        error_detail(err, "%s", buffer_string(&others));
    return r;
}

/* The server's own message says what failed; this says on what, and what to do about the usual. */
static int explain(int r, const char *report, const char *table, struct error *err)
{
    if (r != -ERROR_SERVER || !err)
        return r;
    if (table && strcmp(err->sqlstate, "23502") == 0) {
        r = error_set(
            err, ERROR_MIGRATION,
            "table \"%s\" has rows that belong to no tenant: a migration may put rows only "
            "into shared reference tables",
            table);
        error_hint(err,
                   "COMMENT ON TABLE \"%s\" IS '@reeve:shared' makes it one; else let the "
                   "application insert the rows.",
                   table);
        return r;
    }
    error_prefix(err, "cannot shape: %s", report);
    err->code = -ERROR_MIGRATION;
    return -ERROR_MIGRATION;
}

static int apply_row(const struct shaping *shaping, const struct pg_result *rows, size_t row,
                     struct error *err)
{
    const char *report = pg_text(rows, row, COLUMN_REPORT);
    const char *ddl = pg_text(rows, row, COLUMN_DDL);
    if (!ddl) {
        int r = error_set(err, ERROR_MIGRATION, "cannot shape: %s", report);
        error_detail(err, "PostgreSQL shows its definition in a form that is not known.");
        return r;
    }
    if (ddl[0]) {
        int r = pg_execute_script(shaping->owner, ddl, err);
        if (r < 0)
            return explain(r, report, pg_text(rows, row, COLUMN_TABLE), err);
    }
    isolation_report_add(shaping->report, "%s", report);
    return 0;
}

static int apply_rules(const struct shaping *shaping, const struct rule *rules, size_t count,
                       struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (rules[i].row_security_only && !shaping->target->row_security)
            continue;
        _cleanup_pg_result_ struct pg_result *rows = NULL;
        int r = query(shaping, rules[i].sql, rules[i].parameter, &rows, err);
        for (size_t row = 0; r == 0 && row < pg_rows(rows); row++)
            r = apply_row(shaping, rows, row, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Columns of shape_foreign_keys.sql. */
enum { KEY_REPORT, KEY_DROP, KEY_ADD };

static int drop_foreign_keys(const struct shaping *shaping, const struct pg_result *keys,
                             struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < pg_rows(keys); i++)
        r = explain(pg_execute_script(shaping->owner, pg_text(keys, i, KEY_DROP), err),
                    pg_text(keys, i, KEY_REPORT), NULL, err);
    return r;
}

static int add_foreign_keys(const struct shaping *shaping, const struct pg_result *keys,
                            struct error *err)
{
    for (size_t i = 0; i < pg_rows(keys); i++) {
        const char *report = pg_text(keys, i, KEY_REPORT);
        int r = explain(pg_execute_script(shaping->owner, pg_text(keys, i, KEY_ADD), err), report,
                        NULL, err);
        if (r < 0)
            return r;
        isolation_report_add(shaping->report, "%s", report);
    }
    return 0;
}

static int shape(const struct shaping *shaping, const struct foreign_key *keys, size_t key_count,
                 struct error *err)
{
    int r = refuse(shaping, err);
    if (r < 0)
        return r;
    _cleanup_pg_result_ struct pg_result *present = NULL;
    r = query(shaping, sql_isolation_shape_foreign_keys, NO_PARAMETER, &present, err);
    if (r == 0)
        r = drop_foreign_keys(shaping, present, err);
    if (r == 0)
        r = apply_rules(shaping, keys_and_indexes, array_size(keys_and_indexes), err);
    if (r == 0)
        r = add_foreign_keys(shaping, present, err);
    for (size_t i = 0; r == 0 && i < key_count; i++)
        r = foreign_key_add(shaping->owner, shaping->target, shaping->arena, &keys[i],
                            shaping->report, err);
    if (r == 0)
        r = apply_rules(shaping, values_and_views, array_size(values_and_views), err);
    return r;
}

int shape_target(struct pg_connection *owner, const struct isolation_target *target,
                 const struct foreign_key *keys, size_t key_count, struct isolation_report *report,
                 struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    const struct shaping shaping = {owner, target, &arena, report};
    return shape(&shaping, keys, key_count, err);
}

int isolation_shape(struct pg_connection *owner, const struct isolation_target *target,
                    struct isolation_report *report, struct error *err)
{
    if (!target->shaped)
        return 0;
    return shape_target(owner, target, NULL, 0, report, err);
}

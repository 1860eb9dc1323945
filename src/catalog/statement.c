#include "base/str.h"
#include "catalog/internal.h"

/* ---- what the schema refuses ---- */

/* Constraints whose meaning the user is told; %s is the subject. `removed`: when the statement
 * removes what others refer to. Names as in sql/catalog/upgrade/. */
static const struct refusal {
    const char *constraint;
    enum error_code code;
    const char *before, *after; /* the subject stands between */
} refusals[] = {
    {"cluster_name_key", ERROR_EXISTS, "there is a ", " already"},
    {"service_name_key", ERROR_EXISTS, "there is a ", " already"},
    {"tenant_slug_key", ERROR_EXISTS, "there is a ", " already"},
    {"issuer_name_key", ERROR_EXISTS, "there is an ", " already"},
    {"issuer_issuer_key", ERROR_EXISTS, "", " has the same issuer and audience as another one"},
    {"placement_tenant_service_key", ERROR_EXISTS, "", ": the tenant has one for the service"},
    {"placement_role_key", ERROR_EXISTS, "", ": its role belongs to another placement there"},
    {"placement_ro_role_key", ERROR_EXISTS, "",
     ": its read-only role belongs to another placement there"},
    {"service_owner_role_key", ERROR_EXISTS, "", ": another service's owner has that role there"},
    {"service_database_name_key", ERROR_EXISTS, "", ": another service has that database there"},
    {"credential_jti_key", ERROR_EXISTS, "there is a ", " already"},
    {"service_allows_default", ERROR_INVALID, "", " does not allow its own default isolation"},
    {"placement_served_has_place", ERROR_STATE, "", " has no place yet"},
    {"placement_ro_has_password", ERROR_INVALID, "",
     ": a read-only role and its password go together"},
};

/* Foreign keys: what is missing when a row is made, or in the way when one is removed. */
static const struct reference {
    const char *constraint;
    const char *referred; /* "cluster" */
    const char *users;    /* "placements" */
} references[] = {
    {"placement_tenant_id_fkey", "tenant", "placements"},
    {"tenant_tag_tenant_fkey", "tenant", "tags"},
    {"placement_service_fkey", "service", "placements"},
    {"placement_cluster_fkey", "cluster", "placements"},
    {"move_cluster_fkey", "cluster", "places of moved tenants"},
    {"service_cluster_fkey", "cluster", "services"},
    {"service_owner_cluster_fkey", "cluster", "services' owners"},
    {"service_owner_service_id_fkey", "service", "owners"},
    {"service_database_cluster_fkey", "cluster", "services' databases"},
    {"service_database_service_id_fkey", "service", "databases"},
    {"credential_tenant_id_fkey", "tenant", "credentials"},
    {"credential_service_id_fkey", "service", "credentials"},
};

static int refuse_reference(const struct catalog_statement *statement, const char *constraint,
                            struct error *err)
{
    for (size_t i = 0; i < array_size(references); i++) {
        const struct reference *reference = &references[i];
        if (strcmp(reference->constraint, constraint) != 0)
            continue;
        if (statement->removes)
            return error_set(err, ERROR_STATE, "%s still has %s", statement->subject,
                             reference->users);
        return error_set(err, ERROR_NOT_FOUND, "%s: there is no such %s", statement->subject,
                         reference->referred);
    }
    return error_set(err, statement->removes ? ERROR_STATE : ERROR_NOT_FOUND,
                     "%s: refused by constraint %s", statement->subject, constraint);
}

static int refuse_constraint(const struct catalog_statement *statement, enum error_code otherwise,
                             const struct pg_failure *failure, struct error *err)
{
    for (size_t i = 0; i < array_size(refusals); i++)
        if (strcmp(refusals[i].constraint, failure->constraint) == 0)
            return error_set(err, refusals[i].code, "%s%s%s", refusals[i].before,
                             statement->subject, refusals[i].after);
    return error_set(err, otherwise, "%s: a value is not acceptable (%s)", statement->subject,
                     failure->constraint[0] ? failure->constraint : failure->column);
}

/* Only what names a rule: details show rows, and rows hold sealed secrets and verifiers. */
static int translate(struct catalog *catalog, const struct catalog_statement *statement, int r,
                     struct error *err)
{
    const struct pg_failure *failure = pg_last_failure(catalog->connection);
    if (r != -ERROR_SERVER)
        return r;
    error_detail(err, "%s", "");
    if (strcmp(err->sqlstate, "55000") == 0) { /* the rules of upgrade/0001.sql, in their words */
        err->code = -ERROR_STATE;
        return err->code;
    }
    if (strcmp(err->sqlstate, "22023") == 0) {
        err->code = -ERROR_INVALID;
        return err->code;
    }
    if (!statement->subject)
        return r;
    if (strcmp(err->sqlstate, "23503") == 0)
        return refuse_reference(statement, failure->constraint, err);
    if (strcmp(err->sqlstate, "23505") == 0)
        return refuse_constraint(statement, ERROR_EXISTS, failure, err);
    if (strcmp(err->sqlstate, "23514") == 0 || strcmp(err->sqlstate, "23502") == 0)
        return refuse_constraint(statement, ERROR_INVALID, failure, err);
    if (str_has_prefix(err->sqlstate, "22")) /* no JSON, no number, no UTF-8 ... */
        return error_set(err, ERROR_INVALID, "%s: a value is not acceptable", statement->subject);
    return r;
}

/* ---- statements ---- */

int catalog_read(struct catalog *catalog, const struct catalog_statement *statement,
                 struct pg_result **ret, struct error *err)
{
    struct error own; /* its SQLSTATE is needed, whether the caller wants it or not */
    if (!err)
        err = &own;
    int r = pg_query(catalog->connection, statement->sql, statement->count, statement->parameters,
                     ret, err);
    return translate(catalog, statement, r, err);
}

int catalog_write(struct catalog *catalog, const struct catalog_statement *statement,
                  int64_t *ret_affected, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = catalog_read(catalog, statement, &result, err);
    if (r == 0 && ret_affected)
        *ret_affected = pg_affected(result);
    return r;
}

int catalog_insert(struct catalog *catalog, const struct catalog_statement *statement,
                   int64_t *ret_id, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = catalog_read(catalog, statement, &result, err);
    if (r == 0 && ret_id)
        *ret_id = pg_i64(result, 0, 0);
    return r;
}

int catalog_change(struct catalog *catalog, const struct catalog_statement *statement,
                   struct error *err)
{
    int64_t affected = 0;
    int r = catalog_write(catalog, statement, &affected, err);
    if (r == 0 && affected == 0)
        return catalog_not_found(err, "%s", statement->subject);
    return r;
}

int catalog_not_found(struct error *err, const char *format, ...)
{
    char subject[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(subject, sizeof(subject), format, arguments);
    va_end(arguments);
    return error_set(err, ERROR_NOT_FOUND, "there is no %s", subject);
}

/* ---- parameters ---- */

const char *catalog_id(struct arena *arena, int64_t id)
{
    return id ? pg_from_i64(arena, id) : NULL;
}

int catalog_from_sealed(struct arena *arena, const struct catalog_sealed *sealed, size_t maximum,
                        const char **ret, struct error *err)
{
    if (sealed->length > maximum)
        return error_set(err, ERROR_INVALID,
                         "a secret is too long: sealed it has more than %zu bytes", maximum);
    *ret = sealed->length ? pg_from_bytes(arena, sealed->bytes, sealed->length) : NULL;
    return 0;
}

int catalog_sealed_copy(const struct pg_result *result, size_t row, size_t column,
                        struct arena *arena, struct catalog_sealed *ret, struct error *err)
{
    return pg_bytea_copy(result, row, column, arena, &ret->bytes, &ret->length, err);
}

/* ---- rows ---- */

int catalog_list(struct catalog *catalog, struct arena *arena,
                 const struct catalog_statement *statement, catalog_fill fill, size_t size,
                 void **ret, size_t *ret_count, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = catalog_read(catalog, statement, &result, err);
    if (r < 0)
        return r;
    size_t count = pg_rows(result);
    char *rows = arena_zalloc(arena, (count + 1) * size); /* never nothing, even without rows */
    for (size_t i = 0; r == 0 && i < count; i++)
        r = fill(result, i, arena, rows + i * size, err);
    if (r < 0)
        return r;
    *ret = rows;
    *ret_count = count;
    return 0;
}

int catalog_one(struct catalog *catalog, struct arena *arena,
                const struct catalog_statement *statement, catalog_fill fill, size_t size,
                void *ret, struct error *err)
{
    void *rows = NULL;
    size_t count = 0;
    int r = catalog_list(catalog, arena, statement, fill, size, &rows, &count, err);
    if (r < 0)
        return r;
    if (count == 0)
        return catalog_not_found(err, "%s", statement->subject);
    memcpy(ret, rows, size);
    return 0;
}

int catalog_name_index(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; name && i < count; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

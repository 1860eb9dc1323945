#include "catalog/status.h"

#include "base/str.h"
#include "catalog/internal.h"
#include "sql/statements.h"

static const char *tenant_status(int index)
{
    return catalog_tenant_status_name((enum catalog_tenant_status)index);
}

static const char *placement_state(int index)
{
    return catalog_placement_state_name((enum catalog_placement_state)index);
}

static const char *job_state(int index)
{
    return catalog_job_state_name((enum catalog_job_state)index);
}

static void add_isolation(struct catalog_status *status, const char *name, int64_t count)
{
    size_t at = status->isolation_count;
    if (at == CATALOG_MAX_ISOLATIONS ||
        !str_copy(status->isolations[at].isolation, sizeof(status->isolations[at].isolation), name))
        return;
    status->isolations[at].placements = count;
    status->isolation_count++;
}

/* One row: what is counted, of which state ("" for none), how many. */
static void add(struct catalog_status *status, const char *what, const char *state, int64_t count)
{
    const struct {
        const char *what;
        int64_t *one;                   /* one number, or */
        int64_t *each;                  /* one for each state */
        const char *(*state_name)(int); /* of each */
        int states;
    } figures[] = {
        {"route_version", &status->route_version, NULL, NULL, 0},
        {"clusters", &status->clusters, NULL, NULL, 0},
        {"services", &status->services, NULL, NULL, 0},
        {"issuers", &status->issuers, NULL, NULL, 0},
        {"tenant", NULL, status->tenants, tenant_status, CATALOG_TENANT_STATUSES},
        {"placement", NULL, status->placements, placement_state, CATALOG_PLACEMENT_STATES},
        {"job", NULL, status->jobs, job_state, CATALOG_JOB_STATES},
    };
    for (size_t i = 0; i < array_size(figures); i++) {
        if (strcmp(figures[i].what, what) != 0)
            continue;
        if (figures[i].one)
            *figures[i].one = count;
        for (int index = 0; index < figures[i].states; index++)
            if (strcmp(figures[i].state_name(index), state) == 0)
                figures[i].each[index] = count;
        return;
    }
    if (strcmp(what, "schema_version") == 0)
        status->schema_version = (int)count;
    else if (strcmp(what, "isolation") == 0)
        add_isolation(status, state, count);
}

int catalog_status_get(struct catalog *catalog, struct catalog_status *ret, struct error *err)
{
    const struct catalog_statement statement = {.sql = sql_catalog_status_select};
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = catalog_read(catalog, &statement, &result, err);
    if (r < 0)
        return r;
    *ret = (struct catalog_status){0};
    for (size_t i = 0; i < pg_rows(result); i++)
        add(ret, pg_text(result, i, 0), pg_text(result, i, 1), pg_i64(result, i, 2));
    return 0;
}

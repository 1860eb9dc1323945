#include "catalog/job.h"

#include "catalog/internal.h"
#include "sql/statements.h"

static const char *const states[] = {
    [CATALOG_JOB_QUEUED] = "queued",
    [CATALOG_JOB_RUNNING] = "running",
    [CATALOG_JOB_COMPENSATING] = "compensating",
    [CATALOG_JOB_DONE] = "done",
    [CATALOG_JOB_FAILED] = "failed",
};

const char *catalog_job_state_name(enum catalog_job_state state)
{
    return states[state];
}

bool catalog_job_state_over(enum catalog_job_state state)
{
    return state == CATALOG_JOB_DONE || state == CATALOG_JOB_FAILED;
}

static const char *describe(struct arena *arena, int64_t id)
{
    return arena_printf(arena, "job %lld", (long long)id);
}

int catalog_job_enqueue(struct catalog *catalog, const struct catalog_job *job, int64_t *ret_id,
                        struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_job_insert, job->kind, catalog_id(&arena, job->placement_id),
        catalog_id(&arena, job->tenant_id), catalog_id(&arena, job->service_id), job->arguments);
    statement.subject = arena_printf(&arena, "job \"%s\"", job->kind);
    return catalog_insert(catalog, &statement, ret_id, err);
}

/* ---- reading ---- */

static int fill(const struct pg_result *result, size_t row, struct arena *arena, void *ret,
                struct error *err)
{
    const char *state = pg_text(result, row, 6);
    int index = catalog_name_index(states, array_size(states), state);
    if (index < 0)
        return error_set(err, ERROR_SERVER, "the catalog has a job in unknown state \"%s\"",
                         state ? state : "");
    *(struct catalog_job *)ret = (struct catalog_job){
        .id = pg_i64(result, row, 0),
        .kind = pg_text_copy(result, row, 1, arena),
        .placement_id = pg_i64(result, row, 2),
        .tenant_id = pg_i64(result, row, 3),
        .service_id = pg_i64(result, row, 4),
        .arguments = pg_text_copy(result, row, 5, arena),
        .state = (enum catalog_job_state)index,
        .step = pg_text_copy(result, row, 7, arena),
        .progress = pg_text_copy(result, row, 8, arena),
        .error = pg_text_copy(result, row, 9, arena),
        .attempts = (int)pg_i64(result, row, 10),
        .created_unix_us = pg_i64(result, row, 11),
        .started_unix_us = pg_i64(result, row, 12),
        .finished_unix_us = pg_i64(result, row, 13),
        .tenant_waits = pg_bool(result, row, 14),
    };
    return 0;
}

/* In the statement's order: id, open ones only, placement, tenant, service, limit. */
int catalog_job_get(struct catalog *catalog, struct arena *arena, int64_t id,
                    struct catalog_job *ret, struct error *err)
{
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_job_select, pg_from_i64(arena, id), pg_from_bool(false), NULL,
                          NULL, NULL, NULL);
    statement.subject = describe(arena, id);
    return catalog_one(catalog, arena, &statement, fill, sizeof(*ret), ret, err);
}

int catalog_job_list(struct catalog *catalog, struct arena *arena,
                     const struct catalog_job_filter *filter, struct catalog_job **ret,
                     size_t *ret_count, struct error *err)
{
    static const struct catalog_job_filter all = {0};
    if (!filter)
        filter = &all;
    const struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_job_select, NULL, pg_from_bool(filter->open),
        catalog_id(arena, filter->placement_id), catalog_id(arena, filter->tenant_id),
        catalog_id(arena, filter->service_id), catalog_id(arena, filter->limit));
    void *rows = NULL;
    int r = catalog_list(catalog, arena, &statement, fill, sizeof(**ret), &rows, ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

/* ---- changing: only what is not over ---- */

/* Why a change found nothing to change. */
static int explain(struct catalog *catalog, struct arena *arena, int64_t id, struct error *err)
{
    struct catalog_job job;
    int r = catalog_job_get(catalog, arena, id, &job, err);
    if (r < 0)
        return r;
    return error_set(err, ERROR_STATE, "job %lld is %s", (long long)id, states[job.state]);
}

static int change(struct catalog *catalog, struct arena *arena, int64_t id,
                  struct catalog_statement *statement, struct error *err)
{
    int64_t affected = 0;
    statement->subject = describe(arena, id);
    int r = catalog_write(catalog, statement, &affected, err);
    if (r == 0 && affected == 0)
        return explain(catalog, arena, id, err);
    return r;
}

int catalog_job_claim(struct catalog *catalog, struct arena *arena, int64_t id,
                      struct catalog_job *ret, struct error *err)
{
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_job_claim, pg_from_i64(arena, id));
    _cleanup_catalog_scope_ struct catalog_scope scope = {0};
    struct catalog_job job;
    int r = catalog_scope_begin(catalog, &scope, err);
    if (r == 0)
        r = change(catalog, arena, id, &statement, err);
    if (r == 0)
        r = catalog_job_get(catalog, arena, id, &job, err);
    if (r == 0)
        r = catalog_scope_commit(&scope, err);
    if (r == 0)
        *ret = job;
    return r;
}

int catalog_job_progress(struct catalog *catalog, int64_t id, const char *step,
                         const char *progress, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_job_progress, pg_from_i64(&arena, id), step, progress);
    return change(catalog, &arena, id, &statement, err);
}

int catalog_job_compensate(struct catalog *catalog, int64_t id, const char *error,
                           struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_job_compensate, pg_from_i64(&arena, id), error);
    return change(catalog, &arena, id, &statement, err);
}

int catalog_job_finish(struct catalog *catalog, int64_t id, bool failed, const char *error,
                       struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_job_finish, pg_from_i64(&arena, id),
                          states[failed ? CATALOG_JOB_FAILED : CATALOG_JOB_DONE], error);
    return change(catalog, &arena, id, &statement, err);
}

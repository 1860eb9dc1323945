/*
 * measure.c - sizes, a database at a time. Tables of a tenant's own have one; of a table that
 * tenants share each has its part of the rows that are looked at.
 */
#include "fleet/measure.h"

#include "isolation/contents.h"
#include "pg/connection.h"
#include "pg/quote.h"
#include "provision/place.h"

enum { SAMPLE_BYTES = 64 << 20 };

/* One placement, and where its size goes. */
struct subject {
    const struct catalog_placement *placement;
    int64_t *bytes;
    struct isolation_placement isolated;
};

/* Those of one service in one database, in one isolation. */
struct group {
    struct subject *subjects; /* by tenant */
    size_t count;
    struct pg_connection *data;
    struct arena *arena;
};

/* ---- tables of their own ---- */

static int measure_own(const struct group *group, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < group->count; i++) {
        struct isolation_table *tables = NULL;
        size_t count = 0;
        r = isolation_contents_tables(group->data, &group->subjects[i].isolated, group->arena,
                                      &tables, &count, err);
        for (size_t j = 0; r == 0 && j < count; j++)
            *group->subjects[i].bytes += tables[j].bytes;
    }
    return r;
}

/* ---- shared tables ---- */

static int by_tenant(const void *a, const void *b)
{
    int64_t one = ((const struct subject *)a)->placement->tenant_id;
    int64_t other = ((const struct subject *)b)->placement->tenant_id;
    return one < other ? -1 : one > other;
}

static struct subject *find_subject(const struct group *group, int64_t tenant_id)
{
    const struct catalog_placement placement = {.tenant_id = tenant_id};
    const struct subject key = {.placement = &placement};
    return bsearch(&key, group->subjects, group->count, sizeof(key), by_tenant);
}

/* Of rows whose tenant has gone nobody has a part. */
static void share_out(const struct group *group, const struct pg_result *parts, int64_t bytes)
{
    double all = 0;
    for (size_t i = 0; i < pg_rows(parts); i++)
        all += (double)pg_i64(parts, i, 1);
    for (size_t i = 0; all > 0 && i < pg_rows(parts); i++) {
        struct subject *subject = find_subject(group, pg_i64(parts, i, 0));
        if (subject)
            *subject->bytes += (int64_t)((double)bytes * (double)pg_i64(parts, i, 1) / all);
    }
}

static int measure_table(const struct group *group, const struct isolation_table *table,
                         struct error *err)
{
    double percent =
        table->bytes > SAMPLE_BYTES ? 100.0 * SAMPLE_BYTES / (double)table->bytes : 100;
    const char *sql = arena_printf(
        group->arena,
        "SELECT tenant_id, coalesce(sum(pg_catalog.pg_column_size(t.*)), 0)::bigint"
        " FROM ONLY %s t TABLESAMPLE SYSTEM (%.6f) GROUP BY 1",
        pg_qualified(group->arena, group->subjects[0].isolated.schema, table->name), percent);
    _cleanup_pg_result_ struct pg_result *parts = NULL;
    int r = pg_query(group->data, sql, 0, NULL, &parts, err);
    if (r == 0)
        share_out(group, parts, table->bytes);
    return r;
}

static int measure_shared(const struct group *group, struct error *err)
{
    struct isolation_table *tables = NULL;
    size_t count = 0;
    int r = isolation_contents_tables(group->data, &group->subjects[0].isolated, group->arena,
                                      &tables, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = measure_table(group, &tables[i], err);
    return r;
}

/* ---- groups ---- */

static int by_group(const void *a, const void *b)
{
    const struct catalog_placement *one = ((const struct subject *)a)->placement;
    const struct catalog_placement *other = ((const struct subject *)b)->placement;
    if (one->cluster_id != other->cluster_id)
        return one->cluster_id < other->cluster_id ? -1 : 1;
    if (one->service_id != other->service_id)
        return one->service_id < other->service_id ? -1 : 1;
    int order = strcmp(one->isolation, other->isolation);
    if (order == 0)
        order = strcmp(one->database, other->database);
    return order != 0 ? order : by_tenant(a, b);
}

static bool is_same_group(const struct subject *a, const struct subject *b)
{
    return a->placement->cluster_id == b->placement->cluster_id &&
           a->placement->service_id == b->placement->service_id &&
           strcmp(a->placement->isolation, b->placement->isolation) == 0 &&
           strcmp(a->placement->database, b->placement->database) == 0;
}

static int measure_group(const struct job_context *context, struct catalog *catalog,
                         struct group *group, struct error *err)
{
    struct place *place;
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    int r =
        place_load_at(context, catalog, group->arena, group->subjects[0].placement, &place, err);
    for (size_t i = 0; r == 0 && i < group->count; i++)
        r = site_placement(group->arena, &place->site, group->subjects[i].placement,
                           &group->subjects[i].isolated, err);
    if (r == 0)
        r = server_connect(&place->server, place->isolated.database, &data, err);
    if (r < 0)
        return r;
    group->data = data;
    return isolation_shares_tables(place->isolated.isolation) ? measure_shared(group, err)
                                                              : measure_own(group, err);
}

/* Of none on that cluster anything is known. */
static void pass_over(struct subject *subjects, size_t count, int64_t cluster_id)
{
    for (size_t i = 0; i < count; i++)
        if (subjects[i].placement->cluster_id == cluster_id)
            *subjects[i].bytes = MEASURE_UNKNOWN;
}

/* One that is being made or dropped may have no database yet, or any more. */
static bool is_gone(const struct subject *subject, int result)
{
    return result == -ERROR_NOT_FOUND && subject->placement->state != CATALOG_PLACEMENT_READY;
}

static int measure_all(const struct job_context *context, struct catalog *catalog,
                       struct subject *subjects, size_t count, struct arena *arena,
                       struct error *err)
{
    size_t next;
    for (size_t at = 0; at < count; at = next) {
        struct group group = {.subjects = &subjects[at], .arena = arena};
        for (next = at; next < count && is_same_group(&subjects[at], &subjects[next]); next++)
            group.count++;
        if (*subjects[at].bytes == MEASURE_UNKNOWN)
            continue;
        int r = measure_group(context, catalog, &group, err);
        if (r == -ERROR_CONNECTION)
            pass_over(subjects, count, subjects[at].placement->cluster_id);
        else if (r < 0 && !is_gone(&subjects[at], r)) {
            error_prefix(err, "cluster \"%s\"", subjects[at].placement->cluster);
            return r;
        }
        error_clear(err);
    }
    return 0;
}

int fleet_measure(const struct job_context *context, struct catalog *catalog,
                  const struct catalog_placement *const *placements, size_t count,
                  struct arena *arena, int64_t *ret_bytes, struct error *err)
{
    struct subject *subjects = arena_zalloc(arena, (count + 1) * sizeof(*subjects));
    for (size_t i = 0; i < count; i++) {
        ret_bytes[i] = 0;
        subjects[i] = (struct subject){.placement = placements[i], .bytes = &ret_bytes[i]};
    }
    qsort(subjects, count, sizeof(*subjects), by_group);
    return measure_all(context, catalog, subjects, count, arena, err);
}

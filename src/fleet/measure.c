/*
 * measure.c - sizes, a database at a time.
 */
#include "fleet/measure.h"

#include "isolation/size.h"
#include "migrate/site.h"
#include "pg/connection.h"

/* One placement, and where its size goes. */
struct subject {
    const struct catalog_placement *placement;
    int64_t *bytes;
};

static int by_group(const void *a, const void *b)
{
    const struct catalog_placement *one = ((const struct subject *)a)->placement;
    const struct catalog_placement *other = ((const struct subject *)b)->placement;
    if (one->cluster_id != other->cluster_id)
        return one->cluster_id < other->cluster_id ? -1 : 1;
    if (one->service_id != other->service_id)
        return one->service_id < other->service_id ? -1 : 1;
    int order = strcmp(one->isolation, other->isolation);
    return order != 0 ? order : strcmp(one->database, other->database);
}

static bool is_same_group(const struct subject *a, const struct subject *b)
{
    return a->placement->cluster_id == b->placement->cluster_id &&
           a->placement->service_id == b->placement->service_id &&
           strcmp(a->placement->isolation, b->placement->isolation) == 0 &&
           strcmp(a->placement->database, b->placement->database) == 0;
}

/* Those of one service in one database, in one isolation. */
static int measure_group(const struct job_context *context, struct catalog *catalog,
                         const struct subject *subjects, size_t count, struct arena *arena,
                         struct error *err)
{
    const struct catalog_placement *first = subjects[0].placement;
    struct isolation_placement *isolated = arena_zalloc(arena, count * sizeof(*isolated));
    struct isolation_size *sizes = arena_zalloc(arena, count * sizeof(*sizes));
    struct site site;
    _cleanup_pg_connection_ struct pg_connection *owner = NULL;
    int r = site_load_of(context, catalog, arena, first, &site, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = site_placement(arena, &site, subjects[i].placement, &isolated[i], err);
    if (r == 0)
        r = migrate_open_owner(&site.login, first->database, site.isolation.owner_role,
                               "reeve rebalance", &owner, err);
    if (r == 0)
        r = isolation_measure(owner, isolated[0].isolation, isolated, count, sizes, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        *subjects[i].bytes = sizes[i].bytes;
    return r;
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
        next = at + 1;
        while (next < count && is_same_group(&subjects[at], &subjects[next]))
            next++;
        if (*subjects[at].bytes == MEASURE_UNKNOWN || !*subjects[at].placement->database)
            continue; /* as the rest of its cluster; it has no place yet */
        int r = measure_group(context, catalog, &subjects[at], next - at, arena, err);
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

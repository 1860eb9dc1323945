#include "move/internal.h"

#include <jansson.h>

static int read_arguments(const struct job_run *run, struct moving *moving, struct error *err)
{
    json_error_t why;
    json_t *arguments = json_loads(run->arguments, 0, &why);
    json_int_t pause_us = 0, jobs = 1;
    int ignore = 0;
    int unpacked = arguments ? json_unpack_ex(arguments, &why, 0, "{s:I, s:I, s:b}", "pause_us",
                                              &pause_us, "jobs", &jobs, "ignore", &ignore)
                             : -1;
    json_decref(arguments);
    if (unpacked < 0)
        return error_set(err, ERROR_SERVER, "the job's arguments cannot be read: %s", why.text);
    moving->pause_us = pause_us;
    moving->jobs = jobs < 1 ? 1 : jobs > MOVE_MAX_JOBS ? MOVE_MAX_JOBS : (int)jobs;
    moving->ignore_unreachable = ignore;
    return 0;
}

int moving_load(struct job_run *run, struct moving **ret, struct error *err)
{
    if (run->state) {
        *ret = run->state;
        return 0;
    }
    struct moving *moving = arena_zalloc(run->arena, sizeof(*moving));
    int r = read_arguments(run, moving, err);
    if (r == 0)
        r = catalog_move_of(run->catalog, run->arena, run->placement_id, &moving->move, err);
    if (r == 0)
        r = place_load(run->context, run->catalog, run->arena, run->placement_id, &moving->from,
                       err);
    if (r == 0)
        r = place_load_at(run->context, run->catalog, run->arena, &moving->move.place, &moving->to,
                          err);
    if (r < 0)
        return r;
    moving->making.place = moving->to;
    run->state = moving;
    *ret = moving;
    return 0;
}

int moving_open(struct place *place, struct pg_connection **ret, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    int r = server_connect(&place->server, place->isolated.database, &data, err);
    if (r == 0)
        r = isolation_contents_open(data, &place->site.isolation, &place->isolated, err);
    if (r < 0)
        return r;
    *ret = data;
    data = NULL;
    return 0;
}

/* ---- tables ---- */

static const struct isolation_table *find_table(const struct isolation_table *tables, size_t count,
                                                const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(tables[i].name, name) == 0)
            return &tables[i];
    return NULL;
}

static int check_same(struct moving *moving, const struct isolation_table *there,
                      size_t there_count, struct error *err)
{
    for (size_t i = 0; i < moving->table_count; i++) {
        const struct isolation_table *table = &moving->tables[i];
        const struct isolation_table *other = find_table(there, there_count, table->name);
        if (!other)
            return error_set(err, ERROR_STATE, "there is no table \"%s\" in the new place: %s",
                             table->name, "no migration has made it");
        if (strcmp(other->columns, table->columns) != 0)
            return error_set(err, ERROR_STATE,
                             "table \"%s\" has columns %.200s here and %.200s in the new place",
                             table->name, table->columns, other->columns);
    }
    return 0;
}

int moving_find_tables(struct job_run *run, struct moving *moving, struct error *err)
{
    if (moving->has_tables)
        return 0;
    _cleanup_pg_connection_ struct pg_connection *source = NULL;
    _cleanup_pg_connection_ struct pg_connection *target = NULL;
    struct isolation_table *there;
    size_t there_count;
    int r = moving_open(moving->from, &source, err);
    if (r == 0)
        r = moving_open(moving->to, &target, err);
    if (r == 0)
        r = isolation_contents_tables(source, &moving->from->isolated, run->arena, &moving->tables,
                                      &moving->table_count, err);
    if (r == 0)
        r = isolation_contents_tables(target, &moving->to->isolated, run->arena, &there,
                                      &there_count, err);
    if (r == 0)
        r = check_same(moving, there, there_count, err);
    if (r < 0)
        return r;
    /* What a type's binary form is may change between major versions. */
    bool same_version = pg_server_version(source) / 10000 == pg_server_version(target) / 10000;
    for (size_t i = 0; i < moving->table_count; i++)
        moving->tables[i].binary &= same_version;
    moving->has_tables = true;
    return 0;
}

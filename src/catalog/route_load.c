#include "catalog/route_load.h"

#include "base/str.h"
#include "base/time.h"
#include "catalog/route_set.h"
#include "sql/statements.h"

/* From here on everything is loaded at once: that is quicker than so many one by one. */
enum { MOST_CHANGES = 20000 };

static const int64_t full_timeout_us = 300 * (int64_t)TIME_S;
static const int64_t usual_timeout_us = 10 * (int64_t)TIME_S;

static int read_position(struct catalog *catalog, struct catalog_position *ret, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *row = NULL;
    int r = pg_query(catalog->connection, sql_catalog_route_position, 0, NULL, &row, err);
    if (r < 0)
        return r;
    if (pg_rows(row) != 1)
        return error_set(err, ERROR_STATE, "the catalog has lost its row in reeve.route_version");
    struct catalog_position position = {.version = pg_i64(row, 0, 0), .pruned = pg_i64(row, 0, 1)};
    str_copy(position.history, sizeof(position.history), pg_text(row, 0, 2));
    *ret = position;
    return 0;
}

/* Whether the changes from one position to the other are in reeve.route_change. */
static bool is_ahead(const struct catalog_position *from, const struct catalog_position *to)
{
    return strcmp(from->history, to->history) == 0 && to->version >= from->version &&
           to->pruned <= from->version;
}

/* What a load has read and not handed over yet. */
struct update {
    struct catalog_position position;
    struct catalog_route_set set;
    struct route_globals *globals; /* NULL: as they were */
    bool impossible;               /* the changes are not there: load everything */
};

static void free_update(struct update *update)
{
    catalog_route_set_free(&update->set);
    route_globals_unref(update->globals);
}
#define _cleanup_update_ _cleanup_(free_update)

/* ---- everything ---- */

static int read_everything(struct catalog *catalog, struct update *update, struct error *err)
{
    _cleanup_pg_rollback_ struct pg_connection *transaction = catalog->connection;
    int r = pg_execute_script(transaction, sql_catalog_route_begin, err);
    if (r == 0)
        r = read_position(catalog, &update->position, err);
    if (r == 0)
        r = catalog_route_set_load(catalog, NULL, &update->set, err);
    if (r == 0)
        r = catalog_route_globals_load(catalog, update->position.version, &update->globals, err);
    return r < 0 ? r : pg_commit(transaction, err);
}

static int load_everything(struct catalog *catalog, struct route_table *table,
                           struct catalog_position *position, struct error *err)
{
    _cleanup_update_ struct update update = {0};
    int r = pg_set_statement_timeout(catalog->connection, full_timeout_us, err);
    if (r == 0)
        r = read_everything(catalog, &update, err);
    if (r == 0)
        r = pg_set_statement_timeout(catalog->connection, usual_timeout_us, err);
    if (r < 0)
        return r;
    route_table_replace(table, update.position.version, update.set.tenants, update.set.count,
                        take_pointer(update.globals));
    update.set.count = 0; /* they are the table's now */
    *position = update.position;
    return 0;
}

/* ---- changes ---- */

struct changes {
    int64_t *ids; /* in order */
    size_t count;
    bool globals;
    bool too_many;
};

static void free_changes(struct changes *changes)
{
    free(changes->ids);
}
#define _cleanup_changes_ _cleanup_(free_changes)

static int read_changes(struct catalog *catalog, int64_t since, struct changes *ret,
                        struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *const parameters[] = {pg_from_i64(&arena, since),
                                      pg_from_i64(&arena, MOST_CHANGES + 1)};
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(catalog->connection, sql_catalog_route_changes, 2, parameters, &result, err);
    if (r < 0)
        return r;
    size_t rows = pg_rows(result);
    *ret = (struct changes){.ids = xcalloc(rows + 1, sizeof(int64_t)),
                            .too_many = rows > MOST_CHANGES};
    for (size_t i = 0; i < rows; i++) {
        int64_t id = pg_i64(result, i, 0);
        if (id == 0)
            ret->globals = true;
        else
            ret->ids[ret->count++] = id;
    }
    return 0;
}

/* Placements carry their service's name, and a change of it names no tenant. */
static bool services_renamed(struct route_table *table, const struct route_globals *globals)
{
    struct route_snapshot *snapshot = route_table_acquire(table);
    const struct route_globals *old = route_snapshot_globals(snapshot);
    bool renamed = false;
    for (size_t i = 0; old && i < old->service_count; i++)
        for (size_t k = 0; k < globals->service_count; k++)
            renamed |= old->services[i].id == globals->services[k].id &&
                       strcmp(old->services[i].name, globals->services[k].name) != 0;
    route_snapshot_release(snapshot);
    return renamed;
}

static int read_tenants(struct catalog *catalog, const struct changes *changes,
                        struct catalog_route_set *ret, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    if (changes->count == 0)
        return 0;
    int r = catalog_route_set_load(catalog, pg_from_i64_array(&arena, changes->ids, changes->count),
                                   ret, err);
    if (r == 0)
        catalog_route_set_add_gone(ret, changes->ids, changes->count);
    return r;
}

static int read_update(struct catalog *catalog, struct route_table *table,
                       const struct catalog_position *since, struct update *update,
                       struct error *err)
{
    _cleanup_changes_ struct changes changes = {0};
    int r = read_position(catalog, &update->position, err);
    if (r < 0)
        return r;
    if (!is_ahead(since, &update->position)) {
        update->impossible = true;
        return 0;
    }
    r = read_changes(catalog, since->version, &changes, err);
    if (r == 0 && changes.globals)
        r = catalog_route_globals_load(catalog, update->position.version, &update->globals, err);
    if (r < 0)
        return r;
    update->impossible =
        changes.too_many || (update->globals && services_renamed(table, update->globals));
    return update->impossible ? 0 : read_tenants(catalog, &changes, &update->set, err);
}

/* ret_done false: it takes loading everything. */
static int load_changes(struct catalog *catalog, struct route_table *table,
                        struct catalog_position *position, bool *ret_done, struct error *err)
{
    _cleanup_update_ struct update update = {0};
    _cleanup_pg_rollback_ struct pg_connection *transaction = catalog->connection;
    int r = pg_execute_script(transaction, sql_catalog_route_begin, err);
    if (r == 0)
        r = read_update(catalog, table, position, &update, err);
    if (r == 0)
        r = pg_commit(transaction, err);
    if (r < 0)
        return r;
    *ret_done = !update.impossible;
    if (update.impossible)
        return 0;
    route_table_apply(table, update.position.version, update.set.tenants, update.set.count,
                      take_pointer(update.globals));
    update.set.count = 0; /* they are the table's now */
    *position = update.position;
    return 0;
}

int catalog_route_load(struct catalog *catalog, struct route_table *table,
                       struct catalog_position *position, enum catalog_load *ret, struct error *err)
{
    struct catalog_position now = {0};
    int r = read_position(catalog, &now, err);
    if (r < 0)
        return r;
    bool done = false;
    if (is_ahead(position, &now)) {
        if (now.version == position->version) {
            *ret = CATALOG_LOAD_NOTHING;
            return 0;
        }
        r = load_changes(catalog, table, position, &done, err);
        if (r < 0)
            return r;
    }
    if (!done)
        r = load_everything(catalog, table, position, err);
    if (r == 0)
        *ret = done ? CATALOG_LOAD_CHANGES : CATALOG_LOAD_EVERYTHING;
    return r;
}

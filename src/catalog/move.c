#include "catalog/move.h"

#include "catalog/internal.h"
#include "sql/statements.h"

enum { SEALED_MAX = 128, FIRST = 23 /* column behind those of the placement */ };

static const char *const phases[] = {
    [CATALOG_MOVE_PREPARING] = "preparing",     [CATALOG_MOVE_COPYING] = "copying",
    [CATALOG_MOVE_CATCHING_UP] = "catching up", [CATALOG_MOVE_CUTTING_OVER] = "cutting over",
    [CATALOG_MOVE_VERIFYING] = "verifying",     [CATALOG_MOVE_MOVED] = "moved",
    [CATALOG_MOVE_FINISHING] = "finishing",     [CATALOG_MOVE_REVERTING] = "reverting",
    [CATALOG_MOVE_ABORTING] = "aborting",       [CATALOG_MOVE_FINISHED] = "finished",
    [CATALOG_MOVE_REVERTED] = "reverted",       [CATALOG_MOVE_ABORTED] = "aborted",
};

const char *catalog_move_phase_name(enum catalog_move_phase phase)
{
    return phases[phase];
}

bool catalog_move_is_over(enum catalog_move_phase phase)
{
    return phase == CATALOG_MOVE_FINISHED || phase == CATALOG_MOVE_REVERTED ||
           phase == CATALOG_MOVE_ABORTED;
}

/* ---- reading ---- */

static int fill(const struct pg_result *result, size_t row, struct arena *arena, void *ret,
                struct error *err)
{
    struct catalog_move *move = ret;
    const char *phase = pg_text(result, row, FIRST + 1);
    int index = catalog_name_index(phases, array_size(phases), phase);
    if (index < 0)
        return error_set(err, ERROR_SERVER, "the catalog has a move in unknown phase \"%s\"",
                         phase ? phase : "");
    *move = (struct catalog_move){
        .id = pg_i64(result, row, FIRST),
        .phase = (enum catalog_move_phase)index,
        .offline = pg_bool(result, row, FIRST + 2),
        .flipped = pg_bool(result, row, FIRST + 3),
        .stop_wanted = pg_bool(result, row, FIRST + 4),
        .from_isolation = pg_text_copy(result, row, FIRST + 5, arena),
        .from_cluster = pg_text_copy(result, row, FIRST + 6, arena),
        .to_isolation = pg_text_copy(result, row, FIRST + 7, arena),
        .to_cluster = pg_text_copy(result, row, FIRST + 8, arena),
        .tables = pg_i64(result, row, FIRST + 9),
        .bytes_total = pg_i64(result, row, FIRST + 10),
        .bytes_done = pg_i64(result, row, FIRST + 11),
        .rows_done = pg_i64(result, row, FIRST + 12),
        .pause_us = pg_i64(result, row, FIRST + 13),
        .started_unix_us = pg_i64(result, row, FIRST + 14),
        .ended_unix_us = pg_i64(result, row, FIRST + 15),
        .error = pg_text_copy(result, row, FIRST + 16, arena),
        .held_unix_us = pg_i64(result, row, FIRST + 17),
        .wal_limit = pg_i64(result, row, FIRST + 18),
        .keep_us = pg_i64(result, row, FIRST + 19),
        .lag_bytes = pg_i64(result, row, FIRST + 20),
        .rows_total = pg_i64(result, row, FIRST + 21),
        .phase_unix_us = pg_i64(result, row, FIRST + 22),
        .version = pg_text_copy(result, row, FIRST + 23, arena),
        .abandoned = pg_bool(result, row, FIRST + 24),
        .from_database = pg_text_copy(result, row, FIRST + 25, arena),
        .to_database = pg_text_copy(result, row, FIRST + 26, arena),
        .pauses = pg_i64(result, row, FIRST + 27),
    };
    return catalog_placement_fill(result, row, arena, &move->place, err);
}

/* In the statement's order: move, placement, open, tenant, cluster. */
int catalog_move_get(struct catalog *catalog, struct arena *arena, int64_t id,
                     struct catalog_move *ret, struct error *err)
{
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_move_select, pg_from_i64(arena, id), NULL, pg_from_bool(false), NULL, NULL);
    statement.subject = arena_printf(arena, "move %lld", (long long)id);
    return catalog_one(catalog, arena, &statement, fill, sizeof(*ret), ret, err);
}

int catalog_move_of(struct catalog *catalog, struct arena *arena, int64_t placement_id,
                    struct catalog_move *ret, struct error *err)
{
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_move_select, NULL, pg_from_i64(arena, placement_id),
                          pg_from_bool(true), NULL, NULL);
    statement.subject = "such move";
    return catalog_one(catalog, arena, &statement, fill, sizeof(*ret), ret, err);
}

int catalog_move_list(struct catalog *catalog, struct arena *arena,
                      const struct catalog_move_filter *filter, struct catalog_move **ret,
                      size_t *ret_count, struct error *err)
{
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_move_select, NULL, catalog_id(arena, filter->placement_id),
                          pg_from_bool(filter->open), catalog_id(arena, filter->tenant_id),
                          catalog_id(arena, filter->cluster_id));
    void *rows = NULL;
    int r = catalog_list(catalog, arena, &statement, fill, sizeof(**ret), &rows, ret_count, err);
    if (r == 0)
        *ret = rows;
    return r;
}

int catalog_move_generation(struct catalog *catalog, int64_t placement_id, int64_t *ret,
                            struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_move_generation, pg_from_i64(&arena, placement_id));
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = catalog_read(catalog, &statement, &result, err);
    if (r == 0 && pg_rows(result) == 0)
        r = catalog_not_found(err, "placement %lld", (long long)placement_id);
    if (r == 0)
        *ret = pg_i64(result, 0, 0);
    return r;
}

/* ---- changing ---- */

int catalog_move_create(struct catalog *catalog, int64_t placement_id,
                        const struct catalog_move *move, const struct catalog_place *place,
                        int64_t *ret_id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *password = NULL, *ro_password = NULL;
    int r = catalog_from_sealed(&arena, &place->role_password, SEALED_MAX, &password, err);
    if (r == 0)
        r = catalog_from_sealed(&arena, &place->ro_password, SEALED_MAX, &ro_password, err);
    if (r < 0)
        return r;
    struct catalog_statement statement = CATALOG_STATEMENT(
        sql_catalog_move_insert, pg_from_i64(&arena, placement_id), pg_from_bool(move->offline),
        pg_from_i64(&arena, place->cluster_id), place->isolation, place->enforcement,
        place->database, place->schema, place->role, password, place->ro_role, ro_password,
        place->enter_role, place->enter_ro_role, pg_from_i64(&arena, place->generation),
        pg_from_i64(&arena, move->wal_limit), pg_from_i64(&arena, move->keep_us),
        pg_from_i64(&arena, move->tables), pg_from_i64(&arena, move->bytes_total),
        pg_from_i64(&arena, move->rows_total));
    statement.subject =
        arena_printf(&arena, "open move of placement %lld", (long long)placement_id);
    return catalog_insert(catalog, &statement, ret_id, err);
}

/* For a statement about the move $1. */
static int change(struct catalog *catalog, const char *sql, int64_t id, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement = CATALOG_STATEMENT(sql, pg_from_i64(&arena, id));
    statement.subject = arena_printf(&arena, "move %lld", (long long)id);
    return catalog_change(catalog, &statement, err);
}

int catalog_move_set_phase(struct catalog *catalog, int64_t id, enum catalog_move_phase phase,
                           const char *why, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_move_set_phase, pg_from_i64(&arena, id), phases[phase], why);
    statement.subject = arena_printf(&arena, "move %lld", (long long)id);
    return catalog_change(catalog, &statement, err);
}

/* For a statement about the move $1 and something. */
static int change_to(struct catalog *catalog, const char *sql, int64_t id, const char *value,
                     struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement = CATALOG_STATEMENT(sql, pg_from_i64(&arena, id), value);
    statement.subject = arena_printf(&arena, "move %lld", (long long)id);
    return catalog_change(catalog, &statement, err);
}

int catalog_move_set_size(struct catalog *catalog, int64_t id, int64_t tables, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    return change_to(catalog, sql_catalog_move_set_size, id, pg_from_i64(&arena, tables), err);
}

int catalog_move_set_version(struct catalog *catalog, int64_t id, const char *version,
                             struct error *err)
{
    return change_to(catalog, sql_catalog_move_set_version, id, version, err);
}

int catalog_move_set_lag(struct catalog *catalog, int64_t id, int64_t bytes, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    return change_to(catalog, sql_catalog_move_set_lag, id, pg_from_i64(&arena, bytes), err);
}

int catalog_move_lose_stream(struct catalog *catalog, int64_t id, const char *why,
                             struct error *err)
{
    return change_to(catalog, sql_catalog_move_lose_stream, id, why, err);
}

int catalog_move_set_done(struct catalog *catalog, int64_t id, int64_t bytes, int64_t rows,
                          bool *ret_stop_wanted, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_move_set_done, pg_from_i64(&arena, id),
                          pg_from_i64(&arena, bytes), pg_from_i64(&arena, rows));
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = catalog_read(catalog, &statement, &result, err);
    if (r == 0 && pg_rows(result) == 0)
        r = catalog_not_found(err, "move %lld", (long long)id);
    if (r == 0)
        *ret_stop_wanted = pg_bool(result, 0, 0);
    return r;
}

int catalog_move_held(struct catalog *catalog, int64_t id, struct error *err)
{
    return change(catalog, sql_catalog_move_held, id, err);
}

int catalog_move_released(struct catalog *catalog, int64_t id, struct error *err)
{
    return change(catalog, sql_catalog_move_released, id, err);
}

int catalog_move_stop(struct catalog *catalog, int64_t id, struct error *err)
{
    return change(catalog, sql_catalog_move_stop, id, err);
}

int catalog_move_abandon(struct catalog *catalog, int64_t id, struct error *err)
{
    return change(catalog, sql_catalog_move_abandon, id, err);
}

int catalog_move_flip(struct catalog *catalog, int64_t id, struct error *err)
{
    int r = change(catalog, sql_catalog_move_flip, id, err);
    return r == -ERROR_NOT_FOUND ? error_set(err, ERROR_STATE, "it was aborted") : r;
}

#include "move/parts.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "pg/quote.h"

/* Larger tables are copied in parts of about this size: so large that what a part
 * costs beside its rows is nothing, and so small that members end at about the same time. */
static const int64_t part_bytes = (int64_t)256 << 20;
/* They are compared in smaller ones: within a part nothing can be slowed down. */
static const int64_t compared_bytes = (int64_t)32 << 20;

/* ---- units ---- */

static size_t count_parts(const struct isolation_table *table, int64_t bytes)
{
    return isolation_part_count(table->bytes, table->blocks,
                                failpoint_number("REEVE_PART_BYTES", bytes));
}

/* Whoever works alone gains nothing by them. */
static size_t count_copied(const struct moving *moving, const struct isolation_table *table)
{
    return moving->jobs == 1 ? 1 : count_parts(table, part_bytes);
}

static void add_units(struct units *units, size_t table, bool at_target, int64_t blocks,
                      size_t parts)
{
    for (size_t i = 0; i < parts; i++)
        units->units[units->count++] = (struct unit){
            .table = table, .at_target = at_target, .part = isolation_part_at(blocks, parts, i)};
    units->tables[table].left += parts;
}

void units_to_copy(const struct moving *moving, struct arena *arena, struct units *ret)
{
    size_t most = 0;
    for (size_t i = 0; i < moving->table_count; i++)
        most += count_copied(moving, &moving->tables[i]);
    *ret = (struct units){
        .units = arena_zalloc(arena, (most + 1) * sizeof(*ret->units)),
        .tables = arena_zalloc(arena, (moving->table_count + 1) * sizeof(*ret->tables))};
    for (size_t i = 0; i < moving->table_count; i++) {
        const struct isolation_table *table = &moving->tables[i];
        size_t parts = count_copied(moving, table);
        ret->tables[i].in_parts = parts > 1;
        add_units(ret, i, false, table->blocks, parts);
    }
}

static const struct isolation_table *find_table(const struct isolation_table *tables, size_t count,
                                                const char *name)
{
    static const struct isolation_table unknown = {0};
    for (size_t i = 0; i < count; i++)
        if (strcmp(tables[i].name, name) == 0)
            return &tables[i];
    return &unknown; /* is read as a whole, and fails as it is not there */
}

void units_to_compare(const struct moving *moving, const struct isolation_table *there,
                      size_t there_count, struct arena *arena, struct units *ret)
{
    size_t count = moving->table_count + 1;
    const struct isolation_table **others =
        arena_zalloc(arena, count * sizeof(*others)); /* NOLINT(bugprone-sizeof-expression) */
    size_t most = 0;
    for (size_t i = 0; i < moving->table_count; i++) {
        others[i] = find_table(there, there_count, moving->tables[i].name);
        most += count_parts(&moving->tables[i], compared_bytes) +
                count_parts(others[i], compared_bytes);
    }
    *ret = (struct units){
        .units = arena_zalloc(arena, (most + 1) * sizeof(*ret->units)),
        .tables = arena_zalloc(arena, (moving->table_count + 1) * sizeof(*ret->tables))};
    for (size_t i = 0; i < moving->table_count; i++) {
        const struct isolation_table *table = &moving->tables[i];
        add_units(ret, i, false, table->blocks, count_parts(table, compared_bytes));
        add_units(ret, i, true, others[i]->blocks, count_parts(others[i], compared_bytes));
    }
}

/* ---- indexes ---- */

static const char *record_name(const struct moving *moving, struct arena *arena)
{
    return stream_index_name(arena, moving->move.id);
}

int parts_put_indexes_back(const struct moving *moving, struct pg_connection *owner,
                           struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    return isolation_indexes_put_back(owner, &moving->to->isolated, NULL,
                                      record_name(moving, &arena), err);
}

int parts_put_indexes_back_of(const struct moving *moving, struct pg_connection *owner,
                              const struct isolation_table *table, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    failpoint("move.remaking");
    return isolation_indexes_put_back(owner, &moving->to->isolated, table->name,
                                      record_name(moving, &arena), err);
}

/* Only a place of the tenant's own can do without its indexes for a while. */
static bool needs_record(const struct moving *moving, const struct units *units)
{
    bool in_parts = false;
    for (size_t i = 0; i < moving->table_count; i++)
        in_parts |= units->tables[i].in_parts;
    return in_parts && !isolation_shares_tables(moving->to->isolated.isolation);
}

static int connect_as_admin(const struct moving *moving, struct pg_connection **ret,
                            struct error *err)
{
    return server_connect(&moving->to->server, moving->to->isolated.database, ret, err);
}

static int make_record(const struct moving *moving, struct arena *arena, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    const char *name = pg_qualified(arena, "reeve", record_name(moving, arena));
    int r = connect_as_admin(moving, &admin, err);
    return r < 0 ? r
                 : pg_execute_script(
                       admin,
                       arena_printf(arena,
                                    "CREATE TABLE IF NOT EXISTS %s (table_name text NOT NULL,"
                                    " definition text NOT NULL);"
                                    " GRANT SELECT, INSERT, DELETE ON %s TO %s",
                                    name, name,
                                    pg_identifier(arena, moving->to->site.isolation.owner_role)),
                       err);
}

int parts_put_indexes_away(const struct moving *moving, struct pg_connection *owner,
                           const struct units *units, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    if (!needs_record(moving, units))
        return 0;
    int r = make_record(moving, &arena, err);
    if (r == 0)
        r = pg_begin(owner, err);
    if (r < 0)
        return r;
    _cleanup_pg_rollback_ struct pg_connection *transaction = owner;
    for (size_t i = 0; r == 0 && i < moving->table_count; i++)
        if (units->tables[i].in_parts)
            r = isolation_indexes_put_away(transaction, &moving->to->isolated,
                                           moving->tables[i].name, record_name(moving, &arena),
                                           err);
    if (r == 0)
        r = pg_commit(transaction, err);
    failpoint("move.indexes_away");
    return r;
}

/* One that a copy before this one has made, too. */
static int look_into_record(struct pg_connection *admin, const char *name, bool *ret_there,
                            struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_result_ struct pg_result *there = NULL;
    _cleanup_pg_result_ struct pg_result *rest = NULL;
    int r = pg_query(admin, "SELECT pg_catalog.to_regclass($1::text) IS NOT NULL", 1, &name, &there,
                     err);
    if (r == 0)
        *ret_there = pg_bool(there, 0, 0);
    if (r < 0 || !*ret_there)
        return r;
    r = pg_query(admin, arena_printf(&arena, "SELECT table_name FROM %s", name), 0, NULL, &rest,
                 err);
    return r < 0 || pg_rows(rest) == 0
               ? r
               : error_set(err, ERROR_INTERNAL, "indexes of table \"%s\" were not made again",
                           pg_text(rest, 0, 0));
}

int parts_drop_record(const struct moving *moving, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    const char *name = pg_qualified(&arena, "reeve", record_name(moving, &arena));
    bool there = false;
    if (isolation_shares_tables(moving->to->isolated.isolation))
        return 0;
    int r = connect_as_admin(moving, &admin, err);
    if (r == 0)
        r = look_into_record(admin, name, &there, err);
    return r < 0 || !there
               ? r
               : pg_execute_script(admin, arena_printf(&arena, "DROP TABLE %s", name), err);
}

/* ---- all of them ---- */

static int find_missing(const struct moving *moving, struct pg_result **ret, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *source = NULL;
    _cleanup_pg_connection_ struct pg_connection *target = NULL;
    int r = moving_open_in_time(moving, moving->from, &source, err);
    if (r == 0)
        r = moving_open_in_time(moving, moving->to, &target, err);
    return r < 0 ? r
                 : isolation_indexes_missing(source, &moving->from->isolated, target,
                                             &moving->to->isolated, ret, err);
}

int parts_look_at_indexes(const struct moving *moving, struct pg_result **ret, struct error *err)
{
    int r = find_missing(moving, ret, err);
    for (size_t i = 0; r == 0 && i < pg_rows(*ret); i++)
        log_write(LOG_WARNING,
                  "move %lld: the new place has no index \"%s\" of table \"%s\", as no migration "
                  "makes it",
                  (long long)moving->move.id, pg_text(*ret, i, 1), pg_text(*ret, i, 0));
    return r;
}

static bool is_among(const struct pg_result *rows, const char *table, const char *index)
{
    for (size_t i = 0; i < pg_rows(rows); i++)
        if (strcmp(pg_text(rows, i, 0), table) == 0 && strcmp(pg_text(rows, i, 1), index) == 0)
            return true;
    return false;
}

int parts_check_indexes(const struct moving *moving, const struct pg_result *before,
                        struct error *err)
{
    _cleanup_pg_result_ struct pg_result *missing = NULL;
    int r = find_missing(moving, &missing, err);
    for (size_t i = 0; r == 0 && i < pg_rows(missing); i++) {
        const char *table = pg_text(missing, i, 0), *index = pg_text(missing, i, 1);
        if (!is_among(before, table, index))
            r = error_set(err, ERROR_INTERNAL,
                          "index \"%s\" of table \"%s\" is not at the new place any more", index,
                          table);
    }
    return r;
}

#include "move/internal.h"

#include <jansson.h>

#include "base/time.h"
#include "sql/statements.h"

static int read_arguments(const struct job_run *run, struct moving *moving, int64_t *ret_id,
                          struct error *err)
{
    json_error_t why;
    json_t *arguments = json_loads(run->arguments, 0, &why);
    json_int_t id = 0, pause_us = 0, jobs = 1, rate = 0, yield_us = 0;
    int ignore = 0;
    int unpacked = arguments
                       ? json_unpack_ex(arguments, &why, 0, "{s:I, s:I, s:I, s?I, s?I, s:b}",
                                        "move", &id, "pause_us", &pause_us, "jobs", &jobs, "rate",
                                        &rate, "yield_us", &yield_us, "ignore", &ignore)
                       : -1;
    json_decref(arguments);
    if (unpacked < 0)
        return error_set(err, ERROR_SERVER, "the job's arguments cannot be read: %s", why.text);
    moving->pause_us = pause_us;
    moving->jobs = jobs < 1 ? 1 : jobs > MOVE_MAX_JOBS ? MOVE_MAX_JOBS : (int)jobs;
    moving->rate = rate;
    moving->yield_us = yield_us;
    moving->ignore_unreachable = ignore;
    *ret_id = id;
    return 0;
}

/* What is copied onto itself would be lost. */
static int check_apart(const struct moving *moving, struct error *err)
{
    const struct place *from = moving->from, *to = moving->to;
    if (from->site.cluster.id != to->site.cluster.id ||
        strcmp(from->isolated.database, to->isolated.database) != 0 ||
        strcmp(from->isolated.schema, to->isolated.schema) != 0)
        return 0;
    return error_set(err, ERROR_INTERNAL, "the move %lld is from a place to itself",
                     (long long)moving->move.id);
}

/* A move that is over has no other place: NULL. */
static int load_places(struct job_run *run, struct moving *moving, struct error *err)
{
    int r =
        place_load(run->context, run->catalog, run->arena, run->placement_id, &moving->from, err);
    if (r < 0 || catalog_move_is_over(moving->move.phase))
        return r;
    r = place_load_at(run->context, run->catalog, run->arena, &moving->move.place, &moving->to,
                      err);
    if (r < 0)
        return r;
    moving->making.place = moving->to;
    return check_apart(moving, err);
}

int moving_load(struct job_run *run, struct moving **ret, struct error *err)
{
    if (run->state) {
        *ret = run->state;
        return 0;
    }
    struct moving *moving = arena_zalloc(run->arena, sizeof(*moving));
    int64_t id = 0;
    int r = read_arguments(run, moving, &id, err);
    if (r == 0)
        r = catalog_move_get(run->catalog, run->arena, id, &moving->move, err);
    if (r == 0 && moving->move.place.id != run->placement_id)
        r = error_set(err, ERROR_INTERNAL, "move %lld is of another placement", (long long)id);
    if (r == 0)
        r = load_places(run, moving, err);
    if (r < 0)
        return r;
    run->state = moving;
    *ret = moving;
    return 0;
}

int moving_reload(struct job_run *run, struct moving **ret, struct error *err)
{
    const struct moving *before = run->state;
    bool compared = before && before->compared;
    run->state = NULL;
    int r = moving_load(run, ret, err);
    if (r == 0)
        (*ret)->compared = compared;
    return r;
}

/* ---- deadlines ---- */

int moving_set_phase(struct job_run *run, const struct moving *moving,
                     enum catalog_move_phase phase, const char *why, struct error *err)
{
    return catalog_move_set_phase(run->catalog, moving->move.id, phase, why, err);
}

int moving_check_time(const struct moving *moving, struct error *err)
{
    if (moving->until_us == 0 || time_monotonic_us() <= moving->until_us)
        return 0;
    return error_set(err, ERROR_TIMEOUT, "the tenant would have waited for more than %lld s",
                     (long long)(moving->pause_us / TIME_S));
}

int moving_check_stop(struct job_run *run, const struct moving *moving, struct error *err)
{
    bool stop_wanted = false;
    int r = catalog_move_set_done(run->catalog, moving->move.id, moving->move.bytes_done,
                                  moving->move.rows_done, &stop_wanted, err);
    if (r == 0 && stop_wanted)
        r = error_set(err, ERROR_STATE, "it was aborted");
    if (r == 0 && job_cancelled(run->context))
        r = error_set(err, ERROR_CANCELLED, "interrupted");
    return r < 0 ? r : moving_check_time(moving, err);
}

static int judge_slot(struct job_run *run, const struct moving *moving,
                      const struct pg_result *state, struct error *err)
{
    if (pg_rows(state) == 0)
        return error_set(err, ERROR_STATE, "replication slot \"%s\" is gone", moving->slot);
    int64_t kept = pg_i64(state, 0, 0);
    if (strcmp(pg_text(state, 0, 2), "lost") == 0) {
        error_set(err, ERROR_LIMIT, "the server has dropped WAL that replication slot \"%s\" needs",
                  moving->slot);
        error_hint(err, "raise max_slot_wal_keep_size");
        return -ERROR_LIMIT;
    }
    if (moving->move.wal_limit > 0 && kept > moving->move.wal_limit) {
        error_set(err, ERROR_LIMIT, "replication slot \"%s\" keeps %lld MB of WAL, and may %lld",
                  moving->slot, (long long)(kept >> 20), (long long)(moving->move.wal_limit >> 20));
        error_hint(err, "--keep-wal says how much it may; --yield 0 copies as fast as it can");
        return -ERROR_LIMIT;
    }
    return catalog_move_set_lag(run->catalog, moving->move.id, pg_i64(state, 0, 1), err);
}

int moving_watch(struct job_run *run, struct moving *moving, struct error *err)
{
    int64_t now_us = time_monotonic_us();
    if (!moving->watch || now_us - moving->watched_us < TIME_S)
        return 0;
    moving->watched_us = now_us;
    _cleanup_pg_result_ struct pg_result *state = NULL;
    int r = pg_query(moving->watch, sql_move_slot_state, 1, &moving->slot, &state, err);
    return r < 0 ? r : judge_slot(run, moving, state, err);
}

int moving_open_in_time(const struct moving *moving, const struct place *place,
                        struct pg_connection **ret, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *owner = NULL;
    int r = moving_check_time(moving, err);
    if (r == 0)
        r = moving_open(place, &owner, err);
    if (r == 0 && moving->until_us != 0)
        r = pg_set_statement_timeout(owner, moving->until_us - time_monotonic_us() + TIME_S, err);
    if (r < 0)
        return r;
    *ret = owner;
    owner = NULL;
    return 0;
}

int moving_open(const struct place *place, struct pg_connection **ret, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *owner = NULL;
    int r = migrate_open_owner(&place->site.login, place->isolated.database,
                               place->site.isolation.owner_role, "reeve move", &owner, err);
    if (r == 0)
        r = isolation_contents_open(owner, &place->isolated, err);
    if (r < 0)
        return r;
    *ret = owner;
    owner = NULL;
    return 0;
}

/* ---- what copying needs the right to ---- */

static int allow_at(struct job_run *run, struct place *place, struct error *err)
{
    int r = site_lock(run->context, run->catalog, &place->site, err);
    if (r < 0)
        return r;
    r = isolation_contents_allow(&place->server.isolation, &place->site.isolation, true, err);
    site_unlock(run->catalog, &place->site);
    return r;
}

/* Or its old place is followed. One that is given up, or back where it was, needs the right no
 * more, and gives it back itself: of two at once, each would leave it to the other. */
static bool copies(const struct catalog_move *move)
{
    if (move->phase == CATALOG_MOVE_MOVED)
        return !move->offline;
    if (move->phase == CATALOG_MOVE_REVERTING)
        return move->flipped;
    return move->phase != CATALOG_MOVE_FINISHING && move->phase != CATALOG_MOVE_ABORTING;
}

/* Whether another move of the service copies on that cluster. */
static int is_needed(struct job_run *run, const struct moving *moving, const struct place *place,
                     bool *ret, struct error *err)
{
    const struct catalog_move_filter filter = {.open = true};
    const char *cluster = place->site.cluster.name;
    struct catalog_move *moves;
    size_t count;
    int r = catalog_move_list(run->catalog, run->arena, &filter, &moves, &count, err);
    *ret = false;
    for (size_t i = 0; r == 0 && i < count; i++)
        *ret |= moves[i].id != moving->move.id && copies(&moves[i]) &&
                moves[i].place.service_id == moving->move.place.service_id &&
                (strcmp(moves[i].from_cluster, cluster) == 0 ||
                 strcmp(moves[i].to_cluster, cluster) == 0);
    return r;
}

static int disallow_at(struct job_run *run, const struct moving *moving, struct place *place,
                       struct error *err)
{
    bool needed;
    int r = site_lock(run->context, run->catalog, &place->site, err);
    if (r < 0)
        return r;
    r = is_needed(run, moving, place, &needed, err);
    if (r == 0 && !needed)
        r = isolation_contents_allow(&place->server.isolation, &place->site.isolation, false, err);
    site_unlock(run->catalog, &place->site);
    return r;
}

/* The move's row is there before the right is given, and is looked at under the lock before it is
 * taken: so nobody takes it from a move that needs it. */
int moving_allow(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = allow_at(run, moving->from, err);
    if (r == 0 && moving->from->site.cluster.id != moving->to->site.cluster.id)
        r = allow_at(run, moving->to, err);
    return r;
}

int moving_disallow(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = disallow_at(run, moving, moving->from, err);
    if (r == 0 && !moving->move.abandoned &&
        moving->from->site.cluster.id != moving->to->site.cluster.id)
        r = disallow_at(run, moving, moving->to, err);
    return r;
}

/* ---- what goes ---- */

int moving_drop_other(struct moving *moving, struct error *err)
{
    return moving->move.abandoned ? 0 : place_drop(moving->to, err);
}

int moving_drop_stream(struct moving *moving, enum stream_way way, struct error *err)
{
    int r = stream_drop(moving->from, moving->move.id, way, err);
    return r < 0 || moving->move.abandoned ? r : stream_drop(moving->to, moving->move.id, way, err);
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

#include "move/follow.h"

#include "base/buffer.h"
#include "base/crypto.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "move/apply.h"
#include "move/flip.h"
#include "pg/quote.h"
#include "sql/statements.h"

enum {
    STATEMENT_MAX = 1 << 20,
    MARKER_SIZE = 33,
    LAG_SMALL = 256 * 1024, /* bytes of WAL */
};

static const int64_t turn_us = 200 * TIME_MS;
static const int64_t look_us = TIME_S;
static const int64_t again_first_us = 2 * TIME_S, again_last_us = 60 * TIME_S;

/* ---- publication, slot, progress ---- */

const char *follow_name(struct arena *arena, int64_t move_id, enum follow_way way)
{
    return arena_printf(arena, "reeve_%s_%lld", way == FOLLOW_FORWARD ? "move" : "back",
                        (long long)move_id);
}

int follow_publish(struct job_run *run, const struct moving *moving, const struct place *place,
                   enum follow_way way, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *owner = NULL;
    int r = moving_open(place, &owner, err);
    return r < 0 ? r
                 : isolation_contents_publish(owner, &place->isolated, moving->tables,
                                              moving->table_count,
                                              follow_name(run->arena, moving->move.id, way), err);
}

static int drop_slot(struct pg_connection *admin, const char *name, struct error *err)
{
    return pg_execute(admin, sql_move_slot_drop, 1, &name, NULL, err);
}

int follow_make_slot(struct job_run *run, struct moving *moving, struct place *place,
                     enum follow_way way, struct pg_connection **ret_replication,
                     struct pg_slot *ret, struct error *err)
{
    const char *name = follow_name(run->arena, moving->move.id, way);
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    _cleanup_pg_connection_ struct pg_connection *replication = NULL;
    int r = server_connect(&place->server, place->isolated.database, &admin, err);
    if (r == 0)
        r = drop_slot(admin, name, err);
    if (r == 0)
        r = server_connect_for_stream(&place->server, place->isolated.database, &replication, err);
    if (r == 0)
        r = pg_slot_create(replication, name, ret, err);
    if (r < 0)
        return r;
    *ret_replication = replication;
    replication = NULL;
    return 0;
}

int follow_set_progress(struct job_run *run, struct moving *moving, struct place *place,
                        uint64_t lsn, struct error *err)
{
    char text[PG_LSN_SIZE];
    pg_lsn_format(lsn, text);
    const char *const parameters[] = {pg_from_i64(run->arena, moving->move.id), text};
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    int r = server_connect(&place->server, place->isolated.database, &admin, err);
    if (r == 0)
        r = pg_execute_script(admin, sql_move_progress_create, err);
    if (r == 0)
        r = pg_execute_script(
            admin,
            arena_printf(run->arena,
                         "GRANT SELECT, INSERT, UPDATE, DELETE ON reeve.move_progress TO %s",
                         pg_identifier(run->arena, place->site.isolation.owner_role)),
            err);
    return r < 0 ? r : pg_execute(admin, sql_move_progress_set, 2, parameters, NULL, err);
}

static int clean_source(struct job_run *run, struct moving *moving, struct place *source,
                        enum follow_way way, struct error *err)
{
    const char *name = follow_name(run->arena, moving->move.id, way);
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    int r = server_connect(&source->server, source->isolated.database, &admin, err);
    if (r == -ERROR_NOT_FOUND) { /* with its database all of it has gone */
        error_clear(err);
        return 0;
    }
    if (r == 0)
        r = drop_slot(admin, name, err);
    if (r < 0)
        return r;
    return pg_execute_script(
        admin,
        arena_printf(run->arena, "DROP PUBLICATION IF EXISTS %s", pg_identifier(run->arena, name)),
        err);
}

static int clean_target(struct job_run *run, struct moving *moving, struct place *target,
                        struct error *err)
{
    const char *id = pg_from_i64(run->arena, moving->move.id);
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    int r = server_connect(&target->server, target->isolated.database, &admin, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        return 0;
    }
    if (r == 0)
        r = pg_execute_script(admin, sql_move_progress_create, err);
    return r < 0 ? r : pg_execute(admin, sql_move_progress_delete, 1, &id, NULL, err);
}

int follow_clean(struct job_run *run, struct moving *moving, struct place *source,
                 struct place *target, enum follow_way way, struct error *err)
{
    int r = source ? clean_source(run, moving, source, way, err) : 0;
    return r < 0 || !target ? r : clean_target(run, moving, target, err);
}

/* ---- following ---- */

struct follow {
    struct job_run *run;
    struct moving *moving;
    enum follow_way way;
    struct pg_connection *replication;
    struct pg_stream *stream;
    struct pg_connection *source; /* owner's, to ask and to mark */
    struct applier *applier;
    char marker[MARKER_SIZE];
    uint64_t seen_lsn; /* so far the server has read its WAL for us */
    int64_t confirmed_us, looked_us;
};

static void follow_close(struct follow *follow)
{
    follow->stream = pg_stream_free(follow->stream);
    follow->applier = applier_free(follow->applier);
    follow->replication = pg_close(follow->replication);
    follow->source = pg_close(follow->source);
}

static int follow_open(struct follow *follow, struct error *err)
{
    struct moving *moving = follow->moving;
    const char *name = follow_name(follow->run->arena, moving->move.id, follow->way);
    int r = applier_open(moving, &follow->applier, err);
    if (r == 0)
        r = moving_open(moving->from, &follow->source, err);
    if (r == 0)
        r = server_connect_for_stream(&moving->from->server, moving->from->isolated.database,
                                      &follow->replication, err);
    if (r < 0)
        return r;
    follow->seen_lsn = applier_lsn(follow->applier);
    const struct pg_stream_spec spec = {
        .slot = name, .publication = name, .start_lsn = follow->seen_lsn, .messages = true};
    return pg_stream_open(follow->replication, &spec, &follow->stream, err);
}

static int confirm(struct follow *follow, struct error *err)
{
    uint64_t safe = applier_is_clean(follow->applier) && follow->seen_lsn > 0
                        ? follow->seen_lsn
                        : applier_lsn(follow->applier);
    follow->confirmed_us = time_monotonic_us();
    return pg_stream_confirm(follow->stream, safe, err);
}

/* One piece of the stream, waited for that long at most. */
static int take_piece(struct follow *follow, int64_t wait_us, bool *ret_nothing, struct error *err)
{
    struct pg_stream_piece piece;
    int r = pg_stream_next(follow->stream, -1, wait_us, &piece, err);
    if (r < 0)
        return r;
    *ret_nothing = piece.kind == PG_STREAM_NOTHING;
    if (piece.kind == PG_STREAM_MESSAGE)
        r = applier_take(follow->applier, piece.message, err);
    if (r == 0 && piece.kind != PG_STREAM_NOTHING && piece.end_lsn > follow->seen_lsn)
        follow->seen_lsn = piece.end_lsn;
    if (r == 0 && *ret_nothing)
        r = applier_commit(follow->applier, err);
    if (r == 0 && (piece.answer_expected || time_monotonic_us() - follow->confirmed_us > look_us))
        r = confirm(follow, err);
    return r;
}

static int take_for(struct follow *follow, int64_t us, struct error *err)
{
    int64_t until_us = time_monotonic_us() + us;
    bool nothing = false;
    int r = 0;
    for (int64_t left_us = us; r == 0 && left_us > 0; left_us = until_us - time_monotonic_us())
        r = take_piece(follow, nothing || !applier_is_clean(follow->applier) ? 0 : left_us,
                       &nothing, err);
    return r;
}

static int ask_lsn(struct pg_connection *connection, const char *sql, uint64_t *ret,
                   struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(connection, sql, 0, NULL, &result, err);
    if (r == 0 && !pg_lsn_parse(pg_text(result, 0, 0), ret))
        r = error_set(err, ERROR_SERVER, "the server has told no LSN");
    return r;
}

static int tell_lag(struct follow *follow, uint64_t *ret_lag, struct error *err)
{
    uint64_t now = 0;
    int r = ask_lsn(follow->source, "SELECT pg_catalog.pg_current_wal_lsn()", &now, err);
    if (r < 0)
        return r;
    uint64_t lag = now > follow->seen_lsn ? now - follow->seen_lsn : 0;
    *ret_lag = lag;
    if (time_monotonic_us() - follow->looked_us < look_us)
        return 0;
    follow->looked_us = time_monotonic_us();
    job_tell(follow->run, "%lld kB behind", (long long)(lag >> 10));
    return moving_check_stop(follow->run, follow->moving, err);
}

static int catch_up(struct follow *follow, struct error *err)
{
    uint64_t lag = UINT64_MAX;
    int r = 0;
    while (r == 0 && lag > LAG_SMALL) {
        failpoint("move.catching_up");
        r = take_for(follow, turn_us, err);
        if (r == 0)
            r = tell_lag(follow, &lag, err);
    }
    return r;
}

/* ---- cutting over ---- */

/* A new one each time: that of an attempt that took too long comes all the same. Nobody can guess
 * it: a tenant may send such messages too. */
static int emit_marker(struct follow *follow, struct error *err)
{
    uint8_t random[(MARKER_SIZE - 1) / 2];
    crypto_random(random, sizeof(random));
    str_hex(random, sizeof(random), follow->marker);
    applier_await(follow->applier, follow->marker);
    const char *marker = follow->marker;
    return pg_execute(follow->source,
                      "SELECT pg_catalog.pg_logical_emit_message(true, 'reeve', $1)", 1, &marker,
                      NULL, err);
}

/* Everything that was committed at the source before this is on the target. */
static int take_the_rest(struct follow *follow, struct error *err)
{
    bool ignored;
    int r = emit_marker(follow, err);
    while (r == 0 && !applier_is_marked(follow->applier)) {
        r = moving_check_time(follow->moving, err);
        if (r == 0)
            r = take_piece(follow, 10 * TIME_MS, &ignored, err);
    }
    return r < 0 ? r : applier_commit(follow->applier, err);
}

static int move_sequences(struct follow *follow, struct error *err)
{
    struct moving *moving = follow->moving;
    _cleanup_pg_connection_ struct pg_connection *target = NULL;
    int r = moving_open_in_time(moving, moving->to, &target, err);
    return r < 0 ? r
                 : isolation_contents_sequences(follow->source, &moving->from->isolated, target,
                                                &moving->to->isolated, err);
}

/* The stream back begins here: what was applied before came from there. */
static int begin_back(struct follow *follow, struct error *err)
{
    struct moving *moving = follow->moving;
    _cleanup_pg_connection_ struct pg_connection *target = NULL;
    uint64_t lsn = 0;
    int r = moving_open_in_time(moving, moving->to, &target, err);
    if (r == 0)
        r = ask_lsn(target, "SELECT pg_catalog.pg_current_wal_insert_lsn()", &lsn, err);
    return r < 0 ? r : follow_set_progress(follow->run, moving, moving->from, lsn, err);
}

static int keep_snapshot(struct follow *follow, struct follow_snapshot *ret, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    ret->keeper = pg_close(ret->keeper);
    int r = moving_open(follow->moving->to, &ret->keeper, err);
    if (r == 0)
        r = pg_execute_script(ret->keeper, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    if (r == 0)
        r = pg_query(ret->keeper, "SELECT pg_catalog.pg_export_snapshot()", 0, NULL, &result, err);
    if (r == 0)
        ret->name = pg_text_copy(result, 0, 0, follow->run->arena);
    return r;
}

static int cut_over(struct follow *follow, struct follow_snapshot *ret, const char *action,
                    enum catalog_move_phase phase, struct error *err)
{
    struct job_run *run = follow->run;
    struct moving *moving = follow->moving;
    int r = flip_keep_migrations_away(run, moving, err);
    failpoint("move.hold");
    if (r == 0)
        r = pause_begin(run, moving, err);
    if (r == 0)
        r = take_the_rest(follow, err);
    failpoint("move.marked");
    if (r == 0)
        r = move_sequences(follow, err);
    if (r == 0 && follow->way == FOLLOW_FORWARD)
        r = begin_back(follow, err);
    failpoint("move.begun_back");
    if (r == 0)
        r = keep_snapshot(follow, ret, err);
    if (r == 0)
        r = flip_now(run, moving, action, phase, err);
    if (r < 0) {
        struct error undone = {0};
        moving->move.held_unix_us = 1;
        if (pause_undo(run, moving, &undone) < 0)
            log_write_error(LOG_ERROR, &undone, "a tenant that waited cannot go on yet");
        moving->until_us = 0;
    }
    flip_let_migrations(run, moving);
    return r;
}

/* Another time may be better. */
static bool may_try_again(int result)
{
    return result == -ERROR_TIMEOUT || result == -ERROR_BUSY;
}

static int try_until_flipped(struct follow *follow, struct follow_snapshot *ret, const char *action,
                             enum catalog_move_phase phase, struct error *err)
{
    int64_t wait_us = again_first_us;
    for (;;) {
        int r = catch_up(follow, err);
        if (r == 0)
            r = cut_over(follow, ret, action, phase, err);
        if (!may_try_again(r))
            return r;
        log_write_error(LOG_INFO, err, "move %lld: the pause would have been too long, again later",
                        (long long)follow->moving->move.id);
        error_clear(err);
        r = take_for(follow, wait_us, err);
        if (r < 0)
            return r;
        wait_us = wait_us < again_last_us / 2 ? 2 * wait_us : again_last_us;
    }
}

int follow_and_flip(struct job_run *run, struct moving *moving, enum follow_way way,
                    const char *action, enum catalog_move_phase phase, struct follow_snapshot *ret,
                    struct error *err)
{
    struct follow follow = {.run = run, .moving = moving, .way = way};
    int r = follow_open(&follow, err);
    if (r == 0)
        r = try_until_flipped(&follow, ret, action, phase, err);
    follow_close(&follow);
    if (r < 0)
        ret->keeper = pg_close(ret->keeper);
    return r;
}

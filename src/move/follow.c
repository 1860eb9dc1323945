#include "move/follow.h"

#include "base/crypto.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "move/apply.h"
#include "move/flip.h"
#include "move/spool.h"
#include "move/stopper.h"
#include "pg/quote.h"
#include "sql/statements.h"

#include <stdatomic.h>
#include <unistd.h>

enum { GENTLE_ATTEMPTS = 3, ROUNDS_IN_VAIN = 5, MARKER_SIZE = 33, SOON_US = 100 * TIME_MS };

static const int64_t turn_us = 200 * TIME_MS;
static const int64_t look_us = TIME_S;
static const int64_t rest_us = 2 * TIME_S;
static const int64_t overtime_us = 60 * TIME_S;
static const int64_t again_first_us = 2 * TIME_S, again_last_us = 60 * TIME_S;
static const int64_t statement_us = (int64_t)120 * TIME_S; /* a row, or a commit */
static const int64_t patience_us = (int64_t)3600 * TIME_S; /* with pauses that are too long */
static const char undoing_hint[] =
    "it is tried again; `reeve move abort --abandon` leaves the old place, and the tenant where it "
    "is";
static const int64_t undoing_us = 600 * (int64_t)TIME_S; /* likewise; then somebody begins anew */
static const int64_t slot_wait_us = (int64_t)3600 * TIME_S; /* for others' transactions */

/* ---- publication, slot, progress ---- */

/* What it waits for is told: a table that nobody but Reeve writes. */
static int publish_marks(struct job_run *run, const struct moving *moving, struct place *place,
                         enum stream_way way, struct error *err)
{
    const char *name = stream_mark_name(run->arena, moving->move.id, way);
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    int r = server_connect(&place->server, place->isolated.database, &admin, err);
    return r < 0 ? r
                 : pg_execute_script(
                       admin,
                       arena_printf(run->arena,
                                    "CREATE TABLE reeve.%s (mark text NOT NULL);"
                                    " CREATE PUBLICATION %s FOR TABLE reeve.%s WITH (publish = "
                                    "'insert')",
                                    name, name, name),
                       err);
}

int follow_publish(struct job_run *run, const struct moving *moving, struct place *place,
                   enum stream_way way, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *owner = NULL;
    int r = stream_drop(place, moving->move.id, way, err);
    if (r == 0)
        r = publish_marks(run, moving, place, way, err);
    if (r == 0)
        r = moving_open(place, &owner, err);
    return r < 0 ? r
                 : isolation_contents_publish(owner, &place->isolated, moving->tables,
                                              moving->table_count,
                                              stream_name(run->arena, moving->move.id, way), err);
}

static const char keep_on[] =
    "SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0;"
    " SELECT pg_catalog.set_config('transaction_timeout', '0', false)"
    " WHERE pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL";

/* Where there is no room for large transactions, or they take too long, they stay on their servers
 * for a while: of all streams of this process (time_monotonic_us). */
static atomic_llong whole_until_us;
static const int64_t whole_us = 600 * TIME_S;

/* Whoever has a transaction open anywhere on the server is waited for. */
static int make_slot(struct job_run *run, const struct moving *moving,
                     struct pg_connection *replication, const char *name, enum pg_slot_life life,
                     struct pg_slot *ret, struct error *err)
{
    struct stopper *stopper = NULL;
    job_tell(run, "wait for the transactions that are open on the server");
    int r = pg_execute_script(replication, keep_on, err);
    if (r == 0)
        r = stopper_start(run, moving, slot_wait_us, &stopper, err);
    if (r < 0)
        return r;
    pg_set_cancel_flag(replication, stopper_flag(stopper));
    r = pg_slot_create(replication, name, life, ret, err);
    pg_set_cancel_flag(replication, run->context->cancelled);
    return stopper_stop(stopper, r, err);
}

int follow_make_slot(struct job_run *run, struct moving *moving, struct place *place,
                     enum stream_way way, struct pg_connection **ret_replication,
                     struct pg_slot *ret, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *replication = NULL;
    int r = server_connect_for_stream(&place->server, place->isolated.database, &replication, err);
    if (r == 0)
        r = make_slot(run, moving, replication, stream_name(run->arena, moving->move.id, way),
                      PG_SLOT_LASTING, ret, err);
    if (r < 0)
        return r;
    *ret_replication = replication;
    replication = NULL;
    return 0;
}

int follow_set_progress(struct job_run *run, struct moving *moving, struct place *place,
                        enum stream_way way, uint64_t lsn, struct error *err)
{
    char text[PG_LSN_SIZE];
    const char *parameter = text;
    pg_lsn_format(lsn, text);
    const char *name = stream_name(run->arena, moving->move.id, way);
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    int r = server_connect(&place->server, place->isolated.database, &admin, err);
    if (r == 0)
        r = pg_execute_script(
            admin,
            arena_printf(run->arena,
                         "CREATE TABLE IF NOT EXISTS reeve.%s (one boolean PRIMARY KEY CHECK (one),"
                         " lsn pg_lsn NOT NULL); GRANT SELECT, UPDATE ON reeve.%s TO %s",
                         name, name, pg_identifier(run->arena, place->site.isolation.owner_role)),
            err);
    return r < 0 ? r
                 : pg_execute(admin,
                              arena_printf(run->arena,
                                           "INSERT INTO reeve.%s VALUES (true, $1::pg_lsn)"
                                           " ON CONFLICT (one) DO UPDATE SET lsn = excluded.lsn",
                                           name),
                              1, &parameter, NULL, err);
}

/* ---- following ---- */

struct follow {
    struct job_run *run;
    struct moving *moving;
    enum stream_way way;
    struct pg_connection *replication;
    struct pg_stream *stream;
    struct pg_connection *source; /* owner's */
    struct pg_connection *admin;  /* the source's administrator's, to mark and to watch */
    struct applier *applier;
    struct {
        struct pg_connection *owner, *keeper; /* to the target, for the pause; else NULL */
    } ready;
    char marker[MARKER_SIZE];
    uint64_t seen_lsn; /* so far the server has read its WAL for us */
    int64_t confirmed_us, looked_us;
};

static void follow_close(struct follow *follow)
{
    follow->moving->watch = NULL;
    follow->stream = pg_stream_free(follow->stream);
    follow->applier = applier_free(follow->applier);
    follow->replication = pg_close(follow->replication);
    follow->source = pg_close(follow->source);
    follow->admin = pg_close(follow->admin);
    follow->ready.owner = pg_close(follow->ready.owner);
    follow->ready.keeper = pg_close(follow->ready.keeper);
}

/* A server that was replaced by a copy of itself may have less than was confirmed. */
static int check_slot(struct follow *follow, const char *name, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    uint64_t confirmed = 0;
    int r = pg_execute(follow->admin, sql_provision_slot_free, 1, &name, NULL, err);
    if (r == 0)
        r = pg_query(follow->admin,
                     "SELECT confirmed_flush_lsn FROM pg_catalog.pg_replication_slots"
                     " WHERE slot_name = $1::text::name",
                     1, &name, &result, err);
    if (r < 0)
        return r;
    if (pg_rows(result) == 0)
        return error_set(err, ERROR_STATE, "replication slot \"%s\" is gone", name);
    if (pg_lsn_parse(pg_text(result, 0, 0), &confirmed) &&
        confirmed > applier_lsn(follow->applier) && follow->way == STREAM_FORWARD)
        return error_set(err, ERROR_STATE,
                         "the place that is copied to has lost what was applied there");
    return 0;
}

/* What names in values are relative to is the same as where they are applied. */
static int set_path(struct follow *follow, struct error *err)
{
    struct arena *arena = follow->run->arena;
    return pg_execute_script(
        follow->replication,
        arena_printf(arena, "SET search_path = %s, public",
                     pg_identifier(arena, follow->moving->from->isolated.schema)),
        err);
}

/* Else they stay on the source's server until they commit. */
static bool takes_pieces(void)
{
    return time_monotonic_us() >= atomic_load(&whole_until_us) && spool_is_possible();
}

static int follow_open(struct follow *follow, struct error *err)
{
    struct moving *moving = follow->moving;
    struct place *from = moving->from;
    const char *name = stream_name(follow->run->arena, moving->move.id, follow->way);
    int r = applier_open(moving, follow->way, &follow->applier, err);
    if (r == 0)
        r = applier_set_timeout(follow->applier, statement_us, err);
    if (r == 0)
        r = moving_open(from, &follow->source, err);
    if (r == 0)
        r = server_connect(&from->server, from->isolated.database, &follow->admin, err);
    if (r == 0)
        r = check_slot(follow, name, err);
    if (r == 0)
        r = server_connect_for_stream(&from->server, from->isolated.database, &follow->replication,
                                      err);
    if (r == 0)
        r = set_path(follow, err);
    if (r < 0)
        return r;
    applier_ask(follow->applier, follow->source);
    moving->watch = follow->admin;
    moving->slot = name;
    follow->seen_lsn = applier_lsn(follow->applier);
    const struct pg_stream_spec spec = {
        .slot = name,
        .publications = {name, stream_mark_name(follow->run->arena, moving->move.id, follow->way)},
        .start_lsn = follow->seen_lsn,
        .in_pieces = takes_pieces()};
    return pg_stream_open(follow->replication, &spec, &follow->stream, err);
}

/* What is confirmed is written down first: the slot is never ahead of that. */
static int confirm(struct follow *follow, struct error *err)
{
    int r = 0;
    if (applier_is_clean(follow->applier) && follow->seen_lsn > applier_lsn(follow->applier))
        r = applier_pass(follow->applier, follow->seen_lsn, err);
    follow->confirmed_us = time_monotonic_us();
    return r < 0 ? r : pg_stream_confirm(follow->stream, applier_lsn(follow->applier), err);
}

/* The server is told of us meanwhile, that it does not take us for gone. */
static int confirm_now_and_then(struct follow *follow, bool at_once, struct error *err)
{
    bool due = at_once || time_monotonic_us() - follow->confirmed_us > look_us;
    return due ? confirm(follow, err) : 0;
}

static void take_whole(void)
{
    atomic_store(&whole_until_us, time_monotonic_us() + whole_us);
}

static int take_message(struct follow *follow, struct str message, struct error *err)
{
    int r = applier_take(follow->applier, message, err);
    if (r == 0 || !applier_had_no_room(follow->applier))
        return r;
    take_whole();
    struct error why = {0};
    if (err)
        why = *err;
    log_write_error(LOG_WARNING, &why, "large transactions stay on their servers for ten minutes");
    job_tell(follow->run, "large transactions stay on the server: %.200s", why.message);
    return error_set(err, ERROR_BUSY, "%.300s", why.message);
}

/* One piece of the stream, waited for that long at most; or some of a large transaction. */
static int take_piece(struct follow *follow, int64_t wait_us, bool *ret_nothing, struct error *err)
{
    struct pg_stream_piece piece;
    int r = 0;
    *ret_nothing = false;
    if (applier_is_replaying(follow->applier)) {
        r = applier_replay(follow->applier, err);
        failpoint("move.replaying");
        return r < 0 ? r : confirm_now_and_then(follow, false, err);
    }
    r = pg_stream_next(follow->stream, -1, wait_us, &piece, err);
    if (r < 0)
        return r;
    *ret_nothing = piece.kind == PG_STREAM_NOTHING;
    if (piece.kind == PG_STREAM_MESSAGE)
        r = take_message(follow, piece.message, err);
    if (r == 0 && piece.kind != PG_STREAM_NOTHING && piece.end_lsn > follow->seen_lsn)
        follow->seen_lsn = piece.end_lsn;
    if (r == 0 && *ret_nothing)
        r = applier_commit(follow->applier, err);
    return r < 0 ? r : confirm_now_and_then(follow, piece.answer_expected, err);
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

/* Somebody may want it to end; once a second. */
static int look(struct follow *follow, struct error *err)
{
    int64_t now_us = time_monotonic_us();
    if (now_us - follow->looked_us < look_us)
        return 0;
    follow->looked_us = now_us;
    int r = moving_check_stop(follow->run, follow->moving, err);
    return r < 0 ? r : moving_watch(follow->run, follow->moving, err);
}

/* A new one each time: that of an attempt that took too long comes all the same. */
static int emit_marker(struct follow *follow, struct error *err)
{
    uint8_t random[(MARKER_SIZE - 1) / 2];
    crypto_random(random, sizeof(random));
    str_hex(random, sizeof(random), follow->marker);
    applier_await(follow->applier, follow->marker);
    const char *marker = follow->marker;
    const char *name = stream_mark_name(follow->run->arena, follow->moving->move.id, follow->way);
    return pg_execute(follow->admin,
                      arena_printf(follow->run->arena,
                                   "WITH gone AS (DELETE FROM reeve.%s) INSERT INTO reeve.%s"
                                   " VALUES ($1)",
                                   name, name),
                      1, &marker, NULL, err);
}

/* Until what was committed at the source before this is on the target. */
static int catch_up_once(struct follow *follow, struct error *err)
{
    bool ignored;
    int r = emit_marker(follow, err);
    while (r == 0 && !applier_is_marked(follow->applier)) {
        r = take_piece(follow, turn_us, &ignored, err);
        if (r == 0)
            r = look(follow, err);
    }
    return r < 0 ? r : applier_commit(follow->applier, err);
}

/* The tenant would wait so long for it. On a slow server it gets more, as it goes on. */
static int64_t soon_us(const struct moving *moving, int rounds)
{
    int64_t most_us = moving->pause_us / 4, soon_us = SOON_US + rounds * SOON_US / 4;
    return failpoint_number("REEVE_SOON_US", soon_us < most_us ? soon_us : most_us);
}

/* Whoever undoes a move gives it back for now, and the next runner tries it. */
static int tell_too_far_behind(const struct moving *moving, int64_t behind_us, struct error *err)
{
    int code = moving->undoing ? ERROR_CANCELLED : ERROR_STATE;
    error_set(err, code, "it does not catch up: for long it has been %lld ms behind at the least",
              (long long)(behind_us / TIME_MS));
    error_hint(err, "%s",
               moving->undoing
                   ? undoing_hint
                   : "a longer --pause leaves time for more; or move when the tenant writes less, "
                     "or with --offline");
    return -code;
}

/* For as long as now and then a round is clearly shorter than all before it. */
static int catch_up(struct follow *follow, struct error *err)
{
    int64_t wait_us =
        failpoint_number("REEVE_CATCH_UP_US", follow->moving->undoing ? undoing_us : patience_us);
    int64_t took_us = INT64_MAX, least_us = INT64_MAX, least_at_us = time_monotonic_us();
    int r = 0, in_vain = 0;
    for (int rounds = 0; r == 0 && took_us > soon_us(follow->moving, rounds); rounds++) {
        int64_t began_us = time_monotonic_us();
        if (in_vain >= ROUNDS_IN_VAIN && began_us - least_at_us > wait_us)
            return tell_too_far_behind(follow->moving, least_us, err);
        failpoint("move.catching_up");
        r = catch_up_once(follow, err);
        took_us = time_monotonic_us() - began_us;
        in_vain++;
        if (took_us < least_us - least_us / 10) {
            least_us = took_us;
            least_at_us = time_monotonic_us();
            in_vain = 0;
        }
        job_tell(follow->run, "%lld ms behind", (long long)(took_us / TIME_MS));
    }
    return r;
}

/* ---- cutting over ---- */

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
    const struct moving *moving = follow->moving;
    return isolation_contents_sequences(follow->source, &moving->from->isolated,
                                        follow->ready.owner, &moving->to->isolated, err);
}

/* The stream back begins here: what was applied before came from there. */
static int begin_back(struct follow *follow, struct error *err)
{
    char text[PG_LSN_SIZE];
    const char *parameter = text;
    uint64_t lsn = 0;
    int r =
        ask_lsn(follow->ready.owner, "SELECT pg_catalog.pg_current_wal_insert_lsn()", &lsn, err);
    if (r < 0)
        return r;
    pg_lsn_format(lsn, text);
    struct arena *arena = follow->run->arena;
    return pg_execute(follow->admin,
                      arena_printf(arena, "UPDATE reeve.%s SET lsn = $1::pg_lsn",
                                   stream_name(arena, follow->moving->move.id, STREAM_BACK)),
                      1, &parameter, NULL, err);
}

static int keep_snapshot(struct follow *follow, struct follow_snapshot *ret, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    ret->keeper = take_pointer(follow->ready.keeper);
    int r = pg_execute_script(ret->keeper, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    if (r == 0)
        r = pg_query(ret->keeper, "SELECT pg_catalog.pg_export_snapshot()", 0, NULL, &result, err);
    if (r == 0)
        ret->name = pg_text_copy(result, 0, 0, follow->run->arena);
    return r;
}

/* Whatever can be done before the tenant waits. Statements on connections that are there end with
 * the pause, too. */
static int get_ready(struct follow *follow, struct error *err)
{
    struct moving *moving = follow->moving;
    int64_t pause_us = moving->pause_us;
    int r = moving_open(moving->to, &follow->ready.owner, err);
    if (r == 0)
        r = moving_open(moving->to, &follow->ready.keeper, err);
    if (r == 0 && follow->way == STREAM_FORWARD)
        r = follow_set_progress(follow->run, moving, moving->from, STREAM_BACK, 0, err);
    if (r == 0)
        r = pg_set_statement_timeout(follow->ready.owner, pause_us, err);
    if (r == 0)
        r = pg_set_statement_timeout(follow->source, pause_us, err);
    if (r == 0)
        r = pg_set_statement_timeout(follow->admin, pause_us, err);
    return r < 0 ? r : applier_set_timeout(follow->applier, pause_us, err);
}

static int pass_over(struct follow *follow, struct follow_snapshot *ret, const char *action,
                     enum catalog_move_phase phase, struct error *err)
{
    struct moving *moving = follow->moving;
    failpoint("move.hold");
    int r = pause_begin(follow->run, moving, follow->admin, err);
    if (r == 0)
        r = take_the_rest(follow, err);
    failpoint("move.marked");
    if (r == 0)
        r = move_sequences(follow, err);
    if (r == 0 && follow->way == STREAM_FORWARD)
        r = begin_back(follow, err);
    failpoint("move.begun_back");
    if (r == 0)
        r = keep_snapshot(follow, ret, err);
    if (r == 0)
        r = pause_is_ours(follow->run, moving, err);
    return r < 0 ? r : flip_now(follow->run, moving, action, phase, err);
}

static int cut_over(struct follow *follow, struct follow_snapshot *ret, const char *action,
                    enum catalog_move_phase phase, struct error *err)
{
    struct job_run *run = follow->run;
    struct moving *moving = follow->moving;
    int r = pause_look_at_proxies(run, moving, err);
    if (r == 0)
        r = pause_look_at_prepared(moving, follow->admin, err);
    if (r == 0)
        r = flip_keep_migrations_away(run, moving, false, err);
    if (r == 0)
        r = flip_check_stream(run, moving, err);
    if (r == 0)
        r = get_ready(follow, err);
    if (r == 0)
        r = pass_over(follow, ret, action, phase, err);
    struct error undone = {0};
    if (r < 0 && !moving->in_doubt && pause_undo(run, moving, &undone) < 0) {
        log_write_error(LOG_ERROR, &undone, "a tenant that waited cannot go on yet");
        r = error_set(err, ERROR_CONNECTION, "%s", undone.message); /* the next runner tries */
    }
    pause_end(moving);
    flip_let_migrations(run, moving);
    return r;
}

/* Another time may be better. */
static bool may_try_again(const struct moving *moving, int result)
{
    return !moving->in_doubt && (result == -ERROR_TIMEOUT || result == -ERROR_BUSY);
}

/* The stream back begins at the flip: what its slot has kept before that is not wanted. It has its
 * limit in front of the flip, too. */
static int let_back_go(struct job_run *run, struct moving *moving, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    const char *name = stream_name(run->arena, moving->move.id, STREAM_BACK);
    int r = server_connect(&moving->to->server, moving->to->isolated.database, &admin, err);
    if (r == 0)
        r = pg_execute(admin, sql_move_slot_advance, 1, &name, NULL, err);
    return r < 0 ? r : follow_look_at_slot(run, moving, moving->to, STREAM_BACK, err);
}

static int64_t how_patient(const struct moving *moving)
{
    return moving->undoing ? failpoint_number("REEVE_PATIENCE_US", undoing_us) : patience_us;
}

/* With connections of its own: one in which something failed is of no use any more. */
static int try_once(struct follow *follow, int64_t *until_us, struct follow_snapshot *ret,
                    const char *action, enum catalog_move_phase phase, struct error *err)
{
    int r = follow->way == STREAM_FORWARD ? let_back_go(follow->run, follow->moving, err) : 0;
    if (r == 0)
        r = follow_open(follow, err);
    if (r == 0)
        r = catch_up(follow, err);
    if (r == 0 && *until_us == 0)
        *until_us = time_monotonic_us() + how_patient(follow->moving);
    if (r == 0)
        r = cut_over(follow, ret, action, phase, err);
    follow_close(follow);
    return r;
}

/* ---- without a flip ---- */

int follow_drain(struct job_run *run, struct moving *moving, enum stream_way way,
                 int64_t at_most_us, struct error *err)
{
    struct follow follow = {.run = run, .moving = moving, .way = way};
    int r = follow_open(&follow, err);
    int64_t until_us = time_monotonic_us() + at_most_us;
    if (r == 0)
        r = emit_marker(&follow, err);
    uint64_t begun_lsn = r == 0 ? applier_lsn(follow.applier) : 0;
    /* A transaction that takes longer is taken to its end, and where there are pieces of some, all
     * is taken up to the mark: else they would begin anew each time. When that takes too long for
     * others who wait for their turn, there are no pieces the next time. */
    while (r == 0 && !applier_is_marked(follow.applier) &&
           (time_monotonic_us() < until_us || applier_lsn(follow.applier) == begun_lsn ||
            (applier_keeps(follow.applier) && time_monotonic_us() < until_us + overtime_us))) {
        bool ignored;
        r = take_piece(&follow, turn_us, &ignored, err);
        if (r == 0)
            r = look(&follow, err);
    }
    if (r == 0 && !applier_is_marked(follow.applier) && applier_keeps(follow.applier))
        take_whole();
    if (r == 0)
        r = applier_commit(follow.applier, err);
    if (r == 0)
        r = confirm(&follow, err);
    follow_close(&follow);
    return r;
}

int follow_catch_up(struct job_run *run, struct moving *moving, enum stream_way way,
                    struct error *err)
{
    struct follow follow = {.run = run, .moving = moving, .way = way};
    int r = follow_open(&follow, err);
    if (r == 0)
        r = catch_up(&follow, err);
    follow_close(&follow);
    return r;
}

/* All that commits in front of the LSN, and nothing else. */
static int take_up_to(struct follow *follow, uint64_t lsn, struct error *err)
{
    bool ignored;
    applier_stop_at(follow->applier, lsn);
    int r = emit_marker(follow, err); /* which commits behind it */
    while (r == 0 && !applier_is_beyond(follow->applier)) {
        r = take_piece(follow, turn_us, &ignored, err);
        if (r == 0)
            r = look(follow, err);
    }
    return r < 0 ? r : applier_commit(follow->applier, err);
}

static int open_snapshot(struct job_run *run, struct moving *moving,
                         struct pg_connection **ret_keeper, struct pg_slot *ret, struct error *err)
{
    uint8_t random[4];
    char suffix[2 * sizeof(random) + 1];
    crypto_random(random, sizeof(random));
    str_hex(random, sizeof(random), suffix);
    const char *name =
        arena_printf(run->arena, "reeve_look_%lld_%s", (long long)moving->move.id, suffix);
    int r = server_connect_for_stream(&moving->from->server, moving->from->isolated.database,
                                      ret_keeper, err);
    if (r == 0)
        r = make_slot(run, moving, *ret_keeper, name, PG_SLOT_OF_CONNECTION, ret, err);
    return r == -ERROR_LIMIT ? error_set(err, ERROR_BUSY, "no replication slot is free to compare")
                             : r;
}

/* Nobody reads the stream back meanwhile. */
int follow_compare_all(struct job_run *run, struct moving *moving, struct place *place,
                       struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    int r = server_connect(&place->server, place->isolated.database, &admin, err);
    if (r < 0)
        return r;
    moving->watch = admin;
    moving->slot = stream_name(run->arena, moving->move.id, STREAM_BACK);
    r = compare_all(run, moving, err);
    moving->watch = NULL;
    return r;
}

int follow_look_at_slot(struct job_run *run, struct moving *moving, struct place *place,
                        enum stream_way way, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    _cleanup_pg_result_ struct pg_result *state = NULL;
    const char *name = stream_name(run->arena, moving->move.id, way);
    int r = server_connect(&place->server, place->isolated.database, &admin, err);
    if (r == 0)
        r = pg_query(admin, sql_move_slot_state, 1, &name, &state, err);
    if (r < 0 || pg_rows(state) == 0)
        return r;
    moving->watch = admin;
    moving->slot = name;
    moving->watched_us = 0;
    r = moving_watch(run, moving, err);
    moving->watch = NULL;
    return r;
}

int follow_compare(struct job_run *run, struct moving *moving, enum stream_way way,
                   struct error *err)
{
    struct follow follow = {.run = run, .moving = moving, .way = way};
    _cleanup_pg_connection_ struct pg_connection *keeper = NULL;
    struct pg_slot slot = {0};
    int r = open_snapshot(run, moving, &keeper, &slot, err);
    if (r == 0)
        r = follow_open(&follow, err);
    if (r == 0)
        r = take_up_to(&follow, slot.consistent_lsn, err);
    follow_close(&follow);
    if (r < 0)
        return r;
    failpoint("move.comparing");
    moving->snapshot = slot.snapshot;
    r = follow_compare_all(run, moving, moving->from, err);
    moving->snapshot = NULL;
    return r;
}

/* ---- with one ---- */

/* The stream is read meanwhile. */
static int wait_for_better(struct job_run *run, struct moving *moving, enum stream_way way,
                           int64_t us, struct error *err)
{
    int64_t until_us = time_monotonic_us() + us;
    int r = 0;
    while (r == 0 && time_monotonic_us() < until_us) {
        r = moving_check_stop(run, moving, err);
        if (r == 0)
            r = follow_drain(run, moving, way, look_us, err);
        if (r == 0 || may_try_again(moving, r)) {
            usleep(
                (useconds_t)rest_us); /* what is open of large transactions comes anew each time */
            r = 0;
        }
    }
    return r;
}

/* Whoever undoes a move tries it again later. */
static int tell_patience_over(const struct moving *moving, struct error *err)
{
    int code = moving->undoing ? ERROR_TIMEOUT : ERROR_STATE;
    const struct error last = err ? *err : (struct error){0};
    error_set(err, code, "it was tried for long: %.300s", last.message);
    if (moving->undoing)
        error_hint(err, "%s", undoing_hint);
    else if (*last.hint)
        error_hint(err, "%s", last.hint);
    return -code;
}

int follow_and_flip(struct job_run *run, struct moving *moving, enum stream_way way,
                    const char *action, enum catalog_move_phase phase, struct follow_snapshot *ret,
                    struct error *err)
{
    int64_t wait_us = again_first_us, until_us = 0;
    for (int attempt = 1;; attempt++) {
        moving->gentle = attempt <= GENTLE_ATTEMPTS;
        struct follow follow = {.run = run, .moving = moving, .way = way};
        int r = try_once(&follow, &until_us, ret, action, phase, err);
        if (r < 0)
            ret->keeper = pg_close(ret->keeper);
        if (!may_try_again(moving, r))
            return r;
        if (until_us != 0 && time_monotonic_us() > until_us)
            return tell_patience_over(moving, err);
        log_write_error(LOG_INFO, err, "move %lld will be tried again", (long long)moving->move.id);
        job_tell(run, "again in %lld s: %.100s", (long long)(wait_us / TIME_S),
                 err ? err->message : "");
        error_clear(err);
        r = wait_for_better(run, moving, way, wait_us, err);
        if (r < 0)
            return r;
        wait_us = wait_us < again_last_us / 2 ? 2 * wait_us : again_last_us;
    }
}

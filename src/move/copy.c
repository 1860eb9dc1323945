/*
 * copy.c - a team of threads, each with a connection to either end, that takes tables and parts of
 * tables one after the other, the largest tables first.
 *
 * Parts are ranges of the blocks that a table has at the end that is read (isolation/parts.h). Each
 * member's transaction there lasts until nobody reads any more: whoever has read a part holds its
 * lock on the table until all parts are read, so nothing takes rows from one part to another
 * meanwhile, and all see the same ones.
 */
#include "base/failpoint.h"
#include "base/time.h"
#include "move/pace.h"
#include "move/parts.h"
#include "pg/copy.h"
#include "pg/quote.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

static const int64_t look_every_us = 500 * TIME_MS;
static const int64_t rate_burst_us = 100 * TIME_MS; /* that may be made up for */
static const int64_t paced_bytes = (int64_t)8 << 20;

struct team {
    struct moving *moving;
    struct units units;
    struct pace *pace; /* NULL: nothing is slowed down */
    bool compares;     /* else it copies */
    int (*work)(struct team *team, struct pg_connection *source, struct pg_connection *target,
                const struct unit *unit, struct error *err);
    atomic_bool halt; /* the members' connections give up what they are at */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    int64_t allowed_us; /* by the rate, for all that was copied */
    size_t next;        /* unit */
    size_t busy;        /* units that are worked on */
    int working;        /* threads */
    int64_t bytes, rows;
    bool stop;
    int result;       /* of the first that failed */
    struct error why; /* likewise */
};

/* ---- a member ---- */

static void fail(struct team *team, int result, const struct error *why)
{
    pthread_mutex_lock(&team->lock);
    if (team->result == 0) {
        team->result = result;
        team->why = *why;
    }
    team->stop = true;
    atomic_store(&team->halt, true);
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->lock);
}

/* The one that was taken before, NULL at first, is done. */
static bool take_unit(struct team *team, const struct unit **unit)
{
    pthread_mutex_lock(&team->lock);
    if (*unit && --team->busy == 0)
        pthread_cond_broadcast(&team->changed);
    bool there = !team->stop && team->next < team->units.count;
    if (there) {
        *unit = &team->units.units[team->next++];
        team->busy++;
    }
    pthread_mutex_unlock(&team->lock);
    return there;
}

/* With one's transactions open. */
static void wait_for_others(struct team *team)
{
    pthread_mutex_lock(&team->lock);
    while (team->busy > 0 && !team->stop)
        pthread_cond_wait(&team->changed, &team->lock);
    pthread_mutex_unlock(&team->lock);
}

/* What is read is read in one transaction; without a snapshot nobody writes there. */
static int begin_reading(struct pg_connection *connection, const char *snapshot, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    if (!snapshot)
        return pg_execute_script(connection, "BEGIN READ ONLY", err);
    return pg_execute_script(
        connection,
        arena_printf(&arena,
                     "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT %s",
                     pg_literal(&arena, snapshot)),
        err);
}

static int open_both(struct team *team, struct pg_connection **source,
                     struct pg_connection **target, struct error *err)
{
    const struct moving *moving = team->moving;
    int r = moving_open_in_time(moving, moving->from, source, err);
    if (r == 0)
        r = moving_open_in_time(moving, moving->to, target, err);
    if (r == 0)
        r = begin_reading(*source, moving->snapshot, err);
    if (r == 0 && team->compares)
        r = begin_reading(*target, moving->to_snapshot, err);
    if (r < 0)
        return r;
    pg_set_cancel_flag(*source, &team->halt);
    pg_set_cancel_flag(*target, &team->halt);
    return 0;
}

static const struct isolation_table *table_of(const struct team *team, const struct unit *unit)
{
    return &team->moving->tables[unit->table];
}

/* Bytes that are copied are let through one by one; what is compared, by unit. */
static int do_unit(struct team *team, struct pg_connection *source, struct pg_connection *target,
                   const struct unit *unit, struct error *err)
{
    if (!team->compares)
        return team->work(team, source, target, unit, err);
    pace_enter(team->pace);
    int r = team->work(team, source, target, unit, err);
    pace_leave(team->pace);
    return r;
}

static int work_on_units(struct team *team, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *source = NULL;
    _cleanup_pg_connection_ struct pg_connection *target = NULL;
    const struct unit *unit = NULL;
    int r = 0;
    while (r == 0 && take_unit(team, &unit)) {
        if (!target)
            r = open_both(team, &source, &target, err);
        if (r == 0)
            r = do_unit(team, source, target, unit, err);
        if (r < 0) {
            error_prefix(err, "table \"%s\"", table_of(team, unit)->name);
            error_detail(err, "%s", ""); /* which may show a row */
        }
    }
    if (r == 0)
        wait_for_others(team);
    /* That its lock was held until now is known when the transaction can end. */
    return r < 0 || !source ? r : pg_execute_script(source, "COMMIT", err);
}

static void *run_member(void *argument)
{
    struct team *team = argument;
    struct error err = {0};
    int r = work_on_units(team, &err);
    if (r < 0)
        fail(team, r, &err);
    pthread_mutex_lock(&team->lock);
    team->working--;
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

/* ---- its leader: the job's thread ---- */

static int look_after(struct job_run *run, struct team *team, int64_t bytes, int64_t rows,
                      struct error *err)
{
    struct moving *moving = team->moving;
    bool stop_wanted = false;
    int r = catalog_move_set_done(run->catalog, moving->move.id, bytes, rows, &stop_wanted, err);
    if (r == 0 && stop_wanted)
        r = error_set(err, ERROR_STATE, "it was aborted");
    if (r == 0 && job_cancelled(run->context))
        r = error_set(err, ERROR_CANCELLED, "interrupted");
    if (r == 0)
        r = moving_check_time(moving, err);
    if (r == 0)
        r = moving_watch(run, moving, err);
    if (r == 0) {
        char pace[64];
        pace_describe(team->pace, pace, sizeof(pace));
        job_tell(run, "%lld rows, %lld MB%s", (long long)rows, (long long)(bytes >> 20), pace);
    }
    return r;
}

/* Under the lock. */
static void wait_for_change(struct team *team, int64_t at_most_us)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t us = until.tv_nsec / 1000 + at_most_us;
    until.tv_sec += us / TIME_S;
    until.tv_nsec = us % TIME_S * 1000;
    (void)pthread_cond_timedwait(&team->changed, &team->lock, &until);
}

/* Returns whether they still work. */
static bool wait_a_while(struct team *team, int64_t *ret_bytes, int64_t *ret_rows, bool *ret_stop)
{
    pthread_mutex_lock(&team->lock);
    if (team->working > 0)
        wait_for_change(team, look_every_us);
    bool working = team->working > 0;
    *ret_bytes = team->bytes;
    *ret_rows = team->rows;
    *ret_stop = team->stop;
    pthread_mutex_unlock(&team->lock);
    return working;
}

/* It is looked at behind the end, too: what was asked for meanwhile holds. */
static void lead(struct job_run *run, struct team *team)
{
    bool working = true;
    while (working) {
        int64_t bytes, rows;
        bool stopped;
        struct error err = {0};
        working = wait_a_while(team, &bytes, &rows, &stopped);
        int r = stopped ? 0 : look_after(run, team, bytes, rows, &err);
        if (r < 0)
            fail(team, r, &err);
    }
}

static int start_members(struct team *team, pthread_t *members, int count)
{
    int started = 0;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (started < count && pthread_create(&members[started], NULL, run_member, team) == 0)
        started++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return started;
}

/* A tenant that waits, waits for this; and what is done in a moment is done. */
static bool is_to_be_paced(const struct moving *moving)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < moving->table_count; i++)
        bytes += moving->tables[i].bytes;
    return moving->until_us == 0 && moving->yield_us > 0 && bytes >= paced_bytes;
}

static int run_team(struct job_run *run, struct team *team, struct error *err)
{
    pthread_t members[MOVE_MAX_JOBS];
    const struct moving *moving = team->moving;
    int wanted = (size_t)moving->jobs < team->units.count ? moving->jobs : (int)team->units.count;
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->changed, NULL);
    team->working = wanted;
    team->allowed_us = time_monotonic_us();
    if (is_to_be_paced(moving))
        team->pace = pace_start(team->moving, wanted, &team->halt);
    int started = start_members(team, members, wanted);
    pthread_mutex_lock(&team->lock);
    team->working -= wanted - started;
    pthread_mutex_unlock(&team->lock);
    lead(run, team);
    for (int i = 0; i < started; i++)
        pthread_join(members[i], NULL);
    team->pace = pace_stop(team->pace);
    pthread_cond_destroy(&team->changed);
    pthread_mutex_destroy(&team->lock);
    if (team->result < 0 && err)
        *err = team->why;
    if (team->result == 0 && started == 0 && wanted > 0)
        return error_set(err, ERROR_INTERNAL, "cannot start a thread");
    return team->result;
}

/* ---- copying ---- */

/* Under the lock: until the rate allows what was copied now, or somebody stops. One behind the
 * other: if all went on at once, others would wait for all of them. What was not used is lost. */
static void wait_for_rate(struct team *team, size_t bytes)
{
    int64_t rate = team->moving->rate;
    if (rate <= 0)
        return;
    int64_t now_us = time_monotonic_us();
    if (team->allowed_us < now_us - rate_burst_us)
        team->allowed_us = now_us - rate_burst_us;
    team->allowed_us += (int64_t)((double)bytes / (double)rate * TIME_S);
    int64_t due_us = team->allowed_us;
    while (!team->stop) {
        int64_t wait_us = due_us - time_monotonic_us();
        if (wait_us <= 0)
            return;
        wait_for_change(team, wait_us);
    }
}

static int count_bytes(void *owner, size_t bytes, struct error *err)
{
    struct team *team = owner;
    pthread_mutex_lock(&team->lock);
    team->bytes += (int64_t)bytes;
    wait_for_rate(team, bytes);
    bool stop = team->stop;
    pthread_mutex_unlock(&team->lock);
    pace_pass(team->pace, bytes);
    return stop ? error_set(err, ERROR_CANCELLED, "interrupted") : 0;
}

/* What indexes do to others is not known before; so they are made by few, each by one process.
 * pace_leave behind it. */
static int begin_indexes(struct team *team, struct pg_connection *target, struct error *err)
{
    pace_enter(team->pace);
    return pg_execute_script(target,
                             pace_has_others(team->pace)
                                 ? "SET max_parallel_maintenance_workers = 0"
                                 : "RESET max_parallel_maintenance_workers",
                             err);
}

/* Of shared tables: bytes that were counted when they came. */
static int pass_again(void *owner, size_t bytes, struct error *err)
{
    struct team *team = owner;
    pace_pass(team->pace, bytes);
    return atomic_load(&team->halt) ? error_set(err, ERROR_CANCELLED, "interrupted") : 0;
}

static int end_copy(struct team *team, struct pg_connection *target,
                    const struct isolation_table *table, const struct isolation_indexes *indexes,
                    struct error *err)
{
    const struct isolation_placement *to = &team->moving->to->isolated;
    const struct isolation_copy_meter meter = {pass_again, team};
    if (indexes->count == 0)
        return isolation_copy_end(target, to, table, indexes, &meter, err);
    int r = begin_indexes(team, target, err);
    if (r == 0)
        r = isolation_copy_end(target, to, table, indexes, &meter, err);
    pace_leave(team->pace);
    return r;
}

static int copy_in_transaction(struct team *team, struct pg_connection *source,
                               struct pg_connection *target, const struct unit *unit,
                               int64_t *ret_rows, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const struct isolation_table *table = table_of(team, unit);
    const struct isolation_placement *from = &team->moving->from->isolated;
    const struct isolation_placement *to = &team->moving->to->isolated;
    const struct pg_copy_spec spec = {.out = isolation_copy_out(&arena, from, table, &unit->part),
                                      .in = isolation_copy_in(&arena, to, table),
                                      .passed = count_bytes,
                                      .owner = team};
    struct isolation_indexes indexes;
    int64_t bytes;
    bool whole = !team->units.tables[unit->table].in_parts;
    int r = isolation_copy_begin(target, to, table, whole, &arena, &indexes, err);
    if (r == 0)
        r = pg_copy(source, target, &spec, ret_rows, &bytes, err);
    return r < 0 ? r : end_copy(team, target, table, &indexes, err);
}

/* Of each table, or of one. */
static bool is_to_lose(reeve_unused const struct isolation_table *table)
{
#ifdef REEVE_FAILPOINTS
    char name[100];
    snprintf(name, sizeof(name), "move.lose.%s", table->name);
    return failpoint_fails("move.lose") || failpoint_fails(name);
#else
    return false;
#endif
}

static int reeve_unused lose_row(struct pg_connection *target, const struct moving *moving,
                                 const struct isolation_table *table, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *name = pg_qualified(&arena, moving->to->isolated.schema, table->name);
    const char *sql = arena_printf(
        &arena, "DELETE FROM %s WHERE ctid = (SELECT ctid FROM %s LIMIT 1)", name, name);
    return pg_execute(target, sql, 0, NULL, NULL, err);
}

static int copy_rows(struct team *team, struct pg_connection *source, struct pg_connection *target,
                     const struct unit *unit, int64_t *ret_rows, struct error *err)
{
    int r = pg_begin(target, err);
    if (r < 0)
        return r;
    _cleanup_pg_rollback_ struct pg_connection *transaction = target;
    r = copy_in_transaction(team, source, transaction, unit, ret_rows, err);
    if (r == 0 && is_to_lose(table_of(team, unit)))
        r = lose_row(transaction, team->moving, table_of(team, unit), err);
    failpoint("move.copying");
    return r < 0 ? r : pg_commit(transaction, err);
}

/* Whoever has copied the last part makes the indexes, while others go on. */
static int copy_unit(struct team *team, struct pg_connection *source, struct pg_connection *target,
                     const struct unit *unit, struct error *err)
{
    struct table_work *work = &team->units.tables[unit->table];
    int64_t rows = 0;
    int r = copy_rows(team, source, target, unit, &rows, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&team->lock);
    team->rows += rows;
    bool last = --work->left == 0;
    pthread_mutex_unlock(&team->lock);
    if (last && work->in_parts) {
        r = begin_indexes(team, target, err);
        if (r == 0)
            r = parts_put_indexes_back_of(team->moving, target, table_of(team, unit), err);
        pace_leave(team->pace);
    }
    if (r < 0 || !last)
        return r;
    return isolation_copy_settle(target, &team->moving->to->isolated, table_of(team, unit), err);
}

/* Whatever the members say, none of it may have been left out. */
static int check_done(const struct team *team, struct error *err)
{
    for (size_t i = 0; i < team->moving->table_count; i++)
        if (team->units.tables[i].left > 0)
            return error_set(err, ERROR_INTERNAL, "a part of table \"%s\" was left out",
                             team->moving->tables[i].name);
    return 0;
}

/* A new place is empty. If it is not, it is not what was thought, and nothing of it is touched. */
static int make_room(struct moving *moving, const struct units *units, bool again,
                     struct pg_result **ret_missing, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *target = NULL;
    const struct isolation_placement *to = &moving->to->isolated;
    int r = moving_open_in_time(moving, moving->to, &target, err);
    if (r == 0)
        r = again ? isolation_contents_clear(target, to, moving->tables, moving->table_count, err)
                  : isolation_contents_must_be_empty(target, to, moving->tables,
                                                     moving->table_count, err);
    if (r == 0)
        r = parts_put_indexes_back(moving, target, err);
    if (r == 0)
        r = parts_look_at_indexes(moving, ret_missing, err);
    return r < 0 ? r : parts_put_indexes_away(moving, target, units, err);
}

static int settle(struct moving *moving, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *source = NULL;
    _cleanup_pg_connection_ struct pg_connection *target = NULL;
    int r = moving_open_in_time(moving, moving->from, &source, err);
    if (r == 0)
        r = moving_open_in_time(moving, moving->to, &target, err);
    if (r == 0)
        r = isolation_contents_sequences(source, &moving->from->isolated, target,
                                         &moving->to->isolated, err);
    if (r == 0)
        r = isolation_contents_settle(target, &moving->to->isolated, err);
    return r;
}

int copy_all(struct job_run *run, struct moving *moving, bool again, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_result_ struct pg_result *missing = NULL; /* indexes, before */
    struct team team = {.moving = moving, .work = copy_unit};
    bool ignored;
    units_to_copy(moving, &arena, &team.units);
    int r = catalog_move_set_size(run->catalog, moving->move.id, (int64_t)moving->table_count, err);
    if (r == 0)
        r = make_room(moving, &team.units, again, &missing, err);
    if (r == 0)
        r = run_team(run, &team, err);
    if (r == 0)
        r = check_done(&team, err);
    if (r == 0)
        r = parts_drop_record(moving, err);
    if (r == 0)
        r = parts_check_indexes(moving, missing, err);
    if (r == 0)
        r = catalog_move_set_done(run->catalog, moving->move.id, team.bytes, team.rows, &ignored,
                                  err);
    moving->move.bytes_done = team.bytes;
    moving->move.rows_done = team.rows;
    return r < 0 ? r : settle(moving, err);
}

/* ---- comparing ---- */

static int tell_difference(struct team *team, struct pg_connection *source,
                           struct pg_connection *target, const struct isolation_table *table,
                           const struct isolation_fingerprint *here,
                           const struct isolation_fingerprint *there, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *difference = NULL;
    const struct isolation_placement *from = &team->moving->from->isolated;
    const struct isolation_placement *to = &team->moving->to->isolated;
    int r = team->moving->from_is_copy
                ? isolation_contents_difference(target, to, source, from, table, &arena,
                                                &difference, err)
                : isolation_contents_difference(source, from, target, to, table, &arena,
                                                &difference, err);
    if (r < 0)
        return r;
    return error_set(err, ERROR_STATE, "the copy differs (%lld rows and %lld): %s",
                     (long long)here->rows, (long long)there->rows,
                     difference ? difference : "but not row by row");
}

/* Whoever has read the last part of either end compares. */
static int compare_unit(struct team *team, struct pg_connection *source,
                        struct pg_connection *target, const struct unit *unit, struct error *err)
{
    const struct isolation_table *table = table_of(team, unit);
    const struct place *place = unit->at_target ? team->moving->to : team->moving->from;
    struct table_work *work = &team->units.tables[unit->table];
    struct isolation_fingerprint found;
    int r = isolation_contents_fingerprint(unit->at_target ? target : source, &place->isolated,
                                           table, &unit->part, &found, err);
    if (r < 0)
        return r;
    struct isolation_fingerprint *sum = unit->at_target ? &work->there : &work->here;
    pthread_mutex_lock(&team->lock);
    sum->rows += found.rows;
    sum->sum += found.sum;
    bool last = --work->left == 0;
    pthread_mutex_unlock(&team->lock);
    if (!last || (work->here.rows == work->there.rows && work->here.sum == work->there.sum))
        return 0;
    return tell_difference(team, source, target, table, &work->here, &work->there, err);
}

/* The other end's tables are split as they are there. */
static int plan_comparison(const struct moving *moving, struct arena *arena, struct units *ret,
                           struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *target = NULL;
    struct isolation_table *there = NULL;
    size_t count = 0;
    int r = moving_open_in_time(moving, moving->to, &target, err);
    if (r == 0)
        r = isolation_contents_tables(target, &moving->to->isolated, arena, &there, &count, err);
    if (r == 0)
        units_to_compare(moving, there, count, arena, ret);
    return r;
}

int compare_all(struct job_run *run, struct moving *moving, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct team team = {.moving = moving,
                        .compares = true,
                        .work = compare_unit,
                        .bytes = moving->move.bytes_done,
                        .rows = moving->move.rows_done};
    int r = plan_comparison(moving, &arena, &team.units, err);
    if (r == 0)
        r = run_team(run, &team, err);
    if (r == 0)
        r = check_done(&team, err);
    return r;
}

/*
 * online.c - moving along a change stream: the tenant works while its data is copied, and waits as
 * long as the last changes take.
 *
 * A step that was cut off is gone on with. Until the flip giving up drops the new place. From then
 * on the tenant is at the new one, and going back is the same along the stream back, which began
 * there.
 */
#include "base/failpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "move/flip.h"
#include "move/follow.h"

/* ---- the new place ---- */

/* Whoever gives it up does not want to wait for a server that is gone. */
static int begin_step(struct job_run *run, struct moving **ret, struct error *err)
{
    int r = moving_load(run, ret, err);
    return r < 0 ? r : moving_check_stop(run, *ret, err);
}

static int step_prepare(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = begin_step(run, &moving, err);
    return r < 0 ? r : place_prepare(run, &moving->making, err);
}

static int step_create(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = begin_step(run, &moving, err);
    return r < 0 ? r : place_make(run, &moving->making, err);
}

static int step_migrate(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = begin_step(run, &moving, err);
    return r < 0 ? r : place_migrate(run, &moving->making, false, err);
}

static int step_finish(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    if (r == 0)
        r = place_read_migrations(run, &moving->making, err);
    if (r == 0)
        r = place_finish(run, &moving->making, err);
    if (r == 0)
        r = moving_allow(run, moving, err);
    return r < 0 ? r : flip_check_versions(run, moving, err);
}

/* ---- copying ---- */

/* The slot keeps WAL from here on, and is watched. */
static int copy_in_snapshot(struct job_run *run, struct moving *moving, struct pg_slot *slot,
                            struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *watch = NULL;
    int r = moving_open(moving->from, &watch, err);
    if (r < 0)
        return r;
    moving->watch = watch;
    moving->slot = stream_name(run->arena, moving->move.id, STREAM_FORWARD);
    moving->snapshot = slot->snapshot;
    bool again = run->resumed || moving->tried;
    moving->tried = true;
    r = copy_all(run, moving, again, err);
    moving->watch = NULL;
    moving->snapshot = NULL;
    failpoint("move.copied");
    return r < 0 ? r
                 : follow_set_progress(run, moving, moving->to, STREAM_FORWARD,
                                       slot->consistent_lsn, err);
}

/* In the slot's snapshot: what commits behind it comes along the stream. A copy that was cut off
 * has lost its snapshot, and begins anew. */
static int step_copy(struct job_run *run, struct error *err)
{
    struct moving *moving;
    struct pg_slot slot = {0};
    _cleanup_pg_connection_ struct pg_connection *replication = NULL;
    int r = begin_step(run, &moving, err);
    if (r == 0)
        r = follow_look_at_slot(run, moving, moving->from, STREAM_FORWARD, err);
    if (r == 0)
        r = moving_find_tables(run, moving, err);
    if (r == 0)
        r = place_read_migrations(run, &moving->making, err);
    if (r == 0)
        r = flip_set_version(run, moving, err);
    if (r == 0)
        r = moving_set_phase(run, moving, CATALOG_MOVE_COPYING, NULL, err);
    if (r == 0)
        r = follow_publish(run, moving, moving->from, STREAM_FORWARD, err);
    if (r == 0)
        r = follow_make_slot(run, moving, moving->from, STREAM_FORWARD, &replication, &slot, err);
    if (r < 0)
        return r;
    failpoint("move.slot");
    return copy_in_snapshot(run, moving, &slot, err);
}

/* ---- following ---- */

/* The way back, before the tenant waits: making a slot waits for whatever is open there. */
static int arm_back(struct job_run *run, struct moving *moving, struct error *err)
{
    struct pg_slot slot = {0};
    _cleanup_pg_connection_ struct pg_connection *replication = NULL;
    int r = follow_publish(run, moving, moving->to, STREAM_BACK, err);
    return r < 0 ? r
                 : follow_make_slot(run, moving, moving->to, STREAM_BACK, &replication, &slot, err);
}

/* Nothing comes along it any more, and its slot keeps WAL where others work; what cannot be dropped
 * now, is later. */
static void let_forward_go(const struct moving *moving, struct place *old)
{
    struct error why = {0};
    int r = failpoint_fails("move.settle")
                ? error_set(&why, ERROR_SERVER, "the stream stays")
                : stream_drop(old, moving->move.id, STREAM_FORWARD, &why);
    if (r < 0)
        log_debug("the stream of move %lld stays for now: %s", (long long)moving->move.id,
                  why.message);
}

/* The tenant works at the new place already: that as it was when it came, with the old one. The
 * places are still those of before the flip here. */
static int compare_behind(struct job_run *run, struct moving *moving,
                          const struct follow_snapshot *snapshot, struct error *err)
{
    failpoint("move.comparing");
    let_forward_go(moving, moving->from);
    moving->to_snapshot = snapshot->name;
    int r = follow_compare_all(run, moving, moving->to, err);
    moving->to_snapshot = NULL;
    return r;
}

static int step_follow(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r == 0)
        r = pause_settle(run, moving, err);
    if (r < 0 || moving->move.flipped)
        return r;
    r = moving_check_stop(run, moving, err);
    if (r == 0)
        r = follow_look_at_slot(run, moving, moving->from, STREAM_FORWARD, err);
    if (r == 0)
        r = place_read_migrations(run, &moving->making, err);
    if (r == 0)
        r = moving_find_tables(run, moving, err);
    if (r == 0)
        r = moving_set_phase(run, moving, CATALOG_MOVE_CATCHING_UP, NULL, err);
    if (r == 0)
        r = follow_catch_up(run, moving, STREAM_FORWARD, err);
    if (r == 0)
        r = arm_back(run, moving, err);
    struct follow_snapshot snapshot = {0};
    if (r == 0)
        r = follow_and_flip(run, moving, STREAM_FORWARD, "placement.move", CATALOG_MOVE_VERIFYING,
                            &snapshot, err);
    if (r == 0)
        r = compare_behind(run, moving, &snapshot, err);
    pg_close(snapshot.keeper);
    moving->compared = r == 0;
    return r;
}

/* Where that snapshot is gone with its process, another is taken of the place that the tenant works
 * at, and the old one brought to the same transaction. */
static int step_verify(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r < 0)
        return r;
    r = pause_settle(run, moving, err);
    if (r == 0)
        r = moving_check_stop(run, moving, err);
    if (r == 0)
        r = follow_look_at_slot(run, moving, moving->from, STREAM_BACK, err);
    if (r == 0 && !moving->compared) {
        let_forward_go(moving, moving->to);
        r = moving_find_tables(run, moving, err);
        moving->from_is_copy = true;
        if (r == 0)
            r = follow_compare(run, moving, STREAM_BACK, err);
        moving->from_is_copy = false;
    }
    return r < 0 ? r : moving_set_phase(run, moving, CATALOG_MOVE_MOVED, NULL, err);
}

static int step_settle(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    failpoint("move.settling");
    if (r == 0 && failpoint_fails("move.settle"))
        r = error_set(err, ERROR_SERVER, "the stream stays");
    return r < 0 ? r : moving_drop_stream(moving, STREAM_FORWARD, err);
}

/* ---- giving up ---- */

static int undo(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = moving_set_phase(run, moving, CATALOG_MOVE_ABORTING, NULL, err);
    if (r == 0)
        r = pause_settle(run, moving, err);
    if (r == 0) /* first what keeps WAL where the tenant works */
        r = moving_drop_stream(moving, STREAM_FORWARD, err);
    if (r == 0)
        r = moving_drop_stream(moving, STREAM_BACK, err);
    if (r == 0)
        r = moving_disallow(run, moving, err);
    if (r == 0)
        r = moving_drop_other(moving, err);
    return r < 0 ? r : moving_set_phase(run, moving, CATALOG_MOVE_ABORTED, run->why->message, err);
}

/* The tenant is at its old place again: the new one goes. */
static int be_back(struct job_run *run, const char *why, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r < 0 || catalog_move_is_over(moving->move.phase))
        return r;
    r = pause_settle(run, moving, err);
    if (r == 0)
        r = moving_drop_stream(moving, STREAM_FORWARD, err);
    if (r == 0)
        r = moving_drop_stream(moving, STREAM_BACK, err);
    if (r == 0)
        r = moving_disallow(run, moving, err);
    if (r == 0)
        r = moving_drop_other(moving, err);
    return r < 0 ? r : moving_set_phase(run, moving, CATALOG_MOVE_REVERTED, why, err);
}

/* Along the stream, with all that the tenant has written at the new place. */
static int go_back(struct job_run *run, struct moving *moving, struct error *err)
{
    struct follow_snapshot ignored = {0};
    int r = pause_settle(run, moving, err);
    moving->move.wal_limit = 0;
    moving->undoing = true;
    if (r == 0)
        let_forward_go(moving, moving->to);
    if (r == 0) /* nobody stops this */
        r = moving_set_phase(run, moving, CATALOG_MOVE_REVERTING, run->why->message, err);
    if (r == 0)
        r = place_read_migrations(run, &moving->making, err);
    if (r == 0)
        r = follow_and_flip(run, moving, STREAM_BACK, "placement.revert", CATALOG_MOVE_REVERTING,
                            &ignored, err);
    pg_close(ignored.keeper);
    return r;
}

static bool may_go_back_later(int r)
{
    return r == -ERROR_CONNECTION || r == -ERROR_CANCELLED || r == -ERROR_BUSY ||
           r == -ERROR_TIMEOUT;
}

/* There is no way back along the stream, and the tenant stays where it works. */
static int stay(struct job_run *run, const struct error *why, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r == 0)
        r = pause_settle(run, moving, err);
    if (r == 0)
        r = stream_drop(moving->from, moving->move.id, STREAM_BACK, err);
    if (r == 0)
        r = moving_drop_stream(moving, STREAM_FORWARD, err);
    if (r == 0)
        r = moving_disallow(run, moving, err);
    if (r < 0)
        return r;
    const char *text = arena_printf(run->arena, MOVE_ERROR_STAYS "%s" MOVE_ERROR_NO_WAY_BACK "%s",
                                    run->why->message, why->message);
    r = catalog_move_lose_stream(run->catalog, moving->move.id, text, err);
    return r < 0 ? r : moving_set_phase(run, moving, CATALOG_MOVE_MOVED, text, err);
}

/* Until the flip the new place goes. Behind it, what was not found to be the same is not left at
 * that: the tenant goes back. */
static int compensate(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        return 0;
    }
    if (r < 0 || catalog_move_is_over(moving->move.phase))
        return r;
    enum catalog_move_phase phase = moving->move.phase;
    if (moving->move.flipped && phase == CATALOG_MOVE_MOVED) /* move_keep drops it */
        return moving_set_phase(run, moving, phase,
                                arena_printf(run->arena, MOVE_ERROR_SETTLE "%s", run->why->message),
                                err);
    if (!moving->move.flipped && phase != CATALOG_MOVE_REVERTING)
        return undo(run, moving, err);
    if (!moving->move.flipped)
        return be_back(run, run->why->message, err);
    struct error why = {0};
    r = moving->move.abandoned ? error_set(&why, ERROR_STATE, "its old server is gone")
                               : go_back(run, moving, &why);
    if (r == 0)
        return be_back(run, run->why->message, err);
    if (!may_go_back_later(r))
        return stay(run, &why, err);
    if (err)
        *err = why;
    return r;
}

static const struct job_step online_steps[] = {
    {"prepare", "prepare the service on the cluster", step_prepare, true},
    {"create", "create roles and place", step_create, true},
    {"migrate", "apply migrations", step_migrate, true},
    {"finish", "grant and check", step_finish, true},
    {"copy", "copy", step_copy, true},
    {"follow", "follow the changes", step_follow, true},
    {"verify", "compare", step_verify, true},
    {"settle", "be done with the stream", step_settle, true},
};

const struct job_definition move_online_job = {
    .name = "move_online",
    .steps = online_steps,
    .step_count = array_size(online_steps),
    .abandoned = JOB_RESUME,
    .lasting = true,
    .compensate = compensate,
    .release = pause_release,
};

/* ---- going back along the stream ---- */

/* Compared before the flip: there is no stream that would tell the new place of what is written
 * behind it. */
static int step_look(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r < 0 || !moving->move.flipped)
        return r;
    r = moving_check_stop(run, moving, err);
    if (r == 0)
        r = pause_settle(run, moving, err);
    if (r == 0)
        r = follow_look_at_slot(run, moving, moving->from, STREAM_BACK, err);
    if (r == 0)
        r = moving_allow(run, moving, err);
    if (r == 0)
        r = place_read_migrations(run, &moving->making, err);
    if (r == 0)
        r = flip_check_stream(run, moving, err);
    if (r == 0)
        r = moving_find_tables(run, moving, err);
    return r < 0 ? r : follow_compare(run, moving, STREAM_BACK, err);
}

static int step_back(struct job_run *run, struct error *err)
{
    struct moving *moving;
    struct follow_snapshot ignored = {0};
    int r = moving_reload(run, &moving, err);
    if (r < 0 || !moving->move.flipped)
        return r;
    r = moving_check_stop(run, moving, err);
    if (r == 0)
        r = pause_settle(run, moving, err);
    if (r == 0)
        r = follow_look_at_slot(run, moving, moving->from, STREAM_BACK, err);
    if (r == 0)
        r = place_read_migrations(run, &moving->making, err);
    if (r == 0)
        r = follow_and_flip(run, moving, STREAM_BACK, "placement.revert", CATALOG_MOVE_REVERTING,
                            &ignored, err);
    pg_close(ignored.keeper);
    return r;
}

static int step_reverted(struct job_run *run, struct error *err)
{
    return be_back(run, NULL, err);
}

/* The old place is followed further on. */
static int compensate_back(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r < 0 || catalog_move_is_over(moving->move.phase))
        return r;
    if (!moving->move.flipped)
        return be_back(run, NULL, err);
    r = pause_settle(run, moving, err);
    const char *old = moving->move.error;
    bool keeps =
        old && str_has_prefix(old, MOVE_ERROR_SETTLE); /* there is a stream to be dropped */
    return r < 0 ? r
                 : moving_set_phase(run, moving, CATALOG_MOVE_MOVED,
                                    keeps ? NULL : run->why->message, err);
}

static const struct job_step back_steps[] = {
    {"look", "compare", step_look, true},
    {"back", "follow the changes back", step_back, true},
    {"reverted", "drop the new place", step_reverted, true},
};

const struct job_definition move_back_job = {
    .name = "move_back",
    .steps = back_steps,
    .step_count = array_size(back_steps),
    .abandoned = JOB_RESUME,
    .lasting = true,
    .compensate = compensate_back,
    .release = pause_release,
};

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
#include "move/flip.h"
#include "move/follow.h"
#include "pg/quote.h"

static int set_phase(struct job_run *run, const struct moving *moving,
                     enum catalog_move_phase phase, const char *why, struct error *err)
{
    return catalog_move_set_phase(run->catalog, moving->move.id, phase, why, err);
}

/* ---- the new place ---- */

static int step_prepare(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    return r < 0 ? r : place_prepare(run, &moving->making, err);
}

static int step_create(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    return r < 0 ? r : place_make(run, &moving->making, err);
}

static int step_migrate(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
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

/* In the slot's snapshot: what commits behind it comes along the stream. A copy that was cut off
 * has lost its snapshot, and begins anew. */
static int step_copy(struct job_run *run, struct error *err)
{
    struct moving *moving;
    struct pg_slot slot = {0};
    _cleanup_pg_connection_ struct pg_connection *replication = NULL;
    int r = moving_load(run, &moving, err);
    if (r == 0)
        r = moving_find_tables(run, moving, err);
    if (r == 0)
        r = set_phase(run, moving, CATALOG_MOVE_COPYING, NULL, err);
    if (r == 0)
        r = follow_publish(run, moving, moving->from, FOLLOW_FORWARD, err);
    if (r == 0)
        r = follow_make_slot(run, moving, moving->from, FOLLOW_FORWARD, &replication, &slot, err);
    if (r < 0)
        return r;
    failpoint("move.slot");
    moving->snapshot = slot.snapshot;
    r = copy_all(run, moving, true, err);
    moving->snapshot = NULL;
    failpoint("move.copied");
    return r < 0 ? r : follow_set_progress(run, moving, moving->to, slot.consistent_lsn, err);
}

/* ---- following ---- */

/* The way back, before the tenant waits: making a slot waits for whatever is open there. */
static int arm_back(struct job_run *run, struct moving *moving, struct error *err)
{
    struct pg_slot slot = {0};
    _cleanup_pg_connection_ struct pg_connection *replication = NULL;
    int r = follow_publish(run, moving, moving->to, FOLLOW_BACK, err);
    return r < 0 ? r
                 : follow_make_slot(run, moving, moving->to, FOLLOW_BACK, &replication, &slot, err);
}

/* The tenant works at the new place already: that as it was when it came, with the old one. The
 * places are still those of before the flip here. */
static int compare_behind(struct job_run *run, struct moving *moving,
                          const struct follow_snapshot *snapshot, struct error *err)
{
    moving->until_us = 0;
    moving->to_snapshot = snapshot->name;
    failpoint("move.comparing");
    int r = compare_all(run, moving, err);
    moving->to_snapshot = NULL;
    return r;
}

static int step_follow(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r < 0 || moving->move.flipped)
        return r;
    if (moving->move.held_unix_us != 0) /* it was cut off while the tenant waited */
        r = pause_undo(run, moving, err);
    if (r == 0)
        r = place_read_migrations(run, &moving->making, err);
    if (r == 0)
        r = moving_find_tables(run, moving, err);
    if (r == 0)
        r = set_phase(run, moving, CATALOG_MOVE_CATCHING_UP, NULL, err);
    if (r == 0)
        r = arm_back(run, moving, err);
    struct follow_snapshot snapshot = {0};
    if (r == 0)
        r = follow_and_flip(run, moving, FOLLOW_FORWARD, "placement.move", CATALOG_MOVE_VERIFYING,
                            &snapshot, err);
    if (r == 0)
        r = compare_behind(run, moving, &snapshot, err);
    pg_close(snapshot.keeper);
    return r;
}

/* What the stream back has written down at the old place stays. */
static int clean_forward(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = follow_clean(run, moving, moving->to, NULL, FOLLOW_FORWARD, err);
    return r < 0 ? r : follow_clean(run, moving, NULL, moving->from, FOLLOW_FORWARD, err);
}

static int step_settle(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r == 0) /* it was followed from the old place, which is the other one now */
        r = clean_forward(run, moving, err);
    failpoint("move.settling");
    if (r == 0)
        r = moving_disallow(run, moving, err);
    return r < 0 ? r : set_phase(run, moving, CATALOG_MOVE_MOVED, NULL, err);
}

/* ---- giving up ---- */

static int undo(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = set_phase(run, moving, CATALOG_MOVE_ABORTING, NULL, err);
    if (r == 0)
        r = pause_undo(run, moving, err);
    if (r == 0)
        r = follow_clean(run, moving, moving->from, moving->to, FOLLOW_FORWARD, err);
    if (r == 0)
        r = follow_clean(run, moving, moving->to, moving->from, FOLLOW_BACK, err);
    if (r == 0)
        r = moving_disallow(run, moving, err);
    if (r == 0)
        r = place_drop(moving->to, err);
    return r < 0 ? r : set_phase(run, moving, CATALOG_MOVE_ABORTED, run->why->message, err);
}

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
    if (moving->move.flipped)
        return set_phase(run, moving, CATALOG_MOVE_MOVED, run->why->message, err);
    return undo(run, moving, err);
}

static const struct job_step online_steps[] = {
    {"prepare", "prepare the service on the cluster", step_prepare, true},
    {"create", "create roles and place", step_create, true},
    {"migrate", "apply migrations", step_migrate, true},
    {"finish", "grant and check", step_finish, true},
    {"copy", "copy", step_copy, true},
    {"follow", "follow the changes", step_follow, true},
    {"settle", "be done with the old place", step_settle, true},
};

const struct job_definition move_online_job = {
    .name = "move_online",
    .steps = online_steps,
    .step_count = array_size(online_steps),
    .abandoned = JOB_RESUME,
    .compensate = compensate,
};

/* ---- going back along the stream ---- */

static int step_back(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r < 0 || !moving->move.flipped)
        return r;
    if (moving->move.held_unix_us != 0)
        r = pause_undo(run, moving, err);
    if (r == 0)
        r = place_read_migrations(run, &moving->making, err);
    if (r == 0)
        r = moving_allow(run, moving, err);
    struct follow_snapshot snapshot = {0};
    if (r == 0)
        r = follow_and_flip(run, moving, FOLLOW_BACK, "placement.revert", CATALOG_MOVE_REVERTING,
                            &snapshot, err);
    if (r == 0)
        r = moving_find_tables(run, moving, err);
    if (r == 0)
        r = compare_behind(run, moving, &snapshot, err);
    pg_close(snapshot.keeper);
    return r;
}

static int step_drop(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r < 0 || !moving->to)
        return r;
    r = follow_clean(run, moving, moving->to, moving->from, FOLLOW_BACK, err);
    if (r == 0)
        r = moving_disallow(run, moving, err);
    return r < 0 ? r : place_drop(moving->to, err);
}

static int step_reverted(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_load(run, &moving, err);
    return r < 0 ? r : set_phase(run, moving, CATALOG_MOVE_REVERTED, NULL, err);
}

static int compensate_back(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r < 0 || catalog_move_is_over(moving->move.phase) || !moving->move.flipped)
        return r;
    r = pause_undo(run, moving, err);
    if (r == 0)
        r = moving_disallow(run, moving, err);
    return r < 0 ? r : set_phase(run, moving, CATALOG_MOVE_MOVED, run->why->message, err);
}

static const struct job_step back_steps[] = {
    {"back", "follow the changes back", step_back, true},
    {"drop", "drop the new place", step_drop, true},
    {"reverted", "be done", step_reverted, false},
};

const struct job_definition move_back_job = {
    .name = "move_back",
    .steps = back_steps,
    .step_count = array_size(back_steps),
    .abandoned = JOB_RESUME,
    .compensate = compensate_back,
};

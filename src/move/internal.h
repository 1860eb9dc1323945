/*
 * internal.h - one move while a job works on it. Private to this room.
 */
#ifndef MOVE_INTERNAL_H
#define MOVE_INTERNAL_H

#include "catalog/move.h"
#include "isolation/contents.h"
#include "move/move.h"
#include "pg/connection.h"
#include "provision/place.h"
#include "provision/stream.h"

struct moving {
    struct catalog_move move;
    struct place *from, *to; /* where the placement is, and its other place (NULL: none) */
    struct place_making making;
    struct isolation_table *tables;
    size_t table_count;
    bool has_tables;
    int64_t pause_us;
    int jobs;
    int64_t rate; /* bytes a second that are copied at most; 0: no bound */
    int64_t
        yield_us; /* that a commit at either end may take while others are at work; 0: any time */
    int64_t usual_commit_us[2]; /* what one takes at `from` and at `to`; 0: not known yet */
    bool ignore_unreachable;
    bool gentle;       /* transactions that do not end in time are not ended: it is tried again */
    bool tried;        /* to copy: there may be rows of the tenant at `to` */
    bool compared;     /* both places, behind the flip */
    bool from_is_copy; /* what is compared was copied to `from`: a row that it has not, was lost */
    bool undoing;      /* it goes back as it failed behind its flip: tried until it is done */
    bool in_doubt;     /* whether it was flipped: the control database's answer was lost */
    struct pg_connection *watch; /* to the slot's server, of moving_watch; NULL: nothing to watch */
    const char *slot;
    int64_t watched_us;
    const char *snapshot;    /* of `from`, in which it is read; NULL: as it is */
    const char *to_snapshot; /* of `to`, likewise */
    int64_t until_us; /* time_monotonic_us: the tenant waits no longer; 0: it does not wait */
};

/* run->state, loaded when it is asked for first: the job's own move, open or over. */
int moving_load(struct job_run *run, struct moving **ret, struct error *err);
int moving_reload(struct job_run *run, struct moving **ret, struct error *err);
/* why: as catalog_move_set_phase. */
int moving_set_phase(struct job_run *run, const struct moving *moving,
                     enum catalog_move_phase phase, const char *why, struct error *err);
/* ERROR_TIMEOUT: the tenant has waited for as long as it may. */
int moving_check_time(const struct moving *moving, struct error *err);
/* That, and ERROR_CANCELLED: somebody wants the move to be given up. */
int moving_check_stop(struct job_run *run, const struct moving *moving, struct error *err);
/* Once a second: how far the stream is behind. ERROR_LIMIT: its slot keeps too much; ERROR_STATE:
 * there is no such slot any more. */
int moving_watch(struct job_run *run, struct moving *moving, struct error *err);
/* What the service's owner role needs to copy, at both ends; and no more. */
int moving_allow(struct job_run *run, struct moving *moving, struct error *err);
int moving_disallow(struct job_run *run, struct moving *moving, struct error *err);
/* The place where the tenant is not, with its data; and what a stream has at both. Nothing at one
 * that was abandoned. */
int moving_drop_other(struct moving *moving, struct error *err);
int moving_drop_stream(struct moving *moving, enum stream_way way, struct error *err);
/* The owner role's connection to one end, with isolation_contents_open done; between the two. Any
 * thread. */
int moving_open(const struct place *place, struct pg_connection **ret, struct error *err);
/* Its statements end with the pause. */
int moving_open_in_time(const struct moving *moving, const struct place *place,
                        struct pg_connection **ret, struct error *err);
/* The tables of both ends, which must be the same: ERROR_STATE. Into moving->tables. */
int moving_find_tables(struct job_run *run, struct moving *moving, struct error *err);

/* ---- the tenant waits ---- */

/* ERROR_BUSY: one is cut off, and would be waited for. */
int pause_look_at_proxies(struct job_run *run, const struct moving *moving, struct error *err);
/* ERROR_BUSY (offline ERROR_STATE): the tenant has prepared transactions. admin: to its server. */
int pause_look_at_prepared(const struct moving *moving, struct pg_connection *admin,
                           struct error *err);
/* Its new transactions wait, those that run end, and the place where it is, is closed. admin: to
 * that place's server, or NULL. */
int pause_begin(struct job_run *run, struct moving *moving, struct pg_connection *admin,
                struct error *err);
/* It goes on where the catalog says that it is. What is undone already is passed over. */
int pause_undo(struct job_run *run, struct moving *moving, struct error *err);
/* The same for a job that nobody runs, and no more (job_definition.release). */
int pause_release(struct job_run *run, struct error *err);
/* The place where it is not, whatever was to be stopped; a failure is told. */
int pause_close_other(struct job_run *run, struct moving *moving);
/* It goes on, and nothing ends with the pause any more. */
void pause_end(struct moving *moving);
/* Nobody has ended it meanwhile, and its time is not over. */
int pause_is_ours(struct job_run *run, const struct moving *moving, struct error *err);
/* Behind a long one: that, and nothing of the tenant is left at the place that was closed. */
int pause_check(struct job_run *run, const struct moving *moving, struct error *err);
/* Whatever a runner that is gone was at: the place that the tenant is at is open and, once it was
 * flipped, the other one is closed. */
int pause_settle(struct job_run *run, struct moving *moving, struct error *err);

/* What a move's error begins with: the keeper mends that, and clears it. */
#define MOVE_ERROR_SETTLE "the stream that it came by is not dropped: "
#define MOVE_ERROR_BEHIND "its old place falls behind: "
/* This one stays: the old place may be the better one. An older Reeve has written the part behind
 * it alone. */
#define MOVE_ERROR_STAYS "the new place was not found to be as the old one: "
#define MOVE_ERROR_NO_WAY_BACK "; going back along the stream: "
/* Whether that is so. */
bool move_is_unlike(const struct catalog_move *move);

/* ---- copying and comparing, several tables, or parts of them, at once ---- */

/* `again`: the place has had the tenant's rows, which go first; else it must have none. */
int copy_all(struct job_run *run, struct moving *moving, bool again, struct error *err);
/* ERROR_STATE names table and key where the two ends differ. */
int compare_all(struct job_run *run, struct moving *moving, struct error *err);

/* ---- the jobs ---- */

/* *ret_job_id: the placement's unfinished one of these; 0: none. */
int move_pending(struct catalog *catalog, int64_t placement_id, int64_t *ret_job_id,
                 struct error *err);

extern const struct job_definition move_job, move_revert_job, move_finish_job; /* on a placement */
extern const struct job_definition move_online_job, move_back_job;

#endif

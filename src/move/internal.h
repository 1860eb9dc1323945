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

struct moving {
    struct catalog_move move;
    struct place *from, *to; /* where the placement is, and its other place (NULL: none) */
    struct place_making making;
    struct isolation_table *tables;
    size_t table_count;
    bool has_tables;
    int64_t pause_us;
    int jobs;
    bool ignore_unreachable;
    const char *snapshot;    /* of `from`, in which it is read; NULL: as it is */
    const char *to_snapshot; /* of `to`, likewise */
    int64_t until_us; /* time_monotonic_us: the tenant waits no longer; 0: it does not wait */
};

/* run->state, loaded when it is asked for first: the job's own move, open or over. */
int moving_load(struct job_run *run, struct moving **ret, struct error *err);
int moving_reload(struct job_run *run, struct moving **ret, struct error *err);
/* ERROR_TIMEOUT: the tenant has waited for as long as it may. */
int moving_check_time(const struct moving *moving, struct error *err);
/* That, and ERROR_CANCELLED: somebody wants the move to be given up. */
int moving_check_stop(struct job_run *run, const struct moving *moving, struct error *err);
/* What the service's owner role needs to copy, at both ends; and no more. */
int moving_allow(struct job_run *run, struct moving *moving, struct error *err);
int moving_disallow(struct job_run *run, struct moving *moving, struct error *err);
/* The owner role's connection to one end, with isolation_contents_open done; between the two. Any
 * thread. */
int moving_open(const struct place *place, struct pg_connection **ret, struct error *err);
/* Its statements end with the pause. */
int moving_open_in_time(const struct moving *moving, const struct place *place,
                        struct pg_connection **ret, struct error *err);
/* The tables of both ends, which must be the same: ERROR_STATE. Into moving->tables. */
int moving_find_tables(struct job_run *run, struct moving *moving, struct error *err);

/* ---- the tenant waits ---- */

/* Its new transactions wait, those that run end, and the place where it is, is closed. */
int pause_begin(struct job_run *run, struct moving *moving, struct error *err);
/* It goes on where the catalog says that it is. What is undone already is passed over. */
int pause_undo(struct job_run *run, struct moving *moving, struct error *err);
/* Before it goes on: nothing of it is left at the place that was closed. */
int pause_check(const struct moving *moving, struct error *err);

/* ---- copying and comparing, several tables at once ---- */

/* `again`: the place has had the tenant's rows, which go first; else it must have none. */
int copy_all(struct job_run *run, struct moving *moving, bool again, struct error *err);
/* ERROR_STATE names table and key where the two ends differ. */
int compare_all(struct job_run *run, struct moving *moving, struct error *err);

/* ---- the jobs ---- */

extern const struct job_definition move_job, move_revert_job, move_finish_job; /* on a placement */
extern const struct job_definition move_online_job, move_back_job;

#endif

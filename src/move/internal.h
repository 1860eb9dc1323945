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
    struct place *from, *to; /* where the placement is, and its other place */
    struct place_making making;
    struct isolation_table *tables;
    size_t table_count;
    bool has_tables;
    int64_t pause_us;
    int jobs;
    bool ignore_unreachable;
    int64_t until_us; /* time_monotonic_us: the tenant waits no longer; 0: it does not wait */
};

/* run->state, loaded when it is asked for first. */
int moving_load(struct job_run *run, struct moving **ret, struct error *err);
/* A connection to one end, with isolation_contents_open done. */
int moving_open(struct place *place, struct pg_connection **ret, struct error *err);
/* The tables of both ends, which must be the same: ERROR_STATE. Into moving->tables. */
int moving_find_tables(struct job_run *run, struct moving *moving, struct error *err);

/* ---- the tenant waits ---- */

/* Its new transactions wait, those that run end, and the place where it is, is closed. */
int pause_begin(struct job_run *run, struct moving *moving, struct error *err);
/* It goes on where the catalog says that it is. What is undone already is passed over. */
int pause_undo(struct job_run *run, struct moving *moving, struct error *err);

/* ---- copying and comparing, several tables at once ---- */

int copy_all(struct job_run *run, struct moving *moving, struct error *err);
/* ERROR_STATE names table and key where the two ends differ. */
int compare_all(struct job_run *run, struct moving *moving, struct error *err);

/* ---- the jobs ---- */

extern const struct job_definition move_job, move_revert_job, move_finish_job; /* on a placement */

#endif

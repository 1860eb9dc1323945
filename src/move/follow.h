/*
 * follow.h - moving along a change stream: the stream's ends, following it, cutting over. Private
 * to this room.
 *
 * A move has two streams: forward from the old place to the new one until the flip, back from then
 * on. What each has on servers is in provision/stream.h.
 */
#ifndef MOVE_FOLLOW_H
#define MOVE_FOLLOW_H

#include "move/internal.h"
#include "pg/stream.h"
#include "provision/stream.h"

/* The publications of the tenant's tables and of the marks at a place, anew; the stream's old slot
 * goes. */
int follow_publish(struct job_run *run, const struct moving *moving, struct place *place,
                   enum stream_way way, struct error *err);
/* The slot; *ret_replication keeps its snapshot until it is closed. Waits for an hour at most, and
 * for as long as nobody wants the move to be given up: ERROR_TIMEOUT, ERROR_STATE. */
int follow_make_slot(struct job_run *run, struct moving *moving, struct place *place,
                     enum stream_way way, struct pg_connection **ret_replication,
                     struct pg_slot *ret, struct error *err);
/* Where the other end is: all up to there is applied at `place`. */
int follow_set_progress(struct job_run *run, struct moving *moving, struct place *place,
                        enum stream_way way, uint64_t lsn, struct error *err);

/* The new place as it was when the tenant came: to be compared with the old one, which is closed.
 */
struct follow_snapshot {
    struct pg_connection *keeper; /* the snapshot is there as long as this; the caller closes it */
    const char *name;             /* in the run's arena */
};

/* Until `to` is nearly where `from` is. */
int follow_catch_up(struct job_run *run, struct moving *moving, enum stream_way way,
                    struct error *err);
/* Whether the place that the stream goes to has what the tenant's has, while the tenant works: that
 * one in a snapshot, this one with what came in front of that. ERROR_STATE names table and key. */
int follow_compare(struct job_run *run, struct moving *moving, enum stream_way way,
                   struct error *err);
/* compare_all, while the slot of the stream back, at that place, is watched. */
int follow_compare_all(struct job_run *run, struct moving *moving, struct place *place,
                       struct error *err);
/* moving_watch of a slot that nobody reads; nothing where there is none. */
int follow_look_at_slot(struct job_run *run, struct moving *moving, struct place *place,
                        enum stream_way way, struct error *err);
/* Applies what there is, for that long at most. */
int follow_drain(struct job_run *run, struct moving *moving, enum stream_way way,
                 int64_t at_most_us, struct error *err);

/* Applies what comes until `from` and `to` are nearly the same, then lets the tenant wait, applies
 * the rest, and flips; tries that again when it takes too long. */
int follow_and_flip(struct job_run *run, struct moving *moving, enum stream_way way,
                    const char *action, enum catalog_move_phase phase, struct follow_snapshot *ret,
                    struct error *err);

#endif

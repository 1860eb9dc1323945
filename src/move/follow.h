/*
 * follow.h - moving along a change stream: the stream's ends, following it, cutting over. Private
 * to this room.
 *
 * A move has two streams: forward from the old place to the new one until the flip, back from then
 * on. Each is a publication and a slot in the database that is left, and a row of
 * reeve.move_progress in the other one.
 */
#ifndef MOVE_FOLLOW_H
#define MOVE_FOLLOW_H

#include "move/internal.h"
#include "pg/stream.h"

/* A stream from `from` to `to`. */
enum follow_way { FOLLOW_FORWARD, FOLLOW_BACK };

/* "reeve_move_42", "reeve_back_42": of publication and slot. */
const char *follow_name(struct arena *arena, int64_t move_id, enum follow_way way);

/* The publication of the tenant's tables at a place, anew. */
int follow_publish(struct job_run *run, const struct moving *moving, const struct place *place,
                   enum follow_way way, struct error *err);
/* The slot, anew; *ret_replication keeps its snapshot until it is closed. */
int follow_make_slot(struct job_run *run, struct moving *moving, struct place *place,
                     enum follow_way way, struct pg_connection **ret_replication,
                     struct pg_slot *ret, struct error *err);
/* Where the other end is: all up to there is applied at `place`. */
int follow_set_progress(struct job_run *run, struct moving *moving, struct place *place,
                        uint64_t lsn, struct error *err);
/* What the stream out of `source` and into `target` has left on their servers. Nothing when it is
 * gone; NULL: there is no such place any more. */
int follow_clean(struct job_run *run, struct moving *moving, struct place *source,
                 struct place *target, enum follow_way way, struct error *err);

/* The new place as it was when the tenant came: to be compared with the old one, which is closed.
 */
struct follow_snapshot {
    struct pg_connection *keeper; /* the snapshot is there as long as this; the caller closes it */
    const char *name;             /* in the run's arena */
};

/* Applies what comes until `from` and `to` are nearly the same, then lets the tenant wait, applies
 * the rest, and flips; tries that again when it takes too long. */
int follow_and_flip(struct job_run *run, struct moving *moving, enum follow_way way,
                    const char *action, enum catalog_move_phase phase, struct follow_snapshot *ret,
                    struct error *err);

#endif

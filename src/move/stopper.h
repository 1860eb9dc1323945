/*
 * stopper.h - ends what waits within a statement, when somebody wants the move to be given up.
 * Private to this room.
 */
#ifndef MOVE_STOPPER_H
#define MOVE_STOPPER_H

#include "move/internal.h"

/* A thread with a control connection of its own, which looks every second. The flag that it sets is
 * for pg_set_cancel_flag. */
struct stopper;
int stopper_start(const struct job_run *run, const struct moving *moving, int64_t at_most_us,
                  struct stopper **ret, struct error *err);
const atomic_bool *stopper_flag(const struct stopper *stopper);
/* Ends the thread and frees. What a statement has returned becomes what it was ended for:
 * ERROR_STATE (aborted), ERROR_TIMEOUT, ERROR_CANCELLED. */
int stopper_stop(struct stopper *stopper, int result, struct error *err);

#endif

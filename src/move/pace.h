/*
 * pace.h - how fast a team copies and compares while others are at work on the same servers.
 *
 * What others feel first is their commits: each waits until the disk has the log up to it, whatever
 * a copy has written into it meanwhile. So a thread commits next to nothing at either end, some
 * twenty times a second. While that takes longer than it may, fewer bytes are let through and fewer
 * members work at once; while it is quick, more. Where nobody else is at work, nothing is slowed
 * down.
 */
#ifndef MOVE_PACE_H
#define MOVE_PACE_H

#include "move/internal.h"

#include <stdatomic.h>

/* ---- what is decided, of what was seen ---- */

struct pace_seen {
    bool others;        /* somebody else is at work */
    double slowness;    /* what commits took on average, of what they may; of the slower end */
    double bytes_per_s; /* that were let through since the last decision */
};

struct pace_decision {
    double bytes_per_s; /* 0: no bound */
    int members;        /* 1 to all */
    bool tight;         /* others were slowed down when it was looked at last */
    int quick;          /* decisions in a row in which they were not */
};

enum { PACE_DECISIONS_PER_S = 4 };

/* The first one, when nothing is known but whether somebody else is there; of so many members. */
struct pace_decision pace_begin(int members, bool others);
/* The next one; PACE_DECISIONS_PER_S of them a second. */
struct pace_decision pace_decide(int members, const struct pace_decision *last,
                                 const struct pace_seen *seen);

/* ---- a team's ---- */

struct pace;

/* Looks at both ends at once and from then on; what a commit usually takes there, once a move.
 * Never fails: NULL, or a server that cannot be asked, slows nothing down (the latter is told).
 * `halt`, which outlives it, ends all waiting. */
struct pace *pace_start(struct moving *moving, int members, const atomic_bool *halt);
/* NULL is accepted by all of these. Ends the thread; returns NULL. */
struct pace *pace_stop(struct pace *pace);

/* Any thread: waits until so many bytes more may go through. */
void pace_pass(struct pace *pace, size_t bytes);
/* Any thread: waits until one member more may work; pace_leave behind each. */
void pace_enter(struct pace *pace);
void pace_leave(struct pace *pace);
/* Whether somebody else is at work, as far as is known: then one does without what one can. */
bool pace_has_others(struct pace *pace);
/* For people: " (slowed down, commits take 12 ms)", or "". */
void pace_describe(struct pace *pace, char *ret, size_t size);

#endif

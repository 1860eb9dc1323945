/*
 * apply.h - a change stream of the place that the tenant leaves, applied to the one that it goes
 * to. Private to this room.
 *
 * One or more transactions of the source become one of the target, which also writes down how far
 * that is (provision/stream.h): behind a crash the stream goes on there, so each is applied once.
 * Works in a login of the service's owner role (isolation/contents.h).
 *
 * What the stream tells of a large transaction while it runs is kept (pieces.h) and thrown away
 * with the applier. When it commits it is replayed: the same as if all of it had come then.
 */
#ifndef MOVE_APPLY_H
#define MOVE_APPLY_H

#include "base/str.h"
#include "move/internal.h"
#include "provision/stream.h"

struct applier;

/* The caller frees *ret. ERROR_STATE: nothing is written down of how far the target is. */
int applier_open(const struct moving *moving, enum stream_way way, struct applier **ret,
                 struct error *err);
/* Accepts NULL; returns NULL. What was not committed is not applied. */
struct applier *applier_free(struct applier *applier);
DEFINE_CLEANUP(struct applier *, applier_free);
#define _cleanup_applier_ _cleanup_(cleanup_applier_free)

/* The source's own connection, of any role; borrowed. To be told before anything is taken. */
void applier_ask(struct applier *applier, struct pg_connection *source);
/* A message of the stream; the applier may commit what it has at the end of a transaction of the
 * source. Not while it is replaying. ERROR_PROTOCOL; ERROR_STATE: the target has not the row that
 * changes; ERROR_MIGRATION: a table was changed; ERROR_LIMIT: the row is too large; ERROR_LIMIT,
 * ERROR_IO: there is no room for large transactions. */
int applier_take(struct applier *applier, struct str message, struct error *err);
/* A large transaction has committed, and is to be replayed. */
bool applier_is_replaying(const struct applier *applier);
/* Some of its changes; errors as of applier_take. */
int applier_replay(struct applier *applier, struct error *err);
/* The last error was for want of room for large transactions, here: if the stream is opened anew,
 * and does not tell of them while they run, it can be followed. */
bool applier_had_no_room(const struct applier *applier);
/* There are changes of large transactions that are open, or replayed. */
bool applier_keeps(const struct applier *applier);
/* What was taken up to the last whole transaction is on the target for good. Nothing within
 * one that is taken or replayed; a large one that is open does not matter. */
int applier_commit(struct applier *applier, struct error *err);
/* Up to there the source has nothing else: that is written down, too. */
int applier_pass(struct applier *applier, uint64_t lsn, struct error *err);
/* Of each statement from here on. */
int applier_set_timeout(struct applier *applier, int64_t timeout_us, struct error *err);
/* All that was committed at the source before this is on the target for good. */
uint64_t applier_lsn(const struct applier *applier);
/* Nothing that has committed was taken that is not on the target for good: up to the stream's
 * position there is nothing else. Of what is open the slot keeps all. */
bool applier_is_clean(const struct applier *applier);
/* What commits there or later is not taken (before anything is); the applier cannot go on. */
void applier_stop_at(struct applier *applier, uint64_t lsn);
/* Such a transaction came: all in front of it is taken. */
bool applier_is_beyond(const struct applier *applier);
/* Another mark is awaited from now on: a row of the table of marks, with that text (borrowed). */
void applier_await(struct applier *applier, const char *marker);
/* It was taken, and all in front of it. */
bool applier_is_marked(const struct applier *applier);

#endif

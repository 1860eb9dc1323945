/*
 * pieces.h - large transactions of a change stream, which is told of them in pieces while they run
 * (PostgreSQL's manual, "Logical Streaming Replication Protocol"). Private to this room.
 *
 * A piece begins and ends with pieces_start and the STREAM_STOP that pieces_add is given; what is
 * in between is kept in a spool. When the transaction commits, what is left of it comes back as the
 * messages of a plain one, from BEGIN to COMMIT. A server does not tell of every subtransaction
 * that was rolled back (not of one that it had written to its disk before it could tell of it), so
 * it is asked about each of them then.
 *
 *            start              commit
 *   outside -------> within    outside --------> replaying
 *      ^                |         ^                  |
 *      +----------------+         +------------------+
 *       add: STREAM_STOP            next: the COMMIT
 */
#ifndef MOVE_PIECES_H
#define MOVE_PIECES_H

#include "change/pgoutput.h"
#include "pg/connection.h"

struct pieces;

struct pieces *pieces_new(void);
/* Accepts NULL; returns NULL. What is kept is thrown away. */
struct pieces *pieces_free(struct pieces *pieces);
DEFINE_CLEANUP(struct pieces *, pieces_free);
#define _cleanup_pieces_ _cleanup_(cleanup_pieces_free)

/* The server that the stream is of; borrowed. */
void pieces_ask(struct pieces *pieces, struct pg_connection *source);

/* STREAM_START. Errors as of spool_begin. */
int pieces_start(struct pieces *pieces, const struct pgoutput_message *message, struct error *err);
bool pieces_is_within(const struct pieces *pieces);
/* Any message within a piece, and its bytes; empty ones are kept, and come back so. Errors as of
 * spool_add. */
int pieces_add(struct pieces *pieces, const struct pgoutput_message *message, struct str bytes,
               struct error *err);
/* STREAM_ABORT */
void pieces_abort(struct pieces *pieces, const struct pgoutput_message *message);
/* STREAM_COMMIT: it is replayed from now on. ERROR_PROTOCOL: nothing was told of it. */
int pieces_commit(struct pieces *pieces, const struct pgoutput_message *message, struct error *err);
bool pieces_is_replaying(const struct pieces *pieces);
/* A step of that, which takes a bounded time: *ret is its next message, until the next call, or
 * *ret_there is false, and the server was asked, or what was rolled back was passed over. ERROR_IO;
 * ERROR_STATE: the server does not know what has become of a subtransaction. */
int pieces_next(struct pieces *pieces, bool *ret_there, struct str *ret, struct error *err);
/* The last error of pieces_start or pieces_add was for want of room: larger ones can be followed if
 * they stay on their server. */
bool pieces_had_no_room(const struct pieces *pieces);

/* Bytes that are kept. */
uint64_t pieces_size(const struct pieces *pieces);

#endif

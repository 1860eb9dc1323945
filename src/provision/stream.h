/*
 * stream.h - what a move's change streams have on servers: in the database that is read, a slot, a
 * publication of the tenant's rows and one of a table of marks; in the database that is written, a
 * table of one row which says how far that is. All are called after the stream. And, of the place
 * that is copied to, the record of indexes that are dropped while rows come in.
 */
#ifndef PROVISION_STREAM_H
#define PROVISION_STREAM_H

#include "provision/place.h"

/* A stream from the old place to the new one, or back. */
enum stream_way { STREAM_FORWARD, STREAM_BACK };

/* "reeve_move_42", "reeve_back_42", in the arena. */
const char *stream_name(struct arena *arena, int64_t move_id, enum stream_way way);
/* Of the publication and the table of marks. */
const char *stream_mark_name(struct arena *arena, int64_t move_id, enum stream_way way);

/* Of that record (isolation/indexes.h): of the move, whichever way it copies. */
const char *stream_index_name(struct arena *arena, int64_t move_id);

/* What a stream has at a place, either end's. Nothing where it, or the database, is gone.
 * With the stream forward the record goes: behind a copy that is done it is empty, and else the
 * place goes as well. */
int stream_drop(struct place *place, int64_t move_id, enum stream_way way, struct error *err);

#endif

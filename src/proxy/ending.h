/*
 * ending.h - server connections whose client has gone, or was ended, while the server was at its
 * work.
 *
 * The server's process goes on until it notices: it may commit what it was told, and it takes one
 * of the server's connections. So the slot is kept, and the placement's transactions are not over,
 * until the server closes its side. It was sent a cancel request; if that does not help, its
 * process is ended from another session of its role. Nothing it says is read.
 */
#ifndef PROXY_ENDING_H
#define PROXY_ENDING_H

#include "proxy/backend.h"

/* Whether the server may be at something, so that its end is to be awaited. */
bool ending_is_awaited(const struct backend *backend);
/* A client of the place leaves it: if there is something that the server has not answered, that
 * counts for the place until ending_forget. */
void ending_note(struct backend *backend, struct place *place);
/* Its stream is closed, and no cancel request is under way. The backend is closed when the server
 * has ended, which may be at once. */
void ending_begin(struct backend *backend);
/* At the final close; also of one that never began to end. */
void ending_forget(struct backend *backend);
/* The worker's timer. */
void ending_look(void *worker);
/* All of them, now. */
void ending_give_up(struct worker *worker);

#endif

/*
 * deadline.h - for how long a client may have a backend, whatever its SQL says.
 *
 * While somebody has one, a timer of the worker looks at those who do, about eight times within
 * the shortest time that one of them has, and notes what has changed since. So a transaction costs
 * nothing, and ends up to a quarter of its time late.
 */
#ifndef PROXY_DEADLINE_H
#define PROXY_DEADLINE_H

#include "proxy/client.h"

struct backend;
struct place;

enum deadline_phase {
    DEADLINE_NONE,  /* nothing was seen yet */
    DEADLINE_QUERY, /* the server has not answered */
    DEADLINE_IDLE_TRANSACTION,
    DEADLINE_IDLE_PINNED,
};

/* Of a backend. */
struct deadline {
    struct list link; /* worker.linked */
    /* Counted when it happens: */
    uint64_t answered, transactions, heard;
    size_t heard_bytes; /* of a message that is larger than a read, not counted yet */
    bool unasked;       /* the client has sent what is answered when it asks for it: Sync, Flush */
    /* As they were when it was looked at last, and since when they are so: */
    uint64_t answered_seen, transactions_seen, heard_seen;
    enum deadline_phase phase;
    int64_t phase_us, transaction_us;
};

void deadline_init(struct deadline *deadline);
/* A client has got the backend; it has it no more. */
void deadline_start(struct backend *backend);
void deadline_stop(struct backend *backend);
/* A message of that type came of its client, or a part of one that is larger than a read. */
void deadline_heard(struct backend *backend, char type);
void deadline_heard_part(struct backend *backend, size_t length);
/* Whether its client does nothing, and has nothing open, but keeps it. */
bool deadline_is_idle(const struct backend *backend);
/* The place's limits are others than before. */
void deadline_changed(struct place *place);
/* The worker's timer. */
void deadline_look(void *worker);

#endif

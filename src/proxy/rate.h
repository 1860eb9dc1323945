/*
 * rate.h - how many transactions and bytes a second a place may have, on one worker.
 *
 * Of each, what a second brings may come at once. A transaction that has begun is not held up: what
 * it uses may be more than there is, and then the next waits until it was made up for. Bytes are
 * counted where the place's usage is, and cost a transaction nothing but a subtraction.
 *
 * A place that has no clients any more stays until it has as much as it began with: who comes back
 * would otherwise begin anew.
 */
#ifndef PROXY_RATE_H
#define PROXY_RATE_H

#include "base/list.h"
#include "net/engine.h"

struct place;

/* What may be used now; below 0: was used in advance. */
struct bucket {
    double left;
    int64_t at_us; /* as of then; 0: it is as full as it can be */
};

/* Of a place. */
struct rate {
    struct bucket transactions, bytes;
    int64_t bytes_counted; /* of the place's usage */
    struct list link;      /* worker.rated: to be looked at by the worker's timer */
};

/* The place's usage is there. */
void rate_init(struct place *place);
void rate_stop(struct place *place);
/* Whether the next transaction may begin; else the worker's timer looks again. */
bool rate_allows(struct place *place);
void rate_count_transaction(struct place *place);
/* Why the next may not: for bytes, or else for transactions. */
bool rate_is_out_of_bytes(const struct place *place);
/* Bytes were added to its usage that are another place's. */
void rate_skip_bytes(struct place *place, int64_t bytes);
/* Whether something was used that was not made up for: it is looked at when it was. */
bool rate_must_be_kept(struct place *place);
/* The worker's timer. */
void rate_look(void *worker);

#endif

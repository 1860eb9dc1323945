/*
 * many.h - several moves, so many at once, until so many have failed.
 *
 * Each is what move_start does, with control connections of its own: a durable job of its own. An
 * interruption ends those that run as it ends one move, and no further one begins.
 *
 *            many_look                     many_run
 *   planned ----------> planned -------------------------------> moved, failed, interrupted
 *      |        \                             \
 *      |         +-> refused                   +-> not begun (too many failed; interrupted)
 *      +-> skipped (the caller's)
 */
#ifndef FLEET_MANY_H
#define FLEET_MANY_H

#include "move/move.h"

enum { MANY_MAX_PARALLEL = 16 };

enum many_status {
    MANY_PLANNED,
    MANY_SKIPPED,     /* there is nothing to do, or it is not its time */
    MANY_REFUSED,     /* what it would fail for is known */
    MANY_MOVED,       /* with `why`: but its old place could not be dropped */
    MANY_FAILED,      /* and undone, or to be undone */
    MANY_INTERRUPTED, /* what becomes of it is in `why` */
    MANY_NOT_BEGUN,
    MANY_STATUSES,
};
const char *many_status_name(enum many_status status); /* "not begun" */

/* One placement. The caller sets all up to `reason`; texts are borrowed. */
struct many_item {
    int64_t placement_id;
    const char *tenant, *service;
    const char *from, *to;           /* for people: "row on local" */
    const char *isolation, *cluster; /* to where; NULL: as it is */
    const char *database;            /* likewise, or what all go to (many_options.how) */
    enum many_status status;         /* MANY_PLANNED or MANY_SKIPPED */
    const char *reason;              /* why it is skipped, or is to be moved; NULL: none */
    int64_t tables, bytes, rows;     /* from many_look on */
    int64_t pause_us;                /* an estimate at first, at the end what it was */
    struct move_need needs[2];       /* from many_look on: as move_plan's; of the arena */
    const struct error *why;         /* NULL: nothing is wrong */
    bool finished;                   /* its old place is gone */
};

struct many_options {
    struct move_spec how; /* tenant, service, isolation and cluster are the items' own; the shared
                           * database, if one is named, is the same for all */
    int parallel;         /* 1 to MANY_MAX_PARALLEL */
    size_t max_failures;  /* so many and no more begin; 0: however many */
    bool finish;          /* the old place goes as soon as the tenant has moved */
    /* Called by any thread, one at a time; either may be NULL. */
    void (*ended)(void *owner, const struct many_item *item);
    void (*progress)(void *owner, const struct many_item *item,
                     const struct job_progress *progress);
    void *owner;
};

struct many_summary {
    size_t of[MANY_STATUSES];
    int64_t bytes; /* of all that are planned, or were moved */
    size_t failures;
};

/* Plans those that are MANY_PLANNED; results live in the arena. What one would fail for makes it
 * MANY_REFUSED, and so does that no replication slot would be left for it. ERROR_CANCELLED;
 * ERROR_CONNECTION: of the control database. */
int many_look(const struct job_context *context, const struct many_options *options,
              struct many_item *items, size_t count, struct arena *arena, struct error *err);
/* Moves those that are MANY_PLANNED. ERROR_CANCELLED: interrupted; ERROR_STATE: some were not
 * moved (its detail is the first's error). The items tell the rest in each case. */
int many_run(const struct job_context *context, const struct many_options *options,
             struct many_item *items, size_t count, struct arena *arena, struct error *err);
void many_summarize(const struct many_item *items, size_t count, struct many_summary *ret);

#endif

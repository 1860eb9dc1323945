/*
 * move.h - a tenant's placement changes its isolation or its cluster, and the tenant stays the
 * same.
 *
 * Each function opens its own control connection from the context, checks everything that it can
 * before it changes anything, and runs the durable job that it takes to its end on this thread
 * (context->progress is called meanwhile). Not for worker threads. How a move works is in
 * docs/decisions/0011-how-a-tenant-moves.md; its phases are in catalog/move.h.
 */
#ifndef MOVE_MOVE_H
#define MOVE_MOVE_H

#include "job/job.h"

/* Every kind of job, for job_context.definitions; ends with NULL. */
extern const struct job_definition *const move_jobs[];

enum { MOVE_MAX_JOBS = 32 };

/* Of a tenant, when nobody says for how long it may wait. */
#define MOVE_PAUSE_US INT64_C(2000000)
#define MOVE_OFFLINE_PAUSE_US INT64_C(600000000)

struct move_spec {
    const char *tenant, *service;
    const char *isolation; /* NULL: as it is */
    const char *cluster;   /* NULL: as it is */
    const char *database;  /* the shared one; NULL: as it is, or the default one where the isolation
                            * or the cluster is another */
    bool offline;          /* copied while the tenant waits */
    int64_t pause_us;      /* the tenant waits so long at most: then an offline move is given up,
                            * and an online one lets it go on and tries again */
    int jobs;              /* tables or parts that are copied at once, 1 to MOVE_MAX_JOBS */
    int64_t rate;          /* bytes a second that are copied at most; 0: no bound */
    int64_t yield_us;      /* copying slows down while commits at either end take longer on average
                            * and others are at work there; 0: never */
    int64_t wal_limit;     /* bytes of WAL that a slot may keep; 0: no bound */
    int64_t keep_us;       /* the old place goes so long after the flip; 0: at move_finish */
    bool ignore_unreachable; /* proxies that are gone, or cut off, are not waited for */
    bool anyway;             /* back: over an old place that the new one was not found to be as */
};

/* What stands in the way. */
struct move_problem {
    const char *what, *remedy; /* remedy NULL: there is none */
};

/* What a move takes of a cluster. */
struct move_need {
    const char *cluster; /* NULL: nothing */
    int64_t slots;       /* replication slots while it moves; behind it, the target's keeps one */
    int64_t slots_left;  /* that the server has free now */
    int64_t connections;
    int64_t bytes; /* of its disk, at most, as far as is known */
};

struct move_plan {
    const char *from, *to; /* "schema t_000042 in database svc_orders on cluster local" */
    bool makes_database;   /* a shared one that is not there yet */
    int64_t tables, bytes, rows;
    int64_t pause_us; /* that the tenant would wait: an estimate */
    int64_t copy_us;  /* that copying would take, likewise */
    const struct move_problem *problems, *remarks;
    size_t problem_count, remark_count;
    struct move_need needs[2]; /* of the source's cluster and the target's; if they are one: of
                                * that, and zeroes */
};

/* Looks at both ends and changes nothing. In the arena. ERROR_NOT_FOUND, ERROR_INVALID (isolation
 * not allowed; the database's name), ERROR_USAGE (a database that the isolation has not),
 * ERROR_EXISTS (a database that is not the service's), ERROR_STATE (it is there already; it has an
 * open move), ERROR_CONNECTION; what else a move could fail for is among the problems; what may
 * make it slow, among the remarks. */
int move_plan(const struct job_context *context, const struct move_spec *spec, struct arena *arena,
              struct move_plan *ret, struct error *err);
/* ERROR_STATE: the first problem of the plan. A failure leaves everything as it was, and the tenant
 * at its old place. Afterwards the old place is closed, and kept until move_finish. */
int move_start(const struct job_context *context, const struct move_spec *spec, struct error *err);

/* The old place goes, with the data that it had. abandon (also of move_abort): what is on the
 * server of the place where the tenant is not, is left there, as that server is gone for good.
 * anyway: also where the new place was not found to be as the old one. ERROR_NOT_FOUND: there is no
 * open move. */
int move_finish(const struct job_context *context, const char *tenant, const char *service,
                bool abandon, bool anyway, struct error *err);
/* Back to the old place, with what was written since: along the stream, or copied while the tenant
 * waits. Of the spec: tenant, service, offline, pause_us (0: usual), jobs, rate, yield_us,
 * ignore_unreachable, anyway. */
int move_revert(const struct job_context *context, const struct move_spec *spec, struct error *err);
/* Whoever carries the move out gives it up; returns when it is undone. ERROR_STATE: the tenant has
 * moved already. */
int move_abort(const struct job_context *context, const char *tenant, const char *service,
               bool abandon, struct error *err);

/* For `reeve serve`, now and then: what tenants that have moved write is brought to their old
 * places too, and those go whose time is over. Failures are logged; the error is the control
 * database's. */
int move_keep(const struct job_context *context, struct error *err);

#endif

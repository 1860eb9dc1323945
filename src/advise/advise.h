/*
 * advise.h - which tenants should be in another isolation or on another cluster, and why.
 *
 * advise_gather finds the facts: placements, tags and open moves in the catalog, sizes on the
 * clusters; what tenants use was counted by a running server, and is the caller's to ask for.
 * advise_judge makes advice of facts and rules, and looks at nothing else. Neither changes
 * anything. Results live in the arena that was given.
 */
#ifndef ADVISE_ADVISE_H
#define ADVISE_ADVISE_H

#include "isolation/isolation.h"
#include "job/job.h"

/* ---- what calls for another place, the most pressing first ---- */

enum advise_cause {
    ADVISE_REGULATED, /* its tag wants it by itself */
    ADVISE_BUSY,      /* it has most of its cluster's backend time, and others wait or are slower */
    ADVISE_LARGE,     /* it is most of what is in a database that it shares */
    ADVISE_QUIET,     /* it has a database of its own, and needs little */
    ADVISE_CAUSES
};
const char *advise_cause_name(enum advise_cause cause); /* "regulated" */

struct advise_rules {
    const char *regulated; /* the tag: NAME or NAME=VALUE */
    bool regulated_alone;  /* such tenants want a cluster without others, too */
    const char *except;    /* the tag of tenants that are left where they are; NULL: none */
    double busy_share;     /* of its cluster's backend time, 0 to 1 */
    int64_t busy_wait_us;  /* that others there waited for each transaction, on average */
    double busy_slower; /* or by which theirs take longer while it is at work: 1 is twice as long */
    int64_t busy_for_us;    /* counted for so long at least */
    int64_t large_bytes;    /* and */
    double large_share;     /* of what all have in that database, 0 to 1 */
    int64_t quiet_bytes;    /* at most, and */
    int64_t quiet_per_hour; /* transactions at most, */
    int64_t quiet_for_us;   /* counted for so long at least */
};

/* ---- facts ---- */

struct advise_cluster {
    const char *name;
    int64_t max_backends;
};

/* What a tenant did in a service while it was counted. */
struct advise_use {
    int64_t backend_us, wait_us, transactions;
};

enum { ADVISE_MOMENTS_LEAST = 8 }; /* fewer say nothing of neighbours */

/* What it did in a moment, a quarter of a second or more. */
struct advise_moment {
    bool known;
    double backends;     /* that its clients had, on average */
    double transactions; /* that ended, */
    double took_us; /* and took so long from their beginning on, waiting for a backend included */
};

struct advise_placement {
    const char *tenant, *service;
    const struct isolation *isolation;
    size_t cluster;           /* index */
    size_t database;          /* a number: placements in one database of one cluster have one */
    const char *closed;       /* why no move of it can begin now; NULL: one can */
    bool regulated, excepted; /* by its tags */
    bool used_known, size_known, size_estimated;
    struct advise_use used;
    const struct advise_moment *moments; /* the facts' moment_count; NULL: not known */
    int64_t counted_us;                  /* it was in this place, and counted, for so long */
    int64_t bytes;
    const struct isolation *const *allowed; /* by its service */
    size_t allowed_count;
    const struct isolation *usual; /* its service's */
};

struct advise_facts {
    struct advise_cluster *clusters;
    size_t cluster_count;
    struct advise_placement *placements;
    size_t placement_count;
    size_t database_count;
    int64_t counted_us;  /* by the server; 0: there are no figures of use */
    size_t moment_count; /* one behind the other; 0: nobody looked so closely */
    int64_t
        rest_backend_us; /* counted, of placements that are not known: it may be any cluster's */
    const char *const *remarks; /* what is lacking, a sentence each */
    size_t remark_count;
};

/* ---- gathering ---- */

struct advise_tenant_use { /* of a tenant in a service */
    const char *tenant, *service;
    struct advise_use used;
    const struct advise_moment *moments; /* moment_count of them */
};

/* What a running server has counted. */
struct advise_counted {
    int64_t us;               /* for so long; 0: nothing was */
    bool left_out;            /* there are tenants that are not in it */
    int64_t whole_backend_us; /* of all, with those */
    size_t moment_count;
    const struct advise_tenant_use *tenants;
    size_t tenant_count;
};

/* only: the slug of the tenant that is asked about, whose databases alone are measured; NULL: all.
 * A cluster that cannot be looked at is among the remarks. ERROR_CONNECTION and ERROR_SERVER are
 * the control database's; ERROR_CANCELLED. */
int advise_gather(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                  const struct advise_rules *rules, const struct advise_counted *counted,
                  const char *only, struct advise_facts *ret, struct error *err);

/* ---- judging ---- */

struct advise_reason {
    enum advise_cause cause;
    const char *text; /* a sentence without its full stop */
};

/* What a transaction of its neighbours takes on average, waiting for a server connection included:
 * in the moments in which the tenant is at work, and in those in which it does little or nothing.
 */
struct advise_effect {
    bool known;
    double busy_us, calm_us;
};

struct advice {
    const struct advise_placement *placement;
    struct advise_reason reasons[ADVISE_CAUSES];
    size_t reason_count;               /* at least 1, the most pressing first */
    const struct isolation *isolation; /* to be moved to; NULL: as it is */
    const char *cluster;               /* likewise */
    const char *obstacle; /* why that is not all that the reasons call for; NULL: it is */
    double share;         /* of its cluster's backend time; negative: not known */
    struct advise_effect effect;
};

/* The most pressing first. No advice of placements that are closed or excepted. */
void advise_judge(const struct advise_facts *facts, const struct advise_rules *rules,
                  struct arena *arena, struct advice **ret, size_t *ret_count);

#endif

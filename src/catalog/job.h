/*
 * job.h - the rows of durable jobs. What a job does, and its states' diagram, is in job/job.h.
 *
 * Rows outlive their subjects: ids in them may name what is gone.
 */
#ifndef CATALOG_JOB_H
#define CATALOG_JOB_H

#include "catalog/catalog.h"

enum catalog_job_state {
    CATALOG_JOB_QUEUED,
    CATALOG_JOB_RUNNING,
    CATALOG_JOB_COMPENSATING,
    CATALOG_JOB_DONE,
    CATALOG_JOB_FAILED,
};
const char *catalog_job_state_name(enum catalog_job_state state); /* "queued" */
/* done or failed. */
bool catalog_job_state_over(enum catalog_job_state state);

struct catalog_job {
    int64_t id;
    const char *kind;
    int64_t placement_id, tenant_id, service_id; /* 0: none */
    const char *arguments;                       /* JSON object */
    enum catalog_job_state state;
    const char *step;     /* the last one finished; "" for none */
    const char *progress; /* JSON object */
    const char *error;    /* JSON object; NULL: none */
    int attempts;         /* times it was taken up */
    int64_t created_unix_us;
    int64_t started_unix_us;  /* 0: not yet */
    int64_t finished_unix_us; /* 0: not yet */
    bool tenant_waits;        /* for a move of that placement */
};

/* Reads kind, the three ids and arguments (NULL: {}); state queued. */
int catalog_job_enqueue(struct catalog *catalog, const struct catalog_job *job, int64_t *ret_id,
                        struct error *err);
int catalog_job_get(struct catalog *catalog, struct arena *arena, int64_t id,
                    struct catalog_job *ret, struct error *err);

struct catalog_job_filter {
    bool open;            /* only those that are not over */
    int64_t placement_id; /* 0: any */
    int64_t tenant_id;    /* 0: any */
    int64_t service_id;   /* 0: any */
    int64_t limit;        /* 0: all */
};
/* Oldest first when `open`, else newest first. filter NULL: all. */
int catalog_job_list(struct catalog *catalog, struct arena *arena,
                     const struct catalog_job_filter *filter, struct catalog_job **ret,
                     size_t *ret_count, struct error *err);

/* The caller holds the lock on the job's subject (catalog_lock): queued becomes running, running
 * and compensating stay; attempts + 1. ERROR_STATE when it is over. Gives the row as it is then. */
int catalog_job_claim(struct catalog *catalog, struct arena *arena, int64_t id,
                      struct catalog_job *ret, struct error *err);
/* step: the last one finished, NULL keeps it; progress: JSON object, NULL keeps it. ERROR_STATE
 * when the job is over. */
int catalog_job_progress(struct catalog *catalog, int64_t id, const char *step,
                         const char *progress, struct error *err);
/* From running to compensating, with the failure's reason (JSON object). */
int catalog_job_compensate(struct catalog *catalog, int64_t id, const char *error,
                           struct error *err);
/* To done, or failed; error NULL keeps what is stored. */
int catalog_job_finish(struct catalog *catalog, int64_t id, bool failed, const char *error,
                       struct error *err);

#endif

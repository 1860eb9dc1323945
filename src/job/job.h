/*
 * job.h - the durable job engine.
 *
 * Every operation of more than one step is a job: a row in the catalog, steps with names, progress
 * stored after each, resumable after a crash at any point, never two at once on one subject (a
 * placement, else a tenant, else a service), by an advisory lock in the control database that the
 * job's own session holds.
 *
 *            submit            job_run / job_resume_short, _lasting
 *   (nothing) ----> queued ----------------> running ----> done
 *                                             |   ^  all steps
 *                     connection lost, killed,|   | resumed at the step that was not finished
 *                     interrupted at JOB_RESUME   |
 *                                             |
 *                       permanent failure     v
 *                                        compensating ----> failed (its error is kept)
 *
 * Steps are idempotent: after a crash the step that was under way runs again from its start.
 * A step of a JOB_RESUME job that fails with ERROR_CONNECTION, or because it was interrupted, is
 * transient: the job stays `running` without its lock, and the next job_run or
 * job_resume_short, _lasting goes on. Any other failure is permanent. A compensation that fails
 * leaves the job `compensating`; the next runner goes on with it.
 *
 * Test builds have failpoint("<kind>.<step>.before"), ".after", and "<kind>.compensate.before",
 * ".after".
 */
#ifndef JOB_JOB_H
#define JOB_JOB_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/crypto.h"
#include "base/error.h"

struct catalog;
struct job_definition;

/* What is told while a job runs; valid during the call alone. */
struct job_progress {
    int64_t job_id;
    const char *kind;
    const char *step; /* the step's name; "compensate" while compensating */
    const char *text; /* one line for people */
    size_t number;    /* of this step, from 1; 0 while compensating */
    size_t count;     /* of steps */
};

/*
 * What a caller brings to every operation. Made by the CLI from its configuration; everything is
 * borrowed and must outlive the call (or the runner). Never changed while in use; may be shared by
 * threads, `progress` is then called on any of them, one at a time.
 */
struct job_context {
    const char *control; /* conninfo of the control database, libpq's keywords or URI */
    uint8_t master_key[CRYPTO_KEY_SIZE];
    const char *actor;                               /* for audit events: "cli", "serve" */
    const struct job_definition *const *definitions; /* ends with NULL: move_jobs */
    const atomic_bool *cancelled;                    /* set by SIGINT's handler; NULL: never */
    bool undoes_when_cancelled;                      /* who is cancelled may undo first */
    int64_t lock_wait_us; /* to wait for another job; 0: ERROR_BUSY at once */
    void (*progress)(void *owner, const struct job_progress *progress); /* or NULL */
    void *progress_owner;
    void
        *operation; /* what job_submit's caller wants its definition to find; NULL for all others */
};

/* True once the caller asked to stop. */
bool job_cancelled(const struct job_context *context);

/* What a step is given. */
struct job_run {
    const struct job_context *context;
    const struct job_definition *definition;
    struct catalog *catalog; /* the job's session: it holds the lock; no transaction is open */
    struct arena *arena;     /* lives as long as this run of the job */
    int64_t id;
    int64_t placement_id, tenant_id, service_id; /* 0 when the job has none */
    const char *arguments;                       /* JSON object, text */
    bool resumed;                                /* somebody else began it */
    void *state;                                 /* the definition's own, NULL at the start */
    size_t step;                                 /* index of the step at hand */
    const struct error *why;                     /* while compensating: what for */
    char text[200];                              /* what job_tell said last */
};

/* Tells a line about the step at hand; the last one is stored with the step when it is done. */
void job_tell(struct job_run *run, const char *format, ...) reeve_printf(2, 3);

struct job_step {
    const char *name; /* stable: it is stored */
    const char *text; /* "create the database", for people */
    int (*run)(struct job_run *run, struct error *err);
    bool patient; /* tried again for some seconds when it reports ERROR_BUSY */
};

/* What happens to a job whose runner is gone. */
enum job_abandoned { JOB_RESUME, JOB_COMPENSATE };

struct job_definition {
    const char *name; /* stored as `kind` */
    const struct job_step *steps;
    size_t step_count;
    enum job_abandoned abandoned;
    bool lasting; /* it may take hours, or wait for others: not on the thread of all jobs */
    /* Undoes whatever was done, however far it came; idempotent. NULL: nothing to undo. */
    int (*compensate)(struct job_run *run, struct error *err);
    /* Lets a tenant go on that waits for a job whose runner is gone, and no more: it is quick.
     * Idempotent. NULL: nobody waits. */
    int (*release)(struct job_run *run, struct error *err);
    /* Frees run->state; NULL: nothing to free. */
    void (*finish)(struct job_run *run);
};

struct job_spec {
    const struct job_definition *definition;
    int64_t placement_id, tenant_id, service_id; /* 0: none */
    const char *arguments;                       /* JSON object; NULL: {} */
};

/*
 * Takes the subject's lock for the catalog's session (ERROR_BUSY after the context's lock_wait_us),
 * then writes the job's row, state queued. May stand in a transaction of the caller's: until that
 * is committed nobody sees the job, and then nobody else can take it up. job_perform follows.
 */
int job_submit(const struct job_context *context, struct catalog *catalog,
               const struct job_spec *spec, int64_t *ret_id, struct error *err);

/*
 * Runs a job to its end on this thread, in a session that holds its lock (job_submit); the lock is
 * given back, whatever comes of it. Returns the error of the step that failed, after compensation;
 * ERROR_STATE for a job that is over. A transient failure leaves the job to be resumed, and the
 * error's hint says so.
 */
int job_perform(const struct job_context *context, struct catalog *catalog, int64_t job_id,
                struct error *err);

/* The same with a control connection of its own, for a job that somebody submitted before: takes
 * the lock first (ERROR_BUSY). ERROR_NOT_FOUND. */
int job_run(const struct job_context *context, int64_t job_id, struct error *err);

/* The unfinished job of that kind on a placement; *ret_id is 0 when there is none. */
int job_pending(struct catalog *catalog, const struct job_definition *definition,
                int64_t placement_id, int64_t *ret_id, struct error *err);
/* Ends every unfinished job of a placement as failed: what follows it (its removal) makes it
 * pointless. The caller's session holds the placement's lock. */
int job_supersede(struct catalog *catalog, int64_t placement_id, const char *by, struct error *err);

/*
 * Goes through the jobs that are not over and that nobody runs, those that are lasting or the
 * others, and resumes or compensates each. Failures of the jobs themselves are logged; the error is
 * the control database's.
 */
int job_resume_short(const struct job_context *context, struct error *err);
int job_resume_lasting(const struct job_context *context, struct error *err);
/* Likewise lets each tenant go on that waits for such a job (`release`), and leaves the job. */
int job_release_waiting(const struct job_context *context, struct error *err);

/* Locks a subject for work that is no job row ("placement:42"): the catalog's session keeps the
 * lock until job_unlock or its end. ERROR_BUSY after wait_us. */
int job_lock(struct catalog *catalog, const char *subject, int64_t wait_us,
             const atomic_bool *cancelled, struct error *err);
void job_unlock(struct catalog *catalog, const char *subject);
enum { JOB_SUBJECT_SIZE = 48 };
/* Subject names for job_lock. */
void job_subject_placement(int64_t placement_id, char ret_subject[JOB_SUBJECT_SIZE]);

/* For `reeve serve`: a thread that calls `work` at its start and every interval, with a context
 * whose flag is set when the runner is to stop. The name is for the log: at most 15 bytes,
 * borrowed. */
struct job_runner;
typedef int job_work(const struct job_context *context, struct error *err);
int job_runner_start(const struct job_context *context, const char *name, job_work *work,
                     int64_t interval_us, struct job_runner **ret, struct error *err);
/* Ends the thread and frees; a job under way is left resumable. Accepts NULL; returns NULL. */
struct job_runner *job_runner_stop(struct job_runner *runner);

#endif

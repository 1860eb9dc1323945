#include "job/job.h"

#include <unistd.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/time.h"
#include "catalog/job.h"
#include "job/record.h"
#include "pg/connection.h"

enum { BUSY_TRIES = 6, BUSY_FIRST_PAUSE_US = 250 * TIME_MS };

bool job_cancelled(const struct job_context *context)
{
    return context->cancelled && atomic_load(context->cancelled);
}

/* ---- subjects ---- */

static void subject_of(int64_t job_id, int64_t placement_id, int64_t tenant_id, int64_t service_id,
                       char ret_subject[JOB_SUBJECT_SIZE])
{
    const char *noun = "job";
    int64_t id = job_id;
    if (placement_id) {
        noun = "placement";
        id = placement_id;
    } else if (tenant_id) {
        noun = "tenant";
        id = tenant_id;
    } else if (service_id) {
        noun = "service";
        id = service_id;
    }
    snprintf(ret_subject, JOB_SUBJECT_SIZE, "%s:%lld", noun, (long long)id);
}

int job_submit(const struct job_context *context, struct catalog *catalog,
               const struct job_spec *spec, int64_t *ret_id, struct error *err)
{
    char subject[JOB_SUBJECT_SIZE];
    subject_of(0, spec->placement_id, spec->tenant_id, spec->service_id, subject);
    int r = job_lock(catalog, subject, context->lock_wait_us, context->cancelled, err);
    if (r < 0)
        return r;
    const struct catalog_job job = {
        .kind = spec->definition->name,
        .placement_id = spec->placement_id,
        .tenant_id = spec->tenant_id,
        .service_id = spec->service_id,
        .arguments = spec->arguments,
    };
    return catalog_job_enqueue(catalog, &job, ret_id, err);
}

static int list_open(struct catalog *catalog, struct arena *arena, int64_t placement_id,
                     struct catalog_job **ret, size_t *ret_count, struct error *err)
{
    const struct catalog_job_filter filter = {.open = true, .placement_id = placement_id};
    return catalog_job_list(catalog, arena, &filter, ret, ret_count, err);
}

int job_pending(struct catalog *catalog, const struct job_definition *definition,
                int64_t placement_id, int64_t *ret_id, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    struct catalog_job *jobs;
    size_t count;
    int r = list_open(catalog, &arena, placement_id, &jobs, &count, err);
    if (r < 0)
        return r;
    int64_t id = 0;
    for (size_t i = 0; i < count && id == 0; i++)
        if (strcmp(jobs[i].kind, definition->name) == 0)
            id = jobs[i].id;
    *ret_id = id;
    return 0;
}

int job_supersede(struct catalog *catalog, int64_t placement_id, const char *by, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    struct catalog_job *jobs;
    size_t count;
    struct error why = {0};
    error_set(&why, ERROR_CANCELLED, "superseded by %s", by);
    int r = list_open(catalog, &arena, placement_id, &jobs, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = catalog_job_finish(catalog, jobs[i].id, true, record_error(&arena, &why), err);
    return r;
}

/* ---- progress ---- */

static void report(struct job_run *run, bool compensating)
{
    const struct job_context *context = run->context;
    if (!context->progress)
        return;
    const struct job_progress progress = {
        .job_id = run->id,
        .kind = run->definition->name,
        .step = compensating ? "compensate" : run->definition->steps[run->step].name,
        .text = run->text,
        .number = compensating ? 0 : run->step + 1,
        .count = run->definition->step_count,
    };
    context->progress(context->progress_owner, &progress);
}

void job_tell(struct job_run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(run->text, sizeof(run->text), format, arguments);
    va_end(arguments);
    report(run, run->step >= run->definition->step_count);
}

/* ---- steps ---- */

static void reeve_unused hit_failpoint(const struct job_run *run, const char *step,
                                       const char *when)
{
    char name[128];
    snprintf(name, sizeof(name), "%s.%s.%s", run->definition->name, step, when);
    failpoint(name);
}

/* The job stays as it is, for somebody to go on with. */
static bool is_transient(const struct job_run *run, int r)
{
    if (pg_is_broken(catalog_connection(run->catalog)))
        return true; /* nothing can be written down */
    return run->definition->abandoned == JOB_RESUME &&
           (r == -ERROR_CONNECTION || r == -ERROR_CANCELLED);
}

/* A step that found something in use (a lock, a session in the template) is tried again a few
 * times, with growing pauses: 250 ms to 4 s. */
static int run_patiently(struct job_run *run, int (*function)(struct job_run *, struct error *),
                         struct error *err)
{
    int64_t pause = BUSY_FIRST_PAUSE_US;
    for (int i = 1;; i++) {
        error_clear(err);
        int r = function(run, err);
        if (r != -ERROR_BUSY || i == BUSY_TRIES || job_cancelled(run->context))
            return r;
        log_write_error(LOG_INFO, err, "job %lld is trying again", (long long)run->id);
        usleep((useconds_t)pause);
        pause = pause < 4 * TIME_S ? 2 * pause : pause;
    }
}

static int run_step(struct job_run *run, struct error *err)
{
    const struct job_step *step = &run->definition->steps[run->step];
    if (job_cancelled(run->context))
        return error_set(err, ERROR_CANCELLED, "interrupted");
    job_tell(run, "%s", step->text);
    hit_failpoint(run, step->name, "before");
    int r = step->patient ? run_patiently(run, step->run, err) : step->run(run, err);
    if (r < 0)
        return r;
    hit_failpoint(run, step->name, "after");
    return catalog_job_progress(run->catalog, run->id, step->name, record_progress(run->arena, run),
                                err);
}

/* Behind the step that was stored last; 0 when none was. */
static size_t first_step(const struct job_definition *definition, const char *stored)
{
    for (size_t i = 0; i < definition->step_count; i++)
        if (strcmp(definition->steps[i].name, stored) == 0)
            return i + 1;
    return 0;
}

static int undo(struct job_run *run, struct error *err)
{
    const struct job_context *context = run->context;
    struct job_context calm = *context;
    if (context->undoes_when_cancelled)
        calm.cancelled = NULL;
    run->context = &calm;
    int r = run_patiently(run, run->definition->compensate, err);
    run->context = context;
    return r;
}

static int compensate(struct job_run *run, const struct error *why, bool undoing, struct error *err)
{
    run->step = run->definition->step_count;
    run->why = why;
    if (!undoing) {
        int r = catalog_job_compensate(run->catalog, run->id, record_error(run->arena, why), err);
        if (r < 0)
            return r;
    }
    job_tell(run, "undo what was done");
    hit_failpoint(run, "compensate", "before");
    if (run->definition->compensate) {
        int r = undo(run, err);
        if (r < 0)
            return r;
    }
    hit_failpoint(run, "compensate", "after");
    return catalog_job_finish(run->catalog, run->id, true, NULL, err);
}

/* Compensation is the answer to *why*; the caller gets to know that, and how compensation went. */
static int fail(struct job_run *run, const struct error *why, bool undoing, struct error *err)
{
    struct error undo_error = {0};
    int r = compensate(run, why, undoing, &undo_error);
    if (err)
        *err = *why;
    if (r < 0) {
        log_write_error(LOG_ERROR, &undo_error, "job %lld could not be undone yet",
                        (long long)run->id);
        error_hint(err,
                   "undoing it failed as well (%.300s); `reeve serve` goes on with that, job %lld",
                   undo_error.message, (long long)run->id);
    }
    return why->code < 0 ? why->code : -ERROR_INTERNAL;
}

static int leave_for_later(const struct job_run *run, const struct error *why, struct error *err)
{
    if (!err)
        return why->code;
    *err = *why;
    if (run->definition->abandoned == JOB_RESUME)
        error_hint(err,
                   "job %lld is kept and goes on where it stopped: by `reeve serve`, or when the "
                   "same command is run again",
                   (long long)run->id);
    return why->code;
}

static int run_steps(struct job_run *run, const char *finished, struct error *err)
{
    const struct job_definition *definition = run->definition;
    for (run->step = first_step(definition, finished); run->step < definition->step_count;
         run->step++) {
        int r = run_step(run, err);
        if (r < 0)
            return r;
    }
    return catalog_job_finish(run->catalog, run->id, false, NULL, err);
}

static int drive(struct job_run *run, const struct catalog_job *job, struct error *err)
{
    struct error why = {0};
    if (job->state == CATALOG_JOB_COMPENSATING) {
        record_read_error(job->error, &why);
        return fail(run, &why, true, err);
    }
    if (run->resumed && run->definition->abandoned == JOB_COMPENSATE) {
        error_set(&why, ERROR_CANCELLED, "the job was interrupted");
        return fail(run, &why, false, err);
    }
    int r = run_steps(run, job->step, &why);
    if (r == 0)
        return 0;
    why.code = r;
    if (is_transient(run, r))
        return leave_for_later(run, &why, err);
    return fail(run, &why, false, err);
}

/* ---- running ---- */

static const struct job_definition *find_definition(const struct job_context *context,
                                                    const char *kind)
{
    for (const struct job_definition *const *d = context->definitions; d && *d; d++)
        if (strcmp((*d)->name, kind) == 0)
            return *d;
    return NULL;
}

static struct job_run make_run(const struct job_context *context, struct catalog *catalog,
                               const struct job_definition *definition,
                               const struct catalog_job *job, struct arena *arena)
{
    return (struct job_run){
        .context = context,
        .definition = definition,
        .catalog = catalog,
        .arena = arena,
        .id = job->id,
        .placement_id = job->placement_id,
        .tenant_id = job->tenant_id,
        .service_id = job->service_id,
        .arguments = job->arguments,
        .resumed = job->attempts > 1,
    };
}

static int perform_claimed(const struct job_context *context, struct catalog *catalog,
                           const struct job_definition *definition, const struct catalog_job *job,
                           struct arena *arena, struct error *err)
{
    struct job_run run = make_run(context, catalog, definition, job, arena);
    int r = drive(&run, job, err);
    if (definition->finish)
        definition->finish(&run);
    return r;
}

static int claim_and_perform(const struct job_context *context, struct catalog *catalog,
                             const struct catalog_job *seen, struct arena *arena, struct error *err)
{
    const struct job_definition *definition = find_definition(context, seen->kind);
    if (!definition)
        return error_set(err, ERROR_UNSUPPORTED,
                         "job %lld is of kind \"%s\", which this version does not know",
                         (long long)seen->id, seen->kind);
    struct catalog_job job;
    int r = catalog_job_claim(catalog, arena, seen->id, &job, err);
    if (r < 0)
        return r;
    return perform_claimed(context, catalog, definition, &job, arena, err);
}

static void job_subject(const struct catalog_job *job, char ret_subject[JOB_SUBJECT_SIZE])
{
    subject_of(job->id, job->placement_id, job->tenant_id, job->service_id, ret_subject);
}

int job_perform(const struct job_context *context, struct catalog *catalog, int64_t job_id,
                struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    struct catalog_job job;
    int r = catalog_job_get(catalog, &arena, job_id, &job, err);
    if (r < 0)
        return r;
    r = claim_and_perform(context, catalog, &job, &arena, err);
    char subject[JOB_SUBJECT_SIZE];
    job_subject(&job, subject);
    job_unlock(catalog, subject);
    return r;
}

int job_run(const struct job_context *context, int64_t job_id, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    int r = catalog_open(context->control, &catalog, err);
    if (r < 0)
        return r;
    struct catalog_job job;
    r = catalog_job_get(catalog, &arena, job_id, &job, err);
    if (r < 0)
        return r;
    char subject[JOB_SUBJECT_SIZE];
    job_subject(&job, subject);
    r = job_lock(catalog, subject, context->lock_wait_us, context->cancelled, err);
    if (r < 0)
        return r;
    return job_perform(context, catalog, job_id, err); /* claims it behind the lock */
}

static int list_unfinished(const struct job_context *context, struct arena *arena,
                           struct catalog_job **ret, size_t *ret_count, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    int r = catalog_open(context->control, &catalog, err);
    if (r < 0)
        return r;
    return list_open(catalog, arena, 0, ret, ret_count, err);
}

static bool is_lasting(const struct job_context *context, const struct catalog_job *job)
{
    const struct job_definition *definition = find_definition(context, job->kind);
    return definition && definition->lasting;
}

static int resume(const struct job_context *context, bool lasting, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    struct job_context impatient = *context;
    impatient.lock_wait_us = 0; /* whoever holds the lock is at work on it */
    struct catalog_job *jobs;
    size_t count;
    int r = list_unfinished(&impatient, &arena, &jobs, &count, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count && !job_cancelled(context); i++) {
        struct error why = {0};
        if (is_lasting(context, &jobs[i]) != lasting)
            continue;
        r = job_run(&impatient, jobs[i].id, &why);
        if (r == -ERROR_BUSY || r == -ERROR_STATE)
            continue;
        if (r == 0)
            log_info("job %lld was taken up and is done", (long long)jobs[i].id);
        else
            log_write_error(LOG_WARNING, &why, "job %lld was taken up and failed",
                            (long long)jobs[i].id);
    }
    return 0;
}

int job_resume_short(const struct job_context *context, struct error *err)
{
    return resume(context, false, err);
}

int job_resume_lasting(const struct job_context *context, struct error *err)
{
    return resume(context, true, err);
}

/* Behind the job's lock, as it may have been ended before. */
static int release(const struct job_context *context, struct catalog *catalog,
                   const struct job_definition *definition, int64_t id, struct arena *arena,
                   struct error *err)
{
    struct catalog_job job;
    int r = catalog_job_get(catalog, arena, id, &job, err);
    if (r < 0 || catalog_job_state_over(job.state) || !job.tenant_waits)
        return r;
    struct job_run run = make_run(context, catalog, definition, &job, arena);
    r = definition->release(&run, err);
    if (definition->finish)
        definition->finish(&run);
    if (r == 0)
        log_info("job %lld has no runner: its tenant goes on", (long long)id);
    return r;
}

static int release_if_nobody_runs(const struct job_context *context, const struct catalog_job *job,
                                  struct error *err)
{
    const struct job_definition *definition = find_definition(context, job->kind);
    if (!job->tenant_waits || !definition || !definition->release)
        return 0;
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    char subject[JOB_SUBJECT_SIZE];
    job_subject(job, subject);
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = job_lock(catalog, subject, 0, context->cancelled, err);
    if (r == -ERROR_BUSY) { /* somebody is at work on it */
        error_clear(err);
        return 0;
    }
    return r < 0 ? r : release(context, catalog, definition, job->id, &arena, err);
}

int job_release_waiting(const struct job_context *context, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    struct catalog_job *jobs;
    size_t count;
    int r = list_unfinished(context, &arena, &jobs, &count, err);
    for (size_t i = 0; r == 0 && i < count && !job_cancelled(context); i++) {
        struct error why = {0};
        if (release_if_nobody_runs(context, &jobs[i], &why) < 0)
            log_write_error(LOG_WARNING, &why, "the tenant of job %lld cannot go on yet",
                            (long long)jobs[i].id);
    }
    return r;
}

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/log.h"
#include "base/time.h"
#include "job/job.h"

struct job_runner {
    struct job_context context; /* its `cancelled` is ours */
    const char *name;
    job_work *work;
    int64_t interval_us;
    atomic_bool stopping;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

/* Until the interval is over or the runner is stopped. */
static void pause_for(struct job_runner *runner)
{
    int64_t until = time_monotonic_us() + runner->interval_us;
    const struct timespec deadline = {.tv_sec = until / TIME_S, .tv_nsec = until % TIME_S * 1000};
    pthread_mutex_lock(&runner->mutex);
    while (!atomic_load(&runner->stopping) &&
           pthread_cond_timedwait(&runner->wake, &runner->mutex, &deadline) != ETIMEDOUT)
        continue;
    pthread_mutex_unlock(&runner->mutex);
}

static void *runner_main(void *argument)
{
    struct job_runner *runner = argument;
    bool failing = false; /* the control database's absence is logged once */
    log_set_thread_name(runner->name);
    while (!atomic_load(&runner->stopping)) {
        struct error err = {0};
        int r = runner->work(&runner->context, &err);
        if (r < 0 && !failing && r != -ERROR_CANCELLED)
            log_write_error(LOG_WARNING, &err, "cannot look for what is to be done");
        failing = r < 0;
        pause_for(runner);
    }
    return NULL;
}

static void runner_free(struct job_runner *runner)
{
    pthread_cond_destroy(&runner->wake);
    pthread_mutex_destroy(&runner->mutex);
    crypto_wipe(runner->context.master_key, sizeof(runner->context.master_key));
    free(runner);
}

int job_runner_start(const struct job_context *context, const char *name, job_work *work,
                     int64_t interval_us, struct job_runner **ret, struct error *err)
{
    struct job_runner *runner = xcalloc(1, sizeof(*runner));
    runner->context = *context;
    runner->context.cancelled = &runner->stopping;
    runner->name = name;
    runner->work = work;
    runner->interval_us = interval_us;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&runner->mutex, NULL);
    pthread_cond_init(&runner->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int r = pthread_create(&runner->thread, NULL, runner_main, runner);
    if (r != 0) {
        runner_free(runner);
        return error_errno(err, r, "cannot start the thread for jobs");
    }
    *ret = runner;
    return 0;
}

struct job_runner *job_runner_stop(struct job_runner *runner)
{
    if (!runner)
        return NULL;
    pthread_mutex_lock(&runner->mutex);
    atomic_store(&runner->stopping, true);
    pthread_cond_signal(&runner->wake);
    pthread_mutex_unlock(&runner->mutex);
    pthread_join(runner->thread, NULL);
    runner_free(runner);
    return NULL;
}

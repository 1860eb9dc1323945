#include "move/stopper.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/time.h"

static const int64_t look_us = TIME_S;

struct stopper {
    const char *control; /* the job context's */
    const atomic_bool *cancelled;
    int64_t move_id, until_us;
    atomic_bool stop; /* what is waited for shall end */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock. */
    bool over;
    enum { STILL_WANTED, ABORTED, TOO_LATE } why;
};

/* False: it is not known, and the next look may tell. */
static bool is_aborted(struct stopper *stopper, struct catalog **catalog)
{
    _cleanup_arena_ struct arena arena = {0};
    struct error ignored = {0};
    struct catalog_move move = {0};
    if (!*catalog && catalog_open(stopper->control, catalog, &ignored) < 0)
        return false;
    if (catalog_move_get(*catalog, &arena, stopper->move_id, &move, &ignored) < 0) {
        *catalog = catalog_close(*catalog);
        return false;
    }
    return move.stop_wanted;
}

/* Under the lock. */
static void pause_for(struct stopper *stopper)
{
    int64_t until_us = time_monotonic_us() + look_us;
    const struct timespec deadline = {.tv_sec = until_us / TIME_S,
                                      .tv_nsec = until_us % TIME_S * 1000};
    while (!stopper->over &&
           pthread_cond_timedwait(&stopper->wake, &stopper->lock, &deadline) != ETIMEDOUT)
        continue;
}

static void *look(void *argument)
{
    struct stopper *stopper = argument;
    struct catalog *catalog = NULL;
    pthread_mutex_lock(&stopper->lock);
    while (!stopper->over && stopper->why == STILL_WANTED) {
        pthread_mutex_unlock(&stopper->lock);
        bool aborted = is_aborted(stopper, &catalog);
        pthread_mutex_lock(&stopper->lock);
        if (aborted)
            stopper->why = ABORTED;
        else if (time_monotonic_us() > stopper->until_us)
            stopper->why = TOO_LATE;
        if (stopper->why != STILL_WANTED || (stopper->cancelled && *stopper->cancelled))
            atomic_store(&stopper->stop, true);
        pause_for(stopper);
    }
    pthread_mutex_unlock(&stopper->lock);
    catalog_close(catalog);
    return NULL;
}

static void free_stopper(struct stopper *stopper)
{
    pthread_cond_destroy(&stopper->wake);
    pthread_mutex_destroy(&stopper->lock);
    free(stopper);
}

int stopper_start(const struct job_run *run, const struct moving *moving, int64_t at_most_us,
                  struct stopper **ret, struct error *err)
{
    struct stopper *stopper = xcalloc(1, sizeof(*stopper));
    stopper->control = run->context->control;
    stopper->cancelled = run->context->cancelled;
    stopper->move_id = moving->move.id;
    stopper->until_us = time_monotonic_us() + at_most_us;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&stopper->lock, NULL);
    pthread_cond_init(&stopper->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int number = pthread_create(&stopper->thread, NULL, look, stopper);
    if (number != 0) {
        free_stopper(stopper);
        return error_errno(err, number, "cannot start a thread");
    }
    *ret = stopper;
    return 0;
}

const atomic_bool *stopper_flag(const struct stopper *stopper)
{
    return &stopper->stop;
}

int stopper_stop(struct stopper *stopper, int result, struct error *err)
{
    pthread_mutex_lock(&stopper->lock);
    stopper->over = true;
    pthread_cond_signal(&stopper->wake);
    pthread_mutex_unlock(&stopper->lock);
    pthread_join(stopper->thread, NULL);
    if (result < 0 && stopper->why == ABORTED)
        result = error_set(err, ERROR_STATE, "it was aborted");
    else if (result < 0 && stopper->why == TOO_LATE)
        result = error_set(err, ERROR_TIMEOUT, "transactions of the server did not end");
    free_stopper(stopper);
    return result;
}

#include "proxy/gather.h"

#include <time.h>

#include "base/time.h"

struct question {
    struct note note;
    struct gathering *gathering;
};

static void unref(struct gathering *gathering)
{
    if (atomic_fetch_sub(&gathering->references, 1) > 1)
        return;
    pthread_mutex_destroy(&gathering->lock);
    pthread_cond_destroy(&gathering->done);
    gathering->release(gathering);
}

static void received(struct worker *worker, struct note *note)
{
    struct question *question = container_of(note, struct question, note);
    struct gathering *gathering = question->gathering;
    free(question);
    gathering->answer(gathering, worker);
    pthread_mutex_lock(&gathering->lock);
    if (--gathering->left == 0)
        pthread_cond_signal(&gathering->done);
    pthread_mutex_unlock(&gathering->lock);
    unref(gathering);
}

static void prepare(struct gathering *gathering, int workers)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&gathering->lock, NULL);
    pthread_cond_init(&gathering->done, &attributes);
    pthread_condattr_destroy(&attributes);
    gathering->left = workers;
    atomic_init(&gathering->references, workers + 1);
}

bool gather_begin(struct proxy *proxy, struct gathering *gathering, int64_t timeout_us)
{
    prepare(gathering, proxy->worker_count);
    for (int i = 0; i < proxy->worker_count; i++) {
        struct question *question = xcalloc(1, sizeof(*question));
        question->gathering = gathering;
        worker_post(proxy->workers[i], &question->note, LETTER_TASK, received);
    }
    int64_t deadline_us = time_monotonic_us() + timeout_us;
    struct timespec deadline = {.tv_sec = deadline_us / TIME_S,
                                .tv_nsec = (deadline_us % TIME_S) * 1000};
    int waited = 0;
    pthread_mutex_lock(&gathering->lock);
    while (gathering->left > 0 && waited == 0)
        waited = pthread_cond_timedwait(&gathering->done, &gathering->lock, &deadline);
    return gathering->left == 0;
}

void gather_end(struct gathering *gathering)
{
    pthread_mutex_unlock(&gathering->lock);
    unref(gathering);
}

#include "proxy/threads.h"

#include <pthread.h>
#include <signal.h>

#include "base/log.h"

enum { THREADS_MAX = 64 };

struct threads {
    char name[16];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct task *first, *last;
    int maximum, count, idle, queued;
    bool ending;
    pthread_t members[THREADS_MAX];
    int64_t running[THREADS_MAX]; /* keys of what is run now, in any order; the rest is 0 */
};

struct threads *threads_new(const char *name, int maximum)
{
    struct threads *threads = xcalloc(1, sizeof(*threads));
    snprintf(threads->name, sizeof(threads->name), "%s", name);
    pthread_mutex_init(&threads->lock, NULL);
    pthread_cond_init(&threads->wake, NULL);
    threads->maximum = maximum < THREADS_MAX ? maximum : THREADS_MAX;
    return threads;
}

static bool may_run(const struct threads *threads, int64_t key)
{
    int same = 0;
    if (key == 0 || threads->ending)
        return true;
    for (int i = 0; i < threads->maximum; i++)
        same += threads->running[i] == key;
    return same < (threads->maximum + 1) / 2;
}

static struct task *take_first(struct threads *threads)
{
    struct task *previous = NULL;
    struct task *task = threads->first;
    while (task && !may_run(threads, task->key)) {
        previous = task;
        task = task->next;
    }
    if (!task)
        return NULL;
    if (previous)
        previous->next = task->next;
    else
        threads->first = task->next;
    if (threads->last == task)
        threads->last = previous;
    threads->queued--;
    return task;
}

static void replace_running(struct threads *threads, int64_t key, int64_t by)
{
    for (int i = 0; key != by && i < threads->maximum; i++) {
        if (threads->running[i] == key) {
            threads->running[i] = by;
            return;
        }
    }
}

/* NULL: the end has come, and nothing is queued. */
static struct task *take_task(struct threads *threads, int64_t previous_key)
{
    struct task *task;
    pthread_mutex_lock(&threads->lock);
    replace_running(threads, previous_key, 0);
    threads->idle++;
    while (!(task = take_first(threads)) && !threads->ending)
        pthread_cond_wait(&threads->wake, &threads->lock);
    threads->idle--;
    if (task)
        replace_running(threads, 0, task->key);
    pthread_mutex_unlock(&threads->lock);
    return task;
}

static void *run_thread(void *argument)
{
    struct threads *threads = argument;
    log_set_thread_name(threads->name);
    int64_t key = 0;
    struct task *task;
    while ((task = take_task(threads, key)) != NULL) {
        key = task->key;
        task->run(task); /* which may have freed it */
    }
    return NULL;
}

/* Signals are the main thread's; a thread that is started here takes none. */
static void start_thread(struct threads *threads)
{
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&threads->members[threads->count], NULL, run_thread, threads) == 0)
        threads->count++;
    else if (threads->count == 0)
        log_error("cannot start a %s thread", threads->name);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void threads_run(struct threads *threads, struct task *task)
{
    task->next = NULL;
    pthread_mutex_lock(&threads->lock);
    if (threads->last)
        threads->last->next = task;
    else
        threads->first = task;
    threads->last = task;
    threads->queued++;
    /* Once ending, nobody would join a new one: the thread whose task asks runs it itself. */
    if (threads->queued > threads->idle && threads->count < threads->maximum && !threads->ending)
        start_thread(threads);
    pthread_cond_signal(&threads->wake);
    pthread_mutex_unlock(&threads->lock);
}

void threads_free(struct threads *threads)
{
    if (!threads)
        return;
    pthread_mutex_lock(&threads->lock);
    threads->ending = true;
    pthread_cond_broadcast(&threads->wake);
    int count = threads->count;
    pthread_mutex_unlock(&threads->lock);
    for (int i = 0; i < count; i++)
        pthread_join(threads->members[i], NULL);
    pthread_cond_destroy(&threads->wake);
    pthread_mutex_destroy(&threads->lock);
    free(threads);
}

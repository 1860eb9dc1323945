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

static struct task *take_task(struct threads *threads)
{
    pthread_mutex_lock(&threads->lock);
    threads->idle++;
    while (!threads->first && !threads->ending)
        pthread_cond_wait(&threads->wake, &threads->lock);
    threads->idle--;
    struct task *task = threads->first;
    if (task) {
        threads->first = task->next;
        if (!threads->first)
            threads->last = NULL;
        threads->queued--;
    }
    pthread_mutex_unlock(&threads->lock);
    return task;
}

static void *run_thread(void *argument)
{
    struct threads *threads = argument;
    log_set_thread_name(threads->name);
    struct task *task;
    while ((task = take_task(threads)) != NULL)
        task->run(task);
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

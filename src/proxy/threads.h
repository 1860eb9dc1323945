/*
 * threads.h - threads for what may block: logins to servers, password and token checks.
 *
 * A task is run on one of the threads; its run function sees to it that somebody hears of the end,
 * and owns the task. Tasks that wait for the same server have a key of it: at most half of the
 * threads run those of one key, so that a server which does not answer holds up no work for
 * another.
 */
#ifndef PROXY_THREADS_H
#define PROXY_THREADS_H

#include "base/compiler.h"

struct task {
    struct task *next;
    int64_t key; /* of what it may have to wait for (a cluster's id); 0: none, and no bound */
    void (*run)(struct task *task);
};

struct threads;

/* Threads are made as tasks need them, up to maximum. */
struct threads *threads_new(const char *name, int maximum);
/* Queued tasks are run before the threads end. Accepts NULL. */
void threads_free(struct threads *threads);
/* Any thread, but once threads_free has begun only from within a task. */
void threads_run(struct threads *threads, struct task *task);

#endif

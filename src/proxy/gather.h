/*
 * gather.h - a question to all workers, and one thread that waits for their answers.
 *
 * Each worker is sent a letter and adds what it has to say; the asking thread waits for all of
 * them, with a deadline. What is gathered is counted, as a worker may come to its letter later than
 * that. Not for worker threads, which would wait for themselves.
 */
#ifndef PROXY_GATHER_H
#define PROXY_GATHER_H

#include "proxy/worker.h"

/* First member of what is gathered. */
struct gathering {
    _Atomic int references;
    pthread_mutex_t lock; /* of what the workers add to */
    pthread_cond_t done;
    int left; /* workers that have not answered */
    /* On each worker's thread; takes the lock to add to what others do. */
    void (*answer)(struct gathering *gathering, struct worker *worker);
    void (*release)(struct gathering *gathering); /* frees it */
};

/* Returns with the lock held, until gather_end. False: not all workers answered in time. */
bool gather_begin(struct proxy *proxy, struct gathering *gathering, int64_t timeout_us);
void gather_end(struct gathering *gathering);

#endif

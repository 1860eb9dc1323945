/*
 * race.c - two threads that count without a lock: what ThreadSanitizer must report. scripts/tsan
 * runs it first, so that a run without a report means something.
 */
#include <pthread.h>
#include <stddef.h>

static int counted;

static void *count_on(void *argument)
{
    for (int i = 0; i < 1000; i++)
        counted++;
    return argument;
}

int main(void)
{
    pthread_t other;
    if (pthread_create(&other, NULL, count_on, NULL) != 0)
        return 1;
    count_on(NULL);
    pthread_join(other, NULL);
    return 0;
}

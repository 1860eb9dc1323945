#include <unistd.h>

#include "base/time.h"
#include "catalog/catalog.h"
#include "job/job.h"

enum { POLL_US = 50 * TIME_MS };

void job_subject_placement(int64_t placement_id, char ret_subject[JOB_SUBJECT_SIZE])
{
    snprintf(ret_subject, JOB_SUBJECT_SIZE, "placement:%lld", (long long)placement_id);
}

int job_lock(struct catalog *catalog, const char *subject, int64_t wait_us,
             const atomic_bool *cancelled, struct error *err)
{
    int64_t deadline = time_monotonic_us() + wait_us;
    for (;;) {
        int r = catalog_lock(catalog, subject, err);
        if (r != -ERROR_BUSY)
            return r;
        if (cancelled && atomic_load(cancelled))
            return error_set(err, ERROR_CANCELLED, "interrupted while waiting for another job");
        if (time_monotonic_us() >= deadline)
            break;
        usleep(POLL_US);
    }
    error_set(err, ERROR_BUSY, "another job is at work on %s", subject);
    error_hint(err, "wait for it to end and try again; `reeve status` shows it");
    return -ERROR_BUSY;
}

void job_unlock(struct catalog *catalog, const char *subject)
{
    struct error ignored; /* a session that cannot unlock has lost its locks already */
    (void)catalog_unlock(catalog, subject, &ignored);
}

/*
 * hold.h - waiting until a hold is in force everywhere.
 */
#ifndef PROVISION_HOLD_H
#define PROVISION_HOLD_H

#include "catalog/proxy.h"

struct hold_wait {
    const int64_t *placement_ids; /* those that are held */
    size_t count;
    int64_t until_us;             /* time_monotonic_us */
    bool ignore_unreachable;      /* proxies that are gone, or cut off, are not waited for */
    const atomic_bool *cancelled; /* or NULL */
};

/* Returns when nothing of the placements runs any more in any proxy. *ret: those that cannot be
 * reached and were not waited for, in the arena. ERROR_TIMEOUT names one that is not done. */
int hold_wait_drained(struct catalog *catalog, struct arena *arena, const struct hold_wait *wait,
                      struct catalog_proxy **ret, size_t *ret_count, struct error *err);

#endif

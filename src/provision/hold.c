#include "provision/hold.h"

#include "base/time.h"
#include "pg/connection.h"

static const int64_t look_again_us = 200 * TIME_MS; /* a server may be gone, which nobody tells */

static size_t count_connected(const struct catalog_proxy *proxies, size_t count)
{
    size_t connected = 0;
    for (size_t i = 0; i < count; i++)
        connected += proxies[i].connected;
    return connected;
}

static int time_is_over(const struct catalog_proxy *proxies, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!proxies[i].connected)
            continue;
        error_set(err, ERROR_TIMEOUT, "something of the tenant runs still, in the server %s",
                  proxies[i].name);
        error_hint(err, "\"reeve ps\" shows there what its server connections do");
        return -ERROR_TIMEOUT;
    }
    if (count == 0)
        return error_set(err, ERROR_TIMEOUT, "nothing of the tenant runs, but the hold is over");
    error_set(err, ERROR_TIMEOUT,
              "the server %s is gone, or cut off from the control database: what runs there is not "
              "known",
              proxies[0].name);
    error_hint(err, "with --ignore-unreachable it is not waited for");
    return -ERROR_TIMEOUT;
}

int hold_wait_drained(struct catalog *catalog, struct arena *arena, const struct hold_wait *wait,
                      struct catalog_proxy **ret, size_t *ret_count, struct error *err)
{
    struct pg_connection *connection = catalog_connection(catalog);
    int r = pg_execute_script(connection, "LISTEN " CATALOG_DRAINED_CHANNEL, err);
    while (r == 0) {
        enum pg_wait ignored;
        r = catalog_hold_awaited(catalog, arena, wait->placement_ids, wait->count, ret, ret_count,
                                 err);
        if (r < 0)
            break;
        if (wait->cancelled && atomic_load(wait->cancelled))
            return error_set(err, ERROR_CANCELLED, "interrupted");
        if (time_monotonic_us() >= wait->until_us)
            return time_is_over(*ret, *ret_count, err);
        if (*ret_count == 0 || (wait->ignore_unreachable && count_connected(*ret, *ret_count) == 0))
            return 0;
        r = pg_wait_notification(connection, -1, look_again_us, &ignored, err);
    }
    return r;
}

#include "route/route.h"

static const struct {
    const char *name;
    bool is_time;
} limits[ROUTE_LIMITS] = {
    [ROUTE_LIMIT_CLIENTS] = {"max_clients", false},
    [ROUTE_LIMIT_TRANSACTIONS] = {"max_transactions", false},
    [ROUTE_LIMIT_TRANSACTION_RATE] = {"transaction_rate", false},
    [ROUTE_LIMIT_QUEUE_US] = {"queue_timeout", true},
    [ROUTE_LIMIT_QUERY_US] = {"query_timeout", true},
    [ROUTE_LIMIT_TRANSACTION_US] = {"transaction_timeout", true},
    [ROUTE_LIMIT_IDLE_TRANSACTION_US] = {"idle_transaction_timeout", true},
    [ROUTE_LIMIT_IDLE_PINNED_US] = {"idle_pinned_timeout", true},
};

_Static_assert(ROUTE_LIMITS == 8, "one value each");
const struct route_limits route_limits_unset = {
    .values = {ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET,
               ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET}};

const char *route_limit_name(size_t limit)
{
    return limit < ROUTE_LIMITS ? limits[limit].name : NULL;
}

bool route_limit_is_time(enum route_limit limit)
{
    return limits[limit].is_time;
}

static const struct route_service *find_service(const struct route_globals *globals, int64_t id)
{
    for (size_t i = 0; globals && i < globals->service_count; i++) {
        if (globals->services[i].id == id)
            return &globals->services[i];
    }
    return NULL;
}

struct route_limits route_limits_in_force(const struct route_globals *globals,
                                          const struct route_placement *placement,
                                          const struct route_limits *fallback)
{
    const struct route_service *service = find_service(globals, placement->service_id);
    struct route_limits found = placement->limits;
    for (size_t i = 0; i < ROUTE_LIMITS; i++) {
        if (found.values[i] == ROUTE_LIMIT_UNSET && service)
            found.values[i] = service->limits.values[i];
        if (found.values[i] == ROUTE_LIMIT_UNSET)
            found.values[i] = fallback->values[i];
    }
    return found;
}

#include "route/route.h"

static const struct {
    const char *name;
    enum route_limit_kind kind;
} limits[ROUTE_LIMITS] = {
    [ROUTE_LIMIT_CLIENTS] = {"max_clients", ROUTE_LIMIT_NUMBER},
    [ROUTE_LIMIT_TRANSACTIONS] = {"max_transactions", ROUTE_LIMIT_NUMBER},
    [ROUTE_LIMIT_BACKENDS] = {"max_backends", ROUTE_LIMIT_NUMBER},
    [ROUTE_LIMIT_BACKENDS_KEPT] = {"min_backends", ROUTE_LIMIT_NUMBER},
    [ROUTE_LIMIT_TRANSACTION_RATE] = {"transaction_rate", ROUTE_LIMIT_NUMBER},
    [ROUTE_LIMIT_BYTE_RATE] = {"byte_rate", ROUTE_LIMIT_SIZE},
    [ROUTE_LIMIT_RESULT_SIZE] = {"max_result_size", ROUTE_LIMIT_SIZE},
    [ROUTE_LIMIT_QUEUE_US] = {"queue_timeout", ROUTE_LIMIT_TIME},
    [ROUTE_LIMIT_QUERY_US] = {"query_timeout", ROUTE_LIMIT_TIME},
    [ROUTE_LIMIT_TRANSACTION_US] = {"transaction_timeout", ROUTE_LIMIT_TIME},
    [ROUTE_LIMIT_IDLE_TRANSACTION_US] = {"idle_transaction_timeout", ROUTE_LIMIT_TIME},
    [ROUTE_LIMIT_IDLE_PINNED_US] = {"idle_pinned_timeout", ROUTE_LIMIT_TIME},
    [ROUTE_LIMIT_WEIGHT] = {"weight", ROUTE_LIMIT_PERCENT},
};

_Static_assert(ROUTE_LIMITS == 13, "one value each");
const struct route_limits route_limits_unset = {
    .values = {ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET,
               ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET,
               ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET, ROUTE_LIMIT_UNSET,
               ROUTE_LIMIT_UNSET}};

const char *route_limit_name(size_t limit)
{
    return limit < ROUTE_LIMITS ? limits[limit].name : NULL;
}

enum route_limit_kind route_limit_kind(enum route_limit limit)
{
    return limits[limit].kind;
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

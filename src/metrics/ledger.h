/*
 * ledger.h - which tenants have series of their own, and what the series say.
 *
 * A counter must never go back, although those with most backend time are now these tenants and now
 * those. So a tenant that gets series of its own begins with what it does from then on, unless all
 * of what it has done is new since the last look; what it did before stays the others'. A tenant
 * that loses its series takes what they said along: from then on the others have what it does.
 */
#ifndef METRICS_LEDGER_H
#define METRICS_LEDGER_H

#include "proxy/survey.h"

struct ledger_entry {
    char tenant[ROUTE_NAME_SIZE], service[ROUTE_NAME_SIZE];
    struct proxy_usage used; /* what the series say */
    struct proxy_usage last; /* what the survey said */
    struct proxy_load load;
};

struct ledger {
    struct ledger_entry *entries; /* by tenant and service */
    size_t count;
    struct ledger_entry others;     /* all that is no entry's; without names */
    struct proxy_usage taken_along; /* by tenants that lost their series */
    bool left_out;                  /* the last survey did not have all tenants */
};

/* All zero is an empty one. The survey must be complete. */
void ledger_take(struct ledger *ledger, const struct proxy_survey *survey);
void ledger_free(struct ledger *ledger);

#endif

/*
 * survey.h - what the proxy has done and is doing, for operators: figures of the whole, of tenants,
 * of databases and of clusters' budgets, as of one moment a worker.
 */
#ifndef PROXY_SURVEY_H
#define PROXY_SURVEY_H

#include "route/route.h"

struct proxy;

/* What is added up, from the proxy's start on. */
enum proxy_use {
    PROXY_USE_TRANSACTIONS,
    PROXY_USE_QUERIES,    /* simple queries and Parse messages */
    PROXY_USE_ERRORS,     /* of the server's, passed on to clients */
    PROXY_USE_BACKEND_US, /* for which clients have had a server connection */
    PROXY_USE_WAITS,      /* for a server connection, ended; where one was free there is none */
    PROXY_USE_WAIT_US,
    PROXY_USE_BYTES_IN,  /* from clients that are logged in */
    PROXY_USE_BYTES_OUT, /* from servers */
    PROXY_USES,
};
struct proxy_usage {
    int64_t of[PROXY_USES];
};

/* Waits by their length: up to so many microseconds, and longer than all of them. */
enum { PROXY_WAIT_BOUNDS = 13 };
extern const int64_t proxy_wait_bounds_us[PROXY_WAIT_BOUNDS];

/* At the moment. */
struct proxy_load {
    int64_t clients, waiting, backends; /* that clients have */
    int64_t longest_wait_us;            /* so far, of those that wait */
    int64_t running_us;                 /* for which they have had these: in the use, too */
};

struct proxy_tenant_figures { /* of a tenant in a service */
    char tenant[ROUTE_NAME_SIZE], service[ROUTE_NAME_SIZE];
    struct proxy_usage used;
    struct proxy_load load;
};

struct proxy_database_figures { /* of all pools of a database */
    int64_t cluster_id;
    char database[ROUTE_NAME_SIZE];
    int64_t backends, idle, connecting;
    int64_t waiting; /* clients whose turn it could be: not of tenants that are held */
};

struct proxy_budget_figures { /* of a cluster */
    int64_t cluster_id;
    int64_t used, maximum;
    int64_t starving; /* pools that wait for a slot */
};

struct proxy_survey {
    bool complete; /* every worker has answered; else nothing below counts */
    int64_t taken_us;
    struct proxy_usage used;                  /* of all, what still runs included */
    int64_t waits[PROXY_WAIT_BOUNDS + 1];     /* each of its length alone */
    struct proxy_load load;                   /* of all */
    struct proxy_tenant_figures *tenants;     /* those with most backend time, the most first */
    struct proxy_database_figures *databases; /* those with most backends first */
    struct proxy_budget_figures *budgets;
    size_t tenant_count, database_count, budget_count;
    bool tenants_left_out; /* there are others, or some whose figures are given up */
};

/*
 * Asks all workers, at most so long. What the tenants in the survey do not have of the whole is the
 * others'. Figures of a tenant without clients are kept, of some 1,000 a worker; of the others they
 * begin at 0 when it comes back. Not for worker threads, nor while the proxy is freed.
 */
void proxy_survey_take(struct proxy *proxy, size_t tenants_max, int64_t timeout_us,
                       struct proxy_survey *ret);
void proxy_survey_free(struct proxy_survey *survey);

#endif

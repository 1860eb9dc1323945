/*
 * metrics.h - what a running proxy tells Prometheus: GET /metrics in its text format 0.0.4, from a
 * thread of its own.
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include "base/error.h"
#include "proxy/proxy.h"

struct metrics_server;

enum { METRICS_LISTEN_MAX = 16, METRICS_TENANTS_MAX = 10000 };

struct metrics_options {
    const int *listen_fds; /* listening, at most METRICS_LISTEN_MAX; the caller's */
    int listen_count;
    struct proxy *proxy; /* must live until the server is stopped, as must the routes */
    struct route_table *routes;
    size_t tenants; /* with series of their own, at most METRICS_TENANTS_MAX */
};

int metrics_server_start(const struct metrics_options *options, struct metrics_server **ret,
                         struct error *err);
/* From the next answer on. Any thread. */
void metrics_server_set_tenants(struct metrics_server *server, size_t tenants);
/* Ends the thread; answers under way are cut off. Accepts NULL; returns NULL. */
struct metrics_server *metrics_server_stop(struct metrics_server *server);

/* docs/reference/metrics.md. */
void metrics_write_reference(FILE *file);

#endif

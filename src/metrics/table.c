#include "metrics/table.h"

#include "metrics/metrics.h"

#define OF_PROCESS(member)                                                                         \
    .scope = METRIC_OF_PROCESS, .offset = offsetof(struct metrics_process, member)
#define OF_PROXY(member) .scope = METRIC_OF_PROXY, .offset = offsetof(struct metrics_proxy, member)
#define OF_CLUSTER(member)                                                                         \
    .scope = METRIC_OF_CLUSTER, .offset = offsetof(struct metrics_cluster, figures.member)
#define OF_DATABASE(member)                                                                        \
    .scope = METRIC_OF_DATABASE, .offset = offsetof(struct metrics_database, figures.member)
#define OF_TENANT(member) .scope = METRIC_OF_TENANT, .offset = offsetof(struct ledger_entry, member)
#define COUNTER .type = METRIC_COUNTER
#define GAUGE .type = METRIC_GAUGE

const struct metric metrics_table[] = {
    {.name = "reeve_info",
     .help = "Always 1; the labels say which Reeve this is.",
     GAUGE,
     .scope = METRIC_OF_PROGRAM,
     .offset = offsetof(struct metrics_sample, proxy.one)},

    {.name = "reeve_clients",
     .help = "Client connections, those that are logging in included.",
     GAUGE,
     OF_PROXY(counts.clients)},
    {.name = "reeve_clients_waiting",
     .help = "Clients that wait for a server connection.",
     GAUGE,
     OF_PROXY(counts.clients_waiting)},
    {.name = "reeve_backends",
     .help = "Server connections, those that are logging in included.",
     GAUGE,
     OF_PROXY(counts.backends)},
    {.name = "reeve_backends_idle",
     .help = "Server connections that no client has.",
     GAUGE,
     OF_PROXY(counts.backends_idle)},
    {.name = "reeve_logins_total",
     .help = "Clients that have logged in.",
     COUNTER,
     OF_PROXY(counts.logins)},
    {.name = "reeve_logins_failed_total",
     .help = "Clients that were refused, or gave up, before they had logged in.",
     COUNTER,
     OF_PROXY(counts.logins_failed)},
    {.name = "reeve_transactions_total",
     .help = "Transactions that have ended.",
     COUNTER,
     OF_PROXY(used.of[PROXY_USE_TRANSACTIONS])},
    {.name = "reeve_queries_total",
     .help = "Simple queries and Parse messages of clients.",
     COUNTER,
     OF_PROXY(used.of[PROXY_USE_QUERIES])},
    {.name = "reeve_errors_total",
     .help = "Errors of servers that were passed on to clients.",
     COUNTER,
     OF_PROXY(used.of[PROXY_USE_ERRORS])},
    {.name = "reeve_backend_seconds_total",
     .help = "Time for which clients have had a server connection; its rate is how many they have.",
     COUNTER,
     .seconds = true,
     OF_PROXY(used.of[PROXY_USE_BACKEND_US])},
    {.name = "reeve_received_bytes_total",
     .help = "Bytes from clients that are logged in.",
     COUNTER,
     OF_PROXY(used.of[PROXY_USE_BYTES_IN])},
    {.name = "reeve_sent_bytes_total",
     .help = "Bytes from servers.",
     COUNTER,
     OF_PROXY(used.of[PROXY_USE_BYTES_OUT])},
    {.name = "reeve_wait_seconds",
     .help = "How long clients waited for a server connection, whether they got one or not; a "
             "client that finds one free does not wait.",
     .type = METRIC_HISTOGRAM,
     .scope = METRIC_OF_WAITS},

    {.name = "reeve_cluster_backends",
     .help = "Server connections that count in the cluster's budget.",
     GAUGE,
     OF_CLUSTER(used)},
    {.name = "reeve_cluster_backends_max",
     .help = "The cluster's budget (max_backends).",
     GAUGE,
     OF_CLUSTER(maximum)},
    {.name = "reeve_cluster_pools_waiting",
     .help = "Pools that wait for the budget to have room.",
     GAUGE,
     OF_CLUSTER(starving)},

    {.name = "reeve_database_backends",
     .help = "Server connections to the database.",
     GAUGE,
     OF_DATABASE(backends)},
    {.name = "reeve_database_backends_idle",
     .help = "Those that no client has.",
     GAUGE,
     OF_DATABASE(idle)},
    {.name = "reeve_database_backends_connecting",
     .help = "Those that are logging in.",
     GAUGE,
     OF_DATABASE(connecting)},
    {.name = "reeve_database_clients_waiting",
     .help =
         "Clients that wait for one of them; not those of a tenant that is held, or has as many "
         "as it may have.",
     GAUGE,
     OF_DATABASE(waiting)},

    {.name = "reeve_tenant_clients",
     .help = "Client connections of the tenant.",
     GAUGE,
     OF_TENANT(load.clients)},
    {.name = "reeve_tenant_clients_waiting",
     .help = "Those that wait for a server connection.",
     GAUGE,
     OF_TENANT(load.waiting)},
    {.name = "reeve_tenant_backends",
     .help = "Server connections that its clients have.",
     GAUGE,
     OF_TENANT(load.backends)},
    {.name = "reeve_tenant_transactions_total",
     .help = "Its transactions that have ended.",
     COUNTER,
     OF_TENANT(used.of[PROXY_USE_TRANSACTIONS])},
    {.name = "reeve_tenant_queries_total",
     .help = "Simple queries and Parse messages of its clients.",
     COUNTER,
     OF_TENANT(used.of[PROXY_USE_QUERIES])},
    {.name = "reeve_tenant_errors_total",
     .help = "Errors of servers that were passed on to its clients.",
     COUNTER,
     OF_TENANT(used.of[PROXY_USE_ERRORS])},
    {.name = "reeve_tenant_backend_seconds_total",
     .help = "Time for which its clients have had a server connection.",
     COUNTER,
     .seconds = true,
     OF_TENANT(used.of[PROXY_USE_BACKEND_US])},
    {.name = "reeve_tenant_waits_total",
     .help = "Waits of its clients for a server connection.",
     COUNTER,
     OF_TENANT(used.of[PROXY_USE_WAITS])},
    {.name = "reeve_tenant_wait_seconds_total",
     .help = "How long they were, all together.",
     COUNTER,
     .seconds = true,
     OF_TENANT(used.of[PROXY_USE_WAIT_US])},
    {.name = "reeve_tenant_received_bytes_total",
     .help = "Bytes from its clients.",
     COUNTER,
     OF_TENANT(used.of[PROXY_USE_BYTES_IN])},
    {.name = "reeve_tenant_sent_bytes_total",
     .help = "Bytes from servers for its clients.",
     COUNTER,
     OF_TENANT(used.of[PROXY_USE_BYTES_OUT])},

    {.name = "process_cpu_seconds_total",
     .help = "CPU time of the process, user and system.",
     COUNTER,
     .seconds = true,
     OF_PROCESS(cpu_us)},
    {.name = "process_resident_memory_bytes",
     .help = "Its memory that is resident.",
     GAUGE,
     OF_PROCESS(resident_bytes)},
    {.name = "process_open_fds", .help = "Its open descriptors.", GAUGE, OF_PROCESS(open_fds)},
    {.name = "process_max_fds", .help = "How many it may have open.", GAUGE, OF_PROCESS(max_fds)},
    {.name = "process_start_time_seconds",
     .help = "When it was started, since 1970.",
     GAUGE,
     .seconds = true,
     OF_PROCESS(started_unix_us)},
};
const size_t metrics_table_size = array_size(metrics_table);

/* ---- the reference ---- */

static const char *labels_of(enum metric_scope scope)
{
    switch (scope) {
    case METRIC_OF_PROGRAM:
        return "`version`, `engine`";
    case METRIC_OF_CLUSTER:
        return "`cluster`";
    case METRIC_OF_DATABASE:
        return "`cluster`, `database`";
    case METRIC_OF_TENANT:
        return "`tenant`, `service`";
    case METRIC_OF_WAITS:
        return "`le`";
    case METRIC_OF_PROCESS:
    case METRIC_OF_PROXY:
        break;
    }
    return "";
}

void metrics_write_reference(FILE *file)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    fputs("# Metrics\n\n"
          "Made by `reeve help --markdown metrics`; do not edit.\n\n"
          "What `GET /metrics` answers where `metrics_listen` is set ([config.md](config.md)): "
          "Prometheus's\n"
          "text format 0.0.4. Figures are at most a second old. Counters begin at 0 when the proxy "
          "does.\n\n"
          "Labels are names of clusters, databases, tenants and services, and bounded: the "
          "`metrics_tenants`\n"
          "tenants (each in a service) with most backend time since the start, the 100 databases "
          "with most "
          "server\n"
          "connections. What the rest have together stands in series whose label is the empty "
          "text\n"
          "(`tenant=\"\"`; `database=\"\"`, `cluster=\"\"`), and so do clients that have not "
          "logged in yet. A "
          "tenant\n"
          "that comes to be among those with most begins with what it does from then on.\n\n"
          "| metric | type | labels | meaning |\n|---|---|---|---|\n",
          file);
    for (size_t i = 0; i < metrics_table_size; i++) {
        const struct metric *metric = &metrics_table[i];
        fprintf(file, "| `%s` | %s | %s | %s |\n", metric->name, types[metric->type],
                labels_of(metric->scope), metric->help);
    }
}

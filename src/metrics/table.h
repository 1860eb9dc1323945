/*
 * table.h - the metrics that there are: the answer and docs/reference/metrics.md are made from one
 * table.
 */
#ifndef METRICS_TABLE_H
#define METRICS_TABLE_H

#include "base/buffer.h"
#include "metrics/ledger.h"
#include "proxy/proxy.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* What there is one series of each; a member of struct metrics_sample has the values. */
enum metric_scope {
    METRIC_OF_PROGRAM,
    METRIC_OF_PROCESS,
    METRIC_OF_PROXY,
    METRIC_OF_WAITS,
    METRIC_OF_CLUSTER,
    METRIC_OF_DATABASE,
    METRIC_OF_TENANT,
};

struct metric {
    const char *name;
    const char *help;
    enum metric_type type;
    enum metric_scope scope;
    bool seconds;  /* the value is microseconds, and is told in seconds */
    size_t offset; /* of an int64_t in what the scope has */
};

extern const struct metric metrics_table[];
extern const size_t metrics_table_size;

struct metrics_process {
    int64_t cpu_us, resident_bytes, open_fds, max_fds, started_unix_us;
};
/* What cannot be found out is -1, and left out. */
void metrics_process_take(struct metrics_process *ret);

/* All that one answer is made of. */
struct metrics_proxy {
    struct proxy_statistics counts;
    struct proxy_usage used;
    int64_t one;
};
struct metrics_cluster {
    const char *name;
    struct proxy_budget_figures figures;
};
struct metrics_database {
    const char *cluster; /* "": those that are not told one by one */
    struct proxy_database_figures figures;
};
struct metrics_sample {
    const char *engine;
    struct metrics_process process;
    struct metrics_proxy proxy;
    const int64_t *waits; /* PROXY_WAIT_BOUNDS + 1, each of its length alone */
    const struct metrics_cluster *clusters;
    const struct metrics_database *databases;
    const struct ledger_entry *tenants, *others;
    size_t cluster_count, database_count, tenant_count;
};

/* The text format 0.0.4. `failed` of the buffer: there is too much of it. */
void metrics_write_text(struct buffer *buffer, const struct metrics_sample *sample);
/* A label's value as it stands between quotes: backslash, quote and newline escaped, and what is no
 * UTF-8 replaced. */
void metrics_append_label(struct buffer *buffer, const char *value);

#endif

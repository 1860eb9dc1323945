/*
 * text.c - a sample in Prometheus's text format 0.0.4: HELP, TYPE, and a line for each series.
 */
#include "base/str.h"
#include "metrics/table.h"

/* ---- labels ---- */

void metrics_append_label(struct buffer *buffer, const char *value)
{
    bool readable = str_is_utf8(value, strlen(value));
    for (; *value; value++) {
        if (*value == '\\' || *value == '"') {
            buffer_append_byte(buffer, '\\');
            buffer_append_byte(buffer, (uint8_t)*value);
        } else if (*value == '\n') {
            buffer_append_string(buffer, "\\n");
        } else if (!readable && (*value & 0x80)) {
            buffer_append_byte(buffer, '?');
        } else {
            buffer_append_byte(buffer, (uint8_t)*value);
        }
    }
}

struct label {
    const char *name, *value;
};

static void append_series(struct buffer *buffer, const char *name, const char *suffix,
                          const struct label *labels, size_t label_count)
{
    buffer_printf(buffer, "%s%s", name, suffix);
    for (size_t i = 0; i < label_count; i++) {
        buffer_printf(buffer, "%c%s=\"", i == 0 ? '{' : ',', labels[i].name);
        metrics_append_label(buffer, labels[i].value);
        buffer_append_byte(buffer, '"');
    }
    if (label_count > 0)
        buffer_append_byte(buffer, '}');
    buffer_append_byte(buffer, ' ');
}

/* ---- values ---- */

/* "0.0025", "30": without zeros that say nothing. */
static void format_seconds(int64_t us, char *ret_text, size_t size)
{
    const int64_t second = 1000000;
    const char *sign = us < 0 ? "-" : "";
    if (us < 0)
        us = -us;
    int length = snprintf(ret_text, size, "%s%lld.%06lld", sign, (long long)(us / second),
                          (long long)(us % second));
    while (ret_text[length - 1] == '0')
        ret_text[--length] = '\0';
    if (ret_text[length - 1] == '.')
        ret_text[length - 1] = '\0';
}

static void append_value(struct buffer *buffer, bool seconds, int64_t value)
{
    char text[32];
    if (seconds)
        format_seconds(value, text, sizeof(text));
    else
        snprintf(text, sizeof(text), "%lld", (long long)value);
    buffer_printf(buffer, "%s\n", text);
}

static void append(struct buffer *buffer, const struct metric *metric, const void *figures,
                   const struct label *labels, size_t label_count)
{
    int64_t value;
    memcpy(&value, (const char *)figures + metric->offset, sizeof(value));
    if (metric->scope == METRIC_OF_PROCESS && value < 0)
        return;
    append_series(buffer, metric->name, "", labels, label_count);
    append_value(buffer, metric->seconds, value);
}

static void append_waits(struct buffer *buffer, const struct metric *metric,
                         const struct metrics_sample *sample)
{
    int64_t count_ = 0;
    for (size_t i = 0; i <= PROXY_WAIT_BOUNDS; i++) {
        char bound[32] = "+Inf";
        if (i < PROXY_WAIT_BOUNDS)
            format_seconds(proxy_wait_bounds_us[i], bound, sizeof(bound));
        count_ += sample->waits[i];
        append_series(buffer, metric->name, "_bucket", &(struct label){"le", bound}, 1);
        append_value(buffer, false, count_);
    }
    append_series(buffer, metric->name, "_sum", NULL, 0);
    append_value(buffer, true, sample->proxy.used.of[PROXY_USE_WAIT_US]);
    append_series(buffer, metric->name, "_count", NULL, 0);
    append_value(buffer, false, count_);
}

/* ---- scopes ---- */

static void append_tenant(struct buffer *buffer, const struct metric *metric,
                          const struct ledger_entry *entry)
{
    const struct label labels[] = {{"tenant", entry->tenant}, {"service", entry->service}};
    append(buffer, metric, entry, labels, array_size(labels));
}

static void append_all(struct buffer *buffer, const struct metric *metric,
                       const struct metrics_sample *sample)
{
    const struct label program[] = {{"version", REEVE_VERSION}, {"engine", sample->engine}};
    switch (metric->scope) {
    case METRIC_OF_PROGRAM:
        append(buffer, metric, sample, program, array_size(program));
        break;
    case METRIC_OF_PROCESS:
        append(buffer, metric, &sample->process, NULL, 0);
        break;
    case METRIC_OF_PROXY:
        append(buffer, metric, &sample->proxy, NULL, 0);
        break;
    case METRIC_OF_WAITS:
        append_waits(buffer, metric, sample);
        break;
    case METRIC_OF_CLUSTER:
        for (size_t i = 0; i < sample->cluster_count; i++) {
            const struct metrics_cluster *cluster = &sample->clusters[i];
            append(buffer, metric, cluster, &(struct label){"cluster", cluster->name}, 1);
        }
        break;
    case METRIC_OF_DATABASE:
        for (size_t i = 0; i < sample->database_count; i++) {
            const struct metrics_database *database = &sample->databases[i];
            const struct label labels[] = {{"cluster", database->cluster},
                                           {"database", database->figures.database}};
            append(buffer, metric, database, labels, array_size(labels));
        }
        break;
    case METRIC_OF_TENANT:
        for (size_t i = 0; i < sample->tenant_count; i++)
            append_tenant(buffer, metric, &sample->tenants[i]);
        append_tenant(buffer, metric, sample->others);
        break;
    }
}

void metrics_write_text(struct buffer *buffer, const struct metrics_sample *sample)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    for (size_t i = 0; i < metrics_table_size; i++) {
        const struct metric *metric = &metrics_table[i];
        buffer_printf(buffer, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
                      metric->name, types[metric->type]);
        append_all(buffer, metric, sample);
    }
}

/* The text format: labels, values, the histogram, and the table that it is made from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/metrics.h"
#include "metrics/table.h"

static void assert_label(const char *value, const char *expected)
{
    struct buffer buffer = BUFFER_INIT(1024);
    metrics_append_label(&buffer, value);
    assert_string_equal(buffer_string(&buffer), expected);
    buffer_free(&buffer);
}

static void test_labels(void **state)
{
    (void)state;
    assert_label("acme-1_x", "acme-1_x");
    assert_label("", "");
    assert_label("a\"b", "a\\\"b");
    assert_label("a\\", "a\\\\");
    assert_label("\n", "\\n");
    assert_label("x\"} 1\nreeve_clients 7", "x\\\"} 1\\nreeve_clients 7");
    assert_label("caf\xC3\xA9", "caf\xC3\xA9");
    assert_label("caf\xE9", "caf?");
    assert_label("\xC3\xA9 \xFF", "?? ?"); /* none of it counts where not all does */
}

/* ---- a sample ---- */

static const int64_t waits[PROXY_WAIT_BOUNDS + 1] = {3, 0, 2, [PROXY_WAIT_BOUNDS] = 1};

static char *text_of(struct metrics_sample sample)
{
    static const struct ledger_entry nobody;
    struct buffer buffer = BUFFER_INIT(1 << 20);
    sample.engine = "epoll";
    sample.waits = waits;
    sample.proxy.one = 1;
    if (!sample.others)
        sample.others = &nobody;
    metrics_write_text(&buffer, &sample);
    assert_false(buffer.failed);
    return buffer_take(&buffer);
}

static void assert_line(const char *text, const char *line)
{
    const char *found = strstr(text, line);
    while (found && ((found != text && found[-1] != '\n') || found[strlen(line)] != '\n'))
        found = strstr(found + 1, line);
    if (!found)
        fail_msg("no line %s in:\n%s", line, text);
}

static void test_values(void **state)
{
    (void)state;
    struct metrics_sample sample = {.process = {.cpu_us = 1500000,
                                                .resident_bytes = 4096,
                                                .open_fds = 7,
                                                .max_fds = -1,
                                                .started_unix_us = 1000000},
                                    .proxy.counts.clients = 12};
    sample.proxy.used.of[PROXY_USE_BACKEND_US] = 1;
    sample.proxy.used.of[PROXY_USE_TRANSACTIONS] = INT64_C(9007199254740993);
    char *text = text_of(sample);
    assert_line(text, "reeve_info{version=\"" REEVE_VERSION "\",engine=\"epoll\"} 1");
    assert_line(text, "reeve_clients 12");
    assert_line(text, "reeve_backend_seconds_total 0.000001");
    assert_line(text, "reeve_transactions_total 9007199254740993");
    assert_line(text, "process_cpu_seconds_total 1.5");
    assert_line(text, "process_start_time_seconds 1");
    assert_line(text, "process_open_fds 7");
    assert_null(strstr(text, "\nprocess_max_fds ")); /* it could not be found out */
    assert_line(text, "# TYPE reeve_clients gauge");
    assert_line(text, "# TYPE reeve_wait_seconds histogram");
    free(text);
}

static void test_histogram(void **state)
{
    (void)state;
    struct metrics_sample sample = {0};
    sample.proxy.used.of[PROXY_USE_WAIT_US] = 40010000;
    char *text = text_of(sample);
    assert_line(text, "reeve_wait_seconds_bucket{le=\"0.001\"} 3");
    assert_line(text, "reeve_wait_seconds_bucket{le=\"0.005\"} 3");
    assert_line(text, "reeve_wait_seconds_bucket{le=\"0.01\"} 5");
    assert_line(text, "reeve_wait_seconds_bucket{le=\"30\"} 5");
    assert_line(text, "reeve_wait_seconds_bucket{le=\"+Inf\"} 6");
    assert_line(text, "reeve_wait_seconds_sum 40.01");
    assert_line(text, "reeve_wait_seconds_count 6");
    free(text);
}

static void test_series(void **state)
{
    (void)state;
    const struct ledger_entry tenants[] = {
        {.tenant = "acme", .service = "orders", .used.of[PROXY_USE_ERRORS] = 4},
        {.tenant = "a\"\n", .service = "orders", .load.clients = 2}};
    const struct ledger_entry others = {.used.of[PROXY_USE_ERRORS] = 1};
    const struct metrics_cluster clusters[] = {{"c1", {.used = 3, .maximum = 10, .starving = 1}}};
    const struct metrics_database databases[] = {
        {"c1", {.database = "svc_orders", .backends = 3, .idle = 2, .waiting = 5}}};
    char *text = text_of((struct metrics_sample){.tenants = tenants,
                                                 .tenant_count = array_size(tenants),
                                                 .others = &others,
                                                 .clusters = clusters,
                                                 .cluster_count = 1,
                                                 .databases = databases,
                                                 .database_count = 1});
    assert_line(text, "reeve_tenant_errors_total{tenant=\"acme\",service=\"orders\"} 4");
    assert_line(text, "reeve_tenant_errors_total{tenant=\"\",service=\"\"} 1");
    assert_line(text, "reeve_tenant_clients{tenant=\"a\\\"\\n\",service=\"orders\"} 2");
    assert_line(text, "reeve_cluster_backends{cluster=\"c1\"} 3");
    assert_line(text, "reeve_cluster_backends_max{cluster=\"c1\"} 10");
    assert_line(text, "reeve_cluster_pools_waiting{cluster=\"c1\"} 1");
    assert_line(text, "reeve_database_backends_idle{cluster=\"c1\",database=\"svc_orders\"} 2");
    assert_line(text, "reeve_database_clients_waiting{cluster=\"c1\",database=\"svc_orders\"} 5");
    free(text);
}

static void test_too_much(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_INIT(1000);
    static const struct ledger_entry nobody;
    metrics_write_text(
        &buffer, &(struct metrics_sample){.engine = "epoll", .waits = waits, .others = &nobody});
    assert_true(buffer.failed);
    buffer_free(&buffer);
}

/* ---- the table ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Names as Prometheus would have them, each once. */
static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < metrics_table_size; i++) {
        const struct metric *metric = &metrics_table[i];
        assert_int_equal(strspn(metric->name, "abcdefghijklmnopqrstuvwxyz_"), strlen(metric->name));
        assert_int_equal(metric->type == METRIC_COUNTER, ends_with(metric->name, "_total"));
        assert_true(ends_with(metric->help, "."));
        assert_null(strpbrk(metric->help, "\\\n|"));
        if (metric->seconds)
            assert_non_null(strstr(metric->name, "_seconds"));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(metric->name, metrics_table[j].name);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    for (size_t i = 1; i < PROXY_WAIT_BOUNDS; i++)
        assert_true(proxy_wait_bounds_us[i] > proxy_wait_bounds_us[i - 1]);
}

static void test_process(void **state)
{
    (void)state;
    struct metrics_process process;
    metrics_process_take(&process);
    assert_true(process.cpu_us >= 0);
    assert_true(process.resident_bytes > 100000);
    assert_true(process.open_fds >= 3);
    FILE *file = fopen("/dev/null", "re");
    int64_t before = process.open_fds;
    metrics_process_take(&process);
    assert_int_equal(process.open_fds, before + 1);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),    cmocka_unit_test(test_values),
        cmocka_unit_test(test_histogram), cmocka_unit_test(test_series),
        cmocka_unit_test(test_too_much),  cmocka_unit_test(test_names),
        cmocka_unit_test(test_bounds),    cmocka_unit_test(test_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

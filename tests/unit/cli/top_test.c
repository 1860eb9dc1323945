/* `reeve top`: two answers compared, and how the outcome looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/top.h"

static json_t *used(int64_t transactions, int64_t errors, int64_t backend_us)
{
    return json_pack("{s:I, s:I, s:I}", "transactions", (json_int_t)transactions, "errors",
                     (json_int_t)errors, "backend_us", (json_int_t)backend_us);
}

static json_t *tenant(const char *name, int64_t transactions, int64_t errors, int64_t backend_us,
                      int64_t waiting)
{
    return json_pack("{s:s, s:s, s:o, s:i, s:I, s:i, s:I}", "tenant", name, "service", "orders",
                     "used", used(transactions, errors, backend_us), "clients", 2, "waiting",
                     (json_int_t)waiting, "backends", 1, "longest_wait_us",
                     (json_int_t)waiting * 1500000);
}

/* `tenants` and `whole` are taken over. */
static json_t *answer(int64_t taken_us, json_t *whole, json_t *tenants, bool left_out)
{
    return json_pack(
        "{s:{s:s, s:i, s:i, s:s, s:b}, s:b, s:I, s:o, s:o, s:b, s:[{s:s, s:s, s:i, s:i, s:i, s:i}],"
        " s:[{s:s, s:i, s:i, s:i}]}",
        "server", "version", "1.2", "pid", 77, "uptime_s", 90061, "engine", "epoll", "stopping", 0,
        "complete", 1, "taken_us", (json_int_t)taken_us, "whole", whole, "tenants", tenants,
        "left_out", left_out, "databases", "cluster", "c1", "database", "svc_orders", "backends", 5,
        "idle", 3, "connecting", 1, "waiting", 4, "clusters", "cluster", "c1", "backends", 5,
        "max_backends", 50, "pools_waiting", 0);
}

static json_t *earlier(void)
{
    return answer(
        1000000, tenant("", 160, 10, 3000000, 0),
        json_pack("[o, o]", tenant("busy", 100, 0, 1000000, 0), tenant("slow", 50, 10, 2000000, 0)),
        false);
}

static json_t *later(void)
{
    return answer(3000000, tenant("", 390, 20, 7000000, 3),
                  json_pack("[o, o, o]", tenant("busy", 300, 0, 2000000, 0),
                            tenant("new", 20, 0, 0, 0), tenant("slow", 60, 20, 5000000, 3)),
                  false);
}

static const struct top_row *find(const struct top_view *view, const char *name)
{
    for (size_t i = 0; i < view->count; i++) {
        if (strcmp(view->rows[i].tenant, name) == 0)
            return &view->rows[i];
    }
    return NULL;
}

static void assert_about(double value, double expected)
{
    assert_true(value > expected - 0.0001 && value < expected + 0.0001);
}

static void test_rates(void **state)
{
    (void)state;
    json_t *before = earlier();
    json_t *after = later();
    struct top_view view;
    top_compare(before, after, &view);
    assert_about(view.seconds, 2);
    assert_int_equal(view.count, 3);
    assert_about(find(&view, "busy")->rates[PROXY_USE_TRANSACTIONS], 100);
    assert_about(find(&view, "busy")->share, 0.25);
    assert_about(find(&view, "slow")->rates[PROXY_USE_ERRORS], 5);
    assert_about(find(&view, "slow")->share, 0.75);
    assert_int_equal(find(&view, "slow")->waiting, 3);
    /* Nothing was left out before, so it is new, and all of it was since. */
    assert_true(find(&view, "new")->measured);
    assert_about(find(&view, "new")->rates[PROXY_USE_TRANSACTIONS], 10);
    assert_about(view.whole.rates[PROXY_USE_TRANSACTIONS], 115);
    assert_about(view.others.rates[PROXY_USE_TRANSACTIONS], 0);
    top_view_free(&view);
    json_decref(before);
    json_decref(after);
}

static void test_what_cannot_be_measured(void **state)
{
    (void)state;
    json_t *before = earlier();
    json_t *after = later();
    struct top_view view;
    top_compare(NULL, after, &view); /* the first look */
    assert_false(find(&view, "busy")->measured);
    assert_false(view.whole.measured);
    top_view_free(&view);
    json_object_set_new(before, "left_out", json_true());
    top_compare(before, after, &view);
    assert_true(find(&view, "busy")->measured);
    assert_false(find(&view, "new")->measured); /* it may have been there */
    top_view_free(&view);
    json_object_set_new(json_object_get(before, "server"), "pid", json_integer(78));
    top_compare(before, after, &view); /* another server */
    assert_false(find(&view, "busy")->measured);
    top_view_free(&view);
    json_decref(before);
    json_decref(after);
}

/* A tenant that the server had forgotten counts from 0 again. */
static void test_counters_that_went_back(void **state)
{
    (void)state;
    json_t *before = later();
    json_t *after = answer(5000000, tenant("", 400, 20, 7000000, 0),
                           json_pack("[o]", tenant("busy", 10, 0, 0, 0)), true);
    struct top_view view;
    top_compare(before, after, &view);
    assert_about(find(&view, "busy")->rates[PROXY_USE_TRANSACTIONS], 5);
    assert_true(find(&view, "busy")->forgotten);
    assert_about(view.others.rates[PROXY_USE_TRANSACTIONS], 0);
    top_view_free(&view);
    json_decref(before);
    json_decref(after);
}

/* What still runs is in the use, but has not ended. */
static void test_what_has_ended(void **state)
{
    (void)state;
    json_t *before = earlier();
    json_t *after = later();
    json_object_set_new(json_array_get(json_object_get(before, "tenants"), 1), "running_us",
                        json_integer(500000));
    json_object_set_new(json_array_get(json_object_get(after, "tenants"), 2), "running_us",
                        json_integer(2500000));
    struct top_view view;
    top_compare(before, after, &view);
    assert_about(find(&view, "slow")->rates[PROXY_USE_BACKEND_US], 1500000);
    assert_about(find(&view, "slow")->ended_us, 500000);
    assert_about(find(&view, "busy")->ended_us, 500000);
    assert_false(find(&view, "slow")->forgotten);
    top_view_free(&view);
    json_decref(before);
    json_decref(after);
}

static void test_orders(void **state)
{
    (void)state;
    static const char *const first[TOP_ORDERS] = {"busy", "slow", "slow", "slow"};
    json_t *before = earlier();
    json_t *after = later();
    struct top_view view;
    top_compare(before, after, &view);
    for (size_t order = 0; order < TOP_ORDERS; order++) {
        assert_non_null(top_order_name(order));
        top_sort(&view, (enum top_order)order);
        assert_string_equal(view.rows[0].tenant, first[order]);
    }
    assert_null(top_order_name(TOP_ORDERS));
    assert_string_equal(view.rows[1].tenant, "busy"); /* equal ones by name */
    assert_string_equal(view.rows[2].tenant, "new");
    top_view_free(&view);
    json_decref(before);
    json_decref(after);
}

/* ---- the screen ---- */

static char *render(json_t *before, json_t *after, const struct top_screen *screen)
{
    struct buffer text = BUFFER_INIT(1 << 20);
    struct top_view view;
    top_compare(before, after, &view);
    top_sort(&view, screen->order);
    top_render(&text, &view, screen);
    assert_false(text.failed);
    top_view_free(&view);
    json_decref(before);
    json_decref(after);
    return buffer_take(&text);
}

static void test_screen(void **state)
{
    (void)state;
    char *text = render(earlier(), later(), &(struct top_screen){.order = TOP_BY_WAITING});
    assert_non_null(strstr(text, "reeve 1.2  pid 77  up 1d 01:01:01  engine epoll\n"));
    assert_non_null(strstr(text, "a second: transactions 115.0 "));
    assert_non_null(strstr(text, "svc_orders                c1                    5        3"));
    const char *slow = strstr(text, "\nslow ");
    const char *busy = strstr(text, "\nbusy ");
    assert_true(slow && busy && slow < busy);
    assert_non_null(strstr(slow, " 75.0%"));
    assert_non_null(strstr(slow, " 4.5 s"));
    assert_non_null(strstr(text, "*WAITING"));
    assert_null(strchr(text, '\033'));
    assert_null(strstr(text, " \n")); /* nothing trails */
    free(text);
}

static void test_hostile_names(void **state)
{
    (void)state;
    json_t *after =
        answer(3000000, tenant("", 0, 0, 0, 0),
               json_pack("[o, o]", tenant("\033[2J\r\n\007", 1, 0, 0, 0),
                         tenant("caf\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9", 1, 0, 0, 0)),
               false);
    json_object_set_new(json_array_get(json_object_get(after, "databases"), 0), "database",
                        json_string("x\033]0;title\007"));
    char *text = render(NULL, after, &(struct top_screen){.live = false});
    assert_null(strpbrk(text, "\033\r\007"));
    assert_non_null(strstr(text, "\\x1b[2J\\x0d\\n\\x07"));
    free(text);
}

/* Whatever the size, no line is wider and there are no more. */
static void test_sizes(void **state)
{
    (void)state;
    for (size_t rows = 1; rows < 30; rows++) {
        for (size_t columns = 1; columns < 150; columns += 7) {
            char *text =
                render(earlier(), later(), &(struct top_screen){.rows = rows, .columns = columns});
            size_t lines = 0;
            for (const char *line = text; *line; line = strchr(line, '\n') + 1, lines++)
                assert_true(strcspn(line, "\n") <= columns);
            assert_true(lines <= rows);
            free(text);
        }
    }
}

static void test_fewer_tenants(void **state)
{
    (void)state;
    char *text = render(earlier(), later(), &(struct top_screen){.tenants_max = 1});
    assert_non_null(strstr(text, "\nbusy "));
    assert_null(strstr(text, "\nslow "));
    assert_non_null(strstr(text, "\n... and 2 more\n"));
    free(text);
    json_t *after = later();
    json_object_set_new(after, "left_out", json_true());
    text = render(earlier(), after, &(struct top_screen){0});
    assert_non_null(strstr(text, "\n(others) "));
    free(text);
}

/* A server that is about to end says little. */
static void test_nothing_to_show(void **state)
{
    (void)state;
    char *text = render(NULL, json_pack("{s:{s:b}, s:b}", "server", "stopping", 1, "complete", 0),
                        &(struct top_screen){.live = true});
    assert_non_null(strstr(text, "STOPPING"));
    assert_non_null(strstr(text, "not every worker"));
    free(text);
}

static void test_record(void **state)
{
    (void)state;
    json_t *before = earlier();
    json_t *after = later();
    struct top_view view;
    top_compare(before, after, &view);
    json_t *record = top_record(&view);
    const json_t *busy = json_array_get(json_object_get(record, "tenants"), 0);
    assert_string_equal(json_string_value(json_object_get(busy, "tenant")), "busy");
    assert_about(json_real_value(json_object_get(busy, "transactions_per_s")), 100);
    assert_about(json_real_value(json_object_get(busy, "backends_used")), 0.5);
    assert_about(json_real_value(json_object_get(record, "seconds")), 2);
    json_decref(record);
    top_view_free(&view);
    top_compare(NULL, after, &view);
    record = top_record(&view);
    busy = json_array_get(json_object_get(record, "tenants"), 0);
    assert_true(json_is_null(json_object_get(busy, "transactions_per_s")));
    json_decref(record);
    top_view_free(&view);
    json_decref(before);
    json_decref(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_what_cannot_be_measured),
        cmocka_unit_test(test_counters_that_went_back),
        cmocka_unit_test(test_what_has_ended),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_screen),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_fewer_tenants),
        cmocka_unit_test(test_nothing_to_show),
        cmocka_unit_test(test_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * top_view.c - two answers of a server compared: rates.
 */
#include "base/time.h"
#include "cli/cli.h"
#include "cli/top.h"

enum { KEY_SIZE = 2 * ROUTE_NAME_SIZE };

const char top_order_keys[TOP_ORDERS] = {'t', 'b', 'w', 'e'};

const char *top_order_name(size_t order)
{
    static const char *const names[] = {"transactions", "backend-time", "waiting", "errors"};
    return order < TOP_ORDERS ? names[order] : NULL;
}

/* ---- reading answers ---- */

static int64_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *found = json_string_value(json_object_get(object, key));
    return found ? found : "";
}

static int64_t use(const json_t *object, size_t which)
{
    return number(json_object_get(object, "used"), top_use_names[which]);
}

/* Slugs and names of services have no slash. */
static void key_of(const json_t *tenant, char ret_key[KEY_SIZE])
{
    snprintf(ret_key, KEY_SIZE, "%s/%s", text(tenant, "tenant"), text(tenant, "service"));
}

static json_t *index_tenants(const json_t *answer)
{
    json_t *index = json_object();
    size_t at;
    json_t *tenant;
    json_array_foreach(json_object_get(answer, "tenants"), at, tenant)
    {
        char key[KEY_SIZE];
        key_of(tenant, key);
        json_object_set(index, key, tenant);
    }
    return index;
}

/* ---- comparing ---- */

/* Counters that went back were given up by the server, and began at 0 again. */
static double rate(int64_t before, int64_t after, double seconds)
{
    int64_t more = after >= before ? after - before : after;
    return seconds > 0 ? (double)more / seconds : 0;
}

static int64_t ended_us(const json_t *object)
{
    return use(object, PROXY_USE_BACKEND_US) - number(object, "running_us");
}

static struct top_row make_row(const json_t *before, const json_t *after, bool measured,
                               double seconds)
{
    struct top_row row = {.tenant = text(after, "tenant"),
                          .service = text(after, "service"),
                          .clients = number(after, "clients"),
                          .waiting = number(after, "waiting"),
                          .backends = number(after, "backends"),
                          .longest_wait_us = number(after, "longest_wait_us"),
                          .measured = measured};
    for (size_t i = 0; measured && i < PROXY_USES; i++) {
        row.rates[i] = rate(before ? use(before, i) : 0, use(after, i), seconds);
        row.forgotten |= before && use(after, i) < use(before, i);
    }
    if (measured)
        row.ended_us = rate(before ? ended_us(before) : 0, ended_us(after), seconds);
    return row;
}

static void subtract(struct top_row *from, const struct top_row *row)
{
    from->clients -= row->clients;
    from->waiting -= row->waiting;
    from->backends -= row->backends;
    for (size_t i = 0; i < PROXY_USES; i++) {
        from->rates[i] -= row->rates[i];
        if (from->rates[i] < 0)
            from->rates[i] = 0; /* what was given up, or rounding */
    }
}

static double share_of(const struct top_row *row, const struct top_row *whole)
{
    double all = whole->rates[PROXY_USE_BACKEND_US];
    double share = all > 0 ? row->rates[PROXY_USE_BACKEND_US] / all : 0;
    return share > 1 ? 1 : share;
}

/* Of one server, one after the other. */
static double seconds_between(const json_t *before, const json_t *after)
{
    if (!before || number(json_object_get(before, "server"), "pid") !=
                       number(json_object_get(after, "server"), "pid"))
        return 0;
    int64_t us = number(after, "taken_us") - number(before, "taken_us");
    return us > 0 ? (double)us / TIME_S : 0;
}

void top_compare(const json_t *before, const json_t *after, struct top_view *ret)
{
    double seconds = seconds_between(before, after);
    const json_t *tenants = json_object_get(after, "tenants");
    const bool all_before = seconds > 0 && !json_is_true(json_object_get(before, "left_out"));
    json_t *index = seconds > 0 ? index_tenants(before) : NULL;
    struct top_view view = {.answer = after,
                            .seconds = seconds,
                            .rows = xcalloc(json_array_size(tenants) + 1, sizeof(*view.rows))};
    view.whole = make_row(json_object_get(before, "whole"), json_object_get(after, "whole"),
                          seconds > 0, seconds);
    view.others = view.whole;
    view.others.longest_wait_us = 0;
    size_t at;
    json_t *tenant;
    json_array_foreach(tenants, at, tenant)
    {
        char key[KEY_SIZE];
        key_of(tenant, key);
        const json_t *known = json_object_get(index, key);
        struct top_row *row = &view.rows[view.count++];
        *row = make_row(known, tenant, seconds > 0 && (known || all_before), seconds);
        row->share = share_of(row, &view.whole);
        subtract(&view.others, row);
    }
    view.whole.share = view.whole.rates[PROXY_USE_BACKEND_US] > 0 ? 1 : 0;
    view.others.share = share_of(&view.others, &view.whole);
    json_decref(index);
    *ret = view;
}

void top_view_free(struct top_view *view)
{
    free(view->rows);
    *view = (struct top_view){0};
}

/* ---- sorting ---- */

static double weight(const struct top_row *row, enum top_order order)
{
    switch (order) {
    case TOP_BY_BACKEND_TIME:
        return row->rates[PROXY_USE_BACKEND_US];
    case TOP_BY_WAITING:
        return (double)row->waiting;
    case TOP_BY_ERRORS:
        return row->rates[PROXY_USE_ERRORS];
    case TOP_BY_TRANSACTIONS:
    case TOP_ORDERS:
        break;
    }
    return row->rates[PROXY_USE_TRANSACTIONS];
}

/* Equal ones stand by name, so that they do not jump about. */
static int by_weight(const void *a, const void *b, void *order)
{
    const struct top_row *one = a;
    const struct top_row *other = b;
    const enum top_order *wanted = order;
    double difference = weight(one, *wanted) - weight(other, *wanted);
    if (difference < 0 || difference > 0)
        return difference < 0 ? 1 : -1;
    int names = strcmp(one->tenant, other->tenant);
    return names != 0 ? names : strcmp(one->service, other->service);
}

void top_sort(struct top_view *view, enum top_order order)
{
    qsort_r(view->rows, view->count, sizeof(*view->rows), by_weight, &order);
}

/* ---- JSON ---- */

/* Without digits that say nothing. */
static json_t *real(double value)
{
    return json_real((double)(int64_t)(value * 1000 + 0.5) / 1000);
}

static void set_rate(json_t *object, const char *key, const struct top_row *row, double value)
{
    json_object_set_new(object, key, row->measured ? real(value) : json_null());
}

static json_t *row_object(const struct top_row *row, bool named)
{
    json_t *object = json_object();
    if (named) {
        json_object_set_new(object, "tenant", json_string(row->tenant));
        json_object_set_new(object, "service", json_string(row->service));
    }
    json_object_set_new(object, "clients", json_integer(row->clients));
    json_object_set_new(object, "waiting", json_integer(row->waiting));
    json_object_set_new(object, "longest_wait_s", real((double)row->longest_wait_us / TIME_S));
    json_object_set_new(object, "backends", json_integer(row->backends));
    set_rate(object, "transactions_per_s", row, row->rates[PROXY_USE_TRANSACTIONS]);
    set_rate(object, "queries_per_s", row, row->rates[PROXY_USE_QUERIES]);
    set_rate(object, "errors_per_s", row, row->rates[PROXY_USE_ERRORS]);
    set_rate(object, "backends_used", row, row->rates[PROXY_USE_BACKEND_US] / TIME_S);
    set_rate(object, "backend_share", row, row->share);
    set_rate(object, "waits_per_s", row, row->rates[PROXY_USE_WAITS]);
    set_rate(object, "wait_s_per_s", row, row->rates[PROXY_USE_WAIT_US] / TIME_S);
    set_rate(object, "bytes_in_per_s", row, row->rates[PROXY_USE_BYTES_IN]);
    set_rate(object, "bytes_out_per_s", row, row->rates[PROXY_USE_BYTES_OUT]);
    return object;
}

json_t *top_record(const struct top_view *view)
{
    json_t *record = json_object();
    json_t *tenants = json_array();
    for (size_t i = 0; i < view->count; i++)
        json_array_append_new(tenants, row_object(&view->rows[i], true));
    json_object_set_new(record, "seconds", real(view->seconds));
    json_object_set(record, "server", json_object_get(view->answer, "server"));
    json_object_set_new(record, "whole", row_object(&view->whole, false));
    json_object_set_new(record, "tenants", tenants);
    json_object_set_new(record, "others", row_object(&view->others, false));
    json_object_set(record, "databases", json_object_get(view->answer, "databases"));
    json_object_set(record, "clusters", json_object_get(view->answer, "clusters"));
    return record;
}

#include "cli/nouns.h"

#include "base/str.h"
#include "base/time.h"
#include "catalog/audit_event.h"
#include "catalog/cluster.h"
#include "catalog/limit.h"
#include "catalog/placement.h"
#include "catalog/service.h"
#include "catalog/tenant.h"
#include "cli/context.h"

enum { NUMBER_MAX = 1000000, PERCENT_MAX = 10000, SIZE_LEAST = 1 << 10 };
static const int64_t time_max_us = 365 * 24 * 3600 * (int64_t)TIME_S;
static const int64_t size_max = 1LL << 50;
static const char none[] = "none";

static const struct cli_parameter set_arguments[] = {
    {.name = "LIMIT",
     .required = true,
     .kind = CLI_CHOICE,
     .choice = route_limit_name,
     .help = "max_clients: clients at once; max_transactions: server connections in use at once; "
             "max_backends, min_backends: server connections of its own, at most and kept open; "
             "transaction_rate: transactions a second; byte_rate: bytes a second; "
             "max_result_size: bytes of an answer; queue_timeout, query_timeout, "
             "transaction_timeout, idle_transaction_timeout, "
             "idle_pinned_timeout: see docs/limits.md; weight: percent of others' turns on "
             "shared server connections"},
    {.name = "VALUE",
     .required = true,
     .kind = CLI_TEXT,
     .help = "a number, a time such as 30s or a size such as 64MB; \"none\": no limit, whatever "
             "else is said"},
    {0},
};

static const struct cli_parameter unset_arguments[] = {
    {.name = "LIMIT",
     .required = true,
     .kind = CLI_CHOICE,
     .choice = route_limit_name,
     .help = "the limit"},
    {0},
};

#define OPTION_TENANT                                                                              \
    {                                                                                              \
        .name = "tenant", .value = "SLUG", .kind = CLI_TEXT, .help = "of this tenant"              \
    }
#define OPTION_SERVICE                                                                             \
    {                                                                                              \
        .name = "service", .value = "NAME", .kind = CLI_TEXT,                                      \
        .help = "in this service; without --tenant: of each of its tenants"                        \
    }

static const struct cli_parameter subject_options[] = {OPTION_TENANT, OPTION_SERVICE, {0}};

static const struct cli_parameter show_arguments[] = {
    {.name = "SLUG", .required = true, .kind = CLI_TEXT, .help = "the tenant"},
    {.name = "SERVICE", .required = true, .kind = CLI_TEXT, .help = "the service"},
    {0},
};

#define FIELDS_VALUE                                                                               \
    {.key = "limit", .title = "LIMIT", .kind = OUTPUT_TEXT, .help = "which"},                      \
        {.key = "value",                                                                           \
         .title = "VALUE",                                                                         \
         .kind = OUTPUT_TEXT,                                                                      \
         .help = "as it was set; \"none\": no limit"},                                             \
    {                                                                                              \
        .key = "number", .kind = OUTPUT_NUMBER,                                                    \
        .help = "the same as a number; times in microseconds, sizes in bytes; 0: no limit"         \
    }

static const struct output_field fields[] = {
    {.key = "tenant",
     .title = "TENANT",
     .kind = OUTPUT_TEXT,
     .help = "whose; null: each tenant of the service"},
    {.key = "service", .title = "SERVICE", .kind = OUTPUT_TEXT, .help = "where; null: everywhere"},
    FIELDS_VALUE,
    {0},
};

static const struct output_field unset_fields[] = {
    {.key = "tenant", .kind = OUTPUT_TEXT, .help = "whose it was"},
    {.key = "service", .kind = OUTPUT_TEXT, .help = "where it was"},
    {.key = "limit", .kind = OUTPUT_TEXT, .help = "which"},
    {0},
};

static const struct output_field show_fields[] = {
    FIELDS_VALUE,
    {.key = "from",
     .title = "FROM",
     .kind = OUTPUT_TEXT,
     .help = "what says so: tenant and service, tenant, service, or configuration"},
    {0},
};

/* ---- values ---- */

struct unit {
    int64_t amount;
    const char *suffix;
};

/* In the largest of the units (the last is 1) without a rest. */
static const char *amount_text(struct arena *arena, const struct unit *unit, int64_t amount)
{
    while (amount % unit->amount != 0)
        unit++;
    return arena_printf(arena, "%lld%s", (long long)(amount / unit->amount), unit->suffix);
}

static const char *value_text(struct arena *arena, enum route_limit_kind kind, int64_t value)
{
    static const struct unit times[] = {{24 * 3600 * (int64_t)TIME_S, "d"},
                                        {3600 * (int64_t)TIME_S, "h"},
                                        {60 * (int64_t)TIME_S, "m"},
                                        {TIME_S, "s"},
                                        {TIME_MS, "ms"},
                                        {1, "us"}};
    static const struct unit sizes[] = {
        {1LL << 40, "TB"}, {1 << 30, "GB"}, {1 << 20, "MB"}, {1 << 10, "kB"}, {1, "B"}};
    static const struct unit numbers[] = {{1, ""}};
    if (value == ROUTE_LIMIT_NONE)
        return none;
    return amount_text(arena,
                       kind == ROUTE_LIMIT_TIME   ? times
                       : kind == ROUTE_LIMIT_SIZE ? sizes
                                                  : numbers,
                       value);
}

static size_t limit_index(const char *name)
{
    size_t i = 0;
    while (route_limit_name(i) && strcmp(route_limit_name(i), name) != 0)
        i++;
    return i;
}

/* One that a newer program has set is a number here. */
static void add_value(json_t *record, struct arena *arena, const char *name, int64_t value)
{
    size_t index = limit_index(name);
    enum route_limit_kind kind =
        index < ROUTE_LIMITS ? route_limit_kind((enum route_limit)index) : ROUTE_LIMIT_NUMBER;
    json_object_set_new(record, "limit", output_text(name));
    json_object_set_new(record, "value", output_text(value_text(arena, kind, value)));
    json_object_set_new(record, "number", json_integer(value));
}

static bool read_amount(enum route_limit_kind kind, const char *text, int64_t *ret)
{
    switch (kind) {
    case ROUTE_LIMIT_TIME:
        return str_to_duration_us(text, ret) && *ret >= 100 * TIME_MS && *ret <= time_max_us;
    case ROUTE_LIMIT_SIZE:
        return str_to_size(text, ret) && *ret >= SIZE_LEAST && *ret <= size_max;
    case ROUTE_LIMIT_NUMBER:
        return str_to_i64(text, 1, NUMBER_MAX, ret);
    case ROUTE_LIMIT_PERCENT:
        return str_to_i64(text, 1, PERCENT_MAX, ret);
    }
    return false;
}

static int read_value(const struct cli *cli, int64_t *ret, struct error *err)
{
    static const char *const hints[] = {
        [ROUTE_LIMIT_NUMBER] = "pass a number of 1 to 1000000, or none",
        [ROUTE_LIMIT_TIME] = "pass a time of 100ms to 365d, such as 30s, or none",
        [ROUTE_LIMIT_SIZE] = "pass bytes, 1kB to 1024TB, such as 64MB, or none",
        [ROUTE_LIMIT_PERCENT] = "pass 1 to 10000, where 100 is as everybody, or none"};
    const char *text = cli_text(cli, "VALUE");
    enum route_limit limit = (enum route_limit)limit_index(cli_text(cli, "LIMIT"));
    enum route_limit_kind kind = route_limit_kind(limit);
    *ret = ROUTE_LIMIT_NONE;
    if (strcmp(text, none) == 0 || read_amount(kind, text, ret))
        return 0;
    int result =
        error_set(err, ERROR_USAGE, "\"%s\" is no value of %s", text, route_limit_name(limit));
    error_hint(err, "%s", hints[kind]);
    return result;
}

/* ---- whose ---- */

static int find_subject(struct cli *cli, struct catalog *catalog, const char *tenant_slug,
                        const char *service_name, struct catalog_limit_subject *ret,
                        struct error *err)
{
    struct catalog_tenant tenant = {0};
    struct catalog_service service = {0};
    int result = 0;
    if (tenant_slug)
        result = catalog_tenant_find(catalog, &cli->arena, tenant_slug, &tenant, err);
    if (result == 0 && service_name)
        result = catalog_service_find(catalog, &cli->arena, service_name, &service, err);
    *ret = (struct catalog_limit_subject){tenant.id, service.id};
    return result;
}

static int need_subject(const struct cli *cli, struct error *err)
{
    if (cli_text(cli, "tenant") || cli_text(cli, "service"))
        return 0;
    int result = error_set(err, ERROR_USAGE, "whose limit it is is missing");
    error_hint(err, "pass --tenant SLUG, --service NAME or both; for all tenants of all services "
                    "there are the settings of the same names in the configuration");
    return result;
}

static const char *subject_text(struct cli *cli)
{
    const char *tenant = cli_text(cli, "tenant"), *service = cli_text(cli, "service");
    if (!tenant)
        return arena_printf(&cli->arena, "each tenant of service \"%s\"", service);
    if (!service)
        return arena_printf(&cli->arena, "tenant \"%s\"", tenant);
    return arena_printf(&cli->arena, "tenant \"%s\" in service \"%s\"", tenant, service);
}

static json_t *subject_record(const struct cli *cli)
{
    json_t *record = json_object();
    json_object_set_new(record, "tenant", output_text(cli_text(cli, "tenant")));
    json_object_set_new(record, "service", output_text(cli_text(cli, "service")));
    return record;
}

/* Where all its server connections are shared, there are none to keep for it. */
static int check_has_own(struct cli *cli, struct catalog *catalog,
                         const struct catalog_limit_subject *subject, struct error *err)
{
    struct catalog_placement_filter filter = CATALOG_PLACEMENT_ANY;
    struct catalog_placement *placements = NULL;
    size_t count = 0;
    filter.tenant_id = subject->tenant_id;
    filter.service_id = subject->service_id;
    int result = catalog_placement_list(catalog, &cli->arena, &filter, &placements, &count, err);
    if (result < 0 || count == 0)
        return result;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(placements[i].enforcement, CATALOG_GUARD) != 0)
            return 0;
    }
    result = error_set(err, ERROR_UNSUPPORTED,
                       "%s shares its server connections with other tenants: none can be kept "
                       "for it",
                       subject_text(cli));
    error_hint(err, "%s is for tenants in databases of their own, or under enforcement login",
               route_limit_name(ROUTE_LIMIT_BACKENDS_KEPT));
    return result;
}

/* ---- set, unset ---- */

static int change(struct cli *cli, const int64_t *value, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_limit_subject subject = {0};
    const char *name = cli_text(cli, "LIMIT");
    int result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = find_subject(cli, catalog, cli_text(cli, "tenant"), cli_text(cli, "service"),
                              &subject, err);
    if (result == 0 && value && *value != ROUTE_LIMIT_NONE &&
        limit_index(name) == ROUTE_LIMIT_BACKENDS_KEPT)
        result = check_has_own(cli, catalog, &subject, err);
    if (result == 0)
        result = catalog_begin(catalog, err);
    if (result < 0)
        return result;
    const struct catalog_audit_event event = {.action = value ? "limit.set" : "limit.unset",
                                              .tenant_id = subject.tenant_id,
                                              .service_id = subject.service_id};
    json_t *detail = json_pack("{s:s}", "limit", name);
    if (value)
        json_object_set_new(detail, "value", json_integer(*value));
    result = value ? catalog_limit_set(catalog, &subject, name, *value, err)
                   : catalog_limit_unset(catalog, &subject, name, err);
    return context_commit(&context, catalog, result, &event, detail, err);
}

static int run_set(struct cli *cli, struct error *err)
{
    int64_t value = 0;
    int result = need_subject(cli, err);
    if (result == 0)
        result = read_value(cli, &value, err);
    if (result == 0)
        result = change(cli, &value, err);
    if (result < 0)
        return result;
    json_t *record = subject_record(cli);
    add_value(record, &cli->arena, cli_text(cli, "LIMIT"), value);
    output_done(cli, record, "%s of %s is %s from now on.", cli_text(cli, "LIMIT"),
                subject_text(cli), json_string_value(json_object_get(record, "value")));
    return 0;
}

static int run_unset(struct cli *cli, struct error *err)
{
    int result = need_subject(cli, err);
    if (result == 0)
        result = change(cli, NULL, err);
    if (result < 0)
        return result;
    json_t *record = subject_record(cli);
    json_object_set_new(record, "limit", output_text(cli_text(cli, "LIMIT")));
    output_done(cli, record, "%s of %s is what is said more generally from now on.",
                cli_text(cli, "LIMIT"), subject_text(cli));
    return 0;
}

/* ---- list, show ---- */

static int run_list(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_limit_subject subject = {0};
    struct catalog_limit *limits = NULL;
    size_t count = 0;
    int result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = find_subject(cli, catalog, cli_text(cli, "tenant"), cli_text(cli, "service"),
                              &subject, err);
    if (result == 0)
        result = catalog_limit_list(catalog, &cli->arena, &subject, false, &limits, &count, err);
    if (result < 0)
        return result;
    json_t *records = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *record = json_object();
        json_object_set_new(record, "tenant", output_text(limits[i].tenant));
        json_object_set_new(record, "service", output_text(limits[i].service));
        add_value(record, &cli->arena, limits[i].name, limits[i].value);
        json_array_append_new(records, record);
    }
    output_list(cli, records, "No limits are set; \"reeve limit set\" sets one.");
    return 0;
}

static const char *source_text(const struct catalog_limit *limit)
{
    return limit->tenant && limit->service ? "tenant and service"
           : limit->tenant                 ? "tenant"
                                           : "service";
}

static json_t *show_records(struct cli *cli, const struct config *config,
                            const struct catalog_limit *limits, size_t count)
{
    json_t *records = json_array();
    for (size_t i = 0; i < ROUTE_LIMITS; i++) {
        int64_t value = config->limits.values[i];
        const char *source = "configuration";
        for (size_t k = 0; k < count; k++) { /* the general ones come first */
            if (strcmp(limits[k].name, route_limit_name(i)) == 0) {
                value = limits[k].value;
                source = source_text(&limits[k]);
            }
        }
        json_t *record = json_object();
        add_value(record, &cli->arena, route_limit_name(i), value);
        json_object_set_new(record, "from", output_text(source));
        json_array_append_new(records, record);
    }
    return records;
}

static int run_show(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct config config = {0};
    struct catalog_limit_subject subject = {0};
    struct catalog_limit *limits = NULL;
    size_t count = 0;
    int result = context_config(cli, &config, err);
    if (result == 0)
        result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = find_subject(cli, catalog, cli_text(cli, "SLUG"), cli_text(cli, "SERVICE"),
                              &subject, err);
    if (result == 0)
        result = catalog_limit_list(catalog, &cli->arena, &subject, true, &limits, &count, err);
    if (result == 0)
        output_list(cli, show_records(cli, &config, limits, count), "");
    return result;
}

/* ---- the table ---- */

static const char *const set_examples[] = {
    "reeve limit set max_transactions 5 --service orders",
    "reeve limit set max_transactions 20 --tenant acme --service orders",
    "reeve limit set query_timeout 30s --tenant acme", NULL};

static const char description[] =
    "Of what is said the most particular holds: of the tenant in the service, of the tenant, of "
    "each tenant of the service, and at last the setting of the same name in the configuration. "
    "It holds at once, for clients that are logged in too, and in each proxy. docs/limits.md has "
    "what each limit does.";

static const struct cli_command commands[] = {
    {.verb = "set",
     .summary = "Set what a tenant, or each tenant of a service, may have",
     .description = description,
     .arguments = set_arguments,
     .options = subject_options,
     .fields = fields,
     .examples = set_examples,
     .run = run_set},
    {.verb = "unset",
     .summary = "Take a limit away: what is said more generally holds",
     .arguments = unset_arguments,
     .options = subject_options,
     .fields = unset_fields,
     .run = run_unset},
    {.verb = "list",
     .summary = "List limits that are set",
     .options = subject_options,
     .fields = fields,
     .list = true,
     .run = run_list},
    {.verb = "show",
     .summary = "Show all limits of a tenant in a service, and where each comes from",
     .arguments = show_arguments,
     .fields = show_fields,
     .list = true,
     .run = run_show},
    {0},
};

const struct cli_noun cli_noun_limit = {.name = "limit",
                                        .summary =
                                            "What tenants may have at once, and for how long",
                                        .commands = commands};

#include "cli/nouns.h"

#include "catalog/status.h"
#include "cli/context.h"
#include "cli/status_socket.h"

static const struct output_field fields[] = {
    {.key = "server",
     .title = "server",
     .kind = OUTPUT_OBJECT,
     .help = "what the running server tells (version, pid, uptime_s, engine, stopping, "
             "route_version, and "
             "its figures); null: none runs here"},
    {.key = "catalog",
     .title = "catalog",
     .kind = OUTPUT_OBJECT,
     .help = "schema_version, route_version, and how many clusters, services and issuers there "
             "are; null: it cannot be reached"},
    {.key = "tenants", .title = "tenants", .kind = OUTPUT_OBJECT, .help = "how many a status"},
    {.key = "placements", .title = "placements", .kind = OUTPUT_OBJECT, .help = "how many a state"},
    {.key = "isolations",
     .title = "isolations",
     .kind = OUTPUT_OBJECT,
     .help = "how many placements an isolation"},
    {.key = "jobs", .title = "jobs", .kind = OUTPUT_OBJECT, .help = "how many a state"},
    {0},
};

/* ---- the catalog ---- */

static const char *tenant_status(size_t index)
{
    return catalog_tenant_status_name((enum catalog_tenant_status)index);
}

static const char *placement_state(size_t index)
{
    return catalog_placement_state_name((enum catalog_placement_state)index);
}

static const char *job_state(size_t index)
{
    return catalog_job_state_name((enum catalog_job_state)index);
}

static json_t *counts(const int64_t *values, size_t count, const char *(*name)(size_t index))
{
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(object, name(i), json_integer(values[i]));
    return object;
}

static void add_catalog(json_t *record, const struct catalog_status *status)
{
    json_t *isolations = json_object();
    for (size_t i = 0; i < status->isolation_count; i++)
        json_object_set_new(isolations, status->isolations[i].isolation,
                            json_integer(status->isolations[i].placements));
    json_object_set_new(
        record, "catalog",
        json_pack("{s:i, s:I, s:I, s:I, s:I}", "schema_version", status->schema_version,
                  "route_version", (json_int_t)status->route_version, "clusters",
                  (json_int_t)status->clusters, "services", (json_int_t)status->services, "issuers",
                  (json_int_t)status->issuers));
    json_object_set_new(record, "tenants",
                        counts(status->tenants, array_size(status->tenants), tenant_status));
    json_object_set_new(
        record, "placements",
        counts(status->placements, array_size(status->placements), placement_state));
    json_object_set_new(record, "isolations", isolations);
    json_object_set_new(record, "jobs", counts(status->jobs, array_size(status->jobs), job_state));
}

static int ask_catalog(const struct config *config, json_t *record, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_status status = {0};
    int result = catalog_open(config->control, &catalog, err);
    if (result == 0)
        result = catalog_status_get(catalog, &status, err);
    if (result == 0)
        add_catalog(record, &status);
    return result;
}

/* ---- for people ---- */

static void print_value(const char *key, const json_t *value)
{
    fputs("  ", stdout);
    output_escaped(stdout, key);
    if (json_is_integer(value))
        printf(" %lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value))
        printf(" %s", json_is_true(value) ? "yes" : "no");
    else if (json_is_string(value)) {
        putchar(' ');
        output_escaped(stdout, json_string_value(value));
    }
    putchar('\n');
}

static void print_object(const char *title, json_t *object, const char *none)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object)) {
        printf("%s: %s\n", title, none);
        return;
    }
    printf("%s:\n", title);
    json_object_foreach(object, key, value) print_value(key, value);
}

static void print_status(const struct cli *cli, json_t *record)
{
    if (cli->json) {
        output_record(cli, record);
        return;
    }
    for (const struct output_field *field = fields; field->key; field++) {
        json_t *object = json_object_get(record, field->key);
        if (field == fields)
            print_object(field->title, object, "not running here");
        else if (object)
            print_object(field->title, object, "");
    }
    json_decref(record);
}

static int run(struct cli *cli, struct error *err)
{
    struct config config;
    struct error not_running = {0};
    json_t *server = NULL;
    int result = context_config(cli, &config, err);
    if (result < 0)
        return result;
    /* That no server runs here is an answer, no failure: there may be others elsewhere. */
    int asked = status_socket_ask(config.status_socket, "status", &server, &not_running);
    if (asked < 0 && asked != -ERROR_CONNECTION)
        output_note("note: %s", not_running.message);
    json_t *record = json_object();
    json_object_set_new(record, "server", server ? server : json_null());
    result = ask_catalog(&config, record, err);
    print_status(cli, record);
    return result;
}

static const char *const examples[] = {"reeve status", "reeve status --json", NULL};

static const struct cli_command commands[] = {
    {.summary = "Show how the server and the catalog are",
     .description = "Asks the server that runs with this configuration on this machine (through "
                    "its status socket), and the catalog.",
     .fields = fields,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_status = {
    .name = "status", .summary = "Show how the server and the catalog are", .commands = commands};

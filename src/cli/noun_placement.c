#include "cli/nouns.h"

#include "catalog/cluster.h"
#include "catalog/service.h"
#include "catalog/tenant.h"
#include "cli/placement_record.h"
#include "cli/url.h"
#include "isolation/isolation.h"
#include "provision/provision.h"

const struct output_field placement_fields[] = {
    {.key = "id", .title = "ID", .kind = OUTPUT_NUMBER, .detail = true, .help = "its number"},
    {.key = "tenant", .title = "TENANT", .kind = OUTPUT_TEXT, .help = "the tenant's slug"},
    {.key = "service", .title = "SERVICE", .kind = OUTPUT_TEXT, .help = "the service"},
    {.key = "isolation",
     .title = "ISOLATION",
     .kind = OUTPUT_TEXT,
     .help = "how the data is kept apart: row, schema, database"},
    {.key = "cluster", .title = "CLUSTER", .kind = OUTPUT_TEXT, .help = "the server it is on"},
    {.key = "database", .title = "DATABASE", .kind = OUTPUT_TEXT, .help = "the database there"},
    {.key = "schema", .title = "SCHEMA", .kind = OUTPUT_TEXT, .help = "the schema in it"},
    {.key = "role",
     .title = "ROLE",
     .kind = OUTPUT_TEXT,
     .detail = true,
     .help = "the role that reads and writes"},
    {.key = "ro_role",
     .title = "READ-ONLY-ROLE",
     .kind = OUTPUT_TEXT,
     .detail = true,
     .help = "the role that reads"},
    {.key = "schema_version",
     .title = "VERSION",
     .kind = OUTPUT_TEXT,
     .help = "the last migration; null before the first"},
    {.key = "enforcement",
     .title = "ENFORCEMENT",
     .kind = OUTPUT_TEXT,
     .help = "how it is locked in: guard (shared connections) or login (its own)"},
    {.key = "epoch",
     .title = "EPOCH",
     .kind = OUTPUT_NUMBER,
     .detail = true,
     .help = "how often it has had another place, and 1"},
    {.key = "state",
     .title = "STATE",
     .kind = OUTPUT_TEXT,
     .help = "provisioning, ready, migrating, deleting, failed"},
    {.key = "held_until",
     .title = "HELD-UNTIL",
     .kind = OUTPUT_TIME,
     .detail = true,
     .help = "new transactions wait until then (reeve hold); null: they do not"},
    {.key = "created_at",
     .title = "CREATED",
     .kind = OUTPUT_TIME,
     .detail = true,
     .help = "when it was made"},
    {.key = "url",
     .title = "URL",
     .kind = OUTPUT_TEXT,
     .detail = true,
     .help = "how to connect; without a secret"},
    {0},
};

static json_t *text_or_null(const char *text)
{
    return output_text(text && *text ? text : NULL);
}

json_t *placement_record(struct arena *arena, const struct config *config,
                         const struct catalog_placement *placement)
{
    json_t *record = json_object();
    const char *url = url_make(arena, config, placement->tenant, placement->service, NULL);
    json_object_set_new(record, "id", output_id(placement->id));
    json_object_set_new(record, "tenant", output_text(placement->tenant));
    json_object_set_new(record, "service", output_text(placement->service));
    json_object_set_new(record, "isolation", output_text(placement->isolation));
    json_object_set_new(record, "cluster", output_text(placement->cluster));
    json_object_set_new(record, "database", text_or_null(placement->database));
    json_object_set_new(record, "schema", text_or_null(placement->schema));
    json_object_set_new(record, "role", text_or_null(placement->role));
    json_object_set_new(record, "ro_role", text_or_null(placement->ro_role));
    json_object_set_new(record, "schema_version", text_or_null(placement->schema_version));
    json_object_set_new(record, "enforcement", output_text(placement->enforcement));
    json_object_set_new(record, "epoch", json_integer(placement->epoch));
    json_object_set_new(record, "state",
                        output_text(catalog_placement_state_name(placement->state)));
    json_object_set_new(record, "held_until", output_time_us(placement->held_until_unix_us));
    json_object_set_new(record, "created_at", output_time_us(placement->created_unix_us));
    json_object_set_new(record, "url", output_text(url));
    return record;
}

const char *placement_describe(struct arena *arena, const struct catalog_placement *placement)
{
    const struct isolation_placement place = {.id = placement->id,
                                              .tenant_id = placement->tenant_id,
                                              .isolation = isolation_find(placement->isolation),
                                              .database = placement->database,
                                              .schema = placement->schema,
                                              .role = placement->role,
                                              .ro_role = placement->ro_role};
    if (!place.isolation || !*placement->database)
        return arena_printf(arena, "a place on cluster %s", placement->cluster);
    return isolation_describe(arena, &place, placement->cluster);
}

/* ---- list ---- */

static const struct cli_parameter list_options[] = {
    {.name = "tenant", .value = "SLUG", .kind = CLI_TEXT, .help = "those of one tenant"},
    {.name = "service", .value = "NAME", .kind = CLI_TEXT, .help = "those of one service"},
    {.name = "cluster", .value = "NAME", .kind = CLI_TEXT, .help = "those on one cluster"},
    {0},
};

static int make_filter(const struct cli *cli, struct catalog *catalog, struct arena *arena,
                       struct catalog_placement_filter *ret, struct error *err)
{
    struct catalog_tenant tenant = {0};
    struct catalog_service service = {0};
    struct catalog_cluster cluster = {0};
    int result = 0;
    if (cli_text(cli, "tenant"))
        result = catalog_tenant_find(catalog, arena, cli_text(cli, "tenant"), &tenant, err);
    if (result == 0 && cli_text(cli, "service"))
        result = catalog_service_find(catalog, arena, cli_text(cli, "service"), &service, err);
    if (result == 0 && cli_text(cli, "cluster"))
        result = catalog_cluster_find(catalog, arena, cli_text(cli, "cluster"), &cluster, err);
    if (result < 0)
        return result;
    *ret = CATALOG_PLACEMENT_ANY;
    ret->tenant_id = tenant.id;
    ret->service_id = service.id;
    ret->cluster_id = cluster.id;
    return 0;
}

static int open_both(struct cli *cli, struct config *config, struct catalog **ret,
                     struct error *err)
{
    int result = context_config(cli, config, err);
    return result < 0 ? result : catalog_open(config->control, ret, err);
}

static int run_list(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct config config;
    struct catalog_placement_filter filter;
    struct catalog_placement *placements = NULL;
    size_t count = 0;
    int result = open_both(cli, &config, &catalog, err);
    if (result == 0)
        result = make_filter(cli, catalog, &cli->arena, &filter, err);
    if (result == 0)
        result = catalog_placement_list(catalog, &cli->arena, &filter, &placements, &count, err);
    if (result < 0)
        return result;
    json_t *records = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(records, placement_record(&cli->arena, &config, &placements[i]));
    output_list(cli, records, "There are no such placements; \"reeve tenant attach\" makes one.");
    return 0;
}

/* ---- show ---- */

static const struct cli_parameter show_arguments[] = {
    {.name = "SLUG", .required = true, .kind = CLI_TEXT, .help = "the tenant"},
    {.name = "SERVICE", .required = true, .kind = CLI_TEXT, .help = "the service"},
    {0},
};

static int run_show(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct config config;
    struct catalog_placement placement = {0};
    int result = open_both(cli, &config, &catalog, err);
    if (result == 0)
        result = catalog_placement_find(catalog, &cli->arena, cli_text(cli, "SLUG"),
                                        cli_text(cli, "SERVICE"), &placement, err);
    if (result == 0)
        output_record(cli, placement_record(&cli->arena, &config, &placement));
    return result;
}

/* ---- enforce ---- */

static const struct cli_parameter enforce_arguments[] = {
    {.name = "SLUG", .required = true, .kind = CLI_TEXT, .help = "the tenant"},
    {.name = "SERVICE", .required = true, .kind = CLI_TEXT, .help = "the service"},
    {.name = "HOW",
     .required = true,
     .kind = CLI_CHOICE,
     .choice = provision_enforcement_at,
     .help = "guard or login"},
    {0},
};

static int run_enforce(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_placement placement = {0};
    const char *tenant = cli_text(cli, "SLUG"), *service = cli_text(cli, "SERVICE");
    int result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = provision_enforce(&context.job, tenant, service, cli_text(cli, "HOW"), err);
    if (result == 0)
        result = catalog_placement_find(catalog, &cli->arena, tenant, service, &placement, err);
    if (result < 0)
        return result;
    output_done(cli, placement_record(&cli->arena, &context.config, &placement),
                "Tenant \"%s\" of service \"%s\" is locked in by %s.", tenant, service,
                placement.enforcement);
    return 0;
}

static const char *const list_examples[] = {"reeve placement list --service orders", NULL};

static const struct cli_command commands[] = {
    {.verb = "list",
     .summary = "List where tenants' data is",
     .options = list_options,
     .fields = placement_fields,
     .list = true,
     .examples = list_examples,
     .run = run_list},
    {.verb = "show",
     .summary = "Show where a tenant's data for a service is",
     .arguments = show_arguments,
     .fields = placement_fields,
     .run = run_show},
    {.verb = "enforce",
     .summary = "Switch how a tenant is locked in, while it is in use",
     .description = "From the next transaction on, proxies take the other way; running "
                    "transactions end as they began.",
     .arguments = enforce_arguments,
     .fields = placement_fields,
     .run = run_enforce},
    {0},
};

const struct cli_noun cli_noun_placement = {
    .name = "placement", .summary = "Where tenants' data is", .commands = commands};

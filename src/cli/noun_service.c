#include "cli/nouns.h"

#include "catalog/placement.h"
#include "catalog/service.h"
#include "cli/context.h"
#include "cli/names.h"
#include "cli/prompt.h"
#include "provision/provision.h"

static const struct cli_parameter name_argument[] = {
    {.name = "NAME",
     .required = true,
     .kind = CLI_TEXT,
     .help = "the service; clients give it as the database name"},
    {0},
};

static const struct cli_parameter create_options[] = {
    {.name = "migrations",
     .value = "DIR",
     .kind = CLI_FOLDER,
     .required = true,
     .help = "its schema definition: .sql files named 0001_name.sql or V1__name.sql"},
    {.name = "isolation",
     .value = "MODE",
     .kind = CLI_CHOICE,
     .choice = cli_isolation_choice,
     .required = true,
     .help = "what placements have unless told otherwise"},
    {.name = "allow",
     .value = "MODES",
     .kind = CLI_CHOICES,
     .choice = cli_isolation_choice,
     .help = "other modes that placements may have, with commas or by repeating"},
    {.name = "cluster",
     .value = "NAME",
     .kind = CLI_TEXT,
     .fallback = "the only one there is",
     .help = "where placements go unless told otherwise"},
    {0},
};

static const struct cli_parameter database_arguments[] = {
    {.name = "NAME", .required = true, .kind = CLI_TEXT, .help = "the service"},
    {.name = "DATABASE", .required = true, .kind = CLI_TEXT, .help = "its shared database"},
    {0},
};

static const struct cli_parameter database_options[] = {
    {.name = "cluster",
     .value = "NAME",
     .kind = CLI_TEXT,
     .fallback = "the service's",
     .help = "where it is"},
    CLI_OPTION_YES,
    {0},
};

static const struct cli_parameter delete_options[] = {CLI_OPTION_YES, {0}};

#define SERVICE_FIELDS                                                                             \
    {.key = "name",                                                                                \
     .title = "NAME",                                                                              \
     .kind = OUTPUT_TEXT,                                                                          \
     .help = "what clients give as database"},                                                     \
        {.key = "isolation",                                                                       \
         .title = "ISOLATION",                                                                     \
         .kind = OUTPUT_TEXT,                                                                      \
         .help = "of placements that ask for none"},                                               \
        {.key = "allowed",                                                                         \
         .title = "ALLOWED",                                                                       \
         .kind = OUTPUT_LIST,                                                                      \
         .help = "the isolations that placements may have"},                                       \
        {.key = "cluster",                                                                         \
         .title = "CLUSTER",                                                                       \
         .kind = OUTPUT_TEXT,                                                                      \
         .help = "where placements go unless told otherwise"},                                     \
        {.key = "migrations",                                                                      \
         .title = "MIGRATIONS",                                                                    \
         .kind = OUTPUT_TEXT,                                                                      \
         .help = "the folder of its schema definition"},                                           \
    {                                                                                              \
        .key = "created_at", .title = "CREATED", .kind = OUTPUT_TIME, .detail = true,              \
        .help = "when it was created"                                                              \
    }

static const struct output_field fields[] = {SERVICE_FIELDS, {0}};

static const struct output_field show_fields[] = {
    SERVICE_FIELDS,
    {.key = "tenants",
     .title = "TENANTS",
     .kind = OUTPUT_NUMBER,
     .help = "how many are attached to it"},
    {.key = "databases",
     .title = "DATABASES",
     .kind = OUTPUT_LIST,
     .help = "its own, an object each: database, kind (shared, template), cluster, schema_version"},
    {0},
};

static const struct output_field name_fields[] = {
    {.key = "name", .kind = OUTPUT_TEXT, .help = "the service"},
    {0},
};

static int service_record(struct names *names, const struct catalog_service *service, json_t **ret,
                          struct error *err)
{
    const char *cluster = NULL;
    int result = names_cluster(names, service->cluster_id, &cluster, err);
    if (result < 0)
        return result;
    json_t *allowed = json_array();
    for (size_t i = 0; i < service->allowed_count; i++)
        json_array_append_new(allowed, output_text(service->allowed[i]));
    json_t *record = json_object();
    json_object_set_new(record, "name", output_text(service->name));
    json_object_set_new(record, "isolation", output_text(service->isolation));
    json_object_set_new(record, "allowed", allowed);
    json_object_set_new(record, "cluster", output_text(cluster));
    json_object_set_new(record, "migrations", output_text(service->migrations_dir));
    json_object_set_new(record, "created_at", output_time_us(service->created_unix_us));
    *ret = record;
    return 0;
}

/* ---- create ---- */

static int create(const struct cli *cli, const struct context *context, int64_t *ret_id,
                  struct error *err)
{
    const char *const *allowed = NULL;
    size_t count = cli_texts(cli, "allow", &allowed);
    const struct provision_service_spec spec = {.name = cli_text(cli, "NAME"),
                                                .migrations = cli_text(cli, "migrations"),
                                                .isolation = cli_text(cli, "isolation"),
                                                .allowed = allowed,
                                                .allowed_count = count,
                                                .cluster = cli_text(cli, "cluster")};
    return provision_service_create(&context->job, &spec, ret_id, err);
}

static int run_create(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_service service = {0};
    json_t *record = NULL;
    int64_t id = 0;
    int result = context_check_slug("service name", cli_text(cli, "NAME"), err);
    if (result == 0)
        result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = create(cli, &context, &id, err);
    if (result == 0)
        result = catalog_service_get(catalog, &cli->arena, id, &service, err);
    struct names names = NAMES_INIT(catalog, &cli->arena);
    if (result == 0)
        result = service_record(&names, &service, &record, err);
    if (result < 0)
        return result;
    const char *cluster =
        arena_strdup(&cli->arena, json_string_value(json_object_get(record, "cluster")));
    output_done(cli, record,
                "Service \"%s\" is created with isolation %s, on cluster %s.\n"
                "  its migrations are in %s\n"
                "  next: reeve tenant attach SLUG %s",
                service.name, service.isolation, cluster, service.migrations_dir, service.name);
    return 0;
}

/* ---- list, show ---- */

static int run_list(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_service *services = NULL;
    size_t count = 0;
    int result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = catalog_service_list(catalog, &cli->arena, &services, &count, err);
    if (result < 0)
        return result;
    struct names names = NAMES_INIT(catalog, &cli->arena);
    json_t *records = json_array();
    for (size_t i = 0; result == 0 && i < count; i++) {
        json_t *record = NULL;
        result = service_record(&names, &services[i], &record, err);
        if (result == 0)
            json_array_append_new(records, record);
    }
    if (result < 0) {
        json_decref(records);
        return result;
    }
    output_list(cli, records, "There are no services; \"reeve service create\" makes one.");
    return 0;
}

static int add_databases(struct names *names, int64_t service_id, json_t *record, struct error *err)
{
    struct catalog_service_database *databases = NULL;
    size_t count = 0;
    int result = catalog_service_database_list(names->catalog, names->arena, service_id, 0,
                                               &databases, &count, err);
    json_t *list = json_array();
    for (size_t i = 0; result == 0 && i < count; i++) {
        const char *cluster = NULL;
        const char *version = databases[i].schema_version;
        result = names_cluster(names, databases[i].cluster_id, &cluster, err);
        json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:o}", "database",
                                              output_text(databases[i].database), "kind",
                                              catalog_database_kind_name(databases[i].kind),
                                              "cluster", output_text(cluster), "schema_version",
                                              output_text(*version ? version : NULL)));
    }
    json_object_set_new(record, "databases", list);
    return result;
}

static int add_tenants(struct names *names, int64_t service_id, json_t *record, struct error *err)
{
    struct catalog_placement_filter filter = CATALOG_PLACEMENT_ANY;
    struct catalog_placement *placements = NULL;
    size_t count = 0;
    filter.service_id = service_id;
    int result =
        catalog_placement_list(names->catalog, names->arena, &filter, &placements, &count, err);
    json_object_set_new(record, "tenants", json_integer((json_int_t)count));
    return result;
}

static int run_show(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_service service = {0};
    json_t *record = NULL;
    int result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = catalog_service_find(catalog, &cli->arena, cli_text(cli, "NAME"), &service, err);
    struct names names = NAMES_INIT(catalog, &cli->arena);
    if (result == 0)
        result = service_record(&names, &service, &record, err);
    if (result == 0)
        result = add_tenants(&names, service.id, record, err);
    if (result == 0)
        result = add_databases(&names, service.id, record, err);
    if (result < 0) {
        json_decref(record);
        return result;
    }
    output_record(cli, record);
    return 0;
}

/* ---- delete ---- */

static int run_delete(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_service service = {0};
    const char *name = cli_text(cli, "NAME");
    int result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = catalog_service_find(catalog, &cli->arena, name, &service, err);
    if (result < 0)
        return result;
    const char *what = arena_printf(&cli->arena,
                                    "This deletes service \"%s\" with its databases and roles on "
                                    "every cluster.",
                                    name);
    result = prompt_confirm(cli, what, name, err);
    if (result == 0)
        result = provision_service_delete(&context.job, name, err);
    if (result == 0)
        output_done(cli, json_pack("{s:s}", "name", name), "Service \"%s\" is deleted.", name);
    return result;
}

/* ---- drop-database ---- */

static const struct output_field database_fields[] = {
    {.key = "name", .kind = OUTPUT_TEXT, .help = "the service"},
    {.key = "database", .kind = OUTPUT_TEXT, .help = "the database that was dropped"},
    {0},
};

static int run_drop_database(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    const char *name = cli_text(cli, "NAME"), *database = cli_text(cli, "DATABASE");
    const char *what =
        arena_printf(&cli->arena, "This drops database \"%s\" of service \"%s\".", database, name);
    int result = context_open(cli, &context, err);
    if (result == 0)
        result = prompt_confirm(cli, what, database, err);
    if (result == 0)
        result = provision_service_drop_database(&context.job, name, database,
                                                 cli_text(cli, "cluster"), err);
    if (result == 0)
        output_done(cli, json_pack("{s:s, s:s}", "name", name, "database", database),
                    "Database \"%s\" of service \"%s\" is dropped.", database, name);
    return result;
}

/* ---- the table ---- */

static const char *const create_examples[] = {
    "reeve service create orders --migrations ./migrations --isolation row --allow "
    "schema,database",
    NULL};

static const struct cli_command commands[] = {
    {.verb = "create",
     .summary = "Create a service from a folder of migrations",
     .description =
         "Checks the folder, then makes what the service's tenants share (a template database, "
         "shared tables) and migrates it, so that a migration that cannot work is refused here and "
         "nothing is left. Where row isolation is among its modes, its tables are brought into "
         "shape: a tenant column in every key, in every mode.",
     .arguments = name_argument,
     .options = create_options,
     .fields = fields,
     .examples = create_examples,
     .run = run_create},
    {.verb = "list", .summary = "List services", .fields = fields, .list = true, .run = run_list},
    {.verb = "show",
     .summary = "Show a service",
     .arguments = name_argument,
     .fields = show_fields,
     .run = run_show},
    {.verb = "delete",
     .summary = "Delete a service that has no tenants",
     .description = "Refused while tenants are attached to it. Asks for confirmation.",
     .arguments = name_argument,
     .options = delete_options,
     .fields = name_fields,
     .run = run_delete},
    {.verb = "drop-database",
     .summary = "Drop a shared database that no tenant is in",
     .description =
         "One that was made for --database of \"reeve tenant attach\" or \"reeve move\", "
         "with the groups of its tenants. Refused while a tenant is there, or has a place "
         "there in an open move. Asks for confirmation. Also drops what is left of a database "
         "whose making was cut off. When this command is cut off itself, run it again: until then "
         "the catalog may name a database that is gone, and \"reeve migrate\" fails.",
     .arguments = database_arguments,
     .options = database_options,
     .fields = database_fields,
     .run = run_drop_database},
    {0},
};

const struct cli_noun cli_noun_service = {
    .name = "service", .summary = "Products that tenants use", .commands = commands};

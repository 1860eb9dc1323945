#include "cli/nouns.h"

#include "catalog/audit_event.h"
#include "cli/names.h"
#include "cli/page.h"

static const struct cli_parameter options[] = {
    PAGE_OPTIONS,
    {.name = "before",
     .value = "ID",
     .kind = CLI_NUMBER,
     .minimum = 1,
     .maximum = INT64_MAX,
     .help = "those before the event of this id"},
    {0},
};

static const struct output_field fields[] = {
    {.key = "id", .title = "ID", .kind = OUTPUT_NUMBER, .help = "its number"},
    {.key = "at", .title = "AT", .kind = OUTPUT_TIME, .help = "when it was"},
    {.key = "actor", .title = "ACTOR", .kind = OUTPUT_TEXT, .help = "who did it: cli:USER, serve"},
    {.key = "action",
     .title = "ACTION",
     .kind = OUTPUT_TEXT,
     .help = "what was done, such as tenant.suspend"},
    {.key = "tenant",
     .title = "TENANT",
     .kind = OUTPUT_TEXT,
     .help = "the tenant's slug; null: it is not about one"},
    {.key = "service",
     .title = "SERVICE",
     .kind = OUTPUT_TEXT,
     .help = "the service; null: it is not about one, or the service is deleted"},
    {.key = "tenant_id", .kind = OUTPUT_NUMBER, .help = "the tenant's number"},
    {.key = "service_id", .kind = OUTPUT_NUMBER, .help = "the service's number"},
    {.key = "placement_id", .kind = OUTPUT_NUMBER, .help = "the placement's number"},
    {.key = "detail", .title = "DETAIL", .kind = OUTPUT_OBJECT, .help = "what else is known"},
    {0},
};

static int event_record(struct names *names, const struct catalog_audit_event *event, json_t **ret,
                        struct error *err)
{
    const char *tenant = NULL, *service = NULL;
    int result = names_tenant(names, event->tenant_id, &tenant, err);
    if (result == 0)
        result = names_service(names, event->service_id, &service, err);
    if (result < 0)
        return result;
    json_t *record = json_object();
    json_object_set_new(record, "id", output_id(event->id));
    json_object_set_new(record, "at", output_time_us(event->at_unix_us));
    json_object_set_new(record, "actor", output_text(event->actor));
    json_object_set_new(record, "action", output_text(event->action));
    json_object_set_new(record, "tenant", output_text(tenant));
    json_object_set_new(record, "service", output_text(service));
    json_object_set_new(record, "tenant_id", output_id(event->tenant_id));
    json_object_set_new(record, "service_id", output_id(event->service_id));
    json_object_set_new(record, "placement_id", output_id(event->placement_id));
    json_object_set_new(record, "detail", page_object(event->detail));
    *ret = record;
    return 0;
}

static int run(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_audit_event *events = NULL;
    size_t count = 0;
    int64_t tenant_id = 0;
    int result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = page_tenant(cli, catalog, &cli->arena, &tenant_id, err);
    if (result == 0)
        result = catalog_audit_list(catalog, &cli->arena, tenant_id, cli_number(cli, "before", 0),
                                    cli_number(cli, "limit", PAGE_DEFAULT), &events, &count, err);
    struct names names = NAMES_INIT(catalog, &cli->arena);
    json_t *records = json_array();
    for (size_t i = 0; result == 0 && i < count; i++) {
        json_t *record = NULL;
        result = event_record(&names, &events[i], &record, err);
        if (result == 0)
            json_array_append_new(records, record);
    }
    if (result == 0)
        output_list(cli, json_incref(records), "There are no such events.");
    json_decref(records);
    return result;
}

static const struct cli_command commands[] = {
    {.summary = "List who did what, when",
     .description = "The audit trail, the newest first. Its entries are never changed.",
     .options = options,
     .fields = fields,
     .list = true,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_events = {
    .name = "events", .summary = "List who did what, when", .commands = commands};

#include "cli/nouns.h"

#include "catalog/job.h"
#include "catalog/service.h"
#include "cli/names.h"
#include "cli/page.h"

static const struct cli_parameter list_options[] = {
    {.name = "open",
     .kind = CLI_FLAG,
     .help = "those that are not over, the oldest first, but in front those whose tenant waits"},
    {.name = "service", .value = "NAME", .kind = CLI_TEXT, .help = "those of one service"},
    PAGE_OPTIONS,
    {0},
};

static const struct cli_parameter show_arguments[] = {
    {.name = "ID",
     .required = true,
     .kind = CLI_NUMBER,
     .minimum = 1,
     .maximum = INT64_MAX,
     .help = "the job's number"},
    {0},
};

static const struct output_field fields[] = {
    {.key = "id", .title = "ID", .kind = OUTPUT_NUMBER, .help = "its number"},
    {.key = "kind",
     .title = "KIND",
     .kind = OUTPUT_TEXT,
     .help = "what it does: provision, deprovision, tenant-delete, service-create, migrate"},
    {.key = "tenant",
     .title = "TENANT",
     .kind = OUTPUT_TEXT,
     .help = "the tenant's slug; null: none, or gone"},
    {.key = "service",
     .title = "SERVICE",
     .kind = OUTPUT_TEXT,
     .help = "the service; null: none, or deleted"},
    {.key = "placement_id",
     .title = "PLACEMENT",
     .kind = OUTPUT_NUMBER,
     .detail = true,
     .help = "the placement's number"},
    {.key = "state",
     .title = "STATE",
     .kind = OUTPUT_TEXT,
     .help = "queued, running, compensating (undoing), done, failed"},
    {.key = "step",
     .title = "STEP",
     .kind = OUTPUT_TEXT,
     .help = "the last step that was finished"},
    {.key = "attempts",
     .title = "ATTEMPTS",
     .kind = OUTPUT_NUMBER,
     .help = "how often it was taken up"},
    {.key = "created_at", .title = "CREATED", .kind = OUTPUT_TIME, .help = "when it was asked for"},
    {.key = "started_at",
     .title = "STARTED",
     .kind = OUTPUT_TIME,
     .detail = true,
     .help = "when it was first taken up"},
    {.key = "finished_at",
     .title = "FINISHED",
     .kind = OUTPUT_TIME,
     .help = "when it was over; null: it is not"},
    {.key = "arguments",
     .title = "ARGUMENTS",
     .kind = OUTPUT_OBJECT,
     .detail = true,
     .help = "what it was given"},
    {.key = "progress",
     .title = "PROGRESS",
     .kind = OUTPUT_OBJECT,
     .detail = true,
     .help = "how far it came"},
    {.key = "error",
     .title = "ERROR",
     .kind = OUTPUT_OBJECT,
     .detail = true,
     .help = "why it failed; null: it did not"},
    {0},
};

static int job_record(struct names *names, const struct catalog_job *job, json_t **ret,
                      struct error *err)
{
    const char *tenant = NULL, *service = NULL;
    int result = names_tenant(names, job->tenant_id, &tenant, err);
    if (result == 0)
        result = names_service(names, job->service_id, &service, err);
    if (result < 0)
        return result;
    json_t *record = json_object();
    json_object_set_new(record, "id", output_id(job->id));
    json_object_set_new(record, "kind", output_text(job->kind));
    json_object_set_new(record, "tenant", output_text(tenant));
    json_object_set_new(record, "service", output_text(service));
    json_object_set_new(record, "placement_id", output_id(job->placement_id));
    json_object_set_new(record, "state", output_text(catalog_job_state_name(job->state)));
    json_object_set_new(record, "step", output_text(*job->step ? job->step : NULL));
    json_object_set_new(record, "attempts", json_integer(job->attempts));
    json_object_set_new(record, "created_at", output_time_us(job->created_unix_us));
    json_object_set_new(record, "started_at", output_time_us(job->started_unix_us));
    json_object_set_new(record, "finished_at", output_time_us(job->finished_unix_us));
    json_object_set_new(record, "arguments", page_object(job->arguments));
    json_object_set_new(record, "progress", page_object(job->progress));
    json_object_set_new(record, "error", page_object(job->error));
    *ret = record;
    return 0;
}

static int make_filter(const struct cli *cli, struct catalog *catalog, struct arena *arena,
                       struct catalog_job_filter *ret, struct error *err)
{
    struct catalog_service service = {0};
    struct catalog_job_filter filter = {.open = cli_flag(cli, "open"),
                                        .limit = cli_number(cli, "limit", PAGE_DEFAULT)};
    int result = page_tenant(cli, catalog, arena, &filter.tenant_id, err);
    if (result == 0 && cli_text(cli, "service"))
        result = catalog_service_find(catalog, arena, cli_text(cli, "service"), &service, err);
    filter.service_id = service.id;
    if (result == 0)
        *ret = filter;
    return result;
}

static int run_list(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_job_filter filter;
    struct catalog_job *jobs = NULL;
    size_t count = 0;
    int result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = make_filter(cli, catalog, &cli->arena, &filter, err);
    if (result == 0)
        result = catalog_job_list(catalog, &cli->arena, &filter, &jobs, &count, err);
    struct names names = NAMES_INIT(catalog, &cli->arena);
    json_t *records = json_array();
    for (size_t i = 0; result == 0 && i < count; i++) {
        json_t *record = NULL;
        result = job_record(&names, &jobs[i], &record, err);
        if (result == 0)
            json_array_append_new(records, record);
    }
    if (result == 0)
        output_list(cli, json_incref(records), "There are no such jobs.");
    json_decref(records);
    return result;
}

static int run_show(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_job job = {0};
    json_t *record = NULL;
    int result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = catalog_job_get(catalog, &cli->arena, cli_number(cli, "ID", 0), &job, err);
    struct names names = NAMES_INIT(catalog, &cli->arena);
    if (result == 0)
        result = job_record(&names, &job, &record, err);
    if (result == 0)
        output_record(cli, record);
    return result;
}

static const struct cli_command commands[] = {
    {.verb = "list",
     .summary = "List jobs, the newest first",
     .options = list_options,
     .fields = fields,
     .list = true,
     .run = run_list},
    {.verb = "show",
     .summary = "Show a job",
     .arguments = show_arguments,
     .fields = fields,
     .run = run_show},
    {0},
};

const struct cli_noun cli_noun_job = {.name = "job",
                                      .summary = "Long work: what is under way and what came of it",
                                      .commands = commands};

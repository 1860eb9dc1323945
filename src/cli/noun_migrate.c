#include "cli/nouns.h"

#include "base/buffer.h"
#include "cli/context.h"
#include "migrate/migrate.h"

static const struct cli_parameter arguments[] = {
    {.name = "SERVICE", .required = true, .kind = CLI_TEXT, .help = "the service"},
    {0},
};

static const struct cli_parameter options[] = {
    {.name = "dry-run", .kind = CLI_FLAG, .help = "say what would be applied and change nothing"},
    {.name = "jobs",
     .value = "N",
     .kind = CLI_NUMBER,
     .minimum = 1,
     .maximum = MIGRATE_MAX_CONCURRENCY,
     .fallback = "4",
     .help = "places at once"},
    {0},
};

static const struct output_field fields[] = {
    {.key = "service", .kind = OUTPUT_TEXT, .help = "the service"},
    {.key = "newest", .kind = OUTPUT_TEXT, .help = "the newest version in its folder"},
    {.key = "dry_run", .kind = OUTPUT_BOOLEAN, .help = "whether nothing was to be changed"},
    {.key = "places", .kind = OUTPUT_NUMBER, .help = "how many there are to visit"},
    {.key = "current", .kind = OUTPUT_NUMBER, .help = "those that had nothing to apply"},
    {.key = "applied", .kind = OUTPUT_NUMBER, .help = "those that were brought up to date"},
    {.key = "pending", .kind = OUTPUT_NUMBER, .help = "those that would be (--dry-run)"},
    {.key = "failed", .kind = OUTPUT_NUMBER, .help = "those where a migration failed"},
    {.key = "untouched", .kind = OUTPUT_NUMBER, .help = "those not visited after a failure"},
    {.key = "outcomes",
     .kind = OUTPUT_LIST,
     .help = "one object a place: target, tenant (null for shared ones), status (current, pending, "
             "applied, failed), from, to, files, notes, error (null, or sqlstate and message)"},
    {0},
};

static const char *const examples[] = {"reeve migrate orders --dry-run",
                                       "reeve migrate orders --jobs 8", NULL};

static int run(struct cli *cli, struct error *err);

static const struct cli_command commands[] = {
    {.summary = "Bring a service's places to its newest migration",
     .description =
         "Reads the service's folder anew. Templates and shared tables come first, then every "
         "placement, several at once, each in one transaction. At the first failure no more places "
         "are begun; what failed is named and unchanged. Safe to run again.",
     .arguments = arguments,
     .options = options,
     .fields = fields,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_migrate = {.name = "migrate",
                                          .summary =
                                              "Bring a service's places to its newest migration",
                                          .commands = commands};

struct progress {
    bool json;
    json_t *outcomes;
};

static const char *status_name(enum migrate_status status)
{
    static const char *const names[] = {[MIGRATE_CURRENT] = "current",
                                        [MIGRATE_PENDING] = "pending",
                                        [MIGRATE_APPLIED] = "applied",
                                        [MIGRATE_FAILED] = "failed"};
    return names[status];
}

static json_t *texts_to_json(const char *const *texts, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, output_text(texts[i]));
    return list;
}

static json_t *outcome_to_json(const struct migrate_outcome *outcome)
{
    json_t *record = json_object();
    json_object_set_new(record, "target", output_text(outcome->target));
    json_object_set_new(record, "tenant", output_text(outcome->tenant));
    json_object_set_new(record, "status", json_string(status_name(outcome->status)));
    json_object_set_new(record, "from",
                        outcome->from && *outcome->from ? output_text(outcome->from) : json_null());
    json_object_set_new(record, "to", output_text(outcome->to));
    json_object_set_new(record, "files", texts_to_json(outcome->files, outcome->file_count));
    json_object_set_new(record, "notes", texts_to_json(outcome->notes, outcome->note_count));
    json_t *error = json_null();
    if (outcome->error)
        error = json_pack("{s:s, s:o}", "sqlstate", outcome->error->sqlstate, "message",
                          output_text(outcome->error->message));
    json_object_set_new(record, "error", error);
    return record;
}

static void print_texts(const char *prefix, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fputs(prefix, stdout);
        output_escaped(stdout, texts[i]);
        putchar('\n');
    }
}

static void print_outcome(const struct migrate_outcome *outcome)
{
    output_progress_end();
    output_escaped(stdout, outcome->target);
    printf(": %s", status_name(outcome->status));
    if (outcome->status != MIGRATE_CURRENT && outcome->to)
        printf(", %s%s%s", outcome->from && *outcome->from ? outcome->from : "nothing", " -> ",
               outcome->to);
    putchar('\n');
    if (outcome->status != MIGRATE_CURRENT)
        print_texts("    ", outcome->files, outcome->file_count);
    print_texts("      ", outcome->notes, outcome->note_count);
}

static void take_outcome(void *owner, const struct migrate_outcome *outcome)
{
    struct progress *progress = owner;
    if (progress->json)
        json_array_append_new(progress->outcomes, outcome_to_json(outcome));
    else
        print_outcome(outcome);
}

static void print_summary(const struct cli *cli, const struct migrate_summary *summary,
                          json_t *outcomes)
{
    const char *service = cli_text(cli, "SERVICE");
    if (cli->json) {
        output_record(
            cli, json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "service", service,
                           "newest", summary->newest, "dry_run", cli_flag(cli, "dry-run"), "places",
                           (json_int_t)summary->targets, "current", (json_int_t)summary->current,
                           "applied", (json_int_t)summary->applied, "pending",
                           (json_int_t)summary->pending, "failed", (json_int_t)summary->failed,
                           "untouched", (json_int_t)summary->untouched, "outcomes", outcomes));
        return;
    }
    printf("%s: newest version %s; %zu places: %zu current", service, summary->newest,
           summary->targets, summary->current);
    const struct {
        size_t count;
        const char *name;
    } others[] = {{summary->applied, "brought up to date"},
                  {summary->pending, "pending"},
                  {summary->failed, "failed"},
                  {summary->untouched, "not begun"}};
    for (size_t i = 0; i < array_size(others); i++) {
        if (others[i].count > 0)
            printf(", %zu %s", others[i].count, others[i].name);
    }
    putchar('\n');
}

static int run(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    int result = context_open(cli, &context, err);
    if (result < 0)
        return result;
    struct progress progress = {.json = cli->json, .outcomes = json_array()};
    struct migrate_options choice = {.dry_run = cli_flag(cli, "dry-run"),
                                     .concurrency = (int)cli_number(cli, "jobs", 0),
                                     .outcome = take_outcome,
                                     .owner = &progress};
    struct migrate_summary summary = {0};
    result = migrate_service(&context.job, cli_text(cli, "SERVICE"), &choice, &summary, err);
    if (summary.targets > 0)
        print_summary(cli, &summary, progress.outcomes);
    json_decref(progress.outcomes);
    return result;
}

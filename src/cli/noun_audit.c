#include "cli/nouns.h"

#include "catalog/service.h"
#include "catalog/tenant.h"
#include "cli/audit_attack.h"
#include "cli/context.h"
#include "provision/audit.h"

static const struct cli_parameter arguments[] = {
    {.name = "NAME", .kind = CLI_TEXT, .help = "a tenant's slug, or a service"},
    {0},
};

static const char *severity_choice(size_t index)
{
    return index < AUDIT_SEVERITIES ? audit_severity_name((enum audit_severity)index) : NULL;
}

static const struct cli_parameter options[] = {
    {.name = "all",
     .kind = CLI_FLAG,
     .help = "every cluster, service and tenant, and what on the servers belongs to nobody"},
    {.name = "tenant",
     .value = "SLUG",
     .kind = CLI_TEXT,
     .help = "one tenant's places, and what it shares with others"},
    {.name = "service",
     .value = "NAME",
     .kind = CLI_TEXT,
     .help = "one service's places; with --tenant, that tenant's alone"},
    {.name = "severity",
     .value = "SEVERITY",
     .kind = CLI_CHOICE,
     .choice = severity_choice,
     .fallback = "info",
     .help = "show findings of this severity and worse; the exit status follows what is shown"},
    {.name = "list", .kind = CLI_FLAG, .help = "list the checks, and look at nothing"},
    AUDIT_ATTACK_OPTIONS,
    {0},
};

static const struct output_field fields[] = {
    {.key = "findings",
     .kind = OUTPUT_LIST,
     .help = "one object a finding, the worst first: severity, code, cluster, database, object, "
             "message, remedy, tenant, service (these two null when it is no single one's)"},
    {.key = "counts",
     .kind = OUTPUT_OBJECT,
     .help = "how many there are, shown or not: critical, warning, info, and dropped (past the "
             "first 20000); with --attack, how many a verdict"},
    {.key = "checks",
     .kind = OUTPUT_LIST,
     .help = "with --list, one object a check: code, severity (the worst it reports), title"},
    AUDIT_ATTACK_FIELDS,
    {0},
};

static const char *const examples[] = {"reeve audit --all",
                                       "reeve audit acme",
                                       "reeve audit orders --severity critical --json",
                                       "reeve audit --tenant acme --service orders",
                                       "reeve audit --attack --output attack-report.txt",
                                       "reeve audit --verify attack-report.txt",
                                       NULL};

static int run(struct cli *cli, struct error *err);

static const struct cli_command commands[] = {
    {.summary = "Look for what could let tenants at each other's data",
     .description =
         "Reads the system catalogs of every server, database and schema that Reeve's catalog "
         "names, and reports what is not as isolation needs it: row-level security, policies, "
         "keys, "
         "roles, privileges, functions, views, extensions, the server's version, and whatever the "
         "catalog and the servers disagree on. Nothing is changed. A line a finding: severity, "
         "code, object, message, remedy. Exit status: 0 when nothing is a warning or worse, 10 for "
         "warnings, 11 for something critical. docs/audit.md says more about each code.\n\n"
         "With --attack it does what a hostile tenant would instead: makes two throwaway tenants "
         "in "
         "each isolation in use, connects as both through the endpoint, runs every attack of the "
         "suite as one of them, looks round after each, and removes the tenants. The report is "
         "signed with the key file's key. Exit status 12 when an attack got through. "
         "docs/attack.md says how to read it.",
     .arguments = arguments,
     .options = options,
     .fields = fields,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_audit = {
    .name = "audit",
    .summary = "Look for what could let tenants at each other's data",
    .commands = commands,
};

/* ---- what to audit ---- */

static int exists(int r, bool *ret, struct error *err)
{
    *ret = r == 0;
    if (r != -ERROR_NOT_FOUND)
        return r;
    error_clear(err);
    return 0;
}

/* A tenant and a service may have one name; then somebody must say which is meant. */
static int resolve(struct cli *cli, struct catalog *catalog, const char *name,
                   struct provision_audit_scope *ret, struct error *err)
{
    struct catalog_tenant tenant;
    struct catalog_service service;
    bool is_tenant = false, is_service = false;
    int r = exists(catalog_tenant_find(catalog, &cli->arena, name, &tenant, err), &is_tenant, err);
    if (r == 0)
        r = exists(catalog_service_find(catalog, &cli->arena, name, &service, err), &is_service,
                   err);
    if (r < 0)
        return r;
    if (is_tenant && is_service) {
        r = error_set(err, ERROR_USAGE, "\"%s\" is a tenant and a service", name);
        error_hint(err, "Write --tenant %s or --service %s.", name, name);
        return r;
    }
    if (!is_tenant && !is_service)
        return error_set(err, ERROR_NOT_FOUND, "there is no tenant and no service \"%.64s\"", name);
    ret->tenant = is_tenant ? name : NULL;
    ret->service = is_service ? name : NULL;
    return 0;
}

static int check_arguments(const struct cli *cli, struct error *err)
{
    bool one = cli_text(cli, "tenant") || cli_text(cli, "service");
    int ways = (cli_text(cli, "NAME") ? 1 : 0) + (cli_flag(cli, "all") ? 1 : 0) + (one ? 1 : 0);
    if (ways == 1)
        return 0;
    int r = error_set(err, ERROR_USAGE,
                      ways == 0 ? "say what to audit"
                                : "NAME, --all, and --tenant or --service say different things");
    error_hint(err, "Give a tenant's slug or a service's name, or --all.");
    return r;
}

static int find_scope(struct cli *cli, struct catalog *catalog, struct provision_audit_scope *ret,
                      struct error *err)
{
    *ret = (struct provision_audit_scope){.tenant = cli_text(cli, "tenant"),
                                          .service = cli_text(cli, "service")};
    const char *name = cli_text(cli, "NAME");
    return name ? resolve(cli, catalog, name, ret, err) : 0;
}

/* ---- what to print ---- */

static json_t *finding_to_json(const struct audit_finding *finding)
{
    const struct {
        const char *key, *value;
    } texts[] = {{"severity", audit_severity_name(finding->severity)},
                 {"code", finding->code},
                 {"cluster", finding->cluster},
                 {"database", finding->database},
                 {"object", finding->object},
                 {"message", finding->message},
                 {"remedy", finding->remedy},
                 {"tenant", finding->tenant},
                 {"service", finding->service}};
    json_t *record = json_object();
    for (size_t i = 0; i < array_size(texts); i++)
        json_object_set_new(record, texts[i].key, output_text(texts[i].value));
    return record;
}

static void print_part(const char *before, const char *text)
{
    if (!text)
        return;
    fputs(before, stdout);
    output_escaped(stdout, text);
}

static void print_finding(const struct audit_finding *finding)
{
    static const char *const names[] = {
        [AUDIT_INFO] = "INFO", [AUDIT_WARNING] = "WARNING", [AUDIT_CRITICAL] = "CRITICAL"};
    printf("%-8s  %s", names[finding->severity], finding->code);
    print_part("  ", finding->object);
    print_part(" in ", finding->database);
    print_part(" on ", finding->cluster);
    print_part(" (tenant ", finding->tenant);
    print_part(finding->tenant ? ", service " : " (service ", finding->service);
    if (finding->tenant || finding->service)
        putchar(')');
    print_part("  ", finding->message);
    print_part("; remedy: ", finding->remedy);
    putchar('\n');
}

static void print_report(const struct cli *cli, const struct audit_report *report,
                         enum audit_severity least)
{
    size_t counts[AUDIT_SEVERITIES];
    for (size_t i = 0; i < AUDIT_SEVERITIES; i++)
        counts[i] = audit_report_number(report, (enum audit_severity)i);
    json_t *findings = json_array();
    output_progress_end();
    for (size_t i = 0; i < report->count; i++) {
        if (report->findings[i].severity < least)
            continue;
        if (cli->json)
            json_array_append_new(findings, finding_to_json(&report->findings[i]));
        else
            print_finding(&report->findings[i]);
    }
    if (cli->json) {
        output_record(cli, json_pack("{s:o, s:{s:I, s:I, s:I, s:I}}", "findings", findings,
                                     "counts", "critical", (json_int_t)counts[AUDIT_CRITICAL],
                                     "warning", (json_int_t)counts[AUDIT_WARNING], "info",
                                     (json_int_t)counts[AUDIT_INFO], "dropped",
                                     (json_int_t)report->dropped));
        return;
    }
    json_decref(findings);
    printf("%zu critical, %zu warnings, %zu for information", counts[AUDIT_CRITICAL],
           counts[AUDIT_WARNING], counts[AUDIT_INFO]);
    if (report->dropped > 0)
        printf(", and %zu more that are not told", report->dropped);
    putchar('\n');
}

static int run_list(const struct cli *cli)
{
    json_t *checks = json_array();
    for (size_t i = 0; audit_check_at(i); i++) {
        const struct audit_check *check = audit_check_at(i);
        const char *severity = audit_severity_name(audit_check_severity(check));
        if (cli->json)
            json_array_append_new(checks, json_pack("{s:s, s:s, s:s}", "code",
                                                    audit_check_code(check), "severity", severity,
                                                    "title", audit_check_title(check)));
        else
            printf("%-22s  %-8s  %s\n", audit_check_code(check), severity,
                   audit_check_title(check));
    }
    if (cli->json)
        output_record(cli, json_pack("{s:O}", "checks", checks));
    json_decref(checks);
    return 0;
}

/* What is shown decides: who asks for critical findings alone does not want to hear of others. */
static int conclude(const struct audit_report *report, enum audit_severity least, struct error *err)
{
    size_t critical = audit_report_number(report, AUDIT_CRITICAL);
    size_t warnings = audit_report_number(report, AUDIT_WARNING);
    if (critical > 0 || report->dropped > 0)
        return error_set(err, ERROR_CRITICAL, "the audit found %zu critical and %zu less than that",
                         critical, report->count - critical);
    if (warnings > 0 && least <= AUDIT_WARNING)
        return error_set(err, ERROR_WARNINGS, "the audit found %zu warnings, and nothing critical",
                         warnings);
    return 0;
}

/* The suite has a scope of its own. */
static int run_attack(struct cli *cli, struct error *err)
{
    if (!cli_text(cli, "NAME") && !cli_text(cli, "tenant") && !cli_flag(cli, "all") &&
        !cli_text(cli, "severity") && !cli_flag(cli, "list"))
        return audit_attack_command(cli, err);
    int r =
        error_set(err, ERROR_USAGE, "--attack and --verify go with neither a tenant nor checks");
    error_hint(err, "Give --service to attack one service's places alone.");
    return r;
}

static int run(struct cli *cli, struct error *err)
{
    if (cli_flag(cli, "attack") || cli_text(cli, "verify"))
        return run_attack(cli, err);
    if (cli_flag(cli, "list"))
        return run_list(cli);
    enum audit_severity least = AUDIT_INFO;
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct provision_audit_scope scope;
    struct audit_report report;
    audit_report_init(&report, &cli->arena);
    int result = check_arguments(cli, err);
    if (result == 0 && cli_text(cli, "severity"))
        result = audit_severity_parse(cli_text(cli, "severity"), &least, err);
    if (result == 0)
        result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = find_scope(cli, catalog, &scope, err);
    if (result == 0)
        result = provision_audit(&context.job, &scope, &report, err);
    if (result < 0)
        return result;
    audit_report_sort(&report);
    print_report(cli, &report, least);
    return conclude(&report, least, err);
}

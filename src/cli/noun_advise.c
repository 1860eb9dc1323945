#include "cli/nouns.h"

#include "advise/advise.h"
#include "base/str.h"
#include "base/time.h"
#include "catalog/tag.h"
#include "cli/advise_count.h"
#include "cli/context.h"

static const int64_t day_us = 24 * 3600 * (int64_t)TIME_S;
static const int64_t usual_wait_us = 5 * (int64_t)TIME_MS;
static const int64_t usual_busy_for_us = 600 * (int64_t)TIME_S;
static const int64_t usual_large_bytes = 10LL << 30, usual_small_bytes = 100LL << 20;
enum {
    USUAL_BUSY = 50,
    USUAL_SLOWER = 100,
    SLOWER_MAX = 100000,
    USUAL_LARGE_SHARE = 25,
    USUAL_QUIET = 60,
    QUIET_MAX = 1000000000
};

static const struct cli_parameter arguments[] = {
    {.name = "SLUG", .kind = CLI_TEXT, .help = "the tenant; without it: all"},
    {0},
};

static const struct cli_parameter options[] = {
    {.name = "regulated",
     .value = "TAG",
     .kind = CLI_TEXT,
     .fallback = "regulated",
     .help = "tenants with this tag (\"reeve tenant tag\"), NAME or NAME=VALUE, are to have "
             "databases of their own"},
    {.name = "alone",
     .kind = CLI_FLAG,
     .help = "such tenants are to have clusters without other tenants, too"},
    {.name = "busy",
     .value = "PERCENT",
     .kind = CLI_NUMBER,
     .minimum = 1,
     .maximum = 100,
     .fallback = "50",
     .help = "a busy tenant has had so much of the time of its cluster's server connections, "
             "while others waited as --wait says, or were slower as --slower says"},
    {.name = "wait",
     .value = "TIME",
     .kind = CLI_DURATION,
     .minimum = 0,
     .maximum = 3600 * (int64_t)TIME_S,
     .fallback = "5ms",
     .help = "a busy tenant's neighbours on the cluster have waited so long for a server "
             "connection, a transaction on average"},
    {.name = "slower",
     .value = "PERCENT",
     .kind = CLI_NUMBER,
     .minimum = 1,
     .maximum = SLOWER_MAX,
     .fallback = "100",
     .help = "or their transactions take so much longer, and a millisecond at least, while it is "
             "at work than while it is calm: with --for alone (3s at least), and of those who are "
             "not always equally busy"},
    {.name = "busy-for",
     .value = "TIME",
     .kind = CLI_DURATION,
     .minimum = 0,
     .maximum = 365 * 24 * 3600 * (int64_t)TIME_S,
     .fallback = "10m, or what --for says",
     .help = "who was counted for a shorter time is not called busy"},
    {.name = "large",
     .value = "SIZE",
     .kind = CLI_TEXT,
     .fallback = "10GB",
     .help = "a large tenant has so much in a database that it shares, and the part of it that "
             "--large-share says"},
    {.name = "large-share",
     .value = "PERCENT",
     .kind = CLI_NUMBER,
     .minimum = 1,
     .maximum = 100,
     .fallback = "25",
     .help = "a large tenant has so much of what all tenants have in that database"},
    {.name = "small",
     .value = "SIZE",
     .kind = CLI_TEXT,
     .fallback = "100MB",
     .help = "a quiet tenant has a database of its own with so much in it at most, and no more "
             "transactions than --quiet says"},
    {.name = "quiet",
     .value = "N",
     .kind = CLI_NUMBER,
     .minimum = 0,
     .maximum = QUIET_MAX,
     .fallback = "60",
     .help = "transactions that a quiet tenant has an hour, at most"},
    {.name = "quiet-for",
     .value = "TIME",
     .kind = CLI_DURATION,
     .minimum = 0,
     .maximum = 365 * 24 * 3600 * (int64_t)TIME_S,
     .fallback = "1d",
     .help = "who was counted for a shorter time is not called quiet"},
    {.name = "except",
     .value = "TAG",
     .kind = CLI_TEXT,
     .help = "leave tenants with this tag where they are"},
    {.name = "for",
     .value = "TIME",
     .kind = CLI_DURATION,
     .minimum = 100 * TIME_MS,
     .maximum = 24 * 3600 * (int64_t)TIME_S,
     .help = "count what tenants use for so long from now on (default: since the server's start)"},
    {0},
};

static const struct output_field fields[] = {
    {.key = "advice",
     .kind = OUTPUT_LIST,
     .help = "an object a placement, the most pressing first: tenant, service, isolation, cluster "
             "(where it is), causes (regulated, busy, large, quiet), reasons (a text a cause), "
             "to_isolation, to_cluster (null: as it is), command (null: none helps), obstacle (why "
             "that is not all that is called for, or null), bytes (null: not known), "
             "bytes_estimated, backend_share (0 to 1; null: not known), neighbours_ms and "
             "neighbours_calm_ms (what a transaction of others on its cluster takes while it is at "
             "work, and "
             "while it is calm; null: not known, or it has had less than --busy says)"},
    {.key = "placements", .kind = OUTPUT_NUMBER, .help = "how many were looked at"},
    {.key = "counted_s",
     .kind = OUTPUT_NUMBER,
     .help = "for how long what tenants use was counted; null: it was not"},
    {.key = "lacking", .kind = OUTPUT_LIST, .help = "what is not known, or not judged: texts"},
    {0},
};

/* One run of the command. */
struct advising {
    struct cli *cli;
    struct context context;
    struct advise_rules rules;
    struct advise_counted counted;
    struct advise_facts facts;
    struct advice *advice;
    size_t count;
    json_t *lacking;
};

static void lack(struct advising *advising, const char *text)
{
    json_array_append_new(advising->lacking, output_text(text));
}

/* ---- options ---- */

static int read_size(const struct cli *cli, const char *name, int64_t fallback, int64_t *ret,
                     struct error *err)
{
    const char *text = cli_text(cli, name);
    *ret = fallback;
    if (!text || str_to_size(text, ret))
        return 0;
    int result = error_set(err, ERROR_USAGE, "--%s is no size: \"%s\"", name, text);
    error_hint(err, "write bytes, or 64kB, 10MB, 1GB");
    return result;
}

static int read_rules(const struct cli *cli, struct advise_rules *ret, struct error *err)
{
    const char *regulated = cli_text(cli, "regulated");
    *ret = (struct advise_rules){
        .regulated = regulated ? regulated : "regulated",
        .regulated_alone = cli_flag(cli, "alone"),
        .except = cli_text(cli, "except"),
        .busy_share = (double)cli_number(cli, "busy", USUAL_BUSY) / 100,
        .busy_wait_us = cli_duration_us(cli, "wait", usual_wait_us),
        .busy_slower = (double)cli_number(cli, "slower", USUAL_SLOWER) / 100,
        .busy_for_us =
            cli_duration_us(cli, "busy-for", cli_duration_us(cli, "for", usual_busy_for_us)),
        .large_share = (double)cli_number(cli, "large-share", USUAL_LARGE_SHARE) / 100,
        .quiet_per_hour = cli_number(cli, "quiet", USUAL_QUIET),
        .quiet_for_us = cli_duration_us(cli, "quiet-for", day_us),
    };
    int result = catalog_tag_check(ret->regulated, err);
    if (result == 0 && ret->except)
        result = catalog_tag_check(ret->except, err);
    if (result == 0)
        result = read_size(cli, "large", usual_large_bytes, &ret->large_bytes, err);
    if (result == 0)
        result = read_size(cli, "small", usual_small_bytes, &ret->quiet_bytes, err);
    return result;
}

/* ---- what was counted ---- */

static int count_use(struct advising *advising, struct error *err)
{
    const char *lacking = NULL;
    int result =
        advise_count(advising->cli, advising->context.config.status_socket,
                     cli_duration_us(advising->cli, "for", 0), &advising->counted, &lacking, err);
    if (result == 0 && lacking)
        lack(advising, lacking);
    return result;
}

/* ---- lacking ---- */

static const char *time_text(struct arena *arena, int64_t us)
{
    double seconds = (double)us / (double)TIME_S;
    if (seconds < 120)
        return arena_printf(arena, "%.0f seconds", seconds);
    if (seconds < 2 * 3600)
        return arena_printf(arena, "%.0f minutes", seconds / 60);
    return seconds < 48 * 3600 ? arena_printf(arena, "%.0f hours", seconds / 3600)
                               : arena_printf(arena, "%.0f days", seconds / (24 * 3600));
}

static void lack_time(struct advising *advising, int64_t wanted_us, const char *what,
                      const char *option)
{
    struct arena *arena = &advising->cli->arena;
    if (advising->counted.us > 0 && advising->counted.us < wanted_us)
        lack(advising, arena_printf(arena,
                                    "nobody is called %s: that takes %s of counting (--%s), and "
                                    "there are %s",
                                    what, time_text(arena, wanted_us), option,
                                    time_text(arena, advising->counted.us)));
}

static void lack_moments(struct advising *advising)
{
    if (cli_duration_us(advising->cli, "for", 0) > 0 && advising->counted.us > 0 &&
        advising->counted.moment_count < ADVISE_MOMENTS_LEAST)
        lack(advising, "whether others are slower while a tenant is at work is not known: that "
                       "takes --for 3s at least");
}

/* ---- what it prints ---- */

/* A tenant may be called as one of the verbs of `reeve move`. */
static const char *command_of(struct advising *advising, const struct advice *advice)
{
    struct arena *arena = &advising->cli->arena;
    const char *to = "", *cluster = "", *dashes = "";
    if (!advice->isolation && !advice->cluster)
        return NULL;
    if (advice->isolation)
        to = arena_printf(arena, " --to %s", isolation_name(advice->isolation));
    if (advice->cluster)
        cluster = arena_printf(arena, " --cluster %s", advice->cluster);
    const struct advise_placement *placement = advice->placement;
    for (const struct cli_command *move = cli_noun_move.commands; move->summary; move++) {
        if (move->verb && strcmp(move->verb, placement->tenant) == 0)
            dashes = " --";
    }
    return *dashes ? arena_printf(arena, "reeve move%s%s -- %s %s", to, cluster, placement->tenant,
                                  placement->service)
                   : arena_printf(arena, "reeve move %s %s%s%s", placement->tenant,
                                  placement->service, to, cluster);
}

static json_t *effect_ms(const struct advice *advice, double us)
{
    return advice->effect.known ? json_real(us / TIME_MS) : json_null();
}

static json_t *advice_object(struct advising *advising, const struct advice *advice)
{
    const struct advise_placement *placement = advice->placement;
    json_t *object = json_object(), *causes = json_array(), *reasons = json_array();
    for (size_t i = 0; i < advice->reason_count; i++) {
        json_array_append_new(causes, output_text(advise_cause_name(advice->reasons[i].cause)));
        json_array_append_new(reasons, output_text(advice->reasons[i].text));
    }
    json_object_set_new(object, "tenant", output_text(placement->tenant));
    json_object_set_new(object, "service", output_text(placement->service));
    json_object_set_new(object, "isolation", output_text(isolation_name(placement->isolation)));
    json_object_set_new(object, "cluster",
                        output_text(advising->facts.clusters[placement->cluster].name));
    json_object_set_new(object, "causes", causes);
    json_object_set_new(object, "reasons", reasons);
    json_object_set_new(object, "to_isolation",
                        output_text(advice->isolation ? isolation_name(advice->isolation) : NULL));
    json_object_set_new(object, "to_cluster", output_text(advice->cluster));
    json_object_set_new(object, "command", output_text(command_of(advising, advice)));
    json_object_set_new(object, "obstacle", output_text(advice->obstacle));
    json_object_set_new(object, "bytes",
                        placement->size_known ? json_integer(placement->bytes) : json_null());
    json_object_set_new(object, "bytes_estimated", json_boolean(placement->size_estimated));
    json_object_set_new(object, "backend_share",
                        advice->share < 0 ? json_null() : json_real(advice->share));
    json_object_set_new(object, "neighbours_ms", effect_ms(advice, advice->effect.busy_us));
    json_object_set_new(object, "neighbours_calm_ms", effect_ms(advice, advice->effect.calm_us));
    return object;
}

static void print_line(const char *before, const char *text)
{
    fputs(before, stdout);
    output_escaped(stdout, text);
    putchar('\n');
}

static void print_advice(struct advising *advising, const struct advice *advice)
{
    struct arena *arena = &advising->cli->arena;
    const struct advise_placement *placement = advice->placement;
    const char *command = command_of(advising, advice);
    print_line("", arena_printf(arena, "%s in %s, %s on %s", placement->tenant, placement->service,
                                isolation_name(placement->isolation),
                                advising->facts.clusters[placement->cluster].name));
    for (size_t i = 0; i < advice->reason_count; i++)
        print_line("  ", arena_printf(arena, "%s: %s", advise_cause_name(advice->reasons[i].cause),
                                      advice->reasons[i].text));
    if (advice->obstacle)
        print_line("  but ", advice->obstacle);
    if (command)
        print_line("  ", command);
}

static bool is_asked(const struct advising *advising, const struct advise_placement *placement)
{
    const char *slug = cli_text(advising->cli, "SLUG");
    return !slug || strcmp(slug, placement->tenant) == 0;
}

static void print_all(struct advising *advising)
{
    size_t printed = 0, index;
    json_t *text;
    for (size_t i = 0; i < advising->count; i++) {
        if (!is_asked(advising, advising->advice[i].placement))
            continue;
        print_advice(advising, &advising->advice[i]);
        printed++;
    }
    if (printed == 0)
        puts("Nothing that is known calls for another place.");
    if (json_array_size(advising->lacking) > 0)
        puts("\nNot known, or not judged:");
    json_array_foreach(advising->lacking, index, text) print_line("  - ", json_string_value(text));
}

static void print(struct advising *advising)
{
    json_t *list = json_array();
    size_t looked_at = 0;
    if (!advising->cli->json) {
        json_decref(list);
        print_all(advising);
        return;
    }
    for (size_t i = 0; i < advising->count; i++) {
        if (is_asked(advising, advising->advice[i].placement))
            json_array_append_new(list, advice_object(advising, &advising->advice[i]));
    }
    for (size_t i = 0; i < advising->facts.placement_count; i++)
        looked_at += is_asked(advising, &advising->facts.placements[i]);
    json_t *record = json_object();
    json_object_set_new(record, "advice", list);
    json_object_set_new(record, "placements", json_integer((json_int_t)looked_at));
    json_object_set_new(record, "counted_s",
                        advising->counted.us > 0
                            ? json_real((double)advising->counted.us / (double)TIME_S)
                            : json_null());
    json_object_set(record, "lacking", advising->lacking);
    output_record(advising->cli, record);
}

/* ---- the run ---- */

static int advise(struct advising *advising, struct catalog *catalog, struct error *err)
{
    struct cli *cli = advising->cli;
    const char *slug = cli_text(cli, "SLUG");
    struct catalog_tenant tenant = {0};
    int result = slug ? catalog_tenant_find(catalog, &cli->arena, slug, &tenant, err) : 0;
    if (result == 0)
        result = count_use(advising, err);
    if (result == 0)
        result = advise_gather(&advising->context.job, catalog, &cli->arena, &advising->rules,
                               &advising->counted, slug, &advising->facts, err);
    if (result < 0)
        return result;
    lack_time(advising, advising->rules.busy_for_us, "busy", "busy-for");
    lack_time(advising, advising->rules.quiet_for_us, "quiet", "quiet-for");
    lack_moments(advising);
    for (size_t i = 0; i < advising->facts.remark_count; i++)
        lack(advising, advising->facts.remarks[i]);
    advise_judge(&advising->facts, &advising->rules, &cli->arena, &advising->advice,
                 &advising->count);
    print(advising);
    return 0;
}

static int run(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct advising advising = {.cli = cli, .lacking = json_array()};
    int result = read_rules(cli, &advising.rules, err);
    if (result == 0)
        result = context_open_catalog(cli, &advising.context, &catalog, err);
    if (result == 0)
        result = advise(&advising, catalog, err);
    context_close(&advising.context);
    json_decref(advising.lacking);
    return result;
}

static const char *const examples[] = {
    "reeve advise", "reeve advise acme --for 1m",
    "reeve advise --regulated plan=enterprise --alone --large 50GB", NULL};

static const struct cli_command commands[] = {
    {.summary = "Say which tenants should be moved, and why",
     .description =
         "Looks at tags, at what tenants have on the servers, and at what the server that runs "
         "with this configuration on this machine has counted, and changes nothing. Each advice "
         "has its reason and the command that follows it. Rows of shared tables are measured in a "
         "sample of 1,000 pages a table: such sizes are estimates. What is not known is said.",
     .arguments = arguments,
     .options = options,
     .fields = fields,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_advise = {.name = "advise",
                                         .summary = "Say which tenants should be moved, and why",
                                         .commands = commands};

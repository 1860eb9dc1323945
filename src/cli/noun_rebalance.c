#include "cli/nouns.h"

#include "base/time.h"
#include "cli/move_many.h"
#include "cli/move_options.h"
#include "cli/status_socket.h"
#include "fleet/rebalance.h"

enum { USUAL_WITHIN_PERCENT = 10, USUAL_MAX_MOVES = 20, CLUSTERS_MAX = 1000 };

static const struct cli_parameter arguments[] = {
    {.name = "SERVICE", .kind = CLI_TEXT, .help = "whose tenants may move; without it: of all"},
    {0},
};

static const struct cli_parameter options[] = {
    {.name = "by",
     .value = "WHAT",
     .kind = CLI_CHOICE,
     .choice = rebalance_by_name,
     .fallback = "size",
     .help = "what is to be even: bytes, tenants, or the time that server connections were in use, "
             "as the server on this machine has counted it"},
    {.name = "to-clusters",
     .value = "NAMES",
     .kind = CLI_TEXT,
     .help = "with commas between: tenants move to these alone; without it: to all"},
    {.name = "databases-of",
     .value = "CLUSTER",
     .kind = CLI_TEXT,
     .help = "instead of clusters, the shared databases of SERVICE on this one are to be even"},
    {.name = "match",
     .value = "TERMS",
     .kind = CLI_TEXT,
     .help = "these tenants alone may move; as of \"reeve move\""},
    {.name = "within",
     .value = "PERCENT",
     .kind = CLI_NUMBER,
     .minimum = 0,
     .maximum = 100,
     .fallback = "10",
     .help = "two clusters are even when no more than this part of the mean is between them"},
    {.name = "max-moves",
     .value = "M",
     .kind = CLI_NUMBER,
     .minimum = 1,
     .maximum = 100000,
     .fallback = "20",
     .help = "so many tenants move at most"},
    {.name = "dry-run", .kind = CLI_FLAG, .help = "propose, and change nothing"},
    {.name = "offline", .kind = CLI_FLAG, .help = "copy while the tenant waits"},
    MOVE_KEEP_OPTIONS,
    MOVE_COPY_OPTIONS,
    MOVE_MANY_OPTIONS,
    {0},
};

static const struct output_field fields[] = {
    {.key = "service", .kind = OUTPUT_TEXT, .help = "whose tenants may move; null: of all"},
    {.key = "by",
     .kind = OUTPUT_TEXT,
     .help = "what the proposal evens out: size, tenants or load"},
    {.key = "dry_run", .kind = OUTPUT_BOOLEAN, .help = "whether nothing was to be changed"},
    {.key = "remarks", .kind = OUTPUT_LIST, .help = "what could not be taken into account"},
    {.key = "spread_before",
     .kind = OUTPUT_NUMBER,
     .help = "what is between the clusters with most and with least, in parts of the mean"},
    {.key = "spread_after", .kind = OUTPUT_NUMBER, .help = "the same when all of it is done"},
    {.key = "clusters",
     .kind = OUTPUT_LIST,
     .help = "one object a cluster, or one a database: cluster, database (or null), reached, "
             "tenants, bytes, backend_us (null: not "
             "asked for), before, after (bytes, tenants or microseconds, as `by` says)"},
    MOVE_MANY_FIELDS(""),
    {0},
};

static const struct output_field move_fields[] = {
    {.key = "tenant", .title = "TENANT", .kind = OUTPUT_TEXT},
    {.key = "service", .title = "SERVICE", .kind = OUTPUT_TEXT},
    {.key = "from", .title = "FROM", .kind = OUTPUT_TEXT},
    {.key = "to", .title = "TO", .kind = OUTPUT_TEXT},
    {.key = "bytes", .title = "BYTES", .kind = OUTPUT_NUMBER},
    {.key = "reason", .title = "WHY", .kind = OUTPUT_TEXT},
    {0},
};

static const struct output_field cluster_fields[] = {
    {.key = "cluster", .title = "CLUSTER", .kind = OUTPUT_TEXT},
    {.key = "tenants", .title = "TENANTS", .kind = OUTPUT_NUMBER},
    {.key = "bytes", .title = "BYTES", .kind = OUTPUT_NUMBER},
    {.key = "before", .title = "BEFORE", .kind = OUTPUT_TEXT},
    {.key = "after", .title = "AFTER", .kind = OUTPUT_TEXT},
    {0},
};

static const struct output_field database_fields[] = {
    {.key = "database", .title = "DATABASE", .kind = OUTPUT_TEXT},
    {.key = "tenants", .title = "TENANTS", .kind = OUTPUT_NUMBER},
    {.key = "bytes", .title = "BYTES", .kind = OUTPUT_NUMBER},
    {.key = "before", .title = "BEFORE", .kind = OUTPUT_TEXT},
    {.key = "after", .title = "AFTER", .kind = OUTPUT_TEXT},
    {0},
};

/* One run of the command. */
struct rebalancing {
    struct cli *cli;
    struct context context;
    struct rebalance_request request;
    struct rebalance_proposal proposal;
    struct move_many many;
    json_t *remarks;
    bool dry_run;
};

static void remark(const struct rebalancing *run, const char *text)
{
    json_array_append_new(run->remarks, output_text(text));
    if (!run->cli->json)
        output_note("%s", text);
}

/* ---- load ---- */

static int64_t read_load(struct rebalancing *run, const json_t *answer)
{
    const json_t *tenants = json_object_get(answer, "tenants");
    struct rebalance_load *loads =
        arena_zalloc(&run->cli->arena, (json_array_size(tenants) + 1) * sizeof(*loads));
    int64_t sum = 0;
    size_t at;
    json_t *tenant;
    json_array_foreach(tenants, at, tenant)
    {
        const char *slug = json_string_value(json_object_get(tenant, "tenant"));
        const char *service = json_string_value(json_object_get(tenant, "service"));
        const json_t *used = json_object_get(tenant, "used");
        if (!slug || !service)
            continue;
        struct rebalance_load *load = &loads[run->request.load_count++];
        load->tenant = arena_strdup(&run->cli->arena, slug);
        load->service = arena_strdup(&run->cli->arena, service);
        load->backend_us = json_integer_value(json_object_get(used, "backend_us"));
        sum += load->backend_us;
    }
    run->request.loads = loads;
    return sum;
}

/* Where there are no figures, sizes stand in. */
static void ask_load(struct rebalancing *run)
{
    json_t *answer = NULL;
    struct error why = {0};
    const char *lacking = NULL;
    int result = status_socket_ask(run->context.config.status_socket, "top", &answer, &why);
    if (result < 0)
        lacking = why.message;
    else if (!json_is_true(json_object_get(answer, "complete")))
        lacking = "the server did not answer in time";
    else if (read_load(run, answer) <= 0)
        lacking = "no tenant has used a server connection since the server's start";
    else if (json_is_true(json_object_get(answer, "left_out")))
        remark(run, "The server counts its busiest tenants one by one; the others weigh nothing.");
    if (lacking) {
        run->request.by = REBALANCE_BY_SIZE;
        run->request.load_count = 0;
        remark(run, arena_printf(&run->cli->arena,
                                 "The load of tenants is not known (%s): sizes stand in for it.",
                                 lacking));
    }
    json_decref(answer);
}

/* ---- the request ---- */

static int read_clusters(struct rebalancing *run, struct error *err)
{
    const char *text = cli_text(run->cli, "to-clusters");
    char *rest = text ? arena_strdup(&run->cli->arena, text) : NULL;
    const char **names = arena_zalloc(&run->cli->arena, CLUSTERS_MAX * sizeof(char *));
    size_t count = 0;
    while (rest) {
        char *comma = strchr(rest, ',');
        if (comma)
            *comma++ = '\0';
        if (count == CLUSTERS_MAX)
            return error_set(err, ERROR_USAGE, "--to-clusters has more than %d names",
                             CLUSTERS_MAX);
        names[count++] = rest;
        rest = comma;
    }
    run->request.to_clusters = names;
    run->request.to_cluster_count = count;
    return 0;
}

static int read_request(struct rebalancing *run, struct error *err)
{
    struct cli *cli = run->cli;
    struct match *match = NULL;
    const char *by = cli_text(cli, "by");
    run->request.service = cli_text(cli, "SERVICE");
    run->request.rules.within = (double)cli_number(cli, "within", USUAL_WITHIN_PERCENT) / 100;
    run->request.rules.max_moves = (size_t)cli_number(cli, "max-moves", USUAL_MAX_MOVES);
    for (size_t i = 0; by && rebalance_by_name(i); i++)
        if (strcmp(by, rebalance_by_name(i)) == 0)
            run->request.by = (enum rebalance_by)i;
    run->request.among = cli_text(cli, "databases-of");
    if (run->request.among && (!run->request.service || cli_text(cli, "to-clusters")))
        return error_set(err, ERROR_USAGE,
                         "--databases-of wants SERVICE, and has no --to-clusters");
    int result = match_parse(cli_text(cli, "match"), &cli->arena, &match, err);
    run->request.match = match;
    return result < 0 ? result : read_clusters(run, err);
}

static int propose(struct rebalancing *run, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    int result = context_catalog(&run->context, &catalog, err);
    if (result == 0 && run->request.by == REBALANCE_BY_LOAD)
        ask_load(run);
    if (result == 0)
        result = rebalance_propose(&run->context.job, catalog, &run->request, &run->cli->arena,
                                   &run->proposal, err);
    for (size_t i = 0; result == 0 && i < run->proposal.cluster_count; i++)
        if (!run->proposal.clusters[i].reached && !(i > 0 && run->request.among))
            remark(run, arena_printf(&run->cli->arena,
                                     "Cluster \"%s\" cannot be reached: nothing moves there, or "
                                     "from there.",
                                     run->proposal.clusters[i].name));
    return result;
}

/* ---- words ---- */

static const char *weight_text(struct rebalancing *run, int64_t weight)
{
    char size[OUTPUT_SIZE_SIZE];
    switch (run->request.by) {
    case REBALANCE_BY_TENANTS:
        return arena_printf(&run->cli->arena, "%lld tenants", (long long)weight);
    case REBALANCE_BY_LOAD:
        return arena_printf(&run->cli->arena, "%.1f s of backends", (double)weight / TIME_S);
    case REBALANCE_BY_SIZE:
    case REBALANCE_WAYS:
        break;
    }
    return arena_printf(&run->cli->arena, "%s", output_size(weight, size));
}

static struct many_item make_item(struct rebalancing *run, const struct balance_move *move)
{
    struct arena *arena = &run->cli->arena;
    const struct rebalance_placement *placement = &run->proposal.placements[move->tenant];
    const struct catalog_placement *at = &placement->at.placement;
    const struct rebalance_cluster *giver = &run->proposal.clusters[move->from];
    const struct rebalance_cluster *taker = &run->proposal.clusters[move->to];
    const char *from = rebalance_name(giver), *to = rebalance_name(taker);
    const char *where = run->request.among ? "in" : "on";
    return (struct many_item){
        .placement_id = at->id,
        .tenant = at->tenant,
        .service = at->service,
        .from = arena_printf(arena, "%s %s %s", at->isolation, where, from),
        .to = arena_printf(arena, "%s %s %s", at->isolation, where, to),
        .cluster = taker->name,
        .database = taker->database,
        .status = MANY_PLANNED,
        .reason = arena_printf(arena, "%s has %s more than %s", from,
                               weight_text(run, move->between), to),
        .bytes = placement->bytes,
    };
}

static void make_items(struct rebalancing *run)
{
    struct move_spec how = move_options_read(run->cli);
    how.wal_limit = move_options_wal_limit(run->cli);
    how.keep_us = cli_duration_us(run->cli, "keep", 0);
    if (how.pause_us == 0)
        how.pause_us = move_options_pause_us(&how);
    const struct balance_plan *plan = &run->proposal.plan;
    move_many_begin(run->cli, &run->context, &how, &run->many);
    run->many.items =
        arena_zalloc(&run->cli->arena, (plan->move_count + 1) * sizeof(*run->many.items));
    run->many.count = plan->move_count;
    for (size_t i = 0; i < plan->move_count; i++)
        run->many.items[i] = make_item(run, &plan->moves[i]);
}

/* ---- what it prints ---- */

static json_t *cluster_record(struct rebalancing *run, size_t at, bool for_people)
{
    const struct rebalance_cluster *cluster = &run->proposal.clusters[at];
    const struct balance_plan *plan = &run->proposal.plan;
    json_t *record = json_object();
    json_object_set_new(record, "cluster", output_text(cluster->name));
    json_object_set_new(record, "database", output_text(cluster->database));
    json_object_set_new(record, "reached", json_boolean(cluster->reached));
    json_object_set_new(record, "tenants", json_integer((json_int_t)cluster->tenants));
    json_object_set_new(record, "bytes",
                        cluster->reached ? json_integer(cluster->bytes) : json_null());
    json_object_set_new(record, "backend_us",
                        run->request.by == REBALANCE_BY_LOAD ? json_integer(cluster->backend_us)
                                                             : json_null());
    json_object_set_new(record, "before",
                        for_people ? output_text(weight_text(run, plan->before[at]))
                                   : json_integer(plan->before[at]));
    json_object_set_new(record, "after",
                        for_people ? output_text(weight_text(run, plan->after[at]))
                                   : json_integer(plan->after[at]));
    return record;
}

static json_t *cluster_list(struct rebalancing *run, bool for_people)
{
    json_t *list = json_array();
    for (size_t i = 0; i < run->proposal.cluster_count; i++)
        json_array_append_new(list, cluster_record(run, i, for_people));
    return list;
}

static void print_moves(const struct rebalancing *run)
{
    json_t *records = json_array();
    for (size_t i = 0; i < run->many.count; i++) {
        const struct many_item *item = &run->many.items[i];
        const char *why =
            item->why ? arena_printf(&run->cli->arena, "it would fail: %s", item->why->message)
                      : item->reason;
        json_array_append_new(
            records, json_pack("{s:s, s:s, s:s, s:s, s:I, s:o}", "tenant", item->tenant, "service",
                               item->service, "from", item->from, "to", item->to, "bytes",
                               (json_int_t)item->bytes, "reason", output_text(why)));
    }
    output_table(move_fields, records);
}

static void print_proposal(struct rebalancing *run)
{
    const struct balance_plan *plan = &run->proposal.plan;
    const char *what = run->request.among ? "databases" : "clusters";
    if (run->many.count > 0) {
        print_moves(run);
        putchar('\n');
    }
    output_table(run->request.among ? database_fields : cluster_fields, cluster_list(run, true));
    if (run->many.count > 0)
        printf("\nBetween the %s with most and least: %.0f %% of the mean, and %.0f %% "
               "when these have moved.\n",
               what, plan->spread_before * 100, plan->spread_after * 100);
    else
        printf("\nBetween the %s with most and least: %.0f %% of the mean. No move that may "
               "be made would make them more even.\n",
               what, plan->spread_before * 100);
}

static void print_record(struct rebalancing *run)
{
    json_t *record = json_object();
    json_object_set_new(record, "service", output_text(run->request.service));
    json_object_set_new(record, "by", output_text(rebalance_by_name(run->request.by)));
    json_object_set_new(record, "dry_run", json_boolean(run->dry_run));
    json_object_set(record, "remarks", run->remarks);
    json_object_set_new(record, "spread_before", json_real(run->proposal.plan.spread_before));
    json_object_set_new(record, "spread_after", json_real(run->proposal.plan.spread_after));
    json_object_set_new(record, "clusters", cluster_list(run, false));
    move_many_add_figures(&run->many, record);
    output_record(run->cli, record);
}

/* ---- the run ---- */

static int carry_out(struct rebalancing *run, struct error *err)
{
    bool is_over = run->dry_run || run->many.count == 0;
    int result = 0;
    if (!run->cli->json)
        print_proposal(run);
    run->many.shown = true;
    if (!is_over)
        result = move_many_carry_out(&run->many, &is_over, err);
    if (is_over && run->cli->json)
        print_record(run);
    else if (is_over && run->many.count > 0)
        move_many_print_summary(&run->many);
    return result;
}

static int rebalance(struct rebalancing *run, struct error *err)
{
    int result = read_request(run, err);
    if (result == 0)
        result = context_open(run->cli, &run->context, err);
    if (result == 0)
        result = propose(run, err);
    if (result < 0)
        return result;
    make_items(run);
    result = move_many_look(&run->many, err);
    return result < 0 ? result : carry_out(run, err);
}

static int run(struct cli *cli, struct error *err)
{
    struct rebalancing run = {
        .cli = cli, .remarks = json_array(), .dry_run = cli_flag(cli, "dry-run")};
    int result = rebalance(&run, err);
    json_decref(run.remarks);
    context_close(&run.context);
    return result;
}

static const char *const examples[] = {
    "reeve rebalance --dry-run", "reeve rebalance orders --databases-of c1",
    "reeve rebalance orders --by load --max-moves 5",
    "reeve rebalance orders --to-clusters c3,c4 --parallel 4 --finish --yes", NULL};

static const struct cli_command commands[] = {
    {.summary = "Even the clusters out: propose which tenants should move, and move them",
     .description =
         "Looks at every cluster and proposes few moves, the largest first, each from the cluster "
         "with most to the one with least. Each tenant keeps its isolation. With --databases-of "
         "the same is done among the "
         "shared databases that the service has on one cluster. What is held, "
         "suspended or has an open move stays, and counts where it is. Shows the proposal, asks, "
         "and then moves the tenants as \"reeve move --match\" does.",
     .arguments = arguments,
     .options = options,
     .fields = fields,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_rebalance = {
    .name = "rebalance", .summary = "Even the clusters out", .commands = commands};

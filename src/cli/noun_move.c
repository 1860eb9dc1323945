#include "cli/nouns.h"

#include "base/time.h"
#include "catalog/move.h"
#include "catalog/tenant.h"
#include "cli/context.h"
#include "cli/move_many.h"
#include "cli/move_options.h"
#include "move/move.h"

static const struct cli_parameter placement_arguments[] = {
    {.name = "SLUG", .required = true, .kind = CLI_TEXT, .help = "the tenant"},
    {.name = "SERVICE", .required = true, .kind = CLI_TEXT, .help = "the service"},
    {0},
};

static const struct cli_parameter move_arguments[] = {
    {.name = "SLUG", .kind = CLI_TEXT, .help = "the tenant; with --match not given"},
    {.name = "SERVICE", .kind = CLI_TEXT, .help = "the service; with --match: or all of them"},
    {0},
};

static const struct cli_parameter move_options[] = {
    {.name = "to",
     .value = "ISOLATION",
     .kind = CLI_CHOICE,
     .choice = cli_isolation_choice,
     .help = "the new isolation; without it: as it is"},
    {.name = "cluster",
     .value = "NAME",
     .kind = CLI_TEXT,
     .help = "the new cluster; without it: as it is"},
    {.name = "database",
     .value = "NAME",
     .kind = CLI_TEXT,
     .help = "the service's shared database there, which is made if it is not there (row, schema); "
             "without it: as it is, or the default one"},
    {.name = "offline", .kind = CLI_FLAG, .help = "copy while the tenant waits"},
    {.name = "dry-run", .kind = CLI_FLAG, .help = "say what would be done and change nothing"},
    MOVE_KEEP_OPTIONS,
    MOVE_COPY_OPTIONS,
    MOVE_MATCH_OPTION,
    MOVE_MANY_OPTIONS,
    {0},
};

static const struct cli_parameter revert_options[] = {
    {.name = "offline",
     .kind = CLI_FLAG,
     .help = "copy everything back while the tenant waits, instead of what was written since"},
    {.name = "anyway",
     .kind = CLI_FLAG,
     .help = "also where the new place was not found to be as the old one: what that has is lost"},
    MOVE_COPY_OPTIONS,
    {0},
};

static const struct cli_parameter finish_options[] = {
    {.name = "abandon",
     .kind = CLI_FLAG,
     .help = "leave what is on the server of the old place, as it is gone for good"},
    {.name = "anyway",
     .kind = CLI_FLAG,
     .help = "also where the new place was not found to be as the old one"},
    {0},
};

static const struct cli_parameter end_options[] = {
    {.name = "abandon",
     .kind = CLI_FLAG,
     .help = "leave what is on the server of the other place, as it is gone for good"},
    {0},
};

static const struct cli_parameter status_arguments[] = {
    {.name = "SLUG", .kind = CLI_TEXT, .help = "the tenant; without it: all"},
    {0},
};

static const struct cli_parameter status_options[] = {
    {.name = "all", .kind = CLI_FLAG, .help = "those that are over as well"},
    {0},
};

static const struct output_field fields[] = {
    {.key = "tenant", .title = "TENANT", .kind = OUTPUT_TEXT, .help = "the tenant's slug"},
    {.key = "service", .title = "SERVICE", .kind = OUTPUT_TEXT, .help = "the service"},
    {.key = "phase",
     .title = "PHASE",
     .kind = OUTPUT_TEXT,
     .help =
         "preparing, copying, catching up, verifying, moved (the old place is kept), finishing, "
         "reverting, aborting; finished, reverted, aborted"},
    {.key = "from", .title = "FROM", .kind = OUTPUT_TEXT, .help = "isolation and cluster before"},
    {.key = "to",
     .title = "TO",
     .kind = OUTPUT_TEXT,
     .help = "isolation and cluster of the new place"},
    {.key = "from_database",
     .kind = OUTPUT_TEXT,
     .help = "the database before; null: an older Reeve has begun the move"},
    {.key = "to_database", .kind = OUTPUT_TEXT, .help = "the database of the new place, likewise"},
    {.key = "tables", .kind = OUTPUT_NUMBER, .help = "tables that are copied"},
    {.key = "rows", .title = "ROWS", .kind = OUTPUT_NUMBER, .help = "rows that were copied"},
    {.key = "bytes", .title = "BYTES", .kind = OUTPUT_NUMBER, .help = "bytes that were copied"},
    {.key = "bytes_estimated",
     .kind = OUTPUT_NUMBER,
     .help = "bytes of the tenant's tables, as they were planned"},
    {.key = "rows_estimated", .kind = OUTPUT_NUMBER, .help = "rows, likewise"},
    {.key = "lag_bytes",
     .title = "LAG",
     .kind = OUTPUT_NUMBER,
     .help = "bytes of WAL of the tenant's server that were not applied at the other place yet; "
             "null: no stream is read"},
    {.key = "left_s",
     .title = "LEFT-S",
     .kind = OUTPUT_NUMBER,
     .help = "seconds that copying will take still, about; null: it does not copy"},
    {.key = "offline",
     .kind = OUTPUT_BOOLEAN,
     .help = "whether the tenant waits while it is copied, and going back copies as well"},
    {.key = "waiting",
     .kind = OUTPUT_BOOLEAN,
     .help = "whether the tenant's transactions wait now"},
    {.key = "pause_ms",
     .title = "PAUSE-MS",
     .kind = OUTPUT_NUMBER,
     .help = "for how long they have waited at a time, at most; a revert's once it has let them; "
             "null: they have not, or wait for the first time now"},
    {.key = "pauses",
     .kind = OUTPUT_NUMBER,
     .help = "how often they have waited: a cutover that takes too long is tried again"},
    {.key = "started_at", .title = "STARTED", .kind = OUTPUT_TIME, .help = "when it began"},
    {.key = "ended_at", .kind = OUTPUT_TIME, .help = "when it was over; null: it is not"},
    {.key = "error",
     .title = "ERROR",
     .kind = OUTPUT_TEXT,
     .help = "why it was undone; null: it was not"},
    {0},
};

static const struct output_field plan_fields[] = {
    {.key = "tenant", .title = "TENANT", .kind = OUTPUT_TEXT, .help = "the tenant's slug"},
    {.key = "service", .title = "SERVICE", .kind = OUTPUT_TEXT, .help = "the service"},
    {.key = "dry_run", .kind = OUTPUT_BOOLEAN, .help = "whether nothing was to be changed"},
    {.key = "from", .title = "FROM", .kind = OUTPUT_TEXT, .help = "the old place"},
    {.key = "to", .title = "TO", .kind = OUTPUT_TEXT, .help = "the new place"},
    {.key = "makes_database",
     .kind = OUTPUT_BOOLEAN,
     .help = "whether a shared database is made for it"},
    {.key = "tables",
     .title = "TABLES",
     .kind = OUTPUT_NUMBER,
     .help = "tables with the tenant's data"},
    {.key = "rows",
     .title = "ROWS",
     .kind = OUTPUT_NUMBER,
     .help = "their rows, as far as is known"},
    {.key = "bytes", .title = "BYTES", .kind = OUTPUT_NUMBER, .help = "and bytes"},
    {.key = "pause_ms",
     .title = "PAUSE-MS",
     .kind = OUTPUT_NUMBER,
     .help = "--dry-run: for how long the tenant would wait, about; else: for how long it has at "
             "a time, at most"},
    {.key = "copy_s",
     .title = "COPY-S",
     .kind = OUTPUT_NUMBER,
     .help = "--dry-run: seconds that copying would take, about; else null"},
    {.key = "needs",
     .kind = OUTPUT_LIST,
     .help = "what it takes of the clusters, an object each: cluster, slots and connections while "
             "it moves, slots_left, bytes of disk at most"},
    {.key = "problems",
     .kind = OUTPUT_LIST,
     .help = "what the move would fail for, an object each: what, remedy (or null)"},
    {.key = "remarks", .kind = OUTPUT_LIST, .help = "what it would wait for, likewise"},
    MOVE_MANY_FIELDS("--match: "),
    {0},
};

/* ---- what it prints ---- */

/* `database` NULL: it goes without saying. */
static json_t *place_text(struct cli *cli, const char *isolation, const char *database,
                          const char *cluster)
{
    return output_text(
        database ? arena_printf(&cli->arena, "%s in %s on %s", isolation, database, cluster)
                 : arena_printf(&cli->arena, "%s on %s", isolation, cluster));
}

/* NULL: an older Reeve has begun the move. */
static const char *known(const char *database)
{
    return database && *database ? database : NULL;
}

/* Nothing else tells the two places apart. */
static bool is_between_databases(const struct catalog_move *move)
{
    return known(move->from_database) && known(move->to_database) &&
           strcmp(move->from_isolation, move->to_isolation) == 0 &&
           strcmp(move->from_cluster, move->to_cluster) == 0;
}

/* Rows are counted when a table or a part of one is done; until the first is, bytes tell. */
static double part_done(const struct catalog_move *move)
{
    return move->rows_done > 0 ? (double)move->rows_done / (double)move->rows_total
                               : (double)move->bytes_done / (double)move->bytes_total;
}

static json_t *time_left(const struct catalog_move *move)
{
    bool back = move->phase == CATALOG_MOVE_REVERTING && move->flipped && move->offline;
    if ((move->phase != CATALOG_MOVE_COPYING && !back) || move->bytes_done == 0)
        return json_null();
    double took_s = (double)(time_unix_us() - move->phase_unix_us) / (double)TIME_S;
    double part = part_done(move);
    return json_integer(part >= 1 ? 0 : (json_int_t)(took_s / part * (1 - part)));
}

static json_t *move_record(struct cli *cli, const struct catalog_move *move)
{
    json_t *record = json_object();
    json_object_set_new(record, "tenant", output_text(move->place.tenant));
    json_object_set_new(record, "service", output_text(move->place.service));
    json_object_set_new(record, "phase", output_text(catalog_move_phase_name(move->phase)));
    bool named = is_between_databases(move);
    json_object_set_new(record, "from",
                        place_text(cli, move->from_isolation, named ? move->from_database : NULL,
                                   move->from_cluster));
    json_object_set_new(
        record, "to",
        place_text(cli, move->to_isolation, named ? move->to_database : NULL, move->to_cluster));
    json_object_set_new(record, "from_database", output_text(known(move->from_database)));
    json_object_set_new(record, "to_database", output_text(known(move->to_database)));
    json_object_set_new(record, "tables", json_integer(move->tables));
    json_object_set_new(record, "rows", json_integer(move->rows_done));
    json_object_set_new(record, "bytes", json_integer(move->bytes_done));
    json_object_set_new(record, "bytes_estimated", json_integer(move->bytes_total));
    json_object_set_new(record, "rows_estimated", json_integer(move->rows_total));
    json_object_set_new(record, "lag_bytes",
                        move->lag_bytes < 0 ? json_null() : json_integer(move->lag_bytes));
    json_object_set_new(record, "left_s", time_left(move));
    json_object_set_new(record, "offline", json_boolean(move->offline));
    json_object_set_new(record, "waiting", json_boolean(move->held_unix_us != 0));
    json_object_set_new(record, "pause_ms",
                        move->pause_us > 0 ? json_integer(move->pause_us / TIME_MS) : json_null());
    json_object_set_new(record, "pauses", json_integer(move->pauses));
    json_object_set_new(record, "started_at", output_time_us(move->started_unix_us));
    json_object_set_new(record, "ended_at", output_time_us(move->ended_unix_us));
    json_object_set_new(record, "error",
                        move->error && *move->error ? output_text(move->error) : json_null());
    return record;
}

static int print_moves(struct cli *cli, struct catalog *catalog,
                       const struct catalog_move_filter *filter, struct error *err)
{
    struct catalog_move *moves = NULL;
    size_t count = 0;
    int result = catalog_move_list(catalog, &cli->arena, filter, &moves, &count, err);
    if (result < 0)
        return result;
    json_t *records = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(records, move_record(cli, &moves[i]));
    output_list(cli, records,
                filter->open ? "No tenant has two places." : "No tenant was moved yet.");
    return 0;
}

static int run_status(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant tenant = {0};
    const char *slug = cli_text(cli, "SLUG");
    int result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0 && slug)
        result = catalog_tenant_find(catalog, &cli->arena, slug, &tenant, err);
    const struct catalog_move_filter filter = {.tenant_id = tenant.id,
                                               .open = !cli_flag(cli, "all")};
    return result < 0 ? result : print_moves(cli, catalog, &filter, err);
}

/* ---- moving ---- */

static json_t *problem_list(const struct move_problem *problems, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *problem = json_object();
        json_object_set_new(problem, "what", output_text(problems[i].what));
        json_object_set_new(problem, "remedy",
                            problems[i].remedy ? output_text(problems[i].remedy) : json_null());
        json_array_append_new(list, problem);
    }
    return list;
}

static json_t *need_list(const struct move_plan *plan)
{
    json_t *list = json_array();
    for (size_t i = 0; i < array_size(plan->needs) && plan->needs[i].cluster; i++) {
        const struct move_need *need = &plan->needs[i];
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:I, s:I, s:I}", "cluster", output_text(need->cluster),
                            "slots", (json_int_t)need->slots, "slots_left",
                            (json_int_t)need->slots_left, "connections",
                            (json_int_t)need->connections, "bytes", (json_int_t)need->bytes));
    }
    return list;
}

/* `done` NULL: it was to be planned alone. */
static json_t *plan_record(const struct move_spec *spec, const struct move_plan *plan,
                           const struct catalog_move *done)
{
    json_t *record = json_object();
    json_object_set_new(record, "tenant", output_text(spec->tenant));
    json_object_set_new(record, "service", output_text(spec->service));
    json_object_set_new(record, "dry_run", json_boolean(!done));
    json_object_set_new(record, "from", output_text(plan->from));
    json_object_set_new(record, "to", output_text(plan->to));
    json_object_set_new(record, "makes_database", json_boolean(plan->makes_database));
    json_object_set_new(record, "tables", json_integer(plan->tables));
    json_object_set_new(record, "rows", json_integer(done ? done->rows_done : plan->rows));
    json_object_set_new(record, "bytes", json_integer(done ? done->bytes_done : plan->bytes));
    json_object_set_new(record, "pause_ms",
                        json_integer((done ? done->pause_us : plan->pause_us) / TIME_MS));
    json_object_set_new(record, "copy_s",
                        done ? json_null() : json_integer(plan->copy_us / TIME_S));
    json_object_set_new(record, "needs", need_list(plan));
    json_object_set_new(record, "problems", problem_list(plan->problems, plan->problem_count));
    json_object_set_new(record, "remarks", problem_list(plan->remarks, plan->remark_count));
    return record;
}

static void tell(const struct cli *cli, const char *prefix, const struct move_problem *problems,
                 size_t count)
{
    for (size_t i = 0; !cli->json && i < count; i++)
        output_note("%s%s%s%s", prefix, problems[i].what, problems[i].remedy ? "; " : "",
                    problems[i].remedy ? problems[i].remedy : "");
}

/* The last move of the placement. */
static int find_last(struct cli *cli, struct catalog *catalog, const struct move_spec *spec,
                     struct catalog_move *ret, struct error *err)
{
    struct catalog_placement placement = {0};
    struct catalog_move *moves = NULL;
    size_t count = 0;
    int result =
        catalog_placement_find(catalog, &cli->arena, spec->tenant, spec->service, &placement, err);
    const struct catalog_move_filter filter = {.placement_id = result < 0 ? 0 : placement.id};
    if (result == 0)
        result = catalog_move_list(catalog, &cli->arena, &filter, &moves, &count, err);
    if (result == 0 && count == 0)
        result = error_set(err, ERROR_NOT_FOUND, "the placement has gone meanwhile");
    if (result == 0)
        *ret = moves[count - 1];
    return result;
}

static int carry_out(struct cli *cli, const struct context *context, const struct move_spec *spec,
                     const struct move_plan *plan, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_move move = {0};
    int result = move_start(&context->job, spec, err);
    if (result == 0)
        result = catalog_open(context->job.control, &catalog, err);
    if (result == 0)
        result = find_last(cli, catalog, spec, &move, err);
    if (result < 0)
        return result;
    output_done(cli, plan_record(spec, plan, &move),
                "Tenant \"%s\" is at %s now; its transactions waited for %.3f s. The old place is "
                "kept: \"reeve move finish %s %s\" drops it, \"reeve move revert\" goes back.",
                spec->tenant, plan->to, (double)move.pause_us / (double)TIME_S, spec->tenant,
                spec->service);
    return 0;
}

static int run_move(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    struct move_spec spec = move_options_read(cli);
    spec.tenant = cli_text(cli, "SLUG");
    spec.service = cli_text(cli, "SERVICE");
    spec.isolation = cli_text(cli, "to");
    spec.cluster = cli_text(cli, "cluster");
    spec.wal_limit = move_options_wal_limit(cli);
    spec.keep_us = cli_duration_us(cli, "keep", 0);
    if (spec.pause_us == 0)
        spec.pause_us = move_options_pause_us(&spec);
    struct move_plan plan = {0};
    spec.database = cli_text(cli, "database");
    if (!spec.isolation && !spec.cluster && !spec.database)
        return error_set(err, ERROR_USAGE, "--to, --cluster, --database or several say where to");
    if (move_many_is_meant(cli))
        return move_many_run(cli, &spec, err);
    int result = move_many_check_one(cli, err);
    if (result == 0)
        result = context_open(cli, &context, err);
    if (result == 0)
        result = move_plan(&context.job, &spec, &cli->arena, &plan, err);
    if (result < 0)
        return result;
    bool is_dry = cli_flag(cli, "dry-run");
    if (is_dry) {
        output_record(cli, plan_record(&spec, &plan, NULL));
        tell(cli, "it would fail: ", plan.problems, plan.problem_count);
    }
    if (!cli->json && plan.makes_database)
        output_note("the database is not there yet, and %s made", is_dry ? "would be" : "is");
    tell(cli, "", plan.remarks, plan.remark_count);
    return is_dry ? 0 : carry_out(cli, &context, &spec, &plan, err);
}

/* ---- behind a move ---- */

static int print_last(struct cli *cli, const struct context *context, const struct move_spec *spec,
                      const char *what, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_move move = {0};
    int result = catalog_open(context->job.control, &catalog, err);
    if (result == 0)
        result = find_last(cli, catalog, spec, &move, err);
    if (result < 0)
        return result;
    output_done(cli, move_record(cli, &move), "Tenant \"%s\": %s.", spec->tenant, what);
    return 0;
}

static int run_finish(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    const struct move_spec spec = {.tenant = cli_text(cli, "SLUG"),
                                   .service = cli_text(cli, "SERVICE")};
    int result = context_open(cli, &context, err);
    if (result == 0)
        result = move_finish(&context.job, spec.tenant, spec.service, cli_flag(cli, "abandon"),
                             cli_flag(cli, "anyway"), err);
    return result < 0 ? result : print_last(cli, &context, &spec, "its old place is gone", err);
}

static int run_revert(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    struct move_spec spec = move_options_read(cli);
    spec.tenant = cli_text(cli, "SLUG");
    spec.service = cli_text(cli, "SERVICE");
    spec.anyway = cli_flag(cli, "anyway");
    int result = context_open(cli, &context, err);
    if (result == 0)
        result = move_revert(&context.job, &spec, err);
    return result < 0 ? result : print_last(cli, &context, &spec, "it is at its old place", err);
}

static int run_abort(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    const struct move_spec spec = {.tenant = cli_text(cli, "SLUG"),
                                   .service = cli_text(cli, "SERVICE")};
    int result = context_open(cli, &context, err);
    if (result == 0)
        result = move_abort(&context.job, spec.tenant, spec.service, cli_flag(cli, "abandon"), err);
    return result < 0 ? result : print_last(cli, &context, &spec, "the move is undone", err);
}

/* ---- the table ---- */

static const char *const move_examples[] = {
    "reeve move acme orders --to database --dry-run",
    "reeve move acme orders --to database --pause 500ms --rate 20MB",
    "reeve move acme orders --cluster c2 --to schema --offline",
    "reeve move --match plan=enterprise orders --to database --parallel 4 --dry-run", NULL};

static const struct cli_command commands[] = {
    {.verb = "status",
     .summary = "Moves that are under way, and tenants that have two places",
     .arguments = status_arguments,
     .options = status_options,
     .fields = fields,
     .list = true,
     .run = run_status},
    {.verb = "finish",
     .summary = "Drop a tenant's old place, with the data that it had",
     .arguments = placement_arguments,
     .options = finish_options,
     .fields = fields,
     .run = run_finish},
    {.verb = "revert",
     .summary = "Take a tenant back to its old place, with what it has written since",
     .description =
         "Along the change stream, which was compared first; or, with --offline and where "
         "there is no stream, by copying while the tenant waits. Then the new place is "
         "dropped.",
     .arguments = placement_arguments,
     .options = revert_options,
     .fields = fields,
     .run = run_revert},
    {.verb = "abort",
     .summary = "Give a move up that is under way",
     .description = "Returns when it is undone: the tenant is where it was, and nothing of the new "
                    "place is left.",
     .arguments = placement_arguments,
     .options = end_options,
     .fields = fields,
     .run = run_abort},
    {.summary = "Move a tenant to another isolation, another cluster or both",
     .description =
         "The tenant's application works on while its data is copied and what it writes meanwhile "
         "follows along a change stream; then its transactions wait for a moment, none fails, and "
         "it "
         "goes on at the new place, which is compared with the old one. A difference takes it "
         "back. "
         "With --offline (no logical decoding is needed) they wait while all of it is copied. "
         "Afterwards the old place is closed and kept, until \"reeve move finish\". Its "
         "application, "
         "tokens and connection string stay as they are. A move that was interrupted is gone on "
         "with "
         "by \"reeve serve\", or undone with --offline. With --match several tenants move, so many "
         "at once. (A tenant that is called as one of the "
         "verbs: "
         "\"reeve move -- status orders\".)",
     .arguments = move_arguments,
     .options = move_options,
     .fields = plan_fields,
     .examples = move_examples,
     .run = run_move},
    {0},
};

const struct cli_noun cli_noun_move = {.name = "move",
                                       .summary = "Move a tenant to another isolation or cluster",
                                       .commands = commands};

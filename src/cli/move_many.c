#include "cli/move_many.h"

#include <unistd.h>

#include "base/time.h"
#include "catalog/cluster.h"
#include "cli/prompt.h"
#include "fleet/select.h"

enum { USUAL_PARALLEL = 2, USUAL_MAX_FAILURES = 3, LINES_SHOWN = 40 };

static const struct output_field table_fields[] = {
    {.key = "tenant", .title = "TENANT", .kind = OUTPUT_TEXT},
    {.key = "service", .title = "SERVICE", .kind = OUTPUT_TEXT},
    {.key = "from", .title = "FROM", .kind = OUTPUT_TEXT},
    {.key = "to", .title = "TO", .kind = OUTPUT_TEXT},
    {.key = "rows", .title = "ROWS", .kind = OUTPUT_NUMBER},
    {.key = "bytes", .title = "BYTES", .kind = OUTPUT_NUMBER},
    {.key = "status", .title = "STATUS", .kind = OUTPUT_TEXT},
    {.key = "note", .title = "COMMAND, OR WHY NOT", .kind = OUTPUT_TEXT},
    {0},
};

/* ---- records ---- */

/* What moves this one alone. Options come first, as a tenant may be called as a verb is. */
static const char *command_of(const struct move_many *many, const struct many_item *item)
{
    struct arena *arena = &many->cli->arena;
    const char *database = item->database ? item->database : many->options.how.database;
    return arena_printf(arena, "reeve move%s%s%s%s%s%s%s %s %s", item->isolation ? " --to " : "",
                        item->isolation ? item->isolation : "", item->cluster ? " --cluster " : "",
                        item->cluster ? item->cluster : "", database ? " --database " : "",
                        database ? database : "", many->options.how.offline ? " --offline" : "",
                        item->tenant, item->service);
}

static json_t *error_object(const struct error *why)
{
    if (!why)
        return json_null();
    return json_pack("{s:s, s:o, s:o}", "sqlstate", why->sqlstate, "message",
                     output_text(why->message), "hint",
                     why->hint[0] ? output_text(why->hint) : json_null());
}

static json_t *item_record(const struct move_many *many, const struct many_item *item)
{
    json_t *record = json_object();
    bool is_known = item->status != MANY_SKIPPED;
    json_object_set_new(record, "tenant", output_text(item->tenant));
    json_object_set_new(record, "service", output_text(item->service));
    json_object_set_new(record, "status", output_text(many_status_name(item->status)));
    json_object_set_new(record, "from", output_text(item->from));
    json_object_set_new(record, "to", output_text(item->to));
    json_object_set_new(record, "tables", is_known ? json_integer(item->tables) : json_null());
    json_object_set_new(record, "rows", is_known ? json_integer(item->rows) : json_null());
    json_object_set_new(record, "bytes", is_known ? json_integer(item->bytes) : json_null());
    json_object_set_new(record, "pause_ms",
                        is_known ? json_integer(item->pause_us / TIME_MS) : json_null());
    json_object_set_new(record, "finished", json_boolean(item->finished));
    json_object_set_new(record, "command",
                        is_known ? output_text(command_of(many, item)) : json_null());
    json_object_set_new(record, "reason", output_text(item->reason));
    json_object_set_new(record, "error", error_object(item->why));
    return record;
}

void move_many_add_figures(const struct move_many *many, json_t *record)
{
    static const char *const keys[] = {
        [MANY_PLANNED] = "planned",     [MANY_SKIPPED] = "skipped",
        [MANY_REFUSED] = "refused",     [MANY_MOVED] = "moved",
        [MANY_FAILED] = "failed",       [MANY_INTERRUPTED] = "interrupted",
        [MANY_NOT_BEGUN] = "not_begun",
    };
    struct many_summary summary;
    many_summarize(many->items, many->count, &summary);
    json_object_set_new(record, "count", json_integer((json_int_t)many->count));
    for (size_t i = 0; i < array_size(keys); i++)
        json_object_set_new(record, keys[i], json_integer((json_int_t)summary.of[i]));
    json_t *moves = json_array();
    for (size_t i = 0; i < many->count; i++)
        json_array_append_new(moves, item_record(many, &many->items[i]));
    json_object_set_new(record, "moves", moves);
}

/* ---- for people ---- */

void move_many_print_plan(const struct move_many *many, size_t most)
{
    json_t *records = json_array();
    size_t shown = most > 0 && many->count > most ? most : many->count;
    for (size_t i = 0; i < shown; i++) {
        const struct many_item *item = &many->items[i];
        json_t *record = item_record(many, item);
        const char *note = item->why                      ? item->why->message
                           : item->status == MANY_SKIPPED ? item->reason
                                                          : command_of(many, item);
        json_object_set_new(record, "note", output_text(note));
        json_array_append_new(records, record);
    }
    output_table(table_fields, records);
    if (shown < many->count)
        printf("... and %zu more: --dry-run shows all\n", many->count - shown);
}

void move_many_print_summary(const struct move_many *many)
{
    char size[OUTPUT_SIZE_SIZE];
    struct many_summary summary;
    many_summarize(many->items, many->count, &summary);
    const char *separator = ": ";
    printf("%zu tenants, %s", many->count, output_size(summary.bytes, size));
    for (size_t i = 0; i < MANY_STATUSES; i++) {
        if (summary.of[i] == 0)
            continue;
        printf("%s%zu %s", separator, summary.of[i], many_status_name((enum many_status)i));
        separator = ", ";
    }
    putchar('\n');
}

static void print_error(const struct error *why)
{
    fputs("    ", stdout);
    output_escaped(stdout, why->message);
    if (why->hint[0]) {
        fputs("; ", stdout);
        output_escaped(stdout, why->hint);
    }
    putchar('\n');
}

static void show_end(void *owner, const struct many_item *item)
{
    struct move_many *many = owner;
    many->ended++;
    if (many->cli->json)
        return;
    output_progress_end();
    printf("%s (%s): %s", item->tenant, item->service, many_status_name(item->status));
    if (item->status == MANY_MOVED)
        printf(", %s -> %s, waited for %.3f s", item->from, item->to,
               (double)item->pause_us / (double)TIME_S);
    putchar('\n');
    if (item->why)
        print_error(item->why);
    fflush(stdout);
}

static void show_progress(void *owner, const struct many_item *item,
                          const struct job_progress *progress)
{
    const struct move_many *many = owner;
    char text[256];
    snprintf(text, sizeof(text), "%s (%s): %s", item->tenant, item->service, progress->text);
    output_progress(many->ended + 1, many->count, text);
}

/* ---- the run ---- */

void move_many_begin(struct cli *cli, const struct context *context, const struct move_spec *how,
                     struct move_many *ret)
{
    *ret = (struct move_many){
        .cli = cli,
        .context = context,
        .options = {.how = *how,
                    .parallel = (int)cli_number(cli, "parallel", USUAL_PARALLEL),
                    .max_failures = (size_t)cli_number(cli, "max-failures", USUAL_MAX_FAILURES),
                    .finish = cli_flag(cli, "finish"),
                    .ended = show_end,
                    .progress = show_progress},
    };
}

int move_many_look(struct move_many *many, struct error *err)
{
    many->options.owner = many;
    return many_look(&many->context->job, &many->options, many->items, many->count,
                     &many->cli->arena, err);
}

static int confirm(const struct move_many *many, size_t planned, int64_t bytes, struct error *err)
{
    struct arena *arena = &many->cli->arena;
    char size[OUTPUT_SIZE_SIZE];
    const char *what = arena_printf(
        arena, "This moves %zu tenants, %s, %d at a time; each waits for %lld s at most. %s",
        planned, output_size(bytes, size), many->options.parallel,
        (long long)(many->options.how.pause_us / TIME_S),
        many->options.finish            ? "Their old places are dropped at once."
        : many->options.how.keep_us > 0 ? "Their old places are kept for as long as --keep says."
                                        : "Their old places are kept until \"reeve move finish\".");
    if (!many->shown && !many->cli->json && isatty(STDIN_FILENO) && !cli_flag(many->cli, "yes"))
        move_many_print_plan(many, LINES_SHOWN);
    fflush(stdout);
    return prompt_confirm(many->cli, what, arena_printf(arena, "move %zu", planned), err);
}

int move_many_carry_out(struct move_many *many, bool *ret_begun, struct error *err)
{
    struct many_summary summary;
    many_summarize(many->items, many->count, &summary);
    many->options.owner = many;
    int result = 0;
    if (summary.of[MANY_PLANNED] > 0)
        result = confirm(many, summary.of[MANY_PLANNED], summary.bytes, err);
    *ret_begun = result == 0;
    return result < 0 ? result
                      : many_run(&many->context->job, &many->options, many->items, many->count,
                                 &many->cli->arena, err);
}

/* ---- reeve move --match ---- */

bool move_many_is_meant(const struct cli *cli)
{
    return cli_text(cli, "match") != NULL;
}

int move_many_check_one(const struct cli *cli, struct error *err)
{
    static const char *const needed[] = {"SLUG", "SERVICE"};
    static const char *const others[] = {"parallel", "max-failures", "finish", "yes"};
    for (size_t i = 0; i < array_size(needed); i++) {
        if (cli_text(cli, needed[i]))
            continue;
        error_set(err, ERROR_USAGE, "%s is missing", needed[i]);
        error_hint(err, "see \"reeve move --help\"; --match is for several tenants");
        return -ERROR_USAGE;
    }
    for (size_t i = 0; i < array_size(others); i++)
        if (cli_flag(cli, others[i]))
            return error_set(err, ERROR_USAGE, "--%s is for several tenants: --match", others[i]);
    return 0;
}

/* With --match there is no SLUG: what stands in its place is the service. */
static int read_filter(struct cli *cli, struct fleet_filter *ret, struct error *err)
{
    struct match *match = NULL;
    if (cli_text(cli, "SERVICE"))
        return error_set(err, ERROR_USAGE, "--match says which tenants: give the service alone");
    int result = match_parse(cli_text(cli, "match"), &cli->arena, &match, err);
    if (result == 0)
        *ret = (struct fleet_filter){.service = cli_text(cli, "SLUG"), .match = match};
    return result;
}

static const char *describe(struct cli *cli, const char *isolation, const char *database,
                            const char *cluster)
{
    return arena_printf(&cli->arena, "%s%s%s on %s", isolation, database ? " in " : "",
                        database ? database : "", cluster);
}

static struct many_item make_item(struct cli *cli, const struct fleet_placement *one,
                                  const struct move_spec *how)
{
    const struct catalog_placement *at = &one->placement;
    const char *skip = fleet_skip(one, how->isolation, how->cluster, how->database, &cli->arena);
    return (struct many_item){
        .placement_id = at->id,
        .tenant = at->tenant,
        .service = at->service,
        .from = describe(cli, at->isolation, how->database ? at->database : NULL, at->cluster),
        .to = describe(cli, how->isolation ? how->isolation : at->isolation, how->database,
                       how->cluster ? how->cluster : at->cluster),
        .isolation = how->isolation,
        .cluster = how->cluster,
        .status = skip ? MANY_SKIPPED : MANY_PLANNED,
        .reason = skip,
    };
}

static int select_items(struct move_many *many, const struct fleet_filter *filter,
                        struct error *err)
{
    struct cli *cli = many->cli;
    const struct move_spec *how = &many->options.how;
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_cluster cluster;
    struct fleet_placement *placements = NULL;
    int result = context_catalog(many->context, &catalog, err);
    if (result == 0 && how->cluster)
        result = catalog_cluster_find(catalog, &cli->arena, how->cluster, &cluster, err);
    if (result == 0)
        result = fleet_select(catalog, filter, &cli->arena, &placements, &many->count, err);
    if (result == 0 && many->count == 0)
        result = error_set(err, ERROR_NOT_FOUND, "no tenant%s%s is meant by what --match says",
                           filter->service ? " of service " : "",
                           filter->service ? filter->service : "");
    if (result < 0)
        return result;
    many->items = arena_zalloc(&cli->arena, many->count * sizeof(*many->items));
    for (size_t i = 0; i < many->count; i++)
        many->items[i] = make_item(cli, &placements[i], how);
    return 0;
}

static void print(const struct move_many *many, const struct fleet_filter *filter, bool dry_run)
{
    if (!many->cli->json) {
        if (dry_run)
            move_many_print_plan(many, 0);
        move_many_print_summary(many);
        return;
    }
    json_t *record = json_object();
    json_object_set_new(record, "service", output_text(filter->service));
    json_object_set_new(record, "dry_run", json_boolean(dry_run));
    move_many_add_figures(many, record);
    output_record(many->cli, record);
}

int move_many_run(struct cli *cli, const struct move_spec *how, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    struct move_many many = {0};
    struct fleet_filter filter = {0};
    bool dry_run = cli_flag(cli, "dry-run"), is_over = dry_run;
    int result = read_filter(cli, &filter, err);
    if (result == 0)
        result = context_open(cli, &context, err);
    if (result < 0)
        return result;
    move_many_begin(cli, &context, how, &many);
    result = select_items(&many, &filter, err);
    if (result == 0)
        result = move_many_look(&many, err);
    if (result == 0 && !dry_run)
        result = move_many_carry_out(&many, &is_over, err);
    if (is_over)
        print(&many, &filter, dry_run);
    return result;
}

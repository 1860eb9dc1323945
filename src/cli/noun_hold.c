#include "cli/nouns.h"

#include "base/time.h"
#include "catalog/audit_event.h"
#include "catalog/move.h"
#include "catalog/placement.h"
#include "catalog/service.h"
#include "catalog/tenant.h"
#include "cli/context.h"
#include "provision/hold.h"

static const int64_t usual_us = 60 * (int64_t)TIME_S;

static const struct cli_parameter slug_argument[] = {
    {.name = "SLUG", .required = true, .kind = CLI_TEXT, .help = "the tenant"},
    {0},
};

#define OPTION_SERVICE                                                                             \
    {                                                                                              \
        .name = "service", .value = "NAME", .kind = CLI_TEXT,                                      \
        .help = "in this service; without it: in each that it is attached to"                      \
    }

static const struct cli_parameter hold_options[] = {
    OPTION_SERVICE,
    {.name = "for",
     .value = "TIME",
     .kind = CLI_DURATION,
     .minimum = TIME_S,
     .maximum = 3600 * (int64_t)TIME_S,
     .fallback = "1m",
     .help = "for how long at most, so that nobody waits for ever for who forgot to release"},
    {.name = "wait",
     .kind = CLI_FLAG,
     .help = "until nothing of the tenant runs any more in any proxy; if that is not so when the "
             "time is over, it fails"},
    {.name = "ignore-unreachable",
     .kind = CLI_FLAG,
     .help = "with --wait: not for servers that are gone, or cut off from the control database"},
    {0},
};

static const struct cli_parameter release_options[] = {OPTION_SERVICE, {0}};

static const struct output_field fields[] = {
    {.key = "tenant", .title = "TENANT", .kind = OUTPUT_TEXT, .help = "the tenant's slug"},
    {.key = "service", .title = "SERVICE", .kind = OUTPUT_TEXT, .help = "the service"},
    {.key = "held_until",
     .title = "HELD-UNTIL",
     .kind = OUTPUT_TIME,
     .help = "when its transactions go on by themselves; null: they are not held"},
    {0},
};

/* The placements that the command is about; at least one. */
static int find(struct cli *cli, struct catalog *catalog, struct catalog_placement **ret,
                size_t *ret_count, struct error *err)
{
    struct catalog_tenant tenant = {0};
    struct catalog_service service = {0};
    const char *slug = cli_text(cli, "SLUG"), *name = cli_text(cli, "service");
    int result = catalog_tenant_find(catalog, &cli->arena, slug, &tenant, err);
    if (result == 0 && name)
        result = catalog_service_find(catalog, &cli->arena, name, &service, err);
    const struct catalog_placement_filter filter = {
        .tenant_id = tenant.id, .service_id = service.id, .state = -1};
    if (result == 0)
        result = catalog_placement_list(catalog, &cli->arena, &filter, ret, ret_count, err);
    if (result < 0)
        return result;
    if (*ret_count == 0)
        return error_set(err, ERROR_NOT_FOUND, "tenant \"%s\" is not attached to %s", slug,
                         name ? name : "any service");
    return 0;
}

static bool is_served(const struct catalog_placement *placement)
{
    return placement->state == CATALOG_PLACEMENT_READY ||
           placement->state == CATALOG_PLACEMENT_MIGRATING;
}

/* A move ends whatever hold there is when it lets the tenant go on. */
static bool is_moving(const struct catalog_move *move)
{
    return move->phase != CATALOG_MOVE_MOVED && move->phase != CATALOG_MOVE_FINISHING;
}

/* A move lets the tenant wait, and its place is closed meanwhile: nobody else ends that. */
static int refuse_while_moving(struct cli *cli, struct catalog *catalog,
                               const struct catalog_placement *placements, size_t count,
                               bool holding, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct catalog_move_filter filter = {.placement_id = placements[i].id, .open = true};
        struct catalog_move *moves = NULL;
        size_t open = 0;
        int result = catalog_move_list(catalog, &cli->arena, &filter, &moves, &open, err);
        if (result < 0)
            return result;
        if (open == 0 || (moves[0].held_unix_us == 0 && !(holding && is_moving(&moves[0]))))
            continue;
        error_set(
            err, ERROR_STATE, "tenant \"%s\" %s moved in service \"%s\"", placements[i].tenant,
            moves[0].held_unix_us == 0 ? "is being" : "waits while it is", placements[i].service);
        error_hint(err, "\"reeve move abort %s %s\" lets it go on where it was",
                   placements[i].tenant, placements[i].service);
        return -ERROR_STATE;
    }
    return 0;
}

/* hold_us 0: release. */
static int change(const struct context *context, struct catalog *catalog,
                  const struct catalog_placement *placements, size_t count, int64_t hold_us,
                  struct error *err)
{
    int result = catalog_begin(catalog, err);
    if (result < 0)
        return result;
    for (size_t i = 0; result == 0 && i < count; i++)
        result = count > 1 && !is_served(&placements[i]) ? 0
                 : hold_us > 0 ? catalog_placement_hold(catalog, placements[i].id, hold_us, -1, err)
                               : catalog_placement_release(catalog, placements[i].id, err);
    const struct catalog_audit_event event = {
        .action = hold_us > 0 ? "tenant.hold" : "tenant.release",
        .tenant_id = placements[0].tenant_id,
        .service_id = count == 1 ? placements[0].service_id : 0};
    return context_commit(context, catalog, result, &event,
                          hold_us > 0 ? json_pack("{s:I}", "for_us", (json_int_t)hold_us) : NULL,
                          err);
}

static int print(struct cli *cli, struct catalog *catalog, struct error *err)
{
    struct catalog_placement *placements = NULL;
    size_t count = 0;
    int result = find(cli, catalog, &placements, &count, err);
    if (result < 0)
        return result;
    json_t *records = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *record = json_object();
        json_object_set_new(record, "tenant", output_text(placements[i].tenant));
        json_object_set_new(record, "service", output_text(placements[i].service));
        json_object_set_new(record, "held_until", output_time_us(placements[i].held_until_unix_us));
        json_array_append_new(records, record);
    }
    output_list(cli, records, "");
    return 0;
}

/* ---- until it holds everywhere ---- */

static void tell_unreachable(const struct catalog_proxy *proxies, size_t count)
{
    for (size_t i = 0; i < count; i++)
        output_note("the server %s cannot be reached: what runs there is not known",
                    proxies[i].name);
}

static size_t held_ids(struct cli *cli, const struct catalog_placement *placements, size_t count,
                       int64_t **ret)
{
    size_t held = 0;
    *ret = arena_zalloc(&cli->arena, count * sizeof(**ret));
    for (size_t i = 0; i < count; i++) {
        if (is_served(&placements[i]))
            (*ret)[held++] = placements[i].id;
    }
    return held;
}

static int wait_drained(struct cli *cli, struct catalog *catalog,
                        const struct catalog_placement *placements, size_t count, int64_t until_us,
                        struct error *err)
{
    int64_t *ids;
    size_t held = held_ids(cli, placements, count, &ids);
    struct catalog_proxy *unreachable = NULL;
    size_t unreachable_count = 0;
    const struct hold_wait wait = {.placement_ids = ids,
                                   .count = held,
                                   .until_us = until_us,
                                   .ignore_unreachable = cli_flag(cli, "ignore-unreachable")};
    int result =
        hold_wait_drained(catalog, &cli->arena, &wait, &unreachable, &unreachable_count, err);
    if (result == 0)
        tell_unreachable(unreachable, unreachable_count);
    return result;
}

static int run(struct cli *cli, int64_t hold_us, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_placement *placements = NULL;
    size_t count = 0;
    int result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = find(cli, catalog, &placements, &count, err);
    int64_t until_us = time_monotonic_us() + hold_us;
    if (result == 0 && placements)
        result = refuse_while_moving(cli, catalog, placements, count, hold_us > 0, err);
    if (result == 0 && placements)
        result = change(&context, catalog, placements, count, hold_us, err);
    if (result == 0 && placements && hold_us > 0 && cli_flag(cli, "wait"))
        result = wait_drained(cli, catalog, placements, count, until_us, err);
    return result < 0 ? result : print(cli, catalog, err);
}

static int run_hold(struct cli *cli, struct error *err)
{
    return run(cli, cli_duration_us(cli, "for", usual_us), err);
}

static int run_release(struct cli *cli, struct error *err)
{
    return run(cli, 0, err);
}

static const char *const hold_examples[] = {"reeve hold acme",
                                            "reeve hold acme --service orders --for 10s",
                                            "reeve hold acme --wait && pg_dump ...", NULL};

static const struct cli_command hold_commands[] = {
    {.summary = "Let a tenant's new transactions wait, and none fail",
     .description =
         "Transactions that run go on, and what clients send waits, "
         "without a queue timeout (so does a login whose settings must be tried first), until "
         "\"reeve release\" or until the time is over. "
         "In each proxy. Who keeps a server connection (see docs/limits.md) is not held, and for "
         "--wait counts as running.",
     .arguments = slug_argument,
     .options = hold_options,
     .fields = fields,
     .list = true,
     .examples = hold_examples,
     .run = run_hold},
    {0},
};

static const struct cli_command release_commands[] = {
    {.summary = "Let a tenant's transactions go on",
     .arguments = slug_argument,
     .options = release_options,
     .fields = fields,
     .list = true,
     .run = run_release},
    {0},
};

const struct cli_noun cli_noun_hold = {
    .name = "hold", .summary = "Let a tenant's new transactions wait", .commands = hold_commands};
const struct cli_noun cli_noun_release = {.name = "release",
                                          .summary = "Let a tenant's transactions go on",
                                          .commands = release_commands};

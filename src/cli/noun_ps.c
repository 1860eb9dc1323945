#include "cli/nouns.h"

#include "cli/context.h"
#include "cli/status_socket.h"

static const struct cli_parameter options[] = {
    {.name = "tenant", .value = "SLUG", .kind = CLI_TEXT, .help = "those of one tenant"},
    {.name = "cluster", .value = "NAME", .kind = CLI_TEXT, .help = "those on one cluster"},
    {.name = "busy", .kind = CLI_FLAG, .help = "those that are not idle"},
    {0},
};

static const struct output_field fields[] = {
    {.key = "pid",
     .title = "PID",
     .kind = OUTPUT_NUMBER,
     .help = "the server's process, as in pg_stat_activity"},
    {.key = "tenant",
     .title = "TENANT",
     .kind = OUTPUT_TEXT,
     .help = "whose it is now, or was last; null: nobody's yet"},
    {.key = "service",
     .title = "SERVICE",
     .kind = OUTPUT_TEXT,
     .help = "the service of the client that has it; null: no client has it"},
    {.key = "state",
     .title = "STATE",
     .kind = OUTPUT_TEXT,
     .help =
         "connecting, idle, active, idle in transaction, kept (by a client with session state), "
         "cancelling, closing, ending"},
    {.key = "cluster", .title = "CLUSTER", .kind = OUTPUT_TEXT, .help = "the server"},
    {.key = "database", .title = "DATABASE", .kind = OUTPUT_TEXT, .help = "the database there"},
    {.key = "login_role",
     .title = "LOGIN-ROLE",
     .kind = OUTPUT_TEXT,
     .detail = true,
     .help = "the role that logged in: usename in pg_stat_activity"},
    {.key = "shared",
     .title = "SHARED",
     .kind = OUTPUT_BOOLEAN,
     .help = "whether other tenants get it too (enforcement guard)"},
    {.key = "read_only",
     .title = "READ-ONLY",
     .kind = OUTPUT_BOOLEAN,
     .detail = true,
     .help = "whether its session is for reading"},
    {.key = "prepared",
     .title = "PREPARED",
     .kind = OUTPUT_NUMBER,
     .help = "prepared statements that it holds"},
    {.key = "schemas",
     .title = "SCHEMAS",
     .kind = OUTPUT_NUMBER,
     .help = "tenants' schemas that it has been on (see max_schemas)"},
    {.key = "worker",
     .title = "WORKER",
     .kind = OUTPUT_NUMBER,
     .detail = true,
     .help = "the proxy's thread that has it"},
    {0},
};

static bool is_wanted(const struct cli *cli, const json_t *row)
{
    const char *tenant = cli_text(cli, "tenant"), *cluster = cli_text(cli, "cluster");
    const char *state = json_string_value(json_object_get(row, "state"));
    if (tenant && strcmp(tenant, json_string_value(json_object_get(row, "tenant"))) != 0)
        return false;
    if (cluster && strcmp(cluster, json_string_value(json_object_get(row, "cluster"))) != 0)
        return false;
    return !cli_flag(cli, "busy") || strcmp(state, "idle") != 0;
}

/* An empty text of the server's stands for nothing. */
static void clear_empty(json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    if (text && *text == '\0')
        json_object_set_new(row, key, json_null());
}

static int by_pid(const void *a, const void *b)
{
    json_int_t one = json_integer_value(json_object_get(*(json_t *const *)a, "pid"));
    json_int_t other = json_integer_value(json_object_get(*(json_t *const *)b, "pid"));
    return (one > other) - (one < other);
}

static json_t *choose(struct cli *cli, json_t *rows)
{
    size_t count = 0;
    json_t **chosen = arena_zalloc(&cli->arena, (json_array_size(rows) + 1) * sizeof(json_t *));
    size_t index;
    json_t *row;
    json_array_foreach(rows, index, row)
    {
        if (!json_is_object(row) || !is_wanted(cli, row))
            continue;
        clear_empty(row, "tenant");
        clear_empty(row, "service");
        clear_empty(row, "cluster");
        chosen[count++] = row;
    }
    qsort(chosen, count, sizeof(*chosen), by_pid); /* NOLINT(bugprone-sizeof-expression) */
    json_t *records = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append(records, chosen[i]);
    return records;
}

static int run(struct cli *cli, struct error *err)
{
    struct config config;
    json_t *answer = NULL;
    int result = context_config(cli, &config, err);
    if (result == 0)
        result = status_socket_ask(config.status_socket, "ps", &answer, err);
    if (result < 0)
        return result;
    if (!json_is_true(json_object_get(answer, "complete")))
        output_note("note: not every worker answered in time; the list is not complete");
    output_list(cli, choose(cli, json_object_get(answer, "backends")),
                "There are no such server connections.");
    json_decref(answer);
    return 0;
}

static const char *const examples[] = {"reeve ps", "reeve ps --busy --tenant acme", NULL};

static const struct cli_command commands[] = {
    {.summary = "Show the proxy's server connections and whose they are",
     .description = "Asks the server that runs with this configuration on this machine. Under the "
                    "guard the database server itself tells nobody which tenant a session is; this "
                    "does, beside the process id.",
     .options = options,
     .fields = fields,
     .list = true,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_ps = {
    .name = "ps", .summary = "Show the proxy's server connections", .commands = commands};

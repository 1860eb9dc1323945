#include "cli/nouns.h"

#include "cli/context.h"
#include "cli/status_socket.h"

static const struct cli_parameter arguments[] = {
    {.name = "PID",
     .required = true,
     .kind = CLI_NUMBER,
     .minimum = 1,
     .maximum = INT32_MAX,
     .help = "the server's process, as \"reeve ps\" shows it"},
    {0},
};

static const struct cli_parameter options[] = {
    {.name = "cancel",
     .kind = CLI_FLAG,
     .help = "just cancel what it runs: the client stays, and is told so by the server"},
    {.name = "cluster",
     .value = "NAME",
     .kind = CLI_TEXT,
     .help = "on this cluster, where several have a process of that number"},
    {0},
};

static const struct output_field fields[] = {
    {.key = "pid", .kind = OUTPUT_NUMBER, .help = "the server's process"},
    {.key = "tenant", .kind = OUTPUT_TEXT, .help = "whose it was; null: nobody's yet"},
    {.key = "state", .kind = OUTPUT_TEXT, .help = "what it was doing, as in reeve ps"},
    {0},
};

static int ask(struct cli *cli, int64_t pid, json_t **ret, struct error *err)
{
    struct config config;
    const char *cluster = cli_text(cli, "cluster");
    int result = context_config(cli, &config, err);
    if (result == 0 && cluster)
        result = context_check_slug("cluster name", cluster, err);
    if (result < 0)
        return result;
    const char *question =
        arena_printf(&cli->arena, "%s %lld %s", cli_flag(cli, "cancel") ? "cancel" : "kill",
                     (long long)pid, cluster ? cluster : "");
    return status_socket_ask(config.status_socket, question, ret, err);
}

static int check(const json_t *answer, int64_t pid, struct error *err)
{
    json_int_t matches = json_integer_value(json_object_get(answer, "matches"));
    bool complete = json_is_true(json_object_get(answer, "complete"));
    if (matches == 1 && complete)
        return 0;
    int result;
    if (!complete) {
        result = error_set(err, ERROR_TIMEOUT, "not every worker of the proxy answered in time");
        error_hint(err, "nothing was done; try again");
        return result;
    }
    if (matches == 0) {
        result = error_set(err, ERROR_NOT_FOUND, "no server connection has process %lld",
                           (long long)pid);
        error_hint(err, "\"reeve ps\" lists them");
    } else {
        result = error_set(err, ERROR_STATE, "%lld clusters have a process %lld",
                           (long long)matches, (long long)pid);
        error_hint(err, "say which with --cluster NAME");
    }
    return result;
}

static int run(struct cli *cli, struct error *err)
{
    json_t *answer = NULL;
    int64_t pid = cli_number(cli, "PID", 0);
    int result = ask(cli, pid, &answer, err);
    if (result == 0)
        result = check(answer, pid, err);
    if (result < 0) {
        json_decref(answer);
        return result;
    }
    const char *tenant = json_string_value(json_object_get(answer, "tenant"));
    json_t *record = json_object();
    json_object_set_new(record, "pid", json_integer(pid));
    json_object_set_new(record, "tenant", output_text(tenant && *tenant ? tenant : NULL));
    json_object_set_new(record, "state",
                        output_text(json_string_value(json_object_get(answer, "state"))));
    output_done(cli, record,
                cli_flag(cli, "cancel") ? "Process %lld is told to cancel."
                                        : "Process %lld ends, and its client's "
                                          "connection with it.",
                (long long)pid);
    json_decref(answer);
    return 0;
}

static const char *const examples[] = {"reeve kill 4711", "reeve kill 4711 --cancel", NULL};

static const struct cli_command commands[] = {
    {.summary = "End a server connection and its client's, or cancel what it runs",
     .description = "Asks the server that runs with this configuration on this machine. The client "
                    "is told 57P01 and may connect again; \"reeve tenant suspend\" keeps it out, "
                    "and \"reeve limit\" keeps it short.",
     .arguments = arguments,
     .options = options,
     .fields = fields,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_kill = {
    .name = "kill", .summary = "End a server connection", .commands = commands};

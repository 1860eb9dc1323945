#include "cli/nouns.h"

#include "cli/connector.h"
#include "cli/context.h"
#include "cli/server.h"

static const struct cli_parameter options[] = {
    {.name = "replace",
     .kind = CLI_FLAG,
     .help = "take over the sockets of the server that runs with this configuration, if one does; "
             "it finishes its transactions and ends"},
    {0},
};

static const char *const examples[] = {"reeve serve --config /etc/reeve/reeve.conf",
                                       "reeve serve --config /etc/reeve/reeve.conf --replace",
                                       NULL};

static void print_ready(void *owner reeve_unused, const struct config *config)
{
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listen[i];
        if (listen->host)
            printf("Reeve is ready on %s:%d\n", listen->host, listen->port);
        else
            printf("Reeve is ready on %s/.s.PGSQL.%d\n", listen->folder, listen->port);
    }
    fflush(stdout);
}

static int run(struct cli *cli, struct error *err)
{
    struct config config;
    server_block_signals();
    connector_clean_environment();
    int result = context_config(cli, &config, err);
    if (result < 0)
        return result;
    struct server_spec spec = {
        .config = &config, .replace = cli_flag(cli, "replace"), .ready = print_ready};
    return server_run(&spec, err);
}

static const struct cli_command commands[] = {
    {.summary = "Serve clients and look after jobs",
     .description =
         "Runs the proxy and the control plane in one process, in the foreground; events go to "
         "standard error. SIGTERM or Ctrl-C: no new clients, running transactions finish, then it "
         "ends (a second one ends it at once). SIGHUP: the configuration file and the TLS "
         "certificate are read again; what is wrong with them is logged and changes nothing. With "
         "--replace a new program takes the place of one that runs: nobody is refused meanwhile.",
     .options = options,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_serve = {
    .name = "serve", .summary = "Serve clients and look after jobs", .commands = commands};

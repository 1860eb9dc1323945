#include "cli/nouns.h"

#include "auth/token.h"
#include "base/time.h"
#include "catalog/placement.h"
#include "cli/token_issue.h"
#include "cli/url.h"

static const struct cli_parameter arguments[] = {
    {.name = "SLUG", .required = true, .kind = CLI_TEXT, .help = "the tenant"},
    {.name = "SERVICE", .required = true, .kind = CLI_TEXT, .help = "the service"},
    {0},
};

static const struct cli_parameter options[] = {
    {.name = "token",
     .kind = CLI_FLAG,
     .help = "issue a token for the service and put it in; the result is a secret"},
    TOKEN_ISSUE_OPTIONS,
    {0},
};

static const struct output_field fields[] = {
    {.key = "url", .kind = OUTPUT_TEXT, .help = "the connection string"},
    {.key = "tenant", .kind = OUTPUT_TEXT, .help = "the tenant's slug"},
    {.key = "service", .kind = OUTPUT_TEXT, .help = "the service"},
    {.key = "token_id",
     .kind = OUTPUT_TEXT,
     .help = "the id of the token in it; null: there is no secret in it"},
    {0},
};

static void print_url(const struct cli *cli, const struct catalog_placement *placement,
                      const char *url, const char *token_id)
{
    output_done(cli,
                json_pack("{s:s, s:s, s:s, s:o}", "url", url, "tenant", placement->tenant,
                          "service", placement->service, "token_id", output_text(token_id)),
                "%s", url);
}

static int print_with_token(struct cli *cli, const struct context *context, struct catalog *catalog,
                            const struct catalog_placement *placement, struct error *err)
{
    _cleanup_token_issue_ struct token_issue token = {.tenant_id = placement->tenant_id,
                                                      .tenant = placement->tenant,
                                                      .service_id = placement->service_id,
                                                      .service = placement->service};
    token_issue_options(cli, &token);
    int result = token_issue(context, catalog, &token, err);
    if (result == 0)
        print_url(cli, placement,
                  url_make(&cli->arena, &context->config, placement->tenant, placement->service,
                           token.token),
                  token.jti);
    return result;
}

static int run(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_placement placement = {0};
    bool token = cli_flag(cli, "token");
    if (!token && (cli_text(cli, "access") || cli_text(cli, "ttl")))
        return error_set(err, ERROR_USAGE, "--access and --ttl need --token");
    /* Only a token needs the key. */
    int result =
        token ? context_open(cli, &context, err) : context_config(cli, &context.config, err);
    if (result == 0)
        result = context_catalog(&context, &catalog, err);
    if (result == 0)
        result = catalog_placement_find(catalog, &cli->arena, cli_text(cli, "SLUG"),
                                        cli_text(cli, "SERVICE"), &placement, err);
    if (result < 0)
        return result;
    if (token)
        return print_with_token(cli, &context, catalog, &placement, err);
    print_url(cli, &placement,
              url_make(&cli->arena, &context.config, placement.tenant, placement.service, NULL),
              NULL);
    return 0;
}

static const char *const examples[] = {"psql $(reeve url acme orders)",
                                       "reeve url acme orders --token --access ro --ttl 1h", NULL};

static const struct cli_command commands[] = {
    {.summary = "Print how a tenant connects to a service",
     .description = "The first address that Reeve listens on. Without --token there is no secret "
                    "in it: the client gives the tenant's password or a token.",
     .arguments = arguments,
     .options = options,
     .fields = fields,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_url = {
    .name = "url", .summary = "Print how a tenant connects to a service", .commands = commands};

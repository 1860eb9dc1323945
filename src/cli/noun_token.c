#include "cli/nouns.h"

#include "auth/token.h"
#include "base/time.h"
#include "catalog/audit_event.h"
#include "catalog/credential.h"
#include "catalog/service.h"
#include "catalog/tenant.h"
#include "cli/token_issue.h"

static const struct cli_parameter slug_argument[] = {
    {.name = "SLUG", .required = true, .kind = CLI_TEXT, .help = "the tenant"},
    {0},
};

static const struct cli_parameter revoke_arguments[] = {
    {.name = "SLUG", .required = true, .kind = CLI_TEXT, .help = "the tenant"},
    {.name = "ID", .kind = CLI_TEXT, .help = "the token's id, as \"reeve token list\" shows it"},
    {0},
};

static const struct cli_parameter issue_options[] = {
    {.name = "service",
     .value = "NAME",
     .kind = CLI_TEXT,
     .fallback = "every service",
     .help = "the one service that it is good for"},
    TOKEN_ISSUE_OPTIONS,
    {0},
};

static const struct cli_parameter list_options[] = {
    {.name = "all", .kind = CLI_FLAG, .help = "revoked and expired ones too"},
    {0},
};

static const struct cli_parameter revoke_options[] = {
    {.name = "all", .kind = CLI_FLAG, .help = "every token of the tenant"},
    {0},
};

#define TOKEN_FIELDS                                                                               \
    {.key = "id", .title = "ID", .kind = OUTPUT_TEXT, .help = "its id (claim jti); no secret"},    \
        {.key = "service",                                                                         \
         .title = "SERVICE",                                                                       \
         .kind = OUTPUT_TEXT,                                                                      \
         .help = "what it is good for; null: every service"},                                      \
        {.key = "access", .title = "ACCESS", .kind = OUTPUT_TEXT, .help = "rw or ro"},             \
    {                                                                                              \
        .key = "expires_at", .title = "EXPIRES", .kind = OUTPUT_TIME, .help = "when it expires"    \
    }

static const struct output_field issue_fields[] = {
    {.key = "token", .kind = OUTPUT_TEXT, .help = "the token: what the tenant gives as password"},
    {.key = "tenant", .kind = OUTPUT_TEXT, .help = "the tenant's slug"},
    TOKEN_FIELDS,
    {0},
};

static const struct output_field list_fields[] = {
    TOKEN_FIELDS,
    {.key = "created_at", .title = "CREATED", .kind = OUTPUT_TIME, .help = "when it was issued"},
    {.key = "revoked_at",
     .title = "REVOKED",
     .kind = OUTPUT_TIME,
     .help = "when it was revoked; null when it was not"},
    {0},
};

static const struct output_field revoke_fields[] = {
    {.key = "tenant", .kind = OUTPUT_TEXT, .help = "the tenant's slug"},
    {.key = "revoked", .kind = OUTPUT_LIST, .help = "the ids of the tokens that were revoked"},
    {0},
};

static void add_token(json_t *record, const char *id, const char *service, bool read_only,
                      int64_t expires_unix_us)
{
    json_object_set_new(record, "id", output_text(id));
    json_object_set_new(record, "service", output_text(service));
    json_object_set_new(record, "access", output_text(token_access_choice(read_only)));
    json_object_set_new(record, "expires_at", output_time_us(expires_unix_us));
}

/* ---- issue ---- */

static void print_issued(const struct cli *cli, const struct token_issue *token)
{
    char expires[TIME_TEXT_SIZE];
    time_format(token->expires_unix_us, expires);
    json_t *record = json_pack("{s:s, s:s}", "token", token->token, "tenant", token->tenant);
    add_token(record, token->jti, token->service, token->read_only, token->expires_unix_us);
    output_done(cli, record, "%s", token->token);
    if (!cli->json)
        output_note("Token %s of tenant \"%s\", for %s, %s, expires %s. It is not shown again.",
                    token->jti, token->tenant, token->service ? token->service : "every service",
                    token->read_only ? "reading alone" : "reading and writing", expires);
}

static int run_issue(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    _cleanup_token_issue_ struct token_issue token = {0};
    struct catalog_tenant tenant = {0};
    struct catalog_service service = {0};
    const char *name = cli_text(cli, "service");
    token_issue_options(cli, &token);
    int result = context_open_tenant(cli, &context, &catalog, &tenant, err);
    if (result == 0 && name)
        result = catalog_service_find(catalog, &cli->arena, name, &service, err);
    if (result < 0)
        return result;
    token.tenant_id = tenant.id;
    token.tenant = tenant.slug;
    token.service_id = service.id;
    token.service = service.name;
    result = token_issue(&context, catalog, &token, err);
    if (result == 0)
        print_issued(cli, &token);
    return result;
}

/* ---- list ---- */

static int run_list(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant tenant = {0};
    struct catalog_token *tokens = NULL;
    size_t count = 0;
    int result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = catalog_tenant_find(catalog, &cli->arena, cli_text(cli, "SLUG"), &tenant, err);
    if (result == 0)
        result = catalog_token_list(catalog, &cli->arena, tenant.id, cli_flag(cli, "all"), &tokens,
                                    &count, err);
    if (result < 0)
        return result;
    json_t *records = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *record = json_object();
        add_token(record, tokens[i].jti, tokens[i].service, tokens[i].read_only,
                  tokens[i].expires_unix_us);
        json_object_set_new(record, "created_at", output_time_us(tokens[i].created_unix_us));
        json_object_set_new(record, "revoked_at", output_time_us(tokens[i].revoked_unix_us));
        json_array_append_new(records, record);
    }
    output_list(cli, records, "There are no tokens; \"reeve token issue\" makes one.");
    return 0;
}

/* ---- revoke ---- */

static int revoke_one(struct catalog *catalog, int64_t tenant_id, const char *id, json_t *revoked,
                      struct error *err)
{
    int result = catalog_token_revoke(catalog, tenant_id, id, err);
    if (result == 0)
        json_array_append_new(revoked, output_text(id));
    return result;
}

/* In the caller's transaction. id NULL: all that are good. */
static int revoke(struct catalog *catalog, struct arena *arena, int64_t tenant_id, const char *id,
                  json_t *revoked, struct error *err)
{
    if (id)
        return revoke_one(catalog, tenant_id, id, revoked, err);
    struct catalog_token *tokens = NULL;
    size_t count = 0;
    int result = catalog_token_list(catalog, arena, tenant_id, false, &tokens, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++)
        result = revoke_one(catalog, tenant_id, tokens[i].jti, revoked, err);
    return result;
}

static int run_revoke(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant tenant = {0};
    const char *id = cli_text(cli, "ID");
    if (!id == !cli_flag(cli, "all")) {
        int usage = error_set(err, ERROR_USAGE,
                              id ? "ID and --all exclude each other" : "the token's ID is missing");
        error_hint(err, "\"reeve token list %s\" shows the ids; --all revokes every token",
                   cli_text(cli, "SLUG"));
        return usage;
    }
    int result = context_open_tenant(cli, &context, &catalog, &tenant, err);
    if (result == 0)
        result = catalog_begin(catalog, err);
    if (result < 0)
        return result;
    json_t *revoked = json_array();
    const struct catalog_audit_event event = {.action = "token.revoke", .tenant_id = tenant.id};
    result = revoke(catalog, &cli->arena, tenant.id, id, revoked, err);
    result =
        context_commit(&context, catalog, result, &event, json_pack("{s:O}", "ids", revoked), err);
    if (result == 0)
        output_done(cli, json_pack("{s:s, s:O}", "tenant", tenant.slug, "revoked", revoked),
                    "Revoked %zu %s of tenant \"%s\": refused from now on.",
                    json_array_size(revoked), json_array_size(revoked) == 1 ? "token" : "tokens",
                    tenant.slug);
    json_decref(revoked);
    return result;
}

/* ---- the table ---- */

static const char *const issue_examples[] = {
    "reeve token issue acme --service orders --access ro --ttl 12h",
    "PGPASSWORD=$(reeve token issue acme) psql $(reeve url acme orders)", NULL};

static const struct cli_command commands[] = {
    {.verb = "issue",
     .summary = "Make a token that a tenant logs in with",
     .description = "Prints the token, which the tenant gives as its password. It is signed with "
                    "a key of Reeve's own and not kept: only its id and when it expires are.",
     .arguments = slug_argument,
     .options = issue_options,
     .fields = issue_fields,
     .examples = issue_examples,
     .run = run_issue},
    {.verb = "list",
     .summary = "List a tenant's tokens",
     .arguments = slug_argument,
     .options = list_options,
     .fields = list_fields,
     .list = true,
     .run = run_list},
    {.verb = "revoke",
     .summary = "Make a token worthless",
     .description = "No new connections with it; those that are open stay. \"reeve tenant "
                    "suspend\" ends them.",
     .arguments = revoke_arguments,
     .options = revoke_options,
     .fields = revoke_fields,
     .run = run_revoke},
    {0},
};

const struct cli_noun cli_noun_token = {
    .name = "token", .summary = "Tokens that tenants log in with", .commands = commands};

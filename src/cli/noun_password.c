#include "cli/nouns.h"

#include "auth/scram.h"
#include "base/str.h"
#include "catalog/audit_event.h"
#include "catalog/credential.h"
#include "catalog/tenant.h"
#include "cli/context.h"
#include "cli/prompt.h"

enum { GENERATED_BYTES = 20 };

static const struct cli_parameter slug_argument[] = {
    {.name = "SLUG", .required = true, .kind = CLI_TEXT, .help = "the tenant"},
    {0},
};

static const struct cli_parameter set_options[] = {
    {.name = "password-file",
     .value = "FILE",
     .kind = CLI_FILE,
     .fallback = "asked for, or read from standard input where that is no terminal",
     .help = "its first line is the password (- for standard input)"},
    {.name = "generate", .kind = CLI_FLAG, .help = "make a strong one, and print it"},
    {0},
};

static const struct cli_parameter remove_options[] = {CLI_OPTION_YES, {0}};

static const struct output_field set_fields[] = {
    {.key = "tenant", .kind = OUTPUT_TEXT, .help = "the tenant's slug"},
    {.key = "password",
     .kind = OUTPUT_TEXT,
     .help = "the one that --generate made; null without it"},
    {0},
};

static const struct output_field remove_fields[] = {
    {.key = "tenant", .kind = OUTPUT_TEXT, .help = "the tenant's slug"},
    {0},
};

/* ---- set ---- */

static void generate(char ret[PROMPT_PASSWORD_MAX + 1])
{
    uint8_t random[GENERATED_BYTES];
    crypto_random(random, sizeof(random));
    str_hex(random, sizeof(random), ret);
    crypto_wipe(random, sizeof(random));
}

static int get_password(const struct cli *cli, char ret[PROMPT_PASSWORD_MAX + 1], struct error *err)
{
    if (!cli_flag(cli, "generate"))
        return prompt_password(cli_text(cli, "password-file"), ret, err);
    generate(ret);
    return 0;
}

static int store(const struct context *context, struct catalog *catalog, int64_t tenant_id,
                 const char *password, struct error *err)
{
    char verifier[SCRAM_VERIFIER_TEXT_MAX];
    scram_verifier_make(password, SCRAM_DEFAULT_ITERATIONS, verifier);
    const struct catalog_audit_event event = {.action = "password.set", .tenant_id = tenant_id};
    int result = catalog_begin(catalog, err);
    if (result < 0)
        return result;
    result = catalog_password_set(catalog, tenant_id, verifier, err);
    return context_commit(context, catalog, result, &event, NULL, err);
}

static void print_set(const struct cli *cli, const char *slug, const char *generated)
{
    json_t *record = json_pack("{s:s, s:o}", "tenant", slug, "password", output_text(generated));
    if (!generated) {
        output_done(cli, record, "The password of tenant \"%s\" is set.", slug);
        return;
    }
    output_done(cli, record, "%s", generated);
    output_note("The password of tenant \"%s\" is set. It is not shown again.", slug);
}

static int run_set(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant tenant = {0};
    char password[PROMPT_PASSWORD_MAX + 1];
    bool generated = cli_flag(cli, "generate");
    if (generated && cli_text(cli, "password-file"))
        return error_set(err, ERROR_USAGE, "--generate and --password-file exclude each other");
    int result = context_open_tenant(cli, &context, &catalog, &tenant, err);
    if (result == 0)
        result = get_password(cli, password, err);
    if (result == 0)
        result = store(&context, catalog, tenant.id, password, err);
    if (result == 0)
        print_set(cli, tenant.slug, generated ? password : NULL);
    crypto_wipe(password, sizeof(password));
    return result;
}

/* ---- remove ---- */

static int run_remove(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant tenant = {0};
    int result = context_open_tenant(cli, &context, &catalog, &tenant, err);
    if (result < 0)
        return result;
    const char *what = arena_printf(
        &cli->arena, "This removes the password of tenant \"%s\"; its tokens stay.", tenant.slug);
    result = prompt_confirm(cli, what, tenant.slug, err);
    if (result == 0)
        result = catalog_begin(catalog, err);
    if (result < 0)
        return result;
    const struct catalog_audit_event event = {.action = "password.remove", .tenant_id = tenant.id};
    result = catalog_password_remove(catalog, tenant.id, err);
    result = context_commit(&context, catalog, result, &event, NULL, err);
    if (result == 0)
        output_done(cli, json_pack("{s:s}", "tenant", tenant.slug),
                    "Tenant \"%s\" has no password any more.", tenant.slug);
    return result;
}

/* ---- the table ---- */

static const char *const set_examples[] = {
    "reeve password set acme", "reeve password set acme --generate",
    "reeve password set acme --password-file /run/secrets/acme", NULL};

static const struct cli_command commands[] = {
    {.verb = "set",
     .summary = "Set a tenant's password",
     .description = "Replaces the one that there is; connections that are open stay. A verifier "
                    "alone is kept (SCRAM-SHA-256), as PostgreSQL does.",
     .arguments = slug_argument,
     .options = set_options,
     .fields = set_fields,
     .examples = set_examples,
     .run = run_set},
    {.verb = "remove",
     .summary = "Remove a tenant's password",
     .description = "It can still log in with tokens. Asks for confirmation.",
     .arguments = slug_argument,
     .options = remove_options,
     .fields = remove_fields,
     .run = run_remove},
    {0},
};

const struct cli_noun cli_noun_password = {
    .name = "password", .summary = "Tenants' passwords", .commands = commands};

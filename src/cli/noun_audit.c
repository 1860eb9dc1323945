#include "cli/nouns.h"

#include "cli/audit_attack.h"

static const struct cli_parameter options[] = {
    {.name = "service",
     .value = "NAME",
     .kind = CLI_TEXT,
     .fallback = "every service",
     .help = "one service's places"},
    AUDIT_ATTACK_OPTIONS,
    {0},
};

static const struct output_field fields[] = {AUDIT_ATTACK_FIELDS, {0}};

static int run(struct cli *cli, struct error *err)
{
    if (cli_flag(cli, "attack") || cli_text(cli, "verify"))
        return audit_attack_command(cli, err);
    int result = error_set(err, ERROR_USAGE, "say what shall be audited");
    error_hint(err, "reeve audit --attack");
    return result;
}

static const char *const examples[] = {"reeve audit --attack --output attack-report.txt",
                                       "reeve audit --attack --service orders --json",
                                       "reeve audit --verify attack-report.txt", NULL};

static const struct cli_command commands[] = {
    {.summary = "Attack the live system as a hostile tenant would",
     .description =
         "Makes two throwaway tenants in each isolation in use, connects as both through the "
         "endpoint, runs every attack of the suite as one of them, looks round after each, and "
         "removes the tenants. The report tells what was tried, what came back and the verdict, "
         "and is signed with the key file's key. Exit status 12 when an attack got through. "
         "docs/attack.md says how to read the report.",
     .options = options,
     .fields = fields,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_audit = {.name = "audit",
                                        .summary =
                                            "Attack the live system as a hostile tenant would",
                                        .commands = commands};

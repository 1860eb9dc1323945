#include "cli/nouns.h"

#include "cli/config.h"
#include "metrics/metrics.h"

/* ---- help ---- */

static const char *reference_choice(size_t index)
{
    static const char *const names[] = {"cli", "config", "metrics", NULL};
    return names[index];
}

static const struct cli_parameter help_arguments[] = {
    {.name = "COMMAND", .kind = CLI_TEXT, .help = "the command to say more about"},
    {.name = "VERB", .kind = CLI_TEXT, .help = "its verb"},
    {0},
};

static const struct cli_parameter help_options[] = {
    {.name = "markdown",
     .value = "WHAT",
     .kind = CLI_CHOICE,
     .choice = reference_choice,
     .help = "print a reference page instead"},
    {0},
};

static int run_help(struct cli *cli, struct error *err)
{
    const char *page = cli_text(cli, "markdown");
    if (page) {
        if (strcmp(page, "config") == 0)
            config_write_reference(stdout);
        else if (strcmp(page, "metrics") == 0)
            metrics_write_reference(stdout);
        else
            cli_write_reference(stdout, cli_nouns);
        return 0;
    }
    if (!cli_text(cli, "COMMAND")) {
        cli_help_all(stdout, cli_nouns);
        return 0;
    }
    /* The same as "reeve COMMAND VERB --help", with its errors. */
    char help[] = "--help";
    char *words[] = {(char *)(uintptr_t)cli_text(cli, "COMMAND"),
                     (char *)(uintptr_t)cli_text(cli, "VERB"), help};
    if (!words[1])
        words[1] = help;
    struct cli asked = {0};
    int result = cli_parse(&asked, cli_nouns, 3, words, err);
    if (result == 0 && asked.command)
        cli_help_command(stdout, asked.noun, asked.command);
    else if (result == 0)
        cli_help_noun(stdout, asked.noun);
    arena_reset(&asked.arena);
    return result;
}

static const struct cli_command help_commands[] = {
    {.summary = "Say more about a command",
     .arguments = help_arguments,
     .options = help_options,
     .no_config = true,
     .run = run_help},
    {0},
};

const struct cli_noun cli_noun_help = {
    .name = "help", .summary = "Say more about a command", .commands = help_commands};

/* ---- completion ---- */

static const char *shell_choice(size_t index)
{
    static const char *const names[] = {"bash", NULL};
    return names[index];
}

static const struct cli_parameter completion_arguments[] = {
    {.name = "SHELL",
     .required = true,
     .kind = CLI_CHOICE,
     .choice = shell_choice,
     .help = "the shell"},
    {0},
};

static const char *const completion_examples[] = {
    "source <(reeve completion bash)",
    "reeve completion bash > /usr/share/bash-completion/completions/reeve", NULL};

static int run_completion(struct cli *cli reeve_unused, struct error *err reeve_unused)
{
    cli_write_completion(stdout, cli_nouns);
    return 0;
}

static const struct cli_command completion_commands[] = {
    {.summary = "Print a script that completes command lines",
     .arguments = completion_arguments,
     .no_config = true,
     .examples = completion_examples,
     .run = run_completion},
    {0},
};

const struct cli_noun cli_noun_completion = {.name = "completion",
                                             .summary =
                                                 "Print a script that completes command lines",
                                             .commands = completion_commands};

/* ---- version ---- */

static const struct output_field version_fields[] = {
    {.key = "version", .title = "version", .kind = OUTPUT_TEXT, .help = "of this program"},
    {0},
};

static int run_version(struct cli *cli, struct error *err reeve_unused)
{
    output_done(cli, json_pack("{s:s}", "version", REEVE_VERSION), "reeve %s", REEVE_VERSION);
    return 0;
}

static const struct cli_command version_commands[] = {
    {.summary = "Print the version",
     .fields = version_fields,
     .no_config = true,
     .run = run_version},
    {0},
};

const struct cli_noun cli_noun_version = {
    .name = "version", .summary = "Print the version", .commands = version_commands};
